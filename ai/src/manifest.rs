//! The model manifest (`models/manifest.toml`), compiled in: which files the pipeline was measured with, by SHA-256.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::error::EngineError;

const MANIFEST: &str = include_str!("../../models/manifest.toml");
/// Hashing reads in pieces of this many bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// What a file is for.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Runtime,
    Detect,
    Direction,
    Recognise,
    /// The independent second reader.
    SecondRecognise,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Detect => "detect",
            Self::Direction => "direction",
            Self::Recognise => "recognise",
            Self::SecondRecognise => "second_recognise",
        }
    }

    /// Whether every page needs it, so that it is opened at start.
    pub fn is_on_every_page(self) -> bool {
        matches!(self, Self::Detect | Self::Direction | Self::Recognise)
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
