//! How one claimed value compares with one read value, by the nature of the field.

use super::{Outcome, address};
use crate::document::{DocumentKind, Field, date, id_card, text};

/// Two areas are equal within this many square metres: the last printed digit.
const AREA_TOLERANCE: f64 = 0.0101;

/// The nature of a field decides what counts as the same.
enum Nature {
    Code,
    Name,
    Date,
    /// Two ends, both of which count.
    Span,
    /// Only its end counts.
    Period,
    Address,
    Area,
    Sex,
    Ethnicity,
    Text,
}

pub(super) fn compare(kind: DocumentKind, field: &str, claimed: &str, read: &Field) -> Outcome {
    let claimed = claimed.trim();
    if claimed == read.value {
        return Outcome::Match;
    }
    let value = if read.canonical.is_empty() { read.value.as_str() } else { read.canonical.as_str() };
    let same = match nature(kind, field) {
        Nature::Code => text::code(claimed) == text::code(value),
        Nature::Name => text::name(claimed) == text::name(value),
        Nature::Date => date::parse(claimed).is_some_and(|date| date::parse(value) == Some(date)),
        Nature::Period => period(claimed) == period(value) || text::name(claimed) == text::name(value),
        Nature::Address => address::same(claimed, value),
        Nature::Area => area(claimed).zip(area(value)).is_some_and(|(a, b)| (a - b).abs() < AREA_TOLERANCE),
        Nature::Span => id_card::period(claimed).is_some_and(|period| id_card::period(&read.value) == Some(period)),
        Nature::Sex => sex(claimed).is_some_and(|claimed| sex(value) == Some(claimed)),
        Nature::Ethnicity => text::normalise(claimed).trim_end_matches('族') == text::normalise(value).trim_end_matches('族'),
        Nature::Text => words(claimed) == words(value),
    };
    if same { Outcome::MatchAfterNormalisation } else { Outcome::Differ }
}

fn nature(kind: DocumentKind, field: &str) -> Nature {
    match (kind, field) {
        (_, "id_number" | "code" | "unit_code" | "print_number" | "mrz1" | "mrz2" | "household_number") => Nature::Code,
        (DocumentKind::Passport | DocumentKind::HkmoPermit | DocumentKind::TaiwanPermit | DocumentKind::TaiwanCompatriot, "number") => {
            Nature::Code
        }
        (_, "name" | "holder" | "legal_person" | "owner" | "head_name" | "former_name" | "pinyin") => Nature::Name,
        (_, "birth_date" | "established" | "issue_date" | "expiry_date" | "registration_date") => Nature::Date,
        (_, "valid_period") => Nature::Span,
        (_, "term") => Nature::Period,
        (_, "address" | "location" | "other_address") => Nature::Address,
        (_, "floor_area" | "inner_area") | (DocumentKind::DeedOld, "area") => Nature::Area,
        (_, "sex") => Nature::Sex,
        (_, "ethnicity") => Nature::Ethnicity,
        _ => Nature::Text,
    }
}

/// Only what a person would read out: no punctuation, no case, units in one form.
fn words(value: &str) -> String {
    let plain = text::normalise(value).replace('²', "2").replace('㎡', "m2").replace("平方米", "m2");
    plain.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// 男 or 女 however it is written: 男/M, M, 男性.
fn sex(value: &str) -> Option<char> {
    value.chars().find_map(|c| match c {
        '男' | 'M' | 'm' => Some('男'),
        '女' | 'F' | 'f' => Some('女'),
        _ => None,
    })
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
            (DocumentKind::Passport, "sex", "男", "男/M", Folded),
            (DocumentKind::Passport, "sex", "女", "男/M", Differ),
            (DocumentKind::Passport, "birth_date", "1990-05-08", "08 5月/MAY 1990", Folded),
            (DocumentKind::IdBack, "valid_period", "2010-01-01至长期", "2010.01.01-长期", Folded),
            (DocumentKind::IdBack, "valid_period", "2010.01.01-2030.01.01", "2010.01.01-长期", Differ),
            (DocumentKind::IdBack, "valid_period", "2011.01.01-2030.01.01", "2010.01.01-2030.01.01", Differ),
            (DocumentKind::HouseholdMember, "ethnicity", "汉", "汉族", Folded),
            (DocumentKind::DeedOld, "area", "81.16平方米", "81.16", Folded),
            (DocumentKind::DeedOld, "area", "81.16", "81.18", Differ),
            (DocumentKind::HkmoPermit, "pinyin", "ZHANG SAN", "ZHANG, SAN", Folded),
            (DocumentKind::HkmoPermit, "number", "c88608477", "C88608477", Folded),
            (DeedNew, "number", "川（2023）成都市不动产权第0012345号", "川(2023)成都市不动产权第0012345号", Folded),
            (DeedNew, "area", "房屋建筑面积89.50平方米", "房屋建筑面积89.50㎡", Folded),
            (DeedNew, "area", "房屋建筑面积89.50m²", "房屋建筑面积89.50㎡", Folded),
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
