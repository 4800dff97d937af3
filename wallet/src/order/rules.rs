//! What an order may be, and how its state is read. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Order;
use super::error::OrderError;
use crate::base::id::{OrderId, named_uuid};
use crate::base::money::{AMOUNT_MINOR_MAX, Money};
use crate::ledger::{AccountKind, AccountName};
use crate::product::ability::{FeeOn, Settle};
use crate::product::terms::in_proportion;

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

/// The money that an order keeps (存管), in minor units. Zero throughout where its product holds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Escrow {
    /// What came in: the payment, less the fee that was taken with it.
    pub funded_minor: i64,
    /// What became the merchant's, with the fee that was taken of it then.
    pub released_minor: i64,
    /// What goes back to the payer.
    pub returned_minor: i64,
    /// When a part of it is due by itself.
    pub release_at: Option<DateTime<Utc>>,
}

impl Escrow {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn held_minor(self) -> i64 {
        self.funded_minor - self.released_minor - self.returned_minor
    }
}

/// What a payment of an order comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Taken with the payment.
    pub fee: Money,
    /// The account that the rest goes to.
    pub into: AccountName,
    pub escrow: Escrow,
}

/// Decides where the money of an order goes that is paid in full.
pub fn receipt(order: &Order, paid_at: DateTime<Utc>) -> Receipt {
    let terms = &order.product.terms;
    let fee = match terms.fee_on {
        FeeOn::Payment => order.fee_of(order.amount),
        FeeOn::Release => Money { minor: 0, ..order.amount },
    };
    let currency = order.amount.currency;
    if terms.hold.is_some() {
        let funded_minor = order.amount.minor - fee.minor;
        let escrow = Escrow { funded_minor, release_at: terms.next_due(paid_at, None), ..Escrow::default() };
        return Receipt { fee, into: AccountName::escrow(order.id, currency), escrow };
    }
    let into = if terms.settle == Settle::T0 { AccountKind::MerchantAvailable } else { AccountKind::MerchantPending };
    Receipt { fee, into: AccountName::fixed(into, currency), escrow: Escrow::default() }
}

impl Order {
    /// The part of its fee that belongs to `part` of its amount. All parts come to the fee, to the fen.
    pub fn fee_of(&self, part: Money) -> Money {
        self.product.terms.fee_of(part, self.amount, self.fee_bps)
    }

    /// What of its fee is given back once `refunded` of it has gone back, of which `now_minor` goes now and with it what is held, if anything is.
    ///
    /// A fee that is taken at the release is not taken of what is still held: that part goes back whole.
    pub fn fee_back_due(&self, refunded: Money, now_minor: i64) -> Money {
        if self.product.terms.fee_on == FeeOn::Payment {
            return self.fee_of(refunded);
        }
        let from_escrow = self.escrow.returned_minor + if self.escrow.held_minor() > 0 { now_minor } else { 0 };
        let released = Money { minor: self.escrow.released_minor, ..self.amount };
        let of_released = Money { minor: (refunded.minor - from_escrow).clamp(0, released.minor), ..self.amount };
        in_proportion(of_released, self.fee_of(released).minor, released.minor)
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

/// Which of so many stripes takes an order's money: a hash of the order's id, so that orders spread evenly and each asks nobody.
pub fn stripe(order: OrderId, stripes: i16) -> i16 {
    let stripes = u128::try_from(stripes).unwrap_or(1).max(1);
    i16::try_from(named_uuid(&[order.0.as_bytes()]).as_u128() % stripes).expect("a remainder is below the number of stripes")
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
    fn orders_spread_over_the_stripes_and_stay_where_they_are() {
        let mut taken = [0_u32; 4];
        for _ in 0..4_000 {
            let order = OrderId::new();
            assert_eq!((stripe(order, 1), stripe(order, 4)), (0, stripe(order, 4)));
            taken[usize::try_from(stripe(order, 4)).unwrap()] += 1;
        }
        // a fair spread over four stays within these by more than nine standard deviations
        assert!(taken.iter().all(|n| (750..1_250).contains(n)), "{taken:?}");
    }

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
