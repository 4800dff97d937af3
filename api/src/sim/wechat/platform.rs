//! The platform's keys and their renewal: one signs, the next is published before it does.

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use wallet::base::clock::Clock;
use wallet::channel::unionpay::sign;
use wallet::channel::wechat::seal::ApiKey;
use wallet::channel::wechat::sign::Signer;
use wallet::channel::wechat::wire::{Certificates, SealedCertificate};

use super::certificate::issue;

/// How long a certificate counts, in days.
const VALID_DAYS: i64 = 1_825;

/// One key with its certificate.
#[derive(Debug)]
struct Key {
    signer: Arc<Signer>,
    opens: PrivateDecryptingKey,
    certificate: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Key {
    fn make() -> anyhow::Result<Self> {
        Self::try_new(&sign::private_pem(&sign::generate()))
    }

    /// The serial number is the key's own, so that it is the same after a restart.
    fn try_new(pem: &str) -> anyhow::Result<Self> {
        let der: Pkcs8V1Der = sign::private_key(pem)?.as_der().context("could not write a key")?;
        let opens = PrivateDecryptingKey::from_pkcs8(der.as_ref()).context("the key opens nothing")?;
        let public: PublicKeyX509Der<'_> = opens.public_key().as_der().context("could not write a public key")?;
        let serial = hex::encode_upper(&digest(&SHA256, public.as_ref()).as_ref()[..16]);
        let signer = Signer::try_from_pkcs8(&serial, der.as_ref())?;
        let from = Clock::wall();
        let to = from + TimeDelta::days(VALID_DAYS);
        let certificate = issue(&signer, from, to)?;
        Ok(Self { signer: Arc::new(signer), opens, certificate, from, to })
    }
}

/// The key that signs and the one that will.
#[derive(Debug)]
pub struct Platform(Mutex<[Key; 2]>);

impl Platform {
    /// From the PEM texts of the key that signs and of the one that will.
    pub fn try_new(keys: [&str; 2]) -> anyhow::Result<Self> {
        let [signs, next] = keys;
        Ok(Self(Mutex::new([Key::try_new(signs)?, Key::try_new(next)?])))
    }

    /// The next key signs from now on, and one more is published.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let fresh = Key::make()?;
        let mut keys = self.keys();
        keys.swap(0, 1);
        keys[1] = fresh;
        Ok(())
    }

    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.keys()[0].signer)
    }

    /// Both certificates, sealed with the merchant's key.
    pub fn certificates(&self, api_key: &ApiKey) -> Option<Certificates> {
        let keys = self.keys();
        let data = keys.iter().map(|key| {
            Some(SealedCertificate {
                serial_no: key.signer.serial().to_owned(),
                effective_time: key.from,
                expire_time: key.to,
                encrypt_certificate: api_key.seal(&key.signer.nonce()[..12], "certificate", key.certificate.as_bytes())?,
            })
        });
        data.collect::<Option<_>>().map(|data| Certificates { data })
    }

    /// Opens what a merchant sealed for the key of this serial number.
    pub fn open(&self, serial: &str, sealed: &str) -> Option<String> {
        let keys = self.keys();
        let key = keys.iter().find(|key| key.signer.serial() == serial)?;
        let key = OaepPrivateDecryptingKey::new(key.opens.clone()).ok()?;
        let mut out = vec![0; key.min_output_size()];
        let opened = key.decrypt(&OAEP_SHA1_MGF1SHA1, &BASE64.decode(sealed).ok()?, &mut out, None).ok()?;
        String::from_utf8(opened.to_vec()).ok().filter(|text| !text.is_empty())
    }

    fn keys(&self) -> MutexGuard<'_, [Key; 2]> {
        self.0.lock().expect("nothing panics while the platform's keys are held")
    }
}
