//! Who may do what: every root field as everybody. The table must be complete, and whoever is refused has changed nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::papers;
use tests::{Answer, Caller, PAY_LIMIT, Shop, TestApp, eventually, key, text};

/// Expected answers: `ok`, `null`, or the code of the refusal.
struct Row {
    field: &'static str,
    /// Arguments of a query, or the input of a mutation; `$key` is a fresh key each time.
    input: &'static str,
    selection: &'static str,
    owner: &'static str,
    stranger: &'static str,
    agent: &'static str,
    reviewer: &'static str,
    operator: &'static str,
    nobody: &'static str,
}

const LOGIN: &str = "AUTH_REQUIRED";
const DENIED: &str = "PERM_DENIED";
const MISSING: &str = "NOT_FOUND";

#[rustfmt::skip]
const QUERIES: &[Row] = &[
    Row { field: "viewer", input: "", selection: "{ id role }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: LOGIN },
    Row { field: "node", input: "(id: \"$merchant\")", selection: "{ ... on Merchant { name wallet { pending { amount } } } }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "application", input: "(id: \"$application\")", selection: "{ status }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "reviewQueue", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "ok", operator: DENIED, nobody: LOGIN },
    Row { field: "reviewReasonCodes", input: "", selection: "{ code }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: "ok" },
    Row { field: "reviewErrorRates", input: "(from: \"2026-01-01T00:00:00Z\", to: \"2026-01-02T00:00:00Z\")", selection: "{ n }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "reviewFailedAudits", input: "(first: 5)", selection: "{ nodes { version } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "badCases", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "modelRuns", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "modelPromotions", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "dailyBoard", input: "(day: \"2026-01-01\", merchantId: \"$merchant\")", selection: "{ count }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    // The platform's own board, of all merchants.
    Row { field: "dailyBoard", input: "(day: \"2026-01-01\")", selection: "{ count }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "bookTotals", input: "", selection: "{ kind }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // A reference that never was: the answer is an empty list to those who may ask.
    Row { field: "channels", input: "", selection: "{ channel state }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // An id of nothing: the answer is null or an empty list to those who may ask.
    Row { field: "paymentRoute", input: "(attemptId: \"none\")", selection: "",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "null", nobody: LOGIN },
    Row { field: "effectiveSuccess", input: "(from: \"2026-01-01\", to: \"2026-01-31\")", selection: "{ orders }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "entryProofs", input: "(merchantId: \"$merchant\", account: PENDING, kind: PAYMENT, referenceId: \"0198f0c2-0000-7000-8000-000000000001\")", selection: "{ state }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    // A head says nothing about anyone.
    Row { field: "daySeals", input: "(first: 5)", selection: "{ nodes { seal } }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: LOGIN },
    Row { field: "consistencyProof", input: "(from: \"2026-01-01\", to: \"2026-01-02\")", selection: "{ state }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: LOGIN },
    Row { field: "cashier", input: "(ticket: \"$ticket\")", selection: "{ status }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: "ok" },
    Row { field: "products", input: "", selection: "{ code version }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: LOGIN },
    Row { field: "splitShares", input: "(merchantId: \"$merchant\", first: 5)", selection: "{ nodes { id } }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "splitAccounts", input: "(merchantId: \"$merchant\")", selection: "{ channel account status }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "splitsFinishRefused", input: "", selection: "{ orderId errorCode }",
          owner: "null", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "outboxLag", input: "", selection: "{ asOf }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "outboxDeadLetters", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "webhookEndpoints", input: "(merchantId: \"$merchant\")", selection: "{ id }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "webhookDeliveries", input: "(merchantId: \"$merchant\", first: 5)", selection: "{ nodes { id } }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "webhookDelivery", input: "(id: \"$delivery\")", selection: "{ diff { path } }",
          owner: "ok", stranger: "null", agent: "null", reviewer: "null", operator: "ok", nobody: LOGIN },
    Row { field: "subsidyProgrammes", input: "(first: 5)", selection: "{ nodes { id } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "indebtedMerchants", input: "(first: 5)", selection: "{ nodes { merchantId } }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "sandbox", input: "", selection: "{ today }",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: "ok" },
];

#[rustfmt::skip]
const MUTATIONS: &[Row] = &[
    Row { field: "login", input: r#"{"code": "dev:owner:alice"}"#, selection: "expiresAt",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: "ok" },
    Row { field: "applicationCreate", input: r#"{"merchantName": "$key", "settlementAccountName": "新商户", "settlementAccountNumber": "6222020200001123456"}"#, selection: "application { id }",
          owner: "ok", stranger: "ok", agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "uploadTicketCreate", input: r#"{"applicationId": "$draft", "kind": "ID_FRONT", "claims": [{"name": "name", "value": "张三"}, {"name": "id_number", "value": "11010519491231002X"}]}"#, selection: "ticket { url }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "documentClaimsCorrect", input: r#"{"documentId": "$document", "claims": [{"name": "name", "value": "张三"}, {"name": "id_number", "value": "11010519491231002X"}]}"#, selection: "document { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "applicationSubmit", input: r#"{"applicationId": "$draft"}"#, selection: "application { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "storeCreate", input: r#"{"merchantId": "$merchant", "name": "城南店", "address": "杭州市上城区 1 号"}"#, selection: "store { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "reviewClaim", input: r#"{"taskId": "$task"}"#, selection: "task { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "ok", operator: DENIED, nobody: LOGIN },
    Row { field: "reviewRelease", input: r#"{"taskId": "$task"}"#, selection: "task { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "ok", operator: DENIED, nobody: LOGIN },
    Row { field: "reviewDecide", input: r#"{"taskId": "$task", "decision": "APPROVE", "reasonCode": null, "note": null, "idempotencyKey": "$key"}"#, selection: "task { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "STATE_NOT_CLAIMED", operator: DENIED, nobody: LOGIN },
    // Released by the row before: whoever may ask is told that they do not hold it. Those who do have their scenes in `review`.
    Row { field: "reviewRenew", input: r#"{"taskId": "$task"}"#, selection: "task { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "STATE_NOT_CLAIMED", operator: DENIED, nobody: LOGIN },
    Row { field: "reviewReveal", input: r#"{"taskId": "$task", "fields": ["holder"]}"#, selection: "task { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "STATE_NOT_CLAIMED", operator: DENIED, nobody: LOGIN },
    Row { field: "reviewCorrect", input: r#"{"taskId": "$task", "values": [{"field": "holder", "value": "张三"}], "idempotencyKey": "$key"}"#, selection: "badCase { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: "STATE_NOT_CLAIMED", operator: DENIED, nobody: LOGIN },
    // The ID card was refused: nothing to plant. What can be planted has its scene in `review`.
    Row { field: "reviewSeedPlant", input: r#"{"documentId": "$document", "field": "name", "idempotencyKey": "$key"}"#, selection: "seed { taskId }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "STATE_NOT_PLANTABLE", nobody: LOGIN },
    Row { field: "modelPromotionPropose", input: r#"{"runId": "$key", "idempotencyKey": "$key"}"#, selection: "promotion { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "modelPromotionDecide", input: r#"{"promotionId": "$key", "approve": true, "idempotencyKey": "$key"}"#, selection: "promotion { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "modelRollback", input: r#"{"reason": "回退", "idempotencyKey": "$key"}"#, selection: "promotion { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "STATE_NOTHING_TO_ROLL_BACK", nobody: LOGIN },
    Row { field: "orderCreate", input: r#"{"storeId": "$store", "amount": "1.00", "currency": "CNY", "subject": "早餐", "idempotencyKey": "$key"}"#, selection: "order { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "paymentStart", input: r#"{"orderId": "$order", "idempotencyKey": "$key"}"#, selection: "attempt { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "orderClose", input: r#"{"orderId": "$order", "idempotencyKey": "$key"}"#, selection: "order { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    // One side of two: a confirmation.
    Row { field: "orderRelease", input: r#"{"orderId": "$held", "stage": "开工", "idempotencyKey": "$key"}"#, selection: "order { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "refundRequest", input: r#"{"orderId": "$paid", "amount": "1.00", "reason": "退货", "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    // A refund that ended: whoever may ask is told so. Those that wait have their scenes in `refunds`.
    Row { field: "refundCancel", input: r#"{"refundId": "$refund", "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: "STATE_SENT", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: "STATE_SENT", nobody: LOGIN },
    Row { field: "refundFund", input: r#"{"refundId": "$refund", "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: "STATE_NOT_GATHERING", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: "STATE_NOT_GATHERING", nobody: LOGIN },
    Row { field: "refundPayeePropose", input: r#"{"refundId": "$refund", "holder": "张三", "account": "6222020200009988776", "idempotencyKey": "$key"}"#, selection: "payee { id }",
          owner: "STATE_NO_PAYEE_WANTED", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: "STATE_NO_PAYEE_WANTED", nobody: LOGIN },
    Row { field: "refundPayeeApprove", input: r#"{"refundId": "$refund", "payeeId": "$key", "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: "STATE_NO_PAYEE_WANTED", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: "STATE_NO_PAYEE_WANTED", nobody: LOGIN },
    Row { field: "refundConflictResolve", input: r#"{"refundId": "$refund", "paid": true, "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "STATE_NOT_CONFLICTED", nobody: LOGIN },
    // One that did not come back from the bank. Those that did have their scenes in `refunds`.
    Row { field: "refundManualPropose", input: r#"{"refundId": "$refund", "reference": "1", "evidence": "回单", "idempotencyKey": "$key"}"#, selection: "manual { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "STATE_NOT_BOUNCED", nobody: LOGIN },
    Row { field: "refundManualDecide", input: r#"{"refundId": "$refund", "manualId": "$key", "approve": true, "idempotencyKey": "$key"}"#, selection: "refund { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    // What it is already, once another agreed.
    Row { field: "merchantAdvanceSet", input: r#"{"merchantId": "$merchant", "cap": "0", "idempotencyKey": "$key"}"#, selection: "cap { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "merchantAdvanceDecide", input: r#"{"merchantId": "$merchant", "capId": "$key", "approve": true, "idempotencyKey": "$key"}"#, selection: "cap { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    // The order is not to be divided: whoever may ask is told so. Orders that are have their scenes in `splits`.
    Row { field: "splitCreate", input: r#"{"orderId": "$paid", "idempotencyKey": "$key"}"#, selection: "split { status }",
          owner: MISSING, stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "splitFinish", input: r#"{"orderId": "$paid", "idempotencyKey": "$key"}"#, selection: "split { status }",
          owner: MISSING, stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "splitFinishRetry", input: r#"{"orderId": "$paid", "idempotencyKey": "$key"}"#, selection: "split { status }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "splitReturn", input: r#"{"orderId": "$paid", "amount": "1.00", "idempotencyKey": "$key"}"#, selection: "splitReturn { id }",
          owner: MISSING, stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "splitAccountSet", input: r#"{"merchantId": "$merchant", "channel": "WECHAT_PAY", "account": "1900000777"}"#, selection: "account { status }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "withdrawalRequest", input: r#"{"merchantId": "$merchant", "amount": "1.00", "currency": "CNY", "idempotencyKey": "$key"}"#, selection: "withdrawal { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "settlementRun", input: "", selection: "released",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // What it is already, so that the rows after this one find the merchant as it was.
    Row { field: "merchantStripesSet", input: r#"{"merchantId": "$merchant", "stripes": 1}"#, selection: "stripes",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // What it is already.
    Row { field: "channelSwitch", input: r#"{"channel": "SANDBOX", "state": "ON"}"#, selection: "channels { channel }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // An id as it would be, of a letter that is not there.
    Row { field: "outboxDeadLetterReplay", input: r#"{"deadLetterId": "bAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZmFub3V0"}"#, selection: "deadLetter { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    // The merchant came later: nothing to close, for whom it is allowed to.
    Row { field: "monthClose", input: r#"{"merchantId": "$merchant", "month": "2020-01", "idempotencyKey": "$key"}"#, selection: "months { month }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "STATE_NOT_OPEN", nobody: LOGIN },
    Row { field: "subsidyProgrammeCreate", input: r#"{"code": "PERMITTED", "name": "补贴", "shareBps": 1000, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-02T00:00:00Z", "idempotencyKey": "$key"}"#, selection: "programme { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    // Programmes and movements that are not there. Those that are have their scene in `products::subsidy_journey`.
    Row { field: "subsidyProgrammeEnd", input: r#"{"programmeId": "$key", "idempotencyKey": "$key"}"#, selection: "programme { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "subsidyMovementPropose", input: r#"{"programmeId": "$key", "kind": "FUNDING", "amount": "1.00", "bankReference": "1", "idempotencyKey": "$key"}"#, selection: "movement { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "subsidyMovementDecide", input: r#"{"movementId": "$key", "approve": true, "idempotencyKey": "$key"}"#, selection: "movement { id }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: MISSING, nobody: LOGIN },
    Row { field: "sandboxClockSet", input: r#"{"offsetMs": "0"}"#, selection: "sandbox { today }",
          owner: DENIED, stranger: DENIED, agent: DENIED, reviewer: DENIED, operator: "ok", nobody: LOGIN },
    Row { field: "webhookEndpointCreate", input: r#"{"merchantId": "$merchant", "url": "http://127.0.0.1:9/", "idempotencyKey": "$key"}"#, selection: "endpoint { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "webhookEndpointUpdate", input: r#"{"endpointId": "$endpoint", "kinds": ["order.paid"]}"#, selection: "endpoint { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "webhookKeyRotate", input: r#"{"endpointId": "$endpoint", "idempotencyKey": "$key"}"#, selection: "endpoint { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "webhookResend", input: r#"{"deliveryId": "$delivery", "idempotencyKey": "$key"}"#, selection: "delivery { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    Row { field: "webhookTest", input: r#"{"endpointId": "$endpoint", "idempotencyKey": "$key"}"#, selection: "delivery { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    // After what needs the endpoint.
    Row { field: "webhookEndpointDelete", input: r#"{"endpointId": "$endpoint"}"#, selection: "endpoint { id }",
          owner: "ok", stranger: MISSING, agent: DENIED, reviewer: DENIED, operator: DENIED, nobody: LOGIN },
    // Last: it ends the session it is called with.
    Row { field: "logout", input: "", selection: "",
          owner: "ok", stranger: "ok", agent: "ok", reviewer: "ok", operator: "ok", nobody: LOGIN },
];

impl Row {
    fn expected(&self, role: &str) -> &'static str {
        match role {
            "owner" => self.owner,
            "stranger" => self.stranger,
            "agent" => self.agent,
            "reviewer" => self.reviewer,
            "operator" => self.operator,
            _ => self.nobody,
        }
    }
}

#[test]
fn the_table_has_every_root_field_of_the_schema() {
    for (root, rows) in [("Query", QUERIES), ("Mutation", MUTATIONS)] {
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.field).collect();
        let sdl = api::graphql::sdl();
        let fields: BTreeSet<&str> = root_fields(&sdl, root);
        assert_eq!(listed, fields, "fields of {root}: give each a row that says who may call it");
    }
}

#[tokio::test]
async fn every_root_field_lets_in_whom_it_should_and_a_refusal_changes_nothing() {
    let app = TestApp::start().await;
    let world = World::new(&app).await;
    app.stop_work().await;
    let roles = [
        ("owner", app.owner().await),
        ("stranger", app.stranger().await),
        ("agent", app.agent().await),
        ("reviewer", app.reviewer().await),
        ("operator", app.operator().await),
        ("nobody", Caller::nobody()),
    ];
    let mut wrong = Vec::new();
    for (mutation, row) in QUERIES.iter().map(|r| (false, r)).chain(MUTATIONS.iter().map(|r| (true, r))) {
        let before = app.state().await;
        // Whoever is refused comes first: an admitted call may change what it is there to change.
        let (refused, admitted): (Vec<_>, Vec<_>) = roles.iter().partition(|(role, _)| row.expected(role) != "ok");
        for (role, caller) in refused.into_iter().chain(admitted) {
            let expected = row.expected(role);
            let answer = world.ask(&app, caller, row, mutation).await;
            let got = outcome(&answer, row.field);
            if got != expected {
                wrong.push(format!("{} as {role}: expected {expected}, got {got}: {}", row.field, answer.text));
            }
            if (expected != "ok" || !mutation) && app.state().await != before {
                wrong.push(format!("{} as {role} changed something", row.field));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    app.start_work().await;
    app.finish().await;
}

#[tokio::test]
async fn the_id_of_something_of_another_is_as_good_as_none() {
    let app = TestApp::start().await;
    let world = World::new(&app).await;
    let (owner, stranger) = (app.owner().await, app.stranger().await);
    let missing = app.gql(&stranger, "{ node(id: \"bm90aGluZw\") { id } }", json!({})).await.text;
    for (what, id) in world.nodes(&app, &owner).await {
        let query = "query($id: ID!) { node(id: $id) { __typename id } }";
        let own = app.gql(&owner, query, json!({ "id": id })).await;
        assert_eq!(own.field("node")["__typename"], what, "{}", own.text);
        for caller in [&stranger, &app.agent().await] {
            let theirs = app.gql(caller, query, json!({ "id": id })).await;
            assert_eq!(theirs.field("node"), &Value::Null, "{what} as {}: {}", caller.name, theirs.text);
            assert_eq!(theirs.text, missing, "{what} as {}: no different from an id that never was", caller.name);
        }
        let nobody = app.gql(&Caller::nobody(), query, json!({ "id": id })).await;
        assert_eq!(nobody.codes(), [LOGIN], "{what}: {}", nobody.text);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_session_that_ended_opens_nothing() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    app.read(&owner, "viewer", "{ viewer { role } }", json!({})).await;
    app.done(&owner, "logout", Value::Null, "").await;
    for token in [owner.token.clone().unwrap(), "x".into(), "A".repeat(43)] {
        let caller = Caller { name: "ended".into(), token: Some(token) };
        let answer = app.gql(&caller, "{ viewer { role } }", json!({})).await;
        assert_eq!((answer.status, answer.codes()), (401, vec!["AUTH_TOKEN_INVALID".to_owned()]), "{}", answer.text);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_login_names_a_role_and_cannot_change_it() {
    let app = TestApp::start().await;
    app.owner().await;
    let nobody = Caller::nobody();
    for (code, expected) in [
        ("dev:operator:alice", "AUTH_ROLE_FIXED"),
        ("dev:admin:alice", "INPUT_INVALID"),
        ("alice", "INPUT_INVALID"),
        ("", "INPUT_INVALID"),
        ("dev:owner:", "INPUT_INVALID"),
    ] {
        let answer = app.mutate(&nobody, "login", json!({ "code": code }), "accessToken").await;
        assert_eq!(answer.codes(), [expected], "{code}: {}", answer.text);
        assert_eq!(answer.field("login")["accessToken"], Value::Null);
    }
    app.finish().await;
}

/// One of everything, all of it the owner's.
struct World {
    shop: Shop,
    values: Vec<(&'static str, String)>,
}

impl World {
    async fn new(app: &TestApp) -> Self {
        let shop = app.signed_merchant_yesterday().await;
        let paid = app.order(&shop, "100.00").await;
        app.pay(&paid).await;
        app.play_today().await;
        let operator = app.operator().await;
        app.done(&operator, "settlementRun", Value::Null, "released").await;
        app.drained().await;
        let input = json!({ "orderId": paid.id, "amount": "1.00", "reason": "退货", "idempotencyKey": key() });
        let refund = app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
        app.drained().await;
        let order = app.order(&shop, "20.00").await;
        let held = app.order_of_product(&shop, "RENOVATION_STAGES", "100.00").await;
        app.pay(&held).await;
        let application = app.application_in_review(&shop.owner).await;
        let reviewer = app.reviewer().await;
        let queue = app.read(&reviewer, "reviewQueue", "{ reviewQueue(first: 1) { nodes { id } } }", json!({})).await;
        let shown = app.application(&shop.owner, &application).await;
        let card = shown["documents"].as_array().unwrap().iter().find(|d| d["kind"] == "ID_FRONT").unwrap();
        let (draft, _) = app.applying_merchant(&shop.owner, "未提交", "6222020200001123456").await;
        for paper in papers::clean() {
            app.attach(&shop.owner, &draft, paper, &paper.printed()).await;
        }
        let (endpoint, delivery) = Self::webhook(app, &shop).await;
        let values = vec![
            ("$endpoint", endpoint),
            ("$delivery", delivery),
            ("$merchant", shop.merchant.clone()),
            ("$store", shop.stores[0].clone()),
            ("$refund", text(&refund["refund"]["id"])),
            ("$order", order.id),
            ("$ticket", order.ticket),
            ("$paid", paid.id),
            ("$held", held.id),
            ("$application", application),
            ("$draft", draft),
            ("$document", text(&card["id"])),
            ("$task", text(&queue["nodes"][0]["id"])),
        ];
        Self { shop, values }
    }

    /// An endpoint where nobody listens, and a trial that it did not take.
    async fn webhook(app: &TestApp, shop: &Shop) -> (String, String) {
        let input =
            json!({ "merchantId": shop.merchant, "url": "http://127.0.0.1:9/", "kinds": ["order.closed"], "idempotencyKey": key() });
        let made = app.done(&shop.owner, "webhookEndpointCreate", input, "endpoint { id }").await;
        let input = json!({ "endpointId": made["endpoint"]["id"], "idempotencyKey": key() });
        let tried = app.done(&shop.owner, "webhookTest", input, "delivery { id }").await;
        let delivery = text(&tried["delivery"]["id"]);
        let query = "query($id: ID!) { webhookDelivery(id: $id) { delivery { status } } }";
        eventually(PAY_LIMIT, "the trial is over", async || {
            let shown = app.read(&shop.owner, "webhookDelivery", query, json!({ "id": delivery })).await;
            (shown["delivery"]["status"] == "DEAD").then_some(())
        })
        .await;
        (text(&made["endpoint"]["id"]), delivery)
    }

    async fn ask(&self, app: &TestApp, caller: &Caller, row: &Row, mutation: bool) -> Answer {
        let mut input = row.input.replace("$key", &key());
        for (name, value) in &self.values {
            input = input.replace(name, value);
        }
        if !mutation {
            return app.gql(caller, &format!("{{ {}{input} {} }}", row.field, row.selection), json!({})).await;
        }
        let input = if input.is_empty() { Value::Null } else { serde_json::from_str(&input).unwrap() };
        app.mutate(caller, row.field, input, row.selection).await
    }

    /// The id of one node of each type, with the type's name.
    async fn nodes(&self, app: &TestApp, owner: &Caller) -> Vec<(&'static str, String)> {
        let value = |name: &str| self.values.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        let input = json!({ "orderId": value("$paid"), "amount": "1.00", "reason": "退货", "idempotencyKey": key() });
        let refund = app.done(owner, "refundRequest", input, "refund { id }").await;
        let input = json!({ "merchantId": self.shop.merchant, "amount": "1.00", "currency": "CNY", "idempotencyKey": key() });
        let withdrawal = app.done(owner, "withdrawalRequest", input, "withdrawal { id }").await;
        let query = "query($id: ID!) { node(id: $id) { ... on Order { attempts { id } } } }";
        let paid = app.read(owner, "node", query, json!({ "id": value("$paid") })).await;
        vec![
            ("Merchant", value("$merchant")),
            ("Store", value("$store")),
            ("Order", value("$order")),
            ("PaymentAttempt", text(&paid["attempts"][0]["id"])),
            ("Refund", text(&refund["refund"]["id"])),
            ("Withdrawal", text(&withdrawal["withdrawal"]["id"])),
            ("Application", value("$application")),
            ("Document", value("$document")),
        ]
    }
}

/// `ok`, `null` or the first code.
fn outcome(answer: &Answer, field: &str) -> String {
    match answer.codes().into_iter().next() {
        Some(code) => code,
        None if answer.body["data"][field].is_null() => "null".to_owned(),
        None => "ok".to_owned(),
    }
}

/// Names of the fields of a root type in the schema's text.
fn root_fields<'a>(sdl: &'a str, root: &str) -> BTreeSet<&'a str> {
    let start = sdl.find(&format!("type {root} {{")).expect("the schema has the type");
    let body = &sdl[start..start + sdl[start..].find("\n}").expect("the type ends")];
    let mut fields = BTreeSet::new();
    let (mut in_text, mut depth) = (false, 0_i32);
    for line in body.lines().skip(1).map(str::trim) {
        if line.starts_with("\"\"\"") {
            // a description on one line opens and closes at once
            in_text ^= !(line.len() > 3 && line.ends_with("\"\"\""));
            continue;
        }
        if in_text {
            continue;
        }
        if depth == 0
            && let Some(end) = line.find(['(', ':'])
            && line[..end].chars().all(char::is_alphanumeric)
        {
            fields.insert(&line[..end]);
        }
        depth += i32::try_from(line.matches('(').count()).unwrap() - i32::try_from(line.matches(')').count()).unwrap();
    }
    fields
}
