//! What a correction makes of a page: its truth as far as it is known, and what the pipeline said instead. Pure.

use std::collections::BTreeMap;

use ai::document::DocumentKind;
use ai::pipeline::Findings;
use ai::review::{Comparison, Outcome};

use super::{BadCaseError, TrueValue};
use crate::line::{BadLine, LineProblem};

/// Characters of a corrected value; addresses and scopes are long.
const VALUE_CHARS_MAX: usize = 256;
/// Values of one correction; no paper has more fields.
const VALUES_MAX: usize = 32;

/// A page with its label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Labelled {
    pub(super) kind: DocumentKind,
    /// What is known to stand there: what was corrected, and what reading and claim agreed on. An empty value: nothing stands there.
    pub(super) truth: BTreeMap<String, String>,
    /// What the pipeline read of these.
    pub(super) said: BTreeMap<String, String>,
    /// Names of the corrected fields.
    pub(super) corrected: Vec<String>,
}

/// Labels a page that should show `expected`. `findings` are none where the page could not be read.
pub(super) fn label(
    expected: DocumentKind,
    findings: Option<&Findings>,
    comparisons: &[Comparison],
    kind: Option<DocumentKind>,
    values: &[TrueValue],
) -> Result<Labelled, BadCaseError> {
    let kind = kind.or(findings.map(|f| f.kind)).unwrap_or(expected);
    if values.len() > VALUES_MAX {
        return Err(BadCaseError::UnknownField);
    }
    let read_as_such = findings.filter(|f| f.kind == kind);
    let read = |field: &str| read_as_such.and_then(|f| f.fields.get(field)).map_or("", |field| field.value.as_str());
    let mut truth = BTreeMap::new();
    let mut corrected = Vec::new();
    for TrueValue { field, value } in values {
        let value = checked(value)?;
        if !kind.has_field(field) || truth.insert(field.clone(), value.clone()).is_some() {
            return Err(BadCaseError::UnknownField);
        }
        if read(field) != value {
            corrected.push(field.clone());
        }
    }
    if corrected.is_empty() && findings.is_some_and(|f| f.kind == kind) {
        return Err(BadCaseError::NothingCorrected);
    }
    // two who do not know of each other said the same: the merchant and the reader
    let agreed = comparisons.iter().filter(|c| matches!(c.outcome, Outcome::Match | Outcome::MatchAfterNormalisation));
    for comparison in agreed.filter(|_| read_as_such.is_some()) {
        truth.entry(comparison.field.clone()).or_insert_with(|| read(&comparison.field).to_owned());
    }
    let said = truth.keys().map(|field| (field.clone(), read(field).to_owned())).collect();
    corrected.sort();
    Ok(Labelled { kind, truth, said, corrected })
}

fn checked(value: &str) -> Result<String, BadLine> {
    let value = value.trim();
    let problem = if value.chars().any(char::is_control) {
        LineProblem::ControlCharacter
    } else if value.chars().count() > VALUE_CHARS_MAX {
        LineProblem::Length { min: 0, max: VALUE_CHARS_MAX }
    } else {
        return Ok(value.to_owned());
    };
    Err(BadLine { field: "value", problem })
}

#[cfg(test)]
mod tests {
    use ai::document::Field;

    use super::*;

    fn page() -> Findings {
        let field = |value: &str| Field {
            value: value.to_owned(),
            canonical: value.to_owned(),
            raw: value.to_owned(),
            confidence: 0.9,
            quad: Default::default(),
            checks: Vec::new(),
        };
        Findings {
            kind: DocumentKind::IdFront,
            side: ai::document::Side::Front,
            kind_confidence: 0.9,
            rotation_degrees: 0,
            width: 400,
            height: 300,
            quad: Default::default(),
            quality: Vec::new(),
            authenticity: Vec::new(),
            seal: None,
            specimen: true,
            fields: [("name", "王磊"), ("id_number", "1"), ("address", "甲路")].map(|(n, v)| (n.to_owned(), field(v))).into(),
            readings: Default::default(),
            lines: Vec::new(),
            stages: Vec::new(),
            models: Vec::new(),
        }
    }

    fn compared(field: &str, outcome: Outcome) -> Comparison {
        Comparison { field: field.to_owned(), outcome, claimed: String::new(), read: None }
    }

    fn values(pairs: &[(&str, &str)]) -> Vec<TrueValue> {
        pairs.iter().map(|(field, value)| TrueValue { field: (*field).to_owned(), value: (*value).to_owned() }).collect()
    }

    #[test]
    fn the_truth_is_what_was_corrected_and_what_two_agree_on() {
        let comparisons = [compared("id_number", Outcome::Match), compared("address", Outcome::Differ)];
        let labelled = label(DocumentKind::IdFront, Some(&page()), &comparisons, None, &values(&[("name", " 王垒 ")])).unwrap();
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>();
        assert_eq!(labelled.truth, map(&[("id_number", "1"), ("name", "王垒")]), "what nobody vouches for is not known");
        assert_eq!(labelled.said, map(&[("id_number", "1"), ("name", "王磊")]));
        assert_eq!(labelled.corrected, ["name"]);
        // a value that is not there
        let gone = label(DocumentKind::IdFront, Some(&page()), &[], None, &values(&[("address", "")])).unwrap();
        assert_eq!(gone.truth, map(&[("address", "")]));
    }

    #[test]
    fn a_page_of_another_kind_keeps_nothing_that_was_read_as_the_wrong_one() {
        let agreed = [compared("name", Outcome::Match)];
        let labelled = label(DocumentKind::IdFront, Some(&page()), &agreed, Some(DocumentKind::TempId), &[]).unwrap();
        assert_eq!((labelled.kind, labelled.truth.len(), labelled.corrected.len()), (DocumentKind::TempId, 0, 0));
    }

    #[test]
    fn what_corrects_nothing_or_no_field_is_refused() {
        let refused = |kind, values: &[TrueValue]| label(DocumentKind::IdFront, Some(&page()), &[], kind, values).unwrap_err();
        assert!(matches!(refused(None, &[]), BadCaseError::NothingCorrected));
        assert!(matches!(refused(None, &values(&[("name", "王磊")])), BadCaseError::NothingCorrected));
        assert!(matches!(refused(Some(DocumentKind::IdFront), &[]), BadCaseError::NothingCorrected));
        assert!(matches!(refused(None, &values(&[("holder", "王磊")])), BadCaseError::UnknownField));
        assert!(matches!(refused(None, &values(&[("name", "王"), ("name", "李")])), BadCaseError::UnknownField));
        assert!(matches!(refused(None, &values(&[("name", &"字".repeat(257))])), BadCaseError::Line(_)));
        assert!(matches!(refused(None, &values(&[("name", "a\nb")])), BadCaseError::Line(_)));
        // a page that could not be read has everything to learn from
        assert!(label(DocumentKind::IdFront, None, &[], None, &[]).is_ok());
    }
}
