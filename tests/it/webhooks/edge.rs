//! Webhooks as a merchant has them: through the public API, with processes that may be killed.

use tests::{Answer, Caller, TestApp, key, order_of, text};
use wallet::webhook::rules::KINDS;

use super::receiver::Mood;
use super::*;

const ENDPOINT: &str = "endpoint { id url kinds status pausedFor keys { id publicKey signs endsAt } }";

async fn listed(app: &TestApp, owner: &Caller, merchant: &str) -> Value {
    let query = "query($id: ID!) { webhookEndpoints(merchantId: $id) { id url status keys { id publicKey signs endsAt } } }";
    app.read(owner, "webhookEndpoints", query, json!({ "id": merchant })).await
}

async fn review(app: &TestApp, owner: &Caller, id: &str) -> Value {
    let query = "query($id: ID!) { webhookDelivery(id: $id) {
        delivery { id status kind attemptCount nextAt resendOf body }
        attempts { number outcome statusCode tookMs answer keyId }
        current diff { path sent today } } }";
    app.read(owner, "webhookDelivery", query, json!({ "id": id })).await
}

async fn made(app: &TestApp, owner: &Caller, merchant: &str, receiver: &Receiver, kinds: Value) -> Value {
    let input = json!({ "merchantId": merchant, "url": receiver.url(), "kinds": kinds, "idempotencyKey": key() });
    let payload = app.done(owner, "webhookEndpointCreate", input, ENDPOINT).await;
    receiver.knows_listed(&payload["endpoint"]["keys"]);
    payload["endpoint"].clone()
}

#[tokio::test]
async fn a_merchant_is_told_of_a_payment_and_sees_what_was_told() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let receiver = Receiver::open().await;
    let endpoint = made(&app, &shop.owner, &shop.merchant, &receiver, json!([])).await;
    let order = app.order(&shop, "12.50").await;
    app.pay(&order).await;
    eventually(LIMIT, "the receiver has heard of both", async || (receiver.heard().len() >= 2).then_some(())).await;
    assert_eq!(receiver.kinds(), ["order.created", "order.paid"]);
    let paid = receiver.heard()[1].clone();
    assert_eq!(paid.json()["object"]["id"], order.id, "the id of the API");
    assert_eq!(paid.json()["merchantId"], shop.merchant);
    assert_eq!(paid.json()["object"]["status"], "PAID");
    let stored = eventually(LIMIT, "it is stored as delivered", async || {
        let shown = review(&app, &shop.owner, paid.id()).await;
        (shown["delivery"]["status"] == "DELIVERED").then_some(shown)
    })
    .await;
    assert_eq!(stored["delivery"]["body"], paid.text());
    assert_eq!((&stored["attempts"][0]["outcome"], &stored["attempts"][0]["statusCode"]), (&json!("TAKEN"), &json!(200)));

    let list = "query($id: ID!, $after: String) { webhookDeliveries(merchantId: $id, status: DELIVERED, kind: \"order.created\", first: 1, after: $after) {
        nodes { id kind endpointId } pageInfo { hasNextPage endCursor } } }";
    let page = app.read(&shop.owner, "webhookDeliveries", list, json!({ "id": shop.merchant })).await;
    assert_eq!((&page["nodes"][0]["kind"], &page["nodes"][0]["endpointId"]), (&json!("order.created"), &endpoint["id"]));
    assert_eq!(page["pageInfo"]["hasNextPage"], false);

    // sent again by hand, after a refund is other than it was
    let refund = json!({ "orderId": order.id, "amount": "2.50", "reason": "退货", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", refund, "refund { id }").await;
    app.drained().await;
    let shown = review(&app, &shop.owner, paid.id()).await;
    assert_eq!(shown["diff"], json!([{ "path": "object.refunded.amount", "sent": "\"0.00\"", "today": "\"2.50\"" }]));
    let input = json!({ "deliveryId": paid.id(), "idempotencyKey": key() });
    let resent = app.done(&shop.owner, "webhookResend", input, "delivery { id resendOf }").await;
    assert_eq!(resent["delivery"]["resendOf"], paid.id());
    let id = text(&resent["delivery"]["id"]);
    eventually(LIMIT, "the resend was heard", async || receiver.heard().iter().any(|h| h.id() == id).then_some(())).await;
    // and the end of the endpoint
    let gone = app.done(&shop.owner, "webhookEndpointDelete", json!({ "endpointId": endpoint["id"] }), ENDPOINT).await;
    assert_eq!(gone["endpoint"]["status"], "DISABLED");
    assert_eq!(listed(&app, &shop.owner, &shop.merchant).await, json!([]));
    app.keep_secret("/haodian?shop=1");
    app.finish().await;
}

/// The first message of a kind.
async fn told(receiver: &Receiver, kind: &str) -> Value {
    eventually(LIMIT, &format!("the receiver has heard of {kind}"), async || {
        receiver.heard().iter().map(|heard| heard.json()).find(|message| message["kind"] == kind)
    })
    .await
}

#[tokio::test]
async fn a_merchant_is_told_what_is_released_divided_and_brought_back() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let agent = app.signed_merchant_of(app.stranger().await, "居间代理", "6222020200001129999").await;
    let broker = app.signed_merchant_of(app.stranger().await, "经纪人", "6222020200001129998").await;
    let receiver = Receiver::open().await;
    made(&app, &shop.owner, &shop.merchant, &receiver, json!([])).await;

    let held = app.order_of_product(&shop, "RENOVATION_STAGES", "1000.00").await;
    app.pay(&held).await;
    let by_payer = json!({ "ticket": held.ticket, "stage": "开工", "idempotencyKey": key() });
    app.done(&Caller::nobody(), "orderRelease", by_payer, "release { amount { amount } }").await;
    let by_merchant = json!({ "orderId": held.id, "stage": "开工", "idempotencyKey": key() });
    app.done(&shop.owner, "orderRelease", by_merchant, "release { amount { amount } }").await;
    assert_eq!(told(&receiver, "order.release_confirmed").await["object"]["id"], held.id);
    let released = told(&receiver, "order.released").await;
    let amount = |text: &str| json!({ "amount": text, "currency": "CNY" });
    assert_eq!((&released["facts"]["stage"], &released["facts"]["amount"]), (&json!("开工"), &amount("298.86")), "{released}");
    assert_eq!((&released["facts"]["held"], &released["object"]["id"]), (&amount("697.34"), &json!(held.id)), "{released}");

    let parties = json!([{ "role": "AGENT", "merchantId": agent.merchant }, { "role": "BROKER", "merchantId": broker.merchant }]);
    let input = json!({ "storeId": shop.stores[0], "amount": "100.00", "subject": "居间服务", "productCode": "AGENT_COMMISSION",
        "parties": parties, "idempotencyKey": key() });
    let divided = order_of(&app.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl }").await);
    app.pay(&divided).await;
    let part = told(&receiver, "split.line_succeeded").await;
    assert_eq!((&part["object"]["id"], &part["facts"]["receiverId"]), (&json!(divided.id), &json!(agent.merchant)), "{part}");
    // 40 per cent of 99.62
    assert_eq!((&part["facts"]["role"], &part["facts"]["amount"]), (&json!("AGENT"), &amount("39.84")), "{part}");
    told(&receiver, "split.finished").await;
    let back = json!({ "orderId": divided.id, "amount": "2.50", "idempotencyKey": key() });
    app.done(&shop.owner, "splitReturn", back, "splitReturn { doneAt }").await;
    let returned = told(&receiver, "split.returned").await;
    assert_eq!(returned["facts"]["amount"], amount("2.50"), "{returned}");
    assert!(returned["facts"]["returnId"].is_string() && returned["facts"].get("referenceId").is_none(), "{returned}");
    app.keep_secret("/haodian?shop=1");
    app.finish().await;
}

#[test]
fn every_kind_that_merchants_are_told_of_is_one_that_happens() {
    let mut sources = String::new();
    for folder in ["wallet/src", "merchant/src"] {
        read(&tests::repository().join(folder), &mut sources);
    }
    let unknown: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).filter(|kind| !sources.contains(&format!("\"{kind}\""))).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "nothing appends these");
}

/// The sources below a folder, without what this area says of the kinds itself.
fn read(folder: &std::path::Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.file_name().is_some_and(|name| name != "rules.rs" || !folder.ends_with("webhook")) {
            sources.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn a_worker_killed_while_it_sends_leaves_it_to_be_sent_again() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let receiver = Receiver::open().await;
    made(&app, &shop.owner, &shop.merchant, &receiver, json!(["order.created"])).await;
    receiver.answers(&[Mood::Waits]);
    app.order(&shop, "1.00").await;
    eventually(LIMIT, "the receiver has it", async || (receiver.heard().len() == 1).then_some(())).await;
    app.kill9_work();
    receiver.go_on();
    // the lease of the dead is over, sooner than in half a minute
    let ended = sqlx::query("UPDATE webhook_deliveries SET lease_until = now() - interval '1 second' WHERE status = 'PENDING'")
        .execute(app.owner_db())
        .await
        .unwrap();
    assert_eq!(ended.rows_affected(), 1, "nothing was stored");
    app.start_work().await;
    eventually(LIMIT, "it came again", async || (receiver.heard().len() == 2).then_some(())).await;
    let heard = receiver.heard();
    assert_eq!((heard[0].id(), heard[0].text()), (heard[1].id(), heard[1].text()));
    let shown = eventually(LIMIT, "it is stored as delivered", async || {
        let shown = review(&app, &shop.owner, heard[0].id()).await;
        (shown["delivery"]["status"] == "DELIVERED").then_some(shown)
    })
    .await;
    assert_eq!((&shown["attempts"][0]["outcome"], &shown["attempts"][1]["outcome"]), (&Value::Null, &json!("TAKEN")));
    app.finish().await;
}

#[tokio::test]
async fn commands_are_refused_with_the_field_and_the_remedy() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let receiver = Receiver::open().await;
    let endpoint = made(&app, &shop.owner, &shop.merchant, &receiver, json!([])).await;
    let rotate = async |hours: i32| -> Answer {
        let input = json!({ "endpointId": endpoint["id"], "overlapHours": hours, "idempotencyKey": key() });
        app.mutate(&shop.owner, "webhookKeyRotate", input, ENDPOINT).await
    };
    let told = |answer: &Answer, name: &str, code: &str, field: &str| {
        assert_eq!(answer.codes(), [code], "{}", answer.text);
        let error = &answer.body["data"][name]["userErrors"][0];
        assert_eq!(error["field"], field, "{}", answer.text);
        assert!(error["message"].as_str().unwrap().chars().count() > 8, "{}", answer.text);
    };
    assert_eq!(rotate(24).await.codes(), [""; 0]);
    assert_eq!(listed(&app, &shop.owner, &shop.merchant).await[0]["keys"].as_array().unwrap().len(), 2);
    told(&rotate(24).await, "webhookKeyRotate", "STATE_ROTATING", "overlapHours");
    told(&rotate(169).await, "webhookKeyRotate", "INPUT_INVALID", "overlapHours");
    let pause = json!({ "endpointId": endpoint["id"], "paused": true });
    let paused = app.done(&shop.owner, "webhookEndpointUpdate", pause, ENDPOINT).await;
    assert_eq!((&paused["endpoint"]["status"], &paused["endpoint"]["pausedFor"]), (&json!("PAUSED"), &json!("OWNER")));
    let trial = json!({ "endpointId": endpoint["id"], "idempotencyKey": key() });
    told(&app.mutate(&shop.owner, "webhookTest", trial, "delivery { id }").await, "webhookTest", "STATE_PAUSED", "endpointId");
    for n in 1..8 {
        let input = json!({ "merchantId": shop.merchant, "url": format!("http://127.0.0.1:9/{n}"), "idempotencyKey": key() });
        app.done(&shop.owner, "webhookEndpointCreate", input, ENDPOINT).await;
    }
    let ninth = json!({ "merchantId": shop.merchant, "url": "http://127.0.0.1:9/", "idempotencyKey": key() });
    let ninth = app.mutate(&shop.owner, "webhookEndpointCreate", ninth, ENDPOINT).await;
    told(&ninth, "webhookEndpointCreate", "LIMIT_WEBHOOK_ENDPOINTS", "merchantId");
    app.finish().await;
}
