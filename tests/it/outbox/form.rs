//! Where a consumer begins, and marks that came from elsewhere.

use super::*;

const FROM_NOW: Consumer = Consumer { name: "from now", begin: Begin::Present, ..COUNTER };
const FROM_THE_START: Consumer = Consumer { name: "from the start", ..COUNTER };

#[tokio::test]
async fn a_consumer_begins_where_it_says() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        for amount in 1..=3 {
            scene.append(amount).await;
        }
        scene.settled().await;
        for _ in 0..2 {
            scene.outbox.prepare(&[FROM_NOW, FROM_THE_START]).await.unwrap();
        }
        scene.append(4).await;
        for (consumer, expected) in [(FROM_NOW, vec![4]), (FROM_THE_START, vec![1, 2, 3, 4])] {
            scene.drain(&consumer, &Count::new(&consumer)).await;
            let mut amounts = scene.effects(&consumer).await;
            amounts.sort_unstable();
            assert_eq!(amounts, expected, "{form:?}: {}", consumer.name);
        }
        scene.exact(&FROM_THE_START).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_from_the_start_misses_no_append_that_is_under_way_when_it_comes() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let mut held = scene.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut held, &[scene.event(1)]).await.unwrap();
        let outbox = scene.outbox.clone();
        let preparing = tokio::spawn(async move { outbox.prepare(&[FROM_THE_START]).await });
        if form == Form::Queue {
            tests::eventually_blocked(scene.db.owner_pool(), 1).await;
            // an append that comes now waits for the consumer, and then knows it
            let (pool, event) = (scene.db.pool().clone(), scene.event(2));
            let appending = tokio::spawn(async move {
                let mut tx = pool.begin().await.unwrap();
                outbox::append_in_tx(&mut tx, &[event]).await.unwrap();
                tx.commit().await.unwrap();
            });
            held.commit().await.unwrap();
            appending.await.unwrap();
        } else {
            preparing.await.unwrap().unwrap();
            held.commit().await.unwrap();
            scene.drain(&FROM_THE_START, &Count::new(&FROM_THE_START)).await;
            scene.exact(&FROM_THE_START).await;
            continue;
        }
        preparing.await.unwrap().unwrap();
        scene.append(3).await;
        for consumer in [FROM_THE_START, COUNTER] {
            scene.drain(&consumer, &Count::new(&consumer)).await;
            scene.exact(&consumer).await;
        }
    }
}

#[tokio::test]
async fn marks_of_another_cluster_are_moved_into_the_queue() {
    let scene = Scene::open(Form::Mark).await;
    for amount in 1..=10 {
        scene.append(amount).await;
    }
    let count = Count::new(&COUNTER);
    scene.settled().await;
    assert_eq!(scene.outbox.consume(&COUNTER, 4, &count).await.unwrap().events, 4);
    // A dump of a cluster that was far ahead of this one, put back here. One writer was quicker than the first reader.
    sqlx::raw_sql(
        "UPDATE outbox SET xid = (xid::text::bigint + 1000000000)::text::xid8;
         UPDATE outbox_cursors SET xid = (xid::text::bigint + 1000000000)::text::xid8;",
    )
    .execute(scene.db.owner_pool())
    .await
    .unwrap();
    scene.append(11).await;
    assert_eq!(scene.outbox.consume(&COUNTER, BATCH, &count).await.unwrap().events, 0, "the trap: nothing here is ever read");

    let started = Outbox::open(scene.db.pool().clone(), None).await.unwrap();
    assert_eq!(started.form(), Form::Mark, "plain PostgreSQL has marks");
    for _ in 0..2 {
        started.prepare(&[COUNTER]).await.unwrap();
    }
    scene.append(12).await;
    scene.drain(&COUNTER, &count).await;
    assert_eq!(scene.totals(&COUNTER).await, (12, 78));
    scene.exact(&COUNTER).await;
    assert_eq!(scene.number("SELECT count(*) FROM outbox WHERE queued").await, 11, "and what came after is read by mark");
}

#[tokio::test]
async fn the_lag_tells_what_waits_and_for_how_long() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let none = scene.lag(&COUNTER).await;
        assert_eq!((none.waiting, none.oldest, none.dead_letters), (0, None, 0), "{form:?}");
        let mut before = None;
        for waiting in 1..=3 {
            scene.append(waiting).await;
            let lag = scene.lag(&COUNTER).await;
            assert_eq!(lag.waiting, waiting);
            assert!(lag.oldest > before && lag.oldest.unwrap().num_seconds() < 60, "{form:?}: {:?} after {before:?}", lag.oldest);
            before = lag.oldest;
        }
        scene.settled().await;
        let mut held = scene.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut held, &[scene.event(4)]).await.unwrap();
        scene.append(5).await;
        let count = Count::new(&COUNTER);
        while scene.outbox.consume(&COUNTER, BATCH, &count).await.unwrap().more {}
        let kept_back = if form == Form::Mark { 1 } else { 0 };
        assert_eq!(scene.lag(&COUNTER).await.waiting, kept_back, "{form:?}: what a long transaction keeps back is waiting, too");
        held.rollback().await.unwrap();
        scene.drain(&COUNTER, &count).await;
        assert_eq!(scene.lag(&COUNTER).await.oldest, None);
        let lags = scene.outbox.lags(&Actor::System).await.unwrap();
        assert_eq!(lags.form, form);
        assert!(lags.as_of <= Clock::wall());
    }
}
