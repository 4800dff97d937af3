//! Subsidies on a real database: what a programme pays of an order, what two orders may not both have, and what frees what was reserved.

use std::time::Duration;

use chrono::TimeDelta;
use tests::eventually;
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::batcher::Batched;
use wallet::base::id::{AttemptId, OrderId, UserId};
use wallet::base::idempotency::IdempotencyError;
use wallet::channel::acquirer::Method;
use wallet::order::{Creation, Order, OrderStatus, Orders};
use wallet::payment::{Attempt, CloseOrder, Outcome, StartPayment, Verdict, Word};
use wallet::product::Products;
use wallet::subsidy::{
    CreateProgramme, DecideMovement, EndProgramme, Figures, Movement, MovementKind, MovementStatus, Programme, ProposeMovement, Subsidies,
    SubsidyError,
};

use super::{Scene, cny, folder};
use crate::batching::statements::CountedLine;

/// A payment of which the programme SPRING pays a part.
pub const DEAL: &str = r#"
code = "DEAL"
name = "特惠收款"
settle = "T1"
subsidy = "SPRING"
[collect]
methods = ["PAGE", "NATIVE"]
amount_minor_min = 1
amount_minor_max = 1_000_000
pay_within_min = 30
[fee]
rate = { bps = 60 }
bearer = "MERCHANT"
"#;

/// A scene with a programme, and the two operators whose programme it is.
pub struct Budget {
    pub scene: Scene,
    pub subsidies: Subsidies,
    pub ops: Actor,
    pub other: Actor,
    pub programme: Programme,
}

fn operator() -> Actor {
    Actor::Person { id: UserId::new(), role: Role::Operator, merchants: Vec::new() }
}

impl Budget {
    /// SPRING pays so many basis points of an order, at most so much, out of a budget of `funded` fen; more products beside DEAL.
    pub async fn open(share_bps: i32, order_max: Option<i64>, funded: i64, more: &[(&str, &str)]) -> Self {
        let products: Vec<_> = more.iter().copied().chain([("deal.toml", DEAL)]).collect();
        let scene = Scene::open(&products).await;
        let (db, clock) = (scene.db.pool().clone(), scene.clock.clone());
        let subsidies = Subsidies::new(db.clone(), db, clock, "SANDBOX_BANK".to_owned());
        let ops = operator();
        let cmd = CreateProgramme {
            code: "SPRING".to_owned(),
            name: "春季补贴".to_owned(),
            share_bps: Some(share_bps),
            order_max: order_max.map(cny),
            starts_at: scene.now(),
            ends_at: scene.now() + TimeDelta::days(30),
            idempotency_key: Uuid::now_v7(),
        };
        let programme = subsidies.create(&ops, cmd).await.unwrap();
        let budget = Self { scene, subsidies, ops, other: operator(), programme };
        if funded > 0 {
            budget.moved(MovementKind::Funding, funded, "IN-1").await.unwrap();
        }
        budget
    }

    pub async fn propose(&self, kind: MovementKind, minor: i64, reference: &str) -> Result<Movement, SubsidyError> {
        let (programme, bank_reference) = (self.programme.id, reference.to_owned());
        let cmd = ProposeMovement { programme, kind, amount: cny(minor), bank_reference, idempotency_key: Uuid::now_v7() };
        self.subsidies.propose(&self.ops, cmd).await
    }

    pub async fn decide(&self, by: &Actor, movement: &Movement, approve: bool) -> Result<Movement, SubsidyError> {
        self.subsidies.decide(by, DecideMovement { movement: movement.id, approve, idempotency_key: Uuid::now_v7() }).await
    }

    /// Proposed by one and confirmed by the other.
    pub async fn moved(&self, kind: MovementKind, minor: i64, reference: &str) -> Result<Movement, SubsidyError> {
        let movement = self.propose(kind, minor, reference).await?;
        self.decide(&self.other, &movement, true).await
    }

    pub async fn end(&self) -> Result<Programme, SubsidyError> {
        self.subsidies.end(&self.ops, EndProgramme { programme: self.programme.id, idempotency_key: Uuid::now_v7() }).await
    }

    /// Funded, reserved, used, returned, withdrawn, available.
    pub async fn figures(&self) -> [i64; 6] {
        let f: Figures = self.subsidies.figures(&self.ops, self.programme.id).await.unwrap();
        [f.funded, f.reserved, f.used, f.returned, f.withdrawn, f.available].map(|money| money.minor)
    }

    pub async fn order(&self, minor: i64) -> Order {
        self.scene.order("DEAL", &[], minor).await
    }

    pub async fn attempt(&self, order: OrderId) -> Attempt {
        let cmd = StartPayment {
            merchant: self.scene.merchant,
            order,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: Uuid::now_v7(),
        };
        self.scene.payments.start(&self.scene.owner, cmd).await.unwrap()
    }

    pub async fn channel_says(&self, attempt: AttemptId, word: Word) -> Verdict {
        let outcome = Outcome { book: self.scene.merchant.book(), attempt, word };
        self.scene.payments.apply(&[outcome]).await.unwrap()[0].unwrap()
    }

    pub fn success(&self, attempt: AttemptId, minor: i64) -> Word {
        let transaction_id = format!("T{}", attempt.simple());
        Word::Succeeded { transaction_id, amount_minor: minor, currency: "CNY".to_owned(), at: self.scene.now() }
    }

    async fn close(&self, order: OrderId) {
        let cmd = CloseOrder { merchant: self.scene.merchant, order, idempotency_key: Uuid::now_v7() };
        self.scene.payments.close_order(&self.scene.owner, cmd).await.unwrap();
    }
}

#[tokio::test]
async fn a_programme_pays_its_part_and_the_merchant_has_the_whole_less_its_fee() {
    let b = Budget::open(1_000, Some(500), 10_000, &[]).await;
    let order = b.order(3_009).await;
    assert_eq!((order.amount, order.subsidy(), order.payable()), (cny(3_009), cny(300), cny(2_709)));
    assert_eq!(b.order(100_000).await.subsidy(), cny(500), "at most so much");
    assert_eq!(b.figures().await, [10_000, 800, 0, 0, 0, 9_200]);

    let attempt = b.attempt(order.id).await;
    assert_eq!(attempt.amount, cny(2_709), "a channel is asked for the cash part");
    assert_eq!(b.channel_says(attempt.id, b.success(attempt.id, 2_709)).await, Verdict::Pay);
    // 60 basis points of the whole
    assert_eq!(b.scene.stands().await, [2_991, 0, 18]);
    assert_eq!(b.figures().await, [10_000, 500, 300, 0, 0, 9_200]);
    let received = "SELECT sum(balance_minor)::bigint FROM accounts WHERE kind = 'CHANNEL_RECEIVABLE'";
    assert_eq!(b.scene.count(received).await, 2_709);
    assert_eq!(b.scene.count("SELECT paid_minor FROM book_days").await, 3_009, "turnover is what was sold");
    let told: serde_json::Value =
        sqlx::query_scalar("SELECT payload FROM outbox WHERE kind = 'order.paid'").fetch_one(b.scene.db.pool()).await.unwrap();
    assert_eq!((&told["subsidyMinor"], &told["amountMinor"]), (&"300".into(), &"2709".into()));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_channel_that_states_the_whole_of_a_subsidised_order_is_in_conflict() {
    let b = Budget::open(1_000, None, 10_000, &[]).await;
    let order = b.order(3_000).await;
    let attempt = b.attempt(order.id).await;
    assert_eq!(b.channel_says(attempt.id, b.success(attempt.id, 3_000)).await, Verdict::Conflict("AMOUNT_DIFFERS"));
    assert_eq!(b.figures().await, [10_000, 300, 0, 0, 0, 9_700], "a person decides; its part stays promised");
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn two_orders_at_once_cannot_both_have_the_last_of_a_budget() {
    let b = Budget::open(1_000, None, 700, &[]).await;
    let products = Products::publish(b.scene.db.pool(), api::products::load(folder(&[("deal.toml", DEAL)]).path()).unwrap()).await.unwrap();
    // two processes with batches of their own
    let other = Orders::selling(b.scene.db.pool().clone(), b.scene.clock.clone(), products.clone());
    let mut given = 0;
    for _ in 0..6 {
        let (one, two) = (b.scene.create("DEAL", &[], 2_000), b.scene.create("DEAL", &[], 2_000));
        let (one, two) = tokio::join!(b.scene.orders.create(&b.scene.owner, one), other.create(&b.scene.owner, two));
        given += [one.unwrap(), two.unwrap()].iter().filter(|order| order.subsidy() == cny(200)).count();
    }
    assert_eq!((given, b.figures().await), (3, [700, 600, 0, 0, 0, 100]), "200 each of 700: the rest is no whole part");

    // and two of one batch: the second goes without, and so does its replay
    b.moved(MovementKind::Funding, 100, "IN-2").await.unwrap();
    let creation = Creation { db: b.scene.db.pool().clone(), clock: b.scene.clock.clone(), products };
    let mut batch = vec![b.scene.create("DEAL", &[], 2_000), b.scene.create("DEAL", &[], 2_000)];
    batch.push(batch[1].clone());
    let made: Vec<Order> = creation.run(&batch).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().map(|order| order.subsidy().minor).collect::<Vec<_>>(), [200, 0, 0]);
    assert_eq!(made[1], made[2], "the same key in the same batch is the same order");
    let again: Vec<Order> = creation.run(&batch).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(again, made);
    assert_eq!(b.scene.again(made[1].id).await.payable(), cny(2_000));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn an_order_goes_without_where_no_programme_pays() {
    let b = Budget::open(1_000, None, 10_000, &[("other.toml", &DEAL.replace("SPRING", "NOBODY").replace("\"DEAL\"", "\"OTHER\""))]).await;
    let one_fen = Budget::open(9_999, None, 10_000, &[]).await;
    assert_eq!(one_fen.order(1).await.subsidy(), cny(0), "a channel cannot be asked for nothing");
    assert_eq!(b.scene.order("OTHER", &[], 2_000).await.subsidy, None, "its product names a programme that nobody made");
    assert_eq!(b.scene.order("STORE_PAYMENT", &[], 2_000).await.subsidy, None);
    assert_eq!(b.order(9).await.subsidy, None, "a tenth of nine fen is nothing");
    let given = b.order(2_000).await;
    b.scene.pass(TimeDelta::days(30));
    assert_eq!(b.order(2_000).await.subsidy, None, "its time is over");
    b.scene.pass(-TimeDelta::days(30));
    b.end().await.unwrap();
    assert_eq!(b.order(2_000).await.subsidy, None, "it was ended");
    b.scene.pay(&given).await;
    assert_eq!(b.figures().await, [10_000, 0, 200, 0, 0, 9_800], "what was promised before is paid");
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn an_order_that_closes_gives_its_part_to_others() {
    let b = Budget::open(1_000, None, 300, &[]).await;
    let (by_hand, by_time, paying) = (b.order(1_000).await, b.order(1_000).await, b.order(1_000).await);
    assert_eq!((b.figures().await, b.order(1_000).await.subsidy), ([300, 300, 0, 0, 0, 0], None));
    b.close(by_hand.id).await;
    b.close(by_hand.id).await;
    assert_eq!(b.figures().await, [300, 200, 0, 0, 0, 100]);

    let attempt = b.attempt(paying.id).await;
    assert_eq!(b.scene.payments.close_overdue().await.unwrap(), 0);
    b.scene.pass(TimeDelta::minutes(30));
    assert_eq!(b.scene.again(by_time.id).await.status, OrderStatus::Closed, "to everybody, before anything is written");
    let (one, two) = tokio::join!(b.scene.payments.close_overdue(), b.scene.payments.close_overdue());
    assert_eq!(one.unwrap() + two.unwrap(), 1, "the one that nobody is paying, whoever looks");
    assert_eq!(b.figures().await, [300, 100, 0, 0, 0, 200]);
    assert_eq!(b.channel_says(attempt.id, Word::Closed).await, Verdict::Close);
    assert_eq!((b.scene.again(paying.id).await.status, b.figures().await), (OrderStatus::Closed, [300, 0, 0, 0, 0, 300]));
    assert_eq!(b.scene.count("SELECT count(*) FROM outbox WHERE kind = 'order.closed'").await, 3);
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn an_attempt_that_fails_in_time_leaves_the_part_for_the_next() {
    let b = Budget::open(1_000, None, 100, &[]).await;
    let order = b.order(1_000).await;
    let attempt = b.attempt(order.id).await;
    assert_eq!(b.channel_says(attempt.id, Word::Failed { code: "DECLINED".to_owned() }).await, Verdict::Fail);
    assert_eq!(b.figures().await, [100, 100, 0, 0, 0, 0]);
    b.scene.pay(&order).await;
    assert_eq!(b.figures().await, [100, 0, 100, 0, 0, 0]);
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn money_that_comes_late_or_twice_is_cash_alone_and_goes_back_whole() {
    let b = Budget::open(1_000, None, 1_000, &[]).await;
    let late = b.order(1_000).await;
    let attempt = b.attempt(late.id).await;
    b.channel_says(attempt.id, Word::Closed).await;
    b.close(late.id).await;
    let verdict = b.channel_says(attempt.id, b.success(attempt.id, 900)).await;
    assert!(matches!(verdict, Verdict::GiveBack(_)), "{verdict:?}");
    let twice = b.order(1_000).await;
    let first = b.attempt(twice.id).await;
    b.channel_says(first.id, Word::Failed { code: "DECLINED".to_owned() }).await;
    let second = b.attempt(twice.id).await;
    assert_eq!(b.channel_says(second.id, b.success(second.id, 900)).await, Verdict::Pay);
    let verdict = b.channel_says(first.id, b.success(first.id, 900)).await;
    assert!(matches!(verdict, Verdict::GiveBack(_)), "{verdict:?}");
    let refunds: Vec<(i64, i64)> =
        sqlx::query_as("SELECT amount_minor, subsidy_minor FROM refunds").fetch_all(b.scene.db.pool()).await.unwrap();
    assert_eq!(refunds, [(900, 0), (900, 0)]);
    assert_eq!(b.figures().await, [1_000, 0, 100, 0, 0, 900], "once, for the order that was paid");
    assert_eq!(b.scene.stands().await, [994, 0, 6]);
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_process_that_dies_while_it_makes_an_order_leaves_neither_order_nor_reservation() {
    let b = Budget::open(1_000, None, 1_000, &[]).await;
    let mut lock = b.scene.db.owner_pool().begin().await.unwrap();
    sqlx::query("SELECT FROM accounts WHERE kind = 'SUBSIDY' FOR UPDATE").execute(&mut *lock).await.unwrap();
    let command = b.scene.create("DEAL", &[], 1_000);
    let (orders, owner, key) = (b.scene.orders.clone(), b.scene.owner.clone(), command.clone());
    let products = Products::publish(b.scene.db.pool(), api::products::load(folder(&[("deal.toml", DEAL)]).path()).unwrap()).await.unwrap();
    let creation = Creation { db: b.scene.db.pool().clone(), clock: b.scene.clock.clone(), products };
    let making = tokio::spawn(async move { creation.run(&[command]).await });
    eventually(Duration::from_secs(30), "the order waits for the budget", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND (database IS NULL OR database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        (b.scene.count(waiting).await > 0).then_some(())
    })
    .await;
    making.abort();
    assert!(making.await.unwrap_err().is_cancelled());
    lock.rollback().await.unwrap();
    assert_eq!(b.scene.count("SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM holds)").await, 0);
    // the same key makes the order
    assert_eq!(orders.create(&owner, key).await.unwrap().subsidy(), cny(100));
    assert_eq!(b.figures().await, [1_000, 100, 0, 0, 0, 900]);
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn a_budget_is_moved_by_two_people_under_the_banks_number_once() {
    let b = Budget::open(1_000, None, 0, &[]).await;
    let movement = b.propose(MovementKind::Funding, 1_000, "IN-1").await.unwrap();
    assert_eq!(b.figures().await, [0; 6], "written down, not booked");
    assert!(matches!(b.decide(&b.ops, &movement, true).await, Err(SubsidyError::OwnProposal)));
    assert!(matches!(b.propose(MovementKind::Funding, 5, "IN-1").await, Err(SubsidyError::ReferenceTaken)));
    assert_eq!(b.decide(&b.ops, &movement, false).await.unwrap().status, MovementStatus::Rejected, "who was wrong may say so");
    assert!(matches!(b.decide(&b.other, &movement, true).await, Err(SubsidyError::Decided)));
    let movement = b.propose(MovementKind::Funding, 1_000, "IN-1").await.unwrap();
    let decide = |approve| DecideMovement { movement: movement.id, approve, idempotency_key: Uuid::from_u128(7) };
    let (one, two) = tokio::join!(b.subsidies.decide(&b.other, decide(true)), b.subsidies.decide(&b.other, decide(true)));
    assert_eq!(one.unwrap(), two.unwrap());
    let another = b.subsidies.decide(&b.other, decide(false)).await;
    assert!(matches!(another, Err(SubsidyError::Idempotency(IdempotencyError::KeyReused))), "{another:?}");
    assert_eq!(b.figures().await, [1_000, 0, 0, 0, 0, 1_000]);
    assert_eq!(b.scene.count("SELECT sum(balance_minor)::bigint FROM accounts WHERE kind = 'BANK_CASH'").await, 1_000);

    let order = b.order(2_000).await;
    assert!(matches!(b.propose(MovementKind::Return, 1, "OUT-1").await, Err(SubsidyError::NotEnded)));
    let waiting = b.propose(MovementKind::Funding, 50, "IN-2").await.unwrap();
    b.end().await.unwrap();
    assert!(matches!(b.end().await, Err(SubsidyError::Ended)));
    assert!(matches!(b.decide(&b.other, &waiting, true).await, Err(SubsidyError::Ended)), "too late");
    assert!(matches!(b.propose(MovementKind::Funding, 50, "IN-3").await, Err(SubsidyError::Ended)));
    let too_much = b.moved(MovementKind::Return, 1_000, "OUT-1").await;
    assert!(matches!(too_much, Err(SubsidyError::ExceedsLeft { left }) if left == cny(800)), "200 are promised: {too_much:?}");
    b.moved(MovementKind::Return, 800, "OUT-2").await.unwrap();
    b.close(order.id).await;
    b.moved(MovementKind::Return, 200, "OUT-3").await.unwrap();
    assert_eq!(b.figures().await, [1_000, 0, 0, 0, 1_000, 0]);
    assert_eq!(b.scene.count("SELECT sum(balance_minor)::bigint FROM accounts WHERE kind = 'BANK_CASH'").await, 0);
    let audited = "SELECT count(*) FROM audit_events WHERE action LIKE 'subsidy.%'";
    assert_eq!((b.scene.count(audited).await, b.scene.count("SELECT count(*) FROM outbox WHERE kind LIKE 'subsidy.%'").await), (12, 12));

    let (newest, rest) =
        (b.subsidies.movements(&b.ops, b.programme.id, None, 2).await.unwrap(), b.subsidies.list(&b.ops, None, 1).await.unwrap());
    let references: Vec<_> = newest.items.iter().map(|m| m.bank_reference.as_str()).collect();
    assert_eq!((references, newest.has_next, rest.items.len(), rest.has_next), (vec!["OUT-3", "OUT-2"], true, 1, false));
    let before = b.subsidies.movements(&b.ops, b.programme.id, Some(newest.items[1].id), 100).await.unwrap();
    assert_eq!((before.items.len(), before.has_next), (4, false));
    assert!(b.subsidies.list(&b.ops, Some(b.programme.id), 1).await.unwrap().items.is_empty());
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn only_operators_touch_a_programme_and_its_code_is_one() {
    let b = Budget::open(1_000, None, 0, &[]).await;
    let cmd = |code: &str, key| CreateProgramme {
        code: code.to_owned(),
        name: "又一个".to_owned(),
        share_bps: None,
        order_max: Some(cny(100)),
        starts_at: b.programme.starts_at,
        ends_at: b.programme.ends_at,
        idempotency_key: key,
    };
    assert!(matches!(b.subsidies.create(&b.ops, cmd("SPRING", Uuid::now_v7())).await, Err(SubsidyError::CodeTaken)));
    for actor in [&b.scene.owner, &Actor::System] {
        assert!(matches!(b.subsidies.create(actor, cmd("AUTUMN", Uuid::now_v7())).await, Err(SubsidyError::Forbidden(_))));
    }
    assert!(matches!(b.subsidies.list(&b.scene.owner, None, 1).await, Err(SubsidyError::Forbidden(_))));
    let key = Uuid::now_v7();
    let made = b.subsidies.create(&b.ops, cmd("AUTUMN", key)).await.unwrap();
    assert_eq!(b.subsidies.create(&b.ops, cmd("AUTUMN", key)).await.unwrap(), made);
    assert!(matches!(b.subsidies.create(&b.ops, cmd("WINTER", key)).await, Err(SubsidyError::Idempotency(IdempotencyError::KeyReused))));
    b.scene.assert_sound().await;
}

#[tokio::test]
async fn what_a_programme_pays_is_frozen_on_its_order() {
    let b = Budget::open(1_000, None, 1_000, &[]).await;
    b.order(1_000).await;
    for sql in ["UPDATE orders SET subsidy_minor = 1", "UPDATE orders SET programme_id = NULL"] {
        let error = sqlx::query(sql).execute(b.scene.db.pool()).await.expect_err(sql).to_string();
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_subsidised_batch_costs_as_many_statements_whatever_its_size() {
    let b = Budget::open(1_000, None, 1_000_000, &[]).await;
    let line = CountedLine::to(&b.scene.db, 1).await;
    let products = Products::publish(&line.pool, api::products::load(folder(&[("deal.toml", DEAL)]).path()).unwrap()).await.unwrap();
    let creation = Creation { products, db: line.pool.clone(), clock: b.scene.clock.clone() };
    let mut seen = Vec::new();
    for (code, members) in [("STORE_PAYMENT", 10), ("DEAL", 1), ("DEAL", 1), ("DEAL", 10), ("DEAL", 100)] {
        let commands: Vec<_> = (0..members).map(|_| b.scene.create(code, &[], 2_000)).collect();
        line.taken();
        assert!(creation.run(&commands).await.unwrap().iter().all(Result::is_ok));
        seen.push(line.taken());
    }
    assert_eq!(seen, [7, 13, 13, 13, 13], "with BEGIN and COMMIT; without a programme as many as ever");
}
