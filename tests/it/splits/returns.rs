//! Returns: in proportion, bottom-up, stopped between any two steps, from receivers that have too little, and for refunds.

use uuid::Uuid;
use wallet::base::clock::business_day;
use wallet::base::id::{OrderId, TransferId};
use wallet::book::transfer::{Purpose, SendTransfer};
use wallet::channel::Progress;
use wallet::ledger::{AccountKind, recipe};
use wallet::split::returns::{Giver, NextBack};
use wallet::split::{LineStatus, SplitError, plan_return_in_tx};

use super::{Scene, cny};

impl Scene {
    /// An order that is divided and finished.
    async fn divided(&self) -> OrderId {
        let order = self.planned(true).await;
        self.execute(order).await;
        order
    }

    async fn execute_return(&self, back: &wallet::split::Return) -> Progress {
        self.splits.execute_return(self.merchant.book(), back.id).await.unwrap()
    }

    /// Sets a receiver's own share aside, as the service does.
    async fn gather(&self, giver: &Giver) {
        let posting = recipe::split_gather(giver.from, giver.part, giver.own, cny(0), giver.day);
        self.ledger.post(posting).await.unwrap();
    }

    /// Plans a refund's return and posts what it releases, as the refund would. Gives the merchant's own part.
    async fn plan_return(&self, order: OrderId, reference: Uuid, minor: i64) -> Result<i64, SplitError> {
        let now = self.clock.now();
        let order = self.orders.get(&self.owner, self.merchant, order).await.unwrap();
        let mut tx = self.db.pool().begin().await.unwrap();
        let plan = plan_return_in_tx(&mut tx, &order, reference, cny(minor), now).await?.unwrap();
        for outcome in wallet::ledger::post_in_tx(&mut tx, &plan.postings, business_day(now), now).await.unwrap() {
            outcome.unwrap();
        }
        tx.commit().await.unwrap();
        Ok(plan.back.own.minor)
    }
}

#[tokio::test]
async fn receivers_give_back_in_proportion_and_never_more_than_they_had() {
    let scene = Scene::open().await;
    let order = scene.divided().await;
    // of agent 693, broker 297 and supplier 1,980
    let back = scene.give_back(order, 297).await.unwrap();
    assert!(scene.lines(order).await.iter().all(|line| line.status == LineStatus::Returning));
    assert_eq!(scene.execute_return(&back).await, Progress::Settled);
    assert_eq!(scene.pending().await, [7_227, 624, 267, 1_782]);
    assert!(scene.lines(order).await.iter().all(|line| line.status == LineStatus::Succeeded && line.returned_minor > 0));
    scene.assert_sound().await;
    let refused = scene.give_back(order, 2_674).await;
    assert!(matches!(refused, Err(SplitError::AmountExceedsReturnable { returnable }) if returnable == cny(2_673)), "{refused:?}");
    for minor in [0, -1] {
        assert!(matches!(scene.give_back(order, minor).await, Err(SplitError::AmountInvalid)));
    }
    // two at once, the second planned before the first has moved
    let (first, rest) = (scene.give_back(order, 1_000).await.unwrap(), scene.give_back(order, 1_673).await.unwrap());
    assert!(matches!(scene.give_back(order, 1).await, Err(SplitError::AmountExceedsReturnable { .. })));
    scene.assert_sound().await;
    assert_eq!(scene.execute_return(&rest).await, Progress::Settled);
    assert_eq!(scene.execute_return(&first).await, Progress::Settled);
    assert_eq!(scene.pending().await, [9_900, 0, 0, 0]);
    assert!(scene.lines(order).await.iter().all(|line| line.status == LineStatus::Returned));
    assert_eq!(scene.execute_return(&first).await, Progress::Settled, "and once");
    assert_eq!(scene.pending().await[0], 9_900);
    let returns = scene.splits.returns(&scene.owner, scene.merchant, order).await.unwrap();
    assert!(returns.len() == 3 && returns.iter().all(|back| back.done_at.is_some()));
    assert_eq!(scene.count("SELECT count(*) FROM outbox WHERE kind = 'split.returned'").await, 3);
    scene.assert_sound().await;
}

#[tokio::test]
async fn whatever_step_a_return_dies_at_the_next_one_ends_it_the_same() {
    // nothing done, gathered, sent, arrived, closed; at the first level from below, and at the second
    for levels in 0..2 {
        for steps in 0..5 {
            let scene = Scene::open().await;
            let order = scene.divided().await;
            let back = scene.give_back(order, 2_970).await.unwrap();
            for _ in 0..levels {
                let NextBack::Move(givers) = scene.splits.advance_return(scene.merchant.book(), order, back.id).await.unwrap() else {
                    panic!()
                };
                for giver in &givers {
                    scene.gather(giver).await;
                    scene.transfers.run(giver.transfer()).await.unwrap();
                }
                scene.by_owner("WITH parts AS (UPDATE split_return_lines SET status = 'RETURNED' WHERE status = 'SENT' RETURNING line_id, amount_minor)
                    UPDATE split_lines l SET returned_minor = p.amount_minor, returning_minor = 0, status = 'RETURNED' FROM parts p WHERE p.line_id = l.line_id").await;
            }
            let NextBack::Move(givers) = scene.splits.advance_return(scene.merchant.book(), order, back.id).await.unwrap() else {
                panic!()
            };
            let transfer = givers[0].transfer();
            if steps > 0 {
                scene.gather(&givers[0]).await;
            }
            if steps > 1 {
                scene.transfers.send(transfer).await.unwrap();
            }
            if steps > 2 {
                scene.transfers.arrive(&transfer).await.unwrap();
            }
            if steps > 3 {
                scene.transfers.close(&[transfer]).await.unwrap();
            }
            scene.assert_sound().await;
            scene.turn_days(1);
            assert_eq!(scene.execute_return(&back).await, Progress::Settled);
            assert_eq!((scene.pending().await, scene.frozen().await), ([9_900, 0, 0, 0], (0, 0)), "{levels} levels and {steps} steps");
            assert!(scene.lines(order).await.iter().all(|line| line.status == LineStatus::Returned));
            scene.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn a_receiver_gives_of_its_available_money_and_one_that_has_too_little_keeps_the_return_open() {
    let scene = Scene::open().await;
    let order = scene.divided().await;
    scene.turn_days(1);
    assert_eq!(scene.settle().await, 4);
    // the broker has spent all but a fen
    let broker = scene.receivers[1].0.book();
    let spend = |minor, id| SendTransfer {
        id,
        purpose: Purpose::BetweenBooks,
        from: broker,
        from_account: AccountKind::MerchantAvailable,
        to: scene.merchant.book(),
        to_account: AccountKind::MerchantAvailable,
        amount: cny(minor),
        day: scene.clock.today(),
    };
    scene.transfers.run(spend(296, TransferId::new())).await.unwrap();
    let back = scene.give_back(order, 2_970).await.unwrap();
    assert!(matches!(scene.execute_return(&back).await, Progress::AskAgain(_)));
    let told = scene.told(order).await;
    let waiting: Vec<_> = told.iter().filter(|(_, _, status)| *status == LineStatus::Returning).map(|(role, ..)| role.as_str()).collect();
    assert_eq!(waiting, ["AGENT", "BROKER"], "the supplier gave, and the agent waits for the broker");
    assert_eq!(scene.pending().await[0], 1_980);
    scene.assert_sound().await;
    let home = SendTransfer { from: scene.merchant.book(), to: broker, ..spend(296, TransferId::new()) };
    scene.transfers.run(home).await.unwrap();
    assert_eq!(scene.execute_return(&back).await, Progress::Settled);
    assert_eq!(scene.pending().await, [2_970, 0, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn nothing_comes_back_while_money_still_goes_down() {
    let scene = Scene::open().await;
    let order = scene.planned(true).await;
    assert!(matches!(scene.give_back(order, 1).await, Err(SplitError::UnderWay)));
    assert!(matches!(scene.plan_return(order, Uuid::now_v7(), 1).await, Err(SplitError::UnderWay)));
    scene.execute(order).await;
    scene.give_back(order, 1).await.unwrap();
}

#[tokio::test]
async fn a_refund_takes_from_everybody_in_proportion_before_and_after_the_finish() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    scene.round(order, Some(4_950), false).await.unwrap();
    scene.execute(order).await;
    // lines have 1,485; 8,415 is the merchant's and frozen
    let (first, reference) = (scene.pending().await, Uuid::now_v7());
    assert_eq!(scene.plan_return(order, reference, 990).await.unwrap(), 841);
    assert_eq!(scene.plan_return(order, reference, 990).await.unwrap(), 841, "the same refund asked again is the same return");
    assert_eq!((scene.split(order).await.remainder.minor, scene.pending().await[0]), (7_574, 841), "and what it takes is free for it");
    scene.assert_sound().await;
    let returns = scene.splits.returns(&scene.owner, scene.merchant, order).await.unwrap();
    assert_eq!((returns.len(), returns[0].reference), (1, reference));
    assert_eq!(scene.execute_return(&returns[0]).await, Progress::Settled);
    let after = scene.pending().await;
    assert_eq!((after[0], first[1..].iter().sum::<i64>() - after[1..].iter().sum::<i64>()), (990, 149));
    scene.finish(order).await.unwrap();
    scene.assert_sound().await;
    // all that is left of it
    let own = scene.plan_return(order, Uuid::now_v7(), 8_910).await.unwrap();
    assert_eq!(own, 7_574);
    assert!(matches!(scene.plan_return(order, Uuid::now_v7(), 1).await, Err(SplitError::AmountExceedsReturnable { .. })));
    let returns = scene.splits.returns(&scene.owner, scene.merchant, order).await.unwrap();
    assert_eq!(scene.execute_return(&returns[1]).await, Progress::Settled);
    assert_eq!(scene.pending().await, [9_900, 0, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn what_receivers_gave_back_is_the_merchants_in_the_next_refund() {
    let scene = Scene::open().await;
    let order = scene.divided().await;
    let back = scene.give_back(order, 2_970).await.unwrap();
    scene.execute_return(&back).await;
    assert_eq!(scene.plan_return(order, Uuid::now_v7(), 9_900).await.unwrap(), 9_900);
    scene.assert_sound().await;
    // an order that is not divided has nothing to plan
    let plain = scene.pay(10_000).await;
    let mut tx = scene.db.pool().begin().await.unwrap();
    assert!(plan_return_in_tx(&mut tx, &plain, Uuid::now_v7(), cny(1), scene.clock.now()).await.unwrap().is_none());
}
