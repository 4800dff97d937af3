//! The outbox: an event exists exactly when its business transaction committed (L11). Readers move a cursor with their effect.
//!
//! Order is (transaction id, event id). A reader stops below its snapshot's xmin, since a transaction with a lower id may still
//! commit; a `max(id)` mark would skip it.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::id::BookId;

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
    pub book: BookId,
    pub kind: String,
    pub subject: Uuid,
    pub payload: serde_json::Value,
}

/// Appends events to the running transaction. One statement, whatever their number.
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
        "INSERT INTO outbox (book_id, event_id, kind, subject_id, payload, created_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::timestamptz[])",
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

/// Reads the next events of a consumer and moves its cursor past them in one transaction. At most `limit`.
///
/// A new consumer starts at the present, not at the beginning.
pub async fn take(db: &PgPool, consumer: &str, limit: i64) -> sqlx::Result<Vec<Stored>> {
    let mut tx = db.begin().await?;
    sqlx::query!(
        "INSERT INTO outbox_cursors (consumer, xid, event_id)
         VALUES ($1, pg_snapshot_xmin(pg_current_snapshot()), '00000000-0000-0000-0000-000000000000')
         ON CONFLICT (consumer) DO NOTHING",
        consumer
    )
    .execute(&mut *tx)
    .await?;
    let cursor = sqlx::query!(r#"SELECT xid::text AS "xid!", event_id FROM outbox_cursors WHERE consumer = $1 FOR UPDATE"#, consumer)
        .fetch_one(&mut *tx)
        .await?;
    let rows = sqlx::query!(
        r#"SELECT book_id, event_id, xid::text AS "xid!", kind, subject_id, payload
           FROM outbox
           WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY xid, event_id
           LIMIT $3"#,
        cursor.xid,
        cursor.event_id,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(last) = rows.last() else {
        tx.commit().await?;
        return Ok(Vec::new());
    };
    sqlx::query!("UPDATE outbox_cursors SET xid = $2::text::xid8, event_id = $3 WHERE consumer = $1", consumer, last.xid, last.event_id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|r| Stored { book: BookId(r.book_id), kind: r.kind, subject: r.subject_id, payload: r.payload }).collect())
}
