//! How one claimed value compares with one read value, by the nature of the field.

use super::Outcome;
use crate::document::{DocumentKind, Field, date, text};

/// Two areas are equal within this many square metres: the last printed digit.
const AREA_TOLERANCE: f64 = 0.0101;

/// The nature of a field decides what counts as the same.
enum Nature {
    Code,
    Name,
    Date,
    Period,
    Address,
    Area,
    Text,
}

pub(super) fn compare(kind: DocumentKind, field: &str, claimed: &str, read: &Field) -> Outcome {
    let claimed = claimed.trim();
    if claimed == read.value || claimed == read.raw {
        return Outcome::Match;
    }
    let value = read.value.as_str();
    let same = match nature(kind, field) {
        Nature::Code => text::code(claimed) == text::code(value),
        Nature::Name => text::name(claimed) == text::name(value),
        Nature::Date => date::parse(claimed).is_some_and(|date| date::parse(value) == Some(date)),
        Nature::Period => period(claimed) == period(value) || text::name(claimed) == text::name(value),
        Nature::Address => text::address(claimed) == text::address(value),
        Nature::Area => area(claimed).zip(area(value)).is_some_and(|(a, b)| (a - b).abs() < AREA_TOLERANCE),
        Nature::Text => words(claimed) == words(value),
    };
    if same { Outcome::MatchAfterNormalisation } else { Outcome::Differ }
}

fn nature(kind: DocumentKind, field: &str) -> Nature {
    match (kind, field) {
        (_, "id_number" | "code" | "unit_code" | "print_number") => Nature::Code,
        (_, "name" | "holder" | "legal_person") => Nature::Name,
        (_, "birth_date" | "established" | "issue_date") => Nature::Date,
        (_, "term") => Nature::Period,
        (_, "address" | "location") => Nature::Address,
        (DocumentKind::DeedNew, "floor_area") => Nature::Area,
        _ => Nature::Text,
    }
}

/// Only what a person would read out: no punctuation, no case, units in one form.
fn words(value: &str) -> String {
    let plain = text::normalise(value).replace(['㎡', '²'], "m2").replace("平方米", "m2");
    plain.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn area(value: &str) -> Option<f64> {
    let digits: String = text::normalise(value).chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().ok()
}

/// The end of the period; `Err` when the text holds none, which equals nothing.
fn period(value: &str) -> Result<Option<chrono::NaiveDate>, String> {
    match (date::is_open_end(value), date::period_end(value)) {
        (true, _) => Ok(None),
        (false, Some(end)) => Ok(Some(end)),
        (false, None) => Err(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nature_has_its_own_idea_of_the_same() {
        use DocumentKind::{BusinessLicence, DeedNew, IdFront};
        use Outcome::{Differ, Match, MatchAfterNormalisation as Folded};
        for (kind, name, claimed, read, expected) in [
            (IdFront, "id_number", "11010519491231002X", "11010519491231002X", Match),
            (IdFront, "id_number", " 110105 19491231 002x", "11010519491231002X", Folded),
            (IdFront, "id_number", "110105194912310020", "11010519491231002X", Differ),
            (IdFront, "name", "张 三", "张三", Folded),
            (IdFront, "name", "張三", "张三", Folded),
            (IdFront, "name", "张叁", "张三", Differ),
            (IdFront, "birth_date", "1949年12月31日", "1949-12-31", Folded),
            (IdFront, "birth_date", "1949-12-30", "1949-12-31", Differ),
            (IdFront, "address", "朝阳区样本路12号院3栋二单元", "朝阳区样本路１２号院3幢2单元", Folded),
            (IdFront, "address", "朝阳区样本路12号", "朝阳区样本路13号", Differ),
            (BusinessLicence, "name", "样本（成都）有限公司", "样本(成都)有限公司", Folded),
            (BusinessLicence, "term", "长期", "2019年3月5日至长期", Folded),
            (BusinessLicence, "term", "至2039-03-04", "2019年3月5日至2039年3月4日", Folded),
            (BusinessLicence, "term", "长期", "2019年3月5日至2039年3月4日", Differ),
            (DeedNew, "floor_area", "89.5", "89.50", Folded),
            (DeedNew, "floor_area", "89.52", "89.50", Differ),
            (DeedNew, "number", "川（2023）成都市不动产权第0012345号", "川(2023)成都市不动产权第0012345号", Folded),
            (DeedNew, "area", "房屋建筑面积89.50平方米", "房屋建筑面积89.50㎡", Folded),
        ] {
            let field = Field {
                value: read.to_owned(),
                canonical: read.to_owned(),
                raw: read.to_owned(),
                confidence: 1.0,
                quad: Default::default(),
                checks: vec![],
            };
            assert_eq!(compare(kind, name, claimed, &field), expected, "{name}: {claimed} / {read}");
        }
    }
}
