//! Versions of the document models (模型版本): which one reads papers, how two compare on the labelled set, and who let which one read. A version is a
//! manifest, and its id the manifest's SHA-256: files that are not the ones it names are refused when it is loaded.
//!
//! A version is promoted by two people, on a run on which it was not worse than the version that reads papers now. What goes wrong is rolled
//! back by one: that must not wait. Workers follow between two papers.

mod repo;
mod score;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::UserId;
use wallet::base::idempotency::{self, Claim, IdempotencyError, Scope};
use wallet::base::page::{FIRST_MAX, Page};

pub use score::{KindScore, Score};

/// A manifest, by content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the text, in hexadecimal.
    pub id: String,
    pub manifest: String,
}

/// A comparison of two versions on one set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: Uuid,
    pub baseline: String,
    pub candidate: String,
    /// SHA-256 over names and contents of the set, in hexadecimal.
    pub set: String,
    pub pages: i32,
    pub baseline_score: Score,
    pub candidate_score: Score,
    /// Whether the candidate is nowhere worse; see [`Score::not_worse_than`].
    pub not_worse: bool,
    pub ran_at: DateTime<Utc>,
}

/// What is done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PromotionKind {
    Promotion,
    Rollback,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PromotionStatus {
    /// Waits for a second person.
    Proposed,
    Done,
    Rejected,
}

/// A promotion or a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: Uuid,
    pub kind: PromotionKind,
    /// None: what the program was built with.
    pub version: Option<String>,
    /// What read papers before.
    pub replaces: Option<String>,
    pub run: Option<Uuid>,
    pub status: PromotionStatus,
    pub proposed_by: UserId,
    pub proposed_at: DateTime<Utc>,
    pub decided_by: Option<UserId>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A finished comparison, to be kept.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub baseline: Version,
    pub candidate: Version,
    pub set: String,
    pub baseline_score: Score,
    pub candidate_score: Score,
}

/// Proposes that a run's candidate reads papers.
#[derive(Clone, Debug, Serialize)]
pub struct Propose {
    pub run: Uuid,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Says yes or no to a proposal.
#[derive(Clone, Debug, Serialize)]
pub struct DecidePromotion {
    pub promotion: Uuid,
    pub approve: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Brings the version back that read papers before.
#[derive(Clone, Debug, Serialize)]
pub struct RollBack {
    /// Why, 1 to 200 characters.
    pub reason: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("there is no such run or promotion")]
    NotFound,
    /// The set has no pages, so that it shows nothing.
    #[error("a comparison needs pages")]
    NoPages,
    #[error("a version cannot be compared with itself")]
    SameVersion,
    /// The run shows that the candidate is worse somewhere.
    #[error("the candidate is worse on this run")]
    Worse,
    /// The run compared with another version than the one that reads papers now.
    #[error("the run compared with another version than the present one")]
    Outdated,
    #[error("another promotion waits for its second person")]
    Pending,
    #[error("the promotion is decided")]
    AlreadyDecided,
    /// Who proposed cannot confirm.
    #[error("a second person must confirm")]
    SecondPersonNeeded,
    #[error("nothing was promoted that could be rolled back")]
    NothingToRollBack,
    #[error(transparent)]
    Line(#[from] crate::line::BadLine),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// Knows versions, runs and promotions. Their times are real: a sandbox day must not turn their order round.
#[derive(Clone, Debug)]
pub struct Models {
    db: PgPool,
    /// The version that the program was built with: it reads papers until another is promoted.
    built_in: String,
}

impl Models {
    pub fn new(db: PgPool, built_in: String) -> Self {
        Self { db, built_in }
    }

    /// The promoted version; none: what the program was built with. For workers, between two papers: one statement by key.
    pub async fn current(&self) -> Result<Option<Version>, ModelError> {
        Ok(repo::current(&self.db).await?)
    }

    /// Keeps a comparison and the versions it was about. Operators only.
    pub async fn record_run(&self, actor: &Actor, new: NewRun) -> Result<Run, ModelError> {
        let by = operator(actor)?;
        if new.baseline.id == new.candidate.id {
            return Err(ModelError::SameVersion);
        }
        let pages = i32::try_from(new.candidate_score.pages()).unwrap_or(i32::MAX);
        if pages == 0 || new.baseline_score.pages() != new.candidate_score.pages() {
            return Err(ModelError::NoPages);
        }
        let now = Clock::wall();
        let run = Run {
            id: Uuid::now_v7(),
            baseline: new.baseline.id.clone(),
            candidate: new.candidate.id.clone(),
            set: new.set,
            pages,
            not_worse: new.candidate_score.not_worse_than(&new.baseline_score),
            baseline_score: new.baseline_score,
            candidate_score: new.candidate_score,
            ran_at: now,
        };
        let mut tx = self.db.begin().await?;
        repo::insert_versions_in_tx(&mut tx, &[new.baseline, new.candidate], by, now).await?;
        repo::insert_run_in_tx(&mut tx, &run, by).await?;
        let detail = json!({ "baseline": run.baseline, "candidate": run.candidate, "pages": pages, "not_worse": run.not_worse });
        audit::record_in_tx(&mut tx, actor, "models.compared", run.id, detail, now).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Comparisons, the newest first. Operators only.
    pub async fn runs(&self, actor: &Actor, before: Option<Uuid>, first: i64) -> Result<Page<Run>, ModelError> {
        operator(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::runs(&self.db, before, first + 1).await?, first))
    }

    /// Promotions and rollbacks, the newest first. Operators only.
    pub async fn promotions(&self, actor: &Actor, before: Option<Uuid>, first: i64) -> Result<Page<Promotion>, ModelError> {
        operator(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::promotions(&self.db, before, first + 1).await?, first))
    }

    /// Proposes a run's candidate. The run must have compared it with what reads papers now and found it nowhere worse. Operators only.
    pub async fn propose(&self, actor: &Actor, command: Propose) -> Result<Promotion, ModelError> {
        let by = operator(actor)?;
        let now = Clock::wall();
        let id = Uuid::now_v7();
        let scope = Scope { tenant: by.0, operation: "modelPromotionPropose", key: command.idempotency_key };
        let mut tx = self.db.begin().await?;
        let state = repo::lock_state_in_tx(&mut tx).await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, id, now).await? {
            return Ok(told);
        }
        let run = repo::run_in_tx(&mut tx, command.run).await?.ok_or(ModelError::NotFound)?;
        self.fit(&run, state.version.as_deref())?;
        if repo::pending_in_tx(&mut tx).await? {
            return Err(ModelError::Pending);
        }
        let promotion = Promotion {
            id,
            kind: PromotionKind::Promotion,
            version: Some(run.candidate),
            replaces: state.version,
            run: Some(run.id),
            status: PromotionStatus::Proposed,
            proposed_by: by,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        repo::insert_promotion_in_tx(&mut tx, &promotion).await?;
        audit::record_in_tx(&mut tx, actor, "models.proposed", id, json!({ "version": promotion.version, "run_id": run.id }), now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &promotion).await?;
        tx.commit().await?;
        Ok(promotion)
    }

    /// Confirms or refuses a proposal. Another person than who proposed confirms; whoever proposed may take it back. Operators only.
    pub async fn decide(&self, actor: &Actor, command: DecidePromotion) -> Result<Promotion, ModelError> {
        let by = operator(actor)?;
        let now = Clock::wall();
        let scope = Scope { tenant: by.0, operation: "modelPromotionDecide", key: command.idempotency_key };
        let mut tx = self.db.begin().await?;
        let state = repo::lock_state_in_tx(&mut tx).await?;
        let mut promotion = repo::promotion_in_tx(&mut tx, command.promotion).await?.ok_or(ModelError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, promotion.id, now).await? {
            return Ok(told);
        }
        if promotion.status != PromotionStatus::Proposed {
            return Err(ModelError::AlreadyDecided);
        }
        if command.approve {
            if promotion.proposed_by == by {
                return Err(ModelError::SecondPersonNeeded);
            }
            // a rollback may have come between
            if promotion.replaces != state.version {
                return Err(ModelError::Outdated);
            }
        }
        promotion.status = if command.approve { PromotionStatus::Done } else { PromotionStatus::Rejected };
        (promotion.decided_by, promotion.decided_at) = (Some(by), Some(now));
        repo::decide_promotion_in_tx(&mut tx, &promotion).await?;
        if command.approve {
            repo::set_state_in_tx(&mut tx, &promotion).await?;
        }
        let action = if command.approve { "models.promoted" } else { "models.refused" };
        audit::record_in_tx(&mut tx, actor, action, promotion.id, json!({ "version": promotion.version }), now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &promotion).await?;
        tx.commit().await?;
        Ok(promotion)
    }

    /// Brings back what read papers before the last promotion, at once and by one person. Operators only.
    pub async fn roll_back(&self, actor: &Actor, command: RollBack) -> Result<Promotion, ModelError> {
        let by = operator(actor)?;
        let reason = crate::line::check("reason", &command.reason, 1, 200)?;
        let now = Clock::wall();
        let id = Uuid::now_v7();
        let scope = Scope { tenant: by.0, operation: "modelRollback", key: command.idempotency_key };
        let mut tx = self.db.begin().await?;
        let state = repo::lock_state_in_tx(&mut tx).await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, id, now).await? {
            return Ok(told);
        }
        let last = state.promotion.ok_or(ModelError::NothingToRollBack)?;
        let last = repo::promotion_in_tx(&mut tx, last).await?.ok_or(ModelError::NotFound)?;
        // a second rollback would bring the bad version back
        if last.kind == PromotionKind::Rollback {
            return Err(ModelError::NothingToRollBack);
        }
        let promotion = Promotion {
            id,
            kind: PromotionKind::Rollback,
            version: last.replaces,
            replaces: state.version,
            run: None,
            status: PromotionStatus::Done,
            proposed_by: by,
            proposed_at: now,
            decided_by: Some(by),
            decided_at: Some(now),
        };
        repo::insert_promotion_in_tx(&mut tx, &promotion).await?;
        repo::set_state_in_tx(&mut tx, &promotion).await?;
        let detail = json!({ "version": promotion.version, "replaces": promotion.replaces, "reason": reason });
        audit::record_in_tx(&mut tx, actor, "models.rolled_back", id, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &promotion).await?;
        tx.commit().await?;
        Ok(promotion)
    }

    /// Whether a run speaks for promoting its candidate over `present`.
    fn fit(&self, run: &Run, present: Option<&str>) -> Result<(), ModelError> {
        if !run.not_worse {
            return Err(ModelError::Worse);
        }
        if run.baseline != present.unwrap_or(&self.built_in) {
            return Err(ModelError::Outdated);
        }
        Ok(())
    }
}

fn operator(actor: &Actor) -> Result<UserId, Forbidden> {
    match actor {
        Actor::Person { id, role: Role::Operator, .. } => Ok(*id),
        _ => Err(Forbidden),
    }
}
