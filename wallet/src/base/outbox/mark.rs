//! The SQL of the mark form. A cursor is a place (transaction id, event id) with the count of attempts at what comes after it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Consumer, LEASE, Stored};
use crate::base::id::BookId;

/// A place in the order of events. The transaction id is kept as text: it is compared by the database only.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) xid: String,
    pub(super) event: Uuid,
}

/// An attempt that was counted: what comes after `place` is ours until the lease runs out.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) place: Place,
    /// This one included.
    pub(super) attempts: i32,
    /// Events to be taken one by one, as of before this attempt.
    pub(super) careful: i32,
}

/// An event with its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) place: Place,
    pub(super) event: Stored,
}

/// Counts an attempt before it begins, unless another worker is at it or its pause is not over. If this process does not come back, the next
/// attempts take events one by one.
pub(super) async fn attempt(
    connection: &mut PgConnection,
    consumer: &Consumer,
    limit: i32,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Attempt>> {
    let row = sqlx::query!(
        r#"UPDATE outbox_cursors c
           SET attempts = c.attempts + 1, careful = CASE WHEN c.careful = 0 THEN $2 ELSE c.careful END, retry_at = $4
           FROM (SELECT consumer, careful FROM outbox_cursors
                 WHERE consumer = $1 AND (retry_at IS NULL OR retry_at <= $3)
                 FOR UPDATE SKIP LOCKED) AS before
           WHERE c.consumer = before.consumer
           RETURNING c.xid::text AS "xid!", c.event_id, c.attempts, before.careful"#,
        consumer.name,
        limit,
        now,
        now + LEASE
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|r| Attempt { place: Place { xid: r.xid, event: r.event_id }, attempts: r.attempts, careful: r.careful }))
}

/// Holds the cursor for the transaction, if the attempt is still ours.
pub(super) async fn hold_in_tx(tx: &mut PgConnection, consumer: &str, attempt: &Attempt) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        r#"-- capability: xid_watermark (columns only)
           SELECT consumer FROM outbox_cursors
           WHERE consumer = $1 AND xid = $2::text::xid8 AND event_id = $3 AND attempts = $4
           FOR UPDATE SKIP LOCKED"#,
        consumer,
        attempt.place.xid,
        attempt.place.event,
        attempt.attempts
    )
    .fetch_optional(tx)
    .await?;
    Ok(held.is_some())
}

/// The events after a place. A statement of its own: one that waited for a lock reads what was there before the wait.
pub(super) async fn next(connection: &mut PgConnection, after: &Place, limit: i64) -> sqlx::Result<Vec<Placed>> {
    let rows = sqlx::query!(
        r#"-- capability: xid_watermark
           SELECT book_id, event_id, xid::text AS "xid!", kind, subject_id, payload
           FROM outbox
           WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND NOT queued
           ORDER BY xid, event_id
           LIMIT $3"#,
        after.xid,
        after.event,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Placed {
            place: Place { xid: r.xid, event: r.event_id },
            event: Stored { id: r.event_id, book: BookId(r.book_id), kind: r.kind, subject: r.subject_id, payload: r.payload },
        })
        .collect())
}

/// Moves the cursor; a new place has had no attempt. The caller holds it.
pub(super) async fn advance_in_tx(tx: &mut PgConnection, consumer: &str, to: &Place, careful: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "-- capability: xid_watermark (columns only)
         UPDATE outbox_cursors SET xid = $2::text::xid8, event_id = $3, attempts = 0, careful = $4, retry_at = NULL WHERE consumer = $1",
        consumer,
        to.xid,
        to.event,
        careful
    )
    .execute(tx)
    .await
    .map(drop)
}

/// After an attempt that failed: how many it counts as, and when the next may begin. Leaves alone what is no longer ours.
pub(super) async fn postpone(
    connection: &mut PgConnection,
    consumer: &str,
    attempt: &Attempt,
    attempts: i32,
    careful: i32,
    retry_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- capability: xid_watermark (columns only)
         UPDATE outbox_cursors SET attempts = $5, careful = $6, retry_at = $7
         WHERE consumer = $1 AND xid = $2::text::xid8 AND event_id = $3 AND attempts = $4",
        consumer,
        attempt.place.xid,
        attempt.place.event,
        attempt.attempts,
        attempts,
        careful,
        retry_at
    )
    .execute(connection)
    .await
    .map(drop)
}
