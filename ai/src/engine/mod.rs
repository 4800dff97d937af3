//! Runs the models. Two runtimes read the same files: engine A (ONNX Runtime, a native library) and engine B (`rten`, pure Rust). A run
//! that fails, panics or takes too long on one is repeated on the next at once, so no page is lost; a runtime that fails again and again is
//! left out for a while by its circuit breaker. A missing or broken library only takes engine A out, visibly: in the log, in
//! [`Engine::health`], and in the models that each page names.
//!
//! The second reader (engine C) is another recognition model, PP-OCRv4, run by whichever runtime is in service.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ndarray::Array4;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Cause, EngineError},
    manifest::{Manifest, Role},
};

mod breaker;
mod dictionary;
mod onnx_runtime;
mod pure_rust;

pub use dictionary::{Charset, Dictionary};

/// A run takes 0.02 to 1 s; one that takes longer than this counts as a failure of its runtime, although its answer is used.
const RUN_BUDGET: Duration = Duration::from_secs(30);

/// A runtime with the models loaded.
trait Runtime: Send + Sync + std::fmt::Debug {
    /// Runs one batch; waits while every session is busy.
    fn run(&self, role: Role, input: &Array4<f32>) -> Result<Vec<Output>, Cause>;
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
}

impl Default for Setup {
    /// Two cores are what we plan for; a third session would only add its 100 MB.
    fn default() -> Self {
        Self { threads: 2, runtimes: RuntimeKind::ALL.to_vec() }
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
    models: HashMap<Role, PathBuf>,
    library: Result<PathBuf, String>,
    threads: usize,
}

#[derive(Debug)]
struct Member {
    kind: RuntimeKind,
    /// Loaded when first needed; what failed to load is not tried again, because a library cannot be loaded twice.
    runtime: OnceLock<Result<Box<dyn Runtime>, String>>,
    breaker: Mutex<breaker::Breaker>,
    runs: AtomicU64,
    failures: AtomicU64,
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
    /// Not needed so far.
    Standby,
    /// Left out for a while after failures, or taken out by an operator.
    Out,
    /// Could not be loaded.
    Unavailable,
}

impl Engine {
    /// Compares every file with the manifest and loads the first runtime that can be loaded. A model that is missing is an error; a
    /// missing or broken runtime library is not, as long as another runtime serves.
    pub fn load(models_dir: &Path, setup: &Setup) -> Result<Self, EngineError> {
        let manifest = Manifest::built_in()?;
        let models: HashMap<Role, PathBuf> = manifest
            .files
            .iter()
            .filter(|file| file.role != Role::Runtime)
            .map(|file| Ok((file.role, file.verified_path(models_dir)?)))
            .collect::<Result<_, EngineError>>()?;
        let path = |role: Role| models.get(&role).ok_or(EngineError::NoSuchRole { role: role.as_str() });
        let dictionary = Dictionary::of_model(path(Role::Recognise)?)?;
        let second_dictionary = Dictionary::of_model(path(Role::SecondRecognise)?)?;
        let library = manifest.get(Role::Runtime)?.verified_path(models_dir).map_err(|error| error.to_string());
        let members = setup.runtimes.iter().map(|&kind| Member::new(kind)).collect();
        let engine = Self { members, dictionary, second_dictionary, manifest, models, library, threads: setup.threads.max(1) };
        let refused: Vec<&str> = engine.members.iter().map_while(|member| engine.loaded(member).err()).collect();
        if refused.len() == engine.members.len() {
            return Err(EngineError::NoRuntime { reasons: refused.join("; ") });
        }
        Ok(engine)
    }

    /// How many inputs can run at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs one input on the first runtime that is in service, and on the next when that fails.
    fn run(&self, role: Role, input: &Array4<f32>) -> Result<(Vec<Output>, RuntimeKind), Cause> {
        let mut last = None;
        for member in &self.members {
            if !member.breaker().permits(Instant::now()) {
                continue;
            }
            let Ok(runtime) = self.loaded(member) else { continue };
            match member.attempt(runtime, role, input) {
                Ok(outputs) => return Ok((outputs, member.kind)),
                Err(cause) => last = Some(cause),
            }
        }
        Err(last.unwrap_or(Cause::NoRuntime))
    }

    fn loaded<'a>(&self, member: &'a Member) -> Result<&'a dyn Runtime, &'a str> {
        let load = || {
            let started = Instant::now();
            let load = || -> Result<Box<dyn Runtime>, String> {
                Ok(match member.kind {
                    RuntimeKind::OnnxRuntime => {
                        let library = self.library.as_ref().map_err(Clone::clone)?;
                        Box::new(onnx_runtime::OnnxRuntime::load(library, &self.models, self.threads).map_err(|error| chain(&error))?)
                    }
                    RuntimeKind::Rten => Box::new(pure_rust::PureRust::load(&self.models, self.threads).map_err(|error| chain(&error))?),
                })
            };
            // A library of another version panics inside its binding.
            let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err("loading it panicked".to_owned()));
            let ms = started.elapsed().as_millis();
            match &loaded {
                Ok(_) => tracing::info!(runtime = member.kind.as_str(), ms, "runtime loaded"),
                Err(reason) => tracing::error!(runtime = member.kind.as_str(), reason, "runtime unavailable, the next one serves"),
            }
            loaded
        };
        member.runtime.get_or_init(load).as_ref().map(AsRef::as_ref).map_err(String::as_str)
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
    fn new(kind: RuntimeKind) -> Self {
        Self { kind, runtime: OnceLock::new(), breaker: Mutex::default(), runs: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    fn attempt(&self, runtime: &dyn Runtime, role: Role, input: &Array4<f32>) -> Result<Vec<Output>, Cause> {
        let started = Instant::now();
        self.runs.fetch_add(1, Ordering::Relaxed);
        let run = catch_unwind(AssertUnwindSafe(|| runtime.run(role, input))).unwrap_or(Err(Cause::Panicked));
        let late = started.elapsed() > RUN_BUDGET;
        if run.is_ok() && !late {
            self.breaker().succeeded();
            return run;
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now_out = self.breaker().failed(Instant::now());
        let error = run.as_ref().err().map(|cause| chain(cause));
        tracing::warn!(runtime = self.kind.as_str(), model = role.as_str(), late, error, now_out, "a run failed");
        run
    }

    fn breaker(&self) -> MutexGuard<'_, breaker::Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> Health {
        let (state, reason) = match self.runtime.get() {
            Some(Err(reason)) => (HealthState::Unavailable, Some(reason.clone())),
            _ if self.breaker().is_out() => (HealthState::Out, None),
            Some(Ok(_)) => (HealthState::Ready, None),
            None => (HealthState::Standby, None),
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
    pub fn run_all(&self, role: Role, input: &Array4<f32>) -> Result<Vec<Output>, Cause> {
        self.check()?;
        let (outputs, runtime) = self.engine.run(role, input)?;
        self.runtimes.fetch_or(runtime.bit(), Ordering::Relaxed);
        self.roles.fetch_or(1 << role as u8, Ordering::Relaxed);
        Ok(outputs)
    }

    /// The first answer, of models that have only one.
    pub fn run(&self, role: Role, input: &Array4<f32>) -> Result<Output, Cause> {
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
