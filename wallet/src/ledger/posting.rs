//! Postings (过账): what happened, as signed legs that sum to zero in each currency.

use chrono::NaiveDate;
use uuid::Uuid;

use super::account::{AccountKind, AccountName};
use crate::base::id::{BookId, PostingId, StoreId};
use crate::base::money::Money;

/// Why money moved. One business object causes a posting of a kind at most once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PostingKind {
    /// An attempt succeeded (收款). Reference: the attempt.
    Payment,
    /// A refund was taken from the merchant (退款). Reference: the refund.
    Refund,
    /// The channel paid the refund out. Reference: the refund.
    RefundSettled,
    /// The channel refused the refund: the merchant has the money back. Reference: the refund.
    RefundReturned,
    /// Pending became available (结算). Reference: the settlement batch.
    SettlementRelease,
    /// A withdrawal was held (提现冻结). Reference: the withdrawal.
    WithdrawalHold,
    /// The bank paid the withdrawal. Reference: the withdrawal.
    WithdrawalPaid,
    /// The bank refused the withdrawal: the hold is undone. Reference: the withdrawal.
    WithdrawalReturned,
}

impl PostingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "PAYMENT",
            Self::Refund => "REFUND",
            Self::RefundSettled => "REFUND_SETTLED",
            Self::RefundReturned => "REFUND_RETURNED",
            Self::SettlementRelease => "SETTLEMENT_RELEASE",
            Self::WithdrawalHold => "WITHDRAWAL_HOLD",
            Self::WithdrawalPaid => "WITHDRAWAL_PAID",
            Self::WithdrawalReturned => "WITHDRAWAL_RETURNED",
        }
    }
}

/// One side of a posting: an entry (分录) to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    pub account: AccountKind,
    /// The channel or bank for accounts that have one; empty for the rest.
    pub subject: String,
    /// Signed: a debit is positive. Never zero.
    pub amount: Money,
}

impl Leg {
    /// The account's name within the book.
    pub fn name(&self) -> AccountName {
        AccountName { kind: self.account, subject: self.subject.clone(), currency: self.amount.currency }
    }
}

/// A posting to be made. Built by [`super::recipe`], so that each money movement is written down once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posting {
    pub book: BookId,
    pub kind: PostingKind,
    /// The business object that caused it.
    pub reference: Uuid,
    /// The store the daily board counts it for.
    pub store: Option<StoreId>,
    /// The Asia/Shanghai day it happened on; the day it is booked on may be later.
    pub business_date: NaiveDate,
    pub legs: Vec<Leg>,
}

/// A posting that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posted {
    pub posting: PostingId,
}
