//! Orders, payments and refunds; the cashier's view of an order.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::id::{BookId, OrderId};
use wallet::base::idempotency::IdempotencyError;
use wallet::base::money::{Money, MoneyError};
use wallet::order::{CreateOrder, Order, OrderError, OrderStatus};
use wallet::payment::{Attempt, AttemptStatus, CloseOrder, PaymentError, StartPayment};
use wallet::refund::{Refund, RefundError, RefundStatus, RequestRefund};

use super::error::{Rejection, UserError, coded, internal, invalid, key_reused, not_found, required, settle};
use super::id::{self, GlobalId};
use super::loader::loaders;
use super::merchant::StoreNode;
use super::money::{CurrencyCode, Decimal, MoneyNode};
use super::{MUTATION_COST, actor, app, own};
use crate::app::App;

/// What an idempotency claim can object to.
pub(super) fn idempotency(error: &IdempotencyError) -> Option<UserError> {
    match error {
        IdempotencyError::KeyReused => Some(key_reused()),
        IdempotencyError::Database(_) => None,
    }
}

/// Reads an amount with its field's name.
pub(super) fn amount(field: &str, text: &Decimal, currency: CurrencyCode) -> Result<Money, UserError> {
    Money::parse_positive(&text.0, currency.into()).map_err(|error| {
        let message = match error {
            MoneyError::NotPositive => "金额须大于 0",
            MoneyError::TooLarge => "金额不能超过 100 亿元",
            _ => "金额须为最多两位小数的数字，例如 12.50",
        };
        invalid(field, message)
    })
}

fn permission() -> UserError {
    UserError::new("PERM_DENIED", "您没有权限进行此操作")
}

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
            Self::Database(_) => return None,
        })
    }
}

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
            Self::InsufficientBalance { available } => {
                let message = format!("钱包余额只有 {} 元，不足以退款，请等待新的收款或减少金额", available.decimal());
                UserError::new("INSUFFICIENT_BALANCE", message).at("amount").passing()
            }
            Self::Idempotency(error) => return idempotency(error),
            Self::StillOwed { .. } | Self::Posting(_) | Self::Ledger(_) | Self::Database(_) => return None,
        })
    }
}

impl Rejection for PaymentError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("orderId", "订单"),
            Self::OrderPaid => UserError::new("STATE_PAID", "订单已支付成功，无需再次付款"),
            Self::OrderClosed => UserError::new("STATE_CLOSED", "订单已关闭，请让商家重新下单"),
            Self::OrderExpired => UserError::new("STATE_EXPIRED", "订单已过期，请让商家重新下单"),
            Self::UnderReview => UserError::new("STATE_UNDER_REVIEW", "该订单的一笔付款正在人工核对，请勿重复付款"),
            Self::StillPaying => UserError::new("STATE_PAYING", "正在进行的付款尚未关闭，请稍后重试").passing(),
            Self::Idempotency(error) => return idempotency(error),
            Self::Posting(_) | Self::BoundMeanwhile | Self::Refund(_) | Self::Ledger(_) | Self::Database(_) => return None,
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

/// Where a payment attempt stands. `UNKNOWN` is not a failure: the channel is being asked.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "AttemptStatus", remote = "AttemptStatus")]
pub enum AttemptStatusName {
    Sent,
    UserPending,
    Unknown,
    Succeeded,
    Failed,
    ClosedAtChannel,
    Conflicted,
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

/// One try to pay an order (支付尝试).
#[derive(Debug)]
pub struct AttemptNode(pub Attempt);

#[Object(name = "PaymentAttempt")]
impl AttemptNode {
    pub async fn id(&self) -> ID {
        GlobalId::Attempt(self.0.merchant.book(), self.0.id).encode()
    }

    async fn status(&self) -> AttemptStatusName {
        self.0.status.into()
    }

    async fn channel(&self) -> &str {
        &self.0.channel
    }

    /// Where the customer confirms, while that is open.
    async fn pay_url(&self) -> Option<&str> {
        self.0.pay_url.as_deref()
    }

    /// The channel's reason for a failure.
    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn sent_at(&self) -> DateTime<Utc> {
        self.0.sent_at
    }

    async fn succeeded_at(&self) -> Option<DateTime<Utc>> {
        self.0.succeeded_at
    }
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

/// What the holder of an order's ticket may see.
#[derive(Debug)]
pub struct CashierOrder {
    order: Order,
    merchant_name: String,
    store_name: String,
    attempt: Option<Attempt>,
}

impl CashierOrder {
    async fn load(app: &App, actor: &Actor, book: BookId, order: OrderId) -> async_graphql::Result<Option<Self>> {
        let Some(order) = super::error::visible(app.orders.get(actor, book.merchant(), order).await)? else { return Ok(None) };
        let merchant = required(app.merchants.get(&Actor::System, order.merchant).await)?;
        let store = required(app.merchants.store(&Actor::System, order.store).await)?;
        let attempts = app.payments.of_orders(&[(order.merchant, order.id)]).await.map_err(|e| internal(&e))?;
        // a success outranks whatever came after it
        let attempt = attempts.iter().find(|a| a.status == AttemptStatus::Succeeded).or(attempts.last()).cloned();
        Ok(Some(Self { order, merchant_name: merchant.name, store_name: store.name, attempt }))
    }
}

#[Object]
impl CashierOrder {
    async fn merchant_name(&self) -> &str {
        &self.merchant_name
    }

    async fn store_name(&self) -> &str {
        &self.store_name
    }

    async fn subject(&self) -> &str {
        &self.order.subject
    }

    async fn amount(&self) -> MoneyNode {
        self.order.amount.into()
    }

    async fn status(&self) -> OrderStatusName {
        self.order.status.into()
    }

    async fn expires_at(&self) -> DateTime<Utc> {
        self.order.expires_at
    }

    async fn paid_at(&self) -> Option<DateTime<Utc>> {
        self.order.paid_at
    }

    /// The attempt that paid, or the latest.
    async fn attempt(&self) -> Option<AttemptNode> {
        self.attempt.clone().map(AttemptNode)
    }

    /// For a countdown that does not trust the phone's clock.
    async fn server_time(&self, ctx: &Context<'_>) -> DateTime<Utc> {
        app(ctx).clock.now()
    }
}

#[derive(Default, Debug)]
pub struct OrderQuery;

#[Object]
impl OrderQuery {
    /// The order a ticket opens; an error `AUTH_TICKET_INVALID` or `AUTH_TICKET_EXPIRED` otherwise. Needs no login.
    async fn cashier(&self, ctx: &Context<'_>, ticket: String) -> async_graphql::Result<Option<CashierOrder>> {
        let app = app(ctx);
        let (book, order) = app.tickets.open_order(&ticket).map_err(ticket_error)?;
        let customer = Actor::Customer { merchant: book.merchant(), order };
        CashierOrder::load(app, &customer, book, order).await
    }
}

fn ticket_error(error: crate::ticket::TicketError) -> async_graphql::Error {
    match error {
        crate::ticket::TicketError::Invalid => coded("AUTH_TICKET_INVALID", "付款链接无效，请向商家重新索取"),
        crate::ticket::TicketError::Expired => coded("AUTH_TICKET_EXPIRED", "付款链接已过期，请向商家重新索取"),
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

#[derive(InputObject, Debug)]
pub struct PaymentStartInput {
    /// The order's ticket: all a customer needs.
    ticket: Option<String>,
    /// Or the order's id, for its merchant.
    order_id: Option<ID>,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct PaymentStartPayload {
    attempt: Option<AttemptNode>,
    order: Option<CashierOrder>,
    user_errors: Vec<UserError>,
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

    /// Starts to pay an order, or gives the attempt that is already open. By ticket, or by the order's merchant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn payment_start(&self, ctx: &Context<'_>, input: PaymentStartInput) -> async_graphql::Result<PaymentStartPayload> {
        let app = app(ctx);
        let refuse = |error| Ok(PaymentStartPayload { attempt: None, order: None, user_errors: vec![error] });
        let (book, order, customer) = match (&input.ticket, &input.order_id) {
            (Some(ticket), None) => match app.tickets.open_order(ticket) {
                Ok((book, order)) => (book, order, Some(Actor::Customer { merchant: book.merchant(), order })),
                Err(error) => return refuse(UserError::new("AUTH_TICKET_INVALID", ticket_error(error).message).at("ticket")),
            },
            (None, Some(id)) => match id::order(id) {
                Some((book, order)) => (book, order, None),
                None => return refuse(not_found("orderId", "订单")),
            },
            _ => return refuse(invalid("ticket", "请在 ticket 和 orderId 中恰好填写一个")),
        };
        let actor = match &customer {
            Some(customer) => customer,
            None => actor(ctx)?,
        };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let return_url = input.ticket.as_ref().map(|ticket| app.cashier_link(ticket));
        let command = StartPayment { merchant: book.merchant(), order, return_url, idempotency_key: input.idempotency_key };
        match settle(app.payments.start(actor, command).await)? {
            Ok(attempt) => {
                let order = CashierOrder::load(app, actor, book, order).await?;
                Ok(PaymentStartPayload { attempt: Some(AttemptNode(attempt)), order, user_errors: Vec::new() })
            }
            Err(user_errors) => Ok(PaymentStartPayload { attempt: None, order: None, user_errors }),
        }
    }

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
