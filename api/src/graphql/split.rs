//! Splits: a paid order divided among merchants, what each receives, and what comes back.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::clock::shanghai;
use wallet::base::id::SplitLineId;
use wallet::split::{
    CreateRound, FinishSplit, Line, LineCursor, LineStatus, RetryFinish, Return, ReturnSplit, ShareOf, Split, SplitError, SplitStatus,
};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, required, settle, visible};
use super::id::{self, GlobalId};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::page::{Nodes, Window, connection};
use super::split_channel::SplitCallNode;
use super::{MUTATION_COST, actor, app, own};

impl Rejection for SplitError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("orderId", "需要分账的订单"),
            Self::Finished => UserError::new("STATE_FINISHED", "该订单已完结分账，不能再分账").at("orderId"),
            Self::RefundOpen => UserError::new("STATE_REFUNDING", "该订单有退款正在处理，请待退款结束后再分账").at("orderId").passing(),
            Self::UnderWay => UserError::new("STATE_SPLITTING", "该订单的分账正在执行，请待其到账后再试").at("orderId").passing(),
            Self::NothingLeft => {
                UserError::new("STATE_NOTHING_LEFT", "该订单已全部分账，请用 splitFinish 完结以解冻剩余金额").at("orderId")
            }
            Self::TooManyRounds(most) => {
                UserError::new("STATE_TOO_MANY_ROUNDS", format!("该订单已分账 {most} 次，达到上限，请用 splitFinish 完结")).at("orderId")
            }
            Self::AmountInvalid => invalid("amount", "金额须大于 0"),
            Self::CurrencyDiffers => invalid("currency", "币种须与订单一致"),
            Self::AmountExceedsRest { rest } => {
                UserError::new("AMOUNT_EXCEEDS_REST", format!("该订单最多还可分 {} 元", rest.decimal())).at("amount")
            }
            Self::AmountExceedsReturnable { returnable } => {
                UserError::new("AMOUNT_EXCEEDS_RETURNABLE", format!("接收方最多还可退回 {} 元", returnable.decimal())).at("amount")
            }
            Self::AmountExceedsChannel { channel, most } => UserError::new(
                "AMOUNT_EXCEEDS_CHANNEL",
                format!("该笔付款在渠道 {channel} 最多可分给接收方 {} 元，请减少分账金额", most.decimal()),
            )
            .at("amount"),
            Self::FrozenTooLong { until } => {
                let day = until.with_timezone(&shanghai()).format("%Y-%m-%d");
                UserError::new("STATE_FROZEN_TOO_LONG", format!("渠道的分账期限（{day}）已到，资金将解冻给商户，不能再分账")).at("orderId")
            }
            Self::StillHeld => UserError::new("STATE_HELD", "该订单仍有存管资金，放款时还要分账，请在全部放款或退款后再完结").at("orderId"),
            Self::ReturnsWithRefund => {
                UserError::new("STATE_RETURNS_WITH_REFUND", "该订单的支付渠道只在退款时退回分账，请对该订单发起退款").at("orderId")
            }
            Self::FinishNotRefused => UserError::new("STATE_FINISH_NOT_REFUSED", "没有渠道拒绝该订单的分账完结，不必重试").at("orderId"),
            Self::ChannelDividesNot => not_found("channel", "支持分账的渠道"),
            Self::AccountInvalid => invalid("account", "不是该渠道的商户号，请核对后重新填写"),
            Self::ReceiverNotSigned => UserError::new("STATE_NOT_SIGNED", "该商户尚未签约，不能接收分账").at("merchantId"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::Channel(_)
            | Self::Rule(_)
            | Self::Changed
            | Self::Posting(_)
            | Self::Transfer(_)
            | Self::Ledger(_)
            | Self::Database(_) => return None,
        })
    }
}

/// Where a split stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitStatus", remote = "SplitStatus")]
pub enum SplitStatusName {
    /// The money is frozen; no round was asked for.
    Planned,
    /// A round was asked for and has not begun.
    Accepted,
    /// Money is moving.
    Executing,
    /// Nothing is moving, and some of the order is not divided.
    Partial,
    /// All of it is divided.
    Succeeded,
    /// What was left is the merchant's (完结).
    Finished,
}

/// Where a line of a split stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitLineStatus", remote = "LineStatus")]
pub enum SplitLineStatusName {
    /// Waits for its turn.
    Wait,
    /// On its way.
    Sent,
    /// The channel that divides took it in, which is no success.
    Accepted,
    /// Its receiver has it.
    Succeeded,
    /// Its receiver cannot have it; `errorCode` says why.
    Failed,
    /// Some of it is on its way back.
    Returning,
    /// All of it came back.
    Returned,
}

/// The split of an order (分账).
#[derive(Debug)]
pub struct SplitNode(pub Split);

#[Object(name = "Split")]
impl SplitNode {
    async fn status(&self) -> SplitStatusName {
        self.0.status.into()
    }

    /// What may be divided: what was paid, less the fee.
    async fn base(&self) -> MoneyNode {
        self.0.base.into()
    }

    /// What a further round may divide.
    async fn rest(&self) -> MoneyNode {
        self.0.rest().into()
    }

    /// What no receiver has and is still frozen; the merchant's when the split finishes.
    async fn remainder(&self) -> MoneyNode {
        self.0.remainder.into()
    }

    /// What became the merchant's own.
    async fn released(&self) -> MoneyNode {
        self.0.released.into()
    }

    async fn rounds(&self) -> i32 {
        self.0.rounds.into()
    }

    /// From when the split finishes by itself.
    async fn finish_at(&self) -> DateTime<Utc> {
        self.0.finish_at
    }

    /// Why a channel refused for good to finish a payment of it (完结): operators have it tried again with `splitFinishRetry`.
    async fn finish_error_code(&self) -> Option<&str> {
        self.0.finish_error.as_deref()
    }

    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }

    /// Lines, each before those it is passed on to.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn lines(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<SplitLineNode>> {
        let window: Window<SplitLineId> = Window::read(first, after)?;
        let (actor, has_previous) = (actor(ctx)?, window.after.is_some());
        let page = required(app(ctx).splits.lines(actor, self.0.merchant, self.0.order, window.after, window.first).await)?;
        Ok(connection(page, has_previous, |line| line.id, SplitLineNode))
    }

    /// What channels that divide were asked for, oldest first. Null for others than operators.
    #[graphql(complexity = "10 + 3 * child_complexity")]
    async fn calls(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Vec<SplitCallNode>>> {
        let calls = visible(app(ctx).splits.calls(actor(ctx)?, self.0.merchant, self.0.order).await)?;
        Ok(calls.map(|calls| calls.into_iter().map(SplitCallNode).collect()))
    }

    /// What came back, or is on its way back, oldest first.
    #[graphql(complexity = "10 + 3 * child_complexity")]
    async fn returns(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<SplitReturnNode>> {
        let returns = required(app(ctx).splits.returns(actor(ctx)?, self.0.merchant, self.0.order).await)?;
        Ok(returns.into_iter().map(SplitReturnNode).collect())
    }
}

/// What one receiver gets in one round (分账明细).
#[derive(Debug)]
pub struct SplitLineNode(Line);

#[Object(name = "SplitLine")]
impl SplitLineNode {
    async fn id(&self) -> ID {
        ID(self.0.id.simple())
    }

    /// The line it is paid from. Null: it is paid from the order's money.
    async fn parent_id(&self) -> Option<ID> {
        self.0.parent.map(|parent| ID(parent.simple()))
    }

    async fn round(&self) -> i32 {
        self.0.round.into()
    }

    async fn role(&self) -> &str {
        &self.0.role
    }

    async fn receiver_id(&self) -> ID {
        GlobalId::Merchant(self.0.receiver).encode()
    }

    /// With what the receiver passes on.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// What came back.
    async fn returned(&self) -> MoneyNode {
        wallet::base::money::Money { minor: self.0.returned_minor, ..self.0.amount }.into()
    }

    async fn status(&self) -> SplitLineStatusName {
        self.0.status.into()
    }

    /// `RECEIVER_UNABLE`: the receiver is not signed. `RECEIVER_WITHOUT_ACCOUNT`, `RECEIVER_REFUSED`: it has no account at the channel that
    /// divides, or one that this does not take. `ABOVE_FAILED`: the line it is paid from failed. Anything else is the channel's word.
    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }

    /// The number under which a channel that divides was asked for it last. Null for others than operators, and where the ledger moves it.
    async fn request_no(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let shown = actor(ctx)?.require_role(Role::Operator).is_ok();
        Ok(self.0.call.filter(|_| shown).map(|call| call.simple()))
    }
}

/// Money asked back from receivers (分账回退).
#[derive(Debug)]
pub struct SplitReturnNode(Return);

#[Object(name = "SplitReturn")]
impl SplitReturnNode {
    async fn id(&self) -> ID {
        ID(self.0.id.simple())
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// Of it, the merchant's own part: only where it was for a refund.
    async fn own(&self) -> MoneyNode {
        self.0.own.into()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When all of it was back. Null: some is under way, or a receiver has too little.
    async fn done_at(&self) -> Option<DateTime<Utc>> {
        self.0.done_at
    }
}

/// A merchant's share of somebody's order, as the receiver sees it.
#[derive(Debug)]
pub struct SplitShareNode(ShareOf);

#[Object(name = "SplitShare")]
impl SplitShareNode {
    async fn id(&self) -> ID {
        ID(self.0.line.simple())
    }

    async fn payer_name(&self) -> &str {
        &self.0.payer_name
    }

    async fn role(&self) -> &str {
        &self.0.role
    }

    /// With what is to be passed on.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    async fn received(&self) -> MoneyNode {
        self.0.received.into()
    }

    async fn passed_on(&self) -> MoneyNode {
        self.0.passed_on.into()
    }

    async fn returned(&self) -> MoneyNode {
        self.0.returned.into()
    }

    async fn status(&self) -> SplitLineStatusName {
        self.0.status.into()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// An order whose split a channel refuses to finish.
#[derive(Debug)]
pub struct RefusedFinishNode(Split);

#[Object(name = "RefusedFinish")]
impl RefusedFinishNode {
    async fn order_id(&self) -> ID {
        GlobalId::Order(self.0.merchant.book(), self.0.order).encode()
    }

    async fn merchant_id(&self) -> ID {
        GlobalId::Merchant(self.0.merchant).encode()
    }

    /// The channel's code.
    async fn error_code(&self) -> Option<&str> {
        self.0.finish_error.as_deref()
    }

    /// What stays frozen.
    async fn remainder(&self) -> MoneyNode {
        self.0.remainder.into()
    }
}

#[derive(Default, Debug)]
pub struct SplitQuery;

#[Object]
impl SplitQuery {
    /// What a merchant receives of others' orders, newest first. Its owner and operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn split_shares(
        &self,
        ctx: &Context<'_>,
        merchant_id: ID,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Option<Nodes<SplitShareNode>>> {
        let actor = actor(ctx)?;
        let window: Window<LineCursor> = Window::read(first, after)?;
        let Some(merchant) = id::merchant(&merchant_id) else { return Ok(None) };
        let has_previous = window.after.is_some();
        let page = visible(app(ctx).splits.shares_of(actor, merchant, window.after, window.first).await)?;
        Ok(page.map(|page| connection(page, has_previous, |share| (share.created_at, share.line), SplitShareNode)))
    }

    /// Orders whose split a channel refuses to finish, the oldest first, at most 100. Operators.
    #[graphql(complexity = "10 + 10 * child_complexity")]
    async fn splits_finish_refused(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Vec<RefusedFinishNode>>> {
        let refused = visible(app(ctx).splits.finish_refused(actor(ctx)?).await)?;
        Ok(refused.map(|splits| splits.into_iter().map(RefusedFinishNode).collect()))
    }
}

#[derive(InputObject, Debug)]
pub struct SplitCreateInput {
    order_id: ID,
    /// How much of the order is divided: at most `rest`. Null: all of it.
    amount: Option<Decimal>,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// Whether it is the last round: what is left afterwards is released to the merchant.
    #[graphql(default = false)]
    finish: bool,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct SplitCreatePayload {
    split: Option<SplitNode>,
    user_errors: Vec<UserError>,
}

#[derive(InputObject, Debug)]
pub struct SplitFinishInput {
    order_id: ID,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct SplitFinishPayload {
    split: Option<SplitNode>,
    user_errors: Vec<UserError>,
}

#[derive(InputObject, Debug)]
pub struct SplitFinishRetryInput {
    order_id: ID,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct SplitFinishRetryPayload {
    split: Option<SplitNode>,
    user_errors: Vec<UserError>,
}

#[derive(InputObject, Debug)]
pub struct SplitReturnInput {
    order_id: ID,
    /// Greater than zero; at most what the receivers have.
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct SplitReturnPayload {
    split_return: Option<SplitReturnNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct SplitMutation;

#[Object]
impl SplitMutation {
    /// Divides an order, or a part of it, by its rule; lines that failed are tried again. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn split_create(&self, ctx: &Context<'_>, input: SplitCreateInput) -> async_graphql::Result<SplitCreatePayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(SplitCreatePayload { split: None, user_errors: vec![error] });
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let amount = match input.amount.as_ref().map(|given| amount("amount", given, input.currency)).transpose() {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let command =
            CreateRound { merchant: book.merchant(), order, amount, finish: input.finish, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).splits.split(actor, command).await)? {
            Ok(split) => SplitCreatePayload { split: Some(SplitNode(split)), user_errors: Vec::new() },
            Err(user_errors) => SplitCreatePayload { split: None, user_errors },
        })
    }

    /// Releases what is not divided to the merchant, as soon as nothing of the order moves (完结). Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn split_finish(&self, ctx: &Context<'_>, input: SplitFinishInput) -> async_graphql::Result<SplitFinishPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(SplitFinishPayload { split: None, user_errors: vec![error] });
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let command = FinishSplit { merchant: book.merchant(), order, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).splits.finish(actor, command).await)? {
            Ok(split) => SplitFinishPayload { split: Some(SplitNode(split)), user_errors: Vec::new() },
            Err(user_errors) => SplitFinishPayload { split: None, user_errors },
        })
    }

    /// Has a finish tried again that a channel refused for good, when what it minded is put right. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn split_finish_retry(&self, ctx: &Context<'_>, input: SplitFinishRetryInput) -> async_graphql::Result<SplitFinishRetryPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(SplitFinishRetryPayload { split: None, user_errors: vec![error] });
        if actor.require_role(Role::Operator).is_err() {
            return refuse(permission());
        }
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        let command = RetryFinish { merchant: book.merchant(), order, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).splits.retry_finish(actor, command).await)? {
            Ok(split) => SplitFinishRetryPayload { split: Some(SplitNode(split)), user_errors: Vec::new() },
            Err(user_errors) => SplitFinishRetryPayload { split: None, user_errors },
        })
    }

    /// Asks the receivers of an order to give back, each in proportion to what it has (分账回退). Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn split_return(&self, ctx: &Context<'_>, input: SplitReturnInput) -> async_graphql::Result<SplitReturnPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(SplitReturnPayload { split_return: None, user_errors: vec![error] });
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let command = ReturnSplit { merchant: book.merchant(), order, amount, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).splits.give_back(actor, command).await)? {
            Ok(back) => SplitReturnPayload { split_return: Some(SplitReturnNode(back)), user_errors: Vec::new() },
            Err(user_errors) => SplitReturnPayload { split_return: None, user_errors },
        })
    }
}
