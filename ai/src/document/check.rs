//! Check digits and structure of document numbers: pure functions over text that is already normalised.

use chrono::NaiveDate;

/// Check digits of a resident ID number by remainder (GB 11643-1999).
const ID_CHECK_DIGITS: &[u8; 11] = b"10X98765432";
const ID_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The alphabet of a unified social credit code: no I, O, S, V, Z (GB 32100-2015).
const CREDIT_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const CREDIT_WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
const ORGANISATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
/// Characters of a property unit code (GB/T 37346).
pub const UNIT_CODE_CHARS: usize = 28;

/// The 18th character that the first 17 digits of a resident ID number call for.
pub fn id_check_digit(first17: &str) -> Option<char> {
    let digits = first17.as_bytes();
    if digits.len() != 17 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = digits.iter().zip(ID_WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    Some(char::from(ID_CHECK_DIGITS[(sum % 11) as usize]))
}

/// Whether the text is a resident ID number whose check digit holds.
pub fn id_number_holds(number: &str) -> bool {
    number.is_ascii() && number.len() == 18 && id_check_digit(&number[..17]) == number.chars().last()
}

/// The date of birth inside a resident ID number.
pub fn id_number_birth(number: &str) -> Option<NaiveDate> {
    let digits = number.get(6..14)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    NaiveDate::from_ymd_opt(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?)
}

/// The sex inside a resident ID number: an odd 17th digit is 男.
pub fn id_number_sex(number: &str) -> Option<&'static str> {
    let digit = char::from(*number.as_bytes().get(16)?).to_digit(10)?;
    Some(if digit % 2 == 1 { "男" } else { "女" })
}

/// The 18th character that the first 17 of a unified social credit code call for.
pub fn credit_check_digit(first17: &str) -> Option<char> {
    if first17.len() != 17 {
        return None;
    }
    let mut sum = 0;
    for (byte, weight) in first17.bytes().zip(CREDIT_WEIGHTS) {
        sum += CREDIT_ALPHABET.iter().position(|&c| c == byte)? * weight;
    }
    Some(char::from(CREDIT_ALPHABET[(31 - sum % 31) % 31]))
}

/// Whether the text is a unified social credit code whose check digit holds.
pub fn credit_code_holds(code: &str) -> bool {
    code.is_ascii() && code.len() == 18 && credit_check_digit(&code[..17]) == code.chars().last()
}

/// The check character of an organisation code (GB 11714-1997) for its first eight characters.
pub fn organisation_check_digit(first8: &str) -> Option<char> {
    if first8.len() != 8 {
        return None;
    }
    let mut sum = 0;
    for (c, weight) in first8.chars().zip(ORGANISATION_WEIGHTS) {
        sum += c.to_digit(36).filter(|_| !c.is_ascii_lowercase())? * weight;
    }
    match 11 - sum % 11 {
        10 => Some('X'),
        11 => Some('0'),
        digit => char::from_digit(digit, 10),
    }
}

/// Whether the organisation code inside a unified social credit code (characters 9 to 17) holds by itself.
pub fn inner_organisation_code_holds(code: &str) -> bool {
    code.is_ascii() && code.len() == 18 && organisation_check_digit(&code[8..16]) == code[16..17].chars().next()
}

/// The 18-digit form of an obsolete 15-digit ID number (before 1999): the century put in and the check digit added.
pub fn id_number_of_15(number: &str) -> Option<String> {
    if number.len() != 15 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let first17 = format!("{}19{}", &number[..6], &number[6..]);
    let whole = format!("{first17}{}", id_check_digit(&first17)?);
    id_number_birth(&whole).map(|_| whole)
}

/// Whether a 15-digit registration number of the old licences holds (GS 15-2006: ISO 7064 MOD 11,10).
pub fn registration_number_holds(number: &str) -> bool {
    if number.len() != 15 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let digit = |at: usize| u32::from(number.as_bytes()[at] - b'0');
    let product = (0..14).fold(10, |product, at| match (product + digit(at)) % 10 {
        0 => 9, // 10 doubled, modulo 11
        sum => sum * 2 % 11,
    });
    (product + digit(14)) % 10 == 1
}

/// Number of a permit to Hong Kong and Macao: C and eight digits, since December 2018 C, a letter other than I and O, and
/// seven digits; the old booklet W and eight digits. Of a permit of residents from there (港澳居民来往内地通行证): H or M and eight digits, on
/// the card of 1999 two more for the issue.
pub fn hkmo_number_holds(number: &str) -> bool {
    let Some((first, rest)) = split_letter(number) else { return false };
    match first {
        'C' => digits(rest, 8) || lettered(rest, 7),
        'W' => digits(rest, 8),
        'H' | 'M' => digits(rest, 8) || digits(rest, 10),
        _ => false,
    }
}

/// Number of a permit to Taiwan: L and eight digits on the card, T and eight digits in the booklet.
pub fn taiwan_number_holds(number: &str) -> bool {
    split_letter(number).is_some_and(|(first, rest)| matches!(first, 'L' | 'T') && (digits(rest, 8) || (first == 'L' && lettered(rest, 7))))
}

/// Number of a Taiwan resident's travel permit: eight digits for life since 2008; before that two more for the issue, and a
/// letter for the agency.
pub fn compatriot_number_holds(number: &str) -> bool {
    digits(number, 8)
        || digits(number, 10)
        || (number.is_ascii() && number.len() == 11 && digits(&number[..10], 10) && number.ends_with(|c: char| c.is_ascii_uppercase()))
}

/// Number of a Chinese passport: E and eight digits, since April 2017 E, a letter other than I and O, and seven digits; G and
/// eight digits before 2012; D, S and P with their second letter for official kinds.
pub fn passport_number_holds(number: &str) -> bool {
    let Some((first, rest)) = split_letter(number) else { return false };
    match first {
        'E' => digits(rest, 8) || lettered(rest, 7),
        'G' | 'H' | 'M' => digits(rest, 8),
        'D' | 'S' | 'P' | 'K' => digits(rest, 7) || digits(rest, 8) || (rest.starts_with('E') && digits(&rest[1..], 7)),
        _ => false,
    }
}

fn split_letter(number: &str) -> Option<(char, &str)> {
    let first = number.chars().next().filter(char::is_ascii_uppercase)?;
    Some((first, &number[1..]))
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

/// A letter other than I and O, and so many digits.
fn lettered(text: &str, count: usize) -> bool {
    split_letter(text).is_some_and(|(first, rest)| !matches!(first, 'I' | 'O') && digits(rest, count))
}

/// Whether the text has the structure of a property unit code: twelve digits, parcel feature, five digits, fixture
/// letter, eight digits. The code has no check digit.
pub fn unit_code_holds(code: &str) -> bool {
    code.len() == UNIT_CODE_CHARS
        && code.bytes().enumerate().all(|(at, byte)| match at {
            12 => b"GJZ".contains(&byte),
            13 => byte.is_ascii_uppercase(),
            19 => b"FLQW".contains(&byte),
            _ => byte.is_ascii_digit(),
        })
        && (code.as_bytes()[19] != b'W' || code.ends_with("00000000"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_id_numbers_hold() {
        for number in ["11010519491231002X", "440524188001010014"] {
            assert!(id_number_holds(number), "{number}");
        }
        for number in ["110105194912310021", "44052418800101001", "4405241880010100145", "1101051949123100２X", ""] {
            assert!(!id_number_holds(number), "{number}");
        }
    }

    #[test]
    fn birth_and_sex_are_read_from_the_number() {
        assert_eq!(id_number_birth("11010519491231002X"), NaiveDate::from_ymd_opt(1949, 12, 31));
        assert_eq!(id_number_birth("11010519491331002X"), None);
        assert_eq!(id_number_sex("11010519491231002X"), Some("女"));
        assert_eq!(id_number_sex("440524188001010014"), Some("男"));
    }

    #[test]
    fn published_credit_codes_hold_with_their_inner_code() {
        // Codes that large listed companies print on their own sites.
        for code in ["91440300708461136T", "91110000802100433B", "9144030071526726XG"] {
            assert!(credit_code_holds(code), "{code}");
            assert!(inner_organisation_code_holds(code), "{code}");
        }
        assert!(!credit_code_holds("91440300708461136A"));
        assert!(!credit_code_holds("9144O300708461136T"));
        assert!(!credit_code_holds(""));
    }

    #[test]
    fn obsolete_numbers_are_known() {
        // The published example of the upgrade in GB 11643.
        assert_eq!(id_number_of_15("110105491231002").as_deref(), Some("11010519491231002X"));
        assert_eq!(id_number_of_15("110105491331002"), None);
        assert!(registration_number_holds("110108000000016"));
        assert!(!registration_number_holds("110108000000017") && !registration_number_holds("11010800000001"));
    }

    #[test]
    fn travel_numbers_follow_their_forms() {
        type Holds = fn(&str) -> bool;
        for (holds, good, bad) in [
            (
                hkmo_number_holds as Holds,
                &["C12345678", "CA0000001", "W12345678"][..],
                &["CI0000001", "C1234567", "D12345678", "", "证12345678"][..],
            ),
            (taiwan_number_holds, &["L12345678", "T12345678"], &["T1234567", "C12345678", ""]),
            (compatriot_number_holds, &["12345678", "1234567801", "1234567801B"], &["123456789", "1234567B", "证件"]),
            (
                passport_number_holds,
                &["E12345678", "EA1234567", "G12345678", "PE1234567", "D1234567"],
                &["EO1234567", "X12345678", "E1234567", "护照"],
            ),
        ] {
            assert!(good.iter().all(|number| holds(number)), "{good:?}");
            assert!(!bad.iter().any(|number| holds(number)), "{bad:?}");
        }
    }

    #[test]
    fn unit_codes_follow_the_structure() {
        for (code, holds) in [
            ("510107003005GB00012F00030005", true),
            ("510107003005GB00012W00000000", true),
            ("510107003005GB00012W00030005", false),
            ("510107003005XB00012F00030005", false),
            ("51010700300SGB00012F00030005", false),
            ("510107003005GB00012F0003000", false),
        ] {
            assert_eq!(unit_code_holds(code), holds, "{code}");
        }
    }

    fn replaced(text: &str, at: usize, with: u8) -> String {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = with;
        String::from_utf8(bytes).expect("ASCII stays UTF-8")
    }

    proptest! {
        #[test]
        fn any_single_digit_change_in_an_id_number_is_caught(first17 in "[1-9][0-9]{16}", at in 0usize..18, with in b'0'..=b'9') {
            let number = format!("{first17}{}", id_check_digit(&first17).unwrap());
            prop_assert!(id_number_holds(&number));
            let changed = replaced(&number, at, with);
            prop_assert_eq!(id_number_holds(&changed), changed == number);
        }

        #[test]
        fn swapping_neighbours_in_an_id_number_is_caught(first17 in "[1-9][0-9]{16}", at in 0usize..16) {
            let number = format!("{first17}{}", id_check_digit(&first17).unwrap());
            let mut bytes = number.clone().into_bytes();
            bytes.swap(at, at + 1);
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(id_number_holds(&changed), changed == number);
        }

        #[test]
        fn any_single_change_in_a_credit_code_is_caught(first17 in "9[1-3][0-9]{6}[0-9A-HJ-NPQRTUWXY]{9}", at in 0usize..18, with in 0usize..31) {
            let code = format!("{first17}{}", credit_check_digit(&first17).unwrap());
            prop_assert!(credit_code_holds(&code));
            let changed = replaced(&code, at, CREDIT_ALPHABET[with]);
            prop_assert_eq!(credit_code_holds(&changed), changed == code);
        }

        #[test]
        fn any_single_digit_change_in_a_registration_number_is_caught(first14 in "[0-9]{14}", at in 0usize..15, with in b'0'..=b'9') {
            let number = (0..10).map(|last| format!("{first14}{last}")).find(|number| registration_number_holds(number)).unwrap();
            let changed = replaced(&number, at, with);
            prop_assert_eq!(registration_number_holds(&changed), changed == number);
        }

        #[test]
        fn no_text_makes_a_check_panic(text in ".{0,40}") {
            let _ = (id_number_holds(&text), id_number_birth(&text), id_number_sex(&text), credit_code_holds(&text),
                inner_organisation_code_holds(&text), unit_code_holds(&text),
                id_number_of_15(&text), registration_number_holds(&text), hkmo_number_holds(&text), passport_number_holds(&text),
                taiwan_number_holds(&text), compatriot_number_holds(&text));
        }
    }
}
