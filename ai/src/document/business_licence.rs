//! The business licence (营业执照), in the layouts since 2015: labels in one column or two, the code in a corner.

use super::{
    Field, Fields, check, checked, date, field,
    layout::{Label, Page, Placed, Run, plain},
    text,
};

const LABELS: [Label; 15] = [
    Label { name: "code", words: &["统一社会信用代码", "社会信用代码"], inline: false },
    Label { name: "name", words: &["名称", "企业名称", "名", "称"], inline: false },
    Label { name: "kind", words: &["类型", "主体类型", "类", "型"], inline: false },
    Label {
        name: "legal_person", words: &["法定代表人", "负责人", "经营者", "投资人", "执行事务合伙人"], inline: false
    },
    Label { name: "capital", words: &["注册资本", "出资额", "成员出资总额", "资金数额"], inline: false },
    Label { name: "established", words: &["成立日期", "注册日期"], inline: false },
    Label { name: "term", words: &["营业期限", "合伙期限", "经营期限"], inline: false },
    Label {
        name: "address", words: &["住所", "经营场所", "主要经营场所", "营业场所", "企业住所", "住", "所"], inline: false
    },
    Label { name: "scope", words: &["经营范围", "业务范围"], inline: false },
    Label { name: "form", words: &["组成形式"], inline: false },
    Label { name: "-registrar", words: &["登记机关"], inline: false },
    Label { name: "-copy", words: &["副本", "正本", "(副本)", "(正本)"], inline: false },
    Label { name: "-site", words: &["国家企业信用信息公示系统"], inline: false },
    Label { name: "-printer", words: &["国家市场监督管理总局监制"], inline: false },
    Label { name: "-duty", words: &["市场主体应当于每年"], inline: false },
];
const CODE_CHARS: usize = 18;

pub fn read(page: &Page) -> Fields {
    let mut values = page.values(&LABELS);
    let mut value = |name: &str| values.remove(name).unwrap_or_default();
    let mut fields = Fields::new();
    let mut add = |name: &str, field: Option<Field>| {
        if let Some(field) = field {
            fields.insert(name.to_owned(), field);
        }
    };

    if let Some((code, run)) = find_code(&value("code")).or_else(|| page.rows().iter().find_map(|row| find_code(row))) {
        let holds = checked("check_digit", check::credit_code_holds(&code));
        let inner = checked("organisation_code", check::inner_organisation_code_holds(&code));
        add("code", field(page, &run, |_| code.clone(), vec![holds, inner]));
    }
    for name in ["name", "kind", "legal_person", "capital", "address", "scope", "form"] {
        add(name, field(page, &value(name), text::normalise, vec![]));
    }
    let established = value("established");
    let established_date = date::parse(&plain(&established));
    if let Some(date) = established_date {
        add("established", field(page, &established, |_| date.to_string(), vec![checked("date_exists", true)]));
    }
    let term = value("term");
    let read_term = plain(&term);
    let dated = date::is_open_end(&read_term) || date::period_end(&read_term).is_some();
    add("term", field(page, &term, text::normalise, vec![checked("dates_exist", dated)]));
    if let Some((date, run)) = issue_date(page) {
        let ordered = established_date.is_none_or(|established| date >= established);
        add("issue_date", field(page, &run, |_| date.to_string(), vec![checked("not_before_established", ordered)]));
    }
    fields
}

/// The first 18 characters of the code's alphabet, mistaken letters put right; one whose check digit holds goes first.
fn find_code(run: &[Placed]) -> Option<(String, Run)> {
    let letters: Run = run.iter().copied().filter(|p| p.character.is_ascii_alphanumeric()).collect();
    let candidates: Vec<(String, Run)> = letters
        .windows(CODE_CHARS)
        .filter_map(|window| {
            let code: String = window
                .iter()
                .enumerate()
                .map(|(at, p)| match (at, p.character.to_ascii_uppercase()) {
                    // The registration authority's district is digits; the letters I, O, S, Z stand nowhere.
                    (2..8, c) => text::as_digit(c),
                    (_, c @ ('I' | 'O' | 'S' | 'Z')) => text::as_digit(c),
                    (_, c) => c,
                })
                .collect();
            let plausible = code.starts_with(['9', '1', '5']) && code[2..8].bytes().all(|b| b.is_ascii_digit());
            plausible.then(|| (code, window.to_vec()))
        })
        .collect();
    candidates.iter().find(|(code, _)| check::credit_code_holds(code)).or(candidates.first()).cloned()
}

/// The date that stands alone at the foot of the page, by the registrar's seal; it may be set wide.
fn issue_date(page: &Page) -> Option<(chrono::NaiveDate, Run)> {
    let rows = page.rows();
    rows.iter().skip(rows.len() / 2).rev().find_map(|row| {
        // Only the text after the last wide gap: the row may share its height with something to the left.
        let start = row.windows(2).rposition(|pair| pair[1].line != pair[0].line && pair[1].left - pair[0].right > pair[0].height * 4.0);
        let run = row[start.map_or(0, |before| before + 1)..].to_vec();
        let read = plain(&run);
        let only_date = read.chars().all(|c| c.is_ascii_digit() || matches!(c, '年' | '月' | '日' | '-' | '.'));
        only_date.then(|| date::parse(&read)).flatten().map(|date| (date, run))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::layout::testing::page, *};

    const LINES: [(f32, f32, &str); 20] = [
        (500.0, 0.0, "营业执照"),
        (60.0, 80.0, "统一社会信用代码"),
        (60.0, 110.0, "91440300708461136T"),
        (60.0, 200.0, "名"),
        (120.0, 200.0, "称"),
        (200.0, 200.0, "深圳样本科技有限公司"),
        (700.0, 200.0, "注册资本"),
        (820.0, 200.0, "壹佰万元整"),
        (60.0, 250.0, "类 型"),
        (200.0, 250.0, "有限责任公司(自然人独资)"),
        (700.0, 250.0, "成立日期"),
        (820.0, 250.0, "2019年03月05日"),
        (60.0, 300.0, "法定代表人"),
        (200.0, 300.0, "张三"),
        (700.0, 300.0, "住 所"),
        (820.0, 300.0, "深圳市样本区样本路"),
        (60.0, 350.0, "经营范围"),
        (200.0, 350.0, "软件开发;货物"),
        (820.0, 332.0, "12号"),
        (200.0, 380.0, "进出口."),
    ];

    #[test]
    fn a_licence_in_two_columns_is_read() {
        let mut lines = LINES.to_vec();
        lines.extend([(700.0, 520.0, "登记机关"), (760.0, 580.0, "2021 年 06 月 01 日")]);
        let fields = read(&page(&lines));
        for (name, value) in [
            ("code", "91440300708461136T"),
            ("name", "深圳样本科技有限公司"),
            ("kind", "有限责任公司(自然人独资)"),
            ("legal_person", "张三"),
            ("capital", "壹佰万元整"),
            ("established", "2019-03-05"),
            ("address", "深圳市样本区样本路12号"),
            ("scope", "软件开发;货物进出口."),
            ("issue_date", "2021-06-01"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(fields.values().all(Field::checks_pass));
    }

    #[test]
    fn half_of_a_label_that_is_set_wide_still_names_its_value() {
        let lines = [
            (100.0, 0.0, "名"),
            (160.0, 0.0, "称"),
            (200.0, 0.0, "样本有限公司"),
            (700.0, 0.0, "注册资本"),
            (800.0, 0.0, "壹仟万元整"),
            (100.0, 40.0, "类"),
            (160.0, 40.0, "型"),
            (200.0, 40.0, "有限责任公司"),
            (700.0, 40.0, "成立日期"),
            (800.0, 40.0, "2016年05月20日"),
            (100.0, 80.0, "法定代表人"),
            (210.0, 80.0, "张三"),
            (700.0, 80.0, "营业期限"),
            (800.0, 80.0, "2016年05月20日至长期"),
            (100.0, 120.0, "经营范围"),
            (210.0, 120.0, "服装服饰批发"),
            // 住 was missed.
            (750.0, 120.0, "所"),
            (800.0, 120.0, "武汉市样本路140号2栋"),
            (210.0, 148.0, "服装服饰零售"),
            (800.0, 148.0, "08号"),
            (720.0, 400.0, "登记机关"),
        ];
        let fields = read(&page(&lines));
        for (name, value) in [
            ("capital", "壹仟万元整"),
            ("established", "2016-05-20"),
            ("term", "2016年05月20日至长期"),
            ("address", "武汉市样本路140号2栋08号"),
            ("scope", "服装服饰批发服装服饰零售"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
    }

    #[test]
    fn a_code_with_mistaken_letters_is_put_right() {
        let fields = read(&page(&[(0.0, 0.0, "统一社会信用代码:914403OO7O8461136T")]));
        assert_eq!(fields["code"].value, "91440300708461136T");
        assert!(fields["code"].checks_pass());
    }
}
