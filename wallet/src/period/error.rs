//! Why a day or a month of a book is not closed.

use chrono::NaiveDate;

use super::rules::{Month, Unsound};
use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;

#[derive(Debug, thiserror::Error)]
pub enum PeriodError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such book")]
    NotFound,
    #[error("the book was opened on {opened}")]
    NotOpenYet { opened: NaiveDate },
    #[error("{day} is not over yet")]
    DayNotOver { day: NaiveDate },
    #[error("the days through {closed_day} are closed")]
    DayClosed { closed_day: NaiveDate },
    #[error("{month} is not over yet")]
    MonthNotOver { month: Month },
    #[error("the months through {closed} are closed")]
    MonthClosed { closed: Month },
    #[error("{open} has to be closed first")]
    EarlierMonthOpen { open: Month },
    /// Another close came between: a race, never the caller's doing.
    #[error("the month's last day is not closed")]
    DayOpen,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("the books are busy; try again")]
    Busy,
    /// A broken invariant: a book that contradicts itself is not closed.
    #[error("the book contradicts itself")]
    Unsound(#[from] Unsound),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl PeriodError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        self.database().is_some_and(db::retryable)
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        if self.database().is_some_and(db::busy) { Self::Busy } else { self }
    }

    /// The database's failure behind it, if that is what it is.
    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        }
    }
}
