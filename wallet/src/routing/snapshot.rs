//! The one small service of routing: what `decide` needs, kept in memory, and published as snapshots that nobody changes any more.
//!
//! A reader takes the latest snapshot by a read lock held for one reference count. Routing a payment takes one short lock, about as long
//! as the decision: quotas and trials are counted in the same breath in which they are checked, so no limit is passed by two at once.
//!
//! A snapshot is published when [`PUBLISH_EVERY`] has passed, or at once when a state or a number of trials changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::candidate::Routes;
use super::health::{Begun, GROUPS_MAX, Group, Key, Monitor, Outcome, State, View};
use super::name::{CandidateName, ChannelName};
use super::rules::{Decision, NewPayment, NoChannel, decide};
use super::usage::Usage;
use crate::channel::acquirer::Method;

/// Longest time for which a snapshot stays the latest while something happens.
pub const PUBLISH_EVERY: TimeDelta = TimeDelta::milliseconds(100);

/// The health of all channels at a moment. Only [`decide`] can ask it about a channel (C2).
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: u64,
    at: DateTime<Utc>,
    views: HashMap<Key, View>,
}

/// A line of [`Snapshot::report`], for people.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    pub key: Key,
    pub state: State,
    /// Failures of a million that are surely exceeded.
    pub failing_ppm: u32,
    /// Attempts of the last minute.
    pub count: u64,
}

impl Snapshot {
    /// A snapshot that knows nothing: every channel is healthy.
    pub fn empty(at: DateTime<Utc>) -> Self {
        Self { version: 0, at, views: HashMap::new() }
    }

    #[cfg(test)]
    pub(super) fn of(version: u64, at: DateTime<Utc>, views: HashMap<Key, View>) -> Self {
        Self { version, at, views }
    }

    /// One higher with each snapshot of a process.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn published_at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Every channel that has had an attempt, for a page or a metric.
    pub fn report(&self) -> Vec<Line> {
        let line =
            |(key, view): (&Key, &View)| Line { key: key.clone(), state: view.state, failing_ppm: view.failing_ppm, count: view.count };
        self.views.iter().map(line).collect()
    }

    pub(super) fn view(&self, channel: &ChannelName, method: Method, group: Group) -> View {
        let key = Key { channel: channel.clone(), method, group };
        self.views.get(&key).copied().unwrap_or(View::UNKNOWN)
    }
}

/// A payment that was routed: to be recorded when the channel has answered.
#[derive(Debug)]
#[must_use = "an attempt whose outcome is not recorded counts as one that hangs"]
pub struct Ticket {
    key: Key,
    begun: Begun,
}

/// Where a payment goes, and what to hand back with its outcome.
#[derive(Debug)]
pub struct Routed {
    pub decision: Decision,
    pub ticket: Ticket,
}

/// An operator named a channel that no candidate has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no candidate has this channel")]
pub struct UnknownChannel;

/// Routes payments. One per process.
#[derive(Debug)]
pub struct Router {
    routes: Routes,
    /// What changes. Held for a decision or an outcome, never across anything that waits.
    live: Mutex<Live>,
    latest: RwLock<Arc<Snapshot>>,
}

#[derive(Debug, Default)]
struct Live {
    monitors: HashMap<Key, Monitor>,
    usage: Usage,
    /// Whether something happened since the last snapshot.
    changed: bool,
}

impl Router {
    pub fn new(routes: Routes, now: DateTime<Utc>) -> Self {
        Self { routes, live: Mutex::default(), latest: RwLock::new(Arc::new(Snapshot::empty(now))) }
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides where a payment goes, and counts it there.
    pub fn route(&self, payment: &NewPayment<'_>, now: DateTime<Utc>) -> Result<Routed, NoChannel> {
        let mut live = self.live();
        self.publish_if_due(&mut live, now);
        let decision = decide(payment, &self.routes, &self.snapshot(), &live.usage, now)?;
        live.usage.give(decision.candidate(), payment.amount.minor, now);
        let key = Key { channel: decision.channel().clone(), method: payment.method, group: payment.group };
        let begun = self.change(&mut live, &key, now, |monitor| monitor.begin(now));
        Ok(Routed { decision, ticket: Ticket { key, begun } })
    }

    /// Whether a payment would be taken now. Counts nothing.
    pub fn takes(&self, payment: &NewPayment<'_>, now: DateTime<Utc>) -> bool {
        let mut live = self.live();
        self.publish_if_due(&mut live, now);
        decide(payment, &self.routes, &self.snapshot(), &live.usage, now).is_ok()
    }

    /// The table.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Takes in what became of a payment that was routed: once, as it takes the ticket.
    pub fn record(&self, ticket: Ticket, outcome: Outcome, now: DateTime<Utc>) {
        let mut live = self.live();
        self.change(&mut live, &ticket.key, now, |monitor| monitor.end(&ticket.begun, outcome, now));
        self.publish_if_due(&mut live, now);
    }

    /// Adds what a candidate was given earlier in the day, before this process.
    pub fn add_used(&self, candidate: &CandidateName, day: NaiveDate, amount_minor: i64) {
        self.live().usage.add(candidate, day, amount_minor);
    }

    /// An operator switches a channel off, in all its methods and for all groups.
    pub fn disable(&self, channel: &ChannelName, now: DateTime<Utc>) -> Result<(), UnknownChannel> {
        self.operate(channel, now, |monitor| monitor.disable(now))
    }

    /// An operator switches a channel on again, on trial first.
    pub fn enable(&self, channel: &ChannelName, now: DateTime<Utc>) -> Result<(), UnknownChannel> {
        self.operate(channel, now, |monitor| monitor.enable(now))
    }

    /// An operator announces that a channel is away until then.
    pub fn maintain(&self, channel: &ChannelName, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), UnknownChannel> {
        self.operate(channel, now, |monitor| monitor.maintain(until, now))
    }

    fn operate(&self, channel: &ChannelName, now: DateTime<Utc>, order: impl Fn(&mut Monitor)) -> Result<(), UnknownChannel> {
        if !self.routes.candidates().iter().any(|c| c.channel == *channel) {
            return Err(UnknownChannel);
        }
        let mut live = self.live();
        for candidate in self.routes.candidates().iter().filter(|c| c.channel == *channel) {
            for &method in &candidate.methods {
                for group in (0..GROUPS_MAX).filter_map(|number| Group::try_from(number).ok()) {
                    let key = Key { channel: channel.clone(), method, group };
                    order(live.monitors.entry(key).or_insert_with(|| Monitor::new(now)));
                }
            }
        }
        self.publish(&mut live, now);
        Ok(())
    }

    /// Changes one monitor, and publishes at once if that changed its state or its trials.
    fn change<T>(&self, live: &mut Live, key: &Key, now: DateTime<Utc>, change: impl FnOnce(&mut Monitor) -> T) -> T {
        let monitor = live.monitors.entry(key.clone()).or_insert_with(|| Monitor::new(now));
        let before = (monitor.state(), monitor.view().trials_left);
        let result = change(monitor);
        let after = (monitor.state(), monitor.view().trials_left);
        live.changed = true;
        if before != after {
            self.publish(live, now);
        }
        result
    }

    /// Lets time pass for every monitor, and publishes what came of it, if the latest snapshot is old enough.
    fn publish_if_due(&self, live: &mut Live, now: DateTime<Utc>) {
        if now - self.snapshot().at < PUBLISH_EVERY {
            return;
        }
        for monitor in live.monitors.values_mut() {
            let before = monitor.view();
            monitor.tick(now);
            live.changed |= before != monitor.view();
        }
        if live.changed {
            self.publish(live, now);
        }
    }

    fn publish(&self, live: &mut Live, now: DateTime<Utc>) {
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        let views = live.monitors.iter().map(|(key, monitor)| (key.clone(), monitor.view())).collect();
        *latest = Arc::new(Snapshot { version: latest.version + 1, at: latest.at.max(now), views });
        live.changed = false;
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
