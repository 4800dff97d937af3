//! Postings that race with closes: each is in the closed figures of its day, or on the next day; never in neither, never in both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::TimeDelta;
use tokio::sync::Barrier;
use wallet::ledger;
use wallet::period::PeriodError;

use super::{Scene, payment, post};

const POSTERS: usize = 6;
const DAYS: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_posting_that_races_with_a_close_is_before_it_or_on_the_next_day() {
    let scene = Arc::new(Scene::open().await);
    // enough that the close folds before it locks
    for _ in 0..10 {
        let paid: Vec<_> = (0..300).map(|n| payment(scene.book(), scene.store, n + 1, "SANDBOX", scene.day(0))).collect();
        let mut tx = scene.db.pool().begin().await.unwrap();
        let outcomes = ledger::post_in_tx(&mut tx, &paid, scene.day(0), scene.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let (stop, posted, start) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(3_000)), Arc::new(Barrier::new(POSTERS + 1)));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (scene, stop, posted, start) = (scene.clone(), stop.clone(), posted.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    // every third believes in a day that is over; every eighth comes with an account of its own
                    let day = scene.clock.today() - TimeDelta::days(i64::from(number % 3 == 0));
                    let channel = if number % 8 == 7 { format!("P{poster}N{number}") } else { "SANDBOX".to_owned() };
                    post(scene.db.pool(), &payment(scene.book(), scene.store, 100, &channel, day), day, scene.clock.now()).await;
                    posted.fetch_add(1, Ordering::Relaxed);
                    number += 1;
                }
            })
        })
        .collect();
    start.wait().await;
    let mut closed = 0;
    for _ in 0..DAYS {
        // some are posted on the day before it ends
        let before = posted.load(Ordering::Relaxed);
        while posted.load(Ordering::Relaxed) < before + 30 {
            tokio::task::yield_now().await;
        }
        scene.turn_days(1);
        let yesterday = scene.day(-1);
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let scene = scene.clone();
                tokio::spawn(async move { scene.periods.close_days(&scene.operator, scene.book(), yesterday).await })
            })
            .collect();
        for worker in workers {
            match worker.await.unwrap() {
                Ok(_) => closed += 1,
                Err(PeriodError::DayClosed { closed_day }) => assert_eq!(closed_day, yesterday),
                Err(error) => panic!("{error}: {error:?}"),
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for poster in posters {
        poster.await.unwrap();
    }
    assert_eq!(closed, DAYS, "three workers at once close each day once");
    scene.turn_days(1);
    scene.close().await;
    scene.assert_closed_figures_are_folds().await;
    let counted: i64 = sqlx::query_scalar("SELECT sum(postings)::bigint FROM day_closes").fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(counted, posted.load(Ordering::Relaxed), "every posting is in one closed day");
    let deadlocks: i64 = sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        .fetch_one(scene.db.pool())
        .await
        .unwrap();
    assert_eq!(deadlocks, 0);
}
