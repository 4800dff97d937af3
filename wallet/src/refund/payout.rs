//! Refunds that the bank pays to an account: the call, the question, and the bank's word, from an answer, a query or a notice.
//!
//! The bank's word is judged as for a withdrawal ([`crate::withdrawal::rules::step`]). Paid: refund payable → bank cash. Back (退票): the inverse,
//! and the refund waits for another payee. A programme's part goes back with the first payment alone. Refused: it waits for another, too. The money stays set aside for the payer throughout.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::apply::event;
use super::process::CONFLICT_RESOLVED;
use super::route::repo::{self as routes, Ended};
use super::{Refund, RefundError, RefundStatus, Refunds, Rerouting, Route, RouteStatus, repo};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::business_day;
use crate::base::db::retrying;
use crate::base::id::{BookId, OrderId, RefundId};
use crate::booking::Booking;
use crate::channel::payout::{PayoutOrder, PayoutRail, PayoutState, PayoutStatus};
use crate::channel::{ChannelError, Progress};
use crate::ledger::recipe;
use crate::order::{self, Order};
use crate::withdrawal::RETURN_WINDOW;
use crate::withdrawal::rules::{Step, step};

/// How often the bank is asked whether what it paid came back.
pub(super) const RETURN_LOOK: Duration = Duration::from_secs(86_400);

/// The bank's word on one try.
#[derive(Clone, Debug)]
pub struct PayoutOutcome {
    /// Whose word it is: another bank's counts for nothing.
    pub bank: String,
    pub book: BookId,
    pub route: Uuid,
    pub state: PayoutState,
    /// The amount and currency that came with it, where they did.
    pub stated: Option<(i64, String)>,
}

/// What a word of the bank came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayoutVerdict {
    Changed,
    Known,
    /// Contradicts what was final, or comes under another reference of the bank's: kept for a person.
    Contradiction,
    /// Another amount than ours: kept, and a person decides.
    AmountDiffers,
}

impl Refunds {
    /// Asks the bank to pay a refund out, under the number of its try. Whether its answer was final.
    pub(super) async fn pay_out(&self, refund: &Refund, route: &Route, again: bool) -> Result<bool, RefundError> {
        let payouts = self.payouts.as_ref().ok_or(RefundError::NoPayouts)?;
        let payee = route.payee.ok_or(RefundError::Payee)?;
        let sealed = routes::sealed_payee(&self.db, route.book(), payee).await?.ok_or(RefundError::Payee)?;
        let payee = payouts.keeper.open(payee, &sealed).ok_or(RefundError::Payee)?;
        let order =
            PayoutOrder { request_no: route.request_no(), payee_name: payee.name, payee_account: payee.account, amount: refund.cash() };
        let bank = self.bank(route)?;
        let mut answer = bank.payout(&order).await;
        if (again || refund.status == RefundStatus::Unknown) && matches!(answer, Err(ChannelError::Refused { .. })) {
            // A refusal speaks of this call, not of one before it, which may have gone through: only the bank's record settles that.
            match bank.query(&order.request_no).await {
                Ok(Some(state)) => answer = Ok(state),
                Ok(None) => {}
                Err(ChannelError::Refused { .. }) => answer = Err(ChannelError::BadAnswer("it refuses to say what became of the payout")),
                Err(error) => answer = Err(error),
            }
        }
        match answer {
            Ok(state) => self.hear_bank(route, state).await,
            Err(ChannelError::Refused { code }) => {
                self.hear_bank(route, PayoutState { status: PayoutStatus::Failed { code }, bank_reference: None }).await
            }
            Err(ChannelError::Conflicted { amount_minor, currency }) => {
                let state = PayoutState { status: PayoutStatus::Accepted, bank_reference: None };
                let stated = Some((amount_minor, currency));
                let bank = route.channel.clone();
                self.apply_payouts(&[PayoutOutcome { bank, book: route.book(), route: route.id, state, stated }]).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "a refund was sent to the bank without an answer");
                repo::mark_unknown(&self.db, route.book(), refund.id).await?;
                Ok(false)
            }
        }
    }

    /// Asks the bank what became of a try; one that it does not know is sent again under its number.
    pub(super) async fn ask_bank(&self, refund: &Refund, route: &Route) -> Result<bool, RefundError> {
        match self.bank(route)?.query(&route.request_no()).await {
            Ok(Some(state)) => self.hear_bank(route, state).await,
            Ok(None) => self.pay_out(refund, route, true).await,
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "could not ask the bank about a refund");
                Ok(false)
            }
        }
    }

    /// Asks whether what was paid came back.
    pub(super) async fn look_for_return(&self, refund: &Refund, route: &Route) -> Result<Progress, RefundError> {
        if self.clock.now() - refund.resolved_at.unwrap_or(refund.created_at) > RETURN_WINDOW {
            return Ok(Progress::Settled);
        }
        match self.bank(route)?.query(&route.request_no()).await {
            Ok(Some(state)) => {
                self.hear_bank(route, state).await?;
                let bounced = self.find(route.book(), refund.id).await?.status == RefundStatus::Bounced;
                Ok(if bounced { Progress::Settled } else { Progress::AskAgain(RETURN_LOOK) })
            }
            // what was paid is not sent again, whatever the bank has forgotten
            Ok(None) => Ok(Progress::AskAgain(RETURN_LOOK)),
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "could not ask the bank about a refund");
                Ok(Progress::AskAgain(RETURN_LOOK))
            }
        }
    }

    async fn hear_bank(&self, route: &Route, state: PayoutState) -> Result<bool, RefundError> {
        let last = state.status != PayoutStatus::Accepted;
        let bank = route.channel.clone();
        self.apply_payouts(&[PayoutOutcome { bank, book: route.book(), route: route.id, state, stated: None }]).await?;
        Ok(last)
    }

    /// The bank of a try.
    fn bank(&self, route: &Route) -> Result<&dyn PayoutRail, RefundError> {
        self.payouts.as_ref().and_then(|payouts| payouts.rails.get(&route.channel)).ok_or(RefundError::NoPayouts)
    }

    /// Takes in words of the bank in one transaction. One verdict per outcome, none where there is no such try.
    pub async fn apply_payouts(&self, outcomes: &[PayoutOutcome]) -> Result<Vec<Option<PayoutVerdict>>, RefundError> {
        retrying(RefundError::retryable, || async {
            let (now, mut tx) = (self.clock.now(), self.db.begin().await?);
            let (verdicts, booking) = apply_payouts_in_tx(&mut tx, outcomes, now).await?;
            booking.write_in_tx(&mut tx, now).await?.map_err(RefundError::Posting)?;
            tx.commit().await?;
            Ok(verdicts)
        })
        .await
    }
}

/// Lock orders → refunds → tries → decide → write the rows. Gives the verdicts, and what the caller has to book when all rows are written.
pub(crate) async fn apply_payouts_in_tx(
    tx: &mut PgConnection,
    outcomes: &[PayoutOutcome],
    now: DateTime<Utc>,
) -> Result<(Vec<Option<PayoutVerdict>>, Booking), RefundError> {
    let order_ids = routes::orders_of_in_tx(tx, &outcomes.iter().map(|o| (o.book, o.route)).collect::<Vec<_>>()).await?;
    let orders = order::repo::lock_in_tx(tx, &order_ids).await?;
    let refunds = repo::lock_in_tx(tx, &order_ids).await?;
    let tries = routes::lock_in_tx(tx, &outcomes.iter().map(|o| (o.book, o.route)).collect::<Vec<_>>()).await?;
    let mut hearing = Hearing::new(orders, refunds, tries, now);
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| hearing.take_in(outcome)).collect();
    for (refund, detail) in &hearing.contradicted {
        audit::record_in_tx(tx, &Actor::System, "refund.contradicted", refund.0, detail.clone(), now).await?;
    }
    let booking = hearing.write_in_tx(tx).await?;
    Ok((verdicts, booking))
}

/// Ends the conflict of a locked refund that the bank was to pay.
pub(super) async fn resolve_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    siblings: Vec<repo::Open>,
    (refund, paid): (RefundId, bool),
    now: DateTime<Utc>,
) -> Result<Booking, RefundError> {
    let tries = routes::of_refunds(&mut *tx, &[(order.merchant, refund)]).await?;
    let route = tries.iter().find(|route| route.status == RouteStatus::Live).ok_or(RefundError::NotConflicted)?;
    let status = if paid { PayoutStatus::Succeeded } else { PayoutStatus::Failed { code: CONFLICT_RESOLVED.to_owned() } };
    let state = PayoutState { status, bank_reference: route.bank_reference.clone() };
    let outcome = PayoutOutcome { bank: route.channel.clone(), book: route.book(), route: route.id, state, stated: None };
    let mut hearing = Hearing::new(vec![order.clone()], super::process::reopened(siblings, refund), tries, now);
    hearing.take_in(&outcome);
    hearing.write_in_tx(tx).await
}

/// Words of the bank being decided: each sees what those before it changed.
struct Hearing {
    orders: HashMap<OrderId, Order>,
    refunds: HashMap<RefundId, Refund>,
    tries: HashMap<Uuid, Route>,
    changed: Vec<Uuid>,
    contradicted: Vec<(RefundId, serde_json::Value)>,
    now: DateTime<Utc>,
    booking: Booking,
}

impl Hearing {
    fn new(orders: Vec<Order>, refunds: Vec<repo::Open>, tries: Vec<Route>, now: DateTime<Utc>) -> Self {
        Self {
            orders: orders.into_iter().map(|o| (o.id, o)).collect(),
            refunds: refunds.into_iter().map(|open| (open.refund.id, open.refund)).collect(),
            tries: tries.into_iter().map(|route| (route.id, route)).collect(),
            changed: Vec::new(),
            contradicted: Vec::new(),
            now,
            booking: Booking::default(),
        }
    }

    fn take_in(&mut self, outcome: &PayoutOutcome) -> Option<PayoutVerdict> {
        let mut route = self.tries.get(&outcome.route).filter(|route| route.channel == outcome.bank)?.clone();
        let mut refund = self.refunds.get(&route.refund)?.clone();
        let order = self.orders.get(&refund.order)?;
        let ours = (refund.cash().minor, refund.amount.currency.as_str());
        if outcome.stated.as_ref().is_some_and(|(minor, currency)| (*minor, currency.as_str()) != ours) {
            tracing::error!(refund_id = %refund.id, stated = ?outcome.stated, "the bank states another amount for a refund");
            // what is over stays as it is: its amount was compared when it ended
            if route.status == RouteStatus::Live && refund.status != RefundStatus::Conflicted {
                route.stated.clone_from(&outcome.stated);
                refund.status = RefundStatus::Conflicted;
                self.booking.events.push(told("refund.conflicted", &refund, &route, self.now));
                self.keep(refund, route);
            }
            return Some(PayoutVerdict::AmountDiffers);
        }
        if refund.status == RefundStatus::Conflicted {
            return Some(PayoutVerdict::Known);
        }
        let same_reference = route.bank_reference.is_none() || route.bank_reference == outcome.state.bank_reference;
        let step = step(route.status.as_payout(), &outcome.state.status, same_reference);
        let (book, store, day) = (order.money_book(), order.store, business_day(self.now));
        let paid = recipe::refund_paid_out(book, store, route.id, refund.cash(), &route.channel, day);
        let bounced = recipe::refund_bounced(book, store, route.id, refund.cash(), &route.channel, day);
        let (pays, bounces) = match &step {
            Step::Keep => return Some(PayoutVerdict::Known),
            Step::Conflict => {
                tracing::error!(refund_id = %refund.id, said = ?outcome.state.status, "the bank contradicts the state of a refund");
                let detail = serde_json::json!({ "was": route.status.as_str(), "bankReference": outcome.state.bank_reference });
                self.contradicted.push((refund.id, detail));
                return Some(PayoutVerdict::Contradiction);
            }
            Step::Acknowledge => (false, false),
            Step::Pay => (true, false),
            Step::Refuse { .. } => (false, false),
            Step::Bounce { .. } => (false, true),
            Step::PayAndBounce { .. } => (true, true),
        };
        if outcome.state.bank_reference.is_some() {
            route.bank_reference.clone_from(&outcome.state.bank_reference);
        }
        if pays {
            self.booking.postings.push(paid);
            self.booking.postings.extend(refund.bring_subsidy_back(order, day));
            (route.status, route.resolved_at) = (RouteStatus::Succeeded, Some(self.now));
            (refund.status, refund.resolved_at, refund.error_code) = (RefundStatus::Succeeded, Some(self.now), None);
            self.booking.events.push(told("refund.succeeded", &refund, &route, self.now));
        }
        if bounces {
            self.booking.postings.push(bounced);
            (route.status, route.resolved_at) = (RouteStatus::Bounced, Some(self.now));
            (refund.status, refund.resolved_at, refund.rerouted_for) = (RefundStatus::Bounced, None, Some(Rerouting::Bounced));
        }
        match step {
            Step::Refuse { code } => {
                (route.status, route.resolved_at, route.error_code) = (RouteStatus::Failed, Some(self.now), Some(code.clone()));
                (refund.status, refund.rerouted_for, refund.error_code) =
                    (RefundStatus::Reroute, Some(Rerouting::PayoutFailed), Some(code));
                self.booking.events.push(told("refund.rerouting", &refund, &route, self.now));
            }
            Step::Bounce { code } | Step::PayAndBounce { code } => {
                route.error_code = Some(code.clone());
                refund.error_code = Some(code);
                self.booking.events.push(told("refund.bounced", &refund, &route, self.now));
            }
            _ => {}
        }
        self.keep(refund, route);
        Some(PayoutVerdict::Changed)
    }

    fn keep(&mut self, refund: Refund, route: Route) {
        self.changed.push(route.id);
        self.refunds.insert(refund.id, refund);
        self.tries.insert(route.id, route);
    }

    /// Writes the rows and gives what is to be booked.
    async fn write_in_tx(mut self, tx: &mut PgConnection) -> Result<Booking, RefundError> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let tries: Vec<&Route> = self.changed.iter().filter_map(|id| self.tries.get(id)).collect();
        let refunds: Vec<Refund> = tries.iter().filter_map(|route| self.refunds.get(&route.refund)).cloned().collect();
        let ended = tries.iter().map(|route| Ended {
            book: route.book(),
            route: route.id,
            status: route.status,
            error_code: route.error_code.clone(),
            bank_reference: route.bank_reference.clone(),
            stated: route.stated.clone(),
            at: route.resolved_at,
        });
        repo::update_in_tx(tx, &refunds).await?;
        routes::update_in_tx(tx, &ended.collect::<Vec<_>>()).await?;
        Ok(self.booking)
    }
}

/// An event about a try; its subject is the refund.
fn told(kind: &'static str, refund: &Refund, route: &Route, at: DateTime<Utc>) -> crate::base::outbox::Event {
    let mut event = event(kind, refund, at);
    event.payload["routeId"] = serde_json::json!(route.id);
    event
}
