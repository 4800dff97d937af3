//! The bank's side of direct bank (模拟银企直连): the same messages from the other end. Shared with the adapter are wire and signatures only.
//!
//! A payee's account that ends in 0001 is closed. What is paid out takes a moment, and may come back (退票) as the profile says.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::Value;
use wallet::base::clock::Clock;
use wallet::channel::alipay::wire::{read_yuan, yuan_text};
use wallet::channel::bank::sign::{OpenError, Seal, Terms};
use wallet::channel::bank::wire::{GATEWAY, Message, QR, TAKEN, WireError, code, field, payment_status, transfer_status, trx};
use wallet::channel::sandbox::wire::{PaymentRequest, PayoutRequest, RefundRequest, TransferStatus};
use wallet::channel::unionpay::wire::{read_stamp, stamp};

use super::book::Refused;
use super::front::{About, Front};
use super::record::{Payment, Payout, Refund};
use super::{Party, Sim, notify};

/// The one customer that the simulator knows, and the user id it signs under.
pub const MERCHANT_NO: &str = "7550000201";
pub const USER_ID: &str = "N003261207";

/// Who this is.
const PARTY: Party = Party::DirectBank;

/// The bank's key, and the customer's that it knows.
pub struct Hand {
    seal: Seal,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hand")
    }
}

impl Hand {
    /// From PEM texts.
    pub fn try_new(key_pem: &str, platform_pem: &str, terms: Terms) -> anyhow::Result<Self> {
        Ok(Self { seal: Seal::try_new(key_pem, platform_pem, terms)? })
    }

    /// Reads our own `sim/bank.pem` and the customer's `bank.pub.pem`. None where there are none.
    pub fn load(dir: &Path, terms: Terms) -> anyhow::Result<Option<Self>> {
        if !dir.join("sim/bank.pem").exists() {
            return Ok(None);
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("could not read {name}"));
        Self::try_new(&read("sim/bank.pem")?, &read("bank.pub.pem")?, terms).map(Some)
    }

    fn xml(&self) -> HeaderMap {
        let text = format!("application/xml; charset={}", self.seal.charset().name());
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(&text).expect("a charset's name is visible ASCII"))])
    }
}

/// What is answered beside the echo, or why nothing was done.
type Outcome = Result<Fields, &'static str>;

type Fields = Vec<(&'static str, String)>;

/// `POST /bankgw/v1`: everything that a customer asks. Every answer is signed and carries the serial number of its request.
pub async fn ask(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    let Some(hand) = sim.others.bank.as_deref() else { return StatusCode::NOT_FOUND.into_response() };
    let (asked, outcome) = match hand.seal.open(&body, Clock::wall()) {
        Ok(asked) => {
            let outcome = act(&sim, &asked);
            (asked, outcome)
        }
        // what cannot be believed is answered under its own names all the same, so that the asker finds the answer
        Err(error) => {
            let named = Message::read(&body, hand.seal.charset()).unwrap_or_default();
            (named, Err(if error == OpenError::Unsigned { code::SIGN_INVALID } else { code::REQUEST_INVALID }))
        }
    };
    let echoed = [field::TRX, field::MERCHANT, field::SERIAL, field::ORDER];
    let mut answer = Message::default();
    for (name, value) in echoed.iter().filter_map(|name| Some((name, asked.get(name)?))) {
        answer.set(name, value.to_owned());
    }
    let (code, message, more) = match outcome {
        Ok(more) => (code::OK, "成功", more),
        Err(code) => (code, "未受理", Vec::new()),
    };
    answer.set(field::RETCODE, code.to_owned());
    answer.set(field::RETMSG, message.to_owned());
    for (name, value) in more {
        answer.set(name, value);
    }
    match hand.seal.seal(answer, Clock::wall()) {
        Some(bytes) => (hand.xml(), bytes).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn act(sim: &Arc<Sim>, asked: &Message) -> Outcome {
    let need = |name| asked.need(name).map_err(|_| code::REQUEST_INVALID);
    if need(field::MERCHANT)? != MERCHANT_NO {
        return Err(code::REQUEST_INVALID);
    }
    let number = need(field::ORDER)?;
    match need(field::TRX)? {
        trx::PAY => pay(sim, asked).map_err(|_| code::REQUEST_INVALID)?.map_err(refused),
        trx::QUERY => {
            let mut book = sim.book();
            let fields = payment_fields(book.payment(PARTY, number).filter(|p| !p.barred).ok_or(code::NOT_FOUND)?);
            let late = book.asked(PARTY, number, sim.clock.now()).map_err(refused)?;
            drop(book);
            if let Some(notice) = late {
                notify::deliver(sim, notice, notify::LATE_AFTER);
            }
            Ok(fields)
        }
        trx::CLOSE => sim.book().close(PARTY, MERCHANT_NO, number).map(|p| payment_fields(&p)).map_err(refused),
        trx::REFUND => refund(sim, asked).map_err(|_| code::REQUEST_INVALID)?.map_err(refused),
        trx::QUERY_REFUND => sim.book().refund(PARTY, number).map(refund_fields).ok_or(code::NOT_FOUND),
        trx::PAYOUT => pay_out(sim, asked).map_err(|_| code::REQUEST_INVALID)?.map_err(refused),
        trx::QUERY_PAYOUT => sim.book().payout(PARTY, number).map(payout_fields).ok_or(code::NOT_FOUND),
        _ => Err(code::REQUEST_INVALID),
    }
}

fn amount(asked: &Message) -> Result<i64, WireError> {
    read_yuan(asked.need(field::AMOUNT)?).ok_or(WireError)
}

fn text(asked: &Message, name: &str) -> Result<String, WireError> {
    asked.need(name).map(str::to_owned)
}

fn pay(sim: &Arc<Sim>, asked: &Message) -> Result<Result<Fields, Refused>, WireError> {
    let pay_type = text(asked, field::PAY_TYPE)?;
    if ![GATEWAY, QR].contains(&pay_type.as_str()) {
        return Err(WireError);
    }
    let request = PaymentRequest {
        merchant_no: MERCHANT_NO.to_owned(),
        request_no: text(asked, field::ORDER)?,
        amount_minor: amount(asked)?,
        currency: text(asked, field::CURRENCY)?,
        description: asked.get(field::SUBJECT).filter(|s| !s.is_empty()).unwrap_or("-").to_owned(),
        notify_url: text(asked, field::NOTIFY_URL)?,
        return_url: asked.get(field::RETURN_URL).map(str::to_owned),
    };
    let expires_at = read_stamp(asked.need(field::EXPIRE)?).ok_or(WireError)?;
    let by_page = pay_type == GATEWAY;
    Ok(sim.book().pay(PARTY, request, Some(expires_at), Value::String(pay_type)).map(|payment| {
        let mut fields = payment_fields(&payment);
        let url = format!("{}/pay/{}", sim.public_url, payment.transaction_id);
        fields.push((if by_page { field::PAY_URL } else { field::QR_CODE }, url));
        fields
    }))
}

fn refund(sim: &Arc<Sim>, asked: &Message) -> Result<Result<Fields, Refused>, WireError> {
    let request = RefundRequest {
        merchant_no: MERCHANT_NO.to_owned(),
        request_no: text(asked, field::ORDER)?,
        payment_request_no: text(asked, field::ORIG_ORDER)?,
        amount_minor: amount(asked)?,
        currency: text(asked, field::CURRENCY)?,
        notify_url: text(asked, field::NOTIFY_URL)?,
    };
    let taken = sim.book().take_refund(PARTY, request, Value::Null);
    Ok(taken.map(|refund| {
        if refund.status == TransferStatus::Accepted {
            notify::settle(sim, notify::What::Refund, PARTY, refund.request.request_no.clone());
        }
        refund_fields(&refund)
    }))
}

fn pay_out(sim: &Arc<Sim>, asked: &Message) -> Result<Result<Fields, Refused>, WireError> {
    let request = PayoutRequest {
        merchant_no: MERCHANT_NO.to_owned(),
        request_no: text(asked, field::ORDER)?,
        payee_name: text(asked, field::PAYEE_NAME)?,
        payee_account: text(asked, field::PAYEE_ACCOUNT)?,
        amount_minor: amount(asked)?,
        currency: text(asked, field::CURRENCY)?,
        notify_url: text(asked, field::NOTIFY_URL)?,
    };
    let taken = sim.book().pay_out(PARTY, &request);
    Ok(taken.map(|payout| {
        if payout.status == TransferStatus::Accepted {
            notify::settle(sim, notify::What::Payout, PARTY, payout.request_no.clone());
        }
        payout_fields(&payout)
    }))
}

fn refused(refused: Refused) -> &'static str {
    match refused {
        Refused::NotFound => code::NOT_FOUND,
        Refused::Reused => code::NUMBER_REUSED,
        Refused::Invalid(_) => code::REQUEST_INVALID,
        Refused::NotPaid => "PAYMENT_NOT_PAID",
        Refused::ExceedsPayment => "AMOUNT_EXCEEDS_PAYMENT",
        Refused::Full | Refused::Unavailable => code::BUSY,
    }
}

/// What is said of money that moved, or did not.
fn fields(trade_no: &str, status: &str, amount: (i64, &str), done_at: Option<DateTime<Utc>>, error_code: Option<&str>) -> Fields {
    let mut fields = vec![
        (field::TRADE_NO, trade_no.to_owned()),
        (field::STATUS, status.to_owned()),
        (field::AMOUNT, yuan_text(amount.0)),
        (field::CURRENCY, amount.1.to_owned()),
    ];
    fields.extend(done_at.map(|at| (field::DONE_TIME, stamp(at))));
    fields.extend(error_code.map(|code| (field::ERRCODE, reason(code).to_owned())));
    fields
}

/// Why money did not move, in the bank's words for the book's.
fn reason(code: &str) -> &str {
    match code {
        "BALANCE_TOO_LOW" => code::BALANCE_INSUFFICIENT,
        "DECLINED" => code::PAYER_DECLINED,
        "SANDBOX_UNAVAILABLE" | "SANDBOX_FULL" => code::BUSY,
        other => other,
    }
}

fn payment_fields(p: &Payment) -> Fields {
    let amount = (p.request.amount_minor, p.request.currency.as_str());
    fields(&p.transaction_id, payment_status(p.status), amount, p.success_time, p.error_code.as_deref())
}

fn refund_fields(r: &Refund) -> Fields {
    let amount = (r.request.amount_minor, r.request.currency.as_str());
    fields(&r.transaction_id, transfer_status(r.status), amount, r.success_time, r.error_code.as_deref())
}

fn payout_fields(p: &Payout) -> Fields {
    let amount = (p.amount_minor, p.currency.as_str());
    fields(&p.bank_reference, transfer_status(p.status), amount, p.success_time, p.error_code.as_deref())
}

/// How the bank tells.
#[derive(Debug)]
pub struct Notices(pub Arc<Hand>);

impl Front for Notices {
    /// The fields, to be signed with each delivery.
    fn notice(&self, notice_id: &str, about: About<'_>, _now: DateTime<Utc>) -> String {
        let (trx, merchant_no, order, more) = match about {
            About::Payment(p) => (trx::PAYMENT_NOTICE, &p.request.merchant_no, &p.request.request_no, payment_fields(p)),
            About::Refund(r, _) => (trx::REFUND_NOTICE, &r.request.merchant_no, &r.request.request_no, refund_fields(r)),
            About::Payout(p) => (trx::PAYOUT_NOTICE, &p.merchant_no, &p.request_no, payout_fields(p)),
        };
        let named = [(field::TRX, trx), (field::MERCHANT, merchant_no), (field::SERIAL, notice_id), (field::ORDER, order)];
        let fields: BTreeMap<_, _> = named.map(|(name, value)| (name, value.to_owned())).into_iter().chain(more).collect();
        serde_json::to_string(&fields).expect("texts serialise")
    }

    fn headers(&self, _url: &Url, _body: &str, _at: DateTime<Utc>) -> HeaderMap {
        self.0.xml()
    }

    fn delivered(&self, body: &str, at: DateTime<Utc>) -> Vec<u8> {
        let mut message = Message::default();
        for (name, value) in serde_json::from_str::<BTreeMap<String, String>>(body).unwrap_or_default() {
            message.set(&name, value);
        }
        self.0.seal.seal(message, at).unwrap_or_default()
    }

    fn answer_again(&self, body: &[u8], at: DateTime<Utc>, instead: Option<(&str, &str)>) -> Option<Vec<u8>> {
        let mut answer = Message::read(body, self.0.seal.charset()).ok()?;
        if let Some((_, other)) = instead.filter(|(number, _)| answer.get(field::ORDER) == Some(number)) {
            answer.set(field::ORDER, other.to_owned());
        }
        self.0.seal.seal(answer, at)
    }

    fn taken(&self, status: StatusCode, answer: &[u8]) -> bool {
        status == StatusCode::OK && answer == TAKEN.as_bytes()
    }
}
