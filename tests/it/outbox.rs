//! The outbox on a real database: the same promises in both forms, on the way from one to the other, and after a crash.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod dead_letter;
mod edge;
mod exact;
mod form;
mod retention;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tests::{TestDatabase, eventually};
use tokio::sync::mpsc;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::id::BookId;
use wallet::base::outbox::{self, Begin, Consumer, Event, Failure, Form, Handler, Lag, Outbox, Stored};

const LIMIT: Duration = Duration::from_secs(60);

/// Events at a time: few, so that there are many steps.
const BATCH: i32 = 7;

/// A consumer with pauses a test can wait for.
const COUNTER: Consumer = Consumer { name: "counter", begin: Begin::Beginning, attempts_max: 3, backoff: Duration::from_millis(1) };

const BOTH: [Form; 2] = [Form::Mark, Form::Queue];

/// A database with tables for the effects of events, and its outbox in one form.
struct Scene {
    db: TestDatabase,
    outbox: Outbox,
    books: Vec<BookId>,
}

impl Scene {
    /// With [`COUNTER`] known.
    async fn open(form: Form) -> Self {
        let scene = Self::without_consumers(form).await;
        scene.outbox.prepare(&[COUNTER]).await.unwrap();
        scene
    }

    async fn without_consumers(form: Form) -> Self {
        let db = tests::database().await;
        sqlx::raw_sql(
            "CREATE TABLE effects (consumer text NOT NULL, event_id uuid NOT NULL, amount bigint NOT NULL, nth bigint GENERATED ALWAYS AS IDENTITY);
             CREATE TABLE totals (consumer text PRIMARY KEY, events bigint NOT NULL, amount bigint NOT NULL);
             GRANT SELECT, INSERT, UPDATE ON effects, totals TO haodian_app;",
        )
        .execute(db.owner_pool())
        .await
        .unwrap();
        let outbox = Outbox::open(db.pool().clone(), Some(form)).await.unwrap();
        Self { db, outbox, books: (0..3).map(|_| BookId::new()).collect() }
    }

    fn event(&self, amount: i64) -> Event {
        let book = self.books[usize::try_from(amount).unwrap() % self.books.len()];
        Event { book, kind: "test.counted", subject: Uuid::now_v7(), payload: serde_json::json!({ "amount": amount }), at: Clock::wall() }
    }

    /// Appends one event in a transaction of its own; its id.
    async fn append(&self, amount: i64) -> Uuid {
        let event = self.event(amount);
        let mut tx = self.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut tx, std::slice::from_ref(&event)).await.unwrap();
        tx.commit().await.unwrap();
        self.id_of(event.subject).await
    }

    async fn id_of(&self, subject: Uuid) -> Uuid {
        sqlx::query_scalar("SELECT event_id FROM outbox WHERE subject_id = $1").bind(subject).fetch_one(self.db.pool()).await.unwrap()
    }

    /// Consumes until nothing waits for the consumer.
    async fn drain(&self, consumer: &Consumer, handler: &impl Handler) {
        eventually(LIMIT, "the consumer has read everything", async || {
            while self.outbox.consume(consumer, BATCH, handler).await.unwrap().more {}
            (self.lag(consumer).await.waiting == 0).then_some(())
        })
        .await;
    }

    async fn lag(&self, consumer: &Consumer) -> Lag {
        let lags = self.outbox.lags(&Actor::System).await.unwrap();
        lags.consumers.into_iter().find(|lag| lag.consumer == consumer.name).unwrap()
    }

    /// The amounts whose effect a consumer had, in the order it had them.
    async fn effects(&self, consumer: &Consumer) -> Vec<i64> {
        sqlx::query_scalar("SELECT amount FROM effects WHERE consumer = $1 ORDER BY nth")
            .bind(consumer.name)
            .fetch_all(self.db.pool())
            .await
            .unwrap()
    }

    /// The effects of a consumer are those of the events there are: each once, count and sum kept beside them equal.
    async fn exact(&self, consumer: &Consumer) {
        let (missing, twice): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM outbox o WHERE NOT EXISTS (SELECT FROM effects e WHERE e.event_id = o.event_id AND e.consumer = $1)),
                    (SELECT count(*) - count(DISTINCT event_id) FROM effects WHERE consumer = $1)",
        )
        .bind(consumer.name)
        .fetch_one(self.db.pool())
        .await
        .unwrap();
        assert_eq!((missing, twice), (0, 0), "(events without effect, effects too many) of {}", consumer.name);
        let told: (i64, i64) = sqlx::query_as("SELECT count(*), COALESCE(sum((payload ->> 'amount')::bigint), 0)::bigint FROM outbox")
            .fetch_one(self.db.pool())
            .await
            .unwrap();
        assert_eq!(self.totals(consumer).await, told, "(count, sum) of {}", consumer.name);
    }

    async fn totals(&self, consumer: &Consumer) -> (i64, i64) {
        sqlx::query_as("SELECT events, amount FROM totals WHERE consumer = $1")
            .bind(consumer.name)
            .fetch_optional(self.db.pool())
            .await
            .unwrap()
            .unwrap_or_default()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.owner_pool()).await.unwrap()
    }

    /// Waits until no event is kept back by a transaction under way: a test beside this one may hold one open, and marks are the cluster's.
    async fn settled(&self) {
        eventually(LIMIT, "no transaction is older than the events", async || {
            let kept_back = "SELECT count(*) FROM outbox WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())";
            (self.number(kept_back).await == 0).then_some(())
        })
        .await;
    }

    /// As if the pause after an attempt were over, and the time a process has that begins one. What is held is left alone.
    async fn let_time_pass(&self) {
        sqlx::raw_sql(
            "UPDATE outbox_cursors SET retry_at = now()
             WHERE consumer IN (SELECT consumer FROM outbox_cursors WHERE retry_at > now() FOR UPDATE SKIP LOCKED);
             UPDATE outbox_queue SET retry_at = now()
             WHERE (book_id, consumer, event_id) IN (
                 SELECT book_id, consumer, event_id FROM outbox_queue WHERE retry_at > now() FOR UPDATE SKIP LOCKED);",
        )
        .execute(self.db.owner_pool())
        .await
        .unwrap();
    }

    /// A worker that dies in its handler, after the effect and before the commit; false where nothing kills it until everything is read.
    async fn die_while_handling(&self, consumer: &Consumer, deadly: Deadly) -> bool {
        let (told, mut dying) = mpsc::unbounded_channel();
        let handler = Dying { count: Count::new(consumer), deadly, told };
        // dropping a step half-way is what a process leaves behind that is killed: an open transaction that nobody commits
        tokio::select! {
            () = self.drain(consumer, &handler) => false,
            Some(()) = dying.recv() => true,
        }
    }
}

/// Which events kill their worker.
#[derive(Clone, Copy)]
enum Deadly {
    All,
    Amount(i64),
}

/// Counts events: a row for each, and a total that would show a second effect.
struct Count {
    consumer: &'static str,
    /// Amounts that are refused, and how.
    bad: Mutex<BTreeSet<i64>>,
    how: How,
}

/// How an event goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Refuse,
    Panic,
    /// A statement fails and the handler does not notice.
    SwallowedError,
    /// The database is away, as far as the handler can tell.
    Away,
}

impl Count {
    fn new(consumer: &Consumer) -> Self {
        Self { consumer: consumer.name, bad: Mutex::default(), how: How::Refuse }
    }

    fn that_cannot(consumer: &Consumer, amount: i64, how: How) -> Self {
        Self { consumer: consumer.name, bad: Mutex::new([amount].into()), how }
    }

    fn mended(&self) {
        self.bad.lock().unwrap().clear();
    }

    async fn effect(&self, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        let ids: Vec<Uuid> = events.iter().map(|e| e.id).collect();
        let amounts: Vec<i64> = events.iter().map(amount).collect();
        sqlx::query("INSERT INTO effects (consumer, event_id, amount) SELECT $1, * FROM UNNEST($2::uuid[], $3::bigint[])")
            .bind(self.consumer)
            .bind(&ids)
            .bind(&amounts)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO totals (consumer, events, amount) VALUES ($1, $2, $3)
             ON CONFLICT (consumer) DO UPDATE SET events = totals.events + excluded.events, amount = totals.amount + excluded.amount",
        )
        .bind(self.consumer)
        .bind(i64::try_from(events.len()).unwrap())
        .bind(amounts.iter().sum::<i64>())
        .execute(tx)
        .await?;
        Ok(())
    }
}

fn amount(event: &Stored) -> i64 {
    event.payload["amount"].as_i64().unwrap()
}

impl Handler for Count {
    async fn handle(&self, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        self.effect(tx, events).await?;
        let bad = events.iter().any(|event| self.bad.lock().unwrap().contains(&amount(event)));
        match self.how {
            _ if !bad => Ok(()),
            How::Refuse => Err(Failure::Refused("the amount makes no sense".into())),
            How::Panic => panic!("the test's handler panics"),
            How::SwallowedError => {
                let _ = sqlx::query("SELECT 1 / 0").execute(tx).await;
                Ok(())
            }
            How::Away => Err(Failure::Database(sqlx::Error::PoolTimedOut)),
        }
    }
}

/// Has the effect, says so, and never comes back.
struct Dying {
    count: Count,
    deadly: Deadly,
    told: mpsc::UnboundedSender<()>,
}

impl Handler for Dying {
    async fn handle(&self, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        self.count.effect(tx, events).await?;
        let deadly = match self.deadly {
            Deadly::All => true,
            Deadly::Amount(bad) => events.iter().any(|event| amount(event) == bad),
        };
        if deadly {
            self.told.send(()).unwrap();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A pool of the application's own, for tests with many transactions open at once.
async fn wide_pool(db: &TestDatabase) -> PgPool {
    wallet::base::db::connect(db.url(), 24).await.unwrap()
}
