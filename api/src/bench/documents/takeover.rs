//! What happens to pages when the first engine fails or hangs under load: how soon the second is asked, and whether it reads the same.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ai::engine::{Broken, HealthState, RuntimeKind};
use ai::pipeline::{Options as Reading, Pipeline};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::specimen::Specimen;

/// Reads every specimen on the first engine, then breaks it while callers read them again. Times are in milliseconds from then.
pub fn drill(pipeline: &Pipeline, specimens: &[Specimen], callers: usize, broken: Broken) -> Result<Value> {
    let text = |specimen: &Specimen| -> Result<Vec<String>> {
        let findings = pipeline.run(&specimen.bytes()?, &Reading::default()).context("a specimen could not be read")?;
        Ok(findings.lines.into_iter().map(|line| line.text).collect())
    };
    let before: Vec<Vec<String>> = specimens.iter().map(&text).collect::<Result<_>>()?;
    let asked = || pipeline.health().iter().filter(|health| health.runtime == RuntimeKind::Rten).map(|health| health.runs).sum::<u64>();
    let out = || pipeline.health().iter().any(|health| health.runtime == RuntimeKind::OnnxRuntime && health.state == HealthState::Out);
    ensure!(!out(), "the first engine is out before the drill began");

    // The load: callers read the specimens over and over; the first engine breaks when half of them are read.
    let (stop, read) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ((broke, took_over, left_out), pages) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let reached = |reached: &dyn Fn() -> bool| {
                while !reached() && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Instant::now()
            };
            reached(&|| read.load(Ordering::Relaxed) * 2 >= specimens.len());
            let (broke, before) = (Instant::now(), asked());
            pipeline.drill(RuntimeKind::OnnxRuntime, broken);
            (broke, reached(&|| asked() > before), reached(&out))
        });
        let load = |caller: usize| {
            let mut done = Vec::new();
            for (at, specimen) in specimens.iter().enumerate().skip(caller).step_by(callers) {
                let begun = Instant::now();
                done.push((at, text(specimen), begun, Instant::now()));
                read.fetch_add(1, Ordering::Relaxed);
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
    let during = pages.iter().filter(|page| page.2 < broke && page.3 > broke).map(|page| page.3 - page.2).max();
    let second = pages.iter().filter(|page| page.2 > left_out).map(|page| page.3 - page.2).min();
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
        "second_asked_after_ms": ms(took_over - broke),
        "left_out_after_ms": ms(left_out - broke),
        "slowest_page_it_broke_in_ms": during.map(ms),
        "fastest_page_on_the_second_ms": second.map(ms),
        "lines": lines,
        "lines_equal": equal,
    }))
}
