//! What the money core asks of a channel that divides payments itself (分账), and what it may say.
//!
//! A payment that is to be divided there is asked for with its money frozen. Shares of it go to receivers' accounts at the same channel,
//! part of them may come back, and what is left becomes the payee's at the end. Every request has a number of ours and may be repeated.

use std::fmt;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::ChannelError;
use super::acquirer::{Method, TransferWord};
use crate::base::money::Money;

/// Basis points of a whole.
const WHOLE_BPS: i128 = 10_000;

/// What a channel holds us to (S5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// Ways of paying whose payments are divided, and given back from, as it is asked.
    pub methods: &'static [Method],
    /// Most receivers of one request.
    pub receivers_max: usize,
    /// Most requests in a second under one number of ours.
    pub calls_per_s: u32,
    /// Most of a payment that receivers may get, in basis points.
    pub share_max_bps: u16,
    /// Days after the payment from which the money does not stay frozen.
    pub frozen_days: u16,
    /// Whether a share comes back when it is asked for. If not, it comes back with a refund that names it, and not otherwise (退分账).
    pub returns: bool,
}

impl Caps {
    /// Most of a payment that receivers may get, in minor units.
    pub fn divisible_minor(&self, paid: Money) -> i64 {
        i64::try_from(i128::from(paid.minor) * i128::from(self.share_max_bps) / WHOLE_BPS).unwrap_or(paid.minor)
    }

    pub fn frozen_for(&self) -> TimeDelta {
        TimeDelta::days(self.frozen_days.into())
    }
}

/// A receiver (分账接收方) to be made known. Who it is never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver {
    pub account: String,
    /// Its full name, which the channel compares.
    pub name: String,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// One receiver's share. Whose it is never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    pub account: String,
    pub amount_minor: i64,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("amount_minor", &self.amount_minor).finish_non_exhaustive()
    }
}

/// A request as the channel finds it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Ours: 32 lower-case hexadecimal digits.
    pub request_no: String,
    /// The channel's own id of the payment.
    pub transaction_id: String,
}

/// Shares to be given. No account stands in it twice.
#[derive(Clone, Debug)]
pub struct Division {
    pub asked: Asked,
    pub shares: Vec<Share>,
}

/// A share, or a part of it, to be brought back (分账回退).
#[derive(Clone, Debug)]
pub struct GiveBack {
    pub asked: Asked,
    /// The number of the division that gave the share.
    pub division_no: String,
    pub share: Share,
}

/// A refund that takes shares back, as the channel finds it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefundAsked {
    /// The refund's number, and the payment's: ours.
    pub request_no: String,
    pub payment_no: String,
}

/// A division as the channel knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DivisionWord {
    /// Nothing of it moves any more.
    pub finished: bool,
    /// What became of each share; may be left out while they are under way. What went to the payee may stand among them.
    pub shares: Vec<ShareWord>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareWord {
    pub share: Share,
    pub outcome: ShareOutcome,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareOutcome {
    Pending,
    Succeeded,
    /// Went back to the payment.
    Failed {
        code: String,
    },
}

/// A channel that divides payments. Every call is one signed exchange with a time limit; none is made inside a transaction.
#[async_trait]
pub trait Divider: fmt::Debug + Send + Sync {
    fn caps(&self) -> Caps;

    /// Our number there, which its pace counts by.
    fn payee_no(&self) -> &str;

    /// Whether an account can be one of this channel's. Nothing is asked.
    fn is_account(&self, account: &str) -> bool;

    /// Makes a receiver known, as must be done once before it can have a share. Safe to repeat.
    async fn introduce(&self, receiver: &Receiver) -> Result<(), ChannelError>;

    /// Asks for a division. Safe to repeat. Taken in is not carried out.
    async fn divide(&self, division: &Division) -> Result<DivisionWord, ChannelError>;

    /// Makes the rest of a payment the payee's; nothing more can be divided (完结). Safe to repeat.
    async fn finish(&self, asked: &Asked) -> Result<DivisionWord, ChannelError>;

    /// Asks where a division or a finish stands. None: the channel does not know the number.
    async fn query_division(&self, asked: &Asked) -> Result<Option<DivisionWord>, ChannelError>;

    /// Asks for a share to come back. Safe to repeat.
    async fn give_back(&self, back: &GiveBack) -> Result<TransferWord, ChannelError>;

    /// Asks where a return stands. None: the channel does not know the number.
    async fn query_back(&self, back: &GiveBack) -> Result<Option<TransferWord>, ChannelError>;

    /// Asks what a refund that succeeded took back from receivers: one word per account. None: the channel does not know such a refund, or
    /// takes nothing back with it.
    async fn query_refunded(&self, refund: &RefundAsked) -> Result<Option<Vec<ShareWord>>, ChannelError>;
}
