//! The table of candidates: which merchant numbers at which channels may take which payments, at what cost. Data, checked once when loaded.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::calendar::{Hours, Maintenance};
use super::name::{CandidateName, ChannelName, CustodyAccount, PayeeEntity, ProductCode};
use crate::base::money::{AMOUNT_MINOR_MAX, Currency};
use crate::channel::acquirer::{Method, Wallet};

/// Most candidates of a table.
pub const CANDIDATES_MAX: usize = 64;

/// Most requests a second that a candidate may be given.
pub const PER_SECOND_MAX: u32 = 100_000;

/// Most daily hours, and most announced maintenance windows, of one candidate.
const WINDOWS_MAX: usize = 64;

/// Where the money goes: fixed by the order, and never changed by routing (C8).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payee {
    pub entity: PayeeEntity,
    pub custody_account: CustodyAccount,
}

/// How a channel rounds its fee to whole minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rounding {
    /// Half a unit up (四舍五入).
    HalfUp,
    Up,
    Down,
}

/// What a payment costs us (渠道成本): a share of the amount, rounded, and a fixed part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Basis points of the amount: 0 to 10,000.
    pub bps: u16,
    pub fixed_minor: i64,
    pub rounding: Rounding,
}

impl Cost {
    /// The fee for an amount of 1 to [`AMOUNT_MINOR_MAX`], in minor units.
    pub fn fee_minor(self, amount_minor: i64) -> i64 {
        let product = i128::from(amount_minor.max(0)) * i128::from(self.bps);
        let share = match self.rounding {
            Rounding::HalfUp => (product + 5_000) / 10_000,
            Rounding::Up => (product + 9_999) / 10_000,
            Rounding::Down => product / 10_000,
        };
        // a share of at most the whole amount, and a fixed part below the largest amount
        i64::try_from(share + i128::from(self.fixed_minor)).unwrap_or(i64::MAX)
    }
}

/// A merchant number of ours at a channel, with what it may take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub name: CandidateName,
    pub channel: ChannelName,
    pub methods: Vec<Method>,
    /// Whose apps can pay what it shows.
    pub wallets: Vec<Wallet>,
    /// None named: whatever is sold.
    #[serde(default)]
    pub products: Vec<ProductCode>,
    pub currency: Currency,
    pub payee: Payee,
    /// Smallest and largest single amount, both allowed (单笔限额).
    pub amount_minor_min: i64,
    pub amount_minor_max: i64,
    /// Most money in a day of Asia/Shanghai (单日限额); none where the channel sets none.
    #[serde(default)]
    pub daily_minor_max: Option<i64>,
    /// Most requests in any second (QPS).
    pub per_second_max: u32,
    /// Daily hours; none means round the clock.
    #[serde(default)]
    pub hours: Vec<Hours>,
    #[serde(default)]
    pub maintenance: Vec<Maintenance>,
    pub cost: Cost,
}

/// A table as it is written down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Higher with each change; stands in every decision.
    pub revision: u32,
    /// Whether a channel that is open or on trial is tried all the same where nothing else is left: for who has only one.
    #[serde(default)]
    pub last_resort: bool,
    pub candidates: Vec<Candidate>,
}

/// What is wrong with a table, a sentence each.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mistake {
    #[error("the table has no candidate")]
    Empty,
    #[error("the table has {0} candidates, and at most 64 are allowed")]
    TooMany(usize),
    #[error("two candidates are named {0}")]
    NameTwice(CandidateName),
    #[error("{0} has a channel name that is not made of upper-case letters, digits and underscores")]
    ChannelName(CandidateName),
    #[error("{0} takes no payment method")]
    NoMethod(CandidateName),
    #[error("{0} lists a payment method twice")]
    MethodTwice(CandidateName),
    #[error("{0} can be paid from no wallet")]
    NoWallet(CandidateName),
    #[error("{0} lists a wallet twice")]
    WalletTwice(CandidateName),
    #[error("{0} lists the product {1} twice")]
    ProductTwice(CandidateName, ProductCode),
    #[error("{0} has a smallest amount of {1}, which is not greater than zero")]
    SmallestAmount(CandidateName, i64),
    #[error("{0} has a largest amount of {1}, which is below its smallest")]
    AmountsCrossed(CandidateName, i64),
    #[error("{0} has a largest amount of {1}, which is more than any payment may have")]
    LargestAmount(CandidateName, i64),
    #[error("{0} has a daily limit of {1}, which is below its smallest amount, so that it would never take a payment")]
    DailyLimit(CandidateName, i64),
    #[error("{0} has a limit of {1} requests a second, which is not between 1 and 100000")]
    PerSecond(CandidateName, u32),
    #[error("{0} has hours from {time} to {time}, which hold nothing", time = .1.from)]
    EmptyHours(CandidateName, Hours),
    #[error("{0} has maintenance from {from} until {until}, which ends before it begins", from = .1.from, until = .1.until)]
    EmptyMaintenance(CandidateName, Maintenance),
    #[error("{0} has more than 64 daily hours or maintenance windows")]
    TooManyWindows(CandidateName),
    #[error("{0} costs {1} basis points, which is more than the whole amount")]
    Share(CandidateName, u16),
    #[error("{0} has a fixed cost of {1}, which is below zero or more than any payment")]
    FixedCost(CandidateName, i64),
}

/// Every mistake of a table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Mistakes(pub Vec<Mistake>);

/// A table without mistakes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routes(Table);

impl Routes {
    /// Takes a table, or tells every mistake of it.
    pub fn try_new(table: Table) -> Result<Self, Mistakes> {
        let mistakes = mistakes(&table);
        if mistakes.is_empty() { Ok(Self(table)) } else { Err(Mistakes(mistakes)) }
    }

    pub fn revision(&self) -> u32 {
        self.0.revision
    }

    pub fn last_resort(&self) -> bool {
        self.0.last_resort
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.0.candidates
    }
}

fn mistakes(table: &Table) -> Vec<Mistake> {
    let mut found = Vec::new();
    match table.candidates.len() {
        0 => found.push(Mistake::Empty),
        1..=CANDIDATES_MAX => {}
        more => found.push(Mistake::TooMany(more)),
    }
    let mut names = HashSet::new();
    for candidate in &table.candidates {
        if !names.insert(&candidate.name) {
            found.push(Mistake::NameTwice(candidate.name.clone()));
        }
        mistakes_of(candidate, &mut found);
    }
    found
}

fn mistakes_of(candidate: &Candidate, found: &mut Vec<Mistake>) {
    let name = || candidate.name.clone();
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let mut check = |holds: bool, mistake: &dyn Fn() -> Mistake| {
        if !holds {
            found.push(mistake());
        }
    };
    check(candidate.channel.as_str().bytes().all(plain), &|| Mistake::ChannelName(name()));
    check(!candidate.methods.is_empty(), &|| Mistake::NoMethod(name()));
    check(twice(&candidate.methods).is_none(), &|| Mistake::MethodTwice(name()));
    check(!candidate.wallets.is_empty(), &|| Mistake::NoWallet(name()));
    check(twice(&candidate.wallets).is_none(), &|| Mistake::WalletTwice(name()));
    if let Some(product) = twice(&candidate.products) {
        check(false, &|| Mistake::ProductTwice(name(), product.clone()));
    }
    let (min, max) = (candidate.amount_minor_min, candidate.amount_minor_max);
    check(min > 0, &|| Mistake::SmallestAmount(name(), min));
    check(min <= max, &|| Mistake::AmountsCrossed(name(), max));
    check(max <= AMOUNT_MINOR_MAX, &|| Mistake::LargestAmount(name(), max));
    if let Some(daily) = candidate.daily_minor_max {
        check(daily >= min, &|| Mistake::DailyLimit(name(), daily));
    }
    let per_second = candidate.per_second_max;
    check((1..=PER_SECOND_MAX).contains(&per_second), &|| Mistake::PerSecond(name(), per_second));
    for &hours in &candidate.hours {
        check(hours.from != hours.to, &|| Mistake::EmptyHours(name(), hours));
    }
    for &window in &candidate.maintenance {
        check(window.from < window.until, &|| Mistake::EmptyMaintenance(name(), window));
    }
    let few = candidate.hours.len() <= WINDOWS_MAX && candidate.maintenance.len() <= WINDOWS_MAX;
    check(few, &|| Mistake::TooManyWindows(name()));
    let cost = candidate.cost;
    check(cost.bps <= 10_000, &|| Mistake::Share(name(), cost.bps));
    check((0..=AMOUNT_MINOR_MAX).contains(&cost.fixed_minor), &|| Mistake::FixedCost(name(), cost.fixed_minor));
}

/// The first member that stands in a list a second time.
fn twice<T: PartialEq>(list: &[T]) -> Option<&T> {
    list.iter().enumerate().find(|(i, member)| list[..*i].contains(member)).map(|(_, member)| member)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of one candidate, as it would stand in a file, with changes.
    fn table(change: impl Fn(&mut serde_json::Value)) -> Result<Table, serde_json::Error> {
        let mut candidate = serde_json::json!({
            "name": "WX_A", "channel": "WECHAT", "methods": ["NATIVE", "IN_APP"], "wallets": ["WECHAT"], "products": ["PROPERTY_FEE"], "currency": "CNY",
            "payee": {"entity": "ENTITY_1", "custody_account": "CUSTODY_1"},
            "amount_minor_min": 1, "amount_minor_max": 5_000_000, "daily_minor_max": 100_000_000, "per_second_max": 600,
            "hours": [{"from": "06:00", "to": "00:00"}],
            "maintenance": [{"from": "2026-12-01T01:00:00", "until": "2026-12-01T03:00:00"}],
            "cost": {"bps": 38, "fixed_minor": 0, "rounding": "HALF_UP"},
        });
        change(&mut candidate);
        serde_json::from_value(serde_json::json!({"revision": 3, "candidates": [candidate]}))
    }

    #[test]
    fn a_table_is_read_and_written_again() {
        let read = table(|_| {}).unwrap();
        let again: Table = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(read, again);
        let routes = Routes::try_new(read).unwrap();
        assert_eq!((routes.revision(), routes.candidates().len()), (3, 1));
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        assert!(table(|c| c["prioritty"] = 1.into()).is_err());
        assert!(table(|c| c["payee"]["name"] = "x".into()).is_err());
        assert!(table(|c| c["cost"]["cap"] = 1.into()).is_err());
        assert!(table(|c| c["hours"][0]["day"] = 1.into()).is_err());
        assert!(table(|c| c["maintenance"][0]["why"] = 1.into()).is_err());
        assert!(table(|c| c["methods"][0] = "CASH".into()).is_err());
        assert!(table(|c| c["channel"] = "".into()).is_err());
        assert!(table(|c| c["cost"]["bps"] = (-1).into()).is_err());
    }

    #[test]
    fn every_mistake_has_its_sentence() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(Change, &str); 18] = [
            (|c| c["channel"] = "wechat".into(), "WX_A has a channel name that is not made of upper-case letters, digits and underscores"),
            (|c| c["methods"] = serde_json::json!([]), "WX_A takes no payment method"),
            (|c| c["methods"] = serde_json::json!(["WAP", "WAP"]), "WX_A lists a payment method twice"),
            (|c| c["wallets"] = serde_json::json!([]), "WX_A can be paid from no wallet"),
            (|c| c["wallets"] = serde_json::json!(["ECNY", "ECNY"]), "WX_A lists a wallet twice"),
            (|c| c["products"] = serde_json::json!(["A", "B", "A"]), "WX_A lists the product A twice"),
            (|c| c["amount_minor_min"] = 0.into(), "WX_A has a smallest amount of 0, which is not greater than zero"),
            (|c| c["amount_minor_max"] = 0.into(), "WX_A has a largest amount of 0, which is below its smallest"),
            (
                |c| c["amount_minor_max"] = 1_000_000_000_001_i64.into(),
                "WX_A has a largest amount of 1000000000001, which is more than any payment may have",
            ),
            (
                |c| c["daily_minor_max"] = 0.into(),
                "WX_A has a daily limit of 0, which is below its smallest amount, so that it would never take a payment",
            ),
            (|c| c["per_second_max"] = 0.into(), "WX_A has a limit of 0 requests a second, which is not between 1 and 100000"),
            (|c| c["per_second_max"] = 100_001.into(), "WX_A has a limit of 100001 requests a second, which is not between 1 and 100000"),
            (|c| c["hours"][0]["to"] = "06:00".into(), "WX_A has hours from 06:00:00 to 06:00:00, which hold nothing"),
            (
                |c| c["maintenance"][0]["until"] = "2026-12-01T01:00:00".into(),
                "WX_A has maintenance from 2026-12-01 01:00:00 until 2026-12-01 01:00:00, which ends before it begins",
            ),
            (
                |c| c["hours"] = vec![serde_json::json!({"from": "06:00", "to": "07:00"}); 65].into(),
                "WX_A has more than 64 daily hours or maintenance windows",
            ),
            (|c| c["cost"]["bps"] = 10_001.into(), "WX_A costs 10001 basis points, which is more than the whole amount"),
            (|c| c["cost"]["fixed_minor"] = (-1).into(), "WX_A has a fixed cost of -1, which is below zero or more than any payment"),
            (
                |c| c["cost"]["fixed_minor"] = 1_000_000_000_001_i64.into(),
                "WX_A has a fixed cost of 1000000000001, which is below zero or more than any payment",
            ),
        ];
        for (change, sentence) in cases {
            assert_eq!(Routes::try_new(table(change).unwrap()).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn a_table_tells_all_its_mistakes_at_once() {
        let mut two = table(|c| c["wallets"] = serde_json::json!([])).unwrap();
        two.candidates.push(two.candidates[0].clone());
        let told = Routes::try_new(two.clone()).unwrap_err().to_string();
        assert_eq!(told, "WX_A can be paid from no wallet; two candidates are named WX_A; WX_A can be paid from no wallet");
        two.candidates.clear();
        assert_eq!(Routes::try_new(two).unwrap_err(), Mistakes(vec![Mistake::Empty]));
        let mut many = table(|_| {}).unwrap();
        many.candidates =
            (0..65).map(|n| Candidate { name: CandidateName::try_new(&format!("C{n}")).unwrap(), ..many.candidates[0].clone() }).collect();
        assert_eq!(Routes::try_new(many).unwrap_err(), Mistakes(vec![Mistake::TooMany(65)]));
    }

    #[test]
    fn a_fee_is_rounded_as_the_contract_says() {
        use Rounding::{Down, HalfUp, Up};
        let cases = [
            (38, 0, HalfUp, 131, 0),
            (38, 0, HalfUp, 132, 1),
            (38, 0, Up, 1, 1),
            (38, 0, Up, 10_000, 38),
            (38, 0, Down, 263, 0),
            (38, 0, Down, 264, 1),
            (0, 20, Up, 10_000, 20),
            (60, 10, HalfUp, 1_250, 18),
            (10_000, AMOUNT_MINOR_MAX, Up, AMOUNT_MINOR_MAX, 2 * AMOUNT_MINOR_MAX),
        ];
        for (bps, fixed_minor, rounding, amount, fee) in cases {
            assert_eq!(Cost { bps, fixed_minor, rounding }.fee_minor(amount), fee, "{bps} bps + {fixed_minor} of {amount}, {rounding:?}");
        }
    }
}
