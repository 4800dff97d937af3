//! Why an application or one of its papers could not be read or changed.

use std::time::Duration;

use ai::document::DocumentKind;
use ai::image::ImageError;
use wallet::base::actor::Forbidden;
use wallet::ledger::LedgerError;

use super::ApplicationStatus;
use super::rules::ClaimError;
use crate::files::FileError;
use crate::line::BadLine;
use crate::vault::VaultError;

#[derive(Debug, thiserror::Error)]
pub enum OnboardingError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Missing, or somebody else's: the caller cannot tell which.
    #[error("there is no such application or document")]
    NotFound,
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The command's `settlement_account_number` is not 8 to 32 digits.
    #[error("the settlement account number must have 8 to 32 digits")]
    SettlementAccountNumber,
    /// The owner has a merchant of this name: an application sent twice ends here.
    #[error("the owner has a merchant of this name")]
    MerchantNameTaken,
    /// No application asks for this kind of paper.
    #[error("an application does not ask for this kind of paper")]
    KindNotAsked { kind: DocumentKind },
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("the image cannot be taken")]
    Image(#[from] ImageError),
    /// Submitted before; corrections are checked as they come, without submitting again.
    #[error("the application was submitted before")]
    AlreadySubmitted { status: ApplicationStatus },
    #[error("papers are missing")]
    PapersMissing { kinds: Vec<DocumentKind> },
    /// An approved application changes no more.
    #[error("the application is approved")]
    ApplicationApproved,
    /// This paper is approved; the others may still be corrected.
    #[error("the document is approved")]
    DocumentApproved,
    /// Too many papers wait to be read. What was handed in stays as it is.
    #[error("too many papers wait to be read")]
    QueueFull { retry_after: Duration },
    #[error("the file store failed")]
    Files(#[from] FileError),
    #[error("a sealed value failed")]
    Vault(#[from] VaultError),
    #[error("the image work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("could not open the merchant's book")]
    Book(#[from] LedgerError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}
