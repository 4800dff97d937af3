//! What the money core asks of a bank that pays out for us (出款通道), whatever it speaks, and what it may say.
//!
//! Taking in is no success, and a success may come back days later (退票). As with [`super::acquirer`], an adapter translates, signs and
//! verifies, and decides nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::ChannelError;
use super::acquirer::{HearError, Heard, Reply};
use crate::base::money::Money;

/// A payout to be asked for. The payee's name and account are personal: they never show in `Debug`.
#[derive(Clone)]
pub struct PayoutOrder {
    pub request_no: String,
    pub payee_name: String,
    pub payee_account: String,
    pub amount: Money,
}

impl fmt::Debug for PayoutOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayoutOrder").field("request_no", &self.request_no).field("amount", &self.amount).finish_non_exhaustive()
    }
}

/// Where a payout stands at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PayoutStatus {
    /// Taken in, result to come. Not a success.
    Accepted,
    Succeeded,
    Failed {
        code: String,
    },
    /// It had succeeded, and the money came back (退票).
    Returned {
        code: String,
    },
}

/// A payout as the bank knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutState {
    pub status: PayoutStatus,
    pub bank_reference: Option<String>,
}

/// A bank as the money core sees it. Every call is one signed exchange with a time limit; none is made inside a transaction.
#[async_trait]
pub trait PayoutRail: fmt::Debug + Send + Sync {
    /// Stable: on withdrawals, in the inbox, and as subject of its cash account. Upper-case letters and underscores; no acquirer has it.
    fn name(&self) -> &'static str;

    /// Asks for a payout. Safe to repeat: the same number with the same content gives the same payout.
    async fn payout(&self, order: &PayoutOrder) -> Result<PayoutState, ChannelError>;

    /// Asks where a payout stands. None: the bank does not know the number.
    async fn query(&self, request_no: &str) -> Result<Option<PayoutState>, ChannelError>;

    /// Checks a notice on its raw bytes and reads it. Touches no database.
    fn hear(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError>;

    /// What the bank expects to hear: that the notice was stored, or that it is to send it again.
    fn reply(&self, stored: bool) -> Reply;
}

/// The banks that this system is connected to. New payouts go to one of them; what was asked of another goes on there.
#[derive(Clone, Debug)]
pub struct Rails {
    by_name: Arc<BTreeMap<&'static str, Arc<dyn PayoutRail>>>,
    chosen: &'static str,
}

impl Rails {
    /// `chosen` takes the new payouts.
    pub fn new(chosen: Arc<dyn PayoutRail>, others: impl IntoIterator<Item = Arc<dyn PayoutRail>>) -> Self {
        let name = chosen.name();
        let all = others.into_iter().chain([chosen]);
        Self { by_name: Arc::new(all.map(|rail| (rail.name(), rail)).collect()), chosen: name }
    }

    /// Where new payouts go.
    pub fn chosen(&self) -> &'static str {
        self.chosen
    }

    /// The bank of a payout. None: it is not connected any more.
    pub fn get(&self, name: &str) -> Option<&dyn PayoutRail> {
        self.by_name.get(name).map(AsRef::as_ref)
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }
}

impl<R: PayoutRail + 'static> From<R> for Rails {
    fn from(rail: R) -> Self {
        Self::new(Arc::new(rail), [])
    }
}
