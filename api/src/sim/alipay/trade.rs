//! Trades and their refunds: the book's payments in Alipay's words.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use wallet::channel::alipay::form;
use wallet::channel::alipay::sign::Params;
use wallet::channel::alipay::wire::{
    CloseAnswer, PayContent, PrecreateAnswer, RefundAnswer, RefundContent, RefundQueryAnswer, RefundQueryContent, TradeAnswer,
    TradeContent, code, read_time, read_yuan, status, time_text, yuan_text,
};
use wallet::channel::sandbox::wire::{PaymentRequest, PaymentStatus, RefundRequest, TransferStatus, code as sandbox};

use super::super::book::{Book, Refused};
use super::super::record::Payment;
use super::super::{Party, Sim, notify};
use super::{APP_ID, Refusal, Said, content, said, split};

const ME: Party = Party::Alipay;

/// Where a refund's record keeps the sum of its trade's refunds so far, in fen.
pub const REFUNDED_MINOR: &str = "refunded_minor";

/// A code to scan: the platform's own signed request, to be opened by the payer.
pub fn precreate(sim: &Arc<Sim>, params: &Params) -> Said {
    let (request, _) = asked(params)?;
    if let Some(known) = sim.book().payment(ME, &request.request_no) {
        match known.status {
            PaymentStatus::Succeeded => return Err(Refusal::Business(code::TRADE_HAS_SUCCESS)),
            PaymentStatus::Closed | PaymentStatus::Failed => return Err(Refusal::Business(code::TRADE_HAS_CLOSE)),
            PaymentStatus::UserPending if !known.same_content(&request) => return Err(Refusal::Business(code::CONTEXT_INCONSISTENT)),
            PaymentStatus::UserPending => {}
        }
    }
    let qr_code = format!("{}/alipay/gateway.do?{}", sim.public_url, form::encode(params));
    said(PrecreateAnswer { out_trade_no: request.request_no, qr_code })
}

/// The payer opens a link or scans a code. Gives the number of the trade.
pub fn open(sim: &Arc<Sim>, params: &Params) -> Result<String, Refusal> {
    let (request, expires_at) = asked(params)?;
    let mut book = sim.book();
    if book.payment(ME, &request.request_no).is_none() && sim.clock.now() > expires_at {
        return Err(Refusal::Business(code::TRADE_HAS_CLOSE));
    }
    Ok(book.pay(ME, request, Some(expires_at), Value::Null).map_err(refusal)?.transaction_id)
}

/// What is to be paid, and until when.
fn asked(params: &Params) -> Result<(PaymentRequest, DateTime<Utc>), Refusal> {
    let asked: PayContent = content(params)?;
    let invalid = Refusal::Business("ACQ.INVALID_PARAMETER");
    let amount_minor = read_yuan(&asked.total_amount).ok_or(invalid)?;
    let expires_at = read_time(&asked.time_expire).ok_or(invalid)?;
    if asked.subject.is_empty() || asked.subject.contains(['/', '=', '&']) || asked.product_code.is_empty() {
        return Err(invalid);
    }
    let request = PaymentRequest {
        merchant_no: APP_ID.to_owned(),
        request_no: asked.out_trade_no,
        amount_minor,
        currency: "CNY".to_owned(),
        description: asked.subject,
        notify_url: params.get("notify_url").cloned().unwrap_or_default(),
        return_url: params.get("return_url").cloned(),
    };
    Ok((request, expires_at))
}

pub fn query(sim: &Arc<Sim>, asked: &TradeContent) -> Said {
    let now = sim.clock.now();
    let mut book = sim.book();
    let payment = trade(&book, &asked.out_trade_no)?;
    let answer = TradeAnswer {
        out_trade_no: payment.request.request_no.clone(),
        trade_no: payment.transaction_id.clone(),
        trade_status: standing(&book, payment, now).to_owned(),
        total_amount: yuan_text(payment.request.amount_minor),
        send_pay_date: payment.success_time.map(time_text),
        trans_currency: None,
    };
    let late = book.asked(ME, &asked.out_trade_no, now).map_err(refusal)?;
    drop(book);
    if let Some(notice) = late {
        notify::deliver(sim, notice, notify::LATE_AFTER);
    }
    said(answer)
}

/// Where a trade stands. Alipay knows no failure: a payer who gives up leaves it waiting, here it is closed at once.
fn standing(book: &Book, payment: &Payment, now: DateTime<Utc>) -> &'static str {
    match payment.status {
        PaymentStatus::UserPending if payment.expires_at.is_none_or(|end| now <= end) => status::WAIT_BUYER_PAY,
        PaymentStatus::Succeeded if book.refunded_minor(ME, &payment.request.request_no) < payment.request.amount_minor => {
            status::TRADE_SUCCESS
        }
        _ => status::TRADE_CLOSED,
    }
}

pub fn close(sim: &Arc<Sim>, asked: &TradeContent) -> Said {
    let mut book = sim.book();
    // a trade that was never opened is not barred: its link can still be used
    if trade(&book, &asked.out_trade_no)?.status != PaymentStatus::UserPending {
        return Err(Refusal::Business(code::REASON_TRADE_STATUS_INVALID));
    }
    let closed = book.close(ME, APP_ID, &asked.out_trade_no).map_err(refusal)?;
    said(CloseAnswer { out_trade_no: Some(closed.request.request_no) })
}

/// Refunds at once. The same number again moves nothing.
pub fn refund(sim: &Arc<Sim>, params: &Params, asked: &RefundContent) -> Said {
    let now = sim.clock.now();
    let mut book = sim.book();
    let payment = trade(&book, &asked.out_trade_no)?.clone();
    let request = RefundRequest {
        merchant_no: APP_ID.to_owned(),
        request_no: asked.out_request_no.clone(),
        payment_request_no: asked.out_trade_no.clone(),
        amount_minor: read_yuan(&asked.refund_amount).ok_or(Refusal::Business("ACQ.INVALID_PARAMETER"))?,
        currency: "CNY".to_owned(),
        notify_url: params.get("notify_url").cloned().unwrap_or_default(),
    };
    let known = book.refund(ME, &asked.out_request_no);
    let again = known.is_some();
    let backs = match known {
        Some(known) => split::backs_of(known),
        None => split::take_back(sim, &book, &payment, asked)?,
    };
    if !split::same(&backs, asked) {
        return Err(Refusal::Business(code::DISCORDANT_REPEAT_REQUEST));
    }
    let sum = book.refunded_minor(ME, &asked.out_trade_no) + if again { 0 } else { request.amount_minor };
    let refund = book.take_refund(ME, request, json!({ REFUNDED_MINOR: sum, split::BACKS: backs })).map_err(|refused| match refused {
        Refused::Reused => Refusal::Business(code::DISCORDANT_REPEAT_REQUEST),
        other => refusal(other),
    })?;
    let notice = book.settle_refund(ME, &refund.request.request_no, now).map_err(refusal)?;
    let settled = book.refund(ME, &refund.request.request_no).unwrap_or(&refund);
    let (failed, paid_at) = (settled.status == TransferStatus::Failed, settled.success_time);
    if failed {
        let closed = settled.error_code.as_deref() == Some(sandbox::PAYER_ACCOUNT_CLOSED);
        // a refund that failed is refused, each time it is asked for, and nothing is told of it
        if let Some(notice) = notice {
            book.delivered(&notice.notice_id, 0).map_err(refusal)?;
        }
        return Err(Refusal::Business(if closed { "ACQ.BUYER_ENABLE_STATUS_FORBID" } else { "ACQ.SELLER_BALANCE_NOT_ENOUGH" }));
    }
    drop(book);
    if let Some(notice) = notice {
        notify::deliver(sim, notice, std::time::Duration::ZERO);
    }
    said(RefundAnswer {
        out_trade_no: asked.out_trade_no.clone(),
        trade_no: payment.transaction_id,
        refund_fee: yuan_text(sum),
        fund_change: if again { "N" } else { "Y" }.to_owned(),
        gmt_refund_pay: paid_at.map(time_text),
    })
}

pub fn refunded(sim: &Arc<Sim>, asked: &RefundQueryContent) -> Said {
    let book = sim.book();
    trade(&book, &asked.out_trade_no)?;
    let refund = book.refund(ME, &asked.out_request_no).filter(|refund| refund.request.payment_request_no == asked.out_trade_no);
    said(match refund {
        Some(refund) if refund.status == TransferStatus::Succeeded => RefundQueryAnswer {
            out_trade_no: Some(asked.out_trade_no.clone()),
            out_request_no: Some(asked.out_request_no.clone()),
            refund_status: Some(status::REFUND_SUCCESS.to_owned()),
            refund_amount: Some(yuan_text(refund.request.amount_minor)),
            refund_royaltys: split::backs_of(refund).iter().map(split::Back::result).collect(),
            gmt_refund_pay: refund.success_time.filter(|_| asked.query_options.iter().any(|o| o == "gmt_refund_pay")).map(time_text),
        },
        _ => RefundQueryAnswer::default(),
    })
}

fn trade<'b>(book: &'b Book, request_no: &str) -> Result<&'b Payment, Refusal> {
    book.payment(ME, request_no).ok_or(Refusal::Business(code::TRADE_NOT_EXIST))
}

pub(super) fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::NotFound => Refusal::Business(code::TRADE_NOT_EXIST),
        Refused::Reused => Refusal::Business(code::CONTEXT_INCONSISTENT),
        Refused::Invalid(_) => Refusal::Business("ACQ.INVALID_PARAMETER"),
        Refused::NotPaid => Refusal::Business(code::REASON_TRADE_STATUS_INVALID),
        Refused::ExceedsPayment => Refusal::Business(code::REASON_TRADE_REFUND_FEE_ERR),
        Refused::Full | Refused::Unavailable => Refusal::Unavailable,
    }
}
