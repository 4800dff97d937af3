//! Payments in a simulated minute or three: two channels, one of which dies. Time is virtual, and every seed is fixed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::candidate::{Candidate, Cost, Payee, Rounding, Table};
use super::health::{DWELL, State, TRIAL_BPS};
use super::properties::{candidate, payee};
use super::rules::on_trial;
use super::*;
use crate::base::id::AttemptId;
use crate::base::money::Money;
use crate::channel::acquirer::{Fault, Method};

/// How long a call waits.
const CALL_LIMIT_MS: i64 = 5_000;

/// How a channel dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Nothing comes back: each call times out.
    Hangs,
    /// The connection is refused.
    Unreachable,
    /// It answers that it cannot.
    Refuses,
    /// It answers in words that nobody signed.
    Babbles,
}

const DEATHS: [Death; 4] = [Death::Hangs, Death::Unreachable, Death::Refuses, Death::Babbles];

/// What the simulation saw of one payment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at_ms: i64,
    attempt: AttemptId,
    /// Whether it went to the channel that dies.
    to_mortal: bool,
    trial: bool,
    /// The mortal channel's state after it was routed.
    state: State,
}

struct World {
    router: Router,
    product: ProductCode,
    payee: Payee,
    now_ms: i64,
    seed: u64,
    death: Option<Death>,
    /// Answers on their way, by when they come.
    coming: BinaryHeap<Reverse<(i64, usize)>>,
    waiting: BTreeMap<usize, (Ticket, Outcome)>,
    seen: Vec<Seen>,
}

/// The channel that dies is the cheaper one, so that all payments go there first.
const MORTAL: &str = "WECHAT";

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000).unwrap() + TimeDelta::milliseconds(ms)
}

impl World {
    fn new(seed: u64) -> Self {
        let dear = Cost { bps: 60, fixed_minor: 0, rounding: Rounding::HalfUp };
        let candidates = vec![candidate("A", MORTAL), Candidate { cost: dear, ..candidate("B", "ALIPAY") }];
        Self {
            router: Router::new(Routes::try_new(Table { revision: 1, last_resort: false, candidates }).unwrap(), at(0)),
            product: ProductCode::try_new("PROPERTY_FEE").unwrap(),
            payee: payee("ENTITY_1", "CUSTODY_1"),
            now_ms: 0,
            seed,
            death: None,
            coming: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// splitmix64
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// What a call will come to, and after how long: a living channel answers in 40 to 120 ms, one of two hundred users is declined, and one
    /// of five hundred calls is lost.
    fn fate(&mut self, to_mortal: bool) -> (i64, Outcome) {
        let dice = self.random() % 1_000;
        let delay_ms = 40 + i64::try_from(self.random() % 80).unwrap();
        match self.death.filter(|_| to_mortal) {
            Some(Death::Hangs) => (CALL_LIMIT_MS, Outcome::NoAnswer),
            Some(Death::Unreachable) => (2, Outcome::NoAnswer),
            Some(Death::Refuses) => (delay_ms, Outcome::Failed(Fault::Channel)),
            Some(Death::Babbles) => (delay_ms, Outcome::BadAnswer),
            None if dice < 5 => (delay_ms, Outcome::Failed(Fault::User)),
            None if dice < 7 => (CALL_LIMIT_MS, Outcome::NoAnswer),
            None => (delay_ms, Outcome::Taken),
        }
    }

    fn state(&self) -> State {
        self.router.snapshot().view(&ChannelName::try_new(MORTAL).unwrap(), Method::Native, Group::default()).state
    }

    /// Lets so many seconds pass with so many payments in each.
    fn run(&mut self, seconds: i64, per_second: i64) {
        let from_ms = self.now_ms;
        for number in 0..seconds * per_second {
            let now_ms = from_ms + number * 1_000 / per_second;
            self.hear(now_ms);
            let attempt = AttemptId(Uuid::from_u64_pair(self.random(), self.random()));
            let payment = NewPayment {
                attempt,
                method: Method::Native,
                wallet: None,
                product: &self.product,
                amount: Money::cny(12_345),
                payee: &self.payee,
                group: Group::default(),
                tried: &[],
            };
            let Routed { decision, ticket } = self.router.route(&payment, at(now_ms)).expect("the other channel is alive");
            let (to_mortal, trial) = (decision.channel().as_str() == MORTAL, decision.on_trial());
            let (delay_ms, outcome) = self.fate(to_mortal);
            let place = self.seen.len();
            self.coming.push(Reverse((now_ms + delay_ms, place)));
            self.waiting.insert(place, (ticket, outcome));
            let state = self.state();
            self.seen.push(Seen { at_ms: now_ms, attempt, to_mortal, trial, state });
        }
        self.now_ms = from_ms + seconds * 1_000;
        self.hear(self.now_ms);
    }

    /// Takes in the answers that have come by then.
    fn hear(&mut self, until_ms: i64) {
        while self.coming.peek().is_some_and(|Reverse((ms, _))| *ms <= until_ms) {
            let Some(Reverse((ms, place))) = self.coming.pop() else { return };
            let (ticket, outcome) = self.waiting.remove(&place).unwrap();
            self.router.record(ticket, outcome, at(ms));
        }
    }

    /// Payments that went to the mortal channel from then until it first was open, and when that was.
    fn hit_before_open(&self, from_ms: i64) -> (usize, i64) {
        let after = || self.seen.iter().filter(|s| s.at_ms >= from_ms);
        let open = after().find(|s| matches!(s.state, State::Open)).expect("it opened").at_ms;
        (after().filter(|s| s.at_ms <= open && s.to_mortal).count(), open - from_ms)
    }
}

#[test]
fn of_a_thousand_payments_a_second_few_hit_a_channel_that_dies() {
    for (death, hits_max) in DEATHS.into_iter().zip([500, 10, 120, 120]) {
        for seed in [1, 2, 3] {
            let mut world = World::new(seed);
            world.run(6, 1_000);
            assert!(world.seen.iter().all(|s| s.to_mortal), "{death:?}: the cheaper one takes all while it lives");
            world.death = Some(death);
            world.run(4, 1_000);
            let (hits, after_ms) = world.hit_before_open(6_000);
            assert!(hits <= hits_max, "{death:?}, seed {seed}: {hits} hits in {after_ms} ms");
            let late = world.seen.iter().filter(|s| s.at_ms > 6_000 + after_ms && s.to_mortal).count();
            assert_eq!(late, 0, "{death:?}: nothing goes there while it is open");
        }
    }
}

#[test]
fn a_channel_that_dies_is_out_within_ten_seconds_and_back_only_by_trials() {
    for death in DEATHS {
        let mut world = World::new(7);
        world.run(60, 20);
        let died_ms = world.now_ms;
        world.death = Some(death);
        world.run(120, 20);
        let (hits, after_ms) = world.hit_before_open(died_ms);
        assert!(after_ms <= 10_000 && hits <= 20, "{death:?}: {hits} hits, open after {after_ms} ms");
        let revived_ms = world.now_ms;
        world.death = None;
        world.run(600, 20);
        let back_ms = world.seen.iter().find(|s| s.at_ms > revived_ms && s.state == State::Healthy).expect("it came back").at_ms;
        let out_ms = world.seen.iter().find(|s| s.at_ms >= died_ms && s.state != State::Healthy).expect("it went out").at_ms;
        let out: Vec<_> = world.seen.iter().filter(|s| s.at_ms > out_ms && s.at_ms < back_ms).collect();
        let channel = ChannelName::try_new(MORTAL).unwrap();
        assert!(out.iter().filter(|s| s.to_mortal).all(|s| s.trial && on_trial(s.attempt, &channel)), "{death:?}: only trials");
        let (trials, all) = (out.iter().filter(|s| s.to_mortal).count(), out.len());
        assert!(trials as u64 * 10_000 <= all as u64 * TRIAL_BPS, "{death:?}: {trials} of {all}");
        assert!(trials >= 7, "{death:?}: it was tried");
        let after: Vec<_> = world.seen.iter().filter(|s| s.at_ms > back_ms + 1_000).collect();
        assert!(
            !after.is_empty() && after.iter().filter(|s| s.to_mortal).count() * 100 >= after.len() * 99,
            "{death:?}: it has its load back"
        );
    }
}

#[test]
fn a_dead_channel_that_nothing_is_known_of_is_out_within_ten_seconds() {
    for death in DEATHS {
        let mut world = World::new(11);
        world.death = Some(death);
        world.run(10, 20);
        let (hits, after_ms) = world.hit_before_open(0);
        assert!(after_ms <= 6_000 && hits <= 110, "{death:?}: {hits} hits, open after {after_ms} ms");
    }
}

#[test]
fn a_channel_that_lives_is_never_given_up() {
    for (seed, per_second) in [(1, 1_000), (2, 20), (3, 2)] {
        let mut world = World::new(seed);
        world.run(20_000 / per_second.max(20), per_second);
        let well = world.seen.iter().filter(|s| s.state == State::Healthy).count();
        assert!(world.seen.iter().all(|s| s.state != State::Open), "{per_second} a second");
        assert!(well * 1_000 >= world.seen.len() * 995, "{per_second} a second: {well} of {}", world.seen.len());
    }
}

#[test]
fn a_channel_that_comes_and_goes_changes_no_faster_than_the_dwell_time() {
    let mut world = World::new(5);
    for second in 0..300 {
        world.death = if second / 3 % 2 == 0 { None } else { Some(Death::Unreachable) };
        world.run(1, 100);
    }
    let opened: Vec<_> =
        world.seen.windows(2).filter(|two| two[0].state != State::Open && two[1].state == State::Open).map(|two| two[1].at_ms).collect();
    assert!(opened.len() >= 3 && opened.windows(2).all(|two| two[1] - two[0] >= DWELL.num_milliseconds()), "{opened:?}");
}
