//! Where new payments go: the router with the payee that all of them share, what operators switched, and what a decision said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::rules::Wish;
use super::{Attempt, PaymentError, Payments, repo};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::business_day;
use crate::base::id::{AttemptId, BookId};
use crate::channel::Channels;
use crate::channel::acquirer::{Method, Wallet};
use crate::channel::divider::Caps;
use crate::order::Order;
use crate::routing::candidate::{Candidate, Mistakes, Payee, Table};
use crate::routing::health::State;
use crate::routing::{
    BadName, CandidateName, ChannelName, Group, NewPayment, NoChannel, ProductCode, Routed, Router, Routes, UnknownChannel, from_text,
};
use crate::split::plan;

/// What an operator decided about a channel (渠道开关).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    On,
    Off,
    /// Away until then, on its own announcement.
    Maintenance {
        until: DateTime<Utc>,
    },
}

/// A channel as an operator sees it, by one way to pay.
#[derive(Clone, Debug)]
pub struct ChannelLine {
    pub channel: String,
    pub method: Method,
    pub state: State,
    /// Failures of a million that are surely exceeded.
    pub failing_ppm: u32,
}

/// The router of a process, and what it was told by operators.
#[derive(Debug)]
pub struct Routing {
    router: Router,
    payee: Payee,
    told: Mutex<BTreeMap<String, Switch>>,
    /// What channels that divide payments hold us to.
    dividers: Vec<(ChannelName, Caps)>,
}

impl Routing {
    /// Without the candidates of channels that are not connected, and the ways that a channel does not offer. Fails where the table has a
    /// mistake, and where nothing of it is left.
    pub fn try_new(table: Table, channels: &Channels, payee: Payee, now: DateTime<Utc>) -> Result<Self, Mistakes> {
        let routes = Routes::try_new(table)?;
        let offered = |candidate: &Candidate| {
            let channel = channels.get(candidate.channel.as_str())?;
            let methods: Vec<_> = candidate.methods.iter().copied().filter(|method| channel.methods().contains(method)).collect();
            (!methods.is_empty()).then(|| Candidate { methods, ..candidate.clone() })
        };
        let candidates = routes.candidates().iter().filter_map(offered).collect();
        let routes = Routes::try_new(Table { revision: routes.revision(), last_resort: routes.last_resort(), candidates })?;
        let caps = |name: &&'static str| Some((ChannelName::try_new(name).ok()?, channels.divider(name)?.caps()));
        let dividers = channels.names().iter().filter_map(caps).collect();
        Ok(Self { router: Router::new(routes, now), payee, told: Mutex::default(), dividers })
    }

    /// The channels that divide payments, but not those made this way, or not so much of one as this order's receivers get (S5).
    pub(super) fn barred(&self, order: &Order, method: Method) -> impl Iterator<Item = &ChannelName> {
        let wanted = order.divided_when_paid().map(|(rule, _)| {
            let base_minor = order.amount.minor - order.fee_of(order.amount).minor;
            plan::first_level_minor(base_minor, rule)
        });
        let divides = move |caps: &Caps, wanted| caps.methods.contains(&method) && caps.divisible_minor(order.payable()) >= wanted;
        self.dividers.iter().filter(move |(_, caps)| wanted.is_some_and(|wanted| !divides(caps, wanted))).map(|(name, _)| name)
    }

    /// Whether somebody would take an order if no channel were barred.
    pub(super) fn would_take(&self, order: &Order, wish: Wish, now: DateTime<Utc>) -> bool {
        self.ask(order, AttemptId(Uuid::nil()), wish, &[], |payment| self.router.takes(payment, now))
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Decides where a new attempt goes. `tried`: channels that failed this order.
    pub(super) fn route(
        &self,
        order: &Order,
        attempt: AttemptId,
        wish: Wish,
        tried: &[ChannelName],
        now: DateTime<Utc>,
    ) -> Result<Routed, NoChannel> {
        self.asked(order, attempt, wish, tried, |payment| self.router.route(payment, now))
    }

    /// The wallets and ways by which an order could be paid now.
    pub fn ways(&self, order: &Order, now: DateTime<Utc>) -> Vec<(Wallet, Method)> {
        let methods = Method::ALL.into_iter().filter(|method| order.product.terms.take(*method));
        let all = methods.flat_map(|method| Wallet::ALL.map(|wallet| (wallet, method)));
        let open = |&(wallet, method): &(Wallet, Method)| {
            let wish = Wish { method, wallet: Some(wallet) };
            self.asked(order, AttemptId(Uuid::nil()), wish, &[], |payment| self.router.takes(payment, now))
        };
        all.filter(open).collect()
    }

    /// Asks the router; a channel that is barred is one that was tried.
    fn asked<T>(&self, order: &Order, attempt: AttemptId, wish: Wish, tried: &[ChannelName], ask: impl FnOnce(&NewPayment<'_>) -> T) -> T {
        let tried: Vec<ChannelName> = tried.iter().chain(self.barred(order, wish.method)).cloned().collect();
        self.ask(order, attempt, wish, &tried, ask)
    }

    fn ask<T>(&self, order: &Order, attempt: AttemptId, wish: Wish, tried: &[ChannelName], ask: impl FnOnce(&NewPayment<'_>) -> T) -> T {
        let product = ProductCode::try_new(&order.product.code).unwrap_or_else(|_| product());
        ask(&NewPayment {
            attempt,
            method: wish.method,
            wallet: wish.wallet,
            product: &product,
            amount: order.payable(),
            payee: &self.payee,
            group: Group::default(),
            tried,
        })
    }

    /// Takes in what operators decided since the last look.
    fn follow(&self, switches: BTreeMap<String, Switch>, now: DateTime<Utc>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (channel, switch) in &switches {
            if told.get(channel) == Some(switch) {
                continue;
            }
            let Ok(name) = ChannelName::try_new(channel) else { continue };
            // a channel of no candidate takes no payments anyway
            let _: Result<(), UnknownChannel> = match switch {
                Switch::On => self.router.enable(&name, now),
                Switch::Off => self.router.disable(&name, now),
                Switch::Maintenance { until } => self.router.maintain(&name, *until, now),
            };
        }
        *told = switches;
    }
}

/// What an order sells that was made before products had names.
fn product() -> ProductCode {
    ProductCode::try_new("STORE_PAYMENT").expect("the name is plain and short")
}

/// The channel's name as routing knows it.
pub(super) fn channel_name(attempt: &Attempt) -> Result<ChannelName, BadName> {
    ChannelName::try_new(&attempt.channel)
}

impl Payments {
    /// The wallets and ways by which an order could be paid now.
    pub fn ways(&self, order: &Order) -> Vec<(Wallet, Method)> {
        self.routing.ways(order, self.clock.now())
    }

    /// Follows what operators decided about channels, and reads back what was used of the day's quotas. Cheap: to be called every second.
    pub async fn follow_switches(&self) -> Result<(), PaymentError> {
        let switches = repo::switches(&self.db).await?.into_iter().collect();
        self.routing.follow(switches, self.clock.now());
        Ok(())
    }

    /// Reads back what was used of the day's quotas before this process started. Once, at the start.
    pub async fn remember_usage(&self) -> Result<(), PaymentError> {
        let routes = self.routing.router.routes();
        if routes.candidates().iter().all(|candidate| candidate.daily_minor_max.is_none()) {
            return Ok(());
        }
        let day = business_day(self.clock.now());
        for (candidate, minor) in repo::sent_on(&self.db, day).await? {
            if let Ok(name) = CandidateName::try_new(&candidate) {
                self.routing.router.add_used(&name, day, minor);
            }
        }
        Ok(())
    }

    /// Switches a channel for all processes. Operators only.
    pub async fn switch(&self, actor: &Actor, channel: &str, switch: Switch) -> Result<(), PaymentError> {
        actor.require_role(Role::Operator)?;
        if self.channels.get(channel).is_none() {
            return Err(PaymentError::NoChannel);
        }
        let now = self.clock.now();
        let (state, until) = match switch {
            Switch::On => ("ON", None),
            Switch::Off => ("OFF", None),
            Switch::Maintenance { until } => ("MAINTENANCE", Some(until)),
        };
        let mut tx = self.db.begin().await?;
        repo::set_switch_in_tx(&mut tx, channel, state, until, now).await?;
        let detail = json!({ "channel": channel, "state": state, "until": until });
        audit::record_in_tx(&mut tx, actor, "channel.switched", Uuid::nil(), detail, now).await?;
        tx.commit().await?;
        self.follow_switches().await
    }

    /// How the channels do, as this process sees them. Operators only.
    pub fn channel_report(&self, actor: &Actor) -> Result<Vec<ChannelLine>, PaymentError> {
        actor.require_role(Role::Operator)?;
        let snapshot = self.routing.router.snapshot();
        let report = snapshot.report();
        let mut lines = Vec::new();
        for name in self.channels.names() {
            for &method in self.channels.get(name).map(|c| c.methods()).unwrap_or_default() {
                let seen = report.iter().find(|line| line.key.channel.as_str() == name && line.key.method == method);
                let (state, failing_ppm) = seen.map_or((State::Healthy, 0), |line| (line.state, line.failing_ppm));
                lines.push(ChannelLine { channel: name.to_owned(), method, state, failing_ppm });
            }
        }
        Ok(lines)
    }

    /// Why an attempt went where it went, a sentence for every candidate. Operators only. Empty: made before decisions were kept.
    pub async fn explain(&self, actor: &Actor, book: BookId, attempt: AttemptId) -> Result<Vec<String>, PaymentError> {
        actor.require_role(Role::Operator)?;
        let Some(text) = repo::decision(&self.db, book, attempt).await? else { return Ok(Vec::new()) };
        match from_text(&text) {
            Ok(Ok(decision)) => Ok(decision.explain()),
            Ok(Err(none)) => Ok(none.explain()),
            Err(error) => Err(PaymentError::Decision(error)),
        }
    }
}
