//! What may be given back, which part of the fee goes with it, and what the channel's word changes. Pure.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Refund;
use super::error::RefundError;
use crate::base::clock::business_day;
use crate::base::money::Money;
use crate::order::{Order, OrderStatus};
use crate::subsidy::rules::{Whole, part_back};

/// Longest reason, in characters.
pub const REASON_MAX: usize = 128;

/// Where a refund stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum RefundStatus {
    /// Waits for what receivers of a divided order give back (等待分账回退). Nothing is taken from the merchant yet.
    Gathering,
    /// Taken from the merchant, not yet sent.
    Funded,
    /// Sent; the word of the channel or the bank is to come.
    Sent,
    /// Sent without an answer: the channel is asked until it gives its word.
    Unknown,
    /// The channel states another amount than ours: a person decides.
    Conflicted,
    /// It cannot go back the way the payment came, and waits for a payee that two people confirm (改道).
    Reroute,
    /// The bank had paid it, and it came back (退票): it waits for another payee.
    Bounced,
    /// It came back from the bank and was paid outside, as two operators said (人工退款). Final.
    Manual,
    /// The payer has the money. Final on the original way; what the bank paid may come back.
    Succeeded,
    /// The channel refused for good and the merchant has the money back. Final.
    Failed,
    /// Cancelled before it was ever sent; the merchant has the money. Final.
    Cancelled,
}

impl RefundStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gathering => "GATHERING",
            Self::Funded => "FUNDED",
            Self::Sent => "SENT",
            Self::Unknown => "UNKNOWN",
            Self::Conflicted => "CONFLICTED",
            Self::Reroute => "REROUTE",
            Self::Bounced => "BOUNCED",
            Self::Manual => "MANUAL",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing more is to be done.
    pub fn settled(self) -> bool {
        matches!(self, Self::Manual | Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether it counts as given back or on its way back (R1): not what came to nothing.
    pub fn stands(self) -> bool {
        !matches!(self, Self::Failed | Self::Cancelled)
    }
}

/// Checks what the caller may choose freely.
pub fn check(amount: Money, reason: &str) -> Result<(), RefundError> {
    if amount.minor <= 0 {
        return Err(RefundError::AmountInvalid);
    }
    let length = reason.chars().count();
    if !(1..=REASON_MAX).contains(&length) || reason.trim().is_empty() || reason.chars().any(char::is_control) {
        return Err(RefundError::ReasonInvalid);
    }
    Ok(())
}

/// What a refund to be made looks like beside those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The part of the fee that is given back with it.
    pub fee_back: Money,
    /// What of it goes back to the programme that paid a part of the order.
    pub subsidy: Money,
    /// What is refunded of the order with it.
    pub refunded: Money,
    /// Whether it makes the payment count as voided: 1, or 0.
    pub voided: i64,
}

/// Decides a refund (R1). `earlier` are the order's refunds on the attempt that paid it, read under the order's lock; `today` is the
/// business day it is taken on.
pub fn request(order: &Order, earlier: &[Refund], amount: Money, today: NaiveDate) -> Result<Plan, RefundError> {
    let (OrderStatus::Paid, Some(paid_at)) = (order.status, order.paid_at) else { return Err(RefundError::OrderNotPaid) };
    if amount.currency != order.amount.currency {
        return Err(RefundError::CurrencyDiffers);
    }
    if amount.minor <= 0 {
        return Err(RefundError::AmountInvalid);
    }
    let standing = || earlier.iter().filter(|r| r.status.stands());
    let before: i64 = standing().map(|r| r.amount.minor).sum();
    let refundable = order.amount.minor - before;
    if amount.minor > refundable {
        return Err(RefundError::AmountExceedsPaid { refundable: Money { minor: refundable, ..order.amount } });
    }
    let refunded = Money { minor: before + amount.minor, ..order.amount };
    let given_back: i64 = standing().map(|r| r.fee_back.minor).sum();
    let whole = Whole { total_minor: order.amount.minor, subsidy_minor: order.subsidy().minor };
    let subsidies: i64 = standing().map(|r| r.subsidy_minor).sum();
    let paid_on = business_day(paid_at);
    let of_the_day = refunded_on(earlier, paid_on);
    let after = of_the_day + if today == paid_on { amount.minor } else { 0 };
    Ok(Plan {
        fee_back: fee_back(order, refunded, given_back, amount),
        subsidy: Money { minor: part_back(whole, before, subsidies, amount.minor), ..amount },
        refunded,
        voided: crate::analytics::voided_change(order.amount.minor, of_the_day, after),
    })
}

/// What standing refunds took back on `day`, in minor units.
pub fn refunded_on(refunds: &[Refund], day: NaiveDate) -> i64 {
    let taken_then = |r: &&Refund| r.status.stands() && r.taken_at().map(business_day) == Some(day);
    refunds.iter().filter(taken_then).map(|r| r.amount.minor).sum()
}

/// The part of the fee that goes back (R9): the fee's share of everything refunded so far, half a fen up, less what went back before.
/// So the parts always add up, and the last refund of a payment brings back what is left of its fee, to the fen.
///
/// Never more than the refund itself, which matters only where the fee rate is close to the whole.
fn fee_back(order: &Order, refunded: Money, given_back_minor: i64, amount: Money) -> Money {
    let due = order.fee_back_due(refunded, amount.minor).minor - given_back_minor;
    Money { minor: due.clamp(0, amount.minor), ..amount }
}

/// What the channel says about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Taken in, result to come.
    Accepted,
    Succeeded {
        at: chrono::DateTime<chrono::Utc>,
    },
    /// Succeeded, with the amount as the channel states it: it is compared before anything is done.
    Told {
        at: chrono::DateTime<chrono::Utc>,
        amount_minor: i64,
        currency: String,
        /// The amount is that of all refunds of the payment so far.
        sum: bool,
    },
    /// Another amount than ours was given back, by what the channel states.
    Conflicted {
        amount_minor: i64,
        currency: String,
    },
    Failed {
        code: String,
    },
    /// Refused because nothing goes back to this payer by this channel.
    Closed {
        code: String,
    },
}

impl Word {
    /// With a stated amount compared. `paid` is what the payment brought, in minor units: no sum of refunds is more.
    #[must_use]
    pub fn compared(&self, ours: Money, paid_minor: i64) -> Self {
        match self {
            Self::Told { at, amount_minor, currency, sum } => {
                let right = if *sum { (ours.minor..=paid_minor).contains(amount_minor) } else { *amount_minor == ours.minor };
                if right && currency == ours.currency.as_str() {
                    Self::Succeeded { at: *at }
                } else {
                    Self::Conflicted { amount_minor: *amount_minor, currency: currency.clone() }
                }
            }
            other => other.clone(),
        }
    }
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The payer has the money.
    Settle,
    /// The merchant gets the money back.
    Return,
    /// It must go another way: the money stays set aside.
    Reroute,
    /// Another amount is stated: kept, and a person decides.
    Conflict,
    /// Money that was paid too much must go back: the refund stays open and a person is called.
    StillOwed,
    /// Nothing final was said.
    Wait,
    /// Said before.
    Duplicate,
    /// The opposite was said before: kept as it is, and a person is called.
    Contradiction,
}

impl Verdict {
    /// The word kept with a processed notice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "REFUNDED",
            Self::Return => "RETURNED",
            Self::Reroute => "REROUTED",
            Self::Conflict => "AMOUNT_DIFFERS",
            Self::StillOwed => "STILL_OWED",
            Self::Wait => "WAITING",
            Self::Duplicate => "DUPLICATE",
            Self::Contradiction => "CONTRADICTION",
        }
    }
}

/// Judges the channel's word, whose amount was compared. `surplus`: the refund gives back what should never have been paid. `left`: the
/// original way was left for another.
pub fn judge(status: RefundStatus, surplus: bool, left: bool, word: &Word) -> Verdict {
    use RefundStatus::{Cancelled, Conflicted, Failed, Gathering, Succeeded};
    let refused = matches!(word, Word::Failed { .. } | Word::Closed { .. });
    match (word, status) {
        (Word::Accepted, _) if left || status.settled() => Verdict::Duplicate,
        (Word::Accepted, _) => Verdict::Wait,
        // what was refused and left stays so; a success now would be money given back twice
        _ if left => {
            if refused {
                Verdict::Duplicate
            } else {
                Verdict::Contradiction
            }
        }
        // never sent
        (_, Gathering | Cancelled) => Verdict::Contradiction,
        (Word::Conflicted { .. }, Conflicted) => Verdict::Duplicate,
        (_, Conflicted) => Verdict::Contradiction,
        (Word::Succeeded { .. } | Word::Told { .. }, Succeeded) | (Word::Failed { .. } | Word::Closed { .. }, Failed) => Verdict::Duplicate,
        (_, Succeeded | Failed) => Verdict::Contradiction,
        (Word::Conflicted { .. }, _) => Verdict::Conflict,
        (Word::Succeeded { .. } | Word::Told { .. }, _) => Verdict::Settle,
        (Word::Closed { .. }, _) => Verdict::Reroute,
        (Word::Failed { .. }, _) if surplus => Verdict::StillOwed,
        (Word::Failed { .. }, _) => Verdict::Return,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::base::id::{AttemptId, MerchantId, OrderId, RefundId, SplitLineId, StoreId};
    use crate::split::back::{Standing, plan_return};

    fn noon() -> DateTime<Utc> {
        "2026-11-20T04:00:00Z".parse().unwrap()
    }

    fn order(minor: i64, fee_bps: i32, status: OrderStatus) -> Order {
        let (created_at, amount) = (noon(), Money::cny(minor));
        let paid_at = (status == OrderStatus::Paid).then_some(created_at);
        Order {
            id: OrderId::new(),
            merchant: MerchantId::new(),
            store: StoreId::new(),
            subject: "咖啡".to_owned(),
            amount,
            fee_bps,
            status,
            stripe: 0,
            refunded: Money::cny(0),
            created_at,
            expires_at: created_at + crate::order::rules::LIFETIME,
            paid_at,
            closed_at: None,
            product: Default::default(),
            escrow: Default::default(),
            subsidy: None,
        }
    }

    fn refund(order: &Order, minor: i64, fee_back: i64, status: RefundStatus, at: DateTime<Utc>) -> Refund {
        Refund {
            id: RefundId::new(),
            merchant: order.merchant,
            order: order.id,
            attempt: AttemptId::new(),
            amount: Money::cny(minor),
            fee_back: Money::cny(fee_back),
            reason: "退货".to_owned(),
            status,
            error_code: None,
            requested_by: None,
            created_at: at,
            sent_at: None,
            resolved_at: None,
            funded: true,
            funded_at: None,
            route: Default::default(),
            rerouted_for: None,
            subsidy_minor: 0,
            subsidy_returned: false,
        }
    }

    #[test]
    fn never_more_than_what_was_paid_is_given_back() {
        use RefundStatus::{Failed, Funded, Sent, Succeeded, Unknown};
        let order = order(1_000, 38, OrderStatus::Paid);
        /// Earlier refunds, the one asked for, and what is refunded with it or what could be.
        type Case<'c> = (&'c [(i64, RefundStatus)], i64, Result<i64, i64>);
        let cases: [Case; 9] = [
            (&[], 1_000, Ok(1_000)),
            (&[], 1_001, Err(1_000)),
            (&[(400, Succeeded)], 600, Ok(1_000)),
            (&[(400, Succeeded)], 601, Err(600)),
            (&[(400, Funded)], 601, Err(600)),
            (&[(400, Sent), (1, Unknown)], 600, Err(599)),
            (&[(1_000, Failed)], 1_000, Ok(1_000)),
            (&[(1_000, Failed), (1_000, Succeeded)], 1, Err(0)),
            (&[(999, Unknown)], 1, Ok(1_000)),
        ];
        for (earlier, minor, expected) in cases {
            let earlier: Vec<_> = earlier.iter().map(|(minor, status)| refund(&order, *minor, 0, *status, noon())).collect();
            let decided = match request(&order, &earlier, Money::cny(minor), business_day(noon())) {
                Ok(plan) => Ok(plan.refunded.minor),
                Err(RefundError::AmountExceedsPaid { refundable }) => Err(refundable.minor),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(decided, expected, "{minor} after {earlier:?}");
        }
    }

    #[test]
    fn only_a_paid_order_is_refunded() {
        for status in [OrderStatus::Created, OrderStatus::Paying, OrderStatus::Closed] {
            let refused = request(&order(1_000, 38, status), &[], Money::cny(1), business_day(noon()));
            assert!(matches!(refused, Err(RefundError::OrderNotPaid)), "{status:?}");
        }
    }

    #[test]
    fn a_payment_is_voided_when_refunds_of_its_own_day_add_up_to_it() {
        let order = order(1_000, 38, OrderStatus::Paid);
        let (today, tomorrow) = (noon(), noon() + TimeDelta::days(1));
        /// Earlier refunds, the one asked for and when, and whether it voids.
        type Case<'c> = (&'c [(i64, DateTime<Utc>)], i64, DateTime<Utc>, i64);
        let cases: [Case; 5] = [
            (&[], 1_000, today, 1),
            (&[], 999, today, 0),
            (&[(400, today)], 600, today, 1),
            (&[(400, today)], 600, tomorrow, 0),
            (&[], 1_000, tomorrow, 0),
        ];
        for (earlier, minor, at, voided) in cases {
            let earlier: Vec<_> = earlier.iter().map(|(minor, at)| refund(&order, *minor, 0, RefundStatus::Succeeded, *at)).collect();
            let plan = request(&order, &earlier, Money::cny(minor), business_day(at)).unwrap();
            assert_eq!(plan.voided, voided, "{minor} at {at} after {earlier:?}");
        }
    }

    #[test]
    fn what_the_caller_writes_is_checked() {
        let long = "退".repeat(REASON_MAX + 1);
        let cases = [
            (1, "退货", true),
            (0, "退货", false),
            (-5, "退货", false),
            (1, "", false),
            (1, " ", false),
            (1, "a\u{7}", false),
            (1, &long, false),
        ];
        for (minor, reason, accepted) in cases {
            assert_eq!(check(Money::cny(minor), reason).is_ok(), accepted, "{minor} {reason:?}");
        }
    }

    #[test]
    fn only_the_channels_first_final_word_counts() {
        use RefundStatus::{Cancelled, Conflicted, Gathering, Reroute};
        use RefundStatus::{Failed, Funded, Sent, Succeeded, Unknown};
        let (ok, failed) = (Word::Succeeded { at: noon() }, Word::Failed { code: "NO".to_owned() });
        let (closed, differs) =
            (Word::Closed { code: "GONE".to_owned() }, Word::Conflicted { amount_minor: 1, currency: "CNY".to_owned() });
        let cases = [
            (Sent, false, false, &Word::Accepted, Verdict::Wait),
            (Unknown, false, false, &Word::Accepted, Verdict::Wait),
            (Succeeded, false, false, &Word::Accepted, Verdict::Duplicate),
            (Reroute, false, true, &Word::Accepted, Verdict::Duplicate),
            (Funded, false, false, &ok, Verdict::Settle),
            (Sent, false, false, &ok, Verdict::Settle),
            (Unknown, true, false, &ok, Verdict::Settle),
            (Succeeded, false, false, &ok, Verdict::Duplicate),
            (Failed, false, false, &ok, Verdict::Contradiction),
            (Sent, false, false, &failed, Verdict::Return),
            (Unknown, false, false, &failed, Verdict::Return),
            (Sent, true, false, &failed, Verdict::StillOwed),
            (Failed, false, false, &failed, Verdict::Duplicate),
            (Succeeded, false, false, &failed, Verdict::Contradiction),
            (Sent, false, false, &closed, Verdict::Reroute),
            (Unknown, true, false, &closed, Verdict::Reroute),
            (Reroute, false, true, &closed, Verdict::Duplicate),
            (Sent, false, true, &failed, Verdict::Duplicate),
            (Reroute, false, true, &ok, Verdict::Contradiction),
            (Sent, false, true, &ok, Verdict::Contradiction),
            (Succeeded, false, true, &ok, Verdict::Contradiction),
            (Failed, false, false, &closed, Verdict::Duplicate),
            (Sent, false, false, &differs, Verdict::Conflict),
            (Conflicted, false, false, &differs, Verdict::Duplicate),
            (Conflicted, false, false, &ok, Verdict::Contradiction),
            (Conflicted, false, false, &failed, Verdict::Contradiction),
            (Succeeded, false, false, &differs, Verdict::Contradiction),
            (Gathering, false, false, &ok, Verdict::Contradiction),
            (Cancelled, false, false, &failed, Verdict::Contradiction),
        ];
        for (status, surplus, left, word, expected) in cases {
            assert_eq!(judge(status, surplus, left, word), expected, "{status:?} {surplus} {left} {word:?}");
        }
    }

    #[test]
    fn a_stated_amount_is_compared_and_a_sum_lies_between_ours_and_what_was_paid() {
        let told = |amount_minor, currency: &str, sum| Word::Told { at: noon(), amount_minor, currency: currency.to_owned(), sum };
        let cases = [
            (told(300, "CNY", false), true),
            (told(299, "CNY", false), false),
            (told(301, "CNY", false), false),
            (told(300, "USD", false), false),
            (told(300, "CNY", true), true),
            (told(1_000, "CNY", true), true),
            (told(299, "CNY", true), false),
            (told(1_001, "CNY", true), false),
        ];
        for (word, right) in cases {
            let compared = word.compared(Money::cny(300), 1_000);
            assert_eq!(matches!(compared, Word::Succeeded { .. }), right, "{word:?}");
            assert_eq!(matches!(compared, Word::Conflicted { .. }), !right, "{word:?}");
        }
        assert_eq!(Word::Accepted.compared(Money::cny(1), 1), Word::Accepted);
    }

    proptest! {
        #[test]
        fn partial_refunds_bring_back_the_whole_fee(
            parts in prop::collection::vec(1_i64..5_000, 1..12),
            fee_bps in 0_i32..5_000,
        ) {
            let order = order(parts.iter().sum(), fee_bps, OrderStatus::Paid);
            let mut earlier = Vec::new();
            for part in parts {
                let plan = request(&order, &earlier, Money::cny(part), business_day(noon())).unwrap();
                prop_assert!((0..=part).contains(&plan.fee_back.minor));
                earlier.push(refund(&order, part, plan.fee_back.minor, RefundStatus::Funded, noon()));
            }
            let back: i64 = earlier.iter().map(|r| r.fee_back.minor).sum();
            prop_assert_eq!(back, order.amount.share_bps_half_up(fee_bps).minor);
        }

        /// R5 and S2 over a whole life: each part takes from everybody what is due, to the fen, and the last leaves nobody anything.
        #[test]
        fn parts_of_a_divided_order_take_all_that_the_merchant_and_the_receivers_have(
            parts in prop::collection::vec(1_i64..5_000, 1..10),
            fee_bps in 0_i32..5_000,
            shares in prop::collection::vec(0_i64..4_000, 1..6),
        ) {
            let order = order(parts.iter().sum(), fee_bps, OrderStatus::Paid);
            let base = order.amount.minor - order.amount.share_bps_half_up(fee_bps).minor;
            let line = |n: usize, standing_minor| Standing {
                line: SplitLineId(uuid::Uuid::from_u128(n.try_into().unwrap())), parent: None, standing_minor,
            };
            // what receivers have is their part of the base, in basis points of at most twenty thousand; the merchant has the rest
            let of_base = |bps: i64| base * bps / 20_000;
            let mut lines: Vec<Standing> = shares.iter().enumerate().map(|(n, bps)| line(n + 1, of_base(*bps))).collect();
            let given: i64 = lines.iter().map(|l| l.standing_minor).sum();
            lines.push(line(0, base - given));
            let mut earlier = Vec::new();
            for part in parts {
                let plan = request(&order, &earlier, Money::cny(part), business_day(noon())).unwrap();
                let amount = part - plan.fee_back.minor;
                let backs = plan_return(amount, &lines).expect("all of it is there");
                let of = |l: &Standing| backs.iter().find(|b| b.line == l.line).map_or(0, |b| b.amount_minor);
                prop_assert_eq!(lines.iter().map(of).sum::<i64>() + plan.fee_back.minor, part, "the payer gets the part, of everybody together");
                prop_assert!(lines.iter().all(|l| (0..=l.standing_minor).contains(&of(l))));
                lines = lines.iter().map(|l| Standing { standing_minor: l.standing_minor - of(l), ..*l }).collect();
                earlier.push(refund(&order, part, plan.fee_back.minor, RefundStatus::Succeeded, noon()));
            }
            prop_assert!(lines.iter().all(|l| l.standing_minor == 0), "{:?}", lines);
        }

        #[test]
        fn after_a_failed_refund_the_rest_still_brings_back_the_whole_fee(
            first in 100_i64..5_000, second in 100_i64..5_000, fee_bps in 0_i32..1_000,
        ) {
            let order = order(first + second, fee_bps, OrderStatus::Paid);
            let day = business_day(noon());
            let mut earlier = Vec::new();
            for part in [first, second] {
                let plan = request(&order, &earlier, Money::cny(part), day).unwrap();
                earlier.push(refund(&order, part, plan.fee_back.minor, RefundStatus::Funded, noon()));
            }
            earlier[0].status = RefundStatus::Failed;
            let again = request(&order, &earlier, Money::cny(first), day).unwrap();
            prop_assert_eq!(again.fee_back.minor + earlier[1].fee_back.minor, order.amount.share_bps_half_up(fee_bps).minor);
        }
    }
}
