//! From a reviewer's correction to the next models: the labelled set leaves by the command line, two versions are compared on it, two operators
//! promote one, the running worker follows between two papers, and one operator brings the old one back.

use serde_json::{Value, json};
use tests::papers::{self, Paper, READ_LIMIT};
use tests::{Caller, TestApp, eventually, key, text};

/// Runs a command of the binary that must succeed; what it printed.
async fn ran(app: &TestApp, name: &str, arguments: &[&str]) -> String {
    let mut command = app.command(name);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the worker has said that it loaded this version, so many times.
fn loaded(app: &TestApp, version: &str, times: usize) -> bool {
    let log = app.logs().into_iter().find(|(name, _)| *name == "work").unwrap().1;
    log.lines().filter(|line| line.contains("the models are loaded") && line.contains(version)).count() >= times
}

async fn another_paper(app: &TestApp, owner: &Caller, application: &str) {
    let clean = papers::clean().iter().find(|p| p.kind == "ID_FRONT").unwrap();
    app.attach(owner, application, clean, &clean.printed_but("name", "欧阳天")).await;
    app.papers_read(owner, application).await;
}

#[tokio::test]
async fn a_correction_becomes_a_set_a_comparison_a_promotion_and_is_rolled_back() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let application = app.apply(&owner, papers::demo(), Paper::mistyped).await;
    app.papers_read(&owner, &application).await;
    let (ops, second) = (app.operator().await, app.login("dev:operator:second").await);

    // a reviewer says what stands on the deed
    let reviewer = app.reviewer().await;
    let queue = app.read(&reviewer, "reviewQueue", "{ reviewQueue(first: 1) { nodes { id risk eyes opinions } } }", json!({})).await;
    let task = text(&queue["nodes"][0]["id"]);
    app.done(&reviewer, "reviewClaim", json!({ "taskId": task }), "task { id }").await;
    app.done(&reviewer, "reviewRenew", json!({ "taskId": task }), "task { leaseUntil }").await;
    let values = json!([{ "field": "holder", "value": "欧阳某某" }, { "field": "other", "value": "" }]);
    let input = json!({ "taskId": task, "kind": null, "values": values, "idempotencyKey": key() });
    let kept = app.done(&reviewer, "reviewCorrect", input, "badCase { id kind saidKind fields }").await;
    assert_eq!(kept["badCase"]["kind"], "DEED_NEW");
    app.keep_secret("欧阳某某");

    // the set leaves by an operator's name alone, and the benchmark reads it
    let set = app.data_dir().join("set");
    let folder = set.display().to_string();
    let mut refused = app.command("badcases");
    refused.args(["export", &folder, "--by", "dev:rui"]);
    assert!(!tokio::task::spawn_blocking(move || refused.status()).await.unwrap().unwrap().success());
    assert!(!set.exists());
    ran(&app, "badcases", &["export", &folder, "--by", "dev:ops"]).await;
    let figures = ran(&app, "bench", &["documents", "--folder", &folder, "--count", "1", "--callers", "1", "--json"]).await;
    let figures: Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["conditions"]["badcase"]["pages"], 1, "{figures}");

    // the same models under a manifest of its own: as good, and another version
    let manifest = app.data_dir().join("candidate.toml");
    let built_in = std::fs::read_to_string(tests::repository().join("models/manifest.toml")).unwrap();
    std::fs::write(&manifest, format!("{built_in}\n# a candidate\n")).unwrap();
    let manifest = manifest.display().to_string();
    let candidate = ran(&app, "models", &["id", &manifest]).await.trim().to_owned();
    let base = ran(&app, "models", &["id"]).await.trim().to_owned();
    let run = ran(&app, "models", &["compare", &folder, "--candidate", &manifest, "--by", "dev:ops"]).await;
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!((&run["candidate"], &run["baseline"], &run["not_worse"]), (&json!(candidate), &json!(base), &json!(true)), "{run}");
    assert!(loaded(&app, &base, 1), "the worker reads with what it was built with");

    // two people
    let input = json!({ "runId": run["run"], "idempotencyKey": key() });
    let proposed = app.done(&ops, "modelPromotionPropose", input, "promotion { id status }").await;
    let decide = |by: &str| json!({ "promotionId": proposed["promotion"]["id"], "approve": true, "idempotencyKey": by });
    let alone = app.mutate(&ops, "modelPromotionDecide", decide(&key()), "promotion { id }").await;
    assert_eq!(alone.codes(), ["STATE_SECOND_PERSON_NEEDED"]);
    app.done(&second, "modelPromotionDecide", decide(&key()), "promotion { status }").await;

    // the worker follows with its next paper, and back again
    another_paper(&app, &owner, &application).await;
    eventually(READ_LIMIT, "the worker reads with the promoted version", async || loaded(&app, &candidate, 1).then_some(())).await;
    app.done(&ops, "modelRollback", json!({ "reason": "演练", "idempotencyKey": key() }), "promotion { kind replaces }").await;
    another_paper(&app, &owner, &application).await;
    eventually(READ_LIMIT, "the worker reads with the old version", async || loaded(&app, &base, 2).then_some(())).await;
    app.finish().await;
}
