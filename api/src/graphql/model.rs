//! Versions of the document models, for operators: comparisons, promotions by two people, rollbacks by one.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::models::{DecidePromotion, KindScore, ModelError, Promotion, PromotionKind, PromotionStatus, Propose, RollBack, Run, Score};
use uuid::Uuid;
use wallet::base::actor::Role;

use super::error::{Rejection, UserError, idempotency, not_found, required, settle};
use super::id::GlobalId;
use super::merchant::bad_line;
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

impl Rejection for ModelError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "只有运营人员可以管理模型版本"),
            Self::NotFound => not_found("", "回归测试或上线申请"),
            Self::NoPages | Self::SameVersion => return None,
            Self::Worse => UserError::new("STATE_WORSE", "该版本在回归测试中有变差的项目，不能上线").at("runId"),
            Self::Outdated => UserError::new("STATE_OUTDATED", "回归测试对比的不是当前版本，请与当前版本重新对比"),
            Self::Pending => UserError::new("STATE_PENDING", "已有一个版本等待第二人确认，请先处理"),
            Self::AlreadyDecided => UserError::new("STATE_ALREADY_DECIDED", "该申请已有结论"),
            Self::SecondPersonNeeded => UserError::new("STATE_SECOND_PERSON_NEEDED", "须由另一位运营人员确认"),
            Self::NothingToRollBack => UserError::new("STATE_NOTHING_TO_ROLL_BACK", "当前没有可以退回的上线版本"),
            Self::Line(line) => bad_line(line),
            Self::Idempotency(error) => return idempotency(error),
            Self::Database(_) => return None,
        })
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ModelPromotionKind", remote = "PromotionKind")]
pub enum PromotionKindName {
    Promotion,
    Rollback,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ModelPromotionStatus", remote = "PromotionStatus")]
pub enum PromotionStatusName {
    /// Waits for a second person.
    Proposed,
    Done,
    Rejected,
}

/// What a version read right on the pages of one kind.
#[derive(SimpleObject, Debug)]
pub struct ModelScore {
    /// The true kind, as `id_front`.
    kind: String,
    pages: u32,
    /// Pages that could not be read at all.
    failed: u32,
    kind_right: u32,
    /// Values whose truth is known.
    fields: u32,
    fields_right: u32,
}

fn scores(score: Score) -> Vec<ModelScore> {
    let one = |(kind, KindScore { pages, failed, kind_right, fields, fields_right })| ModelScore {
        kind,
        pages,
        failed,
        kind_right,
        fields,
        fields_right,
    };
    score.0.into_iter().map(one).collect()
}

/// A comparison of two versions on one labelled set.
#[derive(SimpleObject, Debug)]
pub struct ModelRun {
    id: Uuid,
    /// SHA-256 of the manifest.
    baseline: String,
    candidate: String,
    /// SHA-256 over names and contents of the set.
    set: String,
    pages: i32,
    baseline_scores: Vec<ModelScore>,
    candidate_scores: Vec<ModelScore>,
    /// Whether no kind of page is read worse by the candidate.
    not_worse: bool,
    ran_at: DateTime<Utc>,
}

impl From<Run> for ModelRun {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            baseline: run.baseline,
            candidate: run.candidate,
            set: run.set,
            pages: run.pages,
            baseline_scores: scores(run.baseline_score),
            candidate_scores: scores(run.candidate_score),
            not_worse: run.not_worse,
            ran_at: run.ran_at,
        }
    }
}

/// A promotion or a rollback.
#[derive(SimpleObject, Debug)]
pub struct ModelPromotion {
    id: Uuid,
    kind: PromotionKindName,
    /// `null`: what the program was built with.
    version: Option<String>,
    replaces: Option<String>,
    run_id: Option<Uuid>,
    status: PromotionStatusName,
    proposed_by: ID,
    proposed_at: DateTime<Utc>,
    decided_by: Option<ID>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<Promotion> for ModelPromotion {
    fn from(promotion: Promotion) -> Self {
        Self {
            id: promotion.id,
            kind: promotion.kind.into(),
            version: promotion.version,
            replaces: promotion.replaces,
            run_id: promotion.run,
            status: promotion.status.into(),
            proposed_by: GlobalId::User(promotion.proposed_by).encode(),
            proposed_at: promotion.proposed_at,
            decided_by: promotion.decided_by.map(|by| GlobalId::User(by).encode()),
            decided_at: promotion.decided_at,
        }
    }
}

#[derive(Default, Debug)]
pub struct ModelQuery;

#[Object]
impl ModelQuery {
    /// Comparisons of model versions, the newest first. Operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn model_runs(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<ModelRun>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<Uuid> = Window::read(first, after)?;
        let page = required(app(ctx).models.runs(actor, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |run: &Run| run.id, ModelRun::from))
    }

    /// Promotions and rollbacks, the newest first; the first that is done says what reads papers now. Operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn model_promotions(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<ModelPromotion>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<Uuid> = Window::read(first, after)?;
        let page = required(app(ctx).models.promotions(actor, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |promotion: &Promotion| promotion.id, ModelPromotion::from))
    }
}

#[derive(InputObject, Debug)]
pub struct ModelPromotionProposeInput {
    /// A comparison with what reads papers now that found the candidate nowhere worse.
    run_id: Uuid,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct ModelPromotionDecideInput {
    promotion_id: Uuid,
    /// Whether it reads papers from now on. Not by who proposed it.
    approve: bool,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct ModelRollbackInput {
    /// Why, 1 to 200 characters.
    reason: String,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct ModelPromotionPayload {
    promotion: Option<ModelPromotion>,
    user_errors: Vec<UserError>,
}

impl ModelPromotionPayload {
    fn of(result: Result<Promotion, ModelError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(promotion) => Self { promotion: Some(promotion.into()), user_errors: Vec::new() },
            Err(user_errors) => Self { promotion: None, user_errors },
        })
    }
}

#[derive(Default, Debug)]
pub struct ModelMutation;

#[Object]
impl ModelMutation {
    /// Proposes that a comparison's candidate reads papers. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn model_promotion_propose(
        &self,
        ctx: &Context<'_>,
        input: ModelPromotionProposeInput,
    ) -> async_graphql::Result<ModelPromotionPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let command = Propose { run: input.run_id, idempotency_key: input.idempotency_key };
        ModelPromotionPayload::of(app(ctx).models.propose(actor, command).await)
    }

    /// Confirms or refuses a proposal; workers follow before their next paper. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn model_promotion_decide(
        &self,
        ctx: &Context<'_>,
        input: ModelPromotionDecideInput,
    ) -> async_graphql::Result<ModelPromotionPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let command = DecidePromotion { promotion: input.promotion_id, approve: input.approve, idempotency_key: input.idempotency_key };
        ModelPromotionPayload::of(app(ctx).models.decide(actor, command).await)
    }

    /// Brings back what read papers before the last promotion, at once. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn model_rollback(&self, ctx: &Context<'_>, input: ModelRollbackInput) -> async_graphql::Result<ModelPromotionPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let command = RollBack { reason: input.reason, idempotency_key: input.idempotency_key };
        ModelPromotionPayload::of(app(ctx).models.roll_back(actor, command).await)
    }
}
