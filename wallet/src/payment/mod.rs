//! Payments (支付): attempts to pay an order through a channel, and what the channel says of them.
//!
//! Attempt: SENT → USER_PENDING or UNKNOWN → SUCCEEDED, FAILED, CLOSED_AT_CHANNEL or CONFLICTED. Starting is two transactions around
//! one call: the attempt is stored as SENT with the job that will ask for it, then the channel is called with no transaction open,
//! then its answer is stored. No answer leaves UNKNOWN, and only the channel's word resolves that.
//!
//! One order has at most one live attempt. Starting again goes on with it: with the address the customer already has, or, when the
//! first call had no answer, by sending the same request under the same number, which the channel takes as one.

mod batch;
mod error;
mod process;
pub(crate) mod repo;
pub mod rules;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

pub use error::PaymentError;
pub use process::CloseOrder;
pub use rules::{AttemptStatus, Verdict, Word};

use crate::base::actor::Actor;
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::channel::sandbox::{PaymentOrder, PaymentState, PaymentWord, SandboxAcquirer};
use crate::channel::{ChannelError, SANDBOX};
use crate::order::{self, Order};

/// Kind of the job that asks what became of an attempt.
pub const QUERY_JOB: &str = "payment_query";

/// A payment attempt (支付尝试).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub id: AttemptId,
    pub merchant: MerchantId,
    pub order: OrderId,
    pub channel: String,
    pub amount: Money,
    pub status: AttemptStatus,
    /// Where the customer pays, once the channel has told.
    pub pay_url: Option<String>,
    /// The channel's own id, once it has the money.
    pub transaction_id: Option<String>,
    pub error_code: Option<String>,
    /// Money that came too often or too late, and goes back by itself.
    pub surplus: bool,
    pub sent_at: DateTime<Utc>,
    /// When the channel took the money.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// When we learnt of the final state.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// Starts to pay an order.
#[derive(Clone, Debug, Serialize)]
pub struct StartPayment {
    pub merchant: MerchantId,
    pub order: OrderId,
    /// Where the channel's page leads back to. Not part of what the key stands for.
    #[serde(skip)]
    pub return_url: Option<String>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// The channel's word on one attempt.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub book: BookId,
    pub attempt: AttemptId,
    pub word: Word,
}

/// The service for payments.
#[derive(Clone, Debug)]
pub struct Payments {
    db: PgPool,
    clock: Clock,
    acquirer: SandboxAcquirer,
    /// How long after sending the channel is asked, if it has not told by itself.
    query_after: TimeDelta,
}

/// What the first transaction of a start found.
enum Prepared {
    Answered(Attempt),
    ToCall(Order, Attempt),
}

impl Payments {
    pub fn new(db: PgPool, clock: Clock, acquirer: SandboxAcquirer, query_after: std::time::Duration) -> Self {
        let query_after = TimeDelta::from_std(query_after).unwrap_or(TimeDelta::seconds(5));
        Self { db, clock, acquirer, query_after }
    }

    /// Starts to pay an order, or goes on with the attempt that is open. The ticket holder, the merchant's owner and the platform may.
    pub async fn start(&self, actor: &Actor, cmd: StartPayment) -> Result<Attempt, PaymentError> {
        actor.require_payer(cmd.merchant, cmd.order)?;
        let scope = Scope { tenant: cmd.merchant.0, operation: "paymentStart", key: cmd.idempotency_key };
        match retrying(PaymentError::retryable, || self.prepare(scope, &cmd)).await? {
            Prepared::Answered(attempt) => Ok(attempt),
            Prepared::ToCall(order, attempt) => {
                let request = PaymentOrder {
                    request_no: attempt.id.simple(),
                    amount: attempt.amount,
                    description: order.subject,
                    return_url: cmd.return_url.clone(),
                };
                let answer = self.acquirer.pay(&request).await;
                self.record(scope, &cmd, attempt, answer).await
            }
        }
    }

    /// Transaction 1: the key, the attempt as SENT with its number, and the job that will ask.
    async fn prepare(&self, scope: Scope, cmd: &StartPayment) -> Result<Prepared, PaymentError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let mut tx = self.db.begin().await?;
        let order = order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(PaymentError::NotFound)?;
        let attempts = repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?;
        let open = attempts.iter().find(|a| a.status.live());
        let id = open.map_or_else(AttemptId::new, |a| a.id);
        if let Claim::Seen { entity_id, response } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            let claimed = attempts.into_iter().find(|a| a.id.0 == entity_id);
            return match (response, claimed) {
                (Some(attempt), _) => Ok(Prepared::Answered(attempt)),
                // the call before this one was cut short: send the same request again
                (None, Some(attempt)) => Ok(Prepared::ToCall(order, attempt)),
                (None, None) => Err(PaymentError::NotFound),
            };
        }
        let prepared = match (rules::start(&order, &attempts, now)?, open) {
            (rules::Start::GoOn(_), Some(attempt)) if attempt.status == AttemptStatus::UserPending => {
                idempotency::complete_in_tx(&mut tx, scope, attempt).await?;
                Prepared::Answered(attempt.clone())
            }
            (rules::Start::GoOn(_), Some(attempt)) => Prepared::ToCall(order, attempt.clone()),
            _ => {
                let attempt = Attempt {
                    id,
                    merchant: cmd.merchant,
                    order: cmd.order,
                    channel: SANDBOX.to_owned(),
                    amount: order.amount,
                    status: AttemptStatus::Sent,
                    pay_url: None,
                    transaction_id: None,
                    error_code: None,
                    surplus: false,
                    sent_at: now,
                    succeeded_at: None,
                    resolved_at: None,
                };
                repo::open_in_tx(&mut tx, &attempt).await?;
                let run_at = Clock::wall() + self.query_after;
                job::enqueue_in_tx(&mut tx, &[NewJob { kind: QUERY_JOB, book, subject: id.0, run_at }]).await?;
                Prepared::ToCall(order, attempt)
            }
        };
        tx.commit().await?;
        Ok(prepared)
    }

    /// Transaction 2: what the channel answered, and what the caller is told.
    async fn record(
        &self,
        scope: Scope,
        cmd: &StartPayment,
        attempt: Attempt,
        answer: Result<PaymentState, ChannelError>,
    ) -> Result<Attempt, PaymentError> {
        let (book, id) = (attempt.merchant.book(), attempt.id);
        match answer {
            Ok(PaymentState { pay_url, word: PaymentWord::Pending, .. }) => {
                let mut tx = self.db.begin().await?;
                if repo::mark_pending_in_tx(&mut tx, &attempt, AttemptStatus::Sent, &pay_url).await? {
                    // nobody else has moved it from SENT, so nobody has answered under this key
                    let attempt = Attempt { status: AttemptStatus::UserPending, pay_url: Some(pay_url), ..attempt };
                    idempotency::complete_in_tx(&mut tx, scope, &attempt).await?;
                    tx.commit().await?;
                    return Ok(attempt);
                }
                repo::mark_pending_in_tx(&mut tx, &attempt, AttemptStatus::Unknown, &pay_url).await?;
                tx.commit().await?;
            }
            Ok(state) => {
                self.apply(&[Outcome { book, attempt: id, word: word_of(state) }]).await?;
            }
            Err(ChannelError::Refused { code }) => {
                self.apply(&[Outcome { book, attempt: id, word: Word::Failed { code } }]).await?;
            }
            Err(error) => {
                tracing::warn!(attempt_id = %id, error = &error as &dyn std::error::Error, "a payment was sent without an answer");
                repo::mark_unknown(&self.db, book, id).await?;
            }
        }
        self.answer(scope, cmd, attempt).await
    }

    /// Tells the caller how the attempt stands now, unless another call under the same key has told already.
    async fn answer(&self, scope: Scope, cmd: &StartPayment, attempt: Attempt) -> Result<Attempt, PaymentError> {
        let mut tx = self.db.begin().await?;
        let attempts = repo::lock_in_tx(&mut tx, &[(attempt.merchant.book(), attempt.order)]).await?;
        let claim = idempotency::claim_in_tx(&mut tx, scope, cmd, attempt.id.0, self.clock.now()).await?;
        if let Claim::Seen { response: Some(told), .. } = claim {
            return Ok(told);
        }
        let attempt = attempts.into_iter().find(|a| a.id == attempt.id).ok_or(PaymentError::NotFound)?;
        idempotency::complete_in_tx(&mut tx, scope, &attempt).await?;
        tx.commit().await?;
        Ok(attempt)
    }

    /// Attempts by id, for loaders that have checked who asks. Missing ones are left out; no order is promised.
    pub async fn by_ids(&self, ids: &[(MerchantId, AttemptId)]) -> Result<Vec<Attempt>, PaymentError> {
        Ok(repo::by_ids(&self.db, ids).await?)
    }

    /// Attempts of orders, for loaders that have checked who asks; oldest first.
    pub async fn of_orders(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Attempt>, PaymentError> {
        Ok(repo::of_orders(&self.db, orders).await?)
    }
}

/// An answer or a query's result as a word to be judged.
fn word_of(state: PaymentState) -> Word {
    match state.word {
        PaymentWord::Pending => Word::Pending { pay_url: state.pay_url },
        PaymentWord::Succeeded { amount_minor, currency, at } => {
            Word::Succeeded { transaction_id: state.transaction_id, amount_minor, currency, at }
        }
        PaymentWord::Failed { code } => Word::Failed { code },
        PaymentWord::Closed => Word::Closed,
    }
}
