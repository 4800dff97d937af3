//! Payment channels and banks (支付渠道): what the outside is told and how its word is checked. No transaction is open during a call.
//!
//! One acquirer and one bank today, both the sandbox, reached over HTTP with signed messages in both directions.

pub mod acquirer;
pub mod inbox;
pub(crate) mod repo;
pub mod sandbox;

/// The name of the sandbox acquirer: in attempts, in the inbox, and as subject of its clearing account.
pub const SANDBOX: &str = "SANDBOX";

/// The name of the sandbox bank: in the inbox and as subject of its cash account.
pub const SANDBOX_BANK: &str = "SANDBOX_BANK";

/// Why a call to a channel gave no usable word. Only [`ChannelError::Refused`] is definitive: it may fail an attempt, the others never.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A signed refusal: the request was not carried out and will not be.
    #[error("the channel refused the request with {code}")]
    Refused { code: String },
    /// Nothing came back in time, or the channel said that it cannot answer now. What happened to the request is unknown.
    #[error("the channel gave no answer")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something came back that the channel did not sign, or that does not belong to the request. It proves nothing.
    #[error("the channel's answer cannot be trusted: {0}")]
    BadAnswer(&'static str),
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
