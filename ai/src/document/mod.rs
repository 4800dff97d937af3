//! The kinds of document we read, their field names, and the field that a page of each kind yields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub mod business_licence;
pub mod check;
pub mod classify;
mod columns;
pub mod date;
pub mod division;
pub mod id_card;
mod kind;
pub mod layout;
pub mod mrz;
pub mod property_deed;
pub mod text;
pub mod validity;

pub use kind::{DocumentKind, Side, UnknownKind};

/// Four corners in pixels of the upright image: top left, top right, bottom right, bottom left of the text.
pub type Quad = [[f32; 2]; 4];

/// One value read from a page.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Field {
    /// The normalised value.
    pub value: String,
    /// The text as it was read.
    pub raw: String,
    /// The lowest confidence over the value's letters and digits, 0 to 1; punctuation is often doubtful and never matters.
    pub confidence: f32,
    /// Where the value stands.
    pub quad: Quad,
    /// The rules the value was put to.
    pub checks: Vec<Check>,
}

impl Field {
    pub fn checks_pass(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// One rule a field was put to, such as `check_digit`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Check {
    pub name: String,
    pub passed: bool,
}

/// The fields of a page by name.
pub type Fields = BTreeMap<String, Field>;

/// Reads the fields of `kind` off the page. Pure: everything it needs is in `page`.
pub fn read(kind: DocumentKind, page: &layout::Page) -> Fields {
    match kind {
        DocumentKind::IdFront => id_card::read(page),
        DocumentKind::DeedNew => property_deed::read(page),
        DocumentKind::BusinessLicence => business_licence::read(page),
        _ => Fields::new(),
    }
}

/// A field from a run of text; `None` when nothing was read.
fn field(page: &layout::Page, run: &[layout::Placed], normal: impl Fn(&str) -> String, checks: Vec<Check>) -> Option<Field> {
    let value = normal(&layout::plain(run));
    if run.is_empty() || value.is_empty() {
        return None;
    }
    Some(Field {
        value,
        raw: run.iter().map(|p| p.raw).collect(),
        confidence: run.iter().filter(|p| p.character.is_alphanumeric()).map(|p| p.confidence).fold(1.0, f32::min),
        quad: page.quad(run),
        checks,
    })
}

fn checked(name: &str, passed: bool) -> Check {
    Check { name: name.to_owned(), passed }
}
