//! How well a channel does (渠道健康度), per channel, method and group of merchants: HEALTHY → DEGRADED → OPEN → PROBING → HEALTHY, and
//! MAINTENANCE and DISABLED by an operator. Pure: time is passed in.
//!
//! An attempt here is the call that asks for a payment: it is open until the channel has answered that call, not until the payer has paid.
//! Only technical outcomes count (C1). **Worse is believed at once, better only after [`DWELL`]** in the worse state: so a state is not
//! entered twice within the dwell time, whatever the outcomes (C5). Each failed trial doubles the time that a channel stays open, up to
//! [`OPEN_MAX`].
//!
//! OPEN says: no new payments. It says nothing of queries, closes, refunds and notices, and nothing here can be asked about them (C2).

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::binomial::wilson;
use super::name::ChannelName;
use super::window::{Count, Delays, Signs, Window};
use crate::channel::ChannelError;
use crate::channel::acquirer::{Fault, Method, PaymentState, PaymentWord};

/// Shortest stay in a state before a better one (C5).
pub const DWELL: TimeDelta = TimeDelta::seconds(10);

/// Longest time from open to the next trial.
pub const OPEN_MAX: TimeDelta = TimeDelta::seconds(320);

/// A channel that surely fails more often than this is degraded …
const DEGRADED_FAILING: f64 = 0.05;
/// … and is healthy again when its last answer was good and it does not surely fail more often than this.
const RECOVERED_FAILING: f64 = 0.025;
/// A channel of which surely so many answers are slow is degraded.
const DEGRADED_SLOW: f64 = 0.5;
/// A channel that surely fails more often than this takes no more payments.
const OPEN_FAILING: f64 = 0.3;
/// So many time-outs in a row open at once.
pub const TIMEOUTS_MAX: u32 = 5;

/// The share of payments that go to a channel to try it out, in basis points.
pub const TRIAL_BPS: u64 = 500;
/// Most trials under way at once.
pub const TRIALS_MAX: usize = 5;
/// A trial that has had no answer for so long has timed out.
const TRIAL_LIMIT: TimeDelta = TimeDelta::seconds(30);
/// How sure trials must make us, one-sided 95 %: seven good ones of seven, or fifteen of sixteen.
const TRIAL_SURE: f64 = 1.645;

/// Most groups of merchants.
pub const GROUPS_MAX: u8 = 8;

/// Merchants whose payments do well or badly together (商户分组), such as those of one trade. Which is which is the caller's affair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Group(u8);

/// Why a number is no group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a group of merchants is a number from 0 to 7")]
pub struct BadGroup;

impl TryFrom<u8> for Group {
    type Error = BadGroup;
    fn try_from(number: u8) -> Result<Self, BadGroup> {
        if number < GROUPS_MAX { Ok(Self(number)) } else { Err(BadGroup) }
    }
}

impl From<Group> for u8 {
    fn from(group: Group) -> Self {
        group.0
    }
}

/// What health belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub channel: ChannelName,
    pub method: Method,
    pub group: Group,
}

/// Where a channel stands, from the best to the worst, and the two that an operator sets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Healthy,
    /// Takes payments where no healthy channel can, and the share of payments on trial, or nobody would learn how it does.
    Degraded,
    /// Takes no new payments.
    Open,
    /// Takes a bounded share of new payments on trial.
    Probing,
    /// An operator told when it ends.
    Maintenance,
    /// An operator switched it off.
    Disabled,
}

/// What became of the call that asks for a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The channel took it, whether or not the payer has paid.
    Taken,
    /// The channel refused it or failed it, by somebody's doing.
    Failed(Fault),
    /// No answer in time, or "try again".
    NoAnswer,
    /// An answer that cannot be trusted.
    BadAnswer,
    /// The call was never made.
    NotSent,
}

impl Outcome {
    /// The outcome of a call, with the channel's own table of codes.
    pub fn of(answer: &Result<PaymentState, ChannelError>, fault: impl Fn(&str) -> Fault) -> Self {
        match answer {
            Ok(PaymentState { word: PaymentWord::Failed { code }, .. }) | Err(ChannelError::Refused { code }) => Self::Failed(fault(code)),
            Ok(_) => Self::Taken,
            Err(ChannelError::NoAnswer(_)) => Self::NoAnswer,
            Err(ChannelError::BadAnswer(_) | ChannelError::Conflicted { .. }) => Self::BadAnswer,
        }
    }

    /// Whether the channel answered as it should: only that proves anything against time-outs.
    fn answered(self) -> bool {
        matches!(self, Self::Taken | Self::Failed(_))
    }
}

/// What `decide` sees of a channel. Made by the monitor, read by nobody else.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct View {
    pub(super) state: State,
    /// When a MAINTENANCE ends, or an OPEN channel is tried again.
    pub(super) until: Option<DateTime<Utc>>,
    /// Failures of a million that are surely exceeded.
    pub(super) failing_ppm: u32,
    /// Attempts of the last minute.
    pub(super) count: u64,
    /// Trials that may begin now.
    pub(super) trials_left: usize,
}

impl View {
    /// A channel that nothing is known of.
    pub(super) const UNKNOWN: Self = Self { state: State::Healthy, until: None, failing_ppm: 0, count: 0, trials_left: 0 };
}

/// An attempt that began, to be handed back with its outcome.
#[derive(Debug)]
pub(super) struct Begun {
    at: DateTime<Utc>,
    epoch: u32,
    trial: bool,
}

/// Watches one channel, method and group.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    state: State,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// Changes when all that is under way is no longer heard: it tells of the time before.
    epoch: u32,
    window: Window,
    delays: Delays,
    signs: Signs,
    timeouts: u32,
    /// Whether the last outcome that counted was a good one.
    last_good: bool,
    /// Openings since the channel was last healthy.
    openings: u32,
    /// When the trials under way began: at most [`TRIALS_MAX`].
    trials: Vec<DateTime<Utc>>,
    trials_good: u32,
    trials_bad: u32,
    /// The latest time it was told: a clock that goes back stands still here.
    latest: DateTime<Utc>,
}

impl Monitor {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            state: State::Healthy,
            since: now,
            until: None,
            epoch: 0,
            window: Window::default(),
            delays: Delays::default(),
            signs: Signs::default(),
            timeouts: 0,
            last_good: true,
            openings: 0,
            trials: Vec::new(),
            trials_good: 0,
            trials_bad: 0,
            latest: now,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn view(&self) -> View {
        let trials_left = if self.state == State::Probing { TRIALS_MAX.saturating_sub(self.trials.len()) } else { 0 };
        // a share from 0 to 1, so it fits
        let failing_ppm = (self.signs.failing * 1e6) as u32;
        View { state: self.state, until: self.until, failing_ppm, count: self.signs.count, trials_left }
    }

    /// Takes in that an attempt begins. That alone makes no healthy channel worse: whether it hangs is seen by the next [`Self::tick`].
    pub(super) fn begin(&mut self, now: DateTime<Utc>) -> Begun {
        self.pass(now);
        let trial = self.state == State::Probing && self.trials.len() < TRIALS_MAX;
        if trial {
            self.trials.push(self.latest);
        } else if self.state != State::Probing {
            self.window.begin(self.latest);
        }
        Begun { at: self.latest, epoch: self.epoch, trial }
    }

    /// Takes in what became of an attempt.
    pub(super) fn end(&mut self, begun: &Begun, outcome: Outcome, now: DateTime<Utc>) {
        self.pass(now);
        let delay_ms = (self.latest - begun.at).num_milliseconds();
        if outcome.answered() {
            self.delays.add(delay_ms);
        }
        if begun.epoch != self.epoch {
            return;
        }
        if self.state == State::Probing {
            self.end_trial(begun, outcome);
        } else {
            let count = match outcome {
                Outcome::Taken => Count::Good { delay_ms },
                Outcome::Failed(Fault::User) | Outcome::NotSent => Count::LeftOut,
                Outcome::Failed(Fault::Channel | Fault::Ours) | Outcome::NoAnswer | Outcome::BadAnswer => Count::Bad,
            };
            self.window.end(begun.at, count);
            if count != Count::LeftOut {
                self.last_good = count != Count::Bad;
            }
            match outcome {
                Outcome::NoAnswer => self.timeouts = self.timeouts.saturating_add(1),
                Outcome::Taken | Outcome::Failed(_) => self.timeouts = 0,
                Outcome::BadAnswer | Outcome::NotSent => {}
            }
        }
        if self.state != State::Healthy || !matches!(outcome, Outcome::Taken) {
            self.tick(now);
        }
    }

    /// Lets time pass. Looks at the signs only where time alone may change the state, so that a good answer costs next to nothing.
    fn pass(&mut self, now: DateTime<Utc>) {
        if self.state == State::Healthy { self.latest = self.latest.max(now) } else { self.tick(now) }
    }

    fn end_trial(&mut self, begun: &Begun, outcome: Outcome) {
        let under_way = self.trials.iter().position(|at| *at == begun.at).filter(|_| begun.trial);
        let Some(place) = under_way else { return };
        self.trials.swap_remove(place);
        match outcome {
            Outcome::Taken => self.trials_good += 1,
            Outcome::Failed(Fault::User) | Outcome::NotSent => {}
            Outcome::Failed(Fault::Channel | Fault::Ours) | Outcome::BadAnswer => self.trials_bad += 1,
            Outcome::NoAnswer => self.open(),
        }
    }

    /// Moves on to where the signs and the time say. To be called every now and then, as nothing else notices a channel that hangs.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        self.latest = self.latest.max(now);
        let stayed = self.latest - self.since;
        match self.state {
            State::Healthy | State::Degraded => {
                self.signs = self.window.signs(self.latest, &self.delays);
                let bad = self.signs.failing > DEGRADED_FAILING || self.signs.slow > DEGRADED_SLOW;
                let well = self.last_good && self.signs.failing < RECOVERED_FAILING && self.signs.slow < DEGRADED_SLOW;
                if self.timeouts >= TIMEOUTS_MAX || self.signs.failing > OPEN_FAILING {
                    self.open();
                } else if self.state == State::Healthy && bad {
                    self.enter(State::Degraded);
                } else if self.state == State::Degraded && well && stayed >= DWELL {
                    self.enter(State::Healthy);
                }
            }
            State::Open | State::Maintenance => {
                if self.until.is_some_and(|until| until <= self.latest) {
                    self.start_anew(State::Probing);
                }
            }
            State::Probing => {
                let n = f64::from(self.trials_good) + f64::from(self.trials_bad);
                let (low, high) = wilson(f64::from(self.trials_bad), n, TRIAL_SURE);
                if low > OPEN_FAILING || self.trials.iter().any(|began| self.latest - *began > TRIAL_LIMIT) {
                    self.open();
                } else if high < OPEN_FAILING && stayed >= DWELL {
                    self.openings = 0;
                    self.start_anew(State::Healthy);
                }
            }
            State::Disabled => {}
        }
    }

    /// An operator announces that the channel is away until then (临时维护).
    pub(super) fn maintain(&mut self, until: DateTime<Utc>, now: DateTime<Utc>) {
        self.tick(now);
        self.start_anew(State::Maintenance);
        self.until = Some(until);
    }

    /// An operator switches the channel off.
    pub(super) fn disable(&mut self, now: DateTime<Utc>) {
        self.tick(now);
        self.start_anew(State::Disabled);
    }

    /// An operator switches the channel on again: on trial first. One that is neither off nor away stays as it is.
    pub(super) fn enable(&mut self, now: DateTime<Utc>) {
        self.tick(now);
        if matches!(self.state, State::Disabled | State::Maintenance) {
            self.start_anew(State::Probing);
        }
    }

    fn open(&mut self) {
        let stay = DWELL * 2_i32.pow(self.openings.min(5));
        self.openings = self.openings.saturating_add(1);
        self.start_anew(State::Open);
        self.until = Some(self.latest + stay.min(OPEN_MAX));
    }

    fn enter(&mut self, state: State) {
        (self.state, self.since, self.until) = (state, self.latest, None);
    }

    /// Enters a state that knows nothing of the attempts before it.
    fn start_anew(&mut self, state: State) {
        self.enter(state);
        self.epoch = self.epoch.wrapping_add(1);
        self.window.clear();
        self.signs = Signs::default();
        (self.timeouts, self.last_good) = (0, true);
        self.trials.clear();
        (self.trials_good, self.trials_bad) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
