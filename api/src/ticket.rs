//! Tickets: capabilities that open exactly one thing until they expire. An order for its payer, an upload for its applicant, an image
//! for its reviewer.
//!
//! A ticket is sealed with AES-256-GCM, so that it can neither be forged nor read. Its nonce is derived from its content, so that the same
//! order always has the same ticket and a replayed `orderCreate` answers byte for byte; two different contents never share a nonce
//! but by a collision of 96 bits of HMAC-SHA256.

use ai::document::DocumentKind;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wallet::base::clock::Clock;
use wallet::base::id::{ApplicationId, BookId, OrderId, TaskId, UserId};

/// Longest ticket that is looked at. An upload ticket carries what the merchant typed.
const TICKET_LEN_MAX: usize = 32 * 1024;

/// Seals and opens tickets under one key.
#[derive(Clone)]
pub struct Tickets {
    aead: std::sync::Arc<LessSafeKey>,
    nonces: hmac::Key,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(..)")
    }
}

/// What an upload ticket permits: one paper of one application, with what was typed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadGrant {
    pub user: UserId,
    pub application: ApplicationId,
    pub kind: DocumentKind,
    /// Names and values as they were typed; checked when the ticket was given and again when the image comes.
    pub claims: Vec<(String, String)>,
    pub expires: DateTime<Utc>,
}

/// What an image link permits: the picture of one task, to its reviewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageGrant {
    pub task: TaskId,
    pub viewer: UserId,
    pub expires: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("the ticket is not one of ours")]
    Invalid,
    #[error("the ticket has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct OrderGrant(BookId, OrderId, DateTime<Utc>);

impl Tickets {
    /// Two keys are derived from the 32 secret bytes, one to seal and one to number.
    pub fn new(secret: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let seal = hmac::sign(&root, b"haodian ticket seal");
        let number = hmac::sign(&root, b"haodian ticket nonce");
        let aead = UnboundKey::new(&AES_256_GCM, seal.as_ref()).expect("HMAC-SHA256 gives the 32 bytes AES-256 takes");
        Self { aead: std::sync::Arc::new(LessSafeKey::new(aead)), nonces: hmac::Key::new(hmac::HMAC_SHA256, number.as_ref()) }
    }

    /// The ticket that opens one order to whoever holds it.
    pub fn order(&self, book: BookId, order: OrderId, expires: DateTime<Utc>) -> String {
        self.seal("order", &OrderGrant(book, order, expires))
    }

    pub fn open_order(&self, ticket: &str) -> Result<(BookId, OrderId), TicketError> {
        let OrderGrant(book, order, expires) = self.open("order", ticket)?;
        unexpired(expires)?;
        Ok((book, order))
    }

    pub fn upload(&self, grant: &UploadGrant) -> String {
        self.seal("upload", grant)
    }

    pub fn open_upload(&self, ticket: &str) -> Result<UploadGrant, TicketError> {
        let grant: UploadGrant = self.open("upload", ticket)?;
        unexpired(grant.expires)?;
        Ok(grant)
    }

    pub fn image(&self, task: TaskId, viewer: UserId, expires: DateTime<Utc>) -> String {
        self.seal("image", &ImageGrant { task, viewer, expires })
    }

    pub fn open_image(&self, ticket: &str) -> Result<ImageGrant, TicketError> {
        let grant: ImageGrant = self.open("image", ticket)?;
        unexpired(grant.expires)?;
        Ok(grant)
    }

    /// `purpose` is bound in, so that a ticket of one kind never opens another.
    fn seal<T: Serialize>(&self, purpose: &'static str, content: &T) -> String {
        let mut sealed = serde_json::to_vec(content).expect("grants are plain data and serialise");
        let mut number = hmac::Context::with_key(&self.nonces);
        number.update(purpose.as_bytes());
        number.update(&[0]);
        number.update(&sealed);
        let number = number.sign();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&number.as_ref()[..NONCE_LEN]);
        self.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .expect("a ticket is far below the limit of AES-GCM");
        let mut ticket = nonce.to_vec();
        ticket.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(ticket)
    }

    fn open<T: DeserializeOwned>(&self, purpose: &'static str, ticket: &str) -> Result<T, TicketError> {
        if ticket.len() > TICKET_LEN_MAX {
            return Err(TicketError::Invalid);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| TicketError::Invalid)?;
        if bytes.len() < NONCE_LEN {
            return Err(TicketError::Invalid);
        }
        let mut sealed = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| TicketError::Invalid)?;
        let content = self.aead.open_in_place(nonce, Aad::from(purpose), &mut sealed).map_err(|_| TicketError::Invalid)?;
        serde_json::from_slice(content).map_err(|_| TicketError::Invalid)
    }
}

/// Tickets expire by real time: a sandbox day must not open or close them.
fn unexpired(expires: DateTime<Utc>) -> Result<(), TicketError> {
    if Clock::wall() < expires { Ok(()) } else { Err(TicketError::Expired) }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn soon() -> DateTime<Utc> {
        Clock::wall() + TimeDelta::minutes(5)
    }

    #[test]
    fn a_ticket_opens_its_own_order_and_nothing_else() {
        let tickets = Tickets::new(&[7; 32]);
        let (book, order) = (BookId::new(), OrderId::new());
        let ticket = tickets.order(book, order, soon());
        assert_eq!(tickets.open_order(&ticket), Ok((book, order)));
        assert_eq!(tickets.open_image(&ticket), Err(TicketError::Invalid));
        assert_eq!(Tickets::new(&[8; 32]).open_order(&ticket), Err(TicketError::Invalid));
    }

    #[test]
    fn a_changed_ticket_is_refused_wherever_it_is_changed() {
        let tickets = Tickets::new(&[7; 32]);
        let ticket = tickets.order(BookId::new(), OrderId::new(), soon());
        let bytes = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
        for i in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[i] ^= 1;
            assert_eq!(tickets.open_order(&URL_SAFE_NO_PAD.encode(forged)), Err(TicketError::Invalid), "byte {i}");
        }
        for garbage in ["", "a", "!!!!", &"A".repeat(TICKET_LEN_MAX + 1)] {
            assert_eq!(tickets.open_order(garbage), Err(TicketError::Invalid));
        }
    }

    #[test]
    fn the_same_order_has_the_same_ticket() {
        let tickets = Tickets::new(&[7; 32]);
        let (book, order, expires) = (BookId::new(), OrderId::new(), soon());
        assert_eq!(tickets.order(book, order, expires), tickets.order(book, order, expires));
        assert_ne!(tickets.order(book, order, expires), tickets.order(book, OrderId::new(), expires));
    }

    #[test]
    fn an_expired_ticket_says_so() {
        let tickets = Tickets::new(&[7; 32]);
        let ticket = tickets.order(BookId::new(), OrderId::new(), Clock::wall() - TimeDelta::seconds(1));
        assert_eq!(tickets.open_order(&ticket), Err(TicketError::Expired));
    }
}
