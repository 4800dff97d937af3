//! The decision about one document, drawn from what was read, what the merchant typed, the policy and the date. Pure, so
//! that every case is a line in a table, and an old decision can be drawn again from what was stored.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

mod address;
pub mod calibrate;
mod compare;
mod message;

use crate::{
    document::{DocumentKind, Field, Side, date, id_card},
    error::StageError,
    pipeline::{AuthenticityFlag, Findings, QualityFlag},
};
use calibrate::Threshold;

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
    /// Thresholds that were chosen on pages of known truth, with what they rest on; they take the place of `confidence_min`.
    pub calibrated: BTreeMap<DocumentKind, Threshold>,
    /// Lowest character confidence at which a required field that equals its claim counts as read. Low, because a misreading
    /// that happens to equal the claim is rare.
    pub confidence_min: f32,
    /// Lowest character confidence at which a value that contradicts its claim is held against the merchant.
    pub contradiction_confidence_min: f32,
    /// Below this, the page's kind is not held against the merchant, and a person looks at what it is.
    pub kind_confidence_min: f32,
    /// Whether specimens pass: on for demonstrations, off where real merchants apply.
    pub allow_specimen: bool,
    /// Signs that send a page to a person.
    pub review_signs: Vec<AuthenticityFlag>,
}

/// The policy that is stored beside the code.
const POLICY: &str = include_str!("../../data/policy.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    required: BTreeMap<DocumentKind, Vec<String>>,
    calibrated: BTreeMap<DocumentKind, Threshold>,
    confidence_min: f32,
    contradiction_confidence_min: f32,
    kind_confidence_min: f32,
    allow_specimen: bool,
    review_signs: Vec<AuthenticityFlag>,
}

impl Default for Policy {
    fn default() -> Self {
        Self::of_toml(POLICY).expect("a test reads the file that is compiled in")
    }
}

impl Policy {
    /// A policy in the form of `ai/data/policy.toml`, with every key.
    pub fn of_toml(text: &str) -> Result<Self, toml::de::Error> {
        let file: PolicyFile = toml::from_str(text)?;
        Ok(Self {
            required: file.required,
            calibrated: file.calibrated,
            confidence_min: file.confidence_min,
            contradiction_confidence_min: file.contradiction_confidence_min,
            kind_confidence_min: file.kind_confidence_min,
            allow_specimen: file.allow_specimen,
            review_signs: file.review_signs,
        })
    }

    /// From which confidence on a required field of this kind counts as read.
    pub fn confidence_min(&self, kind: DocumentKind) -> f32 {
        self.calibrated.get(&kind).map_or(self.confidence_min, |threshold| threshold.confidence_min)
    }
}

/// Decides about a page that should show `expected`. `as_of` is the business day.
pub fn decide(findings: &Findings, expected: DocumentKind, claims: &Claims, policy: &Policy, as_of: NaiveDate) -> Decision {
    let mut case = Case { expected, verdict: Verdict::Approve, reasons: Vec::new() };
    for flag in &findings.quality {
        case.add(Verdict::Review, quality_code(*flag), None);
    }
    for sign in findings.authenticity.iter().filter(|sign| policy.review_signs.contains(sign)) {
        case.add(Verdict::Review, sign_code(*sign), None);
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
    if findings.kind_confidence < policy.kind_confidence_min {
        case.add(Verdict::Review, "KIND_UNCERTAIN", None);
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
                Outcome::Differ if field.confidence < policy.confidence_min(expected) => Outcome::Unreadable,
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
    let missing = |name: &&String| {
        let outcome = comparisons.iter().find(|comparison| comparison.field == **name).map(|comparison| comparison.outcome);
        matches!(outcome, Some(Outcome::Absent | Outcome::Unreadable))
    };
    let unseen = |name: &String| !findings.fields.contains_key(name);
    let other_side = matches!(findings.side, Side::Back | Side::Cover) && findings.side != expected.side();
    if other_side && !required.is_empty() && required.iter().all(unseen) {
        case.add(Verdict::Reupload, "WRONG_SIDE", None);
    } else if !findings.quality.is_empty() && !required.is_empty() && required.iter().all(|name| missing(&name)) {
        case.add(Verdict::Reupload, "PAGE_UNREADABLE", None);
    }
    case.validity(findings, policy, as_of);
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
        if field.confidence < policy.confidence_min(self.expected) {
            self.add(Verdict::Review, "LOW_CONFIDENCE", Some(name));
        }
    }

    /// Papers that ended before the business day.
    fn validity(&mut self, findings: &Findings, policy: &Policy, as_of: NaiveDate) {
        let (name, code) = match self.expected {
            DocumentKind::BusinessLicence => ("term", "LICENCE_EXPIRED"),
            DocumentKind::Passport => ("expiry_date", "DOCUMENT_EXPIRED"),
            _ => ("valid_period", "DOCUMENT_EXPIRED"),
        };
        let Some(field) = findings.fields.get(name) else { return };
        let end = match name {
            "term" => date::period_end(&field.value),
            "expiry_date" => date::parse(&field.canonical),
            _ => id_card::period(&field.value).and_then(|(_, end)| end),
        };
        if end.is_some_and(|end| end < as_of) {
            let sure = field.confidence >= policy.contradiction_confidence_min && field.checks_pass() && findings.quality.is_empty();
            self.add(if sure { Verdict::Reject } else { Verdict::Review }, code, Some(name));
        }
    }

    fn close(mut self, comparisons: Vec<Comparison>) -> Decision {
        self.reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        let reasons = self.reasons.into_iter().map(|(_, reason)| reason).collect();
        Decision { verdict: self.verdict, reasons, comparisons }
    }
}

fn sign_code(sign: AuthenticityFlag) -> &'static str {
    match sign {
        AuthenticityFlag::Photocopy => "PHOTOCOPY",
        AuthenticityFlag::ScreenRecapture => "SCREEN_RECAPTURE",
        AuthenticityFlag::HasWatermark => "HAS_WATERMARK",
        AuthenticityFlag::SealOverText => "SEAL_OVER_TEXT",
        AuthenticityFlag::OutOfFrame => "OUT_OF_FRAME",
        AuthenticityFlag::PartlyOccluded => "PARTLY_OCCLUDED",
        AuthenticityFlag::Edited => "EDITED",
    }
}

fn quality_code(flag: QualityFlag) -> &'static str {
    match flag {
        QualityFlag::Blurred => "BLURRED",
        QualityFlag::Dark => "DARK",
        QualityFlag::Glare => "GLARE",
        QualityFlag::Small => "TOO_SMALL",
        QualityFlag::Cut => "CUT_OFF",
        QualityFlag::Several => "SEVERAL_DOCUMENTS",
    }
}

#[cfg(test)]
mod tests;
