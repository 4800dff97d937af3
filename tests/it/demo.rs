//! The seeded demo, as `make run` runs it: `haodian seed` against a running system.

use std::time::Duration;

use tests::{TestApp, eventually};

/// It takes some half a minute on two cores, most of it reading papers and waiting for the query of a silent payment.
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn the_demo_runs_through_and_its_board_equals_the_recount() {
    let app = TestApp::start().await;
    let mut seed = app.command("seed");
    let run = tokio::task::spawn_blocking(move || seed.output());
    let output = tokio::time::timeout(LIMIT, run).await.expect("the demo ends in time").unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for promised in ["200 笔支付完成", "部分退款", "T+1 结算", "提现到账", "逐分一致", "demo done in"] {
        assert!(text.contains(promised), "{promised} is missing in\n{text}");
    }
    eventually(Duration::from_secs(30), "both copies of the notice of one payment came", async || {
        let twice: i64 = sqlx::query_scalar("SELECT count(*) FROM notices WHERE deliveries > 1").fetch_one(app.owner_db()).await.unwrap();
        (twice >= 1).then_some(())
    })
    .await;
    app.finish().await;
}
