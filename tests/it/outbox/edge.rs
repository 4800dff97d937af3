//! The outbox as operators and monitors see it.

use serde_json::json;
use tests::TestApp;

use super::*;

#[tokio::test]
async fn an_operator_sees_the_lag_and_has_a_dead_letter_read_again() {
    for form in ["mark", "queue"] {
        let app = TestApp::start_on(tests::database().await, &[("HAODIAN_DATABASE__OUTBOX", form)]).await;
        let operator = app.operator().await;
        let shop = app.signed_merchant().await;
        let order = app.order(&shop, "10.00").await;
        app.pay(&order).await;
        let lag = "{ outboxLag { asOf form consumers { name waiting oldestSeconds deadLetters } } }";
        let shown = eventually(LIMIT, "the relay has read everything", async || {
            let lag = app.read(&operator, "outboxLag", lag, json!({})).await;
            let read = |name: &str| json!({ "name": name, "waiting": 0, "oldestSeconds": null, "deadLetters": 0 });
            (lag["consumers"] == json!([read("fanout"), read("webhooks")])).then_some(lag)
        })
        .await;
        assert_eq!(shown["form"], form.to_uppercase());

        // as if the relay had given it up
        let event: Uuid = sqlx::query_scalar(
            "INSERT INTO outbox_dead_letters (book_id, event_id, consumer, attempts, error, died_at)
             SELECT book_id, event_id, 'fanout', 5, 'the test says so', now() FROM outbox WHERE kind = 'order.paid'
             RETURNING event_id",
        )
        .fetch_one(app.owner_db())
        .await
        .unwrap();
        let metrics = app.http().get(format!("{}/metrics", app.url())).send().await.unwrap().text().await.unwrap();
        for line in [
            r#"haodian_outbox_lag_events{consumer="fanout"} 0"#,
            r#"haodian_outbox_lag_seconds{consumer="fanout"} 0"#,
            r#"haodian_outbox_dead_letters{consumer="fanout"} 1"#,
        ] {
            assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
        }
        let query = "{ outboxDeadLetters(first: 10) { nodes { id eventId kind consumer attempts error diedAt replayAt } pageInfo { hasNextPage } } }";
        let shown = app.read(&operator, "outboxDeadLetters", query, json!({})).await;
        let letter = &shown["nodes"][0];
        assert_eq!(
            (&letter["eventId"], &letter["kind"], &letter["consumer"], &letter["attempts"], &letter["error"], &letter["replayAt"]),
            (&json!(event), &json!("order.paid"), &json!("fanout"), &json!(5), &json!("the test says so"), &json!(null))
        );
        let input = json!({ "deadLetterId": letter["id"] });
        let asked = app.done(&operator, "outboxDeadLetterReplay", input.clone(), "deadLetter { replayAt }").await;
        assert!(asked["deadLetter"]["replayAt"].is_string(), "{asked}");
        eventually(LIMIT, "the relay has read it after all", async || {
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox_dead_letters").fetch_one(app.owner_db()).await.unwrap();
            (left == 0).then_some(())
        })
        .await;
        let again = app.mutate(&operator, "outboxDeadLetterReplay", input, "deadLetter { id }").await;
        assert_eq!(again.codes(), ["NOT_FOUND"], "{}", again.text);
        let audited: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM audit_events WHERE action = 'outbox.replay' AND actor_role = 'OPERATOR' AND subject_id = $1",
        )
        .bind(event)
        .fetch_one(app.owner_db())
        .await
        .unwrap();
        assert_eq!(audited, 1);
        app.finish().await;
    }
}
