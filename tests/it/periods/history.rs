//! Balances in two times, against a model that keeps every entry in memory and adds them up.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wallet::base::id::BookId;
use wallet::base::money::Money;
use wallet::period::history::{balance_as_of, balance_on};
use wallet::period::{PeriodError, Periods};

use super::{Scene, payment, pending, post, set_day};

/// An entry of the pending account, as the model remembers it.
#[derive(Clone, Copy, Debug)]
struct Known {
    minor: i64,
    business: NaiveDate,
    accounting: NaiveDate,
    recorded: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A fact about a day some days ago (or tomorrow), by a poster whose clock lags by some hours.
    Post {
        minor: i64,
        days_ago: i64,
        lag_h: i64,
    },
    TurnDays(i64),
    Close,
    /// The sandbox plays an earlier day.
    GoBack,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..1_000_i64, prop_oneof![4 => Just(0), 3 => 1..12_i64, 1 => Just(-1)], prop_oneof![3 => Just(0), 2 => 1..30_i64])
            .prop_map(|(minor, days_ago, lag_h)| Step::Post { minor, days_ago, lag_h }),
        3 => (1..4_i64).prop_map(Step::TurnDays),
        3 => Just(Step::Close),
        1 => Just(Step::GoBack),
    ]
}

/// A book, and the same in memory.
struct Twin<'a> {
    scene: &'a Scene,
    book: BookId,
    entries: Vec<Known>,
    closed_day: Option<NaiveDate>,
    /// What the closed days said when they were closed.
    closed: Vec<(NaiveDate, i64)>,
}

impl Twin<'_> {
    fn on(&self, day: NaiveDate) -> i64 {
        self.entries.iter().filter(|e| e.accounting <= day).map(|e| e.minor).sum()
    }

    fn as_of(&self, effective: NaiveDate, known_at: DateTime<Utc>) -> i64 {
        self.entries.iter().filter(|e| e.business <= effective && e.recorded <= known_at).map(|e| e.minor).sum()
    }

    async fn take(&mut self, step: Step) {
        let clock = &self.scene.clock;
        match step {
            Step::Post { minor, days_ago, lag_h } => {
                let recorded = clock.now() - TimeDelta::hours(lag_h);
                let day = wallet::base::clock::business_day(recorded);
                let business = clock.today() - TimeDelta::days(days_ago);
                post(self.scene.db.pool(), &payment(self.book, self.scene.store, minor, "SANDBOX", business), day, recorded).await;
                let accounting = self.closed_day.map_or(day, |closed| day.max(closed + TimeDelta::days(1)));
                self.entries.push(Known { minor: -minor, business, accounting, recorded });
            }
            Step::TurnDays(days) => self.scene.turn_days(days),
            Step::Close => {
                let through = clock.today() - TimeDelta::days(1);
                if self.closed_day.is_none_or(|closed| closed < through) {
                    let periods = Periods::new(self.scene.db.pool().clone(), clock.clone());
                    match periods.close_days(&self.scene.operator, self.book, through).await {
                        Ok(_) => {
                            self.closed_day = Some(through);
                            self.closed.push((through, self.on(through)));
                        }
                        Err(PeriodError::NotOpenYet { opened }) => {
                            let booked = self.entries.iter().any(|e| e.accounting <= through);
                            assert!(through < opened && self.closed_day.is_none() && !booked, "{through} may be closed");
                        }
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                }
            }
            Step::GoBack => self.scene.turn_days(-2),
        }
    }

    /// Compares some questions, or all of them.
    async fn compare(&self, all: bool) -> Result<(), TestCaseError> {
        let (db, today) = (self.scene.db.pool(), self.scene.clock.today());
        let last = self.entries.last();
        let days: Vec<NaiveDate> =
            if all { (-16..3).map(|n| today + TimeDelta::days(n)).collect() } else { last.map(|e| e.business).into_iter().collect() };
        let moments: Vec<DateTime<Utc>> = if all {
            self.entries
                .iter()
                .step_by(5)
                .flat_map(|e| [e.recorded, e.recorded - TimeDelta::microseconds(1)])
                .chain([self.scene.clock.now()])
                .collect()
        } else {
            last.map(|e| e.recorded).into_iter().collect()
        };
        for &day in &days {
            prop_assert_eq!(balance_on(db, self.book, &pending(), day).await.unwrap(), self.on(day), "on {}", day);
            for &known_at in &moments {
                let balance = balance_as_of(db, self.book, &pending(), day, known_at).await.unwrap();
                prop_assert_eq!(balance, self.as_of(day, known_at), "as of {} known at {}", day, known_at);
            }
        }
        for &(day, balance) in &self.closed {
            prop_assert_eq!(balance_on(db, self.book, &pending(), day).await.unwrap(), balance, "{} was closed with another figure", day);
        }
        Ok(())
    }
}

#[test]
fn every_question_about_the_past_is_answered_as_by_adding_up_all_entries() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scene = runtime.block_on(Scene::open());
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(any_step(), 1..40), |steps| {
        runtime.block_on(async {
            let book = BookId::new();
            set_day(&scene.clock, "2026-11-10".parse().unwrap());
            super::open_book(scene.db.pool(), book, &scene.clock).await;
            let mut twin = Twin { scene: &scene, book, entries: Vec::new(), closed_day: None, closed: Vec::new() };
            for step in steps {
                twin.take(step).await;
                twin.compare(false).await?;
            }
            twin.compare(true).await
        })
    });
    runtime.block_on(scene.assert_closed_figures_are_folds());
    outcome.unwrap();
}

#[tokio::test]
async fn a_back_dated_entry_shifts_every_later_day_once_and_nothing_that_was_known_before() {
    let scene = Scene::open().await;
    let first = scene.day(0);
    for minor in [100, 20, 3] {
        scene.pay(minor).await;
        scene.turn_days(1);
        scene.close().await;
    }
    let before = scene.clock.now();
    let as_of = async |day, known_at| balance_as_of(scene.db.pool(), scene.book(), &pending(), day, known_at).await.unwrap();
    let days: Vec<NaiveDate> = (-1..5).map(|n| first + TimeDelta::days(n)).collect();
    let mut old = Vec::new();
    for &day in &days {
        old.push(as_of(day, before).await);
    }
    assert_eq!(old, [0, -100, -120, -123, -123, -123]);
    scene.turn_days(1);
    scene.pay_about(7, first + TimeDelta::days(1)).await;
    // open, closed, and closed with a later day above it: the answer is the same
    for _ in 0..3 {
        for (&day, old) in days.iter().zip(&old) {
            assert_eq!(as_of(day, before).await, *old, "{day} as it was known before");
            let shift = if day > first { 7 } else { 0 };
            assert_eq!(as_of(day, scene.clock.now()).await, old - shift, "{day} as it is known now");
        }
        scene.turn_days(1);
        scene.close().await;
        scene.pay_about(0x1_0000, scene.day(0)).await;
        scene.turn_days(1);
    }
}

/// With the entries gone, closed days are still answered, and an open one is not.
#[tokio::test]
async fn a_closed_day_is_answered_without_reading_an_entry() {
    let scene = Scene::open().await;
    let first = scene.day(0);
    for minor in [100, 20, 3] {
        scene.pay(minor).await;
        scene.turn_days(1);
        scene.close().await;
    }
    let known_at = scene.clock.now();
    scene.pay(5).await;
    sqlx::query("DELETE FROM entries").execute(scene.db.owner_pool()).await.unwrap();
    for (day, balance) in [(first, -100), (scene.day(-2), -120), (scene.day(-1), -123), (scene.day(0), -123)] {
        assert_eq!(balance_on(scene.db.pool(), scene.book(), &pending(), day).await.unwrap(), balance, "{day}");
        assert_eq!(balance_as_of(scene.db.pool(), scene.book(), &pending(), day, known_at).await.unwrap(), balance, "{day}");
    }
}

#[tokio::test]
async fn a_merchant_is_told_what_it_was_owed() {
    let scene = Scene::open().await;
    scene.pay(100).await;
    let known_at = scene.clock.now();
    scene.turn_days(1);
    scene.pay_about(7, scene.day(-1)).await;
    let on = scene.periods.owed_on(&scene.owner, scene.merchant, scene.day(-1)).await.unwrap();
    assert_eq!((on.pending, on.available, on.in_payout, on.refunding), (Money::cny(100), Money::cny(0), Money::cny(0), Money::cny(0)));
    let as_of = scene.periods.owed_as_of(&scene.owner, scene.merchant, scene.day(-1), known_at).await.unwrap();
    assert_eq!(as_of, on);
    let restated = scene.periods.owed_as_of(&scene.owner, scene.merchant, scene.day(-1), scene.clock.now()).await.unwrap();
    assert_eq!(restated.pending, Money::cny(107));
    let stranger = wallet::base::actor::Actor::Person {
        id: wallet::base::id::UserId::new(),
        role: wallet::base::actor::Role::Owner,
        merchants: vec![],
    };
    assert!(scene.periods.owed_on(&stranger, scene.merchant, scene.day(-1)).await.is_err());
    assert!(scene.periods.owed_as_of(&stranger, scene.merchant, scene.day(-1), known_at).await.is_err());
    assert!(scene.periods.closed_days(&stranger, scene.merchant, None, 1).await.is_err());
    assert!(scene.periods.closed_months(&stranger, scene.merchant, None, 1).await.is_err());
    assert!(scene.periods.closed_through(&stranger, scene.merchant).await.is_err());
    assert!(scene.periods.closed_through(&scene.operator, scene.merchant).await.is_ok());
}
