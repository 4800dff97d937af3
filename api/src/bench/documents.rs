//! Documents per second through the pipeline alone, with the time of each stage and, where the truth is known, how much was read right per
//! condition and kind and what the policy made of it: drawn specimens, or a folder of them. Drawn pages are kinder than real ones; the figures
//! say so by their name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ai::document::DocumentKind;
use ai::engine::{Broken, RuntimeKind, Setup};
use ai::pipeline::{Findings, Options as Reading, Pipeline, StageTime};
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
    /// Break the first engine under load, once so that it fails and once so that it hangs, and say how soon the second is asked and whether it
    /// reads the same
    #[arg(long)]
    takeover: bool,
    /// A policy in the form of ai/data/policy.toml instead of the one compiled in
    #[arg(long)]
    policy: Option<PathBuf>,
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
    let drawn = config.data_dir.join(format!("bench-documents-{}", std::process::id()));
    let specimens = match &options.folder {
        Some(folder) => specimen::from_folder(folder, options.count.map_or(usize::MAX, usize::from)),
        None => specimen::draw(&drawn, options.count.map_or(DRAWN, usize::from)),
    };
    let measured = specimens.and_then(|specimens| measure(config, options, callers, &specimens));
    if options.folder.is_none() {
        let _ = std::fs::remove_dir_all(&drawn);
    }
    measured
}

fn measure(config: &Config, options: &Options, callers: usize, specimens: &[Specimen]) -> Result<()> {
    let mut policy = match &options.policy {
        None => Policy::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
            Policy::of_toml(&text).with_context(|| format!("{} is no policy", path.display()))?
        }
    };
    policy.allow_specimen = true;
    let judge = Judge { policy, as_of: options.as_of };
    let runtimes = if options.standby { vec![RuntimeKind::Rten] } else { RuntimeKind::ALL.to_vec() };
    let setup = Setup { threads: callers, runtimes, ..Setup::default() };
    let pipeline = Pipeline::load_with(&config.documents.models_dir, &setup).context("the document pipeline could not be loaded")?;
    // the first pages pay for memory the others use again
    for specimen in specimens.iter().take(3) {
        pipeline.run(&specimen.bytes()?, &Reading::default()).context("a specimen could not be read")?;
    }
    if options.takeover {
        for broken in [Broken::Fails, Broken::Hangs] {
            let mut told = takeover::drill(&pipeline, specimens, callers, broken)?;
            told["broken"] = json!(format!("{broken:?}").to_lowercase());
            println!("{told}");
            // back to the first engine for the next drill
            pipeline.suspend(RuntimeKind::OnnxRuntime, false);
        }
        return Ok(());
    }
    let pages = options.repeat.map_or(specimens.len(), |pages| pages as usize);
    let run = Run { pipeline: &pipeline, judge: &judge, misread: options.misread, specimens, pages };
    let done = run.pages(callers);
    if let Some(risk) = options.calibrate {
        ensure!(done.errors == 0, "{} specimens could not be read, so no threshold is chosen", done.errors);
        let judged: Vec<_> = done.pages.iter().filter_map(|page| page.judged.as_ref()).collect();
        ensure!(!judged.is_empty(), "no picture has its truth beside it");
        calibration::lines(&judged, risk).iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    let record = done.record(callers, specimens.len(), options);
    record.print(options.json);
    ensure!(record.errors == 0, "{} specimens could not be read", record.errors);
    Ok(())
}

/// What is read, and how often.
struct Run<'a> {
    pipeline: &'a Pipeline,
    judge: &'a Judge,
    misread: bool,
    specimens: &'a [Specimen],
    pages: usize,
}

/// One page of the first round.
struct Page {
    took: Duration,
    stages: Vec<StageTime>,
    judged: Option<Judged>,
}

#[derive(Default)]
struct Done {
    pages: Vec<Page>,
    errors: usize,
    elapsed: Duration,
    /// The memory held, by the number of pages read.
    held: Vec<(usize, u64)>,
}

impl Run<'_> {
    /// Reads the pages, from the first specimen again when all are read; only the first round is judged.
    fn pages(&self, callers: usize) -> Done {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Done { held: vec![(0, memory::resident_mb())], ..Done::default() });
        let started = Instant::now();
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= self.pages {
                    return;
                }
                let specimen = &self.specimens[at % self.specimens.len()];
                let page = self.page(specimen);
                if let Err(error) = &page {
                    eprintln!("{}: {error:#}", specimen.name());
                }
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                match page {
                    Ok(page) if at < self.specimens.len() => done.pages.push(page),
                    Ok(_) => {}
                    Err(_) => done.errors += 1,
                }
                if (at + 1).is_multiple_of((self.pages / SAMPLES).max(1)) {
                    done.held.push((at + 1, memory::resident_mb()));
                }
            }
        };
        std::thread::scope(|scope| (0..callers).for_each(|_| drop(scope.spawn(work))));
        Done { elapsed: started.elapsed(), ..done.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    fn page(&self, specimen: &Specimen) -> Result<Page> {
        let bytes = specimen.bytes()?;
        let begun = Instant::now();
        let read = self.pipeline.run(&bytes, &Reading::default());
        let took = begun.elapsed();
        let findings = match (read, &specimen.truth) {
            (Ok(findings), _) => findings,
            // the uploader is asked for a better picture: an answer, as the service gives it
            (Err(error), Some(truth)) if error.is_bad_image() => {
                return Ok(Page { took, stages: Vec::new(), judged: Some(self.judge.sent_back(truth, &error, took)) });
            }
            (Err(error), _) => return Err(error.into()),
        };
        if self.misread {
            misread(specimen, &findings);
        }
        let judged = specimen.truth.as_ref().map(|truth| self.judge.judge(truth, &findings, took));
        Ok(Page { took, stages: findings.stages, judged })
    }
}

impl Done {
    fn record(self, callers: usize, specimens: usize, options: &Options) -> Record {
        let mut stages: BTreeMap<&str, f64> = BTreeMap::new();
        let (mut conditions, mut kinds): (BTreeMap<&str, Score>, BTreeMap<&str, Score>) = (BTreeMap::new(), BTreeMap::new());
        let mut all = Score::default();
        let read = self.pages.len().max(1) as f64;
        for page in &self.pages {
            for stage in &page.stages {
                *stages.entry(stage.stage.as_str()).or_default() += f64::from(stage.ms);
            }
            if let Some(judged) = &page.judged {
                conditions.entry(&judged.condition).or_default().add(judged);
                kinds.entry(judged.kind.as_str()).or_default().add(judged);
                all.add(judged);
            }
        }
        // Only the first round is timed page by page; the rate is of all.
        let took = self.pages.iter().map(|page| page.took).collect();
        let mut record = Record::new("documents", callers, took, self.elapsed, self.errors);
        let means: BTreeMap<_, _> = stages.into_iter().map(|(stage, ms)| (stage, tenths(ms / read))).collect();
        let more = &mut record.more;
        more.insert("stage_ms_mean".to_owned(), json!(means));
        more.insert("peak_rss_mb".to_owned(), json!(memory::peak_mb()));
        more.insert("synthetic".to_owned(), json!(true));
        if let Some(pages) = options.repeat {
            record.rate_per_s = f64::from(pages) / self.elapsed.as_secs_f64();
            more.insert("pages_read".to_owned(), json!(pages));
            more.insert("specimens".to_owned(), json!(specimens));
            more.insert("rss_mb_by_pages".to_owned(), json!(self.held));
        } else if !kinds.is_empty() {
            let judged = || self.pages.iter().filter_map(|page| page.judged.as_ref());
            let papers = judged().filter(|page| page.kind != DocumentKind::Other).count();
            more.insert("as_of".to_owned(), json!(options.as_of));
            more.insert(
                "risk_coverage".to_owned(),
                json!(score::risk_coverage(judged().filter_map(|page| page.automatic).collect(), papers)),
            );
            more.insert("all".to_owned(), json!(all.meant()));
            for (name, scores) in [("conditions", conditions), ("kinds", kinds)] {
                let means: BTreeMap<_, _> = scores.into_iter().map(|(name, score)| (name, score.meant())).collect();
                more.insert(name.to_owned(), json!(means));
            }
        }
        record
    }
}

/// Names what was not read as printed.
fn misread(specimen: &Specimen, findings: &Findings) {
    let Some(truth) = &specimen.truth else { return };
    let name = specimen.name();
    if findings.kind != truth.doc_type || findings.page_turned_degrees() != truth.rotation {
        eprintln!("{name}: {} turned {} at {:.2}", findings.kind, findings.page_turned_degrees(), findings.kind_confidence);
    }
    for (field, printed) in &truth.fields {
        let read = findings.fields.get(field);
        if !read.is_some_and(|field| [&field.value, &field.raw].into_iter().any(|value| score::folded(value) == score::folded(printed))) {
            eprintln!("{name}: {field}: printed {printed} read {:?}", read.map(|field| &field.value));
        }
    }
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}
