//! Alipay as a counterparty (模拟支付宝开放平台): the gateway that the platform posts to and that a payer's browser is led to.
//!
//! It shares with the adapter only the wire types, the form and the signatures. As at Alipay, a trade begins to exist when its payer
//! opens it, so a link or a code is the signed request itself.

mod notice;
pub(super) mod split;
mod trade;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use chrono::TimeDelta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wallet::base::clock::Clock;
use wallet::channel::alipay::form;
use wallet::channel::alipay::sign::{Params, Signer, Verifier};
use wallet::channel::alipay::wire::{Outcome, code, method, read_time};

pub use self::notice::Notices;
use super::{Sim, page};

/// The application that the simulator knows.
pub const APP_ID: &str = "2021000000000001";
/// The account that is paid.
pub const SELLER_ID: &str = "2088000000000001";

/// How far a request's time may be from ours.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Alipay's hand: its key, and the platform's.
#[derive(Debug)]
pub struct Hand {
    signer: Signer,
    platform: Verifier,
}

impl Hand {
    pub fn new(signer: Signer, platform: Verifier) -> Self {
        Self { signer, platform }
    }

    /// Reads our own `sim/alipay.pem` and the application's `alipay.pub.pem`. None where there are none.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        if !dir.join("sim/alipay.pem").exists() {
            return Ok(None);
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("could not read {name}"));
        Ok(Some(Self::new(Signer::try_new(&read("sim/alipay.pem")?)?, Verifier::try_new(&read("alipay.pub.pem")?)?)))
    }
}

/// Why something is not done, as Alipay says it.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// 40002 with its sub code: the request is not one that is taken.
    Invalid(&'static str),
    /// 40004 with its sub code: the business is not done.
    Business(&'static str),
    /// 20000: not now.
    Unavailable,
}

/// What a method answers with: an object without its code.
type Said = Result<serde_json::Value, Refusal>;

/// `POST /alipay/gateway.do`: what the platform asks.
pub async fn ask(State(sim): State<Arc<Sim>>, uri: Uri, body: Bytes) -> Response {
    let Some(hand) = &sim.others.alipay else { return StatusCode::NOT_FOUND.into_response() };
    let params = params(&uri, &body);
    let asked = params.as_ref().and_then(|params| params.get("method")).map_or("error", String::as_str);
    let said = match &params {
        None => Err(Refusal::Invalid("isv.invalid-encoding")),
        Some(params) => taken(hand, params).and_then(|()| fresh(params)).and_then(|()| act(&sim, asked, params)),
    };
    let member = member(said);
    let body = hand.signer.sign_answer(asked, &member);
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8"))], body).into_response()
}

/// `GET /alipay/gateway.do`: a payer who opens a link or scans a code. From now on the trade exists.
pub async fn open(State(sim): State<Arc<Sim>>, uri: Uri) -> Response {
    let Some(hand) = &sim.others.alipay else { return StatusCode::NOT_FOUND.into_response() };
    let opened = params(&uri, b"")
        .filter(|params| taken(hand, params).is_ok())
        .filter(|params| matches!(params["method"].as_str(), method::PAGE_PAY | method::WAP_PAY | method::PRECREATE))
        .and_then(|params| trade::open(&sim, &params).ok());
    match opened {
        Some(transaction_id) => Redirect::to(&format!("/pay/{transaction_id}")).into_response(),
        None => page::response(StatusCode::NOT_FOUND, page::missing()),
    }
}

fn act(sim: &Arc<Sim>, asked: &str, params: &Params) -> Said {
    match asked {
        method::PRECREATE => trade::precreate(sim, params),
        method::QUERY => trade::query(sim, &content(params)?),
        method::CLOSE => trade::close(sim, &content(params)?),
        method::REFUND => trade::refund(sim, params, &content(params)?),
        method::REFUND_QUERY => trade::refunded(sim, &content(params)?),
        method::SETTLE => split::settle(sim, content(params)?),
        method::SETTLE_QUERY => split::settled(sim, &content(params)?),
        method::RELATION_BIND => split::bind(&content(params)?),
        _ => Err(Refusal::Invalid("isv.invalid-method")),
    }
}

/// Query and body together, each name once.
fn params(uri: &Uri, body: &[u8]) -> Option<Params> {
    form::decode(&[uri.query().unwrap_or_default().as_bytes(), b"&", body].concat()).ok()
}

/// Whether a request is signed by the platform for the one application there is.
fn taken(hand: &Hand, params: &Params) -> Result<(), Refusal> {
    let is = |name: &str, value: &str| params.get(name).is_some_and(|given| given == value);
    if !is("app_id", APP_ID) {
        return Err(Refusal::Invalid("isv.invalid-app-id"));
    }
    if hand.platform.verify_request(params).is_err() {
        return Err(Refusal::Invalid("isv.invalid-signature"));
    }
    if !is("charset", "utf-8") || !is("format", "JSON") || !is("version", "1.0") || !params.contains_key("method") {
        return Err(Refusal::Invalid("isv.invalid-parameter"));
    }
    Ok(())
}

/// Whether a request was made just now. A link is not: it lives as long as its payment.
fn fresh(params: &Params) -> Result<(), Refusal> {
    let at = params.get("timestamp").and_then(|text| read_time(text)).ok_or(Refusal::Invalid("isv.missing-timestamp"))?;
    if (Clock::wall() - at).abs() > SKEW { Err(Refusal::Invalid("isv.invalid-timestamp")) } else { Ok(()) }
}

/// What the platform asks with.
fn content<Q: DeserializeOwned>(params: &Params) -> Result<Q, Refusal> {
    params.get("biz_content").and_then(|text| serde_json::from_str(text).ok()).ok_or(Refusal::Business("ACQ.INVALID_PARAMETER"))
}

fn said<A: Serialize>(answer: A) -> Said {
    Ok(serde_json::to_value(answer).expect("wire types are plain data and serialise"))
}

/// The member of an answer, its slashes escaped as Alipay escapes them: whoever parses it and writes it again gets other bytes.
fn member(said: Said) -> String {
    let (code, sub_code, mut answer) = match said {
        Ok(answer) => (code::SUCCESS, None, answer),
        Err(Refusal::Invalid(sub_code)) => (code::INVALID, Some(sub_code), serde_json::json!({})),
        Err(Refusal::Business(sub_code)) => (code::BUSINESS, Some(sub_code), serde_json::json!({})),
        Err(Refusal::Unavailable) => (code::UNAVAILABLE, None, serde_json::json!({})),
    };
    let outcome = Outcome { code: code.to_owned(), msg: sub_code.unwrap_or("Success").to_owned(), sub_code: sub_code.map(str::to_owned) };
    let outcome = serde_json::to_value(outcome).expect("wire types are plain data and serialise");
    if let (Some(answer), serde_json::Value::Object(outcome)) = (answer.as_object_mut(), outcome) {
        answer.extend(outcome);
    }
    answer.to_string().replace('/', "\\/")
}

#[cfg(test)]
mod tests;
