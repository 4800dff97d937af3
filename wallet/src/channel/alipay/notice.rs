//! Notices (异步通知): a signed form about one trade, sent again for up to 25 hours until it is answered `success`.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};

use super::sign::{Params, Verifier};
use super::wire::{BODY_MAX, read_time, read_yuan, status};
use super::{CNY, form};
use crate::channel::acquirer::{HearError, Heard, PaymentWord, Spoken, TransferWord};

/// How far ahead of ours Alipay's clock may be.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// How old a notice may be: it is sent again for 25 hours.
const AGE_MAX: TimeDelta = TimeDelta::hours(26);

/// Longest id that is kept as it is, in bytes.
const NOTICE_ID_MAX: usize = 64;

/// Checks a notice and reads it. `app_id` and `seller_id` are ours: a right signature alone does not make a notice about us.
pub fn hear(verifier: &Verifier, app_id: &str, seller_id: &str, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
    if body.len() > BODY_MAX {
        return Err(HearError::Malformed);
    }
    let params = form::decode(body).map_err(|_| HearError::Malformed)?;
    let notice = Notice(&params);
    if !notice.text("charset")?.eq_ignore_ascii_case("utf-8") {
        return Err(HearError::Malformed);
    }
    verifier.verify_notice(&params).map_err(|_| HearError::Signature)?;
    let sent = notice.time("notify_time")?;
    if sent > now + SKEW || sent < now - AGE_MAX {
        return Err(HearError::Signature);
    }
    if notice.text("app_id")? != app_id {
        return Err(HearError::Foreign);
    }
    let id = notice.text("notify_id")?;
    if id.contains('\0') {
        return Err(HearError::Malformed);
    }
    // documented with up to 128 characters, seen with 34
    let notice_id = if id.len() > NOTICE_ID_MAX { hex::encode(digest(&SHA256, id.as_bytes())) } else { id.to_owned() };
    let spoken = match notice.text("notify_type")? {
        "trade_status_sync" => notice.trade(seller_id)?,
        kind => Spoken::Other { kind: kind.chars().take(NOTICE_ID_MAX).collect() },
    };
    Ok(Heard { notice_id, spoken })
}

struct Notice<'p>(&'p Params);

impl<'p> Notice<'p> {
    fn some(&self, name: &str) -> Option<&'p str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<&'p str, HearError> {
        self.some(name).ok_or(HearError::Malformed)
    }

    fn time(&self, name: &str) -> Result<DateTime<Utc>, HearError> {
        read_time(self.text(name)?).ok_or(HearError::Malformed)
    }

    fn yuan(&self, name: &str) -> Result<i64, HearError> {
        read_yuan(self.text(name)?).ok_or(HearError::Malformed)
    }

    /// A number of ours or of Alipay's.
    fn number(&self, name: &str) -> Result<String, HearError> {
        let number = self.text(name)?;
        if number.len() > 64 || number.contains('\0') { Err(HearError::Malformed) } else { Ok(number.to_owned()) }
    }

    fn trade(&self, seller_id: &str) -> Result<Spoken, HearError> {
        if self.text("seller_id")? != seller_id {
            return Err(HearError::Foreign);
        }
        let request_no = self.number("out_trade_no")?;
        let amount_minor = self.yuan("total_amount")?;
        // a trade that was closed unpaid comes with a refund of 0.00
        let refunded = self.some("refund_fee").filter(|fee| !fee.bytes().all(|b| matches!(b, b'0' | b'.')));
        if refunded.is_some() {
            return self.refund();
        }
        let paid = |this: &Self| -> Result<PaymentWord, HearError> {
            let (transaction_id, at) = (this.number("trade_no")?, this.time("gmt_payment")?);
            Ok(PaymentWord::Succeeded { transaction_id, amount_minor, currency: CNY.to_owned(), at })
        };
        let word = match self.text("trade_status")? {
            status::WAIT_BUYER_PAY => PaymentWord::Pending,
            status::TRADE_SUCCESS | status::TRADE_FINISHED => paid(self)?,
            // paid and refunded in full stays a success
            status::TRADE_CLOSED if self.some("gmt_payment").is_some() => paid(self)?,
            status::TRADE_CLOSED => PaymentWord::Closed,
            _ => return Err(HearError::Malformed),
        };
        Ok(Spoken::Payment { request_no, word })
    }

    /// A refund is told in a notice about its trade. `refund_fee` is documented as the sum of the trade's refunds so far (总退款金额), so of
    /// a second part it is more than that part.
    fn refund(&self) -> Result<Spoken, HearError> {
        let amount_minor = self.yuan("refund_fee")?;
        if self.some("out_biz_no").is_none() {
            // made by hand in Alipay's back office: no number of ours belongs to it
            return Ok(Spoken::Other { kind: "REFUND".to_owned() });
        }
        let request_no = self.number("out_biz_no")?;
        // some notices of a full refund carry no time of it but that of the close
        let at = if self.some("gmt_refund").is_some() { self.time("gmt_refund")? } else { self.time("gmt_close")? };
        Ok(Spoken::Refund { request_no, amount_minor, currency: CNY.to_owned(), word: TransferWord::Succeeded { at } })
    }
}
