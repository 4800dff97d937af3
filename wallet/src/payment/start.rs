//! Starting to pay, many at a time. Two batched transactions round one call of the channel per payment:
//! prepare: lock orders → lock attempts → read keys → decide → attempts, jobs, keys; record: lock attempts → read keys → decide → both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgTransaction;

use super::repo::Unrouted;
use super::route::{Routing, channel_name};
use super::rules::{self, AttemptStatus, Start, Wish};
use super::{Attempt, Freeze, Outcome, PaymentError, Payments, QUERY_JOB, StartPayment, Word, repo, word_of};
use crate::base::actor::Actor;
use crate::base::batcher::{Batched, Results, lane_of};
use crate::base::clock::Clock;
use crate::base::db::{self, retrying};
use crate::base::id::{AttemptId, OrderId};
use crate::base::idempotency::{CommandHash, Keys, Scope};
use crate::base::job::{self, NewJob};
use crate::channel::acquirer::{Fault, Invitation, Method, PaymentOrder, PaymentState, PaymentWord};
use crate::channel::divider::Divider;
use crate::channel::{ChannelError, Channels};
use crate::order::{self, Order, OrderStatus};
use crate::routing::{ChannelName, Outcome as RouteOutcome, Routed, Ticket};

/// Most calls of channels in one start: to two of them, or to one after another was closed.
const CALLS_MAX: usize = 2;

/// What the first transaction of a start found.
#[derive(Debug)]
pub enum Prepared {
    Answered(Attempt),
    /// The channel is to be called, for what the customer buys.
    ToCall {
        subject: String,
        expires_at: DateTime<Utc>,
        attempt: Attempt,
        /// Of a new attempt: what the router is to hear of it.
        ticket: Option<Ticket>,
    },
    /// The customer pays in another way now: this attempt is to be closed first.
    ToClose(Attempt),
    /// No other channel takes it, or it has come to its end: the caller is told of this attempt as it stands.
    AsItStands(AttemptId),
}

/// What the channel's answer to a start leaves to be stored of the attempt itself.
#[derive(Clone, Debug)]
pub enum Said {
    /// The customer can pay here.
    Pending { invitation: Invitation },
    /// Nothing that counts: the channel is asked again.
    Nothing,
    /// A final word, which was taken in already.
    Final,
}

/// Ends a start: stores what was said and what the caller is told.
#[derive(Clone, Debug)]
pub struct Record {
    pub cmd: StartPayment,
    pub attempt: AttemptId,
    pub said: Said,
}

impl Payments {
    /// Starts to pay an order, or goes on with the attempt that is open. The ticket holder, the merchant's owner and the platform may.
    pub async fn start(&self, actor: &Actor, cmd: StartPayment) -> Result<Attempt, PaymentError> {
        actor.require_payer(cmd.merchant, cmd.order)?;
        let mut cmd = cmd;
        for calls_left in (0..CALLS_MAX).rev() {
            let attempt = match self.preparation.submit(cmd.clone()).await? {
                Prepared::Answered(attempt) => return Ok(attempt),
                Prepared::AsItStands(attempt) => return Ok(self.recording.submit(Record { cmd, attempt, said: Said::Final }).await?),
                Prepared::ToClose(attempt) => {
                    self.close_attempt(&attempt).await?;
                    continue;
                }
                Prepared::ToCall { subject, expires_at, attempt, ticket } => {
                    match self.call(&cmd, subject, expires_at, &attempt, ticket, calls_left > 0).await? {
                        Called::Said(said) => return Ok(self.recording.submit(Record { cmd, attempt: attempt.id, said }).await?),
                        Called::Elsewhere => attempt,
                    }
                }
            };
            cmd.failed = Some(attempt.id);
        }
        // only closing took the last turn
        Err(PaymentError::StillPaying)
    }

    /// Calls the channel of an attempt and tells the router. `elsewhere`: another channel may be tried where this one came to nothing by
    /// its own doing and invited nobody.
    async fn call(
        &self,
        cmd: &StartPayment,
        subject: String,
        expires_at: DateTime<Utc>,
        attempt: &Attempt,
        ticket: Option<Ticket>,
        elsewhere: bool,
    ) -> Result<Called, PaymentError> {
        let Some(channel) = self.channels.get(&attempt.channel) else {
            self.tell(ticket, RouteOutcome::NotSent);
            return Err(PaymentError::NoChannel);
        };
        let request = PaymentOrder {
            request_no: attempt.id.simple(),
            amount: attempt.amount,
            description: subject,
            method: attempt.method,
            payer: cmd.payer.clone(),
            expires_at,
            split: attempt.frozen.is_some(),
            return_url: cmd.return_url.clone(),
        };
        let answer = channel.pay(&request).await;
        let outcome = RouteOutcome::of(&answer, |code| channel.fault(code));
        self.tell(ticket, outcome);
        let by_channel = matches!(outcome, RouteOutcome::Failed(Fault::Channel | Fault::Ours));
        match answer {
            Ok(PaymentState { invitation: Some(invitation), word: PaymentWord::Pending }) => Ok(Called::Said(Said::Pending { invitation })),
            Ok(PaymentState { invitation: None, word: PaymentWord::Pending }) => Ok(Called::Said(Said::Nothing)),
            Ok(state) => self.final_word(attempt, word_of(state), elsewhere && by_channel).await,
            Err(ChannelError::Refused { code }) => self.final_word(attempt, Word::Failed { code }, elsewhere && by_channel).await,
            Err(error) => {
                tracing::warn!(attempt_id = %attempt.id, error = &error as &dyn std::error::Error, "a payment was sent without an answer");
                // a code that was scanned may be paid although nobody was invited
                if !elsewhere || attempt.method == Method::Barcode {
                    return Ok(Called::Said(Said::Nothing));
                }
                repo::mark_unknown(&self.db, attempt.merchant.book(), attempt.id).await?;
                Ok(Called::Elsewhere)
            }
        }
    }

    async fn final_word(&self, attempt: &Attempt, word: Word, elsewhere: bool) -> Result<Called, PaymentError> {
        let outcome = Outcome { book: attempt.merchant.book(), attempt: attempt.id, word };
        self.apply(&[outcome]).await.map_err(PaymentError::or_busy)?;
        Ok(if elsewhere { Called::Elsewhere } else { Called::Said(Said::Final) })
    }

    fn tell(&self, ticket: Option<Ticket>, outcome: RouteOutcome) {
        if let Some(ticket) = ticket {
            self.routing.router().record(ticket, outcome, self.clock.now());
        }
    }

    /// Closes an attempt at its channel and takes in what that says.
    pub(super) async fn close_attempt(&self, attempt: &Attempt) -> Result<(), PaymentError> {
        let channel = self.channels.get(&attempt.channel).ok_or(PaymentError::NoChannel)?;
        match channel.close(&attempt.asked()).await {
            Ok(state) => {
                let outcome = Outcome { book: attempt.merchant.book(), attempt: attempt.id, word: word_of(state) };
                self.apply(&[outcome]).await.map_err(PaymentError::or_busy)?;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(attempt_id = %attempt.id, error = &error as &dyn std::error::Error, "could not close a payment");
                Err(PaymentError::StillPaying)
            }
        }
    }
}

/// What became of a call.
enum Called {
    Said(Said),
    /// It came to nothing here.
    Elsewhere,
}

/// Transaction 1 of a start: the key, the attempt as SENT with its number, and the job that will ask.
#[derive(Debug)]
pub struct Preparation {
    pub db: PgPool,
    pub clock: Clock,
    pub channels: Channels,
    pub routing: Arc<Routing>,
    /// How long after sending the channel is asked, if it has not told by itself.
    pub query_after: TimeDelta,
}

impl Batched for Preparation {
    type Command = StartPayment;
    type Answer = Prepared;
    type Error = PaymentError;

    fn lane(&self, command: &StartPayment) -> u64 {
        lane_of(command.order.0)
    }

    fn bytes(&self, command: &StartPayment) -> usize {
        size_of::<StartPayment>() + command.return_url.as_ref().map_or(0, String::len)
    }

    async fn run(&self, batch: &[StartPayment]) -> Results<Prepared, PaymentError> {
        shared(batch.len(), retrying(PaymentError::retryable, || self.prepare(batch)).await)
    }
}

impl Preparation {
    /// The channels that failed an order by their own doing, or gave no answer.
    fn tried(&self, attempts: &[Attempt]) -> Vec<ChannelName> {
        let by_channel = |a: &&Attempt| match a.status {
            AttemptStatus::Unknown | AttemptStatus::Sent => true,
            AttemptStatus::Failed => a
                .error_code
                .as_deref()
                .is_none_or(|code| self.channels.get(&a.channel).is_none_or(|channel| channel.fault(code) != Fault::User)),
            _ => false,
        };
        attempts.iter().filter(by_channel).filter_map(|a| channel_name(a).ok()).collect()
    }

    /// One transaction of six statements, whatever the number of payments.
    async fn prepare(&self, batch: &[StartPayment]) -> Results<Prepared, PaymentError> {
        let now = self.clock.now();
        let orders: Vec<_> = batch.iter().map(|cmd| (cmd.merchant.book(), cmd.order)).collect();
        let scopes: Vec<Scope> = batch.iter().map(scope).collect();
        let mut tx = self.db.begin().await?;
        let orders_now = order::repo::lock_in_tx(&mut tx, &orders).await?;
        let attempts = repo::lock_in_tx(&mut tx, &orders).await?;
        let keys = Keys::read_in_tx(&mut tx, &scopes).await?;

        let mut starts = Starts::new(orders_now, attempts, keys, self, now);
        let results: Vec<_> = batch.iter().map(|cmd| starts.take_in(cmd)).collect();
        match self.write(tx, starts, now).await {
            Ok(()) => Ok(results),
            Err(error) => {
                for prepared in results.into_iter().flatten() {
                    if let Prepared::ToCall { ticket: Some(ticket), .. } = prepared {
                        self.routing.router().record(ticket, RouteOutcome::NotSent, now);
                    }
                }
                Err(error)
            }
        }
    }

    async fn write(&self, mut tx: PgTransaction<'_>, starts: Starts<'_>, now: DateTime<Utc>) -> Result<(), PaymentError> {
        repo::open_in_tx(&mut tx, &starts.opened).await?;
        repo::insert_unrouted_in_tx(&mut tx, &starts.unrouted, now).await?;
        let run_at = Clock::wall() + self.query_after;
        let query = |(a, _): &(Attempt, String)| NewJob { kind: QUERY_JOB, book: a.merchant.book(), subject: a.id.0, run_at };
        job::enqueue_in_tx(&mut tx, &starts.opened.iter().map(query).collect::<Vec<_>>()).await?;
        starts.keys.write_in_tx(&mut tx, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A batch of starts in memory: each sees what those before it did.
struct Starts<'a> {
    with: &'a Preparation,
    orders: HashMap<OrderId, Order>,
    attempts: HashMap<OrderId, Vec<Attempt>>,
    keys: Keys<Attempt>,
    /// New attempts with the router's decisions, to be written.
    opened: Vec<(Attempt, String)>,
    unrouted: Vec<Unrouted>,
    now: DateTime<Utc>,
}

impl<'a> Starts<'a> {
    fn new(orders: Vec<Order>, attempts: Vec<Attempt>, keys: Keys<Attempt>, with: &'a Preparation, now: DateTime<Utc>) -> Self {
        let mut attempts_of: HashMap<OrderId, Vec<Attempt>> = HashMap::new();
        for attempt in attempts {
            attempts_of.entry(attempt.order).or_default().push(attempt);
        }
        let orders = orders.into_iter().map(|o| (o.id, o)).collect();
        Self { with, orders, attempts: attempts_of, keys, opened: Vec::new(), unrouted: Vec::new(), now }
    }

    /// Decides one start. A rejected one leaves nothing, not even its key.
    fn take_in(&mut self, cmd: &StartPayment) -> Result<Prepared, PaymentError> {
        let order = self.orders.get_mut(&cmd.order).filter(|o| o.merchant == cmd.merchant).ok_or(PaymentError::NotFound)?;
        let attempts = self.attempts.entry(cmd.order).or_default();
        let to_call = |order: &Order, attempt: Attempt, ticket| {
            let (subject, expires_at) = (order.subject.clone(), order.expires_at);
            Prepared::ToCall { subject, expires_at, attempt, ticket }
        };
        let wish = Wish { method: cmd.method, wallet: cmd.wallet };
        let hash = CommandHash::of(cmd);
        let kept = self.keys.find(scope(cmd), hash)?;
        let claimed = kept.is_some();
        if let Some(kept) = kept {
            if let Some(told) = &kept.response {
                return Ok(Prepared::Answered(told.clone()));
            }
            // the call before this one was cut short or is on its way: the same request is sent again, unless it came to nothing
            let claimed = attempts.iter().find(|a| a.id.0 == kept.entity_id).ok_or(PaymentError::NotFound)?;
            let latest = attempts.iter().all(|a| a.sent_at <= claimed.sent_at);
            match (claimed.status.live(), cmd.failed) {
                (true, None) if latest => return Ok(to_call(order, claimed.clone(), None)),
                (false, None) => return Ok(Prepared::AsItStands(claimed.id)),
                _ => {}
            }
        }
        let silent = match rules::start(order, attempts, wish, self.now)? {
            Start::GoOn(id) => {
                let open = attempts.iter().find(|a| a.id == id).ok_or(PaymentError::NotFound)?.clone();
                let answered = open.status == AttemptStatus::UserPending;
                if claimed {
                    return Ok(if answered { Prepared::AsItStands(id) } else { to_call(order, open, None) });
                }
                self.keys.claim(scope(cmd), hash, id.0, answered.then(|| open.clone()));
                return Ok(if answered { Prepared::Answered(open) } else { to_call(order, open, None) });
            }
            Start::Switch(id) => {
                let open = attempts.iter().find(|a| a.id == id).ok_or(PaymentError::NotFound)?;
                return Ok(Prepared::ToClose(open.clone()));
            }
            Start::New { silent } => silent,
        };
        if !order.product.terms.take(cmd.method) {
            return Err(PaymentError::MethodNotAllowed);
        }
        let id = AttemptId::new();
        let tried = self.with.tried(attempts);
        let route = |tried: &[ChannelName]| self.with.routing.route(order, id, wish, tried, self.now);
        let routed = match route(&tried) {
            // a customer who tries again may well succeed where it failed before
            Err(_) if cmd.failed.is_none() && silent.is_none() && !tried.is_empty() => route(&[]),
            routed => routed,
        };
        let Routed { decision, ticket } = match routed {
            Ok(routed) => routed,
            // nobody else takes it: what was tried in this start stands, and what was silent before is asked again
            Err(none) => {
                return match (cmd.failed, silent.and_then(|id| attempts.iter().find(|a| a.id == id))) {
                    (Some(failed), _) => Ok(Prepared::AsItStands(failed)),
                    (None, Some(silent)) => {
                        if !claimed {
                            self.keys.claim(scope(cmd), hash, silent.id.0, None);
                        }
                        Ok(to_call(order, silent.clone(), None))
                    }
                    (None, None) => {
                        if self.with.routing.barred(order, wish.method).next().is_some()
                            && self.with.routing.would_take(order, wish, self.now)
                        {
                            return Err(PaymentError::SplitTooLarge);
                        }
                        let (book, order, decision) = (cmd.merchant.book(), cmd.order, none.to_text());
                        self.unrouted.push(Unrouted { book, attempt: id, order, decision });
                        Err(PaymentError::NoChannel)
                    }
                };
            }
        };
        let attempt = Attempt {
            id,
            merchant: cmd.merchant,
            order: cmd.order,
            channel: decision.channel().to_string(),
            amount: order.payable(),
            status: AttemptStatus::Sent,
            method: cmd.method,
            wallet: cmd.wallet,
            candidate: decision.candidate().to_string(),
            invitation: None,
            transaction_id: None,
            error_code: None,
            surplus: false,
            frozen: self.with.channels.divider(decision.channel().as_str()).and_then(|divider| freeze(order, divider)),
            sent_at: self.now,
            succeeded_at: None,
            resolved_at: None,
        };
        order.status = OrderStatus::Paying;
        if !claimed {
            self.keys.claim(scope(cmd), hash, attempt.id.0, None);
        }
        attempts.push(attempt.clone());
        self.opened.push((attempt.clone(), decision.to_text()));
        Ok(to_call(order, attempt, Some(ticket)))
    }
}

/// By what rules a channel that divides keeps the payment of an order frozen. None: the order's payment is not divided.
fn freeze(order: &Order, divider: &dyn Divider) -> Option<Freeze> {
    order.divided_when_paid()?;
    let caps = divider.caps();
    Some(Freeze { divisible_minor: caps.divisible_minor(order.payable()), days: caps.frozen_days })
}

/// Transaction 2 of a start: what the channel answered, and what the caller is told.
#[derive(Debug)]
pub struct Recording {
    pub db: PgPool,
    pub clock: Clock,
}

impl Batched for Recording {
    type Command = Record;
    type Answer = Attempt;
    type Error = PaymentError;

    fn lane(&self, command: &Record) -> u64 {
        lane_of(command.cmd.order.0)
    }

    fn bytes(&self, command: &Record) -> usize {
        size_of::<Record>() + if let Said::Pending { invitation } = &command.said { invitation.len() } else { 0 }
    }

    async fn run(&self, batch: &[Record]) -> Results<Attempt, PaymentError> {
        shared(batch.len(), retrying(PaymentError::retryable, || self.record(batch)).await)
    }
}

impl Recording {
    /// One transaction of four statements, whatever the number of payments.
    async fn record(&self, batch: &[Record]) -> Results<Attempt, PaymentError> {
        let now = self.clock.now();
        let orders: Vec<_> = batch.iter().map(|r| (r.cmd.merchant.book(), r.cmd.order)).collect();
        let scopes: Vec<Scope> = batch.iter().map(|r| scope(&r.cmd)).collect();
        let mut tx = self.db.begin().await?;
        let attempts = repo::lock_in_tx(&mut tx, &orders).await?;
        let keys = Keys::read_in_tx(&mut tx, &scopes).await?;

        let attempts = attempts.into_iter().map(|a| (a.id, a)).collect();
        let mut answers = Answers { attempts, changed: BTreeSet::new(), keys };
        let results = batch.iter().map(|record| answers.take_in(record)).collect();

        repo::update_in_tx(&mut tx, &answers.changed()).await?;
        answers.keys.write_in_tx(&mut tx, now).await?;
        tx.commit().await?;
        Ok(results)
    }
}

/// A batch of the channel's answers in memory.
struct Answers {
    attempts: BTreeMap<AttemptId, Attempt>,
    changed: BTreeSet<AttemptId>,
    keys: Keys<Attempt>,
}

impl Answers {
    /// Tells the caller how the attempt stands now, unless another call under the same key has told already.
    fn take_in(&mut self, record: &Record) -> Result<Attempt, PaymentError> {
        let attempt = self.attempts.get_mut(&record.attempt).ok_or(PaymentError::NotFound)?;
        let (sent, open) = (attempt.status == AttemptStatus::Sent, matches!(attempt.status, AttemptStatus::Sent | AttemptStatus::Unknown));
        match &record.said {
            Said::Pending { invitation } if open => {
                (attempt.status, attempt.invitation) = (AttemptStatus::UserPending, Some(invitation.clone()));
                self.changed.insert(attempt.id);
            }
            Said::Nothing if sent => {
                attempt.status = AttemptStatus::Unknown;
                self.changed.insert(attempt.id);
            }
            // somebody else was told more meanwhile
            Said::Pending { .. } | Said::Nothing | Said::Final => {}
        }
        let (scope, hash) = (scope(&record.cmd), CommandHash::of(&record.cmd));
        match self.keys.find(scope, hash)?.map(|kept| kept.response.clone()) {
            Some(Some(told)) => return Ok(told),
            Some(None) => self.keys.answer(scope, attempt.clone()),
            None => self.keys.claim(scope, hash, attempt.id.0, Some(attempt.clone())),
        }
        Ok(attempt.clone())
    }

    fn changed(&self) -> Vec<Attempt> {
        self.changed.iter().filter_map(|id| self.attempts.get(id)).cloned().collect()
    }
}

fn scope(cmd: &StartPayment) -> Scope {
    Scope { tenant: cmd.merchant.0, operation: "paymentStart", key: cmd.idempotency_key }
}

/// A failure that every member shares is told to each at once: nobody fares better alone.
fn shared<A>(members: usize, result: Results<A, PaymentError>) -> Results<A, PaymentError> {
    match result {
        Err(error) if error.shared() => {
            tracing::error!(members, error = &error as &dyn std::error::Error, "no connection to start payments with");
            Ok((0..members).map(|_| Err(PaymentError::Busy { retry_after: db::RETRY_AFTER })).collect())
        }
        result => result,
    }
}
