//! The same drills on every channel's own protocol, side by side in one process: the sandbox is not connected, so that nothing can go there.

use std::collections::BTreeMap;
use std::rc::Rc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, database, eventually, key};
use tokio::task::{JoinSet, LocalSet};

use super::run::{self, Open, Ordered, profile, resolved, withdraw, yuan};
use super::{LIMIT, truth};

/// Wallet and method of each protocol.
const WAYS: [(&str, &str); 5] = [("WECHAT", "NATIVE"), ("ALIPAY", "NATIVE"), ("UNIONPAY", "NATIVE"), ("ECNY", "NATIVE"), ("BANK", "PAGE")];

const CHANNELS: [&str; 5] = ["ALIPAY", "BANK", "ECNY", "UNIONPAY", "WECHAT_PAY"];

/// Customers of each profile and way.
const CUSTOMERS: usize = 3;

async fn app() -> Rc<TestApp> {
    let settings = [
        ("HAODIAN_CHANNEL__CONNECTED", r#"["WECHAT_PAY", "ALIPAY", "UNIONPAY", "ECNY", "BANK"]"#),
        ("HAODIAN_CHANNEL__TIMEOUT_MS", "1500"),
        ("HAODIAN_PAYOUT__CHANNEL", "bank"),
    ];
    Rc::new(TestApp::start_on(database().await, &settings).await)
}

/// Starts to pay until there is something to show. None: the order is paid, closed or under review.
async fn begin(app: &TestApp, order: &OrderHandle, (wallet, method): (&str, &str)) -> Option<Value> {
    eventually(LIMIT, "there is something to pay with", async || {
        let input = json!({ "ticket": order.ticket, "wallet": wallet, "method": method, "idempotencyKey": key() });
        let attempt = "attempt { status channel invitation { kind content } }";
        let answer = app.mutate(&Caller::nobody(), "paymentStart", input, attempt).await;
        if answer.codes().iter().any(|code| ["STATE_PAID", "STATE_CLOSED", "STATE_EXPIRED", "STATE_UNDER_REVIEW"].contains(&code.as_str()))
        {
            return Some(None);
        }
        let attempt = &answer.body["data"]["paymentStart"]["attempt"];
        (attempt["status"] == "USER_PENDING").then(|| Some(attempt.clone()))
    })
    .await
}

/// One customer: pays, and once more when it comes to nothing; the last one only looks, and the merchant closes the order, where the
/// channel closes anything.
async fn customer(app: &TestApp, shop: &Shop, way: (&str, &str), number: usize) -> Ordered {
    let amount = 100 + 37 * i64::try_from(number).expect("small");
    let handle = app.order_at(shop, number % 2, &yuan(amount)).await;
    for _ in 0..2 {
        let Some(attempt) = begin(app, &handle, way).await else { break };
        let page = app.payer_page(&attempt).await;
        if number + 1 == CUSTOMERS && way.0 != "UNIONPAY" {
            run::close(app, shop, &handle).await;
            break;
        }
        let answer = app.http().post(format!("{page}/confirm")).json(&json!({ "notices": 1, "delay_ms": 0 })).send().await.unwrap();
        let told: Value = answer.json().await.unwrap();
        // at UnionPay a payer who was declined may try the same code again until its time is over
        if told["status"] != "FAILED" || way.0 == "UNIONPAY" {
            break;
        }
        run::failed(app, &handle).await;
    }
    Ordered { handle, amount }
}

/// All ways at once; the orders of each.
async fn customers(app: &Rc<TestApp>, shop: &Shop) -> Vec<Ordered> {
    let (mut all, set) = (JoinSet::new(), LocalSet::new());
    for way in WAYS {
        for number in 0..CUSTOMERS {
            let (app, shop) = (app.clone(), shop.clone());
            all.spawn_local_on(async move { customer(&app, &shop, way, number).await }, &set);
        }
    }
    set.run_until(all.join_all()).await
}

/// A merchant with 996.20 to withdraw, paid at the bank yesterday.
async fn settled_shop(app: &TestApp) -> Shop {
    let shop = app.signed_merchant_yesterday().await;
    let order = app.order(&shop, "1000.00").await;
    let attempt = begin(app, &order, ("BANK", "PAGE")).await.expect("nothing goes wrong yet");
    let page = app.payer_page(&attempt).await;
    app.http().post(format!("{page}/confirm")).json(&json!({})).send().await.unwrap().error_for_status().unwrap();
    app.until_order(&order, "PAID").await;
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(&shop).await.1 == "996.20").then_some(())).await;
    shop
}

async fn drill(profiles: &[&str]) {
    let app = app().await;
    let shop = settled_shop(&app).await;
    for name in profiles {
        profile(&app, name).await;
        for minor in [101, 202] {
            withdraw(&app, &shop, minor).await;
        }
        for (n, order) in customers(&app, &shop).await.iter().enumerate().filter(|(n, _)| n % CUSTOMERS == 0) {
            let amount = if n % 2 == 0 { order.amount } else { order.amount - 1 };
            let input = json!({ "orderId": order.handle.id, "amount": yuan(amount), "reason": "演练", "idempotencyKey": key() });
            // one that is not paid, or not known to be, cannot be refunded
            app.mutate(&shop.owner, "refundRequest", input, "refund { id }").await;
        }
        run::carried_out(&app).await;
    }
    profile(&app, "calm").await;
    resolved(&app, Open::Decided).await;
    // what nobody paid ends with its time: but at UnionPay, whose time no sandbox moves
    app.play_ahead(TimeDelta::minutes(41)).await;
    eventually(LIMIT, "what nobody paid is over", async || {
        run::hurry(&app).await;
        let open = "SELECT count(*) FROM payment_attempts WHERE status IN ('SENT', 'USER_PENDING', 'UNKNOWN') AND channel <> 'UNIONPAY'";
        let open: i64 = sqlx::query_scalar(open).fetch_one(app.owner_db()).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    resolved(&app, Open::Decided).await;
    run::decide(&app).await;
    let found = run::compared(&app).await;
    assert_eq!(found.paid_out + found.came_back, 2 * profiles.len(), "{found:?}");
    let paid: Vec<(String, i64)> =
        sqlx::query_as("SELECT channel, count(*) FROM payment_attempts WHERE status = 'SUCCEEDED' GROUP BY channel ORDER BY channel")
            .fetch_all(app.owner_db())
            .await
            .unwrap();
    assert_eq!(paid.iter().map(|(channel, _)| channel.as_str()).collect::<Vec<_>>(), CHANNELS, "each took money: {paid:?}");
    Rc::into_inner(app).expect("all customers are done").finish().await;
}

#[tokio::test]
async fn whatever_becomes_of_answers_every_protocol_ends_as_what_its_channel_did() {
    drill(&["slow", "lossy", "down", "storm"]).await;
}

#[tokio::test]
async fn whatever_notices_say_every_protocol_ends_as_what_its_channel_did() {
    drill(&["bounce", "duplicating", "reordering", "lying", "late"]).await;
}

/// What was said to another merchant under the right key was taken for ours by others (jeepay 3.2.9): here no protocol falls for it.
#[tokio::test]
async fn a_notice_for_another_merchant_or_amount_books_nothing_whatever_the_protocol() {
    let app = app().await;
    let shop = app.signed_merchant().await;
    let held = [("UNIONPAY", "changed_currency"), ("ALIPAY", "changed_currency")];
    for lie in ["wrong_merchant", "changed_amount", "changed_currency"] {
        profile(&app, &format!("about = \"lies\"\nseed = 1\n[notice.payment]\n{lie} = 10000\n")).await;
        let stored = "SELECT count(*) FROM notices";
        let before: i64 = sqlx::query_scalar(stored).fetch_one(app.owner_db()).await.unwrap();
        let mut orders = BTreeMap::new();
        for way in WAYS {
            let order = app.order(&shop, "10.00").await;
            let attempt = begin(&app, &order, way).await.expect("answers are as ever");
            let page = app.payer_page(&attempt).await;
            app.http().post(format!("{page}/confirm")).json(&json!({})).send().await.unwrap().error_for_status().unwrap();
            orders.insert(way.0, order);
        }
        for (wallet, order) in &orders {
            // UnionPay's messages are renminbi or not ours, and Alipay's have no currency: there the question tells
            let expected = if lie == "wrong_merchant" || held.contains(&(*wallet, lie)) { "SUCCEEDED" } else { "CONFLICTED" };
            eventually(PAY_LIMIT, &format!("{wallet} after {lie} is {expected}"), async || {
                let query = "query($ticket: String!) { cashier(ticket: $ticket) { attempt { status } } }";
                let shown = app.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await;
                (shown["attempt"]["status"] == expected).then_some(())
            })
            .await;
        }
        if lie == "wrong_merchant" {
            let after: i64 = sqlx::query_scalar(stored).fetch_one(app.owner_db()).await.unwrap();
            assert_eq!(after, before, "what is said to another merchant is not kept");
            let logs = app.logs();
            let served = &logs.iter().find(|(name, _)| *name == "serve").expect("the server has a log").1;
            for channel in CHANNELS {
                let of_channel =
                    |line: &&str| line.contains("the notice is about somebody else") && line.contains(&format!("\"{channel}\""));
                assert!(served.lines().any(|line| of_channel(&line)), "{channel} told it, rightly signed");
            }
        }
    }
    // seven of fifteen payments of 10.00, each less 0.04: about the other eight a person has to decide
    assert_eq!(app.wallet(&shop).await.0, "69.72");
    profile(&app, "calm").await;
    let found = truth::compare(&app).await;
    assert_eq!((found.wrong.as_slice(), found.paid, found.conflicted), (&[][..], 7, 8), "{found:?}");
    Rc::into_inner(app).expect("nobody else has it").finish().await;
}
