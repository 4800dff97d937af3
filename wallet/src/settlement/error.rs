//! Why a settlement run stopped. Nobody's input is at fault here: there are no rejections to speak of but permission.

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::ledger::{LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The ledger refused what was computed under its own locks: a broken invariant.
    #[error("the ledger refused a release")]
    Refused(#[source] Rejection),
    #[error("could not post to the ledger")]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl SettlementError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Ledger(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            Self::Forbidden(_) | Self::Refused(_) => false,
        }
    }
}
