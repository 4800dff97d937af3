//! Nothing lost and nothing twice: late commits, workers side by side, workers that die.

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;

const WRITERS: i64 = 6;
const ROUNDS: i64 = 25;

/// Writers whose transactions commit in another order than they began, some of them never; and the sum of what was committed.
async fn write(scene: &Scene, pool: &PgPool, during: impl AsyncFn()) -> (i64, i64) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (pool, books) = (pool.clone(), scene.books.clone());
        writers.spawn(async move {
            let event = |amount: i64| Event {
                book: books[usize::try_from(amount).unwrap() % books.len()],
                kind: "test.counted",
                subject: Uuid::now_v7(),
                payload: serde_json::json!({ "amount": amount }),
                at: Clock::wall(),
            };
            let (mut events, mut sum) = (0, 0);
            for round in 0..ROUNDS {
                let (early, late) = (writer * 1_000 + round * 10 + 1, writer * 1_000 + round * 10 + 2);
                let mut held = pool.begin().await.unwrap();
                outbox::append_in_tx(&mut held, &[event(early), event(early + 2)]).await.unwrap();
                let mut quick = pool.begin().await.unwrap();
                outbox::append_in_tx(&mut quick, &[event(late)]).await.unwrap();
                // the later one commits first
                quick.commit().await.unwrap();
                (events, sum) = (events + 1, sum + late);
                if round % 5 == writer % 5 {
                    held.rollback().await.unwrap();
                } else {
                    tokio::task::yield_now().await;
                    held.commit().await.unwrap();
                    (events, sum) = (events + 2, sum + early + early + 2);
                }
            }
            (events, sum)
        });
    }
    let mut written = (0, 0);
    while !writers.is_empty() {
        tokio::select! {
            Some(done) = writers.join_next() => {
                let (events, sum): (i64, i64) = done.unwrap();
                written = (written.0 + events, written.1 + sum);
            }
            () = during() => {}
        }
    }
    written
}

/// Two workers of each consumer until `stop`, each with a connection or two of its own.
fn workers(outbox: &Outbox, consumers: &[Consumer], running: &mut JoinSet<()>, stop: &tokio::sync::watch::Receiver<bool>) {
    for consumer in consumers.iter().flat_map(|c| [*c, *c]) {
        let (outbox, mut stop) = (outbox.clone(), stop.clone());
        running.spawn(async move {
            let handler = Count::new(&consumer);
            while !*stop.borrow_and_update() {
                outbox.consume(&consumer, BATCH, &handler).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn count_and_sum_are_exact_under_late_commits_and_workers_side_by_side() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let pool = wide_pool(&scene.db).await;
        let second = Consumer { name: "second", ..COUNTER };
        let outbox = Outbox::open(pool.clone(), Some(form)).await.unwrap();
        outbox.prepare(&[COUNTER, second]).await.unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut running = JoinSet::new();
        workers(&outbox, &[COUNTER, second], &mut running, &stopped);
        let written = write(&scene, &pool, async || std::future::pending().await).await;
        stop.send(true).unwrap();
        while let Some(worker) = running.join_next().await {
            worker.unwrap();
        }
        for consumer in [COUNTER, second] {
            scene.drain(&consumer, &Count::new(&consumer)).await;
            assert_eq!(scene.totals(&consumer).await, written, "{form:?}");
            scene.exact(&consumer).await;
        }
        assert_eq!(scene.number("SELECT count(*) FROM outbox_dead_letters").await, 0);
        assert_eq!(scene.number("SELECT count(*) FROM outbox_queue").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_form_may_change_while_everybody_writes_and_reads() {
    let scene = Scene::open(Form::Mark).await;
    let pool = wide_pool(&scene.db).await;
    let outboxes =
        [Outbox::open(pool.clone(), Some(Form::Mark)).await.unwrap(), Outbox::open(pool.clone(), Some(Form::Queue)).await.unwrap()];
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut running = JoinSet::new();
    workers(&outboxes[0], &[COUNTER], &mut running, &stopped);
    let turns = Mutex::new(0_usize);
    let turn = async || {
        let next = {
            let mut turns = turns.lock().unwrap();
            *turns += 1;
            *turns % 2
        };
        outboxes[next].prepare(&[COUNTER]).await.unwrap();
    };
    let written = write(&scene, &pool, turn).await;
    stop.send(true).unwrap();
    while let Some(worker) = running.join_next().await {
        worker.unwrap();
    }
    let queued = scene.number("SELECT count(*) FROM outbox WHERE queued").await;
    assert!(queued > 0 && queued < written.0, "both forms were used: {queued} of {}", written.0);
    scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
    assert_eq!(scene.totals(&COUNTER).await, written);
    scene.exact(&COUNTER).await;
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_read_where_the_highest_id_would_have_passed_it() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let highest = async |above: Uuid| -> Vec<Uuid> {
            let sql = "SELECT event_id FROM outbox WHERE event_id > $1 ORDER BY event_id";
            sqlx::query_scalar(sql).bind(above).fetch_all(scene.db.pool()).await.unwrap()
        };
        let (late, early) = (scene.event(1), scene.event(2));
        let mut held = scene.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut held, std::slice::from_ref(&late)).await.unwrap();
        let mut quick = scene.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut quick, std::slice::from_ref(&early)).await.unwrap();
        quick.commit().await.unwrap();

        let seen = highest(Uuid::nil()).await;
        assert_eq!(seen, [scene.id_of(early.subject).await]);
        let count = Count::new(&COUNTER);
        scene.outbox.consume(&COUNTER, BATCH, &count).await.unwrap();
        let before: &[i64] = match form {
            // what came later waits for what is under way
            Form::Mark => &[],
            Form::Queue => &[2],
        };
        assert_eq!(scene.effects(&COUNTER).await, before, "{form:?}");

        held.commit().await.unwrap();
        assert!(highest(seen[0]).await.is_empty(), "the trap: above the highest id seen there is nothing");
        scene.drain(&COUNTER, &count).await;
        let expected: &[i64] = match form {
            Form::Mark => &[1, 2],
            Form::Queue => &[2, 1],
        };
        assert_eq!(scene.effects(&COUNTER).await, expected, "{form:?}");
        scene.exact(&COUNTER).await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_event() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let mut tx = scene.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut tx, &[scene.event(1), scene.event(2)]).await.unwrap();
        tx.rollback().await.unwrap();
        scene.append(3).await;
        scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
        assert_eq!(scene.effects(&COUNTER).await, [3], "{form:?}");
        assert_eq!(scene.number("SELECT count(*) FROM outbox").await, 1);
        assert_eq!(scene.number("SELECT count(*) FROM outbox_queue").await, 0);
    }
}

#[tokio::test]
async fn a_worker_that_dies_between_effect_and_commit_leaves_neither() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        for amount in 1..=20 {
            scene.append(amount).await;
        }
        assert!(scene.die_while_handling(&COUNTER, Deadly::All).await);
        eventually(LIMIT, "the attempt is counted and nothing else remains", async || {
            let counted =
                "SELECT (SELECT count(*) FROM outbox_cursors WHERE attempts = 1) + (SELECT count(*) FROM outbox_queue WHERE attempts = 1)";
            (scene.number(counted).await > 0 && scene.effects(&COUNTER).await.is_empty()).then_some(())
        })
        .await;
        scene.let_time_pass().await;
        scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
        scene.exact(&COUNTER).await;
        assert_eq!(scene.totals(&COUNTER).await, (20, 210), "{form:?}");
    }
}

#[tokio::test]
async fn a_worker_that_is_at_it_is_not_joined_in_the_mark_form_and_is_in_the_queue_form() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        for amount in 1..=20 {
            scene.append(amount).await;
        }
        scene.settled().await;
        let (begun, has_begun) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let outbox = scene.outbox.clone();
        let slow = Waiting { count: Count::new(&COUNTER), turns: Mutex::new(Some((begun, may_go))) };
        let first = tokio::spawn(async move { outbox.consume(&COUNTER, BATCH, &slow).await.unwrap() });
        has_begun.await.unwrap();
        scene.let_time_pass().await;
        let others = scene.outbox.consume(&COUNTER, BATCH, &Count::new(&COUNTER)).await.unwrap().events;
        assert_eq!(others > 0, form == Form::Queue, "{form:?}: {others}");
        go.send(()).unwrap();
        assert!(first.await.unwrap().events > 0);
        scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
        scene.exact(&COUNTER).await;
    }
}

/// Has the effect of its first events when it is told to.
struct Waiting {
    count: Count,
    turns: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl Handler for Waiting {
    async fn handle(&self, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        let turn = self.turns.lock().unwrap().take();
        if let Some((begun, may_go)) = turn {
            begun.send(()).unwrap();
            may_go.await.unwrap();
        }
        self.count.effect(tx, events).await
    }
}
