//! Posting: concurrent callers, duplicates, refusals, what the application may not do, and what a batch costs.

use std::sync::Arc;

use chrono::NaiveDate;
use tokio::sync::Barrier;
use wallet::base::id::{BatchId, BookId, WithdrawalId};
use wallet::ledger::{self, AccountKind, BookKind, Rejection, recipe};

use super::{Scene, cny};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_holds_at_once_exactly_those_that_fit_are_made() {
    let scene = Arc::new(Scene::open().await);
    let release = recipe::settlement_release(scene.book(), BatchId::new(), cny(1_000), scene.clock.today());
    assert_eq!(scene.post(&[scene.bare_payment(1_000, 0), release]).await, [Ok(()), Ok(())]);
    let start = Arc::new(Barrier::new(16));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                let hold = recipe::withdrawal_hold(scene.book(), WithdrawalId::new(), cny(150), scene.clock.today());
                start.wait().await;
                scene.post(&[hold]).await.remove(0)
            })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => made += 1,
            Err(Rejection::AmountExceedsBalance { account: AccountKind::MerchantAvailable, available }) => {
                assert_eq!(available, cny(100));
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made, refused), (6, 10));
    assert_eq!(scene.owed().await, [0, 100, 900, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_payment_posted_by_eight_callers_at_once_is_posted_once() {
    let scene = Arc::new(Scene::open().await);
    let (payment, start) = (scene.bare_payment(500, 2), Arc::new(Barrier::new(8)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (scene, start, payment) = (Arc::clone(&scene), Arc::clone(&start), payment.clone());
            tokio::spawn(async move {
                start.wait().await;
                scene.post(&[payment]).await.remove(0)
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|o| **o == Err(Rejection::AlreadyPosted)).count(), 7);
    assert_eq!(scene.owed().await, [498, 0, 0, 0]);
    scene.assert_books_sound().await;
}

/// The first use of a channel creates its account: in eight transactions at once, over two books in both orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_need_the_same_new_account_at_once_share_it() {
    let scene = Arc::new(Scene::open().await);
    let other = BookId::new();
    let mut tx = scene.db.pool().begin().await.unwrap();
    ledger::open_book_in_tx(&mut tx, other, BookKind::Merchant, scene.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let start = Arc::new(Barrier::new(8));
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                let mut batch = vec![scene.bare_payment(100, 0), scene.bare_payment(100, 0)];
                batch[n % 2].book = other;
                start.wait().await;
                scene.post(&batch).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), [Ok(()), Ok(())]);
    }
    let accounts: i64 =
        sqlx::query_scalar("SELECT count(*) FROM accounts WHERE kind = 'CHANNEL_RECEIVABLE'").fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(accounts, 2);
    assert_eq!(scene.owed().await, [800, 0, 0, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_refused_member_leaves_its_neighbours_unharmed() {
    let scene = Scene::open().await;
    let book = scene.book();
    let release = |minor| recipe::settlement_release(book, BatchId::new(), cny(minor), scene.clock.today());
    let first = scene.bare_payment(300, 1);
    let mut unbalanced = scene.bare_payment(50, 0);
    unbalanced.legs[0].amount.minor = 51;
    let mut stranger = scene.bare_payment(50, 0);
    stranger.book = BookId::new();
    let batch = [first.clone(), release(500), unbalanced, release(200), first, stranger, scene.bare_payment(40, 0)];
    let outcomes = scene.post(&batch).await;
    let too_much = Rejection::AmountExceedsBalance { account: AccountKind::MerchantPending, available: cny(299) };
    let expected =
        [Ok(()), Err(too_much), Err(Rejection::Unbalanced), Ok(()), Err(Rejection::AlreadyPosted), Err(Rejection::AccountMissing), Ok(())];
    assert_eq!(outcomes, expected);
    assert_eq!(scene.owed().await, [139, 200, 0, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn the_application_can_neither_change_nor_delete_what_is_booked() {
    let scene = Scene::open().await;
    scene.post(&[scene.bare_payment(300, 1)]).await;
    for statement in [
        "UPDATE entries SET amount_minor = 1",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "UPDATE postings SET kind = 'REFUND'",
        "DELETE FROM postings",
        "DELETE FROM accounts",
        "DELETE FROM books",
    ] {
        let error = sqlx::query(statement).execute(scene.db.pool()).await.expect_err(statement);
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{statement}: {error}");
    }
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn the_database_itself_refuses_a_balance_below_its_floor() {
    let scene = Scene::open().await;
    let error = sqlx::query("UPDATE accounts SET balance_minor = 1 WHERE kind = 'MERCHANT_PENDING'")
        .execute(scene.db.pool())
        .await
        .expect_err("a liability cannot turn into a claim");
    assert_eq!(error.as_database_error().and_then(|e| e.constraint()), Some("accounts_floor"));
}

#[tokio::test]
async fn a_hundred_postings_cost_as_many_statements_as_one() {
    let scene = Scene::open().await;
    scene.post(&[scene.bare_payment(1, 0)]).await;
    let mut counts = Vec::new();
    for size in [1, 100] {
        let batch: Vec<_> = (0..size).map(|_| scene.bare_payment(100, 1)).collect();
        // One connection, whose prepared statements count their executions.
        let mut tx = scene.db.pool().begin().await.unwrap();
        let executed = "SELECT COALESCE(sum(generic_plans + custom_plans), 0)::bigint FROM pg_prepared_statements";
        let before: i64 = sqlx::query_scalar(executed).fetch_one(&mut *tx).await.unwrap();
        ledger::post_in_tx(&mut tx, &batch, NaiveDate::default(), scene.clock.now()).await.unwrap();
        let after: i64 = sqlx::query_scalar(executed).fetch_one(&mut *tx).await.unwrap();
        tx.rollback().await.unwrap();
        counts.push(after - before - 1);
    }
    assert_eq!(counts, [2, 2], "lock and look for duplicates, write");
}

#[tokio::test]
async fn bill_lines_page_from_the_newest_without_gaps() {
    let scene = Scene::open().await;
    scene.post(&[scene.bare_payment(100, 0), scene.bare_payment(200, 0), scene.bare_payment(300, 0)]).await;
    scene.post(&[recipe::settlement_release(scene.book(), BatchId::new(), cny(600), scene.clock.today())]).await;
    let (mut lines, mut before) = (Vec::new(), None);
    loop {
        let page = ledger::bill_lines(scene.db.pool(), scene.merchant, AccountKind::MerchantPending, before, 3).await.unwrap();
        lines.extend(page.items.iter().map(|l| (l.seq, l.amount.minor, l.balance_after.minor)));
        before = page.items.last().map(|l| l.cursor.clone());
        if !page.has_next {
            break;
        }
    }
    assert_eq!(lines, [(4, -600, 0), (3, 300, 600), (2, 200, 300), (1, 100, 100)]);
    let wallets = ledger::Wallets::new(scene.db.pool().clone());
    let stranger = wallet::base::actor::Actor::Person {
        id: wallet::base::id::UserId::new(),
        role: wallet::base::actor::Role::Owner,
        merchants: vec![],
    };
    assert!(wallets.balances(&stranger, scene.merchant).await.is_err());
    assert_eq!(wallets.balances(&scene.owner, scene.merchant).await.unwrap(), scene.balances().await);
}
