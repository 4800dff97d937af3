//! Postings (过账): what happened, as signed legs that sum to zero in each currency.

use std::fmt::Write as _;

use aws_lc_rs::digest::{self, SHA256};
use chrono::NaiveDate;
use uuid::Uuid;

use super::account::{AccountKind, AccountName, account_id};
use crate::base::id::{AccountId, BookId, HoldId, PostingId, StoreId};
use crate::base::money::Money;

/// Most legs that one posting may have.
pub const LEGS_MAX: usize = 100;

/// Most bytes of a posting's metadata.
pub const METADATA_BYTES_MAX: usize = 4096;

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
    /// The channel refused the refund, or it was cancelled: the merchant has the money back. Reference: the refund.
    RefundReturned,
    /// The bank paid the refund to the payee's account. Reference: the refund's route.
    RefundPaidOut,
    /// What the bank had paid for a refund came back (退票): the payer has still to get it. Reference: the refund's route.
    RefundBounced,
    /// Held money of an order became the merchant's (放款). Reference: the release.
    OrderRelease,
    /// Pending became available (结算). Reference: the settlement batch.
    SettlementRelease,
    /// A withdrawal was held (提现冻结). Reference: the withdrawal.
    WithdrawalHold,
    /// The bank paid the withdrawal. Reference: the withdrawal.
    WithdrawalPaid,
    /// The bank refused the withdrawal: the hold is undone. Reference: the withdrawal.
    WithdrawalReturned,
    /// What the bank had paid came back to us (退票). Reference: the withdrawal.
    WithdrawalBounced,
    /// Money that came back from the bank is the merchant's again. Reference: the withdrawal.
    WithdrawalCreditedBack,
    /// Money left for another book (账簿间转出). Reference: the transfer.
    TransferOut,
    /// Money came from another book (账簿间转入). Reference: the transfer.
    TransferIn,
    /// Money is kept until it is divided, or until it goes back (分账冻结). Reference: the order, or the part of a return.
    SplitFreeze,
    /// Kept money becomes the merchant's own pending money (分账解冻). Reference: the order that finished, the line whose receiver passed on
    /// what it had to, the return that takes from what was not divided, or the part of a return that its receiver keeps after all.
    SplitRelease,
    /// Money was put into a programme's budget (补贴拨入). Reference: the movement.
    SubsidyFunded,
    /// What a programme had left was taken back (补贴退回). Reference: the movement.
    SubsidyWithdrawn,
    /// A programme paid its part of an order (补贴使用), on its way to the merchant's book. Reference: the order.
    SubsidyUsed,
    /// A refund's part came back to its programme (补贴返还): a posting in the merchant's book and one in the platform's. Reference: the refund.
    SubsidyReturned,
    /// The merchant gives for a refund what its channel left with receivers. Reference: the return.
    SplitBear,
    /// A refund that came back from the bank was paid by hand (人工退款). Reference: the refund.
    RefundPaidByHand,
    /// Available money of a merchant paid what the platform had given for a refund (垫资收回). Reference: the recovery.
    AdvanceRecovered,
    /// Another posting was taken back, wholly or in part (冲正). Reference: the reversal.
    Reversal,
}

impl PostingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "PAYMENT",
            Self::Refund => "REFUND",
            Self::RefundSettled => "REFUND_SETTLED",
            Self::RefundReturned => "REFUND_RETURNED",
            Self::RefundPaidOut => "REFUND_PAID_OUT",
            Self::RefundBounced => "REFUND_BOUNCED",
            Self::OrderRelease => "ORDER_RELEASE",
            Self::SettlementRelease => "SETTLEMENT_RELEASE",
            Self::WithdrawalHold => "WITHDRAWAL_HOLD",
            Self::WithdrawalPaid => "WITHDRAWAL_PAID",
            Self::WithdrawalReturned => "WITHDRAWAL_RETURNED",
            Self::WithdrawalBounced => "WITHDRAWAL_BOUNCED",
            Self::WithdrawalCreditedBack => "WITHDRAWAL_CREDITED_BACK",
            Self::TransferOut => "TRANSFER_OUT",
            Self::TransferIn => "TRANSFER_IN",
            Self::SplitFreeze => "SPLIT_FREEZE",
            Self::SplitRelease => "SPLIT_RELEASE",
            Self::SubsidyFunded => "SUBSIDY_FUNDED",
            Self::SubsidyWithdrawn => "SUBSIDY_WITHDRAWN",
            Self::SubsidyUsed => "SUBSIDY_USED",
            Self::SubsidyReturned => "SUBSIDY_RETURNED",
            Self::SplitBear => "SPLIT_BEAR",
            Self::RefundPaidByHand => "REFUND_PAID_BY_HAND",
            Self::AdvanceRecovered => "ADVANCE_RECOVERED",
            Self::Reversal => "REVERSAL",
        }
    }

    /// The id of the posting of this kind that a business object caused, or would cause.
    pub fn id_for(self, reference: Uuid) -> PostingId {
        posting_id(self, reference)
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

    pub(super) fn account_id(&self, book: BookId) -> AccountId {
        account_id(book, self.account, &self.subject, self.amount.currency)
    }
}

/// Data beside a posting, for people and for search: a JSON object in its canonical form (keys sorted, no spaces). No personal data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("metadata must be a JSON object")]
    NotAnObject,
    #[error("metadata must not exceed 4096 bytes of JSON")]
    TooLarge,
}

impl Metadata {
    /// Takes an object. Its keys come out sorted at every depth, so that the same data is the same text.
    pub fn new(value: &serde_json::Value) -> Result<Self, MetadataError> {
        if !value.is_object() {
            return Err(MetadataError::NotAnObject);
        }
        let text = value.to_string();
        if text.len() > METADATA_BYTES_MAX { Err(MetadataError::TooLarge) } else { Ok(Self(text)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Uses up a hold with the posting that carries it (L7): what the legs take from the held account is captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capture {
    pub hold: HoldId,
    /// What is left of the hold afterwards is given up.
    pub last: bool,
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
    /// The Asia/Shanghai day it happened on (生效日); the day it is booked on may be later.
    pub business_date: NaiveDate,
    pub legs: Vec<Leg>,
    pub hold: Option<Capture>,
    pub metadata: Option<Metadata>,
}

impl Posting {
    /// The posting's id within its book.
    pub fn id(&self) -> PostingId {
        posting_id(self.kind, self.reference)
    }
}

/// What makes a posting the same posting is its kind and reference. The id keeps the reference's first half, which is its time, so that
/// an index fills at its right edge, and hashes both into the second.
pub(super) fn posting_id(kind: PostingKind, reference: Uuid) -> PostingId {
    let mut name = digest::Context::new(&SHA256);
    name.update(kind.as_str().as_bytes());
    name.update(b"\x1f");
    name.update(reference.as_bytes());
    let mut id = *reference.as_bytes();
    id[8..].copy_from_slice(&name.finish().as_ref()[..8]);
    id[8] = id[8] & 0x3f | 0x80;
    PostingId(Uuid::from_bytes(id))
}

/// A posting as it is written: what was asked for, with its day and what it hangs together with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedPosting {
    pub book: BookId,
    pub id: PostingId,
    pub kind: PostingKind,
    pub reference: Uuid,
    pub store: Option<StoreId>,
    pub business_date: NaiveDate,
    /// The open day it is booked on (L12).
    pub accounting_date: NaiveDate,
    pub reversal_of: Option<PostingId>,
    pub hold: Option<Capture>,
    pub metadata: Option<Metadata>,
    pub digest: Digest,
}

/// SHA-256 of what was asked for, without the day it is booked on and when: the same command has the same digest (L6).
pub type Digest = [u8; 32];

/// The digest of a posting with these lines, accounts and amounts, in line order. The checker makes the same text in SQL.
pub(super) fn digest(posting: &PlannedPosting, legs: impl Iterator<Item = (i16, AccountId, i64)>) -> Digest {
    let mut text = String::with_capacity(400);
    let (kind, reference, date) = (posting.kind.as_str(), posting.reference, posting.business_date);
    let store = posting.store.map(|s| s.0.to_string()).unwrap_or_default();
    let reversal = posting.reversal_of.map(|p| p.0.to_string()).unwrap_or_default();
    let hold = posting.hold.map(|h| format!("{}{}", h.hold, if h.last { "!" } else { "" })).unwrap_or_default();
    let metadata = posting.metadata.as_ref().map_or("", Metadata::as_str);
    let head = write!(text, "{kind}\x1f{reference}\x1f{store}\x1f{date}\x1f{reversal}\x1f{hold}\x1f{metadata}");
    head.and_then(|()| legs.into_iter().try_for_each(|(line, account, minor)| write!(text, "\x1f{line}:{account}:{minor}")))
        .expect("a String takes what is written to it");
    digest::digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A posting that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posted {
    pub posting: PostingId,
    /// It was made before, by the same command.
    pub replayed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_an_object_of_bounded_size_in_one_form() {
        let text = Metadata::new(&serde_json::json!({"b": 1, "a": {"d": [1, 2], "c": "丙"}})).unwrap();
        assert_eq!(text.as_str(), r#"{"a":{"c":"丙","d":[1,2]},"b":1}"#);
        assert_eq!(Metadata::new(&serde_json::json!([1])), Err(MetadataError::NotAnObject));
        let large = |len: usize| serde_json::json!({ "a": "x".repeat(len - 8) });
        assert!(Metadata::new(&large(METADATA_BYTES_MAX)).is_ok());
        assert_eq!(Metadata::new(&large(METADATA_BYTES_MAX + 1)), Err(MetadataError::TooLarge));
    }
}
