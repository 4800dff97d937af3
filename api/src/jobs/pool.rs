//! A pool of places for jobs of some kinds: claims as many as it has free places, runs each under a time limit, records how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;
use wallet::base::job::{self, ATTEMPTS_MAX, Ends, Job};

use super::{Context, run_job};

/// Pause where there may be more jobs than places, so that the next claim finds several places free.
const MORE: Duration = Duration::from_millis(5);
/// Pause after the database did not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// How a job that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// The outside has no final word yet: run it again after this long.
    Again(Duration),
}

/// Which jobs, how many at a time, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub kinds: &'static [&'static str],
    pub places: usize,
    /// Longer than `time_max`, so that a lease need not be renewed.
    pub lease: Duration,
    pub time_max: Duration,
    /// How often to look for jobs when there were none.
    pub poll: Duration,
}

impl Pool {
    /// Claims and runs jobs until `stop`, then waits for those in hand.
    pub(super) async fn run(self, context: Arc<Context>, stop: CancellationToken) {
        let worker = format!("work-{}", Uuid::now_v7().simple());
        let places = Arc::new(Semaphore::new(self.places));
        let ends = Ends::new(context.app.db.clone(), worker.clone());
        let tasks = TaskTracker::new();
        while let Some(first) = free_place(&places, &stop).await {
            let free = i64::try_from(1 + places.available_permits()).unwrap_or(1);
            let pause = match job::claim(&context.app.db, &worker, self.kinds, self.lease, free).await {
                Ok(jobs) => {
                    let pause = if (jobs.len() as i64) < free { self.poll } else { MORE };
                    let mut first = Some(first);
                    for job in jobs {
                        // only this loop takes places, so those that were free still are
                        let place = first.take().or_else(|| Arc::clone(&places).try_acquire_owned().ok());
                        tasks.spawn(run_one(self, context.clone(), worker.clone(), ends.clone(), job, place));
                    }
                    pause
                }
                Err(error) => {
                    tracing::warn!(error = %error, "jobs could not be claimed; trying again");
                    DATABASE_PAUSE
                }
            };
            if pause > Duration::ZERO {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn free_place(places: &Arc<Semaphore>, stop: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        () = stop.cancelled() => None,
        place = Arc::clone(places).acquire_owned() => place.ok(),
    }
}

/// One job from claim to record.
async fn run_one(pool: Pool, context: Arc<Context>, worker: String, ends: Ends, job: Job, _place: Option<OwnedSemaphorePermit>) {
    let span = tracing::info_span!("job", job_id = %job.id, kind = job.kind, subject = %job.subject, attempt = job.attempts);
    let kind = super::KINDS.iter().find(|kind| **kind == job.kind).copied().unwrap_or("other");
    let started = Instant::now();
    let outcome = async {
        let outcome = outcome(pool, &context, &job).await;
        let recorded = match &outcome {
            Ok(Step::Done) => ends.finish(job.id).await.map_err(anyhow::Error::from),
            Ok(Step::Again(delay)) => job::again(&context.app.db, job.id, &worker, *delay).await.map_err(anyhow::Error::from),
            Err(error) => job::fail(&context.app.db, &job, &worker, &format!("{error:#}")).await.map_err(anyhow::Error::from),
        };
        if let Err(error) = recorded {
            // the lease runs out and the job is run again, which it can bear
            tracing::error!(error = format!("{error:#}"), "the end of a job could not be recorded");
        }
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(Step::Done) => tracing::info!(ms, "job done"),
            Ok(Step::Again(delay)) => tracing::debug!(ms, again_s = delay.as_secs(), "job not settled yet"),
            Err(error) if job.attempts >= ATTEMPTS_MAX => {
                tracing::error!(ms, error = format!("{error:#}"), "job dead: a person has to look")
            }
            Err(error) => tracing::warn!(ms, error = format!("{error:#}"), "job failed; it will be run again"),
        }
        outcome
    }
    .instrument(span)
    .await;
    let outcome = match outcome {
        Ok(Step::Done) => "done",
        Ok(Step::Again(_)) => "again",
        Err(_) if job.attempts >= ATTEMPTS_MAX => "dead",
        Err(_) => "failed",
    };
    metrics::counter!("haodian_jobs_total", "kind" => kind, "outcome" => outcome).increment(1);
    metrics::histogram!("haodian_job_seconds", "kind" => kind).record(started.elapsed());
}

/// Runs a job within its time. A panic is a failure like any other: the worker goes on.
async fn outcome(pool: Pool, context: &Context, job: &Job) -> anyhow::Result<Step> {
    if job.attempts > ATTEMPTS_MAX {
        // it never came to the point of failing: each time, its worker died
        anyhow::bail!("the worker died each of {ATTEMPTS_MAX} times it ran this");
    }
    let run = std::panic::AssertUnwindSafe(run_job(context, job)).catch_unwind();
    match tokio::time::timeout(pool.time_max, run).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => anyhow::bail!("it panicked; the log has the place"),
        Err(_) => anyhow::bail!("it took longer than {} s", pool.time_max.as_secs()),
    }
}
