//! What goes before what, and who waits for whom.

use super::receiver::Mood;
use super::*;

#[tokio::test]
async fn messages_about_one_object_go_one_after_the_other() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    let (order, other) = (scene.order(1_250).await, scene.order(1_250).await);
    for kind in ["order.created", "payment.failed", "order.paid"] {
        scene.happens(kind, order).await;
    }
    scene.happens("order.created", other).await;
    scene.read().await;
    // beside each other only what is about different orders
    let first = scene.webhooks.claim("worker", 8).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(scene.webhooks.claim("another", 8).await.unwrap().len(), 0, "while the first is under way, those behind it wait");
    for delivery in &first {
        scene.webhooks.deliver(delivery).await.unwrap();
    }
    scene.work().await;
    let told: Vec<String> = receiver.heard().iter().filter(|h| h.json()["object"]["id"] == id_of(&scene, order)).map(kind).collect();
    assert_eq!(told, ["order.created", "payment.failed", "order.paid"]);
}

#[tokio::test]
async fn one_that_failed_holds_nobody_up_any_more() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    receiver.answers(&[Mood::Status(500)]);
    let order = scene.told("order.created").await;
    scene.happens("order.paid", order).await;
    scene.read().await;
    assert_eq!(scene.work().await, [Outcome::Refused, Outcome::Taken]);
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    assert_eq!(receiver.kinds(), ["order.created", "order.paid", "order.created"]);
}

#[tokio::test]
async fn a_slow_endpoint_has_a_few_places_and_holds_up_no_other() {
    let scene = Scene::open().await;
    let (slow, quick) = (Receiver::open().await, Receiver::open().await);
    for receiver in [&slow, &quick] {
        let endpoint = scene.endpoint(receiver, &[]).await;
        receiver.knows(&endpoint);
    }
    slow.answers_for_ever(Mood::Waits);
    for _ in 0..10 {
        let order = scene.order(100).await;
        scene.happens("order.created", order).await;
    }
    scene.read().await;
    let mut under_way = tokio::task::JoinSet::new();
    let mut claims = 0;
    // a worker that takes up whatever it may, and has sixteen places at each look
    eventually(LIMIT, "the quick one has heard everything", async || {
        for delivery in scene.webhooks.claim("worker", 16).await.unwrap() {
            claims += 1;
            let webhooks = scene.webhooks.clone();
            under_way.spawn(async move { webhooks.deliver(&delivery).await.unwrap() });
        }
        (quick.heard().len() == 10 && claims == 14).then_some(())
    })
    .await;
    assert_eq!(scene.webhooks.claim("worker", 16).await.unwrap().len(), 0, "four of the slow one are under way, six wait");
    assert_eq!(slow.heard().len(), 4);
    slow.recovers();
    for _ in 0..4 {
        slow.go_on();
        under_way.join_next().await.unwrap().unwrap();
    }
    while under_way.join_next().await.is_some() {}
    scene.work().await;
    assert_eq!((slow.heard().len(), slow.under_way_max()), (10, 4));
    scene.assert_sound().await;
}

fn kind(heard: &super::receiver::Heard) -> String {
    heard.json()["kind"].as_str().unwrap().to_owned()
}

fn id_of(scene: &Scene, order: OrderId) -> String {
    api::graphql::webhook::outside(wallet::webhook::Outside::Order(scene.merchant.book(), order))
}
