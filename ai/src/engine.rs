//! ONNX Runtime sessions behind a small pool per model. A session runs one input at a time on one thread, so the pool
//! size is the number of crops or pages in flight; a borrower waits for a free session, never makes one.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use ndarray::Array4;
use ort::{
    ep,
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use crate::{
    document::text,
    error::{Cause, EngineError},
    manifest::{Manifest, Role},
};

/// Sessions per model. Two cores are what we plan for; a third session would only add its 100 MB.
const SESSIONS: usize = 2;
/// The metadata key under which the recognition model carries its classes, one a line.
const DICTIONARY_KEY: &str = "character";

/// The three models, loaded.
#[derive(Debug)]
pub struct Engine {
    pub detect: Model,
    pub direction: Model,
    pub recognise: Model,
    pub dictionary: Dictionary,
    pub manifest: Manifest,
}

impl Engine {
    /// Loads the runtime library and the models from `models_dir`, each compared with the manifest first.
    pub fn load(models_dir: &Path) -> Result<Self, EngineError> {
        let manifest = Manifest::built_in()?;
        let library = manifest.get(Role::Runtime)?.verified_path(models_dir)?;
        // Every later use of the runtime would panic without its library, so it is loaded here, where failing is an error.
        ort::init_from(&library)
            .map_err(|source| EngineError::Library { path: library.clone(), source })?
            .with_name("haodian")
            .with_telemetry(false)
            .commit();
        let recognise = Model::load(&manifest, Role::Recognise, models_dir)?;
        let dictionary = recognise.dictionary(models_dir.join(&manifest.get(Role::Recognise)?.file))?;
        Ok(Self {
            detect: Model::load(&manifest, Role::Detect, models_dir)?,
            direction: Model::load(&manifest, Role::Direction, models_dir)?,
            recognise,
            dictionary,
            manifest,
        })
    }
}

/// What the classes of the recognition model stand for.
#[derive(Debug)]
pub struct Dictionary {
    /// Class 0, the blank, is not in it: class `n` is `characters[n - 1]`.
    characters: Vec<char>,
    /// For classes that some other class is only another form of (廈 and 厦, full and half width): all of them.
    alike: HashMap<usize, Vec<usize>>,
}

impl Dictionary {
    pub fn new(characters: Vec<char>) -> Self {
        let mut by_form: HashMap<Option<char>, Vec<usize>> = HashMap::new();
        for (at, character) in characters.iter().enumerate() {
            by_form.entry(text::fold(*character)).or_default().push(at + 1);
        }
        let groups = by_form.into_values().filter(|group| group.len() > 1);
        let alike = groups.flat_map(|group| group.clone().into_iter().map(move |class| (class, group.clone()))).collect();
        Self { characters, alike }
    }

    /// How many classes there are, the blank included.
    pub fn classes(&self) -> usize {
        self.characters.len() + 1
    }

    pub fn character(&self, class: usize) -> char {
        self.characters[class - 1]
    }

    /// How sure `scores` are of the class: what is divided over forms of one character counts together, because every
    /// comparison folds them.
    pub fn confidence(&self, class: usize, scores: &[f32]) -> f32 {
        match self.alike.get(&class) {
            Some(forms) => forms.iter().map(|&form| scores[form]).sum(),
            None => scores[class],
        }
    }
}

/// One model's sessions.
pub struct Model {
    idle: Mutex<Vec<Session>>,
    returned: Condvar,
    sessions: usize,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// A model's answer: the shape, and the values in row order.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Model {
    fn load(manifest: &Manifest, role: Role, models_dir: &Path) -> Result<Self, EngineError> {
        let path = manifest.get(role)?.verified_path(models_dir)?;
        let idle =
            (0..SESSIONS).map(|_| open(&path)).collect::<ort::Result<Vec<_>>>().map_err(|source| EngineError::Model { path, source })?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), sessions: SESSIONS })
    }

    /// How many inputs can run at the same time.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Runs one batch; waits while every session is busy.
    pub fn run(&self, input: &Array4<f32>) -> Result<Output, Cause> {
        let mut session = self.borrow();
        let outputs = session.run(ort::inputs![TensorRef::from_array_view(input)?])?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>()?;
        let shape =
            shape.iter().map(|&side| usize::try_from(side)).collect::<Result<Vec<_>, _>>().map_err(|_| Cause::Shape(shape.to_vec()))?;
        Ok(Output { shape, values: values.to_vec() })
    }

    fn dictionary(&self, path: std::path::PathBuf) -> Result<Dictionary, EngineError> {
        let session = self.borrow();
        let text = session.metadata().ok().and_then(|metadata| metadata.custom(DICTIONARY_KEY)).unwrap_or_default();
        // Some classes are a base with a combining mark; the base is what our documents need.
        let mut classes: Vec<char> = text.lines().filter_map(|line| line.chars().next()).collect();
        if classes.len() < 1000 || classes.len() != text.lines().count() {
            return Err(EngineError::Dictionary { path });
        }
        classes.push(' ');
        Ok(Dictionary::new(classes))
    }

    fn borrow(&self) -> Borrowed<'_> {
        let mut idle = self.idle_sessions();
        loop {
            if let Some(session) = idle.pop() {
                return Borrowed { model: self, session: Some(session) };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The list is only pushed to and popped from, so it is sound even if a thread died holding it.
    fn idle_sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that goes back to its pool when dropped, also when the run failed.
struct Borrowed<'a> {
    model: &'a Model,
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
            self.model.idle_sessions().push(session);
            self.model.returned.notify_one();
        }
    }
}

fn open(path: &Path) -> ort::Result<Session> {
    Session::builder()?
        // The arena never gives memory back, but the stages ask for a handful of shapes only, so it stops growing (measured:
        // 0.46 GB peak over 90 mixed pages); without it every run costs a quarter more.
        .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?
        .with_memory_pattern(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_file(path)
}
