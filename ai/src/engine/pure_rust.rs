//! Engine B: `rten`, pure Rust, with the same files and in the same process. It needs no library, so it reads on when ONNX Runtime is
//! missing, broken or failing; 1.5 to 3 times slower.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use ndarray::Array4;
use rten::{Model, ModelOptions, RunOptions, ThreadPool, Value, ValueView};

use super::{Output, Runtime, lane::Stop};
use crate::{
    error::{Cause, EngineError},
    manifest::{Role, Weights},
};

/// The runtime with its models, each opened when first needed.
pub(super) struct PureRust {
    models: HashMap<Role, Slot>,
    /// One thread a run, as with engine A: pages and lines run side by side, not the parts of one. Runs take them in turn.
    threads: Vec<Arc<ThreadPool>>,
    next: AtomicUsize,
}

struct Slot {
    weights: Weights,
    model: OnceLock<Model>,
}

impl std::fmt::Debug for PureRust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PureRust").field("models", &self.models.len()).finish_non_exhaustive()
    }
}

impl PureRust {
    /// Opens the models that every page needs; 0.1 s or so.
    pub(super) fn load(models: &HashMap<Role, Weights>, threads: usize) -> Result<Self, EngineError> {
        let slot = |(role, weights): (&Role, &Weights)| (*role, Slot { weights: weights.clone(), model: OnceLock::new() });
        let this = Self {
            models: models.iter().map(slot).collect(),
            threads: (0..threads.max(1)).map(|_| Arc::new(ThreadPool::with_num_threads(1))).collect(),
            next: AtomicUsize::new(0),
        };
        for (_, slot) in this.models.iter().filter(|(role, _)| role.is_on_every_page()) {
            slot.open().map_err(|source| EngineError::StandbyModel { path: slot.weights.path().to_owned(), source })?;
        }
        Ok(this)
    }
}

impl Runtime for PureRust {
    /// A run cannot be stopped: `rten` has no way to.
    fn run(&self, role: Role, input: &Array4<f32>, _stop: &Stop) -> Result<Vec<Output>, Cause> {
        let slot = self.models.get(&role).ok_or(Cause::NoModel(role.as_str()))?;
        let model = slot.open()?;
        let values = input.as_slice().ok_or(Cause::NoModel(role.as_str()))?;
        let input_value = ValueView::from_shape(input.shape(), values).map_err(|error| Cause::Standby(Box::new(error)))?;
        let id = *model.input_ids().first().ok_or(Cause::NoModel(role.as_str()))?;
        let options = RunOptions::default()
            .with_thread_pool(Some(self.threads[self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len()].clone()));
        let outputs = model
            .run(vec![(id, input_value.into())], model.output_ids(), Some(options))
            .map_err(|error| Cause::Standby(Box::new(error)))?;
        let names = model.output_ids().iter().map(|&id| model.node_info(id).and_then(|node| node.name().map(str::to_owned)));
        names.zip(outputs).map(|(name, value)| output(name.unwrap_or_default(), value)).collect()
    }
}

impl Slot {
    fn open(&self) -> Result<&Model, rten::LoadError> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let opened = load(&self.weights)?;
        // Two threads may have opened it; the first one's stays.
        Ok(self.model.get_or_init(|| opened))
    }
}

fn load(weights: &Weights) -> Result<Model, rten::LoadError> {
    let mut options = ModelOptions::with_all_ops();
    let options = options.prepack_weights(true);
    match weights {
        Weights::File(path) => options.load_file(path),
        Weights::BuiltIn(_, bytes) => options.load_static_slice(bytes),
    }
}

fn output(name: String, value: Value) -> Result<Output, Cause> {
    let Value::FloatTensor(tensor) = value else { return Err(Cause::NoModel("a float output")) };
    let shape = rten_tensor::Layout::shape(&tensor).to_vec();
    Ok(Output { name, shape, values: tensor.into_data() })
}
