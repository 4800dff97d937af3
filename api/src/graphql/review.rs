//! The reviewer's workbench: queue, claim, evidence field by field, decision.

use ai::review::Outcome;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use merchant::review::{
    Decide, FieldDiff, FieldView, QueueCursor, ReviewDecision, ReviewError, ReviewReason, Risk, Task, TaskStatus, TaskView, Uncertain, View,
};
use tokio::sync::OnceCell;
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::clock::Clock;
use wallet::base::id::TaskId;

use super::error::{Rejection, UserError, idempotency, invalid, not_found, required, settle};
use super::id::{self, GlobalId};
use super::merchant::bad_line;
use super::onboarding::{PaperKind, ReasonNode};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor, actor_as, app};

/// How long an image link works.
const IMAGE_LINK_MINUTES: i64 = 5;

impl Rejection for ReviewError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "您没有权限处理审核任务"),
            Self::NotFound => not_found("taskId", "审核任务"),
            Self::AlreadyClaimed { until } => {
                let until = until.with_timezone(&wallet::base::clock::shanghai()).format("%H:%M");
                UserError::new("STATE_ALREADY_CLAIMED", format!("其他审核员正在处理，最迟 {until} 释放，请先处理别的任务")).passing()
            }
            Self::NotClaimed => UserError::new("STATE_NOT_CLAIMED", "请先领取任务再处理"),
            Self::SecondPersonNeeded => UserError::new("STATE_SECOND_PERSON_NEEDED", "您已对这份资料给出过意见，须由另一位审核员处理"),
            Self::UnknownField => invalid("fields", "请填写该证件上的栏目名称，每次至少一个、至多 32 个"),
            Self::NotPlantable => UserError::new("STATE_NOT_PLANTABLE", "只有已通过且识别完整的资料可以用作已知答案"),
            Self::DecidedAlone => {
                UserError::new("STATE_DECIDED_ALONE", "这样的改动会由系统直接处理，不会进入人工审核，请换一个栏目").at("field")
            }
            Self::Span => invalid("to", "结束时间须晚于开始时间，且不超过一年"),
            Self::Idempotency(error) => return idempotency(error),
            Self::LeaseExpired => UserError::new("STATE_LEASE_EXPIRED", "领取已超时，请重新领取"),
            Self::AlreadyDecided => UserError::new("STATE_ALREADY_DECIDED", "该任务已有结论，不能再处理"),
            Self::Superseded => UserError::new("STATE_SUPERSEDED", "商户已更换或更正该资料，请处理新的任务"),
            Self::ReasonRequired => invalid("reasonCode", "驳回时请选择原因"),
            Self::UnknownReason => invalid("reasonCode", "该原因不适用于此结论，请从 reviewReasonCodes 中选择"),
            Self::Line(line) => bad_line(line),
            Self::Application(_) | Self::Files(_) | Self::Vault(_) | Self::Image(_) | Self::Interrupted(_) | Self::Database(_) => {
                return None;
            }
        })
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ReviewTaskStatus", remote = "TaskStatus")]
pub enum TaskStatusName {
    Open,
    Claimed,
    Decided,
    /// The paper was replaced before anybody decided.
    Superseded,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ReviewDecision", remote = "ReviewDecision")]
pub enum ReviewDecisionName {
    Approve,
    Reject,
}

/// How a typed value compares with what was read.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ComparisonOutcome", remote = "Outcome")]
pub enum ComparisonOutcome {
    Match,
    /// Equal but for width, spaces, or other forms of the same character.
    MatchAfterNormalisation,
    Differ,
    Unreadable,
    Absent,
}

/// Of a field, whether a rule of its own held: a check digit, a date.
#[derive(SimpleObject, Clone, Debug)]
pub struct FieldCheck {
    name: String,
    passed: bool,
}

/// Where a typed and a read value differ. Width, variants of a character and case do not count.
#[derive(SimpleObject, Clone, Debug)]
pub struct ReviewDiff {
    /// Positions in the typed value, from 0.
    typed: Vec<u32>,
    /// Positions in the read value, from 0.
    read: Vec<u32>,
    /// How many characters make one of the other; 100 stands for more.
    edits: u32,
}

impl From<FieldDiff> for ReviewDiff {
    fn from(diff: FieldDiff) -> Self {
        Self { typed: diff.typed, read: diff.read, edits: diff.edits }
    }
}

/// A character that the reader was not sure of.
#[derive(SimpleObject, Clone, Debug)]
pub struct UncertainCharacter {
    /// Its place in the read value, from 0.
    position: u32,
    /// 0 to 1.
    confidence: f32,
    /// What it may be instead, likeliest first, at most three; empty while the value is masked.
    alternatives: Vec<CharacterAlternative>,
}

/// What a doubtful character may be instead.
#[derive(SimpleObject, Clone, Debug)]
pub struct CharacterAlternative {
    character: String,
    /// 0 to 1.
    confidence: f32,
}

impl From<Uncertain> for UncertainCharacter {
    fn from(uncertain: Uncertain) -> Self {
        let alternative = |(character, confidence): (char, f32)| CharacterAlternative { character: character.to_string(), confidence };
        Self {
            position: uncertain.position,
            confidence: uncertain.confidence,
            alternatives: uncertain.alternatives.into_iter().map(alternative).collect(),
        }
    }
}

/// How dear a wrong decision would be.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ReviewRisk", remote = "Risk")]
pub enum RiskName {
    /// One person decides, within 24 hours.
    Normal,
    /// Two people must agree, a third settles what they do not agree on; within 8 hours.
    High,
}

/// The paper of a review task. How it stands elsewhere is not for reviewers.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct ReviewPaper {
    kind: Option<PaperKind>,
}

/// One field of a paper, typed and read.
#[derive(Debug)]
pub struct ReviewField(FieldView);

#[Object]
impl ReviewField {
    async fn name(&self) -> &str {
        self.0.name
    }

    /// In Chinese.
    async fn label(&self) -> &str {
        self.0.label
    }

    /// As typed; masked unless the caller holds the task and had it shown by `reviewReveal`.
    async fn claimed(&self) -> Option<&str> {
        self.0.claimed.as_deref()
    }

    /// As read; masked unless the caller holds the task and had it shown by `reviewReveal`.
    async fn read(&self) -> Option<&str> {
        self.0.read.as_deref()
    }

    /// What the second reader read instead, where it did not agree; masked as the others.
    async fn second(&self) -> Option<&str> {
        self.0.second.as_deref()
    }

    /// Whether something of it is hidden.
    async fn masked(&self) -> bool {
        self.0.masked
    }

    /// Where the whole values differ, also while they are masked; `null` where one is missing.
    async fn diff(&self) -> Option<ReviewDiff> {
        self.0.diff.clone().map(ReviewDiff::from)
    }

    /// Whether two names are one character apart.
    async fn near_name(&self) -> bool {
        self.0.near_name
    }

    /// Characters of the read value that the reader was not sure of.
    async fn uncertain(&self) -> Vec<UncertainCharacter> {
        self.0.uncertain.iter().cloned().map(UncertainCharacter::from).collect()
    }

    /// `null` where nothing was typed.
    async fn outcome(&self) -> Option<ComparisonOutcome> {
        self.0.outcome.map(Into::into)
    }

    /// Of the least certain character, 0 to 1.
    async fn confidence(&self) -> Option<f32> {
        self.0.confidence
    }

    /// Four corners in pixels of the upright image, clockwise from the top left.
    async fn quad(&self) -> Option<Vec<Vec<f32>>> {
        self.0.quad.map(|quad| quad.iter().map(|point| point.to_vec()).collect())
    }

    async fn checks(&self) -> Vec<FieldCheck> {
        self.0.checks.iter().map(|check| FieldCheck { name: check.name.clone(), passed: check.passed }).collect()
    }
}

/// A review task (审核任务): one version of one paper.
///
/// Its evidence is opened once, when a field asks for it. Values are masked; the reviewer who holds the task has single ones shown.
#[derive(Debug)]
pub struct ReviewTaskNode(Task, OnceCell<TaskView>);

impl From<Task> for ReviewTaskNode {
    fn from(task: Task) -> Self {
        Self(task, OnceCell::new())
    }
}

impl ReviewTaskNode {
    async fn evidence(&self, ctx: &Context<'_>) -> async_graphql::Result<&TaskView> {
        let load = async || required(app(ctx).reviews.task(actor(ctx)?, self.0.id).await);
        self.1.get_or_try_init(load).await
    }

    async fn link(&self, ctx: &Context<'_>, view: View) -> async_graphql::Result<Option<String>> {
        if !self.evidence(ctx).await?.held {
            return Ok(None);
        }
        let Some(viewer) = actor(ctx)?.user() else { return Ok(None) };
        let expires = Clock::wall() + TimeDelta::minutes(IMAGE_LINK_MINUTES);
        let ticket = app(ctx).tickets.image(self.0.id, viewer, expires);
        // named by the task: a document's own id would tell a sample from a live task
        Ok(Some(format!("/reviews/{}/image?ticket={ticket}&view={}", *GlobalId::Task(self.0.id).encode(), view.as_str())))
    }
}

#[Object(name = "ReviewTask")]
impl ReviewTaskNode {
    pub async fn id(&self) -> ID {
        GlobalId::Task(self.0.id).encode()
    }

    async fn status(&self) -> TaskStatusName {
        self.0.status.into()
    }

    /// The paper.
    async fn document(&self) -> ReviewPaper {
        ReviewPaper { kind: PaperKind::of(self.0.kind) }
    }

    async fn risk(&self) -> RiskName {
        self.0.risk.into()
    }

    /// How many people have to agree.
    async fn eyes(&self) -> i32 {
        self.0.risk.eyes()
    }

    /// How many people have said what they think; what they said is not shown. Two of two who did not agree wait for a third.
    async fn opinions(&self) -> i32 {
        self.0.opinions
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Why a person has to look.
    async fn reasons(&self) -> Vec<ReasonNode> {
        self.0.reasons.iter().cloned().map(ReasonNode::from).collect()
    }

    async fn due_at(&self) -> DateTime<Utc> {
        self.0.due_at
    }

    /// Whether the caller holds it.
    async fn mine(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        Ok(self.0.claimed_by.is_some() && self.0.claimed_by == actor(ctx)?.user())
    }

    /// Who holds it, while the lease lasts.
    async fn claimed_by(&self) -> Option<ID> {
        self.0.claimed_by.map(|user| GlobalId::User(user).encode())
    }

    async fn lease_until(&self) -> Option<DateTime<Utc>> {
        self.0.lease_until
    }

    async fn decision(&self) -> Option<ReviewDecisionName> {
        self.0.decision.map(Into::into)
    }

    async fn reason_code(&self) -> Option<&str> {
        self.0.reason_code.as_deref()
    }

    /// A link to the upright image that works for five minutes and for this reviewer only; `null` unless the caller holds the task.
    #[graphql(complexity = 20)]
    async fn image_url(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        self.link(ctx, View::Original).await
    }

    /// The same image with its red seal lifted, as the reader saw it.
    #[graphql(complexity = 20)]
    async fn seal_removed_url(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        self.link(ctx, View::SealRemoved).await
    }

    /// How far, clockwise, the uploaded image was turned to stand upright. The link gives it turned already.
    #[graphql(complexity = 20)]
    async fn rotation(&self, ctx: &Context<'_>) -> async_graphql::Result<i32> {
        Ok(self.evidence(ctx).await?.rotation_degrees.into())
    }

    /// Pixels of the upright image.
    #[graphql(complexity = 20)]
    async fn image_width(&self, ctx: &Context<'_>) -> async_graphql::Result<u32> {
        Ok(self.evidence(ctx).await?.image_width)
    }

    #[graphql(complexity = 20)]
    async fn image_height(&self, ctx: &Context<'_>) -> async_graphql::Result<u32> {
        Ok(self.evidence(ctx).await?.image_height)
    }

    /// In the order they are printed on the paper.
    #[graphql(complexity = "20 + 10 * child_complexity")]
    async fn fields(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ReviewField>> {
        Ok(self.evidence(ctx).await?.fields.iter().cloned().map(ReviewField).collect())
    }
}

/// A reason a reviewer may give.
#[derive(SimpleObject, Debug)]
pub struct ReviewReasonCode {
    code: &'static str,
    /// In Chinese.
    label: &'static str,
    /// The decision it belongs to.
    decision: ReviewDecisionName,
}

#[derive(Default, Debug)]
pub struct ReviewQuery;

#[Object]
impl ReviewQuery {
    /// Undecided tasks by deadline, which high risk brings forward; not those that the caller has judged. Reviewers.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn review_queue(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<ReviewTaskNode>> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let window: Window<(DateTime<Utc>, TaskId)> = Window::read(first, after)?;
        let after = window.after.map(|(due_at, task)| QueueCursor { due_at, task });
        let page = required(app(ctx).reviews.queue(actor, after, window.first).await)?;
        Ok(connection(page, after.is_some(), |task| (task.due_at, task.id), ReviewTaskNode::from))
    }

    /// The closed list of reasons a reviewer may give.
    async fn review_reason_codes(&self) -> Vec<ReviewReasonCode> {
        let code =
            |reason: ReviewReason| ReviewReasonCode { code: reason.as_str(), label: reason.label(), decision: reason.decision().into() };
        ReviewReason::ALL.into_iter().map(code).collect()
    }
}

#[derive(InputObject, Debug)]
pub struct ReviewClaimInput {
    task_id: ID,
}

#[derive(InputObject, Debug)]
pub struct ReviewReleaseInput {
    task_id: ID,
}

#[derive(InputObject)]
pub struct ReviewDecideInput {
    task_id: ID,
    decision: ReviewDecisionName,
    /// One of `reviewReasonCodes`; a rejection needs one.
    reason_code: Option<String>,
    /// For colleagues, at most 500 characters.
    #[graphql(secret)]
    note: Option<String>,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct ReviewRenewInput {
    task_id: ID,
}

#[derive(InputObject, Debug)]
pub struct ReviewRevealInput {
    task_id: ID,
    /// Names of fields, 1 to 32.
    fields: Vec<String>,
}

#[derive(SimpleObject, Debug)]
pub struct ReviewTaskPayload {
    task: Option<ReviewTaskNode>,
    user_errors: Vec<UserError>,
}

impl ReviewTaskPayload {
    fn from(result: Result<Task, ReviewError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(task) => Self { task: Some(task.into()), user_errors: Vec::new() },
            Err(user_errors) => Self { task: None, user_errors },
        })
    }

    fn no_task() -> async_graphql::Result<Self> {
        Ok(Self { task: None, user_errors: vec![not_found("taskId", "审核任务")] })
    }
}

#[derive(Default, Debug)]
pub struct ReviewMutation;

#[Object]
impl ReviewMutation {
    /// Takes a task for ten minutes, or renews the caller's claim. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_claim(&self, ctx: &Context<'_>, input: ReviewClaimInput) -> async_graphql::Result<ReviewTaskPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else { return ReviewTaskPayload::no_task() };
        ReviewTaskPayload::from(app(ctx).reviews.claim(actor, task).await)
    }

    /// Lets a claimed task go. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_release(&self, ctx: &Context<'_>, input: ReviewReleaseInput) -> async_graphql::Result<ReviewTaskPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else { return ReviewTaskPayload::no_task() };
        ReviewTaskPayload::from(app(ctx).reviews.release(actor, task).await)
    }

    /// The heartbeat of whoever holds a task: ten minutes more. A claim that ran out is not brought back by it. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_renew(&self, ctx: &Context<'_>, input: ReviewRenewInput) -> async_graphql::Result<ReviewTaskPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else { return ReviewTaskPayload::no_task() };
        ReviewTaskPayload::from(app(ctx).reviews.renew(actor, task).await)
    }

    /// Shows values whole to the reviewer who holds the task, for as long as they hold it. Each is on record. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_reveal(&self, ctx: &Context<'_>, input: ReviewRevealInput) -> async_graphql::Result<ReviewTaskPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else { return ReviewTaskPayload::no_task() };
        ReviewTaskPayload::from(app(ctx).reviews.reveal(actor, task, &input.fields).await)
    }

    /// Decides a task that the caller holds. Where two people must agree, the first opinion gives it back to the queue. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_decide(&self, ctx: &Context<'_>, input: ReviewDecideInput) -> async_graphql::Result<ReviewTaskPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else { return ReviewTaskPayload::no_task() };
        let command = Decide {
            task,
            decision: input.decision.into(),
            reason_code: input.reason_code,
            note: input.note,
            idempotency_key: input.idempotency_key,
        };
        ReviewTaskPayload::from(app(ctx).reviews.decide(actor, command).await)
    }
}
