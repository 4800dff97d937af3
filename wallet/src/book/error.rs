//! Why books could not be opened, striped or read.

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::ledger::LedgerError;

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such merchant, or it has not been signed yet and has no book")]
    NotFound,
    #[error("a merchant has 1 to {} stripes", super::STRIPES_MAX)]
    StripesOutOfRange,
    #[error("the number of stripes only grows: there are {stripes}")]
    StripesOnlyGrow { stripes: i16 },
    #[error("could not write to the ledger")]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl BookError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Ledger(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            Self::Forbidden(_) | Self::NotFound | Self::StripesOutOfRange | Self::StripesOnlyGrow { .. } => false,
        }
    }
}
