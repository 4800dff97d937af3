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
        fn no_text_makes_a_check_panic(text in ".{0,40}") {
            let _ = (id_number_holds(&text), id_number_birth(&text), id_number_sex(&text), credit_code_holds(&text),
                inner_organisation_code_holds(&text), unit_code_holds(&text));
        }
    }
}
