//! The ledger as a service: replays, reversals, holds, floors, several currencies, and the day a posting is booked on.

use std::sync::Arc;

use chrono::{Days, TimeDelta};
use tokio::sync::Barrier;
use uuid::Uuid;
use wallet::base::id::{BatchId, HoldId};
use wallet::base::money::Currency;
use wallet::ledger::{
    self, AccountKind, AccountName, Capture, Command, CommandError, Done, HoldState, Ledger, LedgerLimits, Leg, Metadata, Part, PlaceHold,
    Posted, Posting, PostingKind, Rejection, ResolveHold, Reverse, SetFloor, recipe,
};

use super::{Scene, cny};

impl Scene {
    fn ledger(&self) -> Ledger {
        Ledger::new(self.db.pool().clone(), self.clock.clone(), LedgerLimits::default())
    }

    /// A merchant with this much available.
    async fn with_available(minor: i64) -> Self {
        let scene = Self::open().await;
        let release = recipe::settlement_release(scene.book(), BatchId::new(), cny(minor), scene.clock.today());
        assert_eq!(scene.post(&[scene.bare_payment(minor, 0), release]).await, [Ok(()), Ok(())]);
        scene
    }

    fn available(&self) -> AccountName {
        AccountName::fixed(AccountKind::MerchantAvailable, Currency::Cny)
    }

    fn place(&self, hold: HoldId, minor: i64) -> Command {
        let (book, account, expires_at) = (self.book(), self.available(), self.clock.now() + TimeDelta::hours(1));
        Command::Hold(PlaceHold { book, hold, account, amount_minor: minor, reference: hold.0, expires_at })
    }

    fn resolve(&self, hold: HoldId) -> ResolveHold {
        ResolveHold { book: self.book(), hold }
    }

    /// Takes `minor` from the available balance by using up a hold.
    fn capture(&self, hold: HoldId, minor: i64, last: bool) -> Posting {
        let mut posting = recipe::withdrawal_hold(self.book(), wallet::base::id::WithdrawalId::new(), cny(minor), self.clock.today());
        posting.hold = Some(Capture { hold, last });
        posting
    }

    fn reverse(&self, of: &Posting, part: Part) -> Command {
        let (book, business_date) = (self.book(), self.clock.today());
        Command::Reverse(Reverse { book, of: of.id(), reference: Uuid::now_v7(), part, business_date, metadata: None })
    }

    async fn held(&self) -> i64 {
        sqlx::query_scalar("SELECT held_minor FROM accounts WHERE kind = 'MERCHANT_AVAILABLE'").fetch_one(self.db.pool()).await.unwrap()
    }
}

fn rejection<T: std::fmt::Debug>(outcome: Result<T, CommandError>) -> Rejection {
    match outcome {
        Err(CommandError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_posting_from_eight_callers_at_once_has_one_answer_and_one_effect() {
    let scene = Arc::new(Scene::open().await);
    let (payment, start) = (scene.bare_payment(500, 2), Arc::new(Barrier::new(8)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            // services of their own, as in eight processes: nothing but the database is shared
            let (ledger, start, payment) = (scene.ledger(), Arc::clone(&start), payment.clone());
            tokio::spawn(async move {
                start.wait().await;
                ledger.post(payment).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    assert!(answers.iter().all(|posted| posted.posting == payment.id()));
    assert_eq!(answers.iter().filter(|posted| !posted.replayed).count(), 1, "{answers:?}");
    let mut other = payment.clone();
    other.legs = scene.bare_payment(501, 2).legs;
    assert_eq!(rejection(scene.ledger().post(other).await), Rejection::ReferenceReused);
    assert_eq!(scene.owed().await, [498, 0, 0, 0]);
    scene.assert_books_sound().await;
}

/// The lock of the accounts is what the second try waits for, so it has looked for the posting before there was one.
#[tokio::test]
async fn a_retry_that_waits_behind_its_first_try_is_told_what_that_came_to() {
    let scene = Scene::with_available(1_000).await;
    // one that could be made again, and one that leaves too little for itself
    for minor in [10, 900] {
        let posting = recipe::withdrawal_hold(scene.book(), wallet::base::id::WithdrawalId::new(), cny(minor), scene.clock.today());
        let mut first = scene.db.pool().begin().await.unwrap();
        let made = ledger::post_in_tx(&mut first, std::slice::from_ref(&posting), scene.clock.today(), scene.clock.now()).await.unwrap();
        assert_eq!(made, [Ok(Posted { posting: posting.id(), replayed: false })]);
        let (ledger, again) = (scene.ledger(), posting.clone());
        let retry = tokio::spawn(async move { ledger.post(again).await });
        tests::eventually_blocked(scene.db.owner_pool(), 1).await;
        first.commit().await.unwrap();
        assert_eq!(retry.await.unwrap().unwrap(), Posted { posting: posting.id(), replayed: true });
    }
    assert_eq!(scene.owed().await, [0, 90, 910, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_share_batches_and_each_has_an_answer_of_its_own() {
    let scene = Arc::new(Scene::open().await);
    let ledger = scene.ledger();
    let callers: Vec<_> = (0..200)
        .map(|n| {
            let (ledger, mut payment) = (ledger.clone(), scene.bare_payment(10, 1));
            if n % 10 == 0 {
                payment.legs[0].amount.minor += 1;
            }
            tokio::spawn(async move { (n, ledger.post(payment).await) })
        })
        .collect();
    for caller in callers {
        match caller.await.unwrap() {
            (n, Ok(posted)) => assert!(n % 10 != 0 && !posted.replayed),
            (n, refused) => assert_eq!((n % 10, rejection(refused)), (0, Rejection::Unbalanced)),
        }
    }
    assert_eq!(scene.owed().await, [9 * 180, 0, 0, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_posting_is_taken_back_in_full_once() {
    let scene = Scene::open().await;
    let (ledger, payment) = (scene.ledger(), scene.bare_payment(500, 2));
    ledger.post(payment.clone()).await.unwrap();
    let full = scene.reverse(&payment, Part::Full);
    let done = ledger.execute(full.clone()).await.unwrap();
    assert!(matches!(done, Done::Posted(Posted { replayed: false, .. })), "{done:?}");
    assert_eq!(scene.owed().await, [0; 4]);
    assert!(matches!(ledger.execute(full.clone()).await.unwrap(), Done::Posted(Posted { replayed: true, .. })));
    assert_eq!(rejection(ledger.execute(scene.reverse(&payment, Part::Full)).await), Rejection::ReversalExceedsEntry);
    let Command::Reverse(reversal) = full else { unreachable!() };
    let again = Reverse { of: reversal.id(), reference: Uuid::now_v7(), ..reversal };
    assert_eq!(rejection(ledger.execute(Command::Reverse(again.clone())).await), Rejection::ReversalOfReversal);
    let unknown = Reverse { of: scene.bare_payment(1, 0).id(), reference: Uuid::now_v7(), ..again };
    assert_eq!(rejection(ledger.execute(Command::Reverse(unknown)).await), Rejection::PostingMissing);
    scene.assert_books_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_taken_back_at_once_never_exceed_an_entry() {
    let scene = Arc::new(Scene::open().await);
    let payment = scene.bare_payment(1_000, 10);
    scene.ledger().post(payment.clone()).await.unwrap();
    // lines: 1 channel 1,000, 2 merchant -990, 3 fee -10
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (ledger, part) = (scene.ledger(), scene.reverse(&payment, Part::Lines(vec![(1, 300), (2, 300)])));
            tokio::spawn(async move { ledger.execute(part).await })
        })
        .collect();
    let mut made = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => made += 1,
            refused => assert_eq!(rejection(refused), Rejection::ReversalExceedsEntry),
        }
    }
    assert_eq!(made, 3);
    assert_eq!(scene.owed().await, [90, 0, 0, 0]);
    let ledger = scene.ledger();
    for (part, expected) in [
        (vec![(1, 91), (2, 91)], Rejection::ReversalExceedsEntry),
        (vec![(1, 90), (2, 80)], Rejection::Unbalanced),
        (vec![(1, 90), (1, 90)], Rejection::Unbalanced),
        (vec![(1, 90)], Rejection::Unbalanced),
        (vec![(1, 0), (2, 0)], Rejection::NotPositive),
        (vec![(1, 90), (9, 90)], Rejection::ReversalExceedsEntry),
    ] {
        assert_eq!(rejection(ledger.execute(scene.reverse(&payment, Part::Lines(part.clone()))).await), expected, "{part:?}");
    }
    ledger.execute(scene.reverse(&payment, Part::Lines(vec![(1, 100), (2, 90), (3, 10)]))).await.unwrap();
    assert_eq!(scene.owed().await, [0; 4]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_hold_takes_from_what_is_available_and_is_used_up_in_parts() {
    let scene = Scene::with_available(1_000).await;
    let (ledger, hold) = (scene.ledger(), HoldId::new());
    let place = scene.place(hold, 700);
    assert_eq!(ledger.execute(place.clone()).await.unwrap(), Done::Hold(HoldState::Held));
    assert_eq!(ledger.execute(place).await.unwrap(), Done::Hold(HoldState::Held), "the same hold again is one hold");
    assert_eq!(rejection(ledger.execute(scene.place(hold, 701)).await), Rejection::ReferenceReused);
    assert_eq!(scene.held().await, 700);
    let available = cny(300);
    let too_much = Rejection::AmountExceedsBalance { account: AccountKind::MerchantAvailable, available };
    assert_eq!(rejection(ledger.execute(scene.place(HoldId::new(), 301)).await), too_much);
    let plain = |minor| recipe::withdrawal_hold(scene.book(), wallet::base::id::WithdrawalId::new(), cny(minor), scene.clock.today());
    assert_eq!(rejection(ledger.post(plain(301)).await), too_much, "held money is not available to others");
    assert_eq!(rejection(ledger.post(scene.capture(hold, 701, false)).await), Rejection::CaptureExceedsHold { left_minor: 700 },);
    ledger.post(scene.capture(hold, 200, false)).await.unwrap();
    assert_eq!((scene.held().await, scene.owed().await), (500, [0, 800, 200, 0]));
    ledger.post(scene.capture(hold, 100, true)).await.unwrap();
    assert_eq!((scene.held().await, scene.owed().await), (0, [0, 700, 300, 0]), "the last capture gives up the rest");
    assert_eq!(rejection(ledger.post(scene.capture(hold, 1, false)).await), Rejection::HoldResolved);
    assert_eq!(rejection(ledger.execute(Command::Void(scene.resolve(hold))).await), Rejection::HoldResolved);
    assert_eq!(rejection(ledger.post(scene.capture(HoldId::new(), 1, false)).await), Rejection::HoldMissing);
    scene.assert_books_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn captures_and_voids_at_once_end_a_hold_once() {
    let scene = Arc::new(Scene::with_available(1_000).await);
    let hold = HoldId::new();
    scene.ledger().execute(scene.place(hold, 1_000)).await.unwrap();
    let start = Arc::new(Barrier::new(8));
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let command = if n == 7 { Command::Void(scene.resolve(hold)) } else { Command::Post(scene.capture(hold, 300, false)) };
            let (ledger, start) = (scene.ledger(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                ledger.execute(command).await
            })
        })
        .collect();
    let mut captured = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(Done::Posted(_)) => captured += 300,
            Ok(Done::Hold(state)) => assert_eq!(state, HoldState::Voided),
            Ok(Done::FloorSet) => unreachable!(),
            refused => assert!(matches!(rejection(refused), Rejection::HoldResolved | Rejection::CaptureExceedsHold { .. })),
        }
    }
    assert!(captured <= 900, "{captured}");
    assert_eq!((scene.held().await, scene.owed().await), (0, [0, 1_000 - captured, captured, 0]));
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_hold_past_its_time_ends_by_a_transition() {
    let scene = Scene::with_available(1_000).await;
    let (ledger, hold) = (scene.ledger(), HoldId::new());
    ledger.execute(scene.place(hold, 400)).await.unwrap();
    assert_eq!(rejection(ledger.execute(Command::Expire(scene.resolve(hold))).await), Rejection::HoldNotDue);
    assert_eq!(ledger.expire_holds().await.unwrap(), 0);
    scene.clock.set_offset_ms(scene.clock.offset_ms() + TimeDelta::hours(2).num_milliseconds());
    assert_eq!(scene.held().await, 400, "time alone changes nothing");
    ledger.post(scene.capture(hold, 100, false)).await.unwrap();
    assert_eq!(ledger.expire_holds().await.unwrap(), 1);
    assert_eq!(ledger.expire_holds().await.unwrap(), 0);
    assert_eq!((scene.held().await, scene.owed().await), (0, [0, 900, 100, 0]));
    assert_eq!(ledger.execute(Command::Expire(scene.resolve(hold))).await.unwrap(), Done::Hold(HoldState::Expired));
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_floor_changes_under_the_lock_and_binds_what_comes_after() {
    let scene = Scene::with_available(1_000).await;
    let ledger = scene.ledger();
    let floor =
        |minor: Option<i64>| SetFloor { book: scene.book(), account: scene.available(), floor_minor: minor, reference: Uuid::now_v7() };
    let take = |minor| recipe::withdrawal_hold(scene.book(), wallet::base::id::WithdrawalId::new(), cny(minor), scene.clock.today());
    let refused = |available| Rejection::AmountExceedsBalance { account: AccountKind::MerchantAvailable, available: cny(available) };
    ledger.execute(scene.place(HoldId::new(), 100)).await.unwrap();
    assert_eq!(
        rejection(ledger.execute(Command::SetFloor(floor(Some(901)))).await),
        Rejection::FloorAboveAvailable { available: cny(900) }
    );
    let reserve = floor(Some(500));
    assert_eq!(ledger.execute(Command::SetFloor(reserve.clone())).await.unwrap(), Done::FloorSet);
    assert_eq!(ledger.execute(Command::SetFloor(reserve.clone())).await.unwrap(), Done::FloorSet, "one decision is one change");
    let other = SetFloor { floor_minor: None, ..reserve };
    assert_eq!(rejection(ledger.execute(Command::SetFloor(other)).await), Rejection::ReferenceReused);
    assert_eq!(rejection(ledger.post(take(401)).await), refused(400));
    // a credit line, in the batch of the posting that uses it
    let batch = [Command::Post(take(1_100)), Command::SetFloor(floor(Some(-200))), Command::Post(take(1_100)), Command::Post(take(1))];
    let outcomes = ledger.execute_batch(&batch).await.unwrap();
    assert_eq!(outcomes[0], Err(refused(400)));
    assert_eq!((outcomes[1], outcomes[2].is_ok(), outcomes[3]), (Ok(Done::FloorSet), true, Err(refused(0))));
    assert_eq!(scene.owed().await, [0, -100, 1_100, 0]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_posting_may_have_many_legs_in_several_currencies() {
    let scene = Scene::open().await;
    let leg = |account, subject: &str, minor, currency| Leg {
        account,
        subject: subject.to_owned(),
        amount: wallet::base::money::Money { minor, currency },
    };
    let exchange = Posting {
        book: scene.book(),
        kind: PostingKind::Payment,
        reference: Uuid::now_v7(),
        store: None,
        business_date: scene.clock.today(),
        legs: vec![
            leg(AccountKind::BankCash, "ICBC", 700, Currency::Cny),
            leg(AccountKind::FeeIncome, "", -300, Currency::Cny),
            leg(AccountKind::MerchantPending, "", -400, Currency::Cny),
            leg(AccountKind::BankCash, "HSBC", -100, Currency::Usd),
            leg(AccountKind::FeeIncome, "", 60, Currency::Usd),
            leg(AccountKind::BankCash, "ICBC", 40, Currency::Usd),
        ],
        hold: None,
        metadata: Some(Metadata::new(&serde_json::json!({"rate": "7.00", "deal": "D-1"})).unwrap()),
    };
    let mut crossed = exchange.clone();
    crossed.reference = Uuid::now_v7();
    (crossed.legs[0].amount.minor, crossed.legs[3].amount.minor) = (740, -140);
    let ledger = scene.ledger();
    assert_eq!(rejection(ledger.post(crossed).await), Rejection::Unbalanced, "each currency balances by itself");
    ledger.post(exchange.clone()).await.unwrap();
    assert_eq!(scene.owed().await, [400, 0, 0, 0]);
    let kept: String = sqlx::query_scalar("SELECT metadata FROM postings WHERE posting_id = $1")
        .bind(exchange.id().0)
        .fetch_one(scene.db.pool())
        .await
        .unwrap();
    assert_eq!(kept, r#"{"deal":"D-1","rate":"7.00"}"#);
    ledger.execute(scene.reverse(&exchange, Part::Full)).await.unwrap();
    assert_eq!(scene.owed().await, [0; 4]);
    scene.assert_books_sound().await;
}

#[tokio::test]
async fn a_book_that_closed_its_day_books_on_the_next() {
    let scene = Scene::open().await;
    let (ledger, today) = (scene.ledger(), scene.clock.today());
    ledger.post(scene.bare_payment(100, 0)).await.unwrap();
    for statement in ["UPDATE books SET closed_day = $1", "UPDATE accounts SET closed_day = $1"] {
        sqlx::query(statement).bind(today).execute(scene.db.owner_pool()).await.unwrap();
    }
    let late = scene.bare_payment(200, 0);
    ledger.post(late.clone()).await.unwrap();
    let dates: (chrono::NaiveDate, chrono::NaiveDate) =
        sqlx::query_as("SELECT accounting_date, business_date FROM postings WHERE posting_id = $1")
            .bind(late.id().0)
            .fetch_one(scene.db.pool())
            .await
            .unwrap();
    assert_eq!(dates, (today + Days::new(1), today), "booked on the open day, and naming the day it happened");
}

/// Three batches that mix everything cost the same number of statements, whatever their size.
#[tokio::test]
async fn a_batch_of_everything_costs_as_many_statements_as_its_smallest() {
    let scene = Scene::with_available(1_000_000).await;
    let mut counts = Vec::new();
    for size in [1, 10, 100] {
        let mut batch = Vec::new();
        for _ in 0..size {
            let (hold, payment) = (HoldId::new(), scene.bare_payment(100, 1));
            batch.extend([scene.place(hold, 10), Command::Post(scene.capture(hold, 5, false)), Command::Void(scene.resolve(hold))]);
            batch.extend([Command::Post(payment.clone()), scene.reverse(&payment, Part::Full)]);
            let (book, account, reference) = (scene.book(), scene.available(), Uuid::now_v7());
            batch.push(Command::SetFloor(SetFloor { book, account, floor_minor: Some(-size), reference }));
        }
        let mut tx = scene.db.pool().begin().await.unwrap();
        let executed = "SELECT COALESCE(sum(generic_plans + custom_plans), 0)::bigint FROM pg_prepared_statements";
        let before: i64 = sqlx::query_scalar(executed).fetch_one(&mut *tx).await.unwrap();
        let outcomes = wallet::ledger::execute_in_tx(&mut tx, &batch, scene.clock.today(), scene.clock.now()).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let after: i64 = sqlx::query_scalar(executed).fetch_one(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        counts.push(after - before - 1);
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[1], counts[2]);
    scene.assert_books_sound().await;
}
