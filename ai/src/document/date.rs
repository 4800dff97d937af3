//! Dates as documents print them: 2019年3月5日, 2019-03-05, 2019.03.05, 20190305.

use chrono::NaiveDate;

/// How an open end is printed.
const OPEN_ENDS: [&str; 4] = ["长期", "永久", "无固定期限", "永续"];

/// The first date in the text.
pub fn parse(text: &str) -> Option<NaiveDate> {
    find_all(text).into_iter().next()
}

/// Every date in the text, in order. A year is four digits of 18xx to 20xx; the separators must fit each other loosely,
/// because recognition drops and swaps dots.
pub fn find_all(text: &str) -> Vec<NaiveDate> {
    let chars: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match date_at(&chars, at) {
            Some((date, next)) => {
                found.push(date);
                at = next;
            }
            None => at += 1,
        }
    }
    found
}

/// Whether the text says that the period has no end.
pub fn is_open_end(text: &str) -> bool {
    OPEN_ENDS.iter().any(|word| text.contains(word))
}

/// The last day of a period such as `2019年3月5日至2039年3月4日`; `None` when it is open or not readable.
pub fn period_end(text: &str) -> Option<NaiveDate> {
    if is_open_end(text) {
        return None;
    }
    let after = text.split_once('至').map_or(text, |(_, after)| after);
    find_all(after).into_iter().next_back()
}

fn date_at(chars: &[char], at: usize) -> Option<(NaiveDate, usize)> {
    if at > 0 && chars[at - 1].is_ascii_digit() {
        return None;
    }
    let (year, next) = number(chars, at, 4)?;
    if next - at != 4 || !(1800..2100).contains(&year) {
        return None;
    }
    // Eight digits in a row are a date only if nothing more follows, else they are part of a longer number.
    if chars.get(next).is_some_and(char::is_ascii_digit) {
        let (month, after_month) = number(chars, next, 2)?;
        let (day, end) = number(chars, after_month, 2)?;
        let whole = end - at == 8 && !chars.get(end).is_some_and(char::is_ascii_digit);
        return whole.then(|| NaiveDate::from_ymd_opt(year as i32, month, day)).flatten().map(|date| (date, end));
    }
    let (month, next) = number(chars, separator(chars, next)?, 2)?;
    let (day, next) = number(chars, separator(chars, next)?, 2)?;
    if chars.get(next).is_some_and(char::is_ascii_digit) {
        return None;
    }
    let end = next + usize::from(matches!(chars.get(next), Some('日' | '曰' | '号')));
    NaiveDate::from_ymd_opt(year as i32, month, day).map(|date| (date, end))
}

fn separator(chars: &[char], at: usize) -> Option<usize> {
    matches!(chars.get(at)?, '年' | '月' | '-' | '.' | '/' | '·' | '。' | ',' | '—' | '–').then_some(at + 1)
}

fn number(chars: &[char], at: usize, digits_max: usize) -> Option<(u32, usize)> {
    let digits: Vec<u32> = chars.get(at..)?.iter().take(digits_max).map_while(|c| c.to_digit(10)).collect();
    let value = digits.iter().fold(0, |value, digit| value * 10 + digit);
    (!digits.is_empty()).then_some((value, at + digits.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_forms_are_read() {
        for (text, expected) in [
            ("2019年3月5日", "2019-03-05"),
            ("2019 年 03 月 05 日", "2019-03-05"),
            ("成立日期2019-03-05", "2019-03-05"),
            ("2019.3.5", "2019-03-05"),
            ("20190305", "2019-03-05"),
        ] {
            assert_eq!(parse(text).map(|date| date.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "2019年13月5日", "2019年2月30日", "120190305", "201903051", "19年3月5日", "2019年3月"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn periods_have_an_end_or_none() {
        let end = |text| period_end(text).map(|date| date.to_string());
        assert_eq!(end("2019年3月5日至2039年3月4日").as_deref(), Some("2039-03-04"));
        assert_eq!(end("2019年3月5日至长期"), None);
        assert_eq!(end("长期"), None);
        assert_eq!(end("至2039年3月4日").as_deref(), Some("2039-03-04"));
    }
}
