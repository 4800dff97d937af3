//! Refunds that came back from the bank and are closed by hand: two operators, one booking, and nothing else closes them so.

use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::id::OrderId;
use wallet::channel::payout::PayoutStatus;
use wallet::ledger::AccountKind;
use wallet::refund::{
    ApprovePayee, DecideManual, Manual, PayoutVerdict, ProposeManual, ProposePayee, Refund, RefundError, RefundStatus, Route,
};

use super::Scene;
use super::refunds::operator;

impl Scene {
    /// A refund that the bank paid and sent back.
    async fn bounced(&self, order: OrderId, minor: i64, number: &str) -> (Refund, Route) {
        let (refund, route) = self.rerouted(order, minor).await;
        self.bank_says(&route, PayoutStatus::Succeeded, number).await;
        self.bank_says(&route, PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() }, number).await;
        assert_eq!(self.shown(&refund).await.status, RefundStatus::Bounced);
        (refund, route)
    }

    async fn by_hand(&self, actor: &Actor, refund: &Refund, reference: &str) -> Result<Manual, RefundError> {
        let cmd = ProposeManual {
            merchant: self.merchant,
            refund: refund.id,
            reference: reference.to_owned(),
            evidence: "柜台转账回单".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.propose_manual(actor, cmd).await
    }

    fn decision(&self, manual: &Manual, approve: bool) -> DecideManual {
        DecideManual { merchant: self.merchant, refund: manual.refund, manual: manual.id, approve, idempotency_key: Uuid::now_v7() }
    }

    async fn cash(&self) -> i64 {
        self.count("SELECT COALESCE(sum(balance_minor), 0)::bigint FROM accounts WHERE kind = 'BANK_CASH'").await
    }
}

#[tokio::test]
async fn a_refund_that_came_back_is_closed_by_hand_by_two_operators_and_once() {
    let scene = Scene::open().await;
    let (one, other) = (operator(), operator());
    let order = scene.pay(10_000).await;
    let (refund, route) = scene.bounced(order.id, 3_000, "B1").await;
    let owed = async || scene.stands_at(scene.merchant.book(), AccountKind::RefundPayable).await;
    assert_eq!((owed().await, scene.cash().await), (3_000, 0));
    let refused = scene.by_hand(&scene.owner, &refund, "H1").await;
    assert!(matches!(refused, Err(RefundError::Forbidden(_))), "{refused:?}");

    // a wrong one is rejected, and its number is free again
    let wrong = scene.by_hand(&one, &refund, "H1").await.unwrap();
    let second = scene.by_hand(&other, &refund, "H2").await;
    assert!(matches!(second, Err(RefundError::ManualTaken)), "one waits at a time: {second:?}");
    let own = scene.refunds.decide_manual(&one, scene.decision(&wrong, true)).await;
    assert!(matches!(own, Err(RefundError::OwnManual)), "{own:?}");
    let rejected = scene.refunds.decide_manual(&other, scene.decision(&wrong, false)).await.unwrap();
    assert_eq!((rejected.status, owed().await), (RefundStatus::Bounced, 3_000));
    let again = scene.refunds.decide_manual(&other, scene.decision(&wrong, true)).await;
    assert!(matches!(again, Err(RefundError::ManualDecided)), "{again:?}");
    scene.assert_sound().await;

    let right = scene.by_hand(&other, &refund, "H1").await.unwrap();
    let decide = scene.decision(&right, true);
    // both answers are the first one's
    let (first, replay) =
        tokio::join!(scene.refunds.decide_manual(&one, decide.clone()), scene.refunds.decide_manual(&one, decide.clone()));
    let closed = first.unwrap();
    assert_eq!((closed.status, &closed), (RefundStatus::Manual, &replay.unwrap()));
    assert_eq!((owed().await, scene.cash().await), (0, -3_000), "it left from the bank that it had come back to");
    scene.assert_sound().await;
    let late = scene.refunds.decide_manual(&one, scene.decision(&right, false)).await;
    assert!(matches!(late, Err(RefundError::ManualDecided)), "{late:?}");

    // it is over: no payee, no payment outside, and the bank's word changes nothing
    let payee = ProposePayee {
        merchant: scene.merchant,
        refund: refund.id,
        holder: "张三".to_owned(),
        account: "6222020200001123456".to_owned(),
        idempotency_key: Uuid::now_v7(),
    };
    let refused = scene.refunds.propose_payee(&scene.owner, payee).await;
    assert!(matches!(refused, Err(RefundError::NoPayeeWanted)), "{refused:?}");
    let refused = scene.by_hand(&one, &refund, "H3").await;
    assert!(matches!(refused, Err(RefundError::NotBounced)), "{refused:?}");
    let back = PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() };
    assert_eq!(scene.bank_says(&route, back, "B1").await, PayoutVerdict::Known);
    assert_eq!(scene.bank_says(&route, PayoutStatus::Failed { code: "NO".to_owned() }, "B1").await, PayoutVerdict::Contradiction);
    assert_eq!((scene.shown(&refund).await.status, owed().await), (RefundStatus::Manual, 0));
    // what was given back stays given back
    let refused = scene.refund(order.id, 7_001).await;
    assert!(matches!(refused, Err(RefundError::AmountExceedsPaid { .. })), "{refused:?}");
    // one payment outside closes one refund
    let (next, _) = scene.bounced(order.id, 3_000, "B2").await;
    let refused = scene.by_hand(&one, &next, "H1").await;
    assert!(matches!(refused, Err(RefundError::ManualTaken)), "{refused:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn of_another_payee_and_a_payment_by_hand_the_first_to_be_confirmed_counts() {
    let scene = Scene::open().await;
    let (one, other) = (operator(), operator());
    let order = scene.pay(10_000).await;
    for number in ["B1", "B2", "B3"] {
        let (refund, _) = scene.bounced(order.id, 1_000, number).await;
        let manual = scene.by_hand(&one, &refund, number).await.unwrap();
        let payee = ProposePayee {
            merchant: scene.merchant,
            refund: refund.id,
            holder: "张三".to_owned(),
            account: "6222020200001123456".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        let payee = scene.refunds.propose_payee(&scene.owner, payee).await.unwrap();
        let approve = ApprovePayee { merchant: scene.merchant, refund: refund.id, payee: payee.id, idempotency_key: Uuid::now_v7() };
        let (by_hand, by_bank) =
            tokio::join!(scene.refunds.decide_manual(&other, scene.decision(&manual, true)), scene.refunds.approve_payee(&one, approve));
        let status = scene.shown(&refund).await.status;
        match status {
            RefundStatus::Manual => assert!(matches!(by_bank, Err(RefundError::NoPayeeWanted)), "{by_hand:?} {by_bank:?}"),
            _ => assert!(matches!(by_hand, Err(RefundError::NotBounced)) && by_bank.is_ok(), "{status:?}: {by_hand:?} {by_bank:?}"),
        }
        scene.assert_sound().await;
    }
}

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE refunds SET status = 'BOUNCED' WHERE status = 'MANUAL'", &["R7.HAND", "R2", "W8"]),
    ("UPDATE refunds SET status = 'MANUAL' WHERE status = 'BOUNCED'", &["R7.HAND", "R2", "W8"]),
    ("UPDATE refund_manuals SET decided_by = proposed_by WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("UPDATE refund_manuals SET decided_by = NULL WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("UPDATE refund_manuals SET status = 'REJECTED' WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("DELETE FROM refund_manuals WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("UPDATE refund_manuals SET bank = 'ELSEWHERE' WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("UPDATE refund_manuals SET refund_id = gen_random_uuid() WHERE status = 'APPROVED'", &["R7.HAND"]),
    ("DROP INDEX refund_manuals_reference; UPDATE refund_manuals SET reference = 'H1'", &["R7.HAND"]),
    ("UPDATE postings SET kind = 'REFUND_SETTLED' WHERE kind = 'REFUND_PAID_BY_HAND'", &["R2"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'REFUND_PAID_BY_HAND'", &["R2"]),
    ("UPDATE accounts SET subject = 'ELSEWHERE' WHERE kind = 'BANK_CASH'", &["R7.HAND"]),
    ("DELETE FROM outbox WHERE kind = 'refund.paid_by_hand'", &["L11"]),
    ("DELETE FROM refunds WHERE status = 'MANUAL'", &["R7.HAND", "R2", "R1", "L6"]),
];

#[tokio::test]
async fn every_damage_to_a_refund_closed_by_hand_is_found_by_the_rules_it_breaks() {
    let scene = Scene::open().await;
    let (one, other) = (operator(), operator());
    let order = scene.pay(10_000).await;
    let (closed, _) = scene.bounced(order.id, 3_000, "B1").await;
    let manual = scene.by_hand(&one, &closed, "H1").await.unwrap();
    scene.refunds.decide_manual(&other, scene.decision(&manual, true)).await.unwrap();
    let (open, _) = scene.bounced(order.id, 2_000, "B2").await;
    scene.by_hand(&one, &open, "H2").await.unwrap();
    scene.assert_sound().await;
    tests::every_damage_is_found(&scene.db, &["refunds", "refund_manuals"], DAMAGES).await;
    scene.assert_sound().await;
}
