//! What people do while everything goes wrong, and the waiting until it is resolved.

use std::rc::Rc;
use std::time::{Duration, Instant};

use api::graphql::id::GlobalId;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, OrderHandle, PAY_LIMIT, Shop, TestApp, eventually, key, text};
use tokio::task::{JoinSet, LocalSet};
use wallet::base::id::{BookId, RefundId};

use super::LIMIT;
use super::truth::Found;

/// How long nothing must have happened at the acquirer: longer than anything there comes late.
const QUIET: Duration = Duration::from_millis(1_800);

/// Changes what goes wrong: a shipped profile's name, or a whole profile.
pub async fn profile(app: &TestApp, text: &str) {
    let answer = app.http().post(format!("{}/control/profile", app.sim_url())).body(text.to_owned()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// Merchants with money to withdraw: each was paid 1,000.00 yesterday.
pub async fn settled_shops(app: &TestApp, count: usize) -> Vec<Shop> {
    app.play_yesterday().await;
    let owner = app.owner().await;
    let mut shops = Vec::new();
    for number in 0..count {
        let shop = app.signed_merchant_of(owner.clone(), &format!("好店{number}号"), "6222020200001123456").await;
        app.pay(&app.order(&shop, "1000.00").await).await;
        shops.push(shop);
    }
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    for shop in &shops {
        eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(shop).await.1 == "996.20").then_some(())).await;
    }
    shops
}

/// An order of a drill.
pub struct Ordered {
    pub handle: OrderHandle,
    /// In fen.
    pub amount: i64,
}

/// So many customers at once; their orders.
pub async fn customers(app: &Rc<TestApp>, shop: &Shop, count: usize) -> Vec<Ordered> {
    let mut all = JoinSet::new();
    let set = LocalSet::new();
    for number in 0..count {
        let (app, shop) = (app.clone(), shop.clone());
        all.spawn_local_on(async move { customer(&app, &shop, number).await }, &set);
    }
    set.run_until(all.join_all()).await
}

/// One customer: most pay, and pay once more when it comes to nothing; every fifth only looks, and the merchant closes the order.
async fn customer(app: &TestApp, shop: &Shop, number: usize) -> Ordered {
    let amount = 100 + 37 * i64::try_from(number).expect("small");
    let handle = app.order_at(shop, number % 2, &yuan(amount)).await;
    for _ in 0..2 {
        let Some(page) = begin(app, &handle).await else { break };
        if number % 5 == 4 {
            close(app, shop, &handle).await;
            break;
        }
        let body = json!({ "notices": 1, "delay_ms": 0 });
        let answer = app.http().post(format!("{page}/confirm")).json(&body).send().await.unwrap();
        let told: Value = answer.json().await.unwrap();
        if told["status"] != "FAILED" {
            break;
        }
        // the customer tries again as soon as the platform has heard of it
        failed(app, &handle).await;
    }
    Ordered { handle, amount }
}

/// Starts to pay until there is a page to pay on. None: the order is paid, closed or under review.
async fn begin(app: &TestApp, order: &OrderHandle) -> Option<String> {
    eventually(LIMIT, "there is a page to pay on", async || {
        let input = json!({ "ticket": order.ticket, "idempotencyKey": key() });
        let answer = app.mutate(&Caller::nobody(), "paymentStart", input, "attempt { status payUrl }").await;
        if answer.codes().iter().any(|code| code.starts_with("STATE_") && code != "STATE_BUSY") {
            return Some(None);
        }
        let attempt = &answer.body["data"]["paymentStart"]["attempt"];
        (attempt["status"] == "USER_PENDING").then(|| attempt["payUrl"].as_str().map(str::to_owned))
    })
    .await
}

pub async fn failed(app: &TestApp, order: &OrderHandle) {
    eventually(LIMIT, "the platform knows how it ended", async || {
        hurry(app).await;
        let query = "query($ticket: String!) { cashier(ticket: $ticket) { attempt { status } } }";
        let shown = app.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await;
        (shown["attempt"]["status"] != "USER_PENDING").then_some(())
    })
    .await;
}

/// Closes an order, as often as it takes; one that is paid or waits for a person stays as it is.
pub async fn close(app: &TestApp, shop: &Shop, order: &OrderHandle) {
    eventually(LIMIT, "the order is closed", async || {
        let input = json!({ "orderId": order.id, "idempotencyKey": key() });
        let answer = app.mutate(&shop.owner, "orderClose", input, "order { status }").await;
        let still_paying = answer.codes().iter().any(|code| code == "STATE_PAYING");
        (!still_paying).then_some(())
    })
    .await;
}

/// Asks for a withdrawal; its id.
pub async fn withdraw(app: &TestApp, shop: &Shop, minor: i64) -> String {
    let input = json!({ "merchantId": shop.merchant, "amount": yuan(minor), "currency": "CNY", "idempotencyKey": key() });
    let payload = app.done(&shop.owner, "withdrawalRequest", input, "withdrawal { id }").await;
    text(&payload["withdrawal"]["id"])
}

/// Waits until what was asked for was asked of the acquirer and the bank, and what they took in has its result.
pub async fn carried_out(app: &TestApp) {
    eventually(LIMIT, "everything is under way", async || {
        let waiting =
            "SELECT (SELECT count(*) FROM refunds WHERE status = 'FUNDED') + (SELECT count(*) FROM withdrawals WHERE status = 'HELD')";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(app.owner_db()).await.unwrap();
        (waiting == 0 && !super::truth::text(app).await.contains("\"ACCEPTED\"")).then_some(())
    })
    .await;
}

/// What may still be open.
#[derive(Clone, Copy)]
pub enum Open {
    /// Payments that nobody has decided.
    Decided,
    /// Nothing.
    Nothing,
}

/// Asks about everything that is open until the answer is known.
pub async fn resolved(app: &TestApp, open: Open) {
    let (mut before, mut since) = (String::new(), Instant::now());
    eventually(LIMIT, "everything is resolved", async || {
        hurry(app).await;
        // what is told to come later must have come
        let truth = super::truth::text(app).await;
        if truth != before {
            (before, since) = (truth, Instant::now());
        }
        let decided = super::truth::decided(&before);
        let waiting: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM payment_attempts
                     WHERE status IN ('SENT', 'USER_PENDING', 'UNKNOWN')
                       AND ($1 OR replace(attempt_id::text, '-', '') = ANY(CASE WHEN channel = 'UNIONPAY' THEN $3 ELSE $2 END)))
                  + (SELECT count(*) FROM refunds WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CONFLICTED', 'REROUTE'))
                  + (SELECT count(*) FROM withdrawals WHERE status IN ('HELD', 'SUBMITTED', 'UNKNOWN', 'RETURNED'))",
        )
        .bind(matches!(open, Open::Nothing))
        .bind(&decided)
        // a payer whom UnionPay declined may try again until the code's time is over
        .bind(super::truth::paid(&before))
        .fetch_one(app.owner_db())
        .await
        .unwrap();
        let quiet = since.elapsed() > QUIET || matches!(open, Open::Nothing);
        (waiting == 0 && quiet && !super::truth::stale_withdrawal(app).await).then_some(())
    })
    .await;
}

/// Ends the refunds that the acquirer lied about, as an operator does who asked what really happened.
pub async fn decide(app: &TestApp) {
    let operator = app.operator().await;
    let open = "SELECT book_id, refund_id FROM refunds WHERE status = 'CONFLICTED'";
    let open: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as(open).fetch_all(app.owner_db()).await.unwrap();
    let moved = super::truth::moved_refunds(app).await;
    for (book, refund) in open {
        let paid = moved.contains(&refund.simple().to_string());
        let id = GlobalId::Refund(BookId(book), RefundId(refund)).encode();
        let input = json!({ "refundId": id, "paid": paid, "idempotencyKey": key() });
        let done = app.done(&operator, "refundConflictResolve", input, "refund { status }").await;
        assert_eq!(done["refund"]["status"], if paid { "SUCCEEDED" } else { "FAILED" });
    }
}

/// Compares when all that is asked about again was asked about, two hours later: a success after a close or a decline whose one notice was lost
/// is found then.
pub async fn compared(app: &TestApp) -> Found {
    app.play_ahead(TimeDelta::hours(2)).await;
    let mut last = Vec::new();
    eventually(PAY_LIMIT, "the books are what the channels did", async || {
        hurry(app).await;
        let found = super::truth::compare(app).await;
        if found.wrong != last {
            eprintln!("not yet what the channels did: {:?}", found.wrong);
            last.clone_from(&found.wrong);
        }
        found.wrong.is_empty().then_some(found)
    })
    .await
}

/// Lets what is due later be due now: time passes.
pub async fn hurry(app: &TestApp) {
    sqlx::query("UPDATE jobs SET run_at = now() WHERE state = 'READY' AND lease_until IS NULL AND run_at > now()")
        .execute(app.owner_db())
        .await
        .unwrap();
}

/// Fen as yuan.
pub fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}
