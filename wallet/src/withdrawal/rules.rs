//! The states of a withdrawal and what the bank's word does to them. Pure.

use serde::{Deserialize, Serialize};

use crate::channel::sandbox::PayoutStatus;

/// Where a withdrawal stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum WithdrawalStatus {
    /// The money is held; the bank has not been asked (W1).
    Held,
    /// Stored as asked for, before the bank is called.
    Submitted,
    /// The bank gave no usable answer: the hold stays until it does (W3).
    Unknown,
    Succeeded,
    Failed,
}

impl WithdrawalStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Submitted => "SUBMITTED",
            Self::Unknown => "UNKNOWN",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether the bank has given its last word.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What a word of the bank asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Known already, or nothing new.
    Keep,
    /// The bank has it after all.
    Acknowledge,
    /// Paid: the held money leaves.
    Pay,
    /// Refused for good: the hold is undone.
    Return { code: String },
    /// Contradicts what was final, or came before the bank was asked: changes nothing, a person has to look.
    Conflict,
}

/// Decides what the bank's word does to a withdrawal. Only a definitive word ends it; time never does.
pub fn step(status: WithdrawalStatus, word: &PayoutStatus) -> Step {
    use WithdrawalStatus::{Failed, Held, Submitted, Succeeded, Unknown};
    match (status, word) {
        (Held, _) | (Succeeded, PayoutStatus::Failed { .. }) | (Failed, PayoutStatus::Succeeded) => Step::Conflict,
        (Submitted, PayoutStatus::Accepted) | (Succeeded | Failed, _) => Step::Keep,
        (Unknown, PayoutStatus::Accepted) => Step::Acknowledge,
        (Submitted | Unknown, PayoutStatus::Succeeded) => Step::Pay,
        (Submitted | Unknown, PayoutStatus::Failed { code }) => Step::Return { code: code.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::WithdrawalStatus::{Failed, Held, Submitted, Succeeded, Unknown};
    use super::*;

    #[test]
    fn only_the_bank_s_last_word_moves_money() {
        let closed = || PayoutStatus::Failed { code: "ACCOUNT_CLOSED".to_owned() };
        let returned = || Step::Return { code: "ACCOUNT_CLOSED".to_owned() };
        let cases = [
            (Held, PayoutStatus::Accepted, Step::Conflict),
            (Held, PayoutStatus::Succeeded, Step::Conflict),
            (Held, closed(), Step::Conflict),
            (Submitted, PayoutStatus::Accepted, Step::Keep),
            (Submitted, PayoutStatus::Succeeded, Step::Pay),
            (Submitted, closed(), returned()),
            (Unknown, PayoutStatus::Accepted, Step::Acknowledge),
            (Unknown, PayoutStatus::Succeeded, Step::Pay),
            (Unknown, closed(), returned()),
            (Succeeded, PayoutStatus::Accepted, Step::Keep),
            (Succeeded, PayoutStatus::Succeeded, Step::Keep),
            (Succeeded, closed(), Step::Conflict),
            (Failed, PayoutStatus::Accepted, Step::Keep),
            (Failed, PayoutStatus::Succeeded, Step::Conflict),
            (Failed, closed(), Step::Keep),
        ];
        for (status, word, expected) in cases {
            assert_eq!(step(status, &word), expected, "{status:?} and {word:?}");
        }
    }
}
