//! What a task's evidence means for its handling: how risky it is, when it is due, and what a blind sample shows as its reason. Pure.

use ai::document::DocumentKind;
use ai::review::Reason;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Hours until a task is due. What is risky is due first: the deadline carries the risk, so that the queue has one order.
pub const DUE_HOURS: i64 = 24;
/// The same where two people have to look.
pub const DUE_HOURS_HIGH: i64 = 8;

/// Codes that a wrong approval would be dear for: what may be forged, and what is another paper than asked for.
const HIGH_CODES: [&str; 5] = ["PHOTOCOPY", "SCREEN_RECAPTURE", "EDITED", "KIND_MISMATCH", "SPECIMEN_NOT_ALLOWED"];
/// A value that fails its own check is risky on a good picture; on a poor one it was most likely misread.
const FAILED_CHECK: &str = "CHECK_FAILED";
const POOR_PICTURE: [&str; 6] = ["BLURRED", "DARK", "GLARE", "TOO_SMALL", "CUT_OFF", "SEAL_OVER_TEXT"];

/// What a blind sample says it is about: a doubt about the picture, which people meet every day and no value on the page contradicts.
const DOUBTS: [(&str, &str); 4] = [
    ("BLURRED", "图片模糊，正在人工审核；如需加快，请对焦清晰后重新拍摄上传"),
    ("GLARE", "图片反光遮挡文字，正在人工审核；如需加快，请避开反光重新拍摄上传"),
    ("SEAL_OVER_TEXT", "印章压住了文字，正在人工审核，请耐心等待"),
    ("DARK", "图片过暗，正在人工审核；如需加快，请在光线充足处重新拍摄上传"),
];

/// How dear a wrong decision would be (风险等级).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Risk {
    /// One person decides.
    Normal,
    /// Two people must agree (双人复核); a third settles what they do not agree on.
    High,
}

impl Risk {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::High => "HIGH",
        }
    }

    /// The risk of a page that the pipeline gave these reasons.
    pub fn of(reasons: &[Reason]) -> Self {
        let any = |codes: &[&str]| reasons.iter().any(|reason| codes.contains(&reason.code.as_str()));
        if any(&HIGH_CODES) || (any(&[FAILED_CHECK]) && !any(&POOR_PICTURE)) { Self::High } else { Self::Normal }
    }

    /// When a task opened now is due.
    pub fn due_at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::hours(match self {
            Self::Normal => DUE_HOURS,
            Self::High => DUE_HOURS_HIGH,
        })
    }

    /// How many people have to agree.
    pub fn eyes(self) -> i32 {
        match self {
            Self::Normal => 1,
            Self::High => 2,
        }
    }
}

/// The reason that a blind sample shows: an approval has none, and a task without one would give itself away. `draw` chooses. A deed may
/// carry a seal, a card does not.
pub(crate) fn stand_in(kind: DocumentKind, draw: u8) -> Reason {
    let sealed = matches!(kind, DocumentKind::DeedNew | DocumentKind::DeedOld | DocumentKind::BusinessLicence);
    let fitting: Vec<_> = DOUBTS.iter().filter(|(code, _)| sealed || *code != "SEAL_OVER_TEXT").collect();
    let (code, message) = fitting[usize::from(draw) % fitting.len()];
    Reason { code: (*code).to_owned(), field: None, message: (*message).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(codes: &[&str]) -> Vec<Reason> {
        codes.iter().map(|code| Reason { code: (*code).to_owned(), field: None, message: String::new() }).collect()
    }

    #[test]
    fn what_may_be_forged_is_risky_and_due_sooner() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        for (codes, risk, hours) in [
            (&["BLURRED", "LOW_CONFIDENCE"][..], Risk::Normal, 24),
            (&["NAME_DIFFERS"], Risk::Normal, 24),
            (&[], Risk::Normal, 24),
            (&["BLURRED", "CHECK_FAILED"], Risk::Normal, 24),
            (&["LOW_CONFIDENCE", "CHECK_FAILED"], Risk::High, 8),
            (&["BLURRED", "PHOTOCOPY"], Risk::High, 8),
            (&["PHOTOCOPY"], Risk::High, 8),
            (&["KIND_MISMATCH"], Risk::High, 8),
        ] {
            assert_eq!(Risk::of(&reasons(codes)), risk, "{codes:?}");
            assert_eq!(risk.due_at(now), now + TimeDelta::hours(hours));
        }
    }

    #[test]
    fn a_stand_in_is_a_doubt_about_the_picture_that_fits_the_paper() {
        let codes = |kind| (0..=255).map(|draw| stand_in(kind, draw).code).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(codes(DocumentKind::DeedNew).len(), 4);
        assert!(!codes(DocumentKind::IdFront).contains("SEAL_OVER_TEXT"));
        for code in codes(DocumentKind::DeedNew) {
            assert_eq!(Risk::of(&reasons(&[&code])), Risk::Normal, "a sample of an approval is handled like any page");
        }
    }
}
