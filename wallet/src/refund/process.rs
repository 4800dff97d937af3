//! Sending refunds and taking in the channel's word on them, from an answer, a query or a notice: all end in one `apply`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::rules::{Verdict, Word, judge, refunded_on};
use super::{QUERY_JOB, Refund, RefundError, RefundStatus, Refunds, repo};
use crate::analytics::{DayDelta, voided_change};
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{BookId, OrderId, RefundId};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::booking::Booking;
use crate::channel::acquirer::{Acquirer, Asked, RefundOrder, TransferWord};
use crate::channel::{ChannelError, Progress, ask_again};
use crate::ledger::AccountKind;
use crate::ledger::recipe::{self, RefundSource};
use crate::order::{self, Order};
use crate::payment::{self, Attempt};

/// The channel's word on one refund.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub book: BookId,
    pub refund: RefundId,
    pub word: Word,
}

impl Refunds {
    /// Sends a funded refund, or sends it again under its number. Job [`super::SEND_JOB`].
    ///
    /// SENT is stored before the call, with the job that will ask: whatever happens to this process, somebody asks.
    pub async fn send(&self, book: BookId, refund: RefundId) -> Result<Progress, RefundError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if repo::mark_sent_in_tx(&mut tx, book, refund, now).await? {
            let run_at = Clock::wall() + self.query_after;
            job::enqueue_in_tx(&mut tx, &[NewJob { kind: QUERY_JOB, book, subject: refund.0, run_at }]).await?;
        }
        tx.commit().await?;
        let refund = self.find(book, refund).await?;
        if !refund.status.settled() {
            self.call(&refund).await?;
        }
        // what is still open is left to the query job
        Ok(Progress::Settled)
    }

    /// Asks the channel what became of a refund; one that it does not know is sent again. Job [`QUERY_JOB`].
    pub async fn query(&self, book: BookId, refund: RefundId) -> Result<Progress, RefundError> {
        let refund = self.find(book, refund).await?;
        if refund.status.settled() {
            return Ok(Progress::Settled);
        }
        let (attempt, channel) = self.route(&refund).await?;
        let asked = Asked { request_no: refund.id.simple(), sent_at: refund.sent_at.unwrap_or(refund.created_at) };
        let settled = match channel.query_refund(&asked, &attempt.asked()).await {
            Ok(Some(word)) => self.take_in(&refund, word).await?,
            Ok(None) => self.call(&refund).await?,
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "could not ask about a refund");
                false
            }
        };
        let age = self.clock.now() - refund.sent_at.unwrap_or(refund.created_at);
        Ok(if settled { Progress::Settled } else { ask_again(age) })
    }

    /// Sends and takes in the answer. Whether it was final.
    async fn call(&self, refund: &Refund) -> Result<bool, RefundError> {
        let (attempt, channel) = self.route(refund).await?;
        let order = RefundOrder {
            request_no: refund.id.simple(),
            payment: attempt.asked(),
            transaction_id: attempt.transaction_id.clone().unwrap_or_default(),
            paid: attempt.amount,
            amount: refund.amount,
            reason: refund.reason.clone(),
        };
        match channel.refund(&order).await {
            Ok(word) => self.take_in(refund, word).await,
            Err(ChannelError::Refused { code }) => self.conclude(refund, Word::Failed { code }).await,
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "a refund was sent without an answer");
                repo::mark_unknown(&self.db, refund.merchant.book(), refund.id).await?;
                Ok(false)
            }
        }
    }

    /// The payment that is given back, and its channel: money goes back the way it came.
    async fn route(&self, refund: &Refund) -> Result<(Attempt, &dyn Acquirer), RefundError> {
        let attempt = payment::repo::by_ids(&self.db, &[(refund.merchant, refund.attempt)]).await?.pop().ok_or(RefundError::NotFound)?;
        let channel = self.channels.get(&attempt.channel).ok_or(RefundError::NoChannel)?;
        Ok((attempt, channel))
    }

    async fn take_in(&self, refund: &Refund, word: TransferWord) -> Result<bool, RefundError> {
        match word {
            TransferWord::Accepted => Ok(false),
            TransferWord::Succeeded { at } => self.conclude(refund, Word::Succeeded { at }).await,
            TransferWord::Failed { code } => self.conclude(refund, Word::Failed { code }).await,
        }
    }

    async fn conclude(&self, refund: &Refund, word: Word) -> Result<bool, RefundError> {
        let code = if let Word::Failed { code } = &word { code.clone() } else { String::new() };
        let outcome = Outcome { book: refund.merchant.book(), refund: refund.id, word };
        match self.apply(std::slice::from_ref(&outcome)).await?.pop().flatten() {
            Some(Verdict::StillOwed) => Err(RefundError::StillOwed { code }),
            _ => Ok(true),
        }
    }

    async fn find(&self, book: BookId, refund: RefundId) -> Result<Refund, RefundError> {
        self.by_ids(&[(book.merchant(), refund)]).await?.pop().ok_or(RefundError::NotFound)
    }

    /// Takes in words of the channel in one transaction. One verdict per outcome, none where there is no such refund.
    pub async fn apply(&self, outcomes: &[Outcome]) -> Result<Vec<Option<Verdict>>, RefundError> {
        retrying(RefundError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let now = self.clock.now();
            let (verdicts, booking) = apply_in_tx(&mut tx, outcomes, now).await?;
            booking.write_in_tx(&mut tx, now).await?.map_err(RefundError::Posting)?;
            tx.commit().await?;
            Ok(verdicts)
        })
        .await
    }
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
    let orders: HashMap<OrderId, Order> = order::repo::lock_in_tx(tx, &order_ids).await?.into_iter().map(|o| (o.id, o)).collect();
    let mut refunds: HashMap<RefundId, repo::Open> =
        repo::lock_in_tx(tx, &order_ids).await?.into_iter().map(|open| (open.refund.id, open)).collect();
    // the posting that took a failing refund is in the book of its order's money
    let money_book = |refund: RefundId| orders.get(&refunds.get(&refund)?.refund.order).map(Order::money_book);
    let failing: Vec<_> =
        outcomes.iter().filter(|o| matches!(o.word, Word::Failed { .. })).filter_map(|o| Some((money_book(o.refund)?, o.refund))).collect();
    let taken = if failing.is_empty() { Vec::new() } else { repo::taken_in_tx(tx, &failing).await? };

    let mut batch = Batch { orders, taken, now, changed: Vec::new(), booking: Booking::default() };
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| batch.take_in(outcome, &mut refunds)).collect();

    let changed: Vec<Refund> = batch.changed.iter().filter_map(|id| refunds.get(id)).map(|open| open.refund.clone()).collect();
    repo::update_in_tx(tx, &changed).await?;
    let touched: Vec<Order> = changed.iter().filter_map(|r| batch.orders.get(&r.order)).cloned().collect();
    order::repo::update_in_tx(tx, &unique(touched)).await?;
    Ok((verdicts, batch.booking))
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
    now: DateTime<Utc>,
    changed: Vec<RefundId>,
    booking: Booking,
}

impl Batch {
    fn take_in(&mut self, outcome: &Outcome, refunds: &mut HashMap<RefundId, repo::Open>) -> Option<Verdict> {
        let open = refunds.get(&outcome.refund)?;
        let order = self.orders.get(&open.refund.order)?.clone();
        let verdict = judge(open.refund.status, open.surplus, &outcome.word);
        match (&outcome.word, verdict) {
            (Word::Succeeded { at }, Verdict::Settle) => {
                let refund = self.resolve(outcome.refund, refunds, RefundStatus::Succeeded, None)?;
                let channel = refunds.get(&outcome.refund)?.channel.as_str();
                let book = order.money_book();
                self.booking.postings.push(recipe::refund_settled(book, order.store, refund.id, refund.amount, channel, business_day(*at)));
                self.booking.events.push(event("refund.succeeded", &refund, self.now));
            }
            (Word::Failed { code }, Verdict::Return) => {
                let before = paid_day_total(&order, refunds, &outcome.refund);
                let refund = self.resolve(outcome.refund, refunds, RefundStatus::Failed, Some(code.clone()))?;
                let after = paid_day_total(&order, refunds, &outcome.refund);
                self.give_back(order, &refund, before, after);
                self.booking.events.push(event("refund.failed", &refund, self.now));
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

    /// Undoes what the refund took, on the day it took it.
    fn give_back(&mut self, order: Order, refund: &Refund, before: i64, after: i64) {
        let taken = self.taken.iter().find(|t| t.refund == refund.id);
        let day = taken.map_or(business_day(refund.created_at), |t| t.day);
        let to = match taken.and_then(|t| t.account) {
            Some(AccountKind::MerchantAvailable) => RefundSource::Available,
            Some(AccountKind::Escrow) => RefundSource::Escrow(order.id),
            _ => RefundSource::Pending,
        };
        let posting = recipe::refund_returned(order.money_book(), order.store, refund.id, refund.amount, refund.fee_back, to, day);
        if let Some(mut delta) = DayDelta::of(&posting, order.merchant) {
            delta.voided_count = voided_change(order.amount.minor, before, after);
            self.booking.deltas.push(delta);
        }
        self.booking.postings.push(posting);
        let refunded = Money { minor: order.refunded.minor - refund.amount.minor, ..order.refunded };
        let mut escrow = order.escrow;
        if to == RefundSource::Escrow(order.id) {
            escrow.returned_minor -= refund.amount.minor - refund.fee_back.minor;
            // what came back may be due already: the look at what is due decides anew
            escrow.release_at = order.paid_at.and_then(|paid_at| order.product.terms.next_due(paid_at, None));
        }
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

fn event(kind: &'static str, refund: &Refund, at: DateTime<Utc>) -> Event {
    Event {
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
    }
}
