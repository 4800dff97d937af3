//! Why a withdrawal cannot be requested, read or resolved.

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::ledger::{LedgerError, Rejection};
use crate::refund::RefundError;

#[derive(Debug, thiserror::Error)]
pub enum WithdrawalError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such withdrawal")]
    NotFound,
    #[error("the merchant has not been signed yet, so it has no wallet")]
    MerchantNotSigned,
    #[error("the amount must be greater than zero and at most 10,000,000,000.00")]
    AmountInvalid,
    #[error("the amount exceeds the available balance")]
    AmountExceedsAvailable { requested: Money, available: Money },
    /// The bank that was asked for it is not configured any more: connect it again, since only it knows what became of the money.
    #[error("the bank {0} of the withdrawal is not connected")]
    BankNotConnected(String),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("the wallet is busy; try again")]
    Busy,
    /// The ledger refused what the withdrawal's own state allows: a broken invariant.
    #[error("the ledger refused the withdrawal")]
    Refused(#[source] Rejection),
    /// A withdrawal changed under its lock: a broken invariant.
    #[error("the withdrawals of the batch could not all be updated")]
    Incomplete,
    /// A notice of the bank about a refund.
    #[error("the bank's word on a refund could not be applied")]
    Refund(#[source] Box<RefundError>),
    #[error("could not post to the ledger")]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl WithdrawalError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        self.database().is_some_and(db::retryable)
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        if self.database().is_some_and(db::busy) { Self::Busy } else { self }
    }

    /// The database's failure behind it, if that is what it is.
    fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            Self::Refund(e) => e.database(),
            _ => None,
        }
    }
}
