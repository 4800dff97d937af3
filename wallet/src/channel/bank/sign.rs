//! SM2 signatures with SM3 (GB/T 32918.2, GB/T 32905) in the two dialects that banks are known to speak.
//!
//! What is signed is [`Message::canonical`] in the message's charset. The time of signing stands under the signature and must be within
//! [`WINDOW_S`] of real time; an answer carries the serial number of its request; a notice may be replayed within the window, which its
//! serial number makes harmless.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sm2::SecretKey;
use sm2::dsa::signature::{Signer as _, Verifier as _};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use super::wire::{Charset, Message, VERSION, field};
use crate::channel::unionpay::wire::{read_stamp, stamp};

/// Seconds that a message's time may differ from real time, either way.
pub const WINDOW_S: i64 = 300;

/// The user id of whoever agreed on none (GM/T 0009).
const DEFAULT_USER_ID: &str = "1234567812345678";
/// Length of a user id that is filled up.
const USER_ID_LENGTH: usize = 16;

/// How a bank signs: the known differences between banks, and between two products of one bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// As of 招行银企直联: the user id agreed on, filled up with `0` to 16; the signature is base64 of r and s, 32 bytes each.
    Corporate,
    /// As of 招行收单: the default user id; the signature is base64 of the ASN.1 sequence of r and s, DER.
    Acquiring,
}

impl Dialect {
    /// As a configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Corporate => "corporate",
            Self::Acquiring => "acquiring",
        }
    }
}

/// What both sides have agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    pub dialect: Dialect,
    /// Of [`Dialect::Corporate`].
    pub user_id: String,
    pub charset: Charset,
}

/// A key, or a user id, that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("it is not an SM2 private key in PKCS#8, PEM")]
    Private,
    #[error("it is not an SM2 public key, PEM")]
    Public,
    #[error("the user id must have 1 to 16 letters and digits")]
    UserId,
}

/// A message is not believed. It is not said what would have been right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the message is not of the agreed form")]
    Malformed,
    #[error("the message is not signed as agreed")]
    Unsigned,
}

/// One side's hand and ear: signs as itself, believes the other.
pub struct Seal {
    own: SigningKey,
    other: VerifyingKey,
    terms: Terms,
}

impl Seal {
    /// From PEM texts: our own private key (PKCS#8), and the other side's public key.
    pub fn try_new(own_pem: &str, other_pem: &str, terms: Terms) -> Result<Self, KeyError> {
        let user_id = user_id(&terms)?;
        let own = SecretKey::from_pkcs8_pem(own_pem.trim()).map_err(|_| KeyError::Private)?;
        let other = sm2::PublicKey::from_public_key_pem(other_pem.trim()).map_err(|_| KeyError::Public)?;
        Ok(Self {
            own: SigningKey::new(&user_id, &own).map_err(|_| KeyError::Private)?,
            other: VerifyingKey::new(&user_id, other).map_err(|_| KeyError::Public)?,
            terms,
        })
    }

    pub fn charset(&self) -> Charset {
        self.terms.charset
    }

    /// Whether a text can travel as it is.
    pub fn fits(&self, text: &str) -> bool {
        !text.contains(char::is_control) && self.terms.charset.encode(text).is_some()
    }

    /// Signs a message as of `at` and gives its bytes. None: a value has characters that cannot travel.
    pub fn seal(&self, mut message: Message, at: DateTime<Utc>) -> Option<Vec<u8>> {
        message.set(field::VERSION, VERSION.to_owned());
        message.set(field::TIME, stamp(at));
        let signed = self.terms.charset.encode(&message.canonical())?;
        // a signature that cannot be made needs a random number that nobody has ever met: once in some 2^250
        let signature = self.own.try_sign(&signed).ok()?;
        let bytes = match self.terms.dialect {
            Dialect::Corporate => signature.to_vec(),
            Dialect::Acquiring => signature.to_der().as_ref().to_vec(),
        };
        message.set(field::SIGN, BASE64.encode(bytes));
        message.write(self.terms.charset).ok()
    }

    /// Reads a message and believes it, or says that it cannot.
    pub fn open(&self, bytes: &[u8], now: DateTime<Utc>) -> Result<Message, OpenError> {
        let message = Message::read(bytes, self.terms.charset).map_err(|_| OpenError::Malformed)?;
        let signature = message.get(field::SIGN).and_then(|s| BASE64.decode(s).ok()).ok_or(OpenError::Unsigned)?;
        let signature = match self.terms.dialect {
            Dialect::Corporate => Signature::from_slice(&signature),
            Dialect::Acquiring => Signature::from_der(&signature),
        };
        let signature = signature.map_err(|_| OpenError::Unsigned)?;
        let signed = self.terms.charset.encode(&message.canonical()).ok_or(OpenError::Malformed)?;
        self.other.verify(&signed, &signature).map_err(|_| OpenError::Unsigned)?;
        let signed_at = message.get(field::TIME).and_then(read_stamp).ok_or(OpenError::Unsigned)?;
        if message.get(field::VERSION) != Some(VERSION) || (now - signed_at).num_seconds().unsigned_abs() > WINDOW_S.unsigned_abs() {
            return Err(OpenError::Unsigned);
        }
        Ok(message)
    }
}

/// The user id that both sides sign under.
fn user_id(terms: &Terms) -> Result<String, KeyError> {
    match terms.dialect {
        Dialect::Acquiring => Ok(DEFAULT_USER_ID.to_owned()),
        Dialect::Corporate => {
            let id = &terms.user_id;
            let plain = (1..=USER_ID_LENGTH).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
            if plain { Ok(format!("{id:0<USER_ID_LENGTH$}")) } else { Err(KeyError::UserId) }
        }
    }
}

/// A serial number for a new message: 16 random bytes in hexadecimal.
pub fn serial() -> String {
    hex::encode(random::<16>())
}

/// A new private key, PKCS#8 in PEM, for the launcher or a test.
pub fn generate() -> String {
    loop {
        // a number that is no key (zero, or beyond the order) comes once in some 2^32
        if let Ok(key) = SecretKey::from_slice(&random::<32>()) {
            return key.to_pkcs8_pem(LineEnding::LF).expect("a key that exists can be written").to_string();
        }
    }
}

/// The public key of a private one, PEM.
pub fn public_pem(private_pem: &str) -> Result<String, KeyError> {
    let key = SecretKey::from_pkcs8_pem(private_pem.trim()).map_err(|_| KeyError::Private)?;
    key.public_key().to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Private)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system's random source does not fail");
    bytes
}
