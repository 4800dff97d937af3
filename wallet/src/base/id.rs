//! Typed ids: UUID v7, so that an index fills at its right edge, and ids that follow from a name.

use aws_lc_rs::digest::{Context, SHA256};
use uuid::{Builder, Uuid};

/// An id that follows from a name: the first 16 bytes of the SHA-256 of the parts, end to end, as a UUID of version 8.
///
/// Whoever knows the name knows the id without asking anybody. The caller sees to it that two names do not run together to the same bytes.
pub fn named_uuid(parts: &[&[u8]]) -> Uuid {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finish();
    let bytes = digest.as_ref().first_chunk::<16>().expect("a SHA-256 has 32 bytes");
    Builder::from_custom_bytes(*bytes).into_uuid()
}

/// Defines one id type per entity, so that a store's id cannot be passed where a merchant's belongs.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// A fresh, time-ordered id.
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            /// The 32 hexadecimal digits without dashes: the form channels accept as a merchant's own number.
            pub fn simple(self) -> String {
                self.0.simple().to_string()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A person who logs in (用户).
    UserId,
    /// A merchant (商户).
    MerchantId,
    /// A store of a merchant (门店).
    StoreId,
    /// A set of accounts that balances by itself (账簿).
    BookId,
    /// A ledger account (账户).
    AccountId,
    /// A balanced set of entries (过账).
    PostingId,
    /// Money of an account promised and not yet moved (冻结).
    HoldId,
    /// A payment order (支付订单).
    OrderId,
    /// One try to pay an order through a channel (支付尝试).
    AttemptId,
    /// A refund (退款).
    RefundId,
    /// A withdrawal (提现).
    WithdrawalId,
    /// A settlement batch (结算批次).
    BatchId,
    /// A merchant's application (进件申请).
    ApplicationId,
    /// An uploaded paper (影像资料).
    DocumentId,
    /// A human review task (审核任务).
    TaskId,
    /// A background job.
    JobId,
    /// A release of money that an order held (放款).
    ReleaseId,
    /// A movement of money between two books (簿间划转).
    TransferId,
    /// Where a merchant wants to be told (通知地址).
    EndpointId,
    /// What one endpoint is told (通知).
    DeliveryId,
    /// A key that webhooks are signed with.
    SigningKeyId,
    /// A receiver's part of a split (分账明细).
    SplitLineId,
    /// Money asked back from the receivers of a split (分账回退).
    SplitReturnId,
    /// Money taken for an advance (垫资收回).
    RecoveryId,
    /// The most that a merchant may owe (垫资额度).
    CapId,
    /// A request to a channel that divides (分账请求).
    SplitCallId,
    /// A subsidy programme (补贴计划).
    ProgrammeId,
    /// Money put into a programme's budget, or taken back out of it (补贴资金划拨).
    MovementId,
}

impl MerchantId {
    /// The merchant's own book (stripe 0), which has the merchant's id: the key of everything that is the merchant's but its entries.
    pub fn book(self) -> BookId {
        BookId(self.0)
    }

    /// The book of one of the merchant's stripes (分条): stripe 0 is [`MerchantId::book`], the others follow from the merchant's id.
    pub fn stripe(self, stripe: i16) -> BookId {
        if stripe == 0 { self.book() } else { BookId(named_uuid(&[self.0.as_bytes(), b"stripe", &stripe.to_be_bytes()])) }
    }
}

impl BookId {
    /// The platform's own book.
    pub const PLATFORM: Self = Self(Uuid::from_u128(0x706c_6174_666f_8d00_8000_0000_0000_0001));

    /// The book of a bank.
    pub fn of_bank(name: &str) -> Self {
        Self(named_uuid(&[b"bank:", name.as_bytes()]))
    }

    /// The merchant whose own book this is. Right for the book of a business row (order, refund, job …), never for that of an entry, which
    /// may be another of the merchant's stripes.
    pub fn merchant(self) -> MerchantId {
        MerchantId(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_id_is_of_version_8_and_the_same_wherever_it_is_computed() {
        // SHA-256 of "abc" begins ba7816bf 8f01cfea 414140de 5dae2223
        assert_eq!(named_uuid(&[b"a", b"bc"]).to_string(), "ba7816bf-8f01-8fea-8141-40de5dae2223");
        assert_eq!(BookId::PLATFORM.0.get_version_num(), 8);
    }

    #[test]
    fn stripes_are_books_of_their_own_and_the_first_is_the_merchants() {
        let merchant = MerchantId::new();
        let mut books: Vec<_> = (0..16).map(|n| merchant.stripe(n)).collect();
        assert_eq!(books[0], merchant.book());
        books.sort_unstable();
        books.dedup();
        assert_eq!(books.len(), 16);
    }
}
