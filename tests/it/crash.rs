//! `kill -9` of the server, then of PostgreSQL, under 20 payments a second. Afterwards every answer a client got is in the books exactly
//! once, and nothing else is.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Row as _;
use tests::{Answer, Caller, PrivateCluster, Shop, TestApp, database_on, eventually, key, mutation_text, text};
use tokio::task::{JoinSet, LocalSet};

/// Between two payments.
const EVERY: Duration = Duration::from_millis(50);
const PAYMENTS: usize = 300;
/// How many payments were sent when the server is killed, and when PostgreSQL is.
const SERVER_DIES_AT: usize = 80;
const POSTGRES_DIES_AT: usize = 180;
/// Longest a client tries one step again and again.
const CLIENT_LIMIT: Duration = Duration::from_secs(180);
/// Every so many payments are followed by a refund of one fen less than the whole.
const REFUND_EVERY: usize = 5;

/// What one client sent, and what it was told.
#[derive(Debug)]
struct Told {
    order_key: String,
    input: Value,
    /// The first answer to `orderCreate` that came through.
    created: String,
    amount: i64,
    refund: Option<(String, i64)>,
}

#[tokio::test]
async fn after_a_kill_of_the_server_and_of_postgresql_the_books_hold_exactly_what_clients_were_told() {
    let mut cluster = PrivateCluster::start().await;
    let database = database_on(&cluster.admin_url()).await;
    let app = Rc::new(TestApp::start_on(database, &[("HAODIAN_CHANNEL__QUERY_AFTER_MS", "500")]).await);
    let shop = Rc::new(app.signed_merchant().await);

    let sent = AtomicUsize::new(0);
    let sent = &sent;
    let until_sent = |number| eventually(CLIENT_LIMIT, "payments are sent", async move || (sent.load(Relaxed) >= number).then_some(()));
    let customers = async {
        let mut clients = JoinSet::new();
        let mut beat = tokio::time::interval(EVERY);
        for number in 0..PAYMENTS {
            beat.tick().await;
            let (app, shop) = (app.clone(), shop.clone());
            clients.spawn_local(async move { client(&app, &shop, number).await });
            sent.store(number + 1, Relaxed);
        }
        clients.join_all().await
    };
    // New payments keep coming while the dead come back.
    let chaos = async {
        until_sent(SERVER_DIES_AT).await;
        app.restart_serve().await;
        until_sent(POSTGRES_DIES_AT).await;
        cluster.kill9();
        cluster.start_again().await;
    };
    let (told, ()) = LocalSet::new().run_until(async { tokio::join!(customers, chaos) }).await;
    app.drained().await;

    books_hold_exactly(&app, &told).await;
    for client in &told {
        let again = send(&app, &shop.owner, "orderCreate", &client.input, ORDER).await.expect("the server answers");
        assert_eq!(again.text, client.created, "the same key gives the same answer after all that");
    }
    let app = Rc::into_inner(app).expect("all clients are done");
    app.finish().await;
    drop(cluster);
}

const ORDER: &str = "order { id amount { amount } createdAt expiresAt cashierUrl ticket }";

/// One customer's payment, each step tried until it is answered, always with the same key.
async fn client(app: &TestApp, shop: &Shop, number: usize) -> Told {
    let amount = i64::try_from(number % 97).expect("small") * 13 + 100;
    let order_key = key();
    let input = json!({ "storeId": shop.stores[number % 2], "amount": yuan(amount), "currency": "CNY", "subject": "压力", "idempotencyKey": order_key });
    let created = answered(app, &shop.owner, "orderCreate", &input, ORDER).await;
    let order = &created.field("orderCreate")["order"];
    let (id, ticket) = (text(&order["id"]), text(&order["ticket"]));

    let nobody = Caller::nobody();
    let start = json!({ "ticket": ticket, "idempotencyKey": key() });
    answered(app, &nobody, "paymentStart", &start, "attempt { id }").await;
    let query = "query($ticket: String!) { cashier(ticket: $ticket) { status attempt { payUrl } } }";
    let pay_url = eventually(CLIENT_LIMIT, "the payment page is known", async || {
        let shown = ask(app, &nobody, query, json!({ "ticket": ticket })).await?;
        shown.body["data"]["cashier"]["attempt"]["payUrl"].as_str().map(str::to_owned)
    })
    .await;
    let confirmed = app.http().post(format!("{pay_url}/confirm")).json(&json!({ "notices": 1, "delay_ms": 0 })).send().await;
    let status = confirmed.expect("the simulator is up").status();
    assert!(status.is_success() || status.is_redirection(), "confirm: {status}");
    eventually(CLIENT_LIMIT, "the order is paid", async || {
        let shown = ask(app, &nobody, query, json!({ "ticket": ticket })).await?;
        (shown.body["data"]["cashier"]["status"] == "PAID").then_some(())
    })
    .await;

    let mut refund = None;
    if number.is_multiple_of(REFUND_EVERY) {
        let key = key();
        let input = json!({ "orderId": id, "amount": yuan(amount - 1), "reason": "压力", "idempotencyKey": key });
        answered(app, &shop.owner, "refundRequest", &input, "refund { id }").await;
        refund = Some((key, amount - 1));
    }
    Told { order_key, input, created: created.text, amount, refund }
}

/// Sends the same request until it is answered without a fault of the server.
async fn answered(app: &TestApp, caller: &Caller, name: &str, input: &Value, selection: &str) -> Answer {
    let what = format!("{name} is answered");
    let answer = eventually(CLIENT_LIMIT, &what, async || send(app, caller, name, input, selection).await).await;
    assert_eq!(answer.codes(), Vec::<String>::new(), "{name}: {}", answer.text);
    answer
}

/// One try: no connection, a broken answer, a fault of the server and what it says may be tried again are all `None`.
async fn send(app: &TestApp, caller: &Caller, name: &str, input: &Value, selection: &str) -> Option<Answer> {
    ask(app, caller, &mutation_text(name, input, selection), json!({ "input": input })).await
}

async fn ask(app: &TestApp, caller: &Caller, query: &str, variables: Value) -> Option<Answer> {
    let answer = app.try_gql(caller, query, variables).await.ok()?;
    let fault = answer.status >= 500 || answer.codes().iter().any(|c| c == "INTERNAL" || c.starts_with("LIMIT_"));
    let again = answer.text.contains(r#""retryable":true"#);
    (!fault && !again).then_some(answer)
}

/// Compares by key: each order and refund a client was told of is there once, with its amount, posted once; and there is nothing more.
async fn books_hold_exactly(app: &TestApp, told: &[Told]) {
    let orders = "SELECT k.key::text, o.amount_minor, o.status = 'PAID',
            (SELECT count(*) FROM payment_attempts a JOIN postings p ON (p.book_id, p.reference_id, p.kind) = (a.book_id, a.attempt_id, 'PAYMENT')
             WHERE (a.book_id, a.order_id) = (o.book_id, o.order_id))
        FROM orders o LEFT JOIN idempotency_keys k ON k.entity_id = o.order_id";
    let expected: BTreeMap<_, _> = told.iter().map(|t| (Some(t.order_key.clone()), (t.amount, true, 1_i64))).collect();
    assert_eq!(facts(app, orders).await, expected, "orders");

    let refunds = "SELECT k.key::text, r.amount_minor, r.status = 'SUCCEEDED',
            (SELECT count(*) FROM postings p WHERE p.book_id = r.book_id AND p.reference_id = r.refund_id AND p.kind = 'REFUND')
        FROM refunds r LEFT JOIN idempotency_keys k ON k.entity_id = r.refund_id";
    let expected: BTreeMap<_, _> =
        told.iter().filter_map(|t| t.refund.as_ref()).map(|(key, amount)| (Some(key.clone()), (*amount, true, 1_i64))).collect();
    assert_eq!(facts(app, refunds).await, expected, "refunds");

    let payments: i64 = sqlx::query_scalar("SELECT count(*) FROM postings WHERE kind = 'PAYMENT'").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(payments, i64::try_from(told.len()).unwrap(), "no payment is posted that nobody was told of");
}

/// Key → (amount, final, postings).
async fn facts(app: &TestApp, sql: &'static str) -> BTreeMap<Option<String>, (i64, bool, i64)> {
    let rows = sqlx::query(sql).fetch_all(app.owner_db()).await.unwrap();
    let count = rows.len();
    let facts: BTreeMap<_, _> = rows.into_iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    assert_eq!(facts.len(), count, "one row for each key");
    facts
}

fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}
