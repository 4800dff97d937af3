//! Opaque global ids: a type tag and the UUIDs behind it, in base64url. A reader may store and send them, never take them apart.
//!
//! What lives in a book carries the book, so that `node(id)` goes straight to its shard. The tag is checked on every use: a store's id in
//! a field that wants a merchant is a bad id, not somebody else's row.

use async_graphql::ID;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use wallet::base::id::{
    ApplicationId, AttemptId, BookId, DocumentId, MerchantId, OrderId, RefundId, StoreId, TaskId, UserId, WithdrawalId,
};

/// Everything that has an id outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalId {
    User(UserId),
    Merchant(MerchantId),
    Store(MerchantId, StoreId),
    Application(ApplicationId),
    Document(DocumentId),
    Task(TaskId),
    Order(BookId, OrderId),
    Attempt(BookId, AttemptId),
    Refund(BookId, RefundId),
    Withdrawal(BookId, WithdrawalId),
}

impl GlobalId {
    /// The text that leaves the system.
    pub fn encode(self) -> ID {
        let (tag, first, second): (u8, Uuid, Option<Uuid>) = match self {
            Self::User(id) => (b'u', id.0, None),
            Self::Merchant(id) => (b'm', id.0, None),
            Self::Store(merchant, id) => (b's', merchant.0, Some(id.0)),
            Self::Application(id) => (b'a', id.0, None),
            Self::Document(id) => (b'd', id.0, None),
            Self::Task(id) => (b't', id.0, None),
            Self::Order(book, id) => (b'o', book.0, Some(id.0)),
            Self::Attempt(book, id) => (b'p', book.0, Some(id.0)),
            Self::Refund(book, id) => (b'r', book.0, Some(id.0)),
            Self::Withdrawal(book, id) => (b'w', book.0, Some(id.0)),
        };
        let mut bytes = vec![tag];
        bytes.extend_from_slice(first.as_bytes());
        if let Some(second) = second {
            bytes.extend_from_slice(second.as_bytes());
        }
        ID(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads an id of ours; `None` for anything else.
    pub fn decode(id: &str) -> Option<Self> {
        if id.len() > 64 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (&tag, rest) = bytes.split_first()?;
        let one = || Uuid::from_slice(rest).ok();
        let two = || {
            let (first, second) = rest.split_at_checked(16)?;
            Some((Uuid::from_slice(first).ok()?, Uuid::from_slice(second).ok()?))
        };
        Some(match tag {
            b'u' => Self::User(UserId(one()?)),
            b'm' => Self::Merchant(MerchantId(one()?)),
            b's' => two().map(|(m, s)| Self::Store(MerchantId(m), StoreId(s)))?,
            b'a' => Self::Application(ApplicationId(one()?)),
            b'd' => Self::Document(DocumentId(one()?)),
            b't' => Self::Task(TaskId(one()?)),
            b'o' => two().map(|(b, o)| Self::Order(BookId(b), OrderId(o)))?,
            b'p' => two().map(|(b, a)| Self::Attempt(BookId(b), AttemptId(a)))?,
            b'r' => two().map(|(b, r)| Self::Refund(BookId(b), RefundId(r)))?,
            b'w' => two().map(|(b, w)| Self::Withdrawal(BookId(b), WithdrawalId(w)))?,
            _ => return None,
        })
    }
}

/// Defines `fn merchant(id: &ID) -> Option<MerchantId>` and its like: the parts of an id of one type, or nothing.
macro_rules! expect_ids {
    ($($name:ident: $pattern:pat => $parts:expr, $type:ty;)+) => {$(
        #[doc = concat!("The parts of a ", stringify!($name), " id; `None` when it is not one.")]
        pub fn $name(id: &ID) -> Option<$type> {
            match GlobalId::decode(id) {
                Some($pattern) => Some($parts),
                _ => None,
            }
        }
    )+};
}

expect_ids! {
    merchant: GlobalId::Merchant(id) => id, MerchantId;
    store: GlobalId::Store(merchant, id) => (merchant, id), (MerchantId, StoreId);
    application: GlobalId::Application(id) => id, ApplicationId;
    document: GlobalId::Document(id) => id, DocumentId;
    task: GlobalId::Task(id) => id, TaskId;
    order: GlobalId::Order(book, id) => (book, id), (BookId, OrderId);
    refund: GlobalId::Refund(book, id) => (book, id), (BookId, RefundId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_id_comes_back_as_it_went() {
        let ids = [
            GlobalId::User(UserId::new()),
            GlobalId::Merchant(MerchantId::new()),
            GlobalId::Store(MerchantId::new(), StoreId::new()),
            GlobalId::Application(ApplicationId::new()),
            GlobalId::Document(DocumentId::new()),
            GlobalId::Task(TaskId::new()),
            GlobalId::Order(BookId::new(), OrderId::new()),
            GlobalId::Attempt(BookId::new(), AttemptId::new()),
            GlobalId::Refund(BookId::new(), RefundId::new()),
            GlobalId::Withdrawal(BookId::new(), WithdrawalId::new()),
        ];
        for id in ids {
            assert_eq!(GlobalId::decode(&id.encode()), Some(id));
        }
    }

    #[test]
    fn anything_else_is_not_an_id() {
        let merchant = GlobalId::Merchant(MerchantId::new()).encode();
        let cut = &merchant[..10];
        for text in ["", "a", "b64?", cut, "bQ", &"A".repeat(400)] {
            assert_eq!(GlobalId::decode(text), None, "{text}");
        }
        assert_eq!(order(&merchant), None);
        assert!(super::merchant(&merchant).is_some());
    }
}
