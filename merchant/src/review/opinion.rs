//! Decisions: each is one person's opinion. The one that settles a task moves the paper, if a paper waits for it.

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{TaskId, UserId};
use wallet::base::idempotency::{self, Claim, Scope};
use wallet::base::outbox::{self, Event};

use super::repo::{self, Opinion};
use super::{Purpose, ReviewDecision, ReviewError, ReviewReason, Reviews, Task, TaskStatus, reviewer, rules};
use crate::onboarding::{self, Application, DocumentStatus, progress};

/// Decides a task.
#[derive(Clone, Debug, Serialize)]
pub struct Decide {
    pub task: TaskId,
    pub decision: ReviewDecision,
    /// A [`ReviewReason`] code; a rejection needs one.
    pub reason_code: Option<String>,
    /// For colleagues, at most 500 characters; the merchant does not see it.
    pub note: Option<String>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// One person's decision, checked.
struct Checked {
    decision: ReviewDecision,
    reason: Option<ReviewReason>,
    note: Option<String>,
}

impl Reviews {
    /// Decides a task that the caller holds. Where two people must agree, the first opinion gives the task back to the queue for another
    /// person; the one that settles it approves or refuses the paper and moves its application, in the same transaction. A sample or a known
    /// item moves nothing.
    pub async fn decide(&self, actor: &Actor, command: Decide) -> Result<Task, ReviewError> {
        let by = reviewer(actor)?;
        let reason = rules::reason(command.decision, command.reason_code.as_deref())?;
        let checked = Checked { decision: command.decision, reason, note: rules::note(command.note.as_deref())? };
        let now = self.clock.now();
        let scope = scope_of(by, "reviewDecide", command.idempotency_key);
        let mut tx = self.db.begin().await?;
        let document = repo::document_of(&mut tx, command.task).await?.ok_or(ReviewError::NotFound)?;
        let application = onboarding::repo::lock_application_of_document_in_tx(&mut tx, None, document).await?;
        let application = application.ok_or(ReviewError::NotFound)?;
        let mut task = repo::lock_in_tx(&mut tx, command.task).await?.ok_or(ReviewError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, task.id.0, now).await? {
            return Ok(told);
        }
        let wall = Clock::wall();
        rules::may_decide(&task, by, wall)?;

        let earlier = repo::opinions_in_tx(&mut tx, task.id).await?;
        let settles = rules::settles(task.risk, &earlier, checked.decision);
        let opinion = Opinion {
            round: task.opinions + 1,
            decision: checked.decision,
            reason_code: checked.reason.map(ReviewReason::as_str),
            note: checked.note.as_deref(),
            by,
            at: now,
            took_ms: task.claimed_at.map(|since| (wall - since).num_milliseconds().max(0)),
        };
        repo::add_opinion_in_tx(&mut tx, task.id, &opinion, settles).await?;
        let detail = json!({
            "document_id": document,
            "version": task.version,
            "round": opinion.round,
            "decision": checked.decision.as_str(),
            "reason_code": opinion.reason_code,
            "settles": settles,
        });
        audit::record_in_tx(&mut tx, actor, "review.decided", task.id.0, detail, now).await?;
        task.opinions = opinion.round;
        if settles {
            task.status = TaskStatus::Decided;
            task.decision = Some(checked.decision);
            task.reason_code = opinion.reason_code.map(str::to_owned);
            task.decided_at = Some(now);
            if task.purpose == Purpose::Live {
                self.move_paper_in_tx(&mut tx, actor, &application, &task, &checked).await?;
            }
        } else {
            task.status = TaskStatus::Open;
            (task.claimed_by, task.claimed_at, task.lease_until) = (None, None, None);
        }
        idempotency::complete_in_tx(&mut tx, scope, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    async fn move_paper_in_tx(
        &self,
        tx: &mut PgConnection,
        actor: &Actor,
        application: &Application,
        task: &Task,
        checked: &Checked,
    ) -> Result<(), ReviewError> {
        let now = self.clock.now();
        let (status, reasons) = match (checked.decision, checked.reason) {
            (ReviewDecision::Reject, Some(reason)) => (DocumentStatus::Rejected, vec![reason.for_merchant()]),
            _ => (DocumentStatus::Approved, Vec::new()),
        };
        onboarding::repo::decide_document_in_tx(tx, task.document, status, &reasons, now).await?;
        let payload = json!({
            "document_id": task.document,
            "application_id": application.id,
            "kind": task.kind.as_str(),
            "version": task.version,
            "status": status.as_str(),
            "by": "reviewer",
        });
        let event = Event { book: application.merchant.book(), kind: "document.decided", subject: task.document.0, payload, at: now };
        outbox::append_in_tx(tx, &[event]).await?;
        progress::settle_in_tx(tx, actor, application, now).await?;
        Ok(())
    }
}

/// Where a person's keys count.
pub(super) fn scope_of(by: UserId, operation: &'static str, key: Uuid) -> Scope {
    Scope { tenant: by.0, operation, key }
}
