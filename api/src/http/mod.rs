//! The HTTP edge: one router, what every request passes, and the tasks that live beside it.
//!
//! Beside the requests, `serve` processes the inbox of notices as they come, relays the outbox to watchers, and follows the sandbox clock. Every one
//! of them may run in several processes at once; none of them is lost when this one dies.

mod body;
mod cashier;
mod graphql;
mod health;
mod image;
mod layer;
mod notice;
mod pages;
pub(crate) mod problem;
mod repo;
mod server;
pub mod upload;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::config::Config;
use crate::graphql::Schema;
use crate::jobs::inbox::Sender;
use crate::jobs::{self, stop};
use graphql::Runner;
use layer::Gate;
use problem::Problem;
pub(crate) use problem::chain;

/// Uploads that are read at the same time: 16 of 15 MiB are 240 MiB.
const UPLOADS_MAX: usize = 16;

/// Open subscriptions.
const STREAMS_MAX: usize = 2_048;

/// Notices that are taken in at the same time.
const NOTICES_MAX: usize = 256;

/// What handlers share.
#[derive(Clone)]
pub struct Edge {
    app: Arc<App>,
    schema: Schema,
    runner: Runner,
    uploads: Gate,
    streams: Gate,
    sockets: Gate,
    notices: Gate,
    /// Wake those who process the inbox.
    acquirers: Arc<Notify>,
    banks: Arc<Notify>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge(..)")
    }
}

/// Serves until SIGTERM or SIGINT, then finishes what was accepted.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = stop::signal()?;
    let app = App::connect(&config).await?;
    let listener = TcpListener::bind(config.http.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with http.listen (HAODIAN_HTTP__LISTEN)", config.http.listen)
    })?;
    run(app, listener, stop).await
}

/// Serves on `listener` until `stop`: the listener closes at once, accepted requests and running tasks end within `http.shutdown_grace_s`.
pub async fn run(app: Arc<App>, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let grace = Duration::from_secs(app.config.http.shutdown_grace_s);
    let tasks = TaskTracker::new();
    let edge = edge(app.clone(), tasks.clone(), stop.clone());
    let background = TaskTracker::new();
    let relay = Arc::new(Notify::new());
    for (sender, taken_in) in [(Sender::Acquirer, &edge.acquirers), (Sender::Bank, &edge.banks)] {
        background.spawn(jobs::inbox::run(app.clone(), sender, taken_in.clone(), relay.clone(), stop.clone()));
    }
    background.spawn(jobs::relay::run(app.clone(), relay, stop.clone()));
    background.spawn(jobs::tick::follow_clock(app.clone(), stop.clone()));
    background.spawn(jobs::tick::follow_switches(app.clone(), stop.clone()));
    background.spawn(jobs::tick::upkeep(stop.clone()));
    tracing::info!(address = %listener.local_addr().context("the listener has an address")?, "serving");
    server::serve(listener, router(edge), stop, &tasks).await;
    tracing::info!("stopping: finishing what was accepted");
    tasks.close();
    background.close();
    let finished = tokio::time::timeout(grace, async {
        tasks.wait().await;
        background.wait().await;
    })
    .await;
    app.close().await;
    match finished {
        Ok(()) => Ok(()),
        Err(_) => Err(anyhow!("some requests did not end within http.shutdown_grace_s ({} s)", grace.as_secs())),
    }
}

/// Answers `/livez`, `/readyz` and `/metrics` for a process that serves nothing else, until `stop`.
pub async fn watch(app: Arc<App>, listener: TcpListener, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let router = health::routes().with_state(health::Health { app, stop: stop.clone() });
    server::serve(listener, router.layer(middleware::from_fn(layer::protect)), stop, &tasks).await;
    tasks.close();
    tasks.wait().await;
}

fn edge(app: Arc<App>, tasks: TaskTracker, stop: CancellationToken) -> Edge {
    let time_max = Duration::from_secs(app.config.http.operation_timeout_s);
    Edge {
        schema: crate::graphql::schema(app.clone()),
        runner: Runner { gate: Gate::new("graphql", graphql::OPERATIONS_MAX), tasks, time_max },
        uploads: Gate::new("uploads", UPLOADS_MAX),
        streams: Gate::new("streams", STREAMS_MAX),
        sockets: Gate::new("sockets", graphql::socket::SOCKETS_MAX),
        notices: Gate::new("notices", NOTICES_MAX),
        acquirers: Arc::default(),
        banks: Arc::default(),
        stop,
        app,
    }
}

/// Every route with what all of them pass, outermost first: id and log line, headers, net under panics, refusal of foreign pages.
fn router(edge: Edge) -> Router {
    let public_url: Arc<str> = edge.app.config.http.public_url.as_str().into();
    let mut router = Router::new()
        .route("/graphql", post(graphql::post).get(graphql::socket::open).fallback(graphql::method_not_allowed))
        .route("/uploads", post(upload::post))
        .route("/reviews/{id}/image", get(image::get))
        .route("/notices/{channel}", post(notice::heard))
        .route("/cashier/{ticket}", get(cashier::page))
        .route("/review", get(pages::review))
        .route("/assets/{*path}", get(pages::asset))
        .merge(health::routes());
    if edge.app.config.development() {
        router = router.route("/graphiql", get(graphql::graphiql));
    }
    router.fallback(any(nothing)).with_state(edge).layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn(layer::observe))
            .layer(middleware::from_fn(layer::protect))
            .layer(CatchPanicLayer::custom(layer::panicked))
            .layer(middleware::from_fn_with_state(public_url, layer::refuse_foreign_pages)),
    )
}

async fn nothing() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "找不到该地址，请检查链接是否完整").into_response()
}

/// The token of an `Authorization: Bearer` header; none without the header. Any other scheme, or a header that is no text, is an error.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, NotABearer> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(NotABearer);
    }
    let (scheme, token) = value.to_str().map_err(|_| NotABearer)?.split_once(' ').ok_or(NotABearer)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(Some(token)) } else { Err(NotABearer) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NotABearer;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_and_anything_else_refused() {
        let cases = [
            (vec![], Ok(None)),
            (vec!["Bearer abc"], Ok(Some("abc"))),
            (vec!["bearer  abc "], Ok(Some("abc"))),
            (vec!["Bearer "], Err(NotABearer)),
            (vec!["Bearer"], Err(NotABearer)),
            (vec!["Basic abc"], Err(NotABearer)),
            (vec!["abc"], Err(NotABearer)),
            (vec!["Bearer 令牌"], Err(NotABearer)),
            (vec!["Bearer a", "Bearer b"], Err(NotABearer)),
        ];
        for (given, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in &given {
                headers.append(header::AUTHORIZATION, header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(bearer(&headers), expected, "{given:?}");
        }
    }
}
