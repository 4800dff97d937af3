//! The SQL of the rule about readers.

use sqlx::PgConnection;

use crate::check::Found;

/// Waiting events are counted up to this number.
const WAITING_MAX: i64 = 10_000;

/// What one consumer has before it.
pub(super) struct Lag {
    consumer: String,
    waiting: i64,
    dead_letters: i64,
}

impl Lag {
    pub(super) fn note(&self) -> String {
        let more = if self.waiting >= WAITING_MAX { " or more" } else { "" };
        format!("{}: {}{more} events not read, {} dead letters", self.consumer, self.waiting, self.dead_letters)
    }
}

pub(super) async fn lags(tx: &mut PgConnection) -> sqlx::Result<Vec<Lag>> {
    sqlx::query_as!(
        Lag,
        r#"SELECT c.consumer AS "consumer!",
                  (SELECT count(*) FROM (
                       SELECT FROM outbox_cursors m JOIN outbox o ON (o.xid, o.event_id) > (m.xid, m.event_id)
                       WHERE m.consumer = c.consumer AND NOT o.queued
                       LIMIT $1) AS marked)
                  + (SELECT count(*) FROM (SELECT FROM outbox_queue q WHERE q.consumer = c.consumer LIMIT $1) AS queued) AS "waiting!",
                  (SELECT count(*) FROM outbox_dead_letters d WHERE d.consumer = c.consumer) AS "dead_letters!"
           FROM (SELECT UNNEST(consumers) AS consumer FROM outbox_state) AS c
           ORDER BY c.consumer"#,
        WAITING_MAX
    )
    .fetch_all(tx)
    .await
}

/// How far the log is behind the postings, as a sentence.
pub(super) async fn log_lag(tx: &mut PgConnection) -> sqlx::Result<String> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT count(*) AS "waiting!"
           FROM (SELECT FROM log_state s JOIN postings p ON (p.xid, p.book_id, p.posting_id) > (s.xid, s.book_id, s.posting_id) AND p.xid >= s.xid
                 LIMIT $1) AS above"#,
        WAITING_MAX
    )
    .fetch_one(tx)
    .await?;
    let more = if waiting >= WAITING_MAX { " or more" } else { "" };
    Ok(format!("the log of entries: {waiting}{more} postings to be taken in"))
}

/// An event's id tells when it was appended, in real time: a sandbox day makes nobody late.
pub(super) async fn readers_keep_up(tx: &mut PgConnection, lag_max_ms: i64) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH readers AS (
               SELECT UNNEST(consumers) AS consumer FROM outbox_state
           ), firsts AS (
               SELECT r.consumer, first.event_id
               FROM readers r
               JOIN outbox_cursors m USING (consumer)
               CROSS JOIN LATERAL (SELECT o.event_id FROM outbox o
                                   WHERE (o.xid, o.event_id) > (m.xid, m.event_id) AND NOT o.queued
                                   ORDER BY o.xid, o.event_id
                                   LIMIT 1) AS first
               UNION ALL
               SELECT r.consumer, first.event_id
               FROM readers r
               CROSS JOIN LATERAL (SELECT q.event_id FROM outbox_queue q WHERE q.consumer = r.consumer ORDER BY q.event_id LIMIT 1) AS first
           ), newest AS (
               SELECT GREATEST((SELECT event_id FROM outbox WHERE NOT queued ORDER BY xid DESC, event_id DESC LIMIT 1),
                               (SELECT event_id FROM outbox WHERE queued ORDER BY event_id DESC LIMIT 1)) AS event_id
           ), ages AS (
               SELECT f.consumer, f.event_id,
                      ('x' || substr(replace(n.event_id::text, '-', ''), 1, 12))::bit(48)::bigint
                      - ('x' || substr(replace(f.event_id::text, '-', ''), 1, 12))::bit(48)::bigint AS behind_ms
               FROM firsts f, newest n
           ), bad AS (
               SELECT format('%s has not read event %s, others were appended %s ms later', consumer, event_id, behind_ms) AS violation
               FROM ages WHERE behind_ms > $1
               UNION ALL
               SELECT format('the cursor of %s stands at transaction %s, which has not been yet', consumer, xid)
               FROM outbox_cursors WHERE xid > pg_snapshot_xmax(pg_current_snapshot())
               UNION ALL
               SELECT format('event %s of book %s waits for %s, but does not exist', q.event_id, q.book_id, q.consumer)
               FROM outbox_queue q
               WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.book_id = q.book_id AND o.event_id = q.event_id)
               UNION ALL
               SELECT format('the log of entries stands at transaction %s, which has not been yet', xid)
               FROM log_state WHERE xid > pg_snapshot_xmax(pg_current_snapshot())
           )
           SELECT (SELECT count(*) FROM readers) + 1 AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        lag_max_ms
    )
    .fetch_one(tx)
    .await
}
