//! Refunds through the public API against the simulators in their own process: another way when the first is closed, 退票, stated amounts that
//! differ, divided orders, cancelling; and a worker that is killed in the middle.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, database, eventually, key, order_of, text};

const SHOWN: &str = "query($id: ID!) { node(id: $id) { ... on Refund { status route reroutedFor errorCode
    tries { route reroutedFor status errorCode statedAmountMinor requestNo }
    payee { id holder accountTail approvedAt } gathering { amount { amount } arrived { amount } done } } } }";

async fn profile(app: &TestApp, sections: &str) {
    let body = format!("about = \"refunds\"\nseed = 1\n{sections}");
    let answer = app.http().post(format!("{}/control/profile", app.sim_url())).body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn request(app: &TestApp, shop: &Shop, order: &OrderHandle, amount: &str) -> String {
    let input = json!({ "orderId": order.id, "amount": amount, "reason": "退货", "idempotencyKey": key() });
    text(&app.done(&shop.owner, "refundRequest", input, "refund { id }").await["refund"]["id"])
}

async fn shown(app: &TestApp, caller: &Caller, refund: &str) -> Value {
    app.read(caller, "node", SHOWN, json!({ "id": refund })).await
}

async fn until(app: &TestApp, shop: &Shop, refund: &str, status: &str) -> Value {
    eventually(PAY_LIMIT, &format!("the refund is {status}"), async || {
        // what is due later is due now
        let due =
            "UPDATE jobs SET run_at = now() WHERE kind = 'refund_query' AND state = 'READY' AND lease_until IS NULL AND run_at > now()";
        sqlx::query(due).execute(app.owner_db()).await.unwrap();
        let shown = shown(app, &shop.owner, refund).await;
        (shown["status"] == status).then_some(shown)
    })
    .await
}

/// The owner names an account and an operator confirms it.
async fn confirm_payee(app: &TestApp, shop: &Shop, refund: &str, account: &str) {
    let propose = json!({ "refundId": refund, "holder": "张三", "account": account, "idempotencyKey": key() });
    let proposed = app.done(&shop.owner, "refundPayeePropose", propose, "payee { id holder accountTail }").await;
    let approve = |key| json!({ "refundId": refund, "payeeId": proposed["payee"]["id"], "idempotencyKey": key });
    let own = app.mutate(&shop.owner, "refundPayeeApprove", approve(key()), "refund { status }").await;
    assert_eq!(own.codes(), ["PERM_OWN_PROPOSAL"], "{}", own.text);
    let (operator, key) = (app.operator().await, key());
    let approved = app.mutate(&operator, "refundPayeeApprove", approve(key.clone()), "refund { status }").await;
    let again = app.mutate(&operator, "refundPayeeApprove", approve(key), "refund { status }").await;
    assert_eq!(approved.text, again.text, "the same key has the same answer");
    assert_eq!(approved.field("refundPayeeApprove")["refund"]["status"], "FUNDED", "{}", approved.text);
}

/// What the bank paid, and how often: the sum of the payouts that moved.
async fn paid_out(app: &TestApp) -> Vec<i64> {
    let truth: Value = app.http().get(format!("{}/control/truth", app.sim_url())).send().await.unwrap().json().await.unwrap();
    let moved = truth.as_array().unwrap().iter().filter(|t| t["what"] == "PAYOUT" && t["moved"] == true);
    moved.map(|t| t["amount_minor"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_refund_whose_way_back_is_closed_is_paid_to_an_account_that_two_people_confirm() {
    let app = TestApp::start().await;
    app.keep_secret("6222020200009988776");
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    profile(&app, "[business]\nrefund_closed = 10000\n").await;
    let refund = request(&app, &shop, &order, "30.00").await;
    let waits = until(&app, &shop, &refund, "REROUTE").await;
    assert_eq!(
        (&waits["reroutedFor"], &waits["errorCode"], &waits["payee"]),
        (&json!("CLOSED"), &json!("PAYER_ACCOUNT_CLOSED"), &Value::Null)
    );
    assert_eq!(app.wallet(&shop).await.0, "69.73", "its money stays set aside for the payer");

    // an account that the bank refuses, and then one that takes it
    confirm_payee(&app, &shop, &refund, "6222020200000000001").await;
    let refused = until(&app, &shop, &refund, "REROUTE").await;
    assert_eq!((&refused["reroutedFor"], &refused["errorCode"]), (&json!("PAYOUT_FAILED"), &json!("ACCOUNT_CLOSED")));
    confirm_payee(&app, &shop, &refund, "6222020200009988776").await;
    let paid = until(&app, &shop, &refund, "SUCCEEDED").await;
    assert_eq!(
        (&paid["route"], &paid["payee"]["holder"], &paid["payee"]["accountTail"]),
        (&json!("PAYOUT"), &json!("张**"), &json!("8776"))
    );
    let tries: Vec<_> = paid["tries"].as_array().unwrap().iter().map(|t| (text(&t["route"]), text(&t["status"]))).collect();
    let expected = [("ORIGINAL", "FAILED"), ("PAYOUT", "FAILED"), ("PAYOUT", "SUCCEEDED")];
    assert_eq!(tries, expected.map(|(route, status)| (route.to_owned(), status.to_owned())));
    assert_eq!(paid_out(&app).await, [3_000]);
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM refund_payees").fetch_all(app.owner_db()).await.unwrap();
    let sealed = |bytes: &Vec<u8>| !bytes.windows(8).any(|w| w == b"62220202");
    assert!(stored.len() == 2 && stored.iter().all(sealed), "the account lies sealed");
    app.finish().await;
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_rerouted_refund_pays_it_once() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    profile(&app, "[business]\nrefund_closed = 10000\n").await;
    let refund = request(&app, &shop, &order, "30.00").await;
    until(&app, &shop, &refund, "REROUTE").await;
    // the bank carries it out and is slow to say so; its notice is lost
    profile(&app, "[answer.payout]\ndelay_ms = [2000, 2000]\n[notice.payout]\ndrop = 10000\n").await;
    confirm_payee(&app, &shop, &refund, "6222020200009988776").await;
    eventually(PAY_LIMIT, "the bank is asked", async || (shown(&app, &shop.owner, &refund).await["status"] == "SENT").then_some(())).await;
    app.kill9_work();
    assert_eq!(shown(&app, &shop.owner, &refund).await["status"], "SENT");
    profile(&app, "[notice.payout]\ndrop = 10000\n").await;
    // leases end by themselves; the test does not wait for them
    sqlx::query("UPDATE jobs SET lease_until = NULL WHERE lease_until IS NOT NULL").execute(app.owner_db()).await.unwrap();
    app.start_work().await;
    let paid = until(&app, &shop, &refund, "SUCCEEDED").await;
    assert_eq!(paid["tries"].as_array().unwrap().len(), 2, "{paid}");
    assert_eq!(paid_out(&app).await, [3_000]);
    app.finish().await;
}

#[tokio::test]
async fn what_the_bank_paid_and_got_back_is_paid_again_to_another_account() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    profile(&app, "[business]\nrefund_closed = 10000\npayout_return = 10000\nafter_ms = [300, 300]\n").await;
    let refund = request(&app, &shop, &order, "30.00").await;
    until(&app, &shop, &refund, "REROUTE").await;
    confirm_payee(&app, &shop, &refund, "6222020200009988776").await;
    let bounced = until(&app, &shop, &refund, "BOUNCED").await;
    assert_eq!((&bounced["reroutedFor"], &bounced["tries"][1]["status"]), (&json!("BOUNCED"), &json!("BOUNCED")));
    let (content, found) = app.check().await;
    assert!(content, "{found}");
    profile(&app, "").await;
    confirm_payee(&app, &shop, &refund, "6222020200009988777").await;
    let paid = until(&app, &shop, &refund, "SUCCEEDED").await;
    let numbers: Vec<_> = paid["tries"].as_array().unwrap().iter().map(|t| text(&t["requestNo"])).collect();
    assert!(numbers.len() == 3 && numbers[1] != numbers[2], "each try has a number of its own: {numbers:?}");
    assert_eq!(paid_out(&app).await, [3_000]);
    assert_eq!(app.wallet(&shop).await.0, "69.73");
    app.finish().await;
}

#[tokio::test]
async fn a_payment_older_than_the_channels_window_is_refunded_to_an_account() {
    let app = TestApp::start_on(database().await, &[("HAODIAN_REFUND__CHANNEL_DAYS__SANDBOX", "2")]).await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    let young = request(&app, &shop, &order, "10.00").await;
    until(&app, &shop, &young, "SUCCEEDED").await;
    app.drained().await;
    app.stop_work().await;
    app.play_ahead(TimeDelta::days(3)).await;
    // a worker that was running might send before it hears of the day
    app.start_work().await;
    let old = request(&app, &shop, &order, "20.00").await;
    let waits = until(&app, &shop, &old, "REROUTE").await;
    assert_eq!((&waits["reroutedFor"], &waits["tries"]), (&json!("WINDOW_OVER"), &json!([])));
    confirm_payee(&app, &shop, &old, "6222020200009988776").await;
    let paid = until(&app, &shop, &old, "SUCCEEDED").await;
    assert_eq!((&paid["tries"][0]["route"], &paid["tries"][0]["reroutedFor"]), (&json!("PAYOUT"), &json!("WINDOW_OVER")));
    assert_eq!(paid_out(&app).await, [2_000]);
    app.finish().await;
}

#[tokio::test]
async fn a_notice_that_states_another_amount_waits_for_an_operator() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    profile(&app, "[notice.refund]\nchanged_amount = 10000\n").await;
    let refund = request(&app, &shop, &order, "30.00").await;
    let open = eventually(PAY_LIMIT, "the refund waits for a person", async || {
        let shown = shown(&app, &shop.owner, &refund).await;
        (shown["status"] == "CONFLICTED").then_some(shown)
    })
    .await;
    assert!(open["tries"][0]["statedAmountMinor"].is_string() && open["tries"][0]["statedAmountMinor"] != "3000", "{open}");
    let resolve = |key: &str| json!({ "refundId": refund, "paid": true, "idempotencyKey": key });
    let (operator, key) = (app.operator().await, key());
    let first = app.mutate(&operator, "refundConflictResolve", resolve(&key), "refund { status }").await;
    let again = app.mutate(&operator, "refundConflictResolve", resolve(&key), "refund { status }").await;
    assert_eq!(first.text, again.text);
    assert_eq!(first.field("refundConflictResolve")["refund"]["status"], "SUCCEEDED", "{}", first.text);
    app.finish().await;
}

#[tokio::test]
async fn a_divided_order_gives_back_by_itself_and_customers_see_nothing_of_it() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let agent = app.signed_merchant_of(app.stranger().await, "中介", "6222020200001129999").await;
    let broker = app.signed_merchant_of(app.stranger().await, "经纪人", "6222020200001128888").await;
    let parties = json!([{ "role": "AGENT", "merchantId": agent.merchant }, { "role": "BROKER", "merchantId": broker.merchant }]);
    let input = json!({ "storeId": shop.stores[0], "amount": "1000.00", "subject": "佣金", "productCode": "AGENT_COMMISSION",
        "parties": parties, "idempotencyKey": key() });
    let order = order_of(&app.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl }").await);
    app.pay(&order).await;
    eventually(PAY_LIMIT, "the broker has its part", async || (app.wallet(&broker).await.0 != "0.00").then_some(())).await;
    let mut shares = Vec::new();
    for amount in ["333.33", "333.33", "333.34"] {
        let refund = eventually(PAY_LIMIT, "the refund is taken", async || {
            let input = json!({ "orderId": order.id, "amount": amount, "reason": "退货", "idempotencyKey": key() });
            let answer = app.mutate(&shop.owner, "refundRequest", input, "refund { id status }").await;
            // the lines may still be on their way
            if answer.codes() == ["STATE_SPLITTING"] {
                return None;
            }
            let made = &answer.field("refundRequest")["refund"];
            assert_eq!(made["status"], "GATHERING", "{}", answer.text);
            Some(text(&made["id"]))
        })
        .await;
        let ended = until(&app, &shop, &refund, "SUCCEEDED").await;
        assert_eq!(ended["gathering"]["done"], true, "{ended}");
        shares.push(text(&ended["gathering"]["arrived"]["amount"]));
        let customer = "query($ticket: String!) { cashier(ticket: $ticket) { status } }";
        app.read(&Caller::nobody(), "cashier", customer, json!({ "ticket": order.ticket })).await;
    }
    for of in [&shop, &agent, &broker] {
        assert_eq!(app.wallet(of).await.0, "0.00", "everybody is square");
    }
    assert_eq!(shares.len(), 3);
    app.finish().await;
}

#[tokio::test]
async fn a_refund_is_cancelled_before_it_is_sent_and_paid_from_the_balance_where_receivers_are_short() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    app.drained().await;
    app.stop_work().await;
    let refund = request(&app, &shop, &order, "30.00").await;
    assert_eq!(app.wallet(&shop).await.0, "69.73");
    let operator = app.operator().await;
    let cases: [(&str, Value, &str); 4] = [
        ("refundFund", json!({}), "STATE_NOT_GATHERING"),
        ("refundPayeePropose", json!({ "holder": "张三", "account": "6222020200009988776" }), "STATE_NO_PAYEE_WANTED"),
        ("refundPayeeApprove", json!({ "payeeId": key() }), "STATE_NO_PAYEE_WANTED"),
        ("refundConflictResolve", json!({ "paid": true }), "STATE_NOT_CONFLICTED"),
    ];
    for (name, mut input, code) in cases {
        (input["refundId"], input["idempotencyKey"]) = (json!(refund), json!(key()));
        let refused = app.mutate(&operator, name, input, "userErrors { field }").await;
        assert_eq!(refused.codes(), [code], "{name}: {}", refused.text);
    }
    let cancel = |key: &str| json!({ "refundId": refund, "idempotencyKey": key });
    let key = key();
    let first = app.mutate(&shop.owner, "refundCancel", cancel(&key), "refund { status resolvedAt }").await;
    let again = app.mutate(&shop.owner, "refundCancel", cancel(&key), "refund { status resolvedAt }").await;
    assert_eq!(first.text, again.text, "the same key has the same answer");
    assert_eq!(first.field("refundCancel")["refund"]["status"], "CANCELLED", "{}", first.text);
    assert_eq!(app.wallet(&shop).await.0, "99.62");
    app.start_work().await;
    app.drained().await;
    let sent = request(&app, &shop, &order, "30.00").await;
    until(&app, &shop, &sent, "SUCCEEDED").await;
    let late =
        app.mutate(&shop.owner, "refundCancel", json!({ "refundId": sent, "idempotencyKey": tests::key() }), "refund { status }").await;
    assert_eq!(late.codes(), ["STATE_SENT"], "{}", late.text);
    app.finish().await;
}
