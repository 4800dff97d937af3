//! From pending to the merchant's bank account: T+1 release, withdrawals that the bank pays and refuses, the daily board.

use serde_json::{Value, json};
use tests::{Answer, Caller, PAY_LIMIT, Shop, TestApp, database, eventually, key, text};

#[tokio::test]
async fn yesterdays_money_is_released_and_todays_is_not() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    app.pay(&app.order(&shop, "100.00").await).await;
    app.play_today().await;
    app.pay(&app.order(&shop, "50.00").await).await;

    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(&shop).await.1 == "99.62").then_some(())).await;
    assert_eq!(app.wallet(&shop).await, ("49.81".into(), "99.62".into(), "0.00".into()));

    // A second run finds nothing to do.
    let again = app.done(&operator, "settlementRun", Value::Null, "released").await;
    assert_eq!(again["released"], 0);
    assert_eq!(app.wallet(&shop).await, ("49.81".into(), "99.62".into(), "0.00".into()));
    app.finish().await;
}

#[tokio::test]
async fn a_refund_after_the_release_is_taken_from_what_is_available() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    released(&app, &shop, "99.62").await;
    let input = json!({ "orderId": order.id, "amount": "100.00", "reason": "退货", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "0.00".into(), "0.00".into()));
    app.finish().await;
}

#[tokio::test]
async fn a_withdrawal_holds_the_money_until_the_bank_has_paid() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    app.pay(&app.order(&shop, "100.00").await).await;
    released(&app, &shop, "99.62").await;

    app.stop_work().await;
    let requested = app
        .done(&shop.owner, "withdrawalRequest", withdrawal(&shop, "40.00"), "withdrawal { id status accountTail amount { amount } }")
        .await;
    let asked = &requested["withdrawal"];
    assert_eq!((&asked["status"], &asked["accountTail"], &asked["amount"]["amount"]), (&json!("HELD"), &json!("3456"), &json!("40.00")));
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "59.62".into(), "40.00".into()));
    app.start_work().await;
    let paid = until_final(&app, &shop.owner, &text(&asked["id"])).await;
    assert_eq!(paid["status"], "SUCCEEDED");
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "59.62".into(), "0.00".into()));

    let too_much = app.mutate(&shop.owner, "withdrawalRequest", withdrawal(&shop, "59.63"), "withdrawal { id }").await;
    refused(&too_much, "withdrawalRequest", "amount");
    app.finish().await;
}

#[tokio::test]
async fn a_withdrawal_that_the_bank_refuses_gives_the_money_back() {
    let app = TestApp::start().await;
    app.play_yesterday().await;
    let owner = app.owner().await;
    let shop = app.signed_merchant_of(owner, "好店销户", "6222020200000001").await;
    app.pay(&app.order(&shop, "100.00").await).await;
    released(&app, &shop, "99.62").await;
    let requested = app.done(&shop.owner, "withdrawalRequest", withdrawal(&shop, "99.62"), "withdrawal { id }").await;
    let ended = until_final(&app, &shop.owner, &text(&requested["withdrawal"]["id"])).await;
    assert_eq!((&ended["status"], &ended["errorCode"]), (&json!("FAILED"), &json!("ACCOUNT_CLOSED")));
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "99.62".into(), "0.00".into()));
    app.finish().await;
}

#[tokio::test]
async fn a_withdrawal_is_paid_by_the_bank_it_was_requested_through_and_what_comes_back_is_the_merchants_again() {
    let app = TestApp::start_on(database().await, &[("HAODIAN_PAYOUT__CHANNEL", "bank")]).await;
    let shop = app.signed_merchant_yesterday().await;
    app.pay(&app.order(&shop, "100.00").await).await;
    released(&app, &shop, "99.62").await;
    let requested = app.done(&shop.owner, "withdrawalRequest", withdrawal(&shop, "40.00"), "withdrawal { id }").await;
    let paid = until_final(&app, &shop.owner, &text(&requested["withdrawal"]["id"])).await;
    assert_eq!(paid["status"], "SUCCEEDED");

    // 退票: told after it had succeeded
    let back = "about = \"退票\"\nseed = 1\n[party.directbank.business]\npayout_return = 10000\nafter_ms = [300, 300]\n";
    app.http().post(format!("{}/control/profile", app.sim_url())).body(back).send().await.unwrap().error_for_status().unwrap();
    let requested = app.done(&shop.owner, "withdrawalRequest", withdrawal(&shop, "59.62"), "withdrawal { id }").await;
    let id = text(&requested["withdrawal"]["id"]);
    eventually(PAY_LIMIT, "the money is the merchant's again", async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Withdrawal { status } } }";
        (app.read(&shop.owner, "node", query, json!({ "id": id })).await["status"] == "CREDITED_BACK").then_some(())
    })
    .await;
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "59.62".into(), "0.00".into()));
    let cash: Vec<(String, i64)> =
        sqlx::query_as("SELECT subject, balance_minor FROM accounts WHERE kind = 'BANK_CASH'").fetch_all(app.owner_db()).await.unwrap();
    assert_eq!(cash, [("DIRECT_BANK".to_owned(), -4_000)], "what each bank has paid stands apart");
    app.finish().await;
}

#[tokio::test]
async fn the_daily_board_equals_its_recount_from_entries() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    for (store, amount) in [(0, "100.00"), (0, "0.01"), (0, "33.33")] {
        app.pay(&app.order_at(&shop, store, amount).await).await;
    }
    // Given back in full on the same day: it does not make the second store active.
    let voided = app.order_at(&shop, 1, "10.00").await;
    app.pay(&voided).await;
    let input = json!({ "orderId": voided.id, "amount": "10.00", "reason": "误付", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    app.drained().await;

    let day = app.today().await;
    let figures = "signedStores activeStores activityRate flow { amount } count refunded { amount } refundCount fee { amount }
        averageTicket { amount } averagePerActiveStore { amount }";
    let query =
        format!("query($day: Date!, $id: ID) {{ dailyBoard(day: $day, merchantId: $id) {{ day {figures} recount {{ {figures} }} }} }}");
    let operator = app.operator().await;
    for (caller, merchant) in [(&shop.owner, json!(shop.merchant)), (&operator, Value::Null)] {
        let mut board = app.read(caller, "dailyBoard", &query, json!({ "day": day, "id": merchant })).await;
        assert_eq!(board["day"], json!(day));
        let recount = board["recount"].take();
        board.as_object_mut().unwrap().retain(|name, _| name != "day" && name != "recount");
        assert_eq!(board, recount, "as {}", caller.name);
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(board, @r#"
            {
              "activeStores": 1,
              "activityRate": "50.00",
              "averagePerActiveStore": {
                "amount": "143.34"
              },
              "averageTicket": {
                "amount": "35.84"
              },
              "count": 4,
              "fee": {
                "amount": "0.51"
              },
              "flow": {
                "amount": "143.34"
              },
              "refundCount": 1,
              "refunded": {
                "amount": "10.00"
              },
              "signedStores": 2
            }
            "#);
        }
    }
    app.finish().await;
}

fn withdrawal(shop: &Shop, amount: &str) -> Value {
    json!({ "merchantId": shop.merchant, "amount": amount, "currency": "CNY", "idempotencyKey": key() })
}

fn refused(answer: &Answer, name: &str, field: &str) {
    assert_eq!(answer.field(name)["userErrors"][0]["field"], field, "{}", answer.text);
}

/// Turns the day, and waits until this much is available.
async fn released(app: &TestApp, shop: &Shop, available: &str) {
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "the money is released", async || (app.wallet(shop).await.1 == available).then_some(())).await;
}

async fn until_final(app: &TestApp, owner: &Caller, withdrawal: &str) -> Value {
    eventually(PAY_LIMIT, "the bank has decided", async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Withdrawal { status errorCode resolvedAt } } }";
        let shown = app.read(owner, "node", query, json!({ "id": withdrawal })).await;
        shown["resolvedAt"].is_string().then_some(shown)
    })
    .await
}
