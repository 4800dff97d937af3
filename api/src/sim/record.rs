//! What the simulator remembers of a payment, a refund, a payout, a notice and a split: one journal line each time one changes, the last one wins.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wallet::channel::sandbox::wire::{
    PaymentAnswer, PaymentRequest, PaymentStatus, PayoutAnswer, RefundAnswer, RefundRequest, TransferStatus,
};

use super::{Party, alipay, wechat};

/// A line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Payment(Payment),
    Refund(Refund),
    Payout(Payout),
    Notice(Notice),
    /// How often a notice is still to be delivered; zero when it is done with.
    Left {
        notice_id: String,
        left: u32,
    },
    Clock {
        offset_ms: i64,
    },
    AlipaySplit(alipay::split::Split),
    WechatSplit(wechat::splits::Shared),
    WechatReturn(wechat::splits::GivenBack),
    WechatReceiver(wechat::splits::Receiver),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub party: Party,
    /// What every protocol asks.
    pub request: PaymentRequest,
    pub transaction_id: String,
    pub status: PaymentStatus,
    pub success_time: Option<DateTime<Utc>>,
    pub error_code: Option<String>,
    /// Closed before it was ever asked for: whatever comes under its number is closed.
    pub barred: bool,
    /// The payer's wish that its notice comes only after the platform has asked.
    pub silent_until_asked: bool,
    /// From when nobody can pay it any more.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the protocol needs again of the request.
    pub extra: serde_json::Value,
}

impl Payment {
    /// As the acquirer answers.
    pub fn answer(&self, public_url: &str) -> PaymentAnswer {
        PaymentAnswer {
            merchant_no: self.request.merchant_no.clone(),
            request_no: self.request.request_no.clone(),
            transaction_id: self.transaction_id.clone(),
            status: self.status,
            amount_minor: self.request.amount_minor,
            currency: self.request.currency.clone(),
            pay_url: format!("{public_url}/pay/{}", self.transaction_id),
            success_time: self.success_time,
            error_code: self.error_code.clone(),
        }
    }

    /// Whether a request asks for the same thing. Addresses may change with a restart; what is paid may not.
    pub fn same_content(&self, other: &PaymentRequest) -> bool {
        let content = |r: &PaymentRequest| (r.merchant_no.clone(), r.amount_minor, r.currency.clone(), r.description.clone());
        content(&self.request) == content(other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub party: Party,
    pub request: RefundRequest,
    /// What the protocol needs again of the request.
    pub extra: serde_json::Value,
    pub transaction_id: String,
    pub status: TransferStatus,
    pub success_time: Option<DateTime<Utc>>,
    pub error_code: Option<String>,
}

impl Refund {
    /// As the acquirer answers.
    pub fn answer(&self) -> RefundAnswer {
        RefundAnswer {
            merchant_no: self.request.merchant_no.clone(),
            request_no: self.request.request_no.clone(),
            transaction_id: self.transaction_id.clone(),
            status: self.status,
            amount_minor: self.request.amount_minor,
            currency: self.request.currency.clone(),
            success_time: self.success_time,
            error_code: self.error_code.clone(),
        }
    }

    /// Whether a request asks for the same thing.
    pub fn same_content(&self, other: &RefundRequest) -> bool {
        let content = |r: &RefundRequest| (r.merchant_no.clone(), r.payment_request_no.clone(), r.amount_minor, r.currency.clone());
        content(&self.request) == content(other)
    }
}

/// A payout. The payee is kept as a fingerprint only: enough to tell a repeated request from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    pub party: Party,
    pub merchant_no: String,
    pub request_no: String,
    pub amount_minor: i64,
    pub currency: String,
    pub notify_url: String,
    /// SHA-256 of name and account, hexadecimal.
    pub payee: String,
    /// What will become of it.
    pub account_closed: bool,
    /// It comes back so long after it was paid (退票).
    #[serde(default)]
    pub returns_after_ms: Option<u64>,
    pub bank_reference: String,
    pub status: TransferStatus,
    pub success_time: Option<DateTime<Utc>>,
    pub error_code: Option<String>,
}

impl Payout {
    /// As the bank answers.
    pub fn answer(&self) -> PayoutAnswer {
        PayoutAnswer {
            merchant_no: self.merchant_no.clone(),
            request_no: self.request_no.clone(),
            bank_reference: self.bank_reference.clone(),
            status: self.status,
            amount_minor: self.amount_minor,
            currency: self.currency.clone(),
            success_time: self.success_time,
            error_code: self.error_code.clone(),
        }
    }
}

/// A notice under way. The body never changes; each delivery is signed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub notice_id: String,
    pub party: Party,
    pub url: String,
    pub body: String,
    /// Deliveries still to be made.
    pub left: u32,
    /// Waited before the first of them.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many others go first.
    #[serde(default)]
    pub behind: u32,
    /// Not worth a second try: it says what is not so.
    #[serde(default)]
    pub once: bool,
    /// Delivered once more at the end, signed with a time so long ago.
    #[serde(default)]
    pub replay_ms: Option<u64>,
}
