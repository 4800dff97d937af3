//! Closing days.

use chrono::NaiveDate;
use wallet::analytics::{self, Board, DayDelta};
use wallet::base::id::{BookId, StoreId};
use wallet::base::money::Money;
use wallet::ledger::{self, BookKind, Part, Reverse};
use wallet::period::{DayClose, PeriodError, history};

use super::{Scene, payment, pending, post};

#[tokio::test]
async fn a_day_is_closed_once_and_with_it_the_idle_days_before() {
    let scene = Scene::open().await;
    scene.pay(1_000).await;
    scene.turn_days(3);
    scene.pay(50).await;
    let opened = scene.day(-3);
    assert!(matches!(
        scene.periods.close_days(&scene.operator, scene.book(), scene.day(0)).await,
        Err(PeriodError::DayNotOver { day }) if day == scene.day(0)
    ));
    assert_eq!(
        scene.close().await.days,
        [DayClose { day: opened, from_day: opened, postings: 1 }, DayClose { day: scene.day(-1), from_day: scene.day(-2), postings: 0 },]
    );
    for day in [scene.day(-1), opened] {
        assert!(matches!(
            scene.periods.close_days(&scene.operator, scene.book(), day).await,
            Err(PeriodError::DayClosed { closed_day }) if closed_day == scene.day(-1)
        ));
    }
    assert!(matches!(scene.periods.close_days(&scene.operator, BookId::new(), opened).await, Err(PeriodError::NotFound)));
    assert!(matches!(scene.periods.close_days(&scene.owner, scene.book(), opened).await, Err(PeriodError::Forbidden(_))));
    scene.turn_days(1);
    assert_eq!(scene.close().await.days, [DayClose { day: scene.day(-1), from_day: scene.day(-1), postings: 1 }]);
    scene.assert_closed_figures_are_folds().await;
}

#[tokio::test]
async fn only_books_with_a_posting_since_their_last_close_are_due() {
    let scene = Scene::open().await;
    let idle = BookId::new();
    super::open_book(scene.db.pool(), idle, &scene.clock).await;
    scene.pay(1_000).await;
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 0, "today is not over");
    scene.turn_days(1);
    scene.pay(1).await;
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 1);
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 0, "a second run finds nothing");
    scene.turn_days(5);
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 1);
    scene.turn_days(5);
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 0, "idle days wait for the next busy one");
    scene.pay(2).await;
    scene.turn_days(1);
    let days: Vec<NaiveDate> = scene.close().await.days.into_iter().map(|d| d.from_day).collect();
    assert_eq!(days, [scene.day(-6)], "the idle days go with it");
    let closed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM day_closes WHERE book_id = $1").bind(idle.0).fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(closed, 0);
    scene.assert_closed_figures_are_folds().await;
}

/// One book contradicts itself: it stays open, and its neighbours are closed all the same.
#[tokio::test]
async fn a_book_that_cannot_be_closed_does_not_hold_up_the_others() {
    let scene = Scene::open().await;
    let other = BookId::new();
    super::open_book(scene.db.pool(), other, &scene.clock).await;
    scene.pay(1_000).await;
    post(scene.db.pool(), &payment(other, StoreId::new(), 10, "SANDBOX", scene.day(0)), scene.day(0), scene.clock.now()).await;
    sqlx::query("UPDATE entries SET amount_minor = amount_minor + 1 WHERE book_id = $1 AND amount_minor > 0")
        .bind(scene.book().0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    scene.turn_days(1);
    assert!(matches!(scene.periods.close_due_days(scene.day(-1)).await, Err(PeriodError::Unsound(_))));
    let closed: Vec<Option<NaiveDate>> = sqlx::query_scalar("SELECT closed_day FROM books WHERE book_id = ANY($1) ORDER BY book_id = $2")
        .bind([scene.book().0, other.0])
        .bind(other.0)
        .fetch_all(scene.db.pool())
        .await
        .unwrap();
    assert_eq!(closed, [None, Some(scene.day(-1))]);
}

#[tokio::test]
async fn what_comes_late_is_booked_on_the_open_day_and_restates_the_day_it_is_about() {
    let scene = Scene::open().await;
    let board = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let flow = async |day| board.day(&scene.operator, day, Some(scene.merchant)).await.unwrap().flow;
    let count = async |posting: &ledger::Posting| {
        let mut tx = scene.db.pool().begin().await.unwrap();
        analytics::add_in_tx(&mut tx, &[DayDelta::of(posting, scene.merchant).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    };
    count(&scene.pay(1_000).await).await;
    let first = scene.day(0);
    scene.turn_days(1);
    scene.close().await;
    let late = scene.pay_about(70, first).await;
    count(&late).await;
    assert_eq!(scene.dates(&late).await, (scene.day(0), first), "the open day, and the day it is about");
    assert_eq!(flow(first).await, Money::cny(1_070), "the board of the day is restated");
    assert_eq!(flow(scene.day(0)).await, Money::cny(0));
    let balances = async |day| history::balance_on(scene.db.pool(), scene.book(), &pending(), day).await.unwrap();
    assert_eq!((balances(first).await, balances(scene.day(0)).await), (-1_000, -1_070), "the closed day's balance is not");
    // A poster that still believes in the closed day.
    let stale = payment(scene.book(), scene.store, 5, "SANDBOX", first);
    post(scene.db.pool(), &stale, first, scene.clock.now()).await;
    assert_eq!(scene.dates(&stale).await, (scene.day(0), first));
    // An account that did not exist when the day was closed.
    let elsewhere = payment(scene.book(), scene.store, 6, "ELSEWHERE", first);
    post(scene.db.pool(), &elsewhere, first, scene.clock.now()).await;
    assert_eq!(scene.dates(&elsewhere).await, (scene.day(0), first));
    scene.turn_days(1);
    scene.close().await;
    scene.assert_closed_figures_are_folds().await;
}

/// A sandbox may play an earlier day again. What is closed stays closed.
#[tokio::test]
async fn a_clock_that_goes_back_books_on_the_day_after_the_last_closed_one() {
    let scene = Scene::open().await;
    scene.pay(1_000).await;
    scene.turn_days(3);
    scene.close().await;
    let open = scene.day(0);
    scene.turn_days(-3);
    let replayed = scene.pay(20).await;
    assert_eq!(scene.dates(&replayed).await, (open, scene.day(0)));
    assert!(matches!(scene.periods.close_days(&scene.operator, scene.book(), scene.day(0)).await, Err(PeriodError::DayNotOver { .. })));
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 0);
    scene.turn_days(4);
    assert_eq!(scene.close().await.days, [DayClose { day: open, from_day: open, postings: 1 }]);
    scene.assert_closed_figures_are_folds().await;
}

/// Two posters around midnight: the one with the earlier day commits last.
#[tokio::test]
async fn entries_of_two_days_may_alternate_around_midnight() {
    let scene = Scene::open().await;
    let (before, after) = (scene.day(0), scene.day(1));
    for (minor, day) in [(100, before), (7, after), (30, before), (5, after), (1, before)] {
        post(scene.db.pool(), &payment(scene.book(), scene.store, minor, "SANDBOX", day), day, scene.clock.now()).await;
    }
    scene.turn_days(1);
    let closing = scene.close().await;
    assert_eq!(closing.days, [DayClose { day: before, from_day: before, postings: 3 }]);
    assert!(closing.balances.iter().all(|b| (b.cutoff_seq, b.movement.last_seq) == (1, 5)), "{closing:?}");
    let on = async |day| history::balance_on(scene.db.pool(), scene.book(), &pending(), day).await.unwrap();
    assert_eq!((on(before).await, on(after).await), (-131, -143));
    scene.turn_days(1);
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 1);
    assert_eq!((on(before).await, on(after).await), (-131, -143));
    scene.assert_closed_figures_are_folds().await;
}

/// A partial reversal may have no line 1; it is a posting all the same.
#[tokio::test]
async fn every_posting_is_counted_once_whatever_its_lines() {
    let scene = Scene::open().await;
    let mut paid = payment(scene.book(), scene.store, 1_000, "SANDBOX", scene.day(0));
    paid.legs.extend(payment(scene.book(), scene.store, 300, "ELSEWHERE", scene.day(0)).legs);
    post(scene.db.pool(), &paid, scene.day(0), scene.clock.now()).await;
    let mut tx = scene.db.pool().begin().await.unwrap();
    for lines in [vec![(3, 200), (4, 200)], vec![(1, 5), (4, 5)], vec![(2, 10), (3, 10)]] {
        let (book, reference, business_date) = (scene.book(), uuid::Uuid::now_v7(), scene.day(0));
        let reverse = Reverse { book, of: paid.id(), reference, business_date, part: Part::Lines(lines), metadata: None };
        let done = ledger::execute_in_tx(&mut tx, &[ledger::Command::Reverse(reverse)], scene.day(0), scene.clock.now()).await.unwrap();
        done.into_iter().next().unwrap().unwrap();
    }
    tx.commit().await.unwrap();
    scene.turn_days(1);
    assert_eq!(scene.close().await.days[0].postings, 4);
    scene.assert_closed_figures_are_folds().await;
}

#[tokio::test]
async fn nobody_may_change_what_was_closed() {
    let scene = Scene::open().await;
    for (table, column) in
        [("day_closes", "postings"), ("day_balances", "balance_minor"), ("month_closes", "closed_at"), ("month_balances", "closing_minor")]
    {
        for statement in [format!("UPDATE {table} SET {column} = {column}"), format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
            let refused = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(scene.db.pool()).await.unwrap_err();
            let code = refused.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
        }
    }
}

/// Opened as a stripe of a merchant: each stripe has its own closes.
#[tokio::test]
async fn a_merchant_with_stripes_is_closed_through_the_earliest_of_them() {
    let scene = Scene::open().await;
    let second = BookId::new();
    let mut tx = scene.db.pool().begin().await.unwrap();
    ledger::open_stripe_in_tx(&mut tx, second, BookKind::Merchant, scene.merchant.0, 1, scene.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    scene.pay(1_000).await;
    post(scene.db.pool(), &payment(second, scene.store, 30, "SANDBOX", scene.day(0)), scene.day(0), scene.clock.now()).await;
    scene.turn_days(1);
    scene.close().await;
    assert_eq!(scene.periods.closed_through(&scene.owner, scene.merchant).await.unwrap(), None);
    assert_eq!(scene.periods.close_due_days(scene.day(-1)).await.unwrap(), 1, "the other one");
    assert_eq!(scene.periods.closed_through(&scene.owner, scene.merchant).await.unwrap(), Some(scene.day(-1)));
    let page = scene.periods.closed_days(&scene.owner, scene.merchant, None, 1).await.unwrap();
    assert!(page.has_next);
    assert_eq!(page.items.iter().map(|d| (d.stripe, d.postings, d.debits.clone())).collect::<Vec<_>>(), [(0, 1, vec![Money::cny(1_000)])]);
    let rest = scene.periods.closed_days(&scene.owner, scene.merchant, Some((page.items[0].day, 0)), 5).await.unwrap();
    assert_eq!(rest.items.iter().map(|d| (d.stripe, d.debits.clone())).collect::<Vec<_>>(), [(1, vec![Money::cny(30)])]);
    assert_eq!(scene.periods.owed_on(&scene.owner, scene.merchant, scene.day(-1)).await.unwrap().pending, Money::cny(1_030));
}
