//! A version of the models: a manifest by content. Two manifests of the same text are the same version.

use std::path::Path;

use aws_lc_rs::digest;

use crate::engine::{Engine, Setup};
use crate::error::EngineError;
use crate::manifest::Manifest;
use crate::pipeline::Pipeline;

/// The manifest that the program is built with.
const BUILT_IN: &str = include_str!("../../models/manifest.toml");

/// A manifest with its id.
#[derive(Clone, Debug)]
pub struct Version {
    /// SHA-256 of the text, in hexadecimal.
    pub id: String,
    pub text: String,
    manifest: Manifest,
}

impl Version {
    /// What the program was built with.
    pub fn built_in() -> Result<Self, EngineError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let manifest = toml::from_str(text)?;
        let id = hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
        Ok(Self { id, text: text.to_owned(), manifest })
    }

    /// Loads it. Its files lie in `versions/ID` below the models' folder, or in that folder itself; either way each is compared with the manifest.
    pub fn load(&self, models_dir: &Path, setup: &Setup) -> Result<Pipeline, EngineError> {
        let own = models_dir.join("versions").join(&self.id);
        let folder = if own.is_dir() { own } else { models_dir.to_owned() };
        Pipeline::of_engine(Engine::load_manifest(&folder, setup, self.manifest.clone())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_text() {
        let built_in = Version::built_in().unwrap();
        assert_eq!(built_in.id, Version::parse(BUILT_IN).unwrap().id);
        assert_ne!(built_in.id, Version::parse(&format!("{BUILT_IN}\n")).unwrap().id);
        assert_eq!(built_in.id.len(), 64);
        assert!(Version::parse("[[file]]\nrole = \"none\"").is_err());
    }

    #[test]
    fn files_that_the_manifest_does_not_name_are_refused() {
        let folder = std::env::temp_dir().join(format!("ai-version-{}", std::process::id()));
        let version = Version::built_in().unwrap();
        let own = folder.join("versions").join(&version.id);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join(&version.manifest.files[0].file), b"something else").unwrap();
        assert!(version.load(&folder, &Setup::default()).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
