//! Idempotency at the HTTP edge (L6), for every mutation that takes a key: keys missing, misnamed and misshapen, the same key twice,
//! twice at once, for another command, in a header; and how long keys are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::{Answer, Caller, PAY_LIMIT, Shop, TestApp, eventually, key, mutation_text};
use uuid::Uuid;
use wallet::base::clock::Clock;
use wallet::base::idempotency;

/// A mutation that takes a key.
struct Keyed {
    name: &'static str,
    caller: Caller,
    /// A command that is accepted, without its key.
    good: Value,
    /// What makes it another command.
    other: Value,
    selection: &'static str,
    /// Counts what it leaves behind.
    effects: &'static str,
}

/// Mutations that take no key. A new one belongs in one of the two lists: here if doing it twice does nothing more than doing it once.
const WITHOUT_KEY: [&str; 19] = [
    "applicationCreate",
    "applicationSubmit",
    "channelSwitch",
    "documentClaimsCorrect",
    "login",
    "logout",
    "merchantStripesSet",
    "outboxDeadLetterReplay",
    "reviewClaim",
    "reviewRelease",
    "reviewRenew",
    "reviewReveal",
    "sandboxClockSet",
    "settlementRun",
    "splitAccountSet",
    "storeCreate",
    "uploadTicketCreate",
    "webhookEndpointDelete",
    "webhookEndpointUpdate",
];

/// Mutations with a key whose rehearsal is elsewhere: closing a month has its own scene in `periods`, those of webhooks in `webhooks::resend`,
/// dividing an order in `splits`, what may become of a refund in `refunds`, programmes and their money in `products`, reviews,
/// corrections and versions of the models in `review`.
const ELSEWHERE: [&str; 28] = [
    "merchantAdvanceDecide",
    "merchantAdvanceSet",
    "modelPromotionDecide",
    "modelPromotionPropose",
    "modelRollback",
    "monthClose",
    "refundCancel",
    "refundConflictResolve",
    "refundFund",
    "refundManualDecide",
    "refundManualPropose",
    "refundPayeeApprove",
    "refundPayeePropose",
    "reviewCorrect",
    "reviewDecide",
    "reviewSeedPlant",
    "splitCreate",
    "splitFinish",
    "splitFinishRetry",
    "splitReturn",
    "subsidyMovementDecide",
    "subsidyMovementPropose",
    "subsidyProgrammeCreate",
    "subsidyProgrammeEnd",
    "webhookEndpointCreate",
    "webhookKeyRotate",
    "webhookResend",
    "webhookTest",
];

/// Mutations of the schema: (name, whether its input has an `idempotencyKey`).
fn mutations() -> Vec<(String, bool)> {
    let sdl = api::graphql::sdl();
    let block = |head: &str| {
        let start = sdl.find(head).map(|at| at + head.len());
        start.map(|start| &sdl[start..start + sdl[start..].find("\n}").unwrap_or(0)]).unwrap_or_default().to_owned()
    };
    let fields = block("type MutationRoot {") + &block("type Mutation {");
    let mut found = Vec::new();
    for line in fields.lines().map(str::trim).filter(|l| l.contains(": ") && !l.starts_with('"')) {
        let Some(name) = line.split(['(', ':']).next().filter(|n| !n.is_empty() && n.chars().all(char::is_alphanumeric)) else { continue };
        let input = line.split("input: ").nth(1).and_then(|rest| rest.split('!').next());
        let keyed = input.is_some_and(|input| block(&format!("input {input} {{")).contains("idempotencyKey: UUID!"));
        found.push((name.to_owned(), keyed));
    }
    found
}

const TABLE: [&str; 6] = ["orderCreate", "paymentStart", "orderClose", "orderRelease", "refundRequest", "withdrawalRequest"];

#[test]
fn every_mutation_of_the_schema_is_in_one_of_the_lists() {
    let found = mutations();
    assert!(found.len() > 12, "the schema's mutations were not found: {found:?}");
    let keyed: BTreeSet<&str> = found.iter().filter(|(_, keyed)| *keyed).map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = TABLE.into_iter().chain(ELSEWHERE).collect();
    let forgotten: Vec<_> = keyed.difference(&listed).collect();
    assert!(forgotten.is_empty(), "these take a key and are not rehearsed: {forgotten:?}");
    let bare: Vec<_> = found.iter().filter(|(name, keyed)| !keyed && !WITHOUT_KEY.contains(&name.as_str())).collect();
    assert!(bare.is_empty(), "these take no key: if they move money they need one, else they belong in WITHOUT_KEY: {bare:?}");
}

/// A shop with money to give back and to pay out, and the table of what is done with it.
async fn scene(app: &TestApp) -> (Shop, Vec<Keyed>) {
    let shop = app.signed_merchant_yesterday().await;
    app.pay(&app.order(&shop, "100.00").await).await;
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", Value::Null, "released").await;
    eventually(PAY_LIMIT, "yesterday is released", async || (app.wallet(&shop).await.1 == "99.62").then_some(())).await;
    let paid = app.order(&shop, "50.00").await;
    app.pay(&paid).await;
    let held = app.order_of_product(&shop, "RENOVATION_STAGES", "100.00").await;
    app.pay(&held).await;
    let (to_pay, to_close, another) = (app.order(&shop, "1.00").await, app.order(&shop, "2.00").await, app.order(&shop, "3.00").await);
    let owner = &shop.owner;
    let row = |name, good, other, selection, effects| Keyed { name, caller: owner.clone(), good, other, selection, effects };
    let table = vec![
        row(
            "orderCreate",
            json!({ "storeId": shop.stores[0], "amount": "12.50", "currency": "CNY", "subject": "早餐" }),
            json!({ "amount": "12.51" }),
            "order { id status createdAt amount { amount } cashierUrl }",
            "SELECT count(*) FROM orders",
        ),
        row(
            "paymentStart",
            json!({ "orderId": to_pay.id }),
            json!({ "orderId": another.id }),
            "attempt { id status payUrl sentAt }",
            "SELECT count(*) FROM payment_attempts",
        ),
        row(
            "orderClose",
            json!({ "orderId": to_close.id }),
            json!({ "orderId": another.id }),
            "order { id status }",
            "SELECT count(*) FROM orders WHERE status = 'CLOSED'",
        ),
        row(
            "orderRelease",
            json!({ "orderId": held.id, "stage": "开工" }),
            json!({ "stage": "水电验收" }),
            "order { id held { amount } } release { amount { amount } }",
            "SELECT count(*) FROM order_confirmations",
        ),
        row(
            "refundRequest",
            json!({ "orderId": paid.id, "amount": "1.00", "reason": "退货" }),
            json!({ "amount": "1.01" }),
            "refund { id status amount { amount } createdAt }",
            "SELECT count(*) FROM refunds",
        ),
        row(
            "withdrawalRequest",
            json!({ "merchantId": shop.merchant, "amount": "1.00", "currency": "CNY" }),
            json!({ "amount": "1.01" }),
            "withdrawal { id status amount { amount } createdAt }",
            "SELECT count(*) FROM withdrawals",
        ),
    ];
    assert_eq!(table.iter().map(|k| k.name).collect::<Vec<_>>(), TABLE, "the list for the schema is the table");
    app.drained().await;
    app.stop_work().await;
    (shop, table)
}

impl Keyed {
    fn with(&self, changes: &Value) -> Value {
        let mut input = self.good.clone();
        for (field, value) in changes.as_object().unwrap() {
            input[field] = value.clone();
        }
        input
    }

    fn keyed(&self, key: &str) -> Value {
        self.with(&json!({ "idempotencyKey": key }))
    }

    async fn send(&self, app: &TestApp, input: Value) -> Answer {
        app.mutate(&self.caller, self.name, input, self.selection).await
    }

    async fn effects(&self, app: &TestApp) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(self.effects)).fetch_one(app.owner_db()).await.unwrap()
    }
}

#[tokio::test]
async fn a_mutation_without_a_proper_key_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let (_shop, table) = scene(&app).await;
    let before = app.state().await;
    for keyed in &table {
        let spoilt = [
            ("missing", keyed.good.clone()),
            ("null", keyed.with(&json!({ "idempotencyKey": null }))),
            ("renamed to snake case", keyed.with(&json!({ "idempotency_key": key() }))),
            ("misspelt", keyed.with(&json!({ "idempotentKey": key() }))),
            ("called key", keyed.with(&json!({ "key": key() }))),
            ("empty", keyed.keyed("")),
            ("a word", keyed.keyed("order-1")),
            ("a UUID with a blank", keyed.keyed(&format!("{} ", key()))),
            ("10 KB long", keyed.keyed(&"k".repeat(10_240))),
            ("10 KB of a UUID", keyed.keyed(&key().repeat(285))),
            ("a number", keyed.with(&json!({ "idempotencyKey": 7 }))),
            ("a list", keyed.with(&json!({ "idempotencyKey": [key()] }))),
        ];
        for (what, input) in spoilt {
            let answer = keyed.send(&app, input).await;
            let told = format!("{}, key {what}: {} {}", keyed.name, answer.status, answer.text);
            assert!(matches!(answer.status, 200 | 400), "{told}");
            assert!(
                matches!(answer.codes().first().map(String::as_str), Some("INPUT_DOCUMENT" | "INPUT_VALUE" | "INPUT_INVALID")),
                "{told}"
            );
            assert!(answer.text.len() < 2_048, "the key is not sent back: {} bytes", answer.text.len());
        }
    }
    assert_eq!(app.state().await, before);
    app.start_work().await;
    app.finish().await;
}

#[tokio::test]
async fn one_key_is_one_effect_and_one_answer_however_often_and_however_close() {
    let app = TestApp::start().await;
    let (_shop, table) = scene(&app).await;
    let mut answered = Vec::new();
    for keyed in &table {
        let (key, before) = (key(), keyed.effects(&app).await);
        let (a, b, c) =
            tokio::join!(keyed.send(&app, keyed.keyed(&key)), keyed.send(&app, keyed.keyed(&key)), keyed.send(&app, keyed.keyed(&key)));
        assert_eq!(keyed.effects(&app).await, before + 1, "{}: three at once are one", keyed.name);
        let first = [&a, &b, &c].into_iter().find(|answer| answer.codes().is_empty());
        let first = first.unwrap_or_else(|| panic!("{}: nobody was answered: {}", keyed.name, a.text)).text.clone();
        for answer in [a, b, c] {
            let retryable = answer.text.contains("\"retryable\":true") || answer.status == 503;
            assert!(answer.text == first || retryable, "{}: {} and {first}", keyed.name, answer.text);
        }
        let reused = keyed
            .send(&app, {
                let mut input = keyed.with(&keyed.other);
                input["idempotencyKey"] = json!(key);
                input
            })
            .await;
        assert_eq!(reused.codes(), ["IDEMPOTENCY_KEY_REUSED"], "{}: {}", keyed.name, reused.text);
        assert!(reused.text.contains("\"field\":\"idempotencyKey\""), "{}", reused.text);
        assert_eq!(keyed.effects(&app).await, before + 1, "{}: another command under its key", keyed.name);
        answered.push((keyed, key, first));
    }
    // and later, when what was made has long moved on
    app.start_work().await;
    app.drained().await;
    for (keyed, key, first) in answered {
        assert_eq!(keyed.send(&app, keyed.keyed(&key)).await.text, first, "{}: byte for byte", keyed.name);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_key_in_a_header_is_refused_with_the_name_of_the_field() {
    let app = TestApp::start().await;
    let (_shop, table) = scene(&app).await;
    let before = app.state().await;
    for keyed in &table {
        for input in [keyed.good.clone(), keyed.keyed(&key())] {
            let body = json!({ "query": mutation_text(keyed.name, &input, keyed.selection), "variables": { "input": input } });
            let request = app.http().post(format!("{}/graphql", app.url())).json(&body).header("Idempotency-Key", key());
            let answer = request.bearer_auth(keyed.caller.token.as_deref().unwrap()).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{}", keyed.name);
            let text = answer.text().await.unwrap();
            assert!(text.contains("INPUT_HEADER") && text.contains("idempotencyKey"), "{text}");
        }
    }
    assert_eq!(app.state().await, before);
    app.start_work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_somebody_holds_too_long_gives_a_retryable_answer_and_no_effect() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let key = key();
    let mut holder = app.owner_db().begin().await.unwrap();
    sqlx::query(
        "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, created_at)
         VALUES ($1, 'orderCreate', $2, sha256(''), $3, now())",
    )
    .bind(shop.merchant_id.0)
    .bind(key.parse::<Uuid>().unwrap())
    .bind(Uuid::now_v7())
    .execute(&mut *holder)
    .await
    .unwrap();
    let waiting = app.order_with_key(&shop, 0, "1.00", &key).await;
    let retryable = waiting.codes() == ["STATE_BUSY"] || waiting.codes() == ["LIMIT_TIME"];
    assert!(retryable, "{} {}", waiting.status, waiting.text);
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(made, 0);
    holder.rollback().await.unwrap();
    tests::order_of(&app.order_with_key(&shop, 0, "1.00", &key).await);
    app.finish().await;
}

#[tokio::test]
async fn keys_are_kept_for_thirty_days_and_go_after_their_time_in_bounded_batches() {
    let db = tests::database().await;
    let now = Clock::wall();
    let ages = [0, 29, 30, 34, 36, 40, 400];
    for age in ages {
        for answered in [true, false] {
            sqlx::query(
                "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
                 VALUES ($1, 'orderCreate', gen_random_uuid(), sha256(''), gen_random_uuid(), $3, $2)",
            )
            .bind(Uuid::from_u128(1))
            .bind(now - TimeDelta::days(age) + TimeDelta::minutes(1))
            .bind(answered.then(|| json!({})))
            .execute(db.pool())
            .await
            .unwrap();
        }
    }
    let purge = async |days, limit| idempotency::purge(db.pool(), idempotency::purged_before(now, days), limit).await.unwrap();
    let left = async || -> Vec<i32> {
        sqlx::query_scalar("SELECT ($1::timestamptz + interval '1 minute')::date - created_at::date FROM idempotency_keys WHERE response IS NOT NULL ORDER BY created_at DESC")
            .bind(now)
            .fetch_all(db.pool())
            .await
            .unwrap()
    };
    assert_eq!(purge(35, 2).await, 2, "the oldest first, no more than asked for");
    assert_eq!(left().await, [0, 29, 30, 34, 36]);
    assert_eq!(purge(35, 100).await, 1);
    assert_eq!(purge(35, 100).await, 0);
    assert_eq!(left().await, [0, 29, 30, 34]);
    // whatever is configured, thirty days are kept; the one of thirty days has a minute to go
    assert_eq!(purge(0, 100).await, 1);
    assert_eq!(left().await, [0, 29, 30]);
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys WHERE response IS NULL").fetch_one(db.pool()).await.unwrap();
    assert_eq!(open, 7, "a command that is not settled keeps its key");
}

#[tokio::test]
async fn the_worker_lets_old_keys_go_by_itself() {
    let database = tests::database().await;
    sqlx::query(
        "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
         SELECT gen_random_uuid(), 'login', gen_random_uuid(), sha256(''), gen_random_uuid(), '{}', now() - make_interval(days => age)
         FROM UNNEST(ARRAY[29, 31, 36, 50]) AS a (age)",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let app = TestApp::start_on(database, &[("HAODIAN_DATABASE__IDEMPOTENCY_KEEP_DAYS", "32")]).await;
    let count = "SELECT count(*) FROM idempotency_keys WHERE operation = 'login'";
    eventually(Duration::from_secs(20), "the two that are older are gone", async || {
        let left: i64 = sqlx::query_scalar(count).fetch_one(app.owner_db()).await.unwrap();
        (left == 2).then_some(())
    })
    .await;
    sqlx::query("DELETE FROM idempotency_keys WHERE operation = 'login'").execute(app.owner_db()).await.unwrap();
    app.finish().await;
}
