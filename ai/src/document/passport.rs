//! The passport's page of data (护照资料页, ICAO Doc 9303 parts 3 and 4): labels in two languages with their values below them, and two
//! machine-readable lines of 44 characters at the foot. Where their check digits hold, the lines are the truth for number,
//! birth, expiry, sex and pinyin: the printed value is taken from the lines when it could not be read.

use super::{
    Check, Fields, check, date,
    layout::{Label, Page, Placed, Run, plain},
    mrz,
    permit::{machine_lines, pinyin},
    reader::{Reader, checked, display, only, trimmed},
    text,
};

const LABELS: [Label; 16] = [
    Label::new("-type", &["类型/TYPE", "类型", "TYPE"]),
    Label::new("-country", &["国家码/COUNTRYCODE", "国家码", "COUNTRYCODE"]),
    Label::new(
        "number",
        &["护照号/PASSPORTNO.", "护照号码/PASSPORTNO.", "护照号/PASSPORTNO", "护照号码", "护照号", "PASSPORTNO.", "PASSPORTNO"],
    ),
    Label::new("name", &["姓名/NAME", "姓名", "NAME"]),
    Label::new("sex", &["性别/SEX", "性别", "SEX"]),
    Label::new("nationality", &["国籍/NATIONALITY", "国籍", "NATIONALITY"]),
    Label::new("birth_date", &["出生日期/DATEOFBIRTH", "出生日期", "DATEOFBIRTH"]),
    Label::new("birth_place", &["出生地点/PLACEOFBIRTH", "出生地/PLACEOFBIRTH", "出生地点", "出生地", "PLACEOFBIRTH"]),
    Label::new("issue_date", &["签发日期/DATEOFISSUE", "签发日期", "DATEOFISSUE"]),
    Label::new("issue_place", &["签发地点/PLACEOFISSUE", "签发地点", "PLACEOFISSUE"]),
    Label::new("expiry_date", &["有效期至/DATEOFEXPIRY", "有效期至", "DATEOFEXPIRY"]),
    Label::new("issuer", &["签发机关/AUTHORITY", "签发机关", "AUTHORITY"]),
    Label::new(
        "-signature",
        &["持照人签名/BEARER'SSIGNATURE", "持证人签名/BEARER'SSIGNATURE", "持照人签名", "持证人签名", "BEARER'SSIGNATURE"],
    ),
    Label::new("-title", &["PEOPLE'SREPUBLICOFCHINA"]),
    Label::new("-passport", &["护照", "PASSPORT"]),
    Label::new("-observations", &["备注", "OBSERVATIONS"]),
];

pub fn read(page: &Page) -> Fields {
    let mut reader = Reader::new(page, &LABELS);
    let lines = machine_lines(page);
    let pair = match lines.as_slice() {
        [.., first, second] => Some((first.clone(), second.clone())),
        _ => None,
    };
    let machine = pair.as_ref().and_then(|(first, second)| mrz::passport(&plain(first), &plain(second)));

    if let Some(run) = number(&reader) {
        let number = put_right(&run);
        let agreed = machine.as_ref().map(|machine| checked("matches_mrz", machine.holder.number == number));
        let checks = [checked("structure", check::passport_number_holds(&number))].into_iter().chain(agreed).collect();
        reader.code("number", &run, &number, checks);
    }
    let names = reader.near("name");
    let chinese = only(&names, |c| !c.is_ascii() && c.is_alphanumeric() || c == '·');
    reader.text("name", &chinese, vec![]);
    if let Some(run) = pinyin(&names).or_else(|| page.rows().iter().find_map(|row| pinyin(row))) {
        let agrees = machine.as_ref().map(|machine| checked("matches_mrz", text::name(&machine.pinyin) == text::name(&plain(&run))));
        reader.text("pinyin", &run, agrees.into_iter().collect());
    }
    for name in ["sex", "nationality", "birth_place", "issue_place", "issuer"] {
        let run = reader.fitting_near(name, |read| !read.is_empty());
        let run = trimmed(after_label(&run));
        // An office has its English name in a line of its own below, which is not part of the value, nor is what that line runs into.
        let run = match name {
            "issuer" => run
                .chunk_by(|a, b| a.line == b.line)
                .filter(|line| !line[0].character.is_ascii())
                .flat_map(|line| only(line, |c| !c.is_ascii()))
                .collect(),
            _ => in_two_languages(run).to_vec(),
        };
        let checks = machine.as_ref().filter(|_| name == "sex").and_then(|machine| machine.holder.sex).map(|sex| {
            let read = plain(&run);
            checked("matches_mrz", read.contains(sex) || read.to_uppercase().contains(if sex == "男" { 'M' } else { 'F' }))
        });
        let value = display(&run);
        reader.add(name, &run, value, text::normalise(&plain(&run)), checks.into_iter().collect());
    }
    for name in ["birth_date", "issue_date", "expiry_date"] {
        let run = reader.fitting_near(name, |read| date::first(read).is_some());
        let expected = machine.as_ref().and_then(|machine| match name {
            "birth_date" => Some(machine.holder.birth),
            "expiry_date" => Some(machine.holder.expiry),
            _ => None,
        });
        reader.date(name, &run, |date| expected.map(|expected| checked("matches_mrz", date == expected)).into_iter().collect());
    }
    if let Some((first, second)) = pair {
        let holds = || vec![checked("check_digits", machine.is_some())];
        match &machine {
            Some(machine) => {
                fill(&mut reader, machine, &first, &second);
                let mut checks = holds();
                if machine.repaired {
                    checks.push(checked("repaired_uniquely", true));
                }
                reader.code("mrz1", &first, &machine.lines[0], holds());
                reader.code("mrz2", &second, &machine.lines[1], checks);
            }
            None => {
                reader.code("mrz1", &first, &mrz::passport_first_line(&plain(&first)), vec![]);
                reader.code("mrz2", &second, &mrz::clean(&plain(&second)), holds());
            }
        }
    }
    reader.finish()
}

/// The run without what is left of a label, in the label's line: its Latin half misread behind a stroke, or right behind its Chinese half in
/// small letters, which no value has.
fn after_label(run: &[Placed]) -> &[Placed] {
    let small = |first: &Placed| run.iter().take_while(|p| p.line == first.line).any(|p| p.raw.is_ascii_lowercase());
    let left = run.first().filter(|first| first.character == '/' || small(first));
    let value = left.map_or(run, |first| &run[run.iter().take_while(|p| p.line == first.line).count()..]);
    let is_label = run.iter().any(|p| p.raw.is_ascii_lowercase());
    if value.is_empty() && !is_label { run } else { value }
}

/// The value in Chinese and, behind a stroke or a gap, in Latin letters: a second stroke, or Chinese again, is the next label.
fn in_two_languages(run: &[Placed]) -> &[Placed] {
    let latin = run.iter().position(|p| p.character.is_ascii_alphabetic()).unwrap_or(run.len());
    let rest = run[latin..].iter().position(|p| p.character == '/' || !p.character.is_ascii()).map_or(run.len(), |at| latin + at);
    &run[..rest]
}

/// What could not be read in print is taken from the lines.
fn fill(reader: &mut Reader<'_>, machine: &mrz::Passport, first: &Run, second: &Run) {
    let from = || -> Vec<Check> { vec![checked("from_mrz", true)] };
    let part = |range: std::ops::Range<usize>| second.get(range).unwrap_or(second).to_vec();
    let wrong = |reader: &Reader<'_>, name: &str| reader.get(name).is_none_or(|field| !field.checks_pass());
    if wrong(reader, "number") {
        reader.code("number", &part(0..9), &machine.holder.number, from());
    }
    if wrong(reader, "pinyin") && !machine.pinyin.is_empty() {
        let value = machine.pinyin.clone();
        reader.add("pinyin", first, value.clone(), text::normalise(&value), from());
    }
    let day = |date: chrono::NaiveDate| date.format("%d %b %Y").to_string().to_uppercase();
    for (name, date, range) in [("birth_date", machine.holder.birth, 13..19), ("expiry_date", machine.holder.expiry, 21..27)] {
        if wrong(reader, name) {
            reader.add(name, &part(range), day(date), date.to_string(), from());
        }
    }
    if let Some(sex) = machine.holder.sex.filter(|_| wrong(reader, "sex")) {
        let value = if sex == "男" { "男/M" } else { "女/F" };
        reader.add("sex", &part(20..21), value.to_owned(), value.to_owned(), from());
    }
}

/// Behind or below the label, else the first word with the number's form above the machine lines.
fn number(reader: &Reader<'_>) -> Option<Run> {
    let labelled = [reader.near("number"), reader.beside("number")];
    let runs = labelled.iter().chain(reader.page.rows());
    runs.filter(|run| !mrz::looks_like_one(&plain(run))).find_map(|run| {
        let letters = only(run, |c| c.is_ascii_alphanumeric());
        letters.windows(9).map(<[_]>::to_vec).find(|window| check::passport_number_holds(&put_right(window)))
    })
}

fn put_right(run: &Run) -> String {
    let second = run.get(1).map(|p| p.character.to_ascii_uppercase()).filter(|c| c.is_ascii_uppercase() && !matches!(c, 'O' | 'I'));
    run.iter()
        .enumerate()
        .map(|(at, p)| match (at, second) {
            (0, _) => text::as_letter(p.character),
            (1, Some(letter)) => letter,
            _ => text::as_digit(p.character),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Field,
            layout::{
                Line,
                testing::{line, page},
            },
        },
        *,
    };

    const LINES: [(f32, f32, &str); 26] = [
        (0.0, 0.0, "护照"),
        (100.0, 0.0, "中华人民共和国"),
        (300.0, 40.0, "类型/Type"),
        (550.0, 40.0, "国家码/Country Code"),
        (1000.0, 40.0, "护照号/Passport No."),
        (300.0, 75.0, "P"),
        (550.0, 75.0, "CHN"),
        (1000.0, 75.0, "E53248349"),
        (300.0, 120.0, "姓名/Name"),
        (300.0, 155.0, "李远安"),
        (300.0, 190.0, "LI, YUANAN"),
        (300.0, 240.0, "性别/Sex"),
        (550.0, 240.0, "国籍/Nationality"),
        (1000.0, 240.0, "出生日期/Date of birth"),
        (300.0, 275.0, "男/M"),
        (550.0, 275.0, "中国/CHINESE"),
        (1000.0, 275.0, "09 03月/MAR 1958"),
        (300.0, 320.0, "出生地点/Place of birth"),
        (1000.0, 320.0, "签发日期/Date of issue"),
        (300.0, 355.0, "湖南/HUNAN"),
        (1000.0, 355.0, "18 02月/FEB 2024"),
        (300.0, 400.0, "签发地点/Place of issue"),
        (1000.0, 400.0, "有效期至/Date of expiry"),
        (300.0, 435.0, "天津/TIANJIN"),
        (1000.0, 435.0, "17 02月/FEB 2034"),
        (300.0, 480.0, "签发机关/Authority"),
    ];

    fn with_machine(second: &str) -> Fields {
        let mut lines = LINES.to_vec();
        lines.extend([
            (300.0, 515.0, "公安部出入境管理局"),
            (0.0, 620.0, "P0CHNLI<<YUANAN<<<<<<<<<<<<<<<<<<<<<<<<<<<"),
            (0.0, 680.0, second),
        ]);
        read(&page(&lines))
    }

    #[test]
    fn what_is_left_of_a_misread_label_is_no_value() {
        let page =
            page(&[(0.0, 0.0, "出生地点/PInce of bitrh"), (0.0, 24.0, "湖北/HUBEI"), (0.0, 50.0, "签发地点"), (0.0, 74.0, "河南/HENAN")]);
        let fields = read(&page);
        assert!(!read(&self::page(&[(0.0, 0.0, "出生地点/PInce of bitrh")])).contains_key("birth_place"));
        assert_eq!((fields["birth_place"].value.as_str(), fields["issue_place"].value.as_str()), ("湖北/HUBEI", "河南/HENAN"));
    }

    #[test]
    fn an_office_ends_before_its_english_name_and_what_that_runs_into() {
        let page = page(&[
            (0.0, 0.0, "签发机关/Authority"),
            (0.0, 30.0, "国家移民管理局"),
            (0.0, 60.0, "National Immigration Administration, PRC人签名"),
        ]);
        assert_eq!(read(&page)["issuer"].value, "国家移民管理局");
    }

    #[test]
    fn a_page_is_read_and_its_print_agrees_with_its_lines() {
        let fields = with_machine("E532483492CHN58O3099M3402177<<<<<<<<<<<<6");
        for (name, value) in [
            ("number", "E53248349"),
            ("name", "李远安"),
            ("pinyin", "LI, YUANAN"),
            ("sex", "男/M"),
            ("nationality", "中国/CHINESE"),
            ("birth_date", "09 03月/MAR 1958"),
            ("birth_place", "湖南/HUNAN"),
            ("issue_date", "18 02月/FEB 2024"),
            ("issue_place", "天津/TIANJIN"),
            ("expiry_date", "17 02月/FEB 2034"),
            ("issuer", "公安部出入境管理局"),
            ("mrz1", "POCHNLI<<YUANAN<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"),
            ("mrz2", "E532483492CHN5803099M3402177<<<<<<<<<<<<<<<6"),
        ] {
            assert_eq!(fields.get(name).map(|field| field.value.as_str()), Some(value), "{name}");
        }
        assert!(fields.values().all(Field::checks_pass), "{fields:?}");
    }

    #[test]
    fn lines_that_do_not_hold_prove_nothing() {
        let fields = with_machine("E532483492CHN5803089M3402177<<<<<<<<<<<<<<<6");
        assert!(!fields["mrz2"].checks_pass());
        assert!(fields["birth_date"].checks_pass());
    }

    #[test]
    fn a_value_in_two_languages_ends_before_the_next_label() {
        for (read, value) in [
            ("中国/CHINESE/Nationali", "中国/CHINESE"),
            ("男/M加锂/Natiomlity", "男/M"),
            ("江西JIANGXI/Placeat", "江西JIANGXI"),
            ("天津/TIANJIN", "天津/TIANJIN"),
            ("四川", "四川"),
        ] {
            assert_eq!(plain(in_two_languages(&page(&[(0.0, 0.0, read)]).rows()[0])), value);
        }
    }

    /// A line as it is printed: Latin letters are a third as wide as they are high.
    fn printed(x: f32, y: f32, height: f32, text: &str) -> Line {
        let mut line = line(x, y, height / 1.4, text);
        let width = |c: char| if c.is_ascii() { height * 0.33 } else { height * 0.8 };
        let whole: f32 = text.chars().map(width).sum();
        let mut at = 0.0;
        for (glyph, c) in line.glyphs.iter_mut().zip(text.chars()) {
            (glyph.left, glyph.right) = (at / whole, (at + width(c)) / whole);
            at += width(c);
        }
        (line.quad[1][0], line.quad[2][0]) = (x + whole, x + whole);
        line
    }

    #[test]
    fn a_label_without_a_stroke_between_its_halves_is_no_value() {
        let lines = [
            printed(510.0, 384.0, 29.0, "國籍Nationality"),
            printed(511.0, 417.0, 35.0, "CHINESE"),
            printed(935.0, 383.0, 34.0, "性别Sex"),
            printed(934.0, 417.0, 35.0, "F"),
        ];
        let fields = read(&Page::new(&lines));
        assert_eq!((fields["nationality"].value.as_str(), fields["sex"].value.as_str()), ("CHINESE", "F"));
    }
}
