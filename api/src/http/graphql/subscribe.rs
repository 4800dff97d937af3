//! Subscriptions at the edge: the answers of one operation, counted while it is open, and their way as server-sent events
//! (graphql-sse, distinct connections). The way over a WebSocket is in `socket`.

use std::convert::Infallible;
use std::time::Duration;

use async_graphql::Response as GraphQlResponse;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::Edge;
use super::answer::{self, Fault, Outcome};
use super::request::{Format, Operation};
use crate::graphql::Caller;

/// How long a quiet stream goes without a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One answer of a subscription.
pub struct Answer {
    pub response: GraphQlResponse,
    pub outcome: Outcome,
}

impl Answer {
    /// Whether it is the last one: what has no data does not go on.
    pub fn ends(&self) -> bool {
        self.outcome != Outcome::Data
    }

    /// The code of its first error.
    pub fn code(&self) -> Option<String> {
        let code = self.response.errors.first()?.extensions.as_ref()?.get("code")?;
        if let async_graphql::Value::String(code) = code { Some(code.clone()) } else { None }
    }
}

/// The answers to a subscription, the last of them perhaps without data. Holds a place among all streams while it lives.
pub fn answers(edge: &Edge, operation: Operation, caller: Caller) -> Result<BoxStream<'static, Answer>, Fault> {
    let place = Open::new(edge.streams.enter().ok_or_else(Fault::busy)?);
    let id = caller.request_id.clone();
    let responses = edge.schema.execute_stream(operation.request.data(caller));
    let root_field = operation.root_field;
    let answers = stream::unfold(Some((responses, place)), move |open| {
        let (id, root_field) = (id.clone(), root_field.clone());
        async move {
            let (mut responses, place) = open?;
            let mut response = responses.next().await?;
            let outcome = answer::finish(&mut response, &id);
            let operation = if outcome == Outcome::Refused { "refused".to_owned() } else { root_field };
            metrics::counter!("haodian_graphql_stream_answers_total", "operation" => operation, "outcome" => outcome.as_str()).increment(1);
            let answer = Answer { response, outcome };
            let open = (!answer.ends()).then_some((responses, place));
            Some((answer, open))
        }
    });
    Ok(answers.boxed())
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

/// Answers with server-sent events: `next` for each state, `complete` at the end. A document that does not fit the schema is answered with
/// its status and no stream. When the process stops, the stream ends without `complete`, and the client comes again.
pub async fn events(edge: &Edge, operation: Operation, caller: Caller) -> Response {
    let id = caller.request_id.clone();
    let mut answers = match answers(edge, operation, caller) {
        Ok(answers) => answers,
        Err(fault) => return fault.render(Format::GraphQl, &id),
    };
    let first = match tokio::time::timeout(edge.runner.time_max, answers.next()).await {
        Ok(Some(first)) => first,
        Ok(None) => return Fault::internal().render(Format::GraphQl, &id),
        Err(_) => return Fault::timed_out().render(Format::GraphQl, &id),
    };
    if matches!(first.outcome, Outcome::Refused | Outcome::Failed) {
        return answer::render(&first.response, first.outcome, Format::GraphQl);
    }
    let next = |answer: &Answer| Event::default().event("next").data(answer::text(&answer.response, answer.outcome));
    let complete = stream::once(async { Event::default().event("complete").data("") });
    let told = stream::once(async { first }).chain(answers).map(move |answer| next(&answer)).chain(complete);
    let stopped = edge.stop.clone().cancelled_owned();
    let told = told.take_until(stopped).map(Ok::<_, Infallible>);
    let mut response = Sse::new(told).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // a proxy that gathers answers would keep the news to itself
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
