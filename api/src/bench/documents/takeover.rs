//! What happens to pages when the first engine hangs under load: how soon the second answers, and whether it reads the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ai::engine::{Broken, HealthState, RuntimeKind};
use ai::pipeline::{Options as Reading, Pipeline};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::specimen::Specimen;

/// Reads every specimen on the first engine, then hangs it while callers read them again. Times are in milliseconds.
pub fn drill(pipeline: &Pipeline, specimens: &[Specimen], callers: usize) -> Result<Value> {
    let text = |specimen: &Specimen| -> Result<Vec<String>> {
        let findings = pipeline.run(&specimen.bytes()?, &Reading::default()).context("a specimen could not be read")?;
        Ok(findings.lines.into_iter().map(|line| line.text).collect())
    };
    let before: Vec<Vec<String>> = specimens.iter().map(&text).collect::<Result<_>>()?;
    let out = || pipeline.health().iter().any(|health| health.runtime == RuntimeKind::OnnxRuntime && health.state == HealthState::Out);
    ensure!(!out(), "the first engine is out before the drill began");

    // The load: callers read the specimens over and over, and the pages that end after the engine was left out are counted from there.
    let (stop, hung) = (AtomicBool::new(false), Instant::now());
    pipeline.drill(RuntimeKind::OnnxRuntime, Broken::Hangs);
    let (opened, pages) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !out() && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Instant::now()
        });
        let load = |caller: usize| {
            let mut done = Vec::new();
            for (at, specimen) in specimens.iter().enumerate().skip(caller).step_by(callers) {
                let begun = Instant::now();
                done.push((at, text(specimen), begun, Instant::now()));
            }
            done
        };
        let callers: Vec<_> = (0..callers).map(|caller| scope.spawn(move || load(caller))).collect();
        let pages: Vec<_> = callers.into_iter().flat_map(|thread| thread.join().expect("a reading thread does not panic")).collect();
        stop.store(true, Ordering::Relaxed);
        (watch.join().expect("the watching thread does not panic"), pages)
    });
    pipeline.drill(RuntimeKind::OnnxRuntime, Broken::No);

    let ms = |duration: Duration| super::tenths(duration.as_secs_f64() * 1000.0);
    let first = pages.iter().map(|page| page.3).filter(|end| *end > opened).min().context("no page ended after the engine was left out")?;
    let whole = pages.iter().filter(|page| page.2 > opened).map(|page| page.3 - page.2).min();
    let (mut lines, mut equal, mut lost) = (0, 0, 0);
    for (at, text, ..) in &pages {
        let Ok(text) = text else {
            lost += 1;
            continue;
        };
        lines += before[*at].len().max(text.len());
        equal += before[*at].iter().zip(text).filter(|(a, b)| a == b).count();
    }
    Ok(json!({
        "pages": pages.len(),
        "pages_lost": lost,
        "left_out_after_ms": ms(opened - hung),
        "first_page_after_left_out_ms": ms(first - opened),
        "fastest_whole_page_on_the_second_ms": whole.map(ms),
        "lines": lines,
        "lines_equal": equal,
    }))
}
