//! Says which kind of document a page is, by its text.

use crate::document::{DocumentKind, classify::classify, layout::Page};

/// The kind, and how sure that is, 0 to 1.
pub fn run(page: &Page) -> (DocumentKind, f32) {
    let evidence = classify(page);
    (evidence.kind, evidence.confidence)
}
