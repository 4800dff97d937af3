//! The rules of a review: who may claim and decide a task when, and the closed list of reasons. Pure.

use std::collections::BTreeSet;

use ai::document::DocumentKind;
use ai::review::Reason;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use wallet::base::id::UserId;

use super::{ReviewError, Risk, Task, TaskStatus};
use crate::line::{BadLine, LineProblem};

/// How long a claim holds unless it is renewed by claiming again.
pub const LEASE_MINUTES: i64 = 10;
/// Characters of a note.
pub const NOTE_CHARS_MAX: usize = 500;

/// Fields that one command may name; no paper has more.
pub const FIELDS_MAX: usize = 32;

/// What a reviewer may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReviewDecision {
    Approve,
    Reject,
}

impl ReviewDecision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "APPROVE",
            Self::Reject => "REJECT",
        }
    }
}

/// Why a reviewer decided so: a closed list, so that decisions can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewReason {
    /// Approving: read by eye, equal to what was typed.
    Consistent,
    /// Approving: what differs does not matter.
    DifferenceHarmless,
    /// Rejecting: the photograph cannot be read.
    Unreadable,
    /// Rejecting: not all of the paper is in the picture.
    Incomplete,
    /// Rejecting: another paper than asked for.
    WrongDocument,
    /// Rejecting: what was typed differs from the paper.
    ClaimsDiffer,
    /// Rejecting: the paper is no longer valid.
    Expired,
    /// Rejecting: a copy, a photographed screen, or altered.
    NotOriginal,
}

impl ReviewReason {
    pub const ALL: [Self; 8] = [
        Self::Consistent,
        Self::DifferenceHarmless,
        Self::Unreadable,
        Self::Incomplete,
        Self::WrongDocument,
        Self::ClaimsDiffer,
        Self::Expired,
        Self::NotOriginal,
    ];

    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consistent => "CONSISTENT",
            Self::DifferenceHarmless => "DIFFERENCE_HARMLESS",
            Self::Unreadable => "UNREADABLE",
            Self::Incomplete => "INCOMPLETE",
            Self::WrongDocument => "WRONG_DOCUMENT",
            Self::ClaimsDiffer => "CLAIMS_DIFFER",
            Self::Expired => "EXPIRED",
            Self::NotOriginal => "NOT_ORIGINAL",
        }
    }

    /// The words on the reviewer's button.
    pub fn label(self) -> &'static str {
        match self {
            Self::Consistent => "证件与填写一致",
            Self::DifferenceHarmless => "差异不影响认定",
            Self::Unreadable => "影像不清晰",
            Self::Incomplete => "证件不完整",
            Self::WrongDocument => "证件类型不符",
            Self::ClaimsDiffer => "填写与证件不一致",
            Self::Expired => "证件已过期",
            Self::NotOriginal => "疑似非原件",
        }
    }

    /// What the merchant is told, with the remedy.
    pub fn message(self) -> &'static str {
        match self {
            Self::Consistent | Self::DifferenceHarmless => "证件已通过人工审核",
            Self::Unreadable => "影像不清晰，请在光线充足处对焦后重新拍摄上传",
            Self::Incomplete => "证件未拍全，请将整张证件放入画面后重新上传",
            Self::WrongDocument => "上传的证件类型不符，请按要求上传对应的证件",
            Self::ClaimsDiffer => "填写的内容与证件不一致，请核对后修改",
            Self::Expired => "证件已过有效期，请换发后上传有效证件",
            Self::NotOriginal => "未能认定为证件原件，请拍摄证件原件后上传",
        }
    }

    /// The decision it is a reason for.
    pub fn decision(self) -> ReviewDecision {
        match self {
            Self::Consistent | Self::DifferenceHarmless => ReviewDecision::Approve,
            _ => ReviewDecision::Reject,
        }
    }

    /// The reason as the merchant's document carries it.
    pub(super) fn for_merchant(self) -> Reason {
        Reason { code: self.as_str().to_owned(), field: None, message: self.message().to_owned() }
    }
}

/// Reads the reason for a decision: a rejection needs one, an approval may have one, and it must fit the decision.
pub fn reason(decision: ReviewDecision, code: Option<&str>) -> Result<Option<ReviewReason>, ReviewError> {
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
        return if decision == ReviewDecision::Reject { Err(ReviewError::ReasonRequired) } else { Ok(None) };
    };
    let known = ReviewReason::ALL.into_iter().find(|r| r.as_str() == code && r.decision() == decision);
    known.map(Some).ok_or(ReviewError::UnknownReason)
}

/// Reads a note: trimmed, at most 500 characters, line breaks allowed. Nothing but spaces is no note.
pub fn note(text: Option<&str>) -> Result<Option<String>, BadLine> {
    let text = text.unwrap_or_default().trim();
    let problem = if text.chars().any(|c| c.is_control() && c != '\n') {
        LineProblem::ControlCharacter
    } else if text.chars().count() > NOTE_CHARS_MAX {
        LineProblem::Length { min: 0, max: NOTE_CHARS_MAX }
    } else {
        return Ok((!text.is_empty()).then(|| text.to_owned()));
    };
    Err(BadLine { field: "note", problem })
}

/// Field names of a kind, each once, at least one.
pub fn fields(kind: DocumentKind, names: &[String]) -> Result<Vec<String>, ReviewError> {
    if names.is_empty() || names.len() > FIELDS_MAX {
        return Err(ReviewError::UnknownField);
    }
    let known: BTreeSet<&str> = names.iter().map(String::as_str).filter(|name| kind.has_field(name)).collect();
    let asked: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if known == asked { Ok(known.into_iter().map(str::to_owned).collect()) } else { Err(ReviewError::UnknownField) }
}

/// Until when a claim made now holds.
pub fn lease_until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::minutes(LEASE_MINUTES)
}

/// Whether somebody holds the task now.
fn live_claim(task: &Task, now: DateTime<Utc>) -> Option<(UserId, DateTime<Utc>)> {
    match (task.status, task.claimed_by, task.lease_until) {
        (TaskStatus::Claimed, Some(by), Some(until)) if until > now => Some((by, until)),
        _ => None,
    }
}

/// Whether this person holds the task now.
pub fn holds(task: &Task, reviewer: UserId, now: DateTime<Utc>) -> bool {
    live_claim(task, now).is_some_and(|(by, _)| by == reviewer)
}

/// The task as people see it: a claim that ran out is no claim.
pub fn shown(mut task: Task, now: DateTime<Utc>) -> Task {
    if task.status == TaskStatus::Claimed && live_claim(&task, now).is_none() {
        task.status = TaskStatus::Open;
        task.claimed_by = None;
        task.claimed_at = None;
        task.lease_until = None;
    }
    task
}

/// Whether the next opinion settles a task: the only one where one person is enough, the second where two agree, the third always.
pub fn settles(risk: Risk, earlier: &[ReviewDecision], decision: ReviewDecision) -> bool {
    match (risk, earlier) {
        (Risk::Normal, _) | (Risk::High, [_, _, ..]) => true,
        (Risk::High, [first]) => *first == decision,
        (Risk::High, []) => false,
    }
}

/// Whether this person may claim the task, or renew their claim.
pub fn may_claim(task: &Task, reviewer: UserId, now: DateTime<Utc>) -> Result<(), ReviewError> {
    under_way(task)?;
    match live_claim(task, now) {
        Some((by, until)) if by != reviewer => Err(ReviewError::AlreadyClaimed { until }),
        _ => Ok(()),
    }
}

/// Whether this person may let the task go: it was they who claimed it last.
pub fn may_release(task: &Task, reviewer: UserId) -> Result<(), ReviewError> {
    under_way(task)?;
    if task.status == TaskStatus::Claimed && task.claimed_by == Some(reviewer) { Ok(()) } else { Err(ReviewError::NotClaimed) }
}

/// Whether this person may decide the task and see its paper unmasked: with a claim that has not run out.
pub fn may_decide(task: &Task, reviewer: UserId, now: DateTime<Utc>) -> Result<(), ReviewError> {
    under_way(task)?;
    match live_claim(task, now) {
        Some((by, _)) if by == reviewer => Ok(()),
        Some((_, until)) => Err(ReviewError::AlreadyClaimed { until }),
        None if task.status == TaskStatus::Claimed && task.claimed_by == Some(reviewer) => Err(ReviewError::LeaseExpired),
        None => Err(ReviewError::NotClaimed),
    }
}

fn under_way(task: &Task) -> Result<(), ReviewError> {
    match task.status {
        TaskStatus::Open | TaskStatus::Claimed => Ok(()),
        TaskStatus::Decided => Err(ReviewError::AlreadyDecided),
        TaskStatus::Superseded => Err(ReviewError::Superseded),
    }
}

#[cfg(test)]
mod tests {
    use wallet::base::id::{DocumentId, TaskId};

    use super::*;
    use crate::review::Purpose;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-20T04:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn task(status: TaskStatus, claim: Option<(UserId, i64)>) -> Task {
        Task {
            id: TaskId::new(),
            document: DocumentId::new(),
            version: 1,
            purpose: Purpose::Live,
            risk: Risk::Normal,
            opinions: 0,
            kind: DocumentKind::IdFront,
            status,
            reasons: Vec::new(),
            due_at: at(60),
            claimed_by: claim.map(|(by, _)| by),
            claimed_at: claim.map(|_| at(0)),
            lease_until: claim.map(|(_, minute)| at(minute)),
            decision: None,
            reason_code: None,
            created_at: at(0),
            decided_at: None,
        }
    }

    fn outcome(result: Result<(), ReviewError>) -> &'static str {
        match result {
            Ok(()) => "yes",
            Err(ReviewError::AlreadyClaimed { .. }) => "another's",
            Err(ReviewError::NotClaimed) => "not claimed",
            Err(ReviewError::LeaseExpired) => "expired",
            Err(ReviewError::AlreadyDecided) => "decided",
            Err(ReviewError::Superseded) => "superseded",
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn claims_hold_for_their_lease() {
        use TaskStatus::{Claimed, Decided, Open, Superseded};
        let (rui, lin) = (UserId::new(), UserId::new());
        // status, claim (who, until minute), now, may rui: claim, release, decide
        let cases = [
            (Open, None, 0, ["yes", "not claimed", "not claimed"]),
            (Claimed, Some((rui, 10)), 0, ["yes", "yes", "yes"]),
            (Claimed, Some((rui, 10)), 10, ["yes", "yes", "expired"]),
            (Claimed, Some((lin, 10)), 9, ["another's", "not claimed", "another's"]),
            (Claimed, Some((lin, 10)), 10, ["yes", "not claimed", "not claimed"]),
            (Decided, Some((rui, 10)), 0, ["decided"; 3]),
            (Superseded, Some((rui, 10)), 0, ["superseded"; 3]),
        ];
        for (status, claim, minute, expected) in cases {
            let task = task(status, claim);
            let found = [may_claim(&task, rui, at(minute)), may_release(&task, rui), may_decide(&task, rui, at(minute))].map(outcome);
            assert_eq!(found, expected, "{status:?} {claim:?} at minute {minute}");
            assert_eq!(holds(&task, rui, at(minute)), expected[2] == "yes");
        }
    }

    #[test]
    fn two_agree_or_a_third_settles_it() {
        use ReviewDecision::{Approve, Reject};
        let cases = [
            (Risk::Normal, &[][..], Approve, true),
            (Risk::Normal, &[], Reject, true),
            (Risk::High, &[], Approve, false),
            (Risk::High, &[], Reject, false),
            (Risk::High, &[Approve], Approve, true),
            (Risk::High, &[Reject], Reject, true),
            (Risk::High, &[Approve], Reject, false),
            (Risk::High, &[Approve, Reject], Approve, true),
            (Risk::High, &[Approve, Reject], Reject, true),
        ];
        for (risk, earlier, decision, expected) in cases {
            assert_eq!(settles(risk, earlier, decision), expected, "{risk:?} {earlier:?} {decision:?}");
        }
    }

    #[test]
    fn a_claim_that_ran_out_is_shown_as_open() {
        let rui = UserId::new();
        let claimed = task(TaskStatus::Claimed, Some((rui, 10)));
        assert_eq!(shown(claimed.clone(), at(9)).status, TaskStatus::Claimed);
        let open = shown(claimed, at(10));
        assert_eq!((open.status, open.claimed_by, open.lease_until), (TaskStatus::Open, None, None));
    }

    #[test]
    fn a_rejection_needs_a_reason_that_fits() {
        use ReviewDecision::{Approve, Reject};
        let cases = [
            (Approve, None, Ok(None)),
            (Approve, Some(" "), Ok(None)),
            (Approve, Some("CONSISTENT"), Ok(Some(ReviewReason::Consistent))),
            (Approve, Some("EXPIRED"), Err("unknown")),
            (Reject, Some("EXPIRED"), Ok(Some(ReviewReason::Expired))),
            (Reject, Some("CONSISTENT"), Err("unknown")),
            (Reject, Some("expired"), Err("unknown")),
            (Reject, None, Err("required")),
            (Reject, Some(""), Err("required")),
        ];
        for (decision, code, expected) in cases {
            let found = reason(decision, code).map_err(|e| match e {
                ReviewError::ReasonRequired => "required",
                ReviewError::UnknownReason => "unknown",
                other => panic!("{other}"),
            });
            assert_eq!(found, expected, "{decision:?} {code:?}");
        }
    }

    #[test]
    fn notes_are_short_text_with_line_breaks() {
        assert_eq!(note(None), Ok(None));
        assert_eq!(note(Some("  \n ")), Ok(None));
        assert_eq!(note(Some(" 请看第二行\n谢谢 ")), Ok(Some("请看第二行\n谢谢".to_owned())));
        assert!(note(Some(&"字".repeat(500))).is_ok());
        assert_eq!(note(Some(&"字".repeat(501))).unwrap_err().problem, LineProblem::Length { min: 0, max: 500 });
        assert_eq!(note(Some("a\0b")).unwrap_err().problem, LineProblem::ControlCharacter);
    }
}
