//! Payments and refunds: the book's, in WeChat's words.

use axum::http::StatusCode;
use chrono::DateTime;
use serde_json::json;
use wallet::channel::sandbox::wire::{PaymentRequest, PaymentStatus, RefundRequest, TransferStatus};
use wallet::channel::wechat::code;
use wallet::channel::wechat::wire::{
    self, Amount, Close, CodeUrl, Prepay, PrepayId, RefundAmount, RefundAnswer, RefundStatus, TradeState, Transaction,
};

use super::Merchant;
use super::exchange::{Answer, Asked, INVALID, No, PARAM, UNKNOWN, ok};
use crate::sim::record::{Payment, Refund};
use crate::sim::{Party, notify};

/// A payment as WeChat tells it.
pub fn transaction(merchant: &Merchant, p: &Payment) -> Transaction {
    let paid = p.status == PaymentStatus::Succeeded;
    Transaction {
        appid: merchant.appid.clone(),
        mchid: p.request.merchant_no.clone(),
        out_trade_no: p.request.request_no.clone(),
        transaction_id: paid.then(|| p.transaction_id.clone()),
        trade_state: match p.status {
            PaymentStatus::UserPending => TradeState::NotPay,
            PaymentStatus::Succeeded => TradeState::Success,
            PaymentStatus::Failed => TradeState::PayError,
            PaymentStatus::Closed => TradeState::Closed,
        },
        success_time: p.success_time,
        amount: paid.then(|| Amount { total: p.request.amount_minor, currency: p.request.currency.clone() }),
    }
}

pub fn refund_status(status: TransferStatus) -> RefundStatus {
    match status {
        TransferStatus::Accepted => RefundStatus::Processing,
        TransferStatus::Succeeded => RefundStatus::Success,
        TransferStatus::Failed | TransferStatus::Returned => RefundStatus::Abnormal,
    }
}

fn refund_answer(refund: &Refund, payment: &Payment) -> RefundAnswer {
    RefundAnswer {
        refund_id: refund.transaction_id.clone(),
        out_refund_no: refund.request.request_no.clone(),
        transaction_id: payment.transaction_id.clone(),
        out_trade_no: payment.request.request_no.clone(),
        status: refund_status(refund.status),
        success_time: refund.success_time,
        amount: RefundAmount {
            refund: refund.request.amount_minor,
            total: payment.request.amount_minor,
            currency: refund.request.currency.clone(),
        },
    }
}

impl Asked<'_> {
    /// In the app or by code. The payment's id stands in what the payer gets, so that a test can play the payer.
    pub fn prepay(&self, in_app: bool) -> Answer {
        let (prepay, merchant): (Prepay, _) = (self.read()?, &self.speaker.wechat.merchant);
        if prepay.mchid != merchant.mchid || prepay.appid != merchant.appid {
            return Err(No(400, "APPID_MCHID_NOT_MATCH"));
        }
        if in_app != prepay.payer.is_some() {
            return Err(PARAM);
        }
        let expires_at = DateTime::parse_from_rfc3339(&prepay.time_expire).map_err(|_| PARAM)?.to_utc();
        let request = PaymentRequest {
            merchant_no: prepay.mchid,
            request_no: prepay.out_trade_no,
            amount_minor: prepay.amount.total,
            currency: prepay.amount.currency,
            description: prepay.description,
            notify_url: prepay.notify_url,
            return_url: None,
        };
        let extra = json!({ "split": prepay.settle_info.profit_sharing });
        let payment = self.speaker.sim.book().pay(Party::Wechat, request, Some(expires_at), extra)?;
        match payment.status {
            PaymentStatus::Succeeded => return Err(No(400, "ORDERPAID")),
            PaymentStatus::Closed => return Err(No(400, "ORDER_CLOSED")),
            PaymentStatus::UserPending | PaymentStatus::Failed => {}
        }
        let id = payment.transaction_id;
        if in_app {
            ok(&PrepayId { prepay_id: format!("wx{id}") })
        } else {
            ok(&CodeUrl { code_url: format!("weixin://wxpay/bizpayurl?pr={id}") })
        }
    }

    pub fn query(&self, number: &str) -> Answer {
        let merchant = &self.speaker.wechat.merchant;
        if self.parameter("mchid")? != merchant.mchid {
            return Err(No(400, "MCH_NOT_EXISTS"));
        }
        let sim = &self.speaker.sim;
        let mut book = sim.book();
        let answer = transaction(merchant, book.payment(Party::Wechat, number).ok_or(No(404, code::ORDER_NOT_EXIST))?);
        let late = book.asked(Party::Wechat, number, sim.clock.now())?;
        drop(book);
        if let Some(notice) = late {
            notify::deliver(sim, notice, notify::LATE_AFTER);
        }
        ok(&answer)
    }

    /// Unlike the sandbox's, WeChat's does not bar a number that it does not know.
    pub fn close(&self, number: &str) -> Answer {
        let close: Close = self.read()?;
        if close.mchid != self.speaker.wechat.merchant.mchid {
            return Err(No(400, "MCH_NOT_EXISTS"));
        }
        let mut book = self.speaker.sim.book();
        match book.payment(Party::Wechat, number).ok_or(No(404, code::ORDER_NOT_EXIST))?.status {
            PaymentStatus::Succeeded => Err(No(400, "ORDERPAID")),
            PaymentStatus::Closed => Err(No(400, "ORDER_CLOSED")),
            PaymentStatus::Failed => Err(INVALID),
            PaymentStatus::UserPending => {
                book.close(Party::Wechat, &close.mchid, number)?;
                Ok((StatusCode::NO_CONTENT, Vec::new()))
            }
        }
    }

    pub fn refund(&self) -> Answer {
        let refund: wire::Refund = self.read()?;
        let sim = &self.speaker.sim;
        let mut book = sim.book();
        let payment = book.payment_of(&refund.transaction_id).filter(|p| p.party == Party::Wechat).ok_or(UNKNOWN)?.clone();
        if refund.amount.total != payment.request.amount_minor {
            return Err(INVALID);
        }
        let request = RefundRequest {
            merchant_no: payment.request.merchant_no.clone(),
            request_no: refund.out_refund_no,
            payment_request_no: payment.request.request_no.clone(),
            amount_minor: refund.amount.refund,
            currency: refund.amount.currency,
            notify_url: refund.notify_url,
        };
        // a refund number that stands for other content is answered with a code that stands for many things
        let taken = book.take_refund(Party::Wechat, request, serde_json::Value::Null).map_err(|refused| match No::from(refused) {
            No(403, _) => INVALID,
            other => other,
        })?;
        drop(book);
        if taken.status == TransferStatus::Accepted {
            notify::settle(sim, notify::What::Refund, Party::Wechat, taken.request.request_no.clone());
        }
        ok(&refund_answer(&taken, &payment))
    }

    pub fn query_refund(&self, number: &str) -> Answer {
        let book = self.speaker.sim.book();
        let refund = book.refund(Party::Wechat, number).ok_or(UNKNOWN)?;
        let payment = book.payment(Party::Wechat, &refund.request.payment_request_no).ok_or(UNKNOWN)?;
        ok(&refund_answer(refund, payment))
    }
}
