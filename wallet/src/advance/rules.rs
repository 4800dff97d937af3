//! How much the platform advances, and what of a merchant's available money is spoken for. Pure.

/// What a merchant must keep, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Claims {
    /// Owed to the platform for what it advanced.
    pub owed_minor: i64,
    /// What refunds that wait for receivers ([`crate::refund::RefundStatus::Gathering`]) will take.
    pub gathering_minor: i64,
    /// The merchant's pending money, which such refunds take first.
    pub pending_minor: i64,
}

impl Claims {
    /// What available money is kept for refunds that wait: what they will take and pending money does not cover.
    pub fn kept_minor(self) -> i64 {
        (self.gathering_minor - self.pending_minor.max(0)).max(0)
    }

    /// What of available money may be withdrawn: neither what is owed nor what is kept.
    pub fn withdrawable_minor(self, available_minor: i64) -> i64 {
        (available_minor - self.owed_minor - self.kept_minor()).max(0)
    }

    /// What of available money pays a debt of `debt_minor` now. What is kept for refunds that wait is not for it: a refund that found it gone
    /// would want as much advanced again.
    pub fn recovered_minor(self, available_minor: i64, debt_minor: i64) -> i64 {
        debt_minor.min(available_minor - self.kept_minor()).max(0)
    }
}

/// What may still be advanced to a merchant that owes so much.
pub fn room_minor(cap_minor: i64, owed_minor: i64) -> i64 {
    (cap_minor - owed_minor).max(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_be_withdrawn_leaves_what_is_owed_and_what_waiting_refunds_take() {
        /// Available, owed, gathering, pending, and what may be withdrawn and what pays the debt.
        type Case = (i64, i64, i64, i64, i64, i64);
        let cases: [Case; 9] = [
            (1_000, 0, 0, 0, 1_000, 0),
            (1_000, 300, 0, 0, 700, 300),
            (1_000, 1_000, 0, 0, 0, 1_000),
            (1_000, 1_001, 0, 0, 0, 1_000),
            (1_000, 0, 400, 0, 600, 0),
            (1_000, 0, 400, 150, 750, 0),
            (1_000, 0, 400, 500, 1_000, 0),
            (1_000, 300, 900, 0, 0, 100),
            (0, 300, 0, 900, 0, 0),
        ];
        for (available, owed, gathering, pending, withdrawable, recovered) in cases {
            let claims = Claims { owed_minor: owed, gathering_minor: gathering, pending_minor: pending };
            let found = (claims.withdrawable_minor(available), claims.recovered_minor(available, owed));
            assert_eq!(found, (withdrawable, recovered), "{available} of {claims:?}");
        }
    }

    #[test]
    fn nothing_is_advanced_beyond_the_cap() {
        for (cap, owed, room) in [(0, 0, 0), (100, 0, 100), (100, 40, 60), (100, 100, 0), (50, 100, 0)] {
            assert_eq!(room_minor(cap, owed), room, "{owed} of {cap}");
        }
    }

    proptest! {
        /// Whatever is withdrawn first, the debt and the refunds that wait find what they are owed of what was there.
        #[test]
        fn no_withdrawal_takes_from_what_others_are_owed(
            available in 0_i64..10_000, owed_minor in 0_i64..10_000, gathering_minor in 0_i64..10_000, pending_minor in 0_i64..10_000,
        ) {
            let claims = Claims { owed_minor, gathering_minor, pending_minor };
            let left = available - claims.withdrawable_minor(available);
            prop_assert!((0..=available).contains(&left));
            let before = claims.recovered_minor(available, owed_minor);
            prop_assert_eq!(claims.recovered_minor(left, owed_minor), before);
            // and what pays the debt leaves the waiting refunds what they had
            let reach = |available: i64| gathering_minor.min(available + pending_minor);
            prop_assert_eq!(reach(left - before), reach(available));
        }
    }
}
