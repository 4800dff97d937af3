//! Answers that do not come, come late or are not what they should be: one layer around everything the platform asks, whatever the protocol.
//!
//! What is done is done before the answer is delayed or lost, but for the faults that say otherwise. A payer's page and `/control` are left alone.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::unfold;
use wallet::base::clock::Clock;
use wallet::channel::sandbox::sign::NONCE;
use wallet::channel::sandbox::wire::{BODY_MAX, PaymentStatus};
use wallet::channel::{ecny, wechat};

use super::line::Cut;
use super::profile::{Kind, Outage};
use super::request::{Asked, asked};
use super::rules::Fault;
use crate::sim::{Party, Sim, front, notify};

/// Longest that somebody is kept waiting for nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Pieces in which a slow body comes.
const DROPS: usize = 10;

/// Answers one request as the profile wants it.
pub async fn answer(State(sim): State<Arc<Sim>>, request: Request, next: Next) -> Response {
    let cut = request.extensions().get::<ConnectInfo<Cut>>().map(|info| info.0.clone()).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let Some(asked) = asked(&parts.method, &parts.uri, &body) else {
        return next.run(Request::from_parts(parts, body.into())).await;
    };
    if let Some(how) = sim.chaos.down(asked.party) {
        return down(how, &cut).await;
    }
    let plan = sim.chaos.answer(asked.party, asked.kind, &asked.number);
    if plan.fault.is_some() {
        tracing::debug!(party = asked.party.name(), kind = asked.kind.name(), number = asked.number, ?plan, "an answer goes wrong");
    }
    match plan.fault {
        Some(Fault::DropBefore) => return hang_up(&cut),
        Some(Fault::FailBefore) => return broken(),
        _ => {}
    }
    let (path, headers) = (parts.uri.path().to_owned(), parts.headers.clone());
    let answer = next.run(Request::from_parts(parts, body.into())).await;
    if asked.kind == Kind::Close {
        pay_after_all(&sim, &asked);
    }
    let (status, signed, bytes) = match whole(answer).await {
        Ok(whole) => whole,
        Err(too_long) => return too_long,
    };
    tokio::time::sleep(plan.delay).await;
    let last = sim.chaos.keep(asked.party, (status, signed.clone(), bytes.clone()));
    let speaker = Speaker { sim: &sim, party: asked.party, asked: front::Asked { path: &path, headers: &headers } };
    match plan.fault {
        None | Some(Fault::DropBefore | Fault::FailBefore) => (status, signed, bytes).into_response(),
        Some(Fault::DropAfter) => hang_up(&cut),
        Some(Fault::FailAfter) => broken(),
        Some(Fault::SlowBody(time)) => (status, signed, in_drops(bytes, time)).into_response(),
        Some(Fault::Garbage) => (status, signed, bytes.iter().map(|b| b ^ 0xa5).collect::<Vec<u8>>()).into_response(),
        Some(Fault::WrongKey) => speaker.forged(status, signed, bytes),
        Some(Fault::Stale(skew)) => speaker.again(status, signed, bytes, skew),
        Some(Fault::OtherRequest) => match speaker.about_another(&asked, status, &signed, &bytes) {
            Some(answer) => answer,
            None => last.unwrap_or((status, signed, bytes)).into_response(),
        },
    }
}

/// A party that is down.
async fn down(how: Outage, cut: &Cut) -> Response {
    match how {
        Outage::Reset => hang_up(cut),
        Outage::Busy => (StatusCode::SERVICE_UNAVAILABLE, "upstream connect error").into_response(),
        Outage::Silence => {
            // whoever asked gives up long before, and this future goes with their connection
            tokio::time::sleep(SILENCE).await;
            hang_up(cut)
        }
    }
}

/// Cuts the line. The answer only makes the server try to write.
fn hang_up(cut: &Cut) -> Response {
    cut.now();
    StatusCode::BAD_GATEWAY.into_response()
}

/// As what stands before a counterparty answers when that one has crashed: unsigned.
fn broken() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()
}

/// A payment that was closed may be paid all the same.
fn pay_after_all(sim: &Arc<Sim>, asked: &Asked) {
    let Some(after) = sim.chaos.fate(asked.party, &asked.number).late_success else { return };
    let closed = sim.book().payment(asked.party, &asked.number).is_some_and(|p| p.status == PaymentStatus::Closed && !p.barred);
    if closed {
        notify::pay_after_all(sim, asked.party, asked.number.clone(), after);
    }
}

async fn whole(answer: Response) -> Result<(StatusCode, HeaderMap, Bytes), Response> {
    let (parts, body) = answer.into_parts();
    match to_bytes(body, BODY_MAX * 4).await {
        Ok(bytes) => Ok((parts.status, parts.headers, bytes)),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

/// A body in drops, over this time.
fn in_drops(bytes: Bytes, time: Duration) -> Body {
    let (size, pause) = (bytes.len().div_ceil(DROPS).max(1), time / u32::try_from(DROPS).unwrap_or(u32::MAX));
    Body::from_stream(unfold(bytes, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let drop = left.split_to(size.min(left.len()));
        Some((Ok::<_, std::io::Error>(drop), left))
    }))
}

/// Who answers, and what was asked.
struct Speaker<'a> {
    sim: &'a Sim,
    party: Party,
    asked: front::Asked<'a>,
}

impl Speaker<'_> {
    /// With a signature by a key that is not the counterparty's.
    fn forged(&self, status: StatusCode, mut signed: HeaderMap, bytes: Bytes) -> Response {
        if let (Some(forger), Some(nonce)) = (self.sim.chaos.forger(self.party), self.asked.headers.get(NONCE)) {
            let nonce = nonce.to_str().unwrap_or("none");
            signed.extend(forger.headers(status.as_str(), self.asked.path, nonce, &bytes, Clock::wall()));
            return (status, signed, bytes).into_response();
        }
        for name in [wechat::sign::SIGNATURE, ecny::sign::SIGNATURE] {
            if let Some(signature) = signed.get(&name).and_then(other_signature) {
                signed.insert(name, signature);
            }
        }
        (status, signed, other_signature_inside(&bytes)).into_response()
    }

    /// Signed as with a clock that is wrong. A protocol without a time in its signature answers as ever.
    fn again(&self, status: StatusCode, mut signed: HeaderMap, bytes: Bytes, skew: Duration) -> Response {
        let (front, at) = (self.sim.front(self.party), Clock::wall() - skew);
        if let Some(headers) = front.and_then(|front| front.answer_headers(&self.asked, status, &bytes, at)) {
            signed.extend(headers);
        }
        match front.and_then(|front| front.answer_again(&bytes, at, None)) {
            Some(again) => (status, signed, again).into_response(),
            None => (status, signed, bytes).into_response(),
        }
    }

    /// The same about another number, rightly signed. None: what was answered is nothing that could be said of another.
    fn about_another(&self, asked: &Asked, status: StatusCode, signed: &HeaderMap, bytes: &Bytes) -> Option<Response> {
        let (front, now) = (self.sim.front(self.party)?, Clock::wall());
        let other: String = asked.number.chars().rev().collect();
        if let Some(again) = front.answer_again(bytes, now, Some((&asked.number, &other))) {
            return Some((status, signed.clone(), again).into_response());
        }
        let body = String::from_utf8_lossy(bytes).replace(&asked.number, &other);
        let headers = front.answer_headers(&self.asked, status, body.as_bytes(), now)?;
        let mut signed = signed.clone();
        signed.extend(headers);
        Some((status, signed, body).into_response())
    }
}

/// A signature of the same form that is another one.
fn other_signature(signature: &HeaderValue) -> Option<HeaderValue> {
    let text: String = signature.to_str().ok()?.chars().rev().collect();
    HeaderValue::from_str(&text).ok()
}

/// A body with another signature, where its protocol signs inside. By bytes: not every protocol speaks UTF-8.
fn other_signature_inside(bytes: &Bytes) -> Bytes {
    for (mark, end) in [(&b"\"sign\":\""[..], b'"'), (b"signature=", b'&'), (b"<SIGN>", b'<')] {
        if let Some(at) = bytes.windows(mark.len()).position(|window| window == mark) {
            let (before, rest) = bytes.split_at(at + mark.len());
            let (signature, after) = rest.split_at(rest.iter().position(|byte| *byte == end).unwrap_or(rest.len()));
            let other: Vec<u8> = signature.iter().rev().copied().collect();
            return Bytes::from([before, &other, after].concat());
        }
    }
    bytes.clone()
}
