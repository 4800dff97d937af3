//! Taking in the channel's word on payments, from a notice, a query or a closing: all end in one `apply`, set-based, whatever their number.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::{self, Batch};
use super::rules::{self, AttemptStatus, Verdict, Word};
use super::{Attempt, Outcome, PaymentError, Payments, repo, word_of};
use crate::base::actor::Actor;
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, RefundId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::outbox;
use crate::booking::Booking;
use crate::channel::inbox::{self, Delivery, NoticeError, Waiting};
use crate::channel::repo::{Numbered, resolve_in_tx};
use crate::channel::sandbox::error_code;
use crate::channel::sandbox::wire::{Notice, NoticeKind, NoticeStatus};
use crate::channel::{Progress, SANDBOX, ask_again};
use crate::order::{self, Order, OrderStatus};
use crate::refund;

/// Closes an order so that nobody can pay it any more.
#[derive(Clone, Debug, Serialize)]
pub struct CloseOrder {
    pub merchant: MerchantId,
    pub order: OrderId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Payments {
    /// Takes in a notice as it came: verify, store, return. Answer 2xx when this is `Ok`; [`Payments::process_notices`] does the rest.
    pub async fn accept_notice(&self, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, NoticeError> {
        let notice = inbox::verify(self.acquirer.link(), headers, body, self.clock.now())?;
        Ok(self.inbox.submit(notice).await?)
    }

    /// Processes at most `limit` waiting notices in one transaction, payments and refunds alike. Gives how many were processed.
    ///
    /// Several workers may run this at once. When a batch fails, its notices are tried one by one, so that a bad one never holds up
    /// its neighbours; one that keeps failing is left for a person after [`inbox::ATTEMPTS_MAX`] tries, and the query finds the truth.
    pub async fn process_notices(&self, limit: i64) -> Result<usize, PaymentError> {
        let (seen, result) = self.process_batch(None, limit).await;
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) if seen.is_empty() => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(notices = seen.len(), error = &error as &dyn std::error::Error, "a batch of notices failed; trying one by one");
        let mut done = 0;
        for notice_id in seen {
            match self.process_batch(Some(std::slice::from_ref(&notice_id)), 1).await.1 {
                Ok(processed) => done += processed,
                Err(error) => {
                    tracing::error!(notice_id, error = &error as &dyn std::error::Error, "a notice could not be processed");
                    inbox::count_failure(&self.db, SANDBOX, &notice_id).await?;
                }
            }
        }
        Ok(done)
    }

    /// One transaction. Gives the notices it looked at, whether or not they were processed.
    async fn process_batch(&self, only: Option<&[String]>, limit: i64) -> (Vec<String>, Result<usize, PaymentError>) {
        let seen = std::sync::Mutex::new(Vec::new());
        let result = retrying(PaymentError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let waiting = inbox::lock_waiting_in_tx(&mut tx, SANDBOX, only, limit).await?;
            *seen.lock().expect("nothing panics while it is held") = waiting.iter().map(|w| w.notice_id.clone()).collect();
            if waiting.is_empty() {
                return Ok(0);
            }
            let outcomes = take_in_notices_in_tx(&mut tx, &waiting, now).await?;
            inbox::finish_in_tx(&mut tx, SANDBOX, &outcomes, now).await?;
            tx.commit().await?;
            Ok(outcomes.len())
        })
        .await;
        (seen.into_inner().unwrap_or_default(), result)
    }

    /// Asks the channel what became of an attempt, and closes it there when its order can no longer be paid. Job [`super::QUERY_JOB`].
    pub async fn query(&self, book: BookId, attempt: AttemptId) -> Result<Progress, PaymentError> {
        let attempt = self.by_ids(&[(book.merchant(), attempt)]).await?.pop().ok_or(PaymentError::NotFound)?;
        if !attempt.status.live() {
            return Ok(Progress::Settled);
        }
        let order = order::repo::by_ids(&self.db, &[(attempt.merchant, attempt.order)]).await?.pop().ok_or(PaymentError::NotFound)?;
        let over = order.expires_at <= self.clock.now() || matches!(order.status, OrderStatus::Paid | OrderStatus::Closed);
        let answer = if over {
            // says where it stands if the customer was faster, and bars a request that is still on its way
            self.acquirer.close(&attempt.id.simple()).await.map(Some)
        } else {
            self.acquirer.query(&attempt.id.simple()).await
        };
        let word = match answer {
            Ok(Some(state)) => word_of(state),
            // not known there: final only once a closing succeeded, since the request may be on its way
            Ok(None) => return self.left_open(&attempt).await,
            Err(error) => {
                tracing::warn!(attempt_id = %attempt.id, error = &error as &dyn std::error::Error, "could not ask about a payment");
                return self.left_open(&attempt).await;
            }
        };
        let verdict = self.apply(&[Outcome { book, attempt: attempt.id, word: word.clone() }]).await?;
        match (word, verdict.first()) {
            (Word::Pending { .. }, _) => Ok(ask_again(self.clock.now() - attempt.sent_at)),
            _ => Ok(Progress::Settled),
        }
    }

    async fn left_open(&self, attempt: &Attempt) -> Result<Progress, PaymentError> {
        repo::mark_unknown(&self.db, attempt.merchant.book(), attempt.id).await?;
        Ok(ask_again(self.clock.now() - attempt.sent_at))
    }

    /// Closes an order, with its open attempt at the channel. Only the merchant's owner and the platform may.
    ///
    /// A closed order is given as it is. When the customer was faster, the order is paid and this is [`PaymentError::OrderPaid`].
    pub async fn close_order(&self, actor: &Actor, cmd: CloseOrder) -> Result<Order, PaymentError> {
        actor.require_owner(cmd.merchant)?;
        for attempt in match retrying(PaymentError::retryable, || self.close_once(&cmd)).await.map_err(PaymentError::or_busy)? {
            Closing::Done(order) => return Ok(*order),
            Closing::Open(attempts) => attempts,
        } {
            match self.acquirer.close(&attempt.id.simple()).await {
                Ok(state) => {
                    self.apply(&[Outcome { book: cmd.merchant.book(), attempt: attempt.id, word: word_of(state) }])
                        .await
                        .map_err(PaymentError::or_busy)?;
                }
                Err(error) => {
                    tracing::warn!(attempt_id = %attempt.id, error = &error as &dyn std::error::Error, "could not close a payment");
                    return Err(PaymentError::StillPaying);
                }
            }
        }
        match retrying(PaymentError::retryable, || self.close_once(&cmd)).await.map_err(PaymentError::or_busy)? {
            Closing::Done(order) => Ok(*order),
            Closing::Open(_) => Err(PaymentError::StillPaying),
        }
    }

    /// Claims the key, and closes the order if no attempt is open. The claim stays without an answer while the channel is asked.
    async fn close_once(&self, cmd: &CloseOrder) -> Result<Closing, PaymentError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "orderClose", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let mut order = order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(PaymentError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.order.0, now).await? {
            return Ok(Closing::Done(Box::new(told)));
        }
        let attempts = repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?;
        match order.status {
            OrderStatus::Paid => return Err(PaymentError::OrderPaid),
            OrderStatus::Closed => {}
            _ if attempts.iter().any(|a| a.status == AttemptStatus::Conflicted) => return Err(PaymentError::UnderReview),
            _ if attempts.iter().any(|a| a.status.live()) => {
                tx.commit().await?;
                return Ok(Closing::Open(attempts.into_iter().filter(|a| a.status.live()).collect()));
            }
            _ => {
                (order.status, order.closed_at) = (OrderStatus::Closed, Some(now));
                order::repo::update_in_tx(&mut tx, std::slice::from_ref(&order)).await?;
                outbox::append_in_tx(&mut tx, &[batch::closed(&order, now)]).await?;
            }
        }
        idempotency::complete_in_tx(&mut tx, scope, &order).await?;
        tx.commit().await?;
        Ok(Closing::Done(Box::new(order)))
    }

    /// Takes in words of the channel in one transaction. One verdict per outcome, none where there is no such attempt.
    pub async fn apply(&self, outcomes: &[Outcome]) -> Result<Vec<Option<Verdict>>, PaymentError> {
        retrying(PaymentError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let now = self.clock.now();
            let (verdicts, booking) = apply_in_tx(&mut tx, outcomes, now).await?;
            booking.write_in_tx(&mut tx, now).await?.map_err(PaymentError::Posting)?;
            tx.commit().await?;
            Ok(verdicts)
        })
        .await
    }
}

/// How far the closing of an order got.
enum Closing {
    Done(Box<Order>),
    Open(Vec<Attempt>),
}

/// Lock orders → lock attempts → decide → write the rows. Gives the verdicts, and what the caller has to book when all rows are written.
/// Some ten statements for one outcome and for a thousand.
async fn apply_in_tx(
    tx: &mut PgConnection,
    outcomes: &[Outcome],
    now: DateTime<Utc>,
) -> Result<(Vec<Option<Verdict>>, Booking), PaymentError> {
    if outcomes.is_empty() {
        return Ok(Default::default());
    }
    let wanted: Vec<_> = outcomes.iter().map(|o| (o.book, o.attempt)).collect();
    let transactions: Vec<_> = outcomes
        .iter()
        .filter_map(|o| match &o.word {
            Word::Succeeded { transaction_id, .. } => Some((SANDBOX.to_owned(), transaction_id.clone())),
            _ => None,
        })
        .collect();
    let order_ids = repo::orders_of_in_tx(tx, &wanted).await?;
    let orders = order::repo::lock_in_tx(tx, &order_ids).await?;
    let attempts = repo::lock_in_tx(tx, &order_ids).await?;
    let bound = repo::bindings_in_tx(tx, &transactions).await?;

    let mut batch = Batch::new(orders, attempts, bound);
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| batch.take_in(outcome, now)).collect();

    if !repo::bind_in_tx(tx, &batch.bindings).await? {
        return Err(PaymentError::BoundMeanwhile);
    }
    repo::update_in_tx(tx, &batch.attempts()).await?;
    order::repo::update_in_tx(tx, &batch.orders()).await?;
    if !batch.refunds.is_empty() {
        refund::insert_in_tx(tx, &batch.refunds).await?;
    }
    Ok((verdicts, batch.booking))
}

/// Turns notices into words about our attempts and refunds and applies them. One outcome per notice, for its row.
async fn take_in_notices_in_tx(
    tx: &mut PgConnection,
    waiting: &[Waiting],
    now: DateTime<Utc>,
) -> Result<Vec<(String, &'static str)>, PaymentError> {
    let mut outcome_of: HashMap<&str, &'static str> = HashMap::new();
    let readable = || waiting.iter().filter_map(|w| w.notice.as_ref().map(|n| (w.notice_id.as_str(), n)));

    let paid: Vec<_> = readable().filter(|(_, n)| n.kind == NoticeKind::Payment).collect();
    let known = numbers_in_tx(tx, "PAYMENT", &paid).await?;
    let (mut payments, mut refunds) = (Vec::new(), Vec::new());
    for (id, notice) in paid {
        match (known.get(&notice.request_no), payment_word(notice)) {
            (Some(n), Some(word)) => payments.push((id, Outcome { book: n.book, attempt: AttemptId(n.subject), word })),
            (Some(_), None) => _ = outcome_of.insert(id, inbox::MALFORMED),
            (None, _) => {}
        }
    }
    let refunded: Vec<_> = readable().filter(|(_, n)| n.kind == NoticeKind::Refund).collect();
    let known = numbers_in_tx(tx, "REFUND", &refunded).await?;
    for (id, notice) in refunded {
        match (known.get(&notice.request_no), refund_word(notice)) {
            (Some(n), Some(word)) => refunds.push((id, refund::Outcome { book: n.book, refund: RefundId(n.subject), word })),
            (Some(_), None) => _ = outcome_of.insert(id, inbox::MALFORMED),
            (None, _) => {}
        }
    }

    let (payment_ids, payments): (Vec<_>, Vec<_>) = payments.into_iter().unzip();
    let (refund_ids, refunds): (Vec<_>, Vec<_>) = refunds.into_iter().unzip();
    if !payments.is_empty() && !refunds.is_empty() {
        // both halves lock orders and then their attempts or refunds: all orders come first, so that nobody waits in a circle
        let mut orders = repo::orders_of_in_tx(tx, &payments.iter().map(|o| (o.book, o.attempt)).collect::<Vec<_>>()).await?;
        orders.extend(refund::orders_of_in_tx(tx, &refunds).await?);
        order::repo::lock_in_tx(tx, &orders).await?;
    }
    let (payment_verdicts, payments) = apply_in_tx(tx, &payments, now).await?;
    let (refund_verdicts, refunds) = refund::apply_in_tx(tx, &refunds, now).await?;
    payments.and(refunds).write_in_tx(tx, now).await?.map_err(PaymentError::Posting)?;
    for (id, verdict) in payment_ids.into_iter().zip(payment_verdicts) {
        outcome_of.insert(id, verdict.map_or(inbox::UNKNOWN_REQUEST, rules::Verdict::as_str));
    }
    for (id, verdict) in refund_ids.into_iter().zip(refund_verdicts) {
        outcome_of.insert(id, verdict.map_or(inbox::UNKNOWN_REQUEST, refund::Verdict::as_str));
    }

    let unread = |w: &Waiting| if w.notice.is_some() { inbox::UNKNOWN_REQUEST } else { inbox::MALFORMED };
    Ok(waiting.iter().map(|w| (w.notice_id.clone(), outcome_of.get(w.notice_id.as_str()).copied().unwrap_or_else(|| unread(w)))).collect())
}

async fn numbers_in_tx(tx: &mut PgConnection, kind: &str, notices: &[(&str, &Notice)]) -> sqlx::Result<HashMap<String, Numbered>> {
    let numbers: Vec<String> = notices.iter().map(|(_, n)| n.request_no.clone()).collect();
    Ok(resolve_in_tx(tx, kind, &numbers).await?.into_iter().collect())
}

/// None: a success without its time.
fn payment_word(notice: &Notice) -> Option<Word> {
    Some(match notice.status {
        NoticeStatus::Succeeded => Word::Succeeded {
            transaction_id: notice.transaction_id.clone(),
            amount_minor: notice.amount_minor,
            currency: notice.currency.clone(),
            at: notice.success_time?,
        },
        NoticeStatus::Failed => Word::Failed { code: error_code(notice.error_code.clone()) },
        NoticeStatus::Closed => Word::Closed,
    })
}

/// None: a success without its time, or a state that a refund cannot have.
fn refund_word(notice: &Notice) -> Option<refund::Word> {
    match notice.status {
        NoticeStatus::Succeeded => notice.success_time.map(|at| refund::Word::Succeeded { at }),
        NoticeStatus::Failed => Some(refund::Word::Failed { code: error_code(notice.error_code.clone()) }),
        NoticeStatus::Closed => None,
    }
}
