//! Periods through the public API, closed by the worker.

use serde_json::json;
use tests::{PAY_LIMIT, TestApp, eventually, key};

const PERIODS: &str = "query($id: ID!, $day: Date!) { node(id: $id) { ... on Merchant {
    wallet { available { amount } billLines(account: PENDING, first: 10) { nodes { accountingDate businessDate restatesDay } } }
    periods {
        closedThrough
        closedDays(first: 5) { nodes { day fromDay stripe postings debits { amount currency } closedAt } pageInfo { hasNextPage } }
        closedMonths(first: 5) { nodes { month fromMonth trialBalance { account opening { amount } closing { amount } } } }
        balancesOn(day: $day) { pending { amount } available { amount } inPayout { amount } refunding { amount } }
        balancesAsOf(effectiveDate: $day) { pending { amount } available { amount } }
        before: balancesAsOf(effectiveDate: $day, knownAt: \"2020-01-01T00:00:00Z\") { pending { amount } }
    } } } }";

#[tokio::test]
async fn the_worker_closes_yesterday_and_the_merchant_sees_it() {
    let app = TestApp::start_on(tests::database().await, &[("HAODIAN_PERIOD__DAY_CLOSE_AFTER_MIN", "0")]).await;
    let shop = app.signed_merchant_yesterday().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    let yesterday = app.today().await;
    app.drained().await;
    app.stop_work().await;
    app.play_today().await;
    let today = app.today().await;
    app.start_work().await;
    let shown = eventually(PAY_LIMIT, "yesterday is closed and settled", async || {
        let node = app.read(&shop.owner, "node", PERIODS, json!({ "id": shop.merchant, "day": yesterday })).await;
        (node["periods"]["closedThrough"] == *yesterday && node["wallet"]["available"]["amount"] == "99.62").then_some(node)
    })
    .await;
    let mut periods = shown["periods"].clone();
    let days = &mut periods["closedDays"];
    assert_eq!(days["pageInfo"]["hasNextPage"], false);
    let closed = &mut days["nodes"][0];
    assert!(closed["closedAt"].take().is_string());
    assert_eq!(
        *closed,
        json!({ "day": yesterday, "fromDay": yesterday, "stripe": 0, "postings": 1, "closedAt": null,
                "debits": [{ "amount": "100.00", "currency": "CNY" }] })
    );
    assert_eq!(periods["closedMonths"]["nodes"], json!([]));
    // The release is booked today and about yesterday: it restates yesterday, whose closed balance stays.
    assert_eq!(periods["balancesOn"]["pending"]["amount"], "99.62");
    let as_of = &periods["balancesAsOf"];
    assert_eq!((&as_of["pending"]["amount"], &as_of["available"]["amount"]), (&json!("0.00"), &json!("99.62")));
    assert_eq!(periods["before"]["pending"]["amount"], "0.00");
    assert_eq!(
        shown["wallet"]["billLines"]["nodes"],
        json!([
            { "accountingDate": today, "businessDate": yesterday, "restatesDay": yesterday },
            { "accountingDate": yesterday, "businessDate": yesterday, "restatesDay": null },
        ])
    );
    app.finish().await;
}

#[tokio::test]
async fn an_operator_closes_a_month_that_is_over() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    app.play_today().await;
    let operator = app.operator().await;
    let month = |month: &str| json!({ "merchantId": shop.merchant, "month": month, "idempotencyKey": key() });
    for (text, code) in
        [("2026-13", "INPUT_INVALID"), ("November", "INPUT_INVALID"), ("9998-12", "STATE_NOT_OVER"), ("2020-01", "STATE_NOT_OPEN")]
    {
        let answer = app.mutate(&operator, "monthClose", month(text), "months { month }").await;
        assert_eq!(answer.codes(), [code], "{text}: {}", answer.text);
    }
    // The merchant came long ago, as far as its book knows.
    sqlx::query("UPDATE books SET created_at = created_at - interval '70 days'").execute(app.owner_db()).await.unwrap();
    let last_month = last_month(&app.today().await);
    let input = month(&last_month);
    let selection = "months { month fromMonth stripe trialBalance { account } }";
    let closed = app.done(&operator, "monthClose", input.clone(), selection).await;
    assert_eq!(closed["months"][0]["month"], *last_month);
    assert_eq!(app.done(&operator, "monthClose", input, selection).await, closed, "the same key gives the same answer");
    let again = app.mutate(&operator, "monthClose", month(&last_month), selection).await;
    assert_eq!(again.codes(), ["STATE_CLOSED"], "{}", again.text);
    app.finish().await;
}

/// `2026-10` for `2026-11-21`.
fn last_month(day: &str) -> String {
    let day: chrono::NaiveDate = day.parse().unwrap();
    wallet::period::Month::of(day).previous().to_string()
}
