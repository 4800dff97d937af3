//! One step of a consumer: what people asked for again, what the queue holds, what stands above the mark.
//!
//! A batch that fails is taken apart: its events come one by one, so that only the one that fails is tried again, with a growing pause, and
//! is dead after its last attempt. In the mark form those behind it wait meanwhile, in the queue form they do not.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use sqlx::{Acquire as _, PgConnection};

use super::{Consumer, Failure, Handler, Outbox, Stored, dead_letter, mark, queue};
use crate::base::clock::Clock;

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Events whose effect is committed.
    pub events: usize,
    /// Whether there may be more to do at once.
    pub more: bool,
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.more |= other.more;
    }
}

/// What became of an attempt.
enum Outcome {
    /// The effect and the progress are committed, of so many events.
    Done(usize),
    /// Another worker has the events.
    Lost,
    /// There was nothing there any more.
    Nothing,
    /// Nothing is committed. The events, for what comes next.
    Failed(Vec<Stored>, Failure),
}

impl Outbox {
    /// Has the effect of the next events of a consumer, `limit` of them at a time, and of those that failed and may be tried again. Idle, it
    /// reads once and writes nothing. Any number of workers may call it at once.
    ///
    /// # Errors
    /// When the database is away or busy; the attempt does not count, and the step may be taken again after a pause.
    pub async fn consume(&self, consumer: &Consumer, limit: i32, handler: &impl Handler) -> sqlx::Result<Taken> {
        let due = self.due(consumer).await?;
        let mut taken = Taken::default();
        if due.replay {
            taken.add(self.consume_asked_for(consumer, limit, handler).await?);
        }
        if due.queued {
            taken.add(self.consume_failed(consumer, limit, handler).await?);
            taken.add(self.consume_fresh(consumer, limit, handler).await?);
        }
        if due.marked {
            taken.add(self.consume_marked(consumer, limit, handler).await?);
        }
        Ok(taken)
    }

    /// Where there is something to do. The order and the limit beside the cursor are what lets the engine begin there: without them it reads
    /// the outbox from its beginning whenever nothing is new (100,000 events: 50 ms instead of 0.05 ms).
    async fn due(&self, consumer: &Consumer) -> sqlx::Result<Due> {
        let now = Clock::wall();
        if !self.marks {
            return sqlx::query_as!(
                Due,
                r#"SELECT EXISTS (SELECT FROM outbox_dead_letters WHERE consumer = $1 AND replay_at IS NOT NULL) AS "replay!",
                          EXISTS (SELECT FROM outbox_queue WHERE consumer = $1 AND attempts = 0)
                              OR EXISTS (SELECT FROM outbox_queue WHERE consumer = $1 AND attempts > 0 AND retry_at <= $2) AS "queued!",
                          false AS "marked!""#,
                consumer.name,
                now
            )
            .fetch_one(&self.db)
            .await;
        }
        sqlx::query_as!(
            Due,
            r#"-- capability: xid_watermark
               SELECT EXISTS (SELECT FROM outbox_dead_letters WHERE consumer = $1 AND replay_at IS NOT NULL) AS "replay!",
                      EXISTS (SELECT FROM outbox_queue WHERE consumer = $1 AND attempts = 0)
                          OR EXISTS (SELECT FROM outbox_queue WHERE consumer = $1 AND attempts > 0 AND retry_at <= $2) AS "queued!",
                      EXISTS (SELECT FROM outbox_cursors c
                              CROSS JOIN LATERAL (
                                  SELECT FROM outbox o
                                  WHERE (o.xid, o.event_id) > (c.xid, c.event_id) AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
                                    AND NOT o.queued
                                  ORDER BY o.xid, o.event_id
                                  LIMIT 1) AS next
                              WHERE c.consumer = $1 AND (c.retry_at IS NULL OR c.retry_at <= $2)) AS "marked!""#,
            consumer.name,
            now
        )
        .fetch_one(&self.db)
        .await
    }

    async fn consume_marked(&self, consumer: &Consumer, limit: i32, handler: &impl Handler) -> sqlx::Result<Taken> {
        let mut connection = self.db.acquire().await?;
        let Some(attempt) = mark::attempt(&mut connection, consumer, limit, Clock::wall()).await? else { return Ok(Taken::default()) };
        if attempt.attempts > consumer.attempts_max {
            let reason = lost_reason(consumer);
            return bury_marked(&mut connection, consumer, &attempt, consumer.attempts_max, &reason).await;
        }
        let alone = attempt.careful > 0;
        let size = if alone { 1 } else { limit };
        match run_marked(&mut connection, consumer, &attempt, size, handler).await? {
            Outcome::Done(events) => Ok(Taken { events, more: alone || events == usize::try_from(limit).unwrap_or(0) }),
            Outcome::Lost | Outcome::Nothing => Ok(Taken::default()),
            Outcome::Failed(_, failure) if failure.passing() => {
                mark::postpone(&mut connection, consumer.name, &attempt, attempt.attempts - 1, attempt.careful, Clock::wall()).await?;
                Err(database_error(failure))
            }
            Outcome::Failed(events, _) if events.len() > 1 => {
                let careful = i32::try_from(events.len()).unwrap_or(limit);
                mark::postpone(&mut connection, consumer.name, &attempt, 0, careful, Clock::wall()).await?;
                Ok(Taken { events: 0, more: true })
            }
            Outcome::Failed(events, failure) => {
                tell(consumer, &events, attempt.attempts, &failure);
                if attempt.attempts >= consumer.attempts_max {
                    return bury_marked(&mut connection, consumer, &attempt, attempt.attempts, &failure.reason()).await;
                }
                let retry_at = Clock::wall() + consumer.pause(attempt.attempts);
                let careful = attempt.careful.max(1);
                mark::postpone(&mut connection, consumer.name, &attempt, attempt.attempts, careful, retry_at).await?;
                Ok(Taken::default())
            }
        }
    }

    /// Rows that failed before, one by one.
    async fn consume_failed(&self, consumer: &Consumer, limit: i32, handler: &impl Handler) -> sqlx::Result<Taken> {
        let mut connection = self.db.acquire().await?;
        let mut taken = Taken::default();
        for _ in 0..limit {
            let Some(counted) = queue::next_attempt(&mut connection, consumer, Clock::wall()).await? else { return Ok(taken) };
            let Some(batch) = counted else { continue };
            if batch.attempts > consumer.attempts_max {
                bury_queued(&mut connection, consumer, &batch, consumer.attempts_max, &lost_reason(consumer)).await?;
            } else {
                taken.add(take_queued(&mut connection, consumer, &batch, handler).await?);
            }
        }
        taken.more = true;
        Ok(taken)
    }

    /// Rows that nobody tried yet: a batch of each of the books that have waited longest.
    async fn consume_fresh(&self, consumer: &Consumer, limit: i32, handler: &impl Handler) -> sqlx::Result<Taken> {
        let mut taken = Taken::default();
        for book in queue::books(&self.db, consumer, limit.into()).await? {
            let mut connection = self.db.acquire().await?;
            let batch = queue::first_attempt(&mut connection, consumer, book, limit.into(), Clock::wall()).await?;
            if !batch.events.is_empty() {
                taken.add(take_queued(&mut connection, consumer, &batch, handler).await?);
                taken.more = true;
            }
        }
        Ok(taken)
    }

    /// Dead letters that a person asked for again.
    async fn consume_asked_for(&self, consumer: &Consumer, limit: i32, handler: &impl Handler) -> sqlx::Result<Taken> {
        let mut connection = self.db.acquire().await?;
        let mut taken = Taken::default();
        for _ in 0..limit {
            let Some(counted) = dead_letter::next_attempt(&mut connection, consumer.name).await? else { break };
            let Some(letter) = counted else { continue };
            match run_again(&mut connection, &letter, handler).await? {
                Outcome::Done(events) => taken.add(Taken { events, more: true }),
                Outcome::Lost | Outcome::Nothing => {}
                Outcome::Failed(_, failure) if failure.passing() => {
                    dead_letter::ask_in_tx(&mut connection, &letter.key, Clock::wall()).await?;
                    return Err(database_error(failure));
                }
                Outcome::Failed(events, failure) => {
                    tell(consumer, &events, letter.attempts, &failure);
                    dead_letter::again_dead(&mut connection, &letter, &failure.reason(), Clock::wall()).await?;
                }
            }
        }
        Ok(taken)
    }
}

struct Due {
    replay: bool,
    queued: bool,
    marked: bool,
}

/// Runs the handler; a panic is a failure of the event, not the end of the consumer.
async fn handle(handler: &impl Handler, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
    let outcome = AssertUnwindSafe(handler.handle(tx, events)).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Failure::Refused("the handler panicked".into())))
}

async fn run_marked(
    connection: &mut PgConnection,
    consumer: &Consumer,
    attempt: &mark::Attempt,
    size: i32,
    handler: &impl Handler,
) -> sqlx::Result<Outcome> {
    let mut tx = connection.begin().await?;
    if !mark::hold_in_tx(&mut tx, consumer.name, attempt).await? {
        return Ok(Outcome::Lost);
    }
    let placed = mark::next(&mut tx, &attempt.place, size.into()).await?;
    let Some(last) = placed.last().map(|p| p.place.clone()) else {
        mark::advance_in_tx(&mut tx, consumer.name, &attempt.place, 0).await?;
        tx.commit().await?;
        return Ok(Outcome::Nothing);
    };
    let events: Vec<Stored> = placed.into_iter().map(|p| p.event).collect();
    let careful = (attempt.careful - 1).max(0);
    let effect = async {
        handle(handler, &mut tx, &events).await?;
        mark::advance_in_tx(&mut tx, consumer.name, &last, careful).await?;
        Ok(())
    };
    match effect.await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Outcome::Done(events.len()))
        }
        Err(failure) => {
            tx.rollback().await?;
            Ok(Outcome::Failed(events, failure))
        }
    }
}

/// Gives up the first event after the attempt's place and goes on behind it.
async fn bury_marked(
    connection: &mut PgConnection,
    consumer: &Consumer,
    attempt: &mark::Attempt,
    attempts: i32,
    reason: &str,
) -> sqlx::Result<Taken> {
    let mut tx = connection.begin().await?;
    if !mark::hold_in_tx(&mut tx, consumer.name, attempt).await? {
        return Ok(Taken::default());
    }
    let careful = (attempt.careful - 1).max(0);
    if let Some(first) = mark::next(&mut tx, &attempt.place, 1).await?.pop() {
        dead_letter::bury_in_tx(&mut tx, consumer.name, &first.event, attempts, reason, Clock::wall()).await?;
        mark::advance_in_tx(&mut tx, consumer.name, &first.place, careful).await?;
    }
    tx.commit().await?;
    Ok(Taken { events: 0, more: true })
}

/// Takes rows of one book whose attempt was counted.
async fn take_queued(
    connection: &mut PgConnection,
    consumer: &Consumer,
    batch: &queue::Batch,
    handler: &impl Handler,
) -> sqlx::Result<Taken> {
    match run_queued(connection, consumer, batch, handler).await? {
        Outcome::Done(events) => Ok(Taken { events, more: false }),
        Outcome::Lost | Outcome::Nothing => Ok(Taken::default()),
        Outcome::Failed(_, failure) if failure.passing() => {
            let before = batch.attempts - 1;
            let retry_at = (before > 0).then(Clock::wall);
            queue::postpone(connection, consumer.name, batch, before, retry_at).await?;
            Err(database_error(failure))
        }
        Outcome::Failed(events, _) if events.len() > 1 => {
            queue::postpone(connection, consumer.name, batch, batch.attempts, Some(Clock::wall())).await?;
            Ok(Taken { events: 0, more: true })
        }
        Outcome::Failed(events, failure) => {
            tell(consumer, &events, batch.attempts, &failure);
            if batch.attempts >= consumer.attempts_max {
                bury_queued(connection, consumer, batch, batch.attempts, &failure.reason()).await?;
            } else {
                let retry_at = Clock::wall() + consumer.pause(batch.attempts);
                queue::postpone(connection, consumer.name, batch, batch.attempts, Some(retry_at)).await?;
            }
            Ok(Taken::default())
        }
    }
}

async fn run_queued(
    connection: &mut PgConnection,
    consumer: &Consumer,
    batch: &queue::Batch,
    handler: &impl Handler,
) -> sqlx::Result<Outcome> {
    let mut tx = connection.begin().await?;
    let held = queue::hold_in_tx(&mut tx, consumer.name, batch).await?;
    if held.is_empty() {
        return Ok(Outcome::Lost);
    }
    let events = queue::events(&mut tx, batch.book, &held).await?;
    let effect = async {
        handle(handler, &mut tx, &events).await?;
        queue::remove_in_tx(&mut tx, consumer.name, batch.book, &held).await?;
        Ok(())
    };
    match effect.await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Outcome::Done(events.len()))
        }
        Err(failure) => {
            tx.rollback().await?;
            Ok(Outcome::Failed(events, failure))
        }
    }
}

/// Gives up the one event of a batch.
async fn bury_queued(
    connection: &mut PgConnection,
    consumer: &Consumer,
    batch: &queue::Batch,
    attempts: i32,
    reason: &str,
) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    let held = queue::hold_in_tx(&mut tx, consumer.name, batch).await?;
    for event in queue::events(&mut tx, batch.book, &held).await? {
        dead_letter::bury_in_tx(&mut tx, consumer.name, &event, attempts, reason, Clock::wall()).await?;
    }
    queue::remove_in_tx(&mut tx, consumer.name, batch.book, &held).await?;
    tx.commit().await
}

/// The effect and the end of a dead letter, together.
async fn run_again(connection: &mut PgConnection, letter: &dead_letter::Attempt, handler: &impl Handler) -> sqlx::Result<Outcome> {
    let mut tx = connection.begin().await?;
    if !dead_letter::hold_in_tx(&mut tx, letter).await? {
        return Ok(Outcome::Lost);
    }
    let events = queue::events(&mut tx, letter.key.book, &[letter.key.event]).await?;
    let effect = async {
        handle(handler, &mut tx, &events).await?;
        dead_letter::remove_in_tx(&mut tx, &letter.key).await?;
        Ok(())
    };
    match effect.await {
        Ok(()) => {
            tx.commit().await?;
            Ok(Outcome::Done(events.len()))
        }
        Err(failure) => {
            tx.rollback().await?;
            Ok(Outcome::Failed(events, failure))
        }
    }
}

/// Why an event is dead whose attempts were begun and never ended.
fn lost_reason(consumer: &Consumer) -> String {
    format!("{} attempts were begun and none ended: the process died each time", consumer.attempts_max)
}

/// A failure that passes is an error of the database; anything else does not come here.
fn database_error(failure: Failure) -> sqlx::Error {
    match failure {
        Failure::Database(error) => error,
        Failure::Refused(words) => sqlx::Error::Protocol(words.into_owned()),
    }
}

fn tell(consumer: &Consumer, events: &[Stored], attempts: i32, failure: &Failure) {
    let (id, kind) = events.first().map_or((uuid::Uuid::nil(), ""), |e| (e.id, e.kind.as_str()));
    tracing::warn!(consumer = consumer.name, event = %id, kind, attempts, reason = failure.reason(), "an event was not taken");
}
