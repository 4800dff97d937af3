//! What a review job does with a paper: loads the version that counts, and brings back the pipeline's verdict. Delivered twice, or for a
//! version that was replaced meanwhile, a verdict changes nothing.

use std::fmt;

use ai::document::DocumentKind;
use ai::pipeline::Findings;
use ai::review::{Claims, Decision, Verdict};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use wallet::base::actor::Actor;
use wallet::base::audit;
use wallet::base::id::{DocumentId, TaskId};
use wallet::base::outbox::{self, Event};

use super::repo::NewFindings;
use super::{
    ApplicationStatus, Applications, Document, DocumentStatus, OnboardingError, VersionRow, claims_place, comparison_place, findings_place,
    progress, repo, rules,
};
use crate::review::repo::NewTask;
use crate::review::{self, Purpose, Risk, risk};

/// A paper to be judged. `Debug` shows no content.
#[derive(Clone)]
pub struct ForReview {
    pub document: DocumentId,
    pub version: i32,
    pub kind: DocumentKind,
    /// The stored JPEG.
    pub image: Bytes,
    pub claims: Claims,
}

impl fmt::Debug for ForReview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForReview({} {}/{})", self.kind, self.document, self.version)
    }
}

/// What the pipeline made of one version.
#[derive(Clone)]
pub struct Judgement {
    /// None when a stage failed; the decision then says so in its reasons.
    pub findings: Option<Findings>,
    pub decision: Decision,
    /// Milliseconds from the job's start to the decision.
    pub took_ms: u32,
}

impl fmt::Debug for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judgement({} in {} ms)", self.decision.verdict.as_str(), self.took_ms)
    }
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Done {
        document: DocumentStatus,
        application: ApplicationStatus,
    },
    /// This version was judged before.
    AlreadyJudged,
    /// The paper was replaced or corrected meanwhile; the newer version has a job of its own.
    Superseded,
}

impl Applications {
    /// The version of a document that waits for a verdict, for the review job; none when nothing waits any more.
    pub async fn load_for_review(&self, id: DocumentId) -> Result<Option<ForReview>, OnboardingError> {
        let document = repo::documents(&self.db, None, &[id]).await?.pop().ok_or(OnboardingError::NotFound)?;
        if document.status != DocumentStatus::Checking {
            return Ok(None);
        }
        let version = repo::version(&self.db, id, document.version).await?;
        let claims = self.vault.open_json(&claims_place(VersionRow(id, document.version)), &version.claims_sealed)?;
        let image = self.files.get(&version.object_key).await?;
        Ok(Some(ForReview { document: id, version: document.version, kind: document.kind, image, claims }))
    }

    /// Applies a verdict to the version it was drawn for: findings and comparison are kept sealed, the paper gets its status, a review
    /// task is opened where a person must look, and the application moves. The last approval signs the merchant.
    pub async fn apply_decision(&self, id: DocumentId, version: i32, judgement: Judgement) -> Result<Applied, OnboardingError> {
        let Judgement { findings, decision, took_ms } = judgement;
        let row = VersionRow(id, version);
        let findings_sealed = findings.as_ref().map(|f| self.vault.seal_json(&findings_place(row), f)).transpose()?;
        let comparison_sealed = self.vault.seal_json(&comparison_place(row), &decision.comparisons)?;
        let new = NewFindings {
            document: id,
            version,
            findings_sealed: findings_sealed.as_deref(),
            verdict: decision.verdict.as_str(),
            reasons: &decision.reasons,
            comparison_sealed: &comparison_sealed,
            models: findings.as_ref().map_or_else(|| json!([]), |f| json!(f.models)),
            took_ms: i32::try_from(took_ms).unwrap_or(i32::MAX),
        };
        let actor = Actor::System;
        let now = self.clock.now();

        let mut tx = self.db.begin().await?;
        let application = repo::lock_application_of_document_in_tx(&mut tx, None, id).await?.ok_or(OnboardingError::NotFound)?;
        let documents = repo::documents_of_applications(&mut *tx, None, &[application.id]).await?;
        let document = documents.into_iter().find(|d| d.id == id).ok_or(OnboardingError::NotFound)?;
        if document.version != version {
            return Ok(Applied::Superseded);
        }
        if document.status != DocumentStatus::Checking || !repo::insert_findings_in_tx(&mut tx, &new, now).await? {
            return Ok(Applied::AlreadyJudged);
        }
        let status = rules::judged_document(decision.verdict);
        let reasons = if decision.verdict == Verdict::Approve { &[][..] } else { &decision.reasons };
        repo::decide_document_in_tx(&mut tx, id, status, reasons, now).await?;
        self.open_task_in_tx(&mut tx, &document, &decision, now).await?;
        let codes: Vec<_> = reasons.iter().map(|r| r.code.as_str()).collect();
        let payload = json!({
            "document_id": id,
            "application_id": application.id,
            "kind": document.kind.as_str(),
            "version": version,
            "status": status.as_str(),
            "by": "pipeline",
        });
        let event = Event { book: application.merchant.book(), kind: "document.decided", subject: id.0, payload, at: now };
        outbox::append_in_tx(&mut tx, &[event]).await?;
        let detail = json!({ "version": version, "verdict": decision.verdict.as_str(), "reasons": codes });
        audit::record_in_tx(&mut tx, &actor, "document.judged", id.0, detail, now).await?;
        let application = progress::settle_in_tx(&mut tx, &actor, &application, now).await?;
        tx.commit().await?;
        Ok(Applied::Done { document: status, application })
    }

    /// Opens the task of a page that a person must look at, and that of an approval that falls into the blind sample.
    async fn open_task_in_tx(
        &self,
        tx: &mut PgConnection,
        document: &Document,
        decision: &Decision,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let drawn = self.sample.draw(document.id, document.version).filter(|_| decision.verdict == Verdict::Approve);
        let (purpose, reasons) = match (decision.verdict, drawn) {
            (Verdict::Review, _) => (Purpose::Live, decision.reasons.clone()),
            (_, Some(draw)) => (Purpose::Audit, vec![risk::stand_in(document.kind, draw)]),
            _ => return Ok(()),
        };
        let risk = Risk::of(&reasons);
        let new = NewTask { id: TaskId::new(), document: document.id, version: document.version, purpose, risk, reasons: &reasons };
        review::repo::open_in_tx(tx, &new, now).await
    }
}
