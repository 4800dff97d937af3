//! Refunds (退款): money taken from the merchant at once, sent back through the channel that took it, counted beside the order.
//!
//! FUNDED → SENT ⇄ UNKNOWN → SUCCEEDED or FAILED. What we chose where the rules leave a choice:
//! - Source: pending (在途) if it covers the whole refund, else available (可用), else the refund is refused. Never from both. Of the stripe
//!   that holds the order's money; only when that is short, of all stripes together.
//! - An order that holds money (存管) gives it from its escrow account, and from nothing else while that has any.
//! - Fee (R9): proportional. What goes back is the fee's share of everything refunded so far, half a fen up, less what went back before,
//!   so a payment refunded in parts gives back its fee to the fen.
//! - Day: a refund counts on the Asia/Shanghai day it was taken; one the channel refuses is taken out of that same day again.
//! - One request number per refund for ever (R3); an unknown number at the channel is sent again under the same number.
//! - A refund of money paid too much (P2, P3) is never given back to the merchant: a refusal keeps it open and calls a person.

mod error;
mod process;
pub(crate) mod repo;
pub mod rules;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use error::RefundError;
pub use process::Outcome;
pub(crate) use process::{apply_in_tx, orders_of_in_tx};
pub use rules::{RefundStatus, Verdict, Word};

use crate::analytics::{self, DayDelta};
use crate::base::actor::Actor;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{AttemptId, MerchantId, OrderId, RefundId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::book::collect::{self, Reach};
use crate::channel::Channels;
use crate::channel::repo::{Numbered, number_in_tx};
use crate::ledger::recipe::{self, RefundSource};
use crate::ledger::{self, AccountKind, Rejection};
use crate::order::{self, Order};

/// Kind of the job that sends a refund.
pub const SEND_JOB: &str = "refund_send";
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
    pub sent_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
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
}

impl Refunds {
    pub fn new(db: PgPool, clock: Clock, channels: Channels, query_after: std::time::Duration) -> Self {
        let query_after = chrono::TimeDelta::from_std(query_after).unwrap_or(chrono::TimeDelta::seconds(5));
        Self { db, clock, channels, query_after }
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
        let refund = Refund {
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
        };
        let mut delta = fund_in_tx(&mut tx, &order, &refund, reach, now).await?;
        delta.voided_count = plan.voided;
        insert_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
        let mut escrow = order.escrow;
        if order.held().minor > 0 {
            escrow.returned_minor += refund.amount.minor - refund.fee_back.minor;
        }
        order::repo::update_in_tx(&mut tx, &[Order { refunded: plan.refunded, escrow, ..order }]).await?;
        analytics::add_in_tx(&mut tx, &[delta]).await?;
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
}

/// Takes a refund from pending if that covers it, or else from available, and posts once. Gives what it changes of its day.
///
/// The order's own stripe gives it when it has enough; with [`Reach::AllStripes`] the others bring what is short.
async fn fund_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    refund: &Refund,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<DayDelta, RefundError> {
    let (own, today) = (order.money_book(), business_day(now));
    // the fee gives the rest
    let wanted = Money { minor: refund.amount.minor - refund.fee_back.minor, ..refund.amount };
    if order.held().minor > 0 {
        if wanted.minor > order.held().minor {
            return Err(RefundError::ExceedsHeld { held: order.held() });
        }
        let source = RefundSource::Escrow(order.id);
        let posting = recipe::refund(own, order.store, refund.id, refund.amount, refund.fee_back, source, today);
        let delta = DayDelta::of(&posting, order.merchant).ok_or(RefundError::Posting(Rejection::Unbalanced))?;
        for outcome in ledger::post_in_tx(tx, &[posting], today, now).await? {
            outcome.map_err(RefundError::Posting)?;
        }
        return Ok(delta);
    }
    let sources = [RefundSource::Pending, RefundSource::Available];
    let accounts = (&sources.map(RefundSource::account)[..], &[AccountKind::FeeIncome, AccountKind::RefundPayable][..]);
    let (books, locked) = collect::lock_in_tx(tx, (order.merchant, own), reach, accounts, wanted.currency, now).await?;
    let mut most = 0;
    for source in sources {
        let shares = collect::shares(&locked, &books, source.account());
        let Some(collected) = collect::plan(&shares, own, source.account(), wanted, today) else {
            most = most.max(collect::sum_minor(&shares));
            continue;
        };
        let posting = recipe::refund(own, order.store, refund.id, refund.amount, refund.fee_back, source, today);
        let delta = DayDelta::of(&posting, order.merchant).ok_or(RefundError::Posting(Rejection::Unbalanced))?;
        let mut postings = collect::postings(&collected);
        postings.push(posting);
        for outcome in ledger::post_in_tx(tx, &postings, today, now).await? {
            outcome.map_err(RefundError::Posting)?;
        }
        collect::record_in_tx(tx, &collected, Clock::wall()).await?;
        return Ok(delta);
    }
    Err(RefundError::InsufficientBalance { available: Money { minor: most, ..refund.amount } })
}

/// Writes funded refunds with their request numbers and the jobs that send them: three statements, whatever their number.
pub(crate) async fn insert_in_tx(tx: &mut PgConnection, refunds: &[Refund]) -> sqlx::Result<()> {
    repo::insert_in_tx(tx, refunds).await?;
    let numbers: Vec<_> = refunds.iter().map(|r| Numbered { book: r.merchant.book(), subject: r.id.0 }).collect();
    number_in_tx(tx, "REFUND", &numbers).await?;
    let run_at = Clock::wall();
    let jobs: Vec<_> = refunds.iter().map(|r| NewJob { kind: SEND_JOB, book: r.merchant.book(), subject: r.id.0, run_at }).collect();
    job::enqueue_in_tx(tx, &jobs).await
}
