//! Which candidate a new payment goes to: every candidate is found to fit or left out for a reason, and the best of those that fit is taken.
//! Pure, and one allocation for all findings.
//!
//! The payee, the currency and the custody account are the payment's: a candidate of another is left out, never adapted to (C8).

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, Payee, Routes};
use super::health::{Group, State, TRIAL_BPS, View};
use super::name::{CandidateName, ChannelName, ProductCode};
use super::snapshot::Snapshot;
use super::usage::{Exceeded, Usage};
use crate::base::clock::shanghai;
use crate::base::id::AttemptId;
use crate::base::money::Money;
use crate::channel::acquirer::{Fault, Method, Wallet};

/// What a failed payment costs us, in basis points of its amount: the customer's patience, and now and then the customer. So one failure
/// of a hundred weighs as much as a basis point of fees.
const FAILURE_COST_BPS: i128 = 100;

/// A payment that is about to be asked for. Nothing else is routed: what was sent to a channel is queried, closed and refunded there (C2).
#[derive(Clone, Copy, Debug)]
pub struct NewPayment<'a> {
    /// The attempt to be made. Also says whether the payment is on trial, so that asking twice gives the same.
    pub attempt: AttemptId,
    pub method: Method,
    /// Whose app the customer has at hand. None: nobody said, so it must be payable from every wallet.
    pub wallet: Option<Wallet>,
    pub product: &'a ProductCode,
    pub amount: Money,
    /// Where the money goes. Never changed by routing (C8).
    pub payee: &'a Payee,
    pub group: Group,
    /// Channels that definitely failed this order before, or that cannot divide it.
    pub tried: &'a [ChannelName],
}

/// Why a candidate was left out. The first that applies, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    Currency,
    PayeeEntity,
    CustodyAccount,
    Method,
    Wallet,
    Product,
    AmountBelow {
        min: i64,
    },
    AmountAbove {
        max: i64,
    },
    AlreadyTried,
    AnnouncedMaintenance {
        until: NaiveDateTime,
    },
    OutsideHours,
    DailyLimit {
        left: i64,
    },
    PerSecond {
        max: u32,
    },
    Disabled,
    Maintenance {
        until: Option<DateTime<Utc>>,
    },
    Open {
        until: Option<DateTime<Utc>>,
    },
    /// On trial, and this payment is none of the share.
    NotOnTrial,
    /// On trial, with as many trials under way as may be.
    TrialsFull,
}

/// How a candidate that fits stands. The better is less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Standing {
    /// Probing or degraded, and this payment is of the share: first, or it would never be tried beside a better one.
    Trial,
    Healthy,
    Degraded,
    /// It would take none, but nothing else is left.
    LastResort,
}

/// What a candidate that fits has to offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    pub standing: Standing,
    pub fee_minor: i64,
    /// Failures of a million that are surely exceeded.
    pub failing_ppm: u32,
    /// The fee, and what failures may be expected to cost.
    pub effective_minor: i64,
}

/// What was found of a candidate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Finding {
    #[serde(rename = "fits")]
    Fits(Offer),
    #[serde(rename = "out")]
    LeftOut(Reason),
}

/// A candidate and what was found of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    #[serde(rename = "c")]
    pub candidate: CandidateName,
    #[serde(rename = "h")]
    pub channel: ChannelName,
    #[serde(rename = "f")]
    pub finding: Finding,
}

/// All that went into a decision, to be stored with it (C3).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    pub attempt: AttemptId,
    pub method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Wallet>,
    pub product: ProductCode,
    pub amount: Money,
    pub payee: Payee,
    pub group: Group,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<ChannelName>,
    pub at: DateTime<Utc>,
    /// Of the table.
    pub revision: u32,
    /// Of the snapshot, and when that was published: versions start anew with the process.
    pub snapshot: u64,
    pub snapshot_at: DateTime<Utc>,
}

/// Where a payment goes, and why (路由决策).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub(super) inputs: Inputs,
    pub(super) found: Vec<Found>,
    pub(super) chosen: usize,
    pub(super) standing: Standing,
}

/// No candidate fits. It counts as ours, whatever the reasons (C4).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no channel can take the payment")]
pub struct NoChannel(Box<(Inputs, Vec<Found>)>);

impl NoChannel {
    pub(super) fn of(inputs: Inputs, found: Vec<Found>) -> Self {
        Self(Box::new((inputs, found)))
    }

    /// Whose doing it is: ours, always.
    pub fn fault(&self) -> Fault {
        Fault::Ours
    }

    pub fn inputs(&self) -> &Inputs {
        &self.0.0
    }

    pub fn found(&self) -> &[Found] {
        &self.0.1
    }
}

impl Decision {
    pub fn candidate(&self) -> &CandidateName {
        &self.found[self.chosen].candidate
    }

    pub fn channel(&self) -> &ChannelName {
        &self.found[self.chosen].channel
    }

    /// Whether the payment is one of the bounded share that tries a channel out.
    pub fn on_trial(&self) -> bool {
        self.standing == Standing::Trial
    }

    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Every candidate of the table, in its order.
    pub fn found(&self) -> &[Found] {
        &self.found
    }
}

/// Decides where a payment goes. The same arguments give the same decision, on every machine.
///
/// Of those that fit, the first by standing, then by effective cost, then by name.
pub fn decide(
    payment: &NewPayment<'_>,
    routes: &Routes,
    health: &Snapshot,
    usage: &Usage,
    now: DateTime<Utc>,
) -> Result<Decision, NoChannel> {
    let local = now.with_timezone(&shanghai()).naive_local();
    let mut found = Vec::with_capacity(routes.candidates().len());
    let mut best: Option<(Standing, i64, &CandidateName, usize)> = None;
    for last_resort in [false, true] {
        if best.is_some() || (last_resort && !routes.last_resort()) {
            break;
        }
        found.clear();
        for (index, candidate) in routes.candidates().iter().enumerate() {
            let finding = match weigh(payment, candidate, health, usage, last_resort, now, local) {
                Ok(offer) => {
                    let this = (offer.standing, offer.effective_minor, &candidate.name, index);
                    best = Some(best.map_or(this, |best| best.min(this)));
                    Finding::Fits(offer)
                }
                Err(reason) => Finding::LeftOut(reason),
            };
            found.push(Found { candidate: candidate.name.clone(), channel: candidate.channel.clone(), finding });
        }
    }
    let inputs = Inputs {
        attempt: payment.attempt,
        method: payment.method,
        wallet: payment.wallet,
        product: payment.product.clone(),
        amount: payment.amount,
        payee: payment.payee.clone(),
        group: payment.group,
        tried: payment.tried.to_vec(),
        at: now,
        revision: routes.revision(),
        snapshot: health.version(),
        snapshot_at: health.published_at(),
    };
    match best {
        Some((standing, _, _, chosen)) => Ok(Decision { inputs, found, chosen, standing }),
        None => Err(NoChannel::of(inputs, found)),
    }
}

fn weigh(
    payment: &NewPayment<'_>,
    candidate: &Candidate,
    health: &Snapshot,
    usage: &Usage,
    last_resort: bool,
    now: DateTime<Utc>,
    local: NaiveDateTime,
) -> Result<Offer, Reason> {
    fits(payment, candidate, local)?;
    let amount = payment.amount.minor;
    usage.allows(candidate, amount, now).map_err(|exceeded| match exceeded {
        Exceeded::Daily { left_minor } => Reason::DailyLimit { left: left_minor },
        Exceeded::PerSecond => Reason::PerSecond { max: candidate.per_second_max },
    })?;
    let view = health.view(&candidate.channel, payment.method, payment.group);
    let standing = match standing(&view, payment.attempt, &candidate.channel) {
        Err(Reason::Open { .. } | Reason::NotOnTrial | Reason::TrialsFull) if last_resort => Standing::LastResort,
        told => told?,
    };
    let fee_minor = candidate.cost.fee_minor(amount);
    let failures = i128::from(amount) * i128::from(view.failing_ppm) * FAILURE_COST_BPS;
    let lost_minor = i64::try_from((failures + 9_999_999_999) / 10_000_000_000).unwrap_or(i64::MAX);
    Ok(Offer { standing, fee_minor, failing_ppm: view.failing_ppm, effective_minor: fee_minor.saturating_add(lost_minor) })
}

/// What does not change from one moment to the next but by the calendar.
fn fits(payment: &NewPayment<'_>, candidate: &Candidate, local: NaiveDateTime) -> Result<(), Reason> {
    let Money { minor, currency } = payment.amount;
    if candidate.currency != currency {
        return Err(Reason::Currency);
    }
    if candidate.payee.entity != payment.payee.entity {
        return Err(Reason::PayeeEntity);
    }
    if candidate.payee.custody_account != payment.payee.custody_account {
        return Err(Reason::CustodyAccount);
    }
    if !candidate.methods.contains(&payment.method) {
        return Err(Reason::Method);
    }
    let wanted = payment.wallet.as_slice();
    if !(if wanted.is_empty() { &Wallet::APPS[..] } else { wanted }).iter().all(|wallet| candidate.wallets.contains(wallet)) {
        return Err(Reason::Wallet);
    }
    if !candidate.products.is_empty() && !candidate.products.contains(payment.product) {
        return Err(Reason::Product);
    }
    if minor < candidate.amount_minor_min {
        return Err(Reason::AmountBelow { min: candidate.amount_minor_min });
    }
    if minor > candidate.amount_minor_max {
        return Err(Reason::AmountAbove { max: candidate.amount_minor_max });
    }
    if payment.tried.contains(&candidate.channel) {
        return Err(Reason::AlreadyTried);
    }
    if let Some(window) = candidate.maintenance.iter().find(|window| window.contains(local)) {
        return Err(Reason::AnnouncedMaintenance { until: window.until });
    }
    if !candidate.hours.is_empty() && !candidate.hours.iter().any(|hours| hours.contain(local.time())) {
        return Err(Reason::OutsideHours);
    }
    Ok(())
}

fn standing(view: &View, attempt: AttemptId, channel: &ChannelName) -> Result<Standing, Reason> {
    match view.state {
        State::Healthy => Ok(Standing::Healthy),
        State::Degraded if on_trial(attempt, channel) => Ok(Standing::Trial),
        State::Degraded => Ok(Standing::Degraded),
        State::Probing if !on_trial(attempt, channel) => Err(Reason::NotOnTrial),
        State::Probing if view.trials_left == 0 => Err(Reason::TrialsFull),
        State::Probing => Ok(Standing::Trial),
        State::Open => Err(Reason::Open { until: view.until }),
        State::Maintenance => Err(Reason::Maintenance { until: view.until }),
        State::Disabled => Err(Reason::Disabled),
    }
}

/// Whether an attempt is of the share that tries a channel out: by a hash of its id and the channel's name, so that two channels on trial
/// do not share their payments, and every process says the same. FNV-1a, and the finish of splitmix64 for its weak high bits.
pub(super) fn on_trial(attempt: AttemptId, channel: &ChannelName) -> bool {
    let bytes = attempt.0.as_bytes().iter().chain(channel.as_str().as_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) % 10_000 < TRIAL_BPS
}

#[cfg(test)]
mod tests;
