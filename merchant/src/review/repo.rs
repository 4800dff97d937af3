//! SQL of review tasks. Lock order as in `onboarding`: the application, then the task.

use ai::review::Reason;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;
use wallet::base::id::{DocumentId, TaskId, UserId};

use super::{Purpose, QueueCursor, ReviewDecision, Risk, Task, TaskStatus};
use crate::onboarding::repo::kind;

struct TaskRow {
    id: TaskId,
    document: DocumentId,
    version: i32,
    kind: String,
    purpose: Purpose,
    risk: Risk,
    opinions: i32,
    status: TaskStatus,
    reasons: Json<Vec<Reason>>,
    due_at: DateTime<Utc>,
    claimed_by: Option<UserId>,
    claimed_at: Option<DateTime<Utc>>,
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
            purpose: row.purpose,
            risk: row.risk,
            opinions: row.opinions,
            status: row.status,
            reasons: row.reasons.0,
            due_at: row.due_at,
            claimed_by: row.claimed_by,
            claimed_at: row.claimed_at,
            lease_until: row.lease_until,
            decision: row.decision,
            reason_code: row.reason_code,
            created_at: row.created_at,
            decided_at: row.decided_at,
        })
    }
}

/// A task to be opened.
pub(crate) struct NewTask<'a> {
    pub(crate) id: TaskId,
    pub(crate) document: DocumentId,
    pub(crate) version: i32,
    pub(crate) purpose: Purpose,
    pub(crate) risk: Risk,
    /// What reviewers are told.
    pub(crate) reasons: &'a [Reason],
}

/// Opens a task.
pub(crate) async fn open_in_tx(tx: &mut PgConnection, new: &NewTask<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO review_tasks (task_id, document_id, document_version, purpose, risk, status, reasons, due_at, created_at)
         VALUES ($1, $2, $3, $4, $5, 'OPEN', $6, $7, $8)",
        new.id.0,
        new.document.0,
        new.version,
        new.purpose.as_str(),
        new.risk.as_str(),
        Json(new.reasons) as _,
        new.risk.due_at(now),
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
         WHERE document_id = $1 AND document_version < $2 AND purpose = 'LIVE' AND status IN ('OPEN', 'CLAIMED')",
        document.0,
        version
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Undecided tasks in order of (due, id), after the cursor, without those about a version that this person has judged before. The index
/// `review_tasks_queue` serves the order.
pub(super) async fn queue(db: &PgPool, reviewer: UserId, after: Option<QueueCursor>, limit: i64) -> sqlx::Result<Vec<Task>> {
    let (due_at, id) = after.map(|c| (c.due_at, c.task.0)).unzip();
    sqlx::query_as!(
        TaskRow,
        r#"SELECT t.task_id AS "id: TaskId", t.document_id AS "document: DocumentId", t.document_version AS version, d.kind,
                  t.purpose AS "purpose: Purpose", t.risk AS "risk: Risk", t.opinions,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.claimed_at, t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
                  t.created_at, t.decided_at
           FROM review_tasks t
           JOIN documents d ON d.document_id = t.document_id
           WHERE t.status IN ('OPEN', 'CLAIMED') AND ($1::timestamptz IS NULL OR (t.due_at, t.task_id) > ($1, $2::uuid))
             AND NOT EXISTS (
                 SELECT 1
                 FROM review_tasks s
                 JOIN review_opinions o ON o.task_id = s.task_id
                 WHERE s.document_id = t.document_id AND s.document_version = t.document_version AND o.decided_by = $4)
           ORDER BY t.due_at, t.task_id
           LIMIT $3"#,
        due_at,
        id,
        limit,
        reviewer.0
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
                  t.purpose AS "purpose: Purpose", t.risk AS "risk: Risk", t.opinions,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.claimed_at, t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
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
pub(crate) async fn lock_in_tx(tx: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<Task>> {
    sqlx::query_as!(
        TaskRow,
        r#"SELECT t.task_id AS "id: TaskId", t.document_id AS "document: DocumentId", t.document_version AS version, d.kind,
                  t.purpose AS "purpose: Purpose", t.risk AS "risk: Risk", t.opinions,
                  t.status AS "status: TaskStatus", t.reasons AS "reasons: Json<Vec<Reason>>", t.due_at,
                  t.claimed_by AS "claimed_by: UserId", t.claimed_at, t.lease_until, t.decision AS "decision: ReviewDecision", t.reason_code,
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

/// Whether this person has judged this version before, in this task or another.
pub(super) async fn has_judged_in_tx(tx: &mut PgConnection, task: &Task, reviewer: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1
               FROM review_tasks s
               JOIN review_opinions o ON o.task_id = s.task_id
               WHERE s.document_id = $1 AND s.document_version = $2 AND o.decided_by = $3) AS "judged!""#,
        task.document.0,
        task.version,
        reviewer.0
    )
    .fetch_one(tx)
    .await
}

/// Who holds a task until when, and since when.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    pub(super) by: UserId,
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
}

/// Writes who holds the task, or that nobody does.
pub(super) async fn set_claim_in_tx(tx: &mut PgConnection, id: TaskId, hold: Option<Hold>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE review_tasks
         SET status = CASE WHEN $2::uuid IS NULL THEN 'OPEN' ELSE 'CLAIMED' END, claimed_by = $2, claimed_at = $3, lease_until = $4
         WHERE task_id = $1",
        id.0,
        hold.map(|h| h.by.0),
        hold.map(|h| h.since),
        hold.map(|h| h.until)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What one person decided.
pub(super) struct Opinion<'a> {
    pub(super) round: i32,
    pub(super) decision: ReviewDecision,
    pub(super) reason_code: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) by: UserId,
    pub(super) at: DateTime<Utc>,
    pub(super) took_ms: Option<i64>,
}

/// What was decided about a task so far, the first first.
pub(super) async fn opinions_in_tx(tx: &mut PgConnection, id: TaskId) -> sqlx::Result<Vec<ReviewDecision>> {
    sqlx::query_scalar!(r#"SELECT decision AS "decision: ReviewDecision" FROM review_opinions WHERE task_id = $1 ORDER BY round"#, id.0)
        .fetch_all(tx)
        .await
}

/// Adds an opinion. The task is settled by it, or goes back to the queue for somebody else.
pub(super) async fn add_opinion_in_tx(tx: &mut PgConnection, id: TaskId, opinion: &Opinion<'_>, settles: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO review_opinions (task_id, round, decision, reason_code, note, decided_by, decided_at, took_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.0,
        opinion.round,
        opinion.decision.as_str(),
        opinion.reason_code,
        opinion.note,
        opinion.by.0,
        opinion.at,
        opinion.took_ms
    )
    .execute(&mut *tx)
    .await?;
    if settles {
        sqlx::query!(
            "UPDATE review_tasks
             SET status = 'DECIDED', opinions = $2, decision = $3, reason_code = $4, note = $5, decided_by = $6, decided_at = $7
             WHERE task_id = $1",
            id.0,
            opinion.round,
            opinion.decision.as_str(),
            opinion.reason_code,
            opinion.note,
            opinion.by.0,
            opinion.at
        )
        .execute(tx)
        .await?;
    } else {
        sqlx::query!(
            "UPDATE review_tasks
             SET status = 'OPEN', opinions = $2, claimed_by = NULL, claimed_at = NULL, lease_until = NULL
             WHERE task_id = $1",
            id.0,
            opinion.round
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// Puts on record that these values were shown to this person. Those shown before stay as they were.
pub(super) async fn reveal_in_tx(
    tx: &mut PgConnection,
    id: TaskId,
    reviewer: UserId,
    fields: &[String],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO review_reveals (task_id, user_id, field, revealed_at)
         SELECT $1, $2, n.field, $4 FROM UNNEST($3::text[]) AS n (field)
         ON CONFLICT (task_id, user_id, field) DO NOTHING",
        id.0,
        reviewer.0,
        fields,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which values of these tasks this person has been shown.
pub(super) async fn revealed(db: &PgPool, tasks: &[TaskId], reviewer: UserId) -> sqlx::Result<Vec<(TaskId, String)>> {
    let tasks: Vec<Uuid> = tasks.iter().map(|t| t.0).collect();
    let rows = sqlx::query!(
        r#"SELECT task_id AS "task: TaskId", field FROM review_reveals WHERE task_id = ANY($1) AND user_id = $2"#,
        &tasks,
        reviewer.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.task, row.field)).collect())
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
    /// Of a known item: the claims that the reviewer sees instead.
    pub(super) seed_claims_sealed: Option<Vec<u8>>,
    pub(super) seed_comparison_sealed: Option<Vec<u8>>,
}

pub(super) async fn evidence(db: impl PgExecutor<'_>, tasks: &[TaskId]) -> sqlx::Result<Vec<Evidence>> {
    let tasks: Vec<Uuid> = tasks.iter().map(|t| t.0).collect();
    sqlx::query_as!(
        Evidence,
        r#"SELECT t.task_id AS "task: TaskId", v.object_key, v.width, v.height, v.claims_sealed, f.findings_sealed, f.comparison_sealed,
                  s.claims_sealed AS "seed_claims_sealed?", s.comparison_sealed AS "seed_comparison_sealed?"
           FROM review_tasks t
           JOIN document_versions v ON v.document_id = t.document_id AND v.version = t.document_version
           JOIN document_findings f ON f.document_id = t.document_id AND f.version = t.document_version
           LEFT JOIN review_seeds s ON s.task_id = t.task_id
           WHERE t.task_id = ANY($1)"#,
        &tasks
    )
    .fetch_all(db)
    .await
}
