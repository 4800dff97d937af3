//! The keys of the channels that a development system plays both sides of: ours in the key folder, theirs below it in `sim`.

use std::path::Path;

use aws_lc_rs::rsa::KeyPair;
use chrono::TimeDelta;
use wallet::base::clock::Clock;
use wallet::channel::bank::sign as sm2;
use wallet::channel::unionpay::issue::{Statement, issue};
use wallet::channel::unionpay::sign::{generate, private_key, private_pem, public_pem};

use super::keys::put;
use super::{LauncherError, state};
use crate::config::UNIONPAY_COMPANY;

/// Secret keys, RSA of 2048 bits, PKCS#8 in PEM. The key of an authority that issues certificates is `sim/root.pem`.
const SECRET: [&str; 9] = [
    "wechat.key.pem",
    "alipay.key.pem",
    "unionpay.key.pem",
    "ecny.key.pem",
    "sim/wechat.pem",
    "sim/wechat.next.pem",
    "sim/alipay.pem",
    "sim/unionpay.pem",
    "sim/ecny.pem",
];

/// Public halves for the other side: whose, and where.
const PUBLIC: [(&str, &str); 5] = [
    ("wechat.key.pem", "wechat.pub.pem"),
    ("alipay.key.pem", "alipay.pub.pem"),
    ("ecny.key.pem", "ecny.pub.pem"),
    ("sim/alipay.pem", "alipay.gateway.pub.pem"),
    ("sim/ecny.pem", "ecny.operator.pub.pem"),
];

/// SM2 secret keys, PKCS#8 in PEM, and their public halves: whose, and where.
const SM2: [(&str, &str); 2] = [("bank.key.pem", "bank.pub.pem"), ("sim/bank.pem", "bank.gateway.pub.pem")];

/// Where the authority's key and certificate are, and the subject that its certificates name it by.
const ROOT: (&str, &str, &str) = ("sim/root.pem", "unionpay.root.pem", "CFCA TEST OCA1");

/// The secret that WeChat seals its notices with (APIv3 密钥): 32 letters and digits.
const API_KEY: &str = "wechat.api.key";

/// How long a certificate is good.
const VALID: TimeDelta = TimeDelta::days(3_650);

/// Every file, secret ones first.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let certificates = ["sim/unionpay.cert.pem", "unionpay.cert.pem"];
    let secret = SECRET.into_iter().chain(SM2.map(|(secret, _)| secret)).chain([ROOT.0, API_KEY]);
    secret.chain(SM2.map(|(_, public)| public)).chain(PUBLIC.map(|(_, public)| public)).chain([ROOT.1]).chain(certificates)
}

/// Creates what is missing; what exists is checked and never replaced. Gives how many files were created.
pub(super) fn ensure(dir: &Path) -> Result<usize, LauncherError> {
    let sim = dir.join("sim");
    std::fs::create_dir_all(&sim).map_err(|e| LauncherError::file("create", &sim, e))?;
    let mut created = 0;
    let mut make = |name: &str, content: &dyn Fn() -> Result<String, LauncherError>| -> Result<(), LauncherError> {
        created += usize::from(put(&dir.join(name), || Ok(content()?.into_bytes()))?);
        Ok(())
    };
    for name in SECRET.into_iter().chain([ROOT.0]) {
        make(name, &|| Ok(private_pem(&generate())))?;
    }
    make(API_KEY, &|| Ok(hex::encode(state::random::<16>()?)))?;
    for (secret, public) in PUBLIC {
        make(public, &|| Ok(public_pem(&key(dir, secret)?)))?;
    }
    for (secret, public) in SM2 {
        make(secret, &|| Ok(sm2::generate()))?;
        make(public, &|| sm2::public_pem(&text(dir, secret)?).map_err(|_| LauncherError::BadKey { path: dir.join(secret) }))?;
    }
    let root = key(dir, ROOT.0)?;
    let unionpay = format!("041@83@{UNIONPAY_COMPANY}@00016494");
    let certified = [
        (ROOT.1, ROOT.0, ROOT.2, 1),
        ("sim/unionpay.cert.pem", "sim/unionpay.pem", &unionpay, 2),
        ("unionpay.cert.pem", "unionpay.key.pem", "041@84@HAODIAN@1", 3),
    ];
    for (name, of, subject, serial) in certified {
        let now = Clock::wall();
        let statement =
            Statement { issuer: ROOT.2, subject, serial: &[serial], not_before: now - TimeDelta::days(1), not_after: now + VALID };
        make(name, &|| Ok(issue(&statement, &key(dir, of)?, &root)))?;
    }
    Ok(created)
}

fn key(dir: &Path, name: &str) -> Result<KeyPair, LauncherError> {
    private_key(&text(dir, name)?).map_err(|_| LauncherError::BadKey { path: dir.join(name) })
}

fn text(dir: &Path, name: &str) -> Result<String, LauncherError> {
    let path = dir.join(name);
    std::fs::read_to_string(&path).map_err(|e| LauncherError::file("read", &path, e))
}
