//! SQL of bad cases.

use ai::document::DocumentKind;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use wallet::base::id::{DocumentId, UserId};

use super::BadCase;
use crate::onboarding::repo::kind;
use crate::review::Task;

/// What the pipeline left of a version, still sealed.
pub(super) struct Said {
    pub(super) findings_sealed: Option<Vec<u8>>,
    pub(super) comparison_sealed: Vec<u8>,
    pub(super) models: Value,
}

pub(super) async fn said_in_tx(tx: &mut PgConnection, document: DocumentId, version: i32) -> sqlx::Result<Option<Said>> {
    sqlx::query_as!(
        Said,
        "SELECT findings_sealed, comparison_sealed, models FROM document_findings WHERE document_id = $1 AND version = $2",
        document.0,
        version
    )
    .fetch_optional(tx)
    .await
}

/// The sealed values of a case.
pub(super) struct Sealed {
    pub(super) truth: Vec<u8>,
    pub(super) said: Vec<u8>,
}

pub(super) async fn insert_in_tx(tx: &mut PgConnection, case: &BadCase, task: &Task, sealed: &Sealed, models: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO bad_cases (case_id, task_id, document_id, document_version, kind, said_kind, truth_sealed, said_sealed, fields, models,
                                corrected_by, corrected_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        case.id,
        task.id.0,
        task.document.0,
        task.version,
        case.kind.as_str(),
        case.said_kind.map(DocumentKind::as_str),
        sealed.truth,
        sealed.said,
        &case.fields,
        models,
        case.corrected_by.0,
        case.corrected_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Cases of before `before`, the newest first.
pub(super) async fn page(db: &PgPool, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<BadCase>> {
    let rows = sqlx::query!(
        r#"SELECT case_id, kind, said_kind, fields, corrected_by AS "corrected_by: UserId", corrected_at
           FROM bad_cases
           WHERE $1::uuid IS NULL OR case_id < $1
           ORDER BY case_id DESC
           LIMIT $2"#,
        before,
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(BadCase {
                id: row.case_id,
                kind: kind(&row.kind)?,
                said_kind: row.said_kind.as_deref().map(kind).transpose()?,
                fields: row.fields,
                corrected_by: row.corrected_by,
                corrected_at: row.corrected_at,
            })
        })
        .collect()
}

/// A correction as an export reads it.
pub(super) struct Row {
    pub(super) case: Uuid,
    pub(super) document: DocumentId,
    pub(super) version: i32,
    pub(super) kind: DocumentKind,
    pub(super) truth_sealed: Vec<u8>,
    pub(super) object_key: String,
    pub(super) findings_sealed: Option<Vec<u8>>,
}

/// Corrections of the next pages after this one, at most `pages` of them, each page's in the order they were made.
pub(super) async fn rows_after(db: &PgPool, after: Option<(DocumentId, i32)>, until: DateTime<Utc>, pages: i64) -> sqlx::Result<Vec<Row>> {
    let (document, version) = after.map(|(document, version)| (document.0, version)).unzip();
    let rows = sqlx::query!(
        r#"SELECT b.case_id, b.document_id AS "document: DocumentId", b.document_version, b.kind, b.truth_sealed, v.object_key,
                  f.findings_sealed
           FROM (
               SELECT DISTINCT document_id, document_version
               FROM bad_cases
               WHERE corrected_at <= $3 AND ($1::uuid IS NULL OR (document_id, document_version) > ($1, $2::integer))
               ORDER BY document_id, document_version
               LIMIT $4) p
           JOIN bad_cases b ON b.document_id = p.document_id AND b.document_version = p.document_version AND b.corrected_at <= $3
           JOIN document_versions v ON v.document_id = b.document_id AND v.version = b.document_version
           JOIN document_findings f ON f.document_id = b.document_id AND f.version = b.document_version
           ORDER BY b.document_id, b.document_version, b.case_id"#,
        document,
        version,
        until,
        pages
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Row {
                case: row.case_id,
                document: row.document,
                version: row.document_version,
                kind: kind(&row.kind)?,
                truth_sealed: row.truth_sealed,
                object_key: row.object_key,
                findings_sealed: row.findings_sealed,
            })
        })
        .collect()
}
