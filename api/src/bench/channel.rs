//! What a payment costs before it leaves: the routing decision, and the signatures of the protocols. One thread, no network, no database.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use uuid::Uuid;
use wallet::base::clock::Clock;
use wallet::base::id::AttemptId;
use wallet::base::money::Money;
use wallet::channel::acquirer::{Method, Wallet};
use wallet::channel::unionpay::sign::{generate, private_pem};
use wallet::channel::{sandbox, wechat};
use wallet::routing::candidate::{CANDIDATES_MAX, Table};
use wallet::routing::{CandidateName, Group, NewPayment, Outcome, ProductCode, Router, Routes};

use super::Record;
use crate::channel::ROUTES;

/// A body as a channel's answer has it.
const BODY: &[u8] = &[b'x'; 800];

/// Runs every workload for `seconds` and prints it.
pub fn run(seconds: u64, json: bool) -> Result<()> {
    ensure!((1..=600).contains(&seconds), "--seconds takes 1 to 600");
    let each = Duration::from_secs(seconds);
    let table: Table = toml::from_str(ROUTES).context("the built-in routing table")?;
    let mut largest = table.clone();
    for number in largest.candidates.len()..CANDIDATES_MAX {
        let mut more = table.candidates[number % table.candidates.len()].clone();
        more.name = CandidateName::try_new(&format!("MORE_{number}"))?;
        largest.candidates.push(more);
    }
    for (name, table) in [("route_5", table), ("route_64", largest)] {
        let payee = table.candidates.first().context("a table has a candidate")?.payee.clone();
        let (router, product) = (Router::new(Routes::try_new(table)?, Clock::wall()), ProductCode::try_new("STORE_PAYMENT")?);
        // a second of the router's time for ten payments, so that no limit of requests is reached
        let mut now = Clock::wall();
        measure(name, each, json, || {
            now += TimeDelta::milliseconds(100);
            let payment = NewPayment {
                attempt: AttemptId(Uuid::now_v7()),
                method: Method::Native,
                wallet: Some(Wallet::Wechat),
                product: &product,
                amount: Money::cny(1_250),
                payee: &payee,
                group: Group::default(),
                tried: &[],
            };
            let Ok(routed) = router.route(&payment, now) else { return false };
            black_box(routed.decision.to_text());
            router.record(routed.ticket, Outcome::Taken, now);
            true
        });
    }

    let key = private_pem(&generate());
    let rsa = wechat::sign::Signer::try_from_pem("BENCH", &key)?;
    let public = rsa.public_key()?;
    let headers = rsa.headers(BODY, Clock::wall());
    measure("sign_rsa_2048", each, json, || !black_box(rsa.headers(BODY, Clock::wall())).is_empty());
    measure("verify_rsa_2048", each, json, || {
        wechat::sign::Signed::read(&headers, Clock::wall()).is_ok_and(|signed| signed.verify(&public, BODY).is_ok())
    });
    let pkcs8 =
        aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).ok().context("no random numbers")?;
    let ed25519 = sandbox::sign::Signer::try_from_pkcs8("bench", pkcs8.as_ref())?;
    let verifier = sandbox::sign::Verifier::new("bench", &ed25519.public_key());
    let headers = ed25519.headers("POST", "/x", &ed25519.nonce(), BODY, Clock::wall());
    measure("sign_ed25519", each, json, || !black_box(ed25519.headers("POST", "/x", &ed25519.nonce(), BODY, Clock::wall())).is_empty());
    measure("verify_ed25519", each, json, || verifier.verify("POST", "/x", &headers, BODY, Clock::wall()).is_ok());
    Ok(())
}

fn measure(workload: &'static str, each: Duration, json: bool, mut once: impl FnMut() -> bool) {
    // caches and allocators settle first
    (0..100).for_each(|_| _ = once());
    let (mut took, mut errors, started) = (Vec::new(), 0, Instant::now());
    while started.elapsed() < each {
        let begun = Instant::now();
        if once() { took.push(begun.elapsed()) } else { errors += 1 }
    }
    Record::new(workload, 1, took, started.elapsed(), errors).print(json);
}
