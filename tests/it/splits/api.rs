//! Splits through the public API, with the worker moving the money.

use serde_json::{Value, json};
use tests::{Caller, PAY_LIMIT, Shop, TestApp, eventually, key, order_of, text};
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::order::Orders;
use wallet::split::{FROZEN_FOR, NewSplit, Parties, plan_in_tx};

use super::bps;

/// Plans the split of the merchant's one paid order of 100.00, as its payment would: a fifth of 99.62 to a supplier.
async fn plan(app: &TestApp, shop: &Shop, supplier: &Shop) {
    let clock = Clock::default();
    let order: uuid::Uuid = sqlx::query_scalar("SELECT order_id FROM orders WHERE status = 'PAID'").fetch_one(app.db()).await.unwrap();
    let attempt = sqlx::query_scalar("SELECT attempt_id FROM payment_attempts WHERE order_id = $1").bind(order);
    let attempt = wallet::base::id::AttemptId(attempt.fetch_one(app.db()).await.unwrap());
    let orders = Orders::new(app.db().clone(), clock.clone());
    let order = orders.get(&Actor::System, shop.merchant_id, wallet::base::id::OrderId(order)).await.unwrap();
    let parties: Parties = [("SUPPLIER".to_owned(), supplier.merchant_id)].into();
    let (rule, frozen_until) = (vec![bps("SUPPLIER", 2_000, vec![])], clock.now() + FROZEN_FOR);
    let new = NewSplit { order: &order, slices: vec![(attempt, 9_962)], rule, parties, at_once: false, frozen_until };
    let mut tx = app.db().begin().await.unwrap();
    let booking = plan_in_tx(&mut tx, &[new], clock.now()).await.unwrap();
    booking.write_in_tx(&mut tx, clock.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

const SHOWN: &str =
    "query($id: ID!) { node(id: $id) { ... on Order { split { status rest { amount } remainder { amount } released { amount }
    lines(first: 10) { nodes { role status amount { amount } returned { amount } } } returns { amount { amount } doneAt } } } } }";

async fn split(app: &TestApp, caller: &Caller, order: &str) -> Value {
    app.read(caller, "node", SHOWN, json!({ "id": order })).await["split"].clone()
}

async fn until(app: &TestApp, caller: &Caller, order: &str, what: impl Fn(&Value) -> bool) -> Value {
    eventually(PAY_LIMIT, "the split is there", async || {
        let shown = split(app, caller, order).await;
        what(&shown).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn an_owner_divides_finishes_and_asks_back_and_the_receiver_sees_its_share() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let supplier = app.signed_merchant_of(app.stranger().await, "供货商", "6222020200001129999").await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    assert_eq!(split(&app, &shop.owner, &order.id).await, Value::Null, "it is not divided");
    plan(&app, &shop, &supplier).await;
    let planned = split(&app, &shop.owner, &order.id).await;
    assert_eq!((&planned["status"], &planned["rest"]["amount"]), (&json!("PLANNED"), &json!("99.62")));
    assert_eq!(app.wallet(&shop).await.0, "0.00");

    let refused = json!({ "orderId": order.id, "amount": "99.63", "idempotencyKey": key() });
    let refused = app.mutate(&shop.owner, "splitCreate", refused, "split { status }").await;
    assert_eq!(refused.codes(), ["AMOUNT_EXCEEDS_REST"], "{}", refused.text);
    assert_eq!(refused.field("splitCreate")["userErrors"][0]["message"], "该订单最多还可分 99.62 元");
    let input = json!({ "orderId": order.id, "amount": "50.00", "idempotencyKey": key() });
    let accepted = app.done(&shop.owner, "splitCreate", input.clone(), "split { status rest { amount } }").await;
    assert_eq!((&accepted["split"]["status"], &accepted["split"]["rest"]["amount"]), (&json!("ACCEPTED"), &json!("49.62")));
    until(&app, &shop.owner, &order.id, |split| split["status"] == "PARTIAL").await;
    assert_eq!(app.done(&shop.owner, "splitCreate", input, "split { status rest { amount } }").await, accepted, "the same answer again");
    let finish = json!({ "orderId": order.id, "idempotencyKey": key() });
    let finished = app.done(&shop.owner, "splitFinish", finish, "split { status released { amount } }").await;
    assert_eq!((&finished["split"]["status"], &finished["split"]["released"]["amount"]), (&json!("FINISHED"), &json!("89.62")));
    assert_eq!((app.wallet(&shop).await.0, app.wallet(&supplier).await.0), ("89.62".into(), "10.00".into()));

    let back = json!({ "orderId": order.id, "amount": "2.50", "idempotencyKey": key() });
    app.done(&shop.owner, "splitReturn", back, "splitReturn { amount { amount } doneAt }").await;
    let shown = until(&app, &shop.owner, &order.id, |split| !split["returns"][0]["doneAt"].is_null()).await;
    let line = &shown["lines"]["nodes"][0];
    assert_eq!((text(&line["role"]), text(&line["status"])), ("SUPPLIER".into(), "SUCCEEDED".into()));
    assert_eq!((text(&line["amount"]["amount"]), text(&line["returned"]["amount"])), ("10.00".into(), "2.50".into()));
    assert_eq!((app.wallet(&shop).await.0, app.wallet(&supplier).await.0), ("92.12".into(), "7.50".into()));

    let query =
        "query($id: ID!) { splitShares(merchantId: $id, first: 5) { nodes { payerName role received { amount } returned { amount } } } }";
    let shares = app.read(&supplier.owner, "splitShares", query, json!({ "id": supplier.merchant })).await;
    let share = &shares["nodes"][0];
    assert_eq!((text(&share["payerName"]), text(&share["role"])), ("好店便利".into(), "SUPPLIER".into()));
    assert_eq!((text(&share["received"]["amount"]), text(&share["returned"]["amount"])), ("10.00".into(), "2.50".into()));
    let theirs = app.gql(&supplier.owner, SHOWN, json!({ "id": order.id })).await;
    assert_eq!(theirs.field("node"), &Value::Null, "the payer's order is the payer's");
    app.finish().await;
}

#[tokio::test]
async fn a_commission_is_divided_as_its_product_says_when_it_is_paid() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let agent = app.signed_merchant_of(app.stranger().await, "居间人", "6222020200001129999").await;
    let broker = app.signed_merchant_of(app.login("dev:owner:carol").await, "经纪人", "6222020200001128888").await;
    let parties = json!([{ "role": "AGENT", "merchantId": agent.merchant }, { "role": "BROKER", "merchantId": broker.merchant }]);
    let input = json!({ "storeId": shop.stores[0], "amount": "100.00", "currency": "CNY", "subject": "居间佣金", "idempotencyKey": key(),
        "productCode": "AGENT_COMMISSION", "parties": parties });
    let made = app.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl status }").await;
    let order = order_of(&made);
    app.pay(&order).await;
    let shown = until(&app, &shop.owner, &order.id, |split| split["status"] == "FINISHED").await;
    let lines = shown["lines"]["nodes"].as_array().unwrap();
    assert!(lines.iter().all(|line| line["status"] == "SUCCEEDED"), "{shown}");
    assert_eq!(lines.len(), 2, "one for each role");
    // 99.62 after the fee: two fifths go to the agent, half of that to the broker; what makes no whole fen stays with who divides
    let (own, agents, brokers) = (app.wallet(&shop).await.0, app.wallet(&agent).await.0, app.wallet(&broker).await.0);
    assert_eq!((own.as_str(), agents.as_str(), brokers.as_str()), ("59.78", "19.92", "19.92"));
    app.finish().await;
}
