//! What every consumer has read goes after a while. Dead letters keep their event.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Outbox;
use crate::base::clock::Clock;

impl Outbox {
    /// Deletes at most `limit` of the oldest events that were appended longer ago than `keep`, that every consumer has read and that no dead
    /// letter needs. How many went: fewer than `limit` means that no more are due. Real time: a sandbox day deletes nothing.
    ///
    /// An event that some consumer has not read is never deleted, however old: a consumer that stands still keeps everything behind it.
    pub async fn purge(&self, keep: TimeDelta, limit: i64) -> sqlx::Result<u64> {
        let before = first_id_at(Clock::wall() - keep);
        let mut tx = self.db.begin().await?;
        let mut purged = sqlx::query!(
            "DELETE FROM outbox
             WHERE (book_id, event_id) IN (
                 SELECT o.book_id, o.event_id FROM outbox o
                 WHERE o.queued AND o.event_id < $1
                   AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.book_id = o.book_id AND q.event_id = o.event_id)
                   AND NOT EXISTS (SELECT FROM outbox_dead_letters d WHERE d.book_id = o.book_id AND d.event_id = o.event_id)
                 ORDER BY o.event_id
                 LIMIT $2)",
            before,
            limit
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if self.marks {
            purged += sqlx::query!(
                "-- capability: xid_watermark (columns only)
                 DELETE FROM outbox
                 WHERE (book_id, event_id) IN (
                     SELECT book_id, event_id
                     FROM (SELECT xid, event_id AS read_to FROM outbox_cursors ORDER BY xid, event_id LIMIT 1) AS last
                     CROSS JOIN LATERAL (
                         SELECT o.book_id, o.event_id FROM outbox o
                         WHERE (o.xid, o.event_id) <= (last.xid, last.read_to) AND NOT o.queued
                           AND NOT EXISTS (SELECT FROM outbox_dead_letters d WHERE d.book_id = o.book_id AND d.event_id = o.event_id)
                         ORDER BY o.xid, o.event_id
                         LIMIT $2) AS oldest
                     WHERE event_id < $1)",
                before,
                limit
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
        }
        if purged > 0 {
            sqlx::query!("UPDATE outbox_state SET purged_before = $1 WHERE purged_before < $1", before).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(purged)
    }
}

/// The lowest id that an append at this moment could make.
pub(super) fn first_id_at(at: DateTime<Utc>) -> Uuid {
    let ms = u128::try_from(at.timestamp_millis().max(0)).unwrap_or(0);
    Uuid::from_u128(ms << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_moment_lies_between_the_ids_before_and_after_it() {
        let before = Uuid::now_v7();
        let second = TimeDelta::seconds(1);
        assert!(first_id_at(Clock::wall() - second) < before);
        assert!(before < first_id_at(Clock::wall() + second));
        assert!(Uuid::now_v7() < first_id_at(Clock::wall() + second));
    }
}
