//! Not a test but a measurement, run by hand: how many specimens have every required field right, and milliseconds per
//! stage. `cargo test -p ai --test it -- --ignored --nocapture measure`

use std::collections::BTreeMap;

use ai::review::{Outcome, Policy, Verdict};

use super::{Specimen, codes, decision, render};

#[derive(Default)]
struct Score {
    pages: u32,
    required_right: u32,
    all_right: u32,
    approved: u32,
    fields: u32,
    fields_right: u32,
    ms: BTreeMap<&'static str, f32>,
}

#[test]
#[ignore = "a measurement of some minutes"]
fn measure() {
    let count = std::env::var("SPECIMENS").unwrap_or_else(|_| "10".to_owned());
    let arguments = ["--seed", "2026", "--count", &count, "--conditions", "clean,photo,rotated90,rotated180,blurred"];
    let mut scores: BTreeMap<(String, &str), Score> = BTreeMap::new();
    for specimen in render("measure", &arguments) {
        let key = (specimen.condition.clone(), specimen.doc_type.as_str());
        add(scores.entry(key).or_default(), &specimen);
    }
    println!("condition    kind               pages  required right  all right  approved  fields right   ms");
    for ((condition, kind), score) in &scores {
        let total: f32 = score.ms.values().sum::<f32>() / score.pages as f32;
        println!(
            "{condition:12} {kind:18} {:5}  {:14}  {:9}  {:8}  {:5} of {:4}  {total:4.0}",
            score.pages, score.required_right, score.all_right, score.approved, score.fields_right, score.fields
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    for kind in ["id_front", "deed_new", "business_licence"] {
        let score = &scores[&("clean".to_owned(), kind)];
        let stages: Vec<String> = score.ms.iter().map(|(stage, ms)| format!("{stage} {:.0}", ms / score.pages as f32)).collect();
        println!("{kind}: ms per stage, clean: {}", stages.join(", "));
    }
}

fn add(score: &mut Score, specimen: &Specimen) {
    let findings = specimen.read();
    let decision = decision(&findings, specimen.doc_type, &specimen.claims);
    let right = |name: &str| {
        decision.comparisons.iter().any(|c| c.field == name && matches!(c.outcome, Outcome::Match | Outcome::MatchAfterNormalisation))
    };
    let required = &Policy::default().required[&specimen.doc_type];
    score.pages += 1;
    score.required_right += u32::from(required.iter().all(|name| right(name)));
    score.all_right += u32::from(specimen.claims.keys().all(|name| right(name)));
    score.approved += u32::from(decision.verdict == Verdict::Approve);
    score.fields += specimen.claims.len() as u32;
    score.fields_right += specimen.claims.keys().filter(|name| right(name)).count() as u32;
    for stage in &findings.stages {
        *score.ms.entry(stage.stage.as_str()).or_default() += stage.ms;
    }
    if decision.verdict != Verdict::Approve && specimen.condition != "blurred" {
        println!("{}: {:?} {:?} turned {}", specimen.file, decision.verdict, codes(&decision), findings.rotation_degrees);
        for c in decision.comparisons.iter().filter(|c| !right(&c.field)) {
            println!("    {}: claimed {} read {:?}", c.field, c.claimed, c.read);
        }
    }
}
