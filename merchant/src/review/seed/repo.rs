//! SQL of known items.

use ai::document::DocumentKind;
use sqlx::PgConnection;
use wallet::base::id::{DocumentId, UserId};

use super::Seed;
use crate::onboarding::repo::kind;

/// A paper's present version as a known item is made of it.
pub(super) struct Source {
    pub(super) version: i32,
    pub(super) kind: DocumentKind,
    pub(super) approved: bool,
    pub(super) claims_sealed: Vec<u8>,
    pub(super) findings_sealed: Option<Vec<u8>>,
}

/// The present version of a paper with what was found on it.
pub(super) async fn approved_page(tx: &mut PgConnection, document: DocumentId) -> sqlx::Result<Option<Source>> {
    let row = sqlx::query!(
        r#"SELECT d.version, d.kind, d.status = 'APPROVED' AS "approved!", v.claims_sealed, f.findings_sealed AS "findings_sealed?"
           FROM documents d
           JOIN document_versions v ON v.document_id = d.document_id AND v.version = d.version
           LEFT JOIN document_findings f ON f.document_id = d.document_id AND f.version = d.version
           WHERE d.document_id = $1"#,
        document.0
    )
    .fetch_optional(tx)
    .await?;
    row.map(|row| {
        Ok(Source {
            version: row.version,
            kind: kind(&row.kind)?,
            approved: row.approved,
            claims_sealed: row.claims_sealed,
            findings_sealed: row.findings_sealed,
        })
    })
    .transpose()
}

/// Writes what a known item shows and what the right answer is.
pub(super) async fn insert_in_tx(tx: &mut PgConnection, seed: &Seed, claims: &[u8], comparison: &[u8], by: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO review_seeds (task_id, claims_sealed, comparison_sealed, field, answer, planted_by, planted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        seed.task.0,
        claims,
        comparison,
        seed.field,
        seed.answer.as_str(),
        by.0,
        seed.planted_at
    )
    .execute(tx)
    .await?;
    Ok(())
}
