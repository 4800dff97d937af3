//! Ledger accounts (账户): their kinds, the names they go by within a book, and how far each may go.

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
    /// Liability: taken back from the merchant, on its way to the payer (应付退款).
    RefundPayable,
    /// Liability: held for withdrawals the bank has not yet answered for (出款在途).
    PayoutTransit,
    /// Asset: cash at a bank (银行存款). One per bank.
    BankCash,
    /// Income: fees (手续费收入).
    FeeIncome,
}

impl AccountKind {
    pub const ALL: [Self; 7] = [
        Self::ChannelReceivable,
        Self::MerchantPending,
        Self::MerchantAvailable,
        Self::RefundPayable,
        Self::PayoutTransit,
        Self::BankCash,
        Self::FeeIncome,
    ];

    /// The kinds every book has from its first day, without a subject. The others come with their channel or bank.
    pub const FIXED: [Self; 5] =
        [Self::MerchantPending, Self::MerchantAvailable, Self::RefundPayable, Self::PayoutTransit, Self::FeeIncome];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChannelReceivable => "CHANNEL_RECEIVABLE",
            Self::MerchantPending => "MERCHANT_PENDING",
            Self::MerchantAvailable => "MERCHANT_AVAILABLE",
            Self::RefundPayable => "REFUND_PAYABLE",
            Self::PayoutTransit => "PAYOUT_TRANSIT",
            Self::BankCash => "BANK_CASH",
            Self::FeeIncome => "FEE_INCOME",
        }
    }

    /// The highest balance allowed, in minor units. Zero keeps what is owed to somebody from turning into a claim on them.
    pub fn ceiling(self) -> Option<i64> {
        match self {
            Self::MerchantPending | Self::MerchantAvailable | Self::RefundPayable | Self::PayoutTransit => Some(0),
            Self::ChannelReceivable | Self::BankCash | Self::FeeIncome => None,
        }
    }
}

/// The name of an account within its book.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccountName {
    pub kind: AccountKind,
    /// The channel of a receivable, the bank of cash; empty for the rest.
    pub subject: String,
    pub currency: Currency,
}

impl AccountName {
    /// The name of an account that has no subject.
    pub fn fixed(kind: AccountKind, currency: Currency) -> Self {
        Self { kind, subject: String::new(), currency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_owed_to_somebody_has_a_ceiling() {
        for kind in AccountKind::ALL {
            let owed = matches!(
                kind,
                AccountKind::MerchantPending | AccountKind::MerchantAvailable | AccountKind::RefundPayable | AccountKind::PayoutTransit
            );
            assert_eq!(kind.ceiling(), owed.then_some(0), "{kind:?}");
        }
    }
}
