//! Ed25519 over the raw bytes of a message. What is signed: METHOD or STATUS, PATH, TIMESTAMP, NONCE and BODY, each ended by a line feed.
//!
//! Verification never parses first: head and body are judged as they came. An answer carries the nonce of its request, so that an
//! old answer cannot be passed off as a new one; a notice may be replayed within the window, and its notice_id makes that harmless.

use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Header with the id of the signing key.
pub const KEY: HeaderName = HeaderName::from_static("x-sandbox-key");
/// Header with the time of signing, in Unix seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-sandbox-timestamp");
/// Header with a value that differs for every request.
pub const NONCE: HeaderName = HeaderName::from_static("x-sandbox-nonce");
/// Header with the signature, base64.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-sandbox-signature");

/// Seconds that a message's time may differ from real time, either way.
pub const WINDOW_S: i64 = 300;

/// Longest nonce that is looked at, in bytes.
const NONCE_MAX: usize = 64;

/// Why a message is not believed. Says what was wrong, never what would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("a signature header is missing or malformed")]
    Malformed,
    #[error("the signing key is not known")]
    UnknownKey,
    #[error("the time of signing is outside the window")]
    Skewed,
    #[error("the signature does not match")]
    Mismatch,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file {file} is not an Ed25519 key of the expected form; remove it and start again to make a new one")]
    Unusable { file: String },
    #[error("could not read the key file {file}")]
    Unreadable { file: String, source: std::io::Error },
}

/// Signs as one party.
pub struct Signer {
    key_id: String,
    key: Ed25519KeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// From a PKCS#8 document.
    pub fn try_from_pkcs8(key_id: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8))
            .map_err(|_| KeyError::Unusable { file: key_id.to_owned() })?;
        Ok(Self { key_id: key_id.to_owned(), key, random: SystemRandom::new() })
    }

    /// Reads a PKCS#8 file.
    pub fn load(key_id: &str, file: &Path) -> Result<Self, KeyError> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|source| KeyError::Unreadable { file: name.clone(), source })?;
        Self::try_from_pkcs8(key_id, &bytes).map_err(|_| KeyError::Unusable { file: name })
    }

    /// The 32 bytes that [`Verifier`] needs.
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public_key().as_ref().to_vec()
    }

    /// A nonce for a new message: 16 random bytes in hexadecimal.
    pub fn nonce(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes).expect("the system's random source does not fail");
        hex::encode(bytes)
    }

    /// The four headers of a message. `subject` is the method of a request or the status of an answer.
    pub fn headers(&self, subject: &str, path: &str, nonce: &str, body: &[u8], wall: DateTime<Utc>) -> HeaderMap {
        let timestamp = wall.timestamp().to_string();
        let signature = BASE64.encode(self.key.sign(&message(subject, path, &timestamp, nonce, body)).as_ref());
        let ascii = |text: &str| HeaderValue::from_str(text).expect("key ids, digits, hexadecimal and base64 are visible ASCII");
        HeaderMap::from_iter([
            (KEY, ascii(&self.key_id)),
            (TIMESTAMP, ascii(&timestamp)),
            (NONCE, ascii(nonce)),
            (SIGNATURE, ascii(&signature)),
        ])
    }
}

/// Knows one party's public key.
#[derive(Clone, Debug)]
pub struct Verifier {
    key_id: String,
    key: Vec<u8>,
}

impl Verifier {
    /// From the 32 raw bytes.
    pub fn new(key_id: &str, key: &[u8]) -> Self {
        Self { key_id: key_id.to_owned(), key: key.to_vec() }
    }

    /// Reads a file with the 32 bytes in base64.
    pub fn load(key_id: &str, file: &Path) -> Result<Self, KeyError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| KeyError::Unreadable { file: name.clone(), source })?;
        match BASE64.decode(text.trim()) {
            Ok(key) if key.len() == 32 => Ok(Self::new(key_id, &key)),
            _ => Err(KeyError::Unusable { file: name }),
        }
    }

    /// Believes a message or says why not. Gives its nonce.
    pub fn verify<'h>(
        &self,
        subject: &str,
        path: &str,
        headers: &'h HeaderMap,
        body: &[u8],
        wall: DateTime<Utc>,
    ) -> Result<&'h str, SignatureError> {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).ok_or(SignatureError::Malformed);
        let (key_id, timestamp, nonce, signature) = (text(&KEY)?, text(&TIMESTAMP)?, text(&NONCE)?, text(&SIGNATURE)?);
        if key_id != self.key_id {
            return Err(SignatureError::UnknownKey);
        }
        let signed_at: i64 = timestamp.parse().map_err(|_| SignatureError::Malformed)?;
        if signed_at.abs_diff(wall.timestamp()) > WINDOW_S.unsigned_abs() {
            return Err(SignatureError::Skewed);
        }
        if nonce.is_empty() || nonce.len() > NONCE_MAX {
            return Err(SignatureError::Malformed);
        }
        let signature = BASE64.decode(signature).map_err(|_| SignatureError::Malformed)?;
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(&message(subject, path, timestamp, nonce, body), &signature)
            .map_err(|_| SignatureError::Mismatch)?;
        Ok(nonce)
    }
}

/// The bytes under a signature.
fn message(subject: &str, path: &str, timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(subject.len() + path.len() + timestamp.len() + nonce.len() + body.len() + 5);
    for part in [subject.as_bytes(), path.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), body] {
        bytes.extend_from_slice(part);
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::base::clock::Clock;

    fn signer(key_id: &str) -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::try_from_pkcs8(key_id, pkcs8.as_ref()).unwrap()
    }

    #[test]
    fn a_message_is_believed_only_as_it_was_signed() {
        let (ours, other) = (signer("platform"), signer("platform"));
        let verifier = Verifier::new("platform", &ours.public_key());
        let (now, nonce, body) = (Clock::wall(), ours.nonce(), b"{\"amount_minor\":1250}".as_slice());
        let good = ours.headers("POST", "/acquirer/v1/payments", &nonce, body, now);
        let by_other = other.headers("POST", "/acquirer/v1/payments", &nonce, body, now);
        let renamed = signer("stranger").headers("POST", "/acquirer/v1/payments", &nonce, body, now);
        let mut unsigned = good.clone();
        unsigned.remove(SIGNATURE);
        let mut renonced = good.clone();
        renonced.insert(NONCE, HeaderValue::from_static("00"));
        let mut retimed = good.clone();
        retimed.insert(TIMESTAMP, HeaderValue::from_str(&(now.timestamp() + 1).to_string()).unwrap());
        let path = "/acquirer/v1/payments";
        let late = now + TimeDelta::seconds(WINDOW_S + 1);
        let early = now - TimeDelta::seconds(WINDOW_S + 1);
        let edge = now + TimeDelta::seconds(WINDOW_S);
        type Case<'c> = (&'c str, &'c str, &'c str, &'c HeaderMap, &'c [u8], DateTime<Utc>, Option<SignatureError>);
        let cases: [Case; 13] = [
            ("as signed", "POST", path, &good, body, now, None),
            ("at the edge of the window", "POST", path, &good, body, edge, None),
            ("tampered body", "POST", path, &good, b"{\"amount_minor\":9250}", now, Some(SignatureError::Mismatch)),
            ("other method", "GET", path, &good, body, now, Some(SignatureError::Mismatch)),
            ("other path", "POST", "/acquirer/v1/refunds", &good, body, now, Some(SignatureError::Mismatch)),
            ("status for method", "200", path, &good, body, now, Some(SignatureError::Mismatch)),
            ("another's key", "POST", path, &by_other, body, now, Some(SignatureError::Mismatch)),
            ("unknown key id", "POST", path, &renamed, body, now, Some(SignatureError::UnknownKey)),
            ("no signature", "POST", path, &unsigned, body, now, Some(SignatureError::Malformed)),
            ("other nonce", "POST", path, &renonced, body, now, Some(SignatureError::Mismatch)),
            ("other time", "POST", path, &retimed, body, now, Some(SignatureError::Mismatch)),
            ("too late", "POST", path, &good, body, late, Some(SignatureError::Skewed)),
            ("too early", "POST", path, &good, body, early, Some(SignatureError::Skewed)),
        ];
        for (name, subject, path, headers, body, wall, error) in cases {
            assert_eq!(verifier.verify(subject, path, headers, body, wall).err(), error, "{name}");
        }
        assert_eq!(verifier.verify("POST", path, &good, body, now), Ok(nonce.as_str()));
    }

    #[test]
    fn line_feeds_cannot_move_the_borders_between_the_parts() {
        // the nonce and time are fixed by headers, and a path has no line feed, so only the body may hold one, and it stands last
        assert_ne!(message("POST", "/a", "1", "n", b"x\ny"), message("POST", "/a", "1", "n\nx", b"y\n"));
    }

    #[test]
    fn garbage_is_no_key() {
        assert!(Signer::try_from_pkcs8("platform", b"not a key").is_err());
    }
}
