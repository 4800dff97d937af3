//! Payments through every channel's own protocol, and where they go when a channel is away: through the public API, with real processes.

use std::sync::{Arc, OnceLock};

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, database, eventually, key, text};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is read of an attempt.
pub const ATTEMPT: &str = "attempt { id status channel wallet method invitation { kind content } }";

/// Starts a payment as a customer who has nothing but the ticket.
pub async fn start(app: &TestApp, order: &OrderHandle, wallet: Option<&str>, method: &str) -> Value {
    let payer = matches!(method, "IN_APP" | "BARCODE").then_some("6220835931895481430");
    let input = json!({ "ticket": order.ticket, "wallet": wallet, "method": method, "payer": payer, "idempotencyKey": key() });
    app.done(&Caller::nobody(), "paymentStart", input, ATTEMPT).await["attempt"].clone()
}

/// Opens what the customer was shown, as the channel's app would, and confirms.
pub async fn confirm(app: &TestApp, attempt: &Value) {
    let url = format!("{}/confirm", app.payer_page(attempt).await);
    let answer = app.http().post(&url).json(&json!({ "notices": 1 })).send().await.expect("the simulator answers");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
}

async fn pending(app: &TestApp, shop: &Shop) -> String {
    app.wallet(shop).await.0
}

#[tokio::test]
async fn every_channel_takes_money_in_its_own_protocol_and_gives_it_back() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let ways = [
        (Some("WECHAT"), "NATIVE", "WECHAT_PAY", "CODE"),
        (Some("WECHAT"), "IN_APP", "WECHAT_PAY", "CALL"),
        (Some("ALIPAY"), "PAGE", "ALIPAY", "URL"),
        (Some("ALIPAY"), "NATIVE", "ALIPAY", "CODE"),
        (Some("UNIONPAY"), "NATIVE", "UNIONPAY", "CODE"),
        (Some("UNIONPAY"), "WAP", "UNIONPAY", "CALL"),
        (Some("ECNY"), "NATIVE", "ECNY", "CODE"),
        (Some("BANK"), "PAGE", "BANK", "URL"),
        (Some("BANK"), "NATIVE", "BANK", "CODE"),
        (None, "NATIVE", "SANDBOX", "CODE"),
        (None, "PAGE", "SANDBOX", "URL"),
    ];
    let mut orders = Vec::new();
    for (wallet, method, channel, kind) in ways {
        let order = app.order(&shop, "10.00").await;
        let attempt = start(&app, &order, wallet, method).await;
        assert_eq!((&attempt["channel"], &attempt["invitation"]["kind"]), (&json!(channel), &json!(kind)), "{wallet:?} {method}");
        confirm(&app, &attempt).await;
        orders.push(order);
    }
    // a code that the customer shows is paid at once
    let counter = app.order(&shop, "10.00").await;
    assert_eq!(start(&app, &counter, Some("UNIONPAY"), "BARCODE").await["channel"], "UNIONPAY");
    orders.push(counter);
    for order in &orders {
        app.until_order(order, "PAID").await;
    }
    // twelve orders of 10.00, each less 0.04
    assert_eq!(pending(&app, &shop).await, "119.52");

    for order in &orders {
        let input = json!({ "orderId": order.id, "amount": "10.00", "reason": "退货", "idempotencyKey": key() });
        app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    }
    let query = "query($id: ID!) { node(id: $id) { ... on Order { refunds { status } } } }";
    for order in &orders {
        eventually(PAY_LIMIT, "the refund arrives", async || {
            let shown = app.read(&shop.owner, "node", query, json!({ "id": order.id })).await;
            (shown["refunds"][0]["status"] == "SUCCEEDED").then_some(())
        })
        .await;
    }
    assert_eq!(pending(&app, &shop).await, "0.00");
    app.finish().await;
}

#[tokio::test]
async fn a_bank_of_the_other_dialect_takes_money_gives_it_back_and_pays_it_out() {
    let settings =
        [("HAODIAN_CHANNEL__BANK__DIALECT", "acquiring"), ("HAODIAN_CHANNEL__BANK__CHARSET", "UTF-8"), ("HAODIAN_PAYOUT__CHANNEL", "bank")];
    let app = TestApp::start_on(database().await, &settings).await;
    let shop = app.signed_merchant_yesterday().await;
    let orders = [app.order(&shop, "10.00").await, app.order(&shop, "100.00").await];
    for order in &orders {
        let attempt = start(&app, order, Some("BANK"), "PAGE").await;
        assert_eq!(attempt["channel"], "BANK");
        confirm(&app, &attempt).await;
        app.until_order(order, "PAID").await;
    }
    let input = json!({ "orderId": orders[0].id, "amount": "10.00", "reason": "退货", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(&shop).await.1 == "99.62").then_some(())).await;
    let input = json!({ "merchantId": shop.merchant, "amount": "99.62", "currency": "CNY", "idempotencyKey": key() });
    app.done(&shop.owner, "withdrawalRequest", input, "withdrawal { id }").await;
    app.drained().await;
    let told: Vec<String> = sqlx::query_scalar("SELECT DISTINCT channel FROM notices ORDER BY channel").fetch_all(app.db()).await.unwrap();
    assert_eq!(told, ["BANK", "DIRECT_BANK"], "payments and the refund are told to the one, the payout to the other");
    app.finish().await;
}

#[tokio::test]
async fn a_customer_who_changes_the_way_pays_once() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "10.00").await;
    let first = start(&app, &order, None, "PAGE").await;
    assert_eq!(start(&app, &order, None, "PAGE").await["id"], first["id"], "the same way goes on");
    let second = start(&app, &order, Some("WECHAT"), "NATIVE").await;
    assert_eq!((&second["channel"], &second["status"]), (&json!("WECHAT_PAY"), &json!("USER_PENDING")));
    let status: String = sqlx::query_scalar("SELECT status FROM payment_attempts WHERE channel = 'SANDBOX'")
        .fetch_one(app.db())
        .await
        .expect("the attempt is stored");
    assert_eq!(status, "CLOSED_AT_CHANNEL", "nobody can pay the first any more");
    confirm(&app, &second).await;
    app.until_order(&order, "PAID").await;
    assert_eq!(pending(&app, &shop).await, "9.96");
    app.finish().await;
}

/// A line to the simulator that can be cut, and put back.
struct Line {
    url: String,
    /// Where it leads, once that runs.
    to: Arc<OnceLock<String>>,
    open: watch::Sender<bool>,
}

impl Line {
    async fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (to, (open, state)) = (Arc::<OnceLock<String>>::default(), watch::channel(true));
        let target = to.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), state.clone()));
            }
        });
        Self { url, to, open }
    }
}

/// Carries one connection; a cut line takes what was under way with it.
async fn carry(mut client: TcpStream, target: Arc<OnceLock<String>>, mut state: watch::Receiver<bool>) {
    let Some(target) = target.get() else { return };
    let Ok(mut sim) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut sim) => {}
        _ = state.wait_for(|open| !open) => {}
    }
}

#[tokio::test]
async fn a_channel_that_dies_loses_no_order_and_charges_nobody_twice() {
    let line = Line::lay().await;
    let settings = [("HAODIAN_CHANNEL__WECHAT__URL", line.url.as_str()), ("HAODIAN_CHANNEL__TIMEOUT_MS", "1000")];
    let app = TestApp::start_on(database().await, &settings).await;
    line.to.set(app.sim_url().trim_start_matches("http://").to_owned()).expect("it is set once");
    let shop = app.signed_merchant().await;
    let operator = app.operator().await;
    let paid = async |expected: &str| {
        let order = app.order(&shop, "10.00").await;
        let attempt = start(&app, &order, Some("WECHAT"), "NATIVE").await;
        assert_eq!((&attempt["channel"], &attempt["status"]), (&json!(expected), &json!("USER_PENDING")));
        confirm(&app, &attempt).await;
        app.until_order(&order, "PAID").await;
        attempt
    };
    paid("WECHAT_PAY").await;
    line.open.send_replace(false);
    // each is asked for in vain first, until the channel is known to do badly, and goes on to the aggregator within the same call
    for _ in 0..5 {
        paid("SANDBOX").await;
    }
    let state = "{ channels { channel method state } }";
    let channels = app.read(&operator, "channels", state, json!({})).await;
    let wechat = channels.as_array().unwrap().iter().find(|c| c["channel"] == "WECHAT_PAY" && c["method"] == "NATIVE").unwrap();
    assert!(["DEGRADED", "OPEN"].contains(&wechat["state"].as_str().unwrap()), "{wechat}");
    let attempt = paid("SANDBOX").await;
    let silent: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_attempts WHERE channel = 'WECHAT_PAY' AND status = 'UNKNOWN'")
        .fetch_one(app.db())
        .await
        .unwrap();
    assert!((2..6).contains(&silent), "some were asked for there, and soon nobody waits for it any more: {silent}");
    let why = "query($id: ID!) { paymentRoute(attemptId: $id) }";
    let why = app.read(&operator, "paymentRoute", why, json!({ "id": attempt["id"] })).await;
    let said: Vec<String> = why.as_array().unwrap().iter().map(text).collect();
    assert_eq!(said.len(), 6, "one for each candidate");
    assert!(said.iter().any(|s| s.starts_with("AGGREGATOR (SANDBOX) was chosen: it is healthy")), "{said:?}");

    // back again: what was silent is closed there, and nobody paid it
    line.open.send_replace(true);
    app.play_ahead(TimeDelta::minutes(41)).await;
    eventually(PAY_LIMIT * 3, "the silent attempts end", async || {
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_attempts WHERE status IN ('SENT', 'UNKNOWN', 'USER_PENDING')")
            .fetch_one(app.db())
            .await
            .unwrap();
        (open == 0).then_some(())
    })
    .await;
    assert_eq!(pending(&app, &shop).await, "69.72", "seven orders of 10.00, each less 0.04, each once");
    app.finish().await;
}

#[tokio::test]
async fn an_operator_switches_a_channel_off_and_the_cashier_shows_what_is_left() {
    let app = TestApp::start_on(database().await, &[("HAODIAN_CHANNEL__CONNECTED", r#"["ALIPAY", "WECHAT_PAY"]"#)]).await;
    let shop = app.signed_merchant().await;
    let operator = app.operator().await;
    let order = app.order(&shop, "10.00").await;
    let ways = async || {
        let query = "query($ticket: String!) { cashier(ticket: $ticket) { ways { wallet methods } } }";
        app.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await["ways"].clone()
    };
    let wechat = json!({ "wallet": "WECHAT", "methods": ["IN_APP", "NATIVE"] });
    let alipay = json!({ "wallet": "ALIPAY", "methods": ["PAGE", "WAP", "NATIVE"] });
    assert_eq!(ways().await, json!([wechat, alipay]));

    let off = json!({ "channel": "WECHAT_PAY", "state": "OFF" });
    let told = app.done(&operator, "channelSwitch", off, "channels { method state }").await;
    assert_eq!(told["channels"][0]["state"], "DISABLED");
    assert_eq!(ways().await, json!([alipay]));
    let input = json!({ "ticket": order.ticket, "wallet": "WECHAT", "method": "NATIVE", "idempotencyKey": key() });
    let refused = app.mutate(&Caller::nobody(), "paymentStart", input.clone(), ATTEMPT).await;
    assert_eq!(refused.codes(), ["STATE_NO_CHANNEL"]);
    let bad = [
        (json!({ "channel": "PAYPAL", "state": "OFF" }), "channel"),
        (json!({ "channel": "ALIPAY", "state": "MAINTENANCE" }), "until"),
        (json!({ "channel": "ALIPAY", "state": "OFF", "until": "2030-01-01T00:00:00Z" }), "until"),
    ];
    for (input, field) in bad {
        let refused = app.mutate(&operator, "channelSwitch", input, "channels { state }").await;
        assert_eq!(refused.field("channelSwitch")["userErrors"][0]["field"], field, "{}", refused.text);
    }

    // an order that found no channel and ran out counts as ours; one that its customer let pass does not; one that was paid does
    let (paid, left) = (app.order(&shop, "10.00").await, app.order(&shop, "10.00").await);
    let attempt = start(&app, &paid, Some("ALIPAY"), "NATIVE").await;
    confirm(&app, &attempt).await;
    app.until_order(&paid, "PAID").await;
    start(&app, &left, Some("ALIPAY"), "NATIVE").await;
    let today = app.today().await;
    app.play_ahead(TimeDelta::minutes(40)).await;
    eventually(PAY_LIMIT, "what was left is closed", async || {
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM payment_attempts WHERE status <> 'SUCCEEDED' AND status <> 'CLOSED_AT_CHANNEL'")
                .fetch_one(app.db())
                .await
                .unwrap();
        (open == 0).then_some(())
    })
    .await;
    let query = "query($from: Date!, $to: Date!) { effectiveSuccess(from: $from, to: $to) { channel orders failures } }";
    let tomorrow = app.today().await;
    let figures = app.read(&operator, "effectiveSuccess", query, json!({ "from": today, "to": tomorrow })).await;
    let all = json!({ "channel": null, "orders": 2, "failures": 1 });
    let of_alipay = json!({ "channel": "ALIPAY", "orders": 1, "failures": 0 });
    assert_eq!(figures, json!([all, of_alipay]));
    app.finish().await;
}
