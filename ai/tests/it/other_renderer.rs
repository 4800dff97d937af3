//! Papers drawn by another renderer than ours (HTML in a browser; every value is invented), each with a layout that was misread once: forms
//! in red, opened booklets, Chinese machine lines, a second script, no label beside the name, a resident's permit, Shanghai's form, a head in
//! two lines.

use std::collections::BTreeMap;

use ai::{
    document::{DocumentKind, text},
    pipeline::{Options, QualityFlag},
};
use serde::Deserialize;

use super::{pipeline, repository};

#[derive(Deserialize)]
struct Truth {
    doc_type: DocumentKind,
    rotation: u16,
    fields: BTreeMap<String, String>,
}

fn folded(value: &str) -> String {
    text::normalise(value).chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn papers_of_another_renderer_are_read_as_they_are_printed() {
    let folder = repository().join("ai/tests/pages");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    pages.sort();
    assert!(pages.len() >= 12, "{}", folder.display());
    let mut wrong = Vec::new();
    for path in pages {
        let truth: Truth = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let read = pipeline().run(&std::fs::read(path.with_extension("jpg")).unwrap(), &Options::default()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if (read.kind, read.rotation_degrees) != (truth.doc_type, (360 - truth.rotation) % 360) || read.quality.contains(&QualityFlag::Cut)
        {
            wrong.push(format!("{name}: {} turned {} {:?}", read.kind, read.rotation_degrees, read.quality));
        }
        for (field, printed) in &truth.fields {
            let value = read.fields.get(field).map(|field| field.value.as_str());
            if value.map(folded) != Some(folded(printed)) {
                wrong.push(format!("{name}: {field} {printed} {value:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
