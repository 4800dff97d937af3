//! Documents per second through the pipeline alone, with the time of each stage and, where the truth is known, how much was read right per
//! condition and kind: drawn specimens, or a folder of them. Drawn pages are kinder than real ones; the figures say so by their name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ai::document::text;
use ai::engine::{RuntimeKind, Setup};
use ai::pipeline::{Findings, Options as Reading, Pipeline};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Record;
use crate::config::Config;

/// Which papers, and how many at a time.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Papers to draw and read, or at most to take from the folder
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// Papers at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    callers: u16,
    /// A folder of pictures instead, each with its truth beside it (NAME.jpg, NAME.json)
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only the second engine
    #[arg(long)]
    standby: bool,
    /// One JSON object per line instead of words
    #[arg(long)]
    json: bool,
}

/// One picture and, when it is known, what it shows.
struct Specimen {
    image: Vec<u8>,
    truth: Option<Truth>,
}

/// What a specimen shows, as its maker wrote it down.
#[derive(Deserialize)]
struct Truth {
    doc_type: String,
    condition: String,
    rotation: u16,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// How much was read right.
#[derive(Serialize, Default, Clone)]
struct Score {
    pages: usize,
    kind_right: usize,
    rotation_right: usize,
    fields: usize,
    fields_exact: usize,
    flags: BTreeMap<String, usize>,
    ms_mean: f64,
}

/// Reads the specimens and prints the figures.
pub fn run(config: &Config, options: &Options) -> Result<()> {
    let (count, callers) = (usize::from(options.count), usize::from(options.callers));
    let specimens = match &options.folder {
        Some(folder) => from_folder(folder, count)?,
        None => {
            let folder = config.data_dir.join(format!("bench-documents-{}", std::process::id()));
            let drawn = draw(&folder, count);
            let _ = std::fs::remove_dir_all(&folder);
            drawn?
        }
    };
    let runtimes = if options.standby { vec![RuntimeKind::Rten] } else { RuntimeKind::ALL.to_vec() };
    let setup = Setup { threads: callers, runtimes };
    let pipeline = Pipeline::load_with(&config.documents.models_dir, &setup).context("the document pipeline could not be loaded")?;
    // the first pages pay for memory the others use again
    for specimen in specimens.iter().take(3) {
        pipeline.run(&specimen.image, &Reading::default()).context("a specimen could not be read")?;
    }

    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let work = || {
        let mut done = Vec::new();
        while let Some(specimen) = specimens.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let findings = pipeline.run(&specimen.image, &Reading::default());
            done.push((specimen, findings, begun.elapsed()));
        }
        done
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a reading thread does not panic")).collect()
    });
    let elapsed = started.elapsed();

    let (mut took, mut stages, mut errors): (Vec<Duration>, BTreeMap<&str, f64>, usize) = (Vec::new(), BTreeMap::new(), 0);
    let (mut conditions, mut kinds): (BTreeMap<String, Score>, BTreeMap<String, Score>) = (BTreeMap::new(), BTreeMap::new());
    for (specimen, findings, ms) in &done {
        let Ok(findings) = findings else {
            errors += 1;
            continue;
        };
        took.push(*ms);
        for stage in &findings.stages {
            *stages.entry(stage.stage.as_str()).or_default() += f64::from(stage.ms);
        }
        if let Some(truth) = &specimen.truth {
            conditions.entry(truth.condition.clone()).or_default().add(truth, findings, *ms);
            kinds.entry(truth.doc_type.clone()).or_default().add(truth, findings, *ms);
        }
    }
    let read = took.len().max(1) as f64;
    let mut record = Record::new("documents", callers, took, elapsed, errors);
    let means: BTreeMap<_, _> = stages.into_iter().map(|(stage, ms)| (stage, tenths(ms / read))).collect();
    record.more.insert("stage_ms_mean".to_owned(), json!(means));
    record.more.insert("peak_rss_mb".to_owned(), json!(peak_rss_mb()));
    record.more.insert("synthetic".to_owned(), json!(true));
    for (name, scores) in [("conditions", conditions), ("kinds", kinds)] {
        if !scores.is_empty() {
            let means: BTreeMap<_, _> = scores.into_iter().map(|(name, score)| (name, score.meant())).collect();
            record.more.insert(name.to_owned(), json!(means));
        }
    }
    record.print(options.json);
    ensure!(errors == 0, "{errors} specimens could not be read");
    Ok(())
}

impl Score {
    fn add(&mut self, truth: &Truth, findings: &Findings, took: Duration) {
        self.pages += 1;
        self.kind_right += usize::from(findings.kind.as_str() == truth.doc_type);
        self.rotation_right += usize::from(findings.page_turned_degrees() == truth.rotation);
        self.ms_mean += took.as_secs_f64() * 1000.0;
        for (name, printed) in &truth.fields {
            let same = |value: &str| folded(value) == folded(printed);
            self.fields += 1;
            self.fields_exact += usize::from(findings.fields.get(name).is_some_and(|field| same(&field.value) || same(&field.raw)));
        }
        let flags = json!([findings.quality, findings.authenticity]);
        for flag in flags.as_array().into_iter().flatten().filter_map(|list| list.as_array()).flatten().filter_map(|flag| flag.as_str()) {
            *self.flags.entry(flag.to_owned()).or_default() += 1;
        }
    }

    fn meant(mut self) -> Self {
        self.ms_mean = tenths(self.ms_mean / self.pages.max(1) as f64);
        self
    }
}

/// The same form for width, traditional characters and spaces, as every comparison folds them.
fn folded(value: &str) -> String {
    text::normalise(value).chars().filter(|character| !character.is_whitespace()).collect()
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// The most memory this process has held; 0 where the system does not tell.
fn peak_rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes / 1024)
}

/// The pictures of a folder by name, evenly thinned out to `count`.
fn from_folder(folder: &Path, count: usize) -> Result<Vec<Specimen>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jpg" || extension == "png"));
    files.sort();
    ensure!(!files.is_empty(), "{} holds no pictures", folder.display());
    let step = files.len().div_ceil(count).max(1);
    files.iter().step_by(step).map(|path| specimen(path)).collect()
}

fn specimen(path: &Path) -> Result<Specimen> {
    let image = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let beside = path.with_extension("json");
    let truth = match std::fs::read(&beside) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is not the truth of a specimen", beside.display()))?),
        Err(_) => None,
    };
    Ok(Specimen { image, truth })
}

/// Renders specimens with `models/specimens.py`: so many of each kind and condition.
fn draw(folder: &Path, count: usize) -> Result<Vec<Specimen>> {
    let status = std::process::Command::new("/usr/bin/python3")
        .args(["models/specimens.py", "--seed", "7", "--conditions", "clean,photo", "--count", &count.div_ceil(6).to_string(), "--out"])
        .arg(folder)
        .stdout(std::process::Stdio::null())
        .status()
        .context("python3 could not be started; scripts/setup installs it")?;
    ensure!(status.success(), "models/specimens.py failed; run it by hand to see why");
    from_folder(folder, count)
}
