//! `/livez`: the process runs. `/readyz`: it can serve. `/metrics`: what it measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::gauge;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wallet::base::actor::Actor;

use super::{Edge, repo};
use crate::app::App;
use crate::telemetry;

/// Longest one look at a dependency may take.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Health {
    pub app: Arc<App>,
    pub stop: CancellationToken,
}

impl FromRef<Edge> for Health {
    fn from_ref(edge: &Edge) -> Self {
        Self { app: edge.app.clone(), stop: edge.stop.clone() }
    }
}

/// The three addresses.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
{
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(metrics))
}

/// `GET /livez`: answers as long as the process can.
async fn livez() -> &'static str {
    "ok"
}

/// `GET /readyz`: 200 when the database answers with a schema as new as this program's, the fan-out gets through, and no stop was asked for.
async fn readyz(State(health): State<Health>) -> Response {
    let (database, schema) = database(&health.app).await;
    let checks = [
        ("database", database),
        ("schema", schema),
        ("fanout", health.app.fanout.healthy().await),
        ("running", !health.stop.is_cancelled()),
    ];
    let ready = checks.iter().all(|(_, fine)| *fine);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks: serde_json::Map<_, _> = checks.into_iter().map(|(name, fine)| (name.to_owned(), fine.into())).collect();
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(json!({ "ready": ready, "checks": checks }))).into_response()
}

/// Whether the database answers, and whether its schema is new enough. A schema never goes back, so a good one is looked at once.
async fn database(app: &App) -> (bool, bool) {
    static SCHEMA_FINE: AtomicBool = AtomicBool::new(false);
    let db = &app.db;
    if SCHEMA_FINE.load(Ordering::Relaxed) {
        return (look(repo::ping(db)).await.is_some(), true);
    }
    let Some(version) = look(repo::schema_version(db)).await else {
        return (look(repo::ping(db)).await.is_some(), false);
    };
    let newest = crate::launcher::database::newest_migration();
    let fine = version >= newest;
    SCHEMA_FINE.store(fine, Ordering::Relaxed);
    (true, fine)
}

async fn look<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(LOOK_MAX, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "the database does not answer as it should");
            None
        }
        Err(_) => {
            tracing::warn!("the database does not answer");
            None
        }
    }
}

/// `GET /metrics`: Prometheus text. What a queue holds is asked of the database now; where it does not answer, the last figures stand.
async fn metrics(State(health): State<Health>) -> Response {
    let db = &health.app.db;
    gauge!("haodian_db_connections", "state" => "idle").set(count(db.num_idle()));
    gauge!("haodian_db_connections", "state" => "used").set(count((db.size() as usize).saturating_sub(db.num_idle())));
    if let Some(queues) = look(repo::queues(db)).await {
        gauge!("haodian_notices_waiting").set(queues.notices_waiting as f64);
        gauge!("haodian_jobs_dead").set(queues.jobs_dead as f64);
    }
    if let Some(lags) = look(health.app.outbox.lags(&Actor::System)).await {
        for lag in lags.consumers {
            let waited = lag.oldest.map_or(0.0, |time| time.as_seconds_f64());
            gauge!("haodian_outbox_lag_events", "consumer" => lag.consumer.clone()).set(lag.waiting as f64);
            gauge!("haodian_outbox_lag_seconds", "consumer" => lag.consumer.clone()).set(waited);
            gauge!("haodian_outbox_dead_letters", "consumer" => lag.consumer).set(lag.dead_letters as f64);
        }
    }
    if let Some(open) = look(health.app.transfers.open()).await {
        gauge!("haodian_transfers_open").set(open.count as f64);
        gauge!("haodian_transfers_open_oldest_seconds").set(open.age().as_seconds_f64());
    }
    if let Some(waiting) = look(repo::jobs_waiting(db)).await {
        for kind in crate::jobs::KINDS {
            let jobs = waiting.iter().find(|(name, _)| name == kind).map_or(0, |(_, jobs)| *jobs);
            gauge!("haodian_jobs_waiting", "kind" => kind).set(jobs as f64);
        }
    }
    let text = telemetry::recorder().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn count(connections: usize) -> f64 {
    f64::from(u32::try_from(connections).unwrap_or(u32::MAX))
}
