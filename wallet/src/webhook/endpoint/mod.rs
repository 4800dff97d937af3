//! Endpoints and their keys, as their owner keeps them.

pub mod repo;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::delivery;
use super::rules::{self, OVERLAP_HOURS_MAX};
use super::{Endpoint, EndpointStatus, PausedFor, SigningKey, WebhookError, Webhooks};
use crate::base::actor::Actor;
use crate::base::clock::Clock;
use crate::base::id::{EndpointId, MerchantId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::{audit, db};

/// Makes an endpoint. The key's replay compares merchant, URL and kinds.
#[derive(Clone, Debug, Serialize)]
pub struct CreateEndpoint {
    pub merchant: MerchantId,
    pub url: String,
    /// Empty: every kind.
    pub kinds: Vec<String>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Changes an endpoint. What is none stays; doing it twice is doing it once.
#[derive(Clone, Debug, Default)]
pub struct ChangeEndpoint {
    pub url: Option<String>,
    pub kinds: Option<Vec<String>>,
    pub paused: Option<bool>,
}

/// Makes the key that follows the present one.
#[derive(Clone, Debug, Serialize)]
pub struct RotateKey {
    pub merchant: MerchantId,
    pub endpoint: EndpointId,
    /// How long the present key signs on. 0: it ends now, and so does any other.
    pub overlap_hours: i32,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Webhooks {
    /// Makes an endpoint with its first key. Only the merchant's owner and the platform may.
    pub async fn create(&self, actor: &Actor, cmd: CreateEndpoint) -> Result<Endpoint, WebhookError> {
        actor.require_owner(cmd.merchant)?;
        let kinds = rules::kinds(cmd.kinds.clone())?;
        // before the transaction: a name takes its time to resolve
        let url = self.reach.check(&cmd.url).await?.to_string();
        db::retrying(WebhookError::retryable, || self.try_create(actor, &cmd, &url, &kinds)).await
    }

    async fn try_create(&self, actor: &Actor, cmd: &CreateEndpoint, url: &str, kinds: &[String]) -> Result<Endpoint, WebhookError> {
        let (id, now) = (EndpointId::new(), Clock::wall());
        let scope = Scope { tenant: cmd.merchant.0, operation: "webhookEndpointCreate", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { entity_id, response } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return match response {
                Some(endpoint) => Ok(endpoint),
                None => self.endpoint_in_tx(&mut tx, cmd.merchant, EndpointId(entity_id)).await,
            };
        }
        let endpoint = Endpoint {
            id,
            merchant: cmd.merchant,
            url: url.to_owned(),
            kinds: kinds.to_vec(),
            status: EndpointStatus::Active,
            paused_for: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
            keys: Vec::new(),
        };
        if !repo::insert_endpoint_in_tx(&mut tx, &endpoint).await? {
            return Err(WebhookError::TooMany);
        }
        let key = self.add_key_in_tx(&mut tx, &endpoint, now).await?;
        let endpoint = Endpoint { keys: vec![key], ..endpoint };
        audit::record_in_tx(&mut tx, actor, "webhook.endpoint_created", id.0, detail(&endpoint), now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &endpoint).await?;
        tx.commit().await?;
        Ok(endpoint)
    }

    /// Changes an endpoint: its URL, its kinds, whether it is paused. One that was paused for failing begins anew.
    pub async fn change(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        id: EndpointId,
        change: ChangeEndpoint,
    ) -> Result<Endpoint, WebhookError> {
        actor.require_owner(merchant)?;
        let kinds = change.kinds.map(rules::kinds).transpose()?;
        let url = match change.url {
            Some(url) => Some(self.reach.check(&url).await?.to_string()),
            None => None,
        };
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let before = self.lock_in_tx(&mut tx, merchant, id).await?;
        let mut after = before.clone();
        after.url = url.unwrap_or(after.url);
        after.kinds = kinds.unwrap_or(after.kinds);
        match change.paused {
            Some(true) if after.status == EndpointStatus::Active => {
                (after.status, after.paused_for) = (EndpointStatus::Paused, Some(PausedFor::Owner));
            }
            Some(false) => (after.status, after.paused_for, after.failing_since) = (EndpointStatus::Active, None, None),
            Some(true) | None => {}
        }
        if after != before {
            after.updated_at = now;
            repo::update_endpoint_in_tx(&mut tx, &after).await?;
            audit::record_in_tx(&mut tx, actor, "webhook.endpoint_changed", id.0, detail(&after), now).await?;
        }
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes an endpoint for good: its private keys are forgotten, what waits is cancelled. What was delivered stays to be seen. Again
    /// changes nothing.
    pub async fn delete(&self, actor: &Actor, merchant: MerchantId, id: EndpointId) -> Result<Endpoint, WebhookError> {
        actor.require_owner(merchant)?;
        let now = Clock::wall();
        let mut tx = self.db.begin().await?;
        let before = match self.lock_in_tx(&mut tx, merchant, id).await {
            Err(WebhookError::Gone) => return self.endpoint_in_tx(&mut tx, merchant, id).await,
            other => other?,
        };
        let status = EndpointStatus::Disabled;
        let after = Endpoint { status, paused_for: None, failing_since: None, updated_at: now, keys: Vec::new(), ..before };
        repo::update_endpoint_in_tx(&mut tx, &after).await?;
        repo::end_keys_in_tx(&mut tx, merchant.book(), id, now).await?;
        repo::forget_keys_in_tx(&mut tx, merchant.book(), id).await?;
        delivery::repo::cancel_in_tx(&mut tx, merchant.book(), id, now).await?;
        audit::record_in_tx(&mut tx, actor, "webhook.endpoint_deleted", id.0, detail(&after), now).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Makes the next key. The present one signs until the overlap is over; then the next one does.
    pub async fn rotate(&self, actor: &Actor, cmd: RotateKey) -> Result<Endpoint, WebhookError> {
        actor.require_owner(cmd.merchant)?;
        if !(0..=OVERLAP_HOURS_MAX).contains(&cmd.overlap_hours) {
            return Err(WebhookError::OverlapInvalid);
        }
        let now = Clock::wall();
        let scope = Scope { tenant: cmd.merchant.0, operation: "webhookKeyRotate", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { response, .. } = idempotency::claim_in_tx(&mut tx, scope, &cmd, cmd.endpoint.0, now).await? {
            return match response {
                Some(endpoint) => Ok(endpoint),
                None => self.endpoint_in_tx(&mut tx, cmd.merchant, cmd.endpoint).await,
            };
        }
        let endpoint = self.lock_in_tx(&mut tx, cmd.merchant, cmd.endpoint).await?;
        if let (Some(until), true) = (endpoint.keys.iter().find_map(|key| key.ends_at), cmd.overlap_hours > 0) {
            return Err(WebhookError::Rotating { until });
        }
        let ends_at = now + TimeDelta::hours(cmd.overlap_hours.into());
        repo::end_keys_in_tx(&mut tx, cmd.merchant.book(), cmd.endpoint, ends_at).await?;
        let key = self.add_key_in_tx(&mut tx, &endpoint, now).await?;
        let endpoint = self.endpoint_in_tx(&mut tx, cmd.merchant, cmd.endpoint).await?;
        let told = json!({ "merchantId": cmd.merchant, "keyId": key.id, "overlapHours": cmd.overlap_hours });
        audit::record_in_tx(&mut tx, actor, "webhook.key_rotated", cmd.endpoint.0, told, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &endpoint).await?;
        tx.commit().await?;
        Ok(endpoint)
    }

    /// The endpoints of a merchant that were not deleted, the oldest first. Its owner and operators.
    pub async fn endpoints(&self, actor: &Actor, merchant: MerchantId) -> Result<Vec<Endpoint>, WebhookError> {
        actor.require_reader(merchant)?;
        let mut connection = self.db.acquire().await?;
        let endpoints = repo::endpoints(&mut connection, merchant.book()).await?;
        with_keys(&mut connection, endpoints).await
    }

    /// Locks an endpoint that was not deleted, with its live keys.
    async fn lock_in_tx(&self, tx: &mut PgConnection, merchant: MerchantId, id: EndpointId) -> Result<Endpoint, WebhookError> {
        repo::lock_endpoint_in_tx(tx, merchant.book(), id).await?;
        let endpoint = self.endpoint_in_tx(tx, merchant, id).await?;
        if endpoint.status == EndpointStatus::Disabled { Err(WebhookError::Gone) } else { Ok(endpoint) }
    }

    /// One endpoint with its live keys; of a deleted one there are none.
    pub(super) async fn endpoint_in_tx(
        &self,
        tx: &mut PgConnection,
        merchant: MerchantId,
        id: EndpointId,
    ) -> Result<Endpoint, WebhookError> {
        let endpoint = repo::endpoint(tx, merchant.book(), id).await?.ok_or(WebhookError::EndpointNotFound)?;
        with_keys(tx, vec![endpoint]).await?.pop().ok_or(WebhookError::EndpointNotFound)
    }

    async fn add_key_in_tx(&self, tx: &mut PgConnection, endpoint: &Endpoint, now: DateTime<Utc>) -> Result<SigningKey, WebhookError> {
        let fresh = self.keeper.make().ok_or(WebhookError::Key)?;
        repo::insert_key_in_tx(tx, endpoint, &fresh, now).await?;
        Ok(SigningKey { id: fresh.id, public_key: fresh.public_key, created_at: now, ends_at: None })
    }
}

async fn with_keys(connection: &mut PgConnection, mut endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>, WebhookError> {
    let places: Vec<_> = endpoints.iter().map(|e| (e.merchant.book(), e.id)).collect();
    let keys = repo::keys(connection, &places).await?;
    let now = Clock::wall();
    for endpoint in &mut endpoints {
        let own: Vec<SigningKey> = keys.iter().filter(|(of, ..)| *of == endpoint.id).map(|(_, key, _)| key.clone()).collect();
        endpoint.keys = rules::live(&own, now).into_iter().cloned().collect();
    }
    Ok(endpoints)
}

/// For the audit trail. A URL may hold a token of the merchant's, so only its host is told.
fn detail(endpoint: &Endpoint) -> serde_json::Value {
    let host = reqwest::Url::parse(&endpoint.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    json!({ "merchantId": endpoint.merchant, "host": host, "kinds": endpoint.kinds, "status": endpoint.status })
}
