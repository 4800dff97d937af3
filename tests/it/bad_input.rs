//! Bad input to every mutation: a typed error with its field, nothing changed, nothing leaked.

use serde_json::{Value, json};
use tests::papers;
use tests::{Answer, Caller, Shop, TestApp, key};

/// A mutation with a good input, and ways to spoil it.
struct Mutation {
    name: &'static str,
    caller: Caller,
    good: Value,
    selection: &'static str,
    /// (what, changed values, expected code, expected field)
    bad: Vec<(&'static str, Value, &'static str, &'static str)>,
}

/// The document or a variable does not fit the schema: refused before anything ran.
const UNFIT: &str = "INPUT_DOCUMENT";
const INVALID: &str = "INPUT_INVALID";
const MISSING: &str = "NOT_FOUND";
const ACCOUNT: &str = "6222020200001123456";

#[tokio::test]
async fn every_spoilt_mutation_is_refused_with_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let other = app.signed_merchant_of(app.stranger().await, "别家", "6222020200001129999").await;
    let (paid, open) = (app.order(&shop, "100.00").await, app.order(&shop, "20.00").await);
    app.pay(&paid).await;
    let input = json!({ "orderId": paid.id, "amount": "1.00", "reason": "退货", "idempotencyKey": key() });
    let refund = app.done(&shop.owner, "refundRequest", input, "refund { id }").await["refund"]["id"].clone();
    let held = app.order_of_product(&shop, "RENOVATION_STAGES", "100.00").await;
    app.pay(&held).await;
    let theirs = app.order(&other, "5.00").await;
    let application = app.application_in_review(&shop.owner).await;
    app.drained().await;
    app.stop_work().await;

    let mut table = accounts(&app, &shop, &application).await;
    table.extend(papers_and_reviews(&app, &shop, &application).await);
    table.extend(money(&shop, &other, &paid.id, &open.id, &open.ticket, &theirs.id));
    table.extend(refunds(&app, &shop, &refund, &paid.id).await);
    table.extend(operations(&app, &shop, &paid.id).await);
    table.extend(subsidies(&app).await);
    table.extend(advances(&app, &shop).await);
    table.push(releases(&shop, &held.id, &paid.id, &open.ticket, &theirs.id));
    table.extend(webhooks(&app, &shop, &other).await);
    let listed: Vec<&str> = table.iter().map(|m| m.name).collect();
    for name in [
        "login",
        "applicationCreate",
        "uploadTicketCreate",
        "documentClaimsCorrect",
        "applicationSubmit",
        "storeCreate",
        "reviewClaim",
        "reviewRelease",
        "reviewDecide",
        "reviewRenew",
        "reviewReveal",
        "reviewCorrect",
        "reviewSeedPlant",
        "modelPromotionPropose",
        "modelPromotionDecide",
        "modelRollback",
        "orderCreate",
        "orderClose",
        "orderRelease",
        "paymentStart",
        "refundRequest",
        "refundCancel",
        "refundFund",
        "refundPayeePropose",
        "refundPayeeApprove",
        "refundConflictResolve",
        "refundManualPropose",
        "refundManualDecide",
        "merchantAdvanceSet",
        "merchantAdvanceDecide",
        "splitCreate",
        "splitFinish",
        "splitFinishRetry",
        "splitReturn",
        "splitAccountSet",
        "subsidyProgrammeCreate",
        "subsidyProgrammeEnd",
        "subsidyMovementPropose",
        "subsidyMovementDecide",
        "withdrawalRequest",
        "sandboxClockSet",
        "webhookEndpointCreate",
        "webhookEndpointUpdate",
        "webhookEndpointDelete",
        "webhookKeyRotate",
        "webhookResend",
        "webhookTest",
    ] {
        assert!(listed.contains(&name), "{name} has no bad input in this table");
    }

    let before = app.state().await;
    let mut wrong = Vec::new();
    for mutation in &table {
        for (what, change, code, field) in spoilt(mutation) {
            let mut input = mutation.good.clone();
            merge(&mut input, &change);
            let answer = app.mutate(&mutation.caller, mutation.name, input, mutation.selection).await;
            if let Some(trouble) = unlike(&answer, mutation.name, code, field) {
                wrong.push(format!("{}, {what}: {trouble}: {} {}", mutation.name, answer.status, answer.text));
            }
            if leaks(&answer) {
                wrong.push(format!("{}, {what}: tells of our insides: {}", mutation.name, answer.text));
            }
        }
        if app.state().await != before {
            wrong.push(format!("{} changed something", mutation.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    app.start_work().await;
    app.finish().await;
}

/// The ways to spoil a mutation: its own, and each value missing or of the wrong type.
fn spoilt(mutation: &Mutation) -> Vec<(String, Value, &'static str, &'static str)> {
    let mut all: Vec<_> =
        mutation.bad.iter().map(|(what, change, code, field)| ((*what).to_owned(), change.clone(), *code, *field)).collect();
    let optional = ["ticket", "orderId", "stage", "currency", "reasonCode", "note", "shareBps", "orderMax"];
    for name in mutation.good.as_object().unwrap().keys() {
        if !(optional.contains(&name.as_str()) && mutation.name != "orderClose" && mutation.name != "refundRequest") && name != "currency" {
            all.push((format!("without {name}"), json!({ name: null }), UNFIT, ""));
        }
        all.push((format!("{name} of the wrong type"), json!({ name: {"a": [1]} }), UNFIT, ""));
    }
    all.push(("with a field too many".to_owned(), json!({ "isAdmin": true }), UNFIT, ""));
    all
}

async fn accounts(app: &TestApp, shop: &Shop, application: &str) -> Vec<Mutation> {
    vec![
        Mutation {
            name: "login",
            caller: Caller::nobody(),
            good: json!({ "code": "dev:owner:alice" }),
            selection: "accessToken",
            bad: vec![
                ("no such role", json!({ "code": "dev:root:alice" }), INVALID, "code"),
                ("oversized", json!({ "code": format!("dev:owner:{}", "a".repeat(10_000)) }), INVALID, "code"),
                ("control characters", json!({ "code": "dev:owner:a\u{0}b" }), INVALID, "code"),
            ],
        },
        Mutation {
            name: "applicationCreate",
            caller: shop.owner.clone(),
            good: json!({ "merchantName": "新商户", "settlementAccountName": "新商户", "settlementAccountNumber": "6222020200001123456" }),
            selection: "application { id }",
            bad: vec![
                ("an empty name", json!({ "merchantName": "" }), INVALID, "merchantName"),
                ("an oversized name", json!({ "merchantName": "店".repeat(65) }), INVALID, "merchantName"),
                ("control characters", json!({ "merchantName": "好\u{0}店" }), INVALID, "merchantName"),
                ("a name already used", json!({ "merchantName": "好店便利" }), "STATE_NAME_TAKEN", "merchantName"),
                ("an empty account name", json!({ "settlementAccountName": " " }), INVALID, "settlementAccountName"),
                ("letters in the account", json!({ "settlementAccountNumber": "6222-0202-0000" }), INVALID, "settlementAccountNumber"),
                ("an oversized account", json!({ "settlementAccountNumber": "6".repeat(1_000) }), INVALID, "settlementAccountNumber"),
            ],
        },
        Mutation {
            name: "storeCreate",
            caller: shop.owner.clone(),
            good: json!({ "merchantId": shop.merchant, "name": "城南店", "address": "杭州市上城区 1 号" }),
            selection: "store { id }",
            bad: vec![
                ("a name of one character", json!({ "name": "店" }), INVALID, "name"),
                ("an oversized address", json!({ "address": "路".repeat(129) }), INVALID, "address"),
                ("a name already used", json!({ "name": "城西店" }), "STATE_NAME_TAKEN", "name"),
                ("an id of another type", json!({ "merchantId": application }), MISSING, "merchantId"),
                ("garbage for an id", json!({ "merchantId": "'; DROP TABLE stores; --" }), MISSING, "merchantId"),
                (
                    "a merchant not signed",
                    json!({ "merchantId": app.applying_merchant(&shop.owner, "未签约", ACCOUNT).await.1 }),
                    "STATE_NOT_SIGNED",
                    "merchantId",
                ),
            ],
        },
    ]
}

async fn papers_and_reviews(app: &TestApp, shop: &Shop, application: &str) -> Vec<Mutation> {
    let reviewer = app.reviewer().await;
    let queue = app.read(&reviewer, "reviewQueue", "{ reviewQueue(first: 1) { nodes { id } } }", json!({})).await;
    let task = queue["nodes"][0]["id"].clone();
    let shown = app.application(&shop.owner, application).await;
    let of_kind = |kind: &str| shown["documents"].as_array().unwrap().iter().find(|d| d["kind"] == kind).unwrap()["id"].clone();
    let (card, licence) = (of_kind("ID_FRONT"), of_kind("BUSINESS_LICENCE"));
    let claims = json!([{ "name": "name", "value": "张三" }, { "name": "id_number", "value": "11010519491231002X" }]);
    let licence_claims = papers::demo()[0].printed();
    let bad_claims = || {
        vec![
            ("a claim of another paper", json!({ "claims": [{ "name": "holder", "value": "张三" }] }), INVALID, "claims.holder"),
            ("a claim left out", json!({ "claims": [{ "name": "name", "value": "张三" }] }), INVALID, "claims.id_number"),
            (
                "a claim without value",
                json!({ "claims": [{ "name": "name", "value": "" }, { "name": "id_number", "value": "1" }] }),
                INVALID,
                "claims.name",
            ),
            (
                "an oversized claim",
                json!({ "claims": [{ "name": "name", "value": "三".repeat(257) }, { "name": "id_number", "value": "1" }] }),
                INVALID,
                "claims.name",
            ),
            ("too many claims", json!({ "claims": vec![json!({ "name": "name", "value": "张三" }); 33] }), INVALID, "claims"),
        ]
    };
    let decide = json!({ "taskId": task, "decision": "REJECT", "reasonCode": "UNREADABLE", "note": "看不清", "idempotencyKey": key() });
    let operator = app.operator().await;
    vec![
        Mutation {
            name: "uploadTicketCreate",
            caller: shop.owner.clone(),
            good: json!({ "applicationId": application, "kind": "ID_FRONT", "claims": claims }),
            selection: "ticket { url }",
            bad: [
                bad_claims(),
                vec![
                    ("an unknown kind", json!({ "kind": "PASSPORT" }), UNFIT, ""),
                    ("a paper already approved", json!({ "kind": "BUSINESS_LICENCE", "claims": licence_claims }), "STATE_APPROVED", ""),
                    ("another type of id", json!({ "applicationId": shop.merchant }), MISSING, "applicationId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "documentClaimsCorrect",
            caller: shop.owner.clone(),
            good: json!({ "documentId": card, "claims": claims }),
            selection: "document { id }",
            bad: [
                bad_claims(),
                vec![
                    ("a paper already approved", json!({ "documentId": licence, "claims": licence_claims }), "STATE_APPROVED", ""),
                    ("garbage for an id", json!({ "documentId": "x" }), MISSING, "documentId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "applicationSubmit",
            caller: shop.owner.clone(),
            good: json!({ "applicationId": application }),
            selection: "application { id }",
            bad: vec![
                ("submitted before", json!({}), "STATE_ALREADY_SUBMITTED", ""),
                (
                    "nothing handed in",
                    json!({ "applicationId": app.applying_merchant(&shop.owner, "空白申请", ACCOUNT).await.0 }),
                    "STATE_PAPERS_MISSING",
                    "",
                ),
                ("garbage for an id", json!({ "applicationId": "" }), MISSING, "applicationId"),
            ],
        },
        Mutation {
            name: "reviewClaim",
            caller: reviewer.clone(),
            good: json!({ "taskId": task }),
            selection: "task { id }",
            bad: vec![("garbage for an id", json!({ "taskId": "x" }), MISSING, "taskId")],
        },
        Mutation {
            name: "reviewRelease",
            caller: reviewer.clone(),
            good: json!({ "taskId": task }),
            selection: "task { id }",
            bad: vec![
                ("not claimed", json!({}), "STATE_NOT_CLAIMED", ""),
                ("garbage for an id", json!({ "taskId": "x" }), MISSING, "taskId"),
            ],
        },
        Mutation {
            name: "reviewDecide",
            caller: reviewer.clone(),
            good: decide,
            selection: "task { id }",
            bad: vec![
                ("not claimed", json!({}), "STATE_NOT_CLAIMED", ""),
                ("no reason", json!({ "reasonCode": null }), INVALID, "reasonCode"),
                ("an unknown reason", json!({ "reasonCode": "BECAUSE" }), INVALID, "reasonCode"),
                ("an unknown decision", json!({ "decision": "MAYBE" }), UNFIT, ""),
                ("an oversized note", json!({ "note": "字".repeat(501) }), INVALID, "note"),
            ],
        },
        Mutation {
            name: "reviewRenew",
            caller: reviewer.clone(),
            good: json!({ "taskId": task }),
            selection: "task { id }",
            bad: vec![
                ("not claimed", json!({}), "STATE_NOT_CLAIMED", ""),
                ("garbage for an id", json!({ "taskId": "x" }), MISSING, "taskId"),
            ],
        },
        Mutation {
            name: "reviewReveal",
            caller: reviewer.clone(),
            good: json!({ "taskId": task, "fields": ["holder"] }),
            selection: "task { id }",
            bad: vec![
                ("not claimed", json!({}), "STATE_NOT_CLAIMED", ""),
                ("garbage for an id", json!({ "taskId": "x" }), MISSING, "taskId"),
            ],
        },
        Mutation {
            name: "reviewCorrect",
            caller: reviewer,
            good: json!({ "taskId": task, "values": [{ "field": "holder", "value": "张三" }], "idempotencyKey": key() }),
            selection: "badCase { id }",
            bad: vec![
                ("not claimed", json!({}), "STATE_NOT_CLAIMED", ""),
                ("an unknown kind", json!({ "kind": "LIBRARY_CARD" }), UNFIT, ""),
                ("garbage for an id", json!({ "taskId": "x" }), MISSING, "taskId"),
            ],
        },
        Mutation {
            name: "reviewSeedPlant",
            caller: operator.clone(),
            good: json!({ "documentId": card, "field": "name", "idempotencyKey": key() }),
            selection: "seed { taskId }",
            bad: vec![
                ("a paper that is not approved", json!({}), "STATE_NOT_PLANTABLE", ""),
                ("a field the paper does not have", json!({ "documentId": licence, "field": "holder" }), "STATE_NOT_PLANTABLE", ""),
                ("garbage for an id", json!({ "documentId": "x" }), MISSING, "documentId"),
            ],
        },
        Mutation {
            name: "modelPromotionPropose",
            caller: operator.clone(),
            good: json!({ "runId": key(), "idempotencyKey": key() }),
            selection: "promotion { id }",
            bad: vec![("a run that is not there", json!({}), MISSING, "")],
        },
        Mutation {
            name: "modelPromotionDecide",
            caller: operator.clone(),
            good: json!({ "promotionId": key(), "approve": true, "idempotencyKey": key() }),
            selection: "promotion { id }",
            bad: vec![("a promotion that is not there", json!({}), MISSING, "")],
        },
        Mutation {
            name: "modelRollback",
            caller: operator,
            good: json!({ "reason": "回退", "idempotencyKey": key() }),
            selection: "promotion { id }",
            bad: vec![
                ("nothing promoted", json!({}), "STATE_NOTHING_TO_ROLL_BACK", ""),
                ("no reason", json!({ "reason": " " }), INVALID, "reason"),
            ],
        },
    ]
}

fn money(shop: &Shop, other: &Shop, paid: &str, open: &str, ticket: &str, theirs: &str) -> Vec<Mutation> {
    let amounts = |too_much: &'static str| {
        vec![
            ("zero", json!({ "amount": "0.00" }), INVALID, "amount"),
            ("negative", json!({ "amount": "-1.00" }), INVALID, "amount"),
            ("three places", json!({ "amount": "1.001" }), INVALID, "amount"),
            ("an exponent", json!({ "amount": "1e3" }), INVALID, "amount"),
            ("full-width digits", json!({ "amount": "１.00" }), INVALID, "amount"),
            ("no number", json!({ "amount": "NaN" }), INVALID, "amount"),
            ("too much", json!({ "amount": "10000000000.01" }), too_much, "amount"),
            ("a float", json!({ "amount": 1.5 }), UNFIT, ""),
            ("a currency the cashier does not take", json!({ "currency": "USD" }), INVALID, "currency"),
            ("a currency we do not keep", json!({ "currency": "JPY" }), UNFIT, ""),
        ]
    };
    let keys = || {
        vec![
            ("a key that is no UUID", json!({ "idempotencyKey": "1" }), UNFIT, ""),
            ("an empty key", json!({ "idempotencyKey": "" }), UNFIT, ""),
        ]
    };
    let owner = || shop.owner.clone();
    vec![
        Mutation {
            name: "orderCreate",
            caller: owner(),
            good: json!({ "storeId": shop.stores[0], "amount": "1.00", "currency": "CNY", "subject": "早餐", "idempotencyKey": key() }),
            selection: "order { id }",
            bad: [
                amounts(INVALID),
                keys(),
                vec![
                    ("an empty subject", json!({ "subject": "" }), INVALID, "subject"),
                    ("an oversized subject", json!({ "subject": "早".repeat(129) }), INVALID, "subject"),
                    ("control characters", json!({ "subject": "早\u{7}餐" }), INVALID, "subject"),
                    ("somebody else's store", json!({ "storeId": other.stores[0] }), MISSING, "storeId"),
                    ("a merchant for a store", json!({ "storeId": shop.merchant }), MISSING, "storeId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "orderClose",
            caller: owner(),
            good: json!({ "orderId": open, "idempotencyKey": key() }),
            selection: "order { id }",
            bad: [
                keys(),
                vec![
                    ("already paid", json!({ "orderId": paid }), "STATE_PAID", ""),
                    ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
                    ("garbage for an id", json!({ "orderId": "x" }), MISSING, "orderId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "paymentStart",
            caller: Caller::nobody(),
            good: json!({ "ticket": ticket, "idempotencyKey": key() }),
            selection: "attempt { id }",
            bad: [
                keys(),
                vec![
                    ("neither ticket nor order", json!({ "ticket": null }), INVALID, "ticket"),
                    ("both ticket and order", json!({ "orderId": open }), INVALID, "ticket"),
                    ("a forged ticket", json!({ "ticket": format!("{}A", &ticket[..ticket.len() - 2]) }), "AUTH_TICKET_INVALID", "ticket"),
                    ("an oversized ticket", json!({ "ticket": "A".repeat(20_000) }), "AUTH_TICKET_INVALID", "ticket"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "refundRequest",
            caller: owner(),
            good: json!({ "orderId": paid, "amount": "1.00", "currency": "CNY", "reason": "退货", "idempotencyKey": key() }),
            selection: "refund { id }",
            bad: [
                amounts(INVALID),
                keys(),
                vec![
                    ("more than was paid", json!({ "amount": "100.01" }), "AMOUNT_EXCEEDS_PAID", "amount"),
                    ("not paid", json!({ "orderId": open }), "STATE_NOT_PAID", "orderId"),
                    ("no reason", json!({ "reason": " " }), INVALID, "reason"),
                    ("an oversized reason", json!({ "reason": "退".repeat(129) }), INVALID, "reason"),
                    ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "splitCreate",
            caller: owner(),
            // without what may be left out
            good: json!({ "orderId": paid, "idempotencyKey": key() }),
            selection: "split { status }",
            bad: [
                // a currency counts beside an amount only
                amounts(INVALID)
                    .into_iter()
                    .map(|(what, change, code, field)| {
                        let amount = change.get("amount").cloned().unwrap_or_else(|| json!("1.00"));
                        let mut change = change;
                        change["amount"] = amount;
                        (what, change, code, field)
                    })
                    .collect(),
                keys(),
                vec![
                    ("not to be divided", json!({}), MISSING, "orderId"),
                    ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
                    ("a merchant for an order", json!({ "orderId": shop.merchant }), MISSING, "orderId"),
                    ("no truth value", json!({ "finish": "yes" }), UNFIT, ""),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "splitFinish",
            caller: owner(),
            good: json!({ "orderId": paid, "idempotencyKey": key() }),
            selection: "split { status }",
            bad: [
                keys(),
                vec![
                    ("not to be divided", json!({}), MISSING, "orderId"),
                    ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
                    ("garbage for an id", json!({ "orderId": "x" }), MISSING, "orderId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "splitReturn",
            caller: owner(),
            good: json!({ "orderId": paid, "amount": "1.00", "currency": "CNY", "idempotencyKey": key() }),
            selection: "splitReturn { id }",
            bad: [
                amounts(INVALID),
                keys(),
                vec![
                    ("not to be divided", json!({}), MISSING, "orderId"),
                    ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
                ],
            ]
            .concat(),
        },
        Mutation {
            name: "withdrawalRequest",
            caller: owner(),
            good: json!({ "merchantId": shop.merchant, "amount": "1.00", "currency": "CNY", "idempotencyKey": key() }),
            selection: "withdrawal { id }",
            bad: [
                amounts(INVALID),
                keys(),
                vec![
                    ("more than is available", json!({}), "AMOUNT_EXCEEDS_AVAILABLE", "amount"),
                    ("somebody else's merchant", json!({ "merchantId": other.merchant }), MISSING, "merchantId"),
                ],
            ]
            .concat(),
        },
    ]
}

/// What may become of a refund that has ended: nothing, so that a good input changes nothing either.
async fn refunds(app: &TestApp, shop: &Shop, refund: &Value, paid: &str) -> Vec<Mutation> {
    let operator = app.operator().await;
    let common = |state: &'static str| {
        vec![
            ("a key that is no UUID", json!({ "idempotencyKey": "1" }), UNFIT, ""),
            ("a refund that never was", json!({ "refundId": "bm90aGluZw" }), MISSING, "refundId"),
            ("an order's id", json!({ "refundId": paid }), MISSING, "refundId"),
            ("in another state", json!({}), state, "refundId"),
        ]
    };
    let mutation = |name, caller: &Caller, more: Value, selection, bad| {
        let mut good = json!({ "refundId": refund, "idempotencyKey": key() });
        for (field, value) in more.as_object().unwrap() {
            good[field] = value.clone();
        }
        Mutation { name, caller: caller.clone(), good, selection, bad }
    };
    let payees = vec![
        ("no name", json!({ "holder": " " }), INVALID, "holder"),
        ("an oversized name", json!({ "holder": "张".repeat(65) }), INVALID, "holder"),
        ("a short account", json!({ "account": "6222020" }), INVALID, "account"),
        ("an account with blanks", json!({ "account": "6222 0202 0000 1123" }), INVALID, "account"),
        ("full-width digits", json!({ "account": "６２２２０２０２００００１１２３" }), INVALID, "account"),
    ];
    let payee = json!({ "holder": "张三", "account": ACCOUNT });
    let hands = vec![
        ("no number", json!({ "reference": "" }), INVALID, "reference"),
        ("a number with spaces", json!({ "reference": "1 2" }), INVALID, "reference"),
        ("an oversized number", json!({ "reference": "1".repeat(10_000) }), INVALID, "reference"),
        ("no evidence", json!({ "evidence": " " }), INVALID, "evidence"),
        ("oversized evidence", json!({ "evidence": "证".repeat(257) }), INVALID, "evidence"),
        ("evidence with control characters", json!({ "evidence": "回\u{0}单" }), INVALID, "evidence"),
    ];
    let paid_by_hand = json!({ "reference": "2026112200001", "evidence": "柜台转账回单" });
    let mut decisions = common("STATE_NOT_BOUNCED");
    decisions.pop();
    decisions.push(("no proposal", json!({}), MISSING, "manualId"));
    vec![
        mutation("refundCancel", &shop.owner, json!({}), "refund { id }", common("STATE_SENT")),
        mutation("refundFund", &shop.owner, json!({}), "refund { id }", common("STATE_NOT_GATHERING")),
        mutation("refundPayeePropose", &shop.owner, payee, "payee { id }", [common("STATE_NO_PAYEE_WANTED"), payees].concat()),
        mutation("refundPayeeApprove", &operator, json!({ "payeeId": key() }), "refund { id }", common("STATE_NO_PAYEE_WANTED")),
        mutation("refundConflictResolve", &operator, json!({ "paid": true }), "refund { id }", common("STATE_NOT_CONFLICTED")),
        mutation("refundManualPropose", &operator, paid_by_hand, "manual { id }", [common("STATE_NOT_BOUNCED"), hands].concat()),
        mutation("refundManualDecide", &operator, json!({ "manualId": key(), "approve": true }), "refund { id }", decisions),
    ]
}

fn releases(shop: &Shop, held: &str, plain: &str, unpaid: &str, theirs: &str) -> Mutation {
    Mutation {
        name: "orderRelease",
        caller: shop.owner.clone(),
        good: json!({ "orderId": held, "stage": "开工", "idempotencyKey": key() }),
        selection: "order { id }",
        bad: vec![
            ("a key that is no UUID", json!({ "idempotencyKey": "1" }), UNFIT, ""),
            ("neither ticket nor order", json!({ "orderId": null }), INVALID, "ticket"),
            ("both ticket and order", json!({ "ticket": unpaid }), INVALID, "ticket"),
            ("a forged ticket", json!({ "orderId": null, "ticket": "A" }), "AUTH_TICKET_INVALID", "ticket"),
            ("a ticket of an order that holds nothing", json!({ "orderId": null, "ticket": unpaid }), "STATE_NOT_HELD", "orderId"),
            ("an order that holds nothing", json!({ "orderId": plain }), "STATE_NOT_HELD", "orderId"),
            ("no stage", json!({ "stage": null }), INVALID, "stage"),
            ("an unknown stage", json!({ "stage": "完工" }), INVALID, "stage"),
            ("an oversized stage", json!({ "stage": "工".repeat(10_000) }), INVALID, "stage"),
            ("a stage that is released by itself", json!({ "stage": "质保" }), "STATE_NOT_DUE", "stage"),
            ("a part of what both confirm", json!({ "amount": "1.00" }), INVALID, "amount"),
            ("no number", json!({ "amount": "NaN" }), INVALID, "amount"),
            ("somebody else's order", json!({ "orderId": theirs }), MISSING, "orderId"),
            ("garbage for an id", json!({ "orderId": "x" }), MISSING, "orderId"),
        ],
    }
}

async fn operations(app: &TestApp, shop: &Shop, paid: &str) -> Vec<Mutation> {
    let finish = Mutation {
        name: "splitFinishRetry",
        caller: app.operator().await,
        good: json!({ "orderId": paid, "idempotencyKey": key() }),
        selection: "split { status }",
        bad: vec![
            ("a key that is no UUID", json!({ "idempotencyKey": "1" }), UNFIT, ""),
            ("not to be divided", json!({}), MISSING, "orderId"),
            ("garbage for an id", json!({ "orderId": "x" }), MISSING, "orderId"),
        ],
    };
    let account = Mutation {
        name: "splitAccountSet",
        caller: app.operator().await,
        good: json!({ "merchantId": shop.merchant, "channel": "WECHAT_PAY", "account": "1900000777" }),
        selection: "account { status }",
        bad: vec![
            ("no merchant", json!({ "merchantId": shop.stores[0] }), MISSING, "merchantId"),
            ("a channel that does not divide", json!({ "channel": "UNIONPAY" }), MISSING, "channel"),
            ("no channel", json!({ "channel": "\u{0}" }), MISSING, "channel"),
            ("no account of the channel", json!({ "account": "alice" }), INVALID, "account"),
            ("an empty account", json!({ "account": "" }), INVALID, "account"),
            ("our own account", json!({ "account": "1900000109" }), INVALID, "account"),
            ("an oversized account", json!({ "account": "1".repeat(10_000) }), INVALID, "account"),
        ],
    };
    vec![
        account,
        finish,
        Mutation {
            name: "sandboxClockSet",
            caller: app.operator().await,
            good: json!({ "offsetMs": "0" }),
            selection: "sandbox { today }",
            bad: vec![
                ("no number", json!({ "offsetMs": "tomorrow" }), INVALID, "offsetMs"),
                ("a thousand years", json!({ "offsetMs": "31536000000000" }), INVALID, "offsetMs"),
                ("more than fits", json!({ "offsetMs": "99999999999999999999999" }), INVALID, "offsetMs"),
            ],
        },
    ]
}

async fn subsidies(app: &TestApp) -> Vec<Mutation> {
    let operator = app.operator().await;
    let programme = |code: &str| {
        json!({ "code": code, "name": "补贴", "shareBps": 1000, "orderMax": "5.00", "startsAt": "2026-01-01T00:00:00Z",
                "endsAt": "2099-01-01T00:00:00Z", "idempotencyKey": key() })
    };
    let made = app.done(&operator, "subsidyProgrammeCreate", programme("MADE"), "programme { id }").await["programme"]["id"].clone();
    let movement = |reference: &str, programme: &Value| json!({ "programmeId": programme, "kind": "FUNDING", "amount": "10.00", "bankReference": reference, "idempotencyKey": key() });
    let proposed =
        app.done(&operator, "subsidyMovementPropose", movement("IN-1", &made), "movement { id }").await["movement"]["id"].clone();
    let row = |name, good, selection, bad| Mutation { name, caller: operator.clone(), good, selection, bad };
    vec![
        row(
            "subsidyProgrammeCreate",
            programme("NEW"),
            "programme { id }",
            vec![
                ("a code in small letters", json!({ "code": "spring" }), INVALID, "code"),
                ("an oversized code", json!({ "code": "A".repeat(10_000) }), INVALID, "code"),
                ("a code that is taken", json!({ "code": "MADE" }), "STATE_CODE_TAKEN", "code"),
                ("an empty name", json!({ "name": " " }), INVALID, "name"),
                ("a name with control characters", json!({ "name": "补\u{0}贴" }), INVALID, "name"),
                ("more than the whole", json!({ "shareBps": 10_001 }), INVALID, "shareBps"),
                ("no share", json!({ "shareBps": 0 }), INVALID, "shareBps"),
                ("a maximum of nothing", json!({ "orderMax": "0.00" }), INVALID, "orderMax"),
                ("a maximum in thirds", json!({ "orderMax": "0.333" }), INVALID, "orderMax"),
                ("neither share nor maximum", json!({ "shareBps": null, "orderMax": null }), INVALID, "shareBps"),
                ("dollars", json!({ "currency": "USD" }), INVALID, "currency"),
                ("an end before the beginning", json!({ "endsAt": "2025-12-31T23:59:59Z" }), INVALID, "endsAt"),
                ("a day that is none", json!({ "endsAt": "2026-02-30T00:00:00Z" }), UNFIT, ""),
            ],
        ),
        row(
            "subsidyProgrammeEnd",
            json!({ "programmeId": made, "idempotencyKey": key() }),
            "programme { id }",
            vec![("no programme", json!({ "programmeId": key() }), MISSING, "programmeId")],
        ),
        row(
            "subsidyMovementPropose",
            movement("IN-2", &made),
            "movement { id }",
            vec![
                ("no programme", json!({ "programmeId": key() }), MISSING, "programmeId"),
                ("a number that was written down", json!({ "bankReference": "IN-1" }), "STATE_REFERENCE_TAKEN", "bankReference"),
                ("no number", json!({ "bankReference": "" }), INVALID, "bankReference"),
                ("a number with spaces", json!({ "bankReference": "IN 2" }), INVALID, "bankReference"),
                ("an oversized number", json!({ "bankReference": "1".repeat(10_000) }), INVALID, "bankReference"),
                ("nothing", json!({ "amount": "0" }), INVALID, "amount"),
                ("too much", json!({ "amount": "10000000000.01" }), INVALID, "amount"),
                ("dollars", json!({ "currency": "USD" }), INVALID, "currency"),
                ("back out of an active one", json!({ "kind": "RETURN" }), "STATE_NOT_ENDED", "programmeId"),
                ("no direction", json!({ "kind": "SIDEWAYS" }), UNFIT, ""),
            ],
        ),
        row(
            "subsidyMovementDecide",
            json!({ "movementId": proposed, "approve": true, "idempotencyKey": key() }),
            "movement { id }",
            vec![
                ("no movement", json!({ "movementId": key() }), MISSING, "movementId"),
                ("one's own", json!({ "approve": true }), "PERM_OWN_PROPOSAL", "movementId"),
            ],
        ),
    ]
}

async fn advances(app: &TestApp, shop: &Shop) -> Vec<Mutation> {
    let operator = app.operator().await;
    let set = || json!({ "merchantId": shop.merchant, "cap": "100.00", "idempotencyKey": key() });
    let proposed = app.done(&operator, "merchantAdvanceSet", set(), "cap { id }").await["cap"]["id"].clone();
    let row = |name, good, bad| Mutation { name, caller: operator.clone(), good, selection: "cap { id }", bad };
    vec![
        row(
            "merchantAdvanceSet",
            set(),
            vec![
                ("another that waits", json!({}), "STATE_PROPOSED", "merchantId"),
                ("garbage for a merchant", json!({ "merchantId": "x" }), MISSING, "merchantId"),
                ("a cap below zero", json!({ "cap": "-1" }), INVALID, "cap"),
                ("a cap in thirds", json!({ "cap": "0.333" }), INVALID, "cap"),
                ("too much", json!({ "cap": "10000000000.01" }), INVALID, "cap"),
                ("dollars", json!({ "currency": "USD" }), INVALID, "currency"),
                ("nothing in dollars", json!({ "currency": "USD", "cap": "0" }), INVALID, "currency"),
            ],
        ),
        row(
            "merchantAdvanceDecide",
            json!({ "merchantId": shop.merchant, "capId": proposed, "approve": true, "idempotencyKey": key() }),
            vec![
                ("no cap", json!({ "capId": key() }), MISSING, "capId"),
                ("garbage for a merchant", json!({ "merchantId": "x" }), MISSING, "merchantId"),
                ("one's own", json!({}), "PERM_OWN_PROPOSAL", "capId"),
            ],
        ),
    ]
}

/// An endpoint of a merchant where nobody listens; its id.
async fn endpoint(app: &TestApp, shop: &Shop) -> Value {
    let input = json!({ "merchantId": shop.merchant, "url": "http://127.0.0.1:9/", "idempotencyKey": key() });
    app.done(&shop.owner, "webhookEndpointCreate", input, "endpoint { id }").await["endpoint"]["id"].clone()
}

async fn webhooks(app: &TestApp, shop: &Shop, other: &Shop) -> Vec<Mutation> {
    let (ours, theirs) = (endpoint(app, shop).await, endpoint(app, other).await);
    // nobody works, so it waits
    let input = json!({ "endpointId": ours, "idempotencyKey": key() });
    let waiting = app.done(&shop.owner, "webhookTest", input, "delivery { id }").await["delivery"]["id"].clone();
    let urls = || {
        vec![
            ("no URL", json!({ "url": "shop" }), INVALID, "url"),
            ("plain HTTP to elsewhere", json!({ "url": "http://shop.example.com/" }), INVALID, "url"),
            ("an address inside", json!({ "url": "https://10.0.0.1/" }), INVALID, "url"),
            ("the cloud's own", json!({ "url": "https://169.254.169.254/latest" }), INVALID, "url"),
            ("a password in it", json!({ "url": "https://a:b@1.1.1.1/" }), INVALID, "url"),
            ("a name that does not resolve", json!({ "url": "https://nowhere.invalid/" }), INVALID, "url"),
            ("an oversized URL", json!({ "url": format!("https://1.1.1.1/{}", "a".repeat(600)) }), INVALID, "url"),
            ("an unknown kind", json!({ "kinds": ["order.paid", "order.*"] }), INVALID, "kinds"),
        ]
    };
    let endpoints = || {
        vec![
            ("somebody else's endpoint", json!({ "endpointId": theirs }), MISSING, "endpointId"),
            ("a merchant for an endpoint", json!({ "endpointId": shop.merchant }), MISSING, "endpointId"),
            ("garbage for an endpoint", json!({ "endpointId": "x" }), MISSING, "endpointId"),
        ]
    };
    let of = |name, good, selection, bad| Mutation { name, caller: shop.owner.clone(), good, selection, bad };
    vec![
        of(
            "webhookEndpointCreate",
            json!({ "merchantId": shop.merchant, "url": "http://127.0.0.1:9/", "idempotencyKey": key() }),
            "endpoint { id }",
            [urls(), vec![("somebody else's merchant", json!({ "merchantId": other.merchant }), MISSING, "merchantId")]].concat(),
        ),
        of("webhookEndpointUpdate", json!({ "endpointId": ours }), "endpoint { id }", [urls(), endpoints()].concat()),
        of("webhookEndpointDelete", json!({ "endpointId": ours }), "endpoint { id }", endpoints()),
        of(
            "webhookKeyRotate",
            json!({ "endpointId": ours, "idempotencyKey": key() }),
            "endpoint { id }",
            [endpoints(), vec![("a month", json!({ "overlapHours": 720 }), INVALID, "overlapHours")]].concat(),
        ),
        of(
            "webhookResend",
            json!({ "deliveryId": waiting, "idempotencyKey": key() }),
            "delivery { id }",
            vec![
                ("one that still waits", json!({}), "STATE_PENDING", "deliveryId"),
                ("an endpoint for a delivery", json!({ "deliveryId": ours }), MISSING, "deliveryId"),
            ],
        ),
        of("webhookTest", json!({ "endpointId": ours, "idempotencyKey": key() }), "delivery { id }", endpoints()),
    ]
}

/// How the answer differs from what was expected, if it does.
fn unlike(answer: &Answer, name: &str, code: &str, field: &str) -> Option<String> {
    let codes = answer.codes();
    if code == UNFIT {
        // Either the variable does not fit its type, or a scalar inside it refuses the value.
        let fits = codes.first().is_some_and(|c| c == UNFIT || c == "INPUT_VALUE") && answer.body["data"][name].is_null();
        return (!fits).then(|| format!("expected {UNFIT}, got {codes:?}"));
    }
    let told = &answer.body["data"][name]["userErrors"][0];
    if codes.len() != 1 || codes[0] != code {
        return Some(format!("expected {code}, got {codes:?}"));
    }
    if !field.is_empty() && told["field"] != field {
        return Some(format!("expected the field {field}, got {}", told["field"]));
    }
    if told["message"].as_str().is_none_or(str::is_empty) {
        return Some("there is no message".to_owned());
    }
    None
}

/// Whether an answer tells something about the program that made it.
fn leaks(answer: &Answer) -> bool {
    let text = answer.text.to_lowercase();
    ["sqlx", "postgres", "constraint", "panicked", "::", ".rs:", "syntax error at"].iter().any(|word| text.contains(word))
}

fn merge(input: &mut Value, change: &Value) {
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(input.as_object_mut().unwrap().remove(name)),
            value => input[name] = value.clone(),
        }
    }
}
