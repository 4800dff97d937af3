//! Engine A: ONNX Runtime (`ort`), sessions in a pool per model. A session runs one input at a time on one thread, so the pool size is
//! the number of crops or pages in flight; a borrower waits for a free session, and never makes one beyond the pool's size.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError},
};

use ndarray::Array4;
use ort::{
    ep,
    session::{RunOptions, Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{Output, Runtime, lane::Stop};
use crate::{
    error::{Cause, EngineError},
    manifest::{Role, Weights},
};

/// The runtime with its models, each opened when first needed.
#[derive(Debug)]
pub(super) struct OnnxRuntime {
    models: HashMap<Role, Pool>,
}

impl OnnxRuntime {
    /// Loads the runtime library, and a first session of each model that every page needs.
    pub(super) fn load(library: &Path, models: &HashMap<Role, Weights>, sessions: usize) -> Result<Self, EngineError> {
        // Every later use of the runtime would panic without its library, so it is loaded here, where failing is an error.
        static COMMIT: Once = Once::new();
        let environment = ort::init_from(library).map_err(|source| EngineError::Library { path: library.to_owned(), source })?;
        COMMIT.call_once(|| {
            environment.with_name("haodian").with_telemetry(false).commit();
        });
        let pool = |(role, weights): (&Role, &Weights)| (*role, Pool::new(weights.clone(), sessions));
        let this = Self { models: models.iter().map(pool).collect() };
        for (_, pool) in this.models.iter().filter(|(role, _)| role.is_on_every_page()) {
            drop(pool.borrow().map_err(|source| EngineError::Model { path: pool.weights.path().to_owned(), source })?);
        }
        Ok(this)
    }
}

impl Runtime for OnnxRuntime {
    /// A run that is asked to stop ends before the graph's next operator; one that hangs inside an operator does not.
    fn run(&self, role: Role, input: &Array4<f32>, stop: &Stop) -> Result<Vec<Output>, Cause> {
        let pool = self.models.get(&role).ok_or(Cause::NoModel(role.as_str()))?;
        let mut session = pool.borrow()?;
        let options = Arc::new(RunOptions::new()?);
        stop.by({
            let options = Arc::clone(&options);
            move || {
                let _ = options.terminate();
            }
        });
        let outputs = session.run_with_options(ort::inputs![TensorRef::from_array_view(input)?], &options)?;
        let mut all = Vec::with_capacity(outputs.len());
        for (name, value) in outputs.iter() {
            let (shape, values) = value.try_extract_tensor::<f32>()?;
            let shape =
                shape.iter().map(|&side| usize::try_from(side)).collect::<Result<Vec<_>, _>>().map_err(|_| Cause::Shape(shape.to_vec()))?;
            all.push(Output { name: name.to_owned(), shape, values: values.to_vec() });
        }
        Ok(all)
    }
}

/// One model's sessions.
struct Pool {
    weights: Weights,
    slots: Mutex<Slots>,
    returned: Condvar,
}

struct Slots {
    idle: Vec<Session>,
    /// How many more may be opened.
    unopened: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("path", &self.weights.path()).finish_non_exhaustive()
    }
}

impl Pool {
    fn new(weights: Weights, sessions: usize) -> Self {
        Self { weights, slots: Mutex::new(Slots { idle: Vec::new(), unopened: sessions.max(1) }), returned: Condvar::new() }
    }

    fn borrow(&self) -> ort::Result<Borrowed<'_>> {
        let mut slots = self.slots();
        loop {
            if let Some(session) = slots.idle.pop() {
                return Ok(Borrowed { pool: self, session: Some(session) });
            }
            if slots.unopened > 0 {
                slots.unopened -= 1;
                drop(slots);
                let opened = open(&self.weights).inspect_err(|_| {
                    self.slots().unopened += 1;
                    self.returned.notify_one();
                })?;
                return Ok(Borrowed { pool: self, session: Some(opened) });
            }
            slots = self.returned.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The slots change in single steps, so they are sound even if a thread died holding them.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that goes back to its pool when dropped, also when the run failed.
struct Borrowed<'a> {
    pool: &'a Pool,
    session: Option<Session>,
}

impl std::ops::Deref for Borrowed<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("held until drop")
    }
}

impl std::ops::DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("held until drop")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.slots().idle.push(session);
            self.pool.returned.notify_one();
        }
    }
}

fn open(weights: &Weights) -> ort::Result<Session> {
    let mut builder = Session::builder()?
        // The arena never gives memory back, but the stages ask for a handful of shapes only, so it stops growing (measured:
        // 0.46 GB peak over 90 mixed pages); without it every run costs a quarter more.
        .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?
        .with_memory_pattern(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_optimization_level(GraphOptimizationLevel::All)?;
    match weights {
        Weights::File(path) => builder.commit_from_file(path),
        Weights::BuiltIn(_, bytes) => builder.commit_from_memory(bytes),
    }
}
