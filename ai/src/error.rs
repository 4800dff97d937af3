//! What can go wrong: loading the engine once at start, or one stage of one page. A failed stage is an error with the
//! stage's name, never an empty result, because "no text found" and "could not look" lead to different decisions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::image::ImageError;

/// The command that fills the models folder; every "missing" message ends with it.
pub const FETCH_COMMAND: &str = "python3 models/fetch.py";

/// The steps of [`crate::pipeline::Pipeline::run`], in order.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Decode,
    Rectify,
    Appearance,
    Quality,
    Detect,
    Direction,
    Recognise,
    Classify,
    Fields,
    SecondLook,
    Specimen,
    Authenticity,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Rectify => "rectify",
            Self::Appearance => "appearance",
            Self::Quality => "quality",
            Self::Detect => "detect",
            Self::Direction => "direction",
            Self::Recognise => "recognise",
            Self::Classify => "classify",
            Self::Fields => "fields",
            Self::SecondLook => "second_look",
            Self::Specimen => "specimen",
            Self::Authenticity => "authenticity",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the models could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{} is missing; fetch it with: {FETCH_COMMAND}", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not the file of models/manifest.toml (SHA-256 differs); fetch it again with: {FETCH_COMMAND}", path.display())]
    WrongFile { path: PathBuf },
    #[error("could not read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not load the ONNX Runtime library {}", path.display())]
    Library {
        path: PathBuf,
        #[source]
        source: ort::LoadDynamicError,
    },
    #[error("could not load the model {}", path.display())]
    Model {
        path: PathBuf,
        #[source]
        source: ort::Error,
    },
    #[error("could not load the model {} on the standby engine", path.display())]
    StandbyModel {
        path: PathBuf,
        #[source]
        source: rten::LoadError,
    },
    #[error("no engine could be loaded: {reasons}")]
    NoRuntime { reasons: String },
    #[error("the recognition model {} carries no usable dictionary", path.display())]
    Dictionary { path: PathBuf },
    #[error("models/manifest.toml is malformed")]
    Manifest(#[from] toml::de::Error),
    #[error("models/manifest.toml has no file for the role {role}")]
    NoSuchRole { role: &'static str },
}

/// Why one stage of one page failed.
#[derive(Debug, thiserror::Error)]
#[error("the {stage} stage failed")]
pub struct StageError {
    pub stage: Stage,
    #[source]
    pub cause: Cause,
}

/// The cause behind a [`StageError`].
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The bytes are not an image we take: the uploader's doing.
    #[error("the image could not be used")]
    Image(#[from] ImageError),
    /// The model run failed: ours to repair.
    #[error("the model run failed")]
    Inference(#[from] ort::Error),
    #[error("the standby engine's run failed")]
    Standby(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the standby engine could not load a model")]
    StandbyModel(#[from] rten::LoadError),
    #[error("the model run panicked")]
    Panicked,
    /// The run was not done within its time budget; it was left behind.
    #[error("the model run took too long")]
    Overdue,
    /// The run was late, and the next engine answered first.
    #[error("another engine answered first")]
    Overtaken,
    #[error("every thread of the engine hangs")]
    Hanging,
    /// No thread of the engine was free within the time budget.
    #[error("the engine is busy")]
    Busy,
    #[error("the engine is broken for a drill")]
    Drill,
    #[error("the engine holds no model that fits ({0})")]
    NoModel(&'static str),
    #[error("no engine is in service")]
    NoRuntime,
    #[error("the model answered with the shape {0:?}")]
    Shape(Vec<i64>),
    /// The caller gave the page up.
    #[error("the page was given up")]
    Cancelled,
}

impl StageError {
    pub(crate) fn at<C: Into<Cause>>(stage: Stage) -> impl FnOnce(C) -> Self {
        move |cause| Self { stage, cause: cause.into() }
    }

    /// Whether the uploaded bytes themselves are at fault, so that another upload can help.
    pub fn is_bad_image(&self) -> bool {
        matches!(self.cause, Cause::Image(_))
    }
}
