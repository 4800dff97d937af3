//! Masks (脱敏) for values shown to people who have no need to see them whole.

use ai::document::DocumentKind;

/// A person's name: the first character and two stars, whatever its length (张**).
pub fn name(name: &str) -> String {
    name.chars().next().map_or_else(String::new, |first| format!("{first}**"))
}

/// A resident ID number: first three and last four (110***********002X). Anything shorter than eight characters: stars only.
pub fn id_number(number: &str) -> String {
    keep(number, 3, 4)
}

/// The last four characters of an account number, as it is stored beside the sealed one.
pub fn account_tail(number: &str) -> String {
    let skipped = number.chars().count().saturating_sub(4);
    number.chars().skip(skipped).collect()
}

/// An address: up to the district (区, 县, 市), the rest as stars. Without a district in it: the first three characters.
pub fn address(address: &str) -> String {
    let characters: Vec<char> = address.chars().collect();
    let district = characters.iter().take(16).rposition(|c| matches!(c, '区' | '县' | '市')).map_or(3, |at| at + 1);
    if characters.len() <= district {
        return "****".to_owned();
    }
    let shown: String = characters[..district].iter().collect();
    format!("{shown}****")
}

/// Keeps `head` and `tail` characters and stars the rest, one star a character.
fn keep(text: &str, head: usize, tail: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    let hidden = characters.len().saturating_sub(head + tail);
    if hidden == 0 {
        return "*".repeat(characters.len());
    }
    let (first, last) = (&characters[..head], &characters[head + hidden..]);
    first.iter().copied().chain(std::iter::repeat_n('*', hidden)).chain(last.iter().copied()).collect()
}

/// The mask of one field of a document. What a public register shows of a company stays readable; what belongs to a person does not,
/// and a field nobody thought of is hidden.
pub fn field(kind: DocumentKind, field: &str, value: &str) -> String {
    match (kind, field) {
        (DocumentKind::BusinessLicence, "legal_person") => name(value),
        (DocumentKind::BusinessLicence, _) => value.to_owned(),
        (_, "name" | "holder" | "owner" | "head_name" | "former_name") => name(value),
        (_, "id_number" | "unit_code") => id_number(value),
        (_, "number" | "deed_number") => keep(value, 1, 4),
        (_, "address" | "location" | "other_address") => address(value),
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_numbers_are_masked() {
        assert_eq!(name("张三丰"), "张**");
        assert_eq!(name("张三"), "张**");
        assert_eq!(name(""), "");
        assert_eq!(id_number("11010519491231002X"), "110***********002X");
        assert_eq!(id_number("1234567"), "*******");
        assert_eq!(id_number("12345678"), "123*5678");
        assert_eq!(account_tail("6222020200112233445"), "3445");
        assert_eq!(account_tail("123"), "123");
    }

    #[test]
    fn addresses_end_at_the_district() {
        let cases = [
            ("北京市朝阳区建国路88号", "北京市朝阳区****"),
            ("浙江省杭州市西湖区文三路1号", "浙江省杭州市西湖区****"),
            ("某某路1号", "某某路****"),
            ("朝阳区", "****"),
            ("", "****"),
        ];
        for (full, masked) in cases {
            assert_eq!(address(full), masked, "{full}");
        }
    }

    #[test]
    fn a_company_stays_readable_and_its_person_does_not() {
        let licence = |f, v| field(DocumentKind::BusinessLicence, f, v);
        assert_eq!(licence("name", "好店商贸有限公司"), "好店商贸有限公司");
        assert_eq!(licence("legal_person", "李四"), "李**");
        assert_eq!(field(DocumentKind::IdFront, "birth_date", "1949-12-31"), "****");
        assert_eq!(field(DocumentKind::DeedNew, "number", "京(2023)朝不动产权第0012345号"), "京****************345号");
    }
}
