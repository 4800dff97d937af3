//! Taking in the channel's word on refunds: what a batch of words changes, decided under lock and written in as few statements for many as for one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::route::repo::{self as routes, Ended};
use super::rules::{Verdict, Word, judge, refunded_on};
use super::{Refund, RefundError, RefundStatus, Rerouting, RouteStatus, repo};
use crate::advance::{self, Advance};
use crate::analytics::{DayDelta, voided_change};
use crate::base::clock::business_day;
use crate::base::id::{BookId, OrderId, RefundId};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::booking::Booking;
use crate::ledger::AccountKind;
use crate::ledger::recipe::{self, RefundSource};
use crate::order::{self, Order};

/// The channel's word on one refund.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub book: BookId,
    pub refund: RefundId,
    pub word: Word,
}

/// Lock orders → lock refunds → decide → write the rows. Gives the verdicts, and what the caller has to book when all rows are written.
/// The number of statements does not depend on the number of outcomes.
pub(crate) async fn apply_in_tx(
    tx: &mut PgConnection,
    outcomes: &[Outcome],
    now: DateTime<Utc>,
) -> Result<(Vec<Option<Verdict>>, Booking), RefundError> {
    if outcomes.is_empty() {
        return Ok(Default::default());
    }
    let order_ids = orders_of_in_tx(tx, outcomes).await?;
    let orders = order::repo::lock_in_tx(tx, &order_ids).await?;
    let refunds = repo::lock_in_tx(tx, &order_ids).await?;
    decide_in_tx(tx, outcomes, (orders, refunds), now).await
}

/// The same for orders and refunds that are locked.
pub(super) async fn decide_in_tx(
    tx: &mut PgConnection,
    outcomes: &[Outcome],
    (orders, refunds): (Vec<Order>, Vec<repo::Open>),
    now: DateTime<Utc>,
) -> Result<(Vec<Option<Verdict>>, Booking), RefundError> {
    let orders: HashMap<OrderId, Order> = orders.into_iter().map(|o| (o.id, o)).collect();
    let mut refunds: HashMap<RefundId, repo::Open> = refunds.into_iter().map(|open| (open.refund.id, open)).collect();
    // the posting that took a failing refund is in the book of its order's money
    let money_book = |refund: RefundId| orders.get(&refunds.get(&refund)?.refund.order).map(Order::money_book);
    let failing: Vec<_> =
        outcomes.iter().filter(|o| matches!(o.word, Word::Failed { .. })).filter_map(|o| Some((money_book(o.refund)?, o.refund))).collect();
    let taken = if failing.is_empty() { Vec::new() } else { repo::taken_in_tx(tx, &failing).await? };

    let advances = advances_in_tx(tx, &taken, &refunds).await?;
    let mut batch = Batch { orders, taken, advances, now, changed: Vec::new(), ended: Vec::new(), booking: Booking::default() };
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| batch.take_in(outcome, &mut refunds)).collect();
    batch.write_in_tx(tx, &refunds).await?;
    Ok((verdicts, batch.booking))
}

/// Undoes a locked refund that was never sent: what it took goes back, and what receivers gave stays with the merchant.
pub(super) async fn undo_in_tx(
    tx: &mut PgConnection,
    order: Order,
    siblings: Vec<repo::Open>,
    refund: RefundId,
    now: DateTime<Utc>,
) -> Result<(Refund, Booking), RefundError> {
    let taken = repo::taken_in_tx(tx, &[(order.money_book(), refund)]).await?;
    let mut refunds: HashMap<RefundId, repo::Open> = siblings.into_iter().map(|open| (open.refund.id, open)).collect();
    let orders = HashMap::from([(order.id, order.clone())]);
    let advances = advances_in_tx(tx, &taken, &refunds).await?;
    let mut batch = Batch { orders, taken, advances, now, changed: Vec::new(), ended: Vec::new(), booking: Booking::default() };
    let cancelled = batch.come_to_nothing(order, refund, &mut refunds, RefundStatus::Cancelled, None).ok_or(RefundError::RefundNotFound)?;
    batch.write_in_tx(tx, &refunds).await?;
    Ok((cancelled, batch.booking))
}

/// The advances of refunds that took one, locked: what of them is still owed is known then. No statement where there is none.
async fn advances_in_tx(
    tx: &mut PgConnection,
    taken: &[repo::Taken],
    refunds: &HashMap<RefundId, repo::Open>,
) -> sqlx::Result<HashMap<RefundId, Advance>> {
    let advanced = taken.iter().filter(|t| t.parts.iter().any(|(account, _)| *account == AccountKind::MerchantDebt));
    let advanced: Vec<_> = advanced.filter_map(|t| Some((refunds.get(&t.refund)?.refund.merchant.book(), t.refund))).collect();
    if advanced.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(advance::repo::lock_in_tx(tx, &advanced).await?.into_iter().map(|advance| (advance.refund, advance)).collect())
}

/// The orders that [`apply_in_tx`] will lock.
pub(crate) async fn orders_of_in_tx(tx: &mut PgConnection, outcomes: &[Outcome]) -> sqlx::Result<Vec<(BookId, OrderId)>> {
    repo::orders_of_in_tx(tx, &outcomes.iter().map(|o| (o.book, o.refund)).collect::<Vec<_>>()).await
}

fn unique(mut orders: Vec<Order>) -> Vec<Order> {
    orders.sort_unstable_by_key(|o| o.id);
    orders.dedup_by_key(|o| o.id);
    orders
}

/// A batch being decided: each outcome sees what those before it changed.
struct Batch {
    orders: HashMap<OrderId, Order>,
    taken: Vec<repo::Taken>,
    /// What the platform gave for those that may come to nothing.
    advances: HashMap<RefundId, Advance>,
    now: DateTime<Utc>,
    changed: Vec<RefundId>,
    /// What became of tries by the original way, whose number is the refund's.
    ended: Vec<Ended>,
    booking: Booking,
}

impl Batch {
    /// Writes the rows: refunds, their tries, what receivers gave back for those that came to nothing, and the orders.
    async fn write_in_tx(&self, tx: &mut PgConnection, refunds: &HashMap<RefundId, repo::Open>) -> Result<(), RefundError> {
        let changed: Vec<Refund> = self.changed.iter().filter_map(|id| refunds.get(id)).map(|open| open.refund.clone()).collect();
        repo::update_in_tx(tx, &changed).await?;
        let given_back: Vec<Advance> = changed.iter().filter_map(|r| self.advances.get(&r.id)).cloned().collect();
        advance::repo::update_in_tx(tx, &given_back).await?;
        routes::update_in_tx(tx, &self.ended).await?;
        let nothing: Vec<_> = changed.iter().filter(|r| !r.status.stands()).map(|r| (r.merchant.book(), r.id)).collect();
        if !nothing.is_empty() {
            routes::keep_returned_in_tx(tx, &nothing).await?;
        }
        let touched: Vec<Order> = changed.iter().filter_map(|r| self.orders.get(&r.order)).cloned().collect();
        order::repo::update_in_tx(tx, &unique(touched)).await?;
        Ok(())
    }

    fn take_in(&mut self, outcome: &Outcome, refunds: &mut HashMap<RefundId, repo::Open>) -> Option<Verdict> {
        let open = refunds.get(&outcome.refund)?;
        let order = self.orders.get(&open.refund.order)?.clone();
        let word = outcome.word.compared(open.refund.cash(), order.payable().minor);
        let verdict = judge(open.refund.status, open.surplus, open.refund.left(), &word);
        match (&word, verdict) {
            (Word::Succeeded { at }, Verdict::Settle) => {
                let day = business_day(*at);
                let back = refunds.get_mut(&outcome.refund)?.refund.bring_subsidy_back(&order, day);
                let refund = self.resolve(outcome.refund, refunds, RefundStatus::Succeeded, None)?;
                let (book, channel) = (order.money_book(), refunds.get(&outcome.refund)?.channel.as_str());
                if refund.cash().minor > 0 {
                    self.booking.postings.push(recipe::refund_settled(book, order.store, refund.id, refund.cash(), channel, day));
                }
                self.booking.postings.extend(back);
                self.booking.events.push(event("refund.succeeded", &refund, self.now));
                self.end(&refund, RouteStatus::Succeeded, None, None);
            }
            (Word::Failed { code }, Verdict::Return) => {
                let refund = self.come_to_nothing(order, outcome.refund, refunds, RefundStatus::Failed, Some(code.clone()))?;
                self.booking.events.push(event("refund.failed", &refund, self.now));
                self.end(&refund, RouteStatus::Failed, Some(code), None);
            }
            (Word::Closed { code }, Verdict::Reroute) => {
                let refund = &mut refunds.get_mut(&outcome.refund)?.refund;
                (refund.status, refund.rerouted_for, refund.error_code) =
                    (RefundStatus::Reroute, Some(Rerouting::Closed), Some(code.clone()));
                let refund = refund.clone();
                self.changed.push(outcome.refund);
                self.booking.events.push(event("refund.rerouting", &refund, self.now));
                self.end(&refund, RouteStatus::Failed, Some(code), None);
            }
            (Word::Conflicted { amount_minor, currency }, Verdict::Conflict) => {
                tracing::error!(refund_id = %outcome.refund, amount_minor, currency, "the channel states another amount for a refund");
                let refund = &mut refunds.get_mut(&outcome.refund)?.refund;
                refund.status = RefundStatus::Conflicted;
                let refund = refund.clone();
                self.changed.push(outcome.refund);
                self.booking.events.push(event("refund.conflicted", &refund, self.now));
                self.end(&refund, RouteStatus::Live, None, Some((*amount_minor, currency.clone())));
            }
            (Word::Failed { code }, Verdict::StillOwed) => {
                tracing::error!(refund_id = %outcome.refund, code, "the channel refuses to give back money that was paid too much");
                let open = refunds.get_mut(&outcome.refund)?;
                open.refund.error_code = Some(code.clone());
                self.changed.push(outcome.refund);
            }
            (_, Verdict::Contradiction) => {
                tracing::error!(refund_id = %outcome.refund, word = ?outcome.word, "the channel contradicts what it said of a refund");
            }
            _ => {}
        }
        Some(verdict)
    }

    fn end(&mut self, refund: &Refund, status: RouteStatus, code: Option<&String>, stated: Option<(i64, String)>) {
        self.ended.push(Ended {
            book: refund.merchant.book(),
            route: refund.id.0,
            status,
            error_code: code.cloned(),
            bank_reference: None,
            stated,
            at: (status != RouteStatus::Live).then_some(self.now),
        });
    }

    fn resolve(
        &mut self,
        id: RefundId,
        refunds: &mut HashMap<RefundId, repo::Open>,
        status: RefundStatus,
        error_code: Option<String>,
    ) -> Option<Refund> {
        let refund = &mut refunds.get_mut(&id)?.refund;
        (refund.status, refund.error_code, refund.resolved_at) = (status, error_code, Some(self.now));
        self.changed.push(id);
        Some(refund.clone())
    }

    /// Ends a refund whose money is the merchant's again.
    fn come_to_nothing(
        &mut self,
        order: Order,
        id: RefundId,
        refunds: &mut HashMap<RefundId, repo::Open>,
        status: RefundStatus,
        error_code: Option<String>,
    ) -> Option<Refund> {
        let before = paid_day_total(&order, refunds, &id);
        let refund = self.resolve(id, refunds, status, error_code)?;
        let after = paid_day_total(&order, refunds, &id);
        self.give_back(order, &refund, before, after);
        Some(refund)
    }

    /// Undoes what the refund took, on the day it took it. Of one that took nothing, the order alone is put right.
    fn give_back(&mut self, order: Order, refund: &Refund, before: i64, after: i64) {
        let mut escrow = order.escrow;
        if refund.funded {
            let taken = self.taken.iter().find(|t| t.refund == refund.id);
            let day = taken.map_or(business_day(refund.created_at), |t| t.day);
            let source = |account| match account {
                AccountKind::MerchantAvailable => RefundSource::Available,
                AccountKind::Escrow => RefundSource::Escrow(order.id),
                AccountKind::SharesDue => RefundSource::Shares,
                _ => RefundSource::Pending,
            };
            let parts = taken.iter().flat_map(|t| &t.parts).filter(|(account, _)| *account != AccountKind::MerchantDebt);
            let mut to: Vec<_> = parts.map(|(a, minor)| (source(*a), Money { minor: *minor, ..refund.amount })).collect();
            if let Some(advance) = self.advances.get_mut(&refund.id) {
                // the platform first: what is still owed of its advance; what it recovered is the merchant's again
                let (owed, recovered) = advance.give_back();
                match to.iter_mut().find(|(source, _)| *source == RefundSource::Available) {
                    Some((_, available)) => available.minor += recovered.minor,
                    None => to.push((RefundSource::Available, recovered)),
                }
                to.push((RefundSource::Advance, owed));
                if owed.minor > 0 {
                    self.booking.events.push(advance::event("advance.returned", advance, owed, self.now));
                }
            }
            let amounts = (refund.amount, refund.fee_back);
            let posting = recipe::refund_returned(order.money_book(), order.store, refund.id, amounts, &to, day);
            if let Some(mut delta) = DayDelta::of(&posting, order.merchant) {
                delta.voided_count = voided_change(order.amount.minor, before, after);
                self.booking.deltas.push(delta);
            }
            self.booking.postings.push(posting);
            if to.iter().any(|(source, _)| *source == RefundSource::Escrow(order.id)) {
                escrow.returned_minor -= refund.amount.minor - refund.fee_back.minor;
                // what came back may be due already: the look at what is due decides anew
                escrow.release_at = order.paid_at.and_then(|paid_at| order.product.terms.next_due(paid_at, None));
            }
        }
        let refunded = Money { minor: order.refunded.minor - refund.amount.minor, ..order.refunded };
        self.orders.insert(order.id, Order { refunded, escrow, ..order });
    }
}

/// What standing refunds of the same payment took back on the day it was paid.
fn paid_day_total(order: &Order, refunds: &HashMap<RefundId, repo::Open>, of: &RefundId) -> i64 {
    let (Some(paid_at), Some(this)) = (order.paid_at, refunds.get(of)) else { return 0 };
    let siblings: Vec<Refund> =
        refunds.values().filter(|open| open.refund.attempt == this.refund.attempt).map(|open| open.refund.clone()).collect();
    refunded_on(&siblings, business_day(paid_at))
}

pub(super) fn event(kind: &'static str, refund: &Refund, at: DateTime<Utc>) -> Event {
    let mut event = Event {
        book: refund.merchant.book(),
        kind,
        subject: refund.id.0,
        payload: serde_json::json!({
            "version": 1,
            "orderId": refund.order,
            "attemptId": refund.attempt,
            "amountMinor": refund.amount.minor.to_string(),
            "currency": refund.amount.currency,
            "errorCode": refund.error_code,
        }),
        at,
    };
    if refund.subsidy_minor > 0 {
        event.payload["subsidyMinor"] = refund.subsidy_minor.to_string().into();
    }
    event
}
