//! SQL of review tasks. Lock order as in `onboarding`: the application, then the task.

use ai::review::Reason;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;
use wallet::base::id::{DocumentId, TaskId, UserId};

use super::{DUE_HOURS, QueueCursor, ReviewDecision, Task, TaskStatus};
use crate::onboarding::repo::kind;

struct TaskRow {
    id: TaskId,
    document: DocumentId,
    version: i32,
    kind: String,
    status: TaskStatus,
    reasons: Json<Vec<Reason>>,
    due_at: DateTime<Utc>,
    claimed_by: Option<UserId>,
    lease_until: Option<DateTime<Utc>>,
    decision: Option<ReviewDecision>,
    reason_code: Option<String>,
    created_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

impl TryFrom<TaskRow> for Task {
    type Error = sqlx::Error;

    fn try_from(row: TaskRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            document: row.document,
            version: row.version,
            kind: kind(&row.kind)?,
            status: row.status,
            reasons: row.reasons.0,
            due_at: row.due_at,
            claimed_by: row.claimed_by,
            lease_until: row.lease_until,
            decision: row.decision,
            reason_code: row.reason_code,
            created_at: row.created_at,
            decided_at: row.decided_at,
        })
    }
}

/// Opens the task for a version of a document.
pub(crate) async fn open_in_tx(
    tx: &mut PgConnection,
    document: DocumentId,
    version: i32,
    reasons: &[Reason],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO review_tasks (task_id, document_id, document_version, status, reasons, due_at, created_at)
         VALUES ($1, $2, $3, 'OPEN', $4, $5, $6)",
        TaskId::new().0,
        document.0,
        version,
        Json(reasons) as _,
        now + TimeDelta::hours(DUE_HOURS),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Drops what is undecided about versions before `version`.
pub(crate) async fn supersede_in_tx(tx: &mut PgConnection, document: DocumentId, version: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE review_tasks
         SET status = 'SUPERSEDED'
         WHERE document_id = $1 AND document_version < $2 AND status IN ('OPEN', 'CLAIMED')",
        document.0,
        version
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Undecided tasks in order of (due, id), after the cursor. The index `review_tasks_queue` serves the order.
pub(super) async fn queue(db: &PgPool, after: Option<QueueCursor>, limit: i64) -> sqlx::Result<Vec<Task>> {
    let (due_at, id) = after.map(|c| (c.due_at, c.task.0)).unzip();
    sqlx::query_as!(
        TaskRow,
        r#"SELECT t.task_id AS "id: TaskId", t.document_id AS "document: DocumentId", t.document_version AS version, d.kind,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
                  t.created_at, t.decided_at
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.status IN ('OPEN', 'CLAIMED') AND ($1::timestamptz IS NULL OR (t.due_at, t.task_id) > ($1, $2::uuid))
           ORDER BY t.due_at, t.task_id
           LIMIT $3"#,
        due_at,
        id,
        limit
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Task::try_from)
    .collect()
}

pub(super) async fn tasks(db: impl PgExecutor<'_>, ids: &[TaskId]) -> sqlx::Result<Vec<Task>> {
    let ids: Vec<Uuid> = ids.iter().map(|t| t.0).collect();
    sqlx::query_as!(
        TaskRow,
        r#"SELECT t.task_id AS "id: TaskId", t.document_id AS "document: DocumentId", t.document_version AS version, d.kind,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
                  t.created_at, t.decided_at
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.task_id = ANY($1)"#,
        &ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Task::try_from)
    .collect()
}

/// The document a task is about, which never changes.
pub(super) async fn document_of(tx: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<DocumentId>> {
    sqlx::query_scalar!(r#"SELECT document_id AS "id: DocumentId" FROM review_tasks WHERE task_id = $1"#, id.0).fetch_optional(tx).await
}

/// Locks a task and reads it as it then is.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<Task>> {
    sqlx::query_as!(
        TaskRow,
        r#"SELECT t.task_id AS "id: TaskId", t.document_id AS "document: DocumentId", t.document_version AS version, d.kind,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
                  t.created_at, t.decided_at
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.task_id = $1
           FOR UPDATE OF t"#,
        id.0
    )
    .fetch_optional(tx)
    .await?
    .map(Task::try_from)
    .transpose()
}

/// Writes who holds the task, or that nobody does.
pub(super) async fn set_claim_in_tx(tx: &mut PgConnection, id: TaskId, claim: Option<(UserId, DateTime<Utc>)>) -> sqlx::Result<()> {
    let (by, until) = claim.map(|(by, until)| (by.0, until)).unzip();
    sqlx::query!(
        "UPDATE review_tasks
         SET status = CASE WHEN $2::uuid IS NULL THEN 'OPEN' ELSE 'CLAIMED' END, claimed_by = $2, lease_until = $3
         WHERE task_id = $1",
        id.0,
        by,
        until
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A decision to be written.
pub(super) struct Decided<'a> {
    pub(super) decision: ReviewDecision,
    pub(super) reason_code: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) by: UserId,
    pub(super) at: DateTime<Utc>,
}

pub(super) async fn decide_in_tx(tx: &mut PgConnection, id: TaskId, decided: &Decided<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE review_tasks
         SET status = 'DECIDED', decision = $2, reason_code = $3, note = $4, decided_by = $5, decided_at = $6
         WHERE task_id = $1",
        id.0,
        decided.decision.as_str(),
        decided.reason_code,
        decided.note,
        decided.by.0,
        decided.at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a task's page is made of, still sealed.
pub(super) struct Evidence {
    pub(super) task: TaskId,
    pub(super) object_key: String,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) claims_sealed: Vec<u8>,
    pub(super) findings_sealed: Option<Vec<u8>>,
    pub(super) comparison_sealed: Vec<u8>,
}

pub(super) async fn evidence(db: &PgPool, tasks: &[TaskId]) -> sqlx::Result<Vec<Evidence>> {
    let tasks: Vec<Uuid> = tasks.iter().map(|t| t.0).collect();
    sqlx::query_as!(
        Evidence,
        r#"SELECT t.task_id AS "task: TaskId", v.object_key, v.width, v.height, v.claims_sealed, f.findings_sealed, f.comparison_sealed
           FROM review_tasks t
           JOIN document_versions v ON v.document_id = t.document_id AND v.version = t.document_version
           JOIN document_findings f ON f.document_id = t.document_id AND f.version = t.document_version
           WHERE t.task_id = ANY($1)"#,
        &tasks
    )
    .fetch_all(db)
    .await
}
