//! The business licence (营业执照; GB 32100, layouts of 2015 and 2019): the code in a corner, labels in one column (portrait) or two
//! (landscape); companies have 法定代表人 and 注册资本, branches 负责人 and 营业场所, individuals 经营者, 经营场所 and 组成形式, co-operatives
//! 成员出资总额 and 业务范围, partnerships 执行事务合伙人 and 出资额. 登记机关, its seal and the day of issue stand at the foot.

use super::{
    Fields, check, date, division,
    layout::{Label, Page, Placed, Run, plain},
    reader::{Reader, checked, find_code, with_repair},
    text,
};

pub(super) const LABELS: [Label; 17] = [
    Label::inline("code", &["统一社会信用代码", "社会信用代码", "注册号"]),
    Label::new("name", &["名称", "企业名称", "字号名称", "名", "称"]),
    Label::new("kind", &["类型", "主体类型", "企业类型", "公司类型", "类", "型"]),
    Label::new(
        "legal_person",
        &["法定代表人", "法定代表人(负责人)", "负责人", "经营者", "经营者姓名", "投资人", "执行事务合伙人", "法定代表人姓名"],
    ),
    Label::inline("capital", &["注册资本", "出资额", "成员出资总额", "资金数额", "出资总额", "注册资金"]),
    Label::inline("established", &["成立日期", "注册日期"]),
    Label::inline("term", &["营业期限", "合伙期限", "经营期限"]),
    Label::new("address", &["住所", "经营场所", "主要经营场所", "营业场所", "企业住所", "住", "所"]),
    Label::new("scope", &["经营范围", "业务范围", "经营范围及方式"]),
    Label::inline("form", &["组成形式"]),
    Label::inline("-registrar", &["登记机关"]),
    Label::new("-copy", &["副本", "正本", "(副本)", "(正本)", "副本编号", "编号"]),
    Label::new("-site", &["国家企业信用信息公示系统", "国家企业信用信息公示系统网址", "企业信用信息公示系统网址", "http"]),
    Label::new("-printer", &["国家市场监督管理总局监制", "中华人民共和国国家工商行政管理总局监制"]),
    Label::new("-duty", &["市场主体应当于每年", "扫描二维码登录", "“国家企业信用"]),
    Label::new("-title", &["营业执照", "个体工商户营业执照"]),
    Label::new("-note", &["提示", "重要提示"]),
];
const CODE_CHARS: usize = 18;

pub fn read(page: &Page) -> Fields {
    let mut reader = Reader::new(page, &LABELS);
    let code = find_credit_code(&reader.beside("code"))
        .or_else(|| find_credit_code(&reader.near("code")))
        .or_else(|| page.rows().iter().find_map(|row| find_credit_code(row)));
    if let Some((code, run, repaired)) = code {
        let mut checks = vec![
            checked("check_digit", check::credit_code_holds(&code)),
            checked("organisation_code", check::inner_organisation_code_holds(&code)),
        ];
        // 100000 is the State Administration itself, which no table of divisions has.
        let known = code.get(2..8).is_some_and(|district| district == "100000" || division::known(district) > division::Known::Nothing);
        checks.push(checked("division", known));
        reader.code("code", &run, &code, with_repair(checks, repaired));
    } else if let Some(run) = registration_number(&reader.beside("code")) {
        let number = text::code(&plain(&run));
        reader.code("code", &run, &number, vec![checked("check_digit", check::registration_number_holds(&number))]);
    }
    for name in ["name", "kind", "legal_person", "capital", "address", "form"] {
        let run = reader.beside(name);
        reader.text(name, &run, vec![]);
    }
    let scope = reader.beside("scope");
    // The full stop at the end of the scope is printed, unlike the specks that trimming is for.
    reader.add("scope", &scope, super::reader::display(&scope), text::normalise(&plain(&scope)), vec![]);
    let run = reader.fitting("established", |read| date::first(read).is_some());
    let established = reader.date("established", &run, |_| vec![checked("date_exists", true)]);
    let term = reader.beside("term");
    let read_term = plain(&term);
    let dated = date::is_open_end(&read_term) || date::period_end(&read_term).is_some();
    reader.text("term", &term, vec![checked("dates_exist", dated)]);
    if let Some(run) = issue_date(page) {
        reader.date("issue_date", &run, |date| {
            vec![checked("not_before_established", established.is_none_or(|established| date >= established))]
        });
    }
    reader.finish()
}

/// The first 18 characters of the code's alphabet, mistaken letters put right; one whose check digit holds goes first.
fn find_credit_code(run: &[Placed]) -> Option<(String, Run, bool)> {
    let put = |at: usize, c: char| match (at, c.to_ascii_uppercase()) {
        // The registration authority's district is digits; the letters I, O, S, Z stand nowhere.
        (2..8, c) => text::as_digit(c),
        (_, c @ ('I' | 'O' | 'S' | 'Z')) => text::as_digit(c),
        (_, c) => c,
    };
    let plausible = |code: &str| code.starts_with(['9', '1', '5']) && code.is_ascii() && code[2..8].bytes().all(|b| b.is_ascii_digit());
    find_code(run, CODE_CHARS, put, plausible, check::credit_code_holds)
}

/// The 15-digit number of licences before 2015.
fn registration_number(run: &[Placed]) -> Option<Run> {
    let digits: Run = run.iter().copied().filter(|p| p.character.is_ascii_digit()).collect();
    (digits.len() == 15).then_some(digits)
}

/// The date that stands alone at the foot of the page, by the registrar's seal; it may be set wide.
fn issue_date(page: &Page) -> Option<Run> {
    let rows = page.rows();
    rows.iter().skip(rows.len() / 2).rev().find_map(|row| {
        // Only the text after the last wide gap: the row may share its height with something to the left.
        let start = row.windows(2).rposition(|pair| pair[1].line != pair[0].line && pair[1].left - pair[0].right > pair[0].height * 4.0);
        let run = row[start.map_or(0, |before| before + 1)..].to_vec();
        let read = plain(&run);
        let only_date = read.chars().all(|c| date::may_hold(c) || matches!(c, '-' | '.'));
        (only_date && date::parse(&read).is_some()).then_some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Field, layout::testing::page},
        *,
    };

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
            ("established", "2019年03月05日"),
            ("address", "深圳市样本区样本路12号"),
            ("scope", "软件开发;货物进出口."),
            ("issue_date", "2021年06月01日"),
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
            ("established", "2016年05月20日"),
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
