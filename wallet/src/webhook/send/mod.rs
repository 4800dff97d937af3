//! Deliveries going out: claimed by lease, signed, sent, stored.

mod repo;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::address::{self, Guard};
use super::endpoint;
use super::rules::{self, ATTEMPTS_MAX, PING};
use super::{
    DeliveryStatus, EndpointStatus, Outcome, Outside, PER_ENDPOINT_MAX, PausedFor, Reach, SigningKey, UrlFault, WebhookError, Webhooks,
};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::id::{BookId, DeliveryId, EndpointId, SigningKeyId};
use crate::base::outbox::{self, Event};

/// Longest that a receiver may take to its status, resolving and connecting included.
pub const TIME_MAX: Duration = Duration::from_secs(10);

/// Longest that the first bytes of an answer are waited for once its status is there.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read; of them this many characters are kept.
const ANSWER_BYTES_MAX: usize = 2_048;
const ANSWER_CHARS_MAX: usize = 512;

/// How long a claim holds. Longer than everything that happens under it, so that it need not be renewed.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// A delivery that this worker may try now.
#[derive(Debug)]
pub struct Claimed {
    pub(super) worker: String,
    pub(super) book: BookId,
    pub(super) delivery: DeliveryId,
    pub(super) endpoint: EndpointId,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) body: String,
    /// The number of this try.
    pub(super) attempt: i32,
    pub(super) first_at: DateTime<Utc>,
    pub(super) key: Option<(SigningKeyId, Vec<u8>)>,
}

/// What came of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    pub outcome: Outcome,
    pub status_code: Option<u16>,
    pub took: Duration,
    pub answer: Option<String>,
}

/// The client all messages go out by: through no proxy, after no redirect, each over a connection of its own.
pub(super) fn client(reach: Reach) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .dns_resolver(Guard(reach))
        .user_agent("Haodian-Webhook/1")
        .build()
}

impl Webhooks {
    /// Claims deliveries that are due, for at most `places` tries. Five statements; a look that finds none is one.
    pub async fn claim(&self, worker: &str, places: usize) -> Result<Vec<Claimed>, WebhookError> {
        let places = i64::try_from(places).unwrap_or(PER_ENDPOINT_MAX);
        let each = places.clamp(1, PER_ENDPOINT_MAX);
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let endpoints = repo::lock_due_in_tx(&mut tx, now, (places / each).max(1)).await?;
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let lease = repo::Lease { worker, now, until: now + LEASE };
        let claimed = repo::claim_in_tx(&mut tx, &endpoints, &lease, each).await?;
        let places: Vec<_> = endpoints.iter().map(|e| (e.book, e.endpoint)).collect();
        let keys = endpoint::repo::keys(&mut tx, &places).await?;
        let claimed: Vec<Claimed> = claimed
            .into_iter()
            .filter_map(|c| {
                let url = endpoints.iter().find(|e| e.endpoint == c.endpoint)?.url.clone();
                let own: Vec<SigningKey> = keys.iter().filter(|(of, ..)| *of == c.endpoint).map(|(_, key, _)| key.clone()).collect();
                let signs = rules::live(&own, now).first().map(|key| key.id);
                let key = signs.and_then(|id| keys.iter().find(|(_, key, _)| key.id == id)).and_then(|(_, key, sealed)| {
                    let sealed = sealed.clone()?;
                    Some((key.id, sealed))
                });
                Some(Claimed { worker: worker.to_owned(), url, key, ..c })
            })
            .collect();
        repo::insert_attempts_in_tx(&mut tx, &claimed, now).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Sends a claimed delivery and stores what came of it.
    pub async fn deliver(&self, claimed: &Claimed) -> Result<Outcome, WebhookError> {
        let sent = self.send(claimed).await;
        self.record(claimed, &sent).await?;
        Ok(sent.outcome)
    }

    /// Signs and sends. Opens no transaction; never fails, since whatever happens is what came of it.
    pub async fn send(&self, claimed: &Claimed) -> Sent {
        let started = Instant::now();
        let ended = |outcome, status_code, answer| Sent { outcome, status_code, took: started.elapsed(), answer };
        let url = match self.reach.read(&claimed.url) {
            Ok(url) => url,
            Err(UrlFault::NotPublic) => return ended(Outcome::Address, None, None),
            Err(_) => return ended(Outcome::Unusable, None, None),
        };
        let id = (self.naming)(Outside::Delivery(claimed.book, claimed.delivery));
        let headers =
            claimed.key.as_ref().and_then(|(key, sealed)| self.keeper.headers(*key, sealed, &id, claimed.body.as_bytes(), Clock::wall()));
        let Some(headers) = headers else { return ended(Outcome::Unusable, None, None) };
        let request = self.http.post(url).headers(headers).body(claimed.body.clone()).send();
        let response = match tokio::time::timeout(TIME_MAX, request).await {
            Err(_) => return ended(Outcome::Timeout, None, None),
            Ok(Err(error)) if address::refused(&error) => return ended(Outcome::Address, None, None),
            Ok(Err(error)) if error.is_timeout() => return ended(Outcome::Timeout, None, None),
            Ok(Err(_)) => return ended(Outcome::NoAnswer, None, None),
            Ok(Ok(response)) => response,
        };
        let (status, took) = (response.status(), started.elapsed());
        let outcome = if status.is_success() { Outcome::Taken } else { Outcome::Refused };
        Sent { outcome, status_code: Some(status.as_u16()), took, answer: Some(first_bytes(response).await) }
    }

    /// Stores what came of a try: taken, again later, or dead; and pauses an endpoint that has taken nothing for too long.
    pub async fn record(&self, claimed: &Claimed, sent: &Sent) -> Result<(), WebhookError> {
        let now = Clock::wall();
        let taken = sent.outcome == Outcome::Taken;
        let mut tx = self.db.begin().await?;
        if taken {
            repo::recovered_in_tx(&mut tx, claimed.book, claimed.endpoint).await?;
            repo::delivered_in_tx(&mut tx, claimed, now).await?;
        } else {
            if claimed.kind != PING {
                self.failing_in_tx(&mut tx, claimed, now).await?;
            }
            let next = if claimed.kind == PING || claimed.attempt >= ATTEMPTS_MAX {
                None
            } else {
                rules::next_try(claimed.delivery, claimed.attempt, claimed.first_at, now)
            };
            let status = if next.is_some() { DeliveryStatus::Pending } else { DeliveryStatus::Dead };
            repo::failed_in_tx(&mut tx, claimed, status, next, now).await?;
        }
        repo::end_attempt_in_tx(&mut tx, claimed, sent).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that an endpoint fails, and since when; pauses it when that is too long ago, with an audit line and an event.
    async fn failing_in_tx(&self, tx: &mut PgConnection, claimed: &Claimed, now: DateTime<Utc>) -> Result<(), WebhookError> {
        let since = repo::failing_in_tx(tx, claimed.book, claimed.endpoint, now).await?;
        let Some(since) = since.filter(|since| rules::to_be_paused(*since, now)) else { return Ok(()) };
        let merchant = claimed.book.merchant();
        let mut endpoint = self.endpoint_in_tx(tx, merchant, claimed.endpoint).await?;
        (endpoint.status, endpoint.paused_for) = (EndpointStatus::Paused, Some(PausedFor::Failing));
        endpoint.updated_at = now;
        endpoint::repo::update_endpoint_in_tx(tx, &endpoint).await?;
        let detail = json!({ "merchantId": merchant, "failingSince": since });
        audit::record_in_tx(tx, &Actor::System, "webhook.paused", claimed.endpoint.0, detail, now).await?;
        let payload = json!({ "version": 1, "failingSince": since });
        let event = Event { book: claimed.book, kind: "webhook.paused", subject: claimed.endpoint.0, payload, at: self.clock.now() };
        outbox::append_in_tx(tx, &[event]).await?;
        tracing::warn!(endpoint = %claimed.endpoint, %merchant, "a webhook endpoint took nothing for days and is paused");
        Ok(())
    }
}

/// The first bytes of an answer as text, without control characters. An answer that breaks off or dribbles gives what there was of it.
async fn first_bytes(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < ANSWER_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - bytes.len())]),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // what was read until then counts
    let _ = tokio::time::timeout(ANSWER_TIME_MAX, read).await;
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(ANSWER_CHARS_MAX).collect()
}
