//! What orders, payments and refunds leave behind passes the checker, in every state they can stop in.

use std::time::Duration;

use uuid::Uuid;
use wallet::analytics::Board;
use wallet::base::id::{AttemptId, OrderId};
use wallet::channel::Channels;
use wallet::channel::acquirer::{Acquirer, Method};
use wallet::channel::sandbox::SandboxAcquirer;
use wallet::order::{CreateOrder, Order, OrderStatus, Orders};
use wallet::payment::{self, Attempt, Payments, StartPayment};
use wallet::refund::{self, Refund, Refunds, RequestRefund};

use super::bank::dead_link;
use super::{Scene, cny};

struct Till {
    orders: Orders,
    payments: Payments,
    refunds: Refunds,
}

impl Till {
    fn of(scene: &Scene) -> Self {
        let (db, clock, later) = (scene.db.pool(), &scene.clock, Duration::from_secs(5));
        let sandbox: std::sync::Arc<dyn Acquirer> = std::sync::Arc::new(SandboxAcquirer::new(dead_link()));
        let channels = Channels::new([sandbox]);
        Self {
            orders: Orders::new(db.clone(), clock.clone()),
            payments: Payments::new(db.clone(), clock.clone(), channels.clone(), tests::routing(&channels, clock), later),
            refunds: Refunds::new(db.clone(), clock.clone(), channels, later),
        }
    }

    /// An order with an attempt that the channel never answered.
    async fn started(&self, scene: &Scene, minor: i64) -> (Order, Attempt) {
        let create = CreateOrder {
            merchant: scene.merchant,
            store: scene.store,
            amount: cny(minor),
            subject: "早餐".to_owned(),
            product: None,
            idempotency_key: Uuid::now_v7(),
        };
        let order = self.orders.create(&scene.owner, create).await.unwrap();
        let attempt = self.start(scene, order.id).await;
        (order, attempt)
    }

    async fn start(&self, scene: &Scene, order: OrderId) -> Attempt {
        let start = StartPayment {
            merchant: scene.merchant,
            order,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: Uuid::now_v7(),
        };
        self.payments.start(&scene.owner, start).await.unwrap()
    }

    fn success(&self, scene: &Scene, attempt: AttemptId, minor: i64) -> payment::Outcome {
        let word = payment::Word::Succeeded {
            transaction_id: format!("T{}", attempt.simple()),
            amount_minor: minor,
            currency: "CNY".to_owned(),
            at: scene.clock.now(),
        };
        payment::Outcome { book: scene.book(), attempt, word }
    }

    async fn refund(&self, scene: &Scene, order: OrderId, minor: i64) -> Refund {
        let request = RequestRefund {
            merchant: scene.merchant,
            order,
            amount: cny(minor),
            reason: "不要了".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.request(&scene.owner, request).await.unwrap()
    }

    async fn end(&self, scene: &Scene, refund: &Refund, word: refund::Word) {
        self.refunds.apply(&[refund::Outcome { book: scene.book(), refund: refund.id, word }]).await.unwrap();
    }
}

#[tokio::test]
async fn every_state_a_payment_or_refund_can_stop_in_is_sound() {
    let scene = Scene::open().await;
    let till = Till::of(&scene);
    // Paid, then notified again; failed and then paid by a second attempt, after which the first succeeds too; another amount; unanswered.
    let (paid, attempt) = till.started(&scene, 10_000).await;
    let success = till.success(&scene, attempt.id, 10_000);
    till.payments.apply(&[success.clone(), success.clone()]).await.unwrap();
    till.payments.apply(&[success]).await.unwrap();
    let (twice, first) = till.started(&scene, 5_000).await;
    let word = payment::Word::Failed { code: "DECLINED".to_owned() };
    till.payments.apply(&[payment::Outcome { book: scene.book(), attempt: first.id, word }]).await.unwrap();
    let second = till.start(&scene, twice.id).await;
    let both = [till.success(&scene, second.id, 5_000), till.success(&scene, first.id, 5_000)];
    till.payments.apply(&both).await.unwrap();
    let (_, conflicted) = till.started(&scene, 700).await;
    till.payments.apply(&[till.success(&scene, conflicted.id, 701)]).await.unwrap();
    till.started(&scene, 300).await;
    scene.assert_sound().await;

    // Refunds that end in every way, on the day and after it.
    for (minor, word) in [
        (1_000, Some(refund::Word::Succeeded { at: scene.clock.now() })),
        (2_000, Some(refund::Word::Failed { code: "ACCOUNT_CLOSED".to_owned() })),
        (3_000, None),
    ] {
        let refund = till.refund(&scene, paid.id, minor).await;
        scene.assert_sound().await;
        if let Some(word) = word {
            till.end(&scene, &refund, word).await;
        }
    }
    scene.assert_sound().await;
    scene.turn_days(1);
    scene.settlements().release_due().await.unwrap();
    let rest = till.refund(&scene, paid.id, 6_000).await;
    scene.assert_sound().await;
    till.end(&scene, &rest, refund::Word::Failed { code: "ACCOUNT_CLOSED".to_owned() }).await;
    scene.assert_sound().await;

    // All of a payment, on its own day: voided, and not voided any more once the channel refuses.
    let (order, attempt) = till.started(&scene, 4_000).await;
    till.payments.apply(&[till.success(&scene, attempt.id, 4_000)]).await.unwrap();
    let all = till.refund(&scene, order.id, 4_000).await;
    let boards = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let today = scene.clock.today();
    assert_eq!(boards.day(&scene.owner, today, None).await.ok().map(|b| b.active_stores), None, "owners see their own only");
    assert_eq!(boards.day(&scene.owner, today, Some(scene.merchant)).await.unwrap().active_stores, 0);
    scene.assert_sound().await;
    till.end(&scene, &all, refund::Word::Failed { code: "ACCOUNT_CLOSED".to_owned() }).await;
    assert_eq!(boards.day(&scene.owner, today, Some(scene.merchant)).await.unwrap().active_stores, 1);
    scene.assert_sound().await;

    // Closed without a payment, and paid all the same.
    let (late, attempt) = till.started(&scene, 800).await;
    sqlx::query("UPDATE orders SET expires_at = created_at WHERE order_id = $1")
        .bind(late.id.0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    till.payments.apply(&[payment::Outcome { book: scene.book(), attempt: attempt.id, word: payment::Word::Closed }]).await.unwrap();
    let closed = till.orders.get(&scene.owner, scene.merchant, late.id).await.unwrap();
    assert_eq!(closed.status, OrderStatus::Closed);
    till.payments.apply(&[till.success(&scene, attempt.id, 800)]).await.unwrap();
    scene.assert_sound().await;
}
