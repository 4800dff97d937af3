//! Typed ids: UUID v7, so that an index fills at its right edge.

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
}

impl MerchantId {
    /// The book of a merchant. A merchant's first book has the merchant's own id.
    pub fn book(self) -> BookId {
        BookId(self.0)
    }
}

impl BookId {
    /// The merchant whose book this is.
    pub fn merchant(self) -> MerchantId {
        MerchantId(self.0)
    }
}
