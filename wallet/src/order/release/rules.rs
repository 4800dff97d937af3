//! What of a held order may be released, to whom and when. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::{Order, OrderError, OrderStatus};
use crate::base::money::Money;
use crate::ledger::AccountKind;
use crate::product::ability::{FeeOn, Settle, Step, Until};
use crate::product::terms::due_at;

/// Who confirms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    Merchant,
    Payer,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merchant => "MERCHANT",
            Self::Payer => "PAYER",
        }
    }
}

/// How far the release of an order has come, as read under its lock. A stage without a name is the whole hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// What was released of each stage, in minor units.
    pub released: Vec<(String, i64)>,
    pub confirmed: Vec<(String, Side)>,
}

impl Progress {
    pub fn released_minor(&self, stage: &str) -> i64 {
        self.released.iter().filter(|(of, _)| of == stage).map(|(_, minor)| minor).sum()
    }

    pub fn has_confirmed(&self, stage: &str, side: Side) -> bool {
        self.confirmed.iter().any(|(of, by)| of == stage && *by == side)
    }
}

/// What a request comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is noted that this side agrees; the other has not yet.
    Confirm {
        stage: String,
    },
    Pay(Payout),
}

/// Money that leaves the escrow account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payout {
    pub stage: String,
    pub amount: Money,
    /// Its part of the fee, where that is taken now.
    pub fee: Money,
    /// This side's confirmation is what was missing.
    pub confirmed_by: Option<Side>,
}

/// Decides a request of one side. `stage` and `amount` as the caller gave them.
///
/// A refund of held money takes from what would be released last: a stage gives its share, or what is left of the whole.
pub fn request(order: &Order, progress: &Progress, side: Side, stage: Option<&str>, amount: Option<Money>) -> Result<Decision, OrderError> {
    let hold = order.product.terms.hold.as_ref().ok_or(OrderError::NotHeld)?;
    if order.status != OrderStatus::Paid {
        return Err(OrderError::NotPaid);
    }
    let steps = hold.steps();
    let step = match (stage, steps.first()) {
        (None, Some(first)) if first.name.is_empty() => first,
        (None, _) => return Err(OrderError::StageMissing),
        (Some(name), _) => steps.iter().find(|step| !step.name.is_empty() && step.name == name).ok_or(OrderError::StageUnknown)?,
    };
    match (step.until, side) {
        (Until::Date, _) => {
            let paid_at = order.paid_at.unwrap_or(order.created_at);
            return Err(OrderError::ReleasedByDate { at: due_at(paid_at, step.days) });
        }
        (Until::Merchant, Side::Payer) => return Err(OrderError::Forbidden(crate::base::actor::Forbidden)),
        (Until::Merchant, Side::Merchant) | (Until::Both, _) => {}
    }
    let left = left(order, progress, step);
    if left.minor <= 0 {
        return Err(OrderError::NothingLeft);
    }
    if step.until == Until::Both {
        if amount.is_some() {
            return Err(OrderError::AmountNotAllowed);
        }
        let other = if side == Side::Merchant { Side::Payer } else { Side::Merchant };
        match (progress.has_confirmed(step.name, side), progress.has_confirmed(step.name, other)) {
            (true, false) => return Err(OrderError::AlreadyConfirmed),
            (false, false) => return Ok(Decision::Confirm { stage: step.name.to_owned() }),
            // both: what a failed refund brought back after a release may follow it
            (_, true) => {}
        }
    }
    let amount = match amount {
        Some(asked) if asked.minor > left.minor => return Err(OrderError::AmountExceedsHeld { left }),
        Some(asked) if asked.minor <= 0 => return Err(OrderError::AmountInvalid),
        Some(asked) => asked,
        None => left,
    };
    let confirmed_by = (step.until == Until::Both && !progress.has_confirmed(step.name, side)).then_some(side);
    Ok(Decision::Pay(Payout { confirmed_by, ..payout(order, step, amount) }))
}

/// The stages whose day has come, each with what is left of it.
pub fn due(order: &Order, progress: &Progress, now: DateTime<Utc>) -> Vec<Payout> {
    let (Some(hold), Some(paid_at), OrderStatus::Paid) = (&order.product.terms.hold, order.paid_at, order.status) else {
        return Vec::new();
    };
    let mut order = order.clone();
    let mut payouts = Vec::new();
    for step in hold.steps().iter().filter(|step| step.until == Until::Date && due_at(paid_at, step.days) <= now) {
        let amount = left(&order, progress, step);
        if amount.minor > 0 {
            payouts.push(payout(&order, step, amount));
            order.escrow.released_minor += amount.minor;
        }
    }
    payouts
}

/// What may still be released of a stage.
pub fn left(order: &Order, progress: &Progress, step: &Step) -> Money {
    let funded = Money { minor: order.escrow.funded_minor, ..order.amount };
    let of_stage = step.amount(funded).minor - progress.released_minor(step.name);
    Money { minor: of_stage.min(order.held().minor).max(0), ..order.amount }
}

fn payout(order: &Order, step: &Step, amount: Money) -> Payout {
    let before = Money { minor: order.escrow.released_minor, ..amount };
    let after = Money { minor: before.minor + amount.minor, ..amount };
    let fee = match order.product.terms.fee_on {
        FeeOn::Payment => 0,
        FeeOn::Release => order.fee_of(after).minor - order.fee_of(before).minor,
    };
    Payout { stage: step.name.to_owned(), amount, fee: Money { minor: fee, ..amount }, confirmed_by: None }
}

/// The merchant's account that a release goes to.
pub fn goes_to(order: &Order) -> AccountKind {
    match order.product.terms.settle {
        Settle::T1 => AccountKind::MerchantPending,
        Settle::T0 | Settle::OnRelease => AccountKind::MerchantAvailable,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::super::super::Escrow;
    use super::*;
    use crate::base::id::{MerchantId, OrderId, StoreId};
    use crate::product::ability::{Hold, HoldUntil, Stage};
    use crate::product::{Frozen, Terms};

    fn noon() -> DateTime<Utc> {
        "2026-11-20T04:00:00Z".parse().unwrap()
    }

    fn stage(name: &str, share_bps: u32, until: Until, days: Option<u32>) -> Stage {
        Stage { name: name.to_owned(), share_bps, until, days }
    }

    fn staged() -> Hold {
        let stages = vec![
            stage("开工", 3_000, Until::Both, None),
            stage("验收", 5_000, Until::Merchant, None),
            stage("质保", 2_000, Until::Date, Some(30)),
        ];
        Hold { until: HoldUntil::Stages, days: None, stages }
    }

    fn whole(until: HoldUntil) -> Hold {
        Hold { until, days: (until == HoldUntil::Date).then_some(7), stages: Vec::new() }
    }

    fn order(hold: Option<Hold>, escrow: [i64; 3], fee_on: FeeOn) -> Order {
        let amount = Money::cny(1_000);
        let [funded_minor, released_minor, returned_minor] = escrow;
        Order {
            id: OrderId::new(),
            merchant: MerchantId::new(),
            store: StoreId::new(),
            subject: "装修".to_owned(),
            amount,
            fee_bps: 100,
            status: OrderStatus::Paid,
            stripe: 0,
            refunded: Money::cny(returned_minor),
            created_at: noon(),
            expires_at: noon() + TimeDelta::minutes(30),
            paid_at: Some(noon()),
            closed_at: None,
            product: Frozen { terms: Terms { hold, fee_on, fee_minor: Some(10), ..Terms::default() }, ..Frozen::default() },
            escrow: Escrow { funded_minor, released_minor, returned_minor, release_at: None },
            subsidy: None,
        }
    }

    fn told(decision: &Result<Decision, OrderError>) -> String {
        match decision {
            Ok(Decision::Confirm { stage }) => format!("confirm {stage}"),
            Ok(Decision::Pay(p)) => format!("pay {} of {} with {}", p.amount.minor, p.stage, p.fee.minor),
            Err(OrderError::AmountExceedsHeld { left }) => format!("at most {}", left.minor),
            Err(error) => format!("{error:?}").split(' ').next().unwrap().to_owned(),
        }
    }

    #[test]
    fn a_request_is_paid_noted_or_refused() {
        use Side::{Merchant, Payer};
        let by_merchant = || order(Some(whole(HoldUntil::Merchant)), [990, 0, 0], FeeOn::Payment);
        let by_both = || order(Some(whole(HoldUntil::Both)), [990, 0, 0], FeeOn::Payment);
        let by_stage = || order(Some(staged()), [1_000, 0, 0], FeeOn::Release);
        let unpaid = || Order { status: OrderStatus::Paying, paid_at: None, ..by_merchant() };
        let none: &[(&str, Side)] = &[];
        /// An order, who has confirmed what, who asks for which stage and amount, and the answer.
        type Case<'c> = (Order, &'c [(&'c str, Side)], Side, Option<&'c str>, Option<i64>, &'c str);
        let cases: [Case; 24] = [
            (order(None, [0, 0, 0], FeeOn::Payment), none, Merchant, None, None, "NotHeld"),
            (unpaid(), none, Merchant, None, None, "NotPaid"),
            (by_merchant(), none, Merchant, None, None, "pay 990 of  with 0"),
            (by_merchant(), none, Merchant, None, Some(100), "pay 100 of  with 0"),
            (by_merchant(), none, Merchant, None, Some(991), "at most 990"),
            (by_merchant(), none, Merchant, None, Some(0), "AmountInvalid"),
            (by_merchant(), none, Merchant, Some("开工"), None, "StageUnknown"),
            (by_merchant(), none, Payer, None, None, "Forbidden(Forbidden)"),
            (order(Some(whole(HoldUntil::Merchant)), [990, 900, 90], FeeOn::Payment), none, Merchant, None, None, "NothingLeft"),
            (order(Some(whole(HoldUntil::Merchant)), [990, 900, 40], FeeOn::Payment), none, Merchant, None, None, "pay 50 of  with 0"),
            (by_both(), none, Merchant, None, None, "confirm "),
            (by_both(), none, Payer, None, None, "confirm "),
            (by_both(), &[("", Merchant)], Merchant, None, None, "AlreadyConfirmed"),
            (by_both(), &[("", Merchant)], Payer, None, None, "pay 990 of  with 0"),
            (by_both(), &[("", Merchant), ("", Payer)], Payer, None, None, "pay 990 of  with 0"),
            (by_both(), none, Merchant, None, Some(1), "AmountNotAllowed"),
            (order(Some(whole(HoldUntil::Date)), [990, 0, 0], FeeOn::Payment), none, Merchant, None, None, "ReleasedByDate"),
            (by_stage(), none, Merchant, None, None, "StageMissing"),
            (by_stage(), none, Merchant, Some("完工"), None, "StageUnknown"),
            (by_stage(), none, Merchant, Some("开工"), None, "confirm 开工"),
            (by_stage(), &[("验收", Payer)], Merchant, Some("开工"), None, "confirm 开工"),
            (by_stage(), &[("开工", Payer)], Merchant, Some("开工"), None, "pay 300 of 开工 with 3"),
            (by_stage(), none, Merchant, Some("验收"), Some(501), "at most 500"),
            (by_stage(), none, Merchant, Some("质保"), None, "ReleasedByDate"),
        ];
        for (n, (order, confirmed, side, stage, amount, expected)) in cases.into_iter().enumerate() {
            let confirmed = confirmed.iter().map(|(stage, side)| ((*stage).to_owned(), *side)).collect();
            let progress = Progress { released: Vec::new(), confirmed };
            assert_eq!(told(&request(&order, &progress, side, stage, amount.map(Money::cny))), expected, "case {n}");
        }
    }

    #[test]
    fn a_stage_gives_no_more_than_its_share_and_no_more_than_is_held() {
        let progress = Progress { released: vec![("验收".to_owned(), 120)], confirmed: Vec::new() };
        let ask = |escrow, amount: Option<i64>| {
            told(&request(&order(Some(staged()), escrow, FeeOn::Payment), &progress, Side::Merchant, Some("验收"), amount.map(Money::cny)))
        };
        assert_eq!(ask([1_000, 120, 0], None), "pay 380 of 验收 with 0");
        assert_eq!(ask([1_000, 120, 0], Some(381)), "at most 380");
        // most of it went back to the payer
        assert_eq!(ask([1_000, 120, 780], None), "pay 100 of 验收 with 0");
        assert_eq!(ask([1_000, 120, 880], None), "NothingLeft");
    }

    #[test]
    fn a_stage_by_date_is_due_on_its_day_and_once() {
        let held = order(Some(staged()), [1_000, 800, 0], FeeOn::Release);
        let day = noon() + TimeDelta::days(30);
        assert_eq!(due(&held, &Progress::default(), day - TimeDelta::seconds(1)), []);
        let payouts = due(&held, &Progress::default(), day);
        assert_eq!(payouts.iter().map(|p| (p.stage.as_str(), p.amount.minor, p.fee.minor)).collect::<Vec<_>>(), [("质保", 200, 2)]);
        let progress = Progress { released: vec![("质保".to_owned(), 200)], confirmed: Vec::new() };
        assert_eq!(due(&order(Some(staged()), [1_000, 1_000, 0], FeeOn::Release), &progress, day), []);
    }

    proptest! {
        /// E1 and E3, and the whole fee, for any sequence of requests and refunds of held money.
        #[test]
        fn whatever_is_asked_for_nothing_is_released_that_is_not_held(
            asks in prop::collection::vec((0..5_usize, prop::option::of(1_i64..400), any::<bool>()), 1..40),
        ) {
            let mut order = order(Some(staged()), [1_000, 0, 0], FeeOn::Release);
            let mut progress = Progress::default();
            let mut fees = 0;
            for (which, amount, payer) in asks {
                let side = if payer { Side::Payer } else { Side::Merchant };
                let stages = ["开工", "验收", "质保"];
                let payouts = match which {
                    0 => due(&order, &progress, noon() + TimeDelta::days(31)),
                    1 => {
                        let back = amount.unwrap_or(1).min(order.held().minor);
                        order.escrow.returned_minor += back;
                        Vec::new()
                    }
                    _ => match request(&order, &progress, side, Some(stages[which - 2]), amount.map(Money::cny)) {
                        Ok(Decision::Pay(payout)) => vec![payout],
                        Ok(Decision::Confirm { stage }) => {
                            progress.confirmed.push((stage, side));
                            Vec::new()
                        }
                        Err(_) => Vec::new(),
                    },
                };
                for payout in payouts {
                    prop_assert!(payout.amount.minor > 0 && (0..=payout.amount.minor).contains(&payout.fee.minor));
                    order.escrow.released_minor += payout.amount.minor;
                    progress.released.push((payout.stage, payout.amount.minor));
                    fees += payout.fee.minor;
                }
                let Escrow { released_minor, returned_minor, .. } = order.escrow;
                prop_assert!(order.held().minor >= 0);
                prop_assert_eq!(released_minor + returned_minor + order.held().minor, 1_000);
                for (stage, share) in stages.iter().zip([300, 500, 200]) {
                    prop_assert!(progress.released_minor(stage) <= share, "{stage}");
                }
                prop_assert_eq!(fees, order.fee_of(Money::cny(released_minor)).minor);
            }
        }
    }
}
