//! Refunds (退款): money taken from the merchant, sent back through the channel that took it or to a bank account, counted beside the order.
//!
//! GATHERING → FUNDED → SENT ⇄ UNKNOWN → SUCCEEDED or FAILED; SENT → REROUTE → FUNDED → SENT (to a bank account) → SUCCEEDED → BOUNCED → FUNDED …;
//! SENT → CONFLICTED → as a person says; BOUNCED → MANUAL, paid outside ([`manual`]); CANCELLED before it was ever sent. What we chose where the rules leave a choice:
//! - Source: pending (在途) if it covers the whole refund, else available (可用), never from both. Of the stripe that holds the order's money; only
//!   when that is short, of all stripes together. Where those are short, too, the platform gives what both lack ([`crate::advance`]), up to
//!   the merchant's cap, which is zero unless two operators set it; else the refund is refused.
//! - An order that holds money (存管) gives it from its escrow account, and from nothing else while that has any.
//! - Of a divided order the return is planned first ([`crate::split::plan_return_in_tx`]): what was never divided and what receivers have,
//!   in proportion. The refund is GATHERING until that is with the merchant, and then takes it from pending and available together. Where a
//!   receiver is short, it waits; the owner or an operator may have the merchant give the rest ([`Refunds::fund_now`]), or cancel. One refund of an
//!   order gathers at a time. What it will take is kept for it meanwhile: no withdrawal goes ahead of it ([`crate::advance::rules::Claims`]).
//! - Cancelled while it gathers, what receivers gave back and what is on its way stays with the merchant.
//! - Fee (R9): proportional, whatever the channel charges us. What goes back is the fee's share of everything refunded so far, half a fen up,
//!   less what went back before, so a payment refunded in parts gives back its fee to the fen.
//! - Day: a refund counts on the Asia/Shanghai day its money was taken; one that comes to nothing is taken out of that same day again.
//! - One number per try (R3): that of the original way is the refund's own for ever; a number unknown outside is sent again as it is.
//! - A refund to a bank account wants a payee that two people confirm (R7, [`payee`]), each time anew.
//! - Subsidy (R4): of an order that a programme paid a part of, each refund is cut into cash and subsidy when it is requested
//!   ([`crate::subsidy::rules::part_back`]). The whole is taken from the merchant; the payer gets the cash, and the programme its part with the first
//!   success. A refund without cash is nobody's to send: it succeeds when it is to be sent.
//! - A refund of money paid too much (P2, P3) is never given back to the merchant: a refusal keeps it open and calls a person.
//!
//! Every step is one transaction, and each leaves a job or a state that the next one starts from: dies a process, another goes on.

mod apply;
mod error;
mod funding;
pub mod manual;
pub mod payee;
mod payout;
mod process;
pub(crate) mod repo;
pub mod route;
pub mod rules;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use apply::Outcome;
pub(crate) use apply::{apply_in_tx, orders_of_in_tx};
pub use error::RefundError;
pub use funding::{CancelRefund, FundRefund};
pub use manual::{DecideManual, Manual, ManualStatus, ProposeManual};
pub use payee::{ApprovePayee, Keeper, Payee, ProposePayee};
pub(crate) use payout::apply_payouts_in_tx;
pub use payout::{PayoutOutcome, PayoutVerdict};
pub use process::ResolveConflict;
pub(crate) use process::refused;
pub use route::{Gathering, Payouts, Rerouting, Route, RouteKind, RouteStatus};
pub use rules::{RefundStatus, Verdict, Word};

use crate::advance;
use crate::analytics;
use crate::base::actor::Actor;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{AttemptId, MerchantId, OrderId, RefundId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::book::collect::Reach;
use crate::channel::Channels;
use crate::channel::repo::{Numbered, number_in_tx};
use crate::ledger::{Posting, recipe};
use crate::order::{self, Order};
use funding::fund_in_tx;

/// Kind of the job that sends a refund.
pub const SEND_JOB: &str = "refund_send";
/// Kind of the job that funds a refund when receivers have given back: calls [`Refunds::gather`].
pub const GATHER_JOB: &str = "refund_gather";
/// Kind of the job that asks what became of a refund.
pub const QUERY_JOB: &str = "refund_query";

/// A refund as its merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: RefundId,
    pub merchant: MerchantId,
    pub order: OrderId,
    /// The attempt whose money goes back.
    pub attempt: AttemptId,
    pub amount: Money,
    /// The part of the fee that the merchant gets back with it.
    pub fee_back: Money,
    pub reason: String,
    pub status: RefundStatus,
    /// The channel's code when it refused.
    pub error_code: Option<String>,
    /// None: the platform itself.
    pub requested_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    /// When it was first sent.
    pub sent_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// Whether its money was taken from the merchant.
    #[serde(default = "yes")]
    pub funded: bool,
    /// When, where that was later than the request.
    #[serde(default)]
    pub funded_at: Option<DateTime<Utc>>,
    /// The way of its latest try.
    #[serde(default)]
    pub route: RouteKind,
    /// Why it must go to a bank account, if it must.
    #[serde(default)]
    pub rerouted_for: Option<Rerouting>,
    /// What of it goes back to the programme that paid a part of the order, in minor units. Frozen.
    #[serde(default)]
    pub subsidy_minor: i64,
    /// Whether that went back: once, when the refund first succeeded.
    #[serde(default)]
    pub subsidy_returned: bool,
}

/// Refunds in answers from before they could wait.
fn yes() -> bool {
    true
}

impl Refund {
    /// When its money was taken. None: it was not.
    pub fn taken_at(&self) -> Option<DateTime<Utc>> {
        self.funded.then(|| self.funded_at.unwrap_or(self.created_at))
    }

    /// What its payer gets: all that a channel or a bank is ever asked for (R4).
    pub fn cash(&self) -> Money {
        Money { minor: self.amount.minor - self.subsidy_minor, ..self.amount }
    }

    /// What of it goes back to the programme that paid a part of the order.
    pub fn subsidy(&self) -> Money {
        Money { minor: self.subsidy_minor, ..self.amount }
    }

    /// The postings that bring the programme's part back, the first time that it succeeds.
    fn bring_subsidy_back(&mut self, order: &Order, day: NaiveDate) -> Vec<Posting> {
        let Some(subsidy) = order.subsidy.filter(|_| self.subsidy_minor > 0 && !self.subsidy_returned) else { return Vec::new() };
        self.subsidy_returned = true;
        recipe::subsidy_returned(order.money_book(), self.id, subsidy.programme, self.subsidy(), day).into()
    }

    /// Whether the original way was left: what the channel still says of it changes nothing.
    pub(crate) fn left(&self) -> bool {
        self.rerouted_for.is_some()
    }
}

/// Asks for money to go back to the customer.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRefund {
    pub merchant: MerchantId,
    pub order: OrderId,
    pub amount: Money,
    pub reason: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// The service for refunds.
#[derive(Clone, Debug)]
pub struct Refunds {
    db: PgPool,
    clock: Clock,
    channels: Channels,
    /// How long after sending the channel is asked.
    query_after: chrono::TimeDelta,
    payouts: Option<Payouts>,
}

impl Refunds {
    pub fn new(db: PgPool, clock: Clock, channels: Channels, query_after: std::time::Duration) -> Self {
        let query_after = chrono::TimeDelta::from_std(query_after).unwrap_or(chrono::TimeDelta::seconds(5));
        Self { db, clock, channels, query_after, payouts: None }
    }

    /// The same with a bank for what cannot go back the way it came.
    #[must_use]
    pub fn paying_out(self, payouts: Payouts) -> Self {
        Self { payouts: Some(payouts), ..self }
    }

    /// Takes the money from the merchant and leaves the sending to a job. Only the merchant's owner and the platform may.
    pub async fn request(&self, actor: &Actor, cmd: RequestRefund) -> Result<Refund, RefundError> {
        actor.require_owner(cmd.merchant)?;
        rules::check(cmd.amount, &cmd.reason)?;
        let cmd = &cmd;
        let request = |reach| retrying(RefundError::retryable, move || self.request_once(actor, cmd, reach));
        let result = match request(Reach::OwnStripe).await {
            // nothing was written, the key neither: the other stripes may make up for what is short
            Err(RefundError::InsufficientBalance { .. }) => request(Reach::AllStripes).await,
            other => other,
        };
        result.map_err(RefundError::or_busy)
    }

    async fn request_once(&self, actor: &Actor, cmd: &RequestRefund, reach: Reach) -> Result<Refund, RefundError> {
        let (id, now, book) = (RefundId::new(), self.clock.now(), cmd.merchant.book());
        let today = business_day(now);
        let scope = Scope { tenant: cmd.merchant.0, operation: "refundRequest", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let order = order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(RefundError::NotFound)?;
        if let Claim::Seen { entity_id, response } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return match response {
                Some(refund) => Ok(refund),
                // a claim commits with its answer, so this row was written by hand; the refund itself is the answer
                None => self.by_ids(&[(cmd.merchant, RefundId(entity_id))]).await?.pop().ok_or(RefundError::NotFound),
            };
        }
        let (attempt, earlier) = repo::of_payment_in_tx(&mut tx, book, cmd.order).await?.ok_or(RefundError::OrderNotPaid)?;
        let plan = rules::request(&order, &earlier, cmd.amount, today)?;
        if earlier.iter().any(|r| r.status == RefundStatus::Gathering) {
            return Err(RefundError::Gathering);
        }
        let mut refund = Refund {
            id,
            merchant: cmd.merchant,
            order: cmd.order,
            attempt,
            amount: cmd.amount,
            fee_back: plan.fee_back,
            reason: cmd.reason.clone(),
            status: RefundStatus::Funded,
            error_code: None,
            requested_by: actor.user(),
            created_at: now,
            sent_at: None,
            resolved_at: None,
            funded: true,
            funded_at: None,
            route: RouteKind::Original,
            rerouted_for: None,
            subsidy_minor: plan.subsidy.minor,
            subsidy_returned: false,
        };
        let (mut deltas, mut advance) = (Vec::new(), None);
        if self.plan_gathering_in_tx(&mut tx, &order, &refund, now).await? {
            (refund.status, refund.funded) = (RefundStatus::Gathering, false);
        } else {
            let mut funded = fund_in_tx(&mut tx, &order, &refund, reach, now).await?;
            funded.delta.voided_count = plan.voided;
            deltas.push(funded.delta);
            advance = funded.advance;
        }
        insert_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
        if let Some(advance) = &advance {
            advance::insert_in_tx(&mut tx, advance).await?;
        }
        let mut escrow = order.escrow;
        if order.held().minor > 0 {
            escrow.returned_minor += refund.amount.minor - refund.fee_back.minor;
        }
        order::repo::update_in_tx(&mut tx, &[Order { refunded: plan.refunded, escrow, ..order }]).await?;
        analytics::add_in_tx(&mut tx, &deltas).await?;
        idempotency::complete_in_tx(&mut tx, scope, &refund).await?;
        tx.commit().await?;
        Ok(refund)
    }

    /// Refunds by id, for loaders that have checked who asks. Missing ones are left out; no order is promised.
    pub async fn by_ids(&self, ids: &[(MerchantId, RefundId)]) -> Result<Vec<Refund>, RefundError> {
        Ok(repo::by_ids(&self.db, ids).await?)
    }

    /// Refunds of orders, for loaders that have checked who asks; oldest first.
    pub async fn of_orders(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Refund>, RefundError> {
        Ok(repo::of_orders(&self.db, orders).await?)
    }

    /// The tries of refunds, for loaders that have checked who asks; oldest first within a refund.
    pub async fn routes(&self, refunds: &[(MerchantId, RefundId)]) -> Result<Vec<Route>, RefundError> {
        Ok(route::repo::of_refunds(&self.db, refunds).await?)
    }

    /// The payees named for refunds, for loaders that have checked who asks; oldest first within a refund.
    pub async fn payees(&self, refunds: &[(MerchantId, RefundId)]) -> Result<Vec<Payee>, RefundError> {
        Ok(route::repo::payees_of(&self.db, refunds).await?)
    }

    /// What was said of refunds paid outside, for loaders that have checked who asks; oldest first within a refund.
    pub async fn manuals(&self, refunds: &[(MerchantId, RefundId)]) -> Result<Vec<Manual>, RefundError> {
        Ok(manual::repo::of_refunds(&self.db, refunds).await?)
    }

    /// How far what refunds of divided orders wait for has come back, for loaders that have checked who asks.
    pub async fn gatherings(&self, refunds: &[(MerchantId, RefundId)]) -> Result<Vec<(RefundId, Gathering)>, RefundError> {
        Ok(route::repo::gatherings(&self.db, refunds).await?)
    }
}

/// Writes new refunds with their request numbers and the jobs that take them on: three statements, whatever their number.
pub(crate) async fn insert_in_tx(tx: &mut PgConnection, refunds: &[Refund]) -> sqlx::Result<()> {
    repo::insert_in_tx(tx, refunds).await?;
    let numbers: Vec<_> = refunds.iter().map(|r| Numbered { book: r.merchant.book(), subject: r.id.0 }).collect();
    number_in_tx(tx, "REFUND", &numbers).await?;
    let run_at = Clock::wall();
    let kind = |r: &Refund| if r.funded { SEND_JOB } else { GATHER_JOB };
    let jobs: Vec<_> = refunds.iter().map(|r| NewJob { kind: kind(r), book: r.merchant.book(), subject: r.id.0, run_at }).collect();
    job::enqueue_in_tx(tx, &jobs).await
}
