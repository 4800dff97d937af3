//! Documents per second through the pipeline alone, with the time of each stage: specimens of the three kinds, clean and photo-like.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ai::pipeline::{Options, Pipeline};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Record;
use crate::config::Config;

/// Draws `count` specimens, reads them on `callers` threads and prints the figures.
pub fn run(config: &Config, count: usize, callers: usize, json: bool) -> Result<()> {
    ensure!((1..=10_000).contains(&count) && (1..=64).contains(&callers), "--count takes 1 to 10000 and --callers 1 to 64");
    let folder = config.data_dir.join(format!("bench-documents-{}", std::process::id()));
    let images = draw(&folder, count);
    let _ = std::fs::remove_dir_all(&folder);
    let images = images?;
    let pipeline = Arc::new(Pipeline::load(&config.documents.models_dir).context("the document pipeline could not be loaded")?);
    // the first page of each shape pays for memory the others use again
    for image in images.iter().take(3) {
        pipeline.run(image, &Options::default()).context("a specimen could not be read")?;
    }

    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let work = || {
        let (mut took, mut stages, mut errors) = (Vec::new(), Vec::new(), 0);
        while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            match pipeline.run(image, &Options::default()) {
                Ok(findings) => {
                    took.push(begun.elapsed());
                    stages.extend(findings.stages);
                }
                Err(_) => errors += 1,
            }
        }
        (took, stages, errors)
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a reading thread does not panic")).collect()
    });
    let elapsed = started.elapsed();
    let (mut took, mut sums, mut errors): (Vec<Duration>, BTreeMap<String, f64>, usize) = (Vec::new(), BTreeMap::new(), 0);
    for (times, stages, failed) in done {
        took.extend(times);
        errors += failed;
        for stage in stages {
            *sums.entry(stage.stage.as_str().to_owned()).or_default() += f64::from(stage.ms);
        }
    }
    let read = took.len().max(1) as f64;
    let mut record = Record::new("documents", callers, took, elapsed, errors);
    let means: BTreeMap<_, _> = sums.into_iter().map(|(stage, ms)| (stage, (ms / read * 10.0).round() / 10.0)).collect();
    record.more.insert("stage_ms_mean".to_owned(), json!(means));
    record.print(json);
    ensure!(errors == 0, "{errors} specimens could not be read");
    Ok(())
}

/// Renders specimens with `models/specimens.py`: so many of each kind and condition.
fn draw(folder: &Path, count: usize) -> Result<Vec<Vec<u8>>> {
    let status = std::process::Command::new("/usr/bin/python3")
        .args(["models/specimens.py", "--seed", "7", "--conditions", "clean,photo", "--count", &count.div_ceil(6).to_string(), "--out"])
        .arg(folder)
        .stdout(std::process::Stdio::null())
        .status()
        .context("python3 could not be started; scripts/setup installs it")?;
    ensure!(status.success(), "models/specimens.py failed; run it by hand to see why");
    let mut files: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    files.sort();
    files.truncate(count);
    files.iter().map(|path| std::fs::read(path).context("a specimen cannot be read")).collect()
}
