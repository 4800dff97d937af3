//! The payer's side (模拟付款页): a page to confirm or decline on, and the same two for programs that play a payer.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wallet::channel::sandbox::wire::PaymentStatus;

use super::book::Refused;
use super::record::Notice;
use super::{Party, Sim, notify, page};

/// Most deliveries of one notice.
const NOTICES_MAX: u32 = 5;

/// How the acquirer is to tell the platform. A page's form leaves both out.
#[derive(Debug, Deserialize)]
struct Confirm {
    /// How often the notice is delivered; 0 holds it back until the platform has asked.
    #[serde(default = "once")]
    notices: u32,
    #[serde(default)]
    delay_ms: u64,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct Decline {
    #[serde(default = "declined")]
    code: String,
}

fn declined() -> String {
    "PAYER_DECLINED".to_owned()
}

/// What a program is told.
#[derive(Debug, Serialize)]
struct Answer {
    transaction_id: String,
    status: PaymentStatus,
}

/// `GET /pay/{transaction_id}`.
pub async fn show(State(sim): State<Arc<Sim>>, Path(transaction_id): Path<String>) -> Response {
    let book = sim.book();
    match book.payment_of(&transaction_id) {
        Some(payment) if !payment.barred => page::response(StatusCode::OK, page::payment(payment)),
        _ => page::response(StatusCode::NOT_FOUND, page::missing()),
    }
}

/// `POST /pay/{transaction_id}/confirm`: form or JSON.
pub async fn confirm(State(sim): State<Arc<Sim>>, Path(transaction_id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(asked) = read::<Confirm>(&headers, &body).filter(|c| c.notices <= NOTICES_MAX) else { return malformed() };
    let delay = Duration::from_millis(asked.delay_ms).min(notify::DELAY_MAX);
    let declined = number(&sim, &transaction_id).and_then(|(party, number)| sim.chaos.fate(party, &number).declined);
    let decided = match declined {
        Some(code) => decide_against(&sim, &transaction_id, code),
        None => sim.book().confirm(&transaction_id, asked.notices, sim.clock.now()),
    };
    conclude(&sim, &transaction_id, &headers, decided, delay)
}

/// `POST /pay/{transaction_id}/decline`: form or JSON.
pub async fn decline(State(sim): State<Arc<Sim>>, Path(transaction_id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let fits =
        |d: &Decline| (1..=64).contains(&d.code.len()) && d.code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
    let Some(asked) = read::<Decline>(&headers, &body).filter(fits) else { return malformed() };
    let decided = decide_against(&sim, &transaction_id, &asked.code);
    conclude(&sim, &transaction_id, &headers, decided, Duration::ZERO)
}

/// A payment comes to nothing; perhaps only for a while.
fn decide_against(sim: &Arc<Sim>, transaction_id: &str, code: &str) -> Result<Option<Notice>, Refused> {
    let decided = sim.book().decline(transaction_id, code, sim.clock.now());
    if let Some((party, number)) = number(sim, transaction_id)
        && let Some(after) = sim.chaos.fate(party, &number).success_after_decline
    {
        notify::pay_after_all(sim, party, number, after);
    }
    decided
}

/// Whose payment it is, and its number.
fn number(sim: &Sim, transaction_id: &str) -> Option<(Party, String)> {
    sim.book().payment_of(transaction_id).map(|p| (p.party, p.request.request_no.clone()))
}

/// Sends the notice on its way and answers in the form that was asked in. A decision that comes too late changes nothing.
fn conclude(
    sim: &Arc<Sim>,
    transaction_id: &str,
    headers: &HeaderMap,
    decided: Result<Option<Notice>, Refused>,
    delay: Duration,
) -> Response {
    match decided {
        Ok(notice) => {
            if let Some(notice) = notice {
                notify::deliver(sim, notice, delay);
            }
        }
        Err(refused) => {
            let status = StatusCode::from_u16(refused.wire().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return page::response(status, page::missing());
        }
    }
    if !json(headers) {
        return Redirect::to(&format!("/pay/{transaction_id}")).into_response();
    }
    let status = sim.book().payment_of(transaction_id).map(|p| p.status);
    match status {
        Some(status) => Json(Answer { transaction_id: transaction_id.to_owned(), status }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn malformed() -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, "notices must be 0 to 5, code upper-case letters, digits and underscores").into_response()
}

fn json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/json"))
}

/// Reads JSON or a form. A form is what a query is, in the body.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Option<T> {
    if json(headers) {
        return serde_json::from_slice(body).ok();
    }
    let uri: Uri = format!("/?{}", std::str::from_utf8(body).ok()?).parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(form)| form)
}
