//! The rules of an application: which papers and claims it takes, when a paper may be changed, and where it stands. Pure.

use std::collections::BTreeMap;

use ai::document::DocumentKind;
use ai::review::{Claims, Verdict};

use super::{ApplicationStatus, DocumentStatus};
use crate::line::{LineProblem, one_line};

/// The papers every application needs, one of each.
pub const PAPERS: [DocumentKind; 3] = [DocumentKind::IdFront, DocumentKind::DeedNew, DocumentKind::BusinessLicence];

/// Characters of one claim.
const CLAIM_CHARS_MAX: usize = 256;

/// The claims that must be typed for a paper; any other field of its kind may be.
pub fn required_claims(kind: DocumentKind) -> &'static [&'static str] {
    match kind {
        DocumentKind::IdFront => &["name", "id_number"],
        DocumentKind::DeedNew => &["number", "holder", "location"],
        DocumentKind::BusinessLicence => &["code", "name", "legal_person"],
        // Not asked for by any application; what is handed in beside it is compared with what was typed.
        _ => &[],
    }
}

/// One value as it was typed (填写内容).
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimInput {
    pub name: String,
    pub value: String,
}

impl std::fmt::Debug for ClaimInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClaimInput({}: ..)", self.name)
    }
}

/// A claim that cannot be taken. The text does not carry the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a claim: {problem}")]
pub struct ClaimError {
    /// The claim's name as it was sent, at most 64 characters.
    pub field: String,
    pub problem: ClaimProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimProblem {
    #[error("this paper has no such field")]
    Unknown,
    #[error("this field must be filled in")]
    Missing,
    #[error("this field was sent twice")]
    Repeated,
    #[error(transparent)]
    Line(#[from] LineProblem),
}

/// Reads the claims for a paper: known names, each once, 1 to 256 characters after trimming, and all required ones.
pub fn claims(kind: DocumentKind, inputs: &[ClaimInput]) -> Result<Claims, ClaimError> {
    let refuse = |field: &str, problem| ClaimError { field: field.chars().take(64).collect(), problem };
    let mut read = BTreeMap::new();
    for ClaimInput { name, value } in inputs {
        if !kind.has_field(name) {
            return Err(refuse(name, ClaimProblem::Unknown));
        }
        let value = one_line(value, 1, CLAIM_CHARS_MAX).map_err(|problem| refuse(name, problem.into()))?;
        if read.insert(name.clone(), value).is_some() {
            return Err(refuse(name, ClaimProblem::Repeated));
        }
    }
    match required_claims(kind).iter().find(|name| !read.contains_key(**name)) {
        Some(missing) => Err(refuse(missing, ClaimProblem::Missing)),
        None => Ok(Claims(read)),
    }
}

/// Reads a settlement account number: 8 to 32 digits; the spaces people type between groups are dropped.
pub fn settlement_account_number(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    let fits = (8..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then_some(digits)
}

/// The papers still missing, in the order they are asked for.
pub fn missing_papers(present: &[DocumentKind]) -> Vec<DocumentKind> {
    PAPERS.into_iter().filter(|kind| !present.contains(kind)).collect()
}

/// Why a paper may not be replaced or its claims corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Application,
    Document,
}

/// Whether a paper may be replaced or its claims corrected: until it, or the whole application, is approved. While it is being checked
/// or reviewed too: the newest version counts, and a verdict on an earlier one is dropped.
pub fn may_change(application: ApplicationStatus, document: Option<DocumentStatus>) -> Result<(), Settled> {
    match (application, document) {
        (ApplicationStatus::Approved, _) => Err(Settled::Application),
        (_, Some(DocumentStatus::Approved)) => Err(Settled::Document),
        _ => Ok(()),
    }
}

/// The status of a paper whose new version has just come in.
pub fn changed_document(application: ApplicationStatus) -> DocumentStatus {
    match application {
        ApplicationStatus::Draft => DocumentStatus::Uploaded,
        _ => DocumentStatus::Checking,
    }
}

/// The status of a paper after the pipeline's verdict.
pub fn judged_document(verdict: Verdict) -> DocumentStatus {
    match verdict {
        Verdict::Approve => DocumentStatus::Approved,
        Verdict::Review => DocumentStatus::InReview,
        Verdict::Reject => DocumentStatus::Rejected,
        Verdict::Reupload => DocumentStatus::Reupload,
    }
}

/// Where a submitted application stands, from its papers. The first that holds:
/// 1. a paper is not handed in for checking → `DRAFT`;
/// 2. a paper is being checked → `CHECKING`: the machine answers within seconds, so the merchant is told everything at once;
/// 3. a paper is refused or must be photographed again → `NEEDS_CORRECTION`: the merchant need not wait for the reviewer of another;
/// 4. a paper waits for a person → `IN_REVIEW`;
/// 5. all are approved → `APPROVED`.
pub fn application_status(documents: &[DocumentStatus]) -> ApplicationStatus {
    let any = |wanted: &[DocumentStatus]| documents.iter().any(|status| wanted.contains(status));
    if documents.len() < PAPERS.len() || any(&[DocumentStatus::Uploaded]) {
        ApplicationStatus::Draft
    } else if any(&[DocumentStatus::Checking]) {
        ApplicationStatus::Checking
    } else if any(&[DocumentStatus::Rejected, DocumentStatus::Reupload]) {
        ApplicationStatus::NeedsCorrection
    } else if any(&[DocumentStatus::InReview]) {
        ApplicationStatus::InReview
    } else {
        ApplicationStatus::Approved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, value: &str) -> ClaimInput {
        ClaimInput { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn every_required_claim_is_a_field_of_its_paper() {
        for kind in PAPERS {
            assert!(!required_claims(kind).is_empty());
            for name in required_claims(kind) {
                assert!(kind.has_field(name), "{kind} {name}");
            }
        }
    }

    #[test]
    fn claims_are_known_single_and_complete() {
        use ClaimProblem::{Line, Missing, Repeated, Unknown};
        let whole = || vec![input("name", " 张三 "), input("id_number", "11010519491231002X")];
        let with = |name: &str, value: &str| [whole(), vec![input(name, value)]].concat();
        let length = Line(LineProblem::Length { min: 1, max: 256 });
        let cases = [
            (whole(), None),
            (with("sex", "女"), None),
            (vec![input("name", "张三")], Some(("id_number", Missing))),
            (vec![], Some(("name", Missing))),
            (with("holder", "张三"), Some(("holder", Unknown))),
            (with("", "x"), Some(("", Unknown))),
            (with("name", "李四"), Some(("name", Repeated))),
            (with("sex", "  "), Some(("sex", length))),
            (with("address", &"路".repeat(256)), None),
            (with("address", &"路".repeat(257)), Some(("address", length))),
            (with("sex", "女\0"), Some(("sex", Line(LineProblem::ControlCharacter)))),
        ];
        for (inputs, expected) in cases {
            let error = claims(DocumentKind::IdFront, &inputs).err().map(|e| (e.field, e.problem));
            assert_eq!(error, expected.map(|(f, p)| (f.to_owned(), p)), "{inputs:?}");
        }
        let long = claims(DocumentKind::IdFront, &[input(&"x".repeat(1000), "x")]).unwrap_err();
        assert_eq!(long.field.len(), 64);
    }

    #[test]
    fn claims_are_trimmed() {
        let read = claims(DocumentKind::IdFront, &[input("name", " 张三 "), input("id_number", "11010519491231002X")]).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap()["name"], "张三");
    }

    #[test]
    fn settlement_account_numbers_are_digits() {
        let cases = [
            ("62220202", Some("62220202")),
            ("6222 0202 0011 2233", Some("6222020200112233")),
            ("6222020", None),
            (&"1".repeat(32), Some("11111111111111111111111111111111")),
            (&"1".repeat(33), None),
            ("6222-0202-0011", None),
            ("６２２２０２０２", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(settlement_account_number(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn missing_papers_are_named_in_order() {
        assert_eq!(missing_papers(&[]), PAPERS);
        assert_eq!(missing_papers(&[DocumentKind::DeedNew]), [DocumentKind::IdFront, DocumentKind::BusinessLicence]);
        assert!(missing_papers(&PAPERS).is_empty());
    }

    #[test]
    fn a_paper_may_change_until_it_is_approved() {
        use {ApplicationStatus as A, DocumentStatus as D};
        for application in [A::Draft, A::Checking, A::InReview, A::NeedsCorrection] {
            for document in [None, Some(D::Uploaded), Some(D::Checking), Some(D::InReview), Some(D::Reupload), Some(D::Rejected)] {
                assert_eq!(may_change(application, document), Ok(()), "{application:?} {document:?}");
            }
            assert_eq!(may_change(application, Some(D::Approved)), Err(Settled::Document), "{application:?}");
        }
        assert_eq!(may_change(A::Approved, Some(D::Approved)), Err(Settled::Application));
    }

    #[test]
    fn an_application_stands_where_its_papers_put_it() {
        use {ApplicationStatus as A, DocumentStatus as D};
        let cases: &[(&[D], A)] = &[
            (&[], A::Draft),
            (&[D::Uploaded, D::Uploaded], A::Draft),
            (&[D::Uploaded, D::Uploaded, D::Uploaded], A::Draft),
            (&[D::Checking, D::Checking, D::Checking], A::Checking),
            (&[D::Approved, D::Rejected, D::Checking], A::Checking),
            (&[D::InReview, D::InReview, D::Checking], A::Checking),
            (&[D::Approved, D::Rejected, D::Approved], A::NeedsCorrection),
            (&[D::Approved, D::Reupload, D::Approved], A::NeedsCorrection),
            (&[D::InReview, D::Rejected, D::Approved], A::NeedsCorrection),
            (&[D::InReview, D::Reupload, D::InReview], A::NeedsCorrection),
            (&[D::InReview, D::Approved, D::Approved], A::InReview),
            (&[D::InReview, D::InReview, D::InReview], A::InReview),
            (&[D::Approved, D::Approved, D::Approved], A::Approved),
        ];
        for (documents, expected) in cases {
            assert_eq!(application_status(documents), *expected, "{documents:?}");
            let mut turned = documents.to_vec();
            turned.reverse();
            assert_eq!(application_status(&turned), *expected, "{turned:?}");
        }
    }
}
