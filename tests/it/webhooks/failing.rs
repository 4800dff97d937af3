//! Receivers that fail: what is tried again and when, what is dead, what an endpoint is paused for, what nobody follows.

use wallet::webhook::PausedFor;

use super::receiver::Mood;
use super::*;

#[tokio::test]
async fn a_refusal_and_a_lost_answer_are_tried_again_under_the_same_id() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    receiver.answers(&[Mood::Says(500, "我们的库没了".to_owned()), Mood::Silent]);
    scene.told("order.created").await;
    let before = Clock::wall();
    assert_eq!(scene.work().await, [Outcome::Refused]);
    let waiting = scene.only().await;
    let pause = (waiting.next_at - before).num_milliseconds();
    assert!((26_900..=40_000).contains(&pause), "half a minute and a tenth: {pause} ms");
    assert_eq!(scene.work().await, [], "not before its time");
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::NoAnswer]);
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    let heard = receiver.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|h| h.id() == heard[0].id() && h.text() == heard[0].text()), "the same id and the same bytes");
    let review = scene.review(scene.only().await.id).await;
    assert_eq!((review.delivery.status, review.delivery.attempts), (DeliveryStatus::Delivered, 3));
    let told: Vec<_> = review.attempts.iter().map(|a| (a.number, a.outcome.unwrap(), a.status_code, a.answer.as_deref())).collect();
    let expected = [
        (1, Outcome::Refused, Some(500), Some("我们的库没了")),
        (2, Outcome::NoAnswer, None, None),
        (3, Outcome::Taken, Some(200), Some("")),
    ];
    assert_eq!(told, expected);
    assert!(review.attempts.iter().all(|a| a.took_ms.is_some() && a.key.is_some()));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_day_after_the_first_try_it_is_dead_and_stays_to_be_seen() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    receiver.answers_for_ever(Mood::Status(503));
    scene.told("order.created").await;
    scene.work().await;
    scene.change("UPDATE webhook_deliveries SET first_at = first_at - interval '23 hours 59 minutes'").await;
    scene.let_time_pass().await;
    // the second pause is a minute, up to a tenth longer
    scene.change("UPDATE webhook_deliveries SET first_at = first_at - interval '2 minutes'").await;
    assert_eq!(scene.work().await, [Outcome::Refused]);
    let dead = scene.only().await;
    assert_eq!((dead.status, dead.attempts), (DeliveryStatus::Dead, 2));
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [], "nobody tries it any more");
    let filter = DeliveryFilter { status: Some(DeliveryStatus::Dead), ..DeliveryFilter::default() };
    assert_eq!(scene.deliveries(filter).await, [dead]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_endless_and_a_dribbling_answer_hold_nobody_up_and_count_as_taken() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    for mood in [Mood::Endless, Mood::Dribbles] {
        receiver.answers(&[mood]);
        scene.told("order.created").await;
        let started = std::time::Instant::now();
        assert_eq!(scene.work().await, [Outcome::Taken]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    let all = scene.deliveries(DeliveryFilter::default()).await;
    let mut answers = Vec::new();
    for delivery in &all {
        answers.push(scene.review(delivery.id).await.attempts[0].answer.clone().unwrap());
    }
    assert_eq!(answers, ["slow".to_owned(), "x".repeat(512)], "the first bytes, no more");
}

#[tokio::test]
async fn a_receiver_without_a_word_is_given_up_after_ten_seconds() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    receiver.answers(&[Mood::Hangs]);
    scene.told("order.created").await;
    assert_eq!(scene.work().await, [Outcome::Timeout]);
    let took = scene.review(scene.only().await.id).await.attempts[0].took_ms.unwrap();
    assert!((10_000..14_000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_leads_nowhere() {
    let scene = Scene::open().await;
    let (receiver, inside) = (Receiver::open().await, Receiver::open().await);
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    inside.knows(&endpoint);
    let metadata = "http://169.254.169.254/latest/meta-data".to_owned();
    receiver.answers(&[Mood::Elsewhere(inside.url()), Mood::Elsewhere(metadata)]);
    for _ in 0..2 {
        scene.told("order.created").await;
        assert_eq!(scene.work().await, [Outcome::Refused]);
    }
    assert_eq!((receiver.heard().len(), inside.heard().len()), (2, 0));
    let first = scene.deliveries(DeliveryFilter::default()).await.pop().unwrap();
    assert_eq!(scene.review(first.id).await.attempts[0].status_code, Some(302));
}

#[tokio::test]
async fn an_address_inside_is_refused_again_when_it_is_resolved() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    // as if the name had led elsewhere when the URL was set: production resolves it to this machine now
    let production = webhooks(&scene.db, &scene.clock, Reach::Public);
    for url in [format!("https://localhost:{}/haodian?shop=1", receiver.port()), format!("https://127.0.0.1:{}/", receiver.port())] {
        sqlx::query("UPDATE webhook_endpoints SET url = $1").bind(url).execute(scene.db.pool()).await.unwrap();
        scene.told("order.created").await;
        let claimed = production.claim("worker", 8).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(production.deliver(&claimed[0]).await.unwrap(), Outcome::Address);
    }
    // and development itself sends to nothing private but this machine
    sqlx::query("UPDATE webhook_endpoints SET url = 'https://10.0.0.1/'").execute(scene.db.pool()).await.unwrap();
    scene.told("order.created").await;
    assert_eq!(scene.work().await, [Outcome::Address]);
    assert_eq!(receiver.heard().len(), 0, "nothing reached it");
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_days_is_paused_and_its_owner_is_told() {
    let scene = Scene::open().await;
    let (broken, fine) = (Receiver::open().await, Receiver::open().await);
    let (bad, good) = (scene.endpoint(&broken, &["order.created"]).await, scene.endpoint(&fine, &["webhook.paused"]).await);
    broken.knows(&bad);
    fine.knows(&good);
    broken.answers_for_ever(Mood::Status(500));
    scene.told("order.created").await;
    scene.work().await;
    let since = scene.now(bad.id).await.failing_since.expect("it fails since now");
    assert!((Clock::wall() - since).num_seconds() < 30);
    // nearly three days
    scene
        .change("UPDATE webhook_endpoints SET failing_since = failing_since - interval '2 days 23 hours' WHERE failing_since IS NOT NULL")
        .await;
    scene.let_time_pass().await;
    scene.work().await;
    assert_eq!(scene.now(bad.id).await.paused_for, None);
    scene.change("UPDATE webhook_endpoints SET failing_since = failing_since - interval '1 hour' WHERE failing_since IS NOT NULL").await;
    scene.let_time_pass().await;
    scene.work().await;
    assert_eq!(scene.now(bad.id).await.paused_for, Some(PausedFor::Failing));
    let audited = "SELECT count(*) FROM audit_events WHERE action = 'webhook.paused' AND actor_role = 'SYSTEM'";
    assert_eq!(scene.count(audited).await, 1);
    scene.read().await;
    scene.work().await;
    assert_eq!(fine.kinds(), ["webhook.paused"]);
    let shown = api::graphql::webhook::outside(wallet::webhook::Outside::Endpoint(scene.merchant.book(), bad.id));
    assert_eq!(fine.heard()[0].json()["object"], json!({ "type": "WebhookEndpoint", "id": shown }));
    // what happens meanwhile waits for it
    broken.recovers();
    scene.told("order.created").await;
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, []);
    let resumed = scene.paused(bad.id, false).await;
    assert_eq!((resumed.paused_for, resumed.failing_since), (None, None));
    assert_eq!(scene.work().await, [Outcome::Taken; 2]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_success_ends_the_count_of_days() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    receiver.answers(&[Mood::Status(500)]);
    scene.told("order.created").await;
    scene.work().await;
    assert!(scene.now(endpoint.id).await.failing_since.is_some());
    scene.let_time_pass().await;
    scene.work().await;
    assert_eq!(scene.now(endpoint.id).await.failing_since, None);
}
