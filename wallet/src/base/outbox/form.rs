//! The two forms, which of them the engine can carry, who the consumers are; and the way from one form to the other.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::purge::first_id_at;
use super::{Begin, Consumer, Outbox, OutboxError};
use crate::base::clock::Clock;

/// How events are handed to their consumers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Form {
    /// By transaction marks: nothing is written for a consumer but its cursor.
    Mark,
    /// By a row for each consumer and event.
    Queue,
}

impl Outbox {
    /// Asks the engine what it can do. `wish` is what the configuration insists on; without one, marks where there are any.
    pub async fn open(db: PgPool, wish: Option<Form>) -> Result<Self, OutboxError> {
        let engine = sqlx::query!(
            r#"SELECT version() AS "version!",
                      EXISTS (SELECT FROM pg_proc WHERE proname = 'pg_current_xact_id') AS "transaction_ids!",
                      EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS "citus!""#
        )
        .fetch_one(&db)
        .await?;
        let marks = has_marks(&engine.version, engine.transaction_ids, engine.citus);
        let form = match wish {
            Some(Form::Mark) if !marks => return Err(OutboxError::NoMarks),
            Some(form) => form,
            None if marks => Form::Mark,
            None => Form::Queue,
        };
        Ok(Self { db, marks, form })
    }

    /// The form this process asks for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Makes consumers known, sets the form, and moves into the queue what no mark of this cluster leads to. Again changes nothing.
    ///
    /// A consumer that begins at the beginning of a queue waits for the appends under way: the lock that says so, then the events.
    pub async fn prepare(&self, consumers: &[Consumer]) -> sqlx::Result<()> {
        let state = state(&self.db).await?;
        let new: Vec<&Consumer> = consumers.iter().filter(|c| !state.consumers.iter().any(|known| known == c.name)).collect();
        if new.is_empty() && state.form == self.form && !self.strays().await? {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        // A backfill is as long as the outbox.
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
        let known = hold_in_tx(&mut tx, self.form).await?;
        for consumer in new.into_iter().filter(|c| !known.iter().any(|known| known == c.name)) {
            if self.marks {
                begin_marks_in_tx(&mut tx, consumer).await?;
            }
            if consumer.begin == Begin::Beginning {
                begin_queue_in_tx(&mut tx, consumer).await?;
            }
            introduce_in_tx(&mut tx, consumer).await?;
        }
        sqlx::query!("UPDATE outbox_state SET form = $1 WHERE form <> $1", self.form as Form).execute(&mut *tx).await?;
        if self.strays_in_tx(&mut tx).await? {
            let moved = adopt_in_tx(&mut tx, self.marks).await?;
            tracing::warn!(moved, "events whose marks this engine cannot read were moved into the queue");
        }
        tx.commit().await
    }

    async fn strays(&self) -> sqlx::Result<bool> {
        let mut connection = self.db.acquire().await?;
        self.strays_in_tx(&mut connection).await
    }

    /// Whether there are events that no reader here would find: marks of another cluster, or any marks on an engine without them.
    async fn strays_in_tx(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        if !self.marks {
            return sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM outbox WHERE NOT queued) AS "strays!""#).fetch_one(tx).await;
        }
        // What is visible was committed by a transaction below xmax, and a cursor never passes xmin: in the cluster they were made in.
        sqlx::query_scalar!(
            r#"-- capability: xid_watermark
               SELECT EXISTS (SELECT FROM outbox WHERE NOT queued AND xid >= pg_snapshot_xmax(pg_current_snapshot()))
                   OR EXISTS (SELECT FROM outbox_cursors WHERE xid > pg_snapshot_xmax(pg_current_snapshot())) AS "strays!""#
        )
        .fetch_one(tx)
        .await
    }
}

/// Whether transaction ids order what was committed: one PostgreSQL, not something that speaks its language.
fn has_marks(version: &str, transaction_ids: bool, citus: bool) -> bool {
    let version = version.to_lowercase();
    let foreign = ["yugabyte", "-yb-", "cockroach", "citus", "aurora dsql", "greenplum"];
    transaction_ids && !citus && !foreign.iter().any(|name| version.contains(name))
}

pub(super) struct State {
    pub(super) form: Form,
    pub(super) consumers: Vec<String>,
}

pub(super) async fn state(db: &PgPool) -> sqlx::Result<State> {
    let state = sqlx::query_as!(State, r#"SELECT form AS "form: Form", consumers FROM outbox_state"#).fetch_optional(db).await?;
    Ok(state.unwrap_or(State { form: Form::Mark, consumers: Vec::new() }))
}

/// Waits for the appends under way and holds back new ones; the consumers there are.
async fn hold_in_tx(tx: &mut PgConnection, form: Form) -> sqlx::Result<Vec<String>> {
    sqlx::query!("INSERT INTO outbox_state (form) VALUES ($1) ON CONFLICT (singleton) DO NOTHING", form as Form).execute(&mut *tx).await?;
    sqlx::query_scalar!("SELECT consumers FROM outbox_state FOR UPDATE").fetch_one(tx).await
}

async fn introduce_in_tx(tx: &mut PgConnection, consumer: &Consumer) -> sqlx::Result<()> {
    sqlx::query!("UPDATE outbox_state SET consumers = consumers || $1::text", consumer.name).execute(tx).await.map(drop)
}

/// The cursor of a new consumer. The present is the last transaction below xmin: what was under way when it began is read, with a little
/// that was not. Its event id says when that was.
async fn begin_marks_in_tx(tx: &mut PgConnection, consumer: &Consumer) -> sqlx::Result<()> {
    let beginning = consumer.begin == Begin::Beginning;
    sqlx::query!(
        "-- capability: xid_watermark
         INSERT INTO outbox_cursors (consumer, xid, event_id)
         SELECT $1, CASE WHEN $2 THEN '0' ELSE (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text END::xid8, $3
         ON CONFLICT (consumer) DO NOTHING",
        consumer.name,
        beginning,
        if beginning { Uuid::nil() } else { first_id_at(Clock::wall()) }
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The queue of a new consumer that begins at the beginning.
async fn begin_queue_in_tx(tx: &mut PgConnection, consumer: &Consumer) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO outbox_queue (book_id, consumer, event_id)
         SELECT book_id, $1, event_id FROM outbox WHERE queued
         ON CONFLICT (book_id, consumer, event_id) DO NOTHING",
        consumer.name
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Moves every event that was appended by mark into the queue of those who had not read it. How many rows that made.
///
/// An event newer than the cursor's own but below its mark was appended in a cluster younger than the cursor: nobody read it. One that was
/// read within the same moment as the cursor's may be read twice; none is lost.
async fn adopt_in_tx(tx: &mut PgConnection, marks: bool) -> sqlx::Result<u64> {
    let moved = sqlx::query!(
        "-- capability: xid_watermark (columns only)
         WITH stray AS (
             UPDATE outbox SET queued = true WHERE NOT queued RETURNING book_id, event_id, xid
         )
         INSERT INTO outbox_queue (book_id, consumer, event_id)
         SELECT s.book_id, c.consumer, s.event_id
         FROM stray s JOIN outbox_cursors c ON (s.xid, s.event_id) > (c.xid, c.event_id) OR s.event_id > c.event_id
         ON CONFLICT (book_id, consumer, event_id) DO NOTHING"
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if marks {
        sqlx::query!(
            "-- capability: xid_watermark
             UPDATE outbox_cursors
             SET xid = (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8, event_id = $1,
                 attempts = 0, careful = 0, retry_at = NULL",
            first_id_at(Clock::wall())
        )
        .execute(tx)
        .await?;
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_postgresql_has_marks() {
        let debian =
            "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit";
        for (version, transaction_ids, citus, expected) in [
            (debian, true, false, true),
            ("PostgreSQL 18.0 on x86_64-pc-linux-gnu", true, false, true),
            ("PostgreSQL 12.4", false, false, false),
            (debian, true, true, false),
            ("PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu", true, false, false),
            ("PostgreSQL 11.2-YugabyteDB-2.20", true, false, false),
            ("CockroachDB CCL v25.1.0 (x86_64-pc-linux-gnu)", false, false, false),
            ("CockroachDB CCL v25.1.0 (x86_64-pc-linux-gnu)", true, false, false),
        ] {
            assert_eq!(has_marks(version, transaction_ids, citus), expected, "{version}");
        }
    }
}
