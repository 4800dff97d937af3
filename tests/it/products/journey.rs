//! Through the public API with real processes: a product that no code knows of, a folder with mistakes, both sides of a release, errors.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, PAY_LIMIT, Shop, TestApp, eventually, key, text};

use super::folder;

/// The sixth product: nothing but this text makes it work.
const SIXTH: &str = r#"
code = "COURSE_PACKAGE"
name = "课程包"
settle = "ON_RELEASE"
marketing = "marketing.course_bought"

[collect]
methods = ["PAGE", "NATIVE"]
amount_minor_min = 10_000
amount_minor_max = 1_000_000
pay_within_min = 45

[fee]
rate = { bps = 100 }
minor_min = 500
bearer = "PAYER"
on = "RELEASE"

[hold]
until = "STAGES"

[[hold.stages]]
name = "开课"
share_bps = 4_000
until = "BOTH"

[[hold.stages]]
name = "期中"
share_bps = 3_500
until = "MERCHANT"

[[hold.stages]]
name = "结课"
share_bps = 2_500
until = "DATE"
days = 90

[[split]]
role = "COACH"
part = { bps = 2_000 }
"#;

/// The server with a folder of its own.
async fn start(folder: &tests::Folder) -> TestApp {
    let dir = folder.path().display().to_string();
    TestApp::start_on(tests::database().await, &[("HAODIAN_PRODUCTS__DIR", &dir)]).await
}

/// Plays so many days from now, at server and worker.
async fn play_in(app: &TestApp, days: i64) {
    let operator = app.operator().await;
    let offset_ms = TimeDelta::days(days).num_milliseconds().to_string();
    app.done(&operator, "sandboxClockSet", json!({ "offsetMs": offset_ms }), "sandbox { offsetMs }").await;
}

/// An order of a product: its id and ticket, and what else was asked for.
async fn order(app: &TestApp, shop: &Shop, amount: &str, product: Value, selection: &str) -> (tests::OrderHandle, Value) {
    let mut input = json!({ "storeId": shop.stores[0], "amount": amount, "subject": "课程", "idempotencyKey": key() });
    for (field, value) in product.as_object().unwrap() {
        input[field] = value.clone();
    }
    let answer = app.mutate(&shop.owner, "orderCreate", input, &format!("order {{ id ticket cashierUrl {selection} }}")).await;
    (tests::order_of(&answer), answer.field("orderCreate")["order"].clone())
}

/// What an order holds, released, and each stage with what is left of it.
async fn held(app: &TestApp, owner: &Caller, order: &str) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on Order { held { amount } released { amount }
        stages { name percent amount { amount } released { amount } left { amount } by confirmedBy } } } }";
    let node = app.read(owner, "node", query, json!({ "id": order })).await;
    let money = |value: &Value| text(&value["amount"]);
    let stage = |s: &Value| json!([s["name"], s["by"], s["confirmedBy"], money(&s["amount"]), money(&s["released"]), money(&s["left"])]);
    let stages: Vec<Value> = node["stages"].as_array().unwrap().iter().map(stage).collect();
    json!({ "held": money(&node["held"]), "released": money(&node["released"]), "stages": stages })
}

#[tokio::test]
async fn a_sixth_product_takes_a_file_and_no_code() {
    let folder = folder(&[("course_package.toml", SIXTH)]);
    let app = start(&folder).await;
    let shop = app.signed_merchant().await;
    let coach = app.signed_merchant_of(app.stranger().await, "教练工作室", "6222020200001129999").await;

    let query = "{ products { code name version sentences roles versions { version } } }";
    let products = app.read(&shop.owner, "products", query, json!({})).await;
    let codes: Vec<&str> = products.as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["AGENT_COMMISSION", "COURSE_PACKAGE", "DEPOSIT_TO_COMMISSION", "RENOVATION_STAGES", "RENT", "STORE_PAYMENT"]);
    insta::assert_json_snapshot!(products[1], @r#"
    {
      "code": "COURSE_PACKAGE",
      "name": "课程包",
      "roles": [
        "COACH"
      ],
      "sentences": [
        "收：100.00 元 至 10000.00 元，支持网页、扫码，45 分钟内支付",
        "费：放款时按 1.00%收取，最低 5.00 元，由付款人承担",
        "存：存入该订单的专用账户，分阶段放款：开课 40.00%（双方确认）、期中 35.00%（商户确认）、结课 25.00%（支付满 90 天）",
        "分：COACH 得 20.00%",
        "付：放款即可用",
        "营销：支付成功时发出事件 marketing.course_bought"
      ],
      "version": 1,
      "versions": [
        {
          "version": 1
        }
      ]
    }
    "#);

    // collected: 300.00, and the fee of 5.00 on top, since one per cent is less
    let product = json!({ "productCode": "COURSE_PACKAGE", "parties": [{ "role": "COACH", "merchantId": coach.merchant }] });
    let (handle, made) = order(&app, &shop, "300.00", product, "amount { amount } product { code version name } createdAt expiresAt").await;
    assert_eq!(
        (&made["amount"]["amount"], &made["product"]),
        (&json!("305.00"), &json!({ "code": "COURSE_PACKAGE", "version": 1, "name": "课程包" }))
    );
    let at = |field: &str| text(&made[field]).parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!(at("expiresAt") - at("createdAt"), TimeDelta::minutes(45));
    let wap = json!({ "ticket": handle.ticket, "method": "WAP", "idempotencyKey": key() });
    let refused = app.mutate(&Caller::nobody(), "paymentStart", wap, "attempt { id }").await;
    assert_eq!(refused.field("paymentStart")["userErrors"][0]["field"], "method", "{}", refused.text);

    // held: nothing is the merchant's yet
    app.pay(&handle).await;
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "0.00".into(), "0.00".into()));
    assert_eq!(
        held(&app, &shop.owner, &handle.id).await,
        json!({ "held": "305.00", "released": "0.00", "stages": [
            ["开课", "BOTH", [], "122.00", "0.00", "122.00"],
            ["期中", "MERCHANT", [], "106.75", "0.00", "106.75"],
            ["结课", "DATE", [], "76.25", "0.00", "76.25"],
        ] })
    );
    let hook: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE kind = 'marketing.course_bought'").fetch_one(app.db()).await.unwrap();
    assert_eq!(hook, 1);

    // released: by both, by the merchant in part, and by its day; each with its part of the fee, and available at once
    let release = "order { held { amount } } release { stage amount { amount } fee { amount } }";
    let by_payer = json!({ "ticket": handle.ticket, "stage": "开课", "idempotencyKey": key() });
    let confirmed = app.done(&Caller::nobody(), "orderRelease", by_payer, release).await;
    assert_eq!((&confirmed["release"], &confirmed["order"]["held"]["amount"]), (&Value::Null, &json!("305.00")));
    let by_merchant = json!({ "orderId": handle.id, "stage": "开课", "idempotencyKey": key() });
    let paid = app.done(&shop.owner, "orderRelease", by_merchant, release).await;
    assert_eq!(paid["release"], json!({ "stage": "开课", "amount": { "amount": "122.00" }, "fee": { "amount": "2.00" } }));
    // 120.00, and a fifth of it for the coach
    assert_eq!(app.wallet(&shop).await.1, "96.00");
    let part = json!({ "orderId": handle.id, "stage": "期中", "amount": "100.00", "idempotencyKey": key() });
    let paid = app.done(&shop.owner, "orderRelease", part, release).await;
    assert_eq!(paid["release"]["fee"], json!({ "amount": "1.64" }));
    play_in(&app, 91).await;
    eventually(PAY_LIMIT, "the last stage is released on its day", async || {
        (held(&app, &shop.owner, &handle.id).await["held"] == "6.75").then_some(())
    })
    .await;
    // 298.25 less 4.89, the fee's part of it, and of each release a fifth for the coach
    assert_eq!(app.wallet(&shop).await.1, "234.69");
    eventually(PAY_LIMIT, "the coach has its parts", async || {
        let (pending, available, _) = app.wallet(&coach).await;
        let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
        (minor(&pending) + minor(&available) == 5_867).then_some(())
    })
    .await;

    // what is left goes back: it was never the merchant's, and no fee was taken of it
    let back = json!({ "orderId": handle.id, "amount": "6.75", "reason": "少上一节", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", back, "refund { id }").await;
    app.drained().await;
    assert_eq!(held(&app, &shop.owner, &handle.id).await["held"], "0.00");
    assert_eq!(app.wallet(&shop).await, ("0.00".into(), "234.69".into(), "0.00".into()));
    app.finish().await;
}

#[tokio::test]
async fn a_server_with_bad_products_tells_every_mistake_and_does_not_start() {
    let folder = folder(&[
        ("rent.toml", &SIXTH.replace("COURSE_PACKAGE", "rent").replace("2_500", "2_400")),
        ("zero.toml", "code = 1"),
        ("twice.toml", &SIXTH.replace("COURSE_PACKAGE", "STORE_PAYMENT").replace("ON_RELEASE", "T0")),
    ]);
    let database = tests::database().await;
    for name in ["serve", "work"] {
        let mut command = std::process::Command::new(tests::haodian_bin());
        let data = tests::Folder::new();
        api::launcher::keys::ensure(&data.path().join("keys")).unwrap();
        command
            .arg(name)
            .current_dir(data.path())
            .env("HAODIAN_DATA_DIR", data.path())
            .env("HAODIAN_HTTP__LISTEN", format!("127.0.0.1:{}", tests::free_port()))
            .env("HAODIAN_PRODUCTS__DIR", folder.path())
            .env("DATABASE_URL", database.url())
            .env("REDIS_URL", "");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{told}");
        for sentence in [
            "rent.toml: code is \"rent\", which is not 1 to 32 upper-case letters, digits and underscores after a letter",
            "rent.toml: hold.stages has shares of 9900 basis points together, which must be 10000",
            "zero.toml cannot be read: line 1: ",
            "twice.toml: code STORE_PAYMENT stands in store_payment.toml already",
            "twice.toml: settle is T0, but the money is held; write ON_RELEASE or T1",
        ] {
            assert!(told.contains(sentence), "{sentence} is not in {told}");
        }
    }
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(database.pool()).await.unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_product_that_is_asked_for_wrongly_is_refused_with_field_and_remedy() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let stranger = app.stranger().await;
    let (_, unsigned) = app.applying_merchant(&stranger, "未签约", "6222020200001129999").await;
    let agent = app.signed_merchant_of(app.stranger().await, "中介", "6222020200001129997").await.merchant;
    let party = |role: &str, merchant: &str| json!({ "role": role, "merchantId": merchant });
    let cases = [
        (
            json!({ "productCode": "AGENT_COMMISSION", "parties": [party("AGENT", &agent), party("BROKER", &agent)] }),
            "INPUT_INVALID",
            "parties",
            "角色 BROKER 由上级角色的分账支付",
        ),
        (json!({ "productCode": "NONE" }), "NOT_FOUND", "productCode", "products"),
        (json!({ "productCode": "rent" }), "NOT_FOUND", "productCode", "products"),
        (json!({ "productCode": "RENT" }), "INPUT_INVALID", "parties", "AGENT"),
        (json!({ "productCode": "RENOVATION_STAGES", "amount": "99.99" }), "INPUT_INVALID", "amount", "100.00"),
        (json!({ "parties": [party("AGENT", &shop.merchant)] }), "INPUT_INVALID", "parties", "没有角色 AGENT"),
        (json!({ "productCode": "RENT", "parties": [party("AGENT", &shop.merchant)] }), "INPUT_INVALID", "parties", "收款商户自己"),
        (json!({ "productCode": "RENT", "parties": [party("AGENT", &unsigned)] }), "INPUT_INVALID", "parties", "尚未签约"),
        (json!({ "productCode": "RENT", "parties": [party("AGENT", "bm90aGluZw")] }), "INPUT_INVALID", "parties", "尚未签约"),
        (json!({ "productCode": "RENT", "parties": [party("agent", &unsigned)] }), "INPUT_INVALID", "parties", "大写字母"),
        (
            json!({ "productCode": "RENT", "parties": [party("AGENT", &unsigned), party("AGENT", &unsigned)] }),
            "INPUT_INVALID",
            "parties",
            "重复",
        ),
        (json!({ "productCode": "RENT", "parties": vec![party("AGENT", &unsigned); 51] }), "INPUT_INVALID", "parties", "最多 50"),
    ];
    for (change, code, field, remedy) in cases {
        let mut input = json!({ "storeId": shop.stores[0], "amount": "300.00", "subject": "房租", "idempotencyKey": key() });
        for (name, value) in change.as_object().unwrap() {
            input[name] = value.clone();
        }
        let answer = app.mutate(&shop.owner, "orderCreate", input, "order { id }").await;
        let told = &answer.field("orderCreate")["userErrors"][0];
        assert_eq!((&told["code"], &told["field"]), (&json!(code), &json!(field)), "{change}: {}", answer.text);
        assert!(text(&told["message"]).contains(remedy), "{change}: {}", answer.text);
    }
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(app.db()).await.unwrap();
    assert_eq!(made, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_server_that_is_killed_between_two_confirmations_goes_on_where_it_was() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let (handle, _) = order(&app, &shop, "1000.00", json!({ "productCode": "RENOVATION_STAGES" }), "").await;
    app.pay(&handle).await;
    let by_payer = json!({ "ticket": handle.ticket, "stage": "开工", "idempotencyKey": key() });
    app.done(&Caller::nobody(), "orderRelease", by_payer.clone(), "release { amount { amount } }").await;
    app.restart_serve().await;
    app.kill9_work();
    app.start_work().await;
    let again = app.done(&Caller::nobody(), "orderRelease", by_payer, "release { amount { amount } }").await;
    assert_eq!(again["release"], Value::Null, "as it was told");
    let by_merchant = json!({ "orderId": handle.id, "stage": "开工", "idempotencyKey": key() });
    let paid = app.done(&shop.owner, "orderRelease", by_merchant.clone(), "release { amount { amount } }").await;
    app.restart_serve().await;
    assert_eq!(app.done(&shop.owner, "orderRelease", by_merchant, "release { amount { amount } }").await, paid);
    // 30 per cent of 996.20
    assert_eq!((paid["release"]["amount"]["amount"].as_str(), app.wallet(&shop).await.0.as_str()), (Some("298.86"), "298.86"));
    // and settled the day after, like any money that was released
    play_in(&app, 1).await;
    eventually(Duration::from_secs(30), "what was released is available", async || (app.wallet(&shop).await.1 == "298.86").then_some(()))
        .await;
    app.finish().await;
}
