//! Webhooks (商户通知): merchants are told what happens in their books, by signed messages to addresses of their choice.
//!
//! | step | where | what holds |
//! |---|---|---|
//! | an event becomes deliveries, one for each endpoint that wants its kind | [`FanOut`], in the outbox consumer's transaction | once per (event, endpoint): a delivery's id follows from the two |
//! | deliveries that are due are claimed by lease | [`Webhooks::claim`] | the try is counted and written before it is made |
//! | the message is signed and sent | [`Webhooks::send`], with no transaction open | to an address that was judged, no redirect, ten seconds |
//! | what came of it is stored | [`Webhooks::record`] | taken, again later, or dead |
//!
//! **A process may die at any instruction.** Before the claim commits: nothing happened. Between claim and record: the lease runs out and the
//! delivery is sent again under the same id, which receivers dedupe by; its attempt stays without an outcome. A success that is stored late,
//! after another process took the delivery up again, still counts.
//!
//! **Order.** First tries go out in the order of events, up to [`PER_ENDPOINT_MAX`] at a time for an endpoint; messages about one subject go one
//! after the other. One that failed its first try holds nobody up any more: those behind it pass, and receivers tell what is newer by
//! `occurredAt`.
//!
//! **Nobody waits for a slow receiver** but its own messages: places are bounded per endpoint and for a process, and the endpoint whose turn
//! was longest ago comes first.
//!
//! Times here are real time: leases, signatures and pauses must not follow a sandbox day. Only what a message tells of is business time.
//! Locks: endpoints, then deliveries, then attempts. What receivers are to know stands in RECEIVING.md.

mod address;
mod delivery;
mod endpoint;
mod error;
mod payload;
pub mod rules;
mod send;
pub mod sign;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

pub use address::{Reach, URL_MAX, UrlFault};
pub use delivery::{DeliveryCursor, DeliveryFilter, FanOut, Review};
pub use endpoint::{ChangeEndpoint, CreateEndpoint, RotateKey};
pub use error::WebhookError;
pub use send::{Claimed, Sent};
pub use sign::Keeper;

use crate::base::clock::Clock;
use crate::base::id::{
    ApplicationId, AttemptId, BookId, DeliveryId, EndpointId, MerchantId, OrderId, RefundId, SigningKeyId, StoreId, WithdrawalId,
};

/// Deliveries of one endpoint under way at once.
pub const PER_ENDPOINT_MAX: i64 = 4;

/// Something that has an id outside.
#[derive(Clone, Copy, Debug)]
pub enum Outside {
    Merchant(MerchantId),
    Store(MerchantId, StoreId),
    Order(BookId, OrderId),
    Attempt(BookId, AttemptId),
    Refund(BookId, RefundId),
    Withdrawal(BookId, WithdrawalId),
    Application(ApplicationId),
    Endpoint(BookId, EndpointId),
    Delivery(BookId, DeliveryId),
}

/// Gives the id that the API gives, of base64url letters only.
pub type Naming = fn(Outside) -> String;

/// Whether an endpoint is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum EndpointStatus {
    Active,
    /// Its messages are collected and wait.
    Paused,
    /// Deleted; what was not delivered is cancelled. Final.
    Disabled,
}

/// Who paused an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum PausedFor {
    Owner,
    /// Nobody: it took nothing for [`rules::FAILING_MAX`].
    Failing,
}

/// A signing key as its receiver knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SigningKey {
    pub id: SigningKeyId,
    pub public_key: [u8; 32],
    pub created_at: DateTime<Utc>,
    /// When it stops signing; none while no other key is to follow.
    pub ends_at: Option<DateTime<Utc>>,
}

/// Where a merchant wants to be told (通知地址).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub merchant: MerchantId,
    pub url: String,
    /// Empty: every kind.
    pub kinds: Vec<String>,
    pub status: EndpointStatus,
    pub paused_for: Option<PausedFor>,
    pub failing_since: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The live ones, the one that signs first.
    pub keys: Vec<SigningKey>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum DeliveryStatus {
    /// Waits for its first or its next try.
    Pending,
    /// The receiver took it. Final.
    Delivered,
    /// Given up (死信). Final; it may be sent again by hand.
    Dead,
    /// Its endpoint was deleted first. Final.
    Cancelled,
}

impl DeliveryStatus {
    /// Whether it is at its end.
    pub fn is_settled(self) -> bool {
        self != Self::Pending
    }
}

/// What one endpoint is told (通知).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub merchant: MerchantId,
    pub endpoint: EndpointId,
    pub event: Uuid,
    pub kind: String,
    pub subject: Uuid,
    /// As it is signed and sent.
    pub body: String,
    /// The first delivery, where this one was asked for again by hand.
    pub resend_of: Option<DeliveryId>,
    pub status: DeliveryStatus,
    pub attempts: i32,
    /// When it is tried next, while it is pending.
    pub next_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// How a try ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// A status of 200 to 299.
    Taken,
    /// Any other status, redirects among them.
    Refused,
    /// No status within the time.
    Timeout,
    /// No connection, or one that broke.
    NoAnswer,
    /// The name did not resolve, or to an address that may not be used.
    Address,
    /// No key that opens, or a URL that can no longer be used.
    Unusable,
}

/// One try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub number: i32,
    pub key: Option<SigningKeyId>,
    pub started_at: DateTime<Utc>,
    /// None: it is under way, or its process died.
    pub outcome: Option<Outcome>,
    pub status_code: Option<i32>,
    pub took_ms: Option<i32>,
    /// The first bytes of the answer, as text.
    pub answer: Option<String>,
}

/// The service for webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    db: PgPool,
    clock: Clock,
    reach: Reach,
    naming: Naming,
    keeper: Keeper,
    http: reqwest::Client,
}

impl Webhooks {
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn try_new(db: PgPool, clock: Clock, reach: Reach, naming: Naming, keeper: Keeper) -> Result<Self, WebhookError> {
        let http = send::client(reach).map_err(WebhookError::Client)?;
        Ok(Self { db, clock, reach, naming, keeper, http })
    }
}
