//! How much was read right, and what the policy made of it: of a condition, of a kind, of all.

use std::collections::BTreeMap;
use std::time::Duration;

use ai::document::{DocumentKind, Fields, date, id_card, text};
use ai::error::StageError;
use ai::pipeline::Findings;
use ai::review::{self, Claims, Decision, Outcome, Policy, Verdict, calibrate};
use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};

use super::specimen::Truth;

/// What every page is judged by.
pub struct Judge {
    pub policy: Policy,
    pub as_of: NaiveDate,
}

/// One page: what was read right and how it would have been decided.
pub struct Judged {
    pub kind: DocumentKind,
    pub condition: String,
    kind_right: bool,
    rotation_right: bool,
    /// Field by field, whether it was read exactly.
    fields: BTreeMap<String, bool>,
    flags: Vec<String>,
    took: Duration,
    /// With claims that are true.
    honest: Decision,
    /// Whether the paper had really ended by the day of judgement.
    ended: bool,
    /// Whether nothing that has to be claimed is printed on it.
    other_side: bool,
    /// Verdicts on claims that are false by one character, and on the page handed in as another kind.
    false_claims: Vec<Verdict>,
    /// Lowest confidence over the required fields and whether one of them is misread, where all were read and passed their checks.
    pub automatic: Option<(f32, bool)>,
}

impl Judge {
    pub fn judge(&self, truth: &Truth, findings: &Findings, took: Duration) -> Judged {
        let claims = Claims(truth.fields.clone());
        let decide = |kind, claims: &Claims| review::decide(findings, kind, claims, &self.policy, self.as_of);
        let required = self.policy.required.get(&truth.doc_type).map_or(&[][..], Vec::as_slice);
        let altered = required.iter().filter_map(|name| {
            let value = altered(truth.fields.get(name)?)?;
            let mut claims = claims.clone();
            claims.0.insert(name.clone(), value);
            Some(decide(truth.doc_type, &claims).verdict)
        });
        // The paper that follows in the list stands for any other.
        let every = DocumentKind::EVERY;
        let other = every[(every.iter().position(|kind| *kind == truth.doc_type).unwrap_or(0) + 1) % (every.len() - 1)];
        let false_claims = altered.chain([decide(other, &claims).verdict]).collect();
        let exact = |name: &str, printed: &str| {
            let same = |value: &str| folded(value) == folded(printed);
            findings.fields.get(name).is_some_and(|field| same(&field.value) || same(&field.raw))
        };
        let flags = json!([findings.quality, findings.authenticity]);
        let flags = flags.as_array().into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        Judged {
            kind: truth.doc_type,
            condition: truth.condition.clone(),
            kind_right: findings.kind == truth.doc_type,
            rotation_right: findings.page_turned_degrees() == truth.rotation,
            fields: truth.fields.iter().map(|(name, printed)| (name.clone(), exact(name, printed))).collect(),
            flags: flags.map(str::to_owned).collect(),
            took,
            honest: decide(truth.doc_type, &claims),
            ended: ended(truth, self.as_of),
            other_side: self.is_other_side(truth),
            false_claims,
            automatic: automatic(&findings.fields, required, truth)
                .filter(|_| findings.kind == truth.doc_type && findings.quality.is_empty()),
        }
    }

    fn is_other_side(&self, truth: &Truth) -> bool {
        let required = self.policy.required.get(&truth.doc_type);
        required.is_some_and(|required| required.iter().all(|name| !truth.fields.contains_key(name)))
    }

    /// A picture that the pipeline sends back as it is: nothing of it was read.
    pub fn sent_back(&self, truth: &Truth, error: &StageError, took: Duration) -> Judged {
        Judged {
            kind: truth.doc_type,
            condition: truth.condition.clone(),
            kind_right: false,
            rotation_right: false,
            fields: truth.fields.keys().map(|name| (name.clone(), false)).collect(),
            flags: Vec::new(),
            took,
            honest: review::stage_failed(error),
            ended: ended(truth, self.as_of),
            other_side: self.is_other_side(truth),
            false_claims: Vec::new(),
            automatic: None,
        }
    }
}

/// The lowest confidence of the required fields, and whether one is misread; `None` for a page that cannot be approved anyway.
fn automatic(fields: &Fields, required: &[String], truth: &Truth) -> Option<(f32, bool)> {
    let (mut confidence, mut wrong) = (1.0f32, false);
    for name in required {
        let (field, printed) = (fields.get(name)?, truth.fields.get(name)?);
        if !field.checks_pass() {
            return None;
        }
        confidence = confidence.min(field.confidence);
        wrong |= text::address(&field.value) != text::address(printed);
    }
    (!required.is_empty()).then_some((confidence, wrong))
}

/// The value with its last digit, or else its last character, turned into another: a claim that is false by as little as can be.
fn altered(value: &str) -> Option<String> {
    let mut characters: Vec<char> = value.chars().collect();
    let at = characters.iter().rposition(char::is_ascii_digit).or_else(|| characters.iter().rposition(|c| c.is_alphanumeric()))?;
    characters[at] = match characters[at] {
        '9' => '0',
        digit @ '0'..='8' => char::from(digit as u8 + 1),
        '一' => '二',
        _ => '一',
    };
    Some(characters.into_iter().collect())
}

fn ended(truth: &Truth, as_of: NaiveDate) -> bool {
    let field = |name: &str| truth.fields.get(name).map(String::as_str).unwrap_or_default();
    let end = match truth.doc_type {
        DocumentKind::BusinessLicence => date::period_end(field("term")),
        DocumentKind::Passport => date::parse(field("expiry_date")),
        _ => id_card::period(field("valid_period")).and_then(|(_, end)| end),
    };
    end.is_some_and(|end| end < as_of)
}

/// The same form for width, traditional characters and spaces, as every comparison folds them.
pub fn folded(value: &str) -> String {
    text::normalise(value).chars().filter(|character| !character.is_whitespace()).collect()
}

/// The figures of some pages.
#[derive(Serialize, Default)]
pub struct Score {
    pages: usize,
    kind_right: usize,
    rotation_right: usize,
    fields: usize,
    fields_exact: usize,
    /// Pages on which every required field equals its claim (备件比对), of pages of kinds that have any.
    compared: usize,
    compared_equal: usize,
    /// Honest claims that were approved, rightly refused because the paper has ended, or rightly sent back because this side of it shows
    /// nothing of what is compared; and refused wrongly; and sent back, rightly or not.
    automatic: usize,
    refused_wrongly: usize,
    sent_back: usize,
    /// Claims that are false in one character, or pages handed in as another kind, and how many of them were approved.
    false_claims: usize,
    approved_wrongly: usize,
    /// The upper end of the one-sided 95 % interval (Clopper and Pearson) for their share.
    approved_wrongly_bound: f64,
    ms_mean: f64,
    flags: BTreeMap<String, usize>,
    /// Why honest claims went to a person.
    reasons: BTreeMap<String, usize>,
    /// Fields that were not read exactly.
    inexact: BTreeMap<String, usize>,
}

impl Score {
    pub fn add(&mut self, page: &Judged) {
        self.pages += 1;
        self.kind_right += usize::from(page.kind_right);
        self.rotation_right += usize::from(page.rotation_right);
        self.fields += page.fields.len();
        for (name, exact) in &page.fields {
            self.fields_exact += usize::from(*exact);
            if !exact {
                *self.inexact.entry(name.clone()).or_default() += 1;
            }
        }
        let verdict = page.honest.verdict;
        if !page.fields.is_empty() {
            self.compared += 1;
            let equal = |outcome: Outcome| matches!(outcome, Outcome::Match | Outcome::MatchAfterNormalisation);
            let comparisons = &page.honest.comparisons;
            self.compared_equal += usize::from(!comparisons.is_empty() && comparisons.iter().all(|c| equal(c.outcome)));
            let rightly = match verdict {
                Verdict::Approve => true,
                Verdict::Reject => page.ended,
                Verdict::Reupload => page.other_side,
                Verdict::Review => false,
            };
            self.automatic += usize::from(rightly);
            self.refused_wrongly += usize::from(verdict == Verdict::Reject && !page.ended);
            self.sent_back += usize::from(verdict == Verdict::Reupload);
            if verdict == Verdict::Review {
                for code in page.honest.reasons.iter().map(|reason| &reason.code) {
                    *self.reasons.entry(code.clone()).or_default() += 1;
                }
            }
        }
        self.false_claims += page.false_claims.len();
        self.approved_wrongly += page.false_claims.iter().filter(|verdict| **verdict == Verdict::Approve).count();
        for flag in &page.flags {
            *self.flags.entry(flag.clone()).or_default() += 1;
        }
        self.ms_mean += page.took.as_secs_f64() * 1000.0;
    }

    pub fn meant(mut self) -> Self {
        self.ms_mean = super::tenths(self.ms_mean / self.pages.max(1) as f64);
        self.approved_wrongly_bound = bound(self.approved_wrongly, self.false_claims);
        self
    }
}

fn bound(wrong: usize, of: usize) -> f64 {
    if of == 0 {
        return 1.0;
    }
    let bound =
        calibrate::upper_bound(u32::try_from(wrong).unwrap_or(u32::MAX), u32::try_from(of).unwrap_or(u32::MAX), calibrate::CONFIDENCE);
    (bound * 1e4).round() / 1e4
}

/// How the share of misread pages grows as less sure pages are let through: `pages` are all, readable or not.
pub fn risk_coverage(mut readable: Vec<(f32, bool)>, pages: usize) -> Vec<Value> {
    readable.sort_by(|a, b| b.0.total_cmp(&a.0));
    let tenths = (1..=10).map(|tenth| pages * tenth / 10).filter(|count| *count > 0 && *count <= readable.len());
    let ends = tenths.chain((!readable.is_empty()).then_some(readable.len()));
    let point = |end: usize| {
        let wrong = readable[..end].iter().filter(|(_, wrong)| *wrong).count();
        json!({
            "coverage": (end as f64 / pages as f64 * 1e3).round() / 1e3,
            "confidence": readable[end - 1].0,
            "pages": end,
            "misread": wrong,
            "bound": bound(wrong, end),
        })
    };
    ends.map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_claim_differs_in_one_character() {
        for (value, expected) in [("510107199001011239", "510107199001011230"), ("12X", "13X"), ("张三", "张一"), ("张一", "张二")]
        {
            assert_eq!(altered(value).as_deref(), Some(expected));
        }
        assert_eq!(altered("——"), None);
    }

    #[test]
    fn the_curve_ends_where_no_page_is_readable_any_more() {
        let readable = vec![(0.9, false), (0.8, false), (0.7, true), (0.6, false), (0.5, false)];
        let curve = risk_coverage(readable, 10);
        let points: Vec<(f64, u64)> =
            curve.iter().map(|point| (point["coverage"].as_f64().unwrap(), point["misread"].as_u64().unwrap())).collect();
        assert_eq!(points, [(0.1, 0), (0.2, 0), (0.3, 1), (0.4, 1), (0.5, 1), (0.5, 1)]);
        assert!(risk_coverage(Vec::new(), 10).is_empty());
    }
}
