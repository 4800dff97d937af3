//! Deliveries, their tries, and how one differs from what would be told today.

use async_graphql::{Enum, ID, Object};
use chrono::{DateTime, Utc};
use wallet::webhook::rules::Change;
use wallet::webhook::{Attempt, Delivery, DeliveryStatus, Outcome, Review};

use super::id::{delivery_id, endpoint_id};

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

/// What one endpoint is told (通知).
#[derive(Debug)]
pub struct WebhookDelivery(pub Delivery);

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
pub struct WebhookAttempt(pub Attempt);

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
pub struct WebhookChange(pub Change);

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
pub struct WebhookReview(pub Review);

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
