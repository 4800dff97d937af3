//! The cashier (收银台): the page an order's ticket opens, and the stream that tells it when something changed.
//!
//! A stream carries states, not changes: each event is read anew through the services after a signal. A signal that is lost costs at most
//! the time to the next look; a stream that breaks begins with the state as it then is.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wallet::base::actor::Actor;
use wallet::base::id::{BookId, OrderId};

use super::problem::Problem;
use super::{Edge, pages};
use crate::fanout::{Watcher, order_topic};
use crate::ticket::TicketError;

/// How long a quiet stream goes without a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a stream goes without looking for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Longest life of a stream; a page that is still there opens the next.
const STREAM_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// Streams of one order: a payer, a cashier, and a few reloads.
const STREAMS_PER_ORDER_MAX: usize = 16;

/// `GET /cashier/{ticket}`: the page. It asks for the order itself; a ticket that opens nothing is told by the status, too.
pub async fn page(State(edge): State<Edge>, Path(ticket): Path<String>) -> Response {
    let status = if edge.app.tickets.open_order(&ticket).is_ok() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    pages::page("cashier.html", status)
}

/// `GET /cashier/{ticket}/events`: server-sent events named `order`, the present state first.
pub async fn events(State(edge): State<Edge>, Path(ticket): Path<String>) -> Result<Response, Problem> {
    let (book, order) = open(&edge, &ticket)?;
    let place = edge.streams.enter().ok_or_else(Problem::busy)?;
    // watched before it is read, so that no change falls between
    let watcher = edge.app.fanout.watch(&order_topic(order));
    if watcher.watchers() > STREAMS_PER_ORDER_MAX {
        return Err(Problem::busy());
    }
    let state = state(&edge, book, order).await?;
    let live = Live {
        edge,
        ticket,
        book,
        order,
        watcher,
        sent: None,
        next: Some(state),
        ends: Instant::now() + STREAM_TIME_MAX,
        _open: Open::new(place),
    };
    let mut response = Sse::new(follow(live)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What an event says of the order. Only what a payer may see.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderState {
    status: &'static str,
    attempt_status: Option<&'static str>,
}

fn open(edge: &Edge, ticket: &str) -> Result<(BookId, OrderId), Problem> {
    edge.app.tickets.open_order(ticket).map_err(|error| match error {
        TicketError::Expired => Problem::new(StatusCode::GONE, "AUTH_TICKET_EXPIRED", "支付链接已过期，请向商户索取新的链接"),
        TicketError::Invalid => Problem::not_found("找不到该订单，请检查支付链接是否完整"),
    })
}

/// The order as it stands, through the gate every payer passes.
async fn state(edge: &Edge, book: BookId, order: OrderId) -> Result<OrderState, Problem> {
    let merchant = book.merchant();
    let actor = Actor::Customer { merchant, order };
    let found = match edge.app.orders.get(&actor, merchant, order).await {
        Ok(found) => found,
        Err(wallet::order::OrderError::NotFound) => return Err(Problem::not_found("找不到该订单，请检查支付链接是否完整")),
        Err(error) => return Err(Problem::failed(&error)),
    };
    let attempts = edge.app.payments.of_order(merchant, order).await.map_err(|error| Problem::failed(&error))?;
    let latest = attempts.iter().max_by_key(|attempt| (attempt.sent_at, attempt.id));
    Ok(OrderState { status: found.status.as_str(), attempt_status: latest.map(|attempt| attempt.status.as_str()) })
}

/// A stream with all it holds.
struct Live {
    edge: Edge,
    ticket: String,
    book: BookId,
    order: OrderId,
    watcher: Watcher,
    sent: Option<OrderState>,
    next: Option<OrderState>,
    ends: Instant,
    _open: Open,
}

/// Counts a stream while it is open.
struct Open(#[expect(dead_code, reason = "holds the place")] OwnedSemaphorePermit);

impl Open {
    fn new(place: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("haodian_event_streams").increment(1.0);
        Self(place)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("haodian_event_streams").decrement(1.0);
    }
}

/// States as they differ from the last one sent, until the ticket or the stream's time runs out or the process stops.
fn follow(live: Live) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(live, |mut live| async move {
        loop {
            if let Some(state) = live.next.take().filter(|state| live.sent.as_ref() != Some(state)) {
                let event = Event::default().event("order").json_data(&state).ok()?;
                live.sent = Some(state);
                return Some((Ok(event), live));
            }
            tokio::select! {
                () = live.edge.stop.cancelled() => return None,
                () = tokio::time::sleep_until(live.ends) => return None,
                () = live.watcher.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            live.edge.app.tickets.open_order(&live.ticket).ok()?;
            // a look that fails is logged there, and made good by the next one
            live.next = state(&live.edge, live.book, live.order).await.ok();
        }
    })
}
