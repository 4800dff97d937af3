//! What the channel's word means for an attempt and its order (P1 to P8), and whether an order may be paid. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Attempt, PaymentError};
use crate::base::id::AttemptId;
use crate::channel::acquirer::{Invitation, Method, Wallet};
use crate::order::{Order, OrderStatus, rules::presented};

/// Where an attempt stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptStatus {
    /// Stored before the call; the answer is to come.
    Sent,
    /// The channel waits for the customer.
    UserPending,
    /// Sent without a usable answer: only the channel's word resolves it, never time.
    Unknown,
    /// The channel has the money and it is in the books. Final.
    Succeeded,
    /// The channel refused or the customer declined.
    Failed,
    /// Closed at the channel; nobody can pay it any more.
    ClosedAtChannel,
    /// The channel took something else than we asked for: a person decides. Nothing is booked.
    Conflicted,
}

impl AttemptStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::UserPending => "USER_PENDING",
            Self::Unknown => "UNKNOWN",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::ClosedAtChannel => "CLOSED_AT_CHANNEL",
            Self::Conflicted => "CONFLICTED",
        }
    }

    /// Whether the customer may still pay it.
    pub fn live(self) -> bool {
        matches!(self, Self::Sent | Self::UserPending | Self::Unknown)
    }

    /// Whether it keeps its order from being paid anew or closed.
    pub fn holds_order(self) -> bool {
        self.live() || self == Self::Conflicted
    }
}

/// What the channel says about an attempt. Amount and currency are as it states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It waits for the customer, who is brought there so, where the channel says how.
    Pending {
        invitation: Option<Invitation>,
    },
    Succeeded {
        transaction_id: String,
        amount_minor: i64,
        currency: String,
        at: DateTime<Utc>,
    },
    Failed {
        code: String,
    },
    Closed,
}

/// Why money that came in is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// The order was paid by another attempt (P2).
    SecondSuccess,
    /// The order was closed (P3).
    OrderClosed,
}

impl Surplus {
    /// What the refund's reason says, for merchant and customer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::SecondSuccess => "重复支付，自动退回",
            Self::OrderClosed => "订单关闭后到账，自动退回",
        }
    }
}

/// What is to be done about a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The order is paid: book it with the frozen fee.
    Pay,
    /// Book it without a fee and give it back at once.
    GiveBack(Surplus),
    /// Book nothing, call a person; the code says what differs.
    Conflict(&'static str),
    Fail,
    Close,
    /// The customer can go on paying.
    Wait,
    /// Said before, or overtaken.
    Duplicate,
    /// The opposite of what the channel said before: kept as it is, and a person is called.
    Contradiction,
}

impl Verdict {
    /// The word kept with a processed notice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "PAID",
            Self::GiveBack(_) => "SURPLUS",
            Self::Conflict(_) => "CONFLICTED",
            Self::Fail => "FAILED",
            Self::Close => "CLOSED",
            Self::Wait => "WAITING",
            Self::Duplicate => "DUPLICATE",
            Self::Contradiction => "CONTRADICTION",
        }
    }
}

/// The amount differs from what was asked for.
pub const AMOUNT_DIFFERS: &str = "AMOUNT_DIFFERS";
/// The currency differs from what was asked for.
pub const CURRENCY_DIFFERS: &str = "CURRENCY_DIFFERS";
/// The channel's transaction already belongs to another attempt (P4).
pub const TRANSACTION_REUSED: &str = "TRANSACTION_REUSED";

/// Judges one word about `attempt` of `order`, both read under the order's lock. `bound` is the attempt that the channel's
/// transaction already belongs to.
///
/// A success beats an earlier failure or closing, whatever order they arrive in: the money is there. It never changes a paid order.
pub fn judge(order: &Order, attempt: &Attempt, word: &Word, bound: Option<AttemptId>, now: DateTime<Utc>) -> Verdict {
    use AttemptStatus::{ClosedAtChannel, Conflicted, Failed, Sent, Succeeded, Unknown, UserPending};
    match (word, attempt.status) {
        (Word::Succeeded { transaction_id, .. }, Succeeded) => {
            if attempt.transaction_id.as_ref() == Some(transaction_id) {
                Verdict::Duplicate
            } else {
                Verdict::Contradiction
            }
        }
        (_, Conflicted) => Verdict::Duplicate,
        (Word::Succeeded { amount_minor, currency, .. }, _) => {
            if *amount_minor != attempt.amount.minor {
                Verdict::Conflict(AMOUNT_DIFFERS)
            } else if currency != attempt.amount.currency.as_str() {
                Verdict::Conflict(CURRENCY_DIFFERS)
            } else if bound.is_some_and(|other| other != attempt.id) {
                Verdict::Conflict(TRANSACTION_REUSED)
            } else {
                match presented(order.status, order.expires_at, now) {
                    OrderStatus::Created | OrderStatus::Paying => Verdict::Pay,
                    OrderStatus::Paid => Verdict::GiveBack(Surplus::SecondSuccess),
                    OrderStatus::Closed => Verdict::GiveBack(Surplus::OrderClosed),
                }
            }
        }
        (Word::Failed { .. }, Sent | UserPending | Unknown) => Verdict::Fail,
        (Word::Closed, Sent | UserPending | Unknown) => Verdict::Close,
        (Word::Pending { .. }, Sent | Unknown) => Verdict::Wait,
        (Word::Failed { .. } | Word::Closed, Succeeded) => Verdict::Contradiction,
        (Word::Failed { .. } | Word::Closed, Failed | ClosedAtChannel) | (Word::Pending { .. }, _) => Verdict::Duplicate,
    }
}

/// Where an order stands once its attempts are as given: paid and closed stay; while one holds it, it is being paid; else it is free,
/// or closed if its time is over.
pub fn settle(order: &Order, attempts: &[AttemptStatus], now: DateTime<Utc>) -> OrderStatus {
    match order.status {
        OrderStatus::Paid | OrderStatus::Closed => order.status,
        _ if attempts.iter().any(|a| a.holds_order()) => OrderStatus::Paying,
        _ => presented(OrderStatus::Created, order.expires_at, now),
    }
}

/// How the customer wants to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    pub method: Method,
    /// None: from any wallet.
    pub wallet: Option<Wallet>,
}

impl Wish {
    fn met_by(self, attempt: &Attempt) -> bool {
        attempt.method == self.method && (self.wallet.is_none() || self.wallet == attempt.wallet)
    }
}

/// How a payment of an order is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With a new attempt. `silent`: one that had no answer and invited nobody, for where no other channel takes the payment.
    New { silent: Option<AttemptId> },
    /// The customer goes on with this attempt: nobody is invited to pay twice.
    GoOn(AttemptId),
    /// The customer wants to pay in another way: this attempt is closed at its channel first.
    Switch(AttemptId),
}

/// How long a call of a channel may be under way before the attempt counts as one that had no answer: longer than any time-out.
pub const CALL_MAX: TimeDelta = TimeDelta::seconds(60);

/// Whether somebody may have been invited to pay an attempt. A scanned code is paid without an invitation, and a call under way may bring one.
fn inviting(attempt: &Attempt, now: DateTime<Utc>) -> bool {
    let under_way = attempt.status == AttemptStatus::Sent && now - attempt.sent_at < CALL_MAX;
    attempt.invitation.is_some() || attempt.method == Method::Barcode || under_way
}

/// Whether a live attempt was given up for a later one: nobody was invited to pay it, so it is closed and not only asked about.
pub fn given_up(attempt: &Attempt, attempts: &[Attempt], now: DateTime<Utc>) -> bool {
    !inviting(attempt, now) && attempts.iter().any(|later| later.sent_at > attempt.sent_at && later.id != attempt.id)
}

/// How long after its end an attempt that came to nothing is asked about again, and for the last time. A channel may take money after it said
/// that it would not (P3), and the notice that tells may be lost; what comes later still is found when accounts are compared.
const LATER_LOOKS: [TimeDelta; 2] = [TimeDelta::hours(1), TimeDelta::hours(24)];

/// Whether an ended attempt is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    Never,
    In(Duration),
    /// And then again after `next`.
    Now {
        next: Option<Duration>,
    },
}

/// When an ended attempt is asked about again.
pub fn later_look(attempt: &Attempt, now: DateTime<Utc>) -> Look {
    let came_to_nothing = matches!(attempt.status, AttemptStatus::Failed | AttemptStatus::ClosedAtChannel);
    let Some(ended) = attempt.resolved_at.filter(|_| came_to_nothing) else { return Look::Never };
    let [first, last] = LATER_LOOKS.map(|after| (ended + after - now).to_std().ok().filter(|wait| !wait.is_zero()));
    first.map_or(Look::Now { next: last }, Look::In)
}

/// Decides whether and how an order may be paid. `attempts` are all of the order's.
pub fn start(order: &Order, attempts: &[Attempt], wish: Wish, now: DateTime<Utc>) -> Result<Start, PaymentError> {
    match order.status {
        OrderStatus::Paid => return Err(PaymentError::OrderPaid),
        OrderStatus::Closed => return Err(PaymentError::OrderClosed),
        OrderStatus::Created | OrderStatus::Paying => {}
    }
    if attempts.iter().any(|a| a.status == AttemptStatus::Conflicted) {
        return Err(PaymentError::UnderReview);
    }
    if order.expires_at <= now {
        return Err(PaymentError::OrderExpired);
    }
    let live = || attempts.iter().filter(|a| a.status.live());
    Ok(match live().find(|a| inviting(a, now)) {
        Some(open) if wish.met_by(open) => Start::GoOn(open.id),
        Some(open) => Start::Switch(open.id),
        None => Start::New { silent: live().find(|a| wish.met_by(a)).map(|a| a.id) },
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::AttemptStatus::{ClosedAtChannel, Conflicted, Failed, Sent, Succeeded, Unknown, UserPending};
    use super::OrderStatus::{Closed, Created, Paid, Paying};
    use super::*;
    use crate::base::id::{MerchantId, OrderId, StoreId};
    use crate::base::money::Money;

    fn now() -> DateTime<Utc> {
        "2026-11-20T04:00:00Z".parse().unwrap()
    }

    fn order(status: OrderStatus) -> Order {
        Order {
            id: OrderId::new(),
            merchant: MerchantId::new(),
            store: StoreId::new(),
            subject: "咖啡".to_owned(),
            amount: Money::cny(1_250),
            fee_bps: 38,
            status,
            stripe: 0,
            refunded: Money::cny(0),
            created_at: now(),
            expires_at: now() + TimeDelta::minutes(30),
            paid_at: (status == Paid).then(now),
            closed_at: None,
            product: Default::default(),
            escrow: Default::default(),
            subsidy: None,
        }
    }

    fn attempt(status: AttemptStatus) -> Attempt {
        Attempt {
            id: AttemptId::new(),
            merchant: MerchantId::new(),
            order: OrderId::new(),
            channel: "SANDBOX".to_owned(),
            amount: Money::cny(1_250),
            status,
            method: Method::Page,
            wallet: None,
            candidate: String::new(),
            invitation: None,
            transaction_id: (status == Succeeded).then(|| "t1".to_owned()),
            error_code: None,
            surplus: false,
            frozen: None,
            sent_at: now(),
            succeeded_at: None,
            resolved_at: None,
        }
    }

    fn success(transaction_id: &str, amount_minor: i64, currency: &str) -> Word {
        Word::Succeeded { transaction_id: transaction_id.to_owned(), amount_minor, currency: currency.to_owned(), at: now() }
    }

    #[test]
    fn a_success_is_booked_once_given_back_or_put_aside_but_never_dropped() {
        let good = success("t1", 1_250, "CNY");
        let (second, first) = (Verdict::GiveBack(Surplus::SecondSuccess), Verdict::Pay);
        let late = Verdict::GiveBack(Surplus::OrderClosed);
        let cases = [
            // an open attempt of an open order
            (Paying, Sent, &good, first),
            (Paying, UserPending, &good, first),
            (Paying, Unknown, &good, first),
            // the channel had said no before
            (Created, Failed, &good, first),
            (Paying, Failed, &good, first),
            (Paying, ClosedAtChannel, &good, first),
            // P2: another attempt was faster
            (Paid, UserPending, &good, second),
            (Paid, Failed, &good, second),
            (Paid, ClosedAtChannel, &good, second),
            // P3: the order is gone
            (Closed, UserPending, &good, late),
            (Closed, ClosedAtChannel, &good, late),
            (Closed, Failed, &good, late),
            // told again
            (Paid, Succeeded, &good, Verdict::Duplicate),
            (Closed, Succeeded, &good, Verdict::Duplicate),
            (Paid, Succeeded, &success("t2", 1_250, "CNY"), Verdict::Contradiction),
            // not what we asked for
            (Paying, UserPending, &success("t1", 1_249, "CNY"), Verdict::Conflict(AMOUNT_DIFFERS)),
            (Paying, UserPending, &success("t1", 125_000, "CNY"), Verdict::Conflict(AMOUNT_DIFFERS)),
            (Paying, UserPending, &success("t1", 1_250, "USD"), Verdict::Conflict(CURRENCY_DIFFERS)),
            (Closed, ClosedAtChannel, &success("t1", 1, "CNY"), Verdict::Conflict(AMOUNT_DIFFERS)),
            (Paying, Conflicted, &good, Verdict::Duplicate),
        ];
        for (order_status, attempt_status, word, expected) in cases {
            let verdict = judge(&order(order_status), &attempt(attempt_status), word, None, now());
            assert_eq!(verdict, expected, "{order_status:?} {attempt_status:?} {word:?}");
        }
    }

    #[test]
    fn a_channel_transaction_belongs_to_one_attempt() {
        let (order, attempt) = (order(Paying), attempt(UserPending));
        let word = success("t1", 1_250, "CNY");
        assert_eq!(judge(&order, &attempt, &word, Some(attempt.id), now()), Verdict::Pay);
        assert_eq!(judge(&order, &attempt, &word, Some(AttemptId::new()), now()), Verdict::Conflict(TRANSACTION_REUSED));
    }

    #[test]
    fn an_order_that_nobody_was_paying_when_it_expired_takes_no_more_money() {
        let word = success("t1", 1_250, "CNY");
        let later = now() + TimeDelta::hours(1);
        assert_eq!(judge(&order(Created), &attempt(Failed), &word, None, later), Verdict::GiveBack(Surplus::OrderClosed));
        assert_eq!(judge(&order(Paying), &attempt(UserPending), &word, None, later), Verdict::Pay);
    }

    #[test]
    fn words_without_money_only_move_open_attempts() {
        let failed = Word::Failed { code: "DECLINED".to_owned() };
        let pending = Word::Pending { invitation: Some(Invitation::Url("u".to_owned())) };
        let cases = [
            (Sent, &failed, Verdict::Fail),
            (UserPending, &failed, Verdict::Fail),
            (Unknown, &failed, Verdict::Fail),
            (Failed, &failed, Verdict::Duplicate),
            (ClosedAtChannel, &failed, Verdict::Duplicate),
            (Succeeded, &failed, Verdict::Contradiction),
            (Conflicted, &failed, Verdict::Duplicate),
            (Sent, &Word::Closed, Verdict::Close),
            (UserPending, &Word::Closed, Verdict::Close),
            (Unknown, &Word::Closed, Verdict::Close),
            (ClosedAtChannel, &Word::Closed, Verdict::Duplicate),
            (Failed, &Word::Closed, Verdict::Duplicate),
            (Succeeded, &Word::Closed, Verdict::Contradiction),
            (Conflicted, &Word::Closed, Verdict::Duplicate),
            (Sent, &pending, Verdict::Wait),
            (Unknown, &pending, Verdict::Wait),
            (UserPending, &pending, Verdict::Duplicate),
            (Succeeded, &pending, Verdict::Duplicate),
            (Failed, &pending, Verdict::Duplicate),
        ];
        for (status, word, expected) in cases {
            assert_eq!(judge(&order(Paying), &attempt(status), word, None, now()), expected, "{status:?} {word:?}");
        }
    }

    #[test]
    fn an_order_is_free_again_when_no_attempt_holds_it() {
        let later = now() + TimeDelta::hours(1);
        let cases: [(OrderStatus, &[AttemptStatus], DateTime<Utc>, OrderStatus); 8] = [
            (Paying, &[Failed], now(), Created),
            (Paying, &[Failed], later, Closed),
            (Paying, &[ClosedAtChannel], later, Closed),
            (Paying, &[Failed, UserPending], later, Paying),
            (Created, &[Conflicted], now(), Paying),
            (Paying, &[Conflicted], later, Paying),
            (Paid, &[Succeeded, Failed], later, Paid),
            (Closed, &[UserPending], now(), Closed),
        ];
        for (status, attempts, at, expected) in cases {
            assert_eq!(settle(&order(status), attempts, at), expected, "{status:?} {attempts:?}");
        }
    }

    #[test]
    fn a_payment_starts_once_goes_on_or_is_refused() {
        let (failed, invited) = (attempt(Failed), Some(Invitation::Url("https://pay".to_owned())));
        let open = Attempt { invitation: invited, ..attempt(UserPending) };
        let page = Wish { method: Method::Page, wallet: None };
        let later = now() + TimeDelta::minutes(30);
        let go_on = format!("{:?}", Ok::<_, PaymentError>(Start::GoOn(open.id)));
        let new = "Ok(New { silent: None })";
        let cases: [(OrderStatus, &[Attempt], DateTime<Utc>, &str); 9] = [
            (Created, &[], now(), new),
            (Created, std::slice::from_ref(&failed), now(), new),
            (Paying, &[failed.clone(), open.clone()], now(), &go_on),
            (Created, &[], later, "Err(OrderExpired)"),
            (Paying, std::slice::from_ref(&open), later, "Err(OrderExpired)"),
            (Paid, &[attempt(Succeeded)], now(), "Err(OrderPaid)"),
            (Paid, std::slice::from_ref(&open), now(), "Err(OrderPaid)"),
            (Closed, &[], now(), "Err(OrderClosed)"),
            (Paying, &[attempt(Conflicted)], now(), "Err(UnderReview)"),
        ];
        for (status, attempts, at, expected) in cases {
            assert_eq!(format!("{:?}", start(&order(status), attempts, page, at)), expected, "{status:?} at {at}");
        }
    }

    #[test]
    fn nobody_is_invited_twice_and_who_was_never_invited_may_go_elsewhere() {
        let wish = |method, wallet| Wish { method, wallet };
        let (page, any) = (wish(Method::Page, None), order(Paying));
        let now = now() + CALL_MAX;
        let started = |attempt: &Attempt, wish| start(&any, std::slice::from_ref(attempt), wish, now).unwrap();
        let shown = Attempt { invitation: Some(Invitation::Wait), wallet: Some(Wallet::Alipay), ..attempt(UserPending) };
        assert_eq!(started(&shown, page), Start::GoOn(shown.id));
        assert_eq!(started(&shown, wish(Method::Page, Some(Wallet::Alipay))), Start::GoOn(shown.id));
        assert_eq!(started(&shown, wish(Method::Page, Some(Wallet::Wechat))), Start::Switch(shown.id));
        assert_eq!(started(&shown, wish(Method::Native, None)), Start::Switch(shown.id));

        let silent = attempt(Unknown);
        assert_eq!(started(&silent, page), Start::New { silent: Some(silent.id) });
        assert_eq!(started(&silent, wish(Method::Native, None)), Start::New { silent: None });
        let calling = Attempt { sent_at: now - CALL_MAX + TimeDelta::seconds(1), ..attempt(Sent) };
        assert_eq!(started(&calling, page), Start::GoOn(calling.id), "a call under way may bring an invitation");
        let lost = attempt(Sent);
        assert_eq!(started(&lost, page), Start::New { silent: Some(lost.id) }, "and counts as silent after its time");
        let scanned = Attempt { method: Method::Barcode, ..attempt(Unknown) };
        assert_eq!(started(&scanned, wish(Method::Barcode, None)), Start::GoOn(scanned.id), "a scanned code needs no invitation");
    }

    #[test]
    fn what_came_to_nothing_is_looked_at_again_after_an_hour_and_after_a_day() {
        let ended = now();
        let after = |status, minutes: i64| {
            later_look(&Attempt { resolved_at: Some(ended), ..attempt(status) }, ended + TimeDelta::minutes(minutes))
        };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for status in [Failed, ClosedAtChannel] {
            assert_eq!(after(status, 0), Look::In(minutes(60)));
            assert_eq!(after(status, 59), Look::In(minutes(1)));
            assert_eq!(after(status, 60), Look::Now { next: Some(minutes(23 * 60)) });
            assert_eq!(after(status, 25 * 60), Look::Now { next: None });
        }
        for status in [Sent, UserPending, Unknown, Succeeded, Conflicted] {
            assert_eq!(after(status, 60), Look::Never);
        }
    }

    #[test]
    fn an_attempt_is_given_up_when_nobody_was_invited_and_a_later_one_was_made() {
        let now = now() + CALL_MAX;
        let silent = attempt(Unknown);
        let later = Attempt { sent_at: now, ..attempt(UserPending) };
        assert!(given_up(&silent, &[silent.clone(), later.clone()], now));
        assert!(!given_up(&silent, std::slice::from_ref(&silent), now), "nothing took its place");
        assert!(!given_up(&later, &[silent.clone(), later.clone()], now), "the latest is the one that counts");
        let shown = Attempt { invitation: Some(Invitation::Wait), ..silent };
        assert!(!given_up(&shown, &[shown.clone(), later], now), "somebody may be paying it");
    }
}
