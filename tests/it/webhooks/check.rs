//! The checker finds what was changed by hand.

use super::receiver::Mood;
use super::*;

#[tokio::test]
async fn every_kind_of_damage_to_webhooks_is_found_by_its_rule() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    receiver.answers(&[Mood::Status(500)]);
    scene.told("order.created").await;
    scene.work().await;
    scene.told("order.created").await;
    scene.work().await;
    let taken = scene.deliveries(DeliveryFilter { status: Some(DeliveryStatus::Delivered), ..DeliveryFilter::default() }).await;
    scene.webhooks.resend(&scene.owner, scene.merchant, taken[0].id, Uuid::now_v7()).await.unwrap();
    scene.work().await;
    scene.assert_sound().await;
    let damage = [
        ("a try lost", "DELETE FROM webhook_attempts WHERE status_code = 500", "H1"),
        ("a try not counted", "UPDATE webhook_deliveries SET attempts = 0 WHERE status = 'DELIVERED'", "H1"),
        ("delivered and never taken", "UPDATE webhook_deliveries SET status = 'DELIVERED', resolved_at = now() WHERE status = 'PENDING'", "H1"),
        ("taken and not delivered", "UPDATE webhook_deliveries SET status = 'DEAD' WHERE status = 'DELIVERED'", "H1"),
        ("taken with a 500", "UPDATE webhook_attempts SET status_code = 500 WHERE outcome = 'TAKEN'", "H1"),
        ("held after its end", "UPDATE webhook_deliveries SET leased_by = 'x', lease_until = now() WHERE status = 'DELIVERED'", "H1"),
        ("waiting for nobody", "UPDATE webhook_endpoints SET status = 'DISABLED', slot = NULL", "H1"),
        (
            "told twice",
            "INSERT INTO webhook_deliveries (book_id, delivery_id, endpoint_id, event_id, kind, subject_id, body, status, next_at, created_at)
             SELECT book_id, gen_random_uuid(), endpoint_id, event_id, kind, subject_id, body, 'PENDING', next_at, created_at
             FROM webhook_deliveries WHERE resend_of IS NULL LIMIT 1",
            "H2",
        ),
        ("a resend of something else", "UPDATE webhook_deliveries SET event_id = gen_random_uuid() WHERE resend_of IS NOT NULL", "H2"),
        ("another kind than its event", "UPDATE outbox SET kind = 'order.paid' WHERE kind = 'order.created'", "H2"),
        ("another body", "UPDATE webhook_deliveries SET body = replace(body, 'eventId', 'event')", "H2"),
        ("a key that cannot sign", "UPDATE webhook_keys SET sealed = NULL", "H3"),
        ("an endpoint without a live key", "UPDATE webhook_keys SET ends_at = now()", "H3"),
        ("a key forgotten to be forgotten", "UPDATE webhook_endpoints SET status = 'DISABLED', slot = NULL", "H3"),
    ];
    for (what, how, rule) in damage {
        let mut tx = scene.db.owner_pool().begin().await.unwrap();
        let changed = sqlx::query(how).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(changed.rows_affected() > 0, "{what}: nothing was changed");
        let report = wallet::check::run_in_tx(&mut tx).await.unwrap();
        assert!(report.violations().any(|(id, _)| id == rule), "{what}: {rule} should have found it:\n{report}");
        tx.rollback().await.unwrap();
    }
}
