//! The sandbox form of digital renminbi: JSON over HTTPS, every request to one path, signed as [`super::sign`] says.
//!
//! The path is not signed, so what is asked stands in the body (`action`). Amounts are whole minor units, times RFC 3339.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::channel::sandbox::wire::{PaymentStatus, TransferStatus};

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Where everything is asked.
pub const PATH: &str = "/ecny/v1";

/// What is asked. It may name a payer's wallet, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Request {
    Pay(PaymentRequest),
    Query(Which),
    Close(Which),
    Refund(RefundRequest),
    QueryRefund(Which),
}

/// Asks for a payment. The same `request_no` with the same content gives the same payment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    pub merchant_no: String,
    pub request_no: String,
    pub amount_minor: i64,
    pub currency: String,
    pub description: String,
    /// The wallet (钱包编号) whose app is told; none: a code is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_id: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub notify_url: String,
}

/// Asks for money to go back. The same `request_no` with the same content gives the same refund.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    pub merchant_no: String,
    pub request_no: String,
    pub payment_request_no: String,
    pub amount_minor: i64,
    pub currency: String,
    pub notify_url: String,
}

/// Names what was asked for before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    pub merchant_no: String,
    pub request_no: String,
}

/// What is answered, and what a notice tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    Payment(Payment),
    Refund(Refund),
    /// The request was not carried out.
    Refused {
        code: String,
    },
}

/// A payment as the operator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub merchant_no: String,
    pub request_no: String,
    pub transaction_id: String,
    pub status: PaymentStatus,
    pub amount_minor: i64,
    pub currency: String,
    /// What a wallet scans, where none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// A refund as the operator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub merchant_no: String,
    pub request_no: String,
    pub status: TransferStatus,
    pub amount_minor: i64,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// A result sent to `notify_url`, again until it is answered with 2xx. The same `notice_id` always has the same body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub notice_id: String,
    #[serde(flatten)]
    pub answer: Answer,
}

/// Codes of a refusal that are told apart.
pub mod code {
    /// No such request number.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The request number was used for other content.
    pub const NUMBER_REUSED: &str = "NUMBER_REUSED";
    /// The signature, its key or its time is not right.
    pub const SIGNATURE_INVALID: &str = "SIGNATURE_INVALID";
    /// Not now: nothing was done, ask again.
    pub const BUSY: &str = "BUSY";
    pub const BALANCE_INSUFFICIENT: &str = "BALANCE_INSUFFICIENT";
    pub const PAYER_DECLINED: &str = "PAYER_DECLINED";
    pub const REQUEST_INVALID: &str = "REQUEST_INVALID";
    /// The payer's wallet is closed: nothing goes back to it.
    pub const WALLET_CLOSED: &str = "WALLET_CLOSED";
}
