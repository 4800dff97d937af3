//! What a close writes down, from what was booked. Pure.
//!
//! Entries of an account are numbered in commit order, and around midnight a poster that read the clock before it may commit after one
//! that read it later: entries of two days alternate there. So a day's figures are told by the accounting date alone, and the
//! cut-off is the last entry with nothing of a later day at or below it. Where the days do not alternate it is the day's last entry.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};

use crate::base::id::AccountId;
use crate::base::money::Currency;

/// A month of the calendar in Asia/Shanghai: what is closed after its last day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(NaiveDate);

impl Month {
    /// The month a day belongs to.
    pub fn of(day: NaiveDate) -> Self {
        Self(day - TimeDelta::days(day.day0().into()))
    }

    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    pub fn last_day(self) -> NaiveDate {
        self.next().0 - TimeDelta::days(1)
    }

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + Months::new(1))
    }

    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0 - Months::new(1))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.format("%Y-%m").fmt(f)
    }
}

/// A text that is not a month such as `2026-11`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a month is written as 2026-11")]
pub struct NotAMonth;

impl std::str::FromStr for Month {
    type Err = NotAMonth;
    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        // four digits for the year: the calendar goes much further, but sums of days would leave it there
        let (year, month) = text.split_once('-').ok_or(NotAMonth)?;
        if (year.len(), month.len()) != (4, 2) || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Err(NotAMonth);
        }
        NaiveDate::from_ymd_opt(year.parse().map_err(|_| NotAMonth)?, month.parse().map_err(|_| NotAMonth)?, 1).map(Self).ok_or(NotAMonth)
    }
}

/// An account under its lock, with where its last closed day left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenAccount {
    pub id: AccountId,
    pub currency: Currency,
    /// Number of the last entry.
    pub seq: i64,
    /// Every entry up to it belongs to a closed day; 0 before the first close.
    pub cutoff_seq: i64,
    /// The sum of all entries of closed days.
    pub balance_minor: i64,
}

/// What one account booked on one day, as far as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Movement {
    pub account: AccountId,
    pub day: NaiveDate,
    pub first_seq: i64,
    pub last_seq: i64,
    pub debits_minor: i64,
    pub credits_minor: i64,
    /// Postings whose first line is one of these entries: over all accounts, each posting once.
    pub postings: i64,
    pub business_from: NaiveDate,
    pub business_to: NaiveDate,
    pub recorded_from: DateTime<Utc>,
    pub recorded_to: DateTime<Utc>,
}

impl Movement {
    /// Takes in what was read of the same account and day elsewhere.
    fn absorb(&mut self, other: &Self) -> Result<(), Unsound> {
        self.first_seq = self.first_seq.min(other.first_seq);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.debits_minor = self.debits_minor.checked_add(other.debits_minor).ok_or(Unsound::Overflow)?;
        self.credits_minor = self.credits_minor.checked_add(other.credits_minor).ok_or(Unsound::Overflow)?;
        self.postings += other.postings;
        self.business_from = self.business_from.min(other.business_from);
        self.business_to = self.business_to.max(other.business_to);
        self.recorded_from = self.recorded_from.min(other.recorded_from);
        self.recorded_to = self.recorded_to.max(other.recorded_to);
        Ok(())
    }
}

/// What was read of a book's open entries, a part at a time.
#[derive(Default, Debug)]
pub struct Movements(HashMap<AccountId, BTreeMap<NaiveDate, Movement>>);

impl Movements {
    /// Adds what one statement read.
    pub fn add(&mut self, read: Vec<Movement>) -> Result<(), Unsound> {
        for movement in read {
            let days = self.0.entry(movement.account).or_default();
            match days.get_mut(&movement.day) {
                Some(known) => known.absorb(&movement)?,
                None => {
                    days.insert(movement.day, movement);
                }
            }
        }
        Ok(())
    }
}

/// Why a book is not closed: its figures contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsound {
    #[error("debits and credits of {day} differ in {}", currency.as_str())]
    DayUnbalanced { day: NaiveDate, currency: Currency },
    #[error("debits and credits of the month differ in {}", currency.as_str())]
    MonthUnbalanced { currency: Currency },
    #[error("what an account brought forward and moved is not what it carries forward")]
    NotCarriedForward,
    #[error("a sum does not fit")]
    Overflow,
}

/// A day to be written down as closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayClose {
    pub day: NaiveDate,
    /// The first of the idle days that are closed with it.
    pub from_day: NaiveDate,
    pub postings: i64,
}

/// An account's part in a closed day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayBalance {
    pub movement: Movement,
    pub cutoff_seq: i64,
    pub balance_minor: i64,
}

/// What to write when the days of a book are closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Oldest first; the last one is the day that was asked for.
    pub days: Vec<DayClose>,
    pub balances: Vec<DayBalance>,
}

/// Closes the open days of a book up to `through`: each day with a posting by itself, idle ones together with the next.
///
/// `from` is the first open day: the day after the last closed one, or the book's first. `movements` hold every entry above the
/// accounts' cut-offs, later days too: they say where the cut-off lies.
pub fn close_days(
    closed_day: Option<NaiveDate>,
    opened: NaiveDate,
    through: NaiveDate,
    accounts: &[OpenAccount],
    movements: &Movements,
) -> Result<Closing, Unsound> {
    // above a cut-off there may be entries of days that were closed: counted then, so not now
    let open = |day: &NaiveDate| closed_day.is_none_or(|closed| *day > closed);
    let mut postings: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    let mut moved: BTreeMap<(NaiveDate, &str), (Currency, i128)> = BTreeMap::new();
    let mut balances = Vec::new();
    for account in accounts {
        let Some(days) = movements.0.get(&account.id) else { continue };
        let mut balance_minor = account.balance_minor;
        for (day, movement) in days.iter().filter(|(day, _)| open(day) && **day <= through) {
            let net = movement.debits_minor.checked_sub(movement.credits_minor).ok_or(Unsound::Overflow)?;
            balance_minor = balance_minor.checked_add(net).ok_or(Unsound::Overflow)?;
            let later = days.range(day..).skip(1).map(|(_, later)| later.first_seq).min();
            balances.push(DayBalance {
                movement: movement.clone(),
                cutoff_seq: later.map_or(account.seq, |first| first - 1),
                balance_minor,
            });
            *postings.entry(*day).or_default() += movement.postings;
            moved.entry((*day, account.currency.as_str())).or_insert((account.currency, 0)).1 += i128::from(net);
        }
    }
    if let Some(((day, _), (currency, _))) = moved.into_iter().find(|(_, (_, net))| *net != 0) {
        return Err(Unsound::DayUnbalanced { day, currency });
    }
    postings.entry(through).or_default();
    let first = postings.keys().next().copied().unwrap_or(through);
    let mut from_day = closed_day.map_or(opened.min(first), |closed| closed + TimeDelta::days(1));
    let days = postings
        .into_iter()
        .map(|(day, postings)| {
            let close = DayClose { day, from_day, postings };
            from_day = day + TimeDelta::days(1);
            close
        })
        .collect();
    Ok(Closing { days, balances })
}

/// An account's line of a month's trial balance (试算平衡). Debit positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrialLine {
    pub account: AccountId,
    pub currency: Currency,
    pub opening_minor: i64,
    pub debits_minor: i64,
    pub credits_minor: i64,
    pub closing_minor: i64,
}

/// A month may be closed when every account carries forward what it brought forward and moved, and debits equal credits in each currency.
pub fn check_trial_balance(lines: &[TrialLine]) -> Result<(), Unsound> {
    let mut sums: HashMap<Currency, [i128; 2]> = HashMap::new();
    for line in lines {
        let [opening, debits, credits, closing] =
            [line.opening_minor, line.debits_minor, line.credits_minor, line.closing_minor].map(i128::from);
        if opening + debits - credits != closing {
            return Err(Unsound::NotCarriedForward);
        }
        let sum = sums.entry(line.currency).or_default();
        sum[0] += debits - credits;
        sum[1] += closing;
    }
    match sums.into_iter().find(|(_, sum)| *sum != [0, 0]) {
        Some((currency, _)) => Err(Unsound::MonthUnbalanced { currency }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, n).unwrap()
    }

    fn account(n: u128, seq: i64, cutoff_seq: i64, balance_minor: i64) -> OpenAccount {
        OpenAccount { id: AccountId(Uuid::from_u128(n)), currency: Currency::Cny, seq, cutoff_seq, balance_minor }
    }

    /// Entries of an account as (number, day, amount); a debit counts its posting.
    fn movements(entries: &[(u128, i64, u32, i64)]) -> Movements {
        let mut movements = Movements::default();
        for &(account, seq, n, amount) in entries {
            let at = day(n).and_hms_opt(1, 0, 0).unwrap().and_utc();
            let movement = Movement {
                account: AccountId(Uuid::from_u128(account)),
                day: day(n),
                first_seq: seq,
                last_seq: seq,
                debits_minor: amount.max(0),
                credits_minor: (-amount).max(0),
                postings: i64::from(amount > 0),
                business_from: day(n),
                business_to: day(n),
                recorded_from: at,
                recorded_to: at,
            };
            movements.add(vec![movement]).unwrap();
        }
        movements
    }

    fn days(closing: &Closing) -> Vec<(NaiveDate, NaiveDate, i64)> {
        closing.days.iter().map(|d| (d.from_day, d.day, d.postings)).collect()
    }

    /// (account, day, cut-off, balance), in the order they are planned.
    fn balances(closing: &Closing) -> Vec<(u128, NaiveDate, i64, i64)> {
        closing.balances.iter().map(|b| (b.movement.account.0.as_u128(), b.movement.day, b.cutoff_seq, b.balance_minor)).collect()
    }

    #[test]
    fn idle_days_are_closed_with_the_next_busy_one() {
        let accounts = [account(1, 2, 0, 0), account(2, 2, 0, 0)];
        let booked = movements(&[(1, 1, 3, 100), (2, 1, 3, -100), (1, 2, 6, 50), (2, 2, 6, -50)]);
        let closing = close_days(None, day(1), day(8), &accounts, &booked).unwrap();
        assert_eq!(days(&closing), [(day(1), day(3), 1), (day(4), day(6), 1), (day(7), day(8), 0)]);
        assert_eq!(balances(&closing), [(1, day(3), 1, 100), (1, day(6), 2, 150), (2, day(3), 1, -100), (2, day(6), 2, -150)]);
    }

    #[test]
    fn a_book_that_never_moved_is_closed_from_its_first_day() {
        assert_eq!(days(&close_days(None, day(2), day(5), &[], &Movements::default()).unwrap()), [(day(2), day(5), 0)]);
        assert_eq!(days(&close_days(None, day(9), day(5), &[], &Movements::default()).unwrap()), [(day(5), day(5), 0)]);
        assert_eq!(days(&close_days(Some(day(4)), day(2), day(5), &[], &Movements::default()).unwrap()), [(day(5), day(5), 0)]);
    }

    /// Entries 2 and 4 were booked on the 2nd, between entries of the 1st: the figures go by the date, the cut-off by the number.
    #[test]
    fn entries_that_alternate_around_midnight_count_for_the_day_they_are_booked_on() {
        let entries = [(1, 1, 1, 100), (1, 2, 2, 7), (1, 3, 1, 30), (1, 4, 2, 5), (2, 1, 1, -130), (2, 2, 2, -12)];
        let booked = movements(&entries);
        let first = close_days(None, day(1), day(1), &[account(1, 4, 0, 0), account(2, 2, 0, 0)], &booked).unwrap();
        assert_eq!(days(&first), [(day(1), day(1), 2)]);
        assert_eq!(balances(&first), [(1, day(1), 1, 130), (2, day(1), 1, -130)]);
        // The next close reads from the cut-off and meets entry 3 again, which was counted.
        let again = movements(&[(1, 2, 2, 7), (1, 3, 1, 30), (1, 4, 2, 5), (2, 2, 2, -12)]);
        let second = close_days(Some(day(1)), day(1), day(2), &[account(1, 4, 1, 130), account(2, 2, 1, -130)], &again).unwrap();
        assert_eq!(balances(&second), [(1, day(2), 4, 142), (2, day(2), 2, -142)]);
        // Both days in one close come to the same.
        let both = close_days(None, day(1), day(2), &[account(1, 4, 0, 0), account(2, 2, 0, 0)], &booked).unwrap();
        assert_eq!(
            both.balances,
            [first.balances[0].clone(), second.balances[0].clone(), first.balances[1].clone(), second.balances[1].clone()]
        );
    }

    #[test]
    fn a_day_that_does_not_balance_is_not_closed() {
        let accounts = [account(1, 1, 0, 0), account(2, 1, 0, 0)];
        let refused = close_days(None, day(1), day(1), &accounts, &movements(&[(1, 1, 1, 100), (2, 1, 1, -99)]));
        assert_eq!(refused, Err(Unsound::DayUnbalanced { day: day(1), currency: Currency::Cny }));
    }

    #[test]
    fn a_month_is_closed_only_when_it_adds_up() {
        let line = |n, opening_minor, debits_minor, credits_minor, closing_minor| TrialLine {
            account: AccountId(Uuid::from_u128(n)),
            currency: Currency::Cny,
            opening_minor,
            debits_minor,
            credits_minor,
            closing_minor,
        };
        let unbalanced = Err(Unsound::MonthUnbalanced { currency: Currency::Cny });
        let cases = [
            ("nothing at all", vec![], Ok(())),
            ("a sound month", vec![line(1, 10, 100, 30, 80), line(2, -10, 30, 100, -80)], Ok(())),
            (
                "a line that does not carry forward",
                vec![line(1, 10, 100, 30, 81), line(2, -10, 30, 100, -81)],
                Err(Unsound::NotCarriedForward),
            ),
            ("debits without credits", vec![line(1, 10, 100, 30, 80), line(2, -10, 30, 99, -79)], unbalanced),
            ("brought forward out of nothing", vec![line(1, 10, 100, 100, 10)], unbalanced),
        ];
        for (name, lines, expected) in cases {
            assert_eq!(check_trial_balance(&lines), expected, "{name}");
        }
    }

    #[test]
    fn a_month_knows_its_days() {
        let month: Month = "2028-02".parse().unwrap();
        assert_eq!((month.first_day(), month.last_day()), ("2028-02-01".parse().unwrap(), "2028-02-29".parse().unwrap()));
        assert_eq!(Month::of(month.last_day()), month);
        assert_eq!((month.next().to_string(), month.previous().to_string()), ("2028-03".to_owned(), "2028-01".to_owned()));
        assert_eq!(Month::of(day(30)).next().next().to_string(), "2027-01");
        for text in ["2026-13", "2026", "", "2026-11-01", "11-2026", "2026-1", "+262142-12", "-001-01", "2026--1"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
