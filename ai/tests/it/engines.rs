//! One engine takes over from the other: at start, when the native library is broken or gone, and in the middle of work.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use ai::{
    engine::{Broken, HealthState, RuntimeKind, Setup},
    error::{Cause, EngineError},
    manifest::{Manifest, Role},
    pipeline::{Findings, Options, Pipeline},
};

use super::{models_dir, pipeline, render};

fn with(runtimes: &[RuntimeKind]) -> Pipeline {
    Pipeline::load_with(&models_dir(), &Setup { runtimes: runtimes.to_vec(), run_budget: Duration::from_secs(180), ..Setup::default() })
        .unwrap()
}

fn runtimes(findings: &Findings) -> Vec<RuntimeKind> {
    let model = findings.models.iter().find(|model| model.name.contains("rec")).unwrap();
    model.runtimes.clone()
}

/// A models folder like ours, but for the native library: left out, or other bytes.
fn folder_with_library(name: &str, library: Option<&[u8]>) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for file in Manifest::built_in().unwrap().files {
        match (file.role, library) {
            (Role::Runtime, None) => {}
            (Role::Runtime, Some(bytes)) => std::fs::write(folder.join(&file.file), bytes).unwrap(),
            _ => {
                std::os::unix::fs::symlink(std::fs::canonicalize(models_dir()).unwrap().join(&file.file), folder.join(&file.file)).unwrap()
            }
        }
    }
    folder
}

/// Waits for a state, a minute at most.
fn wait_until(reached: impl Fn() -> bool) {
    let (_never, wait) = std::sync::mpsc::channel::<()>();
    let limit = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < limit, "a minute has passed");
        let _ = wait.recv_timeout(Duration::from_millis(2));
    }
}

#[test]
fn both_engines_read_the_same() {
    let pages = render("engines", &["--seed", "21", "--count", "1", "--conditions", "clean,photo"]);
    let (a, b) = (with(&[RuntimeKind::OnnxRuntime]), with(&[RuntimeKind::Rten]));
    let (mut lines, mut equal) = (0, 0);
    for page in &pages {
        let read = |pipeline: &Pipeline| pipeline.run(&page.bytes(), &Options::default()).unwrap();
        let (from_a, from_b) = (read(&a), read(&b));
        assert_eq!((runtimes(&from_a), runtimes(&from_b)), (vec![RuntimeKind::OnnxRuntime], vec![RuntimeKind::Rten]));
        assert!(from_a.models.iter().any(|model| model.name.contains("onnxruntime")));
        assert!(!from_b.models.iter().any(|model| model.name.contains("onnxruntime")), "the native library took no part");
        assert_eq!(from_a.lines.len(), from_b.lines.len(), "{}", page.file);
        lines += from_a.lines.len();
        equal += from_a.lines.iter().zip(&from_b.lines).filter(|(a, b)| a.text == b.text).count();
    }
    assert!(lines > 80 && equal * 1000 >= lines * 995, "{equal} of {lines} lines equal");
}

#[test]
fn a_missing_or_broken_library_leaves_the_other_engine_to_read() {
    let page = &render("engines-start", &["--seed", "22", "--conditions", "clean"])[0];
    for (name, library) in [("models-none", None), ("models-broken", Some(&b"not a library"[..]))] {
        let folder = folder_with_library(name, library);
        let pipeline = Pipeline::load(&folder).unwrap();
        let health = pipeline.health();
        assert_eq!((health[0].runtime, health[0].state), (RuntimeKind::OnnxRuntime, HealthState::Unavailable));
        assert!(health[0].reason.as_ref().is_some_and(|reason| reason.contains("libonnxruntime")), "{health:?}");
        let findings = pipeline.run(&page.bytes(), &Options::default()).unwrap();
        assert_eq!(findings.kind, page.doc_type);
        assert_eq!(runtimes(&findings), [RuntimeKind::Rten]);
        let alone = Pipeline::load_with(&folder, &Setup { threads: 1, runtimes: vec![RuntimeKind::OnnxRuntime], ..Setup::default() });
        assert!(matches!(alone, Err(EngineError::NoRuntime { .. })), "alone, it is an error");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn an_engine_that_goes_under_load_is_replaced_within_a_second_and_no_page_is_lost() {
    let pages = render("engines-load", &["--seed", "23", "--count", "1", "--conditions", "clean"]);
    let expected: Vec<Findings> = pages.iter().map(|page| page.read()).collect();
    let pipeline = with(&RuntimeKind::ALL);
    let (read, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut switched = Duration::MAX;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (page, expected) in pages.iter().zip(&expected) {
                    let findings = pipeline.run(&page.bytes(), &Options::default()).unwrap();
                    let values =
                        |f: &Findings| f.fields.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect::<Vec<_>>();
                    assert_eq!(values(&findings), values(expected));
                    read.fetch_add(1, Ordering::Relaxed);
                }
                assert!(gone.load(Ordering::Relaxed), "the load outlasts the loss");
            });
        }
        wait_until(|| pipeline.health()[0].runs >= 20);
        gone.store(true, Ordering::Relaxed);
        pipeline.suspend(RuntimeKind::OnnxRuntime, true);
        let started = Instant::now();
        wait_until(|| pipeline.health()[1].runs > 0);
        switched = started.elapsed();
    });
    let health = pipeline.health();
    assert_eq!((health[0].state, health[1].state), (HealthState::Out, HealthState::Ready));
    assert_eq!(read.load(Ordering::Relaxed), 2 * pages.len());
    assert!(switched < Duration::from_secs(1), "the first run on the other engine began after {switched:?}");
    pipeline.suspend(RuntimeKind::OnnxRuntime, false);
    let back = pipeline.run(&pages[0].bytes(), &Options::default()).unwrap();
    // a run that is late on a busy machine may be answered by the other
    assert!(runtimes(&back).contains(&RuntimeKind::OnnxRuntime));
}

#[test]
fn an_engine_that_hangs_or_fails_costs_no_page_and_the_next_reads_the_same() {
    let pages = render("engines-hang", &["--seed", "25", "--count", "1", "--conditions", "clean"]);
    let expected: Vec<Findings> = pages.iter().map(|page| page.read()).collect();
    for broken in [Broken::Hangs, Broken::Fails] {
        // three minutes a run: who waits for them does not come to the end of this test
        let pipeline = with(&RuntimeKind::ALL);
        pipeline.run(&pages[0].bytes(), &Options::default()).unwrap();
        let began = Instant::now();
        pipeline.drill(RuntimeKind::OnnxRuntime, broken);
        let (mut lines, mut equal) = (0, 0);
        for (page, expected) in pages.iter().zip(&expected) {
            let findings = pipeline.run(&page.bytes(), &Options::default()).unwrap();
            lines += expected.lines.len().max(findings.lines.len());
            equal += findings.lines.iter().zip(&expected.lines).filter(|(a, b)| a.text == b.text).count();
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{broken:?}: the second engine is asked beside one that is late");
        let health = pipeline.health();
        assert_eq!((health[0].state, health[1].state), (HealthState::Out, HealthState::Ready), "{broken:?}");
        assert!(lines > 40 && equal * 1000 >= lines * 995, "{broken:?}: {equal} of {lines} lines equal");
        pipeline.drill(RuntimeKind::OnnxRuntime, Broken::No);
    }
}

#[test]
fn a_page_that_was_given_up_stops_and_says_so() {
    let page = &render("engines-stop", &["--seed", "24", "--conditions", "clean"])[0];
    let error = pipeline().run_until(&page.bytes(), &Options::default(), &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error.cause, Cause::Cancelled), "{error:?}");
}

#[test]
fn a_missing_model_names_the_command_that_fetches_it() {
    let error = Pipeline::load(Path::new("/nonexistent")).unwrap_err();
    assert!(error.to_string().contains(ai::error::FETCH_COMMAND), "{error}");
}
