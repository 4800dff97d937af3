//! Why a refund cannot be made, or not now.

use std::time::Duration;

use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::ledger::{LedgerError, Rejection};
use crate::refund::RefundStatus;
use crate::split::SplitError;

#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order")]
    NotFound,
    #[error("the order has not been paid, so there is nothing to give back")]
    OrderNotPaid,
    #[error("the amount must be greater than zero")]
    AmountInvalid,
    #[error("the currency must be that of the order")]
    CurrencyDiffers,
    #[error("the reason must have 1 to 128 characters, without control characters")]
    ReasonInvalid,
    #[error("the amount exceeds what is left of the payment")]
    AmountExceedsPaid { refundable: Money },
    #[error("neither the pending nor the available balance covers the refund")]
    InsufficientBalance { available: Money },
    /// A refund of an order that holds money is taken from that alone.
    #[error("the order still holds {held}; refund at most that, and what was released in a refund of its own")]
    ExceedsHeld { held: Money },
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("there is no such refund")]
    RefundNotFound,
    /// Of a divided order, one refund at a time waits for receivers.
    #[error("another refund of the order waits for what receivers give back; try again when it has gone on")]
    Gathering,
    /// Refunds and splits of an order keep out of each other's way (S7).
    #[error("parts of the order are on their way to receivers; try again when they have arrived")]
    Splitting,
    #[error("the refund is {}, so it cannot be cancelled; only one that was never sent can", .0.as_str())]
    NotCancellable(RefundStatus),
    #[error("the refund does not wait for what receivers give back")]
    NotGathering,
    #[error("the refund does not wait for a payee")]
    NoPayeeWanted,
    #[error("there is no such proposal, or a newer one, or it was approved before")]
    PayeeNotFound,
    #[error("nobody approves a payee they proposed themselves")]
    OwnProposal,
    #[error("the holder's name must have 1 to 64 characters, without control characters")]
    HolderInvalid,
    #[error("the account must have 8 to 32 digits")]
    AccountInvalid,
    #[error("the refund did not come back from the bank, so nobody has to pay it by hand")]
    NotBounced,
    #[error("the reference must be 1 to 64 letters, digits and dashes")]
    ReferenceInvalid,
    #[error("the evidence must have 1 to 256 characters, without control characters")]
    EvidenceInvalid,
    #[error("another such payment of the refund waits for a second person, or the reference closed another refund")]
    ManualTaken,
    #[error("another person has to confirm what was paid by hand")]
    OwnManual,
    #[error("there is no such proposal for the refund")]
    ManualNotFound,
    #[error("the proposal was decided already")]
    ManualDecided,
    #[error("the refund is not in conflict with what the channel stated")]
    NotConflicted,
    /// Refunds cannot go to bank accounts here.
    #[error("no bank is connected for refunds")]
    NoPayouts,
    /// The payee could not be sealed, or does not open.
    #[error("the payee of a refund could not be sealed or opened")]
    Payee,
    /// The split of the order cannot give back what it should: a broken invariant.
    #[error("the return of the order's split could not be planned")]
    Split(#[source] Box<SplitError>),
    /// Others held what this one needed for too long.
    #[error("the wallet is busy; try again with the same key")]
    Busy { retry_after: Duration },
    /// The channel refuses money that must go back whatever happens: a person has to look.
    #[error("the channel refused with {code} to give back money that was paid too much")]
    StillOwed { code: String },
    /// The channel that took the payment is not connected any more.
    #[error("the channel of the payment is not connected")]
    NoChannel,
    /// The ledger refused what the state of the refund allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl RefundError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Ledger(e) => e.retryable(),
            Self::Idempotency(e) => e.retryable(),
            Self::Database(e) => db::retryable(e),
            Self::Split(e) => e.retryable(),
            _ => false,
        }
    }

    /// After the last try: what passes by itself is told as such.
    pub(super) fn or_busy(self) -> Self {
        if self.database().is_some_and(db::busy) { Self::Busy { retry_after: db::RETRY_AFTER } } else { self }
    }

    /// The database's failure behind it, if that is what it is.
    pub(crate) fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            Self::Split(e) => match &**e {
                SplitError::Ledger(LedgerError::Database(e)) | SplitError::Database(e) => Some(e),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<SplitError> for RefundError {
    fn from(error: SplitError) -> Self {
        match error {
            SplitError::UnderWay => Self::Splitting,
            SplitError::Database(e) => Self::Database(e),
            other => Self::Split(Box::new(other)),
        }
    }
}
