//! Exit-entry cards: 往来港澳通行证, 往来台湾通行证 (mainland residents), 港澳居民来往内地通行证 and 台湾居民来往大陆通行证 (台胞证); GA/T 704.16 for
//! the machine line.
//!
//! The number stands at the top right or in a line of its own; 姓名 with the pinyin under it, 出生日期 and 性别, 有效期限 (two dates), 签发机关,
//! 签发地点, on the cards of residents from outside 签发次数 or 换证次数; values stand beside or below their labels. At the foot of the front may stand one
//! machine line of 30 characters, on the back of the Taiwan residents' card three. Where its check digits hold the machine line is the
//! truth for number, birth and end of validity.

use super::{
    DocumentKind, Fields, check, date,
    id_card::{add_period, find_period, period, read_sex},
    layout::{Label, Page, Placed, Run, plain},
    mrz,
    reader::{Reader, checked, first_row, only, trimmed},
    text, validity,
};

pub(super) const LABELS: [Label; 12] = [
    Label::new("name", &["姓名", "姓名/NAME", "NAME"]),
    Label::inline("birth_date", &["出生日期", "出生日期/DATEOFBIRTH", "DATEOFBIRTH"]),
    Label::inline("sex", &["性别", "性别/SEX", "SEX"]),
    Label::inline("valid_period", &["有效期限", "有效期", "有效期限/DATEOFEXPIRY", "PERIODOFVALIDITY"]),
    Label::inline("issuer", &["签发机关", "签发机关/AUTHORITY", "AUTHORITY"]),
    Label::inline("issue_place", &["签发地点", "签发地", "签发地点/PLACEOFISSUE", "PLACEOFISSUE"]),
    Label::inline("issue_count", &["签发次数", "换证次数", "签发次数/ISSUENO"]),
    Label::inline("number", &["证件号码", "证件号", "通行证号码", "证号", "号码", "NO"]),
    Label::inline("pinyin", &["拼音", "英文姓名", "姓名拼音", "英文名"]),
    Label::new("-title", &["往来港澳通行证", "往来台湾通行证", "台湾居民来往大陆通行证", "港澳居民来往内地通行证"]),
    Label::new("-english", &["EXITENTRYPERMIT", "EXIT-ENTRYPERMIT", "MAINLANDTRAVELPERMIT"]),
    Label::inline("-former", &["持证人签名"]),
];

pub fn read(kind: DocumentKind, page: &Page) -> Fields {
    let mut reader = Reader::new(page, &LABELS);
    let machine = machine_line(page);
    let holder = machine.as_ref().and_then(|machine| machine.holder.clone());
    let holds = match kind {
        DocumentKind::HkmoPermit => check::hkmo_number_holds,
        DocumentKind::TaiwanPermit => check::taiwan_number_holds,
        _ => check::compatriot_number_holds,
    };

    if let Some((number, run)) = number(&reader, kind, holds) {
        let mut checks = vec![checked("structure", holds(&number))];
        checks.extend(holder.as_ref().map(|holder| checked("matches_mrz", holder.number == number)));
        reader.code("number", &run, &number, checks);
    }
    let labelled = reader.fitting("name", |read| !read.is_ascii());
    let names = if labelled.is_empty() { above_pinyin(page) } else { labelled };
    let chinese = first_row(&only(&names, |c| !c.is_ascii() && c.is_alphanumeric() || c == '·'));
    let from_outside =
        kind == DocumentKind::TaiwanCompatriot || reader.get("number").is_some_and(|number| number.value.starts_with(['H', 'M']));
    if from_outside {
        // Names of residents from Taiwan, Hong Kong and Macao are printed in traditional characters.
        let printed = chinese.iter().map(|p| p.raw).collect();
        reader.add("name", &chinese, printed, text::normalise(&plain(&chinese)), vec![]);
    } else {
        reader.text("name", &chinese, vec![]);
    }
    let labelled = || single_name(&only(&reader.beside("pinyin"), |c| c.is_ascii_alphabetic() || matches!(c, ',' | '-')));
    let anywhere = || page.rows().iter().find_map(|row| pinyin(row));
    if let Some(run) = pinyin(&names).or_else(|| single_name(&names)).or_else(anywhere).or_else(labelled) {
        let mut checks = vec![];
        if let Some(printed) = machine.as_ref().and_then(|machine| machine.names.clone()) {
            checks.push(checked("matches_mrz", text::name(&printed) == text::name(&plain(&run))));
        }
        reader.text("pinyin", &run, checks);
    }
    let birth = reader.fitting("birth_date", |read| date::first(read).is_some());
    reader.date("birth_date", &birth, |date| {
        holder.as_ref().map(|holder| checked("matches_mrz", holder.birth == date)).into_iter().collect()
    });
    read_sex(&mut reader, "");
    let labelled = reader.fitting("valid_period", |read| period(read).is_some());
    let dates = find_period(page, labelled);
    if let Some((start, Some(end))) = dates.and_then(|run| add_period(&mut reader, "valid_period", &run)) {
        reader.check("valid_period", checked("span", validity::travel_span_holds(start, end)));
        if let Some(holder) = &holder {
            reader.check("valid_period", checked("matches_mrz", holder.expiry == end));
        }
    }
    // The two stand side by side on some cards, and may be boxed as one line.
    let issuer = line_where(&reader, "issuer", |read| read.contains(OFFICE));
    let (issuer, joined) = split_office(&issuer).unwrap_or((issuer, Run::new()));
    let place = line_where(&reader, "issue_place", |read| !read.contains(OFFICE) && !read.contains('号'));
    let (office, place) = split_office(&place).unwrap_or((Run::new(), place));
    reader.text("issuer", if issuer.is_empty() { &office } else { &issuer }, vec![]);
    reader.text("issue_place", if place.is_empty() { &joined } else { &place }, vec![]);
    if from_outside {
        let count = only(&reader.fitting("issue_count", |read| read.chars().any(|c| c.is_ascii_digit())), |c| c.is_ascii_digit());
        let count: Run = count.into_iter().take(2).collect();
        reader.text("issue_count", &count, vec![]);
    }
    if let Some(machine) = machine {
        reader.code("mrz1", &machine.run, &machine.line, machine.checks);
    }
    reader.finish()
}

/// What offices that issue papers are called.
const OFFICE: [char; 4] = ['局', '厅', '队', '处'];

/// The label's line of Chinese text that satisfies a rule, beside the label or near it; the text beside it when none does.
fn line_where(reader: &Reader<'_>, name: &str, rule: impl Fn(&str) -> bool) -> Run {
    let chinese = |run: &[Placed]| only(run, |c| !c.is_ascii());
    let (beside, near) = (reader.beside(name), reader.near(name));
    let lines = [&beside, &near].into_iter().flat_map(|run| run.chunk_by(|a, b| a.line == b.line));
    lines.map(chinese).find(|line| !line.is_empty() && rule(&plain(line))).unwrap_or_else(|| chinese(&beside))
}

/// The office in a line, and what stands behind it; `None` where it names none.
fn split_office(line: &[Placed]) -> Option<(Run, Run)> {
    let end = line.iter().rposition(|p| OFFICE.contains(&p.character))? + 1;
    Some((line[..end].to_vec(), line[end..].to_vec()))
}

/// The Chinese name and the pinyin below it, where no label is printed beside them (the published specimen of the card of 2019).
fn above_pinyin(page: &Page) -> Run {
    let lines: Vec<&[Placed]> = page.rows().iter().flat_map(|row| row.chunk_by(|a, b| a.line == b.line)).collect();
    let Some(latin) = lines.iter().find(|line| pinyin(line).is_some()) else { return Run::new() };
    let is_name = |line: &&&[Placed]| {
        let height = line[0].height.max(latin[0].height);
        let above = (0.4..3.0).contains(&((latin[0].y - line[0].y) / height)) && (latin[0].left - line[0].left).abs() < height * 2.0;
        above && line.len() > 1 && line.iter().all(|p| !p.character.is_ascii())
    };
    lines.iter().rev().find(is_name).map(|line| [*line, *latin].concat()).unwrap_or_default()
}

/// A name of one word, as some peoples have: capitals alone on their line.
fn single_name(run: &[Placed]) -> Option<Run> {
    let lines = run.chunk_by(|a, b| a.line == b.line);
    lines.filter(|line| line.len() > 2 && line.iter().all(|p| p.character.is_ascii_uppercase())).map(<[Placed]>::to_vec).next()
}

/// What the machine line says, and where it stands.
struct Machine {
    line: String,
    run: Run,
    holder: Option<mrz::Holder>,
    names: Option<String>,
    checks: Vec<super::Check>,
}

/// The machine-readable lines from top to bottom; one that was detected in pieces is one row.
pub(super) fn machine_lines(page: &Page) -> Vec<Run> {
    let is_one = |run: &[Placed]| mrz::looks_like_one(&plain(run));
    page.rows()
        .iter()
        .flat_map(|row| match is_one(row) {
            true => vec![row.clone()],
            false => row.chunk_by(|a, b| a.line == b.line).filter(|line| is_one(line)).map(<[Placed]>::to_vec).collect(),
        })
        .collect()
}

fn machine_line(page: &Page) -> Option<Machine> {
    let lines = machine_lines(page);
    if let [first, second, third, ..] = lines.as_slice()
        && let Some((read, holder, names)) = mrz::card_of_three([&plain(first), &plain(second), &plain(third)])
    {
        let checks = vec![checked("check_digits", true)];
        return Some(Machine { line: read[0].clone(), run: first.clone(), holder: Some(holder), names: Some(names), checks });
    }
    let run = lines.last()?.clone();
    let card = mrz::card(&plain(&run));
    let mut checks = vec![checked("check_digits", card.is_some())];
    if card.as_ref().is_some_and(|card| card.repaired) {
        checks.push(checked("repaired_uniquely", true));
    }
    let line = card.as_ref().map_or_else(|| mrz::clean(&plain(&run)), |card| card.line.clone());
    Some(Machine { line, run, holder: card.map(|card| card.holder), names: None, checks })
}

/// The number: behind its label, else the first word on the page that has its form.
fn number(reader: &Reader<'_>, kind: DocumentKind, holds: fn(&str) -> bool) -> Option<(String, Run)> {
    let labelled = [reader.beside("number"), reader.near("number")];
    let words = labelled.iter().chain(reader.page.rows()).flat_map(|run| words(run));
    let put = |run: &Run| -> String {
        let letters = usize::from(kind != DocumentKind::TaiwanCompatriot);
        let second = run.get(1).is_some_and(|p| p.character.is_ascii_alphabetic() && !matches!(p.character, 'O' | 'I' | 'o' | 'i' | 'l'));
        run.iter()
            .enumerate()
            .map(|(at, p)| match at {
                0 if letters == 1 => text::as_letter(p.character),
                1 if letters == 1 && second && kind == DocumentKind::HkmoPermit => p.character.to_ascii_uppercase(),
                10 if letters == 0 => p.character.to_ascii_uppercase(),
                _ => text::as_digit(p.character),
            })
            .collect()
    };
    words.map(|run| (put(&run), run)).find(|(number, _)| holds(number))
}

/// Stretches of letters and digits, cut at other characters and wide gaps.
fn words(run: &[Placed]) -> Vec<Run> {
    let mut out: Vec<Run> = vec![Run::new()];
    for placed in run {
        let apart =
            out.last().and_then(|word| word.last()).is_some_and(|last| placed.left - last.right > last.height || placed.line != last.line);
        if apart || !placed.character.is_ascii_alphanumeric() {
            out.push(Run::new());
        }
        if placed.character.is_ascii_alphanumeric()
            && let Some(word) = out.last_mut()
        {
            word.push(*placed);
        }
    }
    out.retain(|word| !word.is_empty());
    out
}

/// SURNAME, GIVEN: capitals with one comma, by itself on a line.
pub(super) fn pinyin(run: &[Placed]) -> Option<Run> {
    run.chunk_by(|a, b| a.line == b.line).find_map(|line| {
        let letters: Run = only(line, |c| c.is_ascii_alphabetic() || matches!(c, ',' | '-' | '.' | '\''));
        let letters = trimmed(&letters).to_vec();
        let read = plain(&letters);
        let capitals = read.chars().filter(char::is_ascii_uppercase).count();
        let named = read.contains([',', '.']) && capitals >= 3 && read.chars().all(|c| !c.is_ascii_lowercase());
        (named && letters.len() + 1 >= line.len()).then_some(letters)
    })
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

    #[test]
    fn values_below_their_labels_are_read_and_agree_with_the_machine_line() {
        let lines = [
            (200.0, 0.0, "往来港澳通行证"),
            (700.0, 0.0, "C88608477"),
            (300.0, 80.0, "姓名"),
            (300.0, 115.0, "张三"),
            (300.0, 150.0, "ZHANG, SAN"),
            (300.0, 200.0, "出生日期"),
            (550.0, 200.0, "性别"),
            (300.0, 235.0, "1981.08.03"),
            (550.0, 235.0, "女"),
            (300.0, 280.0, "有效期限"),
            (300.0, 315.0, "2014.05.20-2024.05.19"),
            (300.0, 360.0, "签发机关"),
            (550.0, 360.0, "签发地点"),
            (300.0, 395.0, "公安部出入境管理局"),
            (550.0, 395.0, "北京"),
            (0.0, 480.0, "CSC886084772<2405196<8108037<3"),
        ];
        let fields = read(DocumentKind::HkmoPermit, &page(&lines));
        for (name, value) in [
            ("number", "C88608477"),
            ("name", "张三"),
            ("pinyin", "ZHANG, SAN"),
            ("birth_date", "1981.08.03"),
            ("sex", "女"),
            ("valid_period", "2014.05.20-2024.05.19"),
            ("issuer", "公安部出入境管理局"),
            ("issue_place", "北京"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(fields["mrz1"].value.starts_with("CSC886084772<240519"));
    }

    #[test]
    fn the_published_specimen_has_no_label_beside_the_name_and_two_values_in_one_row() {
        let lines = [
            (700.0, 0.0, "CA4471902"),
            (200.0, 0.0, "往来港澳通行证"),
            (300.0, 80.0, "阿依夏木·吐尔逊"),
            (300.0, 115.0, "AYIXIAMU,TUERXUN"),
            (300.0, 200.0, "出生日期"),
            (550.0, 200.0, "性别"),
            (300.0, 235.0, "1979.12.01"),
            (550.0, 235.0, "女"),
            (300.0, 280.0, "有效期限"),
            (300.0, 315.0, "2019.09.11-2029.09.10"),
            (300.0, 360.0, "签发机关"),
            (600.0, 360.0, "签发地点"),
            (300.0, 395.0, "中华人民共和国出入境管理局新疆"),
        ];
        let fields = read(DocumentKind::HkmoPermit, &page(&lines));
        for (name, value) in [
            ("name", "阿依夏木·吐尔逊"),
            ("pinyin", "AYIXIAMU, TUERXUN"),
            ("issuer", "中华人民共和国出入境管理局"),
            ("issue_place", "新疆"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
    }

    #[test]
    fn a_name_is_one_line_whatever_stands_below_it() {
        let lines = [
            (341.0, 106.0, 66.0, "往来台湾通行证"),
            (470.0, 264.0, 25.0, "姓名"),
            (472.0, 295.0, 30.0, "诸葛涵"),
            (471.0, 346.0, 25.0, "ZHUGE,HAN"),
            (470.0, 395.0, 23.0, "出生日期"),
            (846.0, 396.0, 23.0, "性别"),
            (470.0, 425.0, 28.0, "1972.03.06"),
            (847.0, 423.0, 31.0, "男"),
            (471.0, 459.0, 21.0, "有效期限"),
            (470.0, 489.0, 26.0, "2023.08.07-2033.08.07"),
            (471.0, 523.0, 21.0, "签发机关"),
            (475.0, 554.0, 26.0, "国家移民管理局"),
            (471.0, 588.0, 21.0, "签发地点"),
            (470.0, 620.0, 29.0, "河南"),
            (472.0, 653.0, 22.0, "证件号码"),
            (471.0, 684.0, 25.0, "L85989950"),
        ];
        let page = Page::new(&lines.map(|(x, y, size, text)| testing::line(x, y, size, text)));
        assert_eq!(read(DocumentKind::TaiwanPermit, &page)["name"].value, "诸葛涵");
    }

    #[test]
    fn values_beside_their_labels_are_read() {
        let lines = [
            (300.0, 0.0, "台湾居民来往大陆通行证"),
            (300.0, 60.0, "证件号码"),
            (450.0, 60.0, "O7883324"),
            (100.0, 100.0, "姓名"),
            (200.0, 100.0, "王俊傑"),
            (200.0, 140.0, "WANG,CHUN-CHIEH"),
            (100.0, 180.0, "出生日期 2009.02.02性别"),
            (480.0, 180.0, "男"),
            (100.0, 220.0, "有效期限"),
            (200.0, 220.0, "2016.07.22-2021.07.21"),
            (100.0, 260.0, "签发机关"),
            (200.0, 260.0, "公安部出入境管理局"),
            (100.0, 300.0, "签发地点"),
            (200.0, 300.0, "上海"),
            (350.0, 300.0, "签发次数"),
            (450.0, 300.0, "08"),
        ];
        let fields = read(DocumentKind::TaiwanCompatriot, &page(&lines));
        for (name, value) in [
            ("number", "07883324"),
            ("pinyin", "WANG, CHUN-CHIEH"),
            ("birth_date", "2009.02.02"),
            ("sex", "男"),
            ("issuer", "公安部出入境管理局"),
            ("issue_place", "上海"),
            ("issue_count", "08"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn a_permit_of_residents_from_hong_kong_keeps_its_traditional_name_and_counts_its_issues() {
        let lines = [
            (200.0, 0.0, "港澳居民来往内地通行证"),
            (300.0, 60.0, "证件号码"),
            (450.0, 60.0, "H13590742"),
            (300.0, 110.0, "姓名"),
            (450.0, 110.0, "歐陽卓楠"),
            (300.0, 160.0, "英文姓名"),
            (450.0, 160.0, "AU YEUNG, CHEUK NAM"),
            (300.0, 210.0, "出生日期"),
            (450.0, 210.0, "2001.01.09"),
            (300.0, 260.0, "性别"),
            (450.0, 260.0, "男"),
            (300.0, 310.0, "有效期限"),
            (450.0, 310.0, "2023.12.04-2033.12.03"),
            (300.0, 360.0, "签发机关"),
            (450.0, 360.0, "中华人民共和国出入境管理局"),
            (300.0, 410.0, "换证次数"),
            (450.0, 410.0, "01"),
        ];
        let fields = read(DocumentKind::HkmoPermit, &page(&lines));
        for (name, value) in
            [("number", "H13590742"), ("name", "歐陽卓楠"), ("sex", "男"), ("issuer", "中华人民共和国出入境管理局"), ("issue_count", "01")]
        {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert_eq!(text::name(&fields["pinyin"].value), "AUYEUNGCHEUKNAM");
        assert!(fields.values().all(Field::checks_pass));
    }

    #[test]
    fn letters_without_a_comma_are_a_name_behind_their_label() {
        let fields =
            read(DocumentKind::HkmoPermit, &page(&[(0.0, 0.0, "姓名"), (100.0, 0.0, "苟立"), (0.0, 50.0, "拼音"), (100.0, 50.0, "GOULI")]));
        assert_eq!((fields["name"].value.as_str(), fields["pinyin"].value.as_str()), ("苟立", "GOULI"));
    }
}
