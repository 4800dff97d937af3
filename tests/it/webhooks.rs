//! Webhooks against a real receiver over a socket, which knows nothing of us but what RECEIVING.md says.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod check;
mod edge;
mod endpoints;
mod failing;
mod order;
mod receiver;
mod resend;
mod workers;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use merchant::vault::{KEY_LEN, Vault};
use receiver::Receiver;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::{TestDatabase, eventually, morning, sign_merchant};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::id::{DeliveryId, EndpointId, MerchantId, OrderId, StoreId};
use wallet::base::outbox::{self, Event, Outbox};
use wallet::webhook::{
    ChangeEndpoint, CreateEndpoint, Delivery, DeliveryFilter, DeliveryStatus, Endpoint, Outcome, Reach, Review, Webhooks,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A merchant, and webhooks on a database of their own.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    webhooks: Webhooks,
    outbox: Outbox,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
}

impl Scene {
    async fn open() -> Self {
        let db = tests::database().await;
        let clock = morning();
        let (merchant, store, owner) = sign_merchant(db.pool(), 38, clock.now()).await;
        let outbox = Outbox::open(db.pool().clone(), None).await.unwrap();
        outbox.prepare(&[api::jobs::webhook::FAN_OUT]).await.unwrap();
        let webhooks = webhooks(&db, &clock, Reach::Loopback);
        Self { db, clock, webhooks, outbox, merchant, store, owner }
    }

    /// An endpoint at a receiver, for these kinds.
    async fn endpoint(&self, receiver: &Receiver, kinds: &[&str]) -> Endpoint {
        self.endpoint_at(&receiver.url(), kinds).await
    }

    async fn endpoint_at(&self, url: &str, kinds: &[&str]) -> Endpoint {
        self.webhooks.create(&self.owner, self.creation(url, kinds)).await.unwrap()
    }

    fn creation(&self, url: &str, kinds: &[&str]) -> CreateEndpoint {
        CreateEndpoint {
            merchant: self.merchant,
            url: url.to_owned(),
            kinds: kinds.iter().map(|&k| k.to_owned()).collect(),
            idempotency_key: Uuid::now_v7(),
        }
    }

    /// The present state of an endpoint.
    async fn now(&self, id: EndpointId) -> Endpoint {
        self.webhooks.endpoints(&self.owner, self.merchant).await.unwrap().into_iter().find(|e| e.id == id).unwrap()
    }

    /// An order that is there, without what comes with it.
    async fn order(&self, minor: i64) -> OrderId {
        let (id, now) = (OrderId::new(), self.clock.now());
        sqlx::query(
            "INSERT INTO orders (book_id, order_id, store_id, subject, amount_minor, currency, fee_bps, status, created_at, expires_at)
             VALUES ($1, $2, $3, '张三的早餐', $4, 'CNY', 38, 'CREATED', $5, $6)",
        )
        .bind(self.merchant.0)
        .bind(id.0)
        .bind(self.store.0)
        .bind(minor)
        .bind(now)
        .bind(now + TimeDelta::minutes(30))
        .execute(self.db.pool())
        .await
        .unwrap();
        id
    }

    /// Something happens to an order; the event is appended, not yet read.
    async fn happens(&self, kind: &'static str, order: OrderId) {
        let payload = json!({ "version": 1, "storeId": self.store, "amountMinor": "1250", "feeMinor": "5", "currency": "CNY" });
        let event = Event { book: self.merchant.book(), kind, subject: order.0, payload, at: self.clock.now() };
        let mut tx = self.db.pool().begin().await.unwrap();
        outbox::append_in_tx(&mut tx, &[event]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Reads every event into deliveries.
    async fn read(&self) {
        eventually(LIMIT, "every event was read", async || {
            while self.outbox.consume(&api::jobs::webhook::FAN_OUT, 50, &self.webhooks.fan_out()).await.unwrap().more {}
            let lags = self.outbox.lags(&Actor::System).await.unwrap();
            (lags.consumers.iter().all(|lag| lag.waiting == 0)).then_some(())
        })
        .await;
    }

    /// An event of a fresh order, as deliveries.
    async fn told(&self, kind: &'static str) -> OrderId {
        let order = self.order(1_250).await;
        self.happens(kind, order).await;
        self.read().await;
        order
    }

    /// Tries everything that is due, one after the other; how the tries ended.
    async fn work(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        loop {
            let claimed = self.webhooks.claim("worker", 8).await.unwrap();
            if claimed.is_empty() {
                return outcomes;
            }
            for delivery in &claimed {
                outcomes.push(self.webhooks.deliver(delivery).await.unwrap());
            }
        }
    }

    /// As if every pause and every lease were over.
    async fn let_time_pass(&self) {
        self.change("UPDATE webhook_deliveries SET next_at = now() WHERE status = 'PENDING'").await;
        self.change("UPDATE webhook_deliveries SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL").await;
    }

    async fn change(&self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(self.db.owner_pool()).await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.owner_pool()).await.unwrap()
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Vec<Delivery> {
        self.webhooks.deliveries(&self.owner, self.merchant, &filter, None, 100).await.unwrap().items
    }

    /// The one delivery there is.
    async fn only(&self) -> Delivery {
        let mut all = self.deliveries(DeliveryFilter::default()).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop().unwrap()
    }

    async fn review(&self, id: DeliveryId) -> Review {
        self.webhooks.review(&self.owner, self.merchant, id).await.unwrap()
    }

    async fn paused(&self, id: EndpointId, paused: bool) -> Endpoint {
        let change = ChangeEndpoint { paused: Some(paused), ..ChangeEndpoint::default() };
        self.webhooks.change(&self.owner, self.merchant, id, change).await.unwrap()
    }

    /// What is told of webhooks agrees with itself.
    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.owner_pool()).await.unwrap();
        let found: Vec<_> = report.violations().filter(|(rule, _)| rule.starts_with('H')).collect();
        assert!(found.is_empty(), "{found:?}");
        assert!(report.rules.iter().filter(|rule| rule.id.starts_with('H')).count() == 3, "{report}");
    }
}

/// The service, with a vault of the test's own.
fn webhooks(db: &TestDatabase, clock: &Clock, reach: Reach) -> Webhooks {
    let keeper = api::graphql::webhook::keeper(Vault::new(&[7; KEY_LEN]));
    Webhooks::try_new(db.pool().clone(), clock.clone(), reach, api::graphql::webhook::outside, keeper).unwrap()
}

fn at(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_event_reaches_each_endpoint_that_wants_it_once_and_verified() {
    let scene = Scene::open().await;
    let (all, some) = (Receiver::open().await, Receiver::open().await);
    let (everything, paid_only) = (scene.endpoint(&all, &[]).await, scene.endpoint(&some, &["order.paid"]).await);
    all.knows(&everything);
    some.knows(&paid_only);
    let order = scene.told("order.created").await;
    scene.happens("order.paid", order).await;
    scene.happens("payment.conflicted", order).await;
    scene.read().await;
    assert_eq!(scene.work().await, [Outcome::Taken; 3]);
    assert_eq!((all.kinds(), some.kinds()), (vec!["order.created".to_owned(), "order.paid".to_owned()], vec!["order.paid".to_owned()]));
    let body = some.heard()[0].json();
    let expected = api::graphql::webhook::outside(wallet::webhook::Outside::Order(scene.merchant.book(), order));
    assert_eq!((&body["object"]["id"], &body["object"]["amount"]), (&json!(expected), &json!({ "amount": "12.50", "currency": "CNY" })));
    assert_eq!(body["facts"]["fee"], json!({ "amount": "0.05", "currency": "CNY" }));
    assert!(body["occurredAt"].as_str().unwrap().ends_with("+08:00"), "{body}");
    assert!(at(&body["occurredAt"]) >= at(&body["object"]["createdAt"]), "business time: {body}");
    for heard in all.heard().iter().chain(&some.heard()) {
        assert!(!heard.text().contains("张三"), "what people typed stays inside: {}", heard.text());
        assert_eq!(heard.header("haodian-webhook-id"), heard.json()["id"].as_str().unwrap());
    }
    // read a second time, as after a dump was put back
    scene.change("UPDATE outbox_cursors SET xid = '0', event_id = '00000000-0000-0000-0000-000000000000'").await;
    scene.read().await;
    assert_eq!(scene.work().await, []);
    assert_eq!(scene.count("SELECT count(*) FROM webhook_deliveries").await, 3);
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_endpoint_hears_nothing_of_before_it_and_nothing_of_others() {
    let scene = Scene::open().await;
    let order = scene.told("order.created").await;
    scene.happens("order.closed", order).await;
    // not read yet when the endpoint is made, in a later millisecond: what came before it is told apart no finer
    let appended = Clock::wall().timestamp_millis();
    eventually(LIMIT, "the millisecond is over", async || (Clock::wall().timestamp_millis() > appended).then_some(())).await;
    let receiver = Receiver::open().await;
    let endpoint = scene.endpoint(&receiver, &[]).await;
    receiver.knows(&endpoint);
    // another merchant's order
    let (other, ..) = sign_merchant(scene.db.pool(), 38, scene.clock.now()).await;
    let event = Event { book: other.book(), kind: "order.paid", subject: Uuid::now_v7(), payload: json!({}), at: scene.clock.now() };
    let mut tx = scene.db.pool().begin().await.unwrap();
    outbox::append_in_tx(&mut tx, &[event]).await.unwrap();
    tx.commit().await.unwrap();
    scene.read().await;
    assert_eq!((scene.work().await.len(), receiver.heard().len()), (0, 0));
    assert_eq!(scene.deliveries(DeliveryFilter::default()).await, []);
}

#[tokio::test]
async fn old_deliveries_go_and_what_an_active_endpoint_waits_for_stays() {
    let scene = Scene::open().await;
    let (fine, broken) = (Receiver::open().await, Receiver::open().await);
    broken.answers_for_ever(receiver::Mood::Status(500));
    for receiver in [&fine, &broken] {
        let endpoint = scene.endpoint(receiver, &[]).await;
        receiver.knows(&endpoint);
    }
    for _ in 0..3 {
        scene.told("order.created").await;
    }
    scene.work().await;
    assert_eq!(scene.webhooks.purge(Clock::wall() - TimeDelta::days(30), 100).await.unwrap(), 0);
    scene.change("UPDATE webhook_deliveries SET created_at = created_at - interval '31 days'").await;
    scene.told("order.created").await;
    scene.work().await;
    let before = Clock::wall() - TimeDelta::days(30);
    assert_eq!(scene.webhooks.purge(before, 2).await.unwrap(), 2, "no more than asked for");
    assert_eq!(scene.webhooks.purge(before, 100).await.unwrap(), 1);
    assert_eq!(scene.webhooks.purge(before, 100).await.unwrap(), 0, "what still waits stays");
    let broken = scene.webhooks.endpoints(&scene.owner, scene.merchant).await.unwrap()[1].id;
    scene.paused(broken, true).await;
    assert_eq!(scene.webhooks.purge(before, 100).await.unwrap(), 3, "a paused endpoint's backlog is as old as it is");
    assert_eq!(scene.count("SELECT count(*) FROM webhook_deliveries").await, 2);
    let pending = DeliveryFilter { status: Some(DeliveryStatus::Pending), ..DeliveryFilter::default() };
    assert_eq!(scene.deliveries(pending).await.len(), 1);
    scene.assert_sound().await;
}
