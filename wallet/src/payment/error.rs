//! Why a payment cannot be started, or what the channel said cannot be taken in now.

use crate::base::actor::Forbidden;
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
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// The ledger refused what the state of the order allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    /// The channel's transaction was bound to another attempt a moment ago: judged again, it is a conflict.
    #[error("the channel's transaction was bound at the same time")]
    BoundMeanwhile,
    #[error(transparent)]
    Refund(#[from] RefundError),
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
            Self::Ledger(e) => e.retryable(),
            Self::Refund(e) => e.retryable(),
            Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => db::retryable(e),
            _ => false,
        }
    }
}
