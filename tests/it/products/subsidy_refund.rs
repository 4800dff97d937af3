//! Refunds of subsidised orders: the payer gets the cash part, the programme its own, once and to the fen, whatever way the refund goes.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::UserId;
use wallet::channel::payout::{PayoutState, PayoutStatus};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, Link, PLATFORM_KEY, SandboxBank};
use wallet::channel::{Progress, SANDBOX_BANK};
use wallet::refund::{
    ApprovePayee, CancelRefund, Keeper, Outcome, PayoutOutcome, PayoutVerdict, Payouts, ProposePayee, Refund, RefundStatus, Refunds,
    Verdict, Word,
};

use super::cny;
use super::subsidy::{Budget, DEAL};
use crate::batching::world::nowhere;

impl Budget {
    async fn told(&self, refund: &Refund, word: Word) -> Verdict {
        let outcome = Outcome { book: self.scene.merchant.book(), refund: refund.id, word };
        self.scene.refunds.apply(&[outcome]).await.unwrap()[0].unwrap()
    }

    async fn succeeds(&self, refund: &Refund) {
        self.send(refund).await;
        assert_eq!(self.told(refund, Word::Succeeded { at: self.scene.now() }).await, Verdict::Settle);
    }

    async fn send(&self, refund: &Refund) {
        assert_eq!(self.scene.refunds.send(self.scene.merchant.book(), refund.id).await.unwrap(), Progress::Settled);
    }

    async fn shown(&self, refund: &Refund) -> Refund {
        self.scene.refunds.by_ids(&[(self.scene.merchant, refund.id)]).await.unwrap().pop().unwrap()
    }

    async fn refund(&self, order: wallet::base::id::OrderId, minor: i64) -> Refund {
        self.scene.refund(order, minor).await.unwrap()
    }

    async fn receivable(&self) -> i64 {
        self.scene.count("SELECT sum(balance_minor)::bigint FROM accounts WHERE kind = 'CHANNEL_RECEIVABLE'").await
    }

    /// With a bank that nobody reaches: the test speaks for it.
    fn paying_out(mut self) -> Self {
        let keeper = Keeper { seal: Arc::new(|_, plain| Some(plain.to_vec())), open: Arc::new(|_, sealed| Some(sealed.to_vec())) };
        let signer = |name| {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Signer::try_from_pkcs8(name, key.as_ref()).unwrap()
        };
        let theirs = Verifier::new(ACQUIRER_KEY, &signer(ACQUIRER_KEY).public_key());
        let link = Link::try_new(
            "http://127.0.0.1:1",
            Arc::new(signer(PLATFORM_KEY)),
            theirs,
            "1",
            "http://127.0.0.1:1/x",
            Duration::from_secs(5),
        );
        let rails = SandboxBank::new(link.unwrap()).into();
        let payouts = Payouts { rails, keeper, original_days: [].into(), original_days_else: 180 };
        let (db, clock) = (self.scene.db.pool().clone(), self.scene.clock.clone());
        self.scene.refunds = Refunds::new(db, clock, nowhere(), Duration::from_secs(5)).paying_out(payouts);
        self
    }

    /// Names an account for a refund, confirms it, and has it sent there. Gives the number of the try.
    async fn sent_to_an_account(&self, refund: &Refund) -> Uuid {
        let merchant = self.scene.merchant;
        let propose = ProposePayee {
            merchant,
            refund: refund.id,
            holder: "张三".to_owned(),
            account: "6222020200009988776".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        let payee = self.scene.refunds.propose_payee(&self.scene.owner, propose).await.unwrap();
        let approve = ApprovePayee { merchant, refund: refund.id, payee: payee.id, idempotency_key: Uuid::now_v7() };
        let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: Vec::new() };
        self.scene.refunds.approve_payee(&operator, approve).await.unwrap();
        self.send(refund).await;
        self.scene.refunds.routes(&[(merchant, refund.id)]).await.unwrap().pop().unwrap().id
    }

    async fn bank_says(&self, route: Uuid, status: PayoutStatus, stated: Option<i64>) -> PayoutVerdict {
        let state = PayoutState { status, bank_reference: Some("B1".to_owned()) };
        let stated = stated.map(|minor| (minor, "CNY".to_owned()));
        let outcome = PayoutOutcome { bank: SANDBOX_BANK.to_owned(), book: self.scene.merchant.book(), route, state, stated };
        self.scene.refunds.apply_payouts(&[outcome]).await.unwrap()[0].unwrap()
    }
}

#[tokio::test]
async fn refunds_in_parts_bring_cash_and_subsidy_back_to_the_fen() {
    let b = Budget::open(1_000, None, 10_000, &[]).await;
    let order = b.scene.paid("DEAL", &[], 9_999).await;
    assert_eq!((order.subsidy(), b.receivable().await), (cny(999), 9_000));
    let mut parts = Vec::new();
    for minor in [1, 3_333, 3_333, 3_332] {
        let refund = b.refund(order.id, minor).await;
        assert_eq!(refund.cash().minor + refund.subsidy().minor, minor);
        parts.push(refund.subsidy_minor);
        assert_eq!(b.figures().await[3], parts.iter().rev().skip(1).sum::<i64>(), "back when it succeeds, not before");
        b.succeeds(&refund).await;
        assert_eq!(b.shown(&refund).await.subsidy_returned, refund.subsidy_minor > 0);
    }
    assert_eq!(parts, [0, 333, 333, 333]);
    assert_eq!(b.figures().await, [10_000, 0, 999, 999, 0, 10_000]);
    assert_eq!((b.receivable().await, b.scene.stands().await), (0, [0, 0, 0]));
    assert_eq!(b.scene.count("SELECT refunded_minor FROM book_days").await, 9_999);
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_that_fails_or_is_cancelled_gives_the_merchant_the_whole_and_the_programme_nothing() {
    let b = Budget::open(1_000, None, 10_000, &[]).await;
    let order = b.scene.paid("DEAL", &[], 1_005).await;
    let before = b.scene.stands().await;
    let failing = b.refund(order.id, 505).await;
    b.send(&failing).await;
    assert_eq!(b.told(&failing, Word::Failed { code: "DECLINED".to_owned() }).await, Verdict::Return);
    let cancelled = b.refund(order.id, 501).await;
    let cancel = CancelRefund { merchant: b.scene.merchant, refund: cancelled.id, idempotency_key: Uuid::now_v7() };
    assert_eq!(b.scene.refunds.cancel(&b.scene.owner, cancel).await.unwrap().status, RefundStatus::Cancelled);
    assert_eq!((b.scene.stands().await, b.figures().await), (before, [10_000, 0, 100, 0, 0, 9_900]));
    // between them nothing was lost of either part
    for minor in [333, 333, 339] {
        let refund = b.refund(order.id, minor).await;
        b.succeeds(&refund).await;
    }
    assert_eq!((b.receivable().await, b.figures().await), (0, [10_000, 0, 100, 100, 0, 10_000]));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_without_cash_asks_nobody() {
    let b = Budget::open(9_000, None, 10_000, &[]).await;
    let order = b.scene.paid("DEAL", &[], 100).await;
    let refund = b.refund(order.id, 1).await;
    assert_eq!((refund.cash(), refund.subsidy()), (cny(0), cny(1)));
    // the channel is nowhere: it would stay unknown
    b.send(&refund).await;
    let shown = b.shown(&refund).await;
    assert_eq!((shown.status, shown.subsidy_returned), (RefundStatus::Succeeded, true));
    b.send(&refund).await;
    let rest = b.refund(order.id, 99).await;
    assert_eq!((rest.cash(), rest.subsidy()), (cny(10), cny(89)));
    b.succeeds(&rest).await;
    assert_eq!((b.receivable().await, b.figures().await), (0, [10_000, 0, 90, 90, 0, 10_000]));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_channel_that_states_the_whole_refund_of_a_subsidised_order_is_in_conflict() {
    let b = Budget::open(1_000, None, 10_000, &[]).await;
    let order = b.scene.paid("DEAL", &[], 1_000).await;
    let refund = b.refund(order.id, 500).await;
    b.send(&refund).await;
    let told = |amount_minor, sum| Word::Told { at: b.scene.now(), amount_minor, currency: "CNY".to_owned(), sum };
    assert_eq!(b.told(&refund, told(500, false)).await, Verdict::Conflict);
    assert_eq!(b.figures().await[3], 0);
    let other = b.refund(order.id, 500).await;
    b.send(&other).await;
    assert_eq!(b.told(&other, told(900, true)).await, Verdict::Settle, "the sum of all refunds is at most the cash that was paid");
    assert_eq!(b.figures().await[3], 50);
    b.scene.assert_sound().await;
}

/// 退票: the payer has still to get his cash, and the programme has its part already.
#[tokio::test]
async fn a_refund_that_the_bank_sends_back_returns_the_subsidy_once() {
    let b = Budget::open(1_000, None, 10_000, &[]).await.paying_out();
    let order = b.scene.paid("DEAL", &[], 1_000).await;
    let refund = b.refund(order.id, 400).await;
    b.send(&refund).await;
    assert_eq!(b.told(&refund, Word::Closed { code: "GONE".to_owned() }).await, Verdict::Reroute);
    let first = b.sent_to_an_account(&refund).await;
    assert_eq!(b.bank_says(first, PayoutStatus::Succeeded, Some(360)).await, PayoutVerdict::Changed);
    assert_eq!(b.figures().await[3], 40);
    b.scene.assert_sound().await;
    assert_eq!(b.bank_says(first, PayoutStatus::Returned { code: "CLOSED".to_owned() }, None).await, PayoutVerdict::Changed);
    assert_eq!((b.shown(&refund).await.status, b.figures().await[3]), (RefundStatus::Bounced, 40));
    b.scene.assert_sound().await;
    let second = b.sent_to_an_account(&refund).await;
    assert_eq!(b.bank_says(second, PayoutStatus::Accepted, Some(400)).await, PayoutVerdict::AmountDiffers, "the bank pays cash alone");
    let resolve =
        wallet::refund::ResolveConflict { merchant: b.scene.merchant, refund: refund.id, paid: true, idempotency_key: Uuid::now_v7() };
    b.scene.refunds.resolve_conflict(&b.ops, resolve).await.unwrap();
    assert_eq!((b.shown(&refund).await.status, b.figures().await[3]), (RefundStatus::Succeeded, 40));
    assert_eq!(
        b.scene
            .count("SELECT -sum(balance_minor)::bigint FROM accounts WHERE kind = 'BANK_CASH' AND book_id IN (SELECT book_id FROM orders)")
            .await,
        360
    );
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_divided_order_gathers_the_whole_of_a_refund_and_gives_both_parts_back() {
    let divided = DEAL.replace("\"DEAL\"", "\"SHARED\"") + "[[split]]\nrole = \"AGENT\"\npart = { bps = 2_000 }\n";
    let b = Budget::open(1_000, None, 10_000, &[("shared.toml", &divided)]).await;
    let order = b.scene.paid("SHARED", &["AGENT"], 10_000).await;
    let book = b.scene.merchant.book();
    assert_eq!(b.scene.splits.execute(book, order.id).await.unwrap(), Progress::Settled);
    // a fifth of the whole less its fee of 60
    let has = "SELECT -sum(balance_minor)::bigint FROM accounts a JOIN merchants m ON m.merchant_id = a.book_id
               WHERE kind = 'MERCHANT_PENDING' AND m.merchant_id NOT IN (SELECT book_id FROM orders)";
    assert_eq!(b.scene.count(has).await, 1_988);
    let refund = b.refund(order.id, 5_000).await;
    assert_eq!((refund.status, refund.cash(), refund.subsidy()), (RefundStatus::Gathering, cny(4_500), cny(500)));
    for back in b.scene.splits.returns(&b.scene.owner, b.scene.merchant, order.id).await.unwrap() {
        assert_eq!(b.scene.splits.execute_return(book, back.id).await.unwrap(), Progress::Settled);
    }
    assert_eq!(b.scene.refunds.gather(book, refund.id).await.unwrap(), Progress::Settled);
    b.succeeds(&refund).await;
    assert_eq!((b.scene.count(has).await, b.receivable().await, b.figures().await[3]), (994, 4_500, 500));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_held_order_holds_the_whole_and_refunds_both_parts_of_it() {
    let held = DEAL.replace("\"DEAL\"", "\"KEPT\"") + "[hold]\nuntil = \"MERCHANT\"\n";
    let b = Budget::open(1_000, None, 10_000, &[("kept.toml", &held)]).await;
    let order = b.scene.paid("KEPT", &[], 10_000).await;
    assert_eq!(b.scene.escrow(order.id).await, [9_940, 0, 0, 9_940]);
    let refund = b.refund(order.id, 4_000).await;
    b.succeeds(&refund).await;
    b.scene.release(&b.scene.owner, order.id, None, None).await.unwrap();
    assert_eq!((b.receivable().await, b.figures().await), (5_400, [10_000, 0, 1_000, 400, 0, 9_400]));
    b.scene.assert_sound().await;
}
