//! Why a refund cannot be made, or not now.

use std::time::Duration;

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::ledger::{LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order")]
    NotFound,
    #[error("the order has not been paid, so there is nothing to give back")]
    OrderNotPaid,
    #[error("the amount must be greater than zero")]
    AmountInvalid,
    #[error("the currency must be that of the order")]
    CurrencyDiffers,
    #[error("the reason must have 1 to 128 characters, without control characters")]
    ReasonInvalid,
    #[error("the amount exceeds what is left of the payment")]
    AmountExceedsPaid { refundable: Money },
    #[error("neither the pending nor the available balance covers the refund")]
    InsufficientBalance { available: Money },
    /// A refund of an order that holds money is taken from that alone.
    #[error("the order still holds {held}; refund at most that, and what was released in a refund of its own")]
    ExceedsHeld { held: Money },
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// Others held what this one needed for too long.
    #[error("the wallet is busy; try again with the same key")]
    Busy { retry_after: Duration },
    /// The channel refuses money that must go back whatever happens: a person has to look.
    #[error("the channel refused with {code} to give back money that was paid too much")]
    StillOwed { code: String },
    /// The channel that took the payment is not connected any more.
    #[error("the channel of the payment is not connected")]
    NoChannel,
    /// The ledger refused what the state of the refund allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl RefundError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Ledger(e) => e.retryable(),
            Self::Idempotency(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            _ => false,
        }
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        if self.database().is_some_and(db::busy) { Self::Busy { retry_after: db::RETRY_AFTER } } else { self }
    }

    /// The database's failure behind it, if that is what it is.
    pub(crate) fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        }
    }
}
