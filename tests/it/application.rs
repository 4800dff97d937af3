//! A merchant's application: papers read by the real pipeline, a person where it would not decide, corrections.

use merchant::onboarding::REVIEW_JOB;
use merchant::onboarding::queue::WAITING_MAX;
use serde_json::{Value, json};
use tests::papers::{self, Paper};
use tests::{Caller, TestApp, key, text};

#[tokio::test]
async fn three_clean_papers_sign_a_merchant_who_may_then_take_money() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant_through_papers().await;
    app.pay(&app.order(&shop, "100.00").await).await;
    assert_eq!(app.wallet(&shop).await.0, "99.62");
    app.finish().await;
}

#[tokio::test]
async fn a_blurred_deed_goes_to_a_person_and_a_wrong_number_is_refused_with_its_field_until_corrected() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let application = app.apply(&owner, papers::demo(), Paper::mistyped).await;
    let read = app.papers_read(&owner, &application).await;
    assert_eq!(read["status"], "NEEDS_CORRECTION", "{read}");
    assert_eq!(document(&read, "BUSINESS_LICENCE")["status"], "APPROVED", "{read}");
    assert_eq!(document(&read, "DEED_NEW")["status"], "IN_REVIEW", "{read}");
    let card = document(&read, "ID_FRONT");
    assert_eq!(card["status"], "REJECTED", "{read}");
    assert!(card["reasons"].as_array().unwrap().iter().any(|r| r["field"] == "id_number"), "{card}");
    let wrong = papers::demo().iter().find(|p| p.kind == "ID_FRONT").unwrap();
    assert!(!read.to_string().contains(wrong.value("id_number")), "reasons carry no personal data");

    let reviewer = app.reviewer().await;
    let task = only_task(&app, &reviewer).await;
    let fields = "id status fields { name label claimed read outcome confidence quad } imageUrl imageWidth imageHeight rotation";
    let claimed = app.done(&reviewer, "reviewClaim", json!({ "taskId": task }), &format!("task {{ {fields} }}")).await;
    assert_eq!(claimed["task"]["status"], "CLAIMED");
    let shown = claimed["task"]["fields"].as_array().unwrap();
    let deed = papers::demo().iter().find(|p| p.kind == "DEED_NEW").unwrap();
    assert!(shown.iter().all(|f| f["claimed"] != deed.value("holder")), "a claim shows no value by itself: {claimed}");
    let reveal = json!({ "taskId": task, "fields": ["holder"] });
    let revealed = app.done(&reviewer, "reviewReveal", reveal, "task { fields { name claimed masked } }").await;
    let shown = revealed["task"]["fields"].as_array().unwrap();
    assert!(shown.iter().any(|f| f["name"] == "holder" && f["claimed"] == deed.value("holder") && f["masked"] == false), "{revealed}");
    let image = app
        .http()
        .get(format!("{}{}", app.url(), text(&claimed["task"]["imageUrl"])))
        .bearer_auth(reviewer.token.clone().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(image.status(), 200);
    assert!(image.bytes().await.unwrap().len() > 10_000);

    let other = app.login("dev:reviewer:second").await;
    let taken = app.mutate(&other, "reviewClaim", json!({ "taskId": task }), "task { id }").await;
    assert!(taken.codes()[0].starts_with("STATE_"), "{}", taken.text);
    let decision =
        json!({ "taskId": task, "decision": "APPROVE", "reasonCode": "CONSISTENT", "note": "放大后可辨认", "idempotencyKey": key() });
    let not_theirs = app.mutate(&other, "reviewDecide", decision.clone(), "task { id }").await;
    assert!(not_theirs.codes()[0].starts_with("STATE_"), "{}", not_theirs.text);
    let told = app.done(&reviewer, "reviewDecide", decision.clone(), "task { status decision }").await;
    assert_eq!(
        app.done(&reviewer, "reviewDecide", decision.clone(), "task { status decision }").await,
        told,
        "the same key, the same answer"
    );
    let mut again = decision;
    again["idempotencyKey"] = json!(key());
    let twice = app.mutate(&reviewer, "reviewDecide", again, "task { id }").await;
    assert!(twice.codes()[0].starts_with("STATE_"), "{}", twice.text);

    let still = app.application(&owner, &application).await;
    assert_eq!(still["status"], "NEEDS_CORRECTION", "{still}");
    let corrected = json!({ "documentId": card["id"], "claims": wrong.printed() });
    app.done(&owner, "documentClaimsCorrect", corrected, "document { status version }").await;
    let signed = app.papers_read(&owner, &application).await;
    assert_eq!((&signed["status"], &signed["merchant"]["status"]), (&json!("APPROVED"), &json!("SIGNED")), "{signed}");
    app.finish().await;
}

#[tokio::test]
async fn a_paper_that_a_person_rejects_is_named_to_the_owner() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let application = app.application_in_review(&owner).await;
    let reviewer = app.reviewer().await;
    let task = only_task(&app, &reviewer).await;
    app.done(&reviewer, "reviewClaim", json!({ "taskId": task }), "task { id }").await;
    app.done(&reviewer, "reviewRelease", json!({ "taskId": task }), "task { status }").await;
    app.done(&reviewer, "reviewClaim", json!({ "taskId": task }), "task { id }").await;
    let decision = json!({ "taskId": task, "decision": "REJECT", "reasonCode": "UNREADABLE", "note": "无法辨认，请重新拍摄", "idempotencyKey": key() });
    app.done(&reviewer, "reviewDecide", decision, "task { status }").await;
    let shown = app.application(&owner, &application).await;
    let deed = document(&shown, "DEED_NEW");
    assert!(matches!(deed["status"].as_str(), Some("REJECTED" | "REUPLOAD")), "{deed}");
    assert!(!deed["reasons"].as_array().unwrap().is_empty(), "{deed}");

    // A better picture of it is read anew.
    let clean = papers::clean().iter().find(|p| p.kind == "DEED_NEW").unwrap();
    app.attach(&owner, &application, clean, &clean.printed()).await;
    let again = app.papers_read(&owner, &application).await;
    assert_eq!(document(&again, "DEED_NEW")["status"], "APPROVED", "{again}");
    app.finish().await;
}

#[tokio::test]
async fn an_owner_is_told_how_long_papers_wait_and_to_come_back_when_too_many_do() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let (draft, _) = app.applying_merchant(&owner, "等候核验的店", "6222020200001123456").await;
    for paper in papers::clean() {
        app.attach(&owner, &draft, paper, &paper.printed()).await;
    }
    app.stop_work().await;
    super::paper_queue::fill(app.owner_db(), WAITING_MAX).await;
    let submit = "mutation($input: ApplicationSubmitInput!) { applicationSubmit(input: $input) {
        application { status waiting { ahead expectedSeconds } } userErrors { code message retryable retryAfterMs } } }";
    let input = json!({ "input": { "applicationId": draft } });
    let refused = app.gql(&owner, submit, input.clone()).await;
    let error = &refused.field("applicationSubmit")["userErrors"][0];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("STATE_QUEUE_FULL"), &json!(true)), "{}", refused.text);
    let (wait, told) = (error["retryAfterMs"].as_i64().unwrap(), error["message"].as_str().unwrap());
    assert!(wait >= 60_000 && told.contains(&format!("{} 分钟", (wait + 59_999) / 60_000)), "{error}");

    sqlx::query("DELETE FROM jobs WHERE kind = $1").bind(REVIEW_JOB).execute(app.owner_db()).await.unwrap();
    let taken = app.gql(&owner, submit, input).await;
    let application = &taken.field("applicationSubmit")["application"];
    assert_eq!((&application["status"], &application["waiting"]["ahead"]), (&json!("CHECKING"), &json!(0)), "{}", taken.text);
    assert!(application["waiting"]["expectedSeconds"].as_i64().unwrap() > 0, "{}", taken.text);
    app.start_work().await;
    let read = app.papers_read(&owner, &draft).await;
    assert_eq!(read["status"], "APPROVED", "{read}");
    let nobody_waits =
        app.gql(&owner, "query($id: ID!) { node(id: $id) { ... on Application { waiting { ahead } } } }", json!({ "id": draft })).await;
    assert_eq!(nobody_waits.field("node")["waiting"], Value::Null, "{}", nobody_waits.text);
    app.finish().await;
}

#[tokio::test]
async fn a_reviewer_sees_masked_values_until_the_task_is_theirs() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    app.application_in_review(&owner).await;
    let reviewer = app.reviewer().await;
    let query = "{ reviewQueue(first: 10) { nodes { id imageUrl fields { name claimed read } } } }";
    let queue = app.gql(&reviewer, query, json!({})).await;
    let deed = papers::demo().iter().find(|p| p.kind == "DEED_NEW").unwrap();
    for secret in ["holder", "number", "location"] {
        assert!(!queue.text.contains(deed.value(secret)), "{secret} is shown in the queue");
    }
    app.finish().await;
}

fn document<'a>(application: &'a Value, kind: &str) -> &'a Value {
    application["documents"].as_array().unwrap().iter().find(|d| d["kind"] == kind).unwrap()
}

async fn only_task(app: &TestApp, reviewer: &Caller) -> String {
    let queue = app
        .read(
            reviewer,
            "reviewQueue",
            "{ reviewQueue(first: 10) { nodes { id status document { kind } reasons { code field message } } } }",
            json!({}),
        )
        .await;
    let tasks = queue["nodes"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{queue}");
    assert_eq!(tasks[0]["document"]["kind"], "DEED_NEW");
    text(&tasks[0]["id"])
}
