//! What a transfer is, which are sound, and their two postings. Pure.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::error::TransferError;
use crate::base::id::{BookId, TransferId};
use crate::base::money::Money;
use crate::ledger::posting::Metadata;
use crate::ledger::{AccountKind, Posting, recipe};

/// What money is moved for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Purpose {
    /// From stripe to stripe of one merchant, for a debit that no stripe covers alone (归集).
    Collect,
    /// A book's fees to the platform's book, once a day (手续费归集).
    FeeSweep,
    /// A part of a payment to a receiver of its split (分账).
    Split,
    /// Such a part, or some of it, back (分账回退).
    SplitReturn,
    /// Anything else.
    BetweenBooks,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "COLLECT",
            Self::FeeSweep => "FEE_SWEEP",
            Self::Split => "SPLIT",
            Self::SplitReturn => "SPLIT_RETURN",
            Self::BetweenBooks => "BETWEEN_BOOKS",
        }
    }
}

/// How far a transfer has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransferStatus {
    /// It has left its book; the second leg may have been posted.
    Sent,
    /// It is in the other book. Final.
    Arrived,
}

impl TransferStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Arrived => "ARRIVED",
        }
    }
}

/// Moves money from an account of one book to an account of another. Who sends it chooses the id, and sends it again under the same one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendTransfer {
    pub id: TransferId,
    pub purpose: Purpose,
    pub from: BookId,
    pub from_account: AccountKind,
    pub to: BookId,
    pub to_account: AccountKind,
    /// Greater than zero; a fee sweep may be less, where a book gave back more fees than it took.
    pub amount: Money,
    /// The Asia/Shanghai day it is for. Part of what both postings say, so that a leg posted tomorrow is the same leg.
    pub day: NaiveDate,
}

/// Refuses what cannot be moved: what is owed or earned stands on the credit side, and only that goes from book to book. What an order
/// holds leaves by its release or its refund alone (E9), what a budget holds by an order or a movement.
pub fn check(cmd: &SendTransfer) -> Result<(), TransferError> {
    let movable =
        |kind: AccountKind| kind.side() == -1 && !matches!(kind, AccountKind::BooksInTransit | AccountKind::Escrow | AccountKind::Subsidy);
    let amount_fits = cmd.amount.minor > 0 || (cmd.amount.minor < 0 && cmd.purpose == Purpose::FeeSweep);
    // what comes back from a receiver settles what its payer was given for it
    let settles = cmd.purpose == Purpose::SplitReturn && cmd.to_account == AccountKind::SharesDue;
    let sound = cmd.from != cmd.to && amount_fits && movable(cmd.from_account) && (movable(cmd.to_account) || settles);
    if sound { Ok(()) } else { Err(TransferError::Unsound) }
}

/// Refuses a batch in which one id stands for two transfers.
pub fn one_for_each_id(cmds: &[SendTransfer]) -> Result<(), TransferError> {
    let mut by_id = HashMap::new();
    let same = cmds.iter().all(|cmd| *by_id.entry((cmd.from, cmd.id)).or_insert(cmd) == cmd);
    if same { Ok(()) } else { Err(TransferError::IdReused) }
}

/// Both legs of transfers that are made in one transaction, each pair in the order in which the money goes.
pub fn legs(transfers: &[SendTransfer]) -> Vec<Posting> {
    transfers.iter().flat_map(|t| [leg_out(t), leg_in(t)]).collect()
}

/// The first leg, in the book that the money leaves.
pub fn leg_out(cmd: &SendTransfer) -> Posting {
    let metadata = Some(other_book("to", cmd.to));
    Posting { metadata, ..recipe::transfer_out(cmd.from, cmd.id, cmd.from_account, cmd.amount, cmd.day) }
}

/// The second leg, in the book that the money goes to. It names the book it came from: a transfer of the same id from another book would
/// not pass for this one.
pub fn leg_in(cmd: &SendTransfer) -> Posting {
    let metadata = Some(other_book("from", cmd.from));
    Posting { metadata, ..recipe::transfer_in(cmd.to, cmd.id, cmd.to_account, cmd.amount, cmd.day) }
}

fn other_book(key: &str, book: BookId) -> Metadata {
    Metadata::new(&serde_json::json!({ key: book })).expect("one id is a small object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_owed_or_earned_goes_from_book_to_book() {
        use AccountKind::{
            BankCash, BooksInTransit, ChannelReceivable, FeeIncome, MerchantAvailable, MerchantPending, SharesDue, SplitFrozen,
        };
        let (from, to) = (BookId::new(), BookId::new());
        let cmd = |purpose, to, from_account, to_account, minor| SendTransfer {
            id: TransferId::new(),
            purpose,
            from,
            from_account,
            to,
            to_account,
            amount: Money::cny(minor),
            day: NaiveDate::default(),
        };
        let cases = [
            ("money of a merchant", cmd(Purpose::BetweenBooks, to, MerchantAvailable, MerchantAvailable, 1), true),
            ("fees", cmd(Purpose::FeeSweep, to, FeeIncome, FeeIncome, 1), true),
            ("more fees given back than taken", cmd(Purpose::FeeSweep, to, FeeIncome, FeeIncome, -1), true),
            ("nothing", cmd(Purpose::FeeSweep, to, FeeIncome, FeeIncome, 0), false),
            ("less than nothing", cmd(Purpose::BetweenBooks, to, MerchantAvailable, MerchantAvailable, -1), false),
            ("to the same book", cmd(Purpose::BetweenBooks, from, MerchantAvailable, MerchantAvailable, 1), false),
            ("a claim", cmd(Purpose::BetweenBooks, to, ChannelReceivable, MerchantAvailable, 1), false),
            ("into cash", cmd(Purpose::BetweenBooks, to, MerchantAvailable, BankCash, 1), false),
            ("a share that its payer was given", cmd(Purpose::SplitReturn, to, SplitFrozen, SharesDue, 1), true),
            ("anything else against a claim on shares", cmd(Purpose::BetweenBooks, to, SplitFrozen, SharesDue, 1), false),
            ("a claim on shares", cmd(Purpose::SplitReturn, to, SharesDue, MerchantPending, 1), false),
            ("what is under way already", cmd(Purpose::BetweenBooks, to, BooksInTransit, MerchantAvailable, 1), false),
        ];
        for (name, cmd, sound) in cases {
            assert_eq!(check(&cmd).is_ok(), sound, "{name}");
        }
    }

    #[test]
    fn what_leaves_one_book_is_what_comes_to_the_other() {
        let cmd = SendTransfer {
            id: TransferId::new(),
            purpose: Purpose::Collect,
            from: BookId::new(),
            from_account: AccountKind::MerchantPending,
            to: BookId::new(),
            to_account: AccountKind::MerchantPending,
            amount: Money::cny(70),
            day: NaiveDate::default(),
        };
        let legs = |posting: &Posting| -> Vec<_> { posting.legs.iter().map(|l| (l.account, l.amount.minor)).collect() };
        let (out, back) = (leg_out(&cmd), leg_in(&cmd));
        assert_eq!(legs(&out), [(AccountKind::MerchantPending, 70), (AccountKind::BooksInTransit, -70)]);
        assert_eq!(legs(&back), [(AccountKind::BooksInTransit, 70), (AccountKind::MerchantPending, -70)]);
        assert_eq!((out.book, back.book), (cmd.from, cmd.to));
    }
}
