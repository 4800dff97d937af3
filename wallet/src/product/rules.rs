//! What makes a product unusable, each mistake in a sentence that names the file and the field. Pure.

use std::collections::HashSet;
use std::fmt;

use super::ability::{FeeOn, Hold, HoldUntil, Product, Rate, Settle, Until};
use crate::base::money::AMOUNT_MINOR_MAX;
use crate::split::rule::{LEVELS_MAX, Part, RECEIVERS_MAX, Share};

/// Most products of a catalogue.
pub const PRODUCTS_MAX: usize = 200;

/// Most stages of a hold.
pub const STAGES_MAX: usize = 36;

/// Longest hold by date, in days.
pub const DAYS_MAX: u32 = 3_650;

/// Longest time to pay, in minutes: a week.
pub const PAY_WITHIN_MIN_MAX: u32 = 7 * 24 * 60;

/// Longest code, in letters.
const CODE_MAX: usize = 32;

/// Longest name of a product or stage, in characters.
const NAME_MAX: usize = 32;

/// Something wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    pub file: String,
    /// As it is written in the file: `fee.minor_max`. Empty: the file as a whole.
    pub field: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, field, what } = self;
        if field.is_empty() { write!(f, "{file} {what}") } else { write!(f, "{file}: {field} {what}") }
    }
}

/// Every mistake of a catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&sentences.join("; "))
    }
}

impl std::error::Error for Mistakes {}

/// A sheet to write mistakes on.
struct Sheet<'a> {
    file: &'a str,
    found: Vec<Mistake>,
}

impl Sheet<'_> {
    fn check(&mut self, holds: bool, field: impl Into<String>, what: impl FnOnce() -> String) {
        if !holds {
            self.found.push(Mistake { file: self.file.to_owned(), field: field.into(), what: what() });
        }
    }
}

/// Every mistake of one product.
pub fn mistakes(file: &str, product: &Product) -> Vec<Mistake> {
    let mut sheet = Sheet { file, found: Vec::new() };
    sheet.check(is_code(&product.code), "code", || {
        format!("is {:?}, which is not 1 to {CODE_MAX} upper-case letters, digits and underscores after a letter", product.code)
    });
    sheet.check(is_name(&product.name), "name", || format!("has not 1 to {NAME_MAX} characters without control characters"));
    collect(product, &mut sheet);
    fee(product, &mut sheet);
    if let Some(hold) = &product.hold {
        held(hold, &mut sheet);
    }
    settle(product, &mut sheet);
    split(&product.split, &mut sheet);
    if let Some(event) = &product.marketing {
        sheet.check(is_event(event), "marketing", || {
            format!(
                "is {event:?}, which is not an event such as marketing.rent_paid (lower-case letters, digits and underscores, 64 at most)"
            )
        });
    }
    if let Some(programme) = &product.subsidy {
        sheet.check(is_code(programme), "subsidy", || {
            format!(
                "is {programme:?}, which is not a programme's code (1 to {CODE_MAX} upper-case letters, digits and underscores after a letter)"
            )
        });
        sheet.check(product.collect.amount_minor_max > 1, "subsidy", || "is given, but no amount can be divided into two parts".to_owned());
    }
    sheet.found
}

/// Whether a text is a code, as products and programmes have one.
pub fn is_code(code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (1..=CODE_MAX).contains(&code.len()) && code.bytes().all(plain) && code.starts_with(|c: char| c.is_ascii_uppercase())
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.chars().count()) && !name.trim().is_empty() && !name.chars().any(char::is_control)
}

/// Only what begins so: a hook must not look like a fact of the books.
fn is_event(event: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    event.len() <= 64 && event.strip_prefix("marketing.").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

fn collect(product: &Product, sheet: &mut Sheet) {
    let c = &product.collect;
    sheet.check(!c.methods.is_empty(), "collect.methods", || "is empty, so that nobody could pay".to_owned());
    sheet.check(c.methods.iter().collect::<HashSet<_>>().len() == c.methods.len(), "collect.methods", || "lists a method twice".to_owned());
    let (min, max) = (c.amount_minor_min, c.amount_minor_max);
    sheet.check(min > 0, "collect.amount_minor_min", || format!("is {min}, which is not greater than zero"));
    sheet.check(min <= max, "collect.amount_minor_max", || format!("is {max}, which is below the smallest amount {min}"));
    sheet.check(max <= AMOUNT_MINOR_MAX, "collect.amount_minor_max", || format!("is {max}, which is more than any payment may have"));
    let minutes = c.pay_within_min;
    sheet.check((1..=PAY_WITHIN_MIN_MAX).contains(&minutes), "collect.pay_within_min", || {
        format!("is {minutes}, which is not between 1 and {PAY_WITHIN_MIN_MAX} minutes")
    });
}

fn fee(product: &Product, sheet: &mut Sheet) {
    let fee = &product.fee;
    if let Rate::Bps(bps) = fee.rate {
        sheet.check((0..=10_000).contains(&bps), "fee.rate", || format!("is {bps} basis points, which is not between 0 and 10000"));
    }
    let min = fee.minor_min;
    sheet.check(min >= 0, "fee.minor_min", || format!("is {min}, which is below zero"));
    sheet.check(min <= product.collect.amount_minor_min, "fee.minor_min", || {
        format!("is {min}, which is more than the smallest amount {}", product.collect.amount_minor_min)
    });
    if let Some(max) = fee.minor_max {
        sheet.check(max >= min, "fee.minor_max", || format!("is {max}, which is below fee.minor_min {min}"));
        sheet.check(max <= AMOUNT_MINOR_MAX, "fee.minor_max", || format!("is {max}, which is more than any payment may have"));
    }
    sheet.check(fee.on == FeeOn::Payment || product.hold.is_some(), "fee.on", || {
        "is RELEASE, but nothing is held; write PAYMENT or add [hold]".to_owned()
    });
}

fn held(hold: &Hold, sheet: &mut Sheet) {
    days(hold.until == HoldUntil::Date, hold.days, "hold", sheet);
    if hold.until != HoldUntil::Stages {
        sheet.check(hold.stages.is_empty(), "hold.stages", || "is given, but hold.until is not STAGES".to_owned());
        return;
    }
    let count = hold.stages.len();
    sheet.check((1..=STAGES_MAX).contains(&count), "hold.stages", || format!("has {count} stages, which is not 1 to {STAGES_MAX}"));
    let sum: u64 = hold.stages.iter().map(|s| u64::from(s.share_bps)).sum();
    sheet.check(sum == 10_000, "hold.stages", || format!("has shares of {sum} basis points together, which must be 10000"));
    let mut names = HashSet::new();
    for (n, stage) in hold.stages.iter().enumerate() {
        let at = format!("hold.stages[{n}]");
        sheet
            .check(is_name(&stage.name), format!("{at}.name"), || format!("has not 1 to {NAME_MAX} characters without control characters"));
        sheet.check(names.insert(&stage.name), format!("{at}.name"), || format!("{:?} stands there a second time", stage.name));
        sheet.check(stage.share_bps > 0, format!("{at}.share_bps"), || "is 0, so that nothing would be released".to_owned());
        days(stage.until == Until::Date, stage.days, &at, sheet);
    }
}

fn days(by_date: bool, days: Option<u32>, at: &str, sheet: &mut Sheet) {
    match days {
        Some(days) if by_date => sheet
            .check((1..=DAYS_MAX).contains(&days), format!("{at}.days"), || format!("is {days}, which is not between 1 and {DAYS_MAX}")),
        None if by_date => sheet.check(false, format!("{at}.days"), || "is missing, which until = DATE needs".to_owned()),
        Some(_) => sheet.check(false, format!("{at}.days"), || "is given, but until is not DATE".to_owned()),
        None => {}
    }
}

fn settle(product: &Product, sheet: &mut Sheet) {
    match (product.settle, &product.hold) {
        (Settle::T0, Some(_)) => {
            sheet.check(false, "settle", || "is T0, but the money is held; write ON_RELEASE or T1".to_owned());
        }
        (Settle::OnRelease, None) => {
            sheet.check(false, "settle", || "is ON_RELEASE, but nothing is held; write T0 or T1, or add [hold]".to_owned());
        }
        _ => {}
    }
}

fn split(shares: &[Share], sheet: &mut Sheet) {
    let mut roles = HashSet::new();
    level(shares, "split", 1, &mut roles, sheet);
    let receivers = count(shares);
    sheet.check(receivers <= RECEIVERS_MAX, "split", || format!("has {receivers} receivers, which is more than {RECEIVERS_MAX}"));
}

fn count(shares: &[Share]) -> usize {
    shares.iter().map(|share| 1 + count(&share.shares)).sum()
}

/// One level of the tree, and those below it.
fn level<'a>(shares: &'a [Share], at: &str, depth: usize, roles: &mut HashSet<&'a str>, sheet: &mut Sheet) {
    if shares.is_empty() {
        return;
    }
    sheet.check(depth <= LEVELS_MAX, at, || format!("is on level {depth}, below the {LEVELS_MAX} there may be"));
    if depth > LEVELS_MAX {
        return;
    }
    let bps = |part| if let Part::Bps(bps) = part { u32::from(bps) } else { 0 };
    let sum: u32 = shares.iter().map(|share| bps(share.part)).sum();
    sheet.check(sum <= 10_000, at, || format!("gives away {sum} basis points, which is more than there is"));
    for (n, share) in shares.iter().enumerate() {
        let at = format!("{at}[{n}]");
        let role = share.role.as_str();
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        sheet.check((1..=32).contains(&role.len()) && role.bytes().all(plain), format!("{at}.role"), || {
            format!("is {role:?}, which is not 1 to 32 upper-case letters, digits and underscores")
        });
        sheet.check(roles.insert(role), format!("{at}.role"), || format!("{role} stands in the tree a second time"));
        match share.part {
            Part::Bps(bps) => sheet.check((1..=10_000).contains(&bps), format!("{at}.part"), || {
                format!("is {bps} basis points, which is not between 1 and 10000")
            }),
            Part::FixedMinor(minor) => sheet.check((1..=AMOUNT_MINOR_MAX).contains(&minor), format!("{at}.part"), || {
                format!("is {minor} minor units, which is zero, below it, or more than any payment")
            }),
        }
        level(&share.shares, &format!("{at}.shares"), depth + 1, roles, sheet);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A product that does everything, with a change.
    fn product(change: impl Fn(&mut Value)) -> Product {
        let mut value = json!({
            "code": "RENT", "name": "房租", "settle": "T1", "marketing": "marketing.rent_paid",
            "collect": {"methods": ["PAGE", "NATIVE"], "amount_minor_min": 100, "amount_minor_max": 5_000_000, "pay_within_min": 30},
            "fee": {"rate": {"bps": 60}, "minor_min": 10, "minor_max": 5_000, "bearer": "MERCHANT", "on": "RELEASE"},
            "hold": {"until": "STAGES", "stages": [
                {"name": "首月", "share_bps": 5_000, "until": "DATE", "days": 1},
                {"name": "次月", "share_bps": 5_000, "until": "BOTH"}]},
            "split": [{"role": "AGENT", "part": {"bps": 1_000}, "shares": [{"role": "BROKER", "part": {"fixed_minor": 100}}]}],
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn told(change: impl Fn(&mut Value)) -> Vec<String> {
        mistakes("rent.toml", &product(change)).iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn a_good_product_has_no_mistakes_and_is_written_as_it_was_read() {
        assert_eq!(told(|_| {}), [""; 0]);
        let read = product(|_| {});
        assert_eq!(serde_json::from_str::<Product>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn every_mistake_has_its_sentence() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 37] = [
            (
                |p| p["code"] = json!("rent"),
                "rent.toml: code is \"rent\", which is not 1 to 32 upper-case letters, digits and underscores after a letter",
            ),
            (
                |p| p["code"] = json!("1RENT"),
                "rent.toml: code is \"1RENT\", which is not 1 to 32 upper-case letters, digits and underscores after a letter",
            ),
            (|p| p["name"] = json!(" "), "rent.toml: name has not 1 to 32 characters without control characters"),
            (|p| p["collect"]["methods"] = json!([]), "rent.toml: collect.methods is empty, so that nobody could pay"),
            (|p| p["collect"]["methods"] = json!(["PAGE", "PAGE"]), "rent.toml: collect.methods lists a method twice"),
            (
                |p| {
                    p["collect"]["amount_minor_min"] = json!(0);
                    p["fee"]["minor_min"] = json!(0);
                },
                "rent.toml: collect.amount_minor_min is 0, which is not greater than zero",
            ),
            (
                |p| p["collect"]["amount_minor_max"] = json!(99),
                "rent.toml: collect.amount_minor_max is 99, which is below the smallest amount 100",
            ),
            (
                |p| p["collect"]["amount_minor_max"] = json!(1_000_000_000_001_i64),
                "rent.toml: collect.amount_minor_max is 1000000000001, which is more than any payment may have",
            ),
            (
                |p| p["collect"]["pay_within_min"] = json!(0),
                "rent.toml: collect.pay_within_min is 0, which is not between 1 and 10080 minutes",
            ),
            (
                |p| p["collect"]["pay_within_min"] = json!(10_081),
                "rent.toml: collect.pay_within_min is 10081, which is not between 1 and 10080 minutes",
            ),
            (|p| p["fee"]["rate"] = json!({"bps": 10_001}), "rent.toml: fee.rate is 10001 basis points, which is not between 0 and 10000"),
            (|p| p["fee"]["rate"] = json!({"bps": -1}), "rent.toml: fee.rate is -1 basis points, which is not between 0 and 10000"),
            (|p| p["fee"]["minor_min"] = json!(-1), "rent.toml: fee.minor_min is -1, which is below zero"),
            (|p| p["fee"]["minor_min"] = json!(101), "rent.toml: fee.minor_min is 101, which is more than the smallest amount 100"),
            (|p| p["fee"]["minor_max"] = json!(9), "rent.toml: fee.minor_max is 9, which is below fee.minor_min 10"),
            (
                |p| p["fee"]["minor_max"] = json!(1_000_000_000_001_i64),
                "rent.toml: fee.minor_max is 1000000000001, which is more than any payment may have",
            ),
            (
                |p| {
                    p["hold"] = Value::Null;
                },
                "rent.toml: fee.on is RELEASE, but nothing is held; write PAYMENT or add [hold]",
            ),
            (|p| p["hold"]["until"] = json!("BOTH"), "rent.toml: hold.stages is given, but hold.until is not STAGES"),
            (|p| p["hold"] = json!({"until": "DATE"}), "rent.toml: hold.days is missing, which until = DATE needs"),
            (|p| p["hold"] = json!({"until": "DATE", "days": 0}), "rent.toml: hold.days is 0, which is not between 1 and 3650"),
            (|p| p["hold"] = json!({"until": "BOTH", "days": 1}), "rent.toml: hold.days is given, but until is not DATE"),
            (|p| p["hold"]["stages"][0]["days"] = json!(3_651), "rent.toml: hold.stages[0].days is 3651, which is not between 1 and 3650"),
            (|p| p["hold"]["stages"][1]["days"] = json!(1), "rent.toml: hold.stages[1].days is given, but until is not DATE"),
            (|p| p["hold"]["stages"][1]["name"] = json!("首月"), "rent.toml: hold.stages[1].name \"首月\" stands there a second time"),
            (
                |p| p["hold"]["stages"][1]["name"] = json!(""),
                "rent.toml: hold.stages[1].name has not 1 to 32 characters without control characters",
            ),
            (
                |p| p["hold"]["stages"][1]["share_bps"] = json!(4_999),
                "rent.toml: hold.stages has shares of 9999 basis points together, which must be 10000",
            ),
            (|p| p["settle"] = json!("T0"), "rent.toml: settle is T0, but the money is held; write ON_RELEASE or T1"),
            (
                |p| {
                    p["hold"] = Value::Null;
                    p["fee"]["on"] = json!("PAYMENT");
                    p["settle"] = json!("ON_RELEASE");
                },
                "rent.toml: settle is ON_RELEASE, but nothing is held; write T0 or T1, or add [hold]",
            ),
            (
                |p| p["split"][0]["role"] = json!("agent"),
                "rent.toml: split[0].role is \"agent\", which is not 1 to 32 upper-case letters, digits and underscores",
            ),
            (
                |p| p["split"][0]["shares"][0]["role"] = json!("AGENT"),
                "rent.toml: split[0].shares[0].role AGENT stands in the tree a second time",
            ),
            (|p| p["split"][0]["part"] = json!({"bps": 0}), "rent.toml: split[0].part is 0 basis points, which is not between 1 and 10000"),
            (
                |p| p["split"][0]["part"] = json!({"fixed_minor": 0}),
                "rent.toml: split[0].part is 0 minor units, which is zero, below it, or more than any payment",
            ),
            (
                |p| p["split"] = json!([{"role": "A", "part": {"bps": 6_000}}, {"role": "B", "part": {"bps": 4_001}}]),
                "rent.toml: split gives away 10001 basis points, which is more than there is",
            ),
            (
                |p| p["split"] = (0..51).map(|n| json!({"role": format!("R{n}"), "part": {"bps": 1}})).collect(),
                "rent.toml: split has 51 receivers, which is more than 50",
            ),
            (
                |p| {
                    p["split"] =
                        (0..5).rev().fold(json!([]), |below, n| json!([{"role": format!("R{n}"), "part": {"bps": 1}, "shares": below}]))
                },
                "rent.toml: split[0].shares[0].shares[0].shares[0].shares is on level 5, below the 4 there may be",
            ),
            (
                |p| p["marketing"] = json!("order.paid"),
                "rent.toml: marketing is \"order.paid\", which is not an event such as marketing.rent_paid (lower-case letters, digits and underscores, 64 at most)",
            ),
            (
                |p| p["subsidy"] = json!("spring"),
                "rent.toml: subsidy is \"spring\", which is not a programme's code (1 to 32 upper-case letters, digits and underscores after a letter)",
            ),
        ];
        for (change, sentence) in cases {
            assert_eq!(told(change), [sentence]);
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        let read = |change: fn(&mut Value)| {
            let mut value = serde_json::to_value(product(|_| {})).unwrap();
            change(&mut value);
            serde_json::from_value::<Product>(value)
        };
        let changes: [fn(&mut Value); 8] = [
            |p| p["colour"] = json!(1),
            |p| p["collect"]["currency"] = json!("CNY"),
            |p| p["fee"]["cap"] = json!(1),
            |p| p["fee"]["rate"] = json!("FREE"),
            |p| p["hold"]["for"] = json!("ever"),
            |p| p["hold"]["stages"][0]["by"] = json!("x"),
            |p| p["split"][0]["to"] = json!("x"),
            |p| p["settle"] = json!("T2"),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            assert!(read(change).is_err(), "change {n}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let all = told(|p| {
            p["code"] = json!("x");
            p["fee"]["minor_min"] = json!(-1);
            p["hold"]["stages"][0]["share_bps"] = json!(1);
        });
        assert_eq!(all.len(), 3, "{all:?}");
    }
}
