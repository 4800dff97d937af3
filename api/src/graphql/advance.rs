//! Platform advances: what merchants owe the platform for refunds that they could not cover, and how much they may.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::advance::{AdvanceError, Cap, CapStatus, DecideCap, ProposeCap, Standing};
use wallet::base::actor::Role;
use wallet::base::id::{CapId, MerchantId};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, required, settle};
use super::id::{self, GlobalId};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount_or_zero};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

impl Rejection for AdvanceError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("merchantId", "商户"),
            Self::CapNotFound => not_found("capId", "垫资额度"),
            Self::CapInvalid => invalid("cap", "垫资额度须为 0 到 100 亿元，0 即不再垫资"),
            Self::Open => UserError::new("STATE_PROPOSED", "该商户已有待确认的垫资额度，请先确认或驳回它").at("merchantId"),
            Self::Decided => UserError::new("STATE_DECIDED", "该垫资额度已处理过，请刷新后查看").at("capId"),
            Self::OwnProposal => UserError::new("PERM_OWN_PROPOSAL", "垫资额度须由提交人以外的人确认，请让另一位同事确认").at("capId"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::Posting(_) | Self::Ledger(_) | Self::Database(_) => return None,
        })
    }
}

/// Where a proposed cap stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "AdvanceCapStatus", remote = "CapStatus")]
pub enum CapStatusName {
    /// Waits for another operator.
    Proposed,
    /// In force until the next one is.
    Approved,
    Rejected,
}

/// How much a merchant may owe the platform for refunds (垫资额度).
#[derive(Debug)]
pub struct CapNode(Cap);

#[Object(name = "AdvanceCap")]
impl CapNode {
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    async fn status(&self) -> CapStatusName {
        self.0.status.into()
    }

    async fn proposed_at(&self) -> DateTime<Utc> {
        self.0.proposed_at
    }

    /// Null: another operator has still to decide.
    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

/// Where a merchant stands with the platform (垫资与可提现).
#[derive(Debug)]
pub struct StandingNode(pub(super) Standing);

#[Object(name = "MerchantStanding")]
impl StandingNode {
    async fn merchant_id(&self) -> ID {
        GlobalId::Merchant(self.0.merchant).encode()
    }

    /// What it owes for refunds that the platform gave a part of (垫资欠款). Whatever becomes available pays it first.
    async fn debt(&self) -> MoneyNode {
        self.0.debt.into()
    }

    /// How much it may owe (垫资额度). Zero: nothing is advanced.
    async fn advance_cap(&self) -> MoneyNode {
        self.0.cap.into()
    }

    /// Of the available balance, kept for refunds that wait for receivers to give back.
    async fn kept_for_refunds(&self) -> MoneyNode {
        self.0.kept.into()
    }

    /// What may be withdrawn: the available balance, less what is owed and kept.
    async fn withdrawable(&self) -> MoneyNode {
        self.0.withdrawable.into()
    }

    /// A cap that waits for a second operator. Operators; null to others.
    #[graphql(complexity = "5 + child_complexity")]
    async fn proposed_cap(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<CapNode>> {
        let Ok(actor) = actor_as(ctx, &[Role::Operator]) else { return Ok(None) };
        Ok(required(app(ctx).advances.proposed_cap(actor, self.0.merchant).await)?.map(CapNode))
    }
}

#[derive(Default, Debug)]
pub struct AdvanceQuery;

#[Object]
impl AdvanceQuery {
    /// Merchants that owe the platform something, by id. Operators.
    #[graphql(complexity = "10 + first as usize * (5 + child_complexity)")]
    async fn indebted_merchants(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<StandingNode>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<MerchantId> = Window::read(first, after)?;
        let page = required(app(ctx).advances.indebted(actor, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |standing| standing.merchant, StandingNode))
    }
}

#[derive(InputObject, Debug)]
pub struct MerchantAdvanceSetInput {
    merchant_id: ID,
    /// How much the merchant may owe. Zero: nothing more is advanced.
    cap: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct MerchantAdvanceDecideInput {
    merchant_id: ID,
    /// The proposal as it was looked at.
    cap_id: Uuid,
    /// Whether it comes into force. If not, it is rejected.
    approve: bool,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct MerchantAdvancePayload {
    cap: Option<CapNode>,
    user_errors: Vec<UserError>,
}

impl MerchantAdvancePayload {
    fn of(result: Result<Cap, AdvanceError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(cap) => Self { cap: Some(CapNode(cap)), user_errors: Vec::new() },
            Err(user_errors) => Self { cap: None, user_errors },
        })
    }

    fn refused(error: UserError) -> async_graphql::Result<Self> {
        Ok(Self { cap: None, user_errors: vec![error] })
    }
}

#[derive(Default, Debug)]
pub struct AdvanceMutation;

#[Object]
impl AdvanceMutation {
    /// Proposes how much a merchant may owe the platform for refunds that it cannot cover, for another operator to approve. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn merchant_advance_set(
        &self,
        ctx: &Context<'_>,
        input: MerchantAdvanceSetInput,
    ) -> async_graphql::Result<MerchantAdvancePayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let Some(merchant) = id::merchant(&input.merchant_id) else {
            return MerchantAdvancePayload::refused(not_found("merchantId", "商户"));
        };
        let amount = match amount_or_zero("cap", &input.cap, input.currency) {
            Ok(amount) => amount,
            Err(error) => return MerchantAdvancePayload::refused(error),
        };
        let command = ProposeCap { merchant, amount, idempotency_key: input.idempotency_key };
        MerchantAdvancePayload::of(app(ctx).advances.propose_cap(actor, command).await)
    }

    /// Approves the cap that another operator proposed, or rejects one. Operators; nobody approves their own.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn merchant_advance_decide(
        &self,
        ctx: &Context<'_>,
        input: MerchantAdvanceDecideInput,
    ) -> async_graphql::Result<MerchantAdvancePayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let Some(merchant) = id::merchant(&input.merchant_id) else {
            return MerchantAdvancePayload::refused(not_found("merchantId", "商户"));
        };
        let command = DecideCap { merchant, cap: CapId(input.cap_id), approve: input.approve, idempotency_key: input.idempotency_key };
        MerchantAdvancePayload::of(app(ctx).advances.decide_cap(actor, command).await)
    }
}
