//! Certificates for the platform's keys (平台证书): self-signed X.509, as small as RFC 5280 allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use wallet::channel::wechat::sign::Signer;

/// sha256WithRSAEncryption, 1.2.840.113549.1.1.11, with its NULL.
const SHA256_WITH_RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
/// CN=Simulated platform
const NAME: &[u8] = b"\x30\x1d\x31\x1b\x30\x19\x06\x03\x55\x04\x03\x0c\x12Simulated platform";

/// The PEM text of a certificate for a key, whose serial number is that of the signer.
pub fn issue(signer: &Signer, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<String> {
    let serial = hex::decode(signer.serial())?;
    let key = signer.public_key()?;
    let time = |at: DateTime<Utc>| element(0x17, &[at.format("%y%m%d%H%M%SZ").to_string().as_bytes()]);
    let version = element(0xa0, &[&element(0x02, &[&[2]])]);
    let validity = element(0x30, &[&time(from), &time(to)]);
    // a serial number is a positive integer: one whose first bit is set takes a zero before it
    let sign: &[u8] = if serial.first().is_some_and(|b| *b >= 0x80) { &[0] } else { &[] };
    let tbs = element(0x30, &[&version, &element(0x02, &[sign, &serial]), SHA256_WITH_RSA, NAME, &validity, NAME, key.spki()]);
    let signature = BASE64.decode(signer.sign(&tbs))?;
    let certificate = element(0x30, &[&tbs, SHA256_WITH_RSA, &element(0x03, &[&[0], &signature])]);
    let text = BASE64.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
}

/// One element of DER, below 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [.., high, low] = content.len().to_be_bytes();
    let mut der = match (high, low) {
        (0, ..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend_from_slice(&content);
    der
}
