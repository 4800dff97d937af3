//! Ledger accounts (账户): their kinds, the names they go by within a book, and how far each may go.

use crate::base::id::{AccountId, BookId, OrderId, ProgrammeId, named_uuid};
use crate::base::money::Currency;

/// What an account of a book is for. A debit (借) is positive, a credit (贷) negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccountKind {
    /// Asset: what a channel collected and has not yet paid out to the platform (渠道应收). One per channel.
    ChannelReceivable,
    /// Liability: paid to the merchant, not yet settled (在途).
    MerchantPending,
    /// Liability: settled, free to withdraw (可用).
    MerchantAvailable,
    /// Liability: paid for an order and kept until it is released (存管). One per order that is held.
    Escrow,
    /// Liability: taken back from the merchant, on its way to the payer (应付退款).
    RefundPayable,
    /// Liability: held for withdrawals the bank has not yet answered for (出款在途).
    PayoutTransit,
    /// Asset: cash at a bank (银行存款). One per bank.
    BankCash,
    /// Income: fees (手续费收入).
    FeeIncome,
    /// Liability: on its way to another book, or come from one (账簿间在途). Over all books it sums to what has not arrived.
    BooksInTransit,
    /// Liability: paid, and kept until it is divided (分账冻结): of the merchant that was paid, and of receivers that pass parts on.
    SplitFrozen,
    /// Liability: the budget of a subsidy programme (补贴), of which orders reserve their parts. One per programme, in the platform's book.
    Subsidy,
    /// Asset: given to a payer before the channel took it back from receivers, as it does with the refund (应收退分账).
    SharesDue,
    /// Asset: what the platform gave for refunds that the merchant could not cover (垫资, merchant_debt), owed to it until it is recovered.
    MerchantDebt,
}

impl AccountKind {
    pub const ALL: [Self; 13] = [
        Self::ChannelReceivable,
        Self::MerchantPending,
        Self::MerchantAvailable,
        Self::Escrow,
        Self::RefundPayable,
        Self::PayoutTransit,
        Self::BankCash,
        Self::FeeIncome,
        Self::BooksInTransit,
        Self::SplitFrozen,
        Self::Subsidy,
        Self::SharesDue,
        Self::MerchantDebt,
    ];

    /// The kinds every book has from its first day, without a subject. The others come with their first posting.
    pub const FIXED: [Self; 5] =
        [Self::MerchantPending, Self::MerchantAvailable, Self::RefundPayable, Self::PayoutTransit, Self::FeeIncome];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChannelReceivable => "CHANNEL_RECEIVABLE",
            Self::MerchantPending => "MERCHANT_PENDING",
            Self::MerchantAvailable => "MERCHANT_AVAILABLE",
            Self::Escrow => "ESCROW",
            Self::RefundPayable => "REFUND_PAYABLE",
            Self::PayoutTransit => "PAYOUT_TRANSIT",
            Self::BankCash => "BANK_CASH",
            Self::FeeIncome => "FEE_INCOME",
            Self::BooksInTransit => "BOOKS_IN_TRANSIT",
            Self::SplitFrozen => "SPLIT_FROZEN",
            Self::Subsidy => "SUBSIDY",
            Self::SharesDue => "SHARES_DUE",
            Self::MerchantDebt => "MERCHANT_DEBT",
        }
    }

    /// 1 where a debit raises what the account holds (an asset), -1 where a credit does (a liability, an income).
    pub fn side(self) -> i16 {
        match self {
            Self::ChannelReceivable | Self::BankCash | Self::SharesDue | Self::MerchantDebt => 1,
            Self::MerchantPending
            | Self::MerchantAvailable
            | Self::Escrow
            | Self::RefundPayable
            | Self::PayoutTransit
            | Self::FeeIncome
            | Self::BooksInTransit
            | Self::SplitFrozen
            | Self::Subsidy => -1,
        }
    }

    /// What must stay in a new account of this kind, in minor units; none: it may go either way. Zero keeps what is owed to somebody
    /// from turning into a claim on them, and a merchant's debt from being recovered twice.
    pub fn floor(self) -> Option<i64> {
        match self {
            Self::MerchantPending
            | Self::MerchantAvailable
            | Self::Escrow
            | Self::RefundPayable
            | Self::PayoutTransit
            | Self::SplitFrozen
            | Self::Subsidy
            | Self::MerchantDebt => Some(0),
            Self::ChannelReceivable | Self::BankCash | Self::FeeIncome | Self::BooksInTransit | Self::SharesDue => None,
        }
    }
}

/// The name of an account within its book.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccountName {
    pub kind: AccountKind,
    /// The channel of a receivable, the bank of cash, the order of an escrow, the programme of a subsidy; empty for the rest.
    pub subject: String,
    pub currency: Currency,
}

impl AccountName {
    /// The name of an account that has no subject.
    pub fn fixed(kind: AccountKind, currency: Currency) -> Self {
        Self { kind, subject: String::new(), currency }
    }

    /// The account in which an order's money is kept.
    pub fn escrow(order: OrderId, currency: Currency) -> Self {
        Self { kind: AccountKind::Escrow, subject: order.simple(), currency }
    }

    /// The account that holds a programme's budget.
    pub fn subsidy(programme: ProgrammeId, currency: Currency) -> Self {
        Self { kind: AccountKind::Subsidy, subject: programme.simple(), currency }
    }

    /// The account's id in a book follows from its name, so that a posting knows its accounts before it has read anything.
    pub fn id(&self, book: BookId) -> AccountId {
        account_id(book, self.kind, &self.subject, self.currency)
    }
}

pub(super) fn account_id(book: BookId, kind: AccountKind, subject: &str, currency: Currency) -> AccountId {
    let parts =
        [book.0.as_bytes().as_slice(), kind.as_str().as_bytes(), b"\x1f", subject.as_bytes(), b"\x1f", currency.as_str().as_bytes()];
    AccountId(named_uuid(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_to_somebody_has_a_floor_and_so_has_what_a_merchant_owes() {
        for kind in AccountKind::ALL {
            let owed = matches!(
                kind,
                AccountKind::MerchantPending
                    | AccountKind::MerchantAvailable
                    | AccountKind::Escrow
                    | AccountKind::RefundPayable
                    | AccountKind::PayoutTransit
                    | AccountKind::SplitFrozen
                    | AccountKind::Subsidy
                    | AccountKind::MerchantDebt
            );
            assert_eq!(kind.floor(), owed.then_some(0), "{kind:?}");
        }
    }

    /// The value is what migration 0005 makes of the same name.
    #[test]
    fn an_account_is_found_by_its_name_alone() {
        let book = BookId(uuid::Uuid::from_u128(1));
        let id = AccountName::fixed(AccountKind::MerchantPending, Currency::Cny).id(book);
        assert_eq!(id.to_string(), "de79b2de-4f3f-8020-8246-c7c7ae3001a4");
    }
}
