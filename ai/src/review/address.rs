//! Compares addresses (地址): level by level, because people leave out the province or the city and never the house number.

use crate::document::text;

/// An address cut into its levels, each normalised; a level that is not written is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Levels {
    province: Option<String>,
    city: Option<String>,
    district: Option<String>,
    /// Road, number, building, unit and room in one, with numerals as digits and the words for a building folded.
    rest: String,
}

/// Whether both name the same place: the levels that both have are equal, and everything from the road on is equal, so that every
/// number matches. The road may not be all that one of them has left out.
pub(super) fn same(a: &str, b: &str) -> bool {
    let (whole_a, whole_b) = (text::address(a), text::address(b));
    if whole_a == whole_b {
        return true;
    }
    let (a, b) = (levels(&whole_a), levels(&whole_b));
    let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
    let shared = a.district.is_some() && a.district == b.district || a.city.is_some() && a.city == b.city;
    let upper = a.district.is_none() && b.district.is_none() && agree(&a.province, &b.province);
    !a.rest.is_empty()
        && a.rest == b.rest
        && agree(&a.province, &b.province)
        && agree(&a.city, &b.city)
        && agree(&a.district, &b.district)
        && (shared || upper)
}

fn levels(address: &str) -> Levels {
    let (province, rest) = level(address, &["特别行政区", "自治区", "省"], 8);
    let (city, rest) = level(rest, &["自治州", "地区", "盟", "市"], 11);
    let (district, rest) = level(rest, &["自治县", "自治旗", "新区", "区", "县", "旗", "市"], 11);
    // A municipality is province and city at once (北京市北京市朝阳区).
    let rest = city.as_deref().and_then(|city| rest.strip_prefix(city)).unwrap_or(rest);
    Levels { province, city, district, rest: rest.to_owned() }
}

/// The level at the beginning that ends in one of the words within `length_max` characters, without the word, and what follows it. A digit
/// before the word means that it is no name of a division.
fn level<'a>(address: &'a str, ends: &[&str], length_max: usize) -> (Option<String>, &'a str) {
    let first = ends.iter().filter_map(|end| Some((address.find(end)?, *end))).min_by_key(|(at, end)| (*at, std::cmp::Reverse(end.len())));
    match first {
        Some((at, end))
            if at > 0
                && address[..at].chars().count() <= length_max
                && !address[..at].contains(|c: char| c.is_ascii_digit() || matches!(c, '路' | '街' | '号')) =>
        {
            (Some(address[..at].to_owned()), &address[at + end.len()..])
        }
        _ => (None, address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_may_be_left_out_and_numbers_may_not_differ() {
        for (a, b, equal) in [
            ("四川省成都市武侯区人民路5栋三单元12室", "成都市武侯区人民路5幢3单元12室", true),
            ("武侯区人民路5栋", "四川省成都市武侯区人民路5座", true),
            ("广西壮族自治区南宁市青秀区民族大道1号", "南宁市青秀区民族大道1号", true),
            ("成都市武侯区人民路5栋", "成都市锦江区人民路5栋", false),
            ("成都市武侯区人民路5栋", "绵阳市武侯区人民路5栋", false),
            ("成都市武侯区人民路5栋", "成都市武侯区人民路6栋", false),
            ("成都市武侯区人民路5栋12室", "成都市武侯区人民路5栋", false),
            ("成都市武侯区", "成都市", false),
            ("人民路5号", "武侯区人民路5号", false),
            ("", "", true),
            ("成都市武侯区人民路5号", "成都市人民路5号", true),
            // What ends like a division after a number or a road is none.
            ("武侯区3组超市2楼", "成都市武侯区3组超市2楼", true),
            ("武侯区人民路超市二楼", "成都市武侯区人民路超市2楼", true),
        ] {
            assert_eq!(same(a, b), equal, "{a} / {b}");
            assert_eq!(same(b, a), equal, "{b} / {a}");
        }
    }
}
