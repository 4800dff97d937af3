//! Refunds through the public API against the simulators in their own process: another way when the first is closed, 退票, stated amounts that
//! differ, divided orders, cancelling, what the platform advances, what is paid by hand; and a worker that is killed in the middle.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, database, eventually, key, order_of, text};

const SHOWN: &str = "query($id: ID!) { node(id: $id) { ... on Refund { status route reroutedFor errorCode
    tries { route reroutedFor status errorCode statedAmountMinor requestNo }
    payee { id holder accountTail approvedAt } manual { id status reference evidence bank decidedAt }
    advance { amount { amount } recovered { amount } returned { amount } owed { amount } } gathering { amount { amount } arrived { amount } done } } } }";

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

#[tokio::test]
async fn what_a_merchant_cannot_cover_is_advanced_within_a_cap_and_the_worker_takes_it_back() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_yesterday().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    app.play_today().await;
    let (operator, second) = (app.operator().await, app.login("dev:operator:second").await);
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(&shop).await.1 == "99.62").then_some(())).await;
    let withdraw = |amount: &str| json!({ "merchantId": shop.merchant, "amount": amount, "idempotencyKey": key() });
    app.done(&shop.owner, "withdrawalRequest", withdraw("99.62"), "withdrawal { id }").await;
    let ask = json!({ "orderId": order.id, "amount": "50.00", "reason": "退货", "idempotencyKey": key() });
    let off = app.mutate(&shop.owner, "refundRequest", ask.clone(), "refund { id }").await;
    assert_eq!(off.codes(), ["INSUFFICIENT_BALANCE"], "{}", off.text);

    let set = |key: &str| json!({ "merchantId": shop.merchant, "cap": "60.00", "idempotencyKey": key });
    let one_key = key();
    let first = app.mutate(&operator, "merchantAdvanceSet", set(&one_key), "cap { id status amount { amount } }").await;
    let again = app.mutate(&operator, "merchantAdvanceSet", set(&one_key), "cap { id status amount { amount } }").await;
    assert_eq!(first.text, again.text, "the same key has the same answer");
    let cap = &first.field("merchantAdvanceSet")["cap"];
    let decide = |key: &str| json!({ "merchantId": shop.merchant, "capId": cap["id"], "approve": true, "idempotencyKey": key });
    let own = app.mutate(&operator, "merchantAdvanceDecide", decide(&key()), "cap { status }").await;
    assert_eq!(own.codes(), ["PERM_OWN_PROPOSAL"], "{}", own.text);
    let standing = "query($id: ID!) { node(id: $id) { ... on Merchant { wallet { standing { debt { amount } advanceCap { amount }
        keptForRefunds { amount } withdrawable { amount } proposedCap { id status } } } } } }";
    let stands =
        async |caller: &Caller| app.read(caller, "node", standing, json!({ "id": shop.merchant })).await["wallet"]["standing"].clone();
    assert_eq!(stands(&second).await["proposedCap"], json!({ "id": cap["id"], "status": "PROPOSED" }));
    assert_eq!(stands(&shop.owner).await["proposedCap"], Value::Null, "what operators consider is theirs");
    let two_key = key();
    let approved = app.mutate(&second, "merchantAdvanceDecide", decide(&two_key), "cap { status }").await;
    let again = app.mutate(&second, "merchantAdvanceDecide", decide(&two_key), "cap { status }").await;
    assert_eq!(approved.text, again.text, "the same key has the same answer");
    assert_eq!(approved.field("merchantAdvanceDecide")["cap"]["status"], "APPROVED", "{}", approved.text);

    // refused before, under the same key: nothing was kept of that
    let refund = text(&app.done(&shop.owner, "refundRequest", ask, "refund { id }").await["refund"]["id"]);
    let ended = until(&app, &shop, &refund, "SUCCEEDED").await;
    assert_eq!((&ended["advance"]["amount"]["amount"], &ended["advance"]["owed"]["amount"]), (&json!("49.81"), &json!("49.81")));
    let list = "{ indebtedMerchants(first: 5) { nodes { merchantId debt { amount } advanceCap { amount } } } }";
    let listed = app.read(&operator, "indebtedMerchants", list, json!({})).await;
    let expected = json!([{ "merchantId": shop.merchant, "debt": { "amount": "49.81" }, "advanceCap": { "amount": "60.00" } }]);
    assert_eq!(listed["nodes"], expected);
    let more = json!({ "orderId": order.id, "amount": "20.00", "reason": "退货", "idempotencyKey": key() });
    let beyond = app.mutate(&shop.owner, "refundRequest", more, "refund { id }").await;
    assert_eq!(beyond.codes(), ["INSUFFICIENT_BALANCE"], "{}", beyond.text);

    // what comes in pays the debt, and cannot be withdrawn before it does
    let income = app.order(&shop, "200.00").await;
    app.pay(&income).await;
    app.drained().await;
    app.stop_work().await;
    app.play_ahead(TimeDelta::days(1)).await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    assert_eq!(app.wallet(&shop).await.1, "199.24");
    assert_eq!(stands(&shop.owner).await["withdrawable"]["amount"], "149.43");
    let too_much = app.mutate(&shop.owner, "withdrawalRequest", withdraw("149.44"), "withdrawal { id }").await;
    assert_eq!(too_much.codes(), ["AMOUNT_EXCEEDS_AVAILABLE"], "{}", too_much.text);
    app.start_work().await;
    eventually(PAY_LIMIT, "the debt is paid", async || {
        // what is due later is due now
        let due =
            "UPDATE jobs SET run_at = now() WHERE kind = 'advance_recover' AND state = 'READY' AND lease_until IS NULL AND run_at > now()";
        sqlx::query(due).execute(app.owner_db()).await.unwrap();
        (stands(&shop.owner).await["debt"]["amount"] == "0.00").then_some(())
    })
    .await;
    assert_eq!(app.wallet(&shop).await.1, "149.43");
    let bill = "query($id: ID!) { node(id: $id) { ... on Merchant { wallet { billLines(account: AVAILABLE, first: 1) { nodes { kind amount { amount } } } } } } }";
    let line = app.read(&shop.owner, "node", bill, json!({ "id": shop.merchant })).await["wallet"]["billLines"]["nodes"][0].clone();
    assert_eq!(line, json!({ "kind": "ADVANCE_RECOVERED", "amount": { "amount": "-49.81" } }));
    let paid = shown(&app, &shop.owner, &refund).await;
    assert_eq!((&paid["advance"]["recovered"]["amount"], &paid["advance"]["owed"]["amount"]), (&json!("49.81"), &json!("0.00")));
    app.finish().await;
}

#[tokio::test]
async fn a_refund_that_came_back_is_closed_by_two_operators_who_know_that_it_was_paid_outside() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "100.00").await;
    app.pay(&order).await;
    profile(&app, "[business]\nrefund_closed = 10000\npayout_return = 10000\nafter_ms = [300, 300]\n").await;
    let refund = request(&app, &shop, &order, "30.00").await;
    until(&app, &shop, &refund, "REROUTE").await;
    confirm_payee(&app, &shop, &refund, "6222020200009988776").await;
    until(&app, &shop, &refund, "BOUNCED").await;
    let (operator, second) = (app.operator().await, app.login("dev:operator:second").await);
    let evidence = "柜台转账，回单由张三签收";
    app.keep_secret(evidence);
    let propose = |key: &str| json!({ "refundId": refund, "reference": "2026112200001", "evidence": evidence, "idempotencyKey": key });
    let one_key = key();
    let first = app.mutate(&operator, "refundManualPropose", propose(&one_key), "manual { id status }").await;
    let again = app.mutate(&operator, "refundManualPropose", propose(&one_key), "manual { id status }").await;
    assert_eq!(first.text, again.text, "the same key has the same answer");
    let manual = &first.field("refundManualPropose")["manual"];
    let decide = |key: &str| json!({ "refundId": refund, "manualId": manual["id"], "approve": true, "idempotencyKey": key });
    let own = app.mutate(&operator, "refundManualDecide", decide(&key()), "refund { status }").await;
    assert_eq!(own.codes(), ["PERM_OWN_PROPOSAL"], "{}", own.text);
    let two_key = key();
    let closed = app.mutate(&second, "refundManualDecide", decide(&two_key), "refund { status resolvedAt }").await;
    let again = app.mutate(&second, "refundManualDecide", decide(&two_key), "refund { status resolvedAt }").await;
    assert_eq!(closed.text, again.text, "the same key has the same answer");
    let ended = shown(&app, &shop.owner, &refund).await;
    let told = (&ended["status"], &ended["manual"]["status"], &ended["manual"]["reference"], &ended["manual"]["evidence"]);
    assert_eq!(told, (&json!("MANUAL"), &json!("APPROVED"), &json!("2026112200001"), &json!(evidence)));
    let told: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE payload::text LIKE '%张三%'").fetch_one(app.owner_db()).await.unwrap();
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE detail::text LIKE '%张三%'").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!((told, kept), (0, 0), "what people write stays in its row");
    assert_eq!(app.wallet(&shop).await.0, "69.73");
    app.finish().await;
}
