//! What holds for every table, payment and sequence of outcomes. Seeds are fixed.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::candidate::{Candidate, Cost, Payee, Rounding, Table};
use super::health::{DWELL, Key, Monitor, State, TRIALS_MAX, View};
use super::rules::{Finding, on_trial};
use super::*;
use crate::base::clock::shanghai;
use crate::base::id::AttemptId;
use crate::base::money::{Currency, Money};
use crate::channel::acquirer::{Fault, Method, Wallet};

pub(super) fn payee(entity: &str, custody: &str) -> Payee {
    Payee { entity: PayeeEntity::try_new(entity).unwrap(), custody_account: CustodyAccount::try_new(custody).unwrap() }
}

/// A candidate that takes any payment of `PROPERTY_FEE` by a scanned code, at 38 basis points.
pub(super) fn candidate(name: &str, channel: &str) -> Candidate {
    Candidate {
        name: CandidateName::try_new(name).unwrap(),
        channel: ChannelName::try_new(channel).unwrap(),
        methods: vec![Method::Native],
        wallets: Wallet::ALL.to_vec(),
        products: vec![ProductCode::try_new("PROPERTY_FEE").unwrap()],
        currency: Currency::Cny,
        payee: payee("ENTITY_1", "CUSTODY_1"),
        amount_minor_min: 1,
        amount_minor_max: 5_000_000,
        daily_minor_max: None,
        per_second_max: 100_000,
        hours: Vec::new(),
        maintenance: Vec::new(),
        cost: Cost { bps: 38, fixed_minor: 0, rounding: Rounding::HalfUp },
    }
}

/// A candidate with a few of its fields drawn from small sets, so that they often meet the payment's and often do not.
fn any_candidate(index: usize) -> impl Strategy<Value = Candidate> {
    let rest = (0..3_usize, 0..3_usize, 0..2_usize, 0..2_usize, any::<bool>());
    let limits = (1..200_i64, 0..400_i64, prop::option::of(200..400_i64), 1..4_u32);
    let calendar = (prop::option::of((0..24_u32, 0..24_u32)), prop::option::of((0..48_i64, 1..48_i64)));
    (rest, limits, calendar, 0..100_u16).prop_map(move |((channel, entity, custody, currency, narrow), limits, (hours, away), bps)| {
        let (min, more, daily_minor_max, per_second_max) = limits;
        let time = |hour| chrono::NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
        let hours = hours.filter(|(from, to)| from != to).map(|(from, to)| Hours { from: time(from), to: time(to) });
        let day = noon().with_timezone(&shanghai()).naive_local();
        let away = away
            .map(|(from, long)| Maintenance { from: day + TimeDelta::hours(from - 24), until: day + TimeDelta::hours(from - 24 + long) });
        Candidate {
            payee: payee(&format!("ENTITY_{entity}"), &format!("CUSTODY_{custody}")),
            currency: [Currency::Cny, Currency::Hkd][currency],
            methods: if narrow { vec![Method::Wap] } else { vec![Method::Wap, Method::Native] },
            amount_minor_min: min,
            amount_minor_max: min + more,
            daily_minor_max,
            per_second_max,
            hours: hours.into_iter().collect(),
            maintenance: away.into_iter().collect(),
            cost: Cost { bps, fixed_minor: 0, rounding: Rounding::Up },
            ..candidate(&format!("C{index}"), CHANNELS[channel])
        }
    })
}

const CHANNELS: [&str; 3] = ["WECHAT", "ALIPAY", "UNION"];

/// Noon in Shanghai.
fn noon() -> DateTime<Utc> {
    "2026-11-21T04:00:00Z".parse().unwrap()
}

fn any_view() -> impl Strategy<Value = View> {
    let states = [State::Healthy, State::Degraded, State::Open, State::Probing, State::Maintenance, State::Disabled];
    (prop::sample::select(states.to_vec()), 0..1_000_000_u32, 0..3_usize).prop_map(|(state, failing_ppm, trials_left)| View {
        state,
        until: None,
        failing_ppm,
        count: 9,
        trials_left,
    })
}

/// All that a decision is made of.
#[derive(Clone, Debug)]
struct World {
    candidates: Vec<Candidate>,
    views: [View; 3],
    given: Vec<(usize, i64)>,
    attempt: u128,
    minor: i64,
    entity: usize,
    custody: usize,
    currency: usize,
    tried: Vec<usize>,
    /// Minutes after noon.
    later: i64,
}

fn any_world() -> impl Strategy<Value = World> {
    let candidates = (1..12_usize).prop_flat_map(|count| (0..count).map(any_candidate).collect::<Vec<_>>());
    let views = [any_view(), any_view(), any_view()];
    let given = prop::collection::vec((0..12_usize, 0..200_i64), 0..6);
    let payment = (any::<u128>(), -5..500_i64, 0..3_usize, 0..2_usize, 0..2_usize);
    let tried = prop::collection::vec(0..3_usize, 0..2);
    (candidates, views, given, payment, tried, -720..1_440_i64).prop_map(|(candidates, views, given, payment, tried, later)| {
        let (attempt, minor, entity, custody, currency) = payment;
        World { candidates, views, given, attempt, minor, entity, custody, currency, tried, later }
    })
}

impl World {
    fn now(&self) -> DateTime<Utc> {
        noon() + TimeDelta::minutes(self.later)
    }

    fn payee(&self) -> Payee {
        payee(&format!("ENTITY_{}", self.entity), &format!("CUSTODY_{}", self.custody))
    }

    fn amount(&self) -> Money {
        Money { minor: self.minor, currency: [Currency::Cny, Currency::Hkd][self.currency] }
    }

    fn tried(&self) -> Vec<ChannelName> {
        self.tried.iter().map(|&n| ChannelName::try_new(CHANNELS[n]).unwrap()).collect()
    }

    fn decide(&self) -> Result<Decision, NoChannel> {
        let routes = Routes::try_new(Table { revision: 1, last_resort: false, candidates: self.candidates.clone() }).unwrap();
        let key = |n: usize| Key { channel: ChannelName::try_new(CHANNELS[n]).unwrap(), method: Method::Native, group: Group::default() };
        let health = Snapshot::of(1, self.now(), (0..3).map(|n| (key(n), self.views[n])).collect());
        let mut usage = Usage::default();
        for (index, minor) in &self.given {
            usage.give(&self.candidates[index % self.candidates.len()].name, *minor, self.now());
        }
        let payment = NewPayment {
            attempt: AttemptId(uuid::Uuid::from_u128(self.attempt)),
            method: Method::Native,
            wallet: None,
            product: &ProductCode::try_new("PROPERTY_FEE").unwrap(),
            amount: self.amount(),
            payee: &self.payee(),
            group: Group::default(),
            tried: &self.tried(),
        };
        decide(&payment, &routes, &health, &usage, self.now())
    }

    /// The same question, asked in another way: whether a candidate may have the payment.
    fn may_have(&self, index: usize) -> bool {
        let c = &self.candidates[index];
        let local = self.now().with_timezone(&shanghai()).naive_local();
        let minute = |t: chrono::NaiveTime| i64::from(t.hour() * 60 + t.minute());
        let long = |h: &Hours| (minute(h.to) - minute(h.from)).rem_euclid(1_440);
        let within = c.hours.iter().any(|h| (minute(local.time()) - minute(h.from)).rem_euclid(1_440) < long(h));
        let away = c.maintenance.iter().any(|m| (m.from..m.until).contains(&local));
        let given: Vec<i64> = self.given.iter().filter(|(i, _)| i % self.candidates.len() == index).map(|(_, minor)| *minor).collect();
        let (requests, used) = (given.len(), given.iter().sum::<i64>());
        let channel = CHANNELS.iter().position(|n| *n == c.channel.as_str()).unwrap();
        let view = self.views[channel];
        let healthy = match view.state {
            State::Healthy | State::Degraded => true,
            State::Probing => view.trials_left > 0 && on_trial(AttemptId(uuid::Uuid::from_u128(self.attempt)), &c.channel),
            State::Open | State::Maintenance | State::Disabled => false,
        };
        c.payee == self.payee()
            && c.currency == self.amount().currency
            && c.methods.contains(&Method::Native)
            && (c.amount_minor_min..=c.amount_minor_max).contains(&self.minor)
            && !self.tried.contains(&channel)
            && (c.hours.is_empty() || within)
            && !away
            && c.daily_minor_max.is_none_or(|max| used + self.minor <= max)
            && requests < c.per_second_max as usize
            && healthy
    }
}

fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x6f75_7465), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(seeded(1_500))]

    #[test]
    fn a_payment_goes_to_one_that_may_have_it_and_always_when_there_is_one(world in any_world()) {
        let may: Vec<bool> = (0..world.candidates.len()).map(|n| world.may_have(n)).collect();
        match world.decide() {
            Ok(decision) => {
                let place = world.candidates.iter().position(|c| c.name == *decision.candidate()).unwrap();
                prop_assert!(may[place], "{} may not", decision.candidate());
                // C8: never another payee, currency or custody account
                let chosen = &world.candidates[place];
                prop_assert_eq!(&chosen.payee, &world.payee());
                prop_assert_eq!(chosen.currency, world.amount().currency);
                prop_assert_eq!(&chosen.channel, decision.channel());
                prop_assert_eq!((&decision.inputs().payee, decision.inputs().amount), (&world.payee(), world.amount()));
                for (found, may) in decision.found().iter().zip(&may) {
                    prop_assert_eq!(matches!(found.finding, Finding::Fits(_)), *may, "{:?}", found);
                }
                prop_assert_eq!(from_text(&decision.to_text()).unwrap(), Ok(decision.clone()));
                prop_assert_eq!(decision.explain().len(), world.candidates.len());
                prop_assert_eq!(world.decide(), Ok(decision), "the same again");
            }
            Err(none) => {
                prop_assert!(!may.contains(&true), "somebody could have had it");
                prop_assert_eq!(none.found().len(), world.candidates.len());
                prop_assert!(none.found().iter().all(|found| matches!(found.finding, Finding::LeftOut(_))));
                prop_assert_eq!(none.fault(), Fault::Ours);
                prop_assert_eq!(from_text(&none.to_text()).unwrap(), Err(none));
            }
        }
    }
}

/// A step in a channel's life: time passes, then something happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    End { which: usize, outcome: Outcome },
    Pass,
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Taken),
        4 => Just(Outcome::NoAnswer),
        2 => Just(Outcome::BadAnswer),
        1 => Just(Outcome::Failed(Fault::Channel)),
        1 => Just(Outcome::Failed(Fault::Ours)),
        1 => Just(Outcome::Failed(Fault::User)),
        1 => Just(Outcome::NotSent),
    ]
}

fn any_step() -> impl Strategy<Value = (i64, Step)> {
    let wait = prop_oneof![8 => 0..50_i64, 2 => 50..3_000_i64, 1 => 3_000..40_000_i64, 1 => -2_000..0_i64];
    let step = prop_oneof![
        4 => Just(Step::Begin),
        4 => (any::<usize>(), any_outcome()).prop_map(|(which, outcome)| Step::End { which, outcome }),
        1 => Just(Step::Pass),
    ];
    (wait, step)
}

proptest! {
    #![proptest_config(seeded(100))]

    #[test]
    fn no_state_is_entered_twice_within_the_dwell_time(steps in prop::collection::vec(any_step(), 1..600)) {
        let mut now = noon();
        let mut monitor = Monitor::new(now);
        let mut under_way = Vec::new();
        let (mut before, mut latest) = (State::Healthy, now);
        let mut entered: HashMap<State, DateTime<Utc>> = HashMap::new();
        for (wait_ms, step) in steps {
            now += TimeDelta::milliseconds(wait_ms);
            latest = latest.max(now);
            match step {
                Step::Begin => under_way.push(monitor.begin(now)),
                Step::End { which, outcome } if !under_way.is_empty() => {
                    let begun = under_way.swap_remove(which % under_way.len());
                    monitor.end(&begun, outcome, now);
                }
                Step::End { .. } | Step::Pass => monitor.tick(now),
            }
            let state = monitor.state();
            prop_assert!(!matches!(state, State::Maintenance | State::Disabled), "no operator was here");
            if state != before {
                let last = entered.insert(state, latest);
                prop_assert!(last.is_none_or(|last| latest - last >= DWELL), "{:?} again after {:?}", state, last.map(|last| latest - last));
                before = state;
            }
            prop_assert!(monitor.view().trials_left <= TRIALS_MAX);
        }
    }

    #[test]
    fn users_alone_never_open_anything(waits in prop::collection::vec((0..2_000_i64, any::<bool>()), 1..500)) {
        let mut now = noon();
        let mut monitor = Monitor::new(now);
        for (wait_ms, good) in waits {
            let begun = monitor.begin(now);
            now += TimeDelta::milliseconds(wait_ms);
            monitor.end(&begun, if good { Outcome::Taken } else { Outcome::Failed(Fault::User) }, now);
            prop_assert_eq!(monitor.state(), State::Healthy);
        }
    }
}
