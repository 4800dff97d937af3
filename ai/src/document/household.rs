//! The household register (居民户口簿, form of the Ministry of Public Security, 1995): the page of the household (首页) and the card of each
//! member (常住人口登记卡).
//!
//! Both are tables: labels in the left cell, dot-matrix or laser print in the right one, many cells empty, some labels in two
//! lines of their cell (户主或与 / 户主关系, 本市(县) / 其他住址, 公民身份 / 证件编号, 何时由何地 / 迁来本址). The head's page ends in 承办人签章 and the day
//! of issue, the member's in 登记日期.

use super::{
    Fields, check, date,
    id_card::{find_number, id_number_checks, read_sex},
    layout::{Label, Page, Placed, Run, plain},
    reader::{Reader, checked, goes_on, only, trimmed, with_repair},
    text,
    vocabulary::{BLOOD, EDUCATION, ETHNICITIES, HOUSEHOLD_TYPES, MARITAL, MILITARY, RELATIONS},
};

/// Labels of two characters are set so wide that one of them may be missed; one that stands alone in its line is the label.
pub(super) const HEAD_LABELS: [Label; 12] = [
    Label::inline("household_type", &["户别", "别"]),
    Label::inline("head_name", &["户主姓名", "户姓主名", "户主", "+姓名"]),
    Label::inline("household_number", &["户号", "号"]),
    Label::new("address", &["住址"]),
    Label::inline("issue_date", &["签发日期", "签发", "年月日签发"]),
    Label::inline("-clerk", &["承办人签章", "承办人"]),
    Label::new("-office", &["户口登记机关户口专用章", "户口登记机关", "省级公安机关户口专用章", "省级公安机关", "户口专用章", "登记机关"]),
    Label::new("-seal", &["户口专用章", "(盖章)"]),
    Label::new("-title", &["居民户口簿", "户口簿", "首页"]),
    Label::new("-moves", &["住址变动登记", "登记事项变更和更正记载"]),
    Label::new("-district", &["居(村)委会", "派出所"]),
    Label::new("-notes", &["注意事项"]),
];
pub(super) const MEMBER_LABELS: [Label; 25] = [
    Label::new("name", &["姓名", "姓"]),
    Label::new("relation", &["户主或与户主关系", "户主或与", "与户主关系", "+户主关系"]),
    Label::new("former_name", &["曾用名"]),
    Label::inline("sex", &["性别", "性", "别"]),
    Label::inline("birth_place", &["出生地"]),
    Label::inline("ethnicity", &["民族", "民", "族"]),
    Label::new("native_place", &["籍贯", "籍", "贯"]),
    Label::inline("birth_date", &["出生日期"]),
    Label::new("other_address", &["本市(县)其他住址", "本市(县)其", "本市(县)", "本市县其他住址", "+其他住址", "+他住址", "其他住址"]),
    Label::inline("religion", &["宗教信仰", "宗教", "+信仰"]),
    Label::inline("id_number", &["公民身份证件编号", "公民身份号码", "公民身份", "+证件编号", "+号码", "公民身份证编号"]),
    Label::inline("height", &["身高"]),
    Label::inline("blood_type", &["血型"]),
    Label::inline("education", &["文化程度", "文化", "+程度"]),
    Label::inline("marital_status", &["婚姻状况", "婚姻", "+状况"]),
    Label::inline("military_status", &["兵役状况", "兵役", "+状况"]),
    Label::inline("employer", &["服务处所"]),
    Label::inline("occupation", &["职业", "职"]),
    Label::new(
        "moved_in_city",
        &[
            "何时由何地迁来本市(县)",
            "何时由何地迁来本市",
            "何时由何地迁来",
            "何时由何地迁",
            "何时由何地",
            "+来本市(县)",
            "+迁来本市(县)",
            "+本市(县)",
        ],
    ),
    Label::new(
        "moved_in_address",
        &["何时由何地迁来本址", "何时由何地迁来", "何时由何地迁", "何时由何地", "+来本址", "+迁来本址", "+本址"],
    ),
    Label::inline("-clerk", &["承办人签章", "承办人"]),
    Label::inline("registration_date", &["登记日期"]),
    Label::new("-title", &["常住人口登记卡"]),
    // Inside the seal over the foot of the table.
    Label::inline("-seal", &["户口专用章"]),
    Label::new("household_number", &["户号"]),
];
/// Digits of a household number; nine are common.
const HOUSEHOLD_DIGITS: std::ops::RangeInclusive<usize> = 3..=12;

/// Centimetres have three.
const HEIGHT_DIGITS: usize = 3;

pub fn head(page: &Page) -> Fields {
    let mut reader = Reader::new(page, &HEAD_LABELS);
    let mut run = reader.fitting("household_type", |read| read.contains('户'));
    if run.is_empty() {
        // The label was lost: no other words of the page are these.
        run = page.rows().iter().find_map(|row| beginning(row, &HOUSEHOLD_TYPES)).unwrap_or_default();
    }
    reader.word("household_type", &run, &HOUSEHOLD_TYPES, vec![]);
    let run = typed(&reader.fitting("head_name", |read| !read.is_empty()));
    reader.text("head_name", &run, vec![]);
    let read = reader.fitting("household_number", |read| read.chars().any(|c| c.is_ascii_digit()));
    let number = trimmed(&only(&read, |c| c.is_ascii_alphanumeric() || c == '-')).to_vec();
    let digits = number.iter().filter(|p| p.character != '-').count();
    reader.text("household_number", &number, vec![checked("structure", HOUSEHOLD_DIGITS.contains(&digits))]);
    let run = typed(&reader.beside("address"));
    reader.text("address", &run, vec![]);
    dated(&mut reader, "issue_date");
    reader.finish()
}

pub fn member(page: &Page) -> Fields {
    let mut reader = Reader::new(page, &MEMBER_LABELS);
    let number = find_number(&reader.beside("id_number")).or_else(|| page.rows().iter().find_map(|row| find_number(row)));
    let id_number = number.as_ref().map(|(number, ..)| number.clone()).unwrap_or_default();
    for name in [
        "name",
        "former_name",
        "birth_place",
        "native_place",
        "other_address",
        "religion",
        "employer",
        "occupation",
        "moved_in_city",
        "moved_in_address",
    ] {
        let mut run = typed(&reader.beside(name));
        if name == "former_name" && matches!(plain(&run).as_str(), "男" | "女") {
            // The cell is empty, and the label of the next one was not read.
            run.clear();
        }
        reader.text(name, &run, vec![]);
    }
    for (name, words) in
        [("relation", &RELATIONS[..]), ("marital_status", &MARITAL), ("military_status", &MILITARY), ("blood_type", &BLOOD)]
    {
        let run = reader.fitting(name, |read| words.iter().any(|word| read.starts_with(word)));
        let letter = |p: &Placed| {
            if name == "blood_type" {
                Placed { character: text::as_letter(p.character), raw: text::as_letter(p.character), ..*p }
            } else {
                *p
            }
        };
        let run = if name == "blood_type" { round(&run) } else { run };
        let run: Run = typed(&run).iter().map(letter).collect();
        let whole = words.contains(&plain(&run).as_str());
        if whole { reader.text(name, &run, vec![]) } else { reader.word(name, &run, words, vec![]) }
    }
    let run = typed(&reader.beside("education"));
    reader.word("education", &run, &EDUCATION, vec![]);
    // 汉族: the register prints the word with its 族. What stands before it belongs to the cell above.
    let run = only(&reader.fitting("ethnicity", |read| !read.is_empty()), |c| !c.is_ascii());
    let run = ending(&run, &ETHNICITIES);
    let known = ETHNICITIES.iter().any(|name| plain(&run).trim_end_matches('族') == *name);
    reader.text("ethnicity", &run, vec![checked("vocabulary", known)]);
    read_sex(&mut reader, &id_number);
    let run = reader.fitting("birth_date", |read| date::first(read).is_some());
    reader.date("birth_date", &run, |date| {
        vec![checked("matches_number", check::id_number_birth(&id_number).is_none_or(|birth| birth == date))]
    });
    let run = reader.fitting_near("height", |read| read.starts_with(|c: char| c.is_ascii_digit()));
    let count = run
        .iter()
        .take_while(|p| p.character.is_ascii_digit() || matches!(p.character, '.' | '厘' | '米' | '公' | '分' | 'c' | 'm' | 'C' | 'M'))
        .count();
    // A number of the row above may run into it: nobody is a thousand units high.
    let digits = run[..count].iter().take_while(|p| p.character.is_ascii_digit()).count();
    reader.text("height", &run[digits.saturating_sub(HEIGHT_DIGITS)..count], vec![]);
    if let Some((number, run, repaired)) = number {
        reader.code("id_number", &run, &number, with_repair(id_number_checks(&number), repaired));
    }
    dated(&mut reader, "registration_date");
    reader.finish()
}

/// Lines of one value lie at least this share of their height apart; what is closer overlaps them.
const LINE_PITCH_MIN: f32 = 0.6;
/// They are as high as each other, give or take this factor.
const HEIGHT_RATIO_MAX: f32 = 1.3;
/// They begin under each other, give or take this many heights.
const INDENT_MAX: f32 = 0.8;

/// A lone letter O as it is misread: a pair of brackets.
fn round(run: &[Placed]) -> Run {
    match run {
        [open, close] if (open.character, close.character) == ('(', ')') => {
            vec![Placed { character: 'O', raw: 'O', right: close.right, ..*open }]
        }
        _ => run.to_vec(),
    }
}

/// What is typed into a cell: its first line, and the lines that begin under it. What else was given to the cell is of the seal over it or of
/// another cell.
fn typed(run: &[Placed]) -> Run {
    let mut lines = run.chunk_by(|a, b| a.line == b.line);
    let Some(first) = lines.next() else { return Run::new() };
    let (mut value, mut last) = (first.to_vec(), first);
    for line in lines {
        let (begin, end, next) = (&last[0], &last[last.len() - 1], &line[0]);
        let height = begin.height.max(next.height);
        let alike = height < begin.height.min(next.height) * HEIGHT_RATIO_MAX;
        let below = next.y - begin.y > height * LINE_PITCH_MIN && (next.left - first[0].left).abs() < height * INDENT_MAX;
        if goes_on(end, next) || (alike && below) {
            value.extend(line);
            last = line;
        }
    }
    value
}

/// The rest of the row from where one of the words begins.
fn beginning(row: &[Placed], words: &[&str]) -> Option<Run> {
    let at = (0..row.len()).find(|&at| words.iter().any(|word| plain(&row[at..]).starts_with(word)))?;
    Some(row[at..].to_vec())
}

/// The end of the run that is one of the words of two characters or more, with or without 族; all of it where it is none.
fn ending(run: &[Placed], words: &[&str]) -> Run {
    let read = plain(run);
    let bare = read.trim_end_matches('族');
    let known = words.iter().filter(|word| word.chars().count() > 1 && bare.ends_with(**word)).max_by_key(|word| word.chars().count());
    let count = known.map_or(run.len(), |word| word.chars().count() + usize::from(bare.len() < read.len()));
    run[run.len() - count..].to_vec()
}

/// The date beside its label, else the last one on the page that stands by itself.
fn dated(reader: &mut Reader<'_>, name: &str) {
    let labelled = reader.fitting(name, |read| date::first(read).is_some());
    let is_date = |run: &[Placed]| date::first(&plain(run)).is_some();
    let last = || -> Option<Run> {
        let rows = reader.page.rows();
        rows.iter().skip(rows.len() / 2).rev().find(|row| is_date(row)).cloned()
    };
    if let Some(run) = is_date(&labelled).then_some(labelled).or_else(last) {
        reader.date(name, &run, |_| vec![]);
    }
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
    }

    #[test]
    fn a_household_is_read_with_labels_in_one_line_or_two() {
        let table = [
            (0.0, 0.0, "户 别"),
            (120.0, 0.0, "农业家庭户口"),
            (500.0, -12.0, "户主"),
            (500.0, 12.0, "姓名"),
            (600.0, 0.0, "胡安萍"),
            (0.0, 60.0, "户 号"),
            (120.0, 60.0, "043615123"),
            (0.0, 120.0, "住 址"),
            (120.0, 108.0, "浙江省杭州市西湖大道308号世纪城"),
            (120.0, 134.0, "2号楼1587室"),
            (0.0, 300.0, "承办人签章:"),
            (400.0, 300.0, "2001年12月12日签发"),
        ];
        let fields = head(&page(&table));
        assert_read(
            &fields,
            &[
                ("household_type", "农业家庭户口"),
                ("head_name", "胡安萍"),
                ("household_number", "043615123"),
                ("address", "浙江省杭州市西湖大道308号世纪城2号楼1587室"),
                ("issue_date", "2001年12月12日"),
            ],
        );
        assert!(fields.values().all(Field::checks_pass));
    }

    #[test]
    fn a_member_is_read_and_empty_cells_stay_empty() {
        let lines = [
            (200.0, -60.0, "常住人口登记卡"),
            (0.0, 0.0, "姓    名"),
            (160.0, 0.0, "张三"),
            (500.0, -13.0, "户主或与"),
            (500.0, 13.0, "户主关系"),
            (640.0, 0.0, "户主"),
            (0.0, 60.0, "曾 用 名"),
            (500.0, 60.0, "性  别"),
            (640.0, 60.0, "女"),
            (0.0, 120.0, "出 生 地"),
            (160.0, 120.0, "北京市朝阳区"),
            (500.0, 120.0, "民  族"),
            (640.0, 120.0, "汉族"),
            (0.0, 180.0, "籍  贯"),
            (160.0, 180.0, "北京市"),
            (500.0, 180.0, "出生日期"),
            (640.0, 180.0, "1949年12月31日"),
            (0.0, 227.0, "本市(县)"),
            (0.0, 253.0, "其他住址"),
            (500.0, 240.0, "宗教信仰"),
            (0.0, 287.0, "公民身份"),
            (0.0, 313.0, "证件编号"),
            (160.0, 300.0, "11010519491231002X"),
            (560.0, 300.0, "身高"),
            (620.0, 300.0, "163厘米"),
            (780.0, 300.0, "血型"),
            (840.0, 300.0, "A"),
            (0.0, 360.0, "文化程度"),
            (160.0, 360.0, "初中毕业"),
            (330.0, 347.0, "婚姻"),
            (330.0, 373.0, "状况"),
            (400.0, 360.0, "已婚"),
            (560.0, 347.0, "兵役"),
            (560.0, 373.0, "状况"),
            (640.0, 360.0, "未服兵役"),
            (0.0, 420.0, "服务处所"),
            (500.0, 420.0, "职  业"),
            (640.0, 420.0, "工人"),
            (0.0, 467.0, "何时由何地"),
            (0.0, 493.0, "迁来本市(县)"),
            (220.0, 480.0, "2010年7月6日由山西省太原市迁来"),
            (0.0, 527.0, "何时由何地"),
            (0.0, 553.0, "迁来本址"),
            (0.0, 620.0, "承办人签章:"),
            (500.0, 620.0, "登记日期: 2005年03月14日"),
        ];
        let fields = member(&page(&lines));
        assert_read(
            &fields,
            &[
                ("name", "张三"),
                ("relation", "户主"),
                ("sex", "女"),
                ("birth_place", "北京市朝阳区"),
                ("ethnicity", "汉族"),
                ("native_place", "北京市"),
                ("birth_date", "1949年12月31日"),
                ("id_number", "11010519491231002X"),
                ("height", "163厘米"),
                ("blood_type", "A"),
                ("education", "初中毕业"),
                ("marital_status", "已婚"),
                ("military_status", "未服兵役"),
                ("occupation", "工人"),
                ("moved_in_city", "2010年7月6日由山西省太原市迁来"),
                ("registration_date", "2005年03月14日"),
            ],
        );
        for empty in ["former_name", "other_address", "religion", "employer", "moved_in_address"] {
            assert!(!fields.contains_key(empty), "{empty}: {:?}", fields[empty]);
        }
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn what_runs_in_from_the_cells_around_is_cut_off() {
        let fields = member(&page(&[
            (0.0, 0.0, "姓名"),
            (100.0, 0.0, "崔彤"),
            (300.0, 0.0, "民族"),
            (400.0, 0.0, "云南省昆明市穿青人"),
            (0.0, 60.0, "身高"),
            (100.0, 60.0, "530102183厘米"),
            (0.0, 120.0, "职业"),
            (100.0, 120.0, "退休人员户口专用章"),
            (0.0, 180.0, "曾用名"),
            (400.0, 180.0, "女"),
        ]));
        assert!(!fields.contains_key("former_name"));
        for (name, value) in [("ethnicity", "穿青人"), ("height", "183厘米"), ("occupation", "退休人员")] {
            assert_eq!(fields[name].value, value, "{name}");
        }
    }

    #[test]
    fn what_a_seal_says_beside_a_value_or_close_below_it_is_no_part_of_it() {
        let fields = member(&page(&[
            (0.0, 0.0, "服务处所"),
            (120.0, 0.0, "学生"),
            (230.0, 6.0, "店商贸"),
            (400.0, 0.0, "职业"),
            (500.0, 0.0, "医生"),
            (540.0, 18.0, "长"),
            (0.0, 60.0, "何时由何地迁来本址"),
            (220.0, 60.0, "2009年3月1日由道里区"),
            (220.0, 82.0, "清溪路6号迁来"),
        ]));
        for (name, value) in [("employer", "学生"), ("occupation", "医生"), ("moved_in_address", "2009年3月1日由道里区清溪路6号迁来")]
        {
            assert_eq!(fields[name].value, value, "{name}");
        }
    }

    #[test]
    fn the_kind_of_household_is_known_without_its_label() {
        let fields = head(&page(&[(0.0, 0.0, "别集体户"), (300.0, 0.0, "户主姓名"), (420.0, 0.0, "龚宇梦")]));
        assert_eq!(fields["household_type"].value, "集体户");
        assert_eq!(fields["head_name"].value, "龚宇梦");
    }

    #[test]
    fn one_character_of_a_wide_label_is_enough() {
        let fields = member(&page(&[
            (0.0, 0.0, "姓"),
            (120.0, 0.0, "吕莉燕"),
            (400.0, 0.0, "族"),
            (500.0, 0.0, "羌族"),
            (80.0, 60.0, "贯"),
            (120.0, 60.0, "沈阳市和平区"),
        ]));
        for (name, value) in [("name", "吕莉燕"), ("ethnicity", "羌族"), ("native_place", "沈阳市和平区")] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
    }

    #[test]
    fn a_household_number_keeps_its_hyphen_and_a_lone_o_is_a_letter() {
        let fields = head(&page(&[(0.0, 0.0, "户 别"), (120.0, 0.0, "农业家庭户口"), (0.0, 60.0, "户 号"), (120.0, 60.0, "370211-08824")]));
        assert_read(&fields, &[("household_number", "370211-08824")]);
        assert!(fields["household_number"].checks_pass());
        let fields = member(&page(&[(0.0, 0.0, "姓 名"), (120.0, 0.0, "王翠"), (0.0, 60.0, "血型"), (120.0, 60.0, "()")]));
        assert_read(&fields, &[("blood_type", "O")]);
    }
}
