//! Ed25519 over a message's id, time and raw body: the three, each of the first two ended by a line feed. RECEIVING.md tells it to receivers.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::base::id::SigningKeyId;

/// Header with the delivery's id: the same for every try of it.
pub const ID: HeaderName = HeaderName::from_static("haodian-webhook-id");
/// Header with the time of signing, in Unix seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("haodian-webhook-timestamp");
/// Header with the id of the signing key.
pub const KEY_ID: HeaderName = HeaderName::from_static("haodian-webhook-key-id");
/// Header with the signature, base64.
pub const SIGNATURE: HeaderName = HeaderName::from_static("haodian-webhook-signature");

/// Seals a seed for the row of its key.
pub type Seal = dyn Fn(SigningKeyId, &[u8; 32]) -> Option<Vec<u8>> + Send + Sync;
/// Opens what was sealed for that row.
pub type Open = dyn Fn(SigningKeyId, &[u8]) -> Option<[u8; 32]> + Send + Sync;

/// Seals private keys and opens them again: what does so is not the wallet's to know.
#[derive(Clone)]
pub struct Keeper {
    pub seal: Arc<Seal>,
    pub open: Arc<Open>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(..)")
    }
}

/// A fresh key: its id, the public half, and the private half as it is kept.
#[derive(Debug)]
pub(super) struct FreshKey {
    pub id: SigningKeyId,
    pub public_key: [u8; 32],
    pub sealed: Vec<u8>,
}

impl Keeper {
    /// Makes a key. None: it could not be sealed.
    pub(super) fn make(&self) -> Option<FreshKey> {
        let id = SigningKeyId::new();
        let mut seed = [0_u8; 32];
        SystemRandom::new().fill(&mut seed).ok()?;
        let public_key = *pair(&seed)?.public_key().as_ref().first_chunk()?;
        let sealed = (self.seal)(id, &seed)?;
        Some(FreshKey { id, public_key, sealed })
    }

    /// The headers of a message. None: the key does not open.
    pub(super) fn headers(&self, key: SigningKeyId, sealed: &[u8], id: &str, body: &[u8], wall: DateTime<Utc>) -> Option<HeaderMap> {
        let pair = pair(&(self.open)(key, sealed)?)?;
        let timestamp = wall.timestamp().to_string();
        let signature = BASE64.encode(pair.sign(&signed_bytes(id, &timestamp, body)).as_ref());
        let value = |text: &str| HeaderValue::from_str(text).ok();
        Some(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
            (ID, value(id)?),
            (TIMESTAMP, value(&timestamp)?),
            (KEY_ID, value(&key.to_string())?),
            (SIGNATURE, value(&signature)?),
        ]))
    }
}

fn pair(seed: &[u8; 32]) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok()
}

/// What is signed.
pub(super) fn signed_bytes(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b"\n", timestamp.as_bytes(), b"\n", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 8032, 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const RECEIVING: &str = include_str!("RECEIVING.md");

    fn keeper() -> Keeper {
        let seed = || *hex::decode(SEED).unwrap().first_chunk().unwrap();
        Keeper { seal: Arc::new(|_, seed| Some(seed.to_vec())), open: Arc::new(move |_, _| Some(seed())) }
    }

    #[test]
    fn the_published_vector_is_what_we_send() {
        let (id, body) = ("eQGaEjRWeHASNKvN7wEjRWc", br#"{"kind":"order.paid","version":1}"#);
        let wall: DateTime<Utc> = "2026-11-21T04:00:00Z".parse().unwrap();
        let headers = keeper().headers(SigningKeyId::new(), b"", id, body, wall).unwrap();
        let signature = headers[SIGNATURE].to_str().unwrap();
        assert_eq!(headers[TIMESTAMP], "1795233600");
        for shown in [SEED, PUBLIC, id, std::str::from_utf8(body).unwrap(), "1795233600", signature] {
            assert!(RECEIVING.contains(shown), "RECEIVING.md does not show {shown}");
        }
    }

    #[test]
    fn the_vector_holds_by_another_verifier_and_breaks_with_any_byte() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let public = BASE64.decode(PUBLIC).unwrap();
        let wall: DateTime<Utc> = "2026-11-21T04:00:00Z".parse().unwrap();
        let headers = keeper().headers(SigningKeyId::new(), b"", "a", b"body", wall).unwrap();
        let signature = BASE64.decode(headers[SIGNATURE].as_bytes()).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, &public);
        key.verify(b"a\n1795233600\nbody", &signature).unwrap();
        for other in ["b\n1795233600\nbody", "a\n1795233601\nbody", "a\n1795233600\nBody", "a\n1795233600\nbody\n"] {
            assert!(key.verify(other.as_bytes(), &signature).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_fresh_key_is_a_key_of_its_own_and_nothing_prints_it() {
        let (a, b) = (keeper().make().unwrap(), keeper().make().unwrap());
        assert_ne!(a.public_key, b.public_key);
        assert_eq!(pair(a.sealed.first_chunk().unwrap()).unwrap().public_key().as_ref(), a.public_key);
        assert_eq!(format!("{:?}", keeper()), "Keeper(..)");
    }

    #[test]
    fn a_key_that_does_not_open_signs_nothing() {
        let shut = Keeper { open: Arc::new(|_, _| None), ..keeper() };
        assert!(shut.headers(SigningKeyId::new(), b"", "a", b"", DateTime::UNIX_EPOCH).is_none());
    }
}
