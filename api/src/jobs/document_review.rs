//! Reads and judges one paper: bytes → pipeline → decision → one transaction. Blocking work runs beside the async threads, bounded by the pool.
//!
//! A paper is never lost to a machine's trouble: when the pipeline cannot be loaded or breaks down, the job is tried a few times and the
//! paper then goes to a person, with the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ai::engine::Setup;
use ai::pipeline::{Findings, Options, Pipeline};
use ai::review::{self, Decision, Policy};
use ai::version::Version;
use anyhow::Context as _;
use merchant::onboarding::{Applied, ForReview, Judgement};
use tokio::sync::Mutex;
use wallet::base::id::DocumentId;
use wallet::base::job::Job;

use super::pool::Step;
use crate::app::{App, policy};
use crate::config::Config;
use crate::http::chain;

/// Tries before a paper that the machine cannot look at goes to a person: about ten seconds of back-off.
const TRIES_MAX: i32 = 3;

/// The pipeline of the promoted version, loaded with the first paper and shared by all. A load that failed is tried again with the next.
///
/// Before each paper the promoted version is asked for, one statement by key: a worker follows a promotion or a rollback between two papers,
/// without being started again. One that cannot be loaded here is said in the log, and what is loaded goes on reading.
#[derive(Debug)]
pub(super) struct Reader {
    models_dir: PathBuf,
    policy: Policy,
    /// Pages that may be read at the same time.
    workers: usize,
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    /// Of the manifest.
    version: String,
    /// The last version that could not be loaded: said once, not with every paper.
    refused: Option<String>,
    pipeline: Arc<Pipeline>,
}

impl Reader {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            models_dir: config.documents.models_dir.clone(),
            policy: policy(config),
            workers: config.documents.workers,
            loaded: Mutex::default(),
        }
    }

    async fn pipeline(&self, app: &App) -> anyhow::Result<Arc<Pipeline>> {
        let promoted = app.models.current().await?;
        let mut loaded = self.loaded.lock().await;
        let version = match &promoted {
            Some(promoted) => Version::parse(&promoted.manifest).context("the promoted manifest cannot be read"),
            None => Version::built_in().map_err(anyhow::Error::new),
        }?;
        match loaded.as_mut() {
            Some(now) if now.version == version.id || now.refused.as_ref() == Some(&version.id) => return Ok(now.pipeline.clone()),
            _ => {}
        }
        let (id, dir) = (version.id.clone(), self.models_dir.clone());
        let setup = Setup { threads: self.workers, ..Setup::default() };
        let load = move || version.load(&dir, &setup);
        let attempt = tokio::task::spawn_blocking(load).await.context("loading was interrupted")?;
        match (attempt, loaded.as_mut()) {
            (Ok(pipeline), _) => {
                let pipeline = Arc::new(pipeline);
                tracing::info!(version = id, "the models are loaded");
                *loaded = Some(Loaded { version: id, refused: None, pipeline: pipeline.clone() });
                Ok(pipeline)
            }
            (Err(error), Some(now)) => {
                tracing::error!(version = id, reading = now.version, error = %chain(&error), "the promoted models could not be loaded");
                now.refused = Some(id);
                Ok(now.pipeline.clone())
            }
            (Err(error), None) => Err(error.into()),
        }
    }
}

/// Judges the version that waits, if one still does.
pub(super) async fn run(app: &App, reader: &Reader, job: &Job) -> anyhow::Result<Step> {
    let started = Instant::now();
    let Some(paper) = app.applications.load_for_review(DocumentId(job.subject)).await? else {
        return Ok(Step::Done);
    };
    let (document, version) = (paper.document, paper.version);
    let (findings, decision) = match judge(app, reader, paper).await {
        Ok(judged) => judged,
        Err(error) if job.attempts < TRIES_MAX => return Err(error),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a paper could not be looked at and goes to a person");
            (None, review::unread())
        }
    };
    let verdict = decision.verdict.as_str();
    let took_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
    let applied = app.applications.apply_decision(document, version, Judgement { findings, decision, took_ms }).await?;
    match applied {
        Applied::Done { .. } => tracing::info!(verdict, took_ms, "paper judged"),
        Applied::AlreadyJudged | Applied::Superseded => tracing::debug!(verdict, ?applied, "a verdict came too late"),
    }
    Ok(Step::Done)
}

/// Tells the reading thread to stop between two model runs when nobody waits for it any more: the job ran out of time, or the worker stops.
/// Without it a thread would go on beside those of the jobs that take its place.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Findings and decision. A stage that failed is a decision, too; what is an error here is the machine's.
async fn judge(app: &App, reader: &Reader, paper: ForReview) -> anyhow::Result<(Option<Findings>, Decision)> {
    let pipeline = reader.pipeline(app).await.context("the pipeline could not be loaded")?;
    let image = paper.image.clone();
    let given_up = GivenUp::default();
    let flag = given_up.0.clone();
    let reading = tokio::task::spawn_blocking(move || pipeline.run_until(&image, &Options::default(), &flag));
    let read = reading.await.context("reading was interrupted")?;
    Ok(match read {
        Ok(findings) => {
            let decision = review::decide(&findings, paper.kind, &paper.claims, &reader.policy, app.clock.today());
            (Some(findings), decision)
        }
        Err(error) => {
            tracing::warn!(stage = error.stage.as_str(), error = %chain(&error), "a stage failed");
            (None, review::stage_failed(&error))
        }
    })
}
