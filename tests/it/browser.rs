//! The two pages in Debian's Chromium, against the running system.

use std::process::Command;

use serde_json::{Value, json};
use tests::{Caller, TestApp, repository, text};

#[tokio::test]
async fn a_customer_pays_in_the_browser_and_sees_the_order_turn_paid_by_itself() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    drive("cashier.mjs", &[&order.cashier_url, "--amount=¥12.50"]).await;
    app.until_order(&order, "PAID").await;
    assert_eq!(app.wallet(&shop).await.0, "12.45");
    app.finish().await;
}

#[tokio::test]
async fn a_reviewer_decides_a_task_in_the_browser() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let application = app.application_in_review(&owner).await;
    drive("review.mjs", &[app.url(), "dev:reviewer:rui", "holder"]).await;
    let deed = document(&app, &owner, &application).await;
    assert_ne!(deed["status"], "IN_REVIEW", "{deed}");
    app.finish().await;
}

/// Runs one of the browser scripts, which exits with an error when the page does not do what it should.
async fn drive(script: &str, arguments: &[&str]) {
    let path = repository().join("api/web/e2e").join(script);
    let mut command = Command::new("node");
    command.arg(&path).args(arguments).current_dir(repository().join("api/web"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("node is there");
    assert!(
        output.status.success(),
        "{script}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn document(app: &TestApp, owner: &Caller, application: &str) -> Value {
    let shown = app.application(owner, application).await;
    shown["documents"].as_array().unwrap().iter().find(|d| d["kind"] == "DEED_NEW").unwrap().clone()
}
