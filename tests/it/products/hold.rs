//! Held money: where it is, who may release it and when, and that none is lost or doubled on the way.

use chrono::TimeDelta;
use tokio::task::JoinSet;
use uuid::Uuid;
use wallet::base::id::OrderId;
use wallet::base::idempotency::IdempotencyError;
use wallet::channel::Progress;
use wallet::ledger::{self, BookKind};
use wallet::order::{OrderError, OrderStatus, ReleaseOrder};
use wallet::product::ability::Until;
use wallet::refund::{Outcome, RefundError, Word};
use wallet::split::{LineStatus, SplitError, SplitStatus};

use super::{Scene, cny};

const DEPOSIT: (&str, &[&str]) = ("DEPOSIT", &[]);
const RENT: (&str, &[&str]) = ("LEASE", &[]);
const RENOVATION: (&str, &[&str]) = ("RENOVATION_STAGES", &[]);

impl Scene {
    async fn refund_fails(&self, refund: wallet::base::id::RefundId) {
        let outcome = Outcome { book: self.merchant.book(), refund, word: Word::Failed { code: "ACCOUNT_CLOSED".to_owned() } };
        self.refunds.apply(&[outcome]).await.unwrap();
    }
}

#[tokio::test]
async fn a_deposit_is_held_and_becomes_commission_with_its_fee_as_it_is_confirmed() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 0, 0, 10_000], [0, 0, 0]));

    let part = scene.release(&scene.owner, order.id, None, Some(4_000)).await.unwrap().release.unwrap();
    assert_eq!((part.amount, part.fee), (cny(4_000), cny(15)));
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 4_000, 0, 6_000], [3_985, 0, 15]));
    let too_much = scene.release(&scene.owner, order.id, None, Some(6_001)).await;
    assert!(matches!(too_much, Err(OrderError::AmountExceedsHeld { left }) if left == cny(6_000)), "{too_much:?}");
    let rest = scene.release(&scene.owner, order.id, None, None).await.unwrap();
    assert_eq!((rest.release.unwrap().fee, rest.order.held()), (cny(23), cny(0)));
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 10_000, 0, 0], [9_962, 0, 38]));
    assert!(matches!(scene.release(&scene.owner, order.id, None, None).await, Err(OrderError::NothingLeft)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_deposit_that_is_given_back_comes_from_what_is_held_and_costs_nobody_a_fee() {
    let scene = Scene::open(&[]).await;
    scene.paid("STORE_PAYMENT", &[], 50_000).await;
    let before = scene.stands().await;
    let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
    let refund = scene.refund(order.id, 10_000).await.unwrap();
    assert_eq!(refund.fee_back, cny(0));
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 0, 10_000, 0], before));
    assert!(matches!(scene.release(&scene.owner, order.id, None, None).await, Err(OrderError::NothingLeft)));
    // the channel refuses: it is held again, and may be released
    scene.refund_fails(refund.id).await;
    assert_eq!(scene.escrow(order.id).await, [10_000, 0, 0, 10_000]);
    scene.release(&scene.owner, order.id, None, None).await.unwrap();
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_takes_what_is_held_first_and_what_was_released_with_the_fee_that_was_taken_of_it() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
    scene.release(&scene.owner, order.id, None, Some(5_000)).await.unwrap();
    assert_eq!(scene.stands().await, [4_981, 0, 19]);
    let mixed = scene.refund(order.id, 5_001).await;
    assert!(matches!(mixed, Err(RefundError::ExceedsHeld { held }) if held == cny(5_000)), "{mixed:?}");
    assert_eq!(scene.refund(order.id, 5_000).await.unwrap().fee_back, cny(0));
    assert_eq!(scene.stands().await, [4_981, 0, 19], "what was released stays");
    let parts = [scene.refund(order.id, 2_000).await.unwrap(), scene.refund(order.id, 3_000).await.unwrap()];
    assert_eq!(parts.map(|r| r.fee_back.minor).iter().sum::<i64>(), 19);
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 5_000, 5_000, 0], [0, 0, 0]));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_stage_that_both_must_agree_to_is_released_when_the_second_does() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(RENOVATION.0, RENOVATION.1, 100_000).await;
    // the fee goes with the payment here: 38 basis points of it
    assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([99_620, 0, 0, 99_620], [0, 0, 380]));
    let payer = scene.payer(order.id);
    let first = scene.release(&payer, order.id, Some("开工"), None).await.unwrap();
    assert_eq!((first.release, first.order.held()), (None, cny(99_620)));
    assert!(matches!(scene.release(&payer, order.id, Some("开工"), None).await, Err(OrderError::AlreadyConfirmed)));
    let second = scene.release(&scene.owner, order.id, Some("开工"), None).await.unwrap();
    assert_eq!((second.release.unwrap().amount, scene.stands().await), (cny(29_886), [29_886, 0, 380]));
    assert!(matches!(scene.release(&scene.owner, order.id, Some("开工"), None).await, Err(OrderError::NothingLeft)));
    assert!(matches!(scene.release(&scene.owner, order.id, Some("质保"), None).await, Err(OrderError::ReleasedByDate { .. })));
    assert!(matches!(scene.release(&scene.owner, order.id, None, None).await, Err(OrderError::StageMissing)));
    let stranger = scene.payer(OrderId::new());
    assert!(matches!(scene.release(&stranger, order.id, Some("开工"), None).await, Err(OrderError::Forbidden(_))));
    let told = scene.orders.confirmations_of(&[(scene.merchant, order.id)]).await.unwrap();
    assert_eq!(told.len(), 2);
    scene.assert_sound().await;
}

#[tokio::test]
async fn what_is_due_by_date_is_released_on_its_day_once_however_many_workers_look() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(RENT.0, RENT.1, 300_000).await;
    scene.release(&scene.owner, order.id, Some("首月"), None).await.unwrap();
    // 3,334 of 10,000, less 30 basis points, available at once
    assert_eq!(scene.stands().await, [0, 99_720, 300]);
    assert_eq!(scene.orders.release_due().await.unwrap(), 0);
    scene.pass(TimeDelta::days(30) - TimeDelta::seconds(5));
    assert_eq!(scene.orders.release_due().await.unwrap(), 0, "a moment too early");
    scene.pass(TimeDelta::seconds(10));
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let orders = scene.orders.clone();
        workers.spawn(async move { orders.release_due().await.unwrap() });
    }
    assert_eq!(workers.join_all().await.iter().sum::<usize>(), 1);
    assert_eq!(scene.escrow(order.id).await, [300_000, 200_010, 0, 99_990]);
    // weeks without a worker: all that is due comes in one look
    let other = scene.paid(RENT.0, RENT.1, 60_000).await;
    scene.pass(TimeDelta::days(70));
    assert_eq!(scene.orders.release_due().await.unwrap(), 3);
    assert_eq!(scene.orders.release_due().await.unwrap(), 0);
    assert_eq!(scene.escrow(order.id).await, [300_000, 300_000, 0, 0]);
    assert_eq!(scene.escrow(other.id).await, [60_000, 39_996, 0, 20_004], "the first month waits for the merchant");
    assert_eq!(scene.count("SELECT count(*) FROM orders WHERE release_at IS NOT NULL").await, 0, "nobody looks at them any more");
    scene.assert_sound().await;
}

#[tokio::test]
async fn held_money_that_a_failed_refund_brings_back_after_its_day_is_still_released() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(RENT.0, RENT.1, 300_000).await;
    scene.release(&scene.owner, order.id, Some("首月"), None).await.unwrap();
    let refund = scene.refund(order.id, 199_980).await.unwrap();
    scene.pass(TimeDelta::days(61));
    assert_eq!(scene.orders.release_due().await.unwrap(), 0, "nothing is held");
    scene.refund_fails(refund.id).await;
    assert_eq!(scene.orders.release_due().await.unwrap(), 2);
    assert_eq!(scene.escrow(order.id).await, [300_000, 300_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn of_many_at_once_no_more_is_released_and_refunded_than_is_held() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let (orders, refunds, owner) = (scene.orders.clone(), scene.refunds.clone(), scene.owner.clone());
        let (merchant, order) = (scene.merchant, order.id);
        calls.spawn(async move {
            let (amount, idempotency_key) = (cny(3_000), Uuid::now_v7());
            if n % 2 == 0 {
                let cmd = ReleaseOrder { merchant, order, stage: None, amount: Some(amount), idempotency_key };
                i64::from(orders.release(&owner, cmd).await.is_ok())
            } else {
                let cmd = wallet::refund::RequestRefund { merchant, order, amount, reason: "退定".to_owned(), idempotency_key };
                i64::from(refunds.request(&owner, cmd).await.is_ok())
            }
        });
    }
    assert_eq!(calls.join_all().await.iter().sum::<i64>(), 3);
    let [funded, released, returned, held] = scene.escrow(order.id).await;
    assert_eq!((funded, released + returned, held), (10_000, 9_000, 1_000));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_key_is_one_release_and_belongs_to_one_side() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(RENOVATION.0, RENOVATION.1, 100_000).await;
    let cmd = ReleaseOrder {
        merchant: scene.merchant,
        order: order.id,
        stage: Some("开工".to_owned()),
        amount: None,
        idempotency_key: Uuid::now_v7(),
    };
    let first = scene.orders.release(&scene.owner, cmd.clone()).await.unwrap();
    scene.release(&scene.payer(order.id), order.id, Some("开工"), None).await.unwrap();
    assert_eq!(scene.orders.release(&scene.owner, cmd.clone()).await.unwrap(), first, "as it was told");
    let theirs = scene.orders.release(&scene.payer(order.id), cmd.clone()).await;
    assert!(matches!(theirs, Err(OrderError::Idempotency(IdempotencyError::KeyReused))), "{theirs:?}");
    let other = ReleaseOrder { stage: Some("水电验收".to_owned()), ..cmd };
    assert!(matches!(scene.orders.release(&scene.owner, other).await, Err(OrderError::Idempotency(IdempotencyError::KeyReused))));
    assert_eq!(scene.count("SELECT count(*) FROM order_releases").await, 1);
}

#[tokio::test]
async fn a_release_that_is_cut_off_before_its_commit_leaves_nothing_and_may_be_asked_for_again() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
    let owner = scene.db.owner_pool();
    let cmd = ReleaseOrder { merchant: scene.merchant, order: order.id, stage: None, amount: None, idempotency_key: Uuid::now_v7() };
    // its last writes fail: after the releases, after the order, after the postings
    for (table, bar) in [("orders", "released_minor = 0"), ("postings", "kind <> 'ORDER_RELEASE'"), ("outbox", "kind <> 'order.released'")]
    {
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT bar CHECK ({bar})");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(owner).await.unwrap();
        assert!(matches!(scene.orders.release(&scene.owner, cmd.clone()).await, Err(OrderError::Database(_) | OrderError::Ledger(_))));
        sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE {table} DROP CONSTRAINT bar"))).execute(owner).await.unwrap();
        assert_eq!((scene.escrow(order.id).await, scene.stands().await), ([10_000, 0, 0, 10_000], [0, 0, 0]), "{table}");
        assert_eq!(scene.count("SELECT count(*) FROM order_releases").await, 0);
        scene.assert_sound().await;
    }
    scene.orders.release(&scene.owner, cmd.clone()).await.unwrap();
    scene.orders.release(&scene.owner, cmd).await.unwrap();
    assert_eq!(scene.escrow(order.id).await, [10_000, 10_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn held_money_lies_in_the_stripe_of_its_order() {
    let scene = Scene::open(&[]).await;
    let mut tx = scene.db.owner_pool().begin().await.unwrap();
    for stripe in 1..4 {
        let book = scene.merchant.stripe(stripe);
        ledger::open_stripe_in_tx(&mut tx, book, BookKind::Merchant, scene.merchant.0, stripe, scene.now()).await.unwrap();
    }
    sqlx::query("UPDATE books SET stripes = 4 WHERE book_id = $1").bind(scene.merchant.0).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut stripes = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let order = scene.paid(DEPOSIT.0, DEPOSIT.1, 10_000).await;
        stripes.insert(order.stripe);
        scene.release(&scene.owner, order.id, None, Some(5_000)).await.unwrap();
        scene.refund(order.id, 1_000).await.unwrap();
    }
    assert!(stripes.len() > 1, "{stripes:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn only_paid_orders_whose_product_holds_may_be_released() {
    let scene = Scene::open(&[]).await;
    let plain = scene.paid("STORE_PAYMENT", &[], 1_000).await;
    assert!(matches!(scene.release(&scene.owner, plain.id, None, None).await, Err(OrderError::NotHeld)));
    let unpaid = scene.order(DEPOSIT.0, DEPOSIT.1, 1_000).await;
    assert!(matches!(scene.release(&scene.owner, unpaid.id, None, None).await, Err(OrderError::NotPaid)));
    assert!(matches!(scene.release(&scene.payer(unpaid.id), unpaid.id, None, None).await, Err(OrderError::NotPaid)));
    assert_eq!(unpaid.status, OrderStatus::Created);
    assert_eq!(unpaid.product.terms.hold.as_ref().unwrap().steps()[0].until, Until::Merchant);
}

impl Scene {
    async fn execute(&self, order: OrderId) {
        assert_eq!(self.splits.execute(self.merchant.book(), order).await.unwrap(), Progress::Settled);
    }

    /// Pending and available of the agent.
    async fn agent_has(&self) -> [i64; 2] {
        let mut all = [0, 0];
        for (place, kind) in ["MERCHANT_PENDING", "MERCHANT_AVAILABLE"].into_iter().enumerate() {
            let minor: Option<i64> = sqlx::query_scalar("SELECT -balance_minor FROM accounts WHERE book_id = $1 AND kind = $2")
                .bind(self.agent.0)
                .bind(kind)
                .fetch_optional(self.db.pool())
                .await
                .unwrap();
            all[place] = minor.unwrap_or(0);
        }
        all
    }
}

#[tokio::test]
async fn a_deposit_turned_into_commission_is_divided_part_by_part_as_it_is_released() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid("DEPOSIT_TO_COMMISSION", &["AGENT"], 10_000).await;
    let split = scene.splits.get(&scene.owner, scene.merchant, order.id).await;
    assert!(matches!(split, Err(SplitError::NotFound)), "nothing is divided while it is held: {split:?}");
    scene.release(&scene.owner, order.id, None, Some(4_000)).await.unwrap();
    // of 3,985 the agent gets the half, rounded down, when the job has moved it; the merchant has its own at once
    assert_eq!((scene.stands().await, scene.agent_has().await), ([1_993, 0, 15], [0, 0]));
    scene.assert_sound().await;
    scene.execute(order.id).await;
    assert_eq!((scene.stands().await, scene.agent_has().await), ([1_993, 0, 15], [1_992, 0]));
    let split = scene.splits.get(&scene.owner, scene.merchant, order.id).await.unwrap();
    assert_eq!((split.status, split.base, split.finishing), (SplitStatus::Succeeded, cny(3_985), false));
    // it may not be finished while more is held, which is to be divided, too
    let finish = wallet::split::FinishSplit { merchant: scene.merchant, order: order.id, idempotency_key: Uuid::now_v7() };
    assert!(matches!(scene.splits.finish(&scene.owner, finish).await, Err(SplitError::StillHeld)));
    assert!(matches!(scene.splits.finish_due(scene.merchant.book(), order.id).await.unwrap(), Progress::AskAgain(_)));
    scene.assert_sound().await;
    scene.release(&scene.owner, order.id, None, None).await.unwrap();
    scene.assert_sound().await;
    scene.execute(order.id).await;
    // 5,977 more: 2,988 for the agent
    assert_eq!((scene.stands().await, scene.agent_has().await), ([4_982, 0, 38], [4_980, 0]));
    let split = scene.splits.get(&scene.owner, scene.merchant, order.id).await.unwrap();
    assert_eq!((split.status, split.rounds, split.base), (SplitStatus::Finished, 2, cny(9_962)));
    let lines = scene.splits.lines(&scene.owner, scene.merchant, order.id, None, 10).await.unwrap().items;
    assert!(lines.len() == 2 && lines.iter().all(|line| line.status == LineStatus::Succeeded));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_rent_that_is_released_by_itself_is_divided_and_the_rest_is_available_at_once() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid("RENT", &["AGENT"], 300_000).await;
    scene.release(&scene.owner, order.id, Some("首月"), None).await.unwrap();
    // 100,020 less 300, and five in a hundred for the agent
    assert_eq!(scene.stands().await, [0, 94_734, 300]);
    scene.execute(order.id).await;
    assert_eq!(scene.agent_has().await, [4_986, 0]);
    // the agent cannot be paid any more when the second month comes: its part stays frozen, and is tried again by the merchant
    sqlx::query("UPDATE merchants SET status = 'APPLYING', signed_at = NULL WHERE merchant_id = $1")
        .bind(scene.agent.0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    scene.pass(TimeDelta::days(31));
    assert_eq!(scene.orders.release_due().await.unwrap(), 1);
    scene.execute(order.id).await;
    let split = scene.splits.get(&scene.owner, scene.merchant, order.id).await.unwrap();
    assert_eq!((split.status, split.remainder), (SplitStatus::Partial, cny(4_984)));
    scene.assert_sound().await;
    sqlx::query("UPDATE merchants SET status = 'SIGNED', signed_at = created_at WHERE status = 'APPLYING'")
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let again = wallet::split::CreateRound {
        merchant: scene.merchant,
        order: order.id,
        amount: None,
        finish: false,
        idempotency_key: Uuid::now_v7(),
    };
    scene.splits.split(&scene.owner, again).await.unwrap();
    scene.execute(order.id).await;
    scene.pass(TimeDelta::days(31));
    assert_eq!(scene.orders.release_due().await.unwrap(), 1);
    scene.execute(order.id).await;
    let split = scene.splits.get(&scene.owner, scene.merchant, order.id).await.unwrap();
    assert_eq!((split.status, split.remainder, split.base), (SplitStatus::Finished, cny(0), cny(299_100)));
    assert_eq!(scene.stands().await[1] + scene.agent_has().await[0], 299_100);
    scene.assert_sound().await;
}
