//! The pages in Debian's Chromium, against the running system.

use std::process::Command;

use tests::papers::{self, Paper};
use tests::{TestApp, repository};

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
async fn a_customer_changes_the_way_to_pay_and_pays_by_code_once() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let (order, other) = (app.order(&shop, "12.50").await, app.order(&shop, "12.50").await);
    drive("ways.mjs", &[&order.cashier_url, &other.cashier_url, app.sim_url()]).await;
    assert_eq!(app.wallet(&shop).await.0, "24.90");
    app.finish().await;
}

#[tokio::test]
async fn a_reviewer_decides_a_task_in_the_browser() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    // A legible card beside another name: nothing a machine should decide, and every field has its place on the image.
    let typed = |paper: &Paper| if paper.kind == "ID_FRONT" { paper.printed_but("name", "欧阳天") } else { paper.printed() };
    let application = app.apply(&owner, papers::clean(), typed).await;
    let read = app.papers_read(&owner, &application).await;
    assert_eq!(read["status"], "IN_REVIEW", "{read}");
    drive("review.mjs", &[app.url(), "dev:reviewer:rui", "name"]).await;
    let decided = app.application(&owner, &application).await;
    assert_eq!(decided["status"], "NEEDS_CORRECTION", "{decided}");
    app.finish().await;
}

#[tokio::test]
async fn a_developer_reads_the_schema_in_graphiql_without_the_internet() {
    let app = TestApp::start().await;
    drive("graphiql.mjs", &[app.url()]).await;
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
