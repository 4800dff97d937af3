//! Why a programme or its money cannot be changed.

use std::time::Duration;

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::ledger::{LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum SubsidyError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such programme")]
    NotFound,
    #[error("there is no such movement")]
    MovementNotFound,
    #[error("the code must be 1 to 32 upper-case letters, digits and underscores after a letter")]
    CodeInvalid,
    #[error("a programme of this code was made already")]
    CodeTaken,
    #[error("the name must have 1 to 32 characters, without control characters")]
    NameInvalid,
    #[error("the share must be between 1 and 10000 basis points")]
    ShareInvalid,
    #[error("the most that an order gets must be greater than zero and at most 10,000,000,000.00")]
    MaxInvalid,
    /// Neither share nor maximum: every order would be free.
    #[error("a programme needs a share, a maximum per order, or both")]
    Unlimited,
    #[error("a programme must begin before it ends")]
    SpanInvalid,
    #[error("the amount must be greater than zero and at most 10,000,000,000.00")]
    AmountInvalid,
    #[error("the bank's number must be 1 to 64 letters, digits and dashes")]
    ReferenceInvalid,
    #[error("a movement with this number of the bank's was written down already")]
    ReferenceTaken,
    #[error("the programme has ended")]
    Ended,
    #[error("the programme has not ended; what it has is still promised to orders to come")]
    NotEnded,
    #[error("only {left} is left that may be taken back")]
    ExceedsLeft { left: Money },
    #[error("the movement was decided already")]
    Decided,
    #[error("another person has to confirm this")]
    OwnProposal,
    /// Others held what this one needed for too long.
    #[error("the programme is busy; try again with the same key")]
    Busy { retry_after: Duration },
    /// The ledger refused what the state of the programme allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl SubsidyError {
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
        let database = match &self {
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        };
        if database.is_some_and(db::busy) { Self::Busy { retry_after: db::RETRY_AFTER } } else { self }
    }
}
