//! Lost answers: the same key and the same request give the same answer, byte for byte; the same key and another request are refused.

use serde_json::{Value, json};
use tests::{Answer, Caller, TestApp, key};

/// One money mutation, and a second request that differs from it in one value.
struct Command {
    name: &'static str,
    caller: Caller,
    input: Value,
    other: Value,
    selection: &'static str,
}

#[tokio::test]
async fn a_replayed_command_gives_the_same_answer_and_changes_nothing() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    let paid = app.order(&shop, "100.00").await;
    app.pay(&paid).await;
    app.play_today().await;
    let (open, closing) = (app.order(&shop, "20.00").await, app.order(&shop, "30.00").await);
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    app.drained().await;
    // Nothing but the commands below may change anything.
    app.stop_work().await;

    let owner = || shop.owner.clone();
    let commands = [
        Command {
            name: "orderCreate",
            caller: owner(),
            input: json!({ "storeId": shop.stores[0], "amount": "1.00", "currency": "CNY", "subject": "豆浆", "idempotencyKey": key() }),
            other: json!({ "amount": "1.01" }),
            selection: "order { id subject amount { amount } refunded { amount } status createdAt expiresAt cashierUrl ticket }",
        },
        Command {
            name: "paymentStart",
            caller: Caller::nobody(),
            input: json!({ "ticket": open.ticket, "idempotencyKey": key() }),
            other: json!({ "ticket": paid.ticket }),
            selection: "attempt { id status payUrl sentAt }",
        },
        Command {
            name: "orderClose",
            caller: owner(),
            input: json!({ "orderId": closing.id, "idempotencyKey": key() }),
            other: json!({ "orderId": open.id }),
            selection: "order { id status }",
        },
        Command {
            name: "refundRequest",
            caller: owner(),
            input: json!({ "orderId": paid.id, "amount": "10.00", "reason": "退货", "idempotencyKey": key() }),
            other: json!({ "amount": "10.01" }),
            selection: "refund { id status amount { amount } reason createdAt }",
        },
        Command {
            name: "withdrawalRequest",
            caller: owner(),
            input: json!({ "merchantId": shop.merchant, "amount": "5.00", "currency": "CNY", "idempotencyKey": key() }),
            other: json!({ "amount": "5.01" }),
            selection: "withdrawal { id status amount { amount } accountTail createdAt }",
        },
    ];
    for command in &commands {
        let first = send(&app, command, &command.input).await;
        assert_eq!(first.codes(), Vec::<String>::new(), "{}: {}", command.name, first.text);
        let after = app.state().await;
        let again = send(&app, command, &command.input).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{}", command.name);
        assert_eq!(app.state().await, after, "{} replayed", command.name);

        let mut other = command.input.clone();
        other.as_object_mut().unwrap().extend(command.other.as_object().unwrap().clone());
        let reused = send(&app, command, &other).await;
        assert_eq!(reused.codes(), ["IDEMPOTENCY_KEY_REUSED"], "{}: {}", command.name, reused.text);
        assert_eq!(app.state().await, after, "{} with a reused key", command.name);
    }
    app.start_work().await;
    app.finish().await;
}

#[tokio::test]
async fn one_key_sent_many_times_at_once_is_one_command() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let key = key();
    let answers = futures(&app, &shop, &key).await;
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(orders, 1);
    app.finish().await;
}

/// Eight times the same request at the same moment; the bodies.
async fn futures(app: &TestApp, shop: &tests::Shop, key: &str) -> Vec<String> {
    let (a, b, c, d, e, f, g, h) = tokio::join!(
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
        app.order_with_key(shop, 0, "9.90", key),
    );
    [a, b, c, d, e, f, g, h].map(|answer| answer.text).into()
}

async fn send(app: &TestApp, command: &Command, input: &Value) -> Answer {
    app.mutate(&command.caller, command.name, input.clone(), command.selection).await
}
