//! Dates as documents print them: 2019年3月5日, 2019-03-05, 2019.03.05, 20190305, 二〇一九年三月五日.

use chrono::NaiveDate;

/// How an open end is printed.
const OPEN_ENDS: [&str; 4] = ["长期", "永久", "无固定期限", "永续"];

/// A date with its place in the text, in characters, and how it is printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub date: NaiveDate,
    pub at: std::ops::Range<usize>,
    pub printed: String,
}

/// The first date in the text.
pub fn parse(text: &str) -> Option<NaiveDate> {
    find_all(text).into_iter().next().or_else(|| travel(text).map(|found| found.date))
}

/// The first date with where and how it stands; a misread sign between its numbers is printed as it should be.
pub fn first(text: &str) -> Option<Found> {
    let chars: Vec<char> = text.chars().collect();
    let plain = (0..chars.len()).find_map(|at| Some((at, date_at(&chars, at)?)));
    let Some((at, (date, end))) = plain else { return travel(text) };
    let printed: String = chars[at..end].iter().map(|c| if matches!(c, '曰' | '号') { '日' } else { *c }).collect();
    let printed = if printed.contains('年') && !printed.ends_with('日') { format!("{printed}日") } else { printed };
    Some(Found { date, at: at..end, printed })
}

/// A date as passports print it: 08 5月/MAY 1990, 08 MAY 1990. The text may have lost its spaces.
fn travel(text: &str) -> Option<Found> {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let upper: Vec<char> = text.chars().map(|c| c.to_ascii_uppercase()).collect();
    let is = |at: usize, word: &str| {
        word.chars().enumerate().all(|(i, c)| upper.get(at + i).is_some_and(|read| *read == c || super::text::as_letter(*read) == c))
    };
    let (at, month) = (0..upper.len()).find_map(|at| Some((at, MONTHS.iter().position(|month| is(at, month))?)))?;
    let year_at = (at + 3..upper.len().min(at + 7)).find(|&i| upper[i].is_ascii_digit())?;
    let (year, end) = number(&upper, year_at, 4).filter(|(_, end)| end - year_at == 4)?;
    // The day stands first; between it and the month's name may stand the month in Chinese.
    let before = &upper[..at];
    let start = before.iter().rposition(|c| !(c.is_ascii_digit() || matches!(c, '月' | '/' | '.' | '-' | ' ' | ','))).map_or(0, |i| i + 1);
    let start = start + before[start..].iter().position(char::is_ascii_digit)?;
    let digits: String = before[start..].iter().take_while(|c| c.is_ascii_digit()).collect();
    let day = digits.get(..2).unwrap_or(&digits).parse().ok()?;
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32 + 1, day)?;
    // The month in Chinese as it stands there: 5月 or 05月.
    let between: String = before[start..].iter().skip(digits.len().min(2)).filter(|c| c.is_ascii_digit() || **c == '月').collect();
    let printed = match between.ends_with('月') && between.len() > '月'.len_utf8() {
        true => format!("{day:02} {between}/{} {year}", MONTHS[month]),
        false => format!("{day:02} {} {year}", MONTHS[month]),
    };
    Some(Found { date, at: start..end, printed })
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
    if let Some(found) = in_words(chars, at) {
        return Some(found);
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

/// 二〇一九年三月五日: the year digit by digit, month and day as numbers.
fn in_words(chars: &[char], at: usize) -> Option<(NaiveDate, usize)> {
    const DIGITS: &str = "〇一二三四五六七八九";
    let digit = |c: char| match c {
        '零' | '○' | 'O' | '0' => Some(0),
        c => DIGITS.chars().position(|digit| digit == c).map(|digit| digit as u32),
    };
    let year = chars.get(at..at + 4)?.iter().try_fold(0, |year, c| Some(year * 10 + digit(*c)?))?;
    // A number up to 31 before its sign: 五, 十, 十二, 二十, 三十一; 元 for the first.
    let part = |from: usize, sign: char| {
        let end = from + chars.get(from..)?.iter().take(4).position(|c| *c == sign)?;
        let value = match &chars[from..end] {
            ['元'] => 1,
            ['十'] => 10,
            [one] => digit(*one)?,
            ['十', one] => 10 + digit(*one)?,
            [ten, '十'] => digit(*ten)? * 10,
            [ten, '十', one] => digit(*ten)? * 10 + digit(*one)?,
            _ => return None,
        };
        Some((value, end + 1))
    };
    let (month, next) = part(chars.get(at + 4).filter(|c| **c == '年').map(|_| at + 5)?, '月')?;
    let (day, end) = part(next, '日')?;
    let sound = (1800..2100).contains(&year) && !chars[at].is_ascii_digit();
    NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| sound).map(|date| (date, end))
}

/// Whether a character may stand in a date in words or digits.
pub fn may_hold(c: char) -> bool {
    c.is_ascii_digit() || "年月日〇零○元一二三四五六七八九十".contains(c)
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
            ("二〇一九年三月五日", "2019-03-05"),
            ("填发日期二零一一年十二月三十一日", "2011-12-31"),
            ("二○一〇年元月二十日", "2010-01-20"),
            ("二OO八年十月十日", "2008-10-10"),
        ] {
            assert_eq!(parse(text).map(|date| date.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "2019年13月5日",
            "2019年2月30日",
            "120190305",
            "201903051",
            "19年3月5日",
            "2019年3月",
            "二〇一九年十三月五日",
            "二〇一九年二月三十日",
            "一九年三月五日",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn passports_print_dates_in_their_own_way() {
        for (text, expected, printed) in [
            ("08MAY1990", "1990-05-08", "08 MAY 1990"),
            ("085月/MAY1990", "1990-05-08", "08 5月/MAY 1990"),
            ("出生日期 08 5月/MAY 1990", "1990-05-08", "08 5月/MAY 1990"),
            ("1112月/DEC2030", "2030-12-11", "11 12月/DEC 2030"),
            ("2019年3月5曰起", "2019-03-05", "2019年3月5日"),
            ("自2019.03.05止", "2019-03-05", "2019.03.05"),
        ] {
            let found = first(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.date.to_string().as_str(), found.printed.as_str()), (expected, printed), "{text}");
        }
        assert_eq!(first("32MAY1990"), None);
        assert_eq!(first("MAY"), None);
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
