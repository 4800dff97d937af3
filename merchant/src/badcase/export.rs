//! The labelled set in a folder: NAME.jpg with NAME.json beside it, in the form in which `models/specimens.py` writes specimens, so that one reader
//! takes both. The folder holds people's papers: it is its owner's alone, and appears whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ai::document::DocumentKind;
use ai::pipeline::Findings;
use ai::review::Claims;
use serde_json::{Value, json};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::audit;

use super::{BadCaseError, BadCases, operator, repo, truth_place};
use crate::onboarding::{VersionRow, findings_place};

/// Pages read at a time: each image is a few megabytes.
const PAGES_AT_ONCE: i64 = 16;

/// What an export wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub pages: usize,
}

/// One page with all that was said about it.
struct Labelled {
    /// The first correction of the page: its name in the set, which says nothing of whose it is.
    name: Uuid,
    kind: DocumentKind,
    truth: BTreeMap<String, String>,
    object_key: String,
    findings: Option<Findings>,
}

impl BadCases {
    /// Writes every labelled page there is now to a new folder. Later corrections of a page count over earlier ones. Put on record before the
    /// folder is there: nothing leaves unseen. Operators only.
    pub async fn export(&self, actor: &Actor, folder: &Path) -> Result<Exported, BadCaseError> {
        operator(actor)?;
        if folder.exists() {
            return Err(BadCaseError::FolderTaken);
        }
        let until = self.clock.now();
        let partial = partial(folder);
        // what a run that died left there is of no use
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&partial)?;
        let mut pages = 0;
        let mut after = None;
        loop {
            let rows = repo::rows_after(&self.db, after, until, PAGES_AT_ONCE).await?;
            let Some(last) = rows.last() else { break };
            after = Some((last.document, last.version));
            for page in self.merged(&rows)? {
                let image = self.files.get(&page.object_key).await?;
                write(&partial.join(format!("badcase-{}.jpg", page.name)), &image)?;
                write(&partial.join(format!("badcase-{}.json", page.name)), format!("{:#}\n", truth_json(&page)).as_bytes())?;
                pages += 1;
            }
        }
        let mut connection = self.db.acquire().await?;
        audit::record_in_tx(&mut connection, actor, "badcases.exported", Uuid::nil(), json!({ "pages": pages }), until).await?;
        fs::rename(&partial, folder)?;
        Ok(Exported { pages })
    }

    /// One entry per page; rows of a page stand together, the earlier first.
    fn merged(&self, rows: &[repo::Row]) -> Result<Vec<Labelled>, BadCaseError> {
        let mut pages = Vec::new();
        for of_page in rows.chunk_by(|a, b| (a.document, a.version) == (b.document, b.version)) {
            let [first, ..] = of_page else { continue };
            let place = findings_place(VersionRow(first.document, first.version));
            let findings = first.findings_sealed.as_deref().map(|f| self.vault.open_json(&place, f)).transpose()?;
            let mut page =
                Labelled { name: first.case, kind: first.kind, truth: BTreeMap::new(), object_key: first.object_key.clone(), findings };
            for row in of_page {
                // fields of another kind mean other things
                if row.kind != page.kind {
                    page.truth.clear();
                }
                page.kind = row.kind;
                let truth: Claims = self.vault.open_json(&truth_place(row.case), &row.truth_sealed)?;
                page.truth.extend(truth.0);
            }
            pages.push(page);
        }
        Ok(pages)
    }
}

/// The truth of a page as specimens have it. What nobody vouches for is left out; `absent` names what the paper does not have.
fn truth_json(page: &Labelled) -> Value {
    let (there, absent): (BTreeMap<_, _>, BTreeMap<_, _>) = page.truth.iter().partition(|(_, value)| !value.is_empty());
    let findings = page.findings.as_ref();
    let quads: BTreeMap<&str, _> = findings
        .filter(|f| f.kind == page.kind)
        .into_iter()
        .flat_map(|f| f.fields.iter().map(|(name, field)| (name.as_str(), f.in_photograph(&field.quad))))
        .filter(|(name, _)| there.keys().any(|field| field == name))
        .collect();
    json!({
        "doc_type": page.kind.as_str(),
        "rotation": findings.map_or(0, Findings::page_turned_degrees),
        "condition": "badcase",
        "layout": "real",
        "quad": findings.map(|f| f.in_photograph(&f.quad)),
        "quality": findings.map_or(json!([]), |f| json!(f.quality)),
        "authenticity": findings.map_or(json!([]), |f| json!(f.authenticity)),
        "specimen": findings.is_some_and(|f| f.specimen),
        "fields": there,
        "absent": absent.keys().collect::<Vec<_>>(),
        "field_quads": quads,
    })
}

fn partial(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    folder.with_file_name(name)
}

/// Writes a file that only its owner reads.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
