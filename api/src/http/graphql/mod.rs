//! The GraphQL edge: one POST route with its own reading and answering, since the stock ones run mutations over GET, take any content type,
//! batches and uploads of any size, and answer everything with 200.
//!
//! Statuses: 200 with data or with a rejection from a rule; 400 for what is no valid operation of this schema; 401 only for a token that is not
//! good; 405, 406, 413, 415 for the request's form; 408 for a slow body; 500 for our faults; 503 when saturated; 504 when out of time.

mod answer;
mod request;
pub mod socket;
mod subscribe;

use std::time::{Duration, Instant};

use async_graphql::Executor;
use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use merchant::identity::IdentityError;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use wallet::base::actor::Actor;

use super::Edge;
use super::body::{self, BodyError, Limits};
use super::layer::{Gate, RequestId};
use super::pages;
use super::problem::chain;
use crate::graphql::Caller;
use answer::{Fault, Outcome};
use request::{Format, Operation};

/// Most bytes of a request, and the longest they may take to come.
const BODY: Limits = Limits { bytes_max: 64 * 1024, time_max: Duration::from_secs(10) };

/// Operations that run at the same time; further ones are told to come again.
pub const OPERATIONS_MAX: usize = 512;

/// How operations are run: on tasks of their own, so that a caller who hangs up leaves nothing half-done, counted so that a stop waits
/// for them, limited in time and number.
#[derive(Clone, Debug)]
pub struct Runner {
    pub gate: Gate,
    pub tasks: TaskTracker,
    pub time_max: Duration,
}

/// `POST /graphql`: a query or a mutation and its answer, or a subscription and its events.
pub async fn post(State(edge): State<Edge>, Extension(id): Extension<RequestId>, request: Request) -> Response {
    let events = request::wants_events(request.headers());
    let format = match request::negotiate(request.headers()) {
        Ok(format) => format,
        Err(_) if events => Format::GraphQl,
        Err(fault) => return fault.render(Format::GraphQl, &id.0),
    };
    let (parts, body) = request.into_parts();
    let operation = match read(&parts.headers, body).await {
        Ok(operation) => operation,
        Err(fault) => return fault.render(format, &id.0),
    };
    let (actor, token) = match authenticate(&edge, &parts.headers).await {
        Ok(caller) => caller,
        Err(fault) => return fault.render(format, &id.0),
    };
    let caller = Caller { actor, token, request_id: id.0.to_string() };
    if operation.kind == OperationType::Subscription {
        if events {
            return subscribe::events(&edge, operation, caller).await;
        }
        let message = "订阅请以 Accept: text/event-stream 发送，或通过 WebSocket（graphql-transport-ws）";
        return Fault::new(StatusCode::NOT_ACCEPTABLE, "INPUT_ACCEPT", message).render(format, &id.0);
    }
    run(&edge.runner, &edge.schema, operation, caller, format).await
}

/// Any other method on `/graphql`.
pub async fn method_not_allowed(Extension(id): Extension<RequestId>) -> Response {
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "INPUT_METHOD", "请使用 POST 方法发送 GraphQL 请求").render(Format::GraphQl, &id.0)
}

/// `GET /graphiql`, in development only. Its editor sets style elements, which the policy of the other pages does not allow.
pub async fn graphiql() -> Response {
    let mut response = pages::page("graphiql.html", StatusCode::OK);
    let policy =
        "default-src 'self'; img-src 'self' data:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Checks the form of a request and reads its one operation.
async fn read(headers: &HeaderMap, body: axum::body::Body) -> Result<Operation, Fault> {
    request::content_type(headers)?;
    let bytes = body::read(headers, body, BODY).await.map_err(|error| match error {
        BodyError::TooLong => Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "LIMIT_BODY", "请求体超过 64 KiB，请精简后再发送"),
        BodyError::TooSlow => Fault::new(StatusCode::REQUEST_TIMEOUT, "LIMIT_TIME", "请求体接收超时，请检查网络后重试"),
        BodyError::Broken => Fault::new(StatusCode::BAD_REQUEST, "INPUT_REQUEST", "请求体不完整，请重新发送"),
    })?;
    let operation = request::parse(&bytes)?;
    request::key_in_input(headers, operation.kind)?;
    Ok(operation)
}

/// The caller by bearer token; nobody without one. A token that is not good is refused, so that a client notices and logs in again.
async fn authenticate(edge: &Edge, headers: &HeaderMap) -> Result<(Option<Actor>, Option<String>), Fault> {
    identify(edge, super::bearer(headers).map_err(|_| Fault::unauthenticated())?).await
}

async fn identify(edge: &Edge, token: Option<&str>) -> Result<(Option<Actor>, Option<String>), Fault> {
    let Some(token) = token else { return Ok((None, None)) };
    match edge.app.identity.authenticate(token).await {
        Ok(Some(actor)) => Ok((Some(actor), Some(token.to_owned()))),
        Ok(None) => Err(Fault::unauthenticated()),
        Err(IdentityError::Busy { .. }) => Err(Fault::busy()),
        Err(error) => {
            tracing::error!(error = %chain(&error), "a caller could not be authenticated");
            Err(Fault::internal())
        }
    }
}

/// Runs one operation within the limits and answers.
async fn run<E: Executor>(runner: &Runner, schema: &E, operation: Operation, caller: Caller, format: Format) -> Response {
    let id = caller.request_id.clone();
    let Some(place) = runner.gate.enter() else {
        return Fault::busy().render(format, &id);
    };
    let Operation { request, kind, root_field } = operation;
    let (schema, request) = (schema.clone(), request.data(caller));
    let work = async move {
        let _place = place;
        schema.execute(request).await
    };
    let started = Instant::now();
    let mut task = runner.tasks.spawn(work.in_current_span());
    let ended = tokio::time::timeout(runner.time_max, &mut task).await;
    let (response, outcome) = match ended {
        Ok(Ok(mut response)) => {
            let outcome = answer::finish(&mut response, &id);
            (answer::render(&response, outcome, format), outcome.as_str())
        }
        Ok(Err(broken)) => {
            // the panic itself was printed where it happened
            tracing::error!(panic = broken.is_panic(), "an operation ended without an answer");
            (Fault::internal().render(format, &id), Outcome::Failed.as_str())
        }
        Err(_) => {
            task.abort();
            (Fault::timed_out().render(format, &id), "timed_out")
        }
    };
    measure(kind, root_field, outcome, started.elapsed());
    response
}

/// Counts an operation under its root field. A field of a refused document may be an invention, so it is not named.
fn measure(kind: OperationType, root_field: String, outcome: &'static str, took: Duration) {
    let operation = if outcome == Outcome::Refused.as_str() { "refused".to_owned() } else { root_field };
    tracing::debug!(kind = ?kind, operation, outcome, "graphql");
    metrics::counter!("haodian_graphql_operations_total", "operation" => operation.clone(), "outcome" => outcome).increment(1);
    metrics::histogram!("haodian_graphql_operation_seconds", "operation" => operation).record(took);
}

#[cfg(test)]
mod tests;
