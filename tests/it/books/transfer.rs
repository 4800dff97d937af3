//! Money between books, step by step: what a process that dies leaves behind is finished, and finished once.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::Barrier;
use wallet::base::id::{BookId, TransferId};
use wallet::book::transfer::{Purpose, SendTransfer, TransferError, TransferStatus};
use wallet::ledger::{AccountKind, Rejection};

use super::{Scene, cny};

/// Two merchants, the first with 1,980 fen available.
async fn two_merchants() -> (Scene, BookId) {
    let scene = Scene::open().await;
    scene.pay(2_000).await;
    scene.turn_day();
    scene.settle().await;
    let other = scene.sign().await.0.book();
    (scene, other)
}

fn transfer(scene: &Scene, to: BookId, minor: i64) -> SendTransfer {
    SendTransfer {
        id: TransferId::new(),
        purpose: Purpose::BetweenBooks,
        from: scene.merchant.book(),
        from_account: AccountKind::MerchantAvailable,
        to,
        to_account: AccountKind::MerchantAvailable,
        amount: cny(minor),
        day: scene.clock.today(),
    }
}

impl Scene {
    /// Available in the book it leaves, available in the other, in transit over all books.
    async fn money(&self, other: BookId) -> [i64; 3] {
        let available = AccountKind::MerchantAvailable;
        [self.stands_at(self.merchant.book(), available).await, self.stands_at(other, available).await, self.in_transit().await]
    }

    async fn status(&self, cmd: &SendTransfer) -> TransferStatus {
        self.transfers.get(cmd.from, cmd.id).await.unwrap().status
    }

    /// Makes what was sent look as old as the sweeper wants it, since no test waits for it.
    async fn grow_old(&self, age: TimeDelta) {
        sqlx::query("UPDATE transfers SET created_at = created_at - $1 WHERE status = 'SENT'")
            .bind(age)
            .execute(self.db.owner_pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn money_goes_from_book_to_book_once() {
    let (scene, other) = two_merchants().await;
    let cmd = transfer(&scene, other, 500);
    scene.transfers.run(cmd).await.unwrap();
    assert_eq!(scene.status(&cmd).await, TransferStatus::Arrived);
    assert_eq!(scene.money(other).await, [1_480, 500, 0]);
    scene.turn_day();
    scene.transfers.run(cmd).await.unwrap();
    assert_eq!(scene.status(&cmd).await, TransferStatus::Arrived, "the same again, a day later");
    scene.transfers.arrive(&cmd).await.unwrap();
    scene.transfers.close(&[cmd]).await.unwrap();
    assert_eq!(scene.money(other).await, [1_480, 500, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_process_that_dies_after_the_first_leg_leaves_it_to_the_sweeper() {
    let (scene, other) = two_merchants().await;
    let cmd = transfer(&scene, other, 500);
    scene.transfers.send(cmd).await.unwrap();
    assert_eq!(scene.status(&cmd).await, TransferStatus::Sent);
    assert_eq!(scene.money(other).await, [1_480, 0, 500], "it has left and is nowhere yet");
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 0, "who sent it is given time");
    scene.grow_old(TimeDelta::seconds(30)).await;
    let open = scene.transfers.open().await.unwrap();
    assert!(open.count == 1 && open.age() >= TimeDelta::seconds(30), "{open:?}");
    // the day it arrives on is not the day it left on
    scene.turn_day();
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 1);
    assert_eq!(scene.money(other).await, [1_480, 500, 0]);
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 0);
    assert_eq!(scene.status(&cmd).await, TransferStatus::Arrived);
    assert_eq!(scene.transfers.open().await.unwrap().count, 0);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_process_that_dies_after_the_second_leg_has_it_closed_without_a_third() {
    let (scene, other) = two_merchants().await;
    let cmd = transfer(&scene, other, 500);
    scene.transfers.send(cmd).await.unwrap();
    scene.transfers.arrive(&cmd).await.unwrap();
    assert_eq!((scene.money(other).await, scene.status(&cmd).await), ([1_480, 500, 0], TransferStatus::Sent));
    scene.grow_old(TimeDelta::seconds(30)).await;
    scene.turn_day();
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 1);
    assert_eq!((scene.money(other).await, scene.status(&cmd).await), ([1_480, 500, 0], TransferStatus::Arrived));
    assert_eq!(scene.count("SELECT count(*) FROM postings WHERE kind IN ('TRANSFER_OUT', 'TRANSFER_IN')").await, 2);
    scene.assert_sound().await;
}

/// Sender, another of the same and two sweepers at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_finishes_a_transfer_it_arrives_once() {
    let (scene, other) = two_merchants().await;
    let scene = Arc::new(scene);
    let cmds: Vec<_> = (1..=20).map(|minor| transfer(&scene, other, minor)).collect();
    for cmd in &cmds {
        scene.transfers.send(*cmd).await.unwrap();
    }
    scene.grow_old(TimeDelta::seconds(30)).await;
    let start = Arc::new(Barrier::new(4));
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (scene, start, cmds) = (Arc::clone(&scene), Arc::clone(&start), cmds.clone());
            tokio::spawn(async move {
                start.wait().await;
                match task {
                    0 => {
                        for cmd in cmds {
                            scene.transfers.run(cmd).await.unwrap();
                        }
                    }
                    1 => {
                        for cmd in cmds {
                            scene.transfers.arrive(&cmd).await.unwrap();
                            scene.transfers.close(&[cmd]).await.unwrap();
                        }
                    }
                    _ => _ = scene.transfers.finish_left_behind().await.unwrap(),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(scene.money(other).await, [1_980 - 210, 210, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_transfer_id_stands_for_one_transfer() {
    let (scene, other) = two_merchants().await;
    let third = scene.sign().await.0.book();
    let cmd = transfer(&scene, other, 500);
    scene.transfers.run(cmd).await.unwrap();
    for changed in [
        SendTransfer { amount: cny(501), ..cmd },
        SendTransfer { to: third, ..cmd },
        SendTransfer { to_account: AccountKind::MerchantPending, ..cmd },
        SendTransfer { day: scene.clock.today() + TimeDelta::days(1), ..cmd },
    ] {
        assert!(matches!(scene.transfers.run(changed).await, Err(TransferError::IdReused)), "{changed:?}");
    }
    assert_eq!(scene.money(other).await, [1_480, 500, 0]);
    // from another book the id is free, but in the book it goes to it does not pass for the first one
    let twin = SendTransfer { from: other, to: third, ..cmd };
    scene.transfers.run(twin).await.unwrap();
    let twin = SendTransfer { from: third, to: other, ..cmd };
    assert!(matches!(scene.transfers.run(twin).await, Err(TransferError::Stuck(Rejection::ReferenceReused))));
    assert_eq!(scene.in_transit().await, 500, "it stays in transit, where the alarm sees it");
}

#[tokio::test]
async fn a_transfer_that_cannot_leave_leaves_no_trace() {
    let (scene, other) = two_merchants().await;
    let too_much = transfer(&scene, other, 1_981);
    assert!(matches!(
        scene.transfers.run(too_much).await,
        Err(TransferError::Refused(Rejection::AmountExceedsBalance { available, .. })) if available == cny(1_980)
    ));
    assert!(matches!(scene.transfers.get(too_much.from, too_much.id).await, Err(TransferError::NotFound)));
    assert!(matches!(scene.transfers.run(transfer(&scene, scene.merchant.book(), 5)).await, Err(TransferError::Unsound)));
    assert_eq!(scene.money(other).await, [1_980, 0, 0]);
}

/// To a book that does not exist: it stays in transit, is told of, and does not keep another one waiting.
#[tokio::test]
async fn a_transfer_that_cannot_arrive_stays_in_sight_and_in_nobodys_way() {
    let (scene, other) = two_merchants().await;
    let (lost, fine) = (transfer(&scene, BookId::new(), 300), transfer(&scene, other, 200));
    assert!(matches!(scene.transfers.run(lost).await, Err(TransferError::Stuck(Rejection::AccountMissing))));
    scene.transfers.send(fine).await.unwrap();
    scene.grow_old(TimeDelta::minutes(10)).await;
    assert_eq!(scene.transfers.finish_left_behind().await.unwrap(), 1);
    assert_eq!(scene.money(other).await, [1_480, 200, 300]);
    let open = scene.transfers.open().await.unwrap();
    assert!(open.count == 1 && open.age() >= TimeDelta::minutes(10), "{open:?}");
}

/// Run at the same time they take their steps together, and one that is refused, reused or stuck is its caller's alone.
#[tokio::test]
async fn transfers_at_the_same_time_go_together_and_one_that_fails_fails_alone() {
    let (scene, other) = two_merchants().await;
    let known = transfer(&scene, other, 7);
    scene.transfers.run(known).await.unwrap();
    let mut all: Vec<SendTransfer> = (1..=40).map(|minor| transfer(&scene, other, minor)).collect();
    let twice = all[3];
    all.extend([
        twice,
        known,
        SendTransfer { amount: cny(8), ..known },
        SendTransfer { amount: cny(9), ..twice },
        transfer(&scene, other, 100_000),
        transfer(&scene, BookId::new(), 9),
        SendTransfer { to: scene.merchant.book(), ..transfer(&scene, other, 1) },
    ]);
    let done = futures::future::join_all(all.iter().map(|cmd| scene.transfers.run(*cmd))).await;
    let told: Vec<String> =
        done[40..].iter().map(|outcome| outcome.as_ref().map_or_else(|e| format!("{e:?}"), |()| "done".to_owned())).collect();
    assert!(done[..40].iter().all(Result::is_ok), "{done:?}");
    assert_eq!(told[..3], ["done", "done", "IdReused"]);
    assert_eq!(told[3], "IdReused", "though the first is in the same batch");
    assert!(told[4].starts_with("Refused(AmountExceedsBalance") && told[5] == "Stuck(AccountMissing)" && told[6] == "Unsound", "{told:?}");
    let moved = 7 + (1..=40).sum::<i64>();
    assert_eq!(scene.money(other).await, [1_980 - moved - 9, moved, 9]);
}
