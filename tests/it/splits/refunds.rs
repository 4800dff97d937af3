//! Refunds of divided orders: what receivers give back first, short receivers, cancelling, failing; and the bank's word on refunds that go to
//! an account. Each book is exact after every step.

use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{OrderId, TransferId, UserId};
use wallet::book::transfer::{Purpose, SendTransfer};
use wallet::channel::Progress;
use wallet::channel::SANDBOX_BANK;
use wallet::channel::payout::{PayoutState, PayoutStatus};
use wallet::ledger::AccountKind;
use wallet::refund::{
    ApprovePayee, CancelRefund, FundRefund, Outcome, PayoutOutcome, PayoutVerdict, ProposePayee, Refund, RefundError, RefundStatus,
    Rerouting, Route, RouteKind, RouteStatus, Verdict, Word,
};

use super::{Scene, cny};

impl Scene {
    pub(super) async fn divided_order(&self) -> OrderId {
        let order = self.planned(true).await;
        self.execute(order).await;
        order
    }

    /// Brings back all that is asked of receivers, as the job does. Whether nobody was short.
    pub(super) async fn bring_back(&self, order: OrderId) -> bool {
        let mut all = true;
        for back in self.splits.returns(&self.owner, self.merchant, order).await.unwrap() {
            all &= self.splits.execute_return(self.merchant.book(), back.id).await.unwrap() == Progress::Settled;
        }
        all
    }

    pub(super) async fn gather_refund(&self, refund: &Refund) -> Progress {
        self.refunds.gather(self.merchant.book(), refund.id).await.unwrap()
    }

    pub(super) async fn shown(&self, refund: &Refund) -> Refund {
        self.refunds.by_ids(&[(self.merchant, refund.id)]).await.unwrap().pop().unwrap()
    }

    pub(super) async fn tries(&self, refund: &Refund) -> Vec<Route> {
        self.refunds.routes(&[(self.merchant, refund.id)]).await.unwrap()
    }

    pub(super) async fn send(&self, refund: &Refund) {
        assert_eq!(self.refunds.send(self.merchant.book(), refund.id).await.unwrap(), Progress::Settled);
    }

    pub(super) async fn channel_says(&self, refund: &Refund, word: Word) -> Verdict {
        let outcome = Outcome { book: self.merchant.book(), refund: refund.id, word };
        self.refunds.apply(&[outcome]).await.unwrap()[0].unwrap()
    }

    pub(super) async fn bank_says(&self, route: &Route, status: PayoutStatus, reference: &str) -> PayoutVerdict {
        let state = PayoutState { status, bank_reference: Some(reference.to_owned()) };
        let outcome = PayoutOutcome { bank: SANDBOX_BANK.to_owned(), book: self.merchant.book(), route: route.id, state, stated: None };
        self.refunds.apply_payouts(&[outcome]).await.unwrap()[0].unwrap()
    }

    /// From the request to the payer, all in order.
    pub(super) async fn refund_whole_way(&self, order: OrderId, minor: i64) -> Refund {
        let refund = self.refund(order, minor).await.unwrap();
        assert_eq!((refund.status, refund.funded), (RefundStatus::Gathering, false));
        self.assert_sound().await;
        assert!(self.bring_back(order).await);
        assert_eq!(self.gather_refund(&refund).await, Progress::Settled);
        assert_eq!(self.gather_refund(&refund).await, Progress::Settled, "and once");
        self.assert_sound().await;
        self.send(&refund).await;
        self.send(&refund).await;
        assert_eq!(self.tries(&refund).await.len(), 1);
        assert_eq!(self.channel_says(&refund, Word::Succeeded { at: self.clock.now() }).await, Verdict::Settle);
        self.assert_sound().await;
        refund
    }

    pub(super) async fn cancel(&self, refund: &Refund) -> Result<Refund, RefundError> {
        let cmd = CancelRefund { merchant: self.merchant, refund: refund.id, idempotency_key: Uuid::now_v7() };
        self.refunds.cancel(&self.owner, cmd).await
    }

    pub(super) async fn fund_now(&self, refund: &Refund) -> Result<Refund, RefundError> {
        let cmd = FundRefund { merchant: self.merchant, refund: refund.id, idempotency_key: Uuid::now_v7() };
        self.refunds.fund_now(&self.owner, cmd).await
    }

    /// Moves available money of a receiver away, or pending money home again.
    pub(super) async fn spend(&self, receiver: usize, minor: i64) {
        self.move_available(self.receivers[receiver].0, self.receivers[(receiver + 1) % 3].0, minor).await;
    }

    pub(super) async fn move_available(&self, from: wallet::base::id::MerchantId, to: wallet::base::id::MerchantId, minor: i64) {
        let transfer = SendTransfer {
            id: TransferId::new(),
            purpose: Purpose::BetweenBooks,
            from: from.book(),
            from_account: AccountKind::MerchantAvailable,
            to: to.book(),
            to_account: AccountKind::MerchantAvailable,
            amount: cny(minor),
            day: self.clock.today(),
        };
        self.transfers.run(transfer).await.unwrap();
    }

    /// Two people confirm an account.
    pub(super) async fn confirm_payee(&self, refund: &Refund) {
        let propose = ProposePayee {
            merchant: self.merchant,
            refund: refund.id,
            holder: "张三".to_owned(),
            account: "6222020200001123456".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        let payee = self.refunds.propose_payee(&self.owner, propose).await.unwrap();
        assert_eq!((payee.holder_mask.as_str(), payee.account_tail.as_str()), ("张**", "3456"));
        let approve = || ApprovePayee { merchant: self.merchant, refund: refund.id, payee: payee.id, idempotency_key: Uuid::now_v7() };
        let own = self.refunds.approve_payee(&self.owner, approve()).await;
        assert!(matches!(own, Err(RefundError::OwnProposal)), "{own:?}");
        let approved = self.refunds.approve_payee(&operator(), approve()).await.unwrap();
        assert_eq!(approved.status, RefundStatus::Funded);
        let again = self.refunds.approve_payee(&operator(), approve()).await;
        assert!(matches!(again, Err(RefundError::NoPayeeWanted)), "{again:?}");
    }

    /// A refund that found the payer's account at the channel closed, and its second try, under way at the bank.
    pub(super) async fn rerouted(&self, order: OrderId, minor: i64) -> (Refund, Route) {
        let refund = self.refund(order, minor).await.unwrap();
        self.send(&refund).await;
        assert_eq!(self.channel_says(&refund, closed()).await, Verdict::Reroute);
        assert_eq!(self.channel_says(&refund, closed()).await, Verdict::Duplicate);
        let shown = self.shown(&refund).await;
        assert_eq!((shown.status, shown.rerouted_for), (RefundStatus::Reroute, Some(Rerouting::Closed)));
        self.assert_sound().await;
        self.confirm_payee(&refund).await;
        self.assert_sound().await;
        self.send(&refund).await;
        let route = self.tries(&refund).await.pop().unwrap();
        assert_eq!((route.try_no, route.kind, route.reason), (2, RouteKind::Payout, Some(Rerouting::Closed)));
        assert_eq!(self.shown(&refund).await.status, RefundStatus::Unknown, "nobody reaches the bank");
        self.assert_sound().await;
        (refund, route)
    }
}

pub(super) fn operator() -> Actor {
    Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] }
}

pub(super) fn closed() -> Word {
    Word::Closed { code: "PAYER_ACCOUNT_CLOSED".to_owned() }
}

#[tokio::test]
async fn a_divided_order_is_refunded_in_parts_and_then_whole_and_everybody_is_square() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    assert_eq!(scene.pending().await, [6_930, 693, 297, 1_980]);
    scene.refund_whole_way(order, 3_333).await;
    // of 3,300 less fee back 33: seven tenths of the merchant's, two of the supplier's, one of the agent's, three tenths of that the broker's
    assert_eq!(scene.pending().await, [4_620, 462, 198, 1_320]);
    scene.refund_whole_way(order, 3_333).await;
    scene.refund_whole_way(order, 3_334).await;
    assert_eq!((scene.pending().await, scene.frozen().await), ([0, 0, 0, 0], (0, 0)));
    for (kind, what) in [(AccountKind::FeeIncome, "the fee went back, too"), (AccountKind::RefundPayable, "nothing is owed")] {
        assert_eq!(scene.stands_at(scene.merchant.book(), kind).await, 0, "{what}");
    }
    let refused = scene.refund(order, 1).await;
    assert!(matches!(refused, Err(RefundError::AmountExceedsPaid { refundable }) if refundable == cny(0)), "{refused:?}");
}

#[tokio::test]
async fn of_two_refunds_at_once_one_gathers_and_the_other_is_told_to_come_again() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    let (one, other) = tokio::join!(scene.refund(order, 6_000), scene.refund(order, 4_000));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(matches!(lost, Err(RefundError::Gathering)), "{lost:?}");
    let won = won.unwrap();
    scene.assert_sound().await;
    assert!(scene.bring_back(order).await);
    assert_eq!(scene.gather_refund(&won).await, Progress::Settled);
    scene.refund(order, 10_000 - won.amount.minor).await.unwrap();
    scene.assert_sound().await;
    // and an order whose lines are on their way down is not refunded meanwhile (S7)
    let under_way = scene.planned(true).await;
    let refused = scene.refund(under_way, 1).await;
    assert!(matches!(refused, Err(RefundError::Splitting)), "{refused:?}");
}

#[tokio::test]
async fn a_short_receiver_keeps_a_refund_waiting_until_the_merchant_gives_the_rest() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    scene.turn_days(1);
    assert_eq!(scene.settle().await, 4);
    scene.spend(2, 1_979).await;
    let refund = scene.refund(order, 10_000).await.unwrap();
    for _ in 0..2 {
        assert!(!scene.bring_back(order).await, "the supplier is short");
    }
    assert!(matches!(scene.gather_refund(&refund).await, Progress::AskAgain(_)));
    let (_, gathering) = scene.refunds.gatherings(&[(scene.merchant, refund.id)]).await.unwrap().pop().unwrap();
    assert_eq!((gathering.amount, gathering.arrived, gathering.done), (cny(9_900), cny(7_920), false));
    scene.assert_sound().await;
    let refused = scene.fund_now(&refund).await;
    assert!(matches!(refused, Err(RefundError::InsufficientBalance { available }) if available == cny(7_920)), "{refused:?}");
    // another order brings what is short
    let plain = scene.pay(5_000).await;
    assert_eq!(scene.fund_now(&refund).await.unwrap().status, RefundStatus::Funded);
    let again = scene.fund_now(&refund).await;
    assert!(matches!(again, Err(RefundError::NotGathering)), "{again:?}");
    scene.assert_sound().await;
    scene.send(&refund).await;
    scene.channel_says(&refund, Word::Succeeded { at: scene.clock.now() }).await;
    // what the supplier owes stays owed to the merchant
    let before = scene.pending().await[0] + scene.stands_at(scene.merchant.book(), AccountKind::MerchantAvailable).await;
    assert_eq!(before, 4_950 - 1_980);
    scene.move_available(scene.receivers[0].0, scene.receivers[2].0, 1_979).await;
    assert!(scene.bring_back(order).await);
    let after = scene.pending().await[0] + scene.stands_at(scene.merchant.book(), AccountKind::MerchantAvailable).await;
    assert_eq!(after, 4_950);
    assert_eq!(scene.orders.get(&scene.owner, scene.merchant, plain.id).await.unwrap().refunded, cny(0));
    scene.assert_sound().await;
}

#[tokio::test]
async fn what_was_settled_while_a_refund_waited_is_taken_from_both_balances_and_goes_back_to_both() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    let refund = scene.refund(order, 10_000).await.unwrap();
    scene.turn_days(1);
    scene.settle().await;
    // the merchant's own is available now, what receivers give arrives as pending
    assert!(scene.bring_back(order).await);
    let of = async |kind| scene.stands_at(scene.merchant.book(), kind).await;
    let before = (of(AccountKind::MerchantPending).await, of(AccountKind::MerchantAvailable).await);
    assert_eq!(before, (2_970, 6_930));
    assert_eq!(scene.gather_refund(&refund).await, Progress::Settled);
    assert_eq!((of(AccountKind::MerchantPending).await, of(AccountKind::MerchantAvailable).await), (0, 0));
    scene.assert_sound().await;
    scene.send(&refund).await;
    assert_eq!(scene.channel_says(&refund, Word::Failed { code: "NO".to_owned() }).await, Verdict::Return);
    assert_eq!((of(AccountKind::MerchantPending).await, of(AccountKind::MerchantAvailable).await), before);
    scene.assert_sound().await;
    // all of the order is the merchant's now: the next refund asks nobody else
    let next = scene.refund(order, 10_000).await.unwrap();
    let back = scene.splits.returns(&scene.owner, scene.merchant, order).await.unwrap().pop().unwrap();
    assert_eq!((back.reference, back.own, back.done_at.is_some()), (next.id.0, cny(9_900), true));
    assert_eq!(scene.gather_refund(&next).await, Progress::Settled);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_cancelled_refund_leaves_with_the_merchant_what_came_back() {
    let scene = Scene::open().await;
    let order = scene.divided_order().await;
    let refund = scene.refund(order, 5_000).await.unwrap();
    assert!(scene.bring_back(order).await);
    let pending = scene.pending().await;
    let cancelled = scene.cancel(&refund).await.unwrap();
    assert_eq!((cancelled.status, cancelled.funded), (RefundStatus::Cancelled, false));
    assert_eq!(scene.pending().await, pending);
    assert_eq!(scene.orders.get(&scene.owner, scene.merchant, order).await.unwrap().refunded, cny(0));
    assert_eq!(scene.gather_refund(&refund).await, Progress::Settled, "nothing is funded any more");
    let again = scene.cancel(&refund).await;
    assert!(matches!(again, Err(RefundError::NotCancellable(RefundStatus::Cancelled))), "{again:?}");
    scene.assert_sound().await;
    scene.refund_whole_way(order, 10_000).await;
    assert_eq!(scene.pending().await, [0, 0, 0, 0]);

    // one that was funded gets its money back, and one that was sent is not cancelled
    let plain = scene.pay(5_000).await;
    let funded = scene.refund(plain.id, 5_000).await.unwrap();
    scene.cancel(&funded).await.unwrap();
    assert_eq!(scene.pending().await[0], 4_950);
    scene.assert_sound().await;
    let sent = scene.refund(plain.id, 5_000).await.unwrap();
    scene.send(&sent).await;
    let refused = scene.cancel(&sent).await;
    assert!(matches!(refused, Err(RefundError::NotCancellable(RefundStatus::Unknown))), "{refused:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_payment_too_old_for_its_channel_is_refunded_to_an_account_and_the_choice_is_made_when_it_is_sent() {
    let scene = Scene::open().await;
    let order = scene.pay(10_000).await;
    let young = scene.refund(order.id, 1_000).await.unwrap();
    let old = scene.refund(order.id, 2_000).await.unwrap();
    scene.turn_days(179);
    scene.send(&young).await;
    assert_eq!(scene.tries(&young).await[0].kind, RouteKind::Original, "on the last day still");
    scene.turn_days(1);
    scene.send(&old).await;
    let shown = scene.shown(&old).await;
    assert_eq!((shown.status, shown.rerouted_for), (RefundStatus::Reroute, Some(Rerouting::WindowOver)));
    assert!(scene.tries(&old).await.is_empty(), "nothing was sent");
    scene.assert_sound().await;
    // nothing was sent of it, so it can be given up, and asked for again
    scene.cancel(&old).await.unwrap();
    let old = scene.refund(order.id, 2_000).await.unwrap();
    scene.send(&old).await;
    scene.assert_sound().await;
    // what was decided stays: the resend of the young one goes the way it went
    scene.send(&young).await;
    assert_eq!(scene.tries(&young).await.len(), 1);
    assert_eq!(scene.channel_says(&old, Word::Succeeded { at: scene.clock.now() }).await, Verdict::Contradiction);
    scene.confirm_payee(&old).await;
    scene.send(&old).await;
    let route = scene.tries(&old).await.pop().unwrap();
    assert_eq!((route.try_no, route.reason), (1, Some(Rerouting::WindowOver)));
    assert_eq!(scene.bank_says(&route, PayoutStatus::Succeeded, "B1").await, PayoutVerdict::Changed);
    assert_eq!(scene.shown(&old).await.status, RefundStatus::Succeeded);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_payout_that_is_refused_or_comes_back_goes_again_under_a_new_number_to_a_payee_confirmed_anew() {
    let scene = Scene::open().await;
    let order = scene.pay(10_000).await;
    let (refund, second) = scene.rerouted(order.id, 3_000).await;
    let owed = async || scene.stands_at(scene.merchant.book(), AccountKind::RefundPayable).await;
    let number = scene.tries(&refund).await[0].request_no();
    assert!(number == refund.id.simple() && second.request_no() != number, "each try has its own number, the first the refund's");
    assert_eq!(scene.bank_says(&second, PayoutStatus::Accepted, "B1").await, PayoutVerdict::Known);
    assert_eq!(scene.bank_says(&second, PayoutStatus::Failed { code: "ACCOUNT_CLOSED".to_owned() }, "B1").await, PayoutVerdict::Changed);
    assert_eq!(scene.shown(&refund).await.rerouted_for, Some(Rerouting::PayoutFailed));
    let refused = scene.cancel(&refund).await;
    assert!(matches!(refused, Err(RefundError::NotCancellable(RefundStatus::Reroute))), "it was sent before: {refused:?}");
    assert_eq!(owed().await, 3_000);
    scene.assert_sound().await;
    scene.confirm_payee(&refund).await;
    scene.send(&refund).await;
    let third = scene.tries(&refund).await.pop().unwrap();
    assert_eq!(scene.bank_says(&third, PayoutStatus::Succeeded, "B2").await, PayoutVerdict::Changed);
    assert_eq!(scene.bank_says(&third, PayoutStatus::Succeeded, "B2").await, PayoutVerdict::Known);
    assert_eq!(owed().await, 0);
    scene.assert_sound().await;
    // 退票, but not under another number of the bank's
    let back = || PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() };
    assert_eq!(scene.bank_says(&third, back(), "B9").await, PayoutVerdict::Contradiction);
    assert_eq!(owed().await, 0);
    assert_eq!(scene.bank_says(&third, back(), "B2").await, PayoutVerdict::Changed);
    assert_eq!(scene.bank_says(&third, back(), "B2").await, PayoutVerdict::Known);
    assert_eq!((scene.shown(&refund).await.status, owed().await), (RefundStatus::Bounced, 3_000));
    scene.assert_sound().await;
    scene.confirm_payee(&refund).await;
    scene.send(&refund).await;
    let fourth = scene.tries(&refund).await.pop().unwrap();
    assert_eq!((fourth.try_no, fourth.reason), (4, Some(Rerouting::Bounced)));
    assert_eq!(scene.bank_says(&fourth, PayoutStatus::Succeeded, "B3").await, PayoutVerdict::Changed);
    let statuses: Vec<_> = scene.tries(&refund).await.iter().map(|route| route.status).collect();
    assert_eq!(statuses, [RouteStatus::Failed, RouteStatus::Failed, RouteStatus::Bounced, RouteStatus::Succeeded]);
    assert_eq!(owed().await, 0);
    scene.assert_sound().await;
    // the bank's late word on a try before changes nothing
    assert_eq!(scene.bank_says(&second, PayoutStatus::Succeeded, "B1").await, PayoutVerdict::Contradiction);
    scene.assert_sound().await;
}

#[tokio::test]
async fn another_amount_than_ours_is_never_booked_and_a_person_ends_it() {
    let scene = Scene::open().await;
    let order = scene.pay(10_000).await;
    let told = |minor, currency: &str| Word::Told { at: scene.clock.now(), amount_minor: minor, currency: currency.to_owned(), sum: false };
    for (word, paid, ends) in [(told(999, "CNY"), true, RefundStatus::Succeeded), (told(1_000, "USD"), false, RefundStatus::Failed)] {
        let refund = scene.refund(order.id, 1_000).await.unwrap();
        scene.send(&refund).await;
        let before = scene.stands_at(scene.merchant.book(), AccountKind::RefundPayable).await;
        assert_eq!(scene.channel_says(&refund, word.clone()).await, Verdict::Conflict);
        assert_eq!(scene.channel_says(&refund, word).await, Verdict::Duplicate);
        assert_eq!(scene.channel_says(&refund, told(1_000, "CNY")).await, Verdict::Contradiction, "the right amount comes too late");
        assert_eq!(scene.stands_at(scene.merchant.book(), AccountKind::RefundPayable).await, before);
        assert_eq!(scene.shown(&refund).await.status, RefundStatus::Conflicted);
        assert!(scene.tries(&refund).await[0].stated.is_some());
        scene.assert_sound().await;
        let cmd = wallet::refund::ResolveConflict { merchant: scene.merchant, refund: refund.id, paid, idempotency_key: Uuid::now_v7() };
        let refused = scene.refunds.resolve_conflict(&scene.owner, cmd.clone()).await;
        assert!(matches!(refused, Err(RefundError::Forbidden(_))), "{refused:?}");
        assert_eq!(scene.refunds.resolve_conflict(&operator(), cmd).await.unwrap().status, ends);
        scene.assert_sound().await;
    }
    // the right amount is booked as ever
    let refund = scene.refund(order.id, 500).await.unwrap();
    assert_eq!(scene.channel_says(&refund, told(500, "CNY")).await, Verdict::Settle);
    // and the bank's amounts are compared, too
    let (refund, route) = scene.rerouted(order.id, 700).await;
    let state = PayoutState { status: PayoutStatus::Succeeded, bank_reference: Some("B1".to_owned()) };
    let outcome = PayoutOutcome {
        bank: SANDBOX_BANK.to_owned(),
        book: scene.merchant.book(),
        route: route.id,
        state,
        stated: Some((701, "CNY".to_owned())),
    };
    assert_eq!(scene.refunds.apply_payouts(&[outcome]).await.unwrap(), [Some(PayoutVerdict::AmountDiffers)]);
    assert_eq!(scene.shown(&refund).await.status, RefundStatus::Conflicted);
    scene.assert_sound().await;
    let cmd = wallet::refund::ResolveConflict { merchant: scene.merchant, refund: refund.id, paid: true, idempotency_key: Uuid::now_v7() };
    assert_eq!(scene.refunds.resolve_conflict(&operator(), cmd).await.unwrap().status, RefundStatus::Succeeded);
    scene.assert_sound().await;
}

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE refunds SET status = 'CANCELLED' WHERE status = 'GATHERING'", &["R1", "R5"]),
    ("UPDATE refunds SET status = 'FUNDED', funded = true WHERE status = 'GATHERING'", &["R2", "W8"]),
    ("UPDATE refunds SET status = 'REROUTE' WHERE status = 'BOUNCED'", &["R2"]),
    ("UPDATE refunds SET status = 'SUCCEEDED' WHERE status = 'BOUNCED'", &["R2", "W8"]),
    ("UPDATE refunds SET route = 'ORIGINAL' WHERE status = 'SUCCEEDED' AND route = 'PAYOUT'", &["R2"]),
    ("UPDATE refunds SET status = 'SENT' WHERE status = 'REROUTE'", &["R2"]),
    ("DROP INDEX refund_routes_live; UPDATE refund_routes SET status = 'LIVE' WHERE status = 'SUCCEEDED' AND kind = 'PAYOUT'", &["R2"]),
    ("UPDATE refund_routes SET status = 'SUCCEEDED' WHERE status = 'BOUNCED'", &["R2"]),
    ("UPDATE refund_routes SET status = 'SUCCEEDED' WHERE status = 'FAILED' AND kind = 'ORIGINAL'", &["R2"]),
    ("UPDATE refund_routes SET try_no = try_no + 1 WHERE try_no = 2", &["R2"]),
    ("UPDATE refund_routes SET route_id = gen_random_uuid() WHERE kind = 'PAYOUT'", &["R2", "NUMBERS", "L11"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'REFUND_BOUNCED'", &["R2"]),
    ("UPDATE postings SET kind = 'WITHDRAWAL_PAID' WHERE kind = 'REFUND_PAID_OUT'", &["R2", "W3"]),
    ("UPDATE refund_payees SET approved_by = proposed_by WHERE approved_by IS NOT NULL", &["R7"]),
    ("UPDATE refund_payees SET approved_by = NULL WHERE approved_by IS NOT NULL", &["R7"]),
    ("UPDATE refund_payees SET refund_id = gen_random_uuid()", &["R7"]),
    ("UPDATE refund_payees SET approved_at = approved_at + interval '1 day'", &["R7"]),
    ("UPDATE split_returns SET reference_id = gen_random_uuid()", &["R5"]),
    ("UPDATE split_returns SET amount_minor = amount_minor + 1, own_minor = own_minor + 1", &["R5"]),
    ("DELETE FROM outbox WHERE kind = 'refund.bounced'", &["L11"]),
    ("DELETE FROM outbox WHERE kind = 'refund.cancelled'", &["L11"]),
    ("DELETE FROM request_numbers WHERE kind = 'REFUND_PAYOUT'", &["NUMBERS"]),
];

#[tokio::test]
async fn every_damage_to_the_ways_of_refunds_is_found_by_the_rules_it_breaks() {
    let scene = Scene::open().await;
    // one that waits for receivers; one that came back from the bank; one that was paid there; one that waits for a payee; one cancelled
    let divided = scene.divided_order().await;
    scene.refund(divided, 1_000).await.unwrap();
    let order = scene.pay(20_000).await;
    let (_, bounced) = scene.rerouted(order.id, 3_000).await;
    scene.bank_says(&bounced, PayoutStatus::Succeeded, "B1").await;
    scene.bank_says(&bounced, PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() }, "B1").await;
    let (_, paid) = scene.rerouted(order.id, 2_000).await;
    scene.bank_says(&paid, PayoutStatus::Succeeded, "B2").await;
    let waits = scene.refund(order.id, 100).await.unwrap();
    scene.send(&waits).await;
    scene.channel_says(&waits, closed()).await;
    let cancelled = scene.refund(order.id, 100).await.unwrap();
    scene.cancel(&cancelled).await.unwrap();
    scene.assert_sound().await;
    tests::every_damage_is_found(&scene.db, &["refunds", "refund_routes", "refund_payees"], DAMAGES).await;
    scene.assert_sound().await;
}
