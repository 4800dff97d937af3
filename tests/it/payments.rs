//! Orders, payments and refunds through the public API, with the simulator as the channel.

use serde_json::{Value, json};
use tests::{Caller, Confirm, PAY_LIMIT, TestApp, eventually, key, text};

/// Fee of 38 basis points, half a fen up.
const ORDER: &str = "100.00";
const NET: &str = "99.62";

#[tokio::test]
async fn a_payment_makes_its_order_paid_and_the_net_amount_pending() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    app.pay(&order).await;
    assert_eq!(app.wallet(&shop).await, (NET.into(), "0.00".into(), "0.00".into()));

    let shown = bill(&app, &shop.owner, &shop.merchant, "PENDING").await;
    let line = &shown[0];
    assert_eq!(
        (&line["amount"]["amount"], &line["balanceAfter"]["amount"], &line["kind"], &line["seq"]),
        (&json!(NET), &json!(NET), &json!("PAYMENT"), &json!("1"))
    );
    assert_eq!(shown.as_array().unwrap().len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_payment_without_notice_is_resolved_by_a_query_and_its_late_notice_changes_nothing() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    app.pay_with(&order, Confirm { notices: 1, delay_ms: 8_000 }).await;
    let notices: i64 = sqlx::query_scalar("SELECT count(*) FROM notices").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(notices, 0, "the query was first");
    eventually(PAY_LIMIT, "the late notice is dealt with", async || {
        let outcome: Option<Option<String>> =
            sqlx::query_scalar("SELECT outcome FROM notices WHERE processed_at IS NOT NULL").fetch_optional(app.owner_db()).await.unwrap();
        outcome.flatten()
    })
    .await;
    assert_eq!(app.wallet(&shop).await.0, NET);
    app.finish().await;
}

#[tokio::test]
async fn a_declined_payment_leaves_the_order_to_be_paid_again() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    let started = app.start_payment(&order).await;
    app.decline(&started, "INSUFFICIENT_FUNDS").await;
    eventually(PAY_LIMIT, "the attempt failed", async || {
        let query = "query($ticket: String!) { cashier(ticket: $ticket) { status attempt { status errorCode } } }";
        let shown = app.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await;
        (shown["attempt"]["status"] == "FAILED").then_some(())
    })
    .await;
    app.pay(&order).await;
    assert_eq!(app.wallet(&shop).await.0, NET);
    app.finish().await;
}

#[tokio::test]
async fn a_partial_refund_gives_back_its_share_of_the_fee_and_the_rest_stays() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    app.pay(&order).await;
    let refund = app.done(&shop.owner, "refundRequest", refund_input(&order.id, "30.00"), "refund { id status amount { amount } }").await;
    assert_eq!(refund["refund"]["amount"]["amount"], "30.00");
    let shown = until_refund(&app, &shop.owner, &order.id, 0).await;
    assert_eq!((&shown["status"], &shown["refunded"]["amount"]), (&json!("PAID"), &json!("30.00")));
    // 99.62 − (30.00 − 0.11): the fee of what remains is 0.27
    assert_eq!(app.wallet(&shop).await.0, "69.73");

    let too_much = app.mutate(&shop.owner, "refundRequest", refund_input(&order.id, "70.01"), "refund { id }").await;
    assert_eq!(too_much.field("refundRequest")["userErrors"][0]["field"], "amount", "{}", too_much.text);
    let rest = app.done(&shop.owner, "refundRequest", refund_input(&order.id, "70.00"), "refund { id }").await;
    assert!(rest["refund"]["id"].is_string());
    until_refund(&app, &shop.owner, &order.id, 1).await;
    assert_eq!(app.wallet(&shop).await.0, "0.00");
    app.finish().await;
}

#[tokio::test]
async fn two_phones_on_one_order_share_one_attempt() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    let (first, second) = (app.start_payment(&order).await, app.start_payment(&order).await);
    assert_eq!(first.attempt, second.attempt);
    app.confirm(&first, Confirm::default()).await;
    app.until_order(&order, "PAID").await;
    let input = json!({ "ticket": order.ticket, "idempotencyKey": key() });
    let paid = app.mutate(&Caller::nobody(), "paymentStart", input, "attempt { id }").await;
    assert!(paid.codes()[0].starts_with("STATE_"), "{}", paid.text);
    assert_eq!(app.wallet(&shop).await.0, NET);
    app.finish().await;
}

#[tokio::test]
async fn a_closed_order_cannot_be_paid() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, ORDER).await;
    app.done(&shop.owner, "orderClose", json!({ "orderId": order.id, "idempotencyKey": key() }), "order { status }").await;
    let input = json!({ "ticket": order.ticket, "idempotencyKey": key() });
    let answer = app.mutate(&Caller::nobody(), "paymentStart", input, "attempt { id }").await;
    assert!(answer.codes()[0].starts_with("STATE_"), "{}", answer.text);
    app.finish().await;
}

#[tokio::test]
async fn an_order_tells_its_owner_everything_that_happened() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    app.pay(&order).await;
    let query = "query($id: ID!) { node(id: $id) { ... on Order { subject amount { amount currency } refunded { amount } status
        store { name } paidAt attempts { status channel errorCode succeededAt } refunds { id } } } }";
    let mut shown = app.read(&shop.owner, "node", query, json!({ "id": order.id })).await;
    for at in ["/paidAt", "/attempts/0/succeededAt"] {
        let time = shown.pointer_mut(at).unwrap();
        assert!(time.is_string());
        *time = json!("[time]");
    }
    insta::assert_json_snapshot!(shown, @r#"
    {
      "amount": {
        "amount": "12.50",
        "currency": "CNY"
      },
      "attempts": [
        {
          "channel": "SANDBOX",
          "errorCode": null,
          "status": "SUCCEEDED",
          "succeededAt": "[time]"
        }
      ],
      "paidAt": "[time]",
      "refunded": {
        "amount": "0.00"
      },
      "refunds": [],
      "status": "PAID",
      "store": {
        "name": "城西店"
      },
      "subject": "早餐"
    }
    "#);
    app.finish().await;
}

#[tokio::test]
async fn lists_page_through_everything_once() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let mut made: Vec<String> = Vec::new();
    for n in 1..=7 {
        made.push(app.order(&shop, &format!("{n}.00")).await.id);
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let query = "query($id: ID!, $after: String) { node(id: $id) { ... on Merchant {
            orders(first: 3, after: $after) { nodes { id } edges { cursor node { id } } pageInfo { hasNextPage endCursor } } } } }";
        let page = app.read(&shop.owner, "node", query, json!({ "id": shop.merchant, "after": after })).await;
        let orders = &page["orders"];
        seen.extend(orders["nodes"].as_array().unwrap().iter().map(|n| text(&n["id"])));
        if orders["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = orders["pageInfo"]["endCursor"].clone();
    }
    made.reverse();
    assert_eq!(seen, made, "newest first, each once");
    app.finish().await;
}

fn refund_input(order: &str, amount: &str) -> Value {
    json!({ "orderId": order, "amount": amount, "reason": "商品缺货", "idempotencyKey": key() })
}

/// Waits until the nth refund has succeeded; the order then.
async fn until_refund(app: &TestApp, owner: &Caller, order: &str, nth: usize) -> Value {
    eventually(PAY_LIMIT, "the refund succeeds", async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Order { status refunded { amount } refunds { status errorCode } } } }";
        let shown = app.read(owner, "node", query, json!({ "id": order })).await;
        let all = shown["refunds"].as_array()?;
        (all.len() > nth && all.iter().all(|r| r["status"] == "SUCCEEDED")).then_some(shown)
    })
    .await
}

/// All lines of one account of the wallet, newest first.
async fn bill(app: &TestApp, owner: &Caller, merchant: &str, account: &str) -> Value {
    let query = "query($id: ID!, $account: WalletAccount!) { node(id: $id) { ... on Merchant { wallet {
        billLines(account: $account, first: 100) { nodes { seq kind amount { amount } balanceAfter { amount } businessDate accountingDate storeId } } } } } }";
    let node = app.read(owner, "node", query, json!({ "id": merchant, "account": account })).await;
    node["wallet"]["billLines"]["nodes"].clone()
}
