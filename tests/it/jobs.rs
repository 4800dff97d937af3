//! Jobs as seen from outside: what a worker cannot do is left to a person, what a worker left lying is done by the next.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Confirm, TestApp, database, eventually, free_port};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_paper_no_machine_can_look_at_goes_to_a_person_and_is_not_lost() {
    let app = TestApp::start_on(database().await, &[("HAODIAN_DOCUMENTS__MODELS_DIR", "/nonexistent")]).await;
    let owner = app.owner().await;
    let application = app.apply(&owner, tests::papers::clean(), tests::papers::Paper::printed).await;
    let read = app.papers_read(&owner, &application).await;
    assert_eq!(read["status"], "IN_REVIEW", "{read}");
    for document in read["documents"].as_array().unwrap() {
        assert_eq!((&document["status"], &document["reasons"][0]["code"]), (&json!("IN_REVIEW"), &json!("STAGE_FAILED")), "{document}");
    }
    let reviewer = app.reviewer().await;
    let queue = app.read(&reviewer, "reviewQueue", "{ reviewQueue(first: 10) { nodes { id } } }", json!({})).await;
    assert_eq!(queue["nodes"].as_array().map(Vec::len), Some(3), "{queue}");
    app.finish().await;
}

#[tokio::test]
async fn a_job_that_killed_its_worker_each_time_dies_instead_of_killing_the_next() {
    let app = TestApp::start().await;
    sqlx::query(
        "INSERT INTO jobs (job_id, kind, book_id, subject_id, run_at, attempts, created_at)
         VALUES (gen_random_uuid(), 'payment_query', gen_random_uuid(), gen_random_uuid(), now(), 99, now())",
    )
    .execute(app.owner_db())
    .await
    .unwrap();
    eventually(LIMIT, "the job is dead", || async {
        let dead: Option<(String,)> =
            sqlx::query_as("SELECT last_error FROM jobs WHERE state = 'DEAD'").fetch_optional(app.owner_db()).await.unwrap();
        dead.map(|(error,)| assert!(error.contains("the worker died"), "{error}"))
    })
    .await;
    sqlx::query("DELETE FROM jobs").execute(app.owner_db()).await.unwrap();
    app.finish().await;
}

#[tokio::test]
async fn a_worker_tells_of_its_health_and_its_jobs_where_it_is_asked_to() {
    let listen = format!("127.0.0.1:{}", free_port());
    let app = TestApp::start_on(database().await, &[("HAODIAN_WORK__LISTEN", &listen)]).await;
    let shop = app.signed_merchant().await;
    // its notice is lost, so a job has to ask
    app.pay_with(&app.order(&shop, "10.00").await, Confirm { notices: 0, ..Confirm::default() }).await;
    let get = |path: &'static str| app.http().get(format!("http://{listen}{path}")).send();
    let ready: Value = eventually(LIMIT, "the worker answers", || async { get("/readyz").await.ok() }).await.json().await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    eventually(LIMIT, "a job is counted", || async {
        let metrics = get("/metrics").await.ok()?.text().await.ok()?;
        metrics.contains(r#"haodian_jobs_total{kind="payment_query",outcome="done"}"#).then_some(())
    })
    .await;
    app.finish().await;
}
