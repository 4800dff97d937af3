//! Rounds, the finish, the deadline, and what else wants the order's money.

use chrono::TimeDelta;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::channel::Progress;
use wallet::ledger::AccountKind;
use wallet::refund::{CancelRefund, RefundStatus};
use wallet::split::{CreateRound, FINISH_BEFORE, FROZEN_FOR, SplitError, SplitStatus};

use super::{Scene, cny};

#[tokio::test]
async fn an_order_is_divided_in_rounds_until_it_finishes() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    assert_eq!(scene.split(order).await.status, SplitStatus::Planned);
    let split = scene.round(order, Some(4_950), false).await.unwrap();
    assert_eq!((split.status, split.rounds, split.rest().minor), (SplitStatus::Accepted, 1, 4_950));
    scene.execute(order).await;
    assert_eq!((scene.split(order).await.status, scene.pending().await), (SplitStatus::Partial, [0, 347, 148, 990]));
    let refused = scene.round(order, Some(4_951), false).await;
    assert!(matches!(refused, Err(SplitError::AmountExceedsRest { rest }) if rest == cny(4_950)), "{refused:?}");
    for minor in [0, -1] {
        let refused = scene.round(order, Some(minor), false).await;
        assert!(matches!(refused, Err(SplitError::AmountInvalid)), "{refused:?}");
    }
    scene.assert_sound().await;
    // two rounds that overlap: the second is asked for before the first has moved
    scene.round(order, Some(4_000), false).await.unwrap();
    scene.round(order, None, false).await.unwrap();
    scene.execute(order).await;
    let split = scene.split(order).await;
    assert_eq!((split.status, split.rounds, split.rest().minor), (SplitStatus::Succeeded, 3, 0));
    let refused = scene.round(order, None, false).await;
    assert!(matches!(refused, Err(SplitError::NothingLeft)), "{refused:?}");
    let before = scene.pending().await;
    assert_eq!((before[0], before[1..].iter().sum::<i64>() + split.remainder.minor), (0, 9_900));
    let finished = scene.finish(order).await.unwrap();
    assert_eq!((finished.status, finished.released), (SplitStatus::Finished, split.remainder));
    assert_eq!((scene.finish(order).await.unwrap(), scene.frozen().await), (finished, (0, 0)), "once");
    assert_eq!(scene.pending().await.iter().sum::<i64>(), 9_900);
    let refused = scene.round(order, None, true).await;
    assert!(matches!(refused, Err(SplitError::Finished)), "{refused:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_finish_that_is_asked_for_too_early_waits_for_what_moves() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    scene.round(order, Some(9_900), false).await.unwrap();
    let asked = scene.finish(order).await.unwrap();
    assert_eq!((asked.status, asked.finishing, scene.frozen().await.0), (SplitStatus::Accepted, true, 9_900));
    assert!(matches!(scene.round(order, None, false).await, Err(SplitError::Finished)));
    scene.execute(order).await;
    assert_eq!((scene.split(order).await.status, scene.frozen().await), (SplitStatus::Finished, (0, 0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn one_key_is_one_round() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    let (merchant, key) = (scene.merchant, Uuid::now_v7());
    let cmd = CreateRound { merchant, order, amount: Some(cny(1_000)), finish: false, idempotency_key: key };
    let first = scene.splits.split(&scene.owner, cmd.clone()).await.unwrap();
    scene.execute(order).await;
    assert_eq!(scene.splits.split(&scene.owner, cmd.clone()).await.unwrap(), first, "the same answer, though it has moved on");
    let other = CreateRound { amount: Some(cny(1_001)), ..cmd };
    assert!(matches!(scene.splits.split(&scene.owner, other.clone()).await, Err(SplitError::Idempotency(_))));
    for stranger in [&scene.receivers[0].1, &Actor::Customer { merchant, order }] {
        let refused = scene.splits.split(stranger, CreateRound { idempotency_key: Uuid::now_v7(), ..other.clone() }).await;
        assert!(matches!(refused, Err(SplitError::Forbidden(_))), "{refused:?}");
    }
    assert_eq!(scene.split(order).await.rounds, 1);
}

#[tokio::test]
async fn frozen_money_is_not_settled_a_refund_takes_of_it_first_and_what_is_released_is_settled() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    scene.turn_days(1);
    assert_eq!(scene.settle().await, 0, "a day later it is still to be divided");
    let refund = scene.refund(order, 1_000).await.unwrap();
    assert_eq!((refund.status, scene.pending().await[0], scene.frozen().await.0), (RefundStatus::Gathering, 990, 8_910));
    let cmd = CancelRefund { merchant: scene.merchant, refund: refund.id, idempotency_key: Uuid::now_v7() };
    scene.refunds.cancel(&scene.owner, cmd).await.unwrap();
    scene.round(order, None, true).await.unwrap();
    scene.execute(order).await;
    scene.turn_days(1);
    assert_eq!(scene.settle().await, 4, "each has its own");
    assert_eq!(scene.stands_at(scene.merchant.book(), AccountKind::MerchantAvailable).await, 990 + 6_237);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_under_way_keeps_rounds_away_and_holds_up_those_that_wait() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    scene.refund(order, 1_000).await.unwrap();
    let refused = scene.round(order, None, false).await;
    assert!(matches!(refused, Err(SplitError::RefundOpen)), "{refused:?}");
    scene.by_owner("UPDATE refunds SET status = 'FAILED', funded = true").await;
    scene.round(order, None, false).await.unwrap();
    scene.by_owner("UPDATE refunds SET status = 'SENT'").await;
    assert!(matches!(scene.splits.execute(scene.merchant.book(), order).await, Ok(Progress::AskAgain(_))));
    assert_eq!(
        (scene.split(order).await.status, scene.frozen().await.0),
        (SplitStatus::Accepted, 8_910),
        "nothing moved but what the refund took"
    );
    scene.by_owner("UPDATE refunds SET status = 'FAILED'").await;
    scene.execute(order).await;
    assert_eq!(scene.split(order).await.status, SplitStatus::Partial);
}

#[tokio::test]
async fn a_split_finishes_by_itself_before_its_time_is_over() {
    let scene = Scene::open().await;
    let order = scene.planned(false).await;
    let book = scene.merchant.book();
    scene.round(order, Some(1_000), false).await.unwrap();
    scene.execute(order).await;
    let wait = FROZEN_FOR - FINISH_BEFORE;
    assert_eq!(scene.split(order).await.finish_at, scene.split(order).await.created_at + wait);
    scene.turn_days(wait.num_days() - 1);
    assert!(matches!(scene.splits.finish_due(book, order).await, Ok(Progress::AskAgain(_))));
    assert_eq!(scene.split(order).await.status, SplitStatus::Partial);
    scene.clock.set_offset_ms(scene.clock.offset_ms() + TimeDelta::days(1).num_milliseconds());
    assert_eq!(scene.splits.finish_due(book, order).await.unwrap(), Progress::Settled);
    assert_eq!((scene.split(order).await.status, scene.frozen().await), (SplitStatus::Finished, (0, 0)));
    assert_eq!(scene.splits.finish_due(book, order).await.unwrap(), Progress::Settled, "and once");
    assert_eq!(
        scene.count("SELECT count(*) FROM jobs WHERE kind = 'split_deadline' AND run_at > created_at + interval '28 days'").await,
        1
    );
    assert_eq!(scene.count("SELECT count(*) FROM audit_events WHERE action = 'split.finish' AND actor_role = 'SYSTEM'").await, 1);
    scene.assert_sound().await;
}
