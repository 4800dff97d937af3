//! The real pipeline on rendered specimens. The models must be in `models/cache` (or `HAODIAN_MODELS_DIR`): without them
//! these tests fail and say which command fetches them, because a skipped test looks like a passed one.

// A failed step of a test is a failed test; the lint's own exception covers only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ai::{
    document::DocumentKind,
    pipeline::{Findings, Options, Pipeline, QualityFlag},
    review::{Claims, Decision, Policy, Verdict, decide},
};
use chrono::NaiveDate;
use serde::Deserialize;

#[path = "it/accuracy.rs"]
mod accuracy;
#[path = "it/classifier.rs"]
mod classifier;
#[path = "it/engines.rs"]
mod engines;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/other_renderer.rs"]
mod other_renderer;
#[path = "it/second_look.rs"]
mod second_look;
#[path = "it/specimens.rs"]
mod specimens;

/// One line of `claims.jsonl`.
#[derive(Deserialize, Clone, Debug)]
struct Specimen {
    file: String,
    doc_type: DocumentKind,
    condition: String,
    claims: BTreeMap<String, String>,
    claims_wrong: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Specimen {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.folder.join(&self.file)).unwrap()
    }

    fn read(&self) -> Findings {
        pipeline().run(&self.bytes(), &Options::default()).unwrap()
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Loaded once for the whole test binary.
fn pipeline() -> &'static Pipeline {
    static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
    PIPELINE.get_or_init(|| Pipeline::load(&models_dir()).unwrap_or_else(|error| panic!("{error}")))
}

fn models_dir() -> PathBuf {
    std::env::var_os("HAODIAN_MODELS_DIR").map_or_else(|| repository().join("models/cache"), PathBuf::from)
}

/// Renders specimens into a folder of this name, afresh.
fn render(name: &str, arguments: &[&str]) -> Vec<Specimen> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let done = Command::new("/usr/bin/python3")
        .arg(repository().join("models/specimens.py"))
        .arg("--out")
        .arg(&folder)
        .args(arguments)
        .output()
        .expect("/usr/bin/python3 renders the specimens");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read_to_string(folder.join("claims.jsonl"))
        .unwrap()
        .lines()
        .map(|line| Specimen { folder: folder.clone(), ..serde_json::from_str(line).unwrap() })
        .collect()
}

fn decision(findings: &Findings, expected: DocumentKind, claims: &BTreeMap<String, String>) -> Decision {
    let policy = Policy { allow_specimen: true, ..Policy::default() };
    let as_of = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    decide(findings, expected, &Claims(claims.clone()), &policy, as_of)
}

fn codes(decision: &Decision) -> Vec<&str> {
    decision.reasons.iter().map(|reason| reason.code.as_str()).collect()
}

#[track_caller]
fn assert_approved(specimen: &Specimen, findings: &Findings) {
    let decision = decision(findings, specimen.doc_type, &specimen.claims);
    let text: Vec<&str> = findings.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        decision.verdict,
        Verdict::Approve,
        "{}: {:?}\n{:#?}\n{text:?}\nquality {:?}",
        specimen.file,
        codes(&decision),
        decision.comparisons,
        findings.quality
    );
    let flags: &[QualityFlag] = &findings.quality;
    assert!(flags.is_empty());
}
