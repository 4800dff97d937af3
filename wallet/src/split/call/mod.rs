//! Requests to a channel that divides (分账请求): stored as SENT before it is asked, asked again under the same number until it gives a
//! definitive word.
//!
//! | | the channel | then our books |
//! |---|---|---|
//! | DIVIDE | shares of one payment to at most so many receivers | the line of each share that succeeded is moved |
//! | FINISH | the rest of the payment is the merchant's (完结) | the split finishes |
//! | RETURN | a share, or some of it, comes back (回退) | the part of the return is moved |
//! | REFUND | shares come back with the refund ([`super::returns::royalty`]) | the same |
//!
//! SENT → ACCEPTED (taken in, which is no success) → DONE or FAILED. A channel pays receivers out of the payment alone and knows no tree: it
//! is asked for the first level only, with what those pass on, and deeper levels are moved in the ledger. So what a receiver further down
//! cannot have stays with the one above it, here and there.
//!
//! | a process dies | what is left | who goes on |
//! |---|---|---|
//! | before the channel is asked | a SENT request it does not know | the job asks for it, then sends it under the same number |
//! | after the channel was asked, or it gave no answer | a SENT request | the job asks what became of it |
//! | after its word was stored | shares with their outcome, lines not moved | the job moves them by transfers of their own ids |

mod ask;
pub(crate) mod repo;
pub(super) mod rules;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use ask::ToAsk;

use super::{Split, SplitError, Splits, Upstream};
use crate::base::actor::{Actor, Role};
use crate::base::id::{AttemptId, MerchantId, OrderId, SplitCallId, SplitLineId};
use crate::channel::divider::{Asked, Division, Share};
use crate::channel::{Progress, ask_again};

/// What a channel is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum CallKind {
    Divide,
    Finish,
    Return,
    /// Never sent by itself: it goes with the refund, under its number.
    Refund,
}

impl CallKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Divide => "DIVIDE",
            Self::Finish => "FINISH",
            Self::Return => "RETURN",
            Self::Refund => "REFUND",
        }
    }
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum CallStatus {
    /// The channel may know it or not.
    Sent,
    /// It took it in.
    Accepted,
    /// Nothing of it moves any more; each share has its outcome. Final.
    Done,
    /// Refused for good. Final: what is tried again has another number.
    Failed,
}

impl CallStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Accepted => "ACCEPTED",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
        }
    }

    pub fn open(self) -> bool {
        matches!(self, Self::Sent | Self::Accepted)
    }
}

/// What became of a share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum ShareResult {
    Succeeded,
    Failed,
}

impl ShareResult {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

/// One share of a request. The account never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct CallShare {
    pub line: SplitLineId,
    pub account: String,
    pub amount_minor: i64,
    /// None: the channel has not said.
    pub outcome: Option<ShareResult>,
    pub error_code: Option<String>,
}

impl std::fmt::Debug for CallShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, amount_minor, outcome, .. } = self;
        f.debug_struct("CallShare")
            .field("line", line)
            .field("amount_minor", amount_minor)
            .field("outcome", outcome)
            .finish_non_exhaustive()
    }
}

/// A request to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub id: SplitCallId,
    pub merchant: MerchantId,
    pub order: OrderId,
    pub attempt: AttemptId,
    pub channel: String,
    pub transaction_id: String,
    pub kind: CallKind,
    /// The part of a return that it brings; of one that goes with a refund, the return.
    pub part: Option<Uuid>,
    pub status: CallStatus,
    pub error_code: Option<String>,
    pub sent_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// None where it finishes; one where it brings back by itself.
    pub shares: Vec<CallShare>,
}

impl Call {
    /// A request about a payment, to be sent.
    pub(super) fn new(split: &Split, attempt: AttemptId, upstream: &Upstream, kind: CallKind, now: DateTime<Utc>) -> Self {
        Self {
            id: SplitCallId::new(),
            merchant: split.merchant,
            order: split.order,
            attempt,
            channel: upstream.channel.clone(),
            transaction_id: upstream.transaction_id.clone(),
            kind,
            part: None,
            status: CallStatus::Sent,
            error_code: None,
            sent_at: now,
            resolved_at: None,
            shares: Vec::new(),
        }
    }

    /// The number that the channel knows it by.
    pub fn request_no(&self) -> String {
        self.id.simple()
    }

    fn asked(&self) -> Asked {
        Asked { request_no: self.request_no(), transaction_id: self.transaction_id.clone() }
    }

    /// What became of a line's share.
    pub(super) fn outcome(&self, line: SplitLineId) -> Option<ShareResult> {
        self.shares.iter().find(|share| share.line == line).and_then(|share| share.outcome)
    }

    fn division(&self) -> Division {
        let share = |s: &CallShare| Share { account: s.account.clone(), amount_minor: s.amount_minor };
        Division { asked: self.asked(), shares: self.shares.iter().map(share).collect() }
    }

    /// How long to wait before it is asked about again.
    pub(super) fn pause(&self, now: DateTime<Utc>) -> Duration {
        match ask_again(now - self.sent_at) {
            Progress::AskAgain(pause) => pause,
            Progress::Settled => Duration::ZERO,
        }
    }
}

impl Splits {
    /// Requests of an order to channels, oldest first. Operators only.
    pub async fn calls(&self, actor: &Actor, merchant: MerchantId, order: OrderId) -> Result<Vec<Call>, SplitError> {
        actor.require_role(Role::Operator)?;
        let mut connection = self.db.acquire().await?;
        Ok(repo::of_order(&mut connection, merchant.book(), order).await?)
    }
}

/// The open requests of an order that bring nothing back, to be asked about.
pub(super) fn open_ones(calls: &[Call]) -> Vec<ToAsk> {
    let open = calls.iter().filter(|call| call.status.open() && matches!(call.kind, CallKind::Divide | CallKind::Finish));
    open.map(|call| ToAsk { call: call.clone(), fresh: false, division_no: None }).collect()
}

/// Requests that are stored now, to be made.
pub(super) fn fresh(calls: &[Call]) -> Vec<ToAsk> {
    calls.iter().map(|call| ToAsk { call: call.clone(), fresh: true, division_no: None }).collect()
}
