//! The states of a withdrawal and what the bank's word does to them. Pure.

use serde::{Deserialize, Serialize};

use crate::channel::payout::PayoutStatus;

/// Where a withdrawal stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WithdrawalStatus {
    /// The money is held; the bank has not been asked (W1).
    Held,
    /// Stored as asked for, before the bank is called.
    Submitted,
    /// The bank gave no usable answer: the hold stays until it does (W3).
    Unknown,
    Succeeded,
    Failed,
    /// Paid, and sent back by the payee's bank, days later perhaps (退票): with us again, not yet with the merchant.
    Returned,
    /// What was sent back is the merchant's again.
    CreditedBack,
}

impl WithdrawalStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Submitted => "SUBMITTED",
            Self::Unknown => "UNKNOWN",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Returned => "RETURNED",
            Self::CreditedBack => "CREDITED_BACK",
        }
    }

    /// Whether the bank has said if it pays. What it paid may still come back.
    pub fn decided(self) -> bool {
        !matches!(self, Self::Held | Self::Submitted | Self::Unknown)
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
    Refuse { code: String },
    /// What was paid came back: it waits with us to be credited.
    Bounce { code: String },
    /// Paid and back again, both news to us.
    PayAndBounce { code: String },
    /// Contradicts what was final, or came before the bank was asked: changes nothing, a person has to look.
    Conflict,
}

/// Decides what the bank's word does to a withdrawal. Only a definitive word ends it; time never does. `same_reference`: the word names the
/// bank's own number that we know the payout by, or we know none yet. What comes back under another one is for a person to match (W4).
pub fn step(status: WithdrawalStatus, word: &PayoutStatus, same_reference: bool) -> Step {
    use WithdrawalStatus::{CreditedBack, Failed, Held, Returned, Submitted, Succeeded, Unknown};
    match (status, word) {
        (Held, _) | (Succeeded | Returned | CreditedBack, PayoutStatus::Failed { .. }) => Step::Conflict,
        (Failed, PayoutStatus::Succeeded | PayoutStatus::Returned { .. }) => Step::Conflict,
        (_, PayoutStatus::Returned { .. }) if !same_reference => Step::Conflict,
        (Succeeded, PayoutStatus::Returned { code }) => Step::Bounce { code: code.clone() },
        (Submitted, PayoutStatus::Accepted) | (Succeeded | Failed | Returned | CreditedBack, _) => Step::Keep,
        (Unknown, PayoutStatus::Accepted) => Step::Acknowledge,
        (Submitted | Unknown, PayoutStatus::Succeeded) => Step::Pay,
        (Submitted | Unknown, PayoutStatus::Failed { code }) => Step::Refuse { code: code.clone() },
        (Submitted | Unknown, PayoutStatus::Returned { code }) => Step::PayAndBounce { code: code.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::WithdrawalStatus::{CreditedBack, Failed, Held, Returned, Submitted, Succeeded, Unknown};
    use super::*;

    #[test]
    fn only_the_bank_s_last_word_moves_money() {
        let code = || "ACCOUNT_CLOSED".to_owned();
        let (closed, back) = (PayoutStatus::Failed { code: code() }, PayoutStatus::Returned { code: code() });
        let (yes, accepted) = (PayoutStatus::Succeeded, PayoutStatus::Accepted);
        let cases = [
            (Held, &accepted, Step::Conflict),
            (Held, &yes, Step::Conflict),
            (Held, &closed, Step::Conflict),
            (Held, &back, Step::Conflict),
            (Submitted, &accepted, Step::Keep),
            (Submitted, &yes, Step::Pay),
            (Submitted, &closed, Step::Refuse { code: code() }),
            (Submitted, &back, Step::PayAndBounce { code: code() }),
            (Unknown, &accepted, Step::Acknowledge),
            (Unknown, &yes, Step::Pay),
            (Unknown, &closed, Step::Refuse { code: code() }),
            (Unknown, &back, Step::PayAndBounce { code: code() }),
            (Succeeded, &accepted, Step::Keep),
            (Succeeded, &yes, Step::Keep),
            (Succeeded, &closed, Step::Conflict),
            (Succeeded, &back, Step::Bounce { code: code() }),
            (Failed, &accepted, Step::Keep),
            (Failed, &yes, Step::Conflict),
            (Failed, &closed, Step::Keep),
            (Failed, &back, Step::Conflict),
            (Returned, &accepted, Step::Keep),
            (Returned, &yes, Step::Keep),
            (Returned, &closed, Step::Conflict),
            (Returned, &back, Step::Keep),
            (CreditedBack, &accepted, Step::Keep),
            (CreditedBack, &yes, Step::Keep),
            (CreditedBack, &closed, Step::Conflict),
            (CreditedBack, &back, Step::Keep),
        ];
        for (status, word, expected) in cases {
            assert_eq!(step(status, word, true), expected, "{status:?} and {word:?}");
        }
        for status in [Held, Submitted, Unknown, Succeeded, Failed, Returned, CreditedBack] {
            assert_eq!(step(status, &back, false), Step::Conflict, "{status:?} and another payout's return");
        }
    }
}
