//! Why a review task could not be seen, claimed or decided.

use ai::image::ImageError;
use chrono::{DateTime, Utc};
use wallet::base::actor::Forbidden;
use wallet::base::idempotency::IdempotencyError;

use crate::files::FileError;
use crate::line::BadLine;
use crate::onboarding::OnboardingError;
use crate::vault::VaultError;

#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such review task")]
    NotFound,
    /// Another reviewer holds the task until then, unless they let it go or renew it.
    #[error("another reviewer has claimed the task")]
    AlreadyClaimed { until: DateTime<Utc> },
    /// The caller does not hold the task.
    #[error("the task must be claimed first")]
    NotClaimed,
    /// The caller has judged this version before: another person must look at it.
    #[error("another person must look at this page")]
    SecondPersonNeeded,
    /// No field of the paper, none at all, or too many.
    #[error("there is no such field on this kind of document")]
    UnknownField,
    /// Only what is approved and was read can be made a known item.
    #[error("only an approved page that the pipeline read can be planted")]
    NotPlantable,
    /// The pipeline would decide the changed claims alone, so that no reviewer would ever see such a page.
    #[error("the pipeline would decide this by itself")]
    DecidedAlone,
    /// The end does not come after the beginning, or more than a year after it.
    #[error("the span must be at most a year")]
    Span,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// The caller's claim ran out.
    #[error("the claim has run out")]
    LeaseExpired,
    #[error("the task is decided")]
    AlreadyDecided,
    /// The merchant replaced or corrected the paper; the new version is judged anew.
    #[error("the document was replaced since")]
    Superseded,
    /// A rejection needs a reason.
    #[error("a rejection needs a reason")]
    ReasonRequired,
    #[error("there is no such reason for this decision")]
    UnknownReason,
    /// The note is too long or holds control characters.
    #[error(transparent)]
    Line(#[from] BadLine),
    #[error("the application could not be moved on")]
    Application(#[from] OnboardingError),
    #[error("the file store failed")]
    Files(#[from] FileError),
    #[error("a sealed value failed")]
    Vault(#[from] VaultError),
    #[error("the stored image is damaged")]
    Image(#[from] ImageError),
    #[error("the image work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}
