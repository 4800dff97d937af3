//! Human review (人工审核): what the pipeline would not decide alone, a blind sample of what it approved (抽检), and known items (已知答案) among
//! them. A queue by due time, claims by lease, opinions with a reason from a closed list, two people where the risk is high.
//!
//! Reviewers cannot tell the three purposes apart: tasks are shown alike, name no document of the merchant's, and reviewers read none.
//! Personal values are masked; whoever holds a task may have single ones shown (`reveal`), and each claim, value and picture is on record.
//!
//! `opinion.rs` takes decisions, `seed` plants known items, `rate` estimates error rates, `sample.rs` chooses the blind sample.

mod diff;
mod error;
mod opinion;
pub mod rate;
pub(crate) mod repo;
pub mod risk;
pub mod rules;
pub mod sample;
pub mod seed;
mod view;

use std::collections::{BTreeSet, HashMap};

use ai::document::DocumentKind;
use ai::review::{Policy, Reason};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{DocumentId, TaskId, UserId};
use wallet::base::page::{FIRST_MAX, Page};

use crate::files::FileStore;
use crate::onboarding::{VersionRow, claims_place, comparison_place, findings_place};
use crate::vault::Vault;
use repo::Hold;
use view::Opened;

pub use diff::FieldDiff;
pub use error::ReviewError;
pub use opinion::Decide;
pub use risk::{DUE_HOURS, DUE_HOURS_HIGH, Risk};
pub use rules::{LEASE_MINUTES, NOTE_CHARS_MAX, ReviewDecision, ReviewReason};
pub use view::{FieldView, TaskView, Uncertain, View};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
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

/// What a task is for. Reviewers are never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Purpose {
    /// The pipeline would not decide; the paper waits for the decision.
    Live,
    /// The pipeline approved; the decision measures it and changes nothing.
    Audit,
    /// The answer is known; the decision measures the reviewer and changes nothing.
    Seed,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Audit => "AUDIT",
            Self::Seed => "SEED",
        }
    }
}

/// A review task (审核任务): one version of one paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub document: DocumentId,
    pub version: i32,
    pub kind: DocumentKind,
    /// Not for reviewers' eyes.
    pub purpose: Purpose,
    pub risk: Risk,
    /// How many people have said what they think.
    pub opinions: i32,
    pub status: TaskStatus,
    /// Why a person has to look, as reviewers are told.
    pub reasons: Vec<Reason>,
    pub due_at: DateTime<Utc>,
    /// Who holds it, while the lease lasts.
    pub claimed_by: Option<UserId>,
    /// Real time, not business time, as the lease.
    pub claimed_at: Option<DateTime<Utc>>,
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

/// The queue of reviewers and what they do with it.
#[derive(Clone, Debug)]
pub struct Reviews {
    db: PgPool,
    clock: Clock,
    vault: Vault,
    files: FileStore,
    policy: Policy,
}

impl Reviews {
    pub fn new(db: PgPool, clock: Clock, vault: Vault, files: FileStore) -> Self {
        Self { db, clock, vault, files, policy: Policy::default() }
    }

    /// With the policy that the pipeline decides by here: known items are judged by it before they are planted.
    #[must_use]
    pub fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Undecided tasks, the most urgent first, those that colleagues hold among them; not those that the caller has judged. At most 100.
    pub async fn queue(&self, actor: &Actor, after: Option<QueueCursor>, first: i64) -> Result<Page<Task>, ReviewError> {
        let reviewer = reviewer(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        let now = Clock::wall();
        let tasks = repo::queue(&self.db, reviewer, after, first + 1).await?;
        Ok(Page::from_rows(tasks.into_iter().map(|t| rules::shown(t, now)).collect(), first))
    }

    /// One task with its evidence, masked but for what the caller, holding it, was shown.
    pub async fn task(&self, actor: &Actor, id: TaskId) -> Result<TaskView, ReviewError> {
        self.tasks_by_ids(actor, &[id]).await?.remove(&id).ok_or(ReviewError::NotFound)
    }

    /// Tasks with their evidence, masked but for what the caller, holding them, was shown. Three queries.
    pub async fn tasks_by_ids(&self, actor: &Actor, ids: &[TaskId]) -> Result<HashMap<TaskId, TaskView>, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = Clock::wall();
        let mut tasks: HashMap<_, _> = repo::tasks(&self.db, ids).await?.into_iter().map(|t| (t.id, t)).collect();
        let mut shown: HashMap<TaskId, BTreeSet<String>> = HashMap::new();
        for (task, field) in repo::revealed(&self.db, ids, reviewer).await? {
            shown.entry(task).or_default().insert(field);
        }
        let mut views = HashMap::new();
        for evidence in repo::evidence(&self.db, ids).await? {
            let Some(task) = tasks.remove(&evidence.task) else { continue };
            let opened = self.open(&task, &evidence)?;
            let held = rules::holds(&task, reviewer, now);
            let revealed = if held { shown.remove(&task.id).unwrap_or_default() } else { BTreeSet::new() };
            views.insert(task.id, TaskView::new(rules::shown(task, now), &opened, held, &revealed));
        }
        Ok(views)
    }

    /// Claims a task for ten minutes, or renews the caller's claim. Not for whoever has judged this version before.
    pub async fn claim(&self, actor: &Actor, id: TaskId) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let mut task = repo::lock_in_tx(&mut tx, id).await?.ok_or(ReviewError::NotFound)?;
        rules::may_claim(&task, reviewer, now)?;
        if repo::has_judged_in_tx(&mut tx, &task, reviewer).await? {
            return Err(ReviewError::SecondPersonNeeded);
        }
        let since = if rules::holds(&task, reviewer, now) { task.claimed_at.unwrap_or(now) } else { now };
        let hold = Hold { by: reviewer, since, until: rules::lease_until(now) };
        repo::set_claim_in_tx(&mut tx, id, Some(hold)).await?;
        audit::record_in_tx(&mut tx, actor, "review.claimed", id.0, json!({ "document_id": task.document }), self.clock.now()).await?;
        tx.commit().await?;
        held(&mut task, hold);
        Ok(task)
    }

    /// The heartbeat of whoever holds a task: ten minutes more. A claim that ran out is not brought back by it.
    pub async fn renew(&self, actor: &Actor, id: TaskId) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let mut task = repo::lock_in_tx(&mut tx, id).await?.ok_or(ReviewError::NotFound)?;
        rules::may_decide(&task, reviewer, now)?;
        let hold = Hold { by: reviewer, since: task.claimed_at.unwrap_or(now), until: rules::lease_until(now) };
        repo::set_claim_in_tx(&mut tx, id, Some(hold)).await?;
        tx.commit().await?;
        held(&mut task, hold);
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
        (task.claimed_by, task.claimed_at, task.lease_until) = (None, None, None);
        Ok(task)
    }

    /// Shows values whole to the holder of a task for as long as they hold it. Each value is on record.
    pub async fn reveal(&self, actor: &Actor, id: TaskId, fields: &[String]) -> Result<Task, ReviewError> {
        let reviewer = reviewer(actor)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let task = repo::lock_in_tx(&mut tx, id).await?.ok_or(ReviewError::NotFound)?;
        rules::may_decide(&task, reviewer, Clock::wall())?;
        let fields = rules::fields(task.kind, fields)?;
        repo::reveal_in_tx(&mut tx, id, reviewer, &fields, now).await?;
        let detail = json!({ "document_id": task.document, "version": task.version, "fields": fields });
        audit::record_in_tx(&mut tx, actor, "review.revealed", id.0, detail, now).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// The upright image of a task that the caller holds, as JPEG. Each look is on record.
    pub async fn image(&self, actor: &Actor, id: TaskId, view: View) -> Result<Bytes, ReviewError> {
        let reviewer = reviewer(actor)?;
        let task = repo::tasks(&self.db, &[id]).await?.pop().ok_or(ReviewError::NotFound)?;
        rules::may_decide(&task, reviewer, Clock::wall())?;
        let evidence = repo::evidence(&self.db, &[id]).await?.pop().ok_or(ReviewError::NotFound)?;
        let opened = self.open(&task, &evidence)?;
        let degrees = opened.findings.map_or(0, |f| f.rotation_degrees);
        let jpeg = self.files.get(&evidence.object_key).await?;
        let upright = tokio::task::spawn_blocking(move || view::upright(jpeg, degrees, view)).await??;
        let mut connection = self.db.acquire().await?;
        let detail = json!({ "document_id": task.document, "version": task.version, "view": view.as_str() });
        audit::record_in_tx(&mut connection, actor, "review.image_viewed", id.0, detail, self.clock.now()).await?;
        Ok(upright)
    }

    fn open(&self, task: &Task, evidence: &repo::Evidence) -> Result<Opened, ReviewError> {
        let row = VersionRow(task.document, task.version);
        let claims = match &evidence.seed_claims_sealed {
            Some(sealed) => self.vault.open_json(&seed::claims_place(task.id), sealed)?,
            None => self.vault.open_json(&claims_place(row), &evidence.claims_sealed)?,
        };
        let comparisons = match &evidence.seed_comparison_sealed {
            Some(sealed) => self.vault.open_json(&seed::comparison_place(task.id), sealed)?,
            None => self.vault.open_json(&comparison_place(row), &evidence.comparison_sealed)?,
        };
        Ok(Opened {
            claims,
            findings: evidence.findings_sealed.as_deref().map(|f| self.vault.open_json(&findings_place(row), f)).transpose()?,
            comparisons,
            width: evidence.width,
            height: evidence.height,
        })
    }
}

fn held(task: &mut Task, hold: Hold) {
    task.status = TaskStatus::Claimed;
    (task.claimed_by, task.claimed_at, task.lease_until) = (Some(hold.by), Some(hold.since), Some(hold.until));
}

/// The person, if a reviewer: a claim needs somebody to hold it, so the platform itself is not let in.
fn reviewer(actor: &Actor) -> Result<UserId, Forbidden> {
    match actor {
        Actor::Person { id, role: Role::Reviewer, .. } => Ok(*id),
        _ => Err(Forbidden),
    }
}

/// The person, if an operator: what is planted and promoted has a person's name on it.
fn operator(actor: &Actor) -> Result<UserId, Forbidden> {
    match actor {
        Actor::Person { id, role: Role::Operator, .. } => Ok(*id),
        _ => Err(Forbidden),
    }
}
