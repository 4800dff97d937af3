//! Why money was not moved between books.

use crate::base::batcher::SubmitError;
use crate::base::db;
use crate::ledger::{LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("there is no such transfer")]
    NotFound,
    #[error("this transfer id was used for a different transfer; use a new one")]
    IdReused,
    #[error("a transfer needs two books, an amount greater than zero and accounts of what is owed or earned")]
    Unsound,
    /// The ledger refused the first leg: nothing was moved.
    #[error("the money could not be taken from its book")]
    Refused(#[source] Rejection),
    /// The ledger refused the second leg: the money stays in transit and a person has to look.
    #[error("the money could not be brought to its book and stays in transit")]
    Stuck(#[source] Rejection),
    /// Not taken, or without an answer: the same call again tells.
    #[error("the transfer was cut short; run it again under the same id")]
    CutShort,
    #[error("could not post to the ledger")]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl TransferError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Ledger(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            Self::NotFound | Self::IdReused | Self::Unsound | Self::Refused(_) | Self::Stuck(_) | Self::CutShort => false,
        }
    }
}

impl From<SubmitError<Self>> for TransferError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Busy { .. } | SubmitError::Stopped => Self::CutShort,
            SubmitError::Failed(error) => error,
        }
    }
}
