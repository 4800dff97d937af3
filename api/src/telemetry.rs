//! Logs and metrics. Logs go to standard error as text or JSON lines; metrics are rendered by `/metrics`.
//!
//! What may be logged is what call sites name: ids, codes, durations. No bodies, no variables, no raw paths (tickets are in them), no names.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Upper edges of latency buckets, in seconds: fine where a cashier waits, coarse where a document is read.
const SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Starts logging. A second call in one process (tests) keeps the first.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| anyhow::anyhow!("log.filter cannot be read ({e}); try info,sqlx=warn"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    recorder();
    Ok(())
}

/// The process's metrics. The recorder is installed with the first call.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let handle = recorder.handle();
        // refused when a test harness installed one of its own: then this one stays empty
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("haodian_http_requests_total", "HTTP requests by route, method and class of status");
    describe_histogram!("haodian_http_request_seconds", "Time until the response head, by route");
    describe_counter!("haodian_graphql_operations_total", "GraphQL operations by root field and outcome");
    describe_histogram!("haodian_graphql_operation_seconds", "Time of a GraphQL operation by root field");
    describe_counter!("haodian_refused_total", "Requests refused because a limit of concurrency was reached, by gate");
    describe_counter!("haodian_jobs_total", "Background jobs by kind and outcome");
    describe_histogram!("haodian_job_seconds", "Time of a background job by kind");
    describe_counter!("haodian_notices_total", "Channel notices by sender and outcome");
    describe_counter!("haodian_fanout_lost_total", "Signals that Redis did not take");
    describe_histogram!("haodian_batch_size", "Commands of a micro-batch, by batcher");
    describe_histogram!("haodian_batch_seconds", "Time of a micro-batch by batcher");
    describe_gauge!("haodian_batch_waiting", "Commands that wait for their batch, by batcher");
    describe_counter!("haodian_batch_refused_total", "Commands refused because too many wait already, by batcher");
    describe_gauge!("haodian_event_streams", "Open event streams of cashier pages");
    describe_gauge!("haodian_notices_waiting", "Notices in the inbox that are not processed");
    describe_gauge!("haodian_outbox_lag_events", "Events a consumer has not read, counted up to 10,000, by consumer");
    describe_gauge!("haodian_outbox_lag_seconds", "How long the first of them has waited, by consumer");
    describe_gauge!("haodian_outbox_dead_letters", "Events a consumer gave up on that need a person, by consumer");
    describe_gauge!("haodian_transfers_open", "Transfers between books that have not arrived");
    describe_gauge!("haodian_transfers_open_oldest_seconds", "How long the oldest of them has been on its way");
    describe_gauge!("haodian_jobs_waiting", "Jobs that are due or will be, by kind");
    describe_gauge!("haodian_jobs_dead", "Jobs that failed for good and need a person");
    describe_gauge!("haodian_check_violations", "What the last look of the ledger checker found wrong, by rule");
    describe_gauge!(
        "haodian_check_behind_seconds",
        "How long ago the first posting was recorded that the last look of the ledger checker read"
    );
    describe_histogram!("haodian_check_seconds", "Time of an incremental look of the ledger checker");
    describe_gauge!("haodian_db_connections", "Connections of the pool by state");
}
