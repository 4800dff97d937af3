//! Why a cap cannot be set, or an advance not be recovered now.

use std::time::Duration;

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::ledger::{LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such merchant with a wallet")]
    NotFound,
    #[error("there is no such proposal")]
    CapNotFound,
    #[error("the cap must be between zero and 10,000,000,000.00")]
    CapInvalid,
    #[error("another cap of this merchant waits for a second person")]
    Open,
    #[error("the proposal was decided already")]
    Decided,
    #[error("another person has to confirm this")]
    OwnProposal,
    /// Others held what this one needed for too long.
    #[error("the wallet is busy; try again with the same key")]
    Busy { retry_after: Duration },
    /// The ledger refused what was there under the lock: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl AdvanceError {
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
