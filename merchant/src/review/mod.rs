//! Human review (人工审核) of what the pipeline would not decide alone: a queue by due time, claims by lease, and decisions with a reason
//! from a closed list. Reviewers only; personal data is masked until a task is claimed, and each claim and each look is on record.

mod error;
pub(crate) mod repo;
pub mod rules;
mod view;

use std::collections::HashMap;

use ai::document::DocumentKind;
use ai::review::Reason;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{DocumentId, TaskId, UserId};
use wallet::base::outbox::{self, Event};
use wallet::base::page::{FIRST_MAX, Page};

use crate::files::FileStore;
use crate::onboarding::{self, DocumentStatus, VersionRow, claims_place, comparison_place, findings_place, progress};
use crate::vault::Vault;
use view::Opened;

pub use error::ReviewError;
pub use rules::{LEASE_MINUTES, NOTE_CHARS_MAX, ReviewDecision, ReviewReason};
pub use view::{FieldView, TaskView};

/// Hours until a task is due.
pub const DUE_HOURS: i64 = 24;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Waits for a reviewer (待领取).
    Open,
    /// A reviewer holds it (审核中).
    Claimed,
    /// Decided (已审核).
    Decided,
    /// The paper was replaced before anybody decided (已失效).
    Superseded,
}

/// A review task (审核任务): one version of one paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub id: TaskId,
    pub document: DocumentId,
    pub version: i32,
    pub kind: DocumentKind,
    pub status: TaskStatus,
    /// Why the pipeline would not decide.
    pub reasons: Vec<Reason>,
    pub due_at: DateTime<Utc>,
    /// Who holds it, while the lease lasts.
    pub claimed_by: Option<UserId>,
    /// Real time, not business time.
    pub lease_until: Option<DateTime<Utc>>,
    pub decision: Option<ReviewDecision>,
    /// A [`ReviewReason`] code.
    pub reason_code: Option<String>,
    pub created_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCursor {
    pub due_at: DateTime<Utc>,
    pub task: TaskId,
}

impl From<&Task> for QueueCursor {
    fn from(task: &Task) -> Self {
        Self { due_at: task.due_at, task: task.id }
    }
}

/// Decides a task.
#[derive(Clone, Debug)]
pub struct Decide {
    pub task: TaskId,
    pub decision: ReviewDecision,
    /// A [`ReviewReason`] code; a rejection needs one.
    pub reason_code: Option<String>,
    /// For colleagues, at most 500 characters; the merchant does not see it.
    pub note: Option<String>,
}

/// The queue of reviewers and what they do with it.
#[derive(Clone, Debug)]
pub struct Reviews {
    db: PgPool,
    clock: Clock,
    vault: Vault,
    files: FileStore,
}

impl Reviews {
    pub fn new(db: PgPool, clock: Clock, vault: Vault, files: FileStore) -> Self {
        Self { db, clock, vault, files }
    }

    /// Undecided tasks, the most urgent first, those that colleagues hold among them. At most 100.
    pub async fn queue(&self, actor: &Actor, after: Option<QueueCursor>, first: i64) -> Result<Page<Task>, ReviewError> {
        reviewer(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        let now = Clock::wall();
        let tasks = repo::queue(&self.db, after, first + 1).await?;
        Ok(Page::from_rows(tasks.into_iter().map(|t| rules::shown(t, now)).collect(), first))
    }

    /// One task with its evidence; masked unless the caller holds it.
    pub async fn task(&self, actor: &Actor, id: TaskId) -> Result<TaskView, ReviewError> {
        self.tasks_by_ids(actor, &[id]).await?.remove(&id).ok_or(ReviewError::NotFound)
    }

    /// Tasks with their evidence; masked unless the caller holds them. Two queries.
    pub async fn tasks_by_ids(&self, actor: &Actor, ids: &[TaskId]) -> Result<HashMap<TaskId, TaskView>, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = Clock::wall();
        let mut tasks: HashMap<_, _> = repo::tasks(&self.db, ids).await?.into_iter().map(|t| (t.id, t)).collect();
        let mut views = HashMap::new();
        for evidence in repo::evidence(&self.db, ids).await? {
            let Some(task) = tasks.remove(&evidence.task) else { continue };
            let opened = self.open(&task, &evidence)?;
            let unmasked = rules::holds(&task, reviewer, now);
            views.insert(task.id, TaskView::new(rules::shown(task, now), &opened, unmasked));
        }
        Ok(views)
    }

    /// Claims a task for ten minutes, or renews the caller's claim. What is personal in it is open to the caller from here on.
    pub async fn claim(&self, actor: &Actor, id: TaskId) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let mut task = repo::lock_in_tx(&mut tx, id).await?.ok_or(ReviewError::NotFound)?;
        rules::may_claim(&task, reviewer, now)?;
        let until = rules::lease_until(now);
        repo::set_claim_in_tx(&mut tx, id, Some((reviewer, until))).await?;
        audit::record_in_tx(&mut tx, actor, "review.claimed", id.0, json!({ "document_id": task.document }), self.clock.now()).await?;
        tx.commit().await?;
        task.status = TaskStatus::Claimed;
        task.claimed_by = Some(reviewer);
        task.lease_until = Some(until);
        Ok(task)
    }

    /// Lets a task go that the caller claimed.
    pub async fn release(&self, actor: &Actor, id: TaskId) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let mut tx = self.db.begin().await?;
        let mut task = repo::lock_in_tx(&mut tx, id).await?.ok_or(ReviewError::NotFound)?;
        rules::may_release(&task, reviewer)?;
        repo::set_claim_in_tx(&mut tx, id, None).await?;
        audit::record_in_tx(&mut tx, actor, "review.released", id.0, json!({ "document_id": task.document }), self.clock.now()).await?;
        tx.commit().await?;
        task.status = TaskStatus::Open;
        task.claimed_by = None;
        task.lease_until = None;
        Ok(task)
    }

    /// Decides a task that the caller holds. The paper is approved or refused and its application moves, in the same transaction.
    pub async fn decide(&self, actor: &Actor, command: Decide) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let reason = rules::reason(command.decision, command.reason_code.as_deref())?;
        let note = rules::note(command.note.as_deref())?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let document = repo::document_of(&mut tx, command.task).await?.ok_or(ReviewError::NotFound)?;
        let application = onboarding::repo::lock_application_of_document_in_tx(&mut tx, None, document).await?;
        let application = application.ok_or(ReviewError::NotFound)?;
        let mut task = repo::lock_in_tx(&mut tx, command.task).await?.ok_or(ReviewError::NotFound)?;
        rules::may_decide(&task, reviewer, Clock::wall())?;

        let reason_code = reason.map(ReviewReason::as_str);
        let decided = repo::Decided { decision: command.decision, reason_code, note: note.as_deref(), by: reviewer, at: now };
        repo::decide_in_tx(&mut tx, task.id, &decided).await?;
        let (status, reasons) = match (command.decision, reason) {
            (ReviewDecision::Reject, Some(reason)) => (DocumentStatus::Rejected, vec![reason.for_merchant()]),
            _ => (DocumentStatus::Approved, Vec::new()),
        };
        onboarding::repo::decide_document_in_tx(&mut tx, document, status, &reasons, now).await?;
        let payload = json!({
            "document_id": document,
            "application_id": application.id,
            "kind": task.kind.as_str(),
            "version": task.version,
            "status": status.as_str(),
            "by": "reviewer",
        });
        let event = Event { book: application.merchant.book(), kind: "document.decided", subject: document.0, payload, at: now };
        outbox::append_in_tx(&mut tx, &[event]).await?;
        let detail = json!({
            "document_id": document,
            "version": task.version,
            "decision": command.decision.as_str(),
            "reason_code": reason_code,
        });
        audit::record_in_tx(&mut tx, actor, "review.decided", task.id.0, detail, now).await?;
        progress::settle_in_tx(&mut tx, actor, &application, now).await?;
        tx.commit().await?;
        task.status = TaskStatus::Decided;
        task.decision = Some(command.decision);
        task.reason_code = reason_code.map(str::to_owned);
        task.decided_at = Some(now);
        Ok(task)
    }

    /// The upright image of a task that the caller holds, as JPEG. Each look is on record.
    pub async fn image(&self, actor: &Actor, id: TaskId) -> Result<Bytes, ReviewError> {
        let reviewer = reviewer(actor)?;
        let task = repo::tasks(&self.db, &[id]).await?.pop().ok_or(ReviewError::NotFound)?;
        rules::may_decide(&task, reviewer, Clock::wall())?;
        let evidence = repo::evidence(&self.db, &[id]).await?.pop().ok_or(ReviewError::NotFound)?;
        let opened = self.open(&task, &evidence)?;
        let degrees = opened.findings.map_or(0, |f| f.rotation_degrees);
        let jpeg = self.files.get(&evidence.object_key).await?;
        let upright = tokio::task::spawn_blocking(move || view::upright(jpeg, degrees)).await??;
        let mut connection = self.db.acquire().await?;
        let detail = json!({ "document_id": task.document, "version": task.version });
        audit::record_in_tx(&mut connection, actor, "review.image_viewed", id.0, detail, self.clock.now()).await?;
        Ok(upright)
    }

    fn open(&self, task: &Task, evidence: &repo::Evidence) -> Result<Opened, ReviewError> {
        let row = VersionRow(task.document, task.version);
        Ok(Opened {
            claims: self.vault.open_json(&claims_place(row), &evidence.claims_sealed)?,
            findings: evidence.findings_sealed.as_deref().map(|f| self.vault.open_json(&findings_place(row), f)).transpose()?,
            comparisons: self.vault.open_json(&comparison_place(row), &evidence.comparison_sealed)?,
            width: evidence.width,
            height: evidence.height,
        })
    }
}

/// The person, if a reviewer: a claim needs somebody to hold it, so the platform itself is not let in.
fn reviewer(actor: &Actor) -> Result<UserId, Forbidden> {
    match actor {
        Actor::Person { id, role: Role::Reviewer, .. } => Ok(*id),
        _ => Err(Forbidden),
    }
}
