//! The platform's keys and their renewal: one signs, the next is published before it does.

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use wallet::base::clock::Clock;
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
        let opens = PrivateDecryptingKey::generate(KeySize::Rsa2048).context("could not make a key")?;
        let pkcs8: Pkcs8V1Der = opens.as_der().context("could not write a key")?;
        let serial = Uuid::new_v4().simple().to_string().to_uppercase();
        let signer = Signer::try_from_pkcs8(&serial, pkcs8.as_ref())?;
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
    pub fn try_new() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new([Key::make()?, Key::make()?])))
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
