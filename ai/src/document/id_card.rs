//! The resident ID card (居民身份证, GA 448) and the temporary one (临时居民身份证, Order 78 of the Ministry of Public Security, 2005).
//!
//! Front: 姓名, 性别 and 民族 in one line, 出生 (年 月 日), 住址 of one to three lines, 公民身份号码 at the foot; on cards of
//! autonomous areas a second script stands beside each label and value. Back: the title, 签发机关, 有效期限. The temporary card has the
//! same fields, its own title, and three months of validity. The number confirms birth and sex (GB 11643).

use chrono::NaiveDate;

use super::{
    Check, Fields, check, date, division,
    layout::{Label, Page, Placed, Run, plain},
    reader::{Reader, checked, find_code, only, with_repair},
    text, validity,
    vocabulary::ETHNICITIES,
};

pub(super) const LABELS: [Label; 10] = [
    Label::new("name", &["姓名"]),
    Label::new("sex", &["性别"]),
    Label::inline("ethnicity", &["民族"]),
    Label::new("birth_date", &["出生"]),
    Label::new("address", &["住址"]),
    Label::inline("id_number", &["公民身份号码", "身份号码"]),
    Label::inline("issuer", &["签发机关"]),
    Label::inline("valid_period", &["有效期限"]),
    Label::new("-title", &["居民身份证", "临时居民身份证", "中华人民共和国居民身份证", "中华人民共和国临时居民身份证"]),
    Label::new("-republic", &["中华人民共和国"]),
];
/// A line that begins with so many letters begins with a second script: blocks and buildings have one or two.
const SECOND_SCRIPT_MIN: usize = 4;
/// A label's own second script stands so many heights above it; what is on its level stands within this share of one.
const SECOND_SCRIPT_ABOVE: std::ops::Range<f32> = 0.5..1.2;
const LEVEL: f32 = 0.4;
/// Every label has two characters at least.
const LABEL_CHARS: usize = 2;
/// Lines of less than this share of the usual height are specks.
const SPECK: f32 = 0.3;
/// Mean confidence of a line below which it is none of ours.
const SURE_MIN: f32 = 0.45;
/// How the offices that issue cards are named.
const ISSUER_ENDS: [&str; 3] = ["公安局", "分局", "派出所"];

pub fn front(page: &Page) -> Fields {
    let page = without_second_script(page);
    let mut reader = Reader::new(&page, &LABELS);
    read_front(&mut reader);
    reader.finish()
}

pub fn back(page: &Page) -> Fields {
    let page = without_second_script(page);
    let mut reader = Reader::new(&page, &LABELS);
    if let Some((start, end)) = read_back(&mut reader) {
        reader.check("valid_period", checked("span", validity::id_card_span_holds(start, end, None)));
    }
    reader.finish()
}

/// Either side, or both on one picture.
pub fn temporary(page: &Page) -> Fields {
    let mut reader = Reader::new(page, &LABELS);
    read_front(&mut reader);
    if let Some((start, end)) = read_back(&mut reader) {
        let holds = end.is_some_and(|end| validity::temporary_span_holds(start, end));
        reader.check("valid_period", checked("span", holds));
    }
    reader.finish()
}

fn read_front(reader: &mut Reader<'_>) {
    let number = find_number(&reader.beside("id_number")).or_else(|| reader.page.rows().iter().find_map(|row| find_number(row)));
    let id_number = number.as_ref().map(|(number, ..)| number.clone()).unwrap_or_default();
    let name = name_run(reader.fitting("name", |read| !read.is_empty()));
    reader.text("name", &name, vec![]);
    read_sex(reader, &id_number);
    let ethnicity = only(&reader.fitting("ethnicity", |read| !read.is_empty()), |c| !c.is_ascii());
    reader.word("ethnicity", &ethnicity, &ETHNICITIES, vec![]);
    let birth = reader.fitting("birth_date", |read| date::first(read).is_some());
    reader.date("birth_date", &birth, |date| vec![matches_number(check::id_number_birth(&id_number) == Some(date))]);
    let address = from_province(reader.beside("address"));
    reader.text("address", &address, vec![]);
    if let Some((number, run, repaired)) = number {
        reader.code("id_number", &run, &number, with_repair(id_number_checks(&number), repaired));
    }
}

/// The page without what is read of a second script: lines that hold neither Chinese nor digits, the letters with which a line begins,
/// lines of characters that nobody could be sure of, as Korean is read, and what stands on a level with a label's own second script, which
/// is right above the label. Specks go with them.
fn without_second_script(page: &Page) -> Page {
    let letters = |line: &[Placed]| match line.iter().position(|p| !p.character.is_ascii() || p.character.is_ascii_digit()) {
        None => line.len(),
        Some(_) if line.iter().map(|p| p.confidence).sum::<f32>() < line.len() as f32 * SURE_MIN => line.len(),
        Some(letters) if letters >= SECOND_SCRIPT_MIN => letters,
        Some(_) => 0,
    };
    let lines: Vec<&[Placed]> = page.rows().iter().flat_map(|row| row.chunk_by(|a, b| a.line == b.line)).collect();
    let labels: Vec<&[Placed]> = lines.iter().copied().filter(|line| is_label(line)).collect();
    let above = |line: &[Placed], label: &[Placed]| {
        let over = line[0].left < label[LABEL_CHARS - 1].right && line[line.len() - 1].right > label[0].left;
        over && SECOND_SCRIPT_ABOVE.contains(&((label[0].y - line[0].y) / label[0].height))
    };
    let level = |a: &[Placed], b: &[Placed]| (a[0].y - b[0].y).abs() < a[0].height.max(b[0].height) * LEVEL;
    let seconds: Vec<&[Placed]> = lines.iter().copied().filter(|line| labels.iter().any(|label| above(line, label))).collect();
    // a long name reaches over 民族, and is on its own label's level
    let labelled = |line: &[Placed]| labels.iter().any(|label| level(line, label));
    let beside_second = |line: &[Placed]| !labelled(line) && seconds.iter().any(|second| level(line, second));
    let mut heights: Vec<f32> = lines.iter().map(|line| line[0].height).collect();
    heights.sort_by(f32::total_cmp);
    let speck = heights.get(heights.len() / 2).map_or(0.0, |middle| middle * SPECK);
    let gone = |line: &[Placed]| match line[0].height < speck || beside_second(line) {
        true => line.len(),
        false => letters(line),
    };
    let foreign: Run = lines.iter().flat_map(|line| line[..gone(line)].to_vec()).collect();
    page.without(&foreign)
}

/// Whether a line begins with one of the card's labels.
fn is_label(line: &[Placed]) -> bool {
    let read = plain(line);
    ["姓名", "性别", "民族", "出生", "住址", "公民身份", "签发", "有效期"].iter().any(|label| read.starts_with(label))
}

/// An address from the line on that begins with a province: what stands above is its second script.
fn from_province(address: Run) -> Run {
    let lines = || address.chunk_by(|a, b| a.line == b.line);
    let above: usize = lines().take_while(|line| !division::begins_with_province(&plain(line))).map(<[Placed]>::len).sum();
    if above < address.len() { address[above..].to_vec() } else { address }
}

/// The side with the emblem; the period's two ends where they were read.
fn read_back(reader: &mut Reader<'_>) -> Option<(NaiveDate, Option<NaiveDate>)> {
    let issuer = only(&reader.fitting("issuer", |read| !read.is_empty()), |c| !c.is_ascii_alphanumeric());
    let named = ISSUER_ENDS.iter().any(|end| plain(&issuer).trim_end_matches('.').ends_with(end));
    reader.text("issuer", &issuer, vec![checked("office", named)]);
    let labelled = reader.fitting("valid_period", |read| period(read).is_some());
    let run = find_period(reader.page, labelled)?;
    add_period(reader, "valid_period", &run)
}

/// The line with both ends of a period: among the label's text, then anywhere; then the label's text as a whole.
pub(super) fn find_period(page: &Page, labelled: Run) -> Option<Run> {
    let lines = |run: &[Placed]| run.chunk_by(|a, b| a.line == b.line).map(<[Placed]>::to_vec).collect::<Vec<_>>();
    let is_period = |run: &Run| period(&plain(run)).is_some();
    let own = lines(&labelled).into_iter().find(is_period);
    let any = || page.rows().iter().flat_map(|row| lines(row)).find(is_period);
    own.or_else(any).or_else(|| Some(labelled).filter(is_period)).or_else(|| page.rows().iter().find(|row| is_period(row)).cloned())
}

/// `2010.01.01-2030.01.01`, `2010.01.01-长期`: printed so whatever became of the points.
pub(super) fn add_period(reader: &mut Reader<'_>, name: &str, run: &[Placed]) -> Option<(NaiveDate, Option<NaiveDate>)> {
    let (start, end) = period(&plain(run))?;
    let day = |date: NaiveDate| date.format("%Y.%m.%d").to_string();
    let dates = only(run, |c| c.is_ascii_digit() || matches!(c, '.' | '-' | '长' | '期'));
    let printed = format!("{}-{}", day(start), end.map_or("长期".to_owned(), day));
    let canonical = format!("{start}/{}", end.map_or("长期".to_owned(), |end| end.to_string()));
    let ordered = end.is_none_or(|end| end > start);
    reader.add(name, &dates, printed, canonical, vec![checked("dates_exist", ordered)]);
    Some((start, end))
}

/// The two ends of a period; an open end is `None`. Points that were lost are put back from the eight digits.
pub fn period(read: &str) -> Option<(NaiveDate, Option<NaiveDate>)> {
    let digits: Vec<char> = read.chars().map(text::as_digit).filter(char::is_ascii_digit).collect();
    let day = |at: usize| {
        let number = |from: usize, to: usize| digits.get(at + from..at + to)?.iter().collect::<String>().parse::<u32>().ok();
        NaiveDate::from_ymd_opt(number(0, 4)? as i32, number(4, 6)?, number(6, 8)?)
    };
    let dates = date::find_all(read);
    match (dates.as_slice(), date::is_open_end(read) || read.contains("长")) {
        ([start, end, ..], _) => Some((*start, Some(*end))),
        ([start], true) => Some((*start, None)),
        (_, true) if digits.len() == 8 => Some((day(0)?, None)),
        (_, false) if digits.len() == 16 => Some((day(0)?, Some(day(8)?))),
        _ => None,
    }
}

/// 男 or 女 after the label, or as the number says where the label's text holds neither.
pub(super) fn read_sex(reader: &mut Reader<'_>, id_number: &str) {
    let read = reader.fitting("sex", |read| read.contains(['男', '女']));
    let mut sex: Run = only(&read, |c| matches!(c, '男' | '女')).into_iter().take(1).collect();
    if sex.is_empty() {
        // The label was lost: a line that says nothing else.
        let lines = reader.page.rows().iter().flat_map(|row| row.chunk_by(|a, b| a.line == b.line));
        sex = lines.filter(|line| matches!(plain(line).as_str(), "男" | "女")).take(1).flatten().copied().collect();
    }
    let matches = check::id_number_sex(id_number).is_none_or(|expected| plain(&sex) == expected);
    reader.text("sex", &sex, vec![matches_number(matches)]);
}

fn matches_number(passed: bool) -> Check {
    checked("matches_number", passed)
}

pub(super) fn id_number_checks(number: &str) -> Vec<Check> {
    let mut checks = vec![
        checked("check_digit", check::id_number_holds(number)),
        checked("birth_date_exists", check::id_number_birth(number).is_some()),
    ];
    // The table is complete to provinces and prefectures, so only a province that does not exist is a mistake.
    checks.push(checked("division", division::known(number) > division::Known::Nothing));
    checks
}

/// A name is Chinese characters and the dot inside foreign ones, up to a wide gap: beside it may stand a second script.
fn name_run(run: Run) -> Run {
    let named = only(&run, |c| {
        ('\u{3400}'..='\u{9FFF}').contains(&c) || matches!(c, '·' | '〇' | '零') || ('\u{20000}'..='\u{3FFFF}').contains(&c)
    });
    if named.is_empty() { run } else { named }
}

/// The first 18 characters that can be an ID number, letters that are mistaken for digits put right.
pub(super) fn find_number(run: &[Placed]) -> Option<(String, Run, bool)> {
    find_code(
        run,
        18,
        |at, c| if at == 17 && matches!(c, 'X' | 'x') { 'X' } else { text::as_digit(c) },
        |code| code.bytes().enumerate().all(|(at, b)| b.is_ascii_digit() || (at == 17 && b == b'X')),
        |code| check::id_number_holds(code) && check::id_number_birth(code).is_some(),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Field,
            layout::testing::{self, page},
        },
        *,
    };

    fn values(fields: Fields) -> Vec<(String, String)> {
        fields.into_iter().map(|(name, field)| (name, field.value)).collect()
    }

    fn read_values(lines: &[(f32, f32, &str)]) -> Vec<(String, String)> {
        values(front(&page(lines)))
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const CARD: [(f32, f32, &str); 14] = [
        (0.0, 0.0, "姓名"),
        (70.0, 0.0, "张三丰"),
        (0.0, 50.0, "性别"),
        (70.0, 50.0, "女"),
        (150.0, 50.0, "民族"),
        (210.0, 50.0, "汉"),
        (0.0, 100.0, "出生"),
        (70.0, 100.0, "1949"),
        (170.0, 100.0, "年12月31日"),
        (0.0, 150.0, "住址"),
        (70.0, 150.0, "北京市朝阳区样本路"),
        (70.0, 180.0, "12号院3号楼"),
        (0.0, 250.0, "公民身份号码"),
        (170.0, 250.0, "11010519491231002X"),
    ];

    #[test]
    fn a_card_is_read() {
        let expected = pairs(&[
            ("address", "北京市朝阳区样本路12号院3号楼"),
            ("birth_date", "1949年12月31日"),
            ("ethnicity", "汉"),
            ("id_number", "11010519491231002X"),
            ("name", "张三丰"),
            ("sex", "女"),
        ]);
        assert_eq!(read_values(&CARD), expected);
        let fields = front(&page(&CARD));
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
        assert_eq!(fields["birth_date"].canonical, "1949-12-31");
    }

    #[test]
    fn a_back_is_read_with_its_points_lost_or_without_end() {
        for (printed, period, holds) in [
            ("2010.01.01-2030.01.01", "2010.01.01-2030.01.01", true),
            ("20100101-20300101", "2010.01.01-2030.01.01", true),
            ("2010.0101-2030.01.01", "2010.01.01-2030.01.01", true),
            ("2010.01.01-长期", "2010.01.01-长期", true),
            ("2010.01.01-2031.01.01", "2010.01.01-2031.01.01", false),
        ] {
            let lines = [
                (0.0, 0.0, "中华人民共和国"),
                (0.0, 60.0, "居民身份证"),
                (0.0, 160.0, "签发机关"),
                (120.0, 160.0, "成都市公安局武侯区分局"),
                (0.0, 200.0, "有效期限"),
                (120.0, 200.0, printed),
            ];
            let fields = back(&page(&lines));
            assert_eq!(values(fields.clone()), pairs(&[("issuer", "成都市公安局武侯区分局"), ("valid_period", period)]), "{printed}");
            assert_eq!(fields.values().all(Field::checks_pass), holds, "{printed}");
        }
    }

    #[test]
    fn a_temporary_card_has_both_and_three_months() {
        let mut lines = CARD.to_vec();
        lines.extend([
            (0.0, 300.0, "签发机关"),
            (120.0, 300.0, "北京市公安局朝阳分局"),
            (0.0, 340.0, "有效期限"),
            (120.0, 340.0, "2024.01.15-2024.04.15"),
        ]);
        let fields = temporary(&page(&lines));
        assert_eq!(fields.len(), 8);
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn letters_mistaken_for_digits_are_put_right_and_a_wrong_digit_fails_the_check() {
        let fields = front(&page(&[(0.0, 0.0, "公民身份号码"), (170.0, 0.0, "llO1O519491231002x")]));
        assert_eq!(fields["id_number"].value, "11010519491231002X");
        assert!(fields["id_number"].checks_pass());
        let fields = front(&page(&[(0.0, 0.0, "公民身份号码"), (170.0, 0.0, "11010519491231003X")]));
        assert!(!fields["id_number"].checks_pass());
    }

    #[test]
    fn a_digit_shown_twice_does_not_hide_the_date() {
        let fields = front(&page(&[(0.0, 0.0, "出生1"), (52.0, 0.0, "1997年4月24日")]));
        assert_eq!(fields["birth_date"].value, "1997年4月24日");
    }

    #[test]
    fn a_second_script_is_no_part_of_a_value() {
        let lines = [
            (60.0, 0.0, "Diegyouq"),
            (60.0, 34.0, "住址"),
            (170.0, 34.0, "Diegyouq南宁市青秀区长堽路三里"),
            (170.0, 88.0, "一巷23号1栋2单元6"),
            (170.0, 142.0, "04号房"),
            (60.0, 176.0, "S la"),
            (60.0, 210.0, "公民身份号码"),
            (330.0, 210.0, "450103199812125247"),
        ];
        assert_eq!(front(&page(&lines))["address"].value, "南宁市青秀区长堽路三里一巷23号1栋2单元604号房");
    }

    #[test]
    fn a_number_without_its_label_is_found() {
        assert_eq!(read_values(&[(0.0, 0.0, "11010519491231002X")]), pairs(&[("id_number", "11010519491231002X")]));
    }

    #[test]
    fn an_empty_page_has_no_field() {
        assert_eq!(read_values(&[]), []);
        assert!(temporary(&page(&[])).is_empty());
    }

    #[test]
    fn what_stands_on_a_level_with_a_labels_second_script_is_no_value() {
        let lines = [
            (20.0, -22.0, "咀"),
            (100.0, -22.0, "召楚"),
            (0.0, 0.0, "姓名"),
            (100.0, 0.0, "金哲洙"),
            (0.0, 38.0, "本全"),
            (0.0, 60.0, "住址"),
            (100.0, 60.0, "6至41克"),
            (100.0, 95.0, "吉林省敦化市渤海街新华"),
            (100.0, 125.0, "社区6组41号"),
            (0.0, 200.0, "公民身份号码"),
            (200.0, 200.0, "222403196509043451"),
        ];
        let fields = front(&page(&lines));
        assert_eq!(fields["name"].value, "金哲洙");
        assert_eq!(fields["address"].value, "吉林省敦化市渤海街新华社区6组41号");
        let back = back(&page(&[
            (0.0, 0.0, "签发机关"),
            (120.0, 0.0, "敦化市公安局"),
            (0.0, 30.0, "异就刀扯"),
            (0.0, 52.0, "有效期限"),
            (120.0, 52.0, "2018.07.02-2038.07.02"),
        ]));
        assert_eq!((back["issuer"].value.as_str(), back["valid_period"].value.as_str()), ("敦化市公安局", "2018.07.02-2038.07.02"));
    }

    #[test]
    fn a_long_name_right_above_another_label_stays() {
        let lines = [
            (0.0, 0.0, "姓名"),
            (100.0, 0.0, "阿卜杜热合曼·买买提"),
            (0.0, 32.0, "性别"),
            (100.0, 32.0, "男"),
            (180.0, 32.0, "民族"),
            (260.0, 32.0, "维吾尔"),
        ];
        let fields = front(&page(&lines));
        assert_eq!(fields["name"].value, "阿卜杜热合曼·买买提");
        assert_eq!(fields["ethnicity"].value, "维吾尔");
    }

    #[test]
    fn a_speck_in_the_row_of_a_name_is_no_part_of_it() {
        let mut lines =
            vec![testing::line(0.0, 0.0, 20.0, "姓名"), testing::line(100.0, 0.0, 20.0, "禤翀"), testing::line(0.0, 60.0, 20.0, "住址")];
        lines.extend([testing::line(100.0, 60.0, 20.0, "南宁市江南区"), testing::line(300.0, -4.0, 4.0, "中")]);
        assert_eq!(front(&Page::new(&lines))["name"].value, "禤翀");
    }
}
