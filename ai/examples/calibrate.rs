//! Chooses the policy's thresholds: reads every page of the folders that has its truth beside it (`NAME.jpg`, `NAME.json` with
//! `doc_type` and `fields`), and prints per kind the confidence from which on the required fields are read rightly, with its
//! Clopper-Pearson bound.
//!
//! `cargo run -p ai --example calibrate -- MODELS RISK FOLDER…`, say `models/cache 0.05 /tmp/set`.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use ai::{
    document::{DocumentKind, text},
    pipeline::{Options, Pipeline},
    review::{Policy, calibrate},
};

#[derive(serde::Deserialize)]
struct Truth {
    doc_type: DocumentKind,
    fields: BTreeMap<String, String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models, risk, folders @ ..] = arguments.as_slice() else {
        eprintln!("calibrate MODELS RISK FOLDER…");
        return ExitCode::FAILURE;
    };
    let (Ok(risk), Ok(pipeline)) = (risk.parse::<f64>(), Pipeline::load(Path::new(models))) else {
        eprintln!("calibrate: the risk is no number or the models are not there");
        return ExitCode::FAILURE;
    };
    let policy = Policy::default();
    let mut seen: BTreeMap<String, Vec<(f32, bool)>> = BTreeMap::new();
    for path in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten().map(|entry| entry.path()) {
        let Some(truth) = std::fs::read(path.with_extension("json")).ok().and_then(|json| serde_json::from_slice::<Truth>(&json).ok())
        else {
            continue;
        };
        let Some(findings) = std::fs::read(&path)
            .ok()
            .filter(|_| path.extension().is_some_and(|end| end == "jpg"))
            .and_then(|bytes| pipeline.run(&bytes, &Options { lines: false }).ok())
        else {
            continue;
        };
        // Only pages that could be approved: of the right kind, with every required field read and its checks passed.
        let required = policy.required.get(&truth.doc_type).map_or(&[][..], Vec::as_slice);
        let expected: Vec<(&String, &String)> = required.iter().filter_map(|name| truth.fields.get_key_value(name)).collect();
        if findings.kind != truth.doc_type || expected.len() != required.len() || required.is_empty() || !findings.quality.is_empty() {
            continue;
        }
        let fields: Vec<_> = expected.iter().filter_map(|(name, value)| Some((findings.fields.get(*name)?, *value))).collect();
        if fields.len() != required.len() || !fields.iter().all(|(field, _)| field.checks_pass()) {
            continue;
        }
        let confidence = fields.iter().map(|(field, _)| field.confidence).fold(1.0, f32::min);
        let wrong = fields.iter().any(|(field, value)| text::address(&field.value) != text::address(value));
        for key in [truth.doc_type.as_str(), "all"] {
            seen.entry(key.to_owned()).or_default().push((confidence, wrong));
        }
    }
    for (kind, pages) in seen {
        let wrong = pages.iter().filter(|(_, wrong)| *wrong).count();
        println!("{kind}: {} pages, {wrong} wrong; {:?}", pages.len(), calibrate::threshold(&pages, risk));
    }
    ExitCode::SUCCESS
}
