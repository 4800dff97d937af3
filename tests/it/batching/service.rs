//! The services with their lanes: calls at once share transactions, a poisoned one is alone with its fault, a full queue refuses.

use tokio::task::JoinSet;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::batcher::COMMANDS;
use wallet::order::{CreateOrder, Order, OrderError, Orders};

use super::statements::CountedLine;
use super::world::World;

/// Calls all at once; the answers in the order of the commands.
async fn at_once(orders: &Orders, commands: Vec<CreateOrder>) -> Vec<Result<Order, OrderError>> {
    let mut calls = JoinSet::new();
    for (n, command) in commands.into_iter().enumerate() {
        let orders = orders.clone();
        calls.spawn(async move { (n, orders.create(&Actor::System, command).await) });
    }
    let mut answers = calls.join_all().await;
    answers.sort_unstable_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn commands(world: &World, count: usize) -> Vec<CreateOrder> {
    (0..count).map(|_| world.create(Uuid::now_v7().as_u128())).collect()
}

async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).bind(world.merchant.0).fetch_one(&world.db).await.unwrap()
}

#[tokio::test]
async fn calls_at_once_share_a_few_transactions() {
    let db = tests::database().await;
    let line = CountedLine::to(&db, 2).await;
    let world = World::new(db.pool()).await;
    let orders = Orders::new(line.pool.clone(), world.clock.clone());
    at_once(&orders, commands(&world, 4)).await;
    line.taken();
    let commands = commands(&world, 200);
    let answers = at_once(&orders, commands.clone()).await;
    for (command, answer) in commands.iter().zip(&answers) {
        let order = answer.as_ref().unwrap();
        assert_eq!((order.merchant, order.amount, &order.subject), (command.merchant, command.amount, &command.subject));
    }
    // one thread: all calls wait in the lane before the first batch is formed; seven statements each, and a first connection's own
    let taken = line.taken();
    assert!(taken <= 24, "{taken} statements for 200 orders");
    assert_eq!(count(&world, "SELECT count(*) FROM orders WHERE book_id = $1").await, 204);
}

#[tokio::test]
async fn a_row_that_the_database_refuses_costs_its_neighbours_nothing() {
    let db = tests::database().await;
    let world = World::new(db.pool()).await;
    sqlx::query("ALTER TABLE orders ADD CONSTRAINT orders_poison CHECK (subject <> '毒')").execute(db.owner_pool()).await.unwrap();
    let orders = Orders::new(db.pool().clone(), world.clock.clone());
    let mut commands = commands(&world, 20);
    commands[7].subject = "毒".to_owned();
    let answers = at_once(&orders, commands.clone()).await;
    for (n, (command, answer)) in commands.iter().zip(&answers).enumerate() {
        assert_eq!(answer.is_ok(), n != 7, "{n}: {answer:?}");
        // and each finds its own answer again, or may try again under its key
        if let Ok(told) = answer {
            assert_eq!(orders.create(&Actor::System, command.clone()).await.unwrap(), *told);
        }
    }
    assert_eq!(count(&world, "SELECT count(*) FROM orders WHERE book_id = $1").await, 19);
    assert_eq!(count(&world, "SELECT count(*) FROM idempotency_keys WHERE tenant_id = $1").await, 19, "a refused one leaves no key");
    assert_eq!(count(&world, "SELECT count(*) FROM outbox WHERE book_id = $1").await, 19);
}

#[tokio::test]
async fn beyond_what_may_wait_callers_are_refused_before_the_pool_is_asked_and_all_others_are_served() {
    let db = tests::database().await;
    let world = World::new(db.pool()).await;
    let orders = Orders::new(db.pool().clone(), world.clock.clone());
    let mut gate = db.owner_pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").execute(&mut *gate).await.unwrap();
    let mut calls = JoinSet::new();
    for command in commands(&world, COMMANDS.lanes * COMMANDS.waiting_max + 500) {
        let orders = orders.clone();
        calls.spawn(async move { orders.create(&Actor::System, command).await });
    }
    // every lane
    tests::eventually_blocked(db.owner_pool(), 1).await;
    let mut refused = 0;
    while let Some(answer) = calls.try_join_next() {
        let answer = answer.unwrap();
        assert!(matches!(answer, Err(OrderError::Busy { retry_after }) if !retry_after.is_zero()), "{answer:?}");
        refused += 1;
    }
    assert_eq!(refused, 500, "every lane is full");
    gate.rollback().await.unwrap();
    let served = calls.join_all().await;
    assert!(served.iter().all(Result::is_ok), "who was let in is served");
    assert_eq!(count(&world, "SELECT count(*) FROM orders WHERE book_id = $1").await, i64::try_from(served.len()).unwrap());
}
