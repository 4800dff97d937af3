//! Settlement: released once, what a refund took is carried over, and nothing of today.

use std::sync::Arc;

use tokio::sync::Barrier;
use wallet::base::id::AttemptId;
use wallet::ledger;
use wallet::ledger::recipe::{self, RefundSource};

use super::{CHANNEL, Scene, cny};

#[tokio::test]
async fn a_day_is_released_the_day_after_and_only_once() {
    let scene = Scene::open().await;
    scene.paid(10_000, 38).await;
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0, "today's money is not due");
    scene.turn_days(1);
    scene.paid(500, 2).await;
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    assert_eq!(scene.owed().await, [498, 9_962, 0, 0]);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0, "a second run finds nothing");
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    assert_eq!(scene.owed().await, [0, 10_460, 0, 0]);
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0, "a release alone makes no day due");
    scene.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settling_four_times_at_once_releases_once() {
    let scene = Arc::new(Scene::open().await);
    scene.paid(10_000, 38).await;
    scene.turn_days(1);
    let start = Arc::new(Barrier::new(4));
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (settlements, start) = (scene.settlements(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                settlements.release_due().await.unwrap()
            })
        })
        .collect();
    let mut released = 0;
    for run in runs {
        released += run.await.unwrap();
    }
    assert_eq!(released, 1);
    assert_eq!(scene.owed().await, [0, 9_962, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn days_that_were_missed_are_released_together_each_in_its_own_batch() {
    let scene = Scene::open().await;
    for minor in [100, 200, 300] {
        scene.paid(minor, 0).await;
        scene.turn_days(1);
    }
    scene.paid(50, 0).await;
    assert_eq!(scene.settlements().release_due().await.unwrap(), 3);
    let released: Vec<(chrono::NaiveDate, i64)> =
        sqlx::query_as("SELECT day, released_minor FROM settlement_batches ORDER BY day").fetch_all(scene.db.pool()).await.unwrap();
    assert_eq!(released, [(scene.day(-3), 100), (scene.day(-2), 200), (scene.day(-1), 300)]);
    assert_eq!(scene.owed().await, [50, 600, 0, 0]);
    scene.assert_sound().await;
}

/// What a refund took after the day's end is not released; when the channel refuses the refund, the money is released with the day it
/// came back on.
#[tokio::test]
async fn what_a_refund_took_is_carried_over_until_it_comes_back() {
    let scene = Scene::open().await;
    let paid = scene.paid(1_000, 0).await;
    scene.turn_days(1);
    let refund = scene.refunded(paid, 700, RefundSource::Pending, false).await;
    let refund_day = scene.clock.today();
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    assert_eq!(scene.owed().await, [0, 300, 0, 700]);
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0);
    let returned =
        recipe::refund_returned(scene.book(), scene.store, refund, (cny(700), cny(0)), &[(RefundSource::Pending, cny(700))], refund_day);
    assert_eq!(scene.post(&[returned]).await, [Ok(())]);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0, "it came back today");
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    assert_eq!(scene.owed().await, [0, 1_000, 0, 0]);
    scene.assert_books_sound().await;
}

/// A poster read the clock before midnight and wrote after the day had been settled: its money goes with the next day.
#[tokio::test]
async fn money_booked_around_midnight_is_released_with_the_next_day() {
    let scene = Scene::open().await;
    scene.paid(1_000, 0).await;
    let yesterday = scene.clock.today();
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    let late = recipe::payment(scene.book(), scene.store, AttemptId::new(), cny(70), cny(0), CHANNEL, yesterday);
    let mut tx = scene.db.pool().begin().await.unwrap();
    ledger::post_in_tx(&mut tx, &[late], yesterday, scene.clock.now()).await.unwrap().remove(0).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0);
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 1);
    assert_eq!(scene.owed().await, [0, 1_070, 0, 0]);
    scene.turn_days(1);
    assert_eq!(scene.settlements().release_due().await.unwrap(), 0);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn only_an_operator_may_ask_for_a_run() {
    let scene = Scene::open().await;
    scene.paid(1_000, 0).await;
    scene.turn_days(1);
    assert!(scene.settlements().run(&scene.owner).await.is_err());
    assert_eq!(scene.owed().await, [1_000, 0, 0, 0]);
    let operator = wallet::base::actor::Actor::Person {
        id: wallet::base::id::UserId::new(),
        role: wallet::base::actor::Role::Operator,
        merchants: vec![],
    };
    assert_eq!(scene.settlements().run(&operator).await.unwrap(), 1);
}
