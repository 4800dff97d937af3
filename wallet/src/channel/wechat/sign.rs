//! Signatures of WeChat Pay APIv3 (微信支付): SHA-256 with RSA over the raw bytes, each part ended by a line feed.
//!
//! A request signs METHOD, path with query, time, nonce and body, and carries that in `Authorization`; answers and notices sign time, nonce
//! and body in four headers. An answer's nonce is WeChat's own and not that of the request, so what an answer belongs to is told by
//! its content and by the TLS connection alone. Source: "APIv3 签名生成", "APIv3 签名验证", "JSAPI 调起支付".

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{KeyPair, OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// Header with the serial number of the signing certificate, or the id of the signing public key.
pub const SERIAL: HeaderName = HeaderName::from_static("wechatpay-serial");
/// Header with the time of signing, in Unix seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("wechatpay-timestamp");
/// Header with a value that differs for every message.
pub const NONCE: HeaderName = HeaderName::from_static("wechatpay-nonce");
/// Header with the signature, base64.
pub const SIGNATURE: HeaderName = HeaderName::from_static("wechatpay-signature");

/// The scheme in `Authorization`.
pub const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
/// How the wrong signatures begin with which WeChat probes whether a merchant verifies at all ("应对签名探测流量").
pub const PROBE: &str = "WECHATPAY/SIGNTEST/";
/// Seconds that a message's time may differ from real time, either way.
pub const WINDOW_S: i64 = 300;

/// Longest value of a signature header that is looked at, in bytes.
const HEADER_MAX: usize = 2048;

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

/// Key material that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the private key must be RSA of at least 2048 bits, in PKCS#8")]
    Private,
    #[error("the public key must be RSA of at least 2048 bits, as SubjectPublicKeyInfo")]
    Public,
    #[error("the certificate cannot be read")]
    Certificate,
    #[error("the API v3 key must have 32 bytes")]
    Api,
}

/// Signs as one party: the merchant's requests, or the platform's answers and notices.
pub struct Signer {
    serial: String,
    key: KeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Signer {
    /// From a PKCS#8 document and the serial number of the certificate that stands for it.
    pub fn try_from_pkcs8(serial: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let key = KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Private)?;
        let visible = !serial.is_empty() && serial.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if key.public_modulus_len() < 256 || !visible {
            return Err(KeyError::Private);
        }
        Ok(Self { serial: serial.to_owned(), key, random: SystemRandom::new() })
    }

    /// From the text of `apiclient_key.pem`, as the merchant platform hands it out.
    pub fn try_from_pem(serial: &str, text: &str) -> Result<Self, KeyError> {
        Self::try_from_pkcs8(serial, &super::certificate::pem(text, "PRIVATE KEY").ok_or(KeyError::Private)?)
    }

    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let spki: PublicKeyX509Der = self.key.public_key().as_der().map_err(|_| KeyError::Public)?;
        PublicKey::try_from_spki(spki.as_ref())
    }

    /// A nonce for a new message: 16 random bytes in hexadecimal, 32 digits.
    pub fn nonce(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes).expect("the system's random source does not fail");
        hex::encode(bytes)
    }

    /// Signs any bytes; base64.
    pub fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .expect("a key of checked size signs any message into a buffer of its own length");
        BASE64.encode(signature)
    }

    /// The `Authorization` of a merchant's request. `target` is the path with its query, as it is sent.
    pub fn authorization(&self, mchid: &str, method: &str, target: &str, body: &[u8], wall: DateTime<Utc>) -> HeaderValue {
        let (timestamp, nonce) = (wall.timestamp().to_string(), self.nonce());
        let signature = self.sign(&request_message(method, target, &timestamp, &nonce, body));
        let text = format!(
            r#"{SCHEME} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",timestamp="{timestamp}",serial_no="{}""#,
            self.serial
        );
        HeaderValue::from_str(&text).expect("merchant numbers, serials, digits, hexadecimal and base64 are visible ASCII")
    }

    /// The four headers of an answer or a notice.
    pub fn headers(&self, body: &[u8], wall: DateTime<Utc>) -> HeaderMap {
        let (timestamp, nonce) = (wall.timestamp().to_string(), self.nonce());
        let signature = self.sign(&answer_message(&timestamp, &nonce, body));
        let ascii = |text: &str| HeaderValue::from_str(text).expect("serials, digits, hexadecimal and base64 are visible ASCII");
        HeaderMap::from_iter([
            (SERIAL, ascii(&self.serial)),
            (TIMESTAMP, ascii(&timestamp)),
            (NONCE, ascii(&nonce)),
            (SIGNATURE, ascii(&signature)),
        ])
    }
}

/// Verifies what one key signed, and seals personal data for its owner.
#[derive(Clone)]
pub struct PublicKey {
    verifies: ParsedPublicKey,
    seals: PublicEncryptingKey,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo.
    pub fn try_from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let seals = PublicEncryptingKey::from_der(der).map_err(|_| KeyError::Public)?;
        let verifies = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| KeyError::Public)?;
        if seals.key_size_bits() < 2048 { Err(KeyError::Public) } else { Ok(Self { verifies, seals }) }
    }

    /// From the text of `pub_key.pem`, as the merchant platform hands it out.
    pub fn try_from_pem(text: &str) -> Result<Self, KeyError> {
        Self::try_from_spki(&super::certificate::pem(text, "PUBLIC KEY").ok_or(KeyError::Public)?)
    }

    /// The SubjectPublicKeyInfo it was read from.
    pub fn spki(&self) -> &[u8] {
        self.verifies.as_ref()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.verifies.verify_sig(message, signature).map_err(|_| SignatureError::Mismatch)
    }

    /// Seals personal data (敏感信息加密): RSA-OAEP with SHA-1, base64. None: it is too long for the key.
    pub fn seal(&self, text: &str) -> Option<String> {
        let key = OaepPublicEncryptingKey::new(self.seals.clone()).ok()?;
        let mut out = vec![0; key.ciphertext_size()];
        let sealed = key.encrypt(&OAEP_SHA1_MGF1SHA1, text.as_bytes(), &mut out, None).ok()?;
        Some(BASE64.encode(sealed))
    }
}

/// The signature headers of an answer or a notice, whose time is right. Nothing is believed yet.
#[derive(Debug)]
pub struct Signed<'h> {
    pub serial: &'h str,
    timestamp: &'h str,
    nonce: &'h str,
    signature: Vec<u8>,
}

impl<'h> Signed<'h> {
    /// Reads the headers. A header that is missing, given twice, empty or over-long is malformed, and a probe is a mismatch.
    pub fn read(headers: &'h HeaderMap, wall: DateTime<Utc>) -> Result<Self, SignatureError> {
        let (serial, timestamp) = (one(headers, &SERIAL)?, one(headers, &TIMESTAMP)?);
        let (nonce, signature) = (one(headers, &NONCE)?, one(headers, &SIGNATURE)?);
        if signature.starts_with(PROBE) {
            return Err(SignatureError::Mismatch);
        }
        in_window(timestamp, wall)?;
        let signature = BASE64.decode(signature).map_err(|_| SignatureError::Malformed)?;
        Ok(Self { serial, timestamp, nonce, signature })
    }

    /// Believes the body or says why not.
    pub fn verify(&self, key: &PublicKey, body: &[u8]) -> Result<(), SignatureError> {
        key.verify(&answer_message(self.timestamp, self.nonce, body), &self.signature)
    }
}

/// The `Authorization` of a request, as the platform reads it.
#[derive(Debug)]
pub struct Authorization<'h> {
    pub mchid: &'h str,
    pub serial: &'h str,
    timestamp: &'h str,
    nonce: &'h str,
    signature: Vec<u8>,
}

impl<'h> Authorization<'h> {
    /// Reads the header: each of the five parameters once, in any order.
    pub fn read(headers: &'h HeaderMap, wall: DateTime<Utc>) -> Result<Self, SignatureError> {
        let text = one(headers, &AUTHORIZATION)?;
        let parameters = text.strip_prefix(SCHEME).and_then(|t| t.strip_prefix(' ')).ok_or(SignatureError::Malformed)?;
        let mut found: [Option<&str>; 5] = [None; 5];
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').ok_or(SignatureError::Malformed)?;
            let names = ["mchid", "serial_no", "timestamp", "nonce_str", "signature"];
            let at = names.iter().position(|n| *n == name).ok_or(SignatureError::Malformed)?;
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).filter(|v| !v.is_empty() && !v.contains('"'));
            if found[at].replace(value.ok_or(SignatureError::Malformed)?).is_some() {
                return Err(SignatureError::Malformed);
            }
        }
        let [Some(mchid), Some(serial), Some(timestamp), Some(nonce), Some(signature)] = found else {
            return Err(SignatureError::Malformed);
        };
        in_window(timestamp, wall)?;
        let signature = BASE64.decode(signature).map_err(|_| SignatureError::Malformed)?;
        Ok(Self { mchid, serial, timestamp, nonce, signature })
    }

    /// Believes the request or says why not.
    pub fn verify(&self, key: &PublicKey, method: &str, target: &str, body: &[u8]) -> Result<(), SignatureError> {
        key.verify(&request_message(method, target, self.timestamp, self.nonce, body), &self.signature)
    }
}

/// The one value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|v| v.to_str().ok()), values.next()) {
        (Some(value), None) if !value.is_empty() && value.len() <= HEADER_MAX => Ok(value),
        _ => Err(SignatureError::Malformed),
    }
}

fn in_window(timestamp: &str, wall: DateTime<Utc>) -> Result<(), SignatureError> {
    let signed_at: i64 = timestamp.parse().map_err(|_| SignatureError::Malformed)?;
    let skewed = signed_at.abs_diff(wall.timestamp()) > WINDOW_S.unsigned_abs();
    if skewed { Err(SignatureError::Skewed) } else { Ok(()) }
}

/// The bytes under a request's signature.
fn request_message(method: &str, target: &str, timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[method.as_bytes(), target.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), body])
}

/// The bytes under the signature of an answer or a notice.
fn answer_message(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[timestamp.as_bytes(), nonce.as_bytes(), body])
}

/// The bytes that stand under `paySign`, with which our page calls WeChat's app.
pub fn call_message(appid: &str, timestamp: &str, nonce: &str, package: &str) -> Vec<u8> {
    lines(&[appid.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), package.as_bytes()])
}

/// The parts, each ended by a line feed.
fn lines(parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::with_capacity(parts.iter().map(|p| p.len() + 1).sum());
    for part in parts {
        message.extend_from_slice(part);
        message.push(b'\n');
    }
    message
}

#[cfg(test)]
pub(super) mod tests;
