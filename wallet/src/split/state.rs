//! Where a split and its lines stand, and what is to be done next. Pure.
//!
//! A split: PLANNED → ACCEPTED (a round was asked for) → EXECUTING (money moves) → PARTIAL or SUCCEEDED → FINISHED. A line: WAIT → SENT →
//! SUCCEEDED or FAILED, where a channel divides by way of ACCEPTED; SUCCEEDED ⇄ RETURNING → RETURNED. A line is paid when the line above it has arrived, and a receiver that passes
//! parts on can use the rest once those have left it.

use serde::{Deserialize, Serialize};

use super::back::Standing;
use super::{Line, Split};
use crate::base::id::SplitLineId;

/// Where a split stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum SplitStatus {
    /// The money is kept; nobody has asked to divide it.
    Planned,
    /// A round was asked for and has not begun.
    Accepted,
    /// Money is moving.
    Executing,
    /// Nothing is moving, and some of the order is not divided: another round may follow.
    Partial,
    /// All of it is divided.
    Succeeded,
    /// What was left is the merchant's (完结). Final; only returns may follow.
    Finished,
}

impl SplitStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "PLANNED",
            Self::Accepted => "ACCEPTED",
            Self::Executing => "EXECUTING",
            Self::Partial => "PARTIAL",
            Self::Succeeded => "SUCCEEDED",
            Self::Finished => "FINISHED",
        }
    }

    /// The event that says so.
    pub fn event(self) -> &'static str {
        match self {
            Self::Planned => "split.planned",
            Self::Accepted => "split.accepted",
            Self::Executing => "split.executing",
            Self::Partial => "split.partial",
            Self::Succeeded => "split.succeeded",
            Self::Finished => "split.finished",
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum LineStatus {
    /// Waits for its turn.
    Wait,
    /// On its way; whoever finds it so finishes it.
    Sent,
    /// The channel took it in, which is no success; or it did carry it out, and our books have to follow.
    Accepted,
    /// Its receiver has it.
    Succeeded,
    /// Its receiver cannot have it: the money stays with whoever was to pay it. The next round tries again what the order pays.
    Failed,
    /// Some of it is on its way back.
    Returning,
    /// All of it came back. Final.
    Returned,
}

impl LineStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "WAIT",
            Self::Sent => "SENT",
            Self::Accepted => "ACCEPTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Returning => "RETURNING",
            Self::Returned => "RETURNED",
        }
    }

    /// Whether it may still move down.
    pub fn open(self) -> bool {
        matches!(self, Self::Wait | Self::Sent | Self::Accepted)
    }

    /// Whether it was begun and has not ended.
    pub fn on_its_way(self) -> bool {
        matches!(self, Self::Sent | Self::Accepted)
    }
}

/// How far a return's part has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum PartStatus {
    /// Waits for what is below it, or for its receiver to set it aside.
    Wait,
    /// Set aside by its receiver, until the refund takes it back at the channel.
    Held,
    /// On its way up.
    Sent,
    /// Final.
    Returned,
    /// Its receiver keeps it. Final.
    Failed,
}

impl PartStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "WAIT",
            Self::Held => "HELD",
            Self::Sent => "SENT",
            Self::Returned => "RETURNED",
            Self::Failed => "FAILED",
        }
    }

    pub fn ended(self) -> bool {
        matches!(self, Self::Returned | Self::Failed)
    }
}

/// What may be divided by a further round.
pub fn rest_minor(split: &Split) -> i64 {
    if split.finishing { 0 } else { (split.base.minor - split.rounds_minor).min(split.remainder.minor) }
}

/// Where a split with these lines stands, unless it has finished.
pub fn status(split: &Split, lines: &[Line]) -> SplitStatus {
    let open = lines.iter().filter(|line| line.status.open()).count();
    if split.finished_at.is_some() {
        SplitStatus::Finished
    } else if split.rounds == 0 {
        SplitStatus::Planned
    } else if open > 0 || lines.iter().any(unkept) {
        if open == lines.len() && lines.iter().all(|line| line.status == LineStatus::Wait) {
            SplitStatus::Accepted
        } else {
            SplitStatus::Executing
        }
    } else if split.rounds_minor == split.base.minor && lines.iter().all(|line| line.status != LineStatus::Failed) {
        SplitStatus::Succeeded
    } else {
        SplitStatus::Partial
    }
}

/// Whether money of a split is moving down, or still has to.
pub fn under_way(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.status.open() || unkept(line))
}

/// Whether its receiver has to pass parts on before it has its own.
fn unkept(line: &Line) -> bool {
    line.passes_on && line.succeeded_minor > 0 && line.kept_at.is_none()
}

/// Lines whose turn it is: they wait, and the line above them has arrived.
pub fn due(lines: &[Line]) -> Vec<SplitLineId> {
    let arrived = |id: SplitLineId| lines.iter().any(|line| line.id == id && line.succeeded_minor > 0);
    lines.iter().filter(|line| line.status == LineStatus::Wait && line.parent.is_none_or(arrived)).map(|line| line.id).collect()
}

/// Receivers who have passed on what they had to, and how much is their own.
pub fn to_keep(lines: &[Line]) -> Vec<(SplitLineId, i64)> {
    let below = |id: SplitLineId| lines.iter().filter(move |line| line.parent == Some(id));
    let settled = |line: &&Line| unkept(line) && below(line.id).all(|child| !child.status.open());
    let own = |line: &Line| line.succeeded_minor - below(line.id).map(|child| child.succeeded_minor).sum::<i64>();
    lines.iter().filter(settled).map(|line| (line.id, own(line))).collect()
}

/// Where a line stands whose receiver had it, by what is on its way back and what came back.
pub fn of_returns(line: &Line) -> LineStatus {
    match line {
        Line { returning_minor: 1.., .. } => LineStatus::Returning,
        Line { returned_minor, succeeded_minor, .. } if returned_minor == succeeded_minor => LineStatus::Returned,
        _ => LineStatus::Succeeded,
    }
}

/// The line of the first level that a line hangs on: itself, where it is one.
pub fn root(of: SplitLineId, lines: &[Line]) -> Option<&Line> {
    let line = lines.iter().find(|line| line.id == of)?;
    line.parent.map_or(Some(line), |parent| root(parent, lines))
}

/// A line and all below it.
pub fn with_those_below(of: SplitLineId, lines: &[Line]) -> Vec<SplitLineId> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(lines.iter().filter(|line| line.parent == Some(parent)).map(|line| line.id));
        next += 1;
    }
    found
}

/// The lines as they stand for a return. `lines` come with parents before their children.
pub fn standing(lines: &[Line]) -> Vec<Standing> {
    let place = |id: SplitLineId| lines.iter().position(|line| line.id == id);
    let stands = |line: &Line| line.succeeded_minor - line.returned_minor - line.returning_minor;
    lines.iter().map(|line| Standing { line: line.id, parent: line.parent.and_then(place), standing_minor: stands(line) }).collect()
}
