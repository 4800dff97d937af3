//! Property deeds before 2015: 房屋所有权证 (Ministry of Construction, forms of 1998 and 2008), 房地产权证 (Shanghai, Guangdong and others), 房地产证.
//!
//! The number stands above the table or in the running text (`X房权证XX字第123456号` and its relatives). The form of 2008: rows 房屋所有权人, 共有情况,
//! 房屋坐落, 登记时间, 房屋性质, 规划用途, then 房屋状况 as a table whose heads stand above their values (总层数, 建筑面积, 套内建筑面积, 其他). The form of
//! 1998: heads 幢号 房号 结构 房屋总层数 所在层数 建筑面积 设计用途 above several rows, 填发日期 under the seal. Some provinces print prose or a list of labels.
//! Nothing has a check digit: areas, floors and dates are put against each other, and a person looks at what does not fit.

use super::{
    Fields, date,
    layout::{Label, Page, Placed, Run, plain},
    reader::{Reader, checked, number_in, only},
    text, validity,
    vocabulary::CO_OWNERSHIP,
};

pub(super) const LABELS: [Label; 27] = [
    Label::new("owner", &["房屋所有权人", "房地产权利人", "房屋所有人", "所有权人", "权利人", "权属人", "产权人", "房地产权属人"]),
    Label::inline("co_ownership", &["共有情况", "共有人", "共有人情况", "房屋共有人", "占有房屋份额", "占有份额"]),
    Label::new("location", &["房屋坐落", "房地坐落", "房地产坐落", "房屋座落", "房地座落", "坐落", "座落", "房屋地址"]),
    Label::inline("registration_date", &["登记时间", "登记日期"]),
    Label::inline("nature", &["房屋性质", "产别", "房产性质", "产权性质", "房屋产权性质"]),
    Label::inline("use", &["规划用途", "设计用途", "房屋用途", "房屋规划用途", "用途"]),
    Label::inline("total_floors", &["房屋总层数", "总层数", "+(层)"]),
    Label::inline("floor", &["所在层数", "所在层", "所在层次", "层次", "所在", "+层数", "+层"]),
    Label::inline("structure", &["房屋结构", "建筑结构", "结构"]),
    Label::inline("area", &["房屋建筑面积", "建筑面积", "+(平方米)", "+(m2)", "+(m²)", "+(㎡)", "+(m)"]),
    Label::inline("inner_area", &["套内建筑面积", "套内面积", "套内建筑", "+面积", "+(平方米)", "+(m2)", "+(m²)", "+(㎡)"]),
    Label::new("issue_date", &["填发日期", "发证日期", "颁发日期", "填发时间"]),
    Label::inline("-number", &["证号", "房产证号", "权证号", "证书编号", "编号"]),
    Label::inline("-lot", &["丘(地)号", "宗地号", "地号", "丘号", "图号", "丘权号"]),
    Label::inline(
        "-shared",
        &["共有权证号", "共有权证号自至", "套内分摊面积", "分摊面积", "公摊面积", "分摊建筑面积", "公用分摊面积", "分摊共有建筑面积"],
    ),
    Label::inline(
        "-land",
        &[
            "土地使用权取得方式",
            "使用权来源",
            "宗地(丘)面积",
            "宗地面积",
            "使用期限",
            "土地使用年限",
            "土地证号",
            "土地使用情况摘要",
            "土地使用权面积",
            "土地状况",
            "使用权类型",
            "土地用途",
            "土地面积",
            "土地使用权人",
            "土地使用期限",
            "使用年限",
        ],
    ),
    Label::inline("-other", &["其他", "所有权来源", "产权来源", "产权来源备注", "总面积", "其中分摊面积"]),
    Label::new("-house", &["房屋状况", "房屋情况", "+状况", "房屋"]),
    Label::new("-notes", &["附记", "附记:", "备注"]),
    Label::new("-office", &["填发单位", "发证机关", "登记机构", "填发机关", "发证单位", "填发单位(盖章)"]),
    Label::new("-encumbrance", &["设定他项权利摘要", "他项权利"]),
    Label::inline("-building", &["幢号", "栋号"]),
    Label::inline("-room", &["房号", "部位", "室号或部位", "室号部位", "室号"]),
    Label::inline("-built", &["竣工日期", "建成年份", "建成年代", "竣工时间"]),
    Label::inline("-id", &["身份证号", "身份证号码", "证件号码", "证件号"]),
    Label::new("-title", &["房屋所有权证", "房地产权证", "房屋产权证", "房地产证", "房产证"]),
    Label::inline("-nature", &["权利性质", "土地性质", "房屋类型", "类型"]),
];
/// What deed numbers before 2015 carry between the place and 字 or 第; families seen in print.
const FAMILIES: [&str; 12] =
    ["房权证", "房地权证", "房地产权证", "房产权证", "房屋所有权证", "房产证", "房地证", "房证", "房地产证", "产权证", "房地", "房"];
/// New deeds came with the register of 2015; the last places followed in the years after.
const LAST_YEAR: i32 = 2018;
const NUMBER_CHARS_MAX: usize = 40;
/// What is printed for further owners (共有人 … 等 … 人) and stays where none are named.
const NOBODY_ELSE: &str = "等人";

pub fn read(page: &Page) -> Fields {
    let numbered = page.rows().iter().find_map(|row| number(row));
    let whole = &page.without(numbered.as_deref().unwrap_or_default());
    // The notes stand on the next page of the opened booklet, with the day of issue below them.
    let page = &whole.left_page("附记");
    let mut reader = Reader::new(page, &LABELS);
    if let Some(run) = numbered {
        let holds = number_holds(&plain(&run));
        reader.text("deed_number", &run, vec![checked("structure", holds)]);
    }
    for name in ["owner", "location"] {
        let run = reader.fitting(name, |read| !read.is_empty());
        reader.text(name, &run, vec![]);
    }
    let mut run = reader.fitting("co_ownership", |read| read.contains(['有', '独']));
    if plain(&run) == NOBODY_ELSE {
        run.clear();
    }
    reader.word("co_ownership", &run, &CO_OWNERSHIP, vec![]);
    for name in ["nature", "use", "structure"] {
        let words = |c: char| !c.is_ascii_digit() && !matches!(c, '|' | '_' | '.' | '·');
        let run = only(&reader.fitting_near(name, |read| !read.is_ascii()), words);
        reader.text(name, &run, vec![]);
    }
    let area = area(&mut reader, "area");
    if let Some(inner) = area_of(&reader, "inner_area") {
        let holds = area.is_none_or(|area| validity::inner_area_holds(inner.0, area));
        add_area(&mut reader, "inner_area", inner, holds);
    }
    let total = floors(&mut reader, "total_floors");
    let floor = floors(&mut reader, "floor");
    if let (Some(total), Some(floor)) = (total, floor)
        && let Some(holds) = validity::floor_holds(&floor, &total)
    {
        reader.check("floor", checked("floor_exists", holds));
    }
    let notes = Reader::new(whole, &LABELS);
    for name in ["registration_date", "issue_date"] {
        let own = if name == "issue_date" { &notes } else { &reader };
        let run = own.fitting(name, |read| date::first(read).is_some());
        let in_time = |date: chrono::NaiveDate| vec![checked("before_new_deeds", chrono::Datelike::year(&date) <= LAST_YEAR)];
        if reader.date(name, &run, in_time).is_none()
            && name == "issue_date"
            && let Some(run) = lone_date(whole)
        {
            reader.date(name, &run, in_time);
        }
    }
    reader.finish()
}

fn area(reader: &mut Reader<'_>, name: &str) -> Option<f64> {
    let found = area_of(reader, name)?;
    let value = found.0;
    add_area(reader, name, found, value > 1.0);
    Some(value)
}

/// The number, and the run with its unit.
fn area_of(reader: &Reader<'_>, name: &str) -> Option<(f64, Run)> {
    let run = reader.fitting_near(name, |read| read.chars().any(|c| c.is_ascii_digit()));
    let (value, digits) = number_in(&run)?;
    let start = run.iter().position(|p| p == &digits[0])?;
    let unit = run[start + digits.len()..]
        .iter()
        .take_while(|p| matches!(p.character, '平' | '方' | '米' | '㎡' | 'm' | '²' | 'M') || p.raw == '²')
        .count();
    Some((value, run[start..start + digits.len() + unit].to_vec()))
}

fn add_area(reader: &mut Reader<'_>, name: &str, (value, run): (f64, Run), holds: bool) {
    let printed = plain(&run);
    let printed = match printed.strip_suffix("m2").or_else(|| printed.strip_suffix(['m', 'M'])) {
        Some(number) => format!("{number}㎡"),
        None => printed,
    };
    reader.add(name, &run, printed, format!("{value:.2}"), vec![checked("area", holds)]);
}

/// A number of floors, or several: 1-2.
fn floors(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    let run = reader.fitting_near(name, |read| read.chars().any(|c| c.is_ascii_digit()));
    let start = run.iter().position(|p| p.character.is_ascii_digit() || (p.character == '-' && name == "floor"))?;
    // What stands below is of another building.
    let count = run[start..]
        .iter()
        .take_while(|p| p.line == run[start].line && (p.character.is_ascii_digit() || matches!(p.character, '-' | ',' | '层')))
        .count();
    let run = &run[start..start + count];
    let value = plain(run);
    reader.text(name, run, vec![]);
    Some(value)
}

/// The stretch of a row that is a deed number: from the place's name to 号.
fn number(row: &[Placed]) -> Option<Run> {
    let read: Vec<char> = row.iter().map(|p| p.character).collect();
    let whole: String = read.iter().collect();
    // The new deed's number and the register's other numbers are not meant.
    if whole.contains("不动产") || !whole.contains('第') && !whole.contains('字') {
        return None;
    }
    FAMILIES.iter().find_map(|family| {
        let word: Vec<char> = family.chars().collect();
        let at = read.windows(word.len()).position(|window| window == word)?;
        let sign = at + read[at..].iter().position(|c| matches!(c, '第' | '字'))?;
        let digits = sign + read[sign..].iter().position(|c| text::as_digit(*c).is_ascii_digit() && *c != '零')?;
        let end = match read[digits..].iter().position(|c| *c == '号') {
            Some(end) => digits + end + 1,
            None => digits + read[digits..].iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')')).count(),
        };
        // Before the family stand the place's characters, behind a label or a gap.
        let label = read[..at].iter().rposition(|c| matches!(c, ':' | '号' | '.' | '|')).map_or(0, |before| before + 1);
        let bracketed = |i: usize| read[i..at].contains(&')') && read[label..i].contains(&'(');
        let near = |i: usize| row[i + 1].left - row[i].right < row[i].height * 1.2 && (!read[i].is_ascii_digit() || bracketed(i));
        let start = (label..at).rev().take_while(|&i| near(i)).last().unwrap_or(at);
        let run = row[start..end].to_vec();
        (run.len() <= NUMBER_CHARS_MAX && end > digits).then_some(run)
    })
}

/// Whether it looks like a number of one of the families: place, family, digits (or groups of them), 号.
fn number_holds(number: &str) -> bool {
    let Some(rest) = number.strip_suffix('号') else { return false };
    let digits = rest.chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').count();
    let head: String = rest.chars().take(rest.chars().count() - digits).collect();
    (4..=14).contains(&digits) && FAMILIES.iter().any(|family| head.contains(family)) && head.chars().count() >= 3
}

/// A date by itself in the lower half, under the seal.
fn lone_date(page: &Page) -> Option<Run> {
    let rows = page.rows();
    rows.iter()
        .skip(rows.len() / 3)
        .rev()
        .flat_map(|row| row.chunk_by(|a, b| a.line == b.line || b.left - a.right < a.height * 2.0))
        .find_map(|run| {
            let read = plain(run);
            let only_date = read.chars().all(|c| date::may_hold(c) || matches!(c, '.' | '-' | ':'));
            (only_date && date::first(&read).is_some()).then(|| run.to_vec())
        })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Field, layout::testing::page},
        *,
    };

    fn assert_read(fields: &Fields, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            assert_eq!(fields.get(*name).map(|field| field.value.as_str()), Some(*value), "{name} {fields:?}");
        }
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn the_form_of_2008_with_heads_above_their_values() {
        let lines = [
            (200.0, 0.0, "成房权证监证字第1234567号"),
            (0.0, 60.0, "房屋所有权人"),
            (200.0, 60.0, "张三"),
            (0.0, 110.0, "共有情况"),
            (200.0, 110.0, "单独所有"),
            (0.0, 160.0, "房屋坐落"),
            (200.0, 160.0, "武侯区样本路88号1栋2单元3层302号"),
            (0.0, 210.0, "登记时间"),
            (200.0, 210.0, "2009-06-15"),
            (0.0, 260.0, "房屋性质"),
            (200.0, 260.0, "商品房"),
            (0.0, 310.0, "规划用途"),
            (200.0, 310.0, "住宅"),
            (200.0, 360.0, "总层数"),
            (380.0, 347.0, "建筑面积"),
            (380.0, 373.0, "(平方米)"),
            (560.0, 347.0, "套内建筑面积"),
            (560.0, 373.0, "(平方米)"),
            (740.0, 360.0, "其他"),
            (220.0, 420.0, "11"),
            (390.0, 420.0, "81.16"),
            (580.0, 420.0, "72.51"),
            (0.0, 480.0, "附记"),
        ];
        assert_read(
            &read(&page(&lines)),
            &[
                ("deed_number", "成房权证监证字第1234567号"),
                ("owner", "张三"),
                ("co_ownership", "单独所有"),
                ("location", "武侯区样本路88号1栋2单元3层302号"),
                ("registration_date", "2009-06-15"),
                ("nature", "商品房"),
                ("use", "住宅"),
                ("total_floors", "11"),
                ("area", "81.16"),
                ("inner_area", "72.51"),
            ],
        );
    }

    #[test]
    fn the_notes_of_the_opened_booklet_belong_to_no_value() {
        let lines = [
            (120.0, 0.0, "成房权证监证字第1234567号"),
            (0.0, 60.0, "房屋所有权人"),
            (140.0, 60.0, "张三"),
            (760.0, 40.0, "附 记"),
            (600.0, 62.0, "专有部分所在层数为第19层"),
            (0.0, 110.0, "共有人"),
            (140.0, 110.0, "等 人"),
            (0.0, 160.0, "总层数"),
            (0.0, 200.0, "33"),
            (640.0, 300.0, "填发单位(盖章)"),
            (700.0, 340.0, "二〇一一年六月二十日"),
        ];
        let mut labelled = lines.to_vec();
        labelled[9].2 = "填发日期:2011年5月30日";
        assert_eq!(read(&page(&labelled))["issue_date"].value, "2011年5月30日");
        let fields = read(&page(&lines));
        assert_read(&fields, &[("owner", "张三"), ("total_floors", "33"), ("issue_date", "二〇一一年六月二十日")]);
        assert!(!fields.contains_key("floor") && !fields.contains_key("co_ownership"), "{fields:?}");
    }

    #[test]
    fn a_list_of_labels_with_colons() {
        let lines = [
            (0.0, 0.0, "房地产权证"),
            (0.0, 40.0, "沪房地浦字(2005)第012345号"),
            (0.0, 80.0, "权利人:张三"),
            (0.0, 120.0, "房地坐落:浦东新区样本路88弄1号302室"),
            (0.0, 160.0, "建筑面积:89.50平方米"),
            (400.0, 160.0, "房屋结构:钢混"),
            (0.0, 200.0, "总层数:18"),
            (400.0, 200.0, "所在层:3"),
            (0.0, 240.0, "填发日期:2005年06月01日"),
        ];
        assert_read(
            &read(&page(&lines)),
            &[
                ("deed_number", "沪房地浦字(2005)第012345号"),
                ("owner", "张三"),
                ("location", "浦东新区样本路88弄1号302室"),
                ("area", "89.50平方米"),
                ("structure", "钢混"),
                ("total_floors", "18"),
                ("floor", "3"),
                ("issue_date", "2005年06月01日"),
            ],
        );
    }

    #[test]
    fn numbers_of_all_families_are_known_and_others_are_not() {
        for number in [
            "成房权证监证字第1234567号",
            "京房权证朝字第12-34567号",
            "沪房地浦字(2005)第012345号",
            "深房地字第4000123456号",
            "徐汇区房权证1999字第24154号",
        ] {
            assert!(number_holds(number), "{number}");
        }
        for number in ["川(2023)成都市不动产权第0012345号", "第1234567号", "成房权证监证字第1234567", "成房权证监证字第12号", ""]
        {
            assert!(!number_holds(number), "{number}");
        }
    }

    #[test]
    fn what_cannot_be_is_flagged() {
        let fields = read(&page(&[
            (0.0, 0.0, "建筑面积:80.00"),
            (0.0, 40.0, "套内建筑面积:90.00"),
            (0.0, 80.0, "总层数:6"),
            (0.0, 120.0, "所在层:7"),
        ]));
        assert!(!fields["inner_area"].checks_pass() && !fields["floor"].checks_pass());
    }

    #[test]
    fn a_shanghai_deed_says_of_the_land_what_is_no_part_of_the_house() {
        let lines = [
            (300.0, 0.0, "上海市房地产权证"),
            (0.0, 50.0, "权利人"),
            (150.0, 50.0, "糜嘉珩、简丹"),
            (0.0, 100.0, "房地坐落"),
            (150.0, 100.0, "浦东新区妙境路1118弄36号502室"),
            (0.0, 150.0, "使用权来源"),
            (150.0, 150.0, "出让"),
            (500.0, 150.0, "用途"),
            (650.0, 150.0, "住宅"),
            (0.0, 200.0, "宗地号"),
            (150.0, 200.0, "浦东新区12街坊7/3丘"),
            (500.0, 200.0, "宗地(丘)面积"),
            (650.0, 200.0, "28417.5"),
        ];
        let fields = read(&page(&lines));
        for (name, value) in [("location", "浦东新区妙境路1118弄36号502室"), ("use", "住宅"), ("owner", "糜嘉珩、简丹")] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(!fields.contains_key("area"));
    }

    #[test]
    fn a_head_in_two_lines_is_one_label_of_the_inner_area() {
        let lines = [
            (0.0, 0.0, "房屋所有权人"),
            (150.0, 0.0, "仉一鸣"),
            (0.0, 100.0, "总层数"),
            (200.0, 90.0, "建筑面积"),
            (200.0, 112.0, "(m)"),
            (450.0, 90.0, "套内建筑"),
            (450.0, 112.0, "面积(m)"),
            (0.0, 160.0, "32"),
            (200.0, 160.0, "134.27"),
            (450.0, 160.0, "106.8"),
        ];
        let fields = read(&page(&lines));
        for (name, value) in [("total_floors", "32"), ("area", "134.27"), ("inner_area", "106.8")] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
    }
}
