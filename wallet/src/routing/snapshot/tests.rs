//! What the router counts, and when it publishes.

use uuid::Uuid;

use super::super::candidate::{Candidate, Table};
use super::super::health::TRIALS_MAX;
use super::super::name::ProductCode;
use super::super::properties::{candidate, payee};
use super::super::rules::{Finding, Reason, on_trial};
use super::*;
use crate::base::id::AttemptId;
use crate::base::money::Money;
use crate::channel::acquirer::Fault;

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

fn wechat() -> ChannelName {
    ChannelName::try_new("WECHAT").unwrap()
}

fn router(candidates: Vec<Candidate>) -> Router {
    Router::new(Routes::try_new(Table { revision: 1, last_resort: false, candidates }).unwrap(), at(0))
}

fn route(router: &Router, attempt: u128, ms: i64) -> Result<Routed, NoChannel> {
    let product = ProductCode::try_new("PROPERTY_FEE").unwrap();
    let payee = payee("ENTITY_1", "CUSTODY_1");
    let payment = NewPayment {
        attempt: AttemptId(Uuid::from_u128(attempt)),
        method: Method::Native,
        wallet: None,
        product: &product,
        amount: Money::cny(100),
        payee: &payee,
        group: Group::default(),
        tried: &[],
    };
    router.route(&payment, at(ms))
}

/// Ids of attempts that are on trial for the one channel.
fn trials() -> impl Iterator<Item = u128> {
    (0..).filter(|n| on_trial(AttemptId(Uuid::from_u128(*n)), &wechat()))
}

/// A router whose channel is on trial at 10 s.
fn probing() -> Router {
    let router = router(vec![candidate("A", "WECHAT")]);
    for n in 0..5 {
        let routed = route(&router, n, 0).unwrap();
        router.record(routed.ticket, Outcome::NoAnswer, at(0));
    }
    assert!(matches!(route(&router, 9, 0).unwrap_err().found()[0].finding, Finding::LeftOut(Reason::Open { .. })));
    router
}

#[test]
fn a_snapshot_is_published_every_tenth_of_a_second_while_something_happens() {
    let router = router(vec![candidate("A", "WECHAT")]);
    assert_eq!(router.snapshot().version(), 0);
    for ms in 0..1_000 {
        let routed = route(&router, 1, ms).unwrap();
        router.record(routed.ticket, Outcome::Taken, at(ms));
    }
    let held = router.snapshot();
    assert_eq!((held.version(), held.published_at()), (9, at(900)));
    let _routed = route(&router, 1, 5_000).unwrap();
    assert_eq!(router.snapshot().version(), 10);
    assert_eq!((held.version(), held.report().len()), (9, 1), "one that is held does not change");
    assert_eq!(held.report()[0].count, 900);
}

#[test]
fn a_change_of_state_is_published_at_once() {
    let router = router(vec![candidate("A", "WECHAT")]);
    let begun: Vec<_> = (0..5).map(|n| route(&router, n, 0).unwrap()).collect();
    let mut told = Vec::new();
    for routed in begun {
        router.record(routed.ticket, Outcome::BadAnswer, at(1));
        let latest = router.snapshot();
        told.push((latest.version(), latest.report().first().map(|line| line.state)));
    }
    let (degraded, open) = ((1, Some(State::Degraded)), (2, Some(State::Open)));
    assert_eq!(told, [(0, None), degraded, degraded, degraded, open]);
    let none = route(&router, 9, 1).unwrap_err();
    assert_eq!(none.inputs().snapshot, 2);
}

#[test]
fn no_more_than_the_allowed_trials_are_under_way_at_once() {
    let router = probing();
    assert!(route(&router, 9, 9_999).is_err());
    let ids: Vec<_> = trials().take(TRIALS_MAX + 3).collect();
    let mut routed: Vec<_> = ids.iter().map(|id| route(&router, *id, 10_000)).collect();
    assert!(routed[..TRIALS_MAX].iter().all(|r| r.as_ref().is_ok_and(|r| r.decision.on_trial())));
    for refused in &routed[TRIALS_MAX..] {
        assert_eq!(refused.as_ref().unwrap_err().found()[0].finding, Finding::LeftOut(Reason::TrialsFull));
    }
    router.record(routed.remove(0).unwrap().ticket, Outcome::Failed(Fault::User), at(10_001));
    assert!(route(&router, ids[TRIALS_MAX], 10_001).is_ok(), "one ended, one may begin");
    assert!(route(&router, ids[TRIALS_MAX + 1], 10_001).is_err());
}

#[test]
fn a_ticket_of_before_the_opening_proves_nothing_after_it() {
    let router = router(vec![candidate("A", "WECHAT")]);
    let mut early: Vec<_> = (0..20).map(|n| route(&router, n, 0).unwrap()).collect();
    let late = early.split_off(10);
    early.into_iter().for_each(|routed| router.record(routed.ticket, Outcome::NoAnswer, at(5)));
    let state = |router: &Router| router.snapshot().report()[0].state;
    assert_eq!(state(&router), State::Open);
    let _ = route(&router, 1, 10_100);
    assert_eq!(state(&router), State::Probing);
    late.into_iter().for_each(|routed| router.record(routed.ticket, Outcome::Taken, at(30_000)));
    assert_eq!(state(&router), State::Probing);
}

#[test]
fn quotas_are_counted_in_the_breath_in_which_they_are_checked() {
    let limited = Candidate { per_second_max: 3, daily_minor_max: Some(1_000), ..candidate("A", "WECHAT") };
    let router = router(vec![limited.clone()]);
    let given = (0..10).filter(|n| route(&router, *n, 0).is_ok()).count();
    assert_eq!(given, 3);
    router.add_used(&limited.name, crate::base::clock::business_day(at(0)), 600);
    let given = (0..10).filter(|n| route(&router, *n, 2_000).is_ok()).count();
    assert_eq!(given, 1, "300 and 600 of 1,000 are used");
}

#[test]
fn an_operator_switches_a_channel_for_all_methods_and_groups() {
    let router = router(vec![candidate("A", "WECHAT"), candidate("B", "ALIPAY")]);
    router.disable(&wechat(), at(0)).unwrap();
    let report = router.snapshot().report();
    assert!(report.len() == 8 && report.iter().all(|line| line.state == State::Disabled && line.key.channel == wechat()));
    assert_eq!(route(&router, 1, 0).unwrap().decision.candidate().as_str(), "B");
    router.enable(&wechat(), at(1)).unwrap();
    let report = router.snapshot().report();
    assert_eq!(report.iter().filter(|line| line.key.channel == wechat() && line.state == State::Probing).count(), 8);
    router.maintain(&wechat(), at(5_000), at(2)).unwrap();
    assert_eq!(router.disable(&ChannelName::try_new("UNION").unwrap(), at(3)), Err(UnknownChannel));
    let trial = trials().next().unwrap();
    assert_eq!(route(&router, trial, 4_999).unwrap().decision.channel().as_str(), "ALIPAY");
    assert_eq!(route(&router, trial, 5_100).unwrap().decision.channel().as_str(), "WECHAT");
}
