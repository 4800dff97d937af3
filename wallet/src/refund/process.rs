//! Sending refunds and asking what became of them. The channel's word, from an answer, a query or a notice, ends in one `apply`.

use serde::Serialize;
use uuid::Uuid;

use super::apply::{Outcome, apply_in_tx, decide_in_tx, event};
use super::route::repo as routes;
use super::rules::{Verdict, Word};
use super::{QUERY_JOB, Refund, RefundError, RefundStatus, Refunds, Rerouting, Route, RouteKind, RouteStatus, funding, payout, repo};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{BookId, MerchantId, RefundId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::outbox;
use crate::channel::acquirer::{Acquirer, Asked, RefundOrder, TransferWord};
use crate::channel::repo::{Numbered, number_in_tx};
use crate::channel::{ChannelError, Progress, ask_again};
use crate::payment::{self, Attempt};
use crate::split;

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
