//! Payment channels and banks (支付渠道): what the outside is told and how its word is checked. No transaction is open during a call.
//!
//! Every acquirer speaks through [`acquirer::Acquirer`], whatever its protocol; the sandbox's acquirer and bank are reached over HTTP with
//! signed messages in both directions.

use std::collections::BTreeMap;
use std::sync::Arc;

use acquirer::Acquirer;

pub mod acquirer;
pub mod alipay;
pub mod bank;
pub mod divider;
pub mod ecny;
pub mod inbox;
pub mod payout;
pub(crate) mod repo;
pub mod sandbox;
pub mod unionpay;
pub mod wechat;

/// The name of the sandbox acquirer: in attempts, in the inbox, and as subject of its clearing account.
pub const SANDBOX: &str = "SANDBOX";

/// The name of the sandbox bank: in the inbox and as subject of its cash account.
pub const SANDBOX_BANK: &str = "SANDBOX_BANK";

/// The acquirers that this system is connected to, by name.
#[derive(Clone, Debug)]
pub struct Channels(Arc<BTreeMap<&'static str, Arc<dyn Acquirer>>>);

impl Channels {
    pub fn new(acquirers: impl IntoIterator<Item = Arc<dyn Acquirer>>) -> Self {
        Self(Arc::new(acquirers.into_iter().map(|acquirer| (acquirer.name(), acquirer)).collect()))
    }

    /// The acquirer of an attempt. None: it is not connected any more.
    pub fn get(&self, name: &str) -> Option<&dyn Acquirer> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// The first by name that offers a way to pay.
    pub fn offering(&self, method: acquirer::Method) -> Option<&dyn Acquirer> {
        self.0.values().map(AsRef::as_ref).find(|acquirer| acquirer.methods().contains(&method))
    }

    /// A channel that divides payments itself. None: it does not, or is not connected.
    pub fn divider(&self, name: &str) -> Option<&dyn divider::Divider> {
        self.get(name).and_then(Acquirer::divider)
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}

/// Why a call to a channel gave no usable word. Only [`ChannelError::Refused`] is definitive: it may fail an attempt, the others never.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A signed refusal: the request was not carried out and will not be.
    #[error("the channel refused the request with {code}")]
    Refused { code: String },
    /// Nothing came back in time, or the channel said that it cannot answer now. What happened to the request is unknown.
    #[error("the channel gave no answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The channel says that it gave back another amount than we asked for: a person has to look.
    #[error("the channel states {amount_minor} {currency} for a refund of another amount")]
    Conflicted { amount_minor: i64, currency: String },
    /// Something came back that the channel did not sign, or that does not belong to the request. It proves nothing.
    #[error("the channel's answer cannot be trusted: {0}")]
    BadAnswer(&'static str),
}

/// Refuses a refund whose stated amount is not ours.
fn same_amount(ours: crate::base::money::Money, amount_minor: i64, currency: &str) -> Result<(), ChannelError> {
    if (amount_minor, currency) == (ours.minor, ours.currency.as_str()) {
        Ok(())
    } else {
        Err(ChannelError::Conflicted { amount_minor, currency: currency.to_owned() })
    }
}

/// Whether an open question to a channel is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Final: nothing is left to ask.
    Settled,
    /// Not final: ask again after this long.
    AskAgain(std::time::Duration),
}

/// How long to wait before asking again about something that was sent `age` ago: soon at first, then less and less often.
pub fn ask_again(age: chrono::TimeDelta) -> Progress {
    let wait_s = match age.num_seconds() {
        ..60 => 5,
        60..300 => 15,
        _ => 60,
    };
    Progress::AskAgain(std::time::Duration::from_secs(wait_s))
}
