//! How good review is, for operators: estimated error rates with their intervals, samples that people refused, and known items.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::review::rate::{ErrorRate, FailedAudit, Subject};
use merchant::review::seed::{PlantSeed, Seed};
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::id::TaskId;

use super::error::{UserError, not_found, required, settle};
use super::id::{self, GlobalId};
use super::onboarding::PaperKind;
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

/// What an error rate is about.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorRateSubject {
    /// Automatic approvals of a kind of paper: blind samples that people decided; wrong are those that they refused.
    Kind,
    /// A reason code: pages that people decided; wrong are those that they approved.
    Flag,
    /// A reviewer: opinions whose right answer is known; wrong are those that were not it.
    Reviewer,
}

/// A share of wrong ones with the exact 95 % interval (Clopper-Pearson) it is known by.
#[derive(SimpleObject, Debug)]
pub struct ReviewErrorRate {
    subject: ErrorRateSubject,
    /// The kind of paper, the reason code, or the reviewer's id.
    name: String,
    n: u32,
    wrong: u32,
    /// `null` where nothing was seen.
    share: Option<f64>,
    low: f64,
    high: f64,
}

impl From<ErrorRate> for ReviewErrorRate {
    fn from(rate: ErrorRate) -> Self {
        let ErrorRate { subject, n, wrong, low, high } = rate;
        let (subject, name) = match subject {
            Subject::Kind(kind) => (ErrorRateSubject::Kind, kind.as_str().to_uppercase()),
            Subject::Flag(code) => (ErrorRateSubject::Flag, code),
            Subject::Reviewer(user) => (ErrorRateSubject::Reviewer, GlobalId::User(user).encode().to_string()),
        };
        let share = (n > 0).then(|| f64::from(wrong) / f64::from(n));
        Self { subject, name, n, wrong, share, low, high }
    }
}

/// An automatic approval that people refused on a blind look. Somebody has to act on it.
#[derive(SimpleObject, Debug)]
pub struct ReviewFailedAudit {
    document_id: ID,
    version: i32,
    kind: Option<PaperKind>,
    /// Why it was refused.
    reason_code: Option<String>,
    decided_at: DateTime<Utc>,
}

impl From<FailedAudit> for ReviewFailedAudit {
    fn from(audit: FailedAudit) -> Self {
        Self {
            document_id: GlobalId::Document(audit.document).encode(),
            version: audit.version,
            kind: PaperKind::of(audit.kind),
            reason_code: audit.reason_code,
            decided_at: audit.decided_at,
        }
    }
}

#[derive(Default, Debug)]
pub struct ReviewQualityQuery;

#[Object]
impl ReviewQualityQuery {
    /// Error rates of what was decided from `from` until before `to`, at most a year. Operators.
    #[graphql(complexity = "100 + 50 * child_complexity")]
    async fn review_error_rates(
        &self,
        ctx: &Context<'_>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> async_graphql::Result<Vec<ReviewErrorRate>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let rates = required(app(ctx).reviews.error_rates(actor, from, to).await)?;
        Ok(rates.into_iter().map(ReviewErrorRate::from).collect())
    }

    /// Automatic approvals that people refused on a blind look, the newest first. Operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn review_failed_audits(
        &self,
        ctx: &Context<'_>,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Nodes<ReviewFailedAudit>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<TaskId> = Window::read(first, after)?;
        let page = required(app(ctx).reviews.failed_audits(actor, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |audit: &FailedAudit| audit.task, ReviewFailedAudit::from))
    }
}

#[derive(InputObject, Debug)]
pub struct ReviewSeedPlantInput {
    /// An approved paper that the pipeline read.
    document_id: ID,
    /// Which of its claims gets one character changed.
    field: String,
    idempotency_key: Uuid,
}

/// A known item (已知答案).
#[derive(SimpleObject, Debug)]
pub struct ReviewSeed {
    task_id: ID,
    kind: Option<PaperKind>,
    field: String,
    planted_at: DateTime<Utc>,
}

impl From<Seed> for ReviewSeed {
    fn from(seed: Seed) -> Self {
        Self { task_id: GlobalId::Task(seed.task).encode(), kind: PaperKind::of(seed.kind), field: seed.field, planted_at: seed.planted_at }
    }
}

#[derive(SimpleObject, Debug)]
pub struct ReviewSeedPlantPayload {
    seed: Option<ReviewSeed>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct ReviewQualityMutation;

#[Object]
impl ReviewQualityMutation {
    /// Puts a known item among the review tasks: a copy of an approved page beside a claim with one character changed. Reviewers cannot tell
    /// it from other tasks; its decision changes nobody's papers and counts in the reviewer's error rate. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_seed_plant(&self, ctx: &Context<'_>, input: ReviewSeedPlantInput) -> async_graphql::Result<ReviewSeedPlantPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let Some(document) = id::document(&input.document_id) else {
            return Ok(ReviewSeedPlantPayload { seed: None, user_errors: vec![not_found("documentId", "资料")] });
        };
        let command = PlantSeed { document, field: input.field, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).reviews.plant(actor, command).await)? {
            Ok(seed) => ReviewSeedPlantPayload { seed: Some(seed.into()), user_errors: Vec::new() },
            Err(user_errors) => ReviewSeedPlantPayload { seed: None, user_errors },
        })
    }
}
