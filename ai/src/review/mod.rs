//! The decision about one document, drawn from what was read, what the merchant typed, the policy and the date. Pure, so
//! that every case is a line in a table, and an old decision can be drawn again from what was stored.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

mod compare;
mod message;

use crate::{
    document::{DocumentKind, Field, date},
    error::StageError,
    pipeline::{Findings, QualityFlag},
};

/// What the merchant typed, by field name.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(transparent)]
pub struct Claims(pub BTreeMap<String, String>);

/// How one field compares.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Match,
    MatchAfterNormalisation,
    Differ,
    /// Something was read, too uncertain to say that it differs.
    Unreadable,
    /// The page shows no such field.
    Absent,
}

/// One field, claimed and read.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    pub field: String,
    pub outcome: Outcome,
    pub claimed: String,
    pub read: Option<String>,
}

/// What happens to the document.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    /// A person looks at it (人工审核).
    Review,
    /// The merchant must upload again; nothing could be read.
    Reupload,
    /// Refused, with the reason.
    Reject,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Reupload => "reupload",
            Self::Reject => "reject",
        }
    }
}

/// Why a document was not simply approved.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// Stable, for machines.
    pub code: String,
    pub field: Option<String>,
    /// One sentence for the merchant, with the remedy; never the data itself.
    pub message: String,
}

/// The verdict with its reasons, the gravest first.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    pub comparisons: Vec<Comparison>,
}

/// When to trust a page. Data, so that it can be stored with the decision and tuned without a build.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Fields that must be claimed, read and equal.
    pub required: BTreeMap<DocumentKind, Vec<String>>,
    /// Lowest character confidence at which a required field that equals its claim counts as read. Low, because a misreading
    /// that happens to equal the claim is rare.
    pub confidence_min: f32,
    /// Lowest character confidence at which a value that contradicts its claim is held against the merchant.
    pub contradiction_confidence_min: f32,
    /// Below this, the page's kind is not held against the merchant.
    pub kind_confidence_min: f32,
    /// Whether specimens pass: on for demonstrations, off where real merchants apply.
    pub allow_specimen: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self {
            required: BTreeMap::from([
                (DocumentKind::IdFront, fields(&["name", "id_number"])),
                (DocumentKind::DeedNew, fields(&["number", "holder", "location"])),
                (DocumentKind::BusinessLicence, fields(&["code", "name", "legal_person"])),
            ]),
            confidence_min: 0.6,
            contradiction_confidence_min: 0.8,
            kind_confidence_min: 0.5,
            allow_specimen: false,
        }
    }
}

/// Decides about a page that should show `expected`. `as_of` is the business day.
pub fn decide(findings: &Findings, expected: DocumentKind, claims: &Claims, policy: &Policy, as_of: NaiveDate) -> Decision {
    let mut case = Case { expected, verdict: Verdict::Approve, reasons: Vec::new() };
    for flag in &findings.quality {
        case.add(Verdict::Review, quality_code(*flag), None);
    }
    if findings.specimen && !policy.allow_specimen {
        case.add(Verdict::Review, "SPECIMEN_NOT_ALLOWED", None);
    }
    if findings.kind != expected {
        // A poor picture of the right paper may look like no paper we know, so only a good picture is refused.
        let sure = findings.quality.is_empty() && findings.kind_confidence >= policy.kind_confidence_min;
        case.add(if sure { Verdict::Reject } else { Verdict::Review }, "KIND_MISMATCH", None);
        return case.close(Vec::new());
    }
    let required = policy.required.get(&expected).map_or(&[][..], Vec::as_slice);
    let mut comparisons = Vec::new();
    for name in expected.fields() {
        let needed = required.iter().any(|field| field == name);
        let read = findings.fields.get(name);
        let Some(claimed) = claims.0.get(name).filter(|claimed| !claimed.trim().is_empty()) else {
            if needed {
                case.add(Verdict::Review, "CLAIM_MISSING", Some(name));
            }
            continue;
        };
        let outcome = match read {
            None => Outcome::Absent,
            Some(field) => match compare::compare(expected, name, claimed, field) {
                Outcome::Differ if field.confidence < policy.confidence_min => Outcome::Unreadable,
                outcome => outcome,
            },
        };
        case.weigh(name, outcome, read, findings, policy);
        comparisons.push(Comparison {
            field: name.to_owned(),
            outcome,
            claimed: claimed.clone(),
            read: read.map(|field| field.value.clone()),
        });
        if let (true, Some(field)) = (needed && outcome != Outcome::Absent, read) {
            case.trust(name, field, policy);
        }
    }
    case.licence_term(findings, policy, as_of);
    case.close(comparisons)
}

/// The decision when a stage failed: bytes that are no image go back to the merchant, anything else to a person.
pub fn stage_failed(error: &StageError) -> Decision {
    let (verdict, code) = if error.is_bad_image() { (Verdict::Reupload, "IMAGE_UNREADABLE") } else { (Verdict::Review, "STAGE_FAILED") };
    let reason = Reason { code: code.to_owned(), field: None, message: message::of(code, DocumentKind::Other, None) };
    Decision { verdict, reasons: vec![reason], comparisons: Vec::new() }
}

/// The decision when the pipeline itself could not be had: nobody has looked at the page, so a person does.
pub fn unread() -> Decision {
    let code = "STAGE_FAILED";
    let reason = Reason { code: code.to_owned(), field: None, message: message::of(code, DocumentKind::Other, None) };
    Decision { verdict: Verdict::Review, reasons: vec![reason], comparisons: Vec::new() }
}

/// A decision in the making: the gravest verdict so far, and why.
struct Case {
    expected: DocumentKind,
    verdict: Verdict,
    reasons: Vec<(Verdict, Reason)>,
}

impl Case {
    fn add(&mut self, verdict: Verdict, code: &str, field: Option<&str>) {
        let reason = Reason { code: code.to_owned(), field: field.map(str::to_owned), message: message::of(code, self.expected, field) };
        self.verdict = self.verdict.max(verdict);
        self.reasons.push((verdict, reason));
    }

    fn weigh(&mut self, name: &str, outcome: Outcome, read: Option<&Field>, findings: &Findings, policy: &Policy) {
        match (outcome, read) {
            (Outcome::Match | Outcome::MatchAfterNormalisation, _) => {}
            (Outcome::Unreadable | Outcome::Absent, _) | (Outcome::Differ, None) => {
                self.add(Verdict::Review, "FIELD_UNREADABLE", Some(name));
            }
            (Outcome::Differ, Some(field)) => {
                // A number that proves itself by its check digit, read surely off a good picture, outweighs what was typed.
                let proven = field.checks.iter().any(|check| check.name == "check_digit")
                    && field.checks_pass()
                    && field.confidence >= policy.contradiction_confidence_min
                    && findings.quality.is_empty();
                let code = format!("{}_DIFFERS", name.to_uppercase());
                self.add(if proven { Verdict::Reject } else { Verdict::Review }, &code, Some(name));
            }
        }
    }

    fn trust(&mut self, name: &str, field: &Field, policy: &Policy) {
        if !field.checks_pass() {
            self.add(Verdict::Review, "CHECK_FAILED", Some(name));
        }
        if field.confidence < policy.confidence_min {
            self.add(Verdict::Review, "LOW_CONFIDENCE", Some(name));
        }
    }

    fn licence_term(&mut self, findings: &Findings, policy: &Policy, as_of: NaiveDate) {
        let term = findings.fields.get("term").filter(|_| self.expected == DocumentKind::BusinessLicence);
        let Some(term) = term else { return };
        if date::period_end(&term.value).is_some_and(|end| end < as_of) {
            let sure = term.confidence >= policy.contradiction_confidence_min && findings.quality.is_empty();
            self.add(if sure { Verdict::Reject } else { Verdict::Review }, "LICENCE_EXPIRED", Some("term"));
        }
    }

    fn close(mut self, comparisons: Vec<Comparison>) -> Decision {
        self.reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        let reasons = self.reasons.into_iter().map(|(_, reason)| reason).collect();
        Decision { verdict: self.verdict, reasons, comparisons }
    }
}

fn quality_code(flag: QualityFlag) -> &'static str {
    match flag {
        QualityFlag::Blurred => "BLURRED",
        QualityFlag::Dark => "DARK",
        QualityFlag::Glare => "GLARE",
        QualityFlag::Small => "TOO_SMALL",
        QualityFlag::Cut => "CUT_OFF",
    }
}

#[cfg(test)]
mod tests;
