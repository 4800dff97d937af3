//! UnionPay's messages (银联全渠道, version 5.1.0): named fields, escaped as a form in requests and notices, plain in answers.
//!
//! Names, values and codes are those of the open platform's pages 手机支付控件, 二维码支付, 交易状态查询, 退货, 冲正 and 应答码. Amounts are minor
//! units in digits, times `YYYYMMDDhhmmss` of Asia/Shanghai.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Utc};

use crate::base::clock::shanghai;

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Most fields of a message. UnionPay's have about forty.
const FIELDS_MAX: usize = 128;

/// A message, sorted by name as its signature needs it.
pub type Fields = BTreeMap<String, String>;

/// Field with the signature, base64.
pub const SIGNATURE: &str = "signature";
/// Field with the signer's certificate, PEM.
pub const CERTIFICATE: &str = "signPubKeyCert";
/// The one version that is spoken.
pub const VERSION: &str = "5.1.0";
/// RSA with SHA-256 and certificates.
pub const SIGN_METHOD: &str = "01";
/// Renminbi by its ISO 4217 number.
pub const RENMINBI: &str = "156";
/// What a counter payment carries in `reqReserved`, which comes back as it went: who asks about a number must know how it was paid.
pub const AT_COUNTER: &str = "BARCODE";

/// A transaction as UnionPay names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    pub path: &'static str,
    pub txn_type: &'static str,
    pub txn_sub_type: &'static str,
    pub biz_type: &'static str,
}

/// Payment in the app (手机支付控件): the answer's `tn` opens the wallet.
pub const APP: Kind = Kind { path: "/gateway/api/appTransReq.do", txn_type: "01", txn_sub_type: "01", biz_type: "000201" };
/// A code that the customer scans (主扫, 申请二维码): the answer's `qrCode` is shown.
pub const CODE: Kind = Kind { path: "/gateway/api/backTransReq.do", txn_type: "01", txn_sub_type: "07", biz_type: "000000" };
/// The customer's code, scanned at the counter (被扫消费).
pub const BARCODE: Kind = Kind { path: "/gateway/api/backTransReq.do", txn_type: "01", txn_sub_type: "06", biz_type: "000000" };
/// Refund (退货).
pub const REFUND: Kind = Kind { path: "/gateway/api/backTransReq.do", txn_type: "04", txn_sub_type: "00", biz_type: "000000" };
/// Reversal (冲正) of a counter payment whose result is not known. Carries the payment's own number and time.
pub const REVERSAL: Kind = Kind { path: "/gateway/api/backTransReq.do", txn_type: "99", txn_sub_type: "01", biz_type: "000000" };
/// Where a number stands (交易状态查询).
pub const QUERY: Kind = Kind { path: "/gateway/api/queryTrans.do", txn_type: "00", txn_sub_type: "00", biz_type: "000000" };

/// Answer codes (应答码) that are told apart.
pub mod code {
    /// Success of what is answered: taken in, or, of an original, carried out.
    pub const OK: &str = "00";
    /// Success with a defect (有缺陷的成功): the money moved.
    pub const PARTLY: &str = "A6";
    /// Accepted; the result is to be asked for.
    pub const ACCEPTED: &str = "05";
    /// The number and time were used.
    pub const DUPLICATE: &str = "12";
    pub const SIGNATURE_INVALID: &str = "11";
    pub const NOT_FOUND: &str = "34";
    /// The original is not there, or not in a state that allows it.
    pub const ORIGINAL_UNFIT: &str = "35";
    pub const FORMAT: &str = "10";
    pub const BALANCE: &str = "64";
}

/// A message that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the message is not of the agreed form")]
pub struct WireError;

/// `k=v&k=v` over all fields but the signature: what is signed.
pub fn joined(fields: &Fields) -> String {
    let parts: Vec<String> = fields.iter().filter(|(k, _)| *k != SIGNATURE).map(|(k, v)| format!("{k}={v}")).collect();
    parts.join("&")
}

/// A request's or notice's body: `application/x-www-form-urlencoded`, UTF-8.
pub fn form(fields: &Fields) -> String {
    let parts: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
    parts.join("&")
}

/// Reads a form. A name that occurs twice, a broken escape and bytes that are not UTF-8 are refused.
pub fn read_form(body: &[u8]) -> Result<Fields, WireError> {
    read(body, unescape)
}

/// An answer's body: the fields as they are, the signature among them.
pub fn plain(fields: &Fields) -> String {
    let parts: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
    parts.join("&")
}

/// Reads an answer. A value may hold `=`, never `&`.
pub fn read_plain(body: &[u8]) -> Result<Fields, WireError> {
    read(body, |text| Ok(text.to_owned()))
}

fn read(body: &[u8], value: impl Fn(&str) -> Result<String, WireError>) -> Result<Fields, WireError> {
    let text = std::str::from_utf8(body).ok().filter(|t| t.len() <= BODY_MAX).ok_or(WireError)?;
    let mut fields = Fields::new();
    for pair in text.split('&') {
        let (k, v) = pair.split_once('=').ok_or(WireError)?;
        let k = value(k)?;
        if k.is_empty() || fields.len() == FIELDS_MAX || fields.insert(k, value(v)?).is_some() {
            return Err(WireError);
        }
    }
    Ok(fields)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> Result<String, WireError> {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok()).ok_or(WireError);
    let (mut bytes, mut plain) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next())? * 16 + digit(bytes.next())?,
            _ => byte,
        });
    }
    String::from_utf8(plain).map_err(|_| WireError)
}

/// A moment as `YYYYMMDDhhmmss`.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.with_timezone(&shanghai()).format("%Y%m%d%H%M%S").to_string()
}

/// Reads `YYYYMMDDhhmmss`.
pub fn read_stamp(text: &str) -> Option<DateTime<Utc>> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S").ok()?;
    shanghai().from_local_datetime(&local).single().map(|t| t.to_utc())
}

/// Reads `traceTime`, which is `MMDDhhmmss`: the year is that of the moment closest to when we sent.
pub fn read_trace_time(text: &str, sent: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let year = sent.with_timezone(&shanghai()).year();
    let candidates = (year - 1..=year + 1).filter_map(|y| read_stamp(&format!("{y}{text}")));
    candidates.min_by_key(|t| (*t - sent).abs()).filter(|t| (*t - sent).abs() < TimeDelta::days(180))
}

/// Reads an amount in minor units: digits, at most twelve, no sign.
pub fn read_amount(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// When a number of ours was given out, to the second: our numbers are UUIDs of version 7, which begin with their time. UnionPay finds a
/// transaction by number and time together, and a repeated request with another time would be another payment: so the time is taken
/// from the number and is the same for all who know it.
pub fn time_of(request_no: &str) -> Option<DateTime<Utc>> {
    if request_no.len() != 32 || request_no.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let uuid: uuid::Uuid = request_no.parse().ok()?;
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, _) = uuid.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}
