//! Orders: what a customer is asked to pay.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::order::{CreateOrder, Order, OrderError, OrderStatus};
use wallet::payment::CloseOrder;

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, settle};
use super::id::{self, GlobalId};
use super::loader::loaders;
use super::merchant::StoreNode;
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::payment::AttemptNode;
use super::refund::RefundNode;
use super::{MUTATION_COST, actor, app, own};

impl Rejection for OrderError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("orderId", "订单"),
            Self::MerchantNotSigned => UserError::new("STATE_NOT_SIGNED", "商户尚未签约，暂不能收款").at("storeId"),
            Self::StoreNotFound => not_found("storeId", "门店"),
            Self::AmountInvalid => invalid("amount", "金额须大于 0 且不超过 100 亿元"),
            Self::SubjectInvalid => invalid("subject", "商品说明须为 1 到 128 个字，且不含控制字符"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::CutShort | Self::Database(_) => return None,
        })
    }
}

/// Where an order stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "OrderStatus", remote = "OrderStatus")]
pub enum OrderStatusName {
    /// Not yet started to pay.
    Created,
    /// A payment is under way.
    Paying,
    /// Paid in full.
    Paid,
    /// Expired or closed.
    Closed,
}

/// A payment order (支付订单).
#[derive(Debug)]
pub struct OrderNode(pub Order);

#[Object(name = "Order")]
impl OrderNode {
    pub async fn id(&self) -> ID {
        GlobalId::Order(self.0.merchant.book(), self.0.id).encode()
    }

    async fn subject(&self) -> &str {
        &self.0.subject
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// Given back, or on its way back.
    async fn refunded(&self) -> MoneyNode {
        self.0.refunded.into()
    }

    async fn status(&self) -> OrderStatusName {
        self.0.status.into()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    async fn paid_at(&self) -> Option<DateTime<Utc>> {
        self.0.paid_at
    }

    /// Opens this one order at the cashier to whoever holds it.
    async fn ticket(&self, ctx: &Context<'_>) -> String {
        app(ctx).order_ticket(&self.0)
    }

    /// The page on which a customer pays.
    async fn cashier_url(&self, ctx: &Context<'_>) -> String {
        app(ctx).cashier_url(&self.0)
    }

    async fn store(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<StoreNode>> {
        Ok(loaders(ctx).store(self.0.store).await?.map(StoreNode))
    }

    /// Tries to pay, oldest first.
    #[graphql(complexity = "5 + 3 * child_complexity")]
    async fn attempts(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<AttemptNode>> {
        let attempts = loaders(ctx).attempts_of_order(self.0.merchant, self.0.id).await?;
        Ok(attempts.into_iter().map(AttemptNode).collect())
    }

    /// Refunds, oldest first.
    #[graphql(complexity = "5 + 3 * child_complexity")]
    async fn refunds(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<RefundNode>> {
        let refunds = loaders(ctx).refunds_of_order(self.0.merchant, self.0.id).await?;
        Ok(refunds.into_iter().map(RefundNode).collect())
    }
}

#[derive(InputObject, Debug)]
pub struct OrderCreateInput {
    store_id: ID,
    /// Greater than zero, at most two decimal places: "12.50".
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// What the customer buys, 1 to 128 characters.
    subject: String,
    /// Made by the caller, one per order; the same key with the same content gives the same answer.
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct OrderCreatePayload {
    order: Option<OrderNode>,
    user_errors: Vec<UserError>,
}

#[derive(InputObject, Debug)]
pub struct OrderCloseInput {
    order_id: ID,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct OrderClosePayload {
    order: Option<OrderNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Asks a customer for money. Owners of signed merchants.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn order_create(&self, ctx: &Context<'_>, input: OrderCreateInput) -> async_graphql::Result<OrderCreatePayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(OrderCreatePayload { order: None, user_errors: vec![error] });
        let Some((merchant, store)) = id::store(&input.store_id) else { return refuse(not_found("storeId", "门店")) };
        if let Some(error) = own(actor, merchant, "storeId", "门店") {
            return refuse(error);
        }
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let command = CreateOrder { merchant, store, amount, subject: input.subject, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).orders.create(actor, command).await)? {
            Ok(order) => OrderCreatePayload { order: Some(OrderNode(order)), user_errors: Vec::new() },
            Err(user_errors) => OrderCreatePayload { order: None, user_errors },
        })
    }

    /// Closes an order that is not paid: nobody can pay it any more. Its merchant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn order_close(&self, ctx: &Context<'_>, input: OrderCloseInput) -> async_graphql::Result<OrderClosePayload> {
        let actor = actor(ctx)?;
        let Some((book, order)) = id::order(&input.order_id) else {
            return Ok(OrderClosePayload { order: None, user_errors: vec![not_found("orderId", "订单")] });
        };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return Ok(OrderClosePayload { order: None, user_errors: vec![error] });
        }
        let command = CloseOrder { merchant: book.merchant(), order, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).payments.close_order(actor, command).await)? {
            Ok(order) => OrderClosePayload { order: Some(OrderNode(order)), user_errors: Vec::new() },
            Err(user_errors) => OrderClosePayload { order: None, user_errors },
        })
    }
}
