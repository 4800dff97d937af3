//! Webhooks: where a merchant is told of what happens, with which keys we sign, what was told, and what to do when it was not heard.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use merchant::vault::{Place, Vault};
use uuid::Uuid;
use wallet::base::id::{BookId, DeliveryId, EndpointId, SigningKeyId};
use wallet::webhook::rules::Change;
use wallet::webhook::{
    Attempt, ChangeEndpoint, CreateEndpoint, Delivery, DeliveryFilter, DeliveryStatus, Endpoint, EndpointStatus, Keeper, Outcome, Outside,
    PausedFor, Review, RotateKey, SigningKey, UrlFault, WebhookError,
};

use super::error::{Rejection, UserError, idempotency, input, invalid, not_found, permission, settle, visible};
use super::id::{self, GlobalId};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor, app, own};

impl Rejection for WebhookError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::EndpointNotFound => not_found("endpointId", "通知地址"),
            Self::DeliveryNotFound => not_found("deliveryId", "通知"),
            Self::Url(fault) => invalid("url", url_message(*fault)),
            Self::KindUnknown => invalid("kinds", "kinds 中有未知的事件类型，请按接口说明填写，例如 order.paid；留空表示全部"),
            Self::TooMany => UserError::new("LIMIT_WEBHOOK_ENDPOINTS", "每个商户最多 8 个通知地址，请先删除不用的地址").at("merchantId"),
            Self::Gone => UserError::new("STATE_DELETED", "该通知地址已删除，请新建一个").at("endpointId"),
            Self::Paused => UserError::new("STATE_PAUSED", "该通知地址已暂停，请先恢复再发送").at("endpointId"),
            Self::Rotating { until } => {
                let until = until.with_timezone(&wallet::base::clock::shanghai()).format("%Y-%m-%d %H:%M");
                let message = format!("密钥正在更换，旧密钥到 {until} 才失效，请等到那时；如需立即更换，请把 overlapHours 设为 0");
                UserError::new("STATE_ROTATING", message).at("overlapHours")
            }
            Self::OverlapInvalid => invalid("overlapHours", "overlapHours 须在 0 到 168 之间"),
            Self::StillPending => {
                UserError::new("STATE_PENDING", "该通知还在自动重试，请等它送达或放弃后再重发").at("deliveryId").passing()
            }
            Self::PlaceTaken => UserError::new("STATE_BUSY", "同时有其他地址正在新建，请用同一个 idempotencyKey 稍后重试").passing(),
            Self::Idempotency(error) => return idempotency(error),
            Self::Key | Self::Body(_) | Self::Client(_) | Self::Database(_) => return None,
        })
    }
}

fn url_message(fault: UrlFault) -> &'static str {
    match fault {
        UrlFault::Malformed => "通知地址须是完整的网址，最长 512 个字符，例如 https://shop.example.com/haodian",
        UrlFault::NotHttps => "通知地址须以 https:// 开头",
        UrlFault::Credentials => "通知地址不能带用户名或密码，请改用签名核对来源",
        UrlFault::Fragment => "通知地址不能带 # 及其后的部分，请去掉",
        UrlFault::Unresolved => "通知地址的域名无法解析，请检查拼写和 DNS 记录",
        UrlFault::NotPublic => "通知地址须在公网上，不能是内网、本机或云元数据地址，请换一个公网地址",
    }
}

/// Whether an endpoint is sent to.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "WebhookEndpointStatus", remote = "EndpointStatus")]
pub enum EndpointStatusName {
    Active,
    /// Messages are collected and wait.
    Paused,
    /// Deleted.
    Disabled,
}

/// Why an endpoint is paused.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "WebhookPausedFor", remote = "PausedFor")]
pub enum PausedForName {
    /// Its owner wanted it so.
    Owner,
    /// It took nothing for three days.
    Failing,
}

/// Where a delivery stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "WebhookDeliveryStatus", remote = "DeliveryStatus")]
pub enum DeliveryStatusName {
    /// Waits for its first or next try.
    Pending,
    Delivered,
    /// Given up a day after its first try (死信); `webhookResend` sends it again.
    Dead,
    /// Its endpoint was deleted first.
    Cancelled,
}

/// How a try ended.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "WebhookOutcome", remote = "Outcome")]
pub enum OutcomeName {
    /// A status of 200 to 299.
    Taken,
    /// Any other status; redirects are not followed.
    Refused,
    /// No status within 10 seconds.
    Timeout,
    /// No connection, or one that broke.
    NoAnswer,
    /// The host does not resolve, or to an address that may not be used.
    Address,
    /// There was no key to sign with, or the URL cannot be used any more.
    Unusable,
}

/// A key that messages are signed with (Ed25519).
#[derive(Debug)]
pub struct WebhookKey {
    key: SigningKey,
    signs: bool,
}

#[Object]
impl WebhookKey {
    /// As in the header `Haodian-Webhook-Key-Id`.
    async fn id(&self) -> String {
        self.key.id.to_string()
    }

    /// 32 bytes in base64.
    async fn public_key(&self) -> String {
        STANDARD.encode(self.key.public_key)
    }

    /// Whether messages are signed with it now. The other one, if there is one, follows when this one ends.
    async fn signs(&self) -> bool {
        self.signs
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.key.created_at
    }

    /// When it stops signing, in real time; `null` while no other key is to follow.
    async fn ends_at(&self) -> Option<DateTime<Utc>> {
        self.key.ends_at
    }
}

/// Where a merchant is told of what happens (通知地址).
#[derive(Debug)]
pub struct WebhookEndpoint(Endpoint);

#[Object]
impl WebhookEndpoint {
    /// Opaque. Not an id for `node`.
    async fn id(&self) -> ID {
        endpoint_id(self.0.merchant.book(), self.0.id)
    }

    async fn url(&self) -> &str {
        &self.0.url
    }

    /// Kinds of events it is told of; empty: all.
    async fn kinds(&self) -> &[String] {
        &self.0.kinds
    }

    async fn status(&self) -> EndpointStatusName {
        self.0.status.into()
    }

    async fn paused_for(&self) -> Option<PausedForName> {
        self.0.paused_for.map(Into::into)
    }

    /// Since when it has taken nothing, while something fails.
    async fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.0.failing_since
    }

    /// The live ones, at most two, the one that signs first.
    async fn keys(&self) -> Vec<WebhookKey> {
        self.0.keys.iter().enumerate().map(|(nth, key)| WebhookKey { key: key.clone(), signs: nth == 0 }).collect()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// What one endpoint is told (通知).
#[derive(Debug)]
pub struct WebhookDelivery(Delivery);

#[Object]
impl WebhookDelivery {
    /// Opaque, and the header `Haodian-Webhook-Id`. Not an id for `node`.
    async fn id(&self) -> ID {
        delivery_id(self.0.merchant.book(), self.0.id)
    }

    async fn endpoint_id(&self) -> ID {
        endpoint_id(self.0.merchant.book(), self.0.endpoint)
    }

    async fn event_id(&self) -> String {
        self.0.event.to_string()
    }

    /// Such as `order.paid`.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The bytes that are signed and sent, as text.
    async fn body(&self) -> &str {
        &self.0.body
    }

    /// The first delivery, where this one was asked for by hand.
    async fn resend_of(&self) -> Option<ID> {
        self.0.resend_of.map(|first| delivery_id(self.0.merchant.book(), first))
    }

    async fn status(&self) -> DeliveryStatusName {
        self.0.status.into()
    }

    /// Tries so far, one under way included.
    async fn attempt_count(&self) -> i32 {
        self.0.attempts
    }

    /// When it is tried next, in real time; `null` at its end.
    async fn next_at(&self) -> Option<DateTime<Utc>> {
        (!self.0.status.is_settled()).then_some(self.0.next_at)
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }
}

/// One try of a delivery.
#[derive(Debug)]
pub struct WebhookAttempt(Attempt);

#[Object]
impl WebhookAttempt {
    async fn number(&self) -> i32 {
        self.0.number
    }

    /// The key it was signed with.
    async fn key_id(&self) -> Option<String> {
        self.0.key.map(|key| key.to_string())
    }

    async fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// `null` while it is under way, and when our process died over it: then it was sent again.
    async fn outcome(&self) -> Option<OutcomeName> {
        self.0.outcome.map(Into::into)
    }

    async fn status_code(&self) -> Option<i32> {
        self.0.status_code
    }

    /// Milliseconds until the status came, or it was given up.
    async fn took_ms(&self) -> Option<i32> {
        self.0.took_ms
    }

    /// The first bytes of the answer as text, at most 512 characters.
    async fn answer(&self) -> Option<&str> {
        self.0.answer.as_deref()
    }
}

/// A field that the same event would fill otherwise today.
#[derive(Debug)]
pub struct WebhookChange(Change);

#[Object]
impl WebhookChange {
    /// Such as `object.status`.
    async fn path(&self) -> &str {
        &self.0.path
    }

    /// As JSON; `null` where the field was not there.
    async fn sent(&self) -> Option<&str> {
        self.0.sent.as_deref()
    }

    /// As JSON; `null` where the field is not there any more.
    async fn today(&self) -> Option<&str> {
        self.0.today.as_deref()
    }
}

/// A delivery with its tries, and what a resend would send.
#[derive(Debug)]
pub struct WebhookReview(Review);

#[Object]
impl WebhookReview {
    async fn delivery(&self) -> WebhookDelivery {
        WebhookDelivery(self.0.delivery.clone())
    }

    /// In their order.
    async fn attempts(&self) -> Vec<WebhookAttempt> {
        self.0.attempts.iter().cloned().map(WebhookAttempt).collect()
    }

    /// What the same event would say today: what `webhookResend` sends, but for `id` and `resendOf`.
    async fn current(&self) -> &str {
        &self.0.today
    }

    /// Where that differs from what was sent, field by field.
    async fn diff(&self) -> Vec<WebhookChange> {
        self.0.diff.iter().cloned().map(WebhookChange).collect()
    }
}

#[derive(Default, Debug)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// Where a merchant is told of what happens, at most 8. `null` unless the caller owns the merchant or operates the platform.
    #[graphql(complexity = "20 + child_complexity")]
    async fn webhook_endpoints(&self, ctx: &Context<'_>, merchant_id: ID) -> async_graphql::Result<Option<Vec<WebhookEndpoint>>> {
        let actor = actor(ctx)?;
        let Some(merchant) = id::merchant(&merchant_id) else { return Ok(None) };
        let endpoints = visible(app(ctx).webhooks.endpoints(actor, merchant).await)?;
        Ok(endpoints.map(|endpoints| endpoints.into_iter().map(WebhookEndpoint).collect()))
    }

    /// What a merchant was told, the newest first, for `webhook.keep_days`. `null` unless the caller owns the merchant or operates the platform.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "the arguments of a GraphQL field")]
    async fn webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        merchant_id: ID,
        endpoint_id: Option<ID>,
        status: Option<DeliveryStatusName>,
        kind: Option<String>,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Option<Nodes<WebhookDelivery>>> {
        let actor = actor(ctx)?;
        let window: Window<(DateTime<Utc>, DeliveryId)> = Window::read(first, after)?;
        let Some(merchant) = id::merchant(&merchant_id) else { return Ok(None) };
        let endpoint = match endpoint_id {
            None => None,
            Some(id) => match endpoint(&id) {
                Some((book, endpoint)) if book == merchant.book() => Some(endpoint),
                _ => return Err(input("endpointId", "endpointId 不是该商户的通知地址，请核对编号")),
            },
        };
        let filter = DeliveryFilter { endpoint, status: status.map(Into::into), kind };
        let has_previous = window.after.is_some();
        let page = visible(app(ctx).webhooks.deliveries(actor, merchant, &filter, window.after, window.first).await)?;
        Ok(page.map(|page| connection(page, has_previous, |d| (d.created_at, d.id), WebhookDelivery)))
    }

    /// One delivery with its tries, and what the same event would say today. `null` unless the caller owns the merchant or operates the
    /// platform.
    #[graphql(complexity = "50 + child_complexity")]
    async fn webhook_delivery(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<WebhookReview>> {
        let actor = actor(ctx)?;
        let Some((book, delivery)) = delivery(&id) else { return Ok(None) };
        Ok(visible(app(ctx).webhooks.review(actor, book.merchant(), delivery).await)?.map(WebhookReview))
    }
}

#[derive(InputObject, Debug)]
pub struct WebhookEndpointCreateInput {
    merchant_id: ID,
    /// Begins with https:// and leads to the public Internet, at most 512 characters.
    url: String,
    /// Kinds of events to be told of; empty: all. `application.approved`, `application.needs_correction`, `merchant.signed`, `order.closed`,
    /// `order.created`, `order.paid`, `payment.failed`, `payment.surplus`, `refund.failed`, `refund.succeeded`, `settlement.released`,
    /// `store.opened`, `webhook.paused`, `withdrawal.failed`, `withdrawal.succeeded`.
    #[graphql(default, validator(max_items = 100))]
    kinds: Vec<String>,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct WebhookEndpointUpdateInput {
    endpoint_id: ID,
    url: Option<String>,
    /// Empty: all.
    #[graphql(validator(max_items = 100))]
    kinds: Option<Vec<String>>,
    /// `true`: messages are collected and wait. `false`: what waits is sent.
    paused: Option<bool>,
}

#[derive(InputObject, Debug)]
pub struct WebhookEndpointDeleteInput {
    endpoint_id: ID,
}

#[derive(InputObject, Debug)]
pub struct WebhookKeyRotateInput {
    endpoint_id: ID,
    /// Hours that the present key signs on, 0 to 168. 0: it ends now.
    #[graphql(default = 24)]
    overlap_hours: i32,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct WebhookResendInput {
    delivery_id: ID,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct WebhookTestInput {
    endpoint_id: ID,
    idempotency_key: Uuid,
}

/// The endpoint after the command.
#[derive(SimpleObject, Debug)]
pub struct WebhookEndpointPayload {
    endpoint: Option<WebhookEndpoint>,
    user_errors: Vec<UserError>,
}

/// The delivery that was made.
#[derive(SimpleObject, Debug)]
pub struct WebhookDeliveryPayload {
    delivery: Option<WebhookDelivery>,
    user_errors: Vec<UserError>,
}

impl WebhookEndpointPayload {
    fn refuse(error: UserError) -> Self {
        Self { endpoint: None, user_errors: vec![error] }
    }

    fn of(result: Result<Endpoint, WebhookError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(endpoint) => Self { endpoint: Some(WebhookEndpoint(endpoint)), user_errors: Vec::new() },
            Err(user_errors) => Self { endpoint: None, user_errors },
        })
    }
}

impl WebhookDeliveryPayload {
    fn refuse(error: UserError) -> Self {
        Self { delivery: None, user_errors: vec![error] }
    }

    fn of(result: Result<Delivery, WebhookError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(delivery) => Self { delivery: Some(WebhookDelivery(delivery)), user_errors: Vec::new() },
            Err(user_errors) => Self { delivery: None, user_errors },
        })
    }
}

#[derive(Default, Debug)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Has a merchant told of what happens from now on. Owners; at most 8 for a merchant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_endpoint_create(
        &self,
        ctx: &Context<'_>,
        input: WebhookEndpointCreateInput,
    ) -> async_graphql::Result<WebhookEndpointPayload> {
        let actor = actor(ctx)?;
        let Some(merchant) = id::merchant(&input.merchant_id) else {
            return Ok(WebhookEndpointPayload::refuse(not_found("merchantId", "商户")));
        };
        if let Some(error) = own(actor, merchant, "merchantId", "商户") {
            return Ok(WebhookEndpointPayload::refuse(error));
        }
        let command = CreateEndpoint { merchant, url: input.url, kinds: input.kinds, idempotency_key: input.idempotency_key };
        WebhookEndpointPayload::of(app(ctx).webhooks.create(actor, command).await)
    }

    /// Changes an endpoint's URL or kinds, pauses or resumes it. Owners. What is left out stays as it is.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_endpoint_update(
        &self,
        ctx: &Context<'_>,
        input: WebhookEndpointUpdateInput,
    ) -> async_graphql::Result<WebhookEndpointPayload> {
        let (actor, place) = (actor(ctx)?, endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookEndpointPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookEndpointPayload::refuse(error));
        }
        let change = ChangeEndpoint { url: input.url, kinds: input.kinds, paused: input.paused };
        WebhookEndpointPayload::of(app(ctx).webhooks.change(actor, book.merchant(), endpoint, change).await)
    }

    /// Deletes an endpoint for good; what waits for it is cancelled. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_endpoint_delete(
        &self,
        ctx: &Context<'_>,
        input: WebhookEndpointDeleteInput,
    ) -> async_graphql::Result<WebhookEndpointPayload> {
        let (actor, place) = (actor(ctx)?, endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookEndpointPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookEndpointPayload::refuse(error));
        }
        WebhookEndpointPayload::of(app(ctx).webhooks.delete(actor, book.merchant(), endpoint).await)
    }

    /// Makes the key that follows the present one, which signs on for the overlap. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_key_rotate(&self, ctx: &Context<'_>, input: WebhookKeyRotateInput) -> async_graphql::Result<WebhookEndpointPayload> {
        let (actor, place) = (actor(ctx)?, endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookEndpointPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookEndpointPayload::refuse(error));
        }
        let merchant = book.merchant();
        let command = RotateKey { merchant, endpoint, overlap_hours: input.overlap_hours, idempotency_key: input.idempotency_key };
        WebhookEndpointPayload::of(app(ctx).webhooks.rotate(actor, command).await)
    }

    /// Sends what a delivery's event says today, in a delivery of its own. Owners. `webhookDelivery` shows the difference beforehand.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_resend(&self, ctx: &Context<'_>, input: WebhookResendInput) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (actor, place) = (actor(ctx)?, delivery(&input.delivery_id));
        let Some((book, delivery)) = place else { return Ok(WebhookDeliveryPayload::refuse(not_found("deliveryId", "通知"))) };
        if let Some(error) = own(actor, book.merchant(), "deliveryId", "通知") {
            return Ok(WebhookDeliveryPayload::refuse(error));
        }
        WebhookDeliveryPayload::of(app(ctx).webhooks.resend(actor, book.merchant(), delivery, input.idempotency_key).await)
    }

    /// Sends a `ping` to one endpoint, tried once. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_test(&self, ctx: &Context<'_>, input: WebhookTestInput) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (actor, place) = (actor(ctx)?, endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookDeliveryPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookDeliveryPayload::refuse(error));
        }
        WebhookDeliveryPayload::of(app(ctx).webhooks.ping(actor, book.merchant(), endpoint, input.idempotency_key).await)
    }
}

/// The id that the API gives, for messages.
pub fn outside(what: Outside) -> String {
    let id = match what {
        Outside::Merchant(id) => GlobalId::Merchant(id).encode(),
        Outside::Store(merchant, id) => GlobalId::Store(merchant, id).encode(),
        Outside::Order(book, id) => GlobalId::Order(book, id).encode(),
        Outside::Attempt(book, id) => GlobalId::Attempt(book, id).encode(),
        Outside::Refund(book, id) => GlobalId::Refund(book, id).encode(),
        Outside::Withdrawal(book, id) => GlobalId::Withdrawal(book, id).encode(),
        Outside::Application(id) => GlobalId::Application(id).encode(),
        Outside::Endpoint(book, id) => endpoint_id(book, id),
        Outside::Delivery(book, id) => delivery_id(book, id),
    };
    id.0
}

/// Keeps private keys in the vault, each bound to its row.
pub fn keeper(vault: Vault) -> Keeper {
    fn place(key: SigningKeyId) -> Place<'static, SigningKeyId> {
        Place { table: "webhook_keys", column: "sealed", row: key }
    }
    let opens = vault.clone();
    Keeper {
        seal: Arc::new(move |key, seed| vault.seal(&place(key), seed).ok()),
        open: Arc::new(move |key, sealed| opens.open(&place(key), sealed).ok()?.try_into().ok()),
    }
}

/// Before the ids, so that no other id is taken for one of these.
const ENDPOINT_TAG: u8 = b'h';
const DELIVERY_TAG: u8 = b'y';

fn endpoint_id(book: BookId, id: EndpointId) -> ID {
    encode(ENDPOINT_TAG, book, id.0)
}

fn delivery_id(book: BookId, id: DeliveryId) -> ID {
    encode(DELIVERY_TAG, book, id.0)
}

fn endpoint(id: &ID) -> Option<(BookId, EndpointId)> {
    decode(ENDPOINT_TAG, id).map(|(book, id)| (book, EndpointId(id)))
}

fn delivery(id: &ID) -> Option<(BookId, DeliveryId)> {
    decode(DELIVERY_TAG, id).map(|(book, id)| (book, DeliveryId(id)))
}

fn encode(tag: u8, book: BookId, id: Uuid) -> ID {
    ID(URL_SAFE_NO_PAD.encode([&[tag], book.0.as_bytes().as_slice(), id.as_bytes()].concat()))
}

fn decode(tag: u8, id: &ID) -> Option<(BookId, Uuid)> {
    if id.len() > 64 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(id.as_str()).ok()?;
    let (book, id) = bytes.strip_prefix(&[tag])?.split_at_checked(16)?;
    Some((BookId(Uuid::from_slice(book).ok()?), Uuid::from_slice(id).ok()?))
}

#[cfg(test)]
mod tests {
    use merchant::vault::KEY_LEN;
    use wallet::base::id::{MerchantId, OrderId, StoreId};

    use super::*;

    #[test]
    fn ids_come_back_and_none_is_taken_for_another() {
        let (book, endpoint_of, delivery_of) = (BookId::new(), EndpointId::new(), DeliveryId::new());
        let (a, b) = (endpoint_id(book, endpoint_of), delivery_id(book, delivery_of));
        assert_eq!(endpoint(&a), Some((book, endpoint_of)));
        assert_eq!(delivery(&b), Some((book, delivery_of)));
        assert_eq!((endpoint(&b), delivery(&a)), (None, None));
        let store = GlobalId::Store(MerchantId::new(), StoreId::new()).encode();
        let cut = ID(a[..20].to_owned());
        for other in [store, cut, ID(String::new()), ID("h?".to_owned()), ID("A".repeat(400))] {
            assert_eq!((endpoint(&other), delivery(&other)), (None, None), "{}", other.as_str());
        }
        assert_eq!(GlobalId::decode(&a), None);
    }

    #[test]
    fn an_id_in_a_message_is_that_of_the_api_and_fits_a_header() {
        let (book, order) = (BookId::new(), OrderId::new());
        assert_eq!(outside(Outside::Order(book, order)), GlobalId::Order(book, order).encode().0);
        let id = outside(Outside::Delivery(book, DeliveryId::new()));
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
    }

    #[test]
    fn a_private_key_opens_for_its_own_row_only() {
        let keeper = keeper(Vault::new(&[7; KEY_LEN]));
        let (id, seed) = (SigningKeyId::new(), [9; 32]);
        let sealed = (keeper.seal)(id, &seed).unwrap();
        assert!(!sealed.windows(32).any(|bytes| bytes == seed));
        assert_eq!((keeper.open)(id, &sealed), Some(seed));
        assert_eq!((keeper.open)(SigningKeyId::new(), &sealed), None);
    }
}
