//! Splits through the public API, with the worker moving the money.

use serde_json::{Value, json};
use tests::{Caller, PAY_LIMIT, Shop, TestApp, eventually, key, order_of, text};
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::order::Orders;
use wallet::split::{FROZEN_FOR, NewSplit, Parties, Slice, plan_in_tx};

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
    let new = NewSplit { order: &order, slices: vec![Slice::of_ledger(attempt, 9_962)], rule, parties, at_once: false, frozen_until };
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
    until(&app, &shop.owner, &order.id, |split| !split["returns"][0]["doneAt"].is_null()).await;
    // asked again: lines and returns of one answer are read one after the other, and the return may end in between
    let shown = split(&app, &shop.owner, &order.id).await;
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

/// An order of the shared product, paid by WeChat; its receivers as given.
async fn paid_by_wechat(app: &TestApp, shop: &Shop, parties: &Value) -> String {
    let mut input = json!({ "storeId": shop.stores[0], "amount": "100.00", "subject": "服务费", "idempotencyKey": key() });
    input["productCode"] = json!("SHARED");
    input["parties"] = parties.clone();
    let order = order_of(&app.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl }").await);
    let start = json!({ "ticket": order.ticket, "wallet": "WECHAT", "method": "NATIVE", "idempotencyKey": key() });
    let attempt = app.done(&Caller::nobody(), "paymentStart", start, "attempt { invitation { content } }").await;
    let code = text(&attempt["attempt"]["invitation"]["content"]);
    let url = format!("{}/pay/{}/confirm", app.sim_url(), code.rsplit('=').next().unwrap());
    assert!(app.http().post(url).json(&json!({ "notices": 2 })).send().await.unwrap().status().is_success());
    app.until_order(&order, "PAID").await;
    order.id
}

#[tokio::test]
async fn what_wechat_divides_arrives_once_through_lost_answers_doubled_notices_and_killed_workers() {
    let folder = tests::Folder::new();
    std::fs::write(folder.path().join("shared.toml"), super::upstream::SHARED).unwrap();
    let store = tests::repository().join("products/store_payment.toml");
    std::fs::copy(store, folder.path().join("store_payment.toml")).unwrap();
    let dir = folder.path().display().to_string();
    let settings = [
        ("HAODIAN_PRODUCTS__DIR", dir.as_str()),
        ("HAODIAN_CHANNEL__CONNECTED", r#"["SANDBOX", "WECHAT_PAY"]"#),
        ("HAODIAN_CHANNEL__TIMEOUT_MS", "2000"),
    ];
    let app = TestApp::start_on(tests::database().await, &settings).await;
    let (shop, operator) = (app.signed_merchant().await, app.operator().await);
    let mut parties = Vec::new();
    for (place, role) in ["AGENT", "BROKER", "SUPPLIER"].into_iter().enumerate() {
        let party = app.signed_merchant_of(app.stranger().await, &format!("接收方{place}"), "6222020200001129999").await;
        let input = json!({ "merchantId": party.merchant, "channel": "WECHAT_PAY", "account": format!("190000080{place}") });
        let set = app.done(&operator, "splitAccountSet", input, "account { account status }").await;
        assert_eq!(set["account"], json!({ "account": format!("******080{place}"), "status": "WAIT" }));
        parties.push(json!({ "role": role, "merchantId": party.merchant }));
    }
    let profile = "about = \"some shares go astray, and answers too\"\nseed = 4\n[answer.other]\ndrop_after = 2500\nfail_after = 1000\n\
                   [business]\nsplit_part = 5000\n[notice]\nduplicate = 10000\ntimes = 3\n";
    let answer = app.http().post(format!("{}/control/profile", app.sim_url())).body(profile).send().await.unwrap();
    assert!(answer.status().is_success());
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(paid_by_wechat(&app, &shop, &json!(parties)).await);
        app.kill9_work();
        app.start_work().await;
    }
    for order in &orders {
        // what waits for its time to ask again, asks now
        eventually(PAY_LIMIT, "the split is finished", async || {
            sqlx::query("UPDATE jobs SET run_at = now() WHERE kind = 'split_execute' AND run_at > now()")
                .execute(app.owner_db())
                .await
                .unwrap();
            (split(&app, &shop.owner, order).await["status"] == "FINISHED").then_some(())
        })
        .await;
    }
    let calls = "query($id: ID!) { node(id: $id) { ... on Order { split { calls { requestNo channel kind status shares { outcome } }
                 lines(first: 10) { nodes { requestNo status errorCode } } } } } }";
    let seen = app.read(&operator, "node", calls, json!({ "id": orders[0] })).await;
    assert_eq!(seen["split"]["calls"].as_array().unwrap().last().unwrap()["kind"], "FINISH");
    let hidden = app.read(&shop.owner, "node", calls, json!({ "id": orders[0] })).await;
    assert_eq!((&hidden["split"]["calls"], &hidden["split"]["lines"]["nodes"][0]["requestNo"]), (&Value::Null, &Value::Null));
    // S9: what the channel did with each share, and what our lines say
    let told: Value = app.http().get(format!("{}/control/truth", app.sim_url())).send().await.unwrap().json().await.unwrap();
    let shares = told.as_array().unwrap().iter().filter(|t| t["what"] == "SHARE");
    let mut theirs: Vec<(String, String, i64, bool)> = shares
        .map(|t| (text(&t["request_no"]), text(&t["account"]), t["amount_minor"].as_i64().unwrap(), t["moved"].as_bool().unwrap()))
        .collect();
    theirs.sort();
    let ours: Vec<(String, String, i64, bool)> = sqlx::query_as(
        "SELECT replace(s.call_id::text, '-', ''), s.account, l.amount_minor, l.succeeded_minor > 0
         FROM split_lines l JOIN split_shares s ON s.book_id = l.book_id AND s.line_id = l.line_id AND s.call_id = l.call_id ORDER BY 1, 2",
    )
    .fetch_all(app.owner_db())
    .await
    .unwrap();
    assert_eq!(theirs, ours);
    assert_eq!(ours.len(), 16, "two receivers of the first level of each order");
    assert!(ours.iter().any(|share| share.3) && ours.iter().any(|share| !share.3), "some of it went astray: {ours:?}");
    app.finish().await;
}
