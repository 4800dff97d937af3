//! Administrative divisions (行政区划, GB/T 2260): what the first six digits of ID numbers, credit codes and unit codes name.
//! The table is `data/divisions.txt`; it holds withdrawn codes too, which live on in numbers. It is complete down to
//! prefectures only, so a county that it does not know says nothing.

use std::{collections::BTreeMap, sync::LazyLock};

static TABLE: LazyLock<BTreeMap<String, Division>> = LazyLock::new(|| parse(include_str!("../../data/divisions.txt")));

/// One division, of any level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Division {
    pub name: String,
    /// A province's one-character name, as it stands before deed numbers.
    pub short: Option<char>,
    /// Whether the code is no longer given out.
    pub withdrawn: bool,
}

/// How far a code is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Known {
    Nothing,
    Province,
    Prefecture,
    County,
}

/// How far the six digits are known: the county, else what it lies in.
pub fn known(code: &str) -> Known {
    for (length, level) in [(6, Known::County), (4, Known::Prefecture), (2, Known::Province)] {
        if code.get(..length).is_some_and(|prefix| TABLE.contains_key(prefix)) {
            return level;
        }
    }
    Known::Nothing
}

/// The division of a code of two, four or six digits.
pub fn find(code: &str) -> Option<&'static Division> {
    TABLE.get(code)
}

/// The digits of the province with this one-character name.
pub fn province_of(short: char) -> Option<&'static str> {
    TABLE.iter().find(|(code, division)| code.len() == 2 && division.short == Some(short)).map(|(code, _)| code.as_str())
}

/// Whether a text begins with a province's whole name.
pub fn begins_with_province(text: &str) -> bool {
    TABLE.iter().any(|(code, division)| code.len() == 2 && text.starts_with(&division.name))
}

/// Whether an address, which may begin with any level, can lie in the code's division: `None` when it names no level that
/// is in the table.
pub fn address_fits(code: &str, address: &str) -> Option<bool> {
    let province = find(code.get(..2)?)?;
    let stem = |name: &str| name.trim_end_matches(['省', '市']).trim_end_matches("自治区").to_owned();
    if address.starts_with(&stem(&province.name)) || address.starts_with(&province.name.chars().take(2).collect::<String>()) {
        return Some(true);
    }
    let other = TABLE.iter().filter(|(code, _)| code.len() == 2).any(|(_, other)| address.starts_with(&other.name));
    if other {
        return Some(false);
    }
    let prefecture = find(code.get(..4)?)?;
    address.starts_with(&stem(&prefecture.name)).then_some(true)
}

fn parse(text: &str) -> BTreeMap<String, Division> {
    let mut table = BTreeMap::new();
    let withdrawn = |word: &str| (word.starts_with('-'), word.trim_start_matches('-').to_owned());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        let (gone, code) = withdrawn(first);
        if code.len() == 2 {
            let name = words.next().unwrap_or_default().to_owned();
            table.insert(code, Division { name, short: second.chars().next(), withdrawn: gone });
            continue;
        }
        for word in words {
            let (county_gone, county) = withdrawn(word);
            if let Some((digits, name)) = county.split_at_checked(2) {
                let division = Division { name: name.to_owned(), short: None, withdrawn: gone || county_gone };
                table.insert(format!("{code}{digits}"), division);
            }
        }
        table.insert(code, Division { name: second.to_owned(), short: None, withdrawn: gone });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(TABLE.keys().filter(|code| code.len() == 2).count(), 35);
        let current = TABLE.iter().filter(|(code, division)| code.len() == 4 && !division.withdrawn).count();
        // 293 cities, 40 others, and the collective entries of the four municipalities and of counties under a province.
        assert!((330..350).contains(&current), "{current}");
        for (code, division) in TABLE.iter() {
            assert!(code.bytes().all(|b| b.is_ascii_digit()) && [2, 4, 6].contains(&code.len()), "{code}");
            assert!(!division.name.is_empty() && !division.name.starts_with(|c: char| c.is_ascii_digit()), "{code}");
            assert!(code.len() == 2 || TABLE.contains_key(&code[..code.len() - 2]), "{code} lies nowhere");
        }
    }

    #[test]
    fn codes_are_known_as_far_as_they_are() {
        for (code, level) in [
            ("510107", Known::County),
            ("110103", Known::County),
            ("510199", Known::Prefecture),
            ("519999", Known::Province),
            ("990101", Known::Nothing),
            ("", Known::Nothing),
            ("证件", Known::Nothing),
        ] {
            assert_eq!(known(code), level, "{code}");
        }
        assert!(find("110103").is_some_and(|division| division.withdrawn && division.name == "崇文区"));
        assert_eq!(province_of('川'), Some("51"));
    }

    #[test]
    fn addresses_fit_their_code_or_say_nothing() {
        for (code, address, fits) in [
            ("510107", "四川省成都市武侯区样本路1号", Some(true)),
            ("510107", "成都市武侯区样本路1号", Some(true)),
            ("510107", "广东省深圳市南山区", Some(false)),
            ("510107", "武侯区样本路1号", None),
            ("150102", "内蒙古呼和浩特市新城区", Some(true)),
        ] {
            assert_eq!(address_fits(code, address), fits, "{address}");
        }
    }
}
