//! Machine-readable lines (机读码): passports (ICAO Doc 9303 part 4, TD3), cards of three lines (part 5, TD1) and the one line of
//! 30 characters on mainland exit-entry cards (GA/T 704.16).
//!
//! What recognition does to them is undone by what must stand where: letters become digits in dates, runs of the filler
//! `<` get their length back, and the look-alikes O/0, I/1, S/5, B/8, Z/2 are swapped until every check digit holds. A repair
//! counts only when it is the only one.

use chrono::NaiveDate;

use super::text;

mod shape;

pub use shape::check_digit;
use shape::{CARD, TD1, TD3_SECOND, exact, fit};

/// A passport's two lines with every check digit holding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passport {
    pub lines: [String; 2],
    /// Whether the second line had to be repaired.
    pub repaired: bool,
    pub holder: Holder,
    pub issuer: String,
    pub nationality: String,
    pub pinyin: String,
}

/// What every machine line tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    pub number: String,
    pub birth: NaiveDate,
    pub expiry: NaiveDate,
    /// 男 or 女; `None` where the line leaves it open.
    pub sex: Option<&'static str>,
}

/// The one line of an exit-entry card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    pub line: String,
    pub repaired: bool,
    pub holder: Holder,
}

/// The text as a machine line would have it: capitals, digits, and `<` for everything that looks like it.
pub fn clean(read: &str) -> String {
    read.chars()
        .filter_map(|c| match text::fold(c)? {
            '<' | '〈' | '《' | '‹' | '«' | 'く' | '≤' | '(' | '{' | '[' => Some('<'),
            c if c.is_ascii_alphanumeric() => Some(c.to_ascii_uppercase()),
            '零' => Some('0'),
            _ => None,
        })
        .collect()
}

/// Whether the text can be a machine line: long, with filler or as many digits as a passport's second line, and nothing but what can stand
/// there. Chinese passports fill that line with letters to its end.
pub fn looks_like_one(read: &str) -> bool {
    let line = clean(read);
    let total = read.chars().filter(|c| !c.is_whitespace()).count();
    let count = |is: fn(&u8) -> bool| line.bytes().filter(is).count();
    let filled = line.len() >= 24 && count(|b| *b == b'<') >= 2;
    let whole = line.len().abs_diff(44) <= 1 && count(u8::is_ascii_digit) >= 18 && !read.contains(|c: char| c.is_ascii_lowercase());
    total <= line.len() + 2 && (filled || whole)
}

/// Reads the two lines of a passport; `None` unless every check digit holds, if need be after the only possible repair.
pub fn passport(first: &str, second: &str) -> Option<Passport> {
    let second = clean(second);
    let (second, repaired) = chinese(&second).or_else(|| fit(&second, &TD3_SECOND))?;
    let first = passport_first_line(first);
    let names = first.get(5..).unwrap_or_default();
    Some(Passport {
        holder: Holder {
            number: second[..9].trim_end_matches('<').to_owned(),
            expiry: expiry(&second[21..27])?,
            birth: birth(&second[13..19], expiry(&second[21..27])?)?,
            sex: sex(&second[20..21]),
        },
        issuer: first.get(2..5).unwrap_or_default().to_owned(),
        nationality: second[10..13].to_owned(),
        pinyin: names_of(names),
        lines: [first, second],
        repaired,
    })
}

/// A Chinese passport's second line, whose optional data are letters and filler and a last digit (seen in print, not in a standard), with
/// the digits among them read as the letters they look like; `None` where it holds as it was read, or does not hold then.
fn chinese(second: &str) -> Option<(String, bool)> {
    if second.len() != 44 || second.get(10..13)? != "CHN" || exact(second, &TD3_SECOND).is_some() {
        return None;
    }
    let letters: String = second[28..41].chars().map(text::as_letter).collect();
    let read = format!("{}{letters}{}", &second[..28], &second[41..]);
    let line = exact(&read, &TD3_SECOND)?;
    let repaired = line != second;
    Some((line, repaired))
}

/// The first line has no check digit: letters and filler only, 44 long.
pub fn passport_first_line(read: &str) -> String {
    let mut line: String = clean(read).chars().map(text::as_letter).collect();
    while line.len() > 44 && line.ends_with('<') {
        line.pop();
    }
    // A bracket or a K at the end of the filler is filler.
    let names = line.trim_end_matches(['<', 'K', 'C']).len();
    if line[names..].bytes().filter(|&b| b == b'<').count() >= 5 && line[names..].len() > 5 {
        line = format!("{}{}", &line[..names], "<".repeat(line.len() - names));
    }
    format!("{line:<<44}")
}

/// Reads the one line of an exit-entry card.
pub fn card(read: &str) -> Option<Card> {
    let read = clean(read);
    // Its three fillers stand alone and are easily lost, so they are put back where they belong.
    let bare: String = read.chars().filter(|c| *c != '<').collect();
    let whole = |bare: &str| format!("{}<{}<{}<{}", &bare[..12], &bare[12..19], &bare[19..26], &bare[26..]);
    let read = if read.len() != 30 && bare.len() == 27 { whole(&bare) } else { read };
    let (line, repaired) = fit(&read, &CARD)?;
    let end = expiry(&line[13..19])?;
    let holder = Holder { number: line[2..11].trim_end_matches('<').to_owned(), expiry: end, birth: birth(&line[21..27], end)?, sex: None };
    Some(Card { line, repaired, holder })
}

/// Reads the three lines of a card: the lines as they must have been, who holds it, and the names.
pub fn card_of_three(lines: [&str; 3]) -> Option<([String; 3], Holder, String)> {
    let [first, second, third] = lines.map(clean);
    let pad = |line: String| format!("{line:<<30}");
    let (joined, _) = fit(&format!("{}{}", pad(first), second), &TD1)?;
    let end = expiry(&joined[38..44])?;
    let holder = Holder {
        number: joined[5..14].trim_end_matches('<').to_owned(),
        birth: birth(&joined[30..36], end)?,
        expiry: end,
        sex: sex(&joined[37..38]),
    };
    let third = pad(third.chars().map(text::as_letter).collect());
    let names = names_of(&third);
    Some(([joined[..30].to_owned(), joined[30..].to_owned(), third], holder, names))
}

/// `ZHANG<<SAN<FENG<<<` → `ZHANG, SAN FENG`.
fn names_of(names: &str) -> String {
    let (surname, given) = names.split_once("<<").unwrap_or((names, ""));
    let words = |part: &str| part.split('<').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match (words(surname), words(given)) {
        (surname, given) if given.is_empty() => surname,
        (surname, given) => format!("{surname}, {given}"),
    }
}

fn sex(letter: &str) -> Option<&'static str> {
    match letter {
        "M" => Some("男"),
        "F" => Some("女"),
        _ => None,
    }
}

fn date(digits: &str, century: i32) -> Option<NaiveDate> {
    let two = |at: usize| digits.get(at..at + 2)?.parse::<u32>().ok();
    NaiveDate::from_ymd_opt(century + two(0)? as i32, two(2)?, two(4)?)
}

fn expiry(digits: &str) -> Option<NaiveDate> {
    date(digits, 2000)
}

/// The century in which the birth lies before the end of validity.
fn birth(digits: &str, expiry: NaiveDate) -> Option<NaiveDate> {
    date(digits, 2000).filter(|date| *date < expiry).or_else(|| date(digits, 1900))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{shape::holds, *};

    const FIRST: &str = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<";
    const SECOND: &str = "L898902C36UTO7408122F1204159ZE184226B<<<<<10";

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    /// A card's line around a number of nine characters.
    fn card_line(number: &str, expiry: &str, birth: &str) -> String {
        let digit = |part: &str| char::from(check_digit(part.as_bytes()).unwrap());
        let parts = [number, expiry, birth].map(|part| format!("{part}{}", digit(part)));
        format!("CS{}<{}<{}<{}", parts[0], parts[1], parts[2], digit(&parts.concat()))
    }

    fn second_line(number: &str, birth: &str, sex: char, expiry: &str) -> String {
        let digit = |part: &str| char::from(check_digit(part.as_bytes()).unwrap());
        let (a, b, c) = (format!("{number}{}", digit(number)), format!("{birth}{}", digit(birth)), format!("{expiry}{}", digit(expiry)));
        let optional = "<<<<<<<<<<<<<<0";
        format!("{a}CHN{b}{sex}{c}{optional}{}", digit(&format!("{a}{b}{c}{optional}")))
    }

    #[test]
    fn the_published_passport_is_read() {
        let read = passport(FIRST, SECOND).unwrap();
        assert_eq!(
            (read.holder.number.as_str(), read.nationality.as_str(), read.pinyin.as_str()),
            ("L898902C3", "UTO", "ERIKSSON, ANNA MARIA")
        );
        assert_eq!((read.holder.birth, read.holder.expiry, read.holder.sex), (day(1974, 8, 12), day(2012, 4, 15), Some("女")));
        assert_eq!((read.lines, read.repaired), ([FIRST.to_owned(), SECOND.to_owned()], false));
    }

    #[test]
    fn the_published_card_of_three_lines_is_read() {
        let lines = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"];
        let (read, holder, names) = card_of_three(lines).unwrap();
        assert_eq!((read, holder.number.as_str(), names.as_str()), (lines.map(str::to_owned), "D23145890", "ERIKSSON, ANNA MARIA"));
        assert!(card_of_three([lines[0], &lines[1].replace("1204", "1205"), lines[2]]).is_none());
    }

    #[test]
    fn the_number_of_the_published_exit_entry_card_has_its_digit() {
        assert_eq!(check_digit(b"C88608477"), Some(b'2'));
    }

    #[test]
    fn what_recognition_does_is_undone() {
        for read in [
            "L898902C36UTO7408122F1204159ZE184226B<<<10",
            "L898902C36UTO7408122F1204159ZE184226B<<<<<<<10",
            "L898902C36UT0740B122F12O4159ZE184226B<<<<<10",
            "L8989O2C36UTO7408122F1204159ZE184226B<<<<<10",
            "L898902C36UTO7408122F1204159 ZE184226B〈〈〈〈〈10",
        ] {
            let passport = passport(FIRST, read).unwrap_or_else(|| panic!("{read}"));
            assert_eq!((passport.lines[1].as_str(), passport.repaired || read.contains('〈')), (SECOND, true), "{read}");
        }
        for hopeless in ["L898902C37UTO7408122F1204159ZE184226B<<<<<10", "L898902C36UTO7408132F1204159ZE184226B<<<<<10", "", "<<<<"] {
            assert_eq!(passport(FIRST, hopeless), None, "{hopeless}");
        }
        let line = card_line("C88608477", "240519", "810803");
        assert_eq!(card(&line.replace('<', "")).unwrap().line, line);
        assert_eq!(card(&line).unwrap().holder.birth, day(1981, 8, 3));
    }

    #[test]
    fn a_chinese_passport_fills_its_second_line_with_letters() {
        let printed = "EF12608921CHN8503208F2901178NGKELMPONBPJB978";
        let misread = "EF12608921CHN8503208F2901178NGKELMP0NBPJ8978";
        assert!([printed, misread].into_iter().all(looks_like_one) && !looks_like_one(&printed.to_lowercase()));
        for (read, repaired) in [(printed, false), (misread, true)] {
            let passport = passport(FIRST, read).unwrap();
            assert_eq!((passport.lines[1].as_str(), passport.repaired), (printed, repaired));
        }
        // More letters misread than look-alikes are swapped.
        let three = passport(FIRST, "EK73029469CHN9306185F3204245PLN8A0KMEGDC8992").unwrap();
        assert_eq!(three.lines[1], "EK73029469CHN9306185F3204245PLNBAOKMEGDCB992");
        assert_eq!(passport(FIRST, &printed.replace("8503208", "8503218")), None);
        assert!(!looks_like_one("中国招商银行91440300708461136T12345678901234567890123456"));
    }

    #[test]
    fn the_first_line_is_letters_and_as_long_as_it_must_be() {
        assert_eq!(passport_first_line("P0CHNZHANG<<SAN<<<<<<<<<<<<<"), format!("{:<<44}", "POCHNZHANG<<SAN"));
        assert_eq!(passport_first_line(&format!("POCHNZHANG<<SAN{}", "<".repeat(40))).len(), 44);
    }

    proptest! {
        #[test]
        fn a_wrong_digit_is_never_accepted_as_it_is(number in "E[A-HJ-NP-Z][0-9]{7}", at in 0usize..44, with in b'0'..=b'9') {
            let line = second_line(&number, "900101", 'M', "300101");
            prop_assert_eq!(&passport(FIRST, &line).unwrap().lines[1], &line);
            let mut changed = line.clone().into_bytes();
            changed[at] = with;
            let changed = String::from_utf8(changed).unwrap();
            // Whatever is accepted has all its checks; one digit in a date or a check digit is never accepted.
            if let Some(read) = passport(FIRST, &changed) {
                prop_assert!(holds(read.lines[1].as_bytes(), &TD3_SECOND));
            }
            if (13..20).contains(&at) || (21..28).contains(&at) {
                prop_assert_eq!(passport(FIRST, &changed).is_some(), changed == line);
            }
        }

        #[test]
        fn lost_filler_comes_back(number in "E[0-9]{8}", lost in 1usize..10) {
            let line = second_line(&number, "900101", 'F', "300101");
            let read = line.replacen(&"<".repeat(lost), "", 1);
            prop_assert_eq!(&passport(FIRST, &read).unwrap().lines[1], &line);
        }

        #[test]
        fn no_text_makes_reading_panic(a in ".{0,60}", b in "[A-Z0-9<]{0,60}") {
            let _ = (passport(&a, &b), card(&a), card(&b), card_of_three([&a, &b, &a]), looks_like_one(&a), passport_first_line(&b));
        }
    }
}
