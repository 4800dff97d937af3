//! The front of the resident ID card (居民身份证): six fields, of which the number confirms the date of birth and the sex.

use super::{
    Field, Fields, check, checked, date, field,
    layout::{Label, Page, Placed, Run, plain},
    text,
};

const LABELS: [Label; 6] = [
    Label { name: "name", words: &["姓名"], inline: false },
    Label { name: "sex", words: &["性别"], inline: false },
    Label { name: "ethnicity", words: &["民族"], inline: true },
    Label { name: "birth_date", words: &["出生"], inline: false },
    Label { name: "address", words: &["住址"], inline: false },
    Label { name: "id_number", words: &["公民身份号码"], inline: false },
];
/// The names that can stand after 民族 (GB/T 3304, and two recognised groups outside it). What recognition adds behind the
/// name, such as a stroke of the pattern, is dropped by taking the longest name that fits.
const ETHNICITIES: [&str; 58] = [
    "汉",
    "蒙古",
    "回",
    "藏",
    "维吾尔",
    "苗",
    "彝",
    "壮",
    "布依",
    "朝鲜",
    "满",
    "侗",
    "瑶",
    "白",
    "土家",
    "哈尼",
    "哈萨克",
    "傣",
    "黎",
    "傈僳",
    "佤",
    "畲",
    "高山",
    "拉祜",
    "水",
    "东乡",
    "纳西",
    "景颇",
    "柯尔克孜",
    "土",
    "达斡尔",
    "仫佬",
    "羌",
    "布朗",
    "撒拉",
    "毛南",
    "仡佬",
    "锡伯",
    "阿昌",
    "普米",
    "塔吉克",
    "怒",
    "乌孜别克",
    "俄罗斯",
    "鄂温克",
    "德昂",
    "保安",
    "裕固",
    "京",
    "塔塔尔",
    "独龙",
    "鄂伦春",
    "赫哲",
    "门巴",
    "珞巴",
    "基诺",
    "穿青人",
    "革家人",
];

pub fn read(page: &Page) -> Fields {
    let mut values = page.values(&LABELS);
    let mut value = |name: &str| values.remove(name).unwrap_or_default();
    let mut fields = Fields::new();
    let mut add = |name: &str, field: Option<Field>| {
        if let Some(field) = field {
            fields.insert(name.to_owned(), field);
        }
    };

    let number = find_number(&value("id_number")).or_else(|| page.rows().iter().find_map(|row| find_number(row)));
    let id_number = number.as_ref().map(|(number, _)| number.clone()).unwrap_or_default();
    add("name", field(page, &value("name"), text::normalise, vec![]));
    let sex: Run = value("sex").into_iter().filter(|p| matches!(p.character, '男' | '女')).take(1).collect();
    let matches = checked("matches_number", check::id_number_sex(&id_number).is_some_and(|expected| plain(&sex) == expected));
    add("sex", field(page, &sex, text::normalise, vec![matches]));
    let ethnicity = known_ethnicity(value("ethnicity"));
    add("ethnicity", field(page, &ethnicity, text::normalise, vec![]));
    let birth = value("birth_date");
    // Two boxes may overlap and both show a digit; then the line that is a date by itself counts.
    let lines = birth.chunk_by(|a, b| a.line == b.line).map(plain);
    if let Some(date) = date::parse(&plain(&birth)).or_else(|| lines.into_iter().find_map(|line| date::parse(&line))) {
        let matches = checked("matches_number", check::id_number_birth(&id_number) == Some(date));
        add("birth_date", field(page, &birth, |_| date.to_string(), vec![matches]));
    }
    add("address", field(page, &value("address"), text::normalise, vec![]));
    if let Some((number, run)) = number {
        let holds = checked("check_digit", check::id_number_holds(&number));
        let dated = checked("birth_date_exists", check::id_number_birth(&number).is_some());
        add("id_number", field(page, &run, |_| number.clone(), vec![holds, dated]));
    }
    fields
}

/// The longest known name at the beginning; the text as it is when it is none.
fn known_ethnicity(run: Run) -> Run {
    let read = plain(&run);
    let longest = ETHNICITIES.iter().filter(|name| read.starts_with(**name)).map(|name| name.chars().count()).max();
    run.into_iter().take(longest.unwrap_or(usize::MAX)).collect()
}

/// The first 18 characters that can be an ID number, letters that are mistaken for digits put right. A number whose check
/// digit holds is taken before one that merely looks like one.
fn find_number(run: &[Placed]) -> Option<(String, Run)> {
    let code: Run = run.iter().copied().filter(|p| p.character.is_ascii_alphanumeric() || p.character == '零').collect();
    let candidates: Vec<(String, Run)> = code
        .windows(18)
        .filter_map(|window| {
            let number: String = window
                .iter()
                .enumerate()
                .map(|(at, p)| if at == 17 && matches!(p.character, 'X' | 'x') { 'X' } else { text::as_digit(p.character) })
                .collect();
            let digits = number[..].chars().take(17).all(|c| c.is_ascii_digit());
            let last = number.chars().last().is_some_and(|c| c.is_ascii_digit() || c == 'X');
            (digits && last).then(|| (number, window.to_vec()))
        })
        .collect();
    candidates.iter().find(|(number, _)| check::id_number_holds(number)).or(candidates.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::{super::layout::testing::page, *};

    fn read_values(lines: &[(f32, f32, &str)]) -> Vec<(String, String)> {
        read(&page(lines)).into_iter().map(|(name, field)| (name, field.value)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_card_is_read() {
        let lines = [
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
        let expected = pairs(&[
            ("address", "北京市朝阳区样本路12号院3号楼"),
            ("birth_date", "1949-12-31"),
            ("ethnicity", "汉"),
            ("id_number", "11010519491231002X"),
            ("name", "张三丰"),
            ("sex", "女"),
        ]);
        assert_eq!(read_values(&lines), expected);
        assert!(read(&page(&lines)).values().all(Field::checks_pass));
    }

    #[test]
    fn letters_mistaken_for_digits_are_put_right_and_a_wrong_digit_fails_the_check() {
        let fields = read(&page(&[(0.0, 0.0, "公民身份号码"), (170.0, 0.0, "llO1O519491231002x")]));
        assert_eq!(fields["id_number"].value, "11010519491231002X");
        assert!(fields["id_number"].checks_pass());
        let fields = read(&page(&[(0.0, 0.0, "公民身份号码"), (170.0, 0.0, "11010519491231003X")]));
        assert!(!fields["id_number"].checks_pass());
    }

    #[test]
    fn a_digit_shown_twice_does_not_hide_the_date() {
        let fields = read(&page(&[(0.0, 0.0, "出生1"), (52.0, 0.0, "1997年4月24日")]));
        assert_eq!(fields["birth_date"].value, "1997-04-24");
    }

    #[test]
    fn a_number_without_its_label_is_found() {
        assert_eq!(read_values(&[(0.0, 0.0, "11010519491231002X")]), pairs(&[("id_number", "11010519491231002X")]));
    }

    #[test]
    fn an_empty_page_has_no_field() {
        assert_eq!(read_values(&[]), []);
    }
}
