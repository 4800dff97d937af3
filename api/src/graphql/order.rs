//! Orders: what a customer is asked to pay.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::shanghai;
use wallet::base::id::MerchantId;
use wallet::base::money::Money;
use wallet::order::{Choice, CreateOrder, Order, OrderError, OrderStatus, ReleaseOrder};
use wallet::payment::CloseOrder;
use wallet::product::STORE_PAYMENT;
use wallet::split::rule::RECEIVERS_MAX;

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, settle};
use super::id::{self, GlobalId};
use super::loader::loaders;
use super::merchant::StoreNode;
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::payment::AttemptNode;
use super::product::{OrderProduct, ReleaseNode, StageNode};
use super::refund::RefundNode;
use super::split::SplitNode;
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
            Self::ProductUnknown => UserError::new("NOT_FOUND", "没有这个支付产品，可用 products 查询现有的产品").at("productCode"),
            Self::AmountOutsideProduct { min, max } => {
                invalid("amount", format!("该产品的金额须在 {} 至 {} 元之间", min.decimal(), max.decimal()))
            }
            Self::RoleUnbound { role } => invalid("parties", format!("该产品须为角色 {role} 指定一个商户")),
            Self::RoleUnknown { role } => invalid("parties", format!("该产品没有角色 {role}，请去掉它")),
            Self::PartyIsMerchant { role } => invalid("parties", format!("角色 {role} 不能是收款商户自己，请换一个商户")),
            Self::PartyPaysItself { role } => {
                invalid("parties", format!("角色 {role} 由上级角色的分账支付，不能与上级角色是同一商户，请换一个商户"))
            }
            Self::PartyNotSigned { role } => invalid("parties", format!("角色 {role} 的商户不存在或尚未签约，请核对编号")),
            Self::NotPaid => UserError::new("STATE_NOT_PAID", "订单尚未支付成功，没有可以放款的钱").at("orderId"),
            Self::NotHeld => UserError::new("STATE_NOT_HELD", "该订单的产品不存管资金，无需放款").at("orderId"),
            Self::StageMissing => invalid("stage", "该订单分阶段放款，请填写阶段名称"),
            Self::StageUnknown => invalid("stage", "该订单没有这个阶段，请按订单的 stages 填写；不分阶段的订单请不要填写"),
            Self::NothingLeft => UserError::new("STATE_NOTHING_HELD", "没有剩余可以放款的金额").at("orderId"),
            Self::ReleasedByDate { at } => {
                let at = at.with_timezone(&shanghai()).format("%Y-%m-%d %H:%M");
                UserError::new("STATE_NOT_DUE", format!("这笔钱将于 {at} 自动放款，无需确认")).at("stage")
            }
            Self::AmountNotAllowed => invalid("amount", "双方确认的款项一次放完，请不要填写 amount"),
            Self::AmountExceedsHeld { left } => {
                UserError::new("AMOUNT_EXCEEDS_HELD", format!("最多还可放款 {} 元", left.decimal())).at("amount")
            }
            Self::AlreadyConfirmed => UserError::new("STATE_CONFIRMED", "您已确认，等待对方确认后放款").at("orderId"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::CutShort | Self::Split(_) | Self::Posting(_) | Self::Ledger(_) | Self::Database(_) => return None,
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

    /// What it costs: `payable` and `subsidy` together.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// What a programme pays of it (补贴); zero where none does.
    async fn subsidy(&self) -> MoneyNode {
        self.0.subsidy().into()
    }

    /// What its payer pays.
    async fn payable(&self) -> MoneyNode {
        self.0.payable().into()
    }

    /// Given back, or on its way back.
    async fn refunded(&self) -> MoneyNode {
        self.0.refunded.into()
    }

    async fn status(&self) -> OrderStatusName {
        self.0.status.into()
    }

    /// What it was made as: the product, in the version of that time.
    async fn product(&self) -> OrderProduct {
        OrderProduct::from(&self.0.product)
    }

    /// Kept in the order's own account until it is released; zero where its product holds nothing.
    async fn held(&self) -> MoneyNode {
        self.0.held().into()
    }

    /// What became the merchant's of it, with the fee that was taken then.
    async fn released(&self) -> MoneyNode {
        Money { minor: self.0.escrow.released_minor, ..self.0.amount }.into()
    }

    /// The parts in which it is released; one without a name where the whole is.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn stages(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<StageNode>> {
        if self.0.product.terms.hold.is_none() {
            return Ok(Vec::new());
        }
        let releases = loaders(ctx).releases_of_order(self.0.merchant, self.0.id).await?;
        let confirmations = loaders(ctx).confirmations_of_order(self.0.merchant, self.0.id).await?;
        Ok(StageNode::of(&self.0, &releases, &confirmations))
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

    /// How it is divided among merchants (分账). Null where it is not.
    #[graphql(complexity = "5 + child_complexity")]
    async fn split(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<SplitNode>> {
        let seen = super::actor(ctx).is_ok_and(|actor| actor.require_reader(self.0.merchant).is_ok());
        if !seen {
            return Ok(None);
        }
        Ok(loaders(ctx).split_of_order(self.0.merchant, self.0.id).await?.map(SplitNode))
    }

    /// Refunds, oldest first.
    #[graphql(complexity = "5 + 3 * child_complexity")]
    async fn refunds(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<RefundNode>> {
        let refunds = loaders(ctx).refunds_of_order(self.0.merchant, self.0.id).await?;
        Ok(refunds.into_iter().map(RefundNode).collect())
    }
}

/// A merchant in a role of the product's split.
#[derive(InputObject, Debug)]
pub struct OrderPartyInput {
    role: String,
    merchant_id: ID,
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
    /// A code of `products`. None: the plain store payment.
    product_code: Option<String>,
    /// Who fills the roles of the product's split, all of them, each a signed merchant. At most 50.
    #[graphql(default)]
    parties: Vec<OrderPartyInput>,
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
pub struct OrderReleaseInput {
    /// The order's ticket, for its payer.
    ticket: Option<String>,
    /// Or the order's id, for its merchant.
    order_id: Option<ID>,
    /// Which stage, where the order is released by stages.
    stage: Option<String>,
    /// A part of it, where the merchant alone confirms. None: all that is left.
    amount: Option<Decimal>,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct OrderReleasePayload {
    order: Option<OrderNode>,
    /// None: the other side has yet to confirm.
    release: Option<ReleaseNode>,
    user_errors: Vec<UserError>,
}

/// Reads the parties of an order.
fn parties(given: Vec<OrderPartyInput>) -> Result<BTreeMap<String, MerchantId>, UserError> {
    if given.len() > RECEIVERS_MAX {
        return Err(invalid("parties", format!("最多 {RECEIVERS_MAX} 个角色")));
    }
    let mut parties = BTreeMap::new();
    for OrderPartyInput { role, merchant_id } in given {
        let known = role.len() <= 32 && role.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !known {
            return Err(invalid("parties", "角色须为 1 到 32 位大写字母、数字或下划线"));
        }
        let Some(merchant) = id::merchant(&merchant_id) else {
            return Err(invalid("parties", format!("角色 {role} 的商户不存在或尚未签约，请核对编号")));
        };
        if parties.contains_key(&role) {
            return Err(invalid("parties", format!("角色 {role} 重复了，请只写一次")));
        }
        parties.insert(role, merchant);
    }
    Ok(parties)
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
        let parties = match parties(input.parties) {
            Ok(parties) => parties,
            Err(error) => return refuse(error),
        };
        let product = match input.product_code {
            None if parties.is_empty() => None,
            code => Some(Choice { code: code.unwrap_or_else(|| STORE_PAYMENT.to_owned()), parties }),
        };
        let (subject, idempotency_key) = (input.subject, input.idempotency_key);
        let command = CreateOrder { merchant, store, amount, subject, product, idempotency_key };
        Ok(match settle(app(ctx).orders.create(actor, command).await)? {
            Ok(order) => OrderCreatePayload { order: Some(OrderNode(order)), user_errors: Vec::new() },
            Err(user_errors) => OrderCreatePayload { order: None, user_errors },
        })
    }

    /// Releases held money to the merchant, or notes that one side agrees where both have to. Its merchant by id, its payer by ticket.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn order_release(&self, ctx: &Context<'_>, input: OrderReleaseInput) -> async_graphql::Result<OrderReleasePayload> {
        let app = app(ctx);
        let refuse = |error| Ok(OrderReleasePayload { order: None, release: None, user_errors: vec![error] });
        let (book, order, customer) = match (&input.ticket, &input.order_id) {
            (Some(ticket), None) => match app.tickets.open_order(ticket) {
                Ok((book, order)) => (book, order, Some(Actor::Customer { merchant: book.merchant(), order })),
                Err(_) => return refuse(UserError::new("AUTH_TICKET_INVALID", "付款链接无效或已过期，请向商家重新索取").at("ticket")),
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
        let amount = match input.amount.map(|text| amount("amount", &text, input.currency)).transpose() {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let (stage, idempotency_key) = (input.stage, input.idempotency_key);
        let command = ReleaseOrder { merchant: book.merchant(), order, stage, amount, idempotency_key };
        Ok(match settle(app.orders.release(actor, command).await)? {
            Ok(released) => OrderReleasePayload {
                order: Some(OrderNode(released.order)),
                release: released.release.map(ReleaseNode),
                user_errors: Vec::new(),
            },
            Err(user_errors) => OrderReleasePayload { order: None, release: None, user_errors },
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
