//! The sandbox's messages as they travel: the one thing, with the signatures, that the adapter and the simulator share.
//!
//! Amounts are whole minor units, times RFC 3339, identifiers strings. Payee data never shows in `Debug`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Asks for a payment. The same `request_no` with the same content gives the same payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    pub merchant_no: String,
    pub request_no: String,
    pub amount_minor: i64,
    pub currency: String,
    pub description: String,
    pub notify_url: String,
    /// Where the payer's page leads back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
}

/// Where a payment stands at the acquirer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    /// The payer has not decided.
    UserPending,
    Succeeded,
    /// The payer declined, or the payer's bank did.
    Failed,
    /// Closed by the merchant before anyone paid; nobody can pay it any more.
    Closed,
}

/// A payment as the acquirer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAnswer {
    pub merchant_no: String,
    pub request_no: String,
    pub transaction_id: String,
    pub status: PaymentStatus,
    pub amount_minor: i64,
    pub currency: String,
    pub pay_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// Asks for money to go back to the payer. The same `request_no` with the same content gives the same refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    pub merchant_no: String,
    pub request_no: String,
    pub payment_request_no: String,
    pub amount_minor: i64,
    pub currency: String,
    pub notify_url: String,
}

/// Where a refund or a payout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferStatus {
    /// Taken in, result to come. Not a success.
    Accepted,
    Succeeded,
    Failed,
    /// A payout that had succeeded and came back (退票). No refund does.
    Returned,
}

/// A refund as the acquirer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAnswer {
    pub merchant_no: String,
    pub request_no: String,
    pub transaction_id: String,
    pub status: TransferStatus,
    pub amount_minor: i64,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// Asks the bank to pay money out. The same `request_no` with the same content gives the same payout.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutRequest {
    pub merchant_no: String,
    pub request_no: String,
    pub payee_name: String,
    pub payee_account: String,
    pub amount_minor: i64,
    pub currency: String,
    pub notify_url: String,
}

impl std::fmt::Debug for PayoutRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayoutRequest")
            .field("request_no", &self.request_no)
            .field("amount_minor", &self.amount_minor)
            .finish_non_exhaustive()
    }
}

/// A payout as the bank knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutAnswer {
    pub merchant_no: String,
    pub request_no: String,
    pub bank_reference: String,
    pub status: TransferStatus,
    pub amount_minor: i64,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// A refusal: the request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

/// Codes of a [`Refusal`] that the adapter tells apart.
pub mod code {
    /// No such request number.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The request number was used for other content.
    pub const REQUEST_NO_REUSED: &str = "REQUEST_NO_REUSED";
    /// The signature, its key or its time is not right.
    pub const SIGNATURE_INVALID: &str = "SIGNATURE_INVALID";
    /// The payer's account at the channel is closed: nothing goes back to it.
    pub const PAYER_ACCOUNT_CLOSED: &str = "PAYER_ACCOUNT_CLOSED";
    /// The bank account is closed.
    pub const ACCOUNT_CLOSED: &str = "ACCOUNT_CLOSED";
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NoticeKind {
    Payment,
    Refund,
    Payout,
}

/// What a notice says: only results are notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NoticeStatus {
    Succeeded,
    Failed,
    Closed,
    /// A payout that had succeeded came back.
    Returned,
}

/// A result sent to `notify_url`, again with back-off until it is answered with 2xx. The same `notice_id` always has the same body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub notice_id: String,
    pub kind: NoticeKind,
    pub merchant_no: String,
    pub request_no: String,
    /// The acquirer's transaction id, or the bank's reference.
    pub transaction_id: String,
    pub status: NoticeStatus,
    pub amount_minor: i64,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}
