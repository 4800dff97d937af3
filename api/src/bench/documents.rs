//! Documents per second through the pipeline alone, with the time of each stage and, where the truth is known, how much was read right per
//! condition and kind and what the policy made of it: drawn specimens, or a folder of them. Drawn pages are kinder than real ones; the figures
//! say so by their name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ai::document::DocumentKind;
use ai::engine::{RuntimeKind, Setup};
use ai::pipeline::{Findings, Options as Reading, Pipeline};
use ai::review::Policy;
use anyhow::{Context as _, Result, ensure};
use chrono::NaiveDate;
use serde_json::json;

mod calibration;
mod memory;
mod score;
mod specimen;
mod takeover;

use score::{Judge, Judged, Score};
use specimen::Specimen;

use super::Record;
use crate::config::Config;

/// Papers that are drawn unless another number is asked for.
const DRAWN: usize = 24;
/// Memory is noted this often over a repeated run.
const SAMPLES: usize = 10;

/// Which papers, and how many at a time.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Papers to draw and read, 24 unless given; or at most to take from the folder, all unless given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: Option<u16>,
    /// Papers at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    callers: u16,
    /// A folder of pictures instead, each with its truth beside it (NAME.jpg, NAME.json)
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only the second engine
    #[arg(long)]
    standby: bool,
    /// Choose the policy's thresholds for this share of misread pages, and print them as lines of ai/data/policy.toml
    #[arg(long, value_name = "RISK", conflicts_with_all = ["repeat", "takeover"])]
    calibrate: Option<f64>,
    /// Read the papers over and over until so many pages are read, and note the memory held on the way
    #[arg(long, value_name = "PAGES", conflicts_with = "takeover", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: Option<u32>,
    /// Hang the first engine under load, and say how soon the second answers and whether it reads the same
    #[arg(long)]
    takeover: bool,
    /// The day on which papers are judged
    #[arg(long, default_value = "2025-01-01")]
    as_of: NaiveDate,
    /// Name the fields that were not read as printed, one line each on standard error
    #[arg(long)]
    misread: bool,
    /// One JSON object per line instead of words
    #[arg(long)]
    json: bool,
}

/// Reads the specimens and prints the figures.
pub fn run(config: &Config, options: &Options) -> Result<()> {
    let callers = usize::from(options.callers);
    let specimens = match &options.folder {
        Some(folder) => specimen::from_folder(folder, options.count.map_or(usize::MAX, usize::from))?,
        None => {
            let folder = config.data_dir.join(format!("bench-documents-{}", std::process::id()));
            let drawn = specimen::draw(&folder, options.count.map_or(DRAWN, usize::from));
            let _ = std::fs::remove_dir_all(&folder);
            drawn?
        }
    };
    let runtimes = if options.standby { vec![RuntimeKind::Rten] } else { RuntimeKind::ALL.to_vec() };
    let setup = Setup { threads: callers, runtimes, ..Setup::default() };
    let pipeline = Pipeline::load_with(&config.documents.models_dir, &setup).context("the document pipeline could not be loaded")?;
    // the first pages pay for memory the others use again
    for specimen in specimens.iter().take(3) {
        pipeline.run(&specimen.image, &Reading::default()).context("a specimen could not be read")?;
    }
    if options.takeover {
        let drill = takeover::drill(&pipeline, &specimens, callers)?;
        println!("{drill}");
        return Ok(());
    }

    let pages = options.repeat.map_or(specimens.len(), |pages| pages as usize);
    let (held, done, elapsed) = read(&pipeline, &specimens, pages, callers);
    let (mut took, mut stages, mut errors): (Vec<Duration>, BTreeMap<&str, f64>, usize) = (Vec::new(), BTreeMap::new(), 0);
    let policy = Policy { allow_specimen: true, ..Policy::default() };
    let judge = Judge { policy, as_of: options.as_of };
    let mut judged: Vec<(DocumentKind, Judged)> = Vec::new();
    let (mut conditions, mut kinds, mut all): (BTreeMap<String, Score>, BTreeMap<String, Score>, Score) = Default::default();
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
            let page = judge.judge(truth, findings, *ms);
            conditions.entry(truth.condition.clone()).or_default().add(&page);
            kinds.entry(truth.doc_type.to_string()).or_default().add(&page);
            all.add(&page);
            judged.push((truth.doc_type, page));
            if options.misread {
                misread(specimen, findings);
            }
        }
    }
    if let Some(risk) = options.calibrate {
        ensure!(!judged.is_empty(), "no picture has its truth beside it");
        calibration::lines(&judged, risk).iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    let read = took.len().max(1) as f64;
    let mut record = Record::new("documents", callers, took, elapsed, errors);
    let means: BTreeMap<_, _> = stages.into_iter().map(|(stage, ms)| (stage, tenths(ms / read))).collect();
    let more = &mut record.more;
    more.insert("stage_ms_mean".to_owned(), json!(means));
    more.insert("peak_rss_mb".to_owned(), json!(memory::peak_mb()));
    more.insert("synthetic".to_owned(), json!(true));
    if options.repeat.is_some() {
        more.insert("rss_mb_by_pages".to_owned(), json!(held));
    } else if !judged.is_empty() {
        let readable: Vec<(f32, bool)> = judged.iter().filter_map(|(_, page)| page.automatic).collect();
        let papers = judged.iter().filter(|(kind, _)| *kind != DocumentKind::Other).count();
        more.insert("as_of".to_owned(), json!(options.as_of));
        more.insert("risk_coverage".to_owned(), json!(score::risk_coverage(readable, papers)));
        more.insert("all".to_owned(), json!(all.meant()));
        for (name, scores) in [("conditions", conditions), ("kinds", kinds)] {
            let means: BTreeMap<_, _> = scores.into_iter().map(|(name, score)| (name, score.meant())).collect();
            more.insert(name.to_owned(), json!(means));
        }
    }
    record.print(options.json);
    ensure!(errors == 0, "{errors} specimens could not be read");
    Ok(())
}

type Read<'a> = (&'a Specimen, Result<Findings, ai::error::StageError>, Duration);

/// Reads so many pages, from the first specimen again when all are read; findings are kept of the first round only. Also the memory held,
/// by the number of pages read.
fn read<'a>(pipeline: &Pipeline, specimens: &'a [Specimen], pages: usize, callers: usize) -> (Vec<(usize, u64)>, Vec<Read<'a>>, Duration) {
    let next = AtomicUsize::new(0);
    let held = std::sync::Mutex::new(vec![(0, memory::resident_mb())]);
    let started = Instant::now();
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= pages {
                return done;
            }
            let specimen = &specimens[at % specimens.len()];
            let begun = Instant::now();
            let findings = pipeline.run(&specimen.image, &Reading::default());
            if at < specimens.len() {
                done.push((specimen, findings, begun.elapsed()));
            }
            if (at + 1) % (pages / SAMPLES).max(1) == 0 {
                held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at + 1, memory::resident_mb()));
            }
        }
    };
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a reading thread does not panic")).collect()
    });
    (held.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), done, started.elapsed())
}

/// Names what was not read as printed.
fn misread(specimen: &Specimen, findings: &Findings) {
    let Some(truth) = &specimen.truth else { return };
    if findings.kind != truth.doc_type || findings.page_turned_degrees() != truth.rotation {
        eprintln!("{}: {} turned {} at {:.2}", specimen.name, findings.kind, findings.page_turned_degrees(), findings.kind_confidence);
    }
    for (name, printed) in &truth.fields {
        let read = findings.fields.get(name);
        if !read.is_some_and(|field| [&field.value, &field.raw].into_iter().any(|value| score::folded(value) == score::folded(printed))) {
            eprintln!("{}: {name}: printed {printed} read {:?}", specimen.name, read.map(|field| &field.value));
        }
    }
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}
