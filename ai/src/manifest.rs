//! The model manifest (`models/manifest.toml`), compiled in: which files the pipeline was measured with, by SHA-256. The page classifier is
//! ours and small, so it is compiled in itself, with its own description (`models/classifier.toml`).

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::{document::DocumentKind, error::EngineError};

const MANIFEST: &str = include_str!("../../models/manifest.toml");
const CLASSIFIER: &str = include_str!("../../models/classifier.toml");
const CLASSIFIER_BYTES: &[u8] = include_bytes!("../../models/classifier.onnx");
/// Hashing reads in pieces of this many bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// What a file is for.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Runtime,
    /// Our page classifier.
    Classify,
    Detect,
    Direction,
    Recognise,
    /// The independent second reader.
    SecondRecognise,
}

impl Role {
    pub const COUNT: usize = 6;

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Classify => "classify",
            Self::Detect => "detect",
            Self::Direction => "direction",
            Self::Recognise => "recognise",
            Self::SecondRecognise => "second_recognise",
        }
    }

    /// Whether every page needs it, so that it is opened at start.
    pub fn is_on_every_page(self) -> bool {
        matches!(self, Self::Classify | Self::Detect | Self::Direction | Self::Recognise)
    }
}

/// One file of the manifest.
#[derive(Deserialize, Clone, Debug)]
pub struct ModelFile {
    pub role: Role,
    pub file: String,
    pub sha256: String,
    pub source: Source,
    pub licence: String,
    pub attribution: String,
    #[serde(default)]
    pub thresholds: toml::Table,
}

/// Where a file comes from: a package, and its place inside.
#[derive(Deserialize, Clone, Debug)]
pub struct Source {
    pub package: String,
    pub version: String,
    pub member: String,
}

/// All files.
#[derive(Deserialize, Clone, Debug)]
pub struct Manifest {
    #[serde(rename = "file")]
    pub files: Vec<ModelFile>,
}

/// Where an engine finds a model.
#[derive(Clone, Debug)]
pub enum Weights {
    File(PathBuf),
    /// Part of this program, under this name.
    BuiltIn(&'static str, &'static [u8]),
}

impl Weights {
    /// What messages call it.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::BuiltIn(name, _) => Path::new(name),
        }
    }
}

/// The page classifier's description, written by its training.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub struct Classifier {
    pub file: String,
    pub sha256: String,
    /// The kinds in the order of its first output.
    pub labels: Vec<DocumentKind>,
    /// The turns in the order of its second output: clockwise, by which the upright page was turned.
    pub rotations_degrees: Vec<u16>,
    pub input: ClassifierInput,
    pub output: ClassifierOutput,
    pub calibration: ClassifierCalibration,
}

/// What the classifier is shown.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub struct ClassifierInput {
    pub size_pixels: u32,
    pub pad_value: u8,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// The names of the outputs that are used.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ClassifierOutput {
    #[serde(rename = "type")]
    pub kind: String,
    pub rotation: String,
}

/// What its logits are divided by, and from which energy on a picture is like nothing it was trained on.
#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct ClassifierCalibration {
    pub type_temperature: f32,
    pub rotation_temperature: f32,
    pub ood_threshold: f32,
}

impl Classifier {
    /// The description of the classifier in this program, and its weights, compared with the description.
    pub fn built_in() -> Result<(Self, Weights), EngineError> {
        let this: Self = toml::from_str(CLASSIFIER)?;
        let found = hex::encode(digest::digest(&digest::SHA256, CLASSIFIER_BYTES));
        if found != this.sha256 {
            return Err(EngineError::WrongFile { path: PathBuf::from(this.file) });
        }
        Ok((this, Weights::BuiltIn("classifier.onnx", CLASSIFIER_BYTES)))
    }
}

impl Manifest {
    /// The manifest this binary was built with.
    pub fn built_in() -> Result<Self, EngineError> {
        Ok(toml::from_str(MANIFEST)?)
    }

    pub fn get(&self, role: Role) -> Result<&ModelFile, EngineError> {
        self.files.iter().find(|file| file.role == role).ok_or(EngineError::NoSuchRole { role: role.as_str() })
    }
}

impl ModelFile {
    /// The file inside `models_dir`, after comparing its SHA-256: a swapped model would change decisions silently.
    pub fn verified_path(&self, models_dir: &Path) -> Result<PathBuf, EngineError> {
        let joined = models_dir.join(&self.file);
        // The loader looks for relative paths beside the executable first, so it gets an absolute one.
        let path = joined.canonicalize().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => EngineError::Missing { path: joined.clone() },
            _ => EngineError::Read { path: joined.clone(), source },
        })?;
        let found = sha256(&path).map_err(|source| EngineError::Read { path: path.clone(), source })?;
        if found != self.sha256 {
            return Err(EngineError::WrongFile { path });
        }
        Ok(path)
    }

    /// A threshold the model was published with.
    pub fn threshold(&self, name: &str, default: f32) -> f32 {
        self.thresholds.get(name).and_then(toml::Value::as_float).map_or(default, |value| value as f32)
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex::encode(context.finish())),
            count => context.update(&block[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_every_role_once_with_a_full_digest() {
        let manifest = Manifest::built_in().unwrap();
        for role in [Role::Runtime, Role::Detect, Role::Direction, Role::Recognise, Role::SecondRecognise] {
            assert_eq!(manifest.files.iter().filter(|file| file.role == role).count(), 1, "{role:?}");
            let file = manifest.get(role).unwrap();
            assert_eq!(file.sha256.len(), 64, "{}", file.file);
            assert!(!file.licence.is_empty() && !file.attribution.is_empty());
        }
        assert_eq!(manifest.get(Role::Detect).unwrap().threshold("unclip", 0.0), 1.6);
    }

    #[test]
    fn the_classifier_is_the_one_that_its_description_names() {
        let (classifier, weights) = Classifier::built_in().unwrap();
        assert_eq!(classifier.labels, DocumentKind::EVERY);
        assert_eq!(classifier.rotations_degrees, [0, 90, 180, 270]);
        assert_eq!(weights.path(), Path::new(&classifier.file));
    }

    #[test]
    fn a_missing_and_a_swapped_file_are_different_errors() {
        let dir = std::env::temp_dir().join(format!("ai-manifest-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = Manifest::built_in().unwrap().get(Role::Detect).unwrap().clone();
        let error = file.verified_path(&dir).unwrap_err();
        assert!(matches!(error, EngineError::Missing { .. }));
        assert!(error.to_string().contains(crate::error::FETCH_COMMAND), "{error}");
        std::fs::write(dir.join(&file.file), b"something else").unwrap();
        assert!(matches!(file.verified_path(&dir), Err(EngineError::WrongFile { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
