//! The property deed since 2015 (不动产权证书; forms of 国土资发〔2015〕25号): the inner page with its table, the number above it, or the cover with
//! the seal, the day of registration and the serial number of the form.
//!
//! Rows: 权利人, 共有情况, 坐落, 不动产单元号 (GB/T 37346, 28 characters in groups), 权利类型, 权利性质, 用途, 面积, 使用期限, 权利其他状况 of several lines. Land
//! and house share a row separated by `/`, in equal numbers.

use super::{
    Fields, check, date, division,
    layout::{Label, Page, Placed, Run, plain},
    reader::{Reader, checked, display, find_code, trimmed, with_repair},
    text, validity,
};

pub(super) const LABELS: [Label; 14] = [
    Label::new("holder", &["权利人"]),
    Label::inline("co_ownership", &["共有情况"]),
    Label::new("location", &["坐落", "座落"]),
    Label::new("unit_code", &["不动产单元号", "不动产单元", "+单元号"]),
    Label::new("right_type", &["权利类型"]),
    Label::new("right_nature", &["权利性质"]),
    Label::new("use", &["用途"]),
    Label::new("area", &["面积"]),
    Label::new("term", &["使用期限", "+期限"]),
    Label::new("other", &["权利其他状况", "权利其他", "权利其它状况", "+状况", "+其他状况"]),
    Label::new("-notes", &["附记"]),
    Label::new("-title", &["不动产权证书", "中华人民共和国"]),
    Label::new(
        "-office",
        &["登记机构", "登记机构(章)", "登记机构(盖章)", "中华人民共和国自然资源部监制", "自然资源部监制", "国土资源部监制"],
    ),
    Label::inline("print_number", &["编号", "编号No", "证书编号"]),
];
/// What the number's middle always says.
const NUMBER_WORD: &str = "不动产权第";
/// The word in front of the building's area; land area alone has none.
const FLOOR_AREA_WORDS: [&str; 3] = ["房屋建筑面积", "建筑面积", "房屋面积"];
/// With what the other circumstances begin (权利其他状况).
const OTHER_HEADS: [&str; 5] = ["土地使用权面积", "房屋结构", "专有建筑面积", "专有面积", "房屋总层数"];
/// The serial number of the printed form is eleven digits, most often behind a D; without one they stand behind these words.
const PRINT_NUMBER_DIGITS: usize = 11;
const PRINT_NUMBER_WORDS: [&str; 5] = ["编号№", "编号NO", "编号N", "编号", "NO"];

pub fn read(page: &Page) -> Fields {
    let whole = page;
    let numbered = page.rows().iter().find_map(|row| number(row));
    // The notes stand on the next page of the opened booklet, the number above the table.
    let page = &page.left_page("附记").without(numbered.as_deref().unwrap_or_default());
    let mut reader = Reader::new(page, &LABELS);
    let province = numbered.as_ref().and_then(|run| run.first()).and_then(|p| division::province_of(p.character));
    if let Some(run) = &numbered {
        reader.text("number", run, vec![checked("structure", number_holds(&plain(run)))]);
    }
    for name in ["holder", "location", "use"] {
        let run = reader.beside(name);
        // on the cover a line may begin with 权利人申请登记的本证所列不动产权利
        if !plain(&run).contains("申请登记") {
            reader.text(name, &run, vec![]);
        }
    }
    let run = reader.beside("co_ownership");
    reader.text("co_ownership", &run, vec![]);
    let pairs: Vec<String> = ["right_type", "right_nature", "use"].iter().map(|name| plain(&reader.beside(name))).collect();
    let even = validity::pairs_hold(&pairs.iter().map(String::as_str).collect::<Vec<_>>());
    for name in ["right_type", "right_nature"] {
        let run = reader.beside(name);
        reader.text(name, &run, vec![checked("pairs", even)]);
    }
    if let Some((code, run, repaired)) =
        unit_code(&reader.beside("unit_code")).or_else(|| page.rows().iter().find_map(|row| unit_code(row)))
    {
        let mut checks = vec![checked("structure", check::unit_code_holds(&code))];
        checks.extend(province.map(|province| checked("same_province", code.starts_with(province))));
        reader.code("unit_code", &run, &code, with_repair(checks, repaired));
    }
    let (area, mut other) = (reader.beside("area"), reader.beside("other"));
    let term = reader.beside("term");
    // A term that is a mere dash is often not found, and the first lines of what follows are taken for it.
    let (term, early) = term
        .split_at((0..term.len()).find(|&at| OTHER_HEADS.iter().any(|head| plain(&term[at..]).starts_with(head))).unwrap_or(term.len()));
    // they may have been dealt to both
    let early: Run = early.iter().filter(|placed| !other.contains(placed)).copied().collect();
    other.splice(0..0, early);
    let floor = floor_area(&area);
    let sums_up = floor.as_ref().and_then(|(value, _)| parts_add_up(*value, &plain(&other)));
    reader.add("area", &area, square_metres(&display(&area)), square_metres(&plain(&area)).replace("平方米", "㎡"), vec![]);
    if let Some((value, run)) = floor {
        let checks = sums_up.map(|passed| checked("parts_add_up", passed)).into_iter().collect();
        let value = format!("{value:.2}");
        reader.add("floor_area", &run, value.clone(), value, checks);
    }
    let read_term = plain(term);
    let dates = date::find_all(&read_term);
    let mut checks = vec![checked("dates_exist", !dates.is_empty() || date::is_open_end(&read_term))];
    if let [start, end] = dates.as_slice() {
        checks.push(checked("ends_later", start < end));
    }
    let dash = matches!(read_term.as_str(), "-" | "/" | "--" | "——");
    match dash {
        true => reader.add("term", term, display(term), read_term, vec![]),
        false => reader.text("term", term, checks),
    }
    let run = trimmed(&other).to_vec();
    reader.add("other", &run, square_metres(&display(&run)), square_metres(&plain(&run)).replace("平方米", "㎡"), vec![]);
    if let Some(run) = whole.rows().iter().find_map(|row| print_number(row)) {
        let code = text::code(&plain(&run));
        reader.code("print_number", &run, &code, vec![]);
    }
    if let Some(run) = lone_date(whole) {
        reader.date("issue_date", &run, |date| vec![checked("since_2015", chrono::Datelike::year(&date) >= 2015)]);
    }
    reader.finish()
}

/// 川（2023）成都市不动产权第0012345号: from the province's one character to 号.
fn number(row: &[Placed]) -> Option<Run> {
    let read: Vec<char> = row.iter().map(|p| p.character).collect();
    let word: Vec<char> = NUMBER_WORD.chars().collect();
    let at = read.windows(word.len()).position(|window| window == word)?;
    let digits = read[at + word.len()..].iter().take_while(|c| text::as_digit(**c).is_ascii_digit()).count();
    let mut end = at + word.len() + digits;
    if read.get(end) == Some(&'号') {
        end += 1;
    }
    // The bracketed year stands before the authority's name, and one character before that the province.
    let bracket = read[..at].iter().rposition(|c| *c == '(').unwrap_or(at);
    let start = bracket.saturating_sub(1);
    Some(row[start..end].to_vec())
}

fn number_holds(number: &str) -> bool {
    const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
    let Some((head, tail)) = number.split_once(NUMBER_WORD) else { return false };
    let Some((province, rest)) = head.split_once('(') else { return false };
    let Some((year, authority)) = rest.split_once(')') else { return false };
    let digits = tail.trim_end_matches('号');
    province.chars().count() == 1
        && PROVINCES.contains(province)
        && year.parse().is_ok_and(|year| (2015..2100).contains(&year))
        && (2..=14).contains(&authority.chars().count())
        && tail.ends_with('号')
        && (6..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
}

/// 28 characters, printed in groups; letters stand only at the 13th, 14th and 20th place, digits everywhere else.
fn unit_code(run: &[Placed]) -> Option<(String, Run, bool)> {
    let put = |at: usize, c: char| match (at, c.to_ascii_uppercase()) {
        (12 | 13 | 19, '6') => 'G',
        (13, '8') => 'B',
        (12 | 13 | 19, c) => c,
        (_, c) => text::as_digit(c),
    };
    find_code(run, check::UNIT_CODE_CHARS, put, |_| true, check::unit_code_holds)
}

/// The building's area: the number after its word.
fn floor_area(run: &[Placed]) -> Option<(f64, Run)> {
    let read: Vec<char> = run.iter().map(|p| p.character).collect();
    let start = FLOOR_AREA_WORDS.iter().find_map(|word| {
        let word: Vec<char> = word.chars().collect();
        read.windows(word.len()).position(|window| window == word).map(|at| at + word.len())
    })?;
    let skip = read[start..].iter().position(char::is_ascii_digit)?;
    // Nothing but a colon may stand between the word and its number.
    if skip > 1 {
        return None;
    }
    let from = start + skip;
    let count = read[from..].iter().take_while(|c| c.is_ascii_digit() || **c == '.').count();
    let digits: String = read[from..from + count].iter().collect();
    Some((digits.trim_end_matches('.').parse().ok()?, run[from..from + count].to_vec()))
}

/// The small raised 2 is read as 2, as ² or not at all, so every area gets its unit afresh: a number with a decimal point.
fn square_metres(read: &str) -> String {
    let mut out = String::new();
    let mut rest: String = read.to_owned();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let count = rest[start..].find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len() - start);
        let (before, number) = (&rest[..start], &rest[start..start + count]);
        let mut after = &rest[start + count..];
        out.push_str(before);
        out.push_str(number);
        if number.contains('.') && !after.starts_with("平方米") {
            out.push('㎡');
            after = after.trim_start_matches(['㎡', 'm', 'M', '²', '2']);
        }
        rest = after.to_owned();
    }
    out + &rest
}

/// Whether the private and the shared part make up the whole; `None` when they are not both printed.
fn parts_add_up(whole: f64, other: &str) -> Option<bool> {
    let part = |word: &str| {
        let after = other.split_once(word)?.1.trim_start_matches("建筑面积").trim_start_matches([':', '面', '积']);
        let digits: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.trim_end_matches('.').parse::<f64>().ok()
    };
    Some(validity::areas_add_up(part("专有")?, part("分摊")?, whole))
}

fn print_number(row: &[Placed]) -> Option<Run> {
    let is_digit = |p: &Placed| p.character.is_ascii_digit();
    let follows = |pair: &[Placed]| pair[1].left - pair[0].right < pair[0].height;
    let eleven = |rest: &[Placed]| {
        let digits = rest.iter().take_while(|p| is_digit(p)).count();
        // what stands apart in the row is another number
        let together = 1 + rest[..digits].windows(2).take_while(|pair| follows(pair)).count();
        digits >= PRINT_NUMBER_DIGITS && together == PRINT_NUMBER_DIGITS
    };
    let lettered = (0..row.len()).filter(|&at| row[at].character == 'D' && eleven(&row[at + 1..]));
    let behind_words = || {
        (0..row.len()).find_map(|at| {
            let rest = &row[at..];
            let read = plain(rest).to_uppercase();
            let word = PRINT_NUMBER_WORDS.iter().find(|word| read.starts_with(**word))?;
            let behind = rest[word.chars().count()..].iter().position(is_digit).filter(|at| *at <= 2)? + word.chars().count();
            eleven(&rest[behind..]).then(|| rest[behind..behind + PRINT_NUMBER_DIGITS].to_vec())
        })
    };
    lettered.map(|at| row[at..=at + PRINT_NUMBER_DIGITS].to_vec()).next().or_else(behind_words)
}

/// A date and nothing else on its stretch of a row: the day of registration under the seal.
fn lone_date(page: &Page) -> Option<Run> {
    page.rows().iter().rev().flat_map(|row| row.chunk_by(|a, b| a.line == b.line || b.left - a.right < a.height * 3.0)).find_map(|run| {
        let read = plain(run);
        let only_date = read.chars().all(date::may_hold);
        (only_date && date::parse(&read).is_some()).then(|| run.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Field,
            layout::testing::{line, page},
        },
        *,
    };

    #[test]
    fn the_words_of_the_cover_are_no_holder() {
        let cover = [
            (60.0, 40.0, "根据《中华人民共和国民法典》等法律法规，为保护不动产"),
            (60.0, 80.0, "权利人申请登记的本证所列不动产权利，经审查核实，准予登记，颁发此证。"),
        ];
        assert!(!read(&page(&cover)).contains_key("holder"));
    }

    #[test]
    fn a_table_is_read() {
        let lines = [
            (300.0, 0.0, "川(2023)成都市不动产权第0012345号"),
            (0.0, 60.0, "权利人"),
            (200.0, 60.0, "张三"),
            (0.0, 100.0, "共有情况"),
            (200.0, 100.0, "单独所有"),
            (0.0, 155.0, "坐落"),
            (200.0, 140.0, "武侯区样本街道样本路"),
            (200.0, 170.0, "88号1栋2单元"),
            (0.0, 210.0, "不动产单元号"),
            (200.0, 210.0, "510107 003005 GBO0012 F00030005"),
            (0.0, 250.0, "权利类型"),
            (200.0, 250.0, "国有建设用地使用权/房屋所有权"),
            (0.0, 290.0, "权利性质"),
            (200.0, 290.0, "出让/市场化商品房"),
            (0.0, 330.0, "用 途"),
            (200.0, 330.0, "商务金融用地/商业"),
            (0.0, 370.0, "面 积"),
            (200.0, 370.0, "宗地面积1200.50m²/房屋建筑面积89.50㎡"),
            (0.0, 410.0, "使用期限"),
            (200.0, 410.0, "2013年05月01日起2053年04月30日止"),
            (0.0, 495.0, "权利其他状况"),
            (200.0, 450.0, "房屋结构:钢筋混凝土结构"),
            (200.0, 480.0, "专有建筑面积:70.25㎡"),
            (200.0, 510.0, "分摊建筑面积:19.25㎡"),
            (200.0, 540.0, "总层数:30层,所在层:3层"),
            (0.0, 600.0, "附记"),
        ];
        let fields = read(&page(&lines));
        for (name, value) in [
            ("number", "川(2023)成都市不动产权第0012345号"),
            ("holder", "张三"),
            ("co_ownership", "单独所有"),
            ("location", "武侯区样本街道样本路88号1栋2单元"),
            ("unit_code", "510107003005GB00012F00030005"),
            ("right_type", "国有建设用地使用权/房屋所有权"),
            ("use", "商务金融用地/商业"),
            ("floor_area", "89.50"),
            ("term", "2013年05月01日起2053年04月30日止"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(fields["other"].value.starts_with("房屋结构") && fields["other"].value.ends_with("3层"), "{}", fields["other"].value);
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn areas_get_their_unit_back() {
        for (read, expected) in [
            ("宗地面积9623.19m/房屋建筑面积109.48m²", "宗地面积9623.19㎡/房屋建筑面积109.48㎡"),
            ("房屋建筑面积109.48平方米", "房屋建筑面积109.48平方米"),
            ("109.48", "109.48㎡"),
            ("共有3层", "共有3层"),
            ("", ""),
        ] {
            assert_eq!(square_metres(read), expected);
        }
    }

    #[test]
    fn parts_that_do_not_add_up_fail_the_check() {
        assert_eq!(parts_add_up(89.5, "专有建筑面积:70.25㎡,分摊建筑面积:19.25㎡"), Some(true));
        assert_eq!(parts_add_up(99.5, "专有建筑面积:70.25㎡,分摊建筑面积:19.25㎡"), Some(false));
        assert_eq!(parts_add_up(99.5, "专有建筑面积:70.25㎡"), None);
    }

    #[test]
    fn numbers_follow_the_pattern() {
        for (number, holds) in [
            ("川(2023)成都市不动产权第0012345号", true),
            ("川(2023)成都市不动产权第0012345", false),
            ("川(2003)成都市不动产权第0012345号", false),
            ("成(2023)成都市不动产权第0012345号", false),
            ("川2023成都市不动产权第0012345号", false),
        ] {
            assert_eq!(number_holds(number), holds, "{number}");
        }
    }

    #[test]
    fn other_circumstances_that_stand_beside_an_unread_term_are_not_the_term() {
        let fields = read(&page(&[
            (0.0, 0.0, "使用期限"),
            (150.0, 0.0, "国有建设用地使用权/土地使用权面积:374.00平方米"),
            (0.0, 60.0, "权利其他状况"),
            (150.0, 60.0, "房屋结构:钢混结构"),
        ]));
        assert_eq!(fields["term"].canonical, "国有建设用地使用权/");
        assert_eq!(fields["other"].canonical, "土地使用权面积:374.00㎡房屋结构:钢混结构");
    }

    #[test]
    fn other_circumstances_beside_a_term_that_is_a_dash_are_read_once() {
        let lines = [
            (91.0, 396.0, 39.0, "权利性质"),
            (240.0, 392.0, 31.0, "划拨/经济适用住房"),
            (111.0, 451.0, 43.0, "用途"),
            (238.0, 447.0, 37.0, "住宅用地/住宅"),
            (112.0, 509.0, 38.0, "面积"),
            (240.0, 503.0, 32.0, "宗地面积27913.11m²/房屋建筑面积114.95m²"),
            (92.0, 560.0, 40.0, "使用期限"),
            (240.0, 607.0, 34.0, "专有建筑面积：92.85m²；房屋总层数：31；"),
            (239.0, 634.0, 32.0, "所在层数：12；结构：框架结构"),
            (70.0, 653.0, 37.0, "权利其他状况"),
        ];
        let fields = read(&Page::new(&lines.map(|(x, y, height, text)| line(x, y, height, text))));
        assert_eq!(fields["other"].canonical, "专有建筑面积:92.85㎡;房屋总层数:31;所在层数:12;结构:框架结构");
    }

    #[test]
    fn a_printed_number_without_its_letter_stands_behind_no() {
        let read = |row: &str| print_number(&page(&[(0.0, 0.0, row), (600.0, 0.0, "2020年11月27日")]).rows()[0]).map(|run| plain(&run));
        assert_eq!(read("NO.33019274068").as_deref(), Some("33019274068"));
        assert_eq!(read("NO.3301927406"), None, "ten digits are no such number");
    }
}
