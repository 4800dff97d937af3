//! Webhooks: where a merchant is told of what happens, with which keys we sign, what was told, and what to do when it was not heard.

mod delivery;
mod endpoint;
mod error;
mod id;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::id::DeliveryId;
use wallet::webhook::{ChangeEndpoint, CreateEndpoint, Delivery, DeliveryFilter, Endpoint, RotateKey, WebhookError};

pub use self::delivery::{DeliveryStatusName, WebhookDelivery, WebhookReview};
pub use self::endpoint::{WebhookEndpoint, keeper};
pub use self::id::outside;
use super::error::{UserError, input, not_found, settle, visible};
use super::id as ids;
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor, app, own};

#[derive(Default, Debug)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// Where a merchant is told of what happens, at most 8. `null` unless the caller owns the merchant or operates the platform.
    #[graphql(complexity = "20 + child_complexity")]
    async fn webhook_endpoints(&self, ctx: &Context<'_>, merchant_id: ID) -> async_graphql::Result<Option<Vec<WebhookEndpoint>>> {
        let actor = actor(ctx)?;
        let Some(merchant) = ids::merchant(&merchant_id) else { return Ok(None) };
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
        let Some(merchant) = ids::merchant(&merchant_id) else { return Ok(None) };
        let endpoint = match endpoint_id {
            None => None,
            Some(id) => match id::endpoint(&id) {
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
        let Some((book, delivery)) = id::delivery(&id) else { return Ok(None) };
        Ok(visible(app(ctx).webhooks.review(actor, book.merchant(), delivery).await)?.map(WebhookReview))
    }
}

#[derive(InputObject, Debug)]
pub struct WebhookEndpointCreateInput {
    merchant_id: ID,
    /// Begins with https:// and leads to the public Internet, at most 512 characters.
    url: String,
    /// Kinds of events to be told of, such as `order.paid`, as the guide for receivers lists them; empty: all, those that come to be too.
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
        let Some(merchant) = ids::merchant(&input.merchant_id) else {
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
        let (actor, place) = (actor(ctx)?, id::endpoint(&input.endpoint_id));
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
        let (actor, place) = (actor(ctx)?, id::endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookEndpointPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookEndpointPayload::refuse(error));
        }
        WebhookEndpointPayload::of(app(ctx).webhooks.delete(actor, book.merchant(), endpoint).await)
    }

    /// Makes the key that follows the present one, which signs on for the overlap. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_key_rotate(&self, ctx: &Context<'_>, input: WebhookKeyRotateInput) -> async_graphql::Result<WebhookEndpointPayload> {
        let (actor, place) = (actor(ctx)?, id::endpoint(&input.endpoint_id));
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
        let (actor, place) = (actor(ctx)?, id::delivery(&input.delivery_id));
        let Some((book, delivery)) = place else { return Ok(WebhookDeliveryPayload::refuse(not_found("deliveryId", "通知"))) };
        if let Some(error) = own(actor, book.merchant(), "deliveryId", "通知") {
            return Ok(WebhookDeliveryPayload::refuse(error));
        }
        WebhookDeliveryPayload::of(app(ctx).webhooks.resend(actor, book.merchant(), delivery, input.idempotency_key).await)
    }

    /// Sends a `ping` to one endpoint, tried once. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn webhook_test(&self, ctx: &Context<'_>, input: WebhookTestInput) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (actor, place) = (actor(ctx)?, id::endpoint(&input.endpoint_id));
        let Some((book, endpoint)) = place else { return Ok(WebhookDeliveryPayload::refuse(not_found("endpointId", "通知地址"))) };
        if let Some(error) = own(actor, book.merchant(), "endpointId", "通知地址") {
            return Ok(WebhookDeliveryPayload::refuse(error));
        }
        WebhookDeliveryPayload::of(app(ctx).webhooks.ping(actor, book.merchant(), endpoint, input.idempotency_key).await)
    }
}
