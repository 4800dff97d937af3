//! Why there is no proof.

use crate::base::actor::Forbidden;
use crate::base::db;

#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// What the log was made to show: the entry or the log was changed since. A person has to look.
    #[error("{0} is not what was logged")]
    Altered(String),
    /// Transaction numbers began anew, as after a dump and restore: appending would skip or repeat entries.
    #[error("the log's mark lies ahead of the database's transactions: it was restored from a dump, and the log must not be continued")]
    MarkAhead,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl ProofError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Database(error) if db::retryable(error))
    }
}
