//! Money between books (簿间划转): two balanced postings through the in-transit accounts (在途科目) of both books.
//!
//! | step | in one transaction | book |
//! |---|---|---|
//! | send | the row as SENT, the posting `TRANSFER_OUT` | the one the money leaves |
//! | arrive | the posting `TRANSFER_IN` | the one it goes to |
//! | close | SENT becomes ARRIVED | the one it left |
//!
//! Each step of a transfer touches one book, so it could stay on one shard, and each may be run again: the row and both postings are keyed by the transfer's
//! id. A process that dies between two steps leaves a SENT row, which whoever ran it finishes when it runs it again, and a sweeper in any
//! case ([`Transfers::finish_left_behind`]). Each book sums to zero at every moment; the in-transit accounts of all books sum to what is on
//! its way, and to zero when nothing is. Transfers that are run at the same time take each step together ([`crate::base::batcher`]).
//!
//! Where the books are known to lie in one database, a service may make all steps in a transaction of its own: [`legs`] are posted and
//! [`record_arrived_in_tx`] writes the rows. A transfer that was sent before by its steps is finished by them.

mod error;
pub(crate) mod repo;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

pub use error::TransferError;
pub use rules::{Purpose, SendTransfer, TransferStatus, legs};

use crate::base::batcher::{Batched, Batcher, COMMANDS, Results, lane_of};
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{BookId, TransferId};
use crate::ledger::{self, Rejection};

/// How long after it was sent a transfer is left to whoever sent it.
pub const LEFT_BEHIND_AFTER: TimeDelta = TimeDelta::seconds(5);

/// Transfers that the sweeper takes at a time.
const PAGE: i64 = 200;

/// A transfer as it is stored. Its times are real ones: a sandbox day must not make it look old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    pub what: SendTransfer,
    pub status: TransferStatus,
    pub created_at: DateTime<Utc>,
    pub arrived_at: Option<DateTime<Utc>>,
}

/// What is on its way between books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    pub count: i64,
    /// When the oldest of them left.
    pub oldest: Option<DateTime<Utc>>,
}

impl Open {
    /// How long the oldest has been on its way.
    pub fn age(&self) -> TimeDelta {
        self.oldest.map_or(TimeDelta::zero(), |sent| Clock::wall() - sent)
    }
}

/// The service for transfers. Checks nobody's permission: who calls it has.
#[derive(Clone)]
pub struct Transfers {
    work: Work,
    runs: Batcher<Work>,
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfers").finish_non_exhaustive()
    }
}

impl Transfers {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        let work = Work { db, clock };
        Self { runs: Batcher::new("transfers", COMMANDS, work.clone()), work }
    }

    /// Moves money from book to book: all three steps. The same command again does nothing more; another one under its id is refused.
    ///
    /// # Errors
    /// After [`TransferError::Refused`], `Unsound` and `IdReused` nothing was moved. After any other the money may be on its way: it is
    /// finished by the sweeper, or by the same call again.
    pub async fn run(&self, cmd: SendTransfer) -> Result<(), TransferError> {
        Ok(self.runs.submit(cmd).await?)
    }

    /// Step 1: takes the money out of its book.
    pub async fn send(&self, cmd: SendTransfer) -> Result<(), TransferError> {
        self.work.send(&[cmd]).await
    }

    /// Writes step 1 in the running transaction. Whether it was new; if not, nothing was written.
    pub(super) async fn send_in_tx(&self, tx: &mut PgConnection, cmd: &SendTransfer) -> Result<bool, TransferError> {
        Ok(!self.work.send_in_tx(tx, std::slice::from_ref(cmd)).await?.is_empty())
    }

    /// Step 2: brings what was sent to the other book. Only for what [`Transfers::send`] took.
    pub async fn arrive(&self, cmd: &SendTransfer) -> Result<(), TransferError> {
        self.work.arrive(&[*cmd]).await?.pop().unwrap_or(Ok(()))
    }

    /// Step 3: stores that they arrived.
    pub async fn close(&self, transfers: &[SendTransfer]) -> Result<(), TransferError> {
        self.work.close(transfers).await
    }

    /// Finishes what was sent some time ago and has not arrived. Returns how many arrived.
    ///
    /// One that cannot arrive does not keep the others waiting: it is logged, stays SENT and grows old.
    pub async fn finish_left_behind(&self) -> Result<usize, TransferError> {
        let (before, mut after, mut arrived) = (Clock::wall() - LEFT_BEHIND_AFTER, None, 0);
        loop {
            let page = repo::left_behind(&self.work.db, before, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(arrived) };
            after = Some((last.created_at, last.what.id));
            let page: Vec<SendTransfer> = page.iter().map(|t| t.what).collect();
            arrived += self.finish_all(&page).await?;
        }
    }

    /// Steps 2 and 3 of many. Returns how many arrived.
    pub(super) async fn finish_all(&self, transfers: &[SendTransfer]) -> Result<usize, TransferError> {
        let outcomes = self.work.arrive_and_close(transfers).await?;
        Ok(outcomes.into_iter().filter(Result::is_ok).count())
    }

    /// A transfer of a book.
    pub async fn get(&self, book: BookId, id: TransferId) -> Result<Transfer, TransferError> {
        repo::find(&self.work.db, book, id).await?.ok_or(TransferError::NotFound)
    }

    /// What is on its way now, for the alarm about what takes too long. One statement.
    pub async fn open(&self) -> Result<Open, TransferError> {
        Ok(repo::open(&self.work.db).await?)
    }
}

/// Writes down transfers whose [`legs`] are posted in the running transaction. Whether all were new; if not, it must be rolled back. Those
/// with ids made for them in the same transaction always are.
pub(crate) async fn record_arrived_in_tx(tx: &mut PgConnection, transfers: &[SendTransfer]) -> sqlx::Result<bool> {
    if transfers.is_empty() {
        return Ok(true);
    }
    Ok(repo::insert_in_tx(tx, transfers, TransferStatus::Arrived, Clock::wall()).await?.len() == transfers.len())
}

/// Runs steps, each for many transfers at once.
#[derive(Clone)]
struct Work {
    db: PgPool,
    clock: Clock,
}

impl Work {
    /// Step 1 of many in one transaction: all that are new, or none. What was sent before, by the same command, is left as it is.
    async fn send(&self, transfers: &[SendTransfer]) -> Result<(), TransferError> {
        transfers.iter().try_for_each(rules::check)?;
        rules::one_for_each_id(transfers)?;
        retrying(TransferError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let new = self.send_in_tx(&mut tx, transfers).await?;
            tx.commit().await?;
            for known in transfers.iter().filter(|t| !new.contains(&(t.from, t.id))) {
                let stored = repo::find(&self.db, known.from, known.id).await?.ok_or(TransferError::NotFound)?;
                if stored.what != *known {
                    return Err(TransferError::IdReused);
                }
            }
            Ok(())
        })
        .await
    }

    /// Writes step 1 of many. Those that are new: the others were left as they are.
    async fn send_in_tx(&self, tx: &mut PgConnection, transfers: &[SendTransfer]) -> Result<BTreeSet<(BookId, TransferId)>, TransferError> {
        let new = repo::insert_in_tx(tx, transfers, TransferStatus::Sent, Clock::wall()).await?;
        let mut left = new.clone();
        let legs: Vec<_> = transfers.iter().filter(|t| left.remove(&(t.from, t.id))).map(rules::leg_out).collect();
        for outcome in ledger::post_in_tx(tx, &legs, self.clock.today(), self.clock.now()).await? {
            outcome.map_err(TransferError::Refused)?;
        }
        Ok(new)
    }

    /// Step 2 of many, in one transaction; if that fails, in one for each book they go to, so that a book that cannot be reached keeps only
    /// its own waiting. One outcome each in their order; what arrived before has arrived.
    async fn arrive(&self, transfers: &[SendTransfer]) -> Result<Vec<Result<(), TransferError>>, TransferError> {
        let mut by_book: BTreeMap<BookId, Vec<usize>> = BTreeMap::new();
        for (place, transfer) in transfers.iter().enumerate() {
            by_book.entry(transfer.to).or_default().push(place);
        }
        match self.arrive_together(transfers).await {
            Err(error) if by_book.len() < 2 => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "transfers did not arrive together; trying book by book")
            }
            arrived => return arrived,
        }
        let mut outcomes: Vec<Option<Result<(), TransferError>>> = transfers.iter().map(|_| None).collect();
        let mut failure = None;
        for places in by_book.into_values() {
            let of_book: Vec<_> = places.iter().filter_map(|place| transfers.get(*place)).copied().collect();
            match self.arrive_together(&of_book).await {
                Ok(arrived) => places.into_iter().zip(arrived).for_each(|(place, outcome)| outcomes[place] = Some(outcome)),
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        match failure {
            // nothing arrived at all
            Some(error) if outcomes.iter().all(Option::is_none) => Err(error),
            _ => Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(TransferError::CutShort))).collect()),
        }
    }

    async fn arrive_together(&self, transfers: &[SendTransfer]) -> Result<Vec<Result<(), TransferError>>, TransferError> {
        let legs: Vec<_> = transfers.iter().map(rules::leg_in).collect();
        let posted = retrying(TransferError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let posted = ledger::post_in_tx(&mut tx, &legs, self.clock.today(), self.clock.now()).await?;
            tx.commit().await?;
            Ok::<_, TransferError>(posted)
        })
        .await?;
        let outcome = |posted| match posted {
            Ok(_) | Err(Rejection::AlreadyPosted) => Ok(()),
            Err(rejection) => Err(TransferError::Stuck(rejection)),
        };
        Ok(posted.into_iter().map(outcome).collect())
    }

    /// Step 3 of many: one statement.
    async fn close(&self, transfers: &[SendTransfer]) -> Result<(), TransferError> {
        Ok(repo::mark_arrived(&self.db, transfers, Clock::wall()).await?)
    }

    /// Steps 2 and 3 of many. Who is stuck is told of; it stays SENT, and the alarm about old ones says it again.
    async fn arrive_and_close(&self, transfers: &[SendTransfer]) -> Result<Vec<Result<(), TransferError>>, TransferError> {
        let outcomes = self.arrive(transfers).await?;
        let mut arrived = Vec::with_capacity(transfers.len());
        for (transfer, outcome) in transfers.iter().zip(&outcomes) {
            match outcome {
                Ok(()) => arrived.push(*transfer),
                Err(error) => {
                    let error = error as &dyn std::error::Error;
                    tracing::error!(transfer_id = %transfer.id, from = %transfer.from, to = %transfer.to, error, "money between books did not arrive");
                }
            }
        }
        if !arrived.is_empty() {
            self.close(&arrived).await?;
        }
        Ok(outcomes)
    }
}

impl Batched for Work {
    type Command = SendTransfer;
    type Answer = ();
    type Error = TransferError;

    /// By the book the money leaves: what an order's money is divided from.
    fn lane(&self, transfer: &SendTransfer) -> u64 {
        lane_of(transfer.from.0)
    }

    fn bytes(&self, _transfer: &SendTransfer) -> usize {
        size_of::<SendTransfer>()
    }

    /// A transfer that is refused fails the first step of all, which are then tried one by one.
    async fn run(&self, batch: &[SendTransfer]) -> Results<(), TransferError> {
        self.send(batch).await?;
        self.arrive_and_close(batch).await
    }
}
