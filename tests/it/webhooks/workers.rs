//! Workers that die between sending and storing, and workers side by side.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::receiver::Mood;
use super::*;

#[tokio::test]
async fn a_worker_that_dies_after_sending_has_it_sent_again_under_the_same_id() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    scene.told("order.created").await;
    let claimed = scene.webhooks.claim("the dead", 8).await.unwrap();
    let sent = scene.webhooks.send(&claimed[0]).await;
    assert_eq!(sent.outcome, Outcome::Taken);
    // it dies here: nothing is stored
    assert_eq!(scene.work().await, [], "its lease holds");
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, [Outcome::Taken]);
    let heard = receiver.heard();
    assert_eq!((heard.len(), heard[0].id()), (2, heard[1].id()));
    let review = scene.review(scene.only().await.id).await;
    assert_eq!(review.attempts.iter().map(|a| a.outcome).collect::<Vec<_>>(), [None, Some(Outcome::Taken)]);
    assert_eq!(review.delivery.status, DeliveryStatus::Delivered);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_success_that_is_stored_late_counts_and_a_failure_does_not() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    scene.told("order.created").await;
    receiver.answers(&[Mood::Status(200), Mood::Status(500), Mood::Status(500)]);
    let slow = scene.webhooks.claim("slow", 8).await.unwrap().pop().unwrap();
    let taken = scene.webhooks.send(&slow).await;
    scene.let_time_pass().await;
    let second = scene.webhooks.claim("second", 8).await.unwrap().pop().unwrap();
    let refused = scene.webhooks.send(&second).await;
    scene.let_time_pass().await;
    let third = scene.webhooks.claim("third", 8).await.unwrap().pop().unwrap();
    scene.webhooks.record(&second, &refused).await.unwrap();
    assert_eq!(scene.count("SELECT count(*) FROM webhook_deliveries WHERE leased_by = 'third'").await, 1, "it is the third's by now");
    scene.webhooks.record(&slow, &taken).await.unwrap();
    assert_eq!(scene.only().await.status, DeliveryStatus::Delivered);
    let refused = scene.webhooks.send(&third).await;
    scene.webhooks.record(&third, &refused).await.unwrap();
    assert_eq!(scene.only().await.status, DeliveryStatus::Delivered, "what was taken stays taken");
    scene.let_time_pass().await;
    assert_eq!(scene.work().await, []);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_delivery_whose_workers_die_each_time_is_given_up() {
    let scene = Scene::open().await;
    let receiver = Receiver::open().await;
    receiver.knows(&scene.endpoint(&receiver, &[]).await);
    scene.told("order.created").await;
    scene.webhooks.claim("the dead", 8).await.unwrap();
    let attempts = wallet::webhook::rules::ATTEMPTS_MAX;
    scene.change(&format!("UPDATE webhook_deliveries SET attempts = {attempts} - 1")).await;
    receiver.answers_for_ever(Mood::Status(500));
    scene.let_time_pass().await;
    scene.work().await;
    assert_eq!(scene.only().await.status, DeliveryStatus::Dead);
}

#[tokio::test]
async fn two_workers_at_once_send_everything_once() {
    let scene = Scene::open().await;
    let receivers = [Receiver::open().await, Receiver::open().await, Receiver::open().await];
    for receiver in &receivers {
        let endpoint = scene.endpoint(receiver, &[]).await;
        receiver.knows(&endpoint);
    }
    for _ in 0..12 {
        let order = scene.order(100).await;
        scene.happens("order.created", order).await;
        scene.happens("order.closed", order).await;
    }
    // a consumer and a worker each, as two processes have them
    let process = async |n: i32| {
        eventually(LIMIT, "everything is delivered", async || {
            scene.outbox.consume(&api::jobs::webhook::FAN_OUT, 3, &scene.webhooks.fan_out()).await.unwrap();
            let claimed = scene.webhooks.claim(&format!("worker {n}"), 6).await.unwrap();
            deliver_all(&scene.webhooks, claimed).await;
            let done = scene.count("SELECT count(*) FROM webhook_deliveries WHERE status = 'DELIVERED'").await;
            (done == 72).then_some(())
        })
        .await;
    };
    tokio::join!(process(1), process(2));
    for receiver in &receivers {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        receiver.heard().iter().for_each(|heard| *times.entry(heard.id().to_owned()).or_default() += 1);
        assert_eq!((times.len(), times.values().copied().max()), (24, Some(1)), "each message once");
        assert!(receiver.under_way_max() <= 4, "{} under way at once", receiver.under_way_max());
    }
    scene.assert_sound().await;
}

/// Delivers all of them beside each other.
async fn deliver_all(webhooks: &Webhooks, claimed: Vec<wallet::webhook::Claimed>) {
    let mut under_way = JoinSet::new();
    for delivery in claimed {
        let webhooks = webhooks.clone();
        under_way.spawn(async move { webhooks.deliver(&delivery).await.unwrap() });
    }
    while let Some(outcome) = under_way.join_next().await {
        assert_eq!(outcome.unwrap(), Outcome::Taken);
    }
}
