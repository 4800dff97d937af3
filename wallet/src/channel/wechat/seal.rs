//! What WeChat Pay seals with the merchant's API v3 key (APIv3 密钥): the content of notices, and platform certificates.
//!
//! AEAD_AES_256_GCM with a nonce of 12 bytes, the tag at the end, base64. Source: "如何解密回调报文和平台证书".

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::sign::KeyError;
use super::wire::Sealed;

/// The one algorithm that is agreed.
pub const ALGORITHM: &str = "AEAD_AES_256_GCM";

/// The API v3 key of a merchant.
pub struct ApiKey(LessSafeKey);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey")
    }
}

impl ApiKey {
    /// From the 32 characters that the merchant chose.
    pub fn try_new(key: &[u8]) -> Result<Self, KeyError> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(|_| KeyError::Api)
    }

    /// Opens what was sealed with this key. None: another key, another algorithm, or changed on the way.
    pub fn open(&self, sealed: &Sealed) -> Option<Vec<u8>> {
        if sealed.algorithm != ALGORITHM {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(sealed.nonce.as_bytes()).ok()?;
        let mut bytes = BASE64.decode(&sealed.ciphertext).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::from(sealed.associated_data.as_bytes()), &mut bytes).ok()?.len();
        bytes.truncate(opened);
        Some(bytes)
    }

    /// Seals as the platform does. `nonce` has 12 characters and serves once. None: it has not, or the content is too long.
    pub fn seal(&self, nonce: &str, associated_data: &str, content: &[u8]) -> Option<Sealed> {
        let unique = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
        let mut bytes = content.to_vec();
        self.0.seal_in_place_append_tag(unique, Aad::from(associated_data.as_bytes()), &mut bytes).ok()?;
        Some(Sealed {
            algorithm: ALGORITHM.to_owned(),
            nonce: nonce.to_owned(),
            associated_data: associated_data.to_owned(),
            ciphertext: BASE64.encode(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "61f9c719728a";

    fn sealed() -> Sealed {
        ApiKey::try_new(&[7; 32]).unwrap().seal(NONCE, "certificate", b"{\"a\":1}").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        assert_eq!(ApiKey::try_new(&[7; 32]).unwrap().open(&sealed()).unwrap(), b"{\"a\":1}");
        assert_eq!(ApiKey::try_new(&[8; 32]).unwrap().open(&sealed()), None);
        let empty = ApiKey::try_new(&[7; 32]).unwrap().seal(NONCE, "", b"x").unwrap();
        assert_eq!(ApiKey::try_new(&[7; 32]).unwrap().open(&empty).unwrap(), b"x", "associated data may be empty");
    }

    #[test]
    fn whatever_is_changed_does_not_open() {
        let good = sealed();
        let mut bytes = BASE64.decode(&good.ciphertext).unwrap();
        bytes[0] ^= 1;
        let changed = [
            ("algorithm", Sealed { algorithm: "AEAD_SM4_GCM".to_owned(), ..good.clone() }),
            ("nonce", Sealed { nonce: "61f9c719728b".to_owned(), ..good.clone() }),
            ("nonce of 13", Sealed { nonce: "61f9c719728ab".to_owned(), ..good.clone() }),
            ("no nonce", Sealed { nonce: String::new(), ..good.clone() }),
            ("associated data", Sealed { associated_data: "transaction".to_owned(), ..good.clone() }),
            ("content", Sealed { ciphertext: BASE64.encode(bytes), ..good.clone() }),
            ("tag cut off", Sealed { ciphertext: BASE64.encode([0; 15]), ..good.clone() }),
            ("no base64", Sealed { ciphertext: "%%%".to_owned(), ..good.clone() }),
            ("nothing", Sealed { ciphertext: String::new(), ..good }),
        ];
        for (name, sealed) in changed {
            assert_eq!(ApiKey::try_new(&[7; 32]).unwrap().open(&sealed), None, "{name}");
        }
    }

    #[test]
    fn only_32_bytes_are_a_key_and_none_of_them_is_shown() {
        for length in [0, 16, 31, 33] {
            assert_eq!(ApiKey::try_new(&vec![7; length]).unwrap_err(), KeyError::Api, "{length}");
        }
        assert_eq!(format!("{:?}", ApiKey::try_new(b"0123456789abcdef0123456789abcdef").unwrap()), "ApiKey");
    }
}
