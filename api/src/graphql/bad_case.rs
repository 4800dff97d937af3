//! Bad cases: what reviewers say truly stands on a page, and the list of it for operators.

use ai::document::DocumentKind;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::badcase::{BadCase, BadCaseError, Correct, TrueValue};
use uuid::Uuid;
use wallet::base::actor::Role;

use super::error::{Rejection, UserError, idempotency, invalid, not_found, required, settle};
use super::id;
use super::merchant::bad_line;
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

impl Rejection for BadCaseError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "您没有权限进行此操作"),
            Self::Task(error) => return error.user_error(),
            Self::NothingCorrected => UserError::new("STATE_NOTHING_CORRECTED", "与系统识别的内容相同，无须更正"),
            Self::UnknownField => invalid("values", "请填写该证件上的栏目名称，每个栏目一次，至多 32 个"),
            Self::Line(line) => bad_line(line),
            Self::Idempotency(error) => return idempotency(error),
            Self::FolderTaken | Self::Vault(_) | Self::Files(_) | Self::Write(_) | Self::Database(_) => return None,
        })
    }
}

/// Every kind of page that the pipeline tells apart.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "PageKind", remote = "DocumentKind")]
pub enum PageKind {
    IdFront,
    IdBack,
    TempId,
    HkmoPermit,
    TaiwanPermit,
    TaiwanCompatriot,
    Passport,
    HouseholdHead,
    HouseholdMember,
    DeedOld,
    DeedNew,
    BusinessLicence,
    Other,
}

/// A labelled case, without its values: those leave by `haodian badcases export` alone.
#[derive(SimpleObject, Debug)]
#[graphql(name = "BadCase")]
pub struct BadCaseNode {
    id: Uuid,
    /// What the page truly is.
    kind: PageKind,
    /// What the pipeline took it for; `null`: it could not be read.
    said_kind: Option<PageKind>,
    /// Names of the fields that were read wrong.
    fields: Vec<String>,
    corrected_at: DateTime<Utc>,
}

impl From<BadCase> for BadCaseNode {
    fn from(case: BadCase) -> Self {
        Self {
            id: case.id,
            kind: case.kind.into(),
            said_kind: case.said_kind.map(PageKind::from),
            fields: case.fields,
            corrected_at: case.corrected_at,
        }
    }
}

#[derive(Default, Debug)]
pub struct BadCaseQuery;

#[Object]
impl BadCaseQuery {
    /// Labelled cases, the newest first. Operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn bad_cases(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<BadCaseNode>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<Uuid> = Window::read(first, after)?;
        let page = required(app(ctx).bad_cases.list(actor, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |case: &BadCase| case.id, BadCaseNode::from))
    }
}

/// One value as it stands on the paper.
#[derive(InputObject)]
pub struct TrueValueInput {
    field: String,
    /// At most 256 characters; empty where the paper has no such value.
    #[graphql(secret)]
    value: String,
}

#[derive(InputObject)]
pub struct ReviewCorrectInput {
    task_id: ID,
    /// What the page truly is, where the pipeline took it for another kind.
    kind: Option<PageKind>,
    /// Values that were read wrong, at most 32.
    values: Vec<TrueValueInput>,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct ReviewCorrectPayload {
    bad_case: Option<BadCaseNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct BadCaseMutation;

#[Object]
impl BadCaseMutation {
    /// Keeps what truly stands on the page of a task that the caller holds, as a labelled case. The task is decided apart from it. Reviewers.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn review_correct(&self, ctx: &Context<'_>, input: ReviewCorrectInput) -> async_graphql::Result<ReviewCorrectPayload> {
        let actor = actor_as(ctx, &[Role::Reviewer])?;
        let Some(task) = id::task(&input.task_id) else {
            return Ok(ReviewCorrectPayload { bad_case: None, user_errors: vec![not_found("taskId", "审核任务")] });
        };
        let values = input.values.into_iter().map(|value| TrueValue { field: value.field, value: value.value }).collect();
        let command = Correct { task, kind: input.kind.map(DocumentKind::from), values, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).bad_cases.correct(actor, command).await)? {
            Ok(case) => ReviewCorrectPayload { bad_case: Some(case.into()), user_errors: Vec::new() },
            Err(user_errors) => ReviewCorrectPayload { bad_case: None, user_errors },
        })
    }
}
