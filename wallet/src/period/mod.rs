//! Periods (会计期间): days and months of a book are closed in order and never open again (L12).
//!
//! A day is the Asia/Shanghai day that a posting is booked on. What comes after its close is booked on the first open day, and its
//! business date says which day it restates. One transaction closes a book: its row → all its accounts, in the order every posting
//! takes them, so that nothing of the book is in flight → what was booked since → days, balances and the marks that postings read.
//! A posting therefore comes before the close and is in its figures, or waits for it and is booked on the next day.
//!
//! | # | statement | holds up postings of the book |
//! |---|---|---|
//! | 1 | the accounts and their last cut-offs | no |
//! | 2 | fold what was booked since, a part at a time; only where it is much | no |
//! | 3 | lock the book's row | new accounts only |
//! | 4 | lock its accounts | from here |
//! | 5 | fold what was booked since 1 | |
//! | 6 | write | until the commit |
//!
//! Only books with a posting since their last close are closed; idle days are closed with the next busy one. Months ([`month`]) add up
//! closed days; the past is read by [`history`].
//!
//! Business time may go back in a sandbox. What is closed stays closed: postings are then booked on the day after the last closed one,
//! though the clock shows an earlier day.

mod error;
pub mod history;
mod month;
mod repo;
pub mod rules;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::PgPool;

pub use error::PeriodError;
pub use month::CloseMonth;
pub use rules::{Closing, DayClose, Month, Unsound};

use crate::base::actor::{Actor, Role};
use crate::base::clock::{Clock, business_day};
use crate::base::db;
use crate::base::id::{AccountId, BookId};
use repo::Range;
use rules::{Movements, OpenAccount};

/// Books looked at by one statement. Most of them are idle.
const BOOKS_PAGE: i64 = 1_000;

/// Entries folded under the accounts' locks without a fold before: some ten milliseconds.
const UNDER_LOCK_MAX: i64 = 5_000;

/// Entries folded by one statement outside the locks.
const FOLD_MAX: i64 = 50_000;

/// The service for periods.
#[derive(Clone, Debug)]
pub struct Periods {
    db: PgPool,
    clock: Clock,
}

impl Periods {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Closes the days of a book through `day`, asked for by a person: operators only. Returns what was closed.
    pub async fn close_days(&self, actor: &Actor, book: BookId, day: NaiveDate) -> Result<Closing, PeriodError> {
        actor.require_role(Role::Operator)?;
        self.close_through(book, day).await
    }

    /// Closes the days through `through` of every book that has postings on them. Returns how many books were closed.
    ///
    /// A book that cannot be closed does not keep the others waiting: its error is returned once all were tried.
    pub async fn close_due_days(&self, through: NaiveDate) -> Result<usize, PeriodError> {
        let (mut closed, mut failure, mut after) = (0, None, None);
        loop {
            let books = repo::due_books(&self.db, through, after, BOOKS_PAGE).await?;
            let Some(&(last, _)) = books.last() else { break };
            for (book, _) in books.into_iter().filter(|(_, due)| *due) {
                match self.close_through(book, through).await {
                    Ok(_) => closed += 1,
                    // another worker was faster
                    Err(PeriodError::DayClosed { .. }) => {}
                    Err(error) => {
                        tracing::error!(%book, %through, error = &error as &dyn std::error::Error, "the days of a book could not be closed");
                        failure.get_or_insert(error);
                    }
                }
            }
            after = Some(last);
        }
        failure.map_or(Ok(closed), Err)
    }

    async fn close_through(&self, book: BookId, through: NaiveDate) -> Result<Closing, PeriodError> {
        if through >= self.clock.today() {
            return Err(PeriodError::DayNotOver { day: through });
        }
        db::retrying(PeriodError::retryable, || self.close_once(book, through)).await.map_err(PeriodError::or_busy)
    }

    async fn close_once(&self, book: BookId, through: NaiveDate) -> Result<Closing, PeriodError> {
        let (mut movements, mut folded) = (Movements::default(), HashMap::new());
        let accounts = repo::accounts(&self.db, book).await?;
        if accounts.iter().map(|a| a.seq - a.cutoff_seq).sum::<i64>() > UNDER_LOCK_MAX {
            for ranges in parts(open_ranges(&accounts, &folded), FOLD_MAX) {
                movements.add(repo::fold(&self.db, book, &ranges).await?)?;
            }
            folded = accounts.iter().map(|a| (a.id, a.seq)).collect();
        }

        let mut tx = self.db.begin().await?;
        let open = repo::lock_book_in_tx(&mut tx, book).await?.ok_or(PeriodError::NotFound)?;
        if let Some(closed_day) = open.closed_day.filter(|closed| *closed >= through) {
            return Err(PeriodError::DayClosed { closed_day });
        }
        let accounts = repo::lock_accounts_in_tx(&mut tx, book).await?;
        let locked_at = std::time::Instant::now();
        let ranges = open_ranges(&accounts, &folded);
        if !ranges.is_empty() {
            movements.add(repo::fold(&mut *tx, book, &ranges).await?)?;
        }
        let opened = business_day(open.created_at);
        let closing = rules::close_days(open.closed_day, opened, through, &accounts, &movements)?;
        if open.closed_day.is_none() && through < opened && closing.balances.is_empty() {
            return Err(PeriodError::NotOpenYet { opened });
        }
        repo::close_days_in_tx(&mut tx, book, &closing, self.clock.now()).await?;
        tx.commit().await?;
        metrics::histogram!("period_close_locked_seconds").record(locked_at.elapsed());
        Ok(closing)
    }
}

/// The entries above the accounts' cut-offs, or above what was folded.
fn open_ranges(accounts: &[OpenAccount], folded: &HashMap<AccountId, i64>) -> Vec<Range> {
    accounts
        .iter()
        .map(|a| Range { account: a.id, after_seq: folded.get(&a.id).copied().unwrap_or(a.cutoff_seq), to_seq: a.seq })
        .filter(|r| r.after_seq < r.to_seq)
        .collect()
}

/// Cuts ranges into parts of at most `entries_max` entries each.
fn parts(ranges: Vec<Range>, entries_max: i64) -> Vec<Vec<Range>> {
    let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), entries_max);
    for mut range in ranges {
        while range.after_seq < range.to_seq {
            let to_seq = range.to_seq.min(range.after_seq + room);
            part.push(Range { to_seq, ..range });
            room -= to_seq - range.after_seq;
            range.after_seq = to_seq;
            if room == 0 {
                parts.push(std::mem::take(&mut part));
                room = entries_max;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// The last day that may be closed: yesterday, once `after` has passed since midnight in Asia/Shanghai, so that what began before midnight
/// is booked by then.
pub fn last_closable_day(now: DateTime<Utc>, after: TimeDelta) -> NaiveDate {
    business_day(now - after) - TimeDelta::days(1)
}

/// The last month that closes by itself: last month, from its `close_day`-th day after the end on.
pub fn last_closable_month(today: NaiveDate, close_day: u32) -> Month {
    Month::of(today - TimeDelta::days(i64::from(close_day.max(1)) - 1)).previous()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_day_may_be_closed_once_it_is_over_for_a_while() {
        let cases = [
            ("2026-11-20T16:00:00Z", 30, "2026-11-19"), // midnight in Shanghai
            ("2026-11-20T16:29:59Z", 30, "2026-11-19"),
            ("2026-11-20T16:30:00Z", 30, "2026-11-20"),
            ("2026-11-20T16:00:00Z", 0, "2026-11-20"),
            ("2026-11-20T15:59:59Z", 0, "2026-11-19"),
        ];
        for (now, minutes, day) in cases {
            assert_eq!(
                last_closable_day(now.parse().unwrap(), TimeDelta::minutes(minutes)).to_string(),
                day,
                "{now} and {minutes} minutes"
            );
        }
    }

    #[test]
    fn a_month_closes_by_itself_from_its_day_on() {
        let cases = [
            ("2026-11-04", 5, "2026-09"),
            ("2026-11-05", 5, "2026-10"),
            ("2026-11-30", 5, "2026-10"),
            ("2026-12-01", 5, "2026-10"),
            ("2026-12-01", 1, "2026-11"),
            ("2027-01-31", 28, "2026-12"),
        ];
        for (today, close_day, month) in cases {
            assert_eq!(last_closable_month(today.parse().unwrap(), close_day).to_string(), month, "{today} from day {close_day}");
        }
    }

    #[test]
    fn ranges_are_cut_into_parts_that_hold_every_entry_once() {
        let range = |n: u128, after_seq, to_seq| Range { account: AccountId(Uuid::from_u128(n)), after_seq, to_seq };
        let cut = parts(vec![range(1, 0, 7), range(2, 3, 5), range(3, 0, 1)], 4);
        let cut: Vec<Vec<_>> = cut.iter().map(|p| p.iter().map(|r| (r.account.0.as_u128(), r.after_seq, r.to_seq)).collect()).collect();
        assert_eq!(cut, [vec![(1, 0, 4)], vec![(1, 4, 7), (2, 3, 4)], vec![(2, 4, 5), (3, 0, 1)]]);
        assert!(parts(Vec::new(), 4).is_empty());
    }
}
