//! What the platform gives for refunds whose merchant has too little: within a cap of two people, paid before anything is withdrawn, back first with a
//! refund that comes to nothing. And what refunds that wait for receivers keep from withdrawals.

use uuid::Uuid;
use wallet::advance::{Advance, AdvanceError, Advances, Cap, CapStatus, DecideCap, ProposeCap};
use wallet::base::actor::Actor;
use wallet::base::id::MerchantId;
use wallet::channel::Progress;
use wallet::channel::sandbox::SandboxBank;
use wallet::ledger::AccountKind;
use wallet::refund::{Refund, RefundError, RefundStatus, Verdict, Word};
use wallet::withdrawal::{RequestWithdrawal, Withdrawal, WithdrawalError, Withdrawals};

use super::refunds::operator;
use super::{Scene, cny, nowhere};

impl Scene {
    fn advances(&self) -> Advances {
        Advances::new(self.db.pool().clone(), self.db.pool().clone(), self.clock.clone())
    }

    async fn propose_cap(&self, actor: &Actor, minor: i64) -> Result<Cap, AdvanceError> {
        let cmd = ProposeCap { merchant: self.merchant, amount: cny(minor), idempotency_key: Uuid::now_v7() };
        self.advances().propose_cap(actor, cmd).await
    }

    async fn decide_cap(&self, actor: &Actor, cap: &Cap, approve: bool) -> Result<Cap, AdvanceError> {
        let cmd = DecideCap { merchant: self.merchant, cap: cap.id, approve, idempotency_key: Uuid::now_v7() };
        self.advances().decide_cap(actor, cmd).await
    }

    /// Two people let the merchant owe so much.
    async fn cap(&self, minor: i64) {
        let cap = self.propose_cap(&operator(), minor).await.unwrap();
        assert_eq!(self.decide_cap(&operator(), &cap, true).await.unwrap().status, CapStatus::Approved);
    }

    async fn withdraw(&self, minor: i64) -> Result<Withdrawal, WithdrawalError> {
        let withdrawals = Withdrawals::new(self.db.pool().clone(), self.clock.clone(), SandboxBank::new(nowhere()));
        let cmd = RequestWithdrawal {
            merchant: self.merchant,
            amount: cny(minor),
            account_tail: "3456".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        withdrawals.request(&self.owner, cmd).await
    }

    /// What may be withdrawn, by what is refused beyond it and by what people are shown.
    async fn withdrawable(&self) -> i64 {
        let refused = self.withdraw(1_000_000).await;
        let Err(WithdrawalError::AmountExceedsAvailable { available, .. }) = refused else { panic!("{refused:?}") };
        let shown = self.advances().standing(&self.owner, self.merchant).await.unwrap();
        assert_eq!(shown.withdrawable, available);
        available.minor
    }

    async fn recover(&self, refund: &Refund) -> Progress {
        self.advances().recover(self.merchant.book(), refund.id).await.unwrap()
    }

    async fn advance(&self, refund: &Refund) -> Option<Advance> {
        self.advances().of_refunds(&[(self.merchant, refund.id)]).await.unwrap().pop()
    }

    /// The debt by the books, which is the one that is shown.
    async fn debt(&self) -> i64 {
        let booked = self.count("SELECT COALESCE(sum(balance_minor), 0)::bigint FROM accounts WHERE kind = 'MERCHANT_DEBT'").await;
        assert_eq!(self.advances().standing(&self.owner, self.merchant).await.unwrap().debt, cny(booked));
        booked
    }

    /// What all stripes have: pending and available.
    async fn has(&self) -> (i64, i64) {
        let balances = wallet::ledger::balances(self.db.pool(), self.merchant).await.unwrap();
        (balances.pending.minor, balances.available.minor)
    }

    async fn settle_next_day(&self) {
        self.turn_days(1);
        self.settle().await;
    }

    /// A paid order whose money the merchant has withdrawn.
    async fn spent(&self, minor: i64) -> wallet::order::Order {
        let order = self.pay(minor).await;
        self.settle_next_day().await;
        self.withdraw(minor - minor / 100).await.unwrap();
        order
    }
}

fn waits(progress: Progress) -> bool {
    matches!(progress, Progress::AskAgain(_))
}

#[tokio::test]
async fn what_nothing_covers_is_advanced_up_to_the_cap_and_paid_before_anything_is_withdrawn() {
    let scene = Scene::open().await;
    let order = scene.spent(10_000).await;
    let refused = scene.refund(order.id, 5_000).await;
    assert!(matches!(refused, Err(RefundError::InsufficientBalance { available }) if available == cny(0)), "off by default: {refused:?}");
    scene.cap(6_000).await;
    scene.pay(1_000).await;
    // 50.00 less half a yuan of fee back: 9.90 of pending, the rest of the platform
    let refund = scene.refund(order.id, 5_000).await.unwrap();
    assert_eq!((refund.status, scene.debt().await, scene.has().await), (RefundStatus::Funded, 3_960, (0, 0)));
    let advance = scene.advance(&refund).await.unwrap();
    assert_eq!((advance.amount, advance.before_minor, advance.owed()), (cny(3_960), 0, cny(3_960)));
    scene.assert_sound().await;
    let refused = scene.refund(order.id, 5_000).await;
    assert!(matches!(refused, Err(RefundError::InsufficientBalance { available }) if available == cny(2_040)), "{refused:?}");
    let last = scene.refund(order.id, 2_061).await.unwrap();
    assert_eq!((scene.debt().await, scene.advance(&last).await.unwrap().before_minor), (6_000, 3_960), "to the fen");
    scene.assert_sound().await;

    // pending money pays nothing yet
    scene.pay(3_000).await;
    assert!(waits(scene.recover(&refund).await));
    assert_eq!((scene.debt().await, scene.has().await), (6_000, (2_970, 0)));
    scene.settle_next_day().await;
    assert_eq!(scene.withdrawable().await, 0, "what is owed stays, whether or not it was taken yet");
    assert!(waits(scene.recover(&refund).await));
    assert_eq!((scene.debt().await, scene.has().await), (3_030, (0, 0)));
    scene.assert_sound().await;
    scene.pay(10_000).await;
    scene.settle_next_day().await;
    assert_eq!(scene.withdrawable().await, 9_900 - 3_030);
    assert_eq!(scene.withdraw(9_900 - 3_030).await.unwrap().amount, cny(6_870));
    assert_eq!((scene.recover(&refund).await, scene.recover(&last).await), (Progress::Settled, Progress::Settled));
    assert_eq!((scene.debt().await, scene.has().await), (0, (0, 0)));
    assert_eq!(scene.recover(&refund).await, Progress::Settled, "and once");
    scene.assert_sound().await;
    // what was advanced is no part of what becomes of the refund outside
    scene.send(&refund).await;
    assert_eq!(scene.channel_says(&refund, Word::Succeeded { at: scene.clock.now() }).await, Verdict::Settle);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_that_comes_to_nothing_gives_the_advance_back_first_and_the_merchant_what_it_gave() {
    let scene = Scene::open().await;
    let order = scene.spent(20_000).await;
    scene.cap(20_000).await;
    scene.pay(1_000).await;
    // cancelled on the same day: pending has its 9.90 again
    let cancelled = scene.refund(order.id, 5_000).await.unwrap();
    assert_eq!(scene.debt().await, 3_960);
    scene.cancel(&cancelled).await.unwrap();
    assert_eq!((scene.debt().await, scene.has().await), (0, (990, 0)));
    assert_eq!((scene.advance(&cancelled).await.unwrap().returned_minor, scene.recover(&cancelled).await), (3_960, Progress::Settled));
    scene.assert_sound().await;
    // refused days later, when a part of the debt was paid and another advance stands
    let refused = scene.refund(order.id, 5_000).await.unwrap();
    let stands = scene.refund(order.id, 1_000).await.unwrap();
    scene.send(&refused).await;
    scene.pay(2_000).await;
    scene.settle_next_day().await;
    assert!(waits(scene.recover(&refused).await));
    assert_eq!((scene.debt().await, scene.has().await), (3_960 + 990 - 1_980, (0, 0)));
    scene.assert_sound().await;
    assert_eq!(scene.channel_says(&refused, Word::Failed { code: "NO".to_owned() }).await, Verdict::Return);
    assert_eq!((scene.debt().await, scene.has().await), (990, (990, 1_980)), "what was recovered of it is available");
    assert_eq!(scene.channel_says(&refused, Word::Failed { code: "NO".to_owned() }).await, Verdict::Duplicate);
    assert_eq!(scene.withdrawable().await, 990);
    scene.assert_sound().await;
    // and pays the other one
    assert_eq!(scene.recover(&stands).await, Progress::Settled);
    assert_eq!((scene.debt().await, scene.has().await), (0, (990, 990)));
    // one that was paid wholly comes back wholly
    scene.send(&stands).await;
    assert_eq!(scene.channel_says(&stands, Word::Failed { code: "NO".to_owned() }).await, Verdict::Return);
    assert_eq!((scene.debt().await, scene.has().await), (0, (990, 1_980)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_cap() {
    let scene = Scene::open().await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(scene.spent(5_000).await.id);
    }
    scene.cap(10_000).await;
    let all = tokio::join!(
        scene.refund(orders[0], 5_000),
        scene.refund(orders[1], 5_000),
        scene.refund(orders[2], 5_000),
        scene.refund(orders[3], 5_000),
    );
    let results = [all.0, all.1, all.2, all.3];
    let (made, refused): (Vec<_>, Vec<_>) = results.iter().partition(|r| r.is_ok());
    assert_eq!((made.len(), scene.debt().await), (2, 9_900), "{results:?}");
    let short =
        |r: &&Result<Refund, RefundError>| matches!(r, Err(RefundError::InsufficientBalance { available }) if *available == cny(100));
    assert!(refused.iter().all(short), "{refused:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_debt_that_is_paid_while_its_refund_is_refused_ends_the_same_either_way() {
    let scene = Scene::open().await;
    scene.cap(10_000).await;
    for before in [0, 2_970, 5_940] {
        let order = scene.spent(5_000).await;
        let refund = scene.refund(order.id, 5_000).await.unwrap();
        scene.send(&refund).await;
        scene.pay(3_000).await;
        scene.settle_next_day().await;
        let (_, verdict) = tokio::join!(scene.recover(&refund), scene.channel_says(&refund, Word::Failed { code: "NO".to_owned() }));
        assert_eq!(verdict, Verdict::Return);
        assert_eq!((scene.debt().await, scene.has().await), (0, (0, 2_970)), "after {before}");
        scene.assert_sound().await;
        scene.withdraw(2_970).await.unwrap();
    }
}

#[tokio::test]
async fn a_debt_of_one_stripe_is_paid_from_the_others_and_their_withdrawals_wait_for_it() {
    let scene = Scene::open().await;
    scene.stripe(3).await;
    scene.cap(10_000).await;
    // money of orders lies in the stripe of each: gather some of every stripe
    let mut orders = Vec::new();
    while (0..3).any(|stripe| !orders.iter().any(|order: &wallet::order::Order| order.stripe == stripe)) {
        orders.push(scene.pay(1_000).await);
    }
    scene.settle_next_day().await;
    let all = scene.has().await.1;
    scene.withdraw(all).await.unwrap();
    let order = orders.iter().find(|order| order.stripe == 2).unwrap();
    let refund = scene.refund(order.id, 1_000).await.unwrap();
    assert_eq!((scene.debt().await, scene.advance(&refund).await.unwrap().money_book), (990, scene.merchant.stripe(2)));
    scene.assert_sound().await;
    // comes in elsewhere
    let mut paid = scene.pay(700).await;
    while paid.stripe == 2 {
        scene.refund(paid.id, 700).await.unwrap();
        paid = scene.pay(700).await;
    }
    scene.settle_next_day().await;
    assert_eq!((scene.has().await, scene.withdrawable().await), ((0, 693), 0));
    assert!(waits(scene.recover(&refund).await));
    assert_eq!((scene.debt().await, scene.has().await), (297, (0, 0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn what_refunds_that_wait_will_take_cannot_be_withdrawn() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    scene.settle_next_day().await;
    assert_eq!((scene.has().await, scene.withdrawable().await), ((0, 6_930), 6_930));
    // it takes 99.00, of which 29.70 are the receivers'
    let refund = scene.refund(order, 10_000).await.unwrap();
    assert_eq!((refund.status, scene.withdrawable().await), (RefundStatus::Gathering, 0));
    assert!(scene.bring_back(order).await);
    assert_eq!((scene.has().await, scene.withdrawable().await), ((2_970, 6_930), 0), "what arrived is kept, too");
    // it takes pending money first, whosever
    scene.pay(5_000).await;
    assert_eq!(scene.withdrawable().await, 4_950);
    // whoever is first, both come to the same
    let (withdrawn, funded) = tokio::join!(scene.withdraw(4_950), scene.gather_refund(&refund));
    assert_eq!((withdrawn.unwrap().amount, funded), (cny(4_950), Progress::Settled));
    assert_eq!((scene.shown(&refund).await.status, scene.has().await), (RefundStatus::Funded, (0, 0)));
    scene.assert_sound().await;
    // one that is cancelled keeps nothing any more
    let order = scene.divided_order().await;
    scene.settle_next_day().await;
    let waiting = scene.refund(order, 10_000).await.unwrap();
    assert_eq!(scene.withdrawable().await, 0);
    scene.cancel(&waiting).await.unwrap();
    assert_eq!(scene.withdrawable().await, 6_930);
    scene.assert_sound().await;
}

#[tokio::test]
async fn withdrawals_that_race_with_what_arrives_for_a_refund_leave_it_there() {
    let scene = Scene::open().await;
    for _ in 0..4 {
        let order = scene.divided_order().await;
        scene.settle_next_day().await;
        let refund = scene.refund(order, 10_000).await.unwrap();
        let arrives = async {
            assert!(scene.bring_back(order).await);
            scene.turn_days(1);
            scene.settle().await;
        };
        let (withdrawn, ()) = tokio::join!(scene.withdraw(1), arrives);
        assert!(
            matches!(withdrawn, Err(WithdrawalError::AmountExceedsAvailable { available, .. }) if available == cny(0)),
            "{withdrawn:?}"
        );
        assert_eq!(scene.gather_refund(&refund).await, Progress::Settled, "all of it is there");
        assert_eq!((scene.shown(&refund).await.status, scene.has().await), (RefundStatus::Funded, (0, 0)));
        scene.assert_sound().await;
    }
}

#[tokio::test]
async fn a_divided_refund_is_advanced_what_neither_receivers_nor_the_merchant_have() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    scene.settle_next_day().await;
    scene.withdraw(6_930).await.unwrap();
    scene.spend(2, 1_979).await;
    let refund = scene.refund(order, 10_000).await.unwrap();
    assert!(!scene.bring_back(order).await, "the supplier is short");
    assert!(waits(scene.gather_refund(&refund).await), "receivers come before the platform");
    let has = scene.has().await.0;
    let short = scene.fund_now(&refund).await;
    assert!(matches!(short, Err(RefundError::InsufficientBalance { available }) if available == cny(has)), "{short:?}");
    scene.cap(10_000).await;
    assert!(waits(scene.gather_refund(&refund).await), "and still do");
    assert_eq!(scene.fund_now(&refund).await.unwrap().status, RefundStatus::Funded);
    assert_eq!((scene.debt().await, scene.has().await), (9_900 - has, (0, 0)));
    scene.assert_sound().await;
    // what the supplier owed comes back, and pays the debt when it is available
    scene.move_available(scene.receivers[0].0, scene.receivers[2].0, 1_979).await;
    let before = scene.debt().await;
    assert!(scene.bring_back(order).await);
    scene.settle_next_day().await;
    let arrived = scene.has().await.1;
    assert!(arrived > 0 && waits(scene.recover(&refund).await));
    assert_eq!((scene.debt().await, scene.has().await), (before - arrived, (0, 0)));
    scene.assert_sound().await;

    // all receivers gave, and the merchant had spent its own part: the job takes the rest of the platform
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    scene.settle_next_day().await;
    scene.withdraw(6_930).await.unwrap();
    let refund = scene.refund(order, 10_000).await.unwrap();
    assert!(scene.bring_back(order).await);
    assert!(waits(scene.gather_refund(&refund).await), "without a cap it waits");
    scene.cap(6_930).await;
    assert_eq!(scene.gather_refund(&refund).await, Progress::Settled);
    assert_eq!((scene.shown(&refund).await.status, scene.debt().await, scene.has().await), (RefundStatus::Funded, 6_930, (0, 0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_debt_is_not_paid_with_what_another_refund_waits_for() {
    let scene = Scene::open().await;
    scene.cap(5_000).await;
    let order = scene.spent(5_000).await;
    let owing = scene.refund(order.id, 5_000).await.unwrap();
    let divided = scene.divided_order().await;
    scene.settle_next_day().await;
    let waiting = scene.refund(divided, 10_000).await.unwrap();
    assert!(waits(scene.recover(&owing).await));
    assert_eq!((scene.debt().await, scene.has().await), (4_950, (0, 6_930)), "it is kept for the refund");
    scene.cancel(&waiting).await.unwrap();
    assert_eq!(scene.recover(&owing).await, Progress::Settled);
    assert_eq!((scene.debt().await, scene.has().await), (0, (0, 1_980)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_cap_is_two_peoples_word_one_at_a_time_and_zero_ends_it() {
    let scene = Scene::open().await;
    let (one, other) = (operator(), operator());
    let refused = scene.propose_cap(&scene.owner, 1).await;
    assert!(matches!(refused, Err(AdvanceError::Forbidden(_))), "{refused:?}");
    let key = Uuid::now_v7();
    let set = |minor| ProposeCap { merchant: scene.merchant, amount: cny(minor), idempotency_key: key };
    let cap = scene.advances().propose_cap(&one, set(1_000)).await.unwrap();
    assert_eq!(scene.advances().propose_cap(&one, set(1_000)).await.unwrap(), cap, "the same key has the same answer");
    let changed = scene.advances().propose_cap(&one, set(1_001)).await;
    assert!(matches!(changed, Err(AdvanceError::Idempotency(_))), "{changed:?}");
    let second = scene.propose_cap(&other, 2_000).await;
    assert!(matches!(second, Err(AdvanceError::Open)), "{second:?}");
    let own = scene.decide_cap(&one, &cap, true).await;
    assert!(matches!(own, Err(AdvanceError::OwnProposal)), "{own:?}");
    let order = scene.spent(10_000).await;
    assert!(scene.refund(order.id, 500).await.is_err(), "what one person alone said is not in force");
    assert_eq!(scene.decide_cap(&one, &cap, false).await.unwrap().status, CapStatus::Rejected, "anybody may reject");
    let again = scene.decide_cap(&other, &cap, true).await;
    assert!(matches!(again, Err(AdvanceError::Decided)), "{again:?}");
    assert!(scene.refund(order.id, 500).await.is_err());
    scene.assert_sound().await;
    for (minor, refunds) in [(1_000, true), (0, false), (2_000, true), (900, false)] {
        scene.cap(minor).await;
        assert_eq!(scene.refund(order.id, 500).await.is_ok(), refunds, "with {minor}, {} owed", scene.debt().await);
        assert_eq!(scene.advances().standing(&scene.owner, scene.merchant).await.unwrap().cap, cny(minor));
        scene.assert_sound().await;
    }
    let nobody = ProposeCap { merchant: MerchantId::new(), amount: cny(1), idempotency_key: Uuid::now_v7() };
    let missing = scene.advances().propose_cap(&one, nobody).await;
    assert!(matches!(missing, Err(AdvanceError::NotFound)), "{missing:?}");
    // who owes is listed, to operators
    let listed = scene.advances().indebted(&one, None, 10).await.unwrap();
    let shown: Vec<_> = listed.items.iter().map(|s| (s.merchant, s.debt, s.cap)).collect();
    assert_eq!((shown, listed.has_next), (vec![(scene.merchant, cny(scene.debt().await), cny(900))], false));
    let refused = scene.advances().indebted(&scene.owner, None, 10).await;
    assert!(matches!(refused, Err(AdvanceError::Forbidden(_))), "{refused:?}");
    let stranger = scene.advances().standing(&scene.receivers[0].1, scene.merchant).await;
    assert!(matches!(stranger, Err(AdvanceError::Forbidden(_))), "{stranger:?}");
}

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE refund_advances SET amount_minor = amount_minor + 1 WHERE returned_minor = 0", &["A1", "A1.BOOKED"]),
    ("UPDATE refund_advances SET recovered_minor = recovered_minor + 1 WHERE recovered_minor > 0", &["A1"]),
    ("UPDATE refund_advances SET returned_minor = 1 WHERE returned_minor = 0", &["A1", "A1.BOOKED"]),
    ("UPDATE refund_advances SET returned_minor = returned_minor - 1 WHERE returned_minor > 0", &["A1", "A1.BOOKED"]),
    ("UPDATE refund_advances SET returned_minor = returned_minor + 1, recovered_minor = -1 WHERE returned_minor > 0", &["A1"]),
    ("UPDATE refund_advances SET money_book_id = gen_random_uuid()", &["A1", "A1.BOOKED"]),
    ("DELETE FROM refund_advances WHERE recovered_minor > 0", &["A1", "A1.BOOKED", "L11"]),
    ("UPDATE advance_recoveries SET amount_minor = amount_minor + 1", &["A1", "A1.BOOKED"]),
    ("UPDATE advance_recoveries SET recovery_id = gen_random_uuid()", &["A1.BOOKED", "L11"]),
    ("DELETE FROM advance_recoveries", &["A1", "A1.BOOKED"]),
    ("UPDATE accounts SET balance_minor = balance_minor + 1 WHERE kind = 'MERCHANT_DEBT'", &["A1", "L3"]),
    ("UPDATE accounts SET floor_minor = NULL WHERE kind = 'MERCHANT_DEBT'", &["L8"]),
    ("UPDATE accounts SET side = -1 WHERE kind = 'MERCHANT_DEBT'", &["L8"]),
    ("UPDATE postings SET kind = 'SETTLEMENT_RELEASE' WHERE kind = 'ADVANCE_RECOVERED'", &["A1.BOOKED", "T1"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'ADVANCE_RECOVERED'", &["A1.BOOKED"]),
    ("UPDATE refunds SET status = 'SUCCEEDED' WHERE status = 'CANCELLED'", &["A1"]),
    ("UPDATE refunds SET status = 'FAILED' WHERE status = 'FUNDED'", &["A1"]),
    ("UPDATE advance_caps SET cap_minor = cap_minor - 1", &["A2"]),
    ("UPDATE advance_caps SET status = 'REJECTED' WHERE status = 'APPROVED'", &["A2"]),
    ("UPDATE advance_caps SET decided_by = proposed_by", &["A2"]),
    ("UPDATE advance_caps SET cap_id = gen_random_uuid()", &["A2", "L6"]),
    ("DELETE FROM advance_caps", &["A2", "L6"]),
    ("UPDATE refund_advances SET before_minor = before_minor - 1 WHERE before_minor > 0", &["A2"]),
    ("DELETE FROM outbox WHERE kind = 'advance.taken'", &["L11"]),
    ("DELETE FROM outbox WHERE kind = 'advance.recovered'", &["L11"]),
    ("DELETE FROM outbox WHERE kind = 'advance.returned'", &["L11"]),
];

#[tokio::test]
async fn every_damage_to_advances_is_found_by_the_rules_it_breaks() {
    let scene = Scene::open().await;
    let order = scene.spent(10_000).await;
    scene.cap(5_940).await;
    // one that is partly recovered, one that came back, and one that fills the cap
    let recovered = scene.refund(order.id, 3_000).await.unwrap();
    let cancelled = scene.refund(order.id, 1_000).await.unwrap();
    scene.cancel(&cancelled).await.unwrap();
    scene.refund(order.id, 3_000).await.unwrap();
    scene.pay(1_000).await;
    scene.settle_next_day().await;
    assert!(waits(scene.recover(&recovered).await));
    assert_eq!((scene.debt().await, scene.stands_at(scene.merchant.book(), AccountKind::MerchantDebt).await), (4_950, 4_950));
    scene.assert_sound().await;
    let tables = ["refunds", "accounts", "advance_caps", "refund_advances", "advance_recoveries"];
    tests::every_damage_is_found(&scene.db, &tables, DAMAGES).await;
    scene.assert_sound().await;
}
