//! Specimen papers (样本) of an invented merchant, drawn by `models/specimens.py` with what they truly say.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::config::Config;

/// Debian's own interpreter has the imaging library; another one in PATH may not.
const PYTHON: &str = "/usr/bin/python3";

/// A paper with its image.
#[derive(Debug)]
pub struct Paper {
    /// As the API names it, e.g. `ID_FRONT`.
    pub kind: &'static str,
    /// A JPEG.
    pub image: Vec<u8>,
    fields: &'static [&'static str],
    claims: Map<String, Value>,
    claims_wrong: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Line {
    file: String,
    doc_type: String,
    claims: Map<String, Value>,
    claims_wrong: Option<Map<String, Value>>,
}

impl Paper {
    /// What the owner types at first, as claims of the API: on one paper it has a mistake.
    pub fn typed(&self) -> Value {
        self.as_claims(self.claims_wrong.as_ref().unwrap_or(&self.claims))
    }

    /// What the paper says, as claims of the API.
    pub fn printed(&self) -> Value {
        self.as_claims(&self.claims)
    }

    fn as_claims(&self, claims: &Map<String, Value>) -> Value {
        self.fields.iter().map(|name| json!({ "name": name, "value": claims.get(*name) })).collect()
    }
}

/// Draws the three papers of the demo: a clean licence, a blurred deed, an ID card beside which a wrong number will be typed.
pub async fn make(config: &Config) -> Result<Vec<Paper>> {
    let script = config.documents.models_dir.parent().context("documents.models_dir lies in models/")?.join("specimens.py");
    let out = config.data_dir.join("tmp").join(format!("specimens-{}", Uuid::now_v7().simple()));
    tokio::fs::create_dir_all(&out).await.with_context(|| format!("{} cannot be made", out.display()))?;
    let drawn = draw(&script, &out).await;
    let _ = tokio::fs::remove_dir_all(&out).await;
    drawn
}

async fn draw(script: &Path, out: &Path) -> Result<Vec<Paper>> {
    let run = Command::new(PYTHON).arg(script).arg("--demo").arg("--out").arg(out).output().await;
    let run = run.with_context(|| format!("{PYTHON} cannot be started; run `haodian doctor`"))?;
    ensure!(run.status.success(), "{} failed: {}", script.display(), String::from_utf8_lossy(&run.stderr).trim());
    let lines = tokio::fs::read_to_string(out.join("claims.jsonl")).await.context("the specimens' claims")?;
    let mut papers = Vec::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).context("a line of the specimens' claims")?;
        let (kind, fields) = asked(&line.doc_type)?;
        let image = tokio::fs::read(out.join(&line.file)).await.with_context(|| line.file.clone())?;
        papers.push(Paper { kind, image, fields, claims: line.claims, claims_wrong: line.claims_wrong });
    }
    ensure!(papers.len() == 3, "the demo needs three specimens, and {} were drawn", papers.len());
    Ok(papers)
}

/// The API's name of a paper, and the fields its form asks for.
fn asked(doc_type: &str) -> Result<(&'static str, &'static [&'static str])> {
    Ok(match doc_type {
        "id_front" => ("ID_FRONT", &["name", "id_number"]),
        "deed_new" => ("DEED_NEW", &["number", "holder", "location"]),
        "business_licence" => ("BUSINESS_LICENCE", &["code", "name", "legal_person"]),
        other => bail!("an application asks for no {other}"),
    })
}
