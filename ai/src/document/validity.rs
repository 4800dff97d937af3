//! How long papers are valid (有效期限), and other things that must hold between printed values.

use chrono::{Datelike, Months, NaiveDate};

/// A temporary card is valid three months (Order 78 of the Ministry of Public Security, 2005); months differ by this many days.
const MONTH_SLACK_DAYS: i64 = 3;
/// Areas are printed to two decimals; a sum of two may be off by two in the last place.
const AREA_TOLERANCE: f64 = 0.021;

/// Whether a resident ID card's validity is one that the law knows (Resident ID Card Law, article 5): five years for those
/// under 16 at issue, ten from 16 to 25, twenty from 26 to 45, no end from 46 on. Without a birth any of these spans.
pub fn id_card_span_holds(start: NaiveDate, end: Option<NaiveDate>, birth: Option<NaiveDate>) -> bool {
    let spans: &[Option<i32>] = match birth.map(|birth| age(birth, start)) {
        None => &[Some(5), Some(10), Some(20), None],
        Some(..16) => &[Some(5)],
        Some(16..=25) => &[Some(10)],
        Some(26..=45) => &[Some(20)],
        Some(_) => &[None],
    };
    spans.iter().any(|span| match (span, end) {
        (None, None) => true,
        (Some(years), Some(end)) => whole_years(start, end) == Some(*years),
        _ => false,
    })
}

/// Whether a period is about three months, as a temporary card's is.
pub fn temporary_span_holds(start: NaiveDate, end: NaiveDate) -> bool {
    start.checked_add_months(Months::new(3)).is_some_and(|expected| (end - expected).num_days().abs() <= MONTH_SLACK_DAYS)
}

/// Whether a travel paper's validity is five or ten years; the last day is the same day or the one before it. The older
/// travel permits of Taiwan residents ran five years, single-journey ones three months.
pub fn travel_span_holds(start: NaiveDate, end: NaiveDate) -> bool {
    [end.succ_opt(), Some(end)].into_iter().flatten().any(|end| matches!(whole_years(start, end), Some(5 | 10)))
        || temporary_span_holds(start, end)
}

/// Whether a right to land use ends after 40, 50 or 70 years; the last day is the same day or the one before it.
pub fn land_span_holds(start: NaiveDate, end: NaiveDate) -> bool {
    [end.succ_opt(), Some(end)].into_iter().flatten().any(|end| matches!(whole_years(start, end), Some(40 | 50 | 70)))
}

/// Completed years at a day.
pub fn age(birth: NaiveDate, at: NaiveDate) -> i32 {
    at.year() - birth.year() - i32::from((at.month(), at.day()) < (birth.month(), birth.day()))
}

/// The years between two days with the same month and day; 29 February may end on a neighbour.
fn whole_years(start: NaiveDate, end: NaiveDate) -> Option<i32> {
    let same = (start.month(), start.day()) == (end.month(), end.day());
    let leap = (start.month(), start.day()) == (2, 29) && matches!((end.month(), end.day()), (2, 28) | (3, 1));
    (same || leap).then(|| end.year() - start.year())
}

/// Whether the private and the shared part make up the whole area.
pub fn areas_add_up(private: f64, shared: f64, whole: f64) -> bool {
    (private + shared - whole).abs() < AREA_TOLERANCE
}

/// Whether what lies inside is no larger than the whole.
pub fn inner_area_holds(inner: f64, whole: f64) -> bool {
    inner > 0.0 && inner < whole + AREA_TOLERANCE
}

/// Whether the floor, of which there may be several (1-2, 1、2), lies within the building; basements are negative.
pub fn floor_holds(floor: &str, total: &str) -> Option<bool> {
    let numbers = |text: &str| -> Vec<i32> { text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect() };
    let total = *numbers(total).first()?;
    let floors = numbers(floor);
    (!floors.is_empty()).then(|| floors.iter().all(|floor| (1..=total).contains(floor)))
}

/// Whether the values that a deed separates by `/` for land and house come in equal numbers; single ones hold for both.
pub fn pairs_hold(values: &[&str]) -> bool {
    let counts: Vec<usize> =
        values.iter().filter(|value| !value.is_empty()).map(|value| value.split('/').count()).filter(|&n| n > 1).collect();
    counts.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn cards_are_valid_by_age() {
        for (birth, start, end, holds) in [
            (Some("2010-01-01"), "2020-05-06", Some("2025-05-06"), true),
            (Some("2010-01-01"), "2020-05-06", Some("2030-05-06"), false),
            (Some("2000-05-06"), "2016-05-06", Some("2026-05-06"), true),
            (Some("1990-01-01"), "2020-05-06", Some("2040-05-06"), true),
            (Some("1970-01-01"), "2020-05-06", None, true),
            (Some("1970-01-01"), "2020-05-06", Some("2040-05-06"), false),
            (None, "2020-05-06", Some("2030-05-06"), true),
            (None, "2020-05-06", Some("2031-05-06"), false),
            (None, "2020-05-06", Some("2030-05-05"), false),
            (None, "2020-02-29", Some("2030-02-28"), true),
        ] {
            assert_eq!(id_card_span_holds(day(start), end.map(day), birth.map(day)), holds, "{birth:?} {start} {end:?}");
        }
    }

    #[test]
    fn other_papers_have_their_own_spans() {
        assert!(temporary_span_holds(day("2024-01-15"), day("2024-04-15")) && temporary_span_holds(day("2024-01-15"), day("2024-04-14")));
        assert!(!temporary_span_holds(day("2024-01-15"), day("2034-01-15")));
        assert!(travel_span_holds(day("2014-05-20"), day("2024-05-19")) && travel_span_holds(day("2014-05-20"), day("2019-05-20")));
        assert!(!travel_span_holds(day("2014-05-20"), day("2021-05-19")));
        assert!(land_span_holds(day("2013-05-01"), day("2053-04-30")) && !land_span_holds(day("2013-05-01"), day("2058-04-30")));
    }

    #[test]
    fn floors_lie_in_the_building_and_pairs_are_equal() {
        assert_eq!(floor_holds("3", "30"), Some(true));
        assert_eq!(floor_holds("1-2", "2"), Some(true));
        assert_eq!(floor_holds("31", "30"), Some(false));
        assert_eq!(floor_holds("", "30"), None);
        assert!(pairs_hold(&["a/b", "c/d", "e"]) && !pairs_hold(&["a/b", "c/d/e"]) && pairs_hold(&[]));
    }

    proptest! {
        #[test]
        fn a_part_and_its_rest_add_up(whole in 1u32..100_000, share in 0u32..100) {
            let private = whole * share / 100;
            let metres = |hundredths: u32| f64::from(hundredths) / 100.0;
            prop_assert!(areas_add_up(metres(private), metres(whole - private), metres(whole)));
            prop_assert!(!areas_add_up(metres(private), metres(whole - private + 3), metres(whole)));
            prop_assert!(private == 0 || inner_area_holds(metres(private), metres(whole)));
        }
    }
}
