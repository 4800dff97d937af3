//! Deliveries: events become them, people read them and have them sent again.

pub mod repo;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::endpoint;
use super::payload::{self, Envelope, Message};
use super::rules::{self, Change, Noun, PING};
use super::{Attempt, Delivery, DeliveryStatus, Endpoint, EndpointStatus, Naming, WebhookError, Webhooks};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::id::{BookId, DeliveryId, EndpointId, MerchantId, named_uuid};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::outbox::{Failure, Handler, Stored};
use crate::base::page::{FIRST_MAX, Page};

/// Where a page of deliveries begins: after the one made at this time with this id, newest first.
pub type DeliveryCursor = (DateTime<Utc>, DeliveryId);

/// Which deliveries to list; none of a thing: any.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub endpoint: Option<EndpointId>,
    pub status: Option<DeliveryStatus>,
    pub kind: Option<String>,
}

/// A delivery with its tries and what the same event would say today.
#[derive(Clone, Debug)]
pub struct Review {
    pub delivery: Delivery,
    /// In their order.
    pub attempts: Vec<Attempt>,
    /// What a resend would send.
    pub today: String,
    /// Where that differs from what was sent.
    pub diff: Vec<Change>,
}

/// Which delivery is asked for again, and by whom.
#[derive(Clone, Copy, Debug, Serialize)]
struct Resend {
    merchant: MerchantId,
    delivery: DeliveryId,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Trial {
    merchant: MerchantId,
    endpoint: EndpointId,
}

/// Turns events into deliveries: the consumer of the outbox.
///
/// Everything is in the consumer's transaction, so an event has its deliveries exactly when it was read; an event that is read twice all the
/// same (after a dump was put back) finds its deliveries under the same ids. Six statements at most, whatever the number of events. The endpoints
/// are locked against a change for as long as that takes, so that none is deleted while a delivery is written for it.
#[derive(Clone, Debug)]
pub struct FanOut {
    pub clock: Clock,
    pub naming: Naming,
}

impl Handler for FanOut {
    async fn handle(&self, tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        let told: Vec<(&Stored, Noun)> = events.iter().filter_map(|event| Some((event, rules::noun(&event.kind)?))).collect();
        let books: Vec<BookId> = told.iter().map(|(event, _)| event.book).collect();
        let endpoints = if books.is_empty() { Vec::new() } else { endpoint::repo::listening_in_tx(tx, &books).await? };
        let mut by_book: BTreeMap<BookId, Vec<&endpoint::repo::Listening>> = BTreeMap::new();
        for endpoint in &endpoints {
            by_book.entry(endpoint.book).or_default().push(endpoint);
        }
        let hears = |endpoint: &endpoint::repo::Listening, event: &Stored| {
            rules::wants(&endpoint.kinds, &event.kind) && !rules::precedes(event.id, endpoint.created_at)
        };
        let heard: Vec<(&Stored, Noun)> =
            told.into_iter().filter(|(event, _)| by_book.get(&event.book).is_some_and(|all| all.iter().any(|e| hears(e, event)))).collect();
        if heard.is_empty() {
            return Ok(());
        }
        let subjects = payload::repo::subjects(tx, &heard.iter().map(|(e, noun)| (*noun, e.book, e.subject)).collect::<Vec<_>>()).await?;
        let times = payload::repo::times(tx, &heard.iter().map(|(e, _)| (e.book, e.id)).collect::<Vec<_>>()).await?;
        let (now, wall) = (self.clock.now(), Clock::wall());
        let mut deliveries = Vec::new();
        for (event, _) in heard {
            let message = Message {
                event: event.id,
                book: event.book,
                kind: event.kind.clone(),
                subject: event.subject,
                occurred_at: times.get(&(event.book, event.id)).copied().unwrap_or(now),
                facts: payload::facts(event.book, &event.payload, self.naming),
            };
            for endpoint in by_book.get(&event.book).into_iter().flatten().filter(|e| hears(e, event)) {
                let id = delivery_id(event.id, endpoint.id);
                let body = message.body(Envelope { delivery: id, resend_of: None }, &subjects, self.naming, now);
                deliveries.push(fresh(id, endpoint.id, &message, &body, None, wall));
            }
        }
        repo::insert_deliveries_in_tx(tx, &deliveries).await?;
        Ok(())
    }
}

/// The id of what an endpoint is told of an event.
fn delivery_id(event: Uuid, endpoint: EndpointId) -> DeliveryId {
    DeliveryId(named_uuid(&[b"webhook delivery", event.as_bytes(), endpoint.0.as_bytes()]))
}

fn fresh(
    id: DeliveryId,
    endpoint: EndpointId,
    message: &Message,
    body: &Value,
    resend_of: Option<DeliveryId>,
    wall: DateTime<Utc>,
) -> Delivery {
    Delivery {
        id,
        merchant: message.book.merchant(),
        endpoint,
        event: message.event,
        kind: message.kind.clone(),
        subject: message.subject,
        body: body.to_string(),
        resend_of,
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_at: wall,
        created_at: wall,
        resolved_at: None,
    }
}

impl Webhooks {
    /// The consumer of the outbox that makes deliveries.
    pub fn fan_out(&self) -> FanOut {
        FanOut { clock: self.clock.clone(), naming: self.naming }
    }

    /// The newest `first` deliveries of a merchant, or those after `before`. At most [`FIRST_MAX`]. Its owner and operators.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        filter: &DeliveryFilter,
        before: Option<DeliveryCursor>,
        first: i64,
    ) -> Result<Page<Delivery>, WebhookError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::page(&self.db, merchant.book(), filter, before, first + 1).await?, first))
    }

    /// One delivery with its tries and its diff. Its merchant's owner and operators; another's and a missing one look the same.
    pub async fn review(&self, actor: &Actor, merchant: MerchantId, id: DeliveryId) -> Result<Review, WebhookError> {
        actor.require_reader(merchant).map_err(|_| WebhookError::DeliveryNotFound)?;
        let mut connection = self.db.acquire().await?;
        let delivery = repo::delivery(&mut connection, merchant.book(), id).await?.ok_or(WebhookError::DeliveryNotFound)?;
        let attempts = repo::attempts(&mut connection, merchant.book(), id).await?;
        let (today, diff) = self.compare(&mut connection, &delivery).await?;
        Ok(Review { delivery, attempts, today: today.to_string(), diff })
    }

    /// What a delivery's event would say today, and where that differs from what was sent.
    async fn compare(&self, connection: &mut PgConnection, delivery: &Delivery) -> Result<(Value, Vec<Change>), WebhookError> {
        let sent: Value = serde_json::from_str(&delivery.body)?;
        let today = self.again(connection, delivery, &sent, delivery.id, delivery.resend_of).await?.1;
        let diff = rules::diff(&sent, &today);
        Ok((today, diff))
    }

    async fn again(
        &self,
        connection: &mut PgConnection,
        delivery: &Delivery,
        sent: &Value,
        id: DeliveryId,
        resend_of: Option<DeliveryId>,
    ) -> Result<(Message, Value), WebhookError> {
        let book = delivery.merchant.book();
        let message = Message::again(sent, delivery.event, book, &delivery.kind, delivery.subject, delivery.created_at);
        let noun = rules::noun(&delivery.kind).unwrap_or(Noun::Ping);
        let subjects = payload::repo::subjects(connection, &[(noun, book, delivery.subject)]).await?;
        let body = message.body(Envelope { delivery: id, resend_of }, &subjects, self.naming, self.clock.now());
        Ok((message, body))
    }

    /// Sends what a delivery's event says today, in a delivery of its own that points at the first. Only the merchant's owner and the platform.
    pub async fn resend(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        delivery: DeliveryId,
        idempotency_key: Uuid,
    ) -> Result<Delivery, WebhookError> {
        actor.require_owner(merchant)?;
        let (id, wall, book) = (DeliveryId::new(), Clock::wall(), merchant.book());
        let scope = Scope { tenant: merchant.0, operation: "webhookResend", key: idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { entity_id, response } =
            idempotency::claim_in_tx(&mut tx, scope, &Resend { merchant, delivery }, id.0, wall).await?
        {
            return self.seen(&mut tx, book, DeliveryId(entity_id), response).await;
        }
        let found = repo::delivery(&mut tx, book, delivery).await?.ok_or(WebhookError::DeliveryNotFound)?;
        self.open_endpoint_in_tx(&mut tx, merchant, found.endpoint).await?;
        rules::check_resend(&found)?;
        let first = found.resend_of.unwrap_or(found.id);
        let (message, body) = self.again(&mut tx, &found, &serde_json::from_str(&found.body)?, id, Some(first)).await?;
        let resent = fresh(id, found.endpoint, &message, &body, Some(first), wall);
        self.write_in_tx(&mut tx, actor, "webhook.resent", scope, &resent).await?;
        tx.commit().await?;
        Ok(resent)
    }

    /// Sends a trial to one endpoint, tried once. Only the merchant's owner and the platform.
    pub async fn ping(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        endpoint: EndpointId,
        idempotency_key: Uuid,
    ) -> Result<Delivery, WebhookError> {
        actor.require_owner(merchant)?;
        let (id, wall, book) = (DeliveryId::new(), Clock::wall(), merchant.book());
        let scope = Scope { tenant: merchant.0, operation: "webhookTest", key: idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { entity_id, response } =
            idempotency::claim_in_tx(&mut tx, scope, &Trial { merchant, endpoint }, id.0, wall).await?
        {
            return self.seen(&mut tx, book, DeliveryId(entity_id), response).await;
        }
        self.open_endpoint_in_tx(&mut tx, merchant, endpoint).await?;
        let message =
            Message { event: id.0, book, kind: PING.to_owned(), subject: endpoint.0, occurred_at: self.clock.now(), facts: json!({}) };
        let envelope = Envelope { delivery: id, resend_of: None };
        let body = message.body(envelope, &payload::repo::Subjects::default(), self.naming, self.clock.now());
        let ping = fresh(id, endpoint, &message, &body, None, wall);
        self.write_in_tx(&mut tx, actor, "webhook.tested", scope, &ping).await?;
        tx.commit().await?;
        Ok(ping)
    }

    async fn write_in_tx(
        &self,
        tx: &mut PgConnection,
        actor: &Actor,
        action: &str,
        scope: Scope,
        delivery: &Delivery,
    ) -> Result<(), WebhookError> {
        repo::insert_deliveries_in_tx(tx, std::slice::from_ref(delivery)).await?;
        let detail = json!({ "merchantId": delivery.merchant, "endpointId": delivery.endpoint, "resendOf": delivery.resend_of });
        audit::record_in_tx(tx, actor, action, delivery.id.0, detail, delivery.created_at).await?;
        idempotency::complete_in_tx(tx, scope, delivery).await?;
        Ok(())
    }

    /// What an earlier command under the same key was told.
    async fn seen(
        &self,
        tx: &mut PgConnection,
        book: BookId,
        id: DeliveryId,
        response: Option<Delivery>,
    ) -> Result<Delivery, WebhookError> {
        match response {
            Some(delivery) => Ok(delivery),
            None => repo::delivery(tx, book, id).await?.ok_or(WebhookError::DeliveryNotFound),
        }
    }

    /// Locks an endpoint that something may be sent to now.
    async fn open_endpoint_in_tx(&self, tx: &mut PgConnection, merchant: MerchantId, id: EndpointId) -> Result<Endpoint, WebhookError> {
        endpoint::repo::lock_endpoint_in_tx(tx, merchant.book(), id).await?;
        let endpoint = self.endpoint_in_tx(tx, merchant, id).await?;
        match endpoint.status {
            EndpointStatus::Active => Ok(endpoint),
            EndpointStatus::Paused => Err(WebhookError::Paused),
            EndpointStatus::Disabled => Err(WebhookError::Gone),
        }
    }

    /// Deletes at most `limit` of the oldest deliveries made before then, tries and all. What an active endpoint still waits for stays. How
    /// many went.
    pub async fn purge(&self, before: DateTime<Utc>, limit: i64) -> Result<u64, WebhookError> {
        let mut tx = self.db.begin().await?;
        let gone = repo::purge_in_tx(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(gone)
    }
}
