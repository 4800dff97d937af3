//! The outbox: an event exists exactly when its business transaction committed (L11), and every consumer has its effect of it.
//!
//! | | mark | queue |
//! |---|---|---|
//! | an append writes | the event | the event and one row per consumer |
//! | read | above the consumer's cursor (transaction id, event id), below the snapshot's xmin | rows taken with SKIP LOCKED |
//! | with the effect, in one transaction | the cursor moves | the rows go |
//! | workers of one consumer | one at a time | side by side, a book at a time |
//! | order | by transaction, then as appended | none promised |
//! | an event that fails | holds up those behind it until it is dead | is passed by |
//! | engine | one PostgreSQL | any |
//!
//! A `max(id)` mark would lose events: a transaction with a lower id may still commit. xmin is what keeps a reader behind it, and it is
//! also what lets one long transaction delay every reader of marks.
//!
//! The form is a row of the database, not a setting of a process: it says how events are *appended*. Each event is read in the form it was
//! appended in, so the form may change while everything runs. Marks that came from another cluster (a dump put back) mean nothing here:
//! [`Outbox::prepare`] finds them and moves what is unread into the queue.
//!
//! An effect inside the handler's transaction happens exactly once. An effect outside of it (a signal, a call) happens before the commit
//! and therefore at least once. Attempts are counted in a transaction of their own before the handler runs, so that an event which kills
//! its process dies, too, in the end: it becomes a dead letter (死信), which people see and can have read again.

mod consume;
mod dead_letter;
mod form;
mod lag;
mod mark;
mod purge;
mod queue;

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::actor::Forbidden;
use super::db;
use super::id::BookId;

pub use consume::Taken;
pub use dead_letter::{DeadLetter, DeadLetterCursor, DeadLetterKey};
pub use form::Form;
pub use lag::{Lag, Lags, WAITING_MAX};

/// What happened, in the past tense, as a snapshot without personal data.
#[derive(Clone, Debug)]
pub struct Event {
    pub book: BookId,
    /// Stable name such as `order.paid`.
    pub kind: &'static str,
    pub subject: Uuid,
    pub payload: serde_json::Value,
    pub at: DateTime<Utc>,
}

/// An event as a reader sees it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: Uuid,
    pub book: BookId,
    pub kind: String,
    pub subject: Uuid,
    pub payload: serde_json::Value,
}

/// Who reads, and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    /// Stable: what it has read is kept under this name.
    pub name: &'static str,
    pub begin: Begin,
    /// Attempts at one event before it is dead.
    pub attempts_max: i32,
    /// Pause after the first failure; doubles with each, up to ten minutes.
    pub backoff: Duration,
}

/// Where a consumer that was never heard of begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// With what happens from now on.
    Present,
    /// With the oldest event that is kept.
    Beginning,
}

/// What a consumer does with events.
pub trait Handler: Send + Sync {
    /// Has the effect of the events in `tx`, which commits with the consumer's progress. What it does outside of `tx` may happen again.
    /// Short: an open transaction holds back every reader of marks.
    fn handle(&self, tx: &mut PgConnection, events: &[Stored]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why a handler did not take its events.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// In words that may be kept and shown: no personal data.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    #[error("the database did not take the effect")]
    Database(#[from] sqlx::Error),
}

impl Failure {
    /// Whether the event is innocent: the database was away or others were in the way. Such an attempt does not count.
    fn passing(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Database(error) => passing(error),
        }
    }

    /// The reason a dead letter keeps. Of a database error only the code and the constraint: its message may quote values.
    fn reason(&self) -> String {
        match self {
            Self::Refused(words) => words.chars().take(ERROR_MAX).collect(),
            Self::Database(sqlx::Error::Database(error)) => {
                format!("database error {}, constraint {}", error.code().unwrap_or_default(), error.constraint().unwrap_or("none"))
            }
            Self::Database(_) => "the effect could not be written or read".to_owned(),
        }
    }
}

/// Whether an error of the database is none of the event's doing.
fn passing(error: &sqlx::Error) -> bool {
    match error {
        // 08 connection, 53 resources, 57P shutdown; a cancelled statement (57014) may well be the event's
        sqlx::Error::Database(e) => {
            db::busy(error) || e.code().is_some_and(|code| code.starts_with("08") || code.starts_with("53") || code.starts_with("57P"))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Characters of a dead letter's reason.
const ERROR_MAX: usize = 500;

/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(600);

/// How long others keep away between the count of an attempt and its transaction, which then holds the row. A consumer that dies costs this.
const LEASE: TimeDelta = TimeDelta::seconds(5);

impl Consumer {
    /// The pause after the given number of failures.
    fn pause(&self, attempts: i32) -> TimeDelta {
        let doublings = u32::try_from(attempts.clamp(1, 31) - 1).unwrap_or(0);
        let pause = self.backoff.saturating_mul(1 << doublings).min(BACKOFF_MAX);
        TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(10))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such dead letter")]
    NotFound,
    #[error("this database has no transaction marks: set database.outbox to auto or queue")]
    NoMarks,
    #[error("the database did not answer as it should")]
    Database(#[from] sqlx::Error),
}

/// The outbox of one database, for those who read it. Whoever appends needs only [`append_in_tx`].
#[derive(Clone, Debug)]
pub struct Outbox {
    db: PgPool,
    /// Whether the engine has marks that can be read.
    marks: bool,
    form: Form,
}

/// Appends events to the running transaction. One statement, whatever their number and the form.
///
/// In the queue form it shares a lock on the one row of `outbox_state`, which a new consumer waits for; the list of consumers is read from
/// the locked row, so an append that waited sees the new one. In the mark form nothing is locked.
pub async fn append_in_tx(tx: &mut PgConnection, events: &[Event]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = events.iter().map(|e| e.book.0).collect();
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = events.iter().map(|e| e.kind.to_owned()).collect();
    let subjects: Vec<Uuid> = events.iter().map(|e| e.subject).collect();
    let payloads: Vec<serde_json::Value> = events.iter().map(|e| e.payload.clone()).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|e| e.at).collect();
    sqlx::query!(
        "WITH queue AS (
             SELECT consumers FROM outbox_state WHERE form = 'QUEUE' FOR KEY SHARE
         ), event AS (
             INSERT INTO outbox (book_id, event_id, kind, subject_id, payload, created_at, queued)
             SELECT e.book_id, e.event_id, e.kind, e.subject_id, e.payload, e.created_at, EXISTS (SELECT FROM queue)
             FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::timestamptz[])
                  AS e (book_id, event_id, kind, subject_id, payload, created_at)
             RETURNING book_id, event_id
         )
         INSERT INTO outbox_queue (book_id, consumer, event_id)
         SELECT e.book_id, c.consumer, e.event_id
         FROM event e CROSS JOIN queue q CROSS JOIN UNNEST(q.consumers) AS c (consumer)",
        &books,
        &ids,
        &kinds,
        &subjects,
        &payloads,
        &times
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_and_ends_at_ten_minutes() {
        let consumer = Consumer { name: "test", begin: Begin::Present, attempts_max: 5, backoff: Duration::from_secs(1) };
        for (attempts, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (5, 16), (10, 512), (11, 600), (31, 600), (i32::MAX, 600)] {
            assert_eq!(consumer.pause(attempts).num_seconds(), seconds, "{attempts}");
        }
    }

    #[test]
    fn what_the_database_suffers_from_is_not_the_events_fault() {
        for (error, expected) in [
            (sqlx::Error::PoolTimedOut, true),
            (sqlx::Error::PoolClosed, true),
            (sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset)), true),
            (sqlx::Error::RowNotFound, false),
            (sqlx::Error::Decode("bad".into()), false),
        ] {
            assert_eq!(Failure::Database(error).passing(), expected);
        }
        assert!(!Failure::Refused("it makes no sense".into()).passing());
    }

    #[test]
    fn a_reason_is_bounded_and_quotes_no_row() {
        assert_eq!(Failure::Refused("错".repeat(900).into()).reason().chars().count(), 500);
        assert_eq!(Failure::Database(sqlx::Error::Decode("138 0013 8000".into())).reason(), "the effect could not be written or read");
    }
}
