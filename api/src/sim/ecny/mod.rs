//! The operator's side of digital renminbi's sandbox form (模拟数字人民币运营机构). Shared with the adapter are wire and signatures only.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use aws_lc_rs::rsa::KeyPair;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::Value;
use wallet::base::clock::Clock;
use wallet::channel::ecny::sign::{NONCE, nonce, open, seal};
use wallet::channel::ecny::wire::{self, Answer, Request, code};
use wallet::channel::sandbox::wire::{PaymentRequest, RefundRequest};
use wallet::channel::unionpay::sign::{private_key, public_key};

use super::book::Refused;
use super::front::{About, Asked, Front};
use super::record::{Payment, Refund};
use super::{Party, Sim, notify};

/// The one merchant that the simulator knows.
pub const MERCHANT_NO: &str = "1900000200";

/// The operator's key, and the platform's that it knows.
pub struct Hand {
    key: KeyPair,
    platform: Vec<u8>,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hand")
    }
}

impl Hand {
    /// From PEM texts.
    pub fn try_new(key_pem: &str, platform_pem: &str) -> anyhow::Result<Self> {
        Ok(Self { key: private_key(key_pem)?, platform: public_key(platform_pem)? })
    }

    /// Reads our own `sim/ecny.pem` and the merchant's `ecny.pub.pem`. None where there are none.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        if !dir.join("sim/ecny.pem").exists() {
            return Ok(None);
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("could not read {name}"));
        Self::try_new(&read("sim/ecny.pem")?, &read("ecny.pub.pem")?).map(Some)
    }
}

/// `POST /ecny/v1`: everything that a merchant asks. Every answer is signed and carries the nonce of its request.
pub async fn ask(State(sim): State<Arc<Sim>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(hand) = sim.others.ecny.as_deref() else { return StatusCode::NOT_FOUND.into_response() };
    let (echoed, outcome) = match open(&hand.platform, &headers, &body, Clock::wall()) {
        Ok(echoed) => (echoed.to_owned(), act(&sim, &body)),
        Err(_) => (nonce(), Err(code::SIGNATURE_INVALID)),
    };
    let answer = outcome.unwrap_or_else(|code| Answer::Refused { code: code.to_owned() });
    let bytes = serde_json::to_vec(&answer).expect("wire types are plain data and serialise");
    let mut sealed = seal(&hand.key, &echoed, &bytes, Clock::wall());
    sealed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (sealed, bytes).into_response()
}

fn act(sim: &Arc<Sim>, body: &[u8]) -> Result<Answer, &'static str> {
    let request: Request = serde_json::from_slice(body).map_err(|_| code::REQUEST_INVALID)?;
    let (merchant_no, party) = (merchant(&request), Party::Ecny);
    if merchant_no != MERCHANT_NO {
        return Err(code::REQUEST_INVALID);
    }
    let mut book = sim.book();
    match request {
        Request::Pay(p) => {
            // the wallet is personal: kept is only whether one was named
            let extra = Value::Bool(p.wallet_id.is_some());
            let request = PaymentRequest {
                merchant_no: p.merchant_no,
                request_no: p.request_no,
                amount_minor: p.amount_minor,
                currency: p.currency,
                description: p.description,
                notify_url: p.notify_url,
                return_url: None,
            };
            let payment = book.pay(party, request, Some(p.expires_at), extra).map_err(refused)?;
            Ok(Answer::Payment(as_payment(&payment, Some(&sim.public_url))))
        }
        Request::Query(which) => {
            let payment = book.payment(party, &which.request_no).filter(|p| !p.barred).ok_or(code::NOT_FOUND)?;
            let answer = as_payment(payment, None);
            let late = book.asked(party, &which.request_no, sim.clock.now()).map_err(refused)?;
            drop(book);
            if let Some(notice) = late {
                notify::deliver(sim, notice, notify::LATE_AFTER);
            }
            Ok(Answer::Payment(answer))
        }
        Request::Close(which) => {
            let closed = book.close(party, MERCHANT_NO, &which.request_no).map_err(refused)?;
            Ok(Answer::Payment(as_payment(&closed, None)))
        }
        Request::Refund(r) => {
            let request = RefundRequest {
                merchant_no: r.merchant_no,
                request_no: r.request_no,
                payment_request_no: r.payment_request_no,
                amount_minor: r.amount_minor,
                currency: r.currency,
                notify_url: r.notify_url,
            };
            let taken = book.take_refund(party, request, Value::Null).map_err(refused)?;
            // settled at once, as digital money is
            let told = book.settle_refund(party, &taken.request.request_no, sim.clock.now()).map_err(refused)?;
            let refund = book.refund(party, &taken.request.request_no).map(as_refund).ok_or(code::NOT_FOUND)?;
            drop(book);
            if let Some(notice) = told {
                notify::deliver(sim, notice, std::time::Duration::ZERO);
            }
            Ok(Answer::Refund(refund))
        }
        Request::QueryRefund(which) => book.refund(party, &which.request_no).map(|r| Answer::Refund(as_refund(r))).ok_or(code::NOT_FOUND),
    }
}

fn merchant(request: &Request) -> String {
    match request {
        Request::Pay(p) => p.merchant_no.clone(),
        Request::Refund(r) => r.merchant_no.clone(),
        Request::Query(w) | Request::Close(w) | Request::QueryRefund(w) => w.merchant_no.clone(),
    }
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

/// A payment as it is told; with its code where `public_url` is given and no wallet was named.
fn as_payment(payment: &Payment, public_url: Option<&str>) -> wire::Payment {
    let code = public_url.filter(|_| payment.extra == Value::Bool(false)).map(|url| format!("{url}/pay/{}", payment.transaction_id));
    wire::Payment {
        merchant_no: payment.request.merchant_no.clone(),
        request_no: payment.request.request_no.clone(),
        transaction_id: payment.transaction_id.clone(),
        status: payment.status,
        amount_minor: payment.request.amount_minor,
        currency: payment.request.currency.clone(),
        code,
        paid_at: payment.success_time,
        error_code: payment.error_code.clone(),
    }
}

fn as_refund(refund: &Refund) -> wire::Refund {
    wire::Refund {
        merchant_no: refund.request.merchant_no.clone(),
        request_no: refund.request.request_no.clone(),
        status: refund.status,
        amount_minor: refund.request.amount_minor,
        currency: refund.request.currency.clone(),
        refunded_at: refund.success_time,
        error_code: refund.error_code.clone(),
    }
}

/// How the operator tells.
#[derive(Debug)]
pub struct Notices(pub Arc<Hand>);

impl Front for Notices {
    fn notice(&self, notice_id: &str, about: About<'_>, _now: DateTime<Utc>) -> String {
        let answer = match about {
            About::Payment(p) => Answer::Payment(as_payment(p, None)),
            About::Refund(r, _) => Answer::Refund(as_refund(r)),
            // wallets pay, nobody is paid out here
            About::Payout(_) => return String::new(),
        };
        let notice = wire::Notice { notice_id: notice_id.to_owned(), answer };
        serde_json::to_string(&notice).expect("wire types are plain data and serialise")
    }

    fn headers(&self, _url: &Url, body: &str, at: DateTime<Utc>) -> HeaderMap {
        let mut headers = seal(&self.0.key, &nonce(), body.as_bytes(), at);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    fn answer_headers(&self, asked: &Asked<'_>, _status: StatusCode, body: &[u8], at: DateTime<Utc>) -> Option<HeaderMap> {
        let nonce = asked.headers.get(NONCE)?.to_str().ok()?;
        Some(seal(&self.0.key, nonce, body, at))
    }

    fn taken(&self, status: StatusCode, _answer: &[u8]) -> bool {
        status.is_success()
    }
}
