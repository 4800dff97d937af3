//! The chaos acquirer (混沌收单机构): a profile says what goes wrong, and here it is decided, for every counterparty in one place.
//!
//! [`rules`] decides, from the profile's seed and the number that is asked about, so that the same requests meet the same fate again.
//! [`layer`] carries out what concerns answers, around the router; the notifier what concerns notices; the book what concerns the money. What
//! the book remembers stays the truth, whatever is said about it: `GET /control/truth` gives it.

pub mod file;
pub mod layer;
pub mod line;
pub mod profile;
mod request;
pub mod rules;
mod shipped;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use wallet::channel::sandbox::sign::Signer;
use wallet::channel::sandbox::{ACQUIRER_KEY, BANK_KEY};

use super::Party;
use profile::{Kind, News, Outage, Profile};
use rules::{AnswerPlan, Fate, NoticePlan};
pub use shipped::{NAMES, named};

/// The profile in which nothing goes wrong.
pub const CALM: &str = "calm";

/// Requests and notices whose turns are remembered. Beyond that all turns begin anew.
const TURNS_MAX: usize = 1_000_000;

/// What goes wrong now.
#[derive(Debug)]
pub struct Active {
    /// Of a shipped profile or of a file; `custom` when it was given as text.
    pub name: String,
    /// As it was written.
    pub text: String,
    pub profile: Profile,
    since: Instant,
}

/// Whose turn it is: who, what, about which number.
type Turn = (Party, &'static str, String);

/// A whole answer.
type Answer = (StatusCode, HeaderMap, Bytes);

/// What decides.
#[derive(Debug)]
pub struct Chaos {
    active: Mutex<Arc<Active>>,
    turns: Mutex<HashMap<Turn, u32>>,
    /// Switched off by hand.
    off: Mutex<HashMap<Party, Outage>>,
    /// The last answer that each party gave.
    last: Mutex<HashMap<Party, Answer>>,
    /// Keys under the counterparties' names that nobody knows.
    forgers: [Signer; 2],
}

impl Chaos {
    /// Begins with a shipped profile's name, or a file.
    pub fn begin(profile: &str) -> anyhow::Result<Self> {
        let forger = |name| -> anyhow::Result<Signer> {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no key could be made")?;
            Ok(Signer::try_from_pkcs8(name, key.as_ref())?)
        };
        Ok(Self {
            active: Mutex::new(Arc::new(shipped::load(profile)?)),
            turns: Mutex::default(),
            off: Mutex::default(),
            last: Mutex::default(),
            forgers: [forger(ACQUIRER_KEY)?, forger(BANK_KEY)?],
        })
    }

    pub fn active(&self) -> Arc<Active> {
        held(&self.active).clone()
    }

    /// Goes on with another profile: its time and all turns begin anew.
    pub fn change(&self, active: Active) {
        tracing::info!(profile = active.name, about = active.profile.about, "another profile");
        held(&self.turns).clear();
        *held(&self.active) = Arc::new(active);
    }

    /// Switches a party off, or on again. Gives those that are off.
    pub fn switch(&self, party: Party, how: Option<Outage>) -> HashMap<Party, Outage> {
        let mut off = held(&self.off);
        match how {
            Some(how) => _ = off.insert(party, how),
            None => _ = off.remove(&party),
        }
        off.clone()
    }

    /// Whether a party is down, and how.
    pub fn down(&self, party: Party) -> Option<Outage> {
        let active = self.active();
        let after_ms = u64::try_from(active.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        held(&self.off).get(&party).copied().or_else(|| active.profile.down(party, after_ms))
    }

    /// How this request is answered, this time.
    pub fn answer(&self, party: Party, kind: Kind, number: &str) -> AnswerPlan {
        let turn = self.turn(party, kind.name(), number);
        rules::answer(&self.active().profile, party, kind, number, turn)
    }

    /// How this result is told.
    pub fn notice(&self, party: Party, news: News, number: &str) -> NoticePlan {
        let turn = self.turn(party, news.name(), number);
        rules::notice(&self.active().profile, party, news, number, turn)
    }

    /// What becomes of a payment, refund or payout.
    pub fn fate(&self, party: Party, number: &str) -> Fate {
        rules::fate(&self.active().profile, party, number)
    }

    /// Whether a share of a split reaches its receiver.
    pub fn share_arrives(&self, party: Party, number: &str, receiver: &str) -> bool {
        rules::share_arrives(&self.active().profile, party, number, receiver)
    }

    /// Whether a receiver of a split has enough to give its share back with a refund.
    pub fn share_comes_back(&self, party: Party, number: &str, receiver: &str) -> bool {
        rules::share_comes_back(&self.active().profile, party, number, receiver)
    }

    /// Whether the finish of a split is refused.
    pub fn finish_refused(&self, party: Party, number: &str) -> bool {
        rules::finish_refused(&self.active().profile, party, number)
    }

    fn turn(&self, party: Party, what: &'static str, number: &str) -> u32 {
        let mut turns = held(&self.turns);
        if turns.len() >= TURNS_MAX {
            turns.clear();
        }
        let turn = turns.entry((party, what, number.to_owned())).or_default();
        *turn += 1;
        *turn - 1
    }

    /// The last answer of a party; this one from now on.
    fn keep(&self, party: Party, answer: Answer) -> Option<Answer> {
        held(&self.last).insert(party, answer)
    }

    fn forger(&self, party: Party) -> Option<&Signer> {
        match party {
            Party::Acquirer => Some(&self.forgers[0]),
            Party::Bank => Some(&self.forgers[1]),
            _ => None,
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while what goes wrong is held")
}

#[cfg(test)]
mod tests;
