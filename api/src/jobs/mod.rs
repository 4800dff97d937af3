//! Work beside requests: jobs claimed by lease, and periodic tasks. Any number of workers may run; a job is run at least once and is idempotent.
//!
//! A kind of job is one line in [`run_job`] and one file. What may be lost when a worker dies is time: its leases run out and another worker
//! takes the jobs up.

mod check;
mod document_review;
pub mod inbox;
mod money;
mod pool;
pub mod relay;
mod retention;
mod split;
pub mod stop;
pub mod tick;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wallet::base::job::Job;

use crate::app::App;
use crate::config::Config;
use document_review::Reader;
use pool::{Pool, Step};

/// Every kind of job there is. A job of another kind is left lying: a newer program's.
pub const KINDS: [&str; 11] = [
    wallet::payment::QUERY_JOB,
    wallet::refund::GATHER_JOB,
    wallet::refund::SEND_JOB,
    wallet::refund::QUERY_JOB,
    wallet::withdrawal::SUBMIT_JOB,
    wallet::withdrawal::QUERY_JOB,
    wallet::split::EXECUTE_JOB,
    wallet::split::RETURN_JOB,
    wallet::split::DEADLINE_JOB,
    wallet::advance::RECOVER_JOB,
    merchant::onboarding::REVIEW_JOB,
];

/// Money jobs at the same time: each waits for a channel, or for the batch it goes with, most of its life.
const MONEY_PLACES: usize = 48;

/// What the jobs of one process share.
#[derive(Debug)]
struct Context {
    app: Arc<App>,
    reader: Reader,
}

/// Works until SIGTERM or SIGINT, then finishes the jobs it holds.
pub async fn work(config: Config) -> anyhow::Result<()> {
    let stop = stop::signal()?;
    run(App::connect(&config).await?, stop).await
}

/// Works until `stop`; running jobs end within `http.shutdown_grace_s`.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let grace = Duration::from_secs(app.config.http.shutdown_grace_s);
    let documents = app.config.documents.workers.max(1);
    let context = Arc::new(Context { reader: Reader::new(&app.config), app: app.clone() });
    let money = Pool {
        kinds: &KINDS[..10],
        places: MONEY_PLACES,
        lease: Duration::from_secs(30),
        time_max: Duration::from_secs(20),
        poll: Duration::from_millis(200),
    };
    let papers = Pool {
        kinds: &KINDS[10..],
        places: documents,
        lease: Duration::from_secs(75),
        time_max: Duration::from_secs(60),
        poll: Duration::from_millis(200),
    };
    let tasks = TaskTracker::new();
    if let Some(listen) = app.config.work.listen() {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}; choose another address with work.listen"))?;
        tasks.spawn(crate::http::watch(app.clone(), listener, stop.clone()));
    }
    tasks.spawn(money.run(context.clone(), stop.clone()));
    tasks.spawn(papers.run(context, stop.clone()));
    tasks.spawn(tick::settle(app.clone(), stop.clone()));
    tasks.spawn(tick::release_orders(app.clone(), stop.clone()));
    tasks.spawn(tick::close_orders(app.clone(), stop.clone()));
    tasks.spawn(tick::prove(app.clone(), stop.clone()));
    tasks.spawn(tick::expire_holds(app.clone(), stop.clone()));
    tasks.spawn(tick::close_periods(app.clone(), stop.clone()));
    tasks.spawn(tick::finish_transfers(app.clone(), stop.clone()));
    tasks.spawn(tick::sweep_fees(app.clone(), stop.clone()));
    tasks.spawn(check::run(app.clone(), stop.clone()));
    tasks.spawn(tick::follow_clock(app.clone(), stop.clone()));
    tasks.spawn(tick::upkeep(stop.clone()));
    tasks.spawn(retention::run(app.clone(), stop.clone()));
    tasks.spawn(webhook::collect(app.clone(), stop.clone()));
    tasks.spawn(webhook::deliver(app.clone(), stop.clone()));
    // serve processes what it took in; this sweep is for what its process did not live to process
    for sender in inbox::Sender::ALL {
        tasks.spawn(inbox::run(app.clone(), sender, Arc::default(), Arc::default(), stop.clone()));
    }
    tasks.close();
    tracing::info!(money = MONEY_PLACES, documents, "working");
    stop.cancelled().await;
    tracing::info!("stopping: finishing the jobs in hand");
    let finished = tokio::time::timeout(grace, tasks.wait()).await;
    app.close().await;
    finished.map_err(|_| {
        anyhow!("some jobs did not end within http.shutdown_grace_s ({} s); their leases run out and they are run again", grace.as_secs())
    })
}

/// Runs one job of a known kind.
async fn run_job(context: &Context, job: &Job) -> anyhow::Result<Step> {
    let app = &context.app;
    match job.kind.as_str() {
        wallet::payment::QUERY_JOB => money::payment_query(app, job).await,
        wallet::refund::GATHER_JOB => money::refund_gather(app, job).await,
        wallet::refund::SEND_JOB => money::refund_send(app, job).await,
        wallet::refund::QUERY_JOB => money::refund_query(app, job).await,
        wallet::withdrawal::SUBMIT_JOB => money::withdrawal_submit(app, job).await,
        wallet::withdrawal::QUERY_JOB => money::withdrawal_query(app, job).await,
        wallet::split::EXECUTE_JOB => split::execute(app, job).await,
        wallet::split::RETURN_JOB => split::bring_back(app, job).await,
        wallet::split::DEADLINE_JOB => split::finish_due(app, job).await,
        wallet::advance::RECOVER_JOB => money::advance_recover(app, job).await,
        merchant::onboarding::REVIEW_JOB => document_review::run(app, &context.reader, job).await,
        other => Err(anyhow!("no worker knows the kind {other}")),
    }
}
