//! What can go wrong with a posting: its own fault ([`Rejection`], per member of a batch) or ours ([`LedgerError`], for the whole batch).

use super::account::AccountKind;
use crate::base::db;
use crate::base::money::Money;

/// Why one posting of a batch was not made. Decided before anything is written; its neighbours are unharmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the amount exceeds the balance")]
    AmountExceedsBalance {
        account: AccountKind,
        /// What may still be taken from the account.
        available: Money,
    },
    #[error("this was posted before")]
    AlreadyPosted,
    #[error("the book does not exist")]
    AccountMissing,
    #[error("debits and credits differ, or a leg is zero")]
    Unbalanced,
    #[error("the balance would not fit")]
    Overflow,
}

/// Why a whole batch failed. Nothing of it is kept once the caller's transaction rolls back.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
    /// An account changed under its lock: a broken invariant, never the caller's doing.
    #[error("the accounts of the batch could not all be updated")]
    Incomplete,
}

impl LedgerError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Database(e) if db::retryable(e))
    }
}
