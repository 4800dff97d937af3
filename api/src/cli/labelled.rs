//! `haodian badcases export` and `haodian models compare`: the labelled set in a folder, and two versions of the models on such a folder.
//!
//! Whoever may run them has the keys of the system; `--by` names the operator whose act it is, for the record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ai::document::DocumentKind;
use ai::engine::Setup;
use ai::pipeline::Options;
use ai::version::Version;
use anyhow::{Context as _, bail, ensure};
use api::app::App;
use api::config::Config;
use aws_lc_rs::digest::{Context as Digest, SHA256};
use merchant::models::{self, NewRun, Score};
use serde::Deserialize;
use wallet::base::actor::{Actor, Role};

/// What may be done with bad cases.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum BadCases {
    /// Write every labelled page to a new folder, as NAME.jpg with NAME.json beside it
    Export {
        /// The folder, which must not be there yet
        folder: PathBuf,
        /// Handle of the operator who exports
        #[arg(long, value_name = "HANDLE")]
        by: String,
    },
}

/// What may be done with versions of the models.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Models {
    /// Compare a version with the one that reads papers now, on a folder of labelled pages, and keep the result
    Compare {
        /// The folder, as `badcases export` or models/specimens.py writes it
        folder: PathBuf,
        /// The candidate's manifest; its files lie in the models' folder or in versions/ID below it
        #[arg(long, value_name = "FILE")]
        candidate: PathBuf,
        /// Handle of the operator who compares
        #[arg(long, value_name = "HANDLE")]
        by: String,
    },
    /// Print a manifest's id
    Id {
        /// The manifest; the one built in when left out
        manifest: Option<PathBuf>,
    },
}

/// Exports the labelled set.
pub async fn bad_cases(config: &Config, command: &BadCases) -> anyhow::Result<()> {
    let BadCases::Export { folder, by } = command;
    let app = App::connect(config).await?;
    let operator = operator(&app, by).await?;
    let exported = app.bad_cases.export(&operator, folder).await?;
    println!("{} pages written to {}", exported.pages, folder.display());
    app.close().await;
    Ok(())
}

/// Compares versions.
pub async fn models(config: &Config, command: &Models) -> anyhow::Result<()> {
    match command {
        Models::Id { manifest } => {
            let version = match manifest {
                Some(path) => read_version(path)?,
                None => Version::built_in()?,
            };
            println!("{}", version.id);
        }
        Models::Compare { folder, candidate, by } => {
            let app = App::connect(config).await?;
            let operator = operator(&app, by).await?;
            let baseline = match app.models.current().await? {
                Some(current) => Version::parse(&current.manifest).context("the promoted manifest cannot be read")?,
                None => Version::built_in()?,
            };
            let candidate = read_version(candidate)?;
            let pages = labelled(folder)?;
            let set = digest(&pages)?;
            let score = |version: &Version| score(version, &config.documents.models_dir, &pages);
            let (baseline_score, candidate_score) = (score(&baseline)?, score(&candidate)?);
            let known = |version: Version| models::Version { id: version.id, manifest: version.text };
            let new = NewRun { baseline: known(baseline), candidate: known(candidate), set, baseline_score, candidate_score };
            let run = app.models.record_run(&operator, new).await?;
            println!(
                "{}",
                serde_json::json!({
                    "run": run.id, "baseline": run.baseline, "candidate": run.candidate, "pages": run.pages, "set": run.set,
                    "baseline_scores": run.baseline_score, "candidate_scores": run.candidate_score, "not_worse": run.not_worse,
                })
            );
            app.close().await;
        }
    }
    Ok(())
}

/// The operator of this handle.
async fn operator(app: &App, handle: &str) -> anyhow::Result<Actor> {
    match app.identity.person(handle).await? {
        Some(actor @ Actor::Person { role: Role::Operator, .. }) => Ok(actor),
        Some(_) => bail!("{handle} is no operator"),
        None => bail!("nobody has the handle {handle}; an operator logs in once before this"),
    }
}

fn read_version(path: &Path) -> anyhow::Result<Version> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Version::parse(&text).with_context(|| format!("{} is no manifest", path.display()))
}

/// A page of the set with what is known of it.
struct Page {
    image: PathBuf,
    truth: PathBuf,
    label: Label,
}

#[derive(Deserialize)]
struct Label {
    doc_type: DocumentKind,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// Fields that the paper does not have.
    #[serde(default)]
    absent: Vec<String>,
}

/// The labelled pages of a folder, by name.
fn labelled(folder: &Path) -> anyhow::Result<Vec<Page>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut images: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    images.retain(|path| path.extension().is_some_and(|extension| extension == "jpg" || extension == "png"));
    images.sort();
    let mut pages = Vec::new();
    for image in images {
        let truth = image.with_extension("json");
        let text = std::fs::read_to_string(&truth).with_context(|| format!("{} cannot be read", truth.display()))?;
        let label = serde_json::from_str(&text).with_context(|| format!("{} is not the truth of a page", truth.display()))?;
        pages.push(Page { image, truth, label });
    }
    ensure!(!pages.is_empty(), "{} holds no labelled pages", folder.display());
    Ok(pages)
}

/// SHA-256 over the names and contents of the set, so that a run says what it was made on.
fn digest(pages: &[Page]) -> anyhow::Result<String> {
    let mut digest = Digest::new(&SHA256);
    for path in pages.iter().flat_map(|page| [&page.image, &page.truth]) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let content = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        for part in [name, &content] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    Ok(hex::encode(digest.finish()))
}

/// What one version reads right. A page that cannot be read counts as failed; an image that cannot be opened is an error.
fn score(version: &Version, models_dir: &Path, pages: &[Page]) -> anyhow::Result<Score> {
    let setup = Setup { threads: 1, ..Setup::default() };
    let pipeline = version.load(models_dir, &setup).with_context(|| format!("version {} could not be loaded", version.id))?;
    let mut score = Score::default();
    for page in pages {
        let image = std::fs::read(&page.image).with_context(|| format!("{} cannot be read", page.image.display()))?;
        let findings = pipeline.run(&image, &Options::default()).ok();
        let mut truth = page.label.fields.clone();
        truth.extend(page.label.absent.iter().map(|field| (field.clone(), String::new())));
        score.add(page.label.doc_type, &truth, findings.as_ref());
    }
    Ok(score)
}
