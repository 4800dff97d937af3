//! `POST /notices/…`: what a channel tells us by itself. Checked on the raw bytes, stored, answered 2xx, and only then processed.
//!
//! A channel sends again until it hears 2xx, so an answer of 2xx means that the notice lies in the inbox. The body of any other answer
//! says nothing: whoever forges notices learns no more than that they were refused.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use wallet::channel::acquirer::{Acquirer, HearError};
use wallet::channel::inbox::{self, Delivery, NoticeError};
use wallet::channel::payout::PayoutRail;

use super::Edge;
use super::body::{self, BodyError, Limits};
use super::problem::chain;

/// Most bytes of a notice, and the longest they may take to come.
const BODY: Limits = Limits { bytes_max: inbox::BODY_MAX, time_max: Duration::from_secs(10) };

/// `POST /notices/{channel}`: an acquirer or a bank speaks, and hears in its own form that we have it.
pub async fn heard(State(edge): State<Edge>, Path(channel): Path<String>, request: Request) -> Response {
    let Some(_place) = edge.notices.enter() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let name = channel.to_ascii_uppercase();
    let (payments, withdrawals) = (&edge.app.payments, &edge.app.withdrawals);
    let (acquirer, bank) = (payments.channels().get(&name), withdrawals.rails().get(&name));
    let Some(sender) = acquirer.map(Acquirer::name).or(bank.map(PayoutRail::name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (headers, bytes) = match read(request).await {
        Ok(read) => read,
        Err(status) => return status.into_response(),
    };
    let taken = match acquirer {
        Some(_) => payments.accept_notice(sender, &headers, &bytes).await,
        None => withdrawals.accept_notice(sender, &headers, &bytes).await,
    };
    let stored = taken.is_ok();
    if matches!(taken, Ok(Delivery::First)) {
        if acquirer.is_some() { edge.acquirers.notify_one() } else { edge.banks.notify_one() }
    }
    let mut response = answer(sender, &taken);
    let Some(reply) = acquirer.map(|a| a.reply(stored)).or(bank.map(|b| b.reply(stored))) else { return response };
    if stored {
        *response.status_mut() = reply.status;
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    *response.body_mut() = reply.body.into();
    response
}

async fn read(request: Request) -> Result<(HeaderMap, Bytes), StatusCode> {
    let (parts, body) = request.into_parts();
    match body::read(&parts.headers, body, BODY).await {
        Ok(bytes) => Ok((parts.headers, bytes)),
        Err(BodyError::TooLong) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(BodyError::TooSlow) => Err(StatusCode::REQUEST_TIMEOUT),
        Err(BodyError::Broken) => Err(StatusCode::BAD_REQUEST),
    }
}

fn answer(sender: &'static str, taken: &Result<Delivery, NoticeError>) -> Response {
    let (status, outcome) = match taken {
        Ok(Delivery::First) => (StatusCode::NO_CONTENT, "first"),
        Ok(Delivery::Again) => (StatusCode::NO_CONTENT, "again"),
        Ok(Delivery::Conflict) => (StatusCode::NO_CONTENT, "conflict"),
        Err(NoticeError::Unheard(HearError::Signature)) => (StatusCode::UNAUTHORIZED, "unsigned"),
        Err(NoticeError::Unheard(HearError::Foreign)) => (StatusCode::BAD_REQUEST, "foreign"),
        Err(NoticeError::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Err(NoticeError::Unheard(HearError::Malformed)) => (StatusCode::BAD_REQUEST, "malformed"),
        Err(NoticeError::UnknownChannel) => (StatusCode::NOT_FOUND, "unknown"),
        Err(NoticeError::Busy { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Err(NoticeError::CutShort | NoticeError::Database(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    };
    metrics::counter!("haodian_notices_total", "sender" => sender, "outcome" => outcome).increment(1);
    match taken {
        Ok(_) => {}
        Err(error @ NoticeError::Database(_)) => tracing::error!(sender, error = %chain(error), "a notice could not be stored"),
        Err(error) => tracing::warn!(sender, error = %chain(error), "a notice was refused"),
    }
    let mut response = status.into_response();
    if let Err(NoticeError::Busy { retry_after }) = taken {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after.as_secs().max(1).into());
    }
    response
}
