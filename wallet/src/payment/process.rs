//! Taking in the channel's word on payments, from a notice, a query or a closing: all end in one `apply`, set-based, whatever their number.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::{self, Batch};
use super::rules::{self, AttemptStatus, Look, Verdict, Word};
use super::{Attempt, Outcome, PaymentError, Payments, QUERY_JOB, repo, word_of};
use crate::base::actor::Actor;
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, RefundId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job;
use crate::base::outbox::Event;
use crate::booking::Booking;
use crate::channel::acquirer::{PaymentState, Spoken, TransferWord};
use crate::channel::inbox::{self, Delivery, NoticeError, NoticeKey, Waiting};
use crate::channel::repo::{Numbered, resolve_in_tx};
use crate::channel::{Channels, Progress, ask_again};
use crate::order::{self, Order, OrderStatus};
use crate::subsidy::reservation;
use crate::{refund, split};

/// Most orders that one look closes after their time.
const OVERDUE_MAX: i64 = 500;

/// Closes an order so that nobody can pay it any more.
#[derive(Clone, Debug, Serialize)]
pub struct CloseOrder {
    pub merchant: MerchantId,
    pub order: OrderId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// What a look into the inbox came to.
#[derive(Clone, Debug, Default)]
pub struct Processed {
    /// How many notices were processed.
    pub notices: usize,
    /// What was told of it: it lies in the outbox, and is on its way to everybody. Whoever watches here need not wait for that.
    pub events: Vec<Event>,
}

impl Payments {
    /// Takes in a notice as it came: verify, store, return. Answer 2xx when this is `Ok`; [`Payments::process_notices`] does the rest.
    pub async fn accept_notice(&self, channel: &str, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, NoticeError> {
        let acquirer = self.channels.get(channel).ok_or(NoticeError::UnknownChannel)?;
        let notice = inbox::verify(acquirer, headers, body, self.clock.now())?;
        Ok(self.inbox.submit(notice).await?)
    }

    /// Processes at most `limit` waiting notices in one transaction, payments and refunds alike.
    ///
    /// Several workers may run this at once. When a batch fails, its notices are tried one by one, so that a bad one never holds up
    /// its neighbours; one that keeps failing is left for a person after [`inbox::ATTEMPTS_MAX`] tries, and the query finds the truth.
    pub async fn process_notices(&self, limit: i64) -> Result<Processed, PaymentError> {
        let (seen, result) = self.process_batch(None, limit).await;
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) if seen.is_empty() => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(notices = seen.len(), error = &error as &dyn std::error::Error, "a batch of notices failed; trying one by one");
        let mut done = Processed::default();
        for key in seen {
            match self.process_batch(Some(&key), 1).await.1 {
                Ok(one) => {
                    done.notices += one.notices;
                    done.events.extend(one.events);
                }
                Err(error) => {
                    tracing::error!(?key, error = &error as &dyn std::error::Error, "a notice could not be processed");
                    inbox::count_failure(&self.db, &key).await?;
                }
            }
        }
        Ok(done)
    }

    /// One transaction. Gives the notices it looked at, whether or not they were processed.
    async fn process_batch(&self, only: Option<&NoticeKey>, limit: i64) -> (Vec<NoticeKey>, Result<Processed, PaymentError>) {
        let seen = std::sync::Mutex::new(Vec::new());
        let result = retrying(PaymentError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let waiting = inbox::lock_waiting_in_tx(&mut tx, &self.channels.names(), only, limit).await?;
            *seen.lock().expect("nothing panics while it is held") = waiting.iter().map(|w| w.key.clone()).collect();
            if waiting.is_empty() {
                return Ok(Processed::default());
            }
            let (outcomes, events) = take_in_notices_in_tx(&mut tx, &self.channels, &waiting, now).await?;
            inbox::finish_in_tx(&mut tx, &outcomes, now).await?;
            tx.commit().await?;
            Ok(Processed { notices: outcomes.len(), events })
        })
        .await;
        (seen.into_inner().unwrap_or_default(), result)
    }

    /// Asks the channel what became of an attempt, and closes it there when its order can no longer be paid. One that came to nothing is asked
    /// about twice more, later: see [`rules::later_look`]. Job [`super::QUERY_JOB`].
    pub async fn query(&self, book: BookId, attempt: AttemptId) -> Result<Progress, PaymentError> {
        let attempt = self.by_ids(&[(book.merchant(), attempt)]).await?.pop().ok_or(PaymentError::NotFound)?;
        if !attempt.status.live() {
            return self.look_again(&attempt).await;
        }
        let order = order::repo::by_ids(&self.db, &[(attempt.merchant, attempt.order)]).await?.pop().ok_or(PaymentError::NotFound)?;
        let attempts = self.of_orders(&[(attempt.merchant, attempt.order)]).await?;
        let over = order.expires_at <= self.clock.now()
            || matches!(order.status, OrderStatus::Paid | OrderStatus::Closed)
            || rules::given_up(&attempt, &attempts, self.clock.now());
        let channel = self.channels.get(&attempt.channel).ok_or(PaymentError::NoChannel)?;
        let answer = if over {
            // says where it stands if the customer was faster, and bars a request that is still on its way
            channel.close(&attempt.asked()).await.map(Some)
        } else {
            channel.query(&attempt.asked()).await
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
        let paid = matches!(word, Word::Succeeded { .. });
        self.apply(&[Outcome { book, attempt: attempt.id, word }]).await?;
        // what came to nothing is looked at again, in its time
        Ok(if paid { Progress::Settled } else { ask_again(self.clock.now() - attempt.sent_at) })
    }

    /// Asks about an attempt that came to nothing, whether it was paid all the same.
    async fn look_again(&self, attempt: &Attempt) -> Result<Progress, PaymentError> {
        let next = match rules::later_look(attempt, self.clock.now()) {
            Look::Never => return Ok(Progress::Settled),
            Look::In(wait) => return Ok(Progress::AskAgain(wait)),
            Look::Now { next } => next,
        };
        let channel = self.channels.get(&attempt.channel).ok_or(PaymentError::NoChannel)?;
        match channel.query(&attempt.asked()).await {
            Ok(state) => {
                if let Some(word @ Word::Succeeded { .. }) = state.map(word_of) {
                    self.apply(&[Outcome { book: attempt.merchant.book(), attempt: attempt.id, word }]).await?;
                    return Ok(Progress::Settled);
                }
                Ok(next.map_or(Progress::Settled, Progress::AskAgain))
            }
            Err(error) => {
                tracing::warn!(attempt_id = %attempt.id, error = &error as &dyn std::error::Error, "could not look again at a payment");
                Ok(ask_again(self.clock.now() - attempt.sent_at))
            }
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
            self.close_attempt(&attempt).await?;
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
                close_in_tx(&mut tx, &mut order, now).await?;
            }
        }
        idempotency::complete_in_tx(&mut tx, scope, &order).await?;
        tx.commit().await?;
        Ok(Closing::Done(Box::new(order)))
    }

    /// Closes the orders whose time is over while nobody paid them and that reserve some of a budget, so that others may have it. Gives how many.
    /// Orders that reserve nothing are closed by their time alone, without a write.
    ///
    /// One transaction each; dies the process, the next look finds the rest. An order that somebody is paying is closed with its last attempt.
    pub async fn close_overdue(&self) -> Result<usize, PaymentError> {
        let (mut closed, mut failure) = (0, None);
        for (book, order) in order::repo::reserving_overdue(&self.db, self.clock.now(), OVERDUE_MAX).await? {
            match retrying(PaymentError::retryable, || self.close_overdue_one(book, order)).await {
                Ok(done) => closed += usize::from(done),
                Err(error) => {
                    tracing::error!(%order, error = &error as &dyn std::error::Error, "an order could not be closed after its time");
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(closed), Err)
    }

    async fn close_overdue_one(&self, book: BookId, order: OrderId) -> Result<bool, PaymentError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut order = order::repo::lock_in_tx(&mut tx, &[(book, order)]).await?.pop().ok_or(PaymentError::NotFound)?;
        // somebody began to pay it, or another worker was faster
        if order.status != OrderStatus::Created || order.expires_at > now {
            return Ok(false);
        }
        close_in_tx(&mut tx, &mut order, now).await?;
        tx.commit().await?;
        Ok(true)
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

/// Closes a locked order that nobody is paying, and gives up what it reserved of a budget.
async fn close_in_tx(tx: &mut PgConnection, order: &mut Order, now: DateTime<Utc>) -> Result<(), PaymentError> {
    (order.status, order.closed_at) = (OrderStatus::Closed, Some(now));
    order::repo::update_in_tx(tx, std::slice::from_ref(order)).await?;
    let freed = order.subsidy.map(|_| reservation::freed(order.id)).into_iter().collect();
    let booking = Booking { freed, events: vec![batch::closed(order, now)], ..Booking::default() };
    booking.write_in_tx(tx, now).await?.map_err(PaymentError::Posting)
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
    let order_ids = repo::orders_of_in_tx(tx, &wanted).await?;
    let orders = order::repo::lock_in_tx(tx, &order_ids).await?;
    let attempts = repo::lock_in_tx(tx, &order_ids).await?;
    let channel_of: HashMap<_, _> = attempts.iter().map(|a| (a.id, a.channel.as_str())).collect();
    let told = outcomes.iter().filter_map(|o| match &o.word {
        Word::Succeeded { transaction_id, .. } => Some(((*channel_of.get(&o.attempt)?).to_owned(), transaction_id.clone())),
        _ => None,
    });
    let bound = repo::bindings_in_tx(tx, &told.collect::<Vec<_>>()).await?;

    let mut batch = Batch::new(orders, attempts, bound);
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| batch.take_in(outcome, now)).collect();

    if !repo::bind_in_tx(tx, &batch.bindings).await? {
        return Err(PaymentError::BoundMeanwhile);
    }
    let changed = batch.attempts();
    repo::update_in_tx(tx, &changed).await?;
    order::repo::update_in_tx(tx, &batch.orders()).await?;
    let asked_no_more = |attempt: &&Attempt| !attempt.status.live() && matches!(rules::later_look(attempt, now), Look::Never);
    let settled: Vec<Uuid> = changed.iter().filter(asked_no_more).map(|attempt| attempt.id.0).collect();
    job::settle_in_tx(tx, QUERY_JOB, &settled).await?;
    if !batch.refunds.is_empty() {
        refund::insert_in_tx(tx, &batch.refunds).await?;
    }
    let splits = batch.splits(now);
    let divided = if splits.is_empty() { Booking::default() } else { split::plan_in_tx(tx, &splits, now).await? };
    Ok((verdicts, batch.booking.and(divided)))
}

/// Turns notices into words about our attempts and refunds and applies them. One outcome per notice, for its row.
async fn take_in_notices_in_tx(
    tx: &mut PgConnection,
    channels: &Channels,
    waiting: &[Waiting],
    now: DateTime<Utc>,
) -> Result<(Vec<(NoticeKey, &'static str)>, Vec<Event>), PaymentError> {
    let mut words: Vec<&'static str> = vec![inbox::UNKNOWN_REQUEST; waiting.len()];
    let (mut paid, mut refunded) = (Vec::new(), Vec::new());
    for (place, notice) in waiting.iter().enumerate() {
        match serde_json::from_slice(&notice.content) {
            Ok(Spoken::Payment { request_no, word }) => paid.push((place, request_no, word)),
            // taken in, no result: nothing to act on
            Ok(Spoken::Refund { word: TransferWord::Accepted, .. } | Spoken::Payout { .. } | Spoken::Other { .. }) => {
                words[place] = inbox::NOTED
            }
            Ok(Spoken::Refund { request_no, amount_minor, currency, word }) => {
                let Some(channel) = channels.get(&notice.key.channel) else { continue };
                let word = match word {
                    TransferWord::Succeeded { at } => {
                        refund::Word::Told { at, amount_minor, currency, sum: channel.tells_sums_of_refunds() }
                    }
                    TransferWord::Failed { code } => refund::refused(channel, code),
                    TransferWord::Accepted => refund::Word::Accepted,
                };
                refunded.push((place, request_no, word));
            }
            Err(_) => words[place] = inbox::MALFORMED,
        }
    }
    let known = numbers_in_tx(tx, "PAYMENT", paid.iter().map(|(_, number, _)| number)).await?;
    let payments = paid.into_iter().filter_map(|(place, number, word)| {
        let n = known.get(&number)?;
        let word = word_of(PaymentState { invitation: None, word });
        Some((place, Outcome { book: n.book, attempt: AttemptId(n.subject), word }))
    });
    let (payment_places, payments): (Vec<_>, Vec<_>) = payments.unzip();
    let known = numbers_in_tx(tx, "REFUND", refunded.iter().map(|(_, number, _)| number)).await?;
    let refunds = refunded.into_iter().filter_map(|(place, number, word)| {
        let n = known.get(&number)?;
        Some((place, refund::Outcome { book: n.book, refund: RefundId(n.subject), word }))
    });
    let (refund_places, refunds): (Vec<_>, Vec<_>) = refunds.unzip();

    if !payments.is_empty() && !refunds.is_empty() {
        // both halves lock orders and then their attempts or refunds: all orders come first, so that nobody waits in a circle
        let mut orders = repo::orders_of_in_tx(tx, &payments.iter().map(|o| (o.book, o.attempt)).collect::<Vec<_>>()).await?;
        orders.extend(refund::orders_of_in_tx(tx, &refunds).await?);
        order::repo::lock_in_tx(tx, &orders).await?;
    }
    let (payment_verdicts, payments) = apply_in_tx(tx, &payments, now).await?;
    let (refund_verdicts, refunds) = refund::apply_in_tx(tx, &refunds, now).await?;
    let booking = payments.and(refunds);
    booking.write_in_tx(tx, now).await?.map_err(PaymentError::Posting)?;
    for (place, verdict) in payment_places.into_iter().zip(payment_verdicts) {
        words[place] = verdict.map_or(inbox::UNKNOWN_REQUEST, rules::Verdict::as_str);
    }
    for (place, verdict) in refund_places.into_iter().zip(refund_verdicts) {
        words[place] = verdict.map_or(inbox::UNKNOWN_REQUEST, refund::Verdict::as_str);
    }
    Ok((waiting.iter().map(|w| w.key.clone()).zip(words).collect(), booking.events))
}

async fn numbers_in_tx<'a>(
    tx: &mut PgConnection,
    kind: &str,
    numbers: impl Iterator<Item = &'a String>,
) -> sqlx::Result<HashMap<String, Numbered>> {
    Ok(resolve_in_tx(tx, kind, &numbers.cloned().collect::<Vec<_>>()).await?.into_iter().collect())
}
