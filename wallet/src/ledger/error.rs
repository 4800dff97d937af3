//! What can go wrong with a command: its own fault ([`Rejection`], per member of a batch) or ours ([`LedgerError`], for the whole batch).

use super::account::AccountKind;
use crate::base::db;
use crate::base::money::Money;

/// Why one command of a batch was not carried out. Decided before anything is written; its neighbours are unharmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the amount exceeds the balance")]
    AmountExceedsBalance {
        account: AccountKind,
        /// What may still be taken from the account.
        available: Money,
    },
    /// The same command was carried out before; a service of its own answers with what it came to.
    #[error("this was posted before")]
    AlreadyPosted,
    #[error("this reference was used for a different command; use a new one")]
    ReferenceReused,
    #[error("the book or account does not exist")]
    AccountMissing,
    #[error("debits and credits differ, a leg is zero, or there are fewer than two or too many legs")]
    Unbalanced,
    #[error("the amount must be greater than zero")]
    NotPositive,
    #[error("the balance would not fit")]
    Overflow,
    #[error("the posting does not exist")]
    PostingMissing,
    #[error("a reversal cannot be reversed; post what is right instead")]
    ReversalOfReversal,
    #[error("more would be taken back than is left of an entry")]
    ReversalExceedsEntry,
    #[error("the hold does not exist")]
    HoldMissing,
    #[error("the hold was captured, voided or expired before")]
    HoldResolved,
    #[error("the hold's time is not over yet")]
    HoldNotDue,
    #[error("the posting takes more than the hold, or nothing, from the held account")]
    CaptureExceedsHold {
        /// What is left of the hold, in minor units.
        left_minor: i64,
    },
    #[error("the floor is above what is available")]
    FloorAboveAvailable { available: Money },
}

/// Why a whole batch failed. Nothing of it is kept once the caller's transaction rolls back.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
    /// An account changed under its lock: a broken invariant, never the caller's doing.
    #[error("the accounts of the batch could not all be updated")]
    Incomplete,
    /// Something that the batch names was made while it waited for its locks.
    #[error("the ledger changed while the batch waited; run it again")]
    Stale,
}

impl LedgerError {
    /// Whether the whole transaction is worth running again. A key that another transaction took while this one waited for its locks is
    /// seen by the next try.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Database(e) => {
                // of a posting's own key and that of its lines the server checks either first
                let keys = ["postings_pkey", "entries_line", "holds_pkey", "floor_changes_pkey"];
                db::retryable(e) || db::constraint(e).is_some_and(|key| keys.contains(&key))
            }
            Self::Stale => true,
            Self::Incomplete => false,
        }
    }
}
