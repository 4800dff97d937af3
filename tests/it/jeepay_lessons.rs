//! What jeepay's users found the hard way, each as a test of ours, over the true wire of every channel it could happen at.
//!
//! Its upgrade log: notices that came twice (I3ZQWC), a fee rate that was not frozen on the order (I46MDI), a configuration that a process
//! did not notice, a payment through a disabled interface (I4SM0M), a wrong fee on an aggregated code (I4D2EB), a refund's query misread
//! (I9RX2D), a notice of merchant A under a valid signature that settled an order of B (v3.2.9), a crash on crafted input (v3.2.9). That
//! notices to merchants are tried again for a day and no longer stands with the other tests of them, in `webhooks/failing.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, eventually, key, order_of, text};

use crate::routing::{ATTEMPT, confirm, start};

/// Wallets with a channel of their own, each with its protocol.
const PROTOCOLS: [(&str, &str); 4] = [("WECHAT", "WECHAT_PAY"), ("ALIPAY", "ALIPAY"), ("UNIONPAY", "UNIONPAY"), ("ECNY", "ECNY")];

/// What an order of 10.00 leaves its merchant at 38 basis points.
const NET: &str = "9.96";

async fn profile(app: &TestApp, text: &str) {
    let text = format!("about = \"a lesson\"\nseed = 1\n{text}");
    let answer = app.http().post(format!("{}/control/profile", app.sim_url())).body(text).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// Starts to pay by code at a wallet's own channel.
async fn invited(app: &TestApp, order: &OrderHandle, (wallet, channel): (&str, &str)) -> Value {
    let attempt = start(app, order, Some(wallet), "NATIVE").await;
    assert_eq!((&attempt["channel"], &attempt["status"]), (&json!(channel), &json!("USER_PENDING")), "{attempt}");
    attempt
}

async fn pending(app: &TestApp, shop: &Shop) -> String {
    app.wallet(shop).await.0
}

async fn shown(app: &TestApp, shop: &Shop, order: &OrderHandle) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { status refunded { amount } attempts { status } refunds { status } } } }";
    app.read(&shop.owner, "node", query, json!({ "id": order.id })).await
}

async fn until_attempt(app: &TestApp, shop: &Shop, order: &OrderHandle, status: &str) {
    eventually(PAY_LIMIT, &format!("the attempt is {status}"), async || {
        (shown(app, shop, order).await["attempts"][0]["status"] == status).then_some(())
    })
    .await;
}

fn refund(order: &OrderHandle, amount: &str) -> Value {
    json!({ "orderId": order.id, "amount": amount, "reason": "退货", "idempotencyKey": key() })
}

/// How many notices are stored, and how often they came.
async fn notices(app: &TestApp) -> (i64, i64) {
    sqlx::query_as("SELECT count(*), COALESCE(sum(deliveries), 0)::bigint FROM notices").fetch_one(app.owner_db()).await.unwrap()
}

#[tokio::test]
async fn a_notice_that_comes_five_times_and_all_at_once_books_once() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    profile(&app, "[notice]\nduplicate = 10000\ntimes = 5\n").await;
    let mut orders = Vec::new();
    for protocol in PROTOCOLS {
        let order = app.order(&shop, "10.00").await;
        let attempt = invited(&app, &order, protocol).await;
        confirm(&app, &attempt).await;
        orders.push(order);
    }
    for order in &orders {
        app.until_order(order, "PAID").await;
    }
    eventually(PAY_LIMIT, "each notice came five times", async || (notices(&app).await == (4, 20)).then_some(())).await;
    app.drained().await;
    assert_eq!(pending(&app, &shop).await, "39.84");
    app.finish().await;
}

#[tokio::test]
async fn a_notice_for_another_merchant_under_a_valid_signature_settles_no_order() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    // told once in place of the truth; the truth is found by asking
    profile(&app, "[notice.payment]\nwrong_merchant = 10000\n").await;
    let mut orders = Vec::new();
    for protocol in PROTOCOLS {
        let order = app.order(&shop, "10.00").await;
        let attempt = invited(&app, &order, protocol).await;
        confirm(&app, &attempt).await;
        orders.push(order);
    }
    eventually(PAY_LIMIT, "every notice came, rightly signed", async || {
        let logs = app.logs();
        let serve = &logs.iter().find(|(name, _)| *name == "serve")?.1;
        let refused = |channel: &str| {
            serve
                .lines()
                .any(|line| line.contains("the notice is about somebody else") && line.contains(&format!("\"sender\":\"{channel}\"")))
        };
        PROTOCOLS.iter().all(|(_, channel)| refused(channel)).then_some(())
    })
    .await;
    for order in &orders {
        app.until_order(order, "PAID").await;
    }
    assert_eq!(notices(&app).await.0, 0, "what is said to another merchant is not kept, and paid nothing");
    assert_eq!(pending(&app, &shop).await, "39.84");
    app.finish().await;
}

#[tokio::test]
async fn a_notice_of_another_amount_books_nothing_and_waits_for_a_person() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    profile(&app, "[notice.payment]\nchanged_amount = 10000\n").await;
    for protocol in PROTOCOLS {
        let order = app.order(&shop, "10.00").await;
        let attempt = invited(&app, &order, protocol).await;
        confirm(&app, &attempt).await;
        until_attempt(&app, &shop, &order, "CONFLICTED").await;
        assert_eq!(shown(&app, &shop, &order).await["status"], "PAYING", "{protocol:?}");
        let again = json!({ "ticket": order.ticket, "wallet": protocol.0, "method": "NATIVE", "idempotencyKey": key() });
        let again = app.mutate(&Caller::nobody(), "paymentStart", again, ATTEMPT).await;
        assert_eq!(again.codes(), ["STATE_UNDER_REVIEW"], "nobody is asked to pay twice meanwhile");
    }
    assert_eq!(pending(&app, &shop).await, "0.00");
    app.finish().await;
}

#[tokio::test]
async fn the_fee_is_that_of_the_day_the_order_was_made_for_the_payment_and_for_its_refund() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let old = app.order(&shop, "10.00").await;
    let rate = async |bps: i32| {
        sqlx::query("UPDATE merchants SET fee_bps = $1 WHERE merchant_id = $2")
            .bind(bps)
            .bind(shop.merchant_id.0)
            .execute(app.owner_db())
            .await
            .unwrap();
    };
    rate(600).await;
    let new = app.order(&shop, "10.00").await;
    let attempt = invited(&app, &old, PROTOCOLS[0]).await;
    confirm(&app, &attempt).await;
    app.until_order(&old, "PAID").await;
    assert_eq!(pending(&app, &shop).await, NET, "the rate of then, 0.38 %");
    rate(0).await;
    app.done(&shop.owner, "refundRequest", refund(&old, "5.00"), "refund { id }").await;
    eventually(PAY_LIMIT, "half goes back, and half its fee with it", async || (pending(&app, &shop).await == "4.98").then_some(())).await;
    app.pay(&new).await;
    assert_eq!(pending(&app, &shop).await, "14.38", "and of the other order 6 %");
    app.finish().await;
}

#[tokio::test]
async fn a_code_of_the_aggregator_costs_the_merchant_what_a_channel_of_its_own_does() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let (own, aggregated) = (app.order(&shop, "10.00").await, app.order(&shop, "10.00").await);
    let attempt = invited(&app, &own, PROTOCOLS[1]).await;
    confirm(&app, &attempt).await;
    app.until_order(&own, "PAID").await;
    assert_eq!(pending(&app, &shop).await, NET);
    let attempt = start(&app, &aggregated, None, "NATIVE").await;
    assert_eq!(attempt["channel"], "SANDBOX");
    confirm(&app, &attempt).await;
    app.until_order(&aggregated, "PAID").await;
    assert_eq!(pending(&app, &shop).await, "19.92");
    app.finish().await;
}

#[tokio::test]
async fn a_disabled_channel_takes_no_new_payment_at_any_process_and_finishes_what_it_has() {
    let settings = [("HAODIAN_CHANNEL__CONNECTED", r#"["WECHAT_PAY", "ALIPAY"]"#)];
    let app = TestApp::start_on(tests::database().await, &settings).await;
    let (other, url) = app.another_server().await;
    let shop = app.signed_merchant().await;
    let operator = app.operator().await;
    let orders = [app.order(&shop, "10.00").await, app.order(&shop, "10.00").await, app.order(&shop, "10.00").await];
    let [paid, told, asked] = &orders;
    let attempt = invited(&app, paid, PROTOCOLS[0]).await;
    confirm(&app, &attempt).await;
    app.until_order(paid, "PAID").await;
    let to_be_told = invited(&app, told, PROTOCOLS[0]).await;
    let to_be_asked = invited(&app, asked, PROTOCOLS[0]).await;

    app.done(&operator, "channelSwitch", json!({ "channel": "WECHAT_PAY", "state": "OFF" }), "channels { state }").await;
    let ways = json!({ "query": "query($ticket: String!) { cashier(ticket: $ticket) { ways { wallet } } }", "variables": { "ticket": told.ticket } });
    eventually(Duration::from_secs(10), "the other process has noticed", async || {
        let answer: Value = app.http().post(format!("{url}/graphql")).json(&ways).send().await.ok()?.json().await.ok()?;
        (answer["data"]["cashier"]["ways"] == json!([{ "wallet": "ALIPAY" }])).then_some(())
    })
    .await;
    let fresh = app.order(&shop, "10.00").await;
    let input = json!({ "ticket": fresh.ticket, "wallet": "WECHAT", "method": "NATIVE", "idempotencyKey": key() });
    let body = json!({ "query": tests::mutation_text("paymentStart", &input, ATTEMPT), "variables": { "input": input } });
    for base in [app.url(), &url] {
        let answer: Value = app.http().post(format!("{base}/graphql")).json(&body).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["data"]["paymentStart"]["userErrors"][0]["code"], "STATE_NO_CHANNEL", "{answer}");
    }

    confirm(&app, &to_be_told).await;
    app.until_order(told, "PAID").await;
    profile(&app, "[notice.payment]\ndrop = 10000\n").await;
    confirm(&app, &to_be_asked).await;
    app.until_order(asked, "PAID").await;
    app.done(&shop.owner, "refundRequest", refund(paid, "10.00"), "refund { id }").await;
    eventually(PAY_LIMIT, "the refund arrives", async || {
        (shown(&app, &shop, paid).await["refunds"][0]["status"] == "SUCCEEDED").then_some(())
    })
    .await;
    assert_eq!(pending(&app, &shop).await, "19.92");
    let stopped = tokio::task::spawn_blocking(move || other.stop(PAY_LIMIT)).await.unwrap();
    assert!(stopped.success(), "{stopped}");
    app.finish().await;
}

#[tokio::test]
async fn a_refund_that_was_taken_and_not_done_is_never_told_as_done() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    profile(&app, "[business]\nrefund_fail = 10000\n").await;
    for protocol in PROTOCOLS {
        let order = app.order(&shop, "10.00").await;
        let attempt = invited(&app, &order, protocol).await;
        confirm(&app, &attempt).await;
        app.until_order(&order, "PAID").await;
        let before = pending(&app, &shop).await;
        app.done(&shop.owner, "refundRequest", refund(&order, "10.00"), "refund { id }").await;
        // the order is read before its refunds: the next look has both
        eventually(PAY_LIMIT, "the refund ends", async || {
            let shown = shown(&app, &shop, &order).await;
            assert_ne!(shown["refunds"][0]["status"], "SUCCEEDED", "{protocol:?}");
            match protocol.0 {
                // ABNORMAL: the payer's account is closed there, so the money waits for another account of theirs
                "WECHAT" => (shown["refunds"][0]["status"] == "REROUTE").then_some(()),
                _ => (shown["refunds"][0]["status"] == "FAILED" && shown["refunded"]["amount"] == "0.00").then_some(()),
            }
        })
        .await;
        if protocol.0 != "WECHAT" {
            assert_eq!(pending(&app, &shop).await, before, "{protocol:?}");
        }
    }
    let told: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE kind = 'refund.succeeded'").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(told, 0);
    app.finish().await;
}

#[tokio::test]
async fn refunds_at_once_give_back_no_more_than_was_paid() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    // another order, so that its money would be there to be taken
    app.pay(&app.order(&shop, "100.00").await).await;
    let order = app.order(&shop, "10.00").await;
    let attempt = invited(&app, &order, PROTOCOLS[1]).await;
    confirm(&app, &attempt).await;
    app.until_order(&order, "PAID").await;
    let ask = || app.mutate(&shop.owner, "refundRequest", refund(&order, "4.00"), "refund { id }");
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let mut refused: Vec<_> = [a, b, c, d].iter().flat_map(|answer| answer.codes()).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["AMOUNT_EXCEEDS_PAID", "AMOUNT_EXCEEDS_PAID"], "two of 4.00 fit into 10.00");
    eventually(PAY_LIMIT, "what was taken arrives", async || {
        let shown = shown(&app, &shop, &order).await;
        (shown["refunds"] == json!([{ "status": "SUCCEEDED" }, { "status": "SUCCEEDED" }])).then_some(())
    })
    .await;
    assert_eq!(shown(&app, &shop, &order).await["refunded"]["amount"], "8.00");
    app.finish().await;
}

#[tokio::test]
async fn a_success_told_after_the_order_was_closed_goes_back_to_the_payer() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    profile(&app, "[business]\nlate_success = 10000\nafter_ms = [300, 300]\n").await;
    // the two that can close a code nobody has scanned
    for protocol in [PROTOCOLS[0], PROTOCOLS[3]] {
        let order = app.order(&shop, "10.00").await;
        invited(&app, &order, protocol).await;
        let input = json!({ "orderId": order.id, "idempotencyKey": key() });
        app.done(&shop.owner, "orderClose", input, "order { status }").await;
        eventually(PAY_LIMIT, "the late money goes back", async || {
            let shown = shown(&app, &shop, &order).await;
            (shown["refunds"] == json!([{ "status": "SUCCEEDED" }])).then(|| assert_eq!(shown["status"], "CLOSED", "{protocol:?}"))
        })
        .await;
    }
    assert_eq!(pending(&app, &shop).await, "0.00");
    app.finish().await;
}

#[tokio::test]
async fn the_same_number_at_two_merchants_is_two_orders_and_two_payments() {
    let app = TestApp::start().await;
    let ours = app.signed_merchant().await;
    let theirs = app.signed_merchant_of(app.stranger().await, "隔壁便利", "6222020200001123457").await;
    let number = key();
    let mut orders = Vec::new();
    for shop in [&ours, &theirs] {
        orders.push(order_of(&app.order_with_key(shop, 0, "10.00", &number).await));
    }
    assert_ne!(orders[0].id, orders[1].id);
    let pay = key();
    let mut attempts = Vec::new();
    for order in &orders {
        let input = json!({ "ticket": order.ticket, "wallet": "WECHAT", "method": "NATIVE", "idempotencyKey": pay });
        attempts.push(app.done(&Caller::nobody(), "paymentStart", input, ATTEMPT).await["attempt"].clone());
    }
    assert_ne!(text(&attempts[0]["id"]), text(&attempts[1]["id"]));
    confirm(&app, &attempts[1]).await;
    app.until_order(&orders[1], "PAID").await;
    assert_eq!((pending(&app, &ours).await.as_str(), pending(&app, &theirs).await.as_str()), ("0.00", NET));
    assert_eq!(shown(&app, &ours, &orders[0]).await["status"], "PAYING");
    app.finish().await;
}

#[tokio::test]
async fn what_is_crafted_is_refused_and_fells_nobody() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "10.00").await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"{}",
        b"null",
        b"[[[[[[[[[[",
        b"{\"resource\":{\"ciphertext\":\"AA\",\"nonce\":\"\",\"associated_data\":null}}",
        b"{\"resource\":{\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"nonce\":\"0123456789012345678901234567890\"}}",
        b"sign=%FF%FE&sign_type=RSA2&total_amount=%2e&out_trade_no=%00",
        b"signPubKeyCert=-----BEGIN%20CERTIFICATE-----&signature=AA==&txnAmt=999999999999999999999",
        b"\xff\xfe\x00\x01",
    ];
    let headers = [
        ("wechatpay-timestamp", "99999999999999999999"),
        ("wechatpay-nonce", "\u{7f}"),
        ("wechatpay-serial", "../../platform.pk8"),
        ("wechatpay-signature", "AAAA"),
        ("x-haodian-signature", "ed25519=:::"),
    ];
    for channel in ["wechat_pay", "alipay", "unionpay", "ecny", "sandbox", "bank", "paypal", "..", "%00", "wechat_pay%2f.."] {
        for body in bodies {
            for kind in ["application/json", "application/x-www-form-urlencoded"] {
                let request = app.http().post(format!("{}/notices/{channel}", app.url())).header("content-type", kind).body(body);
                let request = headers.iter().filter(|(_, value)| value.is_ascii()).fold(request, |request, (name, value)| {
                    reqwest::header::HeaderValue::from_str(value)
                        .map_or(request.try_clone().expect("bytes"), |value| request.header(*name, value))
                });
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_client_error(), "{channel} {}: {}", String::from_utf8_lossy(body), answer.status());
            }
        }
    }
    let long = "A".repeat(8_000);
    for ticket in ["%00", "..%2f..%2fetc", "%F0%9F%92%A9", "null", "undefined", "%7B%7D", &long, &order.ticket[1..]] {
        let answer = app.http().get(format!("{}/cashier/{ticket}?state=%25%00%FF&code[]=1", app.url())).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{ticket}: {}", answer.status());
    }
    assert_eq!(notices(&app).await, (0, 0));
    app.pay(&order).await;
    assert_eq!(pending(&app, &shop).await, NET);
    app.finish().await;
}
