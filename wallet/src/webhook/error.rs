//! Why a webhook command was not carried out.

use chrono::{DateTime, Utc};

use super::UrlFault;
use crate::base::actor::Forbidden;
use crate::base::db;
use crate::base::idempotency::IdempotencyError;

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such endpoint")]
    EndpointNotFound,
    #[error("there is no such delivery")]
    DeliveryNotFound,
    #[error("the URL cannot be used")]
    Url(#[from] UrlFault),
    #[error("one of the kinds is not a kind of event that merchants are told of")]
    KindUnknown,
    #[error("the merchant has as many endpoints as it may have")]
    TooMany,
    #[error("the endpoint was deleted")]
    Gone,
    #[error("the endpoint is paused, so nothing is sent to it")]
    Paused,
    /// Two keys live already.
    #[error("the endpoint's keys are changing over already")]
    Rotating { until: DateTime<Utc> },
    #[error("the overlap must be between 0 and 168 hours")]
    OverlapInvalid,
    #[error("the delivery is still being tried, so there is nothing to send again")]
    StillPending,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// A place was taken at the same moment.
    #[error("another endpoint was made at the same time")]
    PlaceTaken,
    /// The vault did not seal a fresh key.
    #[error("a signing key could not be made")]
    Key,
    /// A stored body is not what was written: a broken invariant.
    #[error("a stored body cannot be read")]
    Body(#[from] serde_json::Error),
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl WebhookError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::PlaceTaken => true,
            Self::Database(e) | Self::Idempotency(IdempotencyError::Database(e)) => db::retryable(e),
            _ => false,
        }
    }
}
