//! The application (进件申请): a merchant hands in three papers with what it typed, the pipeline or a reviewer judges each, and when all
//! are approved the merchant is signed (签约) and its book is opened, in one transaction with the last verdict.
//!
//! `paper.rs` takes papers in, `queue.rs` tells how long they wait, `judgement.rs` takes verdicts, `progress.rs` draws the consequences for the application.

mod error;
mod judgement;
mod paper;
pub(crate) mod progress;
pub mod queue;
pub(crate) mod repo;
pub mod rules;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ai::document::DocumentKind;
use ai::review::Reason;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{ApplicationId, DocumentId, MerchantId};
use wallet::base::job::{self, NewJob};
use wallet::base::outbox;

use crate::files::FileStore;
use crate::line;
use crate::mask;
use crate::merchants::repo::NewMerchant;
use crate::merchants::rules::Reach;
use crate::merchants::{self, FEE_BPS_DEFAULT, SettlementAccount};
use crate::review::sample::AuditSample;
use crate::vault::{Place, Vault};

pub use error::OnboardingError;
pub use judgement::{Applied, ForReview, Judgement};
pub use paper::Attach;
pub use queue::Waiting;
pub use rules::{ClaimError, ClaimInput, ClaimProblem, PAPERS, required_claims};

/// The job that judges one document; its subject is the document's id.
pub const REVIEW_JOB: &str = "document_review";

/// Uploaded images decoded at the same time: each may hold 150 MB of pixels.
const IMAGES_AT_ONCE: usize = 2;

/// Where an application stands; [`rules::application_status`] draws it from the papers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplicationStatus {
    /// Papers are being handed in (草稿).
    Draft,
    /// The pipeline reads papers (核验中).
    Checking,
    /// A person looks at a paper (人工审核中).
    InReview,
    /// The merchant must correct a paper (待修改).
    NeedsCorrection,
    /// All papers are approved and the merchant is signed (已通过).
    Approved,
}

impl ApplicationStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Checking => "CHECKING",
            Self::InReview => "IN_REVIEW",
            Self::NeedsCorrection => "NEEDS_CORRECTION",
            Self::Approved => "APPROVED",
        }
    }
}

/// Where a paper stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DocumentStatus {
    /// Handed in, not submitted (已上传).
    Uploaded,
    /// The pipeline reads it (核验中).
    Checking,
    /// A person looks at it (人工审核中).
    InReview,
    /// It must be photographed again (需重新上传).
    Reupload,
    /// Refused, with reasons (未通过).
    Rejected,
    /// Approved (已通过).
    Approved,
}

impl DocumentStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploaded => "UPLOADED",
            Self::Checking => "CHECKING",
            Self::InReview => "IN_REVIEW",
            Self::Reupload => "REUPLOAD",
            Self::Rejected => "REJECTED",
            Self::Approved => "APPROVED",
        }
    }

    /// Whether a verdict on the present version is out.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Reupload | Self::Rejected | Self::Approved)
    }
}

/// A merchant's application (进件申请).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    pub id: ApplicationId,
    pub merchant: MerchantId,
    pub status: ApplicationStatus,
    pub created_at: DateTime<Utc>,
    pub submitted_at: Option<DateTime<Utc>>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A paper of an application (影像资料), without the personal data in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub id: DocumentId,
    pub application: ApplicationId,
    pub kind: DocumentKind,
    pub status: DocumentStatus,
    /// The version that counts: 1 at the first upload, one more with each upload or correction.
    pub version: i32,
    /// Why it is not approved, the gravest first; empty once it is.
    pub reasons: Vec<Reason>,
    pub uploaded_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Begins an application.
#[derive(Clone)]
pub struct CreateApplication {
    /// 2 to 64 characters; an owner has one merchant of a name.
    pub merchant_name: String,
    /// Whose account it is, 2 to 64 characters.
    pub settlement_account_name: String,
    /// 8 to 32 digits, spaces between them allowed.
    pub settlement_account_number: String,
}

impl fmt::Debug for CreateApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateApplication").field("merchant_name", &self.merchant_name).finish_non_exhaustive()
    }
}

/// Takes applications from the first name to the signed merchant.
#[derive(Clone, Debug)]
pub struct Applications {
    db: PgPool,
    clock: Clock,
    vault: Vault,
    files: FileStore,
    images: Arc<Semaphore>,
    sample: AuditSample,
    /// Papers that are read at the same time.
    read_at_once: u32,
}

impl Applications {
    pub fn new(db: PgPool, clock: Clock, vault: Vault, files: FileStore) -> Self {
        Self { db, clock, vault, files, images: Arc::new(Semaphore::new(IMAGES_AT_ONCE)), sample: AuditSample::none(), read_at_once: 2 }
    }

    /// With a blind sample of what the pipeline approves.
    #[must_use]
    pub fn sampling(self, sample: AuditSample) -> Self {
        Self { sample, ..self }
    }

    /// Telling waits for so many papers read at the same time, two unless told.
    #[must_use]
    pub fn reading(self, at_once: usize) -> Self {
        Self { read_at_once: u32::try_from(at_once).unwrap_or(u32::MAX), ..self }
    }

    /// Makes a merchant that applies, and its empty application. Owners only.
    pub async fn create(&self, actor: &Actor, command: CreateApplication) -> Result<Application, OnboardingError> {
        let Actor::Person { id: owner, role: Role::Owner, .. } = actor else { return Err(Forbidden.into()) };
        let name = line::check("merchant_name", &command.merchant_name, 2, 64)?;
        let holder = line::check("settlement_account_name", &command.settlement_account_name, 2, 64)?;
        let number =
            rules::settlement_account_number(&command.settlement_account_number).ok_or(OnboardingError::SettlementAccountNumber)?;
        let now = self.clock.now();
        let merchant = MerchantId::new();
        let application = Application {
            id: ApplicationId::new(),
            merchant,
            status: ApplicationStatus::Draft,
            created_at: now,
            submitted_at: None,
            decided_at: None,
        };
        let tail = mask::account_tail(&number);
        let sealed = self.vault.seal_json(&merchants::settlement_account_place(merchant), &SettlementAccount { holder, number })?;
        let new = NewMerchant {
            id: merchant,
            owner: *owner,
            name: &name,
            fee_bps: FEE_BPS_DEFAULT,
            settlement_account_sealed: &sealed,
            settlement_account_tail: &tail,
            created_at: now,
        };

        let mut tx = self.db.begin().await?;
        if !merchants::repo::insert_merchant_in_tx(&mut tx, &new).await? {
            return Err(OnboardingError::MerchantNameTaken);
        }
        repo::insert_application_in_tx(&mut tx, &application).await?;
        outbox::append_in_tx(&mut tx, &[progress::event(&application, "application.created", now)]).await?;
        let detail = json!({ "merchant_id": merchant });
        audit::record_in_tx(&mut tx, actor, "application.created", application.id.0, detail, now).await?;
        tx.commit().await?;
        Ok(application)
    }

    /// Hands a complete draft in: every paper goes to the pipeline by a job of its own.
    pub async fn submit(&self, actor: &Actor, id: ApplicationId) -> Result<Application, OnboardingError> {
        let reach = Reach::to_change(actor)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut application = repo::lock_application_in_tx(&mut tx, reach.owner(), id).await?.ok_or(OnboardingError::NotFound)?;
        if application.status != ApplicationStatus::Draft {
            return Err(OnboardingError::AlreadySubmitted { status: application.status });
        }
        let documents = repo::documents_of_applications(&mut *tx, None, &[id]).await?;
        let missing = rules::missing_papers(&documents.iter().map(|d| d.kind).collect::<Vec<_>>());
        if !missing.is_empty() {
            return Err(OnboardingError::PapersMissing { kinds: missing });
        }
        self.require_room(&mut *tx).await?;
        application.status = ApplicationStatus::Checking;
        application.submitted_at = Some(now);
        repo::check_documents_in_tx(&mut tx, id).await?;
        repo::update_application_in_tx(&mut tx, id, application.status, now).await?;
        let jobs: Vec<_> = documents.iter().map(|d| review_job(application.merchant, d.id)).collect();
        job::enqueue_in_tx(&mut tx, &jobs).await?;
        outbox::append_in_tx(&mut tx, &[progress::event(&application, "application.submitted", now)]).await?;
        audit::record_in_tx(&mut tx, actor, "application.submitted", id.0, json!({}), now).await?;
        tx.commit().await?;
        Ok(application)
    }

    /// One application. Its owner, operators and the platform may read it.
    pub async fn get(&self, actor: &Actor, id: ApplicationId) -> Result<Application, OnboardingError> {
        let reach = Reach::to_read(actor)?;
        repo::applications(&self.db, reach.owner(), &[id]).await?.pop().ok_or(OnboardingError::NotFound)
    }

    /// Those of the applications that the caller may read. One query.
    pub async fn applications_by_ids(
        &self,
        actor: &Actor,
        ids: &[ApplicationId],
    ) -> Result<HashMap<ApplicationId, Application>, OnboardingError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        Ok(repo::applications(&self.db, reach.owner(), ids).await?.into_iter().map(|a| (a.id, a)).collect())
    }

    /// The application of each of the merchants that the caller may read. One query.
    pub async fn applications_of_merchants(
        &self,
        actor: &Actor,
        merchants: &[MerchantId],
    ) -> Result<HashMap<MerchantId, Application>, OnboardingError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        let rows = repo::applications_of_merchants(&self.db, reach.owner(), merchants).await?;
        Ok(rows.into_iter().map(|a| (a.merchant, a)).collect())
    }

    /// One document. Whoever may read its application may read it. Not reviewers: how a paper stands would tell a sample from a live task.
    pub async fn document(&self, actor: &Actor, id: DocumentId) -> Result<Document, OnboardingError> {
        let reach = Reach::to_read(actor)?;
        repo::documents(&self.db, reach.owner(), &[id]).await?.pop().ok_or(OnboardingError::NotFound)
    }

    /// Those of the documents that the caller may read. One query.
    pub async fn documents_by_ids(&self, actor: &Actor, ids: &[DocumentId]) -> Result<HashMap<DocumentId, Document>, OnboardingError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        Ok(repo::documents(&self.db, reach.owner(), ids).await?.into_iter().map(|d| (d.id, d)).collect())
    }

    /// The papers of each of the applications that the caller may read, in the order they are asked for. One query.
    pub async fn documents_of_applications(
        &self,
        actor: &Actor,
        applications: &[ApplicationId],
    ) -> Result<HashMap<ApplicationId, Vec<Document>>, OnboardingError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        let mut documents: HashMap<_, Vec<_>> = HashMap::new();
        let mut rows = repo::documents_of_applications(&self.db, reach.owner(), applications).await?;
        rows.sort_by_key(|d| d.kind);
        for document in rows {
            documents.entry(document.application).or_default().push(document);
        }
        Ok(documents)
    }
}

fn review_job(merchant: MerchantId, document: DocumentId) -> NewJob {
    NewJob { kind: REVIEW_JOB, book: merchant.book(), subject: document.0, run_at: Clock::wall() }
}

/// One version of a document as the name of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionRow(pub(crate) DocumentId, pub(crate) i32);

impl fmt::Display for VersionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// Where the claims of a version are sealed.
pub(crate) fn claims_place(row: VersionRow) -> Place<'static, VersionRow> {
    Place { table: "document_versions", column: "claims", row }
}

/// Where the findings of a version are sealed.
pub(crate) fn findings_place(row: VersionRow) -> Place<'static, VersionRow> {
    Place { table: "document_findings", column: "findings", row }
}

/// Where the comparison of a version is sealed.
pub(crate) fn comparison_place(row: VersionRow) -> Place<'static, VersionRow> {
    Place { table: "document_findings", column: "comparison", row }
}
