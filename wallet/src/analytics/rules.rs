//! What a posting means for the day of its store, and the figures derived from a day's sums. Pure.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::base::id::{BookId, StoreId};
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
    ///
    /// `voided_count` is left at zero: only the refund service knows what else was refunded of the payment that day.
    pub fn of(posting: &Posting) -> Option<Self> {
        let sum = |account| -> i64 { posting.legs.iter().filter(|leg| leg.account == account).map(|leg| leg.amount.minor).sum() };
        let currency = posting.legs.first()?.amount.currency;
        let none = Self::new(posting.book, posting.business_date, posting.store?, currency);
        let fee_minor = -sum(AccountKind::FeeIncome);
        let refunded_minor = -sum(AccountKind::RefundPayable);
        match posting.kind {
            PostingKind::Payment => Some(Self { paid_minor: sum(AccountKind::ChannelReceivable), paid_count: 1, fee_minor, ..none }),
            PostingKind::Refund => Some(Self { refunded_minor, refunded_count: 1, fee_minor, ..none }),
            PostingKind::RefundReturned => Some(Self { refunded_minor, refunded_count: -1, fee_minor, ..none }),
            PostingKind::RefundSettled
            | PostingKind::SettlementRelease
            | PostingKind::WithdrawalHold
            | PostingKind::WithdrawalPaid
            | PostingKind::WithdrawalReturned => None,
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
