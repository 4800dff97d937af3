//! How far behind each consumer is.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Form, Outbox, OutboxError, form};
use crate::base::actor::{Actor, Role};
use crate::base::clock::Clock;

/// Waiting events are counted up to this number.
pub const WAITING_MAX: i64 = 10_000;

/// How far behind one consumer is.
#[derive(Clone, Debug)]
pub struct Lag {
    pub consumer: String,
    /// Events not read, those included that a long transaction keeps from being read. Counted up to [`WAITING_MAX`].
    pub waiting: i64,
    /// How long the one that is first in line has waited. Real time: a sandbox day does not count.
    pub oldest: Option<TimeDelta>,
    pub dead_letters: i64,
}

/// How far behind everybody is.
#[derive(Clone, Debug)]
pub struct Lags {
    pub as_of: DateTime<Utc>,
    /// How events are appended now.
    pub form: Form,
    pub consumers: Vec<Lag>,
}

impl Outbox {
    /// The figures of every consumer there is. Operators.
    pub async fn lags(&self, actor: &Actor) -> Result<Lags, OutboxError> {
        actor.require_role(Role::Operator)?;
        let state = form::state(&self.db).await?;
        let as_of = Clock::wall();
        let dead = self.dead().await?;
        let marked = if self.marks { self.marked(&state.consumers).await? } else { Vec::new() };
        let queued = self.queued(&state.consumers).await?;
        let consumers = state
            .consumers
            .into_iter()
            .map(|consumer| {
                let of = |rows: &[Row]| rows.iter().find(|row| row.consumer == consumer).map_or((0, None), |row| (row.waiting, row.first));
                let ((marked, first_marked), (queued, first_queued)) = (of(&marked), of(&queued));
                let oldest = [first_marked, first_queued].into_iter().flatten().filter_map(appended_at).min();
                Lag {
                    waiting: (marked + queued).min(WAITING_MAX),
                    oldest: oldest.map(|at| (as_of - at).max(TimeDelta::zero())),
                    dead_letters: dead.iter().find(|(name, _)| *name == consumer).map_or(0, |(_, letters)| *letters),
                    consumer,
                }
            })
            .collect();
        Ok(Lags { as_of, form: state.form, consumers })
    }

    /// What waits above the mark.
    async fn marked(&self, consumers: &[String]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            r#"-- capability: xid_watermark (columns only)
               SELECT c.consumer AS "consumer!",
                      (SELECT count(*) FROM outbox_cursors m CROSS JOIN LATERAL (
                           SELECT FROM outbox o
                           WHERE (o.xid, o.event_id) > (m.xid, m.event_id) AND NOT o.queued
                           ORDER BY o.xid, o.event_id
                           LIMIT $2) AS tail
                       WHERE m.consumer = c.consumer) AS "waiting!",
                      (SELECT head.event_id FROM outbox_cursors m CROSS JOIN LATERAL (
                           SELECT o.event_id FROM outbox o
                           WHERE (o.xid, o.event_id) > (m.xid, m.event_id) AND NOT o.queued
                           ORDER BY o.xid, o.event_id
                           LIMIT 1) AS head
                       WHERE m.consumer = c.consumer) AS first
               FROM UNNEST($1::text[]) AS c (consumer)"#,
            consumers,
            WAITING_MAX
        )
        .fetch_all(&self.db)
        .await
    }

    /// What waits in the queue, tried or not.
    async fn queued(&self, consumers: &[String]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            r#"SELECT c.consumer AS "consumer!",
                      (SELECT count(*) FROM (
                           SELECT FROM outbox_queue q WHERE q.consumer = c.consumer AND q.attempts = 0 LIMIT $2) AS fresh)
                      + (SELECT count(*) FROM (
                           SELECT FROM outbox_queue q WHERE q.consumer = c.consumer AND q.attempts > 0 LIMIT $2) AS failed) AS "waiting!",
                      LEAST(
                          (SELECT q.event_id FROM outbox_queue q WHERE q.consumer = c.consumer AND q.attempts = 0 ORDER BY q.event_id LIMIT 1),
                          (SELECT q.event_id FROM outbox_queue q WHERE q.consumer = c.consumer AND q.attempts > 0 ORDER BY q.event_id LIMIT 1)
                      ) AS first
               FROM UNNEST($1::text[]) AS c (consumer)"#,
            consumers,
            WAITING_MAX
        )
        .fetch_all(&self.db)
        .await
    }

    async fn dead(&self) -> sqlx::Result<Vec<(String, i64)>> {
        let rows = sqlx::query!(r#"SELECT consumer, count(*) AS "letters!" FROM outbox_dead_letters GROUP BY consumer"#)
            .fetch_all(&self.db)
            .await?;
        Ok(rows.into_iter().map(|r| (r.consumer, r.letters)).collect())
    }
}

struct Row {
    consumer: String,
    waiting: i64,
    /// The first in line.
    first: Option<Uuid>,
}

/// When an event was appended, as its id tells. `None` for an id that was not made by an append.
fn appended_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}
