//! The bank's messages: flat fields in XML, in GBK or UTF-8. Amounts are yuan with two decimals, times `YYYYMMDDhhmmss` of Asia/Shanghai.
//!
//! Every request goes to one path; what is asked stands in `TRX`, under the signature. A message may name a payee, so it has no `Debug`.

use std::collections::BTreeMap;

use encoding_rs::GBK;
use serde::{Deserialize, Serialize};

use super::xml;
use crate::channel::sandbox::wire::{PaymentStatus, TransferStatus};

/// Largest body either side reads, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Where everything is asked.
pub const PATH: &str = "/bankgw/v1";
pub const VERSION: &str = "1.0";
/// What the bank hears when a notice was stored.
pub const TAKEN: &str = "SUCCESS";

/// Names of fields.
pub mod field {
    pub const VERSION: &str = "VERSION";
    /// What is asked, answered or told: see [`super::trx`].
    pub const TRX: &str = "TRX";
    /// Our number at the bank.
    pub const MERCHANT: &str = "MERCHANT";
    /// Of a request: unlike any other's, and it comes back with the answer. Of a notice: its id.
    pub const SERIAL: &str = "SERIAL";
    /// When the message was signed.
    pub const TIME: &str = "TIME";
    pub const SIGN: &str = "SIGN";
    /// Of an answer: see [`super::code`].
    pub const RETCODE: &str = "RETCODE";
    pub const RETMSG: &str = "RETMSG";
    /// Our number of the payment, refund or payout.
    pub const ORDER: &str = "ORDER";
    /// Our number of the payment that a refund is of.
    pub const ORIG_ORDER: &str = "ORIG_ORDER";
    /// The bank's own number.
    pub const TRADE_NO: &str = "TRADE_NO";
    pub const AMOUNT: &str = "AMOUNT";
    pub const CURRENCY: &str = "CURRENCY";
    pub const STATUS: &str = "STATUS";
    /// When the money moved.
    pub const DONE_TIME: &str = "DONE_TIME";
    pub const ERRCODE: &str = "ERRCODE";
    /// `GATEWAY`: the bank's page. `QR`: a code to scan.
    pub const PAY_TYPE: &str = "PAY_TYPE";
    pub const SUBJECT: &str = "SUBJECT";
    pub const EXPIRE: &str = "EXPIRE";
    pub const NOTIFY_URL: &str = "NOTIFY_URL";
    pub const RETURN_URL: &str = "RETURN_URL";
    pub const PAY_URL: &str = "PAY_URL";
    pub const QR_CODE: &str = "QR_CODE";
    pub const PAYEE_NAME: &str = "PAYEE_NAME";
    pub const PAYEE_ACCOUNT: &str = "PAYEE_ACCOUNT";
    pub const REASON: &str = "REASON";
}

/// What is asked or told.
pub mod trx {
    pub const PAY: &str = "PAY";
    pub const QUERY: &str = "QUERY";
    pub const CLOSE: &str = "CLOSE";
    pub const REFUND: &str = "REFUND";
    pub const QUERY_REFUND: &str = "QUERY_REFUND";
    pub const PAYOUT: &str = "PAYOUT";
    pub const QUERY_PAYOUT: &str = "QUERY_PAYOUT";
    pub const PAYMENT_NOTICE: &str = "PAYMENT_NOTICE";
    pub const REFUND_NOTICE: &str = "REFUND_NOTICE";
    pub const PAYOUT_NOTICE: &str = "PAYOUT_NOTICE";
}

/// Codes of an answer that are told apart.
pub mod code {
    pub const OK: &str = "OK";
    /// No such number.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The number was used for other content.
    pub const NUMBER_REUSED: &str = "NUMBER_REUSED";
    /// The signature or its time is not right.
    pub const SIGN_INVALID: &str = "SIGN_INVALID";
    /// Not now: nothing was done, ask again.
    pub const BUSY: &str = "BUSY";
    pub const REQUEST_INVALID: &str = "REQUEST_INVALID";
    /// The payer's doing.
    pub const BALANCE_INSUFFICIENT: &str = "BALANCE_INSUFFICIENT";
    pub const PAYER_DECLINED: &str = "PAYER_DECLINED";
    /// The payer's account is closed: nothing goes back to it.
    pub const PAYER_ACCOUNT_CLOSED: &str = "PAYER_ACCOUNT_CLOSED";
}

/// How the customer is brought to pay.
pub const GATEWAY: &str = "GATEWAY";
pub const QR: &str = "QR";

/// A message that cannot be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the message is not of the agreed form")]
pub struct WireError;

/// How a message's characters become bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Charset {
    #[serde(rename = "GBK")]
    Gbk,
    #[serde(rename = "UTF-8")]
    Utf8,
}

impl Charset {
    /// As a message declares it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gbk => "GBK",
            Self::Utf8 => "UTF-8",
        }
    }

    /// None: a character has no place in it, or none of its own: GBK writes U+E78D and U+FE10 alike, and reads the second.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Gbk => match GBK.encode(text) {
                (bytes, _, false) => {
                    let back = GBK.decode_without_bom_handling_and_without_replacement(&bytes);
                    (back.as_deref() == Some(text)).then(|| bytes.into_owned())
                }
                (_, _, true) => None,
            },
        }
    }

    /// Reads bytes that [`Charset::encode`] would write. A decoder is more tolerant than an encoder: what two texts of bytes decode to alike
    /// would be two messages under one signature.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        let text = match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok()?.to_owned(),
            Self::Gbk => GBK.decode_without_bom_handling_and_without_replacement(bytes)?.into_owned(),
        };
        (self.encode(&text)? == bytes).then_some(text)
    }

    /// Text for people: what has no place becomes a question mark.
    pub fn fitted(self, text: &str) -> String {
        text.chars().map(|c| if self.encode(c.encode_utf8(&mut [0; 4])).is_some() { c } else { '?' }).collect()
    }
}

/// A message's fields, sorted by name. It may name a payee, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Message(BTreeMap<String, String>);

impl Message {
    /// From names and values.
    pub fn new(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A field that must be there, and say something.
    pub fn need(&self, name: &str) -> Result<&str, WireError> {
        self.get(name).filter(|v| !v.is_empty()).ok_or(WireError)
    }

    pub fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What is signed: every field but the signature as `NAME=value`, by name, a line each. No value holds a line feed, so that the borders
    /// cannot be moved.
    pub fn canonical(&self) -> String {
        self.fields().filter(|(name, _)| *name != field::SIGN).map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// As it travels.
    pub fn write(&self, charset: Charset) -> Result<Vec<u8>, WireError> {
        if self.0.values().any(|value| value.contains(char::is_control)) {
            return Err(WireError);
        }
        charset.encode(&xml::write(self, charset)).filter(|bytes| bytes.len() <= BODY_MAX).ok_or(WireError)
    }

    /// Reads what came.
    pub fn read(bytes: &[u8], charset: Charset) -> Result<Self, WireError> {
        if bytes.len() > BODY_MAX {
            return Err(WireError);
        }
        xml::read(&charset.decode(bytes).ok_or(WireError)?, charset)
    }
}

/// Where a payment stands, as it travels.
pub fn payment_status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::UserPending => "WAIT",
        PaymentStatus::Succeeded => "PAID",
        PaymentStatus::Failed => "FAIL",
        PaymentStatus::Closed => "CLOSED",
    }
}

pub fn read_payment_status(text: &str) -> Option<PaymentStatus> {
    [PaymentStatus::UserPending, PaymentStatus::Succeeded, PaymentStatus::Failed, PaymentStatus::Closed]
        .into_iter()
        .find(|status| payment_status(*status) == text)
}

/// Where a refund or a payout stands, as it travels.
pub fn transfer_status(status: TransferStatus) -> &'static str {
    match status {
        TransferStatus::Accepted => "ACCEPTED",
        TransferStatus::Succeeded => "PAID",
        TransferStatus::Failed => "FAIL",
        TransferStatus::Returned => "RETURNED",
    }
}

pub fn read_transfer_status(text: &str) -> Option<TransferStatus> {
    [TransferStatus::Accepted, TransferStatus::Succeeded, TransferStatus::Failed, TransferStatus::Returned]
        .into_iter()
        .find(|status| transfer_status(*status) == text)
}
