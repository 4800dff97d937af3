//! SQL of applications, their documents, and what the pipeline found. `owner` filters by owner; none lets all rows through.
//!
//! Lock order: the application first, then its documents and review tasks, then the merchant, then the ledger's accounts. Every change
//! of a document goes through the application's lock, so what is read after it stays true until commit.

use std::collections::HashMap;
use std::time::Duration;

use ai::document::DocumentKind;
use ai::review::Reason;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;
use wallet::base::id::{ApplicationId, DocumentId, MerchantId};

use super::queue::{Place, Queue};
use super::{Application, ApplicationStatus, Document, DocumentStatus, REVIEW_JOB};

struct DocumentRow {
    id: DocumentId,
    application: ApplicationId,
    kind: String,
    status: DocumentStatus,
    version: i32,
    reasons: Json<Vec<Reason>>,
    uploaded_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

impl TryFrom<DocumentRow> for Document {
    type Error = sqlx::Error;

    fn try_from(row: DocumentRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            application: row.application,
            kind: kind(&row.kind)?,
            status: row.status,
            version: row.version,
            reasons: row.reasons.0,
            uploaded_at: row.uploaded_at,
            decided_at: row.decided_at,
        })
    }
}

/// The kind of document that a column names.
pub(crate) fn kind(text: &str) -> sqlx::Result<DocumentKind> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) async fn applications(db: &PgPool, owner: Option<Uuid>, ids: &[ApplicationId]) -> sqlx::Result<Vec<Application>> {
    let ids: Vec<Uuid> = ids.iter().map(|a| a.0).collect();
    sqlx::query_as!(
        Application,
        r#"SELECT a.application_id AS "id: ApplicationId", a.merchant_id AS "merchant: MerchantId", a.status AS "status: ApplicationStatus",
                  a.created_at, a.submitted_at, a.decided_at
           FROM applications a
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE a.application_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)"#,
        &ids,
        owner
    )
    .fetch_all(db)
    .await
}

pub(super) async fn applications_of_merchants(
    db: &PgPool,
    owner: Option<Uuid>,
    merchants: &[MerchantId],
) -> sqlx::Result<Vec<Application>> {
    let merchants: Vec<Uuid> = merchants.iter().map(|m| m.0).collect();
    sqlx::query_as!(
        Application,
        r#"SELECT a.application_id AS "id: ApplicationId", a.merchant_id AS "merchant: MerchantId", a.status AS "status: ApplicationStatus",
                  a.created_at, a.submitted_at, a.decided_at
           FROM applications a
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE a.merchant_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)"#,
        &merchants,
        owner
    )
    .fetch_all(db)
    .await
}

pub(super) async fn documents(db: &PgPool, owner: Option<Uuid>, ids: &[DocumentId]) -> sqlx::Result<Vec<Document>> {
    let ids: Vec<Uuid> = ids.iter().map(|d| d.0).collect();
    sqlx::query_as!(
        DocumentRow,
        r#"SELECT d.document_id AS "id: DocumentId", d.application_id AS "application: ApplicationId", d.kind,
                  d.status AS "status: DocumentStatus", d.version, d.reasons AS "reasons: Json<Vec<Reason>>", d.uploaded_at, d.decided_at
           FROM documents d
           JOIN applications a ON a.application_id = d.application_id
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE d.document_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)"#,
        &ids,
        owner
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Document::try_from)
    .collect()
}

pub(super) async fn documents_of_applications(
    db: impl PgExecutor<'_>,
    owner: Option<Uuid>,
    applications: &[ApplicationId],
) -> sqlx::Result<Vec<Document>> {
    let applications: Vec<Uuid> = applications.iter().map(|a| a.0).collect();
    sqlx::query_as!(
        DocumentRow,
        r#"SELECT d.document_id AS "id: DocumentId", d.application_id AS "application: ApplicationId", d.kind,
                  d.status AS "status: DocumentStatus", d.version, d.reasons AS "reasons: Json<Vec<Reason>>", d.uploaded_at, d.decided_at
           FROM documents d
           JOIN applications a ON a.application_id = d.application_id
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE d.application_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)"#,
        &applications,
        owner
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Document::try_from)
    .collect()
}

pub(super) async fn insert_application_in_tx(tx: &mut PgConnection, new: &Application) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO applications (application_id, merchant_id, status, created_at) VALUES ($1, $2, $3, $4)",
        new.id.0,
        new.merchant.0,
        new.status.as_str(),
        new.created_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks an application; none when missing or not the owner's. What is read beside the lock is the locked row itself.
pub(super) async fn lock_application_in_tx(
    tx: &mut PgConnection,
    owner: Option<Uuid>,
    id: ApplicationId,
) -> sqlx::Result<Option<Application>> {
    sqlx::query_as!(
        Application,
        r#"SELECT a.application_id AS "id: ApplicationId", a.merchant_id AS "merchant: MerchantId", a.status AS "status: ApplicationStatus",
                  a.created_at, a.submitted_at, a.decided_at
           FROM applications a
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE a.application_id = $1 AND ($2::uuid IS NULL OR m.owner_id = $2)
           FOR UPDATE OF a"#,
        id.0,
        owner
    )
    .fetch_optional(tx)
    .await
}

/// Locks the application that a document belongs to, which never changes.
pub(crate) async fn lock_application_of_document_in_tx(
    tx: &mut PgConnection,
    owner: Option<Uuid>,
    document: DocumentId,
) -> sqlx::Result<Option<Application>> {
    sqlx::query_as!(
        Application,
        r#"SELECT a.application_id AS "id: ApplicationId", a.merchant_id AS "merchant: MerchantId", a.status AS "status: ApplicationStatus",
                  a.created_at, a.submitted_at, a.decided_at
           FROM applications a
           JOIN merchants m ON m.merchant_id = a.merchant_id
           WHERE a.application_id = (SELECT application_id FROM documents WHERE document_id = $1)
             AND ($2::uuid IS NULL OR m.owner_id = $2)
           FOR UPDATE OF a"#,
        document.0,
        owner
    )
    .fetch_optional(tx)
    .await
}

/// Moves an application to another status. The first submission and the approval leave their times.
pub(super) async fn update_application_in_tx(
    tx: &mut PgConnection,
    id: ApplicationId,
    status: ApplicationStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE applications
         SET status = $2,
             submitted_at = CASE WHEN $2 = 'DRAFT' THEN NULL ELSE COALESCE(submitted_at, $3) END,
             decided_at = CASE WHEN $2 = 'APPROVED' THEN $3 END
         WHERE application_id = $1",
        id.0,
        status.as_str(),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes a document as it now stands: a new row, or the next version of the one of its kind.
pub(super) async fn save_document_in_tx(tx: &mut PgConnection, document: &Document) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO documents (document_id, application_id, kind, status, version, reasons, uploaded_at, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (document_id) DO UPDATE
         SET status = excluded.status, version = excluded.version, reasons = excluded.reasons,
             uploaded_at = excluded.uploaded_at, decided_at = excluded.decided_at",
        document.id.0,
        document.application.0,
        document.kind.as_str(),
        document.status.as_str(),
        document.version,
        Json(&document.reasons) as _,
        document.uploaded_at,
        document.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Hands all papers of an application in for checking.
pub(super) async fn check_documents_in_tx(tx: &mut PgConnection, application: ApplicationId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE documents SET status = 'CHECKING' WHERE application_id = $1", application.0).execute(tx).await?;
    Ok(())
}

/// Decides a document as it stands.
pub(crate) async fn decide_document_in_tx(
    tx: &mut PgConnection,
    id: DocumentId,
    status: DocumentStatus,
    reasons: &[Reason],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let decided_at = status.is_final().then_some(now);
    sqlx::query!(
        "UPDATE documents SET status = $2, reasons = $3, decided_at = $4 WHERE document_id = $1",
        id.0,
        status.as_str(),
        Json(reasons) as _,
        decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was handed in as one version of a document.
pub(crate) struct Version {
    pub(crate) object_key: String,
    pub(crate) sha256: Vec<u8>,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) claims_sealed: Vec<u8>,
}

pub(super) async fn insert_version_in_tx(
    tx: &mut PgConnection,
    document: DocumentId,
    version: i32,
    new: &Version,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO document_versions (document_id, version, object_key, sha256, width, height, claims_sealed, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        document.0,
        version,
        new.object_key,
        new.sha256,
        new.width,
        new.height,
        new.claims_sealed,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn version(db: impl PgExecutor<'_>, document: DocumentId, version: i32) -> sqlx::Result<Version> {
    sqlx::query_as!(
        Version,
        "SELECT object_key, sha256, width, height, claims_sealed FROM document_versions WHERE document_id = $1 AND version = $2",
        document.0,
        version
    )
    .fetch_one(db)
    .await
}

/// What the pipeline found and decided about one version.
pub(super) struct NewFindings<'a> {
    pub(super) document: DocumentId,
    pub(super) version: i32,
    pub(super) findings_sealed: Option<&'a [u8]>,
    pub(super) verdict: &'a str,
    pub(super) reasons: &'a [Reason],
    pub(super) comparison_sealed: &'a [u8],
    pub(super) models: serde_json::Value,
    pub(super) took_ms: i32,
}

/// Appends findings. False when this version was judged before.
pub(super) async fn insert_findings_in_tx(tx: &mut PgConnection, new: &NewFindings<'_>, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO document_findings
             (document_id, version, findings_sealed, verdict, reasons, comparison_sealed, models, took_ms, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (document_id, version) DO NOTHING",
        new.document.0,
        new.version,
        new.findings_sealed,
        new.verdict,
        Json(new.reasons) as _,
        new.comparison_sealed,
        new.models,
        new.took_ms,
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Where the last waiting paper of each application stands in the queue, counted from one; those without one are left out.
pub(super) async fn places(db: &PgPool, applications: &[ApplicationId]) -> sqlx::Result<HashMap<ApplicationId, Place>> {
    let ids: Vec<Uuid> = applications.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"WITH queue AS (
               SELECT subject_id, row_number() OVER (ORDER BY run_at, job_id) AS place FROM jobs WHERE kind = $1 AND state = 'READY'
           )
           SELECT d.application_id, max(q.place) AS "last!", count(*) AS "own!"
           FROM documents d
           JOIN queue q ON q.subject_id = d.document_id
           WHERE d.application_id = ANY($2)
           GROUP BY d.application_id"#,
        REVIEW_JOB,
        &ids
    )
    .fetch_all(db)
    .await?;
    let whole = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(rows.into_iter().map(|r| (ApplicationId(r.application_id), Place { last: whole(r.last), own: whole(r.own) })).collect())
}

/// The queue as it stands: how many wait, counted up to `most`, what the last fifty took, and how long the first has been due.
pub(super) async fn queue(db: impl PgExecutor<'_>, most: i64, now: DateTime<Utc>) -> sqlx::Result<Queue> {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE kind = $1 AND state = 'READY' LIMIT $2) waiting) AS "waiting!",
                  (SELECT avg(took_ms)::bigint FROM (SELECT took_ms FROM document_findings ORDER BY created_at DESC LIMIT 50) last) AS takes_ms,
                  (SELECT min(run_at) FROM jobs WHERE kind = $1 AND state = 'READY') AS first_due"#,
        REVIEW_JOB,
        most
    )
    .fetch_one(db)
    .await?;
    Ok(Queue {
        waiting: row.waiting,
        takes: row.takes_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        first_waits: row.first_due.and_then(|due| (now - due).to_std().ok()).unwrap_or_default(),
    })
}
