//! A batch of the channel's words, decided in memory: each sees what those before it changed. Pure; written out by `apply_in_tx`.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::repo::Binding;
use super::rules::{self, AttemptStatus, Surplus, Verdict, Word, judge};
use super::{Attempt, Outcome};
use crate::analytics::DayDelta;
use crate::base::clock::business_day;
use crate::base::id::{AttemptId, OrderId, RefundId};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::booking::Booking;
use crate::ledger::recipe::{self, RefundSource};
use crate::ledger::{AccountKind, AccountName};
use crate::order::{self, Order, OrderStatus};
use crate::product;
use crate::refund::{Refund, RefundStatus, RouteKind};
use crate::split::{self, NewSplit, Slice, Upstream};
use crate::subsidy::reservation;

/// What was read under the locks, and what is to be written.
#[derive(Debug, Default)]
pub struct Batch {
    orders: HashMap<OrderId, Order>,
    attempts: HashMap<AttemptId, Attempt>,
    attempts_of: HashMap<OrderId, Vec<AttemptId>>,
    bound: HashMap<(String, String), AttemptId>,
    changed_orders: BTreeSet<OrderId>,
    changed_attempts: BTreeSet<AttemptId>,
    pub bindings: Vec<Binding>,
    /// Refunds of surplus money, funded by `booking`.
    pub refunds: Vec<Refund>,
    /// Paid orders whose money lies in pending and is to be divided: the attempt that paid, and how much of it, in minor units.
    divided: Vec<(OrderId, AttemptId, i64)>,
    pub booking: Booking,
}

impl Batch {
    pub fn new(orders: Vec<Order>, attempts: Vec<Attempt>, bound: Vec<Binding>) -> Self {
        let mut attempts_of: HashMap<OrderId, Vec<AttemptId>> = HashMap::new();
        for attempt in &attempts {
            attempts_of.entry(attempt.order).or_default().push(attempt.id);
        }
        Self {
            orders: orders.into_iter().map(|o| (o.id, o)).collect(),
            attempts: attempts.into_iter().map(|a| (a.id, a)).collect(),
            attempts_of,
            bound: bound.into_iter().map(|b| ((b.channel, b.transaction_id), b.attempt)).collect(),
            ..Self::default()
        }
    }

    /// The orders to be written, in the order of their ids.
    pub fn orders(&self) -> Vec<Order> {
        self.changed_orders.iter().filter_map(|id| self.orders.get(id)).cloned().collect()
    }

    /// The attempts to be written, in the order of their ids.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.changed_attempts.iter().filter_map(|id| self.attempts.get(id)).cloned().collect()
    }

    /// The splits of the orders that were paid: all at once, and finished.
    pub fn splits(&self, now: DateTime<Utc>) -> Vec<NewSplit<'_>> {
        let new = |(order, attempt, minor): &(OrderId, AttemptId, i64)| {
            let order = self.orders.get(order)?;
            let (rule, parties) = order.split()?;
            let attempt = self.attempts.get(attempt)?;
            let frozen = attempt.frozen.zip(attempt.transaction_id.clone());
            let upstream = frozen.map(|(frozen, transaction_id)| Upstream {
                channel: attempt.channel.clone(),
                transaction_id,
                divisible_minor: frozen.divisible_minor,
            });
            let frozen_for = attempt.frozen.map_or(split::FROZEN_FOR, |frozen| TimeDelta::days(frozen.days.into()).min(split::FROZEN_FOR));
            Some(NewSplit {
                order,
                slices: vec![Slice { attempt: attempt.id, base_minor: *minor, upstream }],
                rule: rule.to_vec(),
                parties: parties.clone(),
                at_once: true,
                frozen_until: now + frozen_for,
            })
        };
        self.divided.iter().filter_map(new).collect()
    }

    /// Decides one outcome. None: there is no such attempt.
    pub fn take_in(&mut self, outcome: &Outcome, now: DateTime<Utc>) -> Option<Verdict> {
        let mut attempt = self.attempts.get(&outcome.attempt).filter(|a| a.merchant.book() == outcome.book)?.clone();
        let mut order = self.orders.get(&attempt.order)?.clone();
        let bound = match &outcome.word {
            Word::Succeeded { transaction_id, .. } => self.bound.get(&(attempt.channel.clone(), transaction_id.clone())).copied(),
            _ => None,
        };
        let verdict = judge(&order, &attempt, &outcome.word, bound, now);
        match (verdict, &outcome.word) {
            (Verdict::Pay, Word::Succeeded { transaction_id, at, .. }) => {
                let receipt = order::rules::receipt(&order, *at);
                let parts = (attempt.amount, order.subsidy(), receipt.fee);
                self.book(&order, &mut attempt, transaction_id, *at, (parts, &receipt.into), now);
                if let Some(subsidy) = order.subsidy {
                    let day = business_day(*at);
                    self.booking.postings.push(recipe::subsidy_used(subsidy.programme, order.id, order.subsidy(), day));
                }
                (order.status, order.paid_at, order.escrow) = (OrderStatus::Paid, Some(*at), receipt.escrow);
                if order.divided_when_paid().is_some() {
                    self.divided.push((order.id, attempt.id, order.amount.minor - receipt.fee.minor));
                }
                self.booking.events.push(paid(&order, &attempt, receipt.fee, now));
                self.booking.events.extend(marketing(&order, &attempt, now));
            }
            (Verdict::GiveBack(why), Word::Succeeded { transaction_id, at, .. }) => {
                attempt.surplus = true;
                let none = Money { minor: 0, ..attempt.amount };
                let pending = AccountName::fixed(AccountKind::MerchantPending, attempt.amount.currency);
                // what is too much is cash alone: a programme pays an order once
                let parts = (attempt.amount, none, none);
                self.book(&order, &mut attempt, transaction_id, *at, (parts, &pending), now);
                self.give_back(&order, &attempt, why, *at, now);
                self.booking.events.push(about("payment.surplus", &order, &attempt, now));
            }
            (Verdict::Conflict(code), Word::Succeeded { transaction_id, .. }) => {
                tracing::error!(attempt_id = %attempt.id, code, "the channel took something else than was asked for");
                attempt.transaction_id = Some(transaction_id.clone());
                resolve(&mut attempt, AttemptStatus::Conflicted, Some(code), now);
                self.booking.events.push(about("payment.conflicted", &order, &attempt, now));
            }
            (Verdict::Fail, Word::Failed { code }) => {
                resolve(&mut attempt, AttemptStatus::Failed, Some(code), now);
                self.booking.events.push(about("payment.failed", &order, &attempt, now));
            }
            (Verdict::Close, _) => resolve(&mut attempt, AttemptStatus::ClosedAtChannel, None, now),
            // a channel that does not say how the customer gets there is sent the same request once more at the next start
            (Verdict::Wait, Word::Pending { invitation }) => {
                let told = invitation.clone().filter(|i| i.fits(attempt.method)).or(attempt.invitation.take());
                let Some(told) = told else { return Some(verdict) };
                (attempt.status, attempt.invitation) = (AttemptStatus::UserPending, Some(told));
            }
            (Verdict::Contradiction, _) => {
                tracing::error!(attempt_id = %attempt.id, word = ?outcome.word, "the channel contradicts what it said of a payment");
                return Some(verdict);
            }
            _ => return Some(verdict),
        }
        self.changed_attempts.insert(attempt.id);
        self.attempts.insert(attempt.id, attempt);
        self.settle(order, now);
        Some(verdict)
    }

    /// Books money that came in, cash and subsidy: the fee, and the rest into the given account.
    fn book(
        &mut self,
        order: &Order,
        attempt: &mut Attempt,
        transaction_id: &str,
        at: DateTime<Utc>,
        (parts, into): ((Money, Money, Money), &AccountName),
        now: DateTime<Utc>,
    ) {
        resolve(attempt, AttemptStatus::Succeeded, None, now);
        attempt.succeeded_at = Some(at);
        attempt.transaction_id = Some(transaction_id.to_owned());
        self.bound.insert((attempt.channel.clone(), transaction_id.to_owned()), attempt.id);
        self.bindings.push(Binding {
            channel: attempt.channel.clone(),
            transaction_id: transaction_id.to_owned(),
            merchant: attempt.merchant,
            attempt: attempt.id,
        });
        let (book, day) = (order.money_book(), business_day(at));
        let posting = recipe::payment_into(book, order.store, attempt.id, parts, &attempt.channel, into, day);
        self.booking.deltas.extend(DayDelta::of(&posting, order.merchant));
        self.booking.postings.push(posting);
    }

    /// Takes surplus money out again on the day it came in, so that the day shows both and the payment counts as voided.
    fn give_back(&mut self, order: &Order, attempt: &Attempt, why: Surplus, at: DateTime<Utc>, now: DateTime<Utc>) {
        let refund = Refund {
            id: RefundId::new(),
            merchant: attempt.merchant,
            order: order.id,
            attempt: attempt.id,
            amount: attempt.amount,
            fee_back: Money { minor: 0, ..attempt.amount },
            reason: why.reason().to_owned(),
            status: RefundStatus::Funded,
            error_code: None,
            requested_by: None,
            created_at: now,
            sent_at: None,
            resolved_at: None,
            funded: true,
            funded_at: None,
            route: RouteKind::Original,
            rerouted_for: None,
            subsidy_minor: 0,
            subsidy_returned: false,
        };
        let (book, day) = (order.money_book(), business_day(at));
        let posting = recipe::refund(book, order.store, refund.id, refund.amount, refund.fee_back, RefundSource::Pending, day);
        self.booking.deltas.extend(DayDelta::of(&posting, order.merchant).map(|delta| DayDelta { voided_count: 1, ..delta }));
        self.booking.postings.push(posting);
        self.refunds.push(refund);
    }

    /// Brings the order's state in line with its attempts.
    fn settle(&mut self, mut order: Order, now: DateTime<Utc>) {
        let attempts = self.attempts_of.get(&order.id).into_iter().flatten().filter_map(|id| self.attempts.get(id));
        let statuses: Vec<AttemptStatus> = attempts.map(|a| a.status).collect();
        let status = rules::settle(&order, &statuses, now);
        if status == OrderStatus::Closed && order.status != OrderStatus::Closed {
            order.closed_at = Some(now);
            self.booking.events.push(closed(&order, now));
            self.booking.freed.extend(order.subsidy.map(|_| reservation::freed(order.id)));
        }
        order.status = status;
        self.changed_orders.insert(order.id);
        self.orders.insert(order.id, order);
    }
}

fn resolve(attempt: &mut Attempt, status: AttemptStatus, code: Option<&str>, now: DateTime<Utc>) {
    (attempt.status, attempt.error_code, attempt.resolved_at) = (status, code.map(str::to_owned), Some(now));
}

fn paid(order: &Order, attempt: &Attempt, fee: Money, at: DateTime<Utc>) -> Event {
    let mut event = about("order.paid", order, attempt, at);
    event.payload["feeMinor"] = fee.minor.to_string().into();
    event.payload["paidAt"] = serde_json::json!(order.paid_at);
    event.payload["productCode"] = order.product.code.clone().into();
    event.payload["heldMinor"] = order.held().minor.to_string().into();
    if order.subsidy.is_some() {
        event.payload["subsidyMinor"] = order.subsidy().minor.to_string().into();
    }
    event
}

/// The event that the order's product tells marketing.
fn marketing(order: &Order, attempt: &Attempt, at: DateTime<Utc>) -> Option<Event> {
    let kind = product::hook(order.product.terms.marketing.as_deref()?);
    let mut event = about(kind, order, attempt, at);
    event.payload["productCode"] = order.product.code.clone().into();
    Some(event)
}

/// An event about an order and one of its attempts; its subject is the order.
fn about(kind: &'static str, order: &Order, attempt: &Attempt, at: DateTime<Utc>) -> Event {
    Event {
        book: order.merchant.book(),
        kind,
        subject: order.id.0,
        payload: serde_json::json!({
            "version": 1,
            "storeId": order.store,
            "attemptId": attempt.id,
            "channel": attempt.channel,
            "amountMinor": attempt.amount.minor.to_string(),
            "currency": attempt.amount.currency,
            "errorCode": attempt.error_code,
        }),
        at,
    }
}

/// The event of an order that nobody can pay any more.
pub fn closed(order: &Order, at: DateTime<Utc>) -> Event {
    let payload = serde_json::json!({"version": 1, "storeId": order.store});
    Event { book: order.merchant.book(), kind: "order.closed", subject: order.id.0, payload, at }
}
