//! `haodian read FILE…`: the document pipeline on files, without server or database; one JSON line each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ai::document::DocumentKind;
use ai::pipeline::{Findings, Pipeline};
use ai::review::{self, Claims, Policy};
use anyhow::{Context, bail};
use api::config::Config;
use chrono::NaiveDate;
use serde_json::{Value, json};

/// What to read, and what to compare it with.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// JPEG or PNG files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print JSON lines (there is no other form yet)
    #[arg(long)]
    json: bool,
    /// What was typed: a JSON object of field names and values, or JSON lines with `file`, `doc_type` and `claims`, as specimens.py writes them
    #[arg(long)]
    claims: Option<PathBuf>,
    /// The business day of the comparison; today in Shanghai unless given
    #[arg(long)]
    as_of: Option<NaiveDate>,
    /// Overlook the specimen mark (样本)
    #[arg(long)]
    allow_specimen: bool,
}

/// Reads each file; exit code 1 when one could not be read at all.
pub fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let claims = arguments.claims.as_deref().map(claims_in).transpose()?;
    let as_of =
        arguments.as_of.unwrap_or_else(|| wallet::base::clock::Clock::wall().with_timezone(&wallet::base::clock::shanghai()).date_naive());
    let policy = Policy { allow_specimen: arguments.allow_specimen, ..Policy::default() };
    let pipeline = Pipeline::load(&config.documents.models_dir)?;
    let mut all_read = true;
    for file in &arguments.files {
        let bytes = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        let started = Instant::now();
        let findings = pipeline.run(&bytes, &ai::pipeline::Options::default());
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        all_read &= findings.is_ok();
        let claims = claims.as_ref().and_then(|claims| claims.of(file));
        println!("{}", line(file, findings, ms, claims, &policy, as_of));
    }
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(
    file: &Path,
    findings: Result<Findings, ai::error::StageError>,
    ms: f64,
    claims: Option<&Typed>,
    policy: &Policy,
    as_of: NaiveDate,
) -> Value {
    let (mut line, decision) = match findings {
        Ok(findings) => {
            let decide = |typed: &Typed| review::decide(&findings, typed.kind.unwrap_or(findings.kind), &typed.claims, policy, as_of);
            let decision = claims.map(decide);
            (read(&findings), decision)
        }
        Err(error) => {
            let decision = claims.map(|_| review::stage_failed(&error));
            (json!({ "error": format!("{:#}", anyhow::Error::new(error)) }), decision)
        }
    };
    line["file"] = json!(file);
    line["ms"] = json!((ms * 10.0).round() / 10.0);
    if let Some(decision) = decision {
        line["comparison"] = json!(decision.comparisons);
        line["decision"] = json!(decision.verdict);
        line["reasons"] = json!(decision.reasons);
    }
    line
}

/// What was read: values in `fields`, and where and how surely each was read in `evidence`.
fn read(findings: &Findings) -> Value {
    let values: serde_json::Map<_, _> = findings.fields.iter().map(|(name, field)| (name.clone(), json!(field.value))).collect();
    json!({
        "type": findings.kind,
        "type_confidence": findings.kind_confidence,
        "rotation": findings.rotation_degrees,
        "width": findings.width,
        "height": findings.height,
        "quality": findings.quality,
        "specimen": findings.specimen,
        "fields": values,
        "evidence": findings.fields,
        "text": findings.lines,
        "stages": findings.stages,
        "models": findings.models,
    })
}

/// What was typed about one paper.
#[derive(serde::Deserialize)]
struct Typed {
    /// The kind it was handed in as; the kind that was read unless given.
    #[serde(default, rename = "doc_type")]
    kind: Option<DocumentKind>,
    claims: Claims,
}

#[derive(serde::Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    typed: Typed,
}

/// Claims for every file, or by file name.
enum ClaimsFile {
    Same(Typed),
    ByName(Vec<Line>),
}

impl ClaimsFile {
    fn of(&self, file: &Path) -> Option<&Typed> {
        match self {
            Self::Same(typed) => Some(typed),
            Self::ByName(lines) => lines.iter().find(|line| file.ends_with(&line.file)).map(|line| &line.typed),
        }
    }
}

fn claims_in(path: &Path) -> anyhow::Result<ClaimsFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    if let Ok(claims) = serde_json::from_str::<Claims>(&text) {
        return Ok(ClaimsFile::Same(Typed { kind: None, claims }));
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.map(serde_json::from_str).collect() {
        Ok(lines) => Ok(ClaimsFile::ByName(lines)),
        Err(error) => bail!("{} is neither an object of claims nor lines with file and claims ({error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_as_one_object_or_by_file() {
        let dir = std::env::temp_dir().join(format!("haodian-claims-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("claims");
        std::fs::write(&path, r#"{"name": "张三"}"#).unwrap();
        assert_eq!(claims_in(&path).unwrap().of(Path::new("any.jpg")).unwrap().claims.0["name"], "张三");
        std::fs::write(
            &path,
            "{\"file\": \"a.jpg\", \"doc_type\": \"id_front\", \"claims\": {\"name\": \"李四\"}, \"condition\": \"clean\"}\n",
        )
        .unwrap();
        let claims = claims_in(&path).unwrap();
        let typed = claims.of(Path::new("/tmp/a.jpg")).unwrap();
        assert_eq!((typed.claims.0["name"].as_str(), typed.kind), ("李四", Some(DocumentKind::IdFront)));
        assert!(claims.of(Path::new("/tmp/b.jpg")).is_none());
        std::fs::write(&path, "[]").unwrap();
        assert!(claims_in(&path).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
