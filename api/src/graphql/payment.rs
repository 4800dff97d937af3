//! Payments: attempts, the cashier's view of an order, and starting to pay.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::id::{BookId, OrderId};
use wallet::channel::acquirer::{Invitation, Method, Wallet};
use wallet::order::{Order, OrderStatus};
use wallet::payment::{Attempt, AttemptStatus, PaymentError, StartPayment};

use super::error::{Rejection, UserError, busy, coded, idempotency, internal, invalid, not_found, permission, required, settle, visible};
use super::id::{self, GlobalId};
use super::money::MoneyNode;
use super::order::OrderStatusName;
use super::{MUTATION_COST, actor, app, own, qr};
use crate::app::App;
use crate::fanout::order_topic;

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
            Self::MethodNotAllowed => invalid("method", "该订单的产品不支持这种支付方式，请换一种"),
            Self::SplitTooLarge => UserError::new(
                "STATE_SPLIT_TOO_LARGE",
                "这种支付方式不能按该订单的规则分账（超过渠道的分账比例上限，或渠道不支持），请换一种支付方式",
            )
            .at("method"),
            Self::NoChannel => {
                UserError::new("STATE_NO_CHANNEL", "暂无可用的支付渠道，请换一种支付方式，或稍后重试").at("method").passing()
            }
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::Decision(_)
            | Self::Split(_)
            | Self::Posting(_)
            | Self::BoundMeanwhile
            | Self::CutShort
            | Self::Refund(_)
            | Self::Ledger(_)
            | Self::Database(_) => {
                return None;
            }
        })
    }
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

/// How a customer pays (支付方式).
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "PayMethod", remote = "Method")]
pub enum PayMethod {
    /// A page on a computer.
    Page,
    /// A page on a phone.
    Wap,
    /// Inside the channel's own app (公众号、小程序).
    InApp,
    /// A code that the customer scans.
    Native,
    /// The customer's code, scanned at the counter.
    Barcode,
}

/// Whose app the customer pays from (钱包).
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "PayWallet", remote = "Wallet")]
pub enum PayWallet {
    /// 微信支付
    Wechat,
    /// 支付宝
    Alipay,
    /// 云闪付
    Unionpay,
    /// 数字人民币
    Ecny,
    /// 网银
    Bank,
}

/// A wallet with the ways by which it can pay this order now.
#[derive(SimpleObject, Debug)]
pub struct PayWay {
    wallet: PayWallet,
    methods: Vec<PayMethod>,
}

/// What to do with an invitation.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvitationKind {
    /// An address to go to.
    Url,
    /// The content of a code to show.
    Code,
    /// JSON that the page hands to the channel's own app.
    Call,
    /// Nothing to show: the customer acts on a device of the channel.
    Wait,
}

/// How the customer is brought to pay (拉起支付).
#[derive(SimpleObject, Debug)]
#[graphql(name = "PayInvitation", complex)]
pub struct InvitationNode {
    kind: InvitationKind,
    content: String,
}

#[ComplexObject]
impl InvitationNode {
    /// The code as an SVG image, where there is one to scan.
    async fn qr(&self) -> Option<String> {
        (self.kind == InvitationKind::Code).then(|| qr::svg(&self.content)).flatten()
    }
}

impl InvitationNode {
    fn of(invitation: &Invitation) -> Self {
        let (kind, content) = match invitation {
            Invitation::Url(url) => (InvitationKind::Url, url.as_str()),
            Invitation::Code(code) => (InvitationKind::Code, code.as_str()),
            Invitation::Call(parameters) => (InvitationKind::Call, parameters.as_str()),
            Invitation::Wait => (InvitationKind::Wait, ""),
        };
        Self { kind, content: content.to_owned() }
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

    async fn method(&self) -> PayMethod {
        self.0.method.into()
    }

    /// Whose app the customer said to pay from.
    async fn wallet(&self) -> Option<PayWallet> {
        self.0.wallet.map(PayWallet::from)
    }

    /// How the customer is brought to pay, once the channel has told.
    async fn invitation(&self) -> Option<InvitationNode> {
        self.0.invitation.as_ref().map(InvitationNode::of)
    }

    /// Where the customer confirms, where that is an address to go to.
    async fn pay_url(&self) -> Option<&str> {
        self.0.invitation.as_ref().and_then(Invitation::url)
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

/// What the holder of an order's ticket may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CashierOrder {
    order: Order,
    attempt: Option<Attempt>,
}

impl CashierOrder {
    pub async fn load(app: &App, actor: &Actor, book: BookId, order: OrderId) -> async_graphql::Result<Option<Self>> {
        let merchant = book.merchant();
        let (found, attempts) = tokio::join!(app.orders.get(actor, merchant, order), app.payments.of_order(merchant, order));
        let Some(order) = visible(found)? else { return Ok(None) };
        let attempts = attempts.map_err(|e| internal(&e))?;
        // a success outranks whatever came after it
        let attempt = attempts.iter().find(|a| a.status == AttemptStatus::Succeeded).or(attempts.last()).cloned();
        Ok(Some(Self { order, attempt }))
    }

    /// Whether the order is paid or closed: it stays so.
    pub fn is_over(&self) -> bool {
        matches!(self.order.status, OrderStatus::Paid | OrderStatus::Closed)
    }
}

#[Object]
impl CashierOrder {
    async fn merchant_name(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        Ok(required(app(ctx).merchants.get(&Actor::System, self.order.merchant).await)?.name)
    }

    async fn store_name(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        Ok(required(app(ctx).merchants.store(&Actor::System, self.order.store).await)?.name)
    }

    async fn subject(&self) -> &str {
        &self.order.subject
    }

    /// What it costs: `payable` and `subsidy` together.
    async fn amount(&self) -> MoneyNode {
        self.order.amount.into()
    }

    /// What a programme pays of it (补贴); zero where none does.
    async fn subsidy(&self) -> MoneyNode {
        self.order.subsidy().into()
    }

    /// What is to be paid.
    async fn payable(&self) -> MoneyNode {
        self.order.payable().into()
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

    /// The wallets that can pay it now, each with its ways; none for an order that is over. A channel that is down is left out.
    async fn ways(&self, ctx: &Context<'_>) -> Vec<PayWay> {
        if self.is_over() {
            return Vec::new();
        }
        let open = app(ctx).payments.ways(&self.order);
        let ways = Wallet::ALL.map(|wallet| PayWay {
            wallet: wallet.into(),
            methods: open.iter().filter(|(w, _)| *w == wallet).map(|(_, method)| (*method).into()).collect(),
        });
        ways.into_iter().filter(|way| !way.methods.is_empty()).collect()
    }

    /// For a countdown that does not trust the phone's clock.
    async fn server_time(&self, ctx: &Context<'_>) -> DateTime<Utc> {
        app(ctx).clock.now()
    }
}

#[derive(Default, Debug)]
pub struct PaymentQuery;

#[Object]
impl PaymentQuery {
    /// The order a ticket opens; an error `AUTH_TICKET_INVALID` or `AUTH_TICKET_EXPIRED` otherwise. Needs no login.
    async fn cashier(&self, ctx: &Context<'_>, ticket: String) -> async_graphql::Result<Option<CashierOrder>> {
        let app = app(ctx);
        let (book, order) = app.tickets.open_order(&ticket).map_err(ticket_error)?;
        let customer = Actor::Customer { merchant: book.merchant(), order };
        CashierOrder::load(app, &customer, book, order).await
    }
}

pub fn ticket_error(error: crate::ticket::TicketError) -> async_graphql::Error {
    match error {
        crate::ticket::TicketError::Invalid => coded("AUTH_TICKET_INVALID", "付款链接无效，请向商家重新索取"),
        crate::ticket::TicketError::Expired => coded("AUTH_TICKET_EXPIRED", "付款链接已过期，请向商家重新索取"),
    }
}

#[derive(InputObject, Debug)]
pub struct PaymentStartInput {
    /// The order's ticket: all a customer needs.
    ticket: Option<String>,
    /// Or the order's id, for its merchant.
    order_id: Option<ID>,
    #[graphql(default_with = "PayMethod::Page")]
    method: PayMethod,
    /// Whose app the customer pays from. Left out: nobody said, so it is asked for where every wallet can pay.
    wallet: Option<PayWallet>,
    /// Who pays, by the channel's own id (openid), for IN_APP; the scanned code for BARCODE. 1 to 128 letters, digits, `-` and `_`.
    payer: Option<String>,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct PaymentStartPayload {
    attempt: Option<AttemptNode>,
    order: Option<CashierOrder>,
    user_errors: Vec<UserError>,
}

fn plain(payer: &str) -> bool {
    (1..=128).contains(&payer.len()) && payer.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[derive(Default, Debug)]
pub struct PaymentMutation;

#[Object]
impl PaymentMutation {
    /// Starts to pay an order, or gives the attempt that is already open in this way; one that is open in another way is closed first.
    /// By ticket, or by the order's merchant.
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
        let (needs, method) = (matches!(input.method, PayMethod::InApp | PayMethod::Barcode), input.method.into());
        match &input.payer {
            Some(payer) if !plain(payer) => return refuse(invalid("payer", "payer 须为 1 到 128 位字母、数字、- 或 _")),
            None if needs => return refuse(invalid("payer", "这种支付方式需要填写 payer")),
            _ => {}
        }
        let (merchant, payer, idempotency_key) = (book.merchant(), input.payer, input.idempotency_key);
        let wallet = input.wallet.map(Wallet::from);
        let command = StartPayment { merchant, order, method, wallet, payer, return_url, idempotency_key, failed: None };
        match settle(app.payments.start(actor, command).await)? {
            Ok(attempt) => {
                // no event tells of a start: whoever watches hears it from here
                app.fanout.tell(order_topic(order));
                // four reads that few ask for
                let wanted = ctx.look_ahead().field("order").exists();
                let order = if wanted { CashierOrder::load(app, actor, book, order).await? } else { None };
                Ok(PaymentStartPayload { attempt: Some(AttemptNode(attempt)), order, user_errors: Vec::new() })
            }
            Err(user_errors) => Ok(PaymentStartPayload { attempt: None, order: None, user_errors }),
        }
    }
}
