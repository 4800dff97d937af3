//! Why a payment cannot be started, or what the channel said cannot be taken in now.

use std::time::Duration;

use crate::base::actor::Forbidden;
use crate::base::batcher::SubmitError;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::ledger::{LedgerError, Rejection};
use crate::refund::RefundError;

#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order")]
    NotFound,
    #[error("the order has been paid")]
    OrderPaid,
    #[error("the order is closed")]
    OrderClosed,
    #[error("the order has expired")]
    OrderExpired,
    /// The channel took another amount or currency than we asked for: a person has to look before anyone pays again.
    #[error("an earlier payment of this order is under review")]
    UnderReview,
    /// The channel has not said that the open payment is closed.
    #[error("the payment under way could not be closed yet; try again in a moment")]
    StillPaying,
    /// The order's product takes other ways to pay.
    #[error("this order cannot be paid this way")]
    MethodNotAllowed,
    /// The channels that offer this way give receivers a smaller part of a payment than the order's rule does (S5).
    #[error("this way of paying is not divided as the order's receivers are to get it; pay another way")]
    SplitTooLarge,
    /// No connected channel offers this way to pay, or the attempt's channel is not connected any more.
    #[error("no channel is connected for this payment")]
    NoChannel,
    /// A stored decision of the router that this version cannot read.
    #[error("the decision cannot be read")]
    Decision(#[from] crate::routing::BadText),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// The ledger refused what the state of the order allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    /// The channel's transaction was bound to another attempt a moment ago: judged again, it is a conflict.
    #[error("the channel's transaction was bound at the same time")]
    BoundMeanwhile,
    /// Too many are being started, or others held what this one needed for too long.
    #[error("too many payments are being made; try again with the same key")]
    Busy { retry_after: Duration },
    /// What became of it is told by asking again under the same key.
    #[error("the payment was cut short")]
    CutShort,
    #[error(transparent)]
    Refund(#[from] RefundError),
    #[error(transparent)]
    Split(#[from] crate::split::SplitError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl PaymentError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::BoundMeanwhile => true,
            Self::Split(e) => e.retryable(),
            Self::Ledger(e) => e.retryable(),
            Self::Refund(e) => e.retryable(),
            Self::Idempotency(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            _ => false,
        }
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        let passing = match &self {
            Self::BoundMeanwhile | Self::Idempotency(IdempotencyError::ClaimedMeanwhile) => true,
            _ => self.database().is_some_and(db::busy),
        };
        if passing { Self::Busy { retry_after: db::RETRY_AFTER } } else { self }
    }

    /// Whether no member of a batch fares better alone.
    pub(super) fn shared(&self) -> bool {
        self.database().is_some_and(db::away)
    }

    /// The database's failure behind it, if that is what it is.
    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Refund(e) => e.database(),
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        }
    }
}

impl From<SubmitError<Self>> for PaymentError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Busy { retry_after } => Self::Busy { retry_after },
            SubmitError::Stopped => Self::CutShort,
            SubmitError::Failed(error) => error.or_busy(),
        }
    }
}
