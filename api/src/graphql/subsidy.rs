//! Subsidy programmes: their budgets, what became of the money, and who put it there. Operators.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::id::{MovementId, ProgrammeId};
use wallet::base::money::Money;
use wallet::subsidy::{
    CreateProgramme, DecideMovement, EndProgramme, Figures, Movement, MovementKind, MovementStatus, Programme, ProgrammeStatus,
    ProposeMovement, SubsidyError,
};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, required, settle};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

impl Rejection for SubsidyError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("programmeId", "补贴计划"),
            Self::MovementNotFound => not_found("movementId", "资金划拨"),
            Self::CodeInvalid => invalid("code", "代码须为 1 到 32 位大写字母、数字或下划线，以字母开头"),
            Self::CodeTaken => UserError::new("STATE_CODE_TAKEN", "已有同一代码的补贴计划，请换一个代码").at("code"),
            Self::NameInvalid => invalid("name", "名称须为 1 到 32 个字，且不含控制字符"),
            Self::ShareInvalid => invalid("shareBps", "比例须在 1 到 10000 个基点之间，1000 即订单金额的 10%"),
            Self::MaxInvalid => invalid("orderMax", "每单上限须大于 0 且不超过 100 亿元"),
            Self::Unlimited => invalid("shareBps", "请填写 shareBps、orderMax 或两者：否则每一单都会全额补贴"),
            Self::SpanInvalid => invalid("endsAt", "结束时间须晚于开始时间"),
            Self::AmountInvalid => invalid("amount", "金额须大于 0 且不超过 100 亿元"),
            Self::ReferenceInvalid => invalid("bankReference", "银行流水号须为 1 到 64 位字母、数字或短横线"),
            Self::ReferenceTaken => {
                UserError::new("STATE_REFERENCE_TAKEN", "该银行流水号已登记过，请核对，或先驳回登记有误的那一笔").at("bankReference")
            }
            Self::Ended => UserError::new("STATE_ENDED", "该补贴计划已结束，不能再拨入资金或再次结束").at("programmeId"),
            Self::NotEnded => UserError::new("STATE_NOT_ENDED", "该补贴计划尚未结束，请先结束它，再退回剩余资金").at("programmeId"),
            Self::ExceedsLeft { left } => UserError::new(
                "AMOUNT_EXCEEDS_LEFT",
                format!("该补贴计划最多可退回 {} 元，其余仍为未付订单所预占，请驳回后按此金额重新登记", left.decimal()),
            )
            .at("movementId"),
            Self::Decided => UserError::new("STATE_DECIDED", "该笔资金划拨已处理过，请刷新后查看").at("movementId"),
            Self::OwnProposal => UserError::new("PERM_OWN_PROPOSAL", "资金划拨须由登记人以外的人确认，请让另一位同事确认").at("movementId"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::Posting(_) | Self::Ledger(_) | Self::Database(_) => return None,
        })
    }
}

/// Whether a programme pays.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SubsidyProgrammeStatus", remote = "ProgrammeStatus")]
pub enum ProgrammeStatusName {
    /// Orders of its time get their part, while its budget lasts.
    Active,
    /// New orders get nothing; what was reserved is still paid.
    Ended,
}

/// Which way money of a budget goes.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SubsidyMovementKind", remote = "MovementKind")]
pub enum MovementKindName {
    /// Into the budget (拨入).
    Funding,
    /// Out of the budget of a programme that has ended (退回).
    Return,
}

/// Where a movement stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SubsidyMovementStatus", remote = "MovementStatus")]
pub enum MovementStatusName {
    /// Waits for another person.
    Proposed,
    /// Booked.
    Posted,
    Rejected,
}

/// Money put into a budget, or taken back out of it (补贴资金划拨).
#[derive(Debug)]
pub struct MovementNode(Movement);

#[Object(name = "SubsidyMovement")]
impl MovementNode {
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    async fn kind(&self) -> MovementKindName {
        self.0.kind.into()
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// The bank that it went through.
    async fn bank(&self) -> &str {
        &self.0.bank
    }

    /// The bank's number of the transfer.
    async fn bank_reference(&self) -> &str {
        &self.0.bank_reference
    }

    async fn status(&self) -> MovementStatusName {
        self.0.status.into()
    }

    async fn proposed_at(&self) -> DateTime<Utc> {
        self.0.proposed_at
    }

    /// Null: another person has still to decide.
    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

/// A subsidy programme (补贴计划). funded + returned = used + withdrawn + reserved + available.
#[derive(Debug)]
pub struct ProgrammeNode {
    programme: Programme,
    figures: Figures,
}

#[Object(name = "SubsidyProgramme")]
impl ProgrammeNode {
    async fn id(&self) -> Uuid {
        self.programme.id.0
    }

    /// By which products name it.
    async fn code(&self) -> &str {
        &self.programme.code
    }

    async fn name(&self) -> &str {
        &self.programme.name
    }

    /// What an order gets of itself, in basis points: 1000 is 10%.
    async fn share_bps(&self) -> i32 {
        self.programme.share_bps
    }

    /// The most that one order gets. Null: the share alone counts.
    async fn order_max(&self) -> Option<MoneyNode> {
        self.programme.order_max.map(Into::into)
    }

    /// Orders made from then on.
    async fn starts_at(&self) -> DateTime<Utc> {
        self.programme.starts_at
    }

    /// Orders made before then.
    async fn ends_at(&self) -> DateTime<Utc> {
        self.programme.ends_at
    }

    async fn status(&self) -> ProgrammeStatusName {
        self.programme.status.into()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.programme.created_at
    }

    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.programme.ended_at
    }

    /// Put into the budget (已拨入).
    async fn funded(&self) -> MoneyNode {
        self.figures.funded.into()
    }

    /// Promised to orders that may still be paid (已预占).
    async fn reserved(&self) -> MoneyNode {
        self.figures.reserved.into()
    }

    /// Paid of orders (已使用).
    async fn used(&self) -> MoneyNode {
        self.figures.used.into()
    }

    /// Of what was used, brought back by refunds (退款返还).
    async fn returned(&self) -> MoneyNode {
        self.figures.returned.into()
    }

    /// Taken back out of the budget (已退回).
    async fn withdrawn(&self) -> MoneyNode {
        self.figures.withdrawn.into()
    }

    /// What new orders may get, or what may be taken back (可用).
    async fn available(&self) -> MoneyNode {
        self.figures.available.into()
    }

    /// What was put in and taken back, the newest first.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn movements(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<MovementNode>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<MovementId> = Window::read(first, after)?;
        let page = required(app(ctx).subsidies.movements(actor, self.programme.id, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |movement| movement.id, MovementNode))
    }
}

#[derive(Default, Debug)]
pub struct SubsidyQuery;

#[Object]
impl SubsidyQuery {
    /// Subsidy programmes with what became of their money, the newest first. Operators.
    #[graphql(complexity = "10 + first as usize * (5 + child_complexity)")]
    async fn subsidy_programmes(
        &self,
        ctx: &Context<'_>,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Nodes<ProgrammeNode>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<ProgrammeId> = Window::read(first, after)?;
        let page = required(app(ctx).subsidies.list(actor, window.after, window.first).await)?;
        let node = |(programme, figures)| ProgrammeNode { programme, figures };
        Ok(connection(page, window.after.is_some(), |(programme, _): &(Programme, Figures)| programme.id, node))
    }
}

#[derive(InputObject, Debug)]
pub struct SubsidyProgrammeCreateInput {
    /// By which products name it: 1 to 32 upper-case letters, digits and underscores after a letter. Once.
    code: String,
    /// 1 to 32 characters.
    name: String,
    /// What an order gets of itself, in basis points, down to the fen. None: all of it, up to `orderMax`.
    share_bps: Option<i32>,
    /// The most that one order gets. None: the share alone counts. One of the two must be given.
    order_max: Option<Decimal>,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// Orders made from then on.
    starts_at: DateTime<Utc>,
    /// Orders made before then.
    ends_at: DateTime<Utc>,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct SubsidyProgrammeEndInput {
    programme_id: Uuid,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct SubsidyMovementProposeInput {
    programme_id: Uuid,
    kind: MovementKindName,
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// The bank's number of the transfer: 1 to 64 letters, digits and dashes. Once per direction.
    bank_reference: String,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct SubsidyMovementDecideInput {
    movement_id: Uuid,
    /// Whether it is booked. If not, it is rejected.
    approve: bool,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct SubsidyProgrammePayload {
    programme: Option<ProgrammeNode>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct SubsidyMovementPayload {
    movement: Option<MovementNode>,
    user_errors: Vec<UserError>,
}

impl SubsidyProgrammePayload {
    /// With what became of its money until now.
    async fn of(ctx: &Context<'_>, result: Result<Programme, SubsidyError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(programme) => {
                let actor = actor_as(ctx, &[Role::Operator])?;
                let figures = required(app(ctx).subsidies.figures(actor, programme.id).await)?;
                Self { programme: Some(ProgrammeNode { programme, figures }), user_errors: Vec::new() }
            }
            Err(user_errors) => Self { programme: None, user_errors },
        })
    }
}

impl SubsidyMovementPayload {
    fn of(result: Result<Movement, SubsidyError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(movement) => Self { movement: Some(MovementNode(movement)), user_errors: Vec::new() },
            Err(user_errors) => Self { movement: None, user_errors },
        })
    }
}

#[derive(Default, Debug)]
pub struct SubsidyMutation;

#[Object]
impl SubsidyMutation {
    /// Makes a subsidy programme, without money. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn subsidy_programme_create(
        &self,
        ctx: &Context<'_>,
        input: SubsidyProgrammeCreateInput,
    ) -> async_graphql::Result<SubsidyProgrammePayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let max: Option<Money> = match input.order_max.map(|text| amount("orderMax", &text, input.currency)).transpose() {
            Ok(max) => max,
            Err(error) => return Ok(SubsidyProgrammePayload { programme: None, user_errors: vec![error] }),
        };
        let command = CreateProgramme {
            code: input.code,
            name: input.name,
            share_bps: input.share_bps,
            order_max: max,
            starts_at: input.starts_at,
            ends_at: input.ends_at,
            idempotency_key: input.idempotency_key,
        };
        SubsidyProgrammePayload::of(ctx, app(ctx).subsidies.create(actor, command).await).await
    }

    /// Ends a subsidy programme: orders made from now on get nothing of it. What is left is taken back by a movement. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn subsidy_programme_end(
        &self,
        ctx: &Context<'_>,
        input: SubsidyProgrammeEndInput,
    ) -> async_graphql::Result<SubsidyProgrammePayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let command = EndProgramme { programme: ProgrammeId(input.programme_id), idempotency_key: input.idempotency_key };
        SubsidyProgrammePayload::of(ctx, app(ctx).subsidies.end(actor, command).await).await
    }

    /// Writes down money that went into a budget or out of it at the bank, for another operator to confirm. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn subsidy_movement_propose(
        &self,
        ctx: &Context<'_>,
        input: SubsidyMovementProposeInput,
    ) -> async_graphql::Result<SubsidyMovementPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return Ok(SubsidyMovementPayload { movement: None, user_errors: vec![error] }),
        };
        let command = ProposeMovement {
            programme: ProgrammeId(input.programme_id),
            kind: input.kind.into(),
            amount,
            bank_reference: input.bank_reference,
            idempotency_key: input.idempotency_key,
        };
        SubsidyMovementPayload::of(app(ctx).subsidies.propose(actor, command).await)
    }

    /// Confirms the movement of another operator, which books it, or rejects one. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn subsidy_movement_decide(
        &self,
        ctx: &Context<'_>,
        input: SubsidyMovementDecideInput,
    ) -> async_graphql::Result<SubsidyMovementPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let command =
            DecideMovement { movement: MovementId(input.movement_id), approve: input.approve, idempotency_key: input.idempotency_key };
        SubsidyMovementPayload::of(app(ctx).subsidies.decide(actor, command).await)
    }
}
