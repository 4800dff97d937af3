//! Lines: level by level, stopped between any two steps, by several at once, to receivers that cannot be paid.

use std::sync::Arc;

use tokio::sync::Barrier;
use wallet::base::id::{MerchantId, OrderId};
use wallet::book::transfer::{SendTransfer, TransferError};
use wallet::channel::Progress;
use wallet::ledger::{AccountKind, Rejection, recipe};
use wallet::split::run::{Keep, Learnt, Next};
use wallet::split::{LineStatus, SplitError, SplitStatus};

use super::{Scene, bps};

/// What 99.00 comes to: the merchant's rest, agent, broker, supplier.
const DIVIDED: [i64; 4] = [6_930, 693, 297, 1_980];

fn arrived() -> Vec<(String, i64, LineStatus)> {
    [("AGENT", 990), ("BROKER", 297), ("SUPPLIER", 1_980)].map(|(role, minor)| (role.to_owned(), minor, LineStatus::Succeeded)).to_vec()
}

#[tokio::test]
async fn an_order_is_divided_level_by_level_and_finished() {
    let scene = Scene::open().await;
    let order = scene.planned(true).await;
    assert_eq!((scene.pending().await, scene.frozen().await), ([0; 4], (9_900, 9_900)), "nobody has anything until it is divided");
    scene.assert_sound().await;
    let step = scene.splits.step(scene.merchant.book(), order, &mut Learnt::default()).await.unwrap();
    assert_eq!(step, Some(Progress::Settled), "where the ledger alone divides, all of it goes in one transaction");
    assert_eq!((scene.pending().await, scene.frozen().await), (DIVIDED, (0, 0)));
    assert_eq!(scene.told(order).await, arrived());
    let split = scene.split(order).await;
    assert_eq!((split.status, split.remainder.minor, split.released.minor), (SplitStatus::Finished, 0, 6_930));
    scene.execute(order).await;
    assert_eq!(scene.pending().await, DIVIDED, "and once");
    assert_eq!(scene.count("SELECT count(*) FROM outbox WHERE kind = 'split.finished'").await, 1);
    assert_eq!(scene.count("SELECT count(*) FROM outbox WHERE kind = 'split.line_succeeded'").await, 3);
    scene.assert_sound().await;
}

#[tokio::test]
async fn money_in_a_stripe_is_divided_there() {
    let scene = Scene::open().await;
    scene.stripe(4).await;
    for _ in 0..5 {
        let order = scene.planned(true).await;
        scene.execute(order).await;
    }
    let mut own = 0;
    for stripe in 0..4 {
        let book = scene.merchant.stripe(stripe);
        assert_eq!(scene.stands_at(book, AccountKind::SplitFrozen).await, 0);
        own += scene.stands_at(book, AccountKind::MerchantPending).await;
    }
    assert_eq!((own, scene.pending().await[1..].to_vec()), (5 * DIVIDED[0], DIVIDED[1..].iter().map(|minor| 5 * minor).collect()));
    scene.assert_sound().await;
}

/// Where a process dies, at each look at the split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// What is to be done is stored, and nothing of it was done.
    Decided,
    /// The money has left its book, or a receiver's own part was released.
    Left,
    /// It is in the other book.
    Arrived,
    /// The transfer says so, the line does not.
    Closed,
}

impl Scene {
    /// Does the next of a split, and dies.
    async fn die(&self, order: OrderId, how: Death) {
        match self.splits.advance(self.merchant.book(), order).await.unwrap() {
            Next::Move(transfers) => self.move_partly(&transfers, how).await,
            Next::Keep(keeps) if how != Death::Decided => self.release(&keeps).await,
            _ => {}
        }
    }

    async fn move_partly(&self, transfers: &[SendTransfer], how: Death) {
        // the second of several is not even begun: it must not wait for the first
        let transfer = transfers[0];
        if how != Death::Decided {
            self.transfers.send(transfer).await.unwrap();
        }
        if matches!(how, Death::Arrived | Death::Closed) {
            self.transfers.arrive(&transfer).await.unwrap();
        }
        if how == Death::Closed {
            self.transfers.close(&[transfer]).await.unwrap();
        }
    }

    async fn release(&self, keeps: &[Keep]) {
        for keep in keeps {
            self.ledger
                .post(recipe::split_release(keep.book, keep.line.0, keep.own, AccountKind::MerchantPending, keep.day))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_step_a_process_dies_at_the_next_one_ends_it_the_same() {
    for how in [Death::Decided, Death::Left, Death::Arrived, Death::Closed] {
        // after so many looks that came to their end: two levels, a release, the finish
        for looks in 0..4 {
            let scene = Scene::open().await;
            let order = scene.planned(true).await;
            for _ in 0..looks {
                match scene.splits.advance(scene.merchant.book(), order).await.unwrap() {
                    Next::Move(transfers) => {
                        for transfer in &transfers {
                            scene.transfers.run(*transfer).await.unwrap();
                        }
                        scene.by_owner("UPDATE split_lines SET status = 'SUCCEEDED', succeeded_minor = amount_minor, resolved_at = sent_at WHERE status = 'SENT'").await;
                    }
                    Next::Keep(keeps) => {
                        scene.release(&keeps).await;
                        scene.by_owner("UPDATE split_lines SET kept_at = resolved_at WHERE passes_on").await;
                    }
                    _ => {}
                }
            }
            scene.die(order, how).await;
            scene.assert_sound().await;
            // the day has turned, and somebody else finished the transfers
            scene.turn_days(1);
            sqlx::query("UPDATE transfers SET created_at = created_at - interval '1 minute'").execute(scene.db.owner_pool()).await.unwrap();
            scene.transfers.finish_left_behind().await.unwrap();
            scene.assert_sound().await;
            scene.execute(order).await;
            assert_eq!((scene.pending().await, scene.frozen().await), (DIVIDED, (0, 0)), "{how:?} after {looks} looks");
            assert_eq!(scene.told(order).await, arrived(), "{how:?} after {looks} looks");
            assert_eq!(scene.split(order).await.status, SplitStatus::Finished);
            scene.assert_sound().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_at_the_same_split_divide_it_once() {
    let scene = Arc::new(Scene::open().await);
    let order = scene.planned(true).await;
    let start = Arc::new(Barrier::new(4));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                // one that came too late may find its line marked; the job would run it again
                let _ = scene.splits.execute(scene.merchant.book(), order).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    scene.execute(order).await;
    assert_eq!((scene.pending().await, scene.frozen().await), (DIVIDED, (0, 0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_receiver_that_may_not_be_paid_leaves_its_part_where_it_was() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    sqlx::query("UPDATE merchants SET status = 'APPLYING', signed_at = NULL WHERE merchant_id = ANY($1)")
        .bind([scene.receivers[1].0.0, scene.receivers[2].0.0])
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    scene.round(order, None, false).await.unwrap();
    scene.execute(order).await;
    let told = |broker, supplier| {
        let lines = [("AGENT", 990, LineStatus::Succeeded), ("BROKER", 297, broker), ("SUPPLIER", 1_980, supplier)];
        lines.map(|(role, minor, status)| (role.to_owned(), minor, status)).to_vec()
    };
    assert_eq!(scene.told(order).await, told(LineStatus::Failed, LineStatus::Failed));
    assert_eq!(
        (scene.pending().await, scene.frozen().await),
        ([0, 990, 0, 0], (8_910, 8_910)),
        "the agent keeps what it could not pass on"
    );
    let split = scene.split(order).await;
    assert_eq!((split.status, split.remainder.minor), (SplitStatus::Partial, 8_910));
    scene.assert_sound().await;
    // signed again, it is paid by the next round: by the order, not by the agent
    scene.by_owner("UPDATE merchants SET status = 'SIGNED', signed_at = created_at WHERE status = 'APPLYING'").await;
    scene.round(order, None, true).await.unwrap();
    scene.execute(order).await;
    assert_eq!(scene.told(order).await, told(LineStatus::Failed, LineStatus::Succeeded));
    assert_eq!((scene.pending().await, scene.frozen().await), ([6_930, 990, 0, 1_980], (0, 0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_receiver_whose_book_refuses_its_part_keeps_nobody_else_waiting() {
    let scene = Scene::open().await;
    let first = scene.planned(true).await;
    scene.execute(first).await;
    // the supplier's balance has no room for another part
    let supplier = scene.receivers[2].0.book();
    let room = async |by: i64| {
        let sql = "UPDATE accounts SET balance_minor = balance_minor + $2 WHERE book_id = $1 AND kind = 'MERCHANT_PENDING'";
        let done = sqlx::query(sql).bind(supplier.0).bind(by).execute(scene.db.owner_pool()).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    };
    let whole = i64::MAX - 2_500;
    room(-whole).await;
    let stuck = scene.planned(true).await;
    let other = scene.pay(10_000).await;
    scene.plan(&other, vec![bps("AGENT", 1_000, vec![bps("BROKER", 3_000, vec![])])], &["AGENT", "BROKER"], true).await;
    let book = scene.merchant.book();
    let (refused, divided) = tokio::join!(scene.splits.execute(book, stuck), scene.splits.execute(book, other.id));
    assert!(matches!(refused, Err(SplitError::Transfer(TransferError::Stuck(Rejection::Overflow)))), "{refused:?}");
    assert_eq!(divided.unwrap(), Progress::Settled);
    let lines = [("AGENT", 990, LineStatus::Succeeded), ("BROKER", 297, LineStatus::Wait), ("SUPPLIER", 1_980, LineStatus::Sent)];
    assert_eq!(scene.told(stuck).await, lines.map(|(role, minor, status)| (role.to_owned(), minor, status)).to_vec());
    assert_eq!(scene.split(other.id).await.status, SplitStatus::Finished);
    // the job runs it again, and it goes as far as it can
    assert!(scene.splits.execute(book, stuck).await.is_err());
    room(whole).await;
    scene.assert_sound().await;
    scene.execute(stuck).await;
    assert_eq!(scene.told(stuck).await, arrived());
    assert_eq!(scene.split(stuck).await.status, SplitStatus::Finished);
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_order_whose_rule_is_wrong_is_paid_all_the_same() {
    let scene = Scene::open().await;
    let order = scene.pay(10_000).await;
    scene.plan(&order, vec![bps("AGENT", 1_000, vec![]), bps("NOBODY", 1, vec![])], &["AGENT"], true).await;
    assert_eq!((scene.pending().await[0], scene.frozen().await), (9_900, (0, 0)));
    let unknown = scene.splits.get(&scene.owner, scene.merchant, order.id).await;
    assert!(matches!(unknown, Err(SplitError::NotFound)), "{unknown:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_receiver_sees_its_own_shares_and_nobody_elses() {
    let scene = Scene::open().await;
    let order = scene.planned(true).await;
    scene.execute(order).await;
    let seen = async |actor, receiver: MerchantId| {
        let page = scene.splits.shares_of(actor, receiver, None, 100).await?;
        Ok::<_, SplitError>(page.items.iter().map(|s| (s.role.clone(), s.received.minor, s.passed_on.minor)).collect::<Vec<_>>())
    };
    let (agent, broker) = (&scene.receivers[0], &scene.receivers[1]);
    assert_eq!(seen(&agent.1, agent.0).await.unwrap(), [("AGENT".to_owned(), 990, 297)]);
    assert_eq!(seen(&broker.1, broker.0).await.unwrap(), [("BROKER".to_owned(), 297, 0)]);
    assert!(seen(&agent.1, broker.0).await.is_err() && seen(&scene.owner, agent.0).await.is_err());
    let lines = scene.splits.lines(&agent.1, scene.merchant, order, None, 100).await;
    assert!(lines.is_err(), "the payer's lines are the payer's");
}
