//! What a posting means for the day of its store, and the figures derived from a day's sums. Pure.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::base::id::{BookId, MerchantId, StoreId};
use crate::base::money::Currency;
use crate::ledger::{AccountKind, Posting, PostingKind};

/// A change to the day of a store. Amounts in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayDelta {
    pub book: BookId,
    pub day: NaiveDate,
    pub store: StoreId,
    pub currency: Currency,
    pub paid_minor: i64,
    pub paid_count: i64,
    pub refunded_minor: i64,
    pub refunded_count: i64,
    /// Fees kept: charged less given back.
    pub fee_minor: i64,
    /// Payments of the day refunded in full on the same day; see [`voided_change`].
    pub voided_count: i64,
}

impl DayDelta {
    /// No change to the day of a store.
    pub fn new(book: BookId, day: NaiveDate, store: StoreId, currency: Currency) -> Self {
        Self {
            book,
            day,
            store,
            currency,
            paid_minor: 0,
            paid_count: 0,
            refunded_minor: 0,
            refunded_count: 0,
            fee_minor: 0,
            voided_count: 0,
        }
    }

    /// What a posting changes on its business day: none for postings without a store, and for those that move no customer's money.
    /// The day belongs to the merchant, whichever of its stripes the posting is in.
    ///
    /// `voided_count` is left at zero: only the refund service knows what else was refunded of the payment that day.
    pub fn of(posting: &Posting, merchant: MerchantId) -> Option<Self> {
        let sum = |account| -> i64 { posting.legs.iter().filter(|leg| leg.account == account).map(|leg| leg.amount.minor).sum() };
        let currency = posting.legs.first()?.amount.currency;
        let none = Self::new(merchant.book(), posting.business_date, posting.store?, currency);
        let fee_minor = -sum(AccountKind::FeeIncome);
        let refunded_minor = -sum(AccountKind::RefundPayable);
        match posting.kind {
            // turnover is what was sold: with what a programme paid of it, which is on its way from the platform's book
            PostingKind::Payment => {
                let paid_minor = sum(AccountKind::ChannelReceivable) + sum(AccountKind::BooksInTransit);
                Some(Self { paid_minor, paid_count: 1, fee_minor, ..none })
            }
            PostingKind::Refund => Some(Self { refunded_minor, refunded_count: 1, fee_minor, ..none }),
            PostingKind::RefundReturned => Some(Self { refunded_minor, refunded_count: -1, fee_minor, ..none }),
            // a fee that is taken when held money is released
            PostingKind::OrderRelease => Some(Self { fee_minor, ..none }),
            PostingKind::RefundSettled
            | PostingKind::RefundPaidOut
            | PostingKind::RefundBounced
            | PostingKind::SettlementRelease
            | PostingKind::WithdrawalHold
            | PostingKind::WithdrawalPaid
            | PostingKind::WithdrawalReturned
            | PostingKind::WithdrawalBounced
            | PostingKind::WithdrawalCreditedBack
            | PostingKind::TransferOut
            | PostingKind::TransferIn
            | PostingKind::SplitFreeze
            | PostingKind::SplitRelease
            | PostingKind::SubsidyFunded
            | PostingKind::SubsidyWithdrawn
            | PostingKind::SubsidyUsed
            | PostingKind::SubsidyReturned
            | PostingKind::SplitBear
            | PostingKind::RefundPaidByHand
            | PostingKind::AdvanceRecovered
            | PostingKind::Reversal => None,
        }
    }

    fn add(&mut self, other: &Self) {
        self.paid_minor += other.paid_minor;
        self.paid_count += other.paid_count;
        self.refunded_minor += other.refunded_minor;
        self.refunded_count += other.refunded_count;
        self.fee_minor += other.fee_minor;
        self.voided_count += other.voided_count;
    }

    fn changes_nothing(&self) -> bool {
        *self == Self::new(self.book, self.day, self.store, self.currency)
    }
}

/// How many payments become voided (1), stop being so (-1) or neither (0) when what was refunded of a payment **on the day of the
/// payment itself** goes from `before` to `after`. A refund of a later day never voids.
pub fn voided_change(paid_minor: i64, before_minor: i64, after_minor: i64) -> i64 {
    i64::from(after_minor == paid_minor) - i64::from(before_minor == paid_minor)
}

/// One delta per (book, day, store, currency), in key order, without those that change nothing.
pub fn merge(deltas: &[DayDelta]) -> Vec<DayDelta> {
    let mut merged: BTreeMap<_, DayDelta> = BTreeMap::new();
    for delta in deltas {
        merged.entry((delta.book, delta.day, delta.store, delta.currency)).and_modify(|sum| sum.add(delta)).or_insert(*delta);
    }
    merged.into_values().filter(|delta| !delta.changes_nothing()).collect()
}

/// A sum divided by a count, half a fen rounded up (四舍五入); zero when there is nothing to divide by.
pub fn average_half_up(sum_minor: i64, count: i64) -> i64 {
    if count <= 0 {
        return 0;
    }
    let (sum, count) = (i128::from(sum_minor), i128::from(count));
    let rounded = (2 * sum.abs() + count) / (2 * count) * sum.signum();
    // the average of whole numbers lies within them
    i64::try_from(rounded).unwrap_or(sum_minor)
}

/// A part of a whole in basis points, rounded half up; zero of nothing.
pub fn rate_bps_half_up(part: i64, whole: i64) -> i64 {
    average_half_up(part.saturating_mul(10_000), whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{AttemptId, RefundId};
    use crate::base::money::Money;
    use crate::ledger::recipe::{self, RefundSource};

    #[test]
    fn averages_round_half_a_fen_up() {
        let cases =
            [(0, 0, 0), (100, 0, 0), (100, 3, 33), (200, 3, 67), (1, 2, 1), (3, 2, 2), (10_001, 2, 5_001), (999, 1, 999), (-3, 2, -2)];
        for (sum, count, expected) in cases {
            assert_eq!(average_half_up(sum, count), expected, "{sum} over {count}");
        }
        assert_eq!(average_half_up(i64::MAX, 1), i64::MAX);
    }

    #[test]
    fn rates_are_basis_points() {
        let cases = [(0, 0, 0), (1, 2, 5_000), (2, 2, 10_000), (1, 3, 3_333), (2, 3, 6_667), (0, 5, 0)];
        for (part, whole, expected) in cases {
            assert_eq!(rate_bps_half_up(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn a_payment_is_voided_only_while_the_day_took_all_of_it_back() {
        let cases = [(100, 0, 40, 0), (100, 40, 100, 1), (100, 0, 100, 1), (100, 100, 60, -1), (100, 100, 100, 0), (100, 60, 20, 0)];
        for (paid, before, after, expected) in cases {
            assert_eq!(voided_change(paid, before, after), expected, "{paid}: {before} to {after}");
        }
    }

    #[test]
    fn a_posting_tells_what_it_does_to_the_day() {
        let (merchant, store, day) = (MerchantId::new(), StoreId::new(), NaiveDate::default());
        let book = merchant.stripe(3);
        let (amount, fee) = (Money::cny(10_000), Money::cny(38));
        let (attempt, refund) = (AttemptId::new(), RefundId::new());
        let none = DayDelta::new(merchant.book(), day, store, Currency::Cny);
        let taken = DayDelta { refunded_minor: 10_000, refunded_count: 1, fee_minor: -38, ..none };
        let cases = [
            (
                recipe::payment(book, store, attempt, amount, fee, "c", day),
                Some(DayDelta { paid_minor: 10_000, paid_count: 1, fee_minor: 38, ..none }),
            ),
            (recipe::refund(book, store, refund, amount, fee, RefundSource::Pending, day), Some(taken)),
            (recipe::refund(book, store, refund, amount, fee, RefundSource::Available, day), Some(taken)),
            (
                recipe::refund_returned(book, store, refund, (amount, fee), &[(RefundSource::Pending, Money::cny(9_962))], day),
                Some(DayDelta { refunded_minor: -10_000, refunded_count: -1, fee_minor: 38, ..none }),
            ),
            (recipe::refund_settled(book, store, refund, amount, "c", day), None),
            (recipe::settlement_release(book, crate::base::id::BatchId::new(), amount, day), None),
        ];
        for (posting, expected) in cases {
            assert_eq!(DayDelta::of(&posting, merchant), expected, "{:?}", posting.kind);
        }
    }

    #[test]
    fn deltas_of_one_store_and_day_become_one() {
        let (book, day) = (BookId::new(), NaiveDate::default());
        let (near, far) = (StoreId::new(), StoreId::new());
        let paid = |store, minor| DayDelta { paid_minor: minor, paid_count: 1, ..DayDelta::new(book, day, store, Currency::Cny) };
        let back = |store, minor: i64| DayDelta { paid_minor: -minor, paid_count: -1, ..DayDelta::new(book, day, store, Currency::Cny) };
        let merged = merge(&[paid(far, 5), paid(near, 1), paid(near, 2), back(far, 5)]);
        assert_eq!(merged, [DayDelta { paid_minor: 3, paid_count: 2, ..DayDelta::new(book, day, near, Currency::Cny) }]);
    }
}
