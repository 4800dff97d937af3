//! Pictures whose truth is known: drawn on the spot, or a folder of them with NAME.json beside NAME.jpg.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ai::document::DocumentKind;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// One picture and, when it is known, what it shows.
pub struct Specimen {
    pub path: PathBuf,
    pub truth: Option<Truth>,
}

impl Specimen {
    /// The picture's bytes, read anew each time so that only the pages under way are held.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.path).with_context(|| format!("could not read {}", self.path.display()))
    }

    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }
}

/// What a specimen shows, as its maker wrote it down.
#[derive(Deserialize)]
pub struct Truth {
    pub doc_type: DocumentKind,
    pub condition: String,
    pub rotation: u16,
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// The pictures of a folder by name, evenly thinned out to `count`.
pub fn from_folder(folder: &Path, count: usize) -> Result<Vec<Specimen>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jpg" || extension == "png"));
    files.sort();
    ensure!(!files.is_empty(), "{} holds no pictures", folder.display());
    let step = files.len().div_ceil(count).max(1);
    files.iter().step_by(step).map(|path| specimen(path)).collect()
}

fn specimen(path: &Path) -> Result<Specimen> {
    let beside = path.with_extension("json");
    let truth = match std::fs::read(&beside) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is not the truth of a specimen", beside.display()))?),
        Err(_) => None,
    };
    Ok(Specimen { path: path.to_owned(), truth })
}

/// Renders specimens with `models/specimens.py`: so many of each kind and condition.
pub fn draw(folder: &Path, count: usize) -> Result<Vec<Specimen>> {
    let status = std::process::Command::new("/usr/bin/python3")
        .args(["models/specimens.py", "--seed", "7", "--conditions", "clean,photo", "--count", &count.div_ceil(6).to_string(), "--out"])
        .arg(folder)
        .stdout(std::process::Stdio::null())
        .status()
        .context("python3 could not be started; scripts/setup installs it")?;
    ensure!(status.success(), "models/specimens.py failed; run it by hand to see why");
    from_folder(folder, count)
}
