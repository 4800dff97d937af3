//! Subsidies through the public API with real processes: a programme, its money by two operators, an order that pays less, a refund in two
//! parts, and a worker that dies with orders open.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::{Caller, Folder, OrderHandle, PAY_LIMIT, TestApp, eventually, key, text};

use super::folder;
use super::subsidy::DEAL;

const PROGRAMMES: &str =
    "{ subsidyProgrammes(first: 5) { nodes { id code shareBps status orderMax { amount } funded { amount } reserved { amount }
    used { amount } returned { amount } withdrawn { amount } available { amount }
    movements(first: 5) { nodes { id kind amount { amount } bankReference status } } } } }";

struct Stage {
    app: TestApp,
    ops: Caller,
    other: Caller,
    programme: String,
    /// Its products, which every process reads when it starts.
    _folder: Folder,
}

impl Stage {
    /// SPRING, a tenth of an order, with so much money.
    async fn open(funded: &str) -> Self {
        let folder = folder(&[("deal.toml", DEAL)]);
        let dir = folder.path().display().to_string();
        let app = TestApp::start_on(tests::database().await, &[("HAODIAN_PRODUCTS__DIR", &dir)]).await;
        let (ops, other) = (app.operator().await, app.login("dev:operator:second").await);
        let input = json!({ "code": "SPRING", "name": "春季补贴", "shareBps": 1000, "startsAt": "2026-01-01T00:00:00Z",
                            "endsAt": "2099-01-01T00:00:00Z", "idempotencyKey": key() });
        let made = app.mutate(&ops, "subsidyProgrammeCreate", input.clone(), "programme { id status funded { amount } }").await;
        let again = app.mutate(&ops, "subsidyProgrammeCreate", input, "programme { id status funded { amount } }").await;
        assert_eq!(made.text, again.text, "the same key has the same answer");
        let programme = text(&made.field("subsidyProgrammeCreate")["programme"]["id"]);
        let stage = Self { app, ops, other, programme, _folder: folder };
        stage.moved("FUNDING", funded, "IN-1").await;
        stage
    }

    async fn moved(&self, kind: &str, amount: &str, reference: &str) {
        let input =
            json!({ "programmeId": self.programme, "kind": kind, "amount": amount, "bankReference": reference, "idempotencyKey": key() });
        let proposed = self.app.mutate(&self.ops, "subsidyMovementPropose", input.clone(), "movement { id status }").await;
        let again = self.app.mutate(&self.ops, "subsidyMovementPropose", input, "movement { id status }").await;
        assert_eq!(proposed.text, again.text, "the same key has the same answer");
        let movement = &proposed.field("subsidyMovementPropose")["movement"]["id"];
        let decide = |key: String| json!({ "movementId": movement, "approve": true, "idempotencyKey": key });
        let own = self.app.mutate(&self.ops, "subsidyMovementDecide", decide(key()), "movement { status }").await;
        assert_eq!(own.codes(), ["PERM_OWN_PROPOSAL"], "{}", own.text);
        let key = key();
        let decided = self.app.mutate(&self.other, "subsidyMovementDecide", decide(key.clone()), "movement { status }").await;
        let again = self.app.mutate(&self.other, "subsidyMovementDecide", decide(key), "movement { status }").await;
        assert_eq!(decided.text, again.text, "the same key has the same answer");
        assert_eq!(decided.field("subsidyMovementDecide")["movement"]["status"], "POSTED", "{}", decided.text);
    }

    async fn programme(&self) -> Value {
        self.app.read(&self.ops, "subsidyProgrammes", PROGRAMMES, json!({})).await["nodes"][0].clone()
    }

    /// Funded, reserved, used, returned, withdrawn, available.
    async fn figures(&self) -> Vec<String> {
        let programme = self.programme().await;
        ["funded", "reserved", "used", "returned", "withdrawn", "available"].iter().map(|f| text(&programme[*f]["amount"])).collect()
    }
}

async fn cashier(app: &TestApp, order: &OrderHandle) -> Value {
    let query = "query($ticket: String!) { cashier(ticket: $ticket) { status amount { amount } subsidy { amount } payable { amount } } }";
    app.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await
}

#[tokio::test]
async fn a_customer_pays_less_and_gets_back_what_he_paid() {
    let stage = Stage::open("50.00").await;
    let app = &stage.app;
    let shop = app.signed_merchant().await;
    let order = app.order_of_product(&shop, "DEAL", "100.05").await;
    let shown = cashier(app, &order).await;
    let money = |value: &Value| text(&value["amount"]);
    assert_eq!([&shown["amount"], &shown["subsidy"], &shown["payable"]].map(money), ["100.05", "10.00", "90.05"]);
    app.pay(&order).await;
    // 60 basis points of the whole
    assert_eq!(app.wallet(&shop).await.0, "99.45");
    assert_eq!(stage.figures().await, ["50.00", "0.00", "10.00", "0.00", "0.00", "40.00"]);

    let input = json!({ "orderId": order.id, "amount": "50.00", "reason": "退货", "idempotencyKey": key() });
    let selection = "refund { id amount { amount } cash { amount } subsidy { amount } subsidyReturned }";
    let refund = app.done(&shop.owner, "refundRequest", input, selection).await["refund"].clone();
    assert_eq!([&refund["amount"], &refund["cash"], &refund["subsidy"]].map(money), ["50.00", "45.00", "5.00"]);
    app.drained().await;
    let query = "query($id: ID!) { node(id: $id) { ... on Refund { status subsidyReturned } } }";
    let back = app.read(&shop.owner, "node", query, json!({ "id": refund["id"] })).await;
    assert_eq!((&back["status"], &back["subsidyReturned"]), (&json!("SUCCEEDED"), &json!(true)));
    assert_eq!(stage.figures().await, ["50.00", "0.00", "10.00", "5.00", "0.00", "45.00"]);
    let truth: Value = app.http().get(format!("{}/control/truth", app.sim_url())).send().await.unwrap().json().await.unwrap();
    let moved = |what: &str| -> Vec<i64> {
        let of = truth.as_array().unwrap().iter().filter(|t| t["what"] == what && t["moved"] == true);
        of.map(|t| t["amount_minor"].as_i64().unwrap()).collect()
    };
    assert_eq!((moved("PAYMENT"), moved("REFUND")), (vec![9_005], vec![4_500]), "the channel sees cash alone");

    let input = |key: String| json!({ "programmeId": stage.programme, "idempotencyKey": key });
    let ended = app.done(&stage.ops, "subsidyProgrammeEnd", input(key()), "programme { status }").await;
    assert_eq!(ended["programme"]["status"], "ENDED");
    let twice = app.mutate(&stage.ops, "subsidyProgrammeEnd", input(key()), "programme { status }").await;
    assert_eq!(twice.codes(), ["STATE_ENDED"], "{}", twice.text);
    stage.moved("RETURN", "45.00", "OUT-1").await;
    assert_eq!(stage.figures().await, ["50.00", "0.00", "10.00", "5.00", "45.00", "0.00"]);
    let kinds: Vec<String> = stage.programme().await["movements"]["nodes"].as_array().unwrap().iter().map(|m| text(&m["kind"])).collect();
    assert_eq!(kinds, ["RETURN", "FUNDING"]);
    stage.app.finish().await;
}

/// What nobody pays is everybody's again, although no worker was there when its time was over.
#[tokio::test]
async fn orders_left_open_by_a_killed_worker_give_up_what_they_reserved() {
    let stage = Stage::open("20.00").await;
    let app = &stage.app;
    let shop = app.signed_merchant().await;
    let orders = [app.order_of_product(&shop, "DEAL", "100.00").await, app.order_of_product(&shop, "DEAL", "100.00").await];
    let without = app.order_of_product(&shop, "DEAL", "100.00").await;
    assert_eq!(cashier(app, &without).await["payable"]["amount"], "100.00", "the budget is spent");
    assert_eq!(stage.figures().await, ["20.00", "20.00", "0.00", "0.00", "0.00", "0.00"]);
    // one is being paid when the worker dies, and the customer never confirms
    app.start_payment(&orders[0]).await;
    app.kill9_work();
    let offset_ms = TimeDelta::hours(1).num_milliseconds().to_string();
    app.done(&app.operator().await, "sandboxClockSet", json!({ "offsetMs": offset_ms }), "sandbox { offsetMs }").await;
    app.start_work().await;
    eventually(PAY_LIMIT, "all is given up", async || {
        let due =
            "UPDATE jobs SET run_at = now() WHERE kind = 'payment_query' AND state = 'READY' AND lease_until IS NULL AND run_at > now()";
        sqlx::query(due).execute(app.owner_db()).await.unwrap();
        (stage.figures().await == ["20.00", "0.00", "0.00", "0.00", "0.00", "20.00"]).then_some(())
    })
    .await;
    for order in &orders {
        assert_eq!(cashier(app, order).await["status"], "CLOSED");
    }
    stage.app.finish().await;
}
