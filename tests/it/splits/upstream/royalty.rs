//! Shares that Alipay takes back with the refund alone (退分账): through lost answers, deaths, short receivers, refusals and several workers.

use std::sync::Arc;

use uuid::Uuid;
use wallet::base::id::OrderId;
use wallet::channel::Progress;
use wallet::refund::{CancelRefund, FundRefund, Refund, RefundStatus, RequestRefund};
use wallet::split::{CallKind, CallStatus, LineStatus};

use super::super::cny;
use super::{DIVIDED, Market, arrived};

/// Payees all have too little to give back.
const SHORT: &str = "about = \"nobody can give back\"\nseed = 1\n[business]\nshare_back = 10000\n";

impl Market {
    async fn divided(&self) -> OrderId {
        let order = self.paid_with(10_000, "ALIPAY").await;
        self.execute(order).await;
        order
    }

    async fn refund(&self, order: OrderId, minor: i64) -> Refund {
        let cmd = RequestRefund {
            merchant: self.merchant,
            order,
            amount: cny(minor),
            reason: "退货".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.request(&self.owner, cmd).await.unwrap()
    }

    async fn shown(&self, refund: &Refund) -> Refund {
        self.refunds.by_ids(&[(self.merchant, refund.id)]).await.unwrap().pop().unwrap()
    }

    /// The return's job, of all returns of an order. Whether all have ended.
    async fn give_back_all(&self, order: OrderId) -> bool {
        let mut all = true;
        for back in self.splits.returns(&self.owner, self.merchant, order).await.unwrap() {
            all &= self.splits.execute_return(self.merchant.book(), back.id).await.unwrap() == Progress::Settled;
        }
        all
    }

    /// What the jobs do of a refund, once each; whatever one of them makes of it, the next does its part.
    async fn work(&self, refund: &Refund) -> bool {
        let (book, id) = (self.merchant.book(), refund.id);
        let back = self.give_back_all(refund.order).await;
        let _ = self.refunds.gather(book, id).await;
        let _ = self.refunds.send(book, id).await;
        let _ = self.refunds.query(book, id).await;
        back && !matches!(
            self.shown(refund).await.status,
            RefundStatus::Gathering | RefundStatus::Funded | RefundStatus::Sent | RefundStatus::Unknown
        )
    }

    /// The whole way of a refund and its shares.
    async fn work_all(&self, refund: &Refund) -> Refund {
        tests::eventually(tests::PAY_LIMIT, "the refund and its return come to their end", async || {
            let over = self.work(refund).await;
            self.assert_sound().await;
            over.then_some(())
        })
        .await;
        self.shown(refund).await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    async fn due(&self) -> i64 {
        self.count("SELECT COALESCE(sum(balance_minor), 0)::bigint FROM accounts WHERE kind = 'SHARES_DUE'").await
    }

    async fn profile(&self, text: &str) {
        self.control("profile", text.to_owned()).await;
    }
}

#[tokio::test]
async fn alipay_takes_shares_back_with_the_refund_and_the_ledger_follows() {
    let market = Market::open().await;
    let (order, book) = (market.divided().await, market.merchant.book());
    assert_eq!(market.pending().await, DIVIDED);
    let refund = market.refund(order, 5_000).await;
    assert_eq!(refund.status, RefundStatus::Gathering);
    assert!(!market.give_back_all(order).await, "it waits for the refund");
    let [_, agent, broker, supplier] = market.pending().await;
    assert!(agent < DIVIDED[1] && broker < DIVIDED[2] && supplier < DIVIDED[3], "they have set it aside");
    let lines = market.lines(order).await;
    assert!(lines.iter().all(|line| line.status == LineStatus::Returning && line.returned_minor == 0), "and nothing is back");
    market.assert_sound().await;
    assert_eq!(market.refunds.gather(book, refund.id).await.unwrap(), Progress::Settled);
    assert_eq!(market.shown(&refund).await.status, RefundStatus::Funded);
    let due = market.due().await;
    assert!(due > 0, "the payer is given what comes back later");
    assert!(!market.give_back_all(order).await);
    market.assert_sound().await;
    market.refunds.send(book, refund.id).await.unwrap();
    assert_eq!((market.shown(&refund).await.status, market.due().await), (RefundStatus::Succeeded, due));
    assert!(market.lines(order).await.iter().all(|line| line.returned_minor == 0), "nobody has asked the channel which came back");
    market.assert_sound().await;
    assert!(market.give_back_all(order).await);
    let back: i64 = market.lines(order).await.iter().filter(|line| line.parent.is_none()).map(|line| line.returned_minor).sum();
    assert_eq!((back, market.due().await), (due, 0));
    let calls = market.splits.calls(&market.operator, market.merchant, order).await.unwrap();
    let taken = calls.iter().find(|call| call.kind == CallKind::Refund).unwrap();
    assert_eq!((taken.status, taken.request_no(), taken.shares.len()), (CallStatus::Done, refund.id.simple(), 2), "two of the first level");
    market.assert_as_the_channels_did().await;
    let rest = market.refund(order, 5_000).await;
    assert_eq!(market.work_all(&rest).await.status, RefundStatus::Succeeded);
    assert_eq!(market.pending().await, [0; 4]);
    assert!(market.lines(order).await.iter().all(|line| line.status == LineStatus::Returned));
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_share_that_the_channel_left_with_its_receiver_is_no_return_and_the_merchant_gives_it() {
    let market = Market::open().await;
    let (order, _) = (market.divided().await, market.divided().await);
    market.profile(SHORT).await;
    let refund = market.refund(order, 5_000).await;
    assert_eq!(market.work_all(&refund).await.status, RefundStatus::Succeeded, "the payer has all of it");
    assert_eq!(market.pending().await, [2 * 7_425 - 4_950, 2 * 1_386, 2 * 594, 2 * 495], "all of it the merchant's");
    assert!(market.lines(order).await.iter().all(|line| line.status == LineStatus::Succeeded && line.returned_minor == 0));
    let back = market.splits.returns(&market.owner, market.merchant, order).await.unwrap().pop().unwrap();
    assert_eq!((back.own, back.done_at.is_some(), market.due().await), (back.amount, true, 0));
    let kept = "SELECT count(*) FROM split_return_lines WHERE status = 'FAILED' AND error_code = 'TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH'";
    assert_eq!(market.count(kept).await, 3, "with what hangs on them");
    market.assert_as_the_channels_did().await;
    // what they kept they may still give back with the next refund
    market.profile("calm").await;
    let rest = market.refund(order, 5_000).await;
    assert_eq!(market.work_all(&rest).await.status, RefundStatus::Succeeded);
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn some_give_back_and_some_do_not_and_each_book_is_exact() {
    let market = Market::open().await;
    let mut outcomes = std::collections::BTreeSet::new();
    market.divided().await;
    // of four outcomes with even chances, until three were there
    for seed in 1..60 {
        if outcomes.len() > 2 {
            break;
        }
        let order = market.divided().await;
        market.profile(&format!("about = \"some cannot\"\nseed = {seed}\n[business]\nshare_back = 5000\n")).await;
        let refund = market.refund(order, 3_333).await;
        assert_eq!(market.work_all(&refund).await.status, RefundStatus::Succeeded);
        let lines = market.lines(order).await;
        let of = |role: &str| lines.iter().find(|line| line.role == role).unwrap().returned_minor > 0;
        assert_eq!(of("AGENT"), of("BROKER"), "what was passed on goes the way of what it was passed on from");
        outcomes.insert((of("AGENT"), of("SUPPLIER")));
        market.profile("calm").await;
    }
    assert!(outcomes.len() > 2, "{outcomes:?}");
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_merchant_that_has_too_little_for_what_was_left_with_receivers_gives_it_when_it_has() {
    let market = Market::open().await;
    let order = market.divided().await;
    market.profile(SHORT).await;
    let refund = market.refund(order, 10_000).await;
    for _ in 0..4 {
        assert!(!market.work(&refund).await, "it owes, and has nothing");
        market.assert_sound().await;
    }
    assert_eq!(market.shown(&refund).await.status, RefundStatus::Succeeded);
    assert_eq!((market.pending().await, market.due().await), ([0, 1_386, 594, 495], 2_475));
    market.divided().await;
    assert!(market.give_back_all(order).await);
    assert_eq!((market.pending().await[0], market.due().await), (7_425 - 2_475, 0));
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn of_a_refund_that_comes_to_nothing_nobody_gives_anything_back() {
    let market = Market::open().await;
    let order = market.divided().await;
    // refused by the channel
    market.profile("about = \"refunds fail\"\nseed = 1\n[business]\nrefund_fail = 10000\n").await;
    let refused = market.refund(order, 4_000).await;
    assert_eq!(market.work_all(&refused).await.status, RefundStatus::Failed);
    assert_eq!((market.told(order).await, market.pending().await, market.due().await), (arrived(), DIVIDED, 0));
    market.profile("calm").await;
    // cancelled while it gathers, and when it was funded
    for funded in [false, true] {
        let refund = market.refund(order, 4_000).await;
        market.give_back_all(order).await;
        if funded {
            market.refunds.gather(market.merchant.book(), refund.id).await.unwrap();
        }
        let cmd = CancelRefund { merchant: market.merchant, refund: refund.id, idempotency_key: Uuid::now_v7() };
        assert_eq!(market.refunds.cancel(&market.owner, cmd).await.unwrap().status, RefundStatus::Cancelled);
        market.assert_sound().await;
        assert!(market.give_back_all(order).await);
        assert_eq!((market.told(order).await, market.pending().await, market.due().await), (arrived(), DIVIDED, 0), "funded: {funded}");
        market.assert_as_the_channels_did().await;
    }
    let whole = market.refund(order, 10_000).await;
    assert_eq!(market.work_all(&whole).await.status, RefundStatus::Succeeded);
    assert_eq!(market.pending().await, [0; 4]);
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_refund_that_does_not_wait_or_leaves_the_channel_takes_no_shares_back() {
    let market = Market::open().await;
    let (order, other) = (market.divided().await, market.divided().await);
    let ahead = market.refund(order, 5_000).await;
    let cmd = FundRefund { merchant: market.merchant, refund: ahead.id, idempotency_key: Uuid::now_v7() };
    market.refunds.fund_now(&market.owner, cmd).await.unwrap();
    assert_eq!(market.work_all(&ahead).await.status, RefundStatus::Succeeded);
    assert_eq!(market.told(order).await, arrived());
    assert_eq!(market.pending().await, [2 * 7_425 - 4_950, 2 * 1_386, 2 * 594, 2 * 495]);
    market.assert_as_the_channels_did().await;
    // the payer's account is closed: the money goes by a bank, and receivers keep what they have at the channel
    market.profile("about = \"the payer is gone\"\nseed = 1\n[business]\nrefund_closed = 10000\n").await;
    let closed = market.refund(other, 5_000).await;
    for _ in 0..3 {
        market.work(&closed).await;
        market.assert_sound().await;
    }
    assert_eq!(market.shown(&closed).await.status, RefundStatus::Reroute);
    assert_eq!(market.told(other).await, arrived());
    assert!(market.due().await > 0, "the merchant gives it when the bank has paid");
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn whatever_answers_are_lost_shares_come_back_once() {
    let market = Market::open().await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(market.divided().await);
    }
    for (place, order) in orders.iter().enumerate() {
        let lossy = format!(
            "about = \"loses answers\"\nseed = {place}\n[answer.other]\ndrop_before = 2000\ndrop_after = 3000\nfail_after = 1000\n[answer.refund]\n\
             drop_before = 2000\ndrop_after = 4000\n[answer.query_refund]\ndrop_after = 3000\ngarbage = 1000\n[business]\nshare_back = 3000\n"
        );
        market.profile(&lossy).await;
        let refund = market.refund(*order, 5_000).await;
        assert_eq!(market.work_all(&refund).await.status, RefundStatus::Succeeded);
    }
    market.profile("calm").await;
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn whatever_step_a_process_dies_at_before_or_after_the_refund_the_next_one_ends_it_the_same() {
    let market = Market::open().await;
    let (book, mut whole) = (market.merchant.book(), 0);
    // each death leaves what one more of these had stored, and nothing of what was to follow
    for steps in 0..8 {
        let order = market.divided().await;
        let refund = market.refund(order, 10_000).await;
        let back = market.splits.returns(&market.owner, market.merchant, order).await.unwrap().pop().unwrap().id;
        for step in 0..steps {
            match step {
                0 | 3 | 6 => drop(market.splits.advance_return(book, order, back).await.unwrap()),
                1 => drop(market.splits.execute_return(book, back).await.unwrap()),
                2 => drop(market.refunds.gather(book, refund.id).await.unwrap()),
                4 => {
                    // it is carried out, and nobody hears of it
                    market
                        .profile(
                            "about = \"deaf\"\nseed = 1\n[answer.refund]\ndrop_after = 10000\n[answer.query_refund]\ndrop_before = 10000\n",
                        )
                        .await;
                    drop(market.refunds.send(book, refund.id).await);
                    market.profile("calm").await;
                }
                5 => drop(market.refunds.query(book, refund.id).await.unwrap()),
                _ => {}
            }
            market.assert_sound().await;
        }
        assert_eq!(market.work_all(&refund).await.status, RefundStatus::Succeeded, "{steps} steps");
        whole += 1;
        assert_eq!((market.pending().await, market.due().await), ([0; 4], 0), "{steps} steps");
        let royalties = market.count("SELECT count(*) FROM split_calls WHERE kind = 'REFUND' AND status = 'DONE'").await;
        assert_eq!(royalties, whole, "{steps} steps");
    }
    market.assert_as_the_channels_did().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_at_the_same_refund_take_shares_back_once() {
    let market = Arc::new(Market::open().await);
    let order = market.divided().await;
    let refund = Arc::new(market.refund(order, 10_000).await);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (market, refund) = (Arc::clone(&market), Arc::clone(&refund));
            tokio::spawn(async move {
                let book = market.merchant.book();
                for _ in 0..6 {
                    // one that came too late may find the work done; its job would run it again
                    for back in market.splits.returns(&market.owner, market.merchant, refund.order).await.unwrap() {
                        let _ = market.splits.execute_return(book, back.id).await;
                    }
                    let _ = market.refunds.gather(book, refund.id).await;
                    let _ = market.refunds.send(book, refund.id).await;
                    let _ = market.refunds.query(book, refund.id).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(market.work_all(&refund).await.status, RefundStatus::Succeeded);
    assert_eq!((market.pending().await, market.due().await), ([0; 4], 0));
    market.assert_as_the_channels_did().await;
}

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE split_shares SET outcome = 'FAILED' WHERE call_id IN (SELECT call_id FROM split_calls WHERE kind = 'REFUND') AND outcome = 'SUCCEEDED'", &["S9"]),
    ("UPDATE split_shares SET outcome = 'SUCCEEDED' WHERE call_id IN (SELECT call_id FROM split_calls WHERE kind = 'REFUND') AND outcome = 'FAILED'", &["S9"]),
    ("UPDATE split_shares SET amount_minor = amount_minor + 1 WHERE call_id IN (SELECT call_id FROM split_calls WHERE kind = 'REFUND')", &["S9"]),
    ("DELETE FROM split_shares WHERE call_id IN (SELECT call_id FROM split_calls WHERE kind = 'REFUND')", &["S9"]),
    ("UPDATE split_return_lines SET status = 'RETURNED', error_code = NULL WHERE status = 'FAILED'", &["S9"]),
    ("UPDATE split_return_lines SET status = 'FAILED' WHERE status = 'RETURNED'", &["S2"]),
    ("UPDATE split_return_lines SET status = 'HELD', error_code = NULL WHERE status = 'FAILED'", &["S2"]),
    ("UPDATE split_returns SET own_minor = own_minor - 1 WHERE own_minor > 0", &["S2"]),
    ("UPDATE accounts SET balance_minor = balance_minor + 1 WHERE kind = 'SHARES_DUE'", &["S9"]),
    ("UPDATE postings SET kind = 'SPLIT_FREEZE' WHERE kind = 'SPLIT_RELEASE' AND reference_id IN (SELECT part_id FROM split_return_lines)", &["S3"]),
    ("UPDATE split_orders SET finish_error = 'X'", &["S9"]),
];

#[tokio::test]
async fn every_damage_to_what_a_refund_took_back_is_found() {
    let market = Market::open().await;
    let (order, other) = (market.divided().await, market.divided().await);
    let refund = market.refund(order, 5_000).await;
    market.work_all(&refund).await;
    market.profile(SHORT).await;
    let refund = market.refund(other, 5_000).await;
    market.work_all(&refund).await;
    market.assert_as_the_channels_did().await;
    tests::every_damage_is_found(&market.db, &[], DAMAGES).await;
}
