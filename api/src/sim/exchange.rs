//! Signed exchanges with the platform: verify the raw bytes, do what is asked, sign the answer with the nonce of the request.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wallet::base::clock::Clock;
use wallet::channel::sandbox::sign::NONCE;
use wallet::channel::sandbox::wire::{PaymentRequest, PayoutRequest, RefundRequest, Refusal, TransferStatus, code};

use super::book::Refused;
use super::{Party, Sim, notify};

/// A request with everything that is signed about it.
type Asked = (Method, Uri, HeaderMap, Bytes);

pub async fn pay(State(sim): State<Arc<Sim>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    exchange(&sim, Party::Acquirer, &(method, uri, headers, body), |body| {
        let request: PaymentRequest = parse(body)?;
        ours(&sim, &request.merchant_no)?;
        Ok(sim.book().pay(Party::Acquirer, request, None, Value::Null)?.answer(&sim.public_url))
    })
}

pub async fn payment(
    State(sim): State<Arc<Sim>>,
    Path(request_no): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange(&sim, Party::Acquirer, &(method, uri, headers, body), |_| {
        let mut book = sim.book();
        let answer = book.payment(Party::Acquirer, &request_no).filter(|p| !p.barred).ok_or(Refused::NotFound)?.answer(&sim.public_url);
        let late = book.asked(Party::Acquirer, &request_no, sim.clock.now())?;
        drop(book);
        if let Some(notice) = late {
            notify::deliver(&sim, notice, notify::LATE_AFTER);
        }
        Ok(answer)
    })
}

pub async fn close(
    State(sim): State<Arc<Sim>>,
    Path(request_no): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange(&sim, Party::Acquirer, &(method, uri, headers, body), |_| {
        Ok(sim.book().close(Party::Acquirer, &sim.merchant_no, &request_no)?.answer(&sim.public_url))
    })
}

pub async fn refund(State(sim): State<Arc<Sim>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    exchange(&sim, Party::Acquirer, &(method, uri, headers, body), |body| {
        let request: RefundRequest = parse(body)?;
        ours(&sim, &request.merchant_no)?;
        let refund = sim.book().take_refund(Party::Acquirer, request, Value::Null)?;
        if refund.status == TransferStatus::Accepted {
            notify::settle(&sim, notify::What::Refund, Party::Acquirer, refund.request.request_no.clone());
        }
        Ok(refund.answer())
    })
}

pub async fn refunded(
    State(sim): State<Arc<Sim>>,
    Path(request_no): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange(&sim, Party::Acquirer, &(method, uri, headers, body), |_| {
        Ok(sim.book().refund(Party::Acquirer, &request_no).ok_or(Refused::NotFound)?.answer())
    })
}

pub async fn pay_out(State(sim): State<Arc<Sim>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    exchange(&sim, Party::Bank, &(method, uri, headers, body), |body| {
        let request: PayoutRequest = parse(body)?;
        ours(&sim, &request.merchant_no)?;
        let payout = sim.book().pay_out(Party::Bank, &request)?;
        if payout.status == TransferStatus::Accepted {
            notify::settle(&sim, notify::What::Payout, Party::Bank, payout.request_no.clone());
        }
        Ok(payout.answer())
    })
}

pub async fn payout(
    State(sim): State<Arc<Sim>>,
    Path(request_no): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    exchange(&sim, Party::Bank, &(method, uri, headers, body), |_| {
        Ok(sim.book().payout(Party::Bank, &request_no).ok_or(Refused::NotFound)?.answer())
    })
}

/// Why a request is answered with a refusal.
enum Problem {
    Unsigned,
    Refused(Refused),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Verify, do, sign. A journal write takes microseconds, so it is done where the request is.
fn exchange<A: Serialize>(sim: &Sim, party: Party, asked: &Asked, act: impl FnOnce(&[u8]) -> Result<A, Problem>) -> Response {
    let (method, uri, headers, body) = asked;
    let verified = sim.platform.verify(method.as_str(), uri.path(), headers, body, Clock::wall());
    let outcome = match verified {
        Ok(_) => act(body),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a request was not signed as agreed");
            Err(Problem::Unsigned)
        }
    };
    let (status, bytes) = match outcome {
        Ok(answer) => (StatusCode::OK, serde_json::to_vec(&answer)),
        Err(problem) => {
            let (status, refusal) = refusal(&problem);
            (status, serde_json::to_vec(&refusal))
        }
    };
    let bytes = bytes.expect("wire types are plain data and serialise");
    // an answer to an unreadable nonce carries one of its own
    let nonce = headers.get(NONCE).and_then(|n| n.to_str().ok()).filter(|n| (1..=64).contains(&n.len())).unwrap_or("none");
    let mut signed = sim.signer(party).headers(status.as_str(), uri.path(), nonce, &bytes, Clock::wall());
    signed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, signed, bytes).into_response()
}

fn refusal(problem: &Problem) -> (StatusCode, Refusal) {
    let (status, code, message) = match problem {
        Problem::Unsigned => (401, code::SIGNATURE_INVALID, "the request is not signed as agreed"),
        Problem::Refused(refused) => {
            let (status, code) = refused.wire();
            let message = if let Refused::Invalid(why) = refused { why } else { "the request was not carried out" };
            (status, code, message)
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Refusal { code: code.to_owned(), message: message.to_owned() })
}

fn parse<Q: DeserializeOwned>(body: &[u8]) -> Result<Q, Problem> {
    serde_json::from_slice(body).map_err(|_| Refused::Invalid("the body is not as agreed").into())
}

fn ours(sim: &Sim, merchant_no: &str) -> Result<(), Problem> {
    if merchant_no == sim.merchant_no { Ok(()) } else { Err(Refused::Invalid("merchant_no is not known").into()) }
}
