//! How much a programme pays of an order, how a refund is cut into cash and subsidy, and what a programme may look like. Pure.

use chrono::{DateTime, Utc};

use super::{CreateProgramme, Programme, ProgrammeStatus, SubsidyError};
use crate::base::money::{AMOUNT_MINOR_MAX, Money};
use crate::product::rules::is_code;

/// All of an order, in basis points.
pub const WHOLE_BPS: i32 = 10_000;

/// Longest name, in characters.
pub const NAME_MAX: usize = 32;

/// Longest number of a bank's transfer.
pub const REFERENCE_MAX: usize = 64;

/// Checks what the caller may choose freely.
pub fn check(cmd: &CreateProgramme) -> Result<(), SubsidyError> {
    if !is_code(&cmd.code) {
        return Err(SubsidyError::CodeInvalid);
    }
    if !(1..=NAME_MAX).contains(&cmd.name.chars().count()) || cmd.name.trim().is_empty() || cmd.name.chars().any(char::is_control) {
        return Err(SubsidyError::NameInvalid);
    }
    if cmd.share_bps.is_none() && cmd.order_max.is_none() {
        return Err(SubsidyError::Unlimited);
    }
    if cmd.share_bps.is_some_and(|bps| !(1..=WHOLE_BPS).contains(&bps)) {
        return Err(SubsidyError::ShareInvalid);
    }
    if cmd.order_max.is_some_and(|max| !(1..=AMOUNT_MINOR_MAX).contains(&max.minor)) {
        return Err(SubsidyError::MaxInvalid);
    }
    if cmd.starts_at >= cmd.ends_at { Err(SubsidyError::SpanInvalid) } else { Ok(()) }
}

/// Checks a movement's amount and the bank's number of it.
pub fn check_movement(amount: Money, reference: &str) -> Result<(), SubsidyError> {
    if !(1..=AMOUNT_MINOR_MAX).contains(&amount.minor) {
        return Err(SubsidyError::AmountInvalid);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=REFERENCE_MAX).contains(&reference.len()) && reference.bytes().all(plain) {
        Ok(())
    } else {
        Err(SubsidyError::ReferenceInvalid)
    }
}

impl Programme {
    /// Whether an order made now gets a part.
    pub fn pays(&self, now: DateTime<Utc>) -> bool {
        self.status == ProgrammeStatus::Active && (self.starts_at..self.ends_at).contains(&now)
    }

    /// What it pays of an order of this amount: its share, down to the fen, at most its maximum, and never all of it, since a channel cannot be
    /// asked for nothing. Zero: nothing.
    pub fn part_of(&self, amount: Money) -> Money {
        let share = i128::from(amount.minor) * i128::from(self.share_bps) / i128::from(WHOLE_BPS);
        // a share of at most the whole is at most the amount
        let share = i64::try_from(share).unwrap_or(amount.minor);
        let most = self.order_max.map_or(i64::MAX, |max| max.minor);
        Money { minor: share.min(most).min(amount.minor - 1).max(0), ..amount }
    }
}

/// The order whose refunds are cut, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    pub total_minor: i64,
    /// What the programme paid of it.
    pub subsidy_minor: i64,
}

/// What of a refund of `now_minor` goes back to the programme (R4), after standing refunds of `before_minor`, of which `returned_minor` went
/// or will go back to it. The payer gets the rest.
///
/// By largest remainder over all that is refunded: of `before + now` the programme's share, rounded to the nearer fen, half a fen to the payer,
/// less its shares of before. So the parts of any refunds that come to the order come to its subsidy and its cash exactly, in whatever
/// pieces, whatever failed in between; and no piece takes more of either than is left of it.
pub fn part_back(whole: Whole, before_minor: i64, returned_minor: i64, now_minor: i64) -> i64 {
    let Whole { total_minor, subsidy_minor } = whole;
    let after_minor = before_minor + now_minor;
    let (product, total) = (i128::from(after_minor) * i128::from(subsidy_minor), i128::from(total_minor.max(1)));
    let (floor, rest) = (product / total, product % total);
    let due = floor + i128::from(2 * rest > total) - i128::from(returned_minor);
    // no more cash than was paid, no more subsidy than was, and neither part below zero
    let least = (after_minor - (total_minor - subsidy_minor) - returned_minor).max(0);
    let most = now_minor.min(subsidy_minor - returned_minor);
    i64::try_from(due).unwrap_or(least).min(most).max(least)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::base::id::{ProgrammeId, UserId};

    fn at() -> DateTime<Utc> {
        "2026-11-22T04:00:00Z".parse().unwrap()
    }

    fn programme(share_bps: i32, order_max_minor: Option<i64>) -> Programme {
        Programme {
            id: ProgrammeId::new(),
            code: "SPRING".to_owned(),
            name: "春季补贴".to_owned(),
            share_bps,
            order_max: order_max_minor.map(Money::cny),
            starts_at: at(),
            ends_at: at() + TimeDelta::days(1),
            status: ProgrammeStatus::Active,
            created_by: UserId::new(),
            created_at: at(),
            ended_at: None,
        }
    }

    #[test]
    fn a_part_is_the_share_down_to_the_fen_within_its_maximum_and_never_the_whole() {
        let cases = [
            (1_000, None, 10_000, 1_000),
            (1_000, None, 999, 99),
            (1_000, None, 9, 0),
            (1_000, Some(500), 10_000, 500),
            (1_000, Some(5_000), 10_000, 1_000),
            (WHOLE_BPS, Some(500), 10_000, 500),
            (WHOLE_BPS, Some(500), 500, 499),
            (WHOLE_BPS, None, 1, 0),
            (1, None, AMOUNT_MINOR_MAX, 100_000_000),
        ];
        for (bps, max, amount, expected) in cases {
            assert_eq!(programme(bps, max).part_of(Money::cny(amount)).minor, expected, "{bps} bps up to {max:?} of {amount}");
        }
    }

    #[test]
    fn a_programme_pays_from_its_first_moment_until_before_its_last_or_its_end() {
        let (active, ended) = (programme(1, None), Programme { status: ProgrammeStatus::Ended, ..programme(1, None) });
        let tick = TimeDelta::milliseconds(1);
        let cases = [(at() - tick, false), (at(), true), (at() + TimeDelta::days(1) - tick, true), (at() + TimeDelta::days(1), false)];
        for (now, pays) in cases {
            assert_eq!(active.pays(now), pays, "{now}");
            assert!(!ended.pays(now));
        }
    }

    #[test]
    fn what_a_programme_may_look_like() {
        let good = CreateProgramme {
            code: "SPRING_2026".to_owned(),
            name: "春季补贴".to_owned(),
            share_bps: Some(1_000),
            order_max: Some(Money::cny(500)),
            starts_at: at(),
            ends_at: at() + TimeDelta::days(1),
            idempotency_key: Uuid::nil(),
        };
        assert!(check(&good).is_ok());
        assert!(check(&CreateProgramme { share_bps: None, ..good.clone() }).is_ok());
        assert!(check(&CreateProgramme { order_max: None, ..good.clone() }).is_ok());
        type Case = (fn(CreateProgramme) -> CreateProgramme, fn(&SubsidyError) -> bool);
        let cases: [Case; 9] = [
            (|c| CreateProgramme { code: "spring".to_owned(), ..c }, |e| matches!(e, SubsidyError::CodeInvalid)),
            (|c| CreateProgramme { code: String::new(), ..c }, |e| matches!(e, SubsidyError::CodeInvalid)),
            (|c| CreateProgramme { name: " ".to_owned(), ..c }, |e| matches!(e, SubsidyError::NameInvalid)),
            (|c| CreateProgramme { name: "补\n贴".to_owned(), ..c }, |e| matches!(e, SubsidyError::NameInvalid)),
            (|c| CreateProgramme { share_bps: None, order_max: None, ..c }, |e| matches!(e, SubsidyError::Unlimited)),
            (|c| CreateProgramme { share_bps: Some(0), ..c }, |e| matches!(e, SubsidyError::ShareInvalid)),
            (|c| CreateProgramme { share_bps: Some(10_001), ..c }, |e| matches!(e, SubsidyError::ShareInvalid)),
            (|c| CreateProgramme { order_max: Some(Money::cny(0)), ..c }, |e| matches!(e, SubsidyError::MaxInvalid)),
            (|c| CreateProgramme { ends_at: c.starts_at, ..c }, |e| matches!(e, SubsidyError::SpanInvalid)),
        ];
        for (n, (change, expected)) in cases.into_iter().enumerate() {
            assert!(check(&change(good.clone())).is_err_and(|e| expected(&e)), "case {n}");
        }
    }

    #[test]
    fn a_movement_has_an_amount_and_the_banks_number() {
        let long = "1".repeat(REFERENCE_MAX);
        let cases = [
            (1, "2026112200001", true),
            (AMOUNT_MINOR_MAX, long.as_str(), true),
            (0, "1", false),
            (-1, "1", false),
            (AMOUNT_MINOR_MAX + 1, "1", false),
            (1, "", false),
            (1, "a b", false),
            (1, "流水", false),
            (1, &format!("{long}1"), false),
        ];
        for (minor, reference, right) in cases {
            assert_eq!(check_movement(Money::cny(minor), reference).is_ok(), right, "{minor} {reference}");
        }
    }

    #[test]
    fn a_refund_is_cut_to_the_nearer_fen_and_half_a_fen_is_the_payers() {
        let whole = Whole { total_minor: 10_000, subsidy_minor: 1_000 };
        let cases =
            [(0, 0, 10_000, 1_000), (0, 0, 5, 0), (0, 0, 6, 1), (0, 0, 15, 1), (5, 0, 5, 1), (9_999, 1_000, 1, 0), (9_990, 999, 10, 1)];
        for (before, returned, now, expected) in cases {
            assert_eq!(part_back(whole, before, returned, now), expected, "{now} after {before}, of which {returned}");
        }
        // an order that the programme paid nearly all of: a fen of it may be all subsidy
        assert_eq!(part_back(Whole { total_minor: 100, subsidy_minor: 90 }, 0, 0, 1), 1);
        // and one that it paid nothing of gives nothing back
        assert_eq!(part_back(Whole { total_minor: 100, subsidy_minor: 0 }, 30, 0, 70), 0);
    }

    proptest! {
        /// Refunds of any sizes, some of which come to nothing again: neither part ever exceeds what it was, and when all is refunded both are whole.
        #[test]
        fn the_parts_of_refunds_come_to_the_orders_own_whatever_the_pieces(
            total in 2_i64..100_000, subsidy_ppm in 0_i64..1_000_000, pieces in prop::collection::vec((1_i64..20_000, 0_u8..4), 1..20),
        ) {
            let whole = Whole { total_minor: total, subsidy_minor: (total * subsidy_ppm / 1_000_000).min(total - 1) };
            let cash = total - whole.subsidy_minor;
            let mut standing: Vec<(i64, i64)> = Vec::new();
            let refund = |now: i64, standing: &mut Vec<(i64, i64)>| {
                let (before, returned) = standing.iter().fold((0, 0), |(a, s), (amount, part)| (a + amount, s + part));
                let now = now.min(total - before);
                if now > 0 {
                    standing.push((now, part_back(whole, before, returned, now)));
                }
            };
            for (size, fails) in pieces {
                if fails == 0 && !standing.is_empty() {
                    standing.remove(usize::try_from(size).unwrap() % standing.len());
                }
                refund(size, &mut standing);
                let (back, returned) = standing.iter().fold((0, 0), |(a, s), (amount, part)| (a + amount, s + part));
                prop_assert!(standing.iter().all(|(amount, part)| (0..=*amount).contains(part)), "{standing:?}");
                prop_assert!(returned <= whole.subsidy_minor && back - returned <= cash, "{standing:?}");
            }
            refund(total, &mut standing);
            let (back, returned) = standing.iter().fold((0, 0), |(a, s), (amount, part)| (a + amount, s + part));
            prop_assert_eq!((back, returned), (total, whole.subsidy_minor));
        }

        /// Without failures, each prefix is within half a fen of its exact share.
        #[test]
        fn every_refund_so_far_is_within_half_a_fen_of_its_share(
            total in 2_i64..100_000, subsidy_ppm in 0_i64..1_000_000, pieces in prop::collection::vec(1_i64..20_000, 1..12),
        ) {
            let whole = Whole { total_minor: total, subsidy_minor: (total * subsidy_ppm / 1_000_000).min(total - 1) };
            let (mut before, mut returned) = (0, 0);
            for size in pieces {
                let now = size.min(total - before);
                if now == 0 { break; }
                returned += part_back(whole, before, returned, now);
                before += now;
                let off = i128::from(before) * i128::from(whole.subsidy_minor) - i128::from(returned) * i128::from(total);
                prop_assert!(2 * off.abs() <= i128::from(total), "{before} of {total}: {returned} of {}", whole.subsidy_minor);
            }
        }
    }
}
