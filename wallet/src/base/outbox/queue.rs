//! The SQL of the queue form. A row is fresh (no attempt yet, taken in batches) or has failed (taken alone, when its pause is over).
//! Every statement that locks names one book.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Consumer, LEASE, Stored};
use crate::base::id::BookId;

/// Rows of one book, consumer and number of attempts whose attempt was counted.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) book: BookId,
    pub(super) events: Vec<Uuid>,
    /// This one included.
    pub(super) attempts: i32,
}

/// The books of the oldest fresh rows.
pub(super) async fn books(db: &PgPool, consumer: &Consumer, limit: i64) -> sqlx::Result<Vec<BookId>> {
    let books = sqlx::query_scalar!(
        "SELECT book_id
         FROM (SELECT book_id, event_id FROM outbox_queue WHERE consumer = $1 AND attempts = 0 ORDER BY event_id LIMIT $2) AS oldest
         GROUP BY book_id
         ORDER BY min(event_id::text)",
        consumer.name,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(books.into_iter().map(BookId).collect())
}

/// Counts the first attempt at the fresh rows of a book.
pub(super) async fn first_attempt(
    connection: &mut PgConnection,
    consumer: &Consumer,
    book: BookId,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Batch> {
    let events = sqlx::query_scalar!(
        "UPDATE outbox_queue SET attempts = 1, retry_at = $4
         WHERE book_id = $1 AND consumer = $2 AND event_id IN (
             SELECT event_id FROM outbox_queue
             WHERE book_id = $1 AND consumer = $2 AND attempts = 0
             ORDER BY event_id
             LIMIT $3
             FOR UPDATE SKIP LOCKED)
         RETURNING event_id",
        book.0,
        consumer.name,
        limit,
        now + LEASE
    )
    .fetch_all(connection)
    .await?;
    Ok(Batch { book, events, attempts: 1 })
}

/// Counts another attempt at the row that has waited longest, if no other worker came first. `None`: no row is due.
pub(super) async fn next_attempt(
    connection: &mut PgConnection,
    consumer: &Consumer,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Option<Batch>>> {
    let due = sqlx::query!(
        "SELECT book_id, event_id, attempts FROM outbox_queue
         WHERE consumer = $1 AND attempts > 0 AND retry_at <= $2
         ORDER BY retry_at
         LIMIT 1",
        consumer.name,
        now
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(due) = due else { return Ok(None) };
    let counted = sqlx::query!(
        "UPDATE outbox_queue SET attempts = attempts + 1, retry_at = $5
         WHERE book_id = $1 AND consumer = $2 AND event_id = $3 AND attempts = $4 AND retry_at <= $6",
        due.book_id,
        consumer.name,
        due.event_id,
        due.attempts,
        now + LEASE,
        now
    )
    .execute(connection)
    .await?
    .rows_affected();
    let batch = Batch { book: BookId(due.book_id), events: vec![due.event_id], attempts: due.attempts + 1 };
    Ok(Some((counted == 1).then_some(batch)))
}

/// Holds for the transaction those rows of an attempt that are still ours.
pub(super) async fn hold_in_tx(tx: &mut PgConnection, consumer: &str, batch: &Batch) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "SELECT event_id FROM outbox_queue
         WHERE book_id = $1 AND consumer = $2 AND event_id = ANY($3) AND attempts = $4
         ORDER BY event_id
         FOR UPDATE SKIP LOCKED",
        batch.book.0,
        consumer,
        &batch.events,
        batch.attempts
    )
    .fetch_all(tx)
    .await
}

/// Events of a book by id, in the order of their ids.
pub(super) async fn events(connection: &mut PgConnection, book: BookId, ids: &[Uuid]) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query!(
        "SELECT event_id, kind, subject_id, payload FROM outbox WHERE book_id = $1 AND event_id = ANY($2) ORDER BY event_id",
        book.0,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|r| Stored { id: r.event_id, book, kind: r.kind, subject: r.subject_id, payload: r.payload }).collect())
}

/// Takes rows off the queue. The caller holds them.
pub(super) async fn remove_in_tx(tx: &mut PgConnection, consumer: &str, book: BookId, events: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM outbox_queue WHERE book_id = $1 AND consumer = $2 AND event_id = ANY($3)", book.0, consumer, events)
        .execute(tx)
        .await
        .map(drop)
}

/// After an attempt that failed: how many it counts as, and when the next may begin (never for a fresh row). Leaves alone what is no longer ours.
pub(super) async fn postpone(
    connection: &mut PgConnection,
    consumer: &str,
    batch: &Batch,
    attempts: i32,
    retry_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE outbox_queue SET attempts = $5, retry_at = $6
         WHERE book_id = $1 AND consumer = $2 AND event_id = ANY($3) AND attempts = $4",
        batch.book.0,
        consumer,
        &batch.events,
        batch.attempts,
        attempts,
        retry_at
    )
    .execute(connection)
    .await
    .map(drop)
}
