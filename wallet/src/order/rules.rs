//! What an order may be, and how its state is read. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::error::OrderError;
use crate::base::money::{AMOUNT_MINOR_MAX, Money};

/// How long a customer may take to pay.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(30);

/// Longest subject, in characters.
pub const SUBJECT_MAX: usize = 128;

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderStatus {
    /// Nobody is paying it now: no attempt yet, or all failed.
    Created,
    /// An attempt is open, or in conflict and waiting for a person.
    Paying,
    /// Paid in full by exactly one attempt. Final; refunds are counted beside it.
    Paid,
    /// Expired or cancelled. Final; money that comes after is given back (P3).
    Closed,
}

impl OrderStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Paying => "PAYING",
            Self::Paid => "PAID",
            Self::Closed => "CLOSED",
        }
    }
}

/// Checks what the caller may choose freely.
pub fn check(amount: Money, subject: &str) -> Result<(), OrderError> {
    if !(1..=AMOUNT_MINOR_MAX).contains(&amount.minor) {
        return Err(OrderError::AmountInvalid);
    }
    if !(1..=SUBJECT_MAX).contains(&subject.chars().count()) || subject.trim().is_empty() || subject.chars().any(char::is_control) {
        return Err(OrderError::SubjectInvalid);
    }
    Ok(())
}

/// The state as everyone may see it: an order that nobody is paying is closed from the moment it expires, without a write.
pub fn presented(status: OrderStatus, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> OrderStatus {
    match status {
        OrderStatus::Created if expires_at <= now => OrderStatus::Closed,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;

    #[test]
    fn amounts_and_subjects_have_limits() {
        let long = "好".repeat(SUBJECT_MAX);
        let cases = [
            (1, "咖啡", true),
            (AMOUNT_MINOR_MAX, long.as_str(), true),
            (0, "咖啡", false),
            (-1, "咖啡", false),
            (AMOUNT_MINOR_MAX + 1, "咖啡", false),
            (1, "", false),
            (1, "  ", false),
            (1, "咖\u{0}啡", false),
            (1, "咖\n啡", false),
            (1, &format!("{long}好"), false),
        ];
        for (minor, subject, accepted) in cases {
            assert_eq!(check(Money::cny(minor), subject).is_ok(), accepted, "{minor} {subject:?}");
        }
    }

    #[test]
    fn only_an_order_that_nobody_is_paying_closes_by_time() {
        use OrderStatus::{Closed, Created, Paid, Paying};
        let now = Clock::wall();
        let (past, future) = (now - TimeDelta::seconds(1), now + TimeDelta::seconds(1));
        let cases = [
            (Created, future, Created),
            (Created, past, Closed),
            (Created, now, Closed),
            (Paying, past, Paying),
            (Paid, past, Paid),
            (Closed, future, Closed),
        ];
        for (status, expires_at, expected) in cases {
            assert_eq!(presented(status, expires_at, now), expected, "{status:?}");
        }
    }
}
