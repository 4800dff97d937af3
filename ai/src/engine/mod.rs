//! Runs the models. Two runtimes read the same files: engine A (ONNX Runtime, a native library) and engine B (`rten`, pure Rust). A run
//! that fails or panics on one is repeated on the next at once, and one that is late is run on the next beside it, so no page is lost; a runtime
//! that fails or is overtaken again and again, or hangs, is left out for a while by its circuit breaker. A missing or broken library only takes engine A out, visibly: in the log, in
//! [`Engine::health`], and in the models that each page names.
//!
//! The second reader (engine C) is another recognition model, PP-OCRv4, run by whichever runtime is in service.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ndarray::Array4;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Cause, EngineError},
    manifest::{Classifier, Manifest, Role, Weights},
};

mod breaker;
mod dictionary;
mod fault;
mod lane;
mod onnx_runtime;
mod pure_rust;
mod race;

pub use dictionary::{Charset, Dictionary};
pub use fault::Broken;
use fault::Fault;
use lane::{Lanes, Stop};
use race::Race;

/// A run takes 0.02 to 1 s on two cores that have nothing else to do; one that takes this long hangs, on a busy machine too.
const RUN_BUDGET: Duration = Duration::from_secs(15);

/// A run that takes this many times as long as runs of its model usually do, and at least this long, is late: the next runtime is asked beside it.
/// On a machine that is behind with its work the usual time grows too, so that asking twice does not add to what is too much already.
const PATIENCE_TIMES: u32 = 4;
const PATIENCE_MIN: Duration = Duration::from_millis(500);
/// With a model that was never run here.
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(3);

/// A runtime with the models loaded.
trait Runtime: Send + Sync + std::fmt::Debug {
    /// Runs one batch; waits while every session is busy. A runtime that can be stopped tells `stop` how.
    fn run(&self, role: Role, input: &Array4<f32>, stop: &Stop) -> Result<Vec<Output>, Cause>;
}

/// The runtimes we have, in order of preference.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    OnnxRuntime,
    Rten,
}

impl RuntimeKind {
    pub const ALL: [Self; 2] = [Self::OnnxRuntime, Self::Rten];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnx_runtime",
            Self::Rten => "rten",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// How many inputs run side by side, and which runtimes may serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    pub threads: usize,
    /// In order of preference.
    pub runtimes: Vec<RuntimeKind>,
    /// How long a run may wait for a free thread, and then take, before the next runtime is asked.
    pub run_budget: Duration,
}

impl Default for Setup {
    /// Two cores are what we plan for; a third session would only add its 100 MB.
    fn default() -> Self {
        Self { threads: 2, runtimes: RuntimeKind::ALL.to_vec(), run_budget: RUN_BUDGET }
    }
}

/// A model's answer: the shape, and the values in row order.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The runtimes, the models and what their classes mean.
#[derive(Debug)]
pub struct Engine {
    members: Vec<Member>,
    pub dictionary: Dictionary,
    pub second_dictionary: Dictionary,
    pub manifest: Manifest,
    pub classifier: Classifier,
    threads: usize,
    run_budget: Duration,
}

#[derive(Debug)]
struct Member {
    kind: RuntimeKind,
    /// Or why it could not be loaded; not tried again, because a library cannot be loaded twice.
    lanes: Result<Lanes, String>,
    fault: Arc<Fault>,
    breaker: Mutex<breaker::Breaker>,
    runs: AtomicU64,
    failures: AtomicU64,
    /// Moving average of what a run of each model takes, in microseconds; zero before the first.
    usual_us: [AtomicU32; Role::COUNT],
}

/// How one runtime is doing (健康状态).
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Health {
    pub runtime: RuntimeKind,
    pub state: HealthState,
    /// Why it could not be loaded.
    pub reason: Option<String>,
    /// Runs begun.
    pub runs: u64,
    pub failures: u64,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    Ready,
    /// Left out for a while after failures, or taken out by an operator.
    Out,
    /// Could not be loaded.
    Unavailable,
}

impl Engine {
    /// Compares every file with the manifest and loads every runtime, side by side, so that one can take over at once. A model that is missing
    /// is an error; a missing or broken runtime library is not, as long as another runtime serves.
    pub fn load(models_dir: &Path, setup: &Setup) -> Result<Self, EngineError> {
        Self::load_manifest(models_dir, setup, Manifest::built_in()?)
    }

    /// The same with another manifest than the one built in.
    pub fn load_manifest(models_dir: &Path, setup: &Setup, manifest: Manifest) -> Result<Self, EngineError> {
        let mut models: HashMap<Role, Weights> = manifest
            .files
            .iter()
            .filter(|file| file.role != Role::Runtime)
            .map(|file| Ok((file.role, Weights::File(file.verified_path(models_dir)?))))
            .collect::<Result<_, EngineError>>()?;
        let (classifier, weights) = Classifier::built_in()?;
        models.insert(Role::Classify, weights);
        let path = |role: Role| models.get(&role).map(Weights::path).ok_or(EngineError::NoSuchRole { role: role.as_str() });
        let dictionary = Dictionary::of_model(path(Role::Recognise)?)?;
        let second_dictionary = Dictionary::of_model(path(Role::SecondRecognise)?)?;
        let library = manifest.get(Role::Runtime)?.verified_path(models_dir).map_err(|error| error.to_string());
        let (threads, run_budget) = (setup.threads.max(1), setup.run_budget);
        let load = |kind| Member::load(kind, &library, &models, threads);
        let members: Vec<Member> = std::thread::scope(|scope| {
            let loading: Vec<_> = setup.runtimes.iter().map(|&kind| scope.spawn(move || load(kind))).collect();
            loading.into_iter().map(|member| member.join().expect("a panic is caught inside")).collect()
        });
        let refused: Vec<&str> = members.iter().filter_map(|member| member.lanes.as_ref().err()).map(String::as_str).collect();
        if refused.len() == members.len() {
            return Err(EngineError::NoRuntime { reasons: refused.join("; ") });
        }
        Ok(Self { members, dictionary, second_dictionary, manifest, classifier, threads, run_budget })
    }

    /// How many inputs can run at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Breaks a runtime on purpose, or mends it: a drill of what happens when it fails or hangs.
    pub fn drill(&self, kind: RuntimeKind, broken: Broken) {
        for member in self.members.iter().filter(|member| member.kind == kind) {
            member.fault.set(broken);
        }
    }

    /// Takes a runtime out of service or puts it back, as an operator; runs that are under way finish.
    pub fn suspend(&self, kind: RuntimeKind, suspended: bool) {
        for member in self.members.iter().filter(|member| member.kind == kind) {
            member.breaker().suspend(suspended);
            tracing::warn!(runtime = kind.as_str(), suspended, "runtime taken out of service or put back");
        }
    }

    /// How each runtime is doing, in order of preference.
    pub fn health(&self) -> Vec<Health> {
        self.members.iter().map(Member::health).collect()
    }
}

impl Member {
    /// Loads a runtime with the models; one that cannot be loaded is a member that never serves.
    fn load(kind: RuntimeKind, library: &Result<PathBuf, String>, models: &HashMap<Role, Weights>, threads: usize) -> Self {
        let started = Instant::now();
        let load = || -> Result<Box<dyn Runtime>, String> {
            Ok(match kind {
                RuntimeKind::OnnxRuntime => {
                    let library = library.as_ref().map_err(Clone::clone)?;
                    Box::new(onnx_runtime::OnnxRuntime::load(library, models, threads).map_err(|error| chain(&error))?)
                }
                RuntimeKind::Rten => Box::new(pure_rust::PureRust::load(models, threads).map_err(|error| chain(&error))?),
            })
        };
        let fault = Arc::<Fault>::default();
        // A library of another version panics inside its binding.
        let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err("loading it panicked".to_owned()));
        let lanes = loaded.and_then(|runtime| Lanes::new(runtime, threads, Arc::clone(&fault)).map_err(|error| chain(&error)));
        let ms = started.elapsed().as_millis();
        match &lanes {
            Ok(_) => tracing::info!(runtime = kind.as_str(), ms, "runtime loaded"),
            Err(reason) => tracing::error!(runtime = kind.as_str(), reason, "runtime unavailable, the next one serves"),
        }
        Self::of(kind, lanes, fault)
    }

    fn of(kind: RuntimeKind, lanes: Result<Lanes, String>, fault: Arc<Fault>) -> Self {
        Self {
            kind,
            lanes,
            fault,
            breaker: Mutex::default(),
            runs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            usual_us: Default::default(),
        }
    }

    fn counts_run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    fn succeeded(&self, role: Role, took: Duration) {
        self.breaker().succeeded();
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let usual = &self.usual_us[role as usize];
        let before = usual.load(Ordering::Relaxed);
        // two at once: one of the two counts, which is as good
        usual.store(if before == 0 { took } else { before - before / 8 + took / 8 }, Ordering::Relaxed);
    }

    fn failed(&self, role: Role, cause: &Cause) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let hangs = matches!(cause, Cause::Overdue | Cause::Hanging);
        let now_out = self.breaker().failed(Instant::now(), hangs);
        tracing::warn!(runtime = self.kind.as_str(), model = role.as_str(), error = chain(cause), now_out, "a run failed");
    }

    /// How long a run may take before another runtime is asked beside this one.
    fn patience(&self, role: Role) -> Duration {
        match self.usual_us[role as usize].load(Ordering::Relaxed) {
            0 => PATIENCE_UNKNOWN,
            usual => (Duration::from_micros(usual.into()) * PATIENCE_TIMES).max(PATIENCE_MIN),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, breaker::Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> Health {
        let (state, reason) = match &self.lanes {
            Err(reason) => (HealthState::Unavailable, Some(reason.clone())),
            Ok(_) if self.breaker().is_out() => (HealthState::Out, None),
            Ok(_) => (HealthState::Ready, None),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Health { runtime: self.kind, state, reason, runs: count(&self.runs), failures: count(&self.failures) }
    }
}

/// One page's use of the engine: notes which runtimes and models took part, and stops between runs when the page was given up.
#[derive(Debug)]
pub struct Session<'a> {
    pub engine: &'a Engine,
    cancelled: &'a AtomicBool,
    runtimes: AtomicU8,
    roles: AtomicU8,
}

impl<'a> Session<'a> {
    pub fn new(engine: &'a Engine, cancelled: &'a AtomicBool) -> Self {
        Self { engine, cancelled, runtimes: AtomicU8::new(0), roles: AtomicU8::new(0) }
    }

    /// The model's answers by output, or an error when every runtime failed or the page was given up.
    pub fn run_all(&self, role: Role, input: Array4<f32>) -> Result<Vec<Output>, Cause> {
        self.check()?;
        let (outputs, runtime) = Race::run(&self.engine.members, self.engine.run_budget, role, input)?;
        self.runtimes.fetch_or(runtime.bit(), Ordering::Relaxed);
        self.roles.fetch_or(1 << role as u8, Ordering::Relaxed);
        Ok(outputs)
    }

    /// The first answer, of models that have only one.
    pub fn run(&self, role: Role, input: Array4<f32>) -> Result<Output, Cause> {
        self.run_all(role, input)?.into_iter().next().ok_or(Cause::Shape(Vec::new()))
    }

    /// An error when the page was given up.
    pub fn check(&self) -> Result<(), Cause> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Cause::Cancelled) } else { Ok(()) }
    }

    /// The runtimes that ran a model for this page.
    pub fn runtimes(&self) -> Vec<RuntimeKind> {
        let used = self.runtimes.load(Ordering::Relaxed);
        RuntimeKind::ALL.into_iter().filter(|kind| used & kind.bit() != 0).collect()
    }

    pub fn took_part(&self, role: Role) -> bool {
        self.roles.load(Ordering::Relaxed) & (1 << role as u8) != 0
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
