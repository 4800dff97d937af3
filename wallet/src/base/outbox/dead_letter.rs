//! Dead letters (死信): events that a consumer gave up on. A person sees them and asks for them again; the consumer's next step then runs
//! its handler in the transaction that takes the letter away, so a letter has its effect once however often it was asked for.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Outbox, OutboxError, Stored};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::id::BookId;
use crate::base::page::Page;

/// Which letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterKey {
    pub book: BookId,
    pub event: Uuid,
    pub consumer: String,
}

/// An event that one consumer gave up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub key: DeadLetterKey,
    /// Of the event, such as `order.paid`.
    pub kind: String,
    pub attempts: i32,
    /// Of the last attempt; no personal data.
    pub error: String,
    pub died_at: DateTime<Utc>,
    /// When somebody asked for it again; it has not been tried since.
    pub replay_at: Option<DateTime<Utc>>,
}

/// Where a page of dead letters ended: the newest come first.
#[derive(Clone, Debug)]
pub struct DeadLetterCursor {
    pub died_at: DateTime<Utc>,
    pub event: Uuid,
    pub consumer: String,
}

impl Outbox {
    /// Dead letters, the newest first. Operators.
    pub async fn dead_letters(&self, actor: &Actor, after: Option<DeadLetterCursor>, first: i64) -> Result<Page<DeadLetter>, OutboxError> {
        actor.require_role(Role::Operator)?;
        let (died_at, event, consumer) = after.map_or((None, None, None), |a| (Some(a.died_at), Some(a.event), Some(a.consumer)));
        let rows = sqlx::query!(
            "SELECT d.book_id, d.event_id, d.consumer, o.kind, d.attempts, d.error, d.died_at, d.replay_at
             FROM outbox_dead_letters d JOIN outbox o USING (book_id, event_id)
             WHERE $1::timestamptz IS NULL OR (d.died_at, d.event_id, d.consumer) < ($1, $2::uuid, $3::text)
             ORDER BY d.died_at DESC, d.event_id DESC, d.consumer DESC
             LIMIT $4",
            died_at,
            event,
            consumer,
            first + 1
        )
        .fetch_all(&self.db)
        .await?;
        let letters = rows
            .into_iter()
            .map(|r| DeadLetter {
                key: DeadLetterKey { book: BookId(r.book_id), event: r.event_id, consumer: r.consumer },
                kind: r.kind,
                attempts: r.attempts,
                error: r.error,
                died_at: r.died_at,
                replay_at: r.replay_at,
            })
            .collect();
        Ok(Page::from_rows(letters, first))
    }

    /// Asks for a dead letter again. Asked twice before it was tried, it is tried once. Operators; audited.
    pub async fn replay(&self, actor: &Actor, key: &DeadLetterKey) -> Result<DeadLetter, OutboxError> {
        actor.require_role(Role::Operator)?;
        let mut tx = self.db.begin().await?;
        let asked = ask_in_tx(&mut tx, key, Clock::wall()).await?;
        let row = sqlx::query!(
            "SELECT o.kind, d.attempts, d.error, d.died_at, d.replay_at
             FROM outbox_dead_letters d JOIN outbox o USING (book_id, event_id)
             WHERE d.book_id = $1 AND d.event_id = $2 AND d.consumer = $3",
            key.book.0,
            key.event,
            key.consumer
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(OutboxError::NotFound)?;
        if asked {
            let detail = json!({ "book": key.book, "consumer": key.consumer, "kind": row.kind, "attempts": row.attempts });
            audit::record_in_tx(&mut tx, actor, "outbox.replay", key.event, detail, Clock::wall()).await?;
        }
        tx.commit().await?;
        Ok(DeadLetter {
            key: key.clone(),
            kind: row.kind,
            attempts: row.attempts,
            error: row.error,
            died_at: row.died_at,
            replay_at: row.replay_at,
        })
    }
}

/// A letter whose attempt was counted. Until it ends, nobody is asked for: a process that dies leaves the letter dead.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) key: DeadLetterKey,
    /// This one included.
    pub(super) attempts: i32,
}

/// Whether it was this call that asked.
pub(super) async fn ask_in_tx(tx: &mut PgConnection, key: &DeadLetterKey, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let asked = sqlx::query!(
        "UPDATE outbox_dead_letters SET replay_at = $4 WHERE book_id = $1 AND event_id = $2 AND consumer = $3 AND replay_at IS NULL",
        key.book.0,
        key.event,
        key.consumer,
        now
    )
    .execute(tx)
    .await?;
    Ok(asked.rows_affected() == 1)
}

/// Counts an attempt at the letter asked for first, if no other worker came before. `None`: none is asked for.
pub(super) async fn next_attempt(connection: &mut PgConnection, consumer: &str) -> sqlx::Result<Option<Option<Attempt>>> {
    let due = sqlx::query!(
        "SELECT book_id, event_id, attempts FROM outbox_dead_letters
         WHERE consumer = $1 AND replay_at IS NOT NULL
         ORDER BY replay_at
         LIMIT 1",
        consumer
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(due) = due else { return Ok(None) };
    let counted = sqlx::query!(
        "UPDATE outbox_dead_letters SET attempts = attempts + 1, replay_at = NULL
         WHERE book_id = $1 AND event_id = $2 AND consumer = $3 AND attempts = $4 AND replay_at IS NOT NULL",
        due.book_id,
        due.event_id,
        consumer,
        due.attempts
    )
    .execute(connection)
    .await?;
    let key = DeadLetterKey { book: BookId(due.book_id), event: due.event_id, consumer: consumer.to_owned() };
    Ok(Some((counted.rows_affected() == 1).then_some(Attempt { key, attempts: due.attempts + 1 })))
}

/// Holds the letter for the transaction, if the attempt is still ours.
pub(super) async fn hold_in_tx(tx: &mut PgConnection, letter: &Attempt) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        "SELECT event_id FROM outbox_dead_letters
         WHERE book_id = $1 AND event_id = $2 AND consumer = $3 AND attempts = $4
         FOR UPDATE",
        letter.key.book.0,
        letter.key.event,
        letter.key.consumer,
        letter.attempts
    )
    .fetch_optional(tx)
    .await?;
    Ok(held.is_some())
}

pub(super) async fn remove_in_tx(tx: &mut PgConnection, key: &DeadLetterKey) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM outbox_dead_letters WHERE book_id = $1 AND event_id = $2 AND consumer = $3",
        key.book.0,
        key.event,
        key.consumer
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Writes down that a consumer gave up an event. The caller moves the consumer past it in the same transaction.
pub(super) async fn bury_in_tx(
    tx: &mut PgConnection,
    consumer: &str,
    event: &Stored,
    attempts: i32,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO outbox_dead_letters (book_id, event_id, consumer, attempts, error, died_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (book_id, event_id, consumer) DO NOTHING",
        event.book.0,
        event.id,
        consumer,
        attempts,
        reason,
        now
    )
    .execute(tx)
    .await?;
    tracing::error!(consumer, event = %event.id, kind = event.kind, attempts, reason, "an event is dead; an operator can have it read again");
    Ok(())
}

/// After an attempt that failed. A letter that was taken up meanwhile is left alone.
pub(super) async fn again_dead(connection: &mut PgConnection, letter: &Attempt, reason: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE outbox_dead_letters SET error = $5, died_at = $6
         WHERE book_id = $1 AND event_id = $2 AND consumer = $3 AND attempts = $4",
        letter.key.book.0,
        letter.key.event,
        letter.key.consumer,
        letter.attempts,
        reason,
        now
    )
    .execute(connection)
    .await
    .map(drop)
}
