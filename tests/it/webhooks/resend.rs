//! Sent again by hand, with what is other today; trials; and one key, one effect.

use wallet::webhook::WebhookError;

use super::receiver::Mood;
use super::*;

#[tokio::test]
async fn a_resend_tells_how_things_stand_today_and_the_diff_says_so_before() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    let order = scene.told("order.created").await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    let first = scene.only().await;
    assert_eq!(scene.review(first.id).await.diff, [], "nothing is other yet");
    sqlx::query("UPDATE orders SET status = 'PAID', paid_at = created_at WHERE order_id = $1")
        .bind(order.0)
        .execute(scene.db.pool())
        .await
        .unwrap();
    let review = scene.review(first.id).await;
    let changed: Vec<_> = review.diff.iter().map(|c| (c.path.as_str(), c.sent.as_deref())).collect();
    assert_eq!(changed, [("object.paidAt", Some("null")), ("object.status", Some("\"CREATED\""))]);
    assert_eq!(review.diff[1].today.as_deref(), Some("\"PAID\""));
    // the event itself may be gone from the outbox by then
    scene.change("DELETE FROM outbox").await;
    let again = scene.webhooks.resend(&scene.owner, scene.merchant, first.id, Uuid::now_v7()).await.unwrap();
    assert_eq!((again.resend_of, again.event), (Some(first.id), first.event));
    assert_eq!(scene.work().await, [Outcome::Taken]);
    let heard = receiver.heard();
    assert_ne!(heard[0].id(), heard[1].id());
    let (sent, resent) = (heard[0].json(), heard[1].json());
    assert_eq!((&resent["resendOf"], &resent["eventId"]), (&sent["id"], &sent["eventId"]));
    assert_eq!(resent["object"]["status"], "PAID");
    assert_eq!((&resent["facts"], &resent["occurredAt"]), (&sent["facts"], &sent["occurredAt"]));
    let mut today: Value = serde_json::from_str(&review.today).unwrap();
    (today["id"], today["resendOf"]) = (resent["id"].clone(), resent["resendOf"].clone());
    assert_eq!(today, resent, "what was shown is what was sent");
    // a resend of the resend points at the first, too
    let third = scene.webhooks.resend(&scene.owner, scene.merchant, again.id, Uuid::now_v7()).await.unwrap();
    assert_eq!(third.resend_of, Some(first.id));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_dead_one_is_sent_again_and_one_that_waits_is_not() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    receiver.answers(&[Mood::Status(500), Mood::Status(500)]);
    scene.told("order.created").await;
    scene.work().await;
    let first = scene.only().await;
    let early = scene.webhooks.resend(&scene.owner, scene.merchant, first.id, Uuid::now_v7()).await;
    assert!(matches!(early, Err(WebhookError::StillPending)), "{early:?}");
    scene.change("UPDATE webhook_deliveries SET first_at = first_at - interval '1 day'").await;
    scene.let_time_pass().await;
    scene.work().await;
    assert_eq!(scene.only().await.status, DeliveryStatus::Dead);
    let again = scene.webhooks.resend(&scene.owner, scene.merchant, first.id, Uuid::now_v7()).await.unwrap();
    assert_eq!(scene.work().await, [Outcome::Taken]);
    assert_eq!(scene.review(again.id).await.delivery.status, DeliveryStatus::Delivered);
    assert_eq!(scene.review(first.id).await.delivery.status, DeliveryStatus::Dead, "the first stays what it was");
    let missing = scene.webhooks.resend(&scene.owner, scene.merchant, DeliveryId::new(), Uuid::now_v7()).await;
    assert!(matches!(missing, Err(WebhookError::DeliveryNotFound)));
    scene.webhooks.delete(&scene.owner, scene.merchant, endpoint.id).await.unwrap();
    let nowhere = scene.webhooks.resend(&scene.owner, scene.merchant, first.id, Uuid::now_v7()).await;
    assert!(matches!(nowhere, Err(WebhookError::Gone)));
}

#[tokio::test]
async fn a_trial_is_tried_once_and_counts_for_nothing() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &["order.paid"]).await;
    receiver.knows(&endpoint);
    receiver.answers(&[Mood::Status(204), Mood::Status(404)]);
    for expected in [Outcome::Taken, Outcome::Refused] {
        scene.webhooks.ping(&scene.owner, scene.merchant, endpoint.id, Uuid::now_v7()).await.unwrap();
        assert_eq!(scene.work().await, [expected]);
    }
    let statuses: Vec<_> = scene.deliveries(DeliveryFilter::default()).await.iter().map(|d| d.status).collect();
    assert_eq!(statuses, [DeliveryStatus::Dead, DeliveryStatus::Delivered]);
    assert_eq!(scene.now(endpoint.id).await.failing_since, None);
    assert_eq!(receiver.kinds(), ["ping", "ping"]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn one_key_is_one_endpoint_one_rotation_one_resend_and_one_trial() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let command = scene.creation(&receiver.url(), &["order.created"]);
    let (a, b) = tokio::join!(scene.webhooks.create(&scene.owner, command.clone()), scene.webhooks.create(&scene.owner, command.clone()));
    let endpoint = a.unwrap();
    assert_eq!(endpoint, b.unwrap());
    let other = CreateEndpoint { kinds: Vec::new(), ..command };
    assert!(matches!(scene.webhooks.create(&scene.owner, other).await, Err(WebhookError::Idempotency(_))));
    receiver.knows(&endpoint);
    let rotate = |overlap_hours| wallet::webhook::RotateKey {
        merchant: scene.merchant,
        endpoint: endpoint.id,
        overlap_hours,
        idempotency_key: Uuid::from_u128(1),
    };
    let rotated = scene.webhooks.rotate(&scene.owner, rotate(24)).await.unwrap();
    assert_eq!(scene.webhooks.rotate(&scene.owner, rotate(24)).await.unwrap(), rotated);
    assert!(matches!(scene.webhooks.rotate(&scene.owner, rotate(0)).await, Err(WebhookError::Idempotency(_))));
    let key = Uuid::now_v7();
    let ping = scene.webhooks.ping(&scene.owner, scene.merchant, endpoint.id, key).await.unwrap();
    scene.work().await;
    assert_eq!(scene.webhooks.ping(&scene.owner, scene.merchant, endpoint.id, key).await.unwrap(), ping, "as it was told then");
    let resent = scene.webhooks.resend(&scene.owner, scene.merchant, ping.id, key).await.unwrap();
    assert_eq!(scene.webhooks.resend(&scene.owner, scene.merchant, ping.id, key).await.unwrap(), resent);
    assert!(matches!(scene.webhooks.resend(&scene.owner, scene.merchant, resent.id, key).await, Err(WebhookError::Idempotency(_))));
    assert_eq!(scene.count("SELECT count(*) FROM webhook_endpoints").await, 1);
    assert_eq!(scene.count("SELECT count(*) FROM webhook_keys").await, 2);
    assert_eq!(scene.count("SELECT count(*) FROM webhook_deliveries").await, 2);
}
