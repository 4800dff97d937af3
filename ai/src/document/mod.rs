//! The kinds of document we read, their field names, and the field that a page of each kind yields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub mod business_licence;
pub mod check;
pub mod classify;
mod columns;
pub mod date;
pub mod division;
pub mod household;
pub mod id_card;
mod kind;
pub mod layout;
pub mod mrz;
pub mod old_deed;
pub mod passport;
pub mod permit;
pub mod property_deed;
mod reader;
pub mod several;
pub mod text;
pub mod validity;
pub mod vocabulary;

pub use kind::{DocumentKind, Side, UnknownKind};

/// Four corners in pixels of the upright image: top left, top right, bottom right, bottom left of the text.
pub type Quad = [[f32; 2]; 4];

/// One value read from a page.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Field {
    /// The value as it is printed, without spaces and in simplified characters.
    pub value: String,
    /// The value in the one form in which values are compared: dates as YYYY-MM-DD, codes in capitals, the rest normalised.
    #[serde(default)]
    pub canonical: String,
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
        DocumentKind::IdFront => id_card::front(page),
        DocumentKind::IdBack => id_card::back(page),
        DocumentKind::TempId => id_card::temporary(page),
        DocumentKind::HkmoPermit | DocumentKind::TaiwanPermit | DocumentKind::TaiwanCompatriot => permit::read(kind, page),
        DocumentKind::Passport => passport::read(page),
        DocumentKind::HouseholdHead => household::head(page),
        DocumentKind::HouseholdMember => household::member(page),
        DocumentKind::DeedOld => old_deed::read(page),
        DocumentKind::DeedNew => property_deed::read(page),
        DocumentKind::BusinessLicence => business_licence::read(page),
        DocumentKind::Other => Fields::new(),
    }
}
