//! Endpoints and keys as their owner keeps them.

use tokio::task::JoinSet;
use wallet::base::actor::{Forbidden, Role};
use wallet::base::id::UserId;
use wallet::webhook::{EndpointStatus, PausedFor, RotateKey, UrlFault, WebhookError};

use super::receiver::Mood;
use super::*;

impl Scene {
    async fn rotate(&self, id: EndpointId, overlap_hours: i32) -> Result<Endpoint, WebhookError> {
        let command = RotateKey { merchant: self.merchant, endpoint: id, overlap_hours, idempotency_key: Uuid::now_v7() };
        self.webhooks.rotate(&self.owner, command).await
    }
}

#[tokio::test]
async fn a_key_is_changed_in_the_middle_of_retries_and_nothing_is_lost() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    receiver.answers(&[Mood::Status(500), Mood::Status(500)]);
    scene.told("order.created").await;
    assert_eq!(scene.work().await, [Outcome::Refused]);
    let both = scene.rotate(endpoint.id, 24).await.unwrap();
    assert_eq!(both.keys.len(), 2);
    assert_eq!(both.keys[0].id, endpoint.keys[0].id, "the old one signs on");
    let lives = both.keys[0].ends_at.unwrap() - Clock::wall();
    assert!((23..=24).contains(&lives.num_hours()) || lives.num_minutes() >= 23 * 60, "{lives}");
    // the receiver has not heard of the new key yet
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::Refused]);
    assert!(matches!(scene.rotate(endpoint.id, 1).await, Err(WebhookError::Rotating { .. })), "two live keys are enough");
    receiver.knows(&both);
    scene.change("UPDATE webhook_keys SET ends_at = now() - interval '1 second' WHERE ends_at IS NOT NULL").await;
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    let used: Vec<_> = scene.review(scene.only().await.id).await.attempts.iter().map(|a| a.key.unwrap()).collect();
    assert_eq!(used, [both.keys[0].id, both.keys[0].id, both.keys[1].id]);
    assert_eq!(scene.now(endpoint.id).await.keys, [both.keys[1].clone()], "what has ended is not listed");
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_overlap_of_none_ends_every_older_key_at_once() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    scene.rotate(endpoint.id, 168).await.unwrap();
    let alone = scene.rotate(endpoint.id, 0).await.unwrap();
    assert_eq!(alone.keys.len(), 1);
    receiver.knows(&alone);
    scene.told("order.created").await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    for hours in [-1, 169] {
        assert!(matches!(scene.rotate(endpoint.id, hours).await, Err(WebhookError::OverlapInvalid)), "{hours}");
    }
    scene.assert_sound().await;
}

#[tokio::test]
async fn no_private_key_lies_open_anywhere() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    let (key, sealed): (Uuid, Vec<u8>) =
        sqlx::query_as("SELECT key_id, sealed FROM webhook_keys").fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(key, endpoint.keys[0].id.0);
    // version, nonce, 32 bytes and the vault's tag
    assert_eq!(sealed.len(), 1 + 12 + 32 + 16);
    let keeper = api::graphql::webhook::keeper(Vault::new(&[7; KEY_LEN]));
    let seed = (keeper.open)(endpoint.keys[0].id, &sealed).unwrap();
    assert!(!sealed.windows(8).any(|part| seed.windows(8).any(|of| of == part)), "it is sealed");
    // moved to another row, it does not open, so nothing is signed with it
    let other = scene.endpoint(&receiver, &[]).await;
    sqlx::query("UPDATE webhook_keys SET sealed = $1 WHERE key_id = $2")
        .bind(&sealed)
        .bind(other.keys[0].id.0)
        .execute(scene.db.pool())
        .await
        .unwrap();
    scene.webhooks.ping(&scene.owner, scene.merchant, other.id, Uuid::now_v7()).await.unwrap();
    assert_eq!(scene.work().await, [Outcome::Unusable]);
    let answers: Vec<String> = sqlx::query_scalar("SELECT response::text FROM idempotency_keys").fetch_all(scene.db.pool()).await.unwrap();
    let bytes = format!("{seed:?}").replace(' ', "");
    assert!(answers.iter().all(|answer| !answer.replace(' ', "").contains(bytes.trim_matches(['[', ']']))));
}

#[tokio::test]
async fn a_merchant_has_eight_endpoints_at_most_whoever_asks_at_once() {
    let scene = Scene::open().await;
    let mut makers = JoinSet::new();
    for n in 0..12 {
        let (webhooks, owner, command) =
            (scene.webhooks.clone(), scene.owner.clone(), scene.creation(&format!("http://127.0.0.1:9/{n}"), &[]));
        makers.spawn(async move { webhooks.create(&owner, command).await });
    }
    let mut made = 0;
    while let Some(ended) = makers.join_next().await {
        match ended.unwrap() {
            Ok(_) => made += 1,
            Err(WebhookError::TooMany | WebhookError::PlaceTaken) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    while made < 8 {
        scene.endpoint_at("http://127.0.0.1:9/more", &[]).await;
        made += 1;
    }
    assert_eq!(made, 8);
    let ninth = scene.webhooks.create(&scene.owner, scene.creation("http://127.0.0.1:9/", &[])).await;
    assert!(matches!(ninth, Err(WebhookError::TooMany)), "{ninth:?}");
    // a deleted one makes room
    let first = scene.webhooks.endpoints(&scene.owner, scene.merchant).await.unwrap().remove(0);
    scene.webhooks.delete(&scene.owner, scene.merchant, first.id).await.unwrap();
    scene.endpoint_at("http://127.0.0.1:9/", &[]).await;
    assert_eq!(scene.webhooks.endpoints(&scene.owner, scene.merchant).await.unwrap().len(), 8);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_deleted_endpoint_is_told_nothing_more_and_keeps_no_key() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    scene.told("order.created").await;
    let gone = scene.webhooks.delete(&scene.owner, scene.merchant, endpoint.id).await.unwrap();
    assert_eq!((gone.status, gone.keys.len()), (EndpointStatus::Disabled, 0));
    let again = scene.webhooks.delete(&scene.owner, scene.merchant, endpoint.id).await.unwrap();
    assert_eq!(again.status, EndpointStatus::Disabled, "again changes nothing");
    scene.told("order.created").await;
    assert_eq!((scene.work().await.len(), receiver.heard().len()), (0, 0));
    assert_eq!(scene.only().await.status, DeliveryStatus::Cancelled);
    assert_eq!(scene.count("SELECT count(*) FROM webhook_keys WHERE sealed IS NOT NULL").await, 0);
    let change = ChangeEndpoint { paused: Some(false), ..ChangeEndpoint::default() };
    let revived = scene.webhooks.change(&scene.owner, scene.merchant, endpoint.id, change).await;
    assert!(matches!(revived, Err(WebhookError::Gone)));
    assert!(matches!(scene.rotate(endpoint.id, 0).await, Err(WebhookError::Gone)));
    let audited = "SELECT count(*) FROM audit_events WHERE action = 'webhook.endpoint_deleted'";
    assert_eq!(scene.count(audited).await, 1);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_paused_endpoint_collects_and_a_resumed_one_sends_in_order() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    assert_eq!(scene.paused(endpoint.id, true).await.paused_for, Some(PausedFor::Owner));
    let order = scene.told("order.created").await;
    scene.happens("order.paid", order).await;
    scene.read().await;
    assert_eq!(scene.work().await, []);
    let trial = scene.webhooks.ping(&scene.owner, scene.merchant, endpoint.id, Uuid::now_v7()).await;
    assert!(matches!(trial, Err(WebhookError::Paused)));
    scene.paused(endpoint.id, false).await;
    assert_eq!(scene.work().await, [Outcome::Taken; 2]);
    assert_eq!(receiver.kinds(), ["order.created", "order.paid"]);
}

#[tokio::test]
async fn production_refuses_addresses_that_lead_inside_when_they_are_set() {
    let scene = Scene::open().await;
    let production = webhooks(&scene.db, &scene.clock, Reach::Public);
    for (url, expected) in [
        ("http://shop.example.com/", UrlFault::NotHttps),
        ("https://127.0.0.1/", UrlFault::NotPublic),
        ("https://localhost/", UrlFault::NotPublic),
        ("https://[::1]/", UrlFault::NotPublic),
        ("https://169.254.169.254/latest/meta-data", UrlFault::NotPublic),
        ("https://nowhere.invalid/", UrlFault::Unresolved),
        ("https://a:b@1.1.1.1/", UrlFault::Credentials),
    ] {
        match production.create(&scene.owner, scene.creation(url, &[])).await {
            Err(WebhookError::Url(fault)) => assert_eq!(fault, expected, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    let fine = production.create(&scene.owner, scene.creation("https://1.1.1.1/haodian", &[])).await.unwrap();
    let change = ChangeEndpoint { url: Some("https://10.0.0.1/".to_owned()), ..ChangeEndpoint::default() };
    let moved = production.change(&scene.owner, scene.merchant, fine.id, change).await;
    assert!(matches!(moved, Err(WebhookError::Url(UrlFault::NotPublic))), "{moved:?}");
    assert_eq!(scene.now(fine.id).await.url, "https://1.1.1.1/haodian");
}

#[tokio::test]
async fn only_the_owner_commands_and_operators_may_read() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    let (_, _, stranger) = sign_merchant(scene.db.pool(), 38, scene.clock.now()).await;
    let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: Vec::new() };
    for (actor, reads) in [(&stranger, false), (&operator, true)] {
        let denied = [
            scene.webhooks.create(actor, scene.creation(&receiver.url(), &[])).await.err(),
            scene.webhooks.change(actor, scene.merchant, endpoint.id, ChangeEndpoint::default()).await.err(),
            scene.webhooks.delete(actor, scene.merchant, endpoint.id).await.err(),
            scene.webhooks.ping(actor, scene.merchant, endpoint.id, Uuid::now_v7()).await.err(),
            scene.webhooks.resend(actor, scene.merchant, DeliveryId::new(), Uuid::now_v7()).await.err(),
        ];
        assert!(denied.iter().all(|error| matches!(error, Some(WebhookError::Forbidden(Forbidden)))), "{denied:?}");
        assert_eq!(scene.webhooks.endpoints(actor, scene.merchant).await.is_ok(), reads);
        assert_eq!(scene.webhooks.deliveries(actor, scene.merchant, &DeliveryFilter::default(), None, 10).await.is_ok(), reads);
    }
    assert_eq!(scene.count("SELECT count(*) FROM webhook_endpoints WHERE status = 'ACTIVE'").await, 1);
}
