//! A proof on its way: asked for over the API, saved, and checked by `haodian verify`, which has nothing of ours but the file.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Folder, Shop, TestApp, eventually, haodian_bin, text};
use wallet::base::clock::{Clock, shanghai};

const LIMIT: Duration = Duration::from_secs(60);

const PROOFS: &str = "query($merchant: ID!, $reference: UUID!) {
    entryProofs(merchantId: $merchant, account: PENDING, kind: PAYMENT, referenceId: $reference) { state message day seal file } }";

#[tokio::test]
async fn a_proof_from_the_api_convinces_a_program_that_has_nothing_but_the_file() {
    let app = TestApp::start().await;
    play(&app, 3).await;
    let first = app.today().await;
    let shop = app.signed_merchant().await;
    for amount in ["10.00", "20.00"] {
        app.pay(&app.order(&shop, amount).await).await;
    }
    let bill = "query($id: ID!) { node(id: $id) { ... on Merchant { wallet { billLines(account: PENDING, first: 10) {
        nodes { kind referenceId amount { amount } } } } } } }";
    let node = app.read(&shop.owner, "node", bill, json!({ "id": shop.merchant })).await;
    let line = node["wallet"]["billLines"]["nodes"][0].clone();
    let waiting = proofs(&app, &shop, &line).await;
    assert_eq!(waiting["state"], "NOT_SEALED_YET", "{waiting}");
    assert!(text(&waiting["message"]).starts_with(&first) && waiting["file"].is_null(), "{waiting}");

    play(&app, 2).await;
    let proof = eventually(LIMIT, "the day is sealed", async || {
        let proof = proofs(&app, &shop, &line).await;
        (proof["state"] == "SEALED").then_some(proof)
    })
    .await;
    assert_eq!(proof["day"], first, "{proof}");
    let seal = text(&proof["seal"]);

    let folder = Folder::new();
    let path = folder.path().join("proof.json");
    std::fs::write(&path, text(&proof["file"])).unwrap();
    let (code, said) = verify(&path, &["--seal", &seal]);
    assert_eq!(code, Some(0), "{said}");
    let amount = text(&line["amount"]["amount"]);
    assert!(said.starts_with("proven: entry ") && said.contains(&format!("PAYMENT of -{amount} CNY booked on {first}")), "{said}");
    assert!(said.ends_with("; that is the seal given\n") && said.lines().count() == 1, "{said}");
    let (code, said) = verify(&path, &[]);
    assert!(code == Some(0) && said.contains("only shows that the file agrees with itself"), "{said}");
    let (code, said) = verify(&path, &["--seal", &"0".repeat(64)]);
    assert!(code == Some(1) && said.contains("another seal") && said.lines().count() == 1, "{said}");
    assert!(verify(&path, &["--seal", "abc"]).0 != Some(0));

    // a second day, and what links the two
    app.pay(&app.order(&shop, "30.00").await).await;
    play(&app, 1).await;
    let seals = eventually(LIMIT, "two days are sealed", async || {
        let query = "{ daySeals(first: 5) { nodes { day size root seal sealedAt } } }";
        let seals = app.read(&shop.owner, "daySeals", query, json!({})).await["nodes"].clone();
        (seals.as_array()?.len() >= 2).then_some(seals)
    })
    .await;
    assert_eq!((&seals[1]["day"], &seals[1]["seal"]), (&json!(first), &json!(seal)), "{seals}");
    let query = "query($from: Date!, $to: Date!) { consistencyProof(from: $from, to: $to) { state day seal file } }";
    let stranger = app.stranger().await;
    let days = json!({ "from": first, "to": seals[0]["day"] });
    let link = app.read(&stranger, "consistencyProof", query, days).await;
    assert_eq!(link["seal"], seals[0]["seal"], "{link}");
    std::fs::write(&path, text(&link["file"])).unwrap();
    let (code, said) = verify(&path, &["--seal", &seal, "--seal", &text(&seals[0]["seal"])]);
    assert!(code == Some(0) && said.contains(&first), "{said}");

    app.play_today().await;
    app.finish().await;
}

async fn proofs(app: &TestApp, shop: &Shop, line: &Value) -> Value {
    let variables = json!({ "merchant": shop.merchant, "reference": line["referenceId"] });
    let proofs = app.read(&shop.owner, "entryProofs", PROOFS, variables).await;
    assert_eq!(proofs.as_array().map(Vec::len), Some(1), "{proofs}");
    proofs[0].clone()
}

/// Plays ten in the morning, `days` days ago: what shall be sealed has to be over in reality, too.
async fn play(app: &TestApp, days: i64) {
    let now = Clock::wall().with_timezone(&shanghai());
    let ten = (now.date_naive() - TimeDelta::days(days)).and_hms_opt(10, 0, 0).unwrap();
    let offset_ms = (ten - now.naive_local()).num_milliseconds();
    let operator = app.operator().await;
    app.done(&operator, "sandboxClockSet", json!({ "offsetMs": offset_ms.to_string() }), "sandbox { offsetMs }").await;
    let url = format!("{}/control/clock", app.sim_url());
    let answer = app.http().post(url).json(&json!({ "offset_ms": offset_ms })).send().await.unwrap();
    assert!(answer.status().is_success(), "control/clock: {}", answer.status());
    eventually(LIMIT, "the server plays the day", async || (app.today().await == ten.date().to_string()).then_some(())).await;
}

/// Runs it where it can find nothing: no environment, no configuration that can be read.
fn verify(file: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(haodian_bin());
    command.env_clear().env("HAODIAN_CONFIG", "/nonexistent/haodian.toml").env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let Output { status, stdout, stderr } = command.arg("verify").arg(file).args(more).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn what_is_no_proof_is_refused_in_one_sentence_with_exit_code_1() {
    let folder = Folder::new();
    let path = folder.path().join("proof.json");
    for bytes in [&b""[..], b"{}", b"\xff\xfe", &[b'['; 100_000], &vec![b' '; 3 << 20]] {
        std::fs::write(&path, bytes).unwrap();
        let (code, said) = verify(&path, &[]);
        assert!(code == Some(1) && said.starts_with("haodian: ") && said.lines().count() == 1 && said.len() < 500, "{code:?}: {said}");
    }
    let (code, said) = verify(&folder.path().join("missing"), &[]);
    assert!(code == Some(1) && said.contains("could not read"), "{said}");
    let (code, said) = verify(Path::new("/dev/zero"), &[]);
    assert!(code == Some(1) && said.contains("larger"), "an endless file: {said}");
}
