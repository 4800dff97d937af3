//! The queue of papers that wait to be read (待读队列): how long it takes, and when no more are taken.
//!
//! The wait is told from what is known: the papers ahead, how many are read at once, and what the last ones took. Where readers stand still
//! it is at least as long as the first in the queue has waited, so that nobody is told seconds for hours.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgExecutor;
use wallet::base::clock::Clock;
use wallet::base::id::ApplicationId;

use super::{Applications, OnboardingError, repo};

/// Papers that may wait. Some ten minutes of work for two cores; beyond it a paper is not taken, and its draft stays as it is.
pub const WAITING_MAX: i64 = 2_000;

/// What reading a paper takes as long as none was read.
const TAKES: Duration = Duration::from_secs(2);

/// Bounds of what a refused caller is told to wait.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(30);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How long an application waits for its papers to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Papers of others that are read before its last one.
    pub ahead: u32,
    /// Until its last paper is read.
    pub expected: Duration,
}

/// The queue as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    pub waiting: i64,
    /// Mean time from claim to verdict of the last papers.
    pub takes: Option<Duration>,
    /// How long the first has been due.
    pub first_waits: Duration,
}

/// An application's place: where its last waiting paper stands, from one, and how many of those before are its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub last: u32,
    pub own: u32,
}

impl Applications {
    /// How long those of the applications wait that have papers in the queue. Three statements, whatever their number.
    pub async fn waiting(&self, ids: &[ApplicationId]) -> Result<HashMap<ApplicationId, Waiting>, OnboardingError> {
        let places = repo::places(&self.db, ids).await?;
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let queue = repo::queue(&self.db, WAITING_MAX, Clock::wall()).await?;
        let wait = |place: Place| Waiting {
            ahead: place.last.saturating_sub(place.own),
            expected: expected(place.last, self.read_at_once, queue.takes.unwrap_or(TAKES), queue.first_waits),
        };
        Ok(places.into_iter().map(|(id, place)| (id, wait(place))).collect())
    }

    /// Whether one more paper may wait. In a transaction on its connection: one that waits for a second of the pool could wait for ever.
    pub(super) async fn require_room(&self, db: impl PgExecutor<'_>) -> Result<(), OnboardingError> {
        let queue = repo::queue(db, WAITING_MAX, Clock::wall()).await?;
        if queue.waiting < WAITING_MAX {
            return Ok(());
        }
        // when half of them are read
        let place = u32::try_from(queue.waiting / 2).unwrap_or(u32::MAX);
        let wait = expected(place, self.read_at_once, queue.takes.unwrap_or(TAKES), queue.first_waits);
        Err(OnboardingError::QueueFull { retry_after: wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX) })
    }
}

/// Until the paper at this place, counted from one, is read.
fn expected(place: u32, at_once: u32, takes: Duration, first_waits: Duration) -> Duration {
    let rounds = place.div_ceil(at_once.max(1));
    takes.saturating_mul(rounds).max(first_waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_rounds_ahead_and_never_hides_a_reader_that_stands_still() {
        let (takes, none) = (Duration::from_secs(2), Duration::ZERO);
        let seconds = |place, at_once, first| expected(place, at_once, takes, first).as_secs();
        assert_eq!([1, 2, 3, 4, 5].map(|place| seconds(place, 2, none)), [2, 2, 4, 4, 6]);
        assert_eq!(seconds(5, 1, none), 10);
        assert_eq!(seconds(5, 0, none), 10, "nobody reads with no reader, and nothing is divided by zero");
        assert_eq!(seconds(1, 2, Duration::from_secs(900)), 900, "the first has waited a quarter of an hour");
    }
}
