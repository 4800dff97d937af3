//! Chooses the policy's thresholds on pages of known truth: the lines that belong under `[calibrated]` in `ai/data/policy.toml`.

use std::collections::BTreeMap;

use ai::document::DocumentKind;
use ai::review::calibrate::{self, Threshold};

use super::score::Judged;

/// Per kind the confidence from which on the required fields are read rightly for this risk, as lines of TOML; a kind that cannot prove it
/// is named in a comment.
pub fn lines(pages: &[&Judged], risk: f64) -> Vec<String> {
    let mut kinds: BTreeMap<DocumentKind, Vec<(f32, bool)>> = BTreeMap::new();
    for page in pages {
        kinds.entry(page.kind).or_default().extend(page.automatic);
    }
    kinds.into_iter().map(|(kind, pages)| line(kind, &pages, calibrate::threshold(&pages, risk))).collect()
}

fn line(kind: DocumentKind, pages: &[(f32, bool)], threshold: Option<Threshold>) -> String {
    match threshold {
        Some(Threshold { confidence_min, pages, wrong, bound }) => {
            format!("{kind} = {{ confidence_min = {confidence_min:.4}, pages = {pages}, wrong = {wrong}, bound = {bound:.4} }}")
        }
        None => {
            let wrong = pages.iter().filter(|(_, wrong)| *wrong).count();
            format!("# {kind}: {} readable pages, {wrong} misread, prove no threshold", pages.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_the_threshold_it_states() {
        let pages: Vec<(f32, bool)> = (0..100).map(|at| (0.99 - at as f32 * 0.002, false)).collect();
        let chosen = calibrate::threshold(&pages, 0.05).unwrap();
        let read: BTreeMap<DocumentKind, Threshold> = toml::from_str(&line(DocumentKind::IdFront, &pages, Some(chosen))).unwrap();
        let read = read[&DocumentKind::IdFront];
        assert!((read.confidence_min - chosen.confidence_min).abs() < 1e-4);
        assert_eq!((read.pages, read.wrong), (100, 0));
        assert!(line(DocumentKind::DeedOld, &pages[..9], None).starts_with("# deed_old: 9 readable pages, 0 misread"));
    }
}
