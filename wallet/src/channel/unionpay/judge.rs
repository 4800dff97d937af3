//! What UnionPay's codes mean for us: pure, and careful. Only a code that ends a transaction ends it here.

use chrono::{DateTime, TimeDelta, Utc};

use super::wire::{AT_COUNTER, Fields, RENMINBI, code, read_amount, read_trace_time};
use crate::channel::acquirer::{Fault, PaymentWord, TransferWord};
use crate::channel::{ChannelError, sandbox};

/// How long after a number's time UnionPay takes the payment at most: we send no later `payTimeout`.
pub const PAY_TIME: TimeDelta = TimeDelta::minutes(30);
/// How long after that a payment that was begun in time may still end well.
pub const PAY_GRACE: TimeDelta = TimeDelta::minutes(5);

/// Codes of the kind "try again", "busy" and "too often" (系统未开放、系统繁忙、操作过于频繁、通用错误): they say nothing about the request.
const TRY_LATER: [&str; 5] = ["02", "06", "37", "98", "99"];

/// Codes of what is under way: time-out inside, unknown, accepted, sent on to the customer, at the issuer.
const UNDER_WAY: [&str; 5] = ["03", "04", "05", "70", "83"];

/// Codes of money that left the payer without the payment having ended: charged too late, charged and not booked (扣款成功).
const CHARGED: [&str; 3] = ["42", "74", "75"];

/// What the code of an answer to a request says about that request.
#[derive(Debug)]
pub enum Answered {
    /// Taken in. For what is settled later, no success.
    Taken,
    /// No transaction has this number and time.
    NotFound,
    /// Refused, by this answer. An earlier request of the same number may have been taken.
    Refused(String),
}

/// Reads `respCode`.
pub fn answered(answer: &Fields) -> Result<Answered, ChannelError> {
    match required(answer, "respCode")? {
        code::OK | code::PARTLY => Ok(Answered::Taken),
        code::NOT_FOUND => Ok(Answered::NotFound),
        code::SIGNATURE_INVALID => Err(ChannelError::BadAnswer("our signature was refused; compare certificate and key")),
        c if UNDER_WAY.contains(&c) || CHARGED.contains(&c) || TRY_LATER.contains(&c) => {
            Err(ChannelError::NoAnswer(format!("respCode {}", sandbox::error_code(Some(c.to_owned()))).into()))
        }
        c => Ok(Answered::Refused(sandbox::error_code(Some(c.to_owned())))),
    }
}

/// Whether nobody can pay a number any more, whatever happened before.
pub fn over(sent: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now > sent + PAY_TIME + PAY_GRACE
}

/// What a payment's final or present code says, out of a query's `origRespCode` or a notice's `respCode`.
///
/// A failure counts at once where the payment was made at the counter. In the app and with a code, a customer whose card was declined may
/// take another one under the same number, so a failure is one only when the time to pay is over (官网 FAQ: 超过超时时间，应答码不是 A6 或者 00
/// 的可以判断为失败).
pub fn payment(fields: &Fields, state: &str, sent: DateTime<Utc>, now: DateTime<Utc>) -> Result<PaymentWord, ChannelError> {
    let at_counter = fields.get("reqReserved").map(String::as_str) == Some(AT_COUNTER);
    Ok(match state {
        code::OK | code::PARTLY => PaymentWord::Succeeded {
            transaction_id: transaction_id(fields)?,
            amount_minor: read_amount(required(fields, "txnAmt")?).ok_or(ChannelError::BadAnswer("its amount cannot be read"))?,
            currency: currency(required(fields, "currencyCode")?)?,
            at: moment(fields, sent)?,
        },
        c if CHARGED.contains(&c) => {
            return Err(ChannelError::BadAnswer("the payer was charged, and the payment has no end; ask UnionPay"));
        }
        c if UNDER_WAY.contains(&c) || TRY_LATER.contains(&c) => PaymentWord::Pending,
        c if at_counter || over(sent, now) => PaymentWord::Failed { code: sandbox::error_code(Some(c.to_owned())) },
        _ => PaymentWord::Pending,
    })
}

/// What a refund's code says.
pub fn refund(fields: &Fields, state: &str, sent: DateTime<Utc>) -> Result<TransferWord, ChannelError> {
    Ok(match state {
        code::OK | code::PARTLY => TransferWord::Succeeded { at: moment(fields, sent)? },
        c if UNDER_WAY.contains(&c) || CHARGED.contains(&c) || TRY_LATER.contains(&c) => TransferWord::Accepted,
        c => TransferWord::Failed { code: sandbox::error_code(Some(c.to_owned())) },
    })
}

/// A field that must be there.
pub fn required<'f>(fields: &'f Fields, name: &'static str) -> Result<&'f str, ChannelError> {
    fields.get(name).map(String::as_str).filter(|v| !v.is_empty()).ok_or(ChannelError::BadAnswer("a field is missing"))
}

/// `queryId`: UnionPay's own number of a transaction, 21 digits.
pub fn transaction_id(fields: &Fields) -> Result<String, ChannelError> {
    let id = required(fields, "queryId")?;
    if id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(id.to_owned())
    } else {
        Err(ChannelError::BadAnswer("its queryId cannot be read"))
    }
}

/// A currency in ISO 4217 letters; of one that we do not take, the three digits, which fit no amount of ours.
pub fn currency(number: &str) -> Result<String, ChannelError> {
    match number {
        RENMINBI => Ok("CNY".to_owned()),
        _ if number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()) => Ok(number.to_owned()),
        _ => Err(ChannelError::BadAnswer("its currency cannot be read")),
    }
}

fn moment(fields: &Fields, sent: DateTime<Utc>) -> Result<DateTime<Utc>, ChannelError> {
    read_trace_time(required(fields, "traceTime")?, sent).ok_or(ChannelError::BadAnswer("its traceTime cannot be read"))
}

/// Whether the card takes nothing back: its number is no longer valid, its state is not right, it has expired (应答码 61、63、73).
pub fn refund_closed(code: &str) -> bool {
    matches!(code, "61" | "63" | "73")
}

/// Whose doing a code is (应答码表). What the table does not name is ours.
pub fn fault(code: &str) -> Fault {
    match code {
        // busy, unknown, too often, risk control, charged without an end
        "01" | "02" | "03" | "04" | "05" | "06" | "37" | "38" | "42" | "74" | "75" | "83" | "98" | "99" => Fault::Channel,
        // declined by the issuer or given up
        "30" | "44" => Fault::User,
        // 60 to 82 are the card's, its owner's or its bank's: balance, limit, password, state, not enabled; 84 to 88 the campaign's and the
        // customer's code's: used, unknown, no longer valid
        _ if code.len() == 2 && code.parse().is_ok_and(|c: u8| (60..=88).contains(&c)) => Fault::User,
        _ => Fault::Ours,
    }
}
