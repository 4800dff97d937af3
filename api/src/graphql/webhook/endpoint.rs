//! Endpoints and the keys that sign for them.

use std::sync::Arc;

use async_graphql::{Enum, ID, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use merchant::vault::{Place, Vault};
use wallet::base::id::SigningKeyId;
use wallet::webhook::{Endpoint, EndpointStatus, Keeper, PausedFor, SigningKey};

use super::id::endpoint_id;

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
pub struct WebhookEndpoint(pub Endpoint);

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

#[cfg(test)]
mod tests {
    use merchant::vault::KEY_LEN;

    use super::*;

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
