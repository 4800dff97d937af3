//! SHA256withRSA over `timestamp.nonce.body`: seconds since 1970, a value that differs for every request, and the raw bytes.
//!
//! Time and nonce hold no dot, so the borders cannot be moved. An answer carries the nonce of its request; a notice may be replayed within
//! the window, and its notice_id makes that harmless.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::channel::unionpay::sign::{rsa_sha256, rsa_sha256_matches};

pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-ecny-timestamp");
pub const NONCE: HeaderName = HeaderName::from_static("x-ecny-nonce");
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-ecny-signature");

/// Seconds that a message's time may differ from real time, either way.
pub const WINDOW_S: i64 = 300;

/// A message is not believed. It is not said what would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not signed as agreed")]
pub struct Unsigned;

/// A nonce for a new message: 16 random bytes in hexadecimal.
pub fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system's random source does not fail");
    hex::encode(bytes)
}

/// The headers of a message.
pub fn seal(key: &KeyPair, nonce: &str, body: &[u8], now: DateTime<Utc>) -> HeaderMap {
    let timestamp = now.timestamp().to_string();
    let signature = BASE64.encode(rsa_sha256(key, &text(&timestamp, nonce, body)));
    let ascii = |text: &str| HeaderValue::from_str(text).expect("digits, hexadecimal and base64 are visible ASCII");
    HeaderMap::from_iter([(TIMESTAMP, ascii(&timestamp)), (NONCE, ascii(nonce)), (SIGNATURE, ascii(&signature))])
}

/// Believes a message or says that it cannot. Gives its nonce.
pub fn open<'h>(key: &[u8], headers: &'h HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<&'h str, Unsigned> {
    let header = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).ok_or(Unsigned);
    let (timestamp, nonce, signature) = (header(TIMESTAMP)?, header(NONCE)?, header(SIGNATURE)?);
    let signed_at: i64 = timestamp.parse().map_err(|_| Unsigned)?;
    let plain = nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    if !plain || signed_at.abs_diff(now.timestamp()) > WINDOW_S.unsigned_abs() {
        return Err(Unsigned);
    }
    rsa_sha256_matches(key, &text(timestamp, nonce, body), signature).map_err(|_| Unsigned)?;
    Ok(nonce)
}

/// The bytes under a signature.
fn text(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b".", nonce.as_bytes(), b".", body].concat()
}
