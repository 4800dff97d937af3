//! Refunds: money given back by the way it came.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::refund::{Refund, RefundError, RefundStatus, RequestRefund};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, settle};
use super::id::{self, GlobalId};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::{MUTATION_COST, actor, app, own};

impl Rejection for RefundError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("orderId", "订单"),
            Self::OrderNotPaid => UserError::new("STATE_NOT_PAID", "订单尚未支付成功，不能退款").at("orderId"),
            Self::AmountInvalid => invalid("amount", "金额须大于 0"),
            Self::CurrencyDiffers => invalid("currency", "币种须与订单一致"),
            Self::ReasonInvalid => invalid("reason", "退款原因须为 1 到 128 个字，且不含控制字符"),
            Self::AmountExceedsPaid { refundable } => {
                UserError::new("AMOUNT_EXCEEDS_PAID", format!("该订单最多还可退 {} 元", refundable.decimal())).at("amount")
            }
            Self::ExceedsHeld { held } => {
                let message = format!("该订单存管中还有 {} 元：请先退不超过这个金额的款，已放款的部分另行退款", held.decimal());
                UserError::new("AMOUNT_EXCEEDS_HELD", message).at("amount")
            }
            Self::InsufficientBalance { available } => {
                let message = format!("钱包余额只有 {} 元，不足以退款，请等待新的收款或减少金额", available.decimal());
                UserError::new("INSUFFICIENT_BALANCE", message).at("amount").passing()
            }
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::NoChannel | Self::StillOwed { .. } | Self::Posting(_) | Self::Ledger(_) | Self::Database(_) => return None,
        })
    }
}

/// Where a refund stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundStatus", remote = "RefundStatus")]
pub enum RefundStatusName {
    /// The merchant's money is set aside for it.
    Funded,
    Sent,
    Unknown,
    Succeeded,
    Failed,
}

/// A refund (退款).
#[derive(Debug)]
pub struct RefundNode(pub Refund);

#[Object(name = "Refund")]
impl RefundNode {
    pub async fn id(&self) -> ID {
        GlobalId::Refund(self.0.merchant.book(), self.0.id).encode()
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    async fn reason(&self) -> &str {
        &self.0.reason
    }

    async fn status(&self) -> RefundStatusName {
        self.0.status.into()
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }
}

#[derive(InputObject, Debug)]
pub struct RefundRequestInput {
    order_id: ID,
    /// Greater than zero; all refunds of an order together at most what was paid.
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// 1 to 128 characters.
    reason: String,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct RefundRequestPayload {
    refund: Option<RefundNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct RefundMutation;

#[Object]
impl RefundMutation {
    /// Gives money back by the way it came. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_request(&self, ctx: &Context<'_>, input: RefundRequestInput) -> async_graphql::Result<RefundRequestPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(RefundRequestPayload { refund: None, user_errors: vec![error] });
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let command =
            RequestRefund { merchant: book.merchant(), order, amount, reason: input.reason, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).refunds.request(actor, command).await)? {
            Ok(refund) => RefundRequestPayload { refund: Some(RefundNode(refund)), user_errors: Vec::new() },
            Err(user_errors) => RefundRequestPayload { refund: None, user_errors },
        })
    }
}
