//! The nightly sweep: fees to the platform's book, once a day, without a change of any total.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Barrier;
use uuid::Uuid;
use wallet::analytics::Board;
use wallet::base::id::BookId;
use wallet::ledger::AccountKind;
use wallet::refund::RequestRefund;

use super::{Scene, cny};

impl Scene {
    /// What all accounts of each kind hold, without those that hold nothing.
    async fn totals(&self) -> BTreeMap<AccountKind, i64> {
        let totals = self.books.totals(&self.operator).await.unwrap();
        totals.into_iter().filter(|t| t.amount.minor != 0).map(|t| (t.kind, t.amount.minor)).collect()
    }

    /// Fees in the merchant's own book and in the platform's.
    async fn fees(&self) -> [i64; 2] {
        [self.stands_at(self.merchant.book(), AccountKind::FeeIncome).await, self.stands_at(BookId::PLATFORM, AccountKind::FeeIncome).await]
    }
}

#[tokio::test]
async fn fees_go_to_the_platform_once_a_day_and_no_total_changes() {
    let scene = Scene::striped(2).await;
    scene.pay_each_stripe(2, 10_000).await;
    let (day, before) = (scene.clock.today(), scene.totals().await);
    scene.turn_day();
    assert_eq!(scene.books.sweep_fees().await.unwrap(), 2, "each stripe is a book");
    assert_eq!(scene.fees().await, [0, 200]);
    assert_eq!(scene.totals().await, before);
    assert_eq!(scene.in_transit().await, 0);
    assert_eq!(scene.count("SELECT count(*) FROM transfers WHERE status <> 'ARRIVED'").await, 0);

    scene.pay_each_stripe(1, 5_000).await;
    assert_eq!(scene.books.sweep_fees().await.unwrap(), 0, "today is swept");
    assert_eq!(scene.fees().await, [50, 200]);
    let board = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let figures = board.day(&scene.operator, day, None).await.unwrap();
    assert_eq!(figures.fee, cny(200), "the board counts payments, not what the platform does with its fees");
    scene.assert_sound().await;
}

/// A book that gave back fees it no longer has is made up for.
#[tokio::test]
async fn fees_given_back_after_the_sweep_come_out_of_the_platforms() {
    let scene = Scene::open().await;
    let order = scene.pay(10_000).await;
    scene.turn_day();
    scene.books.sweep_fees().await.unwrap();
    assert_eq!(scene.fees().await, [0, 100]);
    let cmd = RequestRefund {
        merchant: scene.merchant,
        order: order.id,
        amount: cny(4_000),
        reason: "不要了".to_owned(),
        idempotency_key: Uuid::now_v7(),
    };
    scene.refunds.request(&scene.owner, cmd).await.unwrap();
    assert_eq!(scene.fees().await, [-40, 100]);
    let before = scene.totals().await;
    scene.turn_day();
    assert_eq!(scene.books.sweep_fees().await.unwrap(), 1);
    assert_eq!(scene.fees().await, [0, 60]);
    assert_eq!((scene.totals().await, scene.in_transit().await), (before, 0));
    scene.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweeping_four_times_at_once_sweeps_once() {
    let scene = Arc::new(Scene::striped(4).await);
    scene.pay_each_stripe(4, 10_000).await;
    scene.turn_day();
    let start = Arc::new(Barrier::new(4));
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                scene.books.sweep_fees().await.unwrap()
            })
        })
        .collect();
    let mut swept = 0;
    for run in runs {
        swept += run.await.unwrap();
    }
    assert_eq!((swept, scene.fees().await, scene.in_transit().await), (4, [0, 400], 0));
    assert_eq!(scene.count("SELECT count(*) FROM transfers WHERE purpose = 'FEE_SWEEP'").await, 4);
    scene.assert_sound().await;
}

/// A sweep that died between the legs: the next one leaves the day alone, and the sweeper of transfers brings the money.
#[tokio::test]
async fn a_sweep_that_dies_half_way_is_finished_by_the_transfers() {
    let scene = Scene::open().await;
    scene.pay(10_000).await;
    scene.turn_day();
    // the second leg is cut off: the platform's book takes no entry
    scene.books.open_standing().await.unwrap();
    sqlx::query("ALTER TABLE entries ADD CONSTRAINT cut_off CHECK (book_id <> '706c6174-666f-8d00-8000-000000000001') NOT VALID")
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    assert!(scene.books.sweep_fees().await.is_err());
    assert_eq!((scene.fees().await, scene.in_transit().await), ([0, 0], 100));
    sqlx::query("ALTER TABLE entries DROP CONSTRAINT cut_off").execute(scene.db.owner_pool()).await.unwrap();
    assert_eq!(scene.books.sweep_fees().await.unwrap(), 0);
    sqlx::query("UPDATE transfers SET created_at = created_at - interval '1 minute'").execute(scene.db.owner_pool()).await.unwrap();
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 1);
    assert_eq!((scene.fees().await, scene.in_transit().await), ([0, 100], 0));
    scene.assert_sound().await;
}
