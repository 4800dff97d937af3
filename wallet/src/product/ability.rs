//! What a product says of the four abilities 收付分存, as it stands in its file: collect, charge, hold, divide, settle.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::money::Money;
use crate::channel::acquirer::Method;
use crate::split::rule::Share;

/// The product of orders that name none (门店收款).
pub const STORE_PAYMENT: &str = "STORE_PAYMENT";

/// All ways to pay.
pub const METHODS: [Method; 5] = [Method::Page, Method::Wap, Method::InApp, Method::Native, Method::Barcode];

/// A payment product (支付产品), written down. What a file leaves out is not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Upper-case letters, digits and underscores, 1 to 32, beginning with a letter.
    pub code: String,
    /// For people, 1 to 32 characters.
    pub name: String,
    pub settle: Settle,
    /// The kind of an event that is told with the paid order, so that marketing can act (营销).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketing: Option<String>,
    /// The code of the programme that pays a part of its orders, while that is active and has money (营销补贴).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<String>,
    pub collect: Collect,
    pub fee: Fee,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who gets a part of it, under the merchant (分).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<Share>,
}

/// How money comes in (收).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    pub methods: Vec<Method>,
    pub amount_minor_min: i64,
    pub amount_minor_max: i64,
    /// Minutes that the customer may take.
    pub pay_within_min: u32,
}

/// What the platform takes (手续费).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    pub rate: Rate,
    /// The least it is, in minor units.
    #[serde(default)]
    pub minor_min: i64,
    /// The most it is, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor_max: Option<i64>,
    pub bearer: Bearer,
    #[serde(default)]
    pub on: FeeOn,
}

/// At which rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rate {
    /// The one of the merchant's contract.
    #[serde(rename = "CONTRACT")]
    Contract,
    /// Basis points of the amount.
    #[serde(rename = "bps")]
    Bps(i32),
}

/// Who bears the fee.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Bearer {
    /// It is taken out of what the merchant receives.
    Merchant,
    /// It is added to what the customer pays.
    Payer,
}

/// When the fee is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FeeOn {
    /// With the payment.
    #[default]
    Payment,
    /// Of each part that is released, as much as belongs to it.
    Release,
}

impl FeeOn {
    pub(super) fn is_payment(&self) -> bool {
        *self == Self::Payment
    }
}

/// When the merchant has the money (付).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Settle {
    /// At once.
    #[serde(rename = "T0")]
    T0,
    /// The day after it was paid, or released.
    #[default]
    #[serde(rename = "T1")]
    T1,
    /// At the moment of its release.
    #[serde(rename = "ON_RELEASE")]
    OnRelease,
}

impl Settle {
    pub(super) fn is_next_day(&self) -> bool {
        *self == Self::T1
    }
}

/// Money kept in an account of its order until it is released (存).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub until: HoldUntil,
    /// With [`HoldUntil::Date`]: days after the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// With [`HoldUntil::Stages`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

/// What ends a hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HoldUntil {
    /// The merchant confirms.
    Merchant,
    /// Merchant and payer confirm.
    Both,
    /// A number of days after the payment, by itself.
    Date,
    /// Each stage for itself.
    Stages,
}

/// A named part of a hold (阶段).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// 1 to 32 characters, once in a product.
    pub name: String,
    /// Of what is held, in basis points. All stages together are 10,000.
    pub share_bps: u32,
    pub until: Until,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// What releases a stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Until {
    Merchant,
    Both,
    Date,
}

/// One part of a hold, whether it has a name or is the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step<'a> {
    /// Empty: the hold has no stages.
    pub name: &'a str,
    pub until: Until,
    pub days: u32,
    /// Where it begins and ends within what was held at first, in basis points.
    from_bps: u32,
    to_bps: u32,
}

impl Product {
    /// The roles of its split, which an order binds to merchants.
    pub fn roles(&self) -> BTreeSet<&str> {
        let mut roles = BTreeSet::new();
        roles_of(&self.split, &mut roles);
        roles
    }
}

fn roles_of<'a>(shares: &'a [Share], roles: &mut BTreeSet<&'a str>) {
    for share in shares {
        roles.insert(&share.role);
        roles_of(&share.shares, roles);
    }
}

impl Hold {
    /// Its parts, in the order of the file.
    pub fn steps(&self) -> Vec<Step<'_>> {
        let whole = |until| vec![Step { name: "", until, days: self.days.unwrap_or(0), from_bps: 0, to_bps: 10_000 }];
        match self.until {
            HoldUntil::Merchant => whole(Until::Merchant),
            HoldUntil::Both => whole(Until::Both),
            HoldUntil::Date => whole(Until::Date),
            HoldUntil::Stages => {
                let ends = self.stages.iter().scan(0, |sum, stage| {
                    *sum += stage.share_bps;
                    Some(*sum)
                });
                self.stages.iter().zip(ends).map(|(stage, to_bps)| Step::of(stage, to_bps)).collect()
            }
        }
    }
}

impl<'a> Step<'a> {
    fn of(stage: &'a Stage, to_bps: u32) -> Self {
        let Stage { name, share_bps, until, days } = stage;
        Self { name, until: *until, days: days.unwrap_or(0), from_bps: to_bps - share_bps, to_bps }
    }

    /// Its part of what was held at first. The parts of all stages add up to the whole, whatever the amount.
    pub fn amount(&self, funded: Money) -> Money {
        let below = |bps: u32| i128::from(funded.minor) * i128::from(bps) / 10_000;
        let minor = i64::try_from(below(self.to_bps) - below(self.from_bps)).expect("a part is at most the whole");
        Money { minor, ..funded }
    }

    /// Its share in basis points.
    pub fn share_bps(&self) -> u32 {
        self.to_bps - self.from_bps
    }
}

impl Fee {
    /// The rate in basis points, for a merchant whose contract says `contract_bps`.
    pub fn bps(&self, contract_bps: i32) -> i32 {
        match self.rate {
            Rate::Contract => contract_bps,
            Rate::Bps(bps) => bps,
        }
    }

    /// What is taken of `price`: the rate's part, half a fen up, within its bounds, and never more than the price.
    pub fn of(&self, price: Money, contract_bps: i32) -> Money {
        let share = price.share_bps_half_up(self.bps(contract_bps)).minor;
        let bounded = share.max(self.minor_min).min(self.minor_max.unwrap_or(i64::MAX));
        Money { minor: bounded.clamp(0, price.minor), ..price }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_to_the_whole_whatever_the_amount() {
        let stage = |name: &str, share_bps| Stage { name: name.to_owned(), share_bps, until: Until::Merchant, days: None };
        let hold = Hold { until: HoldUntil::Stages, days: None, stages: vec![stage("a", 3_333), stage("b", 3_333), stage("c", 3_334)] };
        for (minor, expected) in [(100, [33, 33, 34]), (1, [0, 0, 1]), (2, [0, 1, 1]), (10_000, [3_333, 3_333, 3_334])] {
            let parts: Vec<i64> = hold.steps().iter().map(|step| step.amount(Money::cny(minor)).minor).collect();
            assert_eq!(parts, expected, "of {minor}");
        }
        let whole = Hold { until: HoldUntil::Both, days: None, stages: Vec::new() };
        assert_eq!(whole.steps()[0].amount(Money::cny(7)).minor, 7);
    }

    #[test]
    fn a_fee_keeps_its_bounds() {
        let fee = |rate, minor_min, minor_max| Fee { rate, minor_min, minor_max, bearer: Bearer::Merchant, on: FeeOn::Payment };
        let cases = [
            (fee(Rate::Contract, 0, None), 1_250, 5),
            (fee(Rate::Bps(60), 0, None), 10_000, 60),
            (fee(Rate::Bps(60), 100, None), 10_000, 100),
            (fee(Rate::Bps(60), 0, Some(50)), 10_000, 50),
            (fee(Rate::Bps(60), 100, None), 40, 40),
            (fee(Rate::Bps(0), 0, None), 10_000, 0),
        ];
        for (fee, price, expected) in cases {
            assert_eq!(fee.of(Money::cny(price), 38).minor, expected, "{fee:?} of {price}");
        }
    }
}
