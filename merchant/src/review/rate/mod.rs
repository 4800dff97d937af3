//! Estimated error rates (差错率): how often the pipeline approves what a person refuses, per kind of paper; how often a flag sends a page to a
//! person who finds nothing wrong; how often a reviewer is wrong where the right answer is known. Each with its n and an exact interval.

mod repo;

use ai::document::DocumentKind;
use ai::review::calibrate::upper_bound;
use chrono::{DateTime, TimeDelta, Utc};
use wallet::base::actor::Actor;
use wallet::base::id::{DocumentId, TaskId, UserId};
use wallet::base::page::{FIRST_MAX, Page};

use super::{ReviewError, Reviews, operator};

/// How sure the two-sided interval is.
pub const CONFIDENCE: f64 = 0.95;
/// The longest time that one question may ask about.
const SPAN_DAYS_MAX: i64 = 366;

/// What a rate is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Automatic approvals of a kind: n of them were sampled blindly, wrong were those that people refused.
    Kind(DocumentKind),
    /// A reason code: n pages went to people with it, wrong were those that they approved. A page with several codes counts for each.
    Flag(String),
    /// A reviewer: n known items and opinions that two others' outvoted or bore out, wrong were those that were not right.
    Reviewer(UserId),
}

/// A share of wrong ones with the exact interval (Clopper and Pearson 1934) it is known by.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRate {
    pub subject: Subject,
    pub n: u32,
    pub wrong: u32,
    pub low: f64,
    pub high: f64,
}

impl ErrorRate {
    fn of(subject: Subject, n: i64, wrong: i64) -> Self {
        let count = |value: i64| u32::try_from(value).unwrap_or(0);
        let (n, wrong) = (count(n), count(wrong));
        let (low, high) = interval(wrong, n);
        Self { subject, n, wrong, low, high }
    }
}

/// The two-sided exact interval of a share; nothing seen says nothing.
pub fn interval(wrong: u32, n: u32) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let side = 1.0 - (1.0 - CONFIDENCE) / 2.0;
    let high = upper_bound(wrong, n, side);
    // what is not wrong, seen from the other side
    let low = if wrong == 0 { 0.0 } else { 1.0 - upper_bound(n - wrong, n, side) };
    (low, high)
}

/// An automatic approval that people refused on a blind look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAudit {
    pub task: TaskId,
    pub document: DocumentId,
    pub version: i32,
    pub kind: DocumentKind,
    pub reason_code: Option<String>,
    pub decided_at: DateTime<Utc>,
}

impl Reviews {
    /// The rates of what was decided from `from` until before `to`, at most a year. Operators only.
    pub async fn error_rates(&self, actor: &Actor, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<ErrorRate>, ReviewError> {
        operator(actor)?;
        if from >= to || to - from > TimeDelta::days(SPAN_DAYS_MAX) {
            return Err(ReviewError::Span);
        }
        let mut rates = Vec::new();
        for (kind, n, wrong) in repo::kinds(&self.db, from, to).await? {
            rates.push(ErrorRate::of(Subject::Kind(kind), n, wrong));
        }
        for (code, n, wrong) in repo::flags(&self.db, from, to).await? {
            rates.push(ErrorRate::of(Subject::Flag(code), n, wrong));
        }
        for (user, n, wrong) in repo::reviewers(&self.db, from, to).await? {
            rates.push(ErrorRate::of(Subject::Reviewer(user), n, wrong));
        }
        rates.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(rates)
    }

    /// Automatic approvals that people refused on a blind look, the newest first. Somebody has to act on them. Operators only.
    pub async fn failed_audits(&self, actor: &Actor, before: Option<TaskId>, first: i64) -> Result<Page<FailedAudit>, ReviewError> {
        operator(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::failed_audits(&self.db, before, first + 1).await?, first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_published_ones() {
        // 95 %, two-sided, from tables of the exact interval
        for (wrong, n, low, high) in [
            (0, 10, 0.0, 0.3085),
            (1, 10, 0.0025, 0.4450),
            (5, 10, 0.1871, 0.8129),
            (10, 10, 0.6915, 1.0),
            (2, 50, 0.0049, 0.1371),
            (10, 100, 0.0490, 0.1762),
            (0, 0, 0.0, 1.0),
        ] {
            let (found_low, found_high) = interval(wrong, n);
            assert!((found_low - low).abs() < 2e-4 && (found_high - high).abs() < 2e-4, "{wrong} of {n}: {found_low} to {found_high}");
        }
    }
}
