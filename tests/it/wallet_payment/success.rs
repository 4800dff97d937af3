//! Successes: once, twice, late, wrong, at the same time, and never dropped.

use chrono::TimeDelta;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::id::{MerchantId, OrderId};
use wallet::base::idempotency::IdempotencyError;
use wallet::channel::SANDBOX;
use wallet::channel::acquirer::Method;
use wallet::channel::inbox::Delivery;
use wallet::order::{CreateOrder, OrderError, OrderStatus};
use wallet::payment::{AttemptStatus, CloseOrder, PaymentError, StartPayment, Verdict, Word};

use super::{Scene, cny};

#[tokio::test]
async fn a_duplicate_notice_posts_once() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    assert_eq!(attempt.status, AttemptStatus::Unknown, "nobody reaches the channel");
    let (headers, body) = scene.notice("N1", attempt.id, 10_000);
    assert_eq!(scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap(), Delivery::First);
    assert_eq!(scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap(), Delivery::Again);
    assert_eq!(scene.payments.process_notices(10).await.unwrap().notices, 1);
    assert_eq!(scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap(), Delivery::Again, "again after it was processed");
    let (headers, body) = scene.notice("N2", attempt.id, 10_000);
    scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    assert_eq!(scene.payments.process_notices(10).await.unwrap().notices, 1);
    assert_eq!(scene.payments.process_notices(10).await.unwrap().notices, 0);

    assert_eq!(scene.inbox("N1").await, (Some("PAID".to_owned()), 3));
    assert_eq!(scene.inbox("N2").await, (Some("DUPLICATE".to_owned()), 1));
    let paid = scene.again(order.id).await;
    assert_eq!((paid.status, paid.paid_at.is_some()), (OrderStatus::Paid, true));
    assert_eq!(scene.owed().await, [9_962, 0, 0], "38 bps of 100 yuan are 38 fen");
    assert_eq!(scene.count("SELECT count(*) FROM postings").await, 1);
    scene.assert_sound().await;
}

#[tokio::test]
async fn one_batch_takes_in_what_many_customers_paid_and_leaves_out_what_is_not_ours() {
    let scene = Scene::open().await;
    let mut orders = Vec::new();
    for minor in [100, 2_500, 999_999] {
        let order = scene.order(minor).await;
        let attempt = scene.start(order.id).await;
        for notice_id in [format!("A{minor}"), format!("B{minor}")] {
            let (headers, body) = scene.notice(&notice_id, attempt.id, minor);
            scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
        }
        orders.push(order.id);
    }
    let (headers, body) = scene.notice("stranger", wallet::base::id::AttemptId::new(), 1);
    scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    let processed = scene.payments.process_notices(100).await.unwrap();
    assert_eq!(processed.notices, 7, "one batch");
    for order in &orders {
        assert!(processed.events.iter().any(|event| event.kind == "order.paid" && event.subject == order.0), "told of {order}");
    }
    for order in orders {
        assert_eq!(scene.status(order).await, OrderStatus::Paid);
    }
    assert_eq!(scene.inbox("stranger").await.0.as_deref(), Some("UNKNOWN_REQUEST"));
    assert_eq!(scene.count("SELECT count(*) FROM notices WHERE outcome = 'DUPLICATE'").await, 3);
    scene.assert_sound().await;
}

#[tokio::test]
async fn two_workers_on_one_inbox_post_each_payment_once() {
    let scene = Scene::open().await;
    for n in 0..12 {
        let attempt = scene.start(scene.order(1_000 + n).await.id).await;
        let (headers, body) = scene.notice(&format!("N{n}"), attempt.id, 1_000 + n);
        scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    }
    let (a, b, c) = tokio::join!(scene.payments.process_notices(5), scene.payments.process_notices(5), scene.payments.process_notices(5));
    let rest = scene.payments.process_notices(100).await.unwrap().notices;
    assert_eq!([a, b, c].map(|processed| processed.unwrap().notices).iter().sum::<usize>() + rest, 12);
    assert_eq!(scene.count("SELECT count(*) FROM orders WHERE status = 'PAID'").await, 12);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_notice_that_changes_its_body_is_an_alarm_and_pays_nothing() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    let (headers, body) = scene.notice("N1", attempt.id, 10_000);
    scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    let (headers, body) = scene.notice("N1", attempt.id, 9_999);
    assert_eq!(scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap(), Delivery::Conflict);
    assert_eq!(scene.payments.process_notices(10).await.unwrap().notices, 0);
    assert_eq!(scene.inbox("N1").await, (Some("CONFLICT".to_owned()), 2));
    assert_eq!(scene.status(order.id).await, OrderStatus::Paying, "the query finds the truth");
}

#[tokio::test]
async fn an_unsigned_or_foreign_notice_leaves_no_trace() {
    let scene = Scene::open().await;
    let attempt = scene.start(scene.order(100).await.id).await;
    let (headers, mut body) = scene.notice("N1", attempt.id, 100);
    body[0] = b' ';
    assert!(scene.payments.accept_notice(SANDBOX, &headers, &body).await.is_err());
    let (_, body) = scene.notice("N1", attempt.id, 100);
    assert!(scene.payments.accept_notice(SANDBOX, &reqwest::header::HeaderMap::new(), &body).await.is_err());
    assert_eq!(scene.count("SELECT count(*) FROM notices").await, 0);
}

#[tokio::test]
async fn the_second_of_two_successes_goes_back_by_itself() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let first = scene.start(order.id).await;
    let asking = "SELECT count(*) FROM jobs WHERE kind = 'payment_query'";
    assert_eq!(scene.count(asking).await, 1);
    scene.says(&first, Word::Failed { code: "DECLINED".to_owned() }).await;
    assert_eq!(scene.count(asking).await, 1, "it is looked at again, later");
    assert_eq!(scene.status(order.id).await, OrderStatus::Created, "free to be paid again");
    let second = scene.start(order.id).await;
    assert_ne!(first.id, second.id);
    assert_eq!(scene.says(&second, scene.success(&second, "T2")).await, Verdict::Pay);
    assert_eq!(scene.count(asking).await, 1, "the word came: nothing is left to ask of the second");
    // the channel takes back its no
    let verdict = scene.says(&first, scene.success(&first, "T1")).await;
    assert!(matches!(verdict, Verdict::GiveBack(_)), "{verdict:?}");
    assert_eq!(scene.says(&first, scene.success(&first, "T1")).await, Verdict::Duplicate);

    let paid = scene.again(order.id).await;
    assert_eq!((paid.status, paid.refunded), (OrderStatus::Paid, cny(0)), "what the order was paid with stays");
    let refunds = scene.refunds.of_orders(&[(scene.merchant, order.id)]).await.unwrap();
    assert_eq!(refunds.len(), 1);
    assert_eq!((refunds[0].attempt, refunds[0].amount, refunds[0].fee_back), (first.id, cny(10_000), cny(0)));
    assert_eq!(scene.owed().await, [9_962, 0, 10_000]);
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE kind = 'refund_send'").await, 1);
    assert_eq!(scene.count("SELECT count(*) FROM book_days WHERE paid_count = 2 AND refunded_count = 1 AND voided_count = 1").await, 1);
    scene.assert_sound().await;
}

#[tokio::test]
async fn two_successes_in_one_batch_pay_once() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let first = scene.start(order.id).await;
    scene.says(&first, Word::Failed { code: "DECLINED".to_owned() }).await;
    let second = scene.start(order.id).await;
    for (notice, attempt) in [("N1", &first), ("N2", &second)] {
        let (headers, body) = scene.notice(notice, attempt.id, 10_000);
        scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    }
    assert_eq!(scene.payments.process_notices(10).await.unwrap().notices, 2);
    assert_eq!(scene.inbox("N1").await.0.as_deref(), Some("PAID"));
    assert_eq!(scene.inbox("N2").await.0.as_deref(), Some("SURPLUS"));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_success_after_closing_goes_back_by_itself() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    scene.pass(TimeDelta::minutes(31));
    scene.says(&attempt, Word::Closed).await;
    let closed = scene.again(order.id).await;
    assert_eq!((closed.status, closed.closed_at.is_some()), (OrderStatus::Closed, true));
    let verdict = scene.says(&attempt, scene.success(&attempt, "T1")).await;
    assert!(matches!(verdict, Verdict::GiveBack(_)), "{verdict:?}");
    assert_eq!(scene.status(order.id).await, OrderStatus::Closed);
    assert_eq!(scene.owed().await, [0, 0, 10_000]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn another_amount_is_put_aside_for_a_person() {
    let scene = Scene::open().await;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    let (headers, body) = scene.notice("N1", attempt.id, 9_999);
    scene.payments.accept_notice(SANDBOX, &headers, &body).await.unwrap();
    scene.payments.process_notices(10).await.unwrap();
    assert_eq!(scene.inbox("N1").await.0.as_deref(), Some("CONFLICTED"));
    let attempt = scene.attempts(order.id).await.remove(0);
    assert_eq!((attempt.status, attempt.error_code.as_deref()), (AttemptStatus::Conflicted, Some("AMOUNT_DIFFERS")));
    assert_eq!(scene.owed().await, [0, 0, 0]);
    let cmd = StartPayment {
        merchant: scene.merchant,
        order: order.id,
        method: Method::Page,
        wallet: None,
        failed: None,
        payer: None,
        return_url: None,
        idempotency_key: Uuid::now_v7(),
    };
    let refused = scene.payments.start(&scene.owner, cmd).await;
    assert!(matches!(refused, Err(PaymentError::UnderReview)), "{refused:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_channel_transaction_pays_one_attempt_even_when_both_come_at_once() {
    let scene = Scene::open().await;
    let (a, b) = (scene.start(scene.order(500).await.id).await, scene.start(scene.order(500).await.id).await);
    let (one, other) = tokio::join!(scene.says(&a, scene.success(&a, "T1")), scene.says(&b, scene.success(&b, "T1")));
    let mut verdicts = [one, other].map(|v| format!("{v:?}"));
    verdicts.sort();
    assert_eq!(verdicts, ["Conflict(\"TRANSACTION_REUSED\")", "Pay"]);
    assert_eq!(scene.count("SELECT count(*) FROM channel_transactions").await, 1);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_replayed_key_gives_the_same_answer_and_another_command_is_refused() {
    let scene = Scene::open().await;
    let create = |minor: i64, key: Uuid| CreateOrder {
        merchant: scene.merchant,
        store: scene.store,
        amount: cny(minor),
        subject: "早餐".to_owned(),
        product: None,
        idempotency_key: key,
    };
    let key = Uuid::now_v7();
    let order = scene.orders.create(&scene.owner, create(1_000, key)).await.unwrap();
    let start_key = Uuid::now_v7();
    let start = || StartPayment {
        merchant: scene.merchant,
        order: order.id,
        method: Method::Page,
        wallet: None,
        failed: None,
        payer: None,
        return_url: None,
        idempotency_key: start_key,
    };
    let attempt = scene.payments.start(&scene.owner, start()).await.unwrap();
    scene.says(&attempt, scene.success(&attempt, "T1")).await;
    assert_eq!(scene.orders.create(&scene.owner, create(1_000, key)).await.unwrap(), order, "as it was told, not as it is");
    assert_eq!(scene.payments.start(&scene.owner, start()).await.unwrap(), attempt);
    let refused = scene.orders.create(&scene.owner, create(1_001, key)).await;
    assert!(matches!(refused, Err(OrderError::Idempotency(IdempotencyError::KeyReused))), "{refused:?}");
    let other = scene.order(5).await;
    let refused = scene.payments.start(&scene.owner, StartPayment { order: other.id, ..start() }).await;
    assert!(matches!(refused, Err(PaymentError::Idempotency(IdempotencyError::KeyReused))), "{refused:?}");
    assert_eq!(scene.count("SELECT count(*) FROM orders").await, 2);
    scene.assert_sound().await;
}

#[tokio::test]
async fn the_same_key_at_once_makes_one_order() {
    let scene = Scene::open().await;
    let key = Uuid::now_v7();
    let create = || {
        let (merchant, store) = (scene.merchant, scene.store);
        let cmd = CreateOrder { merchant, store, amount: cny(700), subject: "早餐".to_owned(), product: None, idempotency_key: key };
        scene.orders.create(&scene.owner, cmd)
    };
    let (a, b, c) = tokio::join!(create(), create(), create());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert!(a == b && b == c);
    assert_eq!(scene.count("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test]
async fn what_must_not_be_paid_is_refused_and_nothing_changes() {
    let scene = Scene::open().await;
    let (paid, _) = scene.paid(1_000).await;
    let expired = scene.order(1_000).await;
    let closed = scene.order(1_000).await;
    let close = |order: OrderId| CloseOrder { merchant: scene.merchant, order, idempotency_key: Uuid::now_v7() };
    assert_eq!(scene.payments.close_order(&scene.owner, close(closed.id)).await.unwrap().status, OrderStatus::Closed);
    let refused = scene.payments.close_order(&scene.owner, close(paid.id)).await;
    assert!(matches!(refused, Err(PaymentError::OrderPaid)), "{refused:?}");
    let attempts_before = scene.count("SELECT count(*) FROM payment_attempts").await;
    let start = |merchant, order| StartPayment {
        merchant,
        order,
        method: Method::Page,
        wallet: None,
        failed: None,
        payer: None,
        return_url: None,
        idempotency_key: Uuid::now_v7(),
    };
    let refused = |order: OrderId| scene.payments.start(&scene.owner, start(scene.merchant, order));
    assert!(matches!(refused(paid.id).await, Err(PaymentError::OrderPaid)));
    assert!(matches!(refused(closed.id).await, Err(PaymentError::OrderClosed)));
    assert!(matches!(refused(OrderId::new()).await, Err(PaymentError::NotFound)));
    scene.pass(TimeDelta::minutes(30));
    assert!(matches!(refused(expired.id).await, Err(PaymentError::OrderExpired)));
    assert_eq!(scene.status(expired.id).await, OrderStatus::Closed, "it reads as closed");
    let stranger =
        scene.payments.start(&Actor::Customer { merchant: scene.merchant, order: paid.id }, start(scene.merchant, closed.id)).await;
    assert!(matches!(stranger, Err(PaymentError::Forbidden(_))), "{stranger:?}");
    let foreign = MerchantId::new();
    let cmd = CreateOrder {
        merchant: foreign,
        store: scene.store,
        amount: cny(1),
        subject: "x".to_owned(),
        product: None,
        idempotency_key: Uuid::now_v7(),
    };
    assert!(matches!(scene.orders.create(&scene.owner, cmd.clone()).await, Err(OrderError::Forbidden(_))));
    assert!(matches!(scene.orders.create(&Actor::System, cmd).await, Err(OrderError::MerchantNotSigned)));
    assert!(matches!(scene.orders.get(&scene.owner, foreign, paid.id).await, Err(OrderError::NotFound)));
    assert_eq!(scene.count("SELECT count(*) FROM payment_attempts").await, attempts_before);
    scene.assert_sound().await;
}

#[tokio::test]
async fn orders_are_paged_newest_first_without_gap_or_repetition() {
    let scene = Scene::open().await;
    let mut made = Vec::new();
    for minor in 1..=7 {
        made.push(scene.order(minor).await.id);
    }
    made.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = scene.orders.list(&scene.owner, scene.merchant, before, 3).await.unwrap();
        seen.extend(page.items.iter().map(|o| o.id));
        before = page.items.last().map(|o| (o.created_at, o.id));
        if !page.has_next {
            break;
        }
    }
    assert_eq!(seen, made);
    assert!(matches!(scene.orders.list(&scene.owner, MerchantId::new(), None, 3).await, Err(OrderError::Forbidden(_))));
}
