//! Why an order cannot be divided, finished or asked back from, or not now.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::plan::Mistake;
use crate::base::actor::Forbidden;
use crate::base::batcher::SubmitError;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;
use crate::base::money::Money;
use crate::book::transfer::TransferError;
use crate::channel::ChannelError;
use crate::ledger::{CommandError, LedgerError, Rejection};

#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order, or it is not to be divided")]
    NotFound,
    #[error("the split has finished, so nothing of it can be divided any more")]
    Finished,
    #[error("a refund of the order is under way; divide it when that has ended")]
    RefundOpen,
    #[error("parts of the order are on their way to receivers; try again when they have arrived")]
    UnderWay,
    #[error("the whole order has been divided; finish it to release what is left")]
    NothingLeft,
    #[error("the order has been divided in {0} rounds, which is the most; finish it")]
    TooManyRounds(i16),
    #[error("the amount must be greater than zero")]
    AmountInvalid,
    #[error("the currency must be that of the order")]
    CurrencyDiffers,
    #[error("the amount exceeds what has not been divided yet")]
    AmountExceedsRest { rest: Money },
    #[error("the amount exceeds what the receivers have")]
    AmountExceedsReturnable { returnable: Money },
    /// The payment's channel gives receivers no more of it (S5).
    #[error("the channel {channel} gives receivers at most {most} of this payment")]
    AmountExceedsChannel { channel: String, most: Money },
    #[error("the channel keeps the money frozen only until {until}; finish the split")]
    FrozenTooLong { until: DateTime<Utc> },
    /// What it releases later is divided, too.
    #[error("the order still holds money, and what it releases is divided; finish when nothing is held any more")]
    StillHeld,
    #[error("there is no channel of this name that divides payments")]
    ChannelDividesNot,
    #[error("the channel has no such account")]
    AccountInvalid,
    #[error("the receiver is not a signed merchant")]
    ReceiverNotSigned,
    /// The channel takes shares back when the payer is refunded, and not otherwise.
    #[error("the channel brings shares back with a refund only; refund the order")]
    ReturnsWithRefund,
    #[error("no channel has refused to finish the split")]
    FinishNotRefused,
    #[error("the rule or the merchants it names have {} mistakes", .0.len())]
    Rule(Vec<Mistake>),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// Others held what this one needed for too long.
    #[error("the order is busy; try again with the same key")]
    Busy { retry_after: Duration },
    /// The row is not what it was under its lock: a broken invariant, never the caller's doing.
    #[error("the split changed under its lock")]
    Changed,
    /// The ledger refused what the state of the split allows: a broken invariant, never the caller's doing.
    #[error("the ledger refused the posting")]
    Posting(#[source] Rejection),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("money could not be moved between books")]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl SplitError {
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
        let failure = match &self {
            Self::Ledger(LedgerError::Database(e)) | Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => Some(e),
            _ => None,
        };
        if failure.is_some_and(db::busy) { Self::Busy { retry_after: db::RETRY_AFTER } } else { self }
    }
}

impl From<CommandError> for SplitError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => Self::Posting(rejection),
            CommandError::Failed(error) => Self::Ledger(error),
            CommandError::Busy { retry_after } => Self::Busy { retry_after },
            CommandError::Stopped => Self::Busy { retry_after: db::RETRY_AFTER },
        }
    }
}

impl From<SubmitError<SplitError>> for SplitError {
    fn from(error: SubmitError<SplitError>) -> Self {
        match error {
            SubmitError::Busy { retry_after } => Self::Busy { retry_after },
            SubmitError::Stopped => Self::Busy { retry_after: db::RETRY_AFTER },
            SubmitError::Failed(error) => error,
        }
    }
}
