//! SHA256withRSA as UnionPay's 5.1.0 messages carry it (signMethod 01), and the keys for it.
//!
//! Signed is the lower-case hexadecimal SHA-256 of all fields but `signature`, sorted by name and joined as `k=v&k=v`, unescaped. The
//! verifier's key comes out of the message (`signPubKeyCert`) and is worth what [`Trust`] finds it worth. A message carries no time of
//! signing and no nonce: an old notice may be replayed, which its `queryId` makes harmless.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};

use super::certificate::{CertificateError, Trust};
use super::wire::{CERTIFICATE, Fields, SIGN_METHOD, SIGNATURE, VERSION, joined};

/// Why a message is not believed. Says what was wrong, never what would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("a field of the signature is missing or malformed")]
    Malformed,
    #[error("the signature's certificate is not trusted")]
    Certificate(#[from] CertificateError),
    #[error("the signature does not match")]
    Mismatch,
}

/// A private key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not an RSA key of 2048 to 8192 bits in PKCS#8, PEM")]
pub struct KeyError;

/// A private key out of a PEM file (`BEGIN PRIVATE KEY`).
pub fn private_key(pem: &str) -> Result<KeyPair, KeyError> {
    KeyPair::from_pkcs8(&block(pem, "PRIVATE KEY")?).map_err(|_| KeyError)
}

/// A public key out of a PEM file (`BEGIN PUBLIC KEY`).
pub fn public_key(pem: &str) -> Result<Vec<u8>, KeyError> {
    let der = block(pem, "PUBLIC KEY")?;
    PublicKey::from_der(&der).map_err(|_| KeyError)?;
    Ok(der)
}

/// A new key of 2048 bits, for a simulator or a test.
pub fn generate() -> KeyPair {
    KeyPair::generate(KeySize::Rsa2048).expect("the system's random source does not fail")
}

/// A public key as [`public_key`] reads it.
pub fn public_pem(key: &KeyPair) -> String {
    use aws_lc_rs::signature::KeyPair as _;
    let der = key.public_key().as_der().expect("a key that exists can be written");
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", BASE64.encode(der.as_ref()))
}

/// A private key as [`private_key`] reads it.
pub fn private_pem(key: &KeyPair) -> String {
    let der = key.as_der().expect("a key that exists can be written");
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", BASE64.encode(der.as_ref()))
}

/// The DER inside the one PEM block of a text.
fn block(pem: &str, label: &str) -> Result<Vec<u8>, KeyError> {
    let inner = pem.trim().strip_prefix(&format!("-----BEGIN {label}-----")).ok_or(KeyError)?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----")).ok_or(KeyError)?;
    let base64: String = inner.split_ascii_whitespace().collect();
    BASE64.decode(base64).map_err(|_| KeyError)
}

/// Signs bytes: PKCS#1 v1.5 with SHA-256.
pub fn rsa_sha256(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("the buffer has the modulus' length");
    signature
}

/// Whether bytes carry the signature (base64) of a key.
pub fn rsa_sha256_matches(key: &[u8], message: &[u8], signature: &str) -> Result<(), SignatureError> {
    let signature = BASE64.decode(signature).map_err(|_| SignatureError::Malformed)?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, &signature).map_err(|_| SignatureError::Mismatch)
}

/// Puts the signature into a message, over all that it holds now.
pub fn sign(fields: &mut Fields, key: &KeyPair) {
    let signature = BASE64.encode(rsa_sha256(key, text(fields).as_bytes()));
    fields.insert(SIGNATURE.to_owned(), signature);
}

/// Believes a message by a key that is known, or says why not.
pub fn verify(fields: &Fields, key: &[u8]) -> Result<(), SignatureError> {
    // a message that names another algorithm or version was not signed by these rules
    if fields.get("signMethod").map(String::as_str) != Some(SIGN_METHOD) || fields.get("version").map(String::as_str) != Some(VERSION) {
        return Err(SignatureError::Malformed);
    }
    let signature = fields.get(SIGNATURE).ok_or(SignatureError::Malformed)?;
    rsa_sha256_matches(key, text(fields).as_bytes(), signature)
}

/// Believes a message by the certificate that it carries, or says why not.
pub fn verify_by_certificate(fields: &Fields, trust: &Trust, now: DateTime<Utc>) -> Result<(), SignatureError> {
    let pem = fields.get(CERTIFICATE).ok_or(SignatureError::Malformed)?;
    verify(fields, trust.check(pem, now)?.public_key())
}

/// What a signature covers.
fn text(fields: &Fields) -> String {
    hex::encode(digest(&SHA256, joined(fields).as_bytes()))
}
