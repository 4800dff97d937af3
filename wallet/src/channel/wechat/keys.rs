//! The platform's public keys by serial number: several certificates (平台证书) at once while they are renewed, and the public key (微信支付公钥).
//!
//! A certificate counts until its time is over, a public key until the configuration names another.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

use super::certificate::{Certificate, serial_text};
use super::seal::ApiKey;
use super::sign::{PublicKey, SignatureError, Signed};
use super::wire::Certificates;

/// How the ids of public keys begin. They are not among the certificates and never downloaded.
pub const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_";

/// Most keys that are kept at once.
const KEYS_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Known {
    key: PublicKey,
    /// None: a public key, which has no end.
    expires_at: Option<DateTime<Utc>>,
}

/// The keys that are believed. Never changed: a renewal makes another one.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    by_serial: HashMap<String, Known>,
}

impl Keys {
    /// The public keys that the configuration names, by id.
    pub fn pinned(keys: impl IntoIterator<Item = (String, PublicKey)>) -> Self {
        Self { by_serial: keys.into_iter().map(|(id, key)| (id, Known { key, expires_at: None })).collect() }
    }

    /// These keys, less what is over, and those of an answer to "下载平台证书". Every certificate in it must open with our API v3 key,
    /// which is what makes it believed: nobody but WeChat and we can seal with that.
    pub fn renewed(&self, answer: &Certificates, api_key: &ApiKey, wall: DateTime<Utc>) -> Result<Self, &'static str> {
        let mut by_serial = self.by_serial.clone();
        by_serial.retain(|_, known| known.live(wall));
        for sealed in &answer.data {
            if sealed.expire_time <= wall {
                continue;
            }
            let opened = api_key.open(&sealed.encrypt_certificate).ok_or("a certificate does not open with the API v3 key")?;
            let text = str::from_utf8(&opened).map_err(|_| "a certificate is no text")?;
            let certificate = Certificate::try_from_pem(text).map_err(|_| "a certificate cannot be read")?;
            if certificate.serial != serial_text(&sealed.serial_no) {
                return Err("a certificate has another serial number");
            }
            by_serial.insert(sealed.serial_no.clone(), Known { key: certificate.key, expires_at: Some(sealed.expire_time) });
        }
        if by_serial.len() > KEYS_MAX {
            return Err("there are too many certificates");
        }
        Ok(Self { by_serial })
    }

    /// Whether there is a key to verify with.
    pub fn usable(&self, wall: DateTime<Utc>) -> bool {
        self.by_serial.values().any(|known| known.live(wall))
    }

    /// Believes an answer or a notice, or says why not.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], wall: DateTime<Utc>) -> Result<(), SignatureError> {
        let signed = Signed::read(headers, wall)?;
        let known = self.by_serial.get(signed.serial).filter(|known| known.live(wall)).ok_or(SignatureError::UnknownKey)?;
        signed.verify(&known.key, body)
    }

    /// The key to seal personal data for, with its serial number: a public key before a certificate, and the one that lasts longest.
    pub fn sealing(&self, wall: DateTime<Utc>) -> Option<(&str, &PublicKey)> {
        let lasts = |known: &Known| known.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let live = self.by_serial.iter().filter(|(_, known)| known.live(wall));
        live.max_by_key(|(serial, known)| (lasts(known), *serial)).map(|(serial, known)| (serial.as_str(), &known.key))
    }

    /// The public key that WeChat is asked to sign with, where the configuration names one.
    pub fn public_key_id(&self) -> Option<&str> {
        self.by_serial.iter().filter(|(_, known)| known.expires_at.is_none()).map(|(id, _)| id.as_str()).max()
    }
}

impl Known {
    fn live(&self, wall: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| wall < end)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::base::clock::Clock;
    use crate::channel::wechat::sign::Signer;
    use crate::channel::wechat::sign::tests::signer;
    use crate::channel::wechat::wire::SealedCertificate;

    const SAMPLE: &str = include_str!("testdata/certificate.pem");
    const SAMPLE_SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";

    fn api_key() -> ApiKey {
        ApiKey::try_new(&[7; 32]).unwrap()
    }

    fn certificate(serial: &str, key: &ApiKey, wall: DateTime<Utc>, days: i64) -> SealedCertificate {
        SealedCertificate {
            serial_no: serial.to_owned(),
            effective_time: wall,
            expire_time: wall + TimeDelta::days(days),
            encrypt_certificate: key.seal("61f9c719728a", "certificate", SAMPLE.as_bytes()).unwrap(),
        }
    }

    fn pinned(signer: &Signer) -> Keys {
        Keys::pinned([(signer.serial().to_owned(), signer.public_key().unwrap())])
    }

    #[test]
    fn the_key_is_chosen_by_its_serial() {
        let (wall, one, other) = (Clock::wall(), signer("PUB_KEY_ID_01"), signer("PUB_KEY_ID_02"));
        let both = Keys::pinned([&one, &other].map(|s| (s.serial().to_owned(), s.public_key().unwrap())));
        assert_eq!(both.verify(&one.headers(b"{}", wall), b"{}", wall), Ok(()));
        assert_eq!(both.verify(&other.headers(b"{}", wall), b"{}", wall), Ok(()));
        assert_eq!(pinned(&one).verify(&other.headers(b"{}", wall), b"{}", wall), Err(SignatureError::UnknownKey));
        let under_a_false_name = Keys::pinned([("PUB_KEY_ID_01".to_owned(), other.public_key().unwrap())]);
        assert_eq!(under_a_false_name.verify(&one.headers(b"{}", wall), b"{}", wall), Err(SignatureError::Mismatch));
        assert_eq!(both.public_key_id(), Some("PUB_KEY_ID_02"));
    }

    #[test]
    fn a_renewal_keeps_the_old_keys_beside_the_new_until_their_end() {
        let wall = Clock::wall();
        let first =
            Keys::default().renewed(&Certificates { data: vec![certificate(SAMPLE_SERIAL, &api_key(), wall, 5)] }, &api_key(), wall);
        let first = first.unwrap();
        assert_eq!(first.sealing(wall).unwrap().0, SAMPLE_SERIAL);
        let nothing_new = Certificates { data: Vec::new() };
        let during = first.renewed(&nothing_new, &api_key(), wall + TimeDelta::days(4)).unwrap();
        assert!(during.usable(wall + TimeDelta::days(4)), "kept though the answer no longer names it");
        let end = wall + TimeDelta::days(5);
        assert!(!during.usable(end), "over without a renewal, too");
        assert!(during.sealing(end).is_none());
        let judged = |wall| during.verify(&signer(SAMPLE_SERIAL).headers(b"{}", wall), b"{}", wall);
        assert_eq!(judged(end - TimeDelta::seconds(1)), Err(SignatureError::Mismatch), "judged by the certificate's key");
        assert_eq!(judged(end), Err(SignatureError::UnknownKey), "which is none any more");
        assert!(!first.renewed(&nothing_new, &api_key(), end).unwrap().usable(wall), "dropped by the next renewal");
        let over = Certificates { data: vec![certificate(SAMPLE_SERIAL, &api_key(), wall, 0)] };
        assert!(!Keys::default().renewed(&over, &api_key(), wall).unwrap().usable(wall), "never taken");
        let public = pinned(&signer("PUB_KEY_ID_01")).renewed(
            &Certificates { data: vec![certificate(SAMPLE_SERIAL, &api_key(), wall, 5)] },
            &api_key(),
            wall,
        );
        assert_eq!(public.unwrap().sealing(wall).unwrap().0, "PUB_KEY_ID_01", "a public key goes first");
    }

    #[test]
    fn a_certificate_that_our_key_does_not_open_is_no_key() {
        let wall = Clock::wall();
        let renewed = |data| Keys::default().renewed(&Certificates { data }, &api_key(), wall).map(|_| ());
        let foreign = certificate(SAMPLE_SERIAL, &ApiKey::try_new(&[8; 32]).unwrap(), wall, 5);
        assert_eq!(renewed(vec![foreign]), Err("a certificate does not open with the API v3 key"));
        let renamed = certificate("5157F09EFDC096DE15EBE81A47057A7232F1B8E2", &api_key(), wall, 5);
        assert_eq!(renewed(vec![renamed]), Err("a certificate has another serial number"));
        let mut garbage = certificate(SAMPLE_SERIAL, &api_key(), wall, 5);
        garbage.encrypt_certificate = api_key().seal("61f9c719728a", "certificate", b"\xff\xfe").unwrap();
        assert_eq!(renewed(vec![garbage.clone()]), Err("a certificate is no text"));
        garbage.encrypt_certificate = api_key().seal("61f9c719728a", "certificate", b"hello").unwrap();
        assert_eq!(renewed(vec![garbage]), Err("a certificate cannot be read"));
    }

    #[test]
    fn keys_are_bounded() {
        let wall = Clock::wall();
        let key = signer("PUB_KEY_ID_01").public_key().unwrap();
        let many = Keys::pinned((0..KEYS_MAX).map(|n| (format!("PUB_KEY_ID_{n}"), key.clone())));
        let answer = Certificates { data: vec![certificate(SAMPLE_SERIAL, &api_key(), wall, 5)] };
        assert_eq!(many.renewed(&answer, &api_key(), wall).unwrap_err(), "there are too many certificates");
    }
}
