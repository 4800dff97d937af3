//! Moving the money of a split: level by level, each line by a transfer of its own id. What a channel divides it divides first ([`super::call`]);
//! a line follows when the channel said that its share succeeded.
//!
//! | a process dies | what is left | who goes on |
//! |---|---|---|
//! | before lines are SENT | they wait | the job runs again |
//! | after lines are SENT | perhaps a transfer half-way | the job runs the same transfers again: what arrived has arrived |
//! | after they arrived | lines SENT whose receivers have the money | the job runs them again, and marks them |
//! | after a receiver's part was released | the line is not kept yet | the job posts the same release, which was posted, and marks it |
//!
//! A split is looked at under its lock: what was done is marked and what is next is decided ([`look`]), in one transaction for all splits
//! that come at the same time. What the ledger alone can do is done in that transaction, from the first level to the finish: all books lie
//! in one database. Where that cannot be, because the ledger refuses one of the postings or a transfer was begun before, the split goes on in
//! steps of one book each, so that a line that is stuck keeps neither its neighbours nor other splits waiting; the table is about those.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use sqlx::{PgConnection, PgPool};

use super::account::{self, DISCONNECTED_PAUSE};
pub use super::look::{ABOVE_FAILED, Keep, Learnt, Next, RECEIVER_REFUSED, RECEIVER_UNABLE, RECEIVER_WITHOUT_ACCOUNT};
use super::look::{Look, Outside, Turn, restated};
use super::{ChannelAccount, Line, LineStatus, Slice, Split, SplitError, SplitStatus, Splits, call, line, repo};
use crate::base::batcher::{Batched, Results, lane_of};
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{BookId, MerchantId, OrderId, SplitLineId};
use crate::base::outbox::{self, Event};
use crate::book::transfer::{self, SendTransfer};
use crate::channel::{Channels, Progress};
use crate::ledger;
use crate::order;

/// How long to wait while a refund of the order is under way.
const REFUND_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

impl Splits {
    /// Moves what is due of an order's split until nothing is. Job [`super::EXECUTE_JOB`].
    pub async fn execute(&self, book: BookId, order: OrderId) -> Result<Progress, SplitError> {
        let mut learnt = Learnt::default();
        loop {
            if let Some(progress) = self.step(book, order, &mut learnt).await? {
                return Ok(progress);
            }
        }
    }

    /// Marks what the last step did, decides what is next and does it; `learnt` is then what this one did. None: there may be more.
    pub async fn step(&self, book: BookId, order: OrderId, learnt: &mut Learnt) -> Result<Option<Progress>, SplitError> {
        let pause = match self.look(book, order, std::mem::take(learnt)).await? {
            Next::Move(transfers) => {
                let failure = self.move_all(&transfers, learnt).await;
                if let Some(error) = failure {
                    // what did arrive is marked all the same
                    self.look(book, order, std::mem::take(learnt)).await?;
                    return Err(error);
                }
                None
            }
            Next::Keep(keeps) => {
                self.release_kept(&keeps).await?;
                learnt.kept = keeps.iter().map(|keep| keep.line).collect();
                None
            }
            Next::Introduce(accounts) => self.introduce(&accounts).await?,
            Next::Ask(asks) => self.ask_all(&asks).await?,
            Next::Again => None,
            Next::Disconnected => Some(DISCONNECTED_PAUSE),
            Next::Refunding => Some(REFUND_PAUSE),
            Next::Settled => return Ok(Some(Progress::Settled)),
        };
        Ok(pause.map(Progress::AskAgain))
    }

    /// Decides and stores what is the next step. Lines are SENT when this returns their transfers.
    pub async fn advance(&self, book: BookId, order: OrderId) -> Result<Next, SplitError> {
        let at = LookAt { book, order, learnt: Learnt::default() };
        let looks = Looks { db: self.db.clone(), clock: self.clock.clone(), channels: self.channels.clone() };
        let looked = retrying(SplitError::retryable, || looks.look_all(std::slice::from_ref(&at), Way::Steps)).await?;
        looked.into_iter().next().unwrap_or(Err(SplitError::NotFound))
    }

    async fn look(&self, book: BookId, order: OrderId, learnt: Learnt) -> Result<Next, SplitError> {
        Ok(self.looks.submit(LookAt { book, order, learnt }).await?)
    }

    /// Runs transfers, all at the same time. One that cannot move does not keep the others waiting: gives the first failure.
    async fn move_all(&self, transfers: &[SendTransfer], learnt: &mut Learnt) -> Option<SplitError> {
        let mut failure = None;
        let moved = join_all(transfers.iter().map(|transfer| self.transfers.run(*transfer))).await;
        for (transfer, moved) in transfers.iter().zip(moved) {
            match moved {
                Ok(()) => learnt.arrived.push(SplitLineId(transfer.id.0)),
                Err(error) => {
                    tracing::error!(line_id = %transfer.id, error = &error as &dyn std::error::Error, "a part of a split could not be moved");
                    failure.get_or_insert(error.into());
                }
            }
        }
        failure
    }

    /// Makes receivers' own parts their pending money, with those of other splits that come at the same time. What was released before is
    /// left as it is.
    async fn release_kept(&self, keeps: &[Keep]) -> Result<(), SplitError> {
        let releases = keeps.iter().filter_map(Keep::release).map(|release| self.ledger.post(release));
        for posted in join_all(releases).await {
            posted?;
        }
        Ok(())
    }
}

/// Asks for a look at a split.
#[derive(Clone, Debug)]
pub(super) struct LookAt {
    book: BookId,
    order: OrderId,
    learnt: Learnt,
}

/// Looks at splits, at many in one transaction.
#[derive(Clone)]
pub(super) struct Looks {
    pub db: PgPool,
    pub clock: Clock,
    pub channels: Channels,
}

impl Batched for Looks {
    type Command = LookAt;
    type Answer = Next;
    type Error = SplitError;

    fn lane(&self, at: &LookAt) -> u64 {
        lane_of(at.book.0)
    }

    fn bytes(&self, at: &LookAt) -> usize {
        size_of::<LookAt>() + size_of::<SplitLineId>() * (at.learnt.arrived.len() + at.learnt.kept.len())
    }

    /// A split that cannot be moved all at once fails all, which are then looked at one by one, and that one goes on in steps.
    async fn run(&self, batch: &[LookAt]) -> Results<Next, SplitError> {
        match retrying(SplitError::retryable, || self.look_all(batch, Way::AtOnce)).await {
            Err(SplitError::Posting(_) | SplitError::Changed) if batch.len() == 1 => {
                retrying(SplitError::retryable, || self.look_all(batch, Way::Steps)).await
            }
            done => done,
        }
    }
}

/// A split as it was found, and as the look leaves it.
struct Seen {
    found: (Split, Vec<Line>),
    look: Look,
}

/// How a look does what the ledger alone can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// In its own transaction, all that there is.
    AtOnce,
    /// In steps of one book each, after the look, so that each line goes its own way.
    Steps,
}

impl Looks {
    async fn look_all(&self, batch: &[LookAt], way: Way) -> Results<Next, SplitError> {
        let now = self.clock.now();
        let keys: Vec<_> = batch.iter().map(|at| (at.book, at.order)).collect();
        let mut tx = self.db.begin().await?;
        let mut found = found_in_tx(&mut tx, &keys).await?;
        let mut again = HashSet::new();
        let mut seen: Vec<Result<Seen, Result<Next, SplitError>>> = Vec::with_capacity(batch.len());
        for at in batch {
            seen.push(match found.remove(&(at.book, at.order)) {
                Some(mut look) => {
                    again.insert((at.book, at.order));
                    let found = (look.split.clone(), look.lines.clone());
                    look.mark(&at.learnt, now);
                    Ok(Seen { found, look })
                }
                // the second of two looks at the same split finds what the first left, the next time
                None if again.contains(&(at.book, at.order)) => Err(Ok(Next::Again)),
                None => Err(Err(SplitError::NotFound)),
            });
        }
        let facts = Facts::read_in_tx(&mut tx, seen.iter().flatten().map(|seen| &seen.look)).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut looks = Vec::with_capacity(batch.len());
        for seen in seen {
            answers.push(match seen {
                Ok(mut seen) => {
                    let next = self.next(&mut seen.look, &facts, way, now);
                    looks.push(seen);
                    Ok(next)
                }
                Err(answer) => answer,
            });
        }
        if write_in_tx(&mut tx, &looks, now).await? {
            tx.commit().await?;
        }
        Ok(answers)
    }

    /// What is next of a split, when what the ledger alone can do is done, or all at once is not the way.
    fn next(&self, look: &mut Look, facts: &Facts, way: Way, now: DateTime<Utc>) -> Next {
        let receivers_max = |channel: &str| Some(self.channels.divider(channel)?.caps().receivers_max);
        let refunding = facts.refunding.contains(&look.split.order);
        let outside = Outside { able: &facts.able, accounts: &facts.accounts, refunding, receivers_max: &receivers_max };
        loop {
            let next = match look.turn(now) {
                Turn::Is(next) => next,
                Turn::Send(due) => look.send(&due, &outside, now),
            };
            if way == Way::Steps || !look.carry_out(&next, now) {
                return next;
            }
            if !look.new_calls.is_empty() {
                // they are stored first
                return Next::Again;
            }
        }
    }
}

/// What lies outside of the splits of a batch and decides about lines that wait.
struct Facts {
    /// Receivers that may be paid (S8).
    able: HashSet<MerchantId>,
    accounts: Vec<ChannelAccount>,
    /// Orders with a refund under way (S7).
    refunding: HashSet<OrderId>,
}

impl Facts {
    /// Up to three statements.
    async fn read_in_tx<'l>(tx: &mut PgConnection, looks: impl Iterator<Item = &'l Look>) -> Result<Self, SplitError> {
        let (mut receivers, mut divided, mut begun) = (Vec::<MerchantId>::new(), Vec::<MerchantId>::new(), Vec::new());
        for look in looks {
            for line in look.lines.iter().filter(|line| line.status == LineStatus::Wait) {
                receivers.push(line.receiver);
                if look.upstream(line).is_some() {
                    divided.push(line.receiver);
                }
                if line.parent.is_none() {
                    begun.push((line.merchant.book(), line.order));
                }
            }
        }
        Ok(Self {
            able: if receivers.is_empty() { HashSet::new() } else { repo::able_in_tx(tx, &receivers).await? },
            accounts: if divided.is_empty() { Vec::new() } else { account::repo::of_merchants_in_tx(tx, &divided).await? },
            refunding: if begun.is_empty() { HashSet::new() } else { repo::refunds_open_in_tx(tx, &begun).await? },
        })
    }
}

/// Locks orders and their splits (S7), and reads all of these. Four statements, and two for each split that a channel divides.
async fn found_in_tx(tx: &mut PgConnection, keys: &[(BookId, OrderId)]) -> Result<HashMap<(BookId, OrderId), Look>, SplitError> {
    order::repo::lock_in_tx(tx, keys).await?;
    let splits = repo::lock_all_in_tx(tx, keys).await?;
    let mut lines: HashMap<OrderId, Vec<Line>> = HashMap::new();
    for line in line::repo::lines_of_in_tx(tx, keys).await? {
        lines.entry(line.order).or_default().push(line);
    }
    let mut slices: HashMap<OrderId, Vec<Slice>> = HashMap::new();
    for (order, slice) in repo::slices_of_in_tx(tx, keys).await? {
        slices.entry(order).or_default().push(slice);
    }
    let mut found = HashMap::with_capacity(splits.len());
    for split in splits {
        let (book, order) = (split.merchant.book(), split.order);
        let slices = slices.remove(&order).unwrap_or_default();
        let divided = slices.iter().any(|slice| slice.upstream.is_some());
        let calls = if divided { call::repo::of_order(tx, book, order).await? } else { Vec::new() };
        found.insert((book, order), Look::new(split, lines.remove(&order).unwrap_or_default(), slices, calls));
    }
    Ok(found)
}

/// Writes what looks changed. Whether there was anything.
async fn write_in_tx(tx: &mut PgConnection, seen: &[Seen], now: DateTime<Utc>) -> Result<bool, SplitError> {
    let lines = seen.iter().flat_map(|seen| seen.look.lines.iter().zip(&seen.found.1));
    let lines: Vec<_> = lines.filter(|(line, found)| line != found).map(|(line, found)| (line, found.status)).collect();
    let splits = seen.iter().filter(|seen| seen.look.split != seen.found.0);
    let splits: Vec<(&Split, SplitStatus)> = splits.map(|seen| (&seen.look.split, seen.found.0.status)).collect();
    let calls: Vec<_> = seen.iter().flat_map(|seen| seen.look.new_calls.iter().cloned()).collect();
    let events: Vec<Event> = seen.iter().flat_map(|seen| seen.look.events.iter().cloned()).collect();
    let postings: Vec<_> = seen.iter().flat_map(|seen| seen.look.postings.iter().cloned()).collect();
    let moved: Vec<SendTransfer> = seen.iter().flat_map(|seen| seen.look.moved.iter().copied()).collect();
    if lines.is_empty() && splits.is_empty() && calls.is_empty() {
        return Ok(false);
    }
    let unchanged = line::repo::update_lines_in_tx(tx, &lines).await? && repo::update_all_in_tx(tx, &splits).await?;
    // a transfer that is there already was begun in steps
    if !unchanged || !transfer::record_arrived_in_tx(tx, &moved).await? {
        return Err(SplitError::Changed);
    }
    if !calls.is_empty() {
        call::repo::insert_in_tx(tx, &calls).await?;
    }
    outbox::append_in_tx(tx, &events).await?;
    for outcome in ledger::post_in_tx(tx, &postings, business_day(now), now).await? {
        outcome.map_err(SplitError::Posting)?;
    }
    Ok(true)
}

/// Locks an order and its split (S7), and reads the lines.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> Result<(Split, Vec<Line>), SplitError> {
    order::repo::lock_in_tx(tx, &[(book, order)]).await?.pop().ok_or(SplitError::NotFound)?;
    let split = repo::lock_in_tx(tx, book, order).await?.ok_or(SplitError::NotFound)?;
    let lines = line::repo::lines_in_tx(tx, book, order).await?;
    Ok((split, lines))
}

/// Writes the split with the state that its lines give it. The event of a new state.
pub(super) async fn restate_in_tx(
    tx: &mut PgConnection,
    split: &mut Split,
    lines: &[Line],
    now: DateTime<Utc>,
) -> Result<Option<Event>, SplitError> {
    let from = split.status;
    let event = restated(split, lines, now);
    if !repo::update_in_tx(tx, split, from).await? {
        return Err(SplitError::Changed);
    }
    Ok(event)
}
