//! The vault (保险箱): AES-256-GCM for columns and files that hold personal data. A sealed value names the key version that made it
//! and is bound to its table, column and row, so that a ciphertext copied to another place does not open there.
//!
//! Layout: version (1 byte) · nonce (12 random bytes) · ciphertext · tag (16 bytes). Random nonces are safe for 2^32 values per key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of a data key.
pub const KEY_LEN: usize = 32;

/// The version written in front of what the present key seals.
const KEY_VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + NONCE_LEN;

/// Seals and opens. Clones share the key; nothing prints it.
#[derive(Clone)]
pub struct Vault {
    key: Arc<RandomizedNonceKey>,
}

/// Where a sealed value lives: it opens there and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a, R> {
    pub table: &'a str,
    pub column: &'a str,
    /// The row's own id, as text.
    pub row: R,
}

/// Why a value could not be sealed or opened. Neither texts nor sources carry any of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the sealed value is cut short")]
    Truncated,
    #[error("the sealed value was made by key version {0}, which this process does not have")]
    UnknownKeyVersion(u8),
    #[error("the sealed value does not open: another key, another place, or changed bytes")]
    Refused,
    #[error("the value could not be sealed")]
    NotSealed,
    /// Sealed by us, yet not the structure expected. The parser's own message would quote the value, so it is dropped.
    #[error("the opened value has an unexpected structure")]
    Structure,
}

impl Vault {
    /// A vault with the data key.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("a key of 32 bytes fits AES-256");
        Self { key: Arc::new(key) }
    }

    /// Seals bytes for one place.
    pub fn seal<R: fmt::Display>(&self, place: &Place<'_, R>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN);
        sealed.push(KEY_VERSION);
        sealed.extend_from_slice(&[0; NONCE_LEN]);
        sealed.extend_from_slice(plain);
        let (nonce, tag) =
            self.key.seal_in_place_separate_tag(Aad::from(place.bound()), &mut sealed[HEADER_LEN..]).map_err(|_| VaultError::NotSealed)?;
        sealed[1..HEADER_LEN].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens bytes that were sealed for this place.
    pub fn open<R: fmt::Display>(&self, place: &Place<'_, R>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (&version, rest) = sealed.split_first().ok_or(VaultError::Truncated)?;
        if version != KEY_VERSION {
            return Err(VaultError::UnknownKeyVersion(version));
        }
        if rest.len() < NONCE_LEN + TAG_LEN {
            return Err(VaultError::Truncated);
        }
        let (nonce, body) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Truncated)?;
        let mut body = body.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(place.bound()), &mut body).map_err(|_| VaultError::Refused)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Seals a value as JSON.
    pub fn seal_json<R: fmt::Display, T: Serialize>(&self, place: &Place<'_, R>, value: &T) -> Result<Vec<u8>, VaultError> {
        self.seal(place, &serde_json::to_vec(value).map_err(|_| VaultError::Structure)?)
    }

    /// Opens a value sealed by [`Self::seal_json`].
    pub fn open_json<R: fmt::Display, T: DeserializeOwned>(&self, place: &Place<'_, R>, sealed: &[u8]) -> Result<T, VaultError> {
        serde_json::from_slice(&self.open(place, sealed)?).map_err(|_| VaultError::Structure)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key version {KEY_VERSION})")
    }
}

impl<R: fmt::Display> Place<'_, R> {
    fn bound(&self) -> String {
        format!("{}|{}|{}", self.table, self.column, self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static, &str> = Place { table: "merchants", column: "settlement_account", row: "m1" };

    fn vault() -> Vault {
        Vault::new(&[7; KEY_LEN])
    }

    #[test]
    fn a_sealed_value_opens_where_it_was_sealed_for() {
        for plain in [&b""[..], b"6222020200112233445", &[0xFF; 100_000]] {
            let sealed = vault().seal(&HERE, plain).unwrap();
            assert_eq!(vault().open(&HERE, &sealed).unwrap(), plain);
        }
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        assert_ne!(vault().seal(&HERE, b"x").unwrap(), vault().seal(&HERE, b"x").unwrap());
    }

    #[test]
    fn a_moved_ciphertext_does_not_open() {
        let sealed = vault().seal(&HERE, b"secret").unwrap();
        for elsewhere in [Place { table: "documents", ..HERE }, Place { column: "claims", ..HERE }, Place { row: "m2", ..HERE }] {
            assert_eq!(vault().open(&elsewhere, &sealed), Err(VaultError::Refused), "{elsewhere:?}");
        }
    }

    #[test]
    fn another_key_and_changed_bytes_do_not_open() {
        let sealed = vault().seal(&HERE, b"secret").unwrap();
        assert_eq!(Vault::new(&[8; KEY_LEN]).open(&HERE, &sealed), Err(VaultError::Refused));
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault().open(&HERE, &changed), Err(VaultError::Refused), "byte {at}");
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert_eq!(vault().open(&HERE, &newer), Err(VaultError::UnknownKeyVersion(2)));
    }

    #[test]
    fn truncated_bytes_do_not_open() {
        let sealed = vault().seal(&HERE, b"secret").unwrap();
        for length in 0..sealed.len() {
            let error = vault().open(&HERE, &sealed[..length]).unwrap_err();
            let expected = if length < HEADER_LEN + TAG_LEN { VaultError::Truncated } else { VaultError::Refused };
            assert_eq!(error, expected, "{length} bytes");
        }
    }

    #[test]
    fn neither_the_key_nor_a_value_is_printed() {
        assert_eq!(format!("{:?}", vault()), "Vault(key version 1)");
        let sealed = vault().seal_json(&HERE, &"张三").unwrap();
        let error = vault().open_json::<_, u32>(&HERE, &sealed).unwrap_err();
        assert_eq!(error, VaultError::Structure);
        assert!(std::error::Error::source(&error).is_none());
    }
}
