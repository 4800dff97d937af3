//! Why an order cannot be made, read or closed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::base::actor::Forbidden;
use crate::base::batcher::SubmitError;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::ledger::{LedgerError, Rejection};
use crate::split::SplitError;

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order")]
    NotFound,
    #[error("the merchant has not been signed yet, so it cannot take payments")]
    MerchantNotSigned,
    #[error("there is no such store of this merchant")]
    StoreNotFound,
    #[error("the amount must be greater than zero and at most 10,000,000,000.00")]
    AmountInvalid,
    #[error("the subject must have 1 to 128 characters, without control characters")]
    SubjectInvalid,
    #[error("there is no such product")]
    ProductUnknown,
    #[error("this product takes amounts from {min} to {max}")]
    AmountOutsideProduct { min: Money, max: Money },
    #[error("the product needs a merchant for the role {role}")]
    RoleUnbound { role: String },
    #[error("the product has no role {role}")]
    RoleUnknown { role: String },
    #[error("the role {role} cannot be the merchant of the order")]
    PartyIsMerchant { role: String },
    #[error("the merchant for the role {role} cannot be the one that pays it")]
    PartyPaysItself { role: String },
    #[error("the merchant for the role {role} is not a signed one")]
    PartyNotSigned { role: String },
    #[error("the order has not been paid, so that nothing is held")]
    NotPaid,
    #[error("the product of the order holds nothing")]
    NotHeld,
    #[error("the order is released by stages; name one")]
    StageMissing,
    #[error("the order has no such stage")]
    StageUnknown,
    #[error("nothing is left to be released")]
    NothingLeft,
    /// Nobody confirms it: its date does.
    #[error("this is released by itself, at {at}")]
    ReleasedByDate { at: DateTime<Utc> },
    #[error("both sides confirm the whole of it; leave the amount out")]
    AmountNotAllowed,
    #[error("the amount exceeds what may be released")]
    AmountExceedsHeld { left: Money },
    #[error("this side has confirmed; the other has not yet")]
    AlreadyConfirmed,
    /// The ledger refused what the state of the order allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// Too many are being made, or others held what this one needed for too long.
    #[error("too many orders are being made; try again with the same key")]
    Busy { retry_after: Duration },
    /// What became of it is told by asking again under the same key.
    #[error("the order was cut short")]
    CutShort,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl OrderError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Split(e) => e.retryable(),
            Self::Ledger(e) => e.retryable(),
            Self::Idempotency(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            _ => false,
        }
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        let passing = match &self {
            Self::Idempotency(IdempotencyError::ClaimedMeanwhile) => true,
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
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        }
    }
}

impl From<SubmitError<Self>> for OrderError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Busy { retry_after } => Self::Busy { retry_after },
            SubmitError::Stopped => Self::CutShort,
            SubmitError::Failed(error) => error.or_busy(),
        }
    }
}
