//! Sending refunds and taking in the channel's word on them, from an answer, a query or a notice: all end in one `apply`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::route::repo::{self as routes, Ended};
use super::rules::{Verdict, Word, judge, refunded_on};
use super::{QUERY_JOB, Refund, RefundError, RefundStatus, Refunds, Rerouting, Route, RouteKind, RouteStatus, funding, payout, repo};
use crate::advance::{self, Advance};
use crate::analytics::{DayDelta, voided_change};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{BookId, MerchantId, OrderId, RefundId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::base::outbox::{self, Event};
use crate::booking::Booking;
use crate::channel::acquirer::{Acquirer, Asked, RefundOrder, TransferWord};
use crate::channel::repo::{Numbered, number_in_tx};
use crate::channel::{ChannelError, Progress, ask_again};
use crate::ledger::AccountKind;
use crate::ledger::recipe::{self, RefundSource};
use crate::order::{self, Order};
use crate::payment::{self, Attempt};
use crate::split;

/// The channel's word on one refund.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub book: BookId,
    pub refund: RefundId,
    pub word: Word,
}

/// Ends a refund that the channel stated another amount of, by what a person found out.
#[derive(Clone, Debug, Serialize)]
pub struct ResolveConflict {
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// Whether the payer has our amount. If not, it counts as refused.
    pub paid: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Refunds {
    /// Sends a funded refund, or sends it again under its number. Job [`super::SEND_JOB`].
    ///
    /// The way is decided and stored here (R6), SENT and the job that will ask with it, before the call: whatever happens to this process,
    /// somebody asks.
    pub async fn send(&self, book: BookId, refund: RefundId) -> Result<Progress, RefundError> {
        let found = self.find(book, refund).await?;
        if found.cash().minor == 0 && found.status == RefundStatus::Funded {
            // all of it is the programme's: nobody is to be asked
            self.conclude(&found, Word::Succeeded { at: self.clock.now() }).await?;
            return Ok(Progress::Settled);
        }
        retrying(RefundError::retryable, || self.decide(book, refund)).await?;
        let refund = self.find(book, refund).await?;
        if let Some(route) = self.live(&refund).await? {
            self.call(&refund, &route, false).await?;
        }
        // what is still open is left to the query job
        Ok(Progress::Settled)
    }

    /// Decides and stores the way of a funded refund, once.
    async fn decide(&self, book: BookId, id: RefundId) -> Result<(), RefundError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let open = repo::lock_one_in_tx(&mut tx, book, id).await?.ok_or(RefundError::NotFound)?;
        let mut refund = open.refund;
        if refund.status != RefundStatus::Funded {
            return Ok(());
        }
        let payee = routes::next_payee_in_tx(&mut tx, book, id).await?;
        let over =
            self.payouts.as_ref().zip(open.paid_at).is_some_and(|(payouts, paid_at)| payouts.window_over(&open.channel, paid_at, now));
        if payee.is_none() && over {
            (refund.status, refund.rerouted_for) = (RefundStatus::Reroute, Some(Rerouting::WindowOver));
            repo::update_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
            outbox::append_in_tx(&mut tx, &[event("refund.rerouting", &refund, now)]).await?;
            tx.commit().await?;
            return Ok(());
        }
        let tries = routes::of_refunds(&mut *tx, &[(refund.merchant, id)]).await?;
        let kind = if payee.is_some() { RouteKind::Payout } else { RouteKind::Original };
        let bank = self.payouts.as_ref().map(|payouts| payouts.rails.chosen().to_owned()).unwrap_or_default();
        let route = Route {
            id: if payee.is_some() { Uuid::now_v7() } else { id.0 },
            merchant: refund.merchant,
            refund: id,
            try_no: tries.last().map_or(1, |last| last.try_no + 1),
            kind,
            reason: refund.rerouted_for,
            channel: if payee.is_some() { bank } else { open.channel },
            payee,
            status: RouteStatus::Live,
            error_code: None,
            bank_reference: None,
            stated: None,
            created_at: now,
            resolved_at: None,
        };
        if payee.is_some() {
            number_in_tx(&mut tx, "REFUND_PAYOUT", &[Numbered { book, subject: route.id }]).await?;
        }
        routes::insert_in_tx(&mut tx, &route).await?;
        (refund.status, refund.route, refund.sent_at) = (RefundStatus::Sent, kind, refund.sent_at.or(Some(now)));
        repo::update_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
        let run_at = Clock::wall() + self.query_after;
        job::enqueue_in_tx(&mut tx, &[NewJob { kind: QUERY_JOB, book, subject: id.0, run_at }]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Asks what became of a refund; one whose number is not known outside is sent again under it. Job [`QUERY_JOB`].
    ///
    /// What the bank paid may come back: it is asked once a day for as long as a withdrawal is.
    pub async fn query(&self, book: BookId, refund: RefundId) -> Result<Progress, RefundError> {
        let refund = self.find(book, refund).await?;
        let tries = self.routes(&[(refund.merchant, refund.id)]).await?;
        let Some(route) = tries.last() else { return Ok(Progress::Settled) };
        if refund.status == RefundStatus::Succeeded && route.kind == RouteKind::Payout {
            return self.look_for_return(&refund, route).await;
        }
        if route.status != RouteStatus::Live || refund.status == RefundStatus::Conflicted {
            return Ok(Progress::Settled);
        }
        if !self.ask(&refund, route).await? {
            return Ok(ask_again(self.clock.now() - route.created_at));
        }
        let refund = self.find(book, refund.id).await?;
        let may_return = refund.status == RefundStatus::Succeeded && route.kind == RouteKind::Payout;
        Ok(if may_return { Progress::AskAgain(payout::RETURN_LOOK) } else { Progress::Settled })
    }

    /// Asks about a try that is under way. Whether the answer was final.
    async fn ask(&self, refund: &Refund, route: &Route) -> Result<bool, RefundError> {
        if route.kind == RouteKind::Payout {
            return self.ask_bank(refund, route).await;
        }
        let (attempt, channel) = self.origin(refund).await?;
        let asked = Asked { request_no: route.request_no(), sent_at: route.created_at };
        match channel.query_refund(&asked, &attempt.asked(), refund.cash()).await {
            Ok(Some(word)) => self.take_in(refund, word).await,
            Ok(None) => self.call(refund, route, true).await,
            Err(ChannelError::Conflicted { amount_minor, currency }) => {
                self.conclude(refund, Word::Conflicted { amount_minor, currency }).await
            }
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "could not ask about a refund");
                Ok(false)
            }
        }
    }

    /// Sends by the way that was decided and takes in the answer. `again`: it was sent before. Whether the answer was final.
    async fn call(&self, refund: &Refund, route: &Route, again: bool) -> Result<bool, RefundError> {
        if route.kind == RouteKind::Payout {
            return self.pay_out(refund, route, again).await;
        }
        let (attempt, channel) = self.origin(refund).await?;
        let order = RefundOrder {
            request_no: route.request_no(),
            payment: attempt.asked(),
            transaction_id: attempt.transaction_id.clone().unwrap_or_default(),
            paid: attempt.amount,
            amount: refund.cash(),
            reason: refund.reason.clone(),
            shares: split::royalties_of_refund(&self.db, refund.merchant, refund.id).await?,
        };
        match channel.refund(&order).await {
            Ok(word) => self.take_in(refund, word).await,
            Err(ChannelError::Refused { code }) => self.conclude(refund, refused(channel, code)).await,
            Err(ChannelError::Conflicted { amount_minor, currency }) => {
                self.conclude(refund, Word::Conflicted { amount_minor, currency }).await
            }
            Err(error) => {
                tracing::warn!(refund_id = %refund.id, error = &error as &dyn std::error::Error, "a refund was sent without an answer");
                repo::mark_unknown(&self.db, refund.merchant.book(), refund.id).await?;
                Ok(false)
            }
        }
    }

    /// The payment that is given back, and its channel.
    async fn origin(&self, refund: &Refund) -> Result<(Attempt, &dyn Acquirer), RefundError> {
        let attempt = payment::repo::by_ids(&self.db, &[(refund.merchant, refund.attempt)]).await?.pop().ok_or(RefundError::NotFound)?;
        let channel = self.channels.get(&attempt.channel).ok_or(RefundError::NoChannel)?;
        Ok((attempt, channel))
    }

    /// The try that is under way and that nobody has to decide about.
    async fn live(&self, refund: &Refund) -> Result<Option<Route>, RefundError> {
        if refund.status == RefundStatus::Conflicted {
            return Ok(None);
        }
        Ok(self.routes(&[(refund.merchant, refund.id)]).await?.pop().filter(|route| route.status == RouteStatus::Live))
    }

    /// Ends a conflict as a person found it. Operators.
    pub async fn resolve_conflict(&self, actor: &Actor, cmd: ResolveConflict) -> Result<Refund, RefundError> {
        actor.require_role(Role::Operator)?;
        retrying(RefundError::retryable, || self.resolve_once(actor, &cmd)).await.map_err(RefundError::or_busy)
    }

    async fn resolve_once(&self, actor: &Actor, cmd: &ResolveConflict) -> Result<Refund, RefundError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "refundConflictResolve", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let (order, siblings) = funding::lock_in_tx(&mut tx, book, cmd.refund).await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.refund.0, now).await? {
            return Ok(told);
        }
        let open = siblings.iter().find(|open| open.refund.id == cmd.refund).ok_or(RefundError::RefundNotFound)?;
        if open.refund.status != RefundStatus::Conflicted {
            return Err(RefundError::NotConflicted);
        }
        let (payout, surplus) = (open.refund.route == RouteKind::Payout, open.surplus);
        let booking = if payout {
            if cmd.paid {
                // it may still come back
                let look = NewJob { kind: QUERY_JOB, book, subject: cmd.refund.0, run_at: Clock::wall() + payout::RETURN_LOOK };
                job::enqueue_in_tx(&mut tx, &[look]).await?;
            }
            payout::resolve_in_tx(&mut tx, &order, siblings, (cmd.refund, cmd.paid), now).await?
        } else {
            let code = CONFLICT_RESOLVED.to_owned();
            let word = match (cmd.paid, surplus) {
                (true, _) => Word::Succeeded { at: now },
                // what should never have been paid still has to go back, another way
                (false, true) => Word::Closed { code },
                (false, false) => Word::Failed { code },
            };
            let outcome = Outcome { book, refund: cmd.refund, word };
            decide_in_tx(&mut tx, std::slice::from_ref(&outcome), (vec![order], reopened(siblings, cmd.refund)), now).await?.1
        };
        booking.write_in_tx(&mut tx, now).await?.map_err(RefundError::Posting)?;
        let resolved = repo::lock_one_in_tx(&mut tx, book, cmd.refund).await?.ok_or(RefundError::RefundNotFound)?.refund;
        let detail = serde_json::json!({ "paid": cmd.paid });
        audit::record_in_tx(&mut tx, actor, "refund.conflict_resolved", cmd.refund.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &resolved).await?;
        tx.commit().await?;
        Ok(resolved)
    }

    async fn take_in(&self, refund: &Refund, word: TransferWord) -> Result<bool, RefundError> {
        match word {
            TransferWord::Accepted => Ok(false),
            TransferWord::Succeeded { at } => self.conclude(refund, Word::Succeeded { at }).await,
            TransferWord::Failed { code } => {
                let (_, channel) = self.origin(refund).await?;
                self.conclude(refund, refused(channel, code)).await
            }
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

    pub(super) async fn find(&self, book: BookId, refund: RefundId) -> Result<Refund, RefundError> {
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

/// What a refusal of a refund means: closed for this payer, or refused.
pub(crate) fn refused(channel: &dyn Acquirer, code: String) -> Word {
    if channel.refund_closed(&code) { Word::Closed { code } } else { Word::Failed { code } }
}

/// What a person's word on a conflict is kept as.
pub(super) const CONFLICT_RESOLVED: &str = "CONFLICT_RESOLVED";

/// A refund in conflict as it was before, so that a person's word is judged like the channel's.
pub(super) fn reopened(mut siblings: Vec<repo::Open>, refund: RefundId) -> Vec<repo::Open> {
    for open in siblings.iter_mut().filter(|open| open.refund.id == refund) {
        open.refund.status = RefundStatus::Unknown;
    }
    siblings
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
async fn decide_in_tx(
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
