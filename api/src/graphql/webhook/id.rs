//! Ids of endpoints and deliveries, and those that messages name.

use async_graphql::ID;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use wallet::base::id::{BookId, DeliveryId, EndpointId};
use wallet::webhook::Outside;

use crate::graphql::id::GlobalId;

/// The id that the API gives, for messages.
pub fn outside(what: Outside) -> String {
    let id = match what {
        Outside::Merchant(id) => GlobalId::Merchant(id).encode(),
        Outside::Store(merchant, id) => GlobalId::Store(merchant, id).encode(),
        Outside::Order(book, id) => GlobalId::Order(book, id).encode(),
        Outside::Attempt(book, id) => GlobalId::Attempt(book, id).encode(),
        Outside::Refund(book, id) => GlobalId::Refund(book, id).encode(),
        Outside::Withdrawal(book, id) => GlobalId::Withdrawal(book, id).encode(),
        Outside::Application(id) => GlobalId::Application(id).encode(),
        Outside::Endpoint(book, id) => endpoint_id(book, id),
        Outside::Delivery(book, id) => delivery_id(book, id),
    };
    id.0
}

/// Before the ids, so that no other id is taken for one of these.
const ENDPOINT_TAG: u8 = b'h';
const DELIVERY_TAG: u8 = b'y';

pub fn endpoint_id(book: BookId, id: EndpointId) -> ID {
    encode(ENDPOINT_TAG, book, id.0)
}

pub fn delivery_id(book: BookId, id: DeliveryId) -> ID {
    encode(DELIVERY_TAG, book, id.0)
}

pub fn endpoint(id: &ID) -> Option<(BookId, EndpointId)> {
    decode(ENDPOINT_TAG, id).map(|(book, id)| (book, EndpointId(id)))
}

pub fn delivery(id: &ID) -> Option<(BookId, DeliveryId)> {
    decode(DELIVERY_TAG, id).map(|(book, id)| (book, DeliveryId(id)))
}

fn encode(tag: u8, book: BookId, id: Uuid) -> ID {
    ID(URL_SAFE_NO_PAD.encode([&[tag], book.0.as_bytes().as_slice(), id.as_bytes()].concat()))
}

fn decode(tag: u8, id: &ID) -> Option<(BookId, Uuid)> {
    if id.len() > 64 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(id.as_str()).ok()?;
    let (book, id) = bytes.strip_prefix(&[tag])?.split_at_checked(16)?;
    Some((BookId(Uuid::from_slice(book).ok()?), Uuid::from_slice(id).ok()?))
}

#[cfg(test)]
mod tests {
    use wallet::base::id::{MerchantId, OrderId, StoreId};

    use super::*;

    #[test]
    fn ids_come_back_and_none_is_taken_for_another() {
        let (book, endpoint_of, delivery_of) = (BookId::new(), EndpointId::new(), DeliveryId::new());
        let (a, b) = (endpoint_id(book, endpoint_of), delivery_id(book, delivery_of));
        assert_eq!(endpoint(&a), Some((book, endpoint_of)));
        assert_eq!(delivery(&b), Some((book, delivery_of)));
        assert_eq!((endpoint(&b), delivery(&a)), (None, None));
        let store = GlobalId::Store(MerchantId::new(), StoreId::new()).encode();
        let cut = ID(a[..20].to_owned());
        for other in [store, cut, ID(String::new()), ID("h?".to_owned()), ID("A".repeat(400))] {
            assert_eq!((endpoint(&other), delivery(&other)), (None, None), "{}", other.as_str());
        }
        assert_eq!(GlobalId::decode(&a), None);
    }

    #[test]
    fn an_id_in_a_message_is_that_of_the_api_and_fits_a_header() {
        let (book, order) = (BookId::new(), OrderId::new());
        assert_eq!(outside(Outside::Order(book, order)), GlobalId::Order(book, order).encode().0);
        let id = outside(Outside::Delivery(book, DeliveryId::new()));
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
    }
}
