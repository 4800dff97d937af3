//! A decision as text: compact for the attempt's row, and in sentences for people.
//!
//! The text is one line of JSON with a version, so that a query can look into it: about 90 bytes for a candidate and 400 for the inputs.

use serde::{Deserialize, Serialize};

use super::health::{TRIAL_BPS, TRIALS_MAX};
use super::rules::{Decision, Finding, Found, Inputs, NoChannel, Offer, Reason, Standing};
use crate::base::money::{Currency, Money};
use crate::channel::acquirer::{Method, Wallet};

/// Of the text's form. A reader refuses another.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    inputs: &'a Inputs,
    /// Place in `found`.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<usize>,
    found: &'a [Found],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    v: u8,
    inputs: Inputs,
    #[serde(default)]
    chosen: Option<usize>,
    found: Vec<Found>,
}

/// Why a text is no decision.
#[derive(Debug, thiserror::Error)]
pub enum BadText {
    #[error("the text is not a decision")]
    Form(#[from] serde_json::Error),
    #[error("the text has the unknown version {0}")]
    Version(u8),
    #[error("the text names a choice that does not fit, or none where one fits")]
    Choice,
}

impl Decision {
    /// The text to be stored with the attempt (P7).
    pub fn to_text(&self) -> String {
        text(self.inputs(), Some(self.chosen), self.found())
    }

    /// A sentence for every candidate, in the table's order.
    pub fn explain(&self) -> Vec<String> {
        sentences(self.inputs(), Some(self.chosen), self.found())
    }
}

impl NoChannel {
    /// The text to be stored with the order (P7).
    pub fn to_text(&self) -> String {
        text(self.inputs(), None, self.found())
    }

    /// A sentence for every candidate, in the table's order.
    pub fn explain(&self) -> Vec<String> {
        sentences(self.inputs(), None, self.found())
    }
}

/// Reads what `to_text` wrote.
pub fn from_text(text: &str) -> Result<Result<Decision, NoChannel>, BadText> {
    let Read { v, inputs, chosen, found } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(BadText::Version(v));
    }
    let offer = |found: &Found| if let Finding::Fits(offer) = found.finding { Some(offer) } else { None };
    match chosen {
        Some(chosen) => {
            let standing = found.get(chosen).and_then(offer).ok_or(BadText::Choice)?.standing;
            Ok(Ok(Decision { inputs, found, chosen, standing }))
        }
        None if found.iter().any(|f| offer(f).is_some()) => Err(BadText::Choice),
        None => Ok(Err(NoChannel::of(inputs, found))),
    }
}

fn text(inputs: &Inputs, chosen: Option<usize>, found: &[Found]) -> String {
    let written = Written { v: VERSION, inputs, chosen, found };
    serde_json::to_string(&written).expect("names, numbers and times have a JSON form, and no map has other keys than texts")
}

fn sentences(inputs: &Inputs, chosen: Option<usize>, found: &[Found]) -> Vec<String> {
    let currency = inputs.amount.currency;
    let best = chosen.and_then(|place| found.get(place));
    let sentence = |(place, one): (usize, &Found)| {
        let who = format!("{} ({})", one.candidate, one.channel);
        match &one.finding {
            Finding::Fits(offer) if chosen == Some(place) => format!("{who} was chosen: {}.", offered(offer, currency)),
            Finding::Fits(offer) => {
                let best = best.map_or("another", |b| b.candidate.as_str());
                format!("{who} fits, but {best} is better: {}.", offered(offer, currency))
            }
            Finding::LeftOut(reason) => format!("{who} was left out: {}.", why(reason, inputs)),
        }
    };
    found.iter().enumerate().map(sentence).collect()
}

fn offered(offer: &Offer, currency: Currency) -> String {
    let money = |minor| Money { minor, currency };
    let standing = match offer.standing {
        Standing::Trial => "it is being tried out, and this payment is one of the trials",
        Standing::Healthy => "it is healthy",
        Standing::Degraded => "it is degraded",
        Standing::LastResort => "it takes none, but nothing else is left",
    };
    let failing = Percent(offer.failing_ppm);
    format!(
        "{standing}, the fee is {}, at least {failing} of its attempts fail, which makes {}",
        money(offer.fee_minor),
        money(offer.effective_minor)
    )
}

fn why(reason: &Reason, inputs: &Inputs) -> String {
    let money = |minor| Money { minor, currency: inputs.amount.currency };
    let until = |at: &Option<chrono::DateTime<chrono::Utc>>| at.map_or_else(String::new, |at| format!(" until {}", at.to_rfc3339()));
    match reason {
        Reason::Currency => format!("it does not take {}", inputs.amount.currency.as_str()),
        Reason::PayeeEntity => format!("it does not pay {}", inputs.payee.entity),
        Reason::CustodyAccount => format!("its money does not go to {}", inputs.payee.custody_account),
        Reason::Method => format!("it does not take payments by {}", method(inputs.method)),
        Reason::Wallet => format!("it cannot be paid from {}", inputs.wallet.map_or("every wallet", Wallet::as_str)),
        Reason::Product => format!("it does not take payments for {}", inputs.product),
        Reason::AmountBelow { min } => format!("it takes {} at least, and this is {}", money(*min), inputs.amount),
        Reason::AmountAbove { max } => format!("it takes {} at most, and this is {}", money(*max), inputs.amount),
        Reason::AlreadyTried => "it has failed this order before".to_owned(),
        Reason::AnnouncedMaintenance { until } => format!("it announced maintenance until {until} in Shanghai"),
        Reason::OutsideHours => "it is outside its daily hours".to_owned(),
        Reason::DailyLimit { left } => format!("its day has {} left, and this is {}", money(*left), inputs.amount),
        Reason::PerSecond { max } => format!("it was given {max} requests within a second, which is its limit"),
        Reason::Disabled => "an operator switched it off".to_owned(),
        Reason::Maintenance { until: end } => format!("an operator announced maintenance{}", until(end)),
        Reason::Open { until: end } => format!("too many attempts failed, and it is not tried again{}", until(end)),
        Reason::NotOnTrial => format!("it is being tried out with {} of the payments, and this is none of them", Percent::bps(TRIAL_BPS)),
        Reason::TrialsFull => format!("it is being tried out, and {TRIALS_MAX} trials are under way"),
    }
}

/// The method as people say it.
fn method(method: Method) -> &'static str {
    match method {
        Method::Page => "a page on a computer",
        Method::Wap => "a page on a phone",
        Method::InApp => "the channel's own app",
        Method::Native => "a code that the customer scans",
        Method::Barcode => "the customer's code",
    }
}

/// A share, from its millionths.
struct Percent(u32);

impl Percent {
    fn bps(bps: u64) -> Self {
        Self(u32::try_from(bps * 100).unwrap_or(u32::MAX))
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 10_000, self.0 % 10_000 / 100)
    }
}
