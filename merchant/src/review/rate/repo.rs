//! SQL of error rates. Each statement reads what was decided in a span, for people who look at it now and then.

use ai::document::DocumentKind;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use wallet::base::id::{DocumentId, TaskId, UserId};

use super::FailedAudit;
use crate::onboarding::repo::kind;

/// Per kind: blind samples that were decided, and how many of them were refused.
pub(super) async fn kinds(db: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> sqlx::Result<Vec<(DocumentKind, i64, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT d.kind, count(*) AS "n!", count(*) FILTER (WHERE t.decision = 'REJECT') AS "wrong!"
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.purpose = 'AUDIT' AND t.status = 'DECIDED' AND t.decided_at >= $1 AND t.decided_at < $2
           GROUP BY d.kind"#,
        from,
        to
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((kind(&row.kind)?, row.n, row.wrong))).collect()
}

/// Per reason code: pages that people decided, and how many of them they approved.
pub(super) async fn flags(db: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> sqlx::Result<Vec<(String, i64, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT r.code AS "code!", count(*) AS "n!", count(*) FILTER (WHERE r.decision = 'APPROVE') AS "wrong!"
           FROM (
               SELECT DISTINCT t.task_id, t.decision, e.reason ->> 'code' AS code
               FROM review_tasks t
               CROSS JOIN jsonb_array_elements(t.reasons) AS e (reason)
               WHERE t.purpose = 'LIVE' AND t.status = 'DECIDED' AND t.decided_at >= $1 AND t.decided_at < $2) r
           GROUP BY r.code"#,
        from,
        to
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.code, row.n, row.wrong)).collect())
}

/// Per reviewer: opinions whose right answer is known, and how many were not it. Known are the answers of known items, and what most of
/// three people said.
pub(super) async fn reviewers(db: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>) -> sqlx::Result<Vec<(UserId, i64, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT k.decided_by AS "user!: UserId", count(*) AS "n!", count(*) FILTER (WHERE k.decision <> k.answer) AS "wrong!"
           FROM (
               SELECT o.decided_by, o.decision, s.answer
               FROM review_opinions o
               JOIN review_seeds s ON s.task_id = o.task_id
               WHERE o.decided_at >= $1 AND o.decided_at < $2
               UNION ALL
               SELECT o.decided_by, o.decision, t.decision
               FROM review_opinions o
               JOIN review_tasks t ON t.task_id = o.task_id
               WHERE t.purpose <> 'SEED' AND t.status = 'DECIDED' AND t.opinions = 3
                 AND o.decided_at >= $1 AND o.decided_at < $2) k
           GROUP BY k.decided_by"#,
        from,
        to
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user, row.n, row.wrong)).collect())
}

/// Refused samples, the newest first.
pub(super) async fn failed_audits(db: &PgPool, before: Option<TaskId>, limit: i64) -> sqlx::Result<Vec<FailedAudit>> {
    let rows = sqlx::query!(
        r#"SELECT t.task_id AS "task: TaskId", t.document_id AS "document: DocumentId", t.document_version, d.kind, t.reason_code,
                  t.decided_at AS "decided_at!"
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.purpose = 'AUDIT' AND t.decision = 'REJECT' AND ($1::uuid IS NULL OR t.task_id < $1)
           ORDER BY t.task_id DESC
           LIMIT $2"#,
        before.map(|task| task.0),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(FailedAudit {
                task: row.task,
                document: row.document,
                version: row.document_version,
                kind: kind(&row.kind)?,
                reason_code: row.reason_code,
                decided_at: row.decided_at,
            })
        })
        .collect()
}
