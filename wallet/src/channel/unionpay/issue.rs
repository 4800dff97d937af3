//! Writes minimal certificates: for the simulator, which has no authority to ask, and for tests. Nothing that is issued here is worth
//! anything outside the process that configures its issuer.

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};

use super::certificate::{COMMON_NAME, RSA_KEY, RSA_SHA256};
use super::sign::rsa_sha256;

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Statement<'s> {
    pub issuer: &'s str,
    pub subject: &'s str,
    /// Big-endian, at most 20 bytes.
    pub serial: &'s [u8],
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// Issues a certificate over a key, in PEM. A root is one whose issuer is its subject and whose key signs itself.
pub fn issue(statement: &Statement, key: &KeyPair, issuer: &KeyPair) -> String {
    pem(&signed(&to_be_signed(statement, key), issuer))
}

/// The part that the issuer signs.
pub(super) fn to_be_signed(statement: &Statement, key: &KeyPair) -> Vec<u8> {
    let time = |at: DateTime<Utc>| element(0x18, at.format("%Y%m%d%H%M%SZ").to_string().as_bytes());
    let key = [element(0x30, RSA_KEY), bit_string(key.public_key().as_ref())].concat();
    let parts = [
        element(0xA0, &element(0x02, &[2])),
        element(0x02, statement.serial),
        element(0x30, RSA_SHA256),
        name(statement.issuer),
        element(0x30, &[time(statement.not_before), time(statement.not_after)].concat()),
        name(statement.subject),
        element(0x30, &key),
    ];
    element(0x30, &parts.concat())
}

/// A certificate of a part that is signed now.
pub(super) fn signed(to_be_signed: &[u8], issuer: &KeyPair) -> Vec<u8> {
    let signature = bit_string(&rsa_sha256(issuer, to_be_signed));
    element(0x30, &[to_be_signed, &element(0x30, RSA_SHA256), &signature].concat())
}

/// The text form, in lines of 64.
pub(super) fn pem(der: &[u8]) -> String {
    let base64 = BASE64.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).expect("base64 is ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", lines.join("\n"))
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = [element(0x06, COMMON_NAME), element(0x0C, common_name.as_bytes())].concat();
    element(0x30, &element(0x31, &element(0x30, &attribute)))
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// One DER element of less than 64 KiB.
pub(super) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).expect("what is issued has a few hundred bytes");
    let head = match length.to_be_bytes() {
        [0, low @ ..=0x7F] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&head, contents].concat()
}
