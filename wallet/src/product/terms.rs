//! What of a product is frozen on an order: a later change of rate, product or contract never touches an order that was made.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ability::{Bearer, FeeOn, Hold, METHODS, Product, STORE_PAYMENT, Settle, Until};
use crate::base::id::MerchantId;
use crate::base::money::Money;
use crate::channel::acquirer::Method;
use crate::split::rule::Share;

/// The product of an order, its version and its terms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frozen {
    pub code: String,
    /// 0: made before there were products.
    pub version: i32,
    pub terms: Terms,
}

impl Default for Frozen {
    fn default() -> Self {
        Self { code: STORE_PAYMENT.to_owned(), version: 0, terms: Terms::default() }
    }
}

/// The terms of one order. What stands for nothing is not written, so that a plain payment's are some forty bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// The product's name at that time.
    pub name: String,
    /// The whole fee. None: the order's rate of its amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_minor: Option<i64>,
    #[serde(default, skip_serializing_if = "FeeOn::is_payment")]
    pub fee_on: FeeOn,
    /// Ways to pay. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    #[serde(default, skip_serializing_if = "Settle::is_next_day")]
    pub settle: Settle,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<Share>,
    /// Who fills the roles of the split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parties: BTreeMap<String, MerchantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketing: Option<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            name: "门店收款".to_owned(),
            fee_minor: None,
            fee_on: FeeOn::Payment,
            methods: None,
            settle: Settle::T1,
            hold: None,
            split: Vec::new(),
            parties: BTreeMap::new(),
            marketing: None,
        }
    }
}

/// What a product makes of a price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// What the customer is asked to pay.
    pub amount: Money,
    pub fee_bps: i32,
    pub terms: Terms,
}

/// Freezes a product for a price, for a merchant whose contract says `contract_bps`.
pub fn freeze(product: &Product, price: Money, contract_bps: i32, parties: BTreeMap<String, MerchantId>) -> Offer {
    let fee = product.fee.of(price, contract_bps);
    let amount = match product.fee.bearer {
        Bearer::Merchant => price,
        Bearer::Payer => Money { minor: price.minor + fee.minor, ..price },
    };
    let all = product.collect.methods.len() == METHODS.len();
    let terms = Terms {
        name: product.name.clone(),
        fee_minor: Some(fee.minor),
        fee_on: product.fee.on,
        methods: (!all).then(|| product.collect.methods.clone()),
        settle: product.settle,
        hold: product.hold.clone(),
        split: product.split.clone(),
        parties,
        marketing: product.marketing.clone(),
    };
    Offer { amount, fee_bps: product.fee.bps(contract_bps), terms }
}

impl Terms {
    /// Whether it may be paid so.
    pub fn take(&self, method: Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    /// The fee's part that belongs to `part` of an order's amount: all parts of it come to the fee, to the fen.
    ///
    /// By the rate where the fee is what the rate gives; in proportion where a bound or the payer made it another.
    pub fn fee_of(&self, part: Money, amount: Money, fee_bps: i32) -> Money {
        let by_rate = part.share_bps_half_up(fee_bps);
        match self.fee_minor {
            Some(minor) if minor != amount.share_bps_half_up(fee_bps).minor => in_proportion(part, minor, amount.minor),
            _ => by_rate,
        }
    }

    /// When the first stage by date is due after `after`, of an order that was paid then.
    pub fn next_due(&self, paid_at: DateTime<Utc>, after: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let steps = self.hold.as_ref()?.steps();
        let due = steps.iter().filter(|step| step.until == Until::Date).map(|step| due_at(paid_at, step.days));
        due.filter(|at| after.is_none_or(|after| *at > after)).min()
    }
}

/// When what is released after so many days is due.
pub fn due_at(paid_at: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    paid_at + TimeDelta::days(i64::from(days))
}

/// `part` times `minor` over `whole`, half a fen up.
pub fn in_proportion(part: Money, minor: i64, whole: i64) -> Money {
    let (product, whole) = (i128::from(part.minor) * i128::from(minor), i128::from(whole.max(1)));
    let rounded = (2 * product + whole) / (2 * whole);
    // part is within whole, so the quotient is within minor
    Money { minor: i64::try_from(rounded).unwrap_or(minor), ..part }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::ability::{Collect, Fee, HoldUntil, Rate, Stage};

    fn product(fee: Fee) -> Product {
        Product {
            code: "X".to_owned(),
            name: "某产品".to_owned(),
            settle: Settle::T1,
            marketing: None,
            subsidy: None,
            collect: Collect { methods: METHODS.to_vec(), amount_minor_min: 1, amount_minor_max: 1_000_000, pay_within_min: 30 },
            fee,
            hold: None,
            split: Vec::new(),
        }
    }

    fn fee(rate: Rate, minor_min: i64, bearer: Bearer) -> Fee {
        Fee { rate, minor_min, minor_max: None, bearer, on: FeeOn::Payment }
    }

    #[test]
    fn the_payer_bears_the_fee_on_top_of_the_price() {
        let offer = freeze(&product(fee(Rate::Bps(60), 0, Bearer::Payer)), Money::cny(10_000), 38, BTreeMap::new());
        assert_eq!((offer.amount.minor, offer.terms.fee_minor, offer.fee_bps), (10_060, Some(60), 60));
        let offer = freeze(&product(fee(Rate::Contract, 0, Bearer::Merchant)), Money::cny(10_000), 38, BTreeMap::new());
        assert_eq!((offer.amount.minor, offer.terms.fee_minor, offer.fee_bps), (10_000, Some(38), 38));
    }

    #[test]
    fn a_plain_payment_freezes_next_to_nothing() {
        let offer = freeze(&product(fee(Rate::Contract, 0, Bearer::Merchant)), Money::cny(1_250), 38, BTreeMap::new());
        assert_eq!(serde_json::to_string(&offer.terms).unwrap(), r#"{"name":"某产品","fee_minor":5}"#);
        assert_eq!(serde_json::from_str::<Terms>(r#"{"name":"某产品","fee_minor":5}"#).unwrap(), offer.terms);
    }

    #[test]
    fn the_next_date_is_the_first_after_now() {
        let stage = |name: &str, days| Stage { name: name.to_owned(), share_bps: 5_000, until: Until::Date, days: Some(days) };
        let hold = Hold { until: HoldUntil::Stages, days: None, stages: vec![stage("b", 60), stage("a", 30)] };
        let terms = Terms { hold: Some(hold), ..Terms::default() };
        let paid: DateTime<Utc> = "2026-11-20T04:00:00Z".parse().unwrap();
        let day = |n| paid + TimeDelta::days(n);
        assert_eq!(terms.next_due(paid, None), Some(day(30)));
        assert_eq!(terms.next_due(paid, Some(day(30))), Some(day(60)));
        assert_eq!(terms.next_due(paid, Some(day(60))), None);
        assert_eq!(Terms::default().next_due(paid, None), None);
    }

    proptest! {
        #[test]
        fn the_fees_parts_come_to_the_fee(
            parts in prop::collection::vec(1_i64..50_000, 1..8), bps in 0_i32..3_000, min in 0_i64..2, by_payer: bool,
        ) {
            let price = Money::cny(parts.iter().sum());
            let bearer = if by_payer { Bearer::Payer } else { Bearer::Merchant };
            let offer = freeze(&product(fee(Rate::Bps(bps), min * 77, bearer)), price, 38, BTreeMap::new());
            let mut before = 0;
            let mut sum = 0;
            for part in &parts {
                sum += part;
                let now = offer.terms.fee_of(Money::cny(sum), offer.amount, offer.fee_bps).minor;
                prop_assert!(now >= before);
                before = now;
            }
            let all = offer.terms.fee_of(offer.amount, offer.amount, offer.fee_bps).minor;
            prop_assert_eq!(Some(all), offer.terms.fee_minor);
        }
    }
}
