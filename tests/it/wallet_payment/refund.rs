//! Refunds: never more than was paid, taken from where money is, given back to the merchant when the channel refuses.

use chrono::TimeDelta;
use uuid::Uuid;
use wallet::base::id::OrderId;
use wallet::base::money::Money;
use wallet::channel::SANDBOX;
use wallet::refund::{Outcome, Refund, RefundError, RefundStatus, RequestRefund, Verdict, Word};
use wallet::settlement::Settlements;

use super::{Scene, cny};

impl Scene {
    async fn refund_of(&self, order: OrderId, minor: i64) -> Result<Refund, RefundError> {
        let cmd = RequestRefund {
            merchant: self.merchant,
            order,
            amount: cny(minor),
            reason: "退货".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.request(&self.owner, cmd).await
    }

    async fn channel_says(&self, refund: &Refund, word: Word) -> Verdict {
        let outcome = Outcome { book: self.book(), refund: refund.id, word };
        self.refunds.apply(&[outcome]).await.unwrap()[0].expect("the refund is known")
    }

    async fn day(&self) -> (i64, i64, i64, i64) {
        sqlx::query_as("SELECT refunded_minor, refunded_count, fee_minor, voided_count FROM book_days")
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }
}

fn failed() -> Word {
    Word::Failed { code: "ACCOUNT_CLOSED".to_owned() }
}

#[tokio::test]
async fn parts_bring_back_the_whole_fee_and_void_the_payment() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    assert_eq!(scene.owed().await, [9_962, 0, 0]);
    scene.paid(50_000).await; // 190 fen fee; keeps pending above the refunds
    let mut fees = Vec::new();
    for minor in [3_333, 3_333, 3_334] {
        fees.push(scene.refund_of(order.id, minor).await.unwrap().fee_back.minor);
    }
    assert_eq!(fees.iter().sum::<i64>(), 38, "{fees:?}");
    assert_eq!(scene.again(order.id).await.refunded, cny(10_000));
    assert_eq!(scene.owed().await, [49_810, 0, 10_000]);
    assert_eq!(scene.day().await, (10_000, 3, 190, 1));
    assert!(matches!(scene.refund_of(order.id, 1).await, Err(RefundError::AmountExceedsPaid { refundable }) if refundable == cny(0)));
    scene.assert_sound().await;
}

/// Accounts that come after `kind` in the order of locks and that nobody has locked.
const FREE_AFTER: &str =
    "SELECT count(*) FROM (SELECT FROM accounts WHERE account_id > (SELECT account_id FROM accounts WHERE kind = 'REFUND_PAYABLE')
                                                FOR UPDATE SKIP LOCKED) AS free";
const AFTER: &str = "SELECT count(*) FROM accounts WHERE account_id > (SELECT account_id FROM accounts WHERE kind = 'REFUND_PAYABLE')";

/// A batch that locked accounts for its payments and then again for its refunds could wait in a circle with another.
#[tokio::test]
async fn payments_and_refunds_of_one_batch_of_notices_lock_their_accounts_in_one_order() {
    let (scene, refund) = loop {
        let scene = Scene::open().await;
        let (order, _) = scene.paid(10_000).await;
        let refund = scene.refund_of(order.id, 1_000).await.unwrap();
        // ids are hashes: now and then nothing comes after this one
        if scene.count(AFTER).await > 0 {
            break (scene, refund);
        }
    };
    let (order, after) = (scene.order(500).await, scene.count(AFTER).await);
    let attempt = scene.start(order.id).await;
    for (headers, body) in [
        scene.notice("N1", attempt.id, 500),
        scene.notice_of(wallet::channel::sandbox::wire::NoticeKind::Refund, "N2", &refund.id.simple(), 1_000),
    ] {
        scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    }
    let mut gate = scene.db.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM accounts WHERE kind = 'REFUND_PAYABLE' FOR UPDATE").execute(&mut *gate).await.unwrap();
    let payments = scene.payments.clone();
    let processing = tokio::spawn(async move { payments.process_notices(10).await });
    tests::eventually_blocked(scene.db.owner_pool(), 1).await;
    assert_eq!(scene.count(FREE_AFTER).await, after, "what comes after the account it waits for is free");
    gate.rollback().await.unwrap();
    assert_eq!(processing.await.unwrap().unwrap().notices, 2);
    assert_eq!((scene.inbox("N1").await.0.as_deref(), scene.inbox("N2").await.0.as_deref()), (Some("PAID"), Some("REFUNDED")));
    scene.assert_sound().await;
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_payment() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    let all = tokio::join!(
        scene.refund_of(order.id, 4_000),
        scene.refund_of(order.id, 4_000),
        scene.refund_of(order.id, 4_000),
        scene.refund_of(order.id, 4_000),
    );
    let results = [all.0, all.1, all.2, all.3];
    let (made, refused): (Vec<_>, Vec<_>) = results.iter().partition(|r| r.is_ok());
    assert_eq!((made.len(), refused.len()), (2, 2));
    assert!(
        refused.iter().all(|r| matches!(r, Err(RefundError::AmountExceedsPaid { refundable }) if *refundable == cny(2_000))),
        "{refused:?}"
    );
    assert_eq!(scene.again(order.id).await.refunded, cny(8_000));
    scene.assert_sound().await;
}

#[tokio::test]
async fn money_comes_from_pending_else_from_available_else_not_at_all() {
    let scene = Scene::open().await;
    let (first, _) = scene.paid(10_000).await;
    scene.pass(TimeDelta::days(1));
    Settlements::new(scene.db.pool().clone(), scene.clock.clone()).release_due().await.unwrap();
    assert_eq!(scene.owed().await, [0, 9_962, 0]);
    let (second, _) = scene.paid(1_000).await;
    scene.refund_of(first.id, 5_000).await.unwrap();
    assert_eq!(scene.owed().await, [996, 4_981, 5_000], "pending does not cover it, available does");
    scene.refund_of(second.id, 1_000).await.unwrap();
    assert_eq!(scene.owed().await, [0, 4_981, 6_000], "pending covers it");
    let (third, _) = scene.paid(20_000).await;
    scene.refund_of(third.id, 15_000).await.unwrap();
    scene.assert_sound().await;
    assert_eq!(scene.owed().await, [4_981, 4_981, 21_000]);
    // 49.81 yuan lie on each side, and each refund of 50 yuan takes 49.81 beside the 19 fen of fee that come back
    for order in [third.id, first.id] {
        assert_eq!(scene.refund_of(order, 5_000).await.unwrap().fee_back, cny(19));
    }
    assert_eq!(scene.owed().await, [0, 0, 31_000]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_that_no_balance_covers_is_refused_and_changes_nothing() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    scene.pass(TimeDelta::days(1));
    Settlements::new(scene.db.pool().clone(), scene.clock.clone()).release_due().await.unwrap();
    // the merchant's money is on its way to the bank
    let withdrawal = wallet::base::id::WithdrawalId::new();
    let posting = wallet::ledger::recipe::withdrawal_hold(scene.book(), withdrawal, cny(9_000), scene.clock.today());
    let mut tx = scene.db.pool().begin().await.unwrap();
    wallet::ledger::post_in_tx(&mut tx, &[posting], scene.clock.today(), scene.clock.now()).await.unwrap().remove(0).unwrap();
    tx.commit().await.unwrap();
    let refused = scene.refund_of(order.id, 10_000).await;
    assert!(matches!(refused, Err(RefundError::InsufficientBalance { available }) if available == cny(962)), "{refused:?}");
    assert_eq!(scene.owed().await, [0, 962, 0]);
    assert_eq!(scene.again(order.id).await.refunded, cny(0));
    assert_eq!(
        scene.count("SELECT count(*) FROM refunds").await + scene.count("SELECT count(*) FROM jobs WHERE kind LIKE 'refund%'").await,
        0
    );
    assert_eq!(scene.count("SELECT count(*) FROM idempotency_keys WHERE operation = 'refundRequest'").await, 0);
}

#[tokio::test]
async fn the_channels_word_settles_a_refund_once() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    let refund = scene.refund_of(order.id, 2_500).await.unwrap();
    let word = Word::Succeeded { at: scene.clock.now() };
    assert_eq!(scene.channel_says(&refund, word.clone()).await, Verdict::Settle);
    assert_eq!(scene.channel_says(&refund, word).await, Verdict::Duplicate);
    assert_eq!(scene.channel_says(&refund, failed()).await, Verdict::Contradiction);
    let refund = scene.refunds.by_ids(&[(scene.merchant, refund.id)]).await.unwrap().remove(0);
    assert_eq!(refund.status, RefundStatus::Succeeded);
    assert_eq!(scene.owed().await, [9_962 - 2_490, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refused_refund_is_undone_on_the_day_it_was_taken() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    let refund = scene.refund_of(order.id, 10_000).await.unwrap();
    assert_eq!(scene.day().await, (10_000, 1, 0, 1));
    scene.pass(TimeDelta::days(1));
    assert_eq!(scene.channel_says(&refund, failed()).await, Verdict::Return);
    assert_eq!(scene.channel_says(&refund, failed()).await, Verdict::Duplicate);
    assert_eq!(scene.day().await, (0, 0, 38, 0), "the day is restated, no other day has begun");
    assert_eq!(scene.owed().await, [9_962, 0, 0]);
    assert_eq!(scene.again(order.id).await.refunded, cny(0));
    let again = scene.refund_of(order.id, 10_000).await.unwrap();
    assert_eq!(again.fee_back, cny(38));
    scene.assert_sound().await;
}

#[tokio::test]
async fn money_paid_too_much_is_owed_whatever_the_channel_says() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    scene.pass(TimeDelta::minutes(31));
    scene.says(&attempt, wallet::payment::Word::Closed).await;
    scene.says(&attempt, scene.success(&attempt, "T1")).await;
    let refund = scene.refunds.of_orders(&[(scene.merchant, order.id)]).await.unwrap().remove(0);
    assert_eq!(scene.channel_says(&refund, failed()).await, Verdict::StillOwed);
    assert_eq!(scene.owed().await, [0, 0, 10_000], "it is not the merchant's");
    assert_eq!(scene.channel_says(&refund, Word::Succeeded { at: scene.clock.now() }).await, Verdict::Settle);
    assert_eq!(scene.owed().await, [0, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_replayed_refund_is_the_same_refund() {
    let scene = Scene::open().await;
    let (order, _) = scene.paid(10_000).await;
    let key = Uuid::now_v7();
    let cmd = |amount: Money| RequestRefund {
        merchant: scene.merchant,
        order: order.id,
        amount,
        reason: "退货".to_owned(),
        idempotency_key: key,
    };
    let (a, b) = tokio::join!(scene.refunds.request(&scene.owner, cmd(cny(100))), scene.refunds.request(&scene.owner, cmd(cny(100))));
    assert_eq!(a.unwrap(), b.unwrap());
    assert!(matches!(scene.refunds.request(&scene.owner, cmd(cny(101))).await, Err(RefundError::Idempotency(_))));
    assert_eq!(scene.again(order.id).await.refunded, cny(100));
    scene.assert_sound().await;
}
