//! Why an order cannot be made, read or closed.

use crate::base::actor::Forbidden;
use crate::base::idempotency::IdempotencyError;

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such order")]
    NotFound,
    #[error("the merchant has not been signed yet, so it cannot take payments")]
    MerchantNotSigned,
    #[error("there is no such store of this merchant")]
    StoreNotFound,
    #[error("the amount must be greater than zero and at most 10,000,000,000.00")]
    AmountInvalid,
    #[error("the subject must have 1 to 128 characters, without control characters")]
    SubjectInvalid,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}
