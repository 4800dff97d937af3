//! Money between books (簿间划转): two balanced postings through the in-transit accounts (在途科目) of both books.
//!
//! | step | in one transaction | book |
//! |---|---|---|
//! | send | the row as SENT, the posting `TRANSFER_OUT`, the job that finishes it | the one the money leaves |
//! | arrive | the posting `TRANSFER_IN` | the one it goes to |
//! | close | SENT becomes ARRIVED | the one it left |
//!
//! Each step touches one book, so it stays on one shard, and each may be run again: the row and both postings are keyed by the transfer's
//! id. A process that dies between two steps leaves a SENT row, which the job finishes, and a sweeper too
//! ([`Transfers::finish_left_behind`]). Each book sums to zero at every moment; the in-transit accounts of all books sum to what is on its
//! way, and to zero when nothing is.

mod error;
pub(crate) mod repo;
pub mod rules;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

pub use error::TransferError;
pub use rules::{Purpose, SendTransfer, TransferStatus};

use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{BookId, TransferId};
use crate::base::job::{self, NewJob};
use crate::ledger::{self, Rejection};

/// Kind of the job that finishes a transfer: calls [`Transfers::finish`].
pub const FINISH_JOB: &str = "transfer_finish";

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
#[derive(Clone, Debug)]
pub struct Transfers {
    db: PgPool,
    clock: Clock,
}

impl Transfers {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Moves money from book to book: all three steps. The same command again does nothing more; another one under its id is refused.
    ///
    /// # Errors
    /// After [`TransferError::Refused`], `Unsound` and `IdReused` nothing was moved. After any other the money may be on its way: it is
    /// finished by its job, or by the same call again.
    pub async fn run(&self, cmd: SendTransfer) -> Result<Transfer, TransferError> {
        let sent = self.send(cmd).await?;
        self.arrive(&cmd).await?;
        self.close(&[cmd]).await?;
        self.get(cmd.from, sent.what.id).await
    }

    /// Step 1: takes the money out of its book.
    pub async fn send(&self, cmd: SendTransfer) -> Result<Transfer, TransferError> {
        rules::check(&cmd)?;
        retrying(TransferError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let new = self.send_in_tx(&mut tx, &cmd).await?;
            if new {
                tx.commit().await?;
            } else {
                tx.rollback().await?;
            }
            let stored = self.get(cmd.from, cmd.id).await?;
            if stored.what == cmd { Ok(stored) } else { Err(TransferError::IdReused) }
        })
        .await
    }

    /// Writes step 1 in the running transaction. Whether it was new; if not, nothing was written.
    pub(super) async fn send_in_tx(&self, tx: &mut PgConnection, cmd: &SendTransfer) -> Result<bool, TransferError> {
        if repo::insert_in_tx(tx, std::slice::from_ref(cmd), TransferStatus::Sent, Clock::wall()).await? == 0 {
            return Ok(false);
        }
        for outcome in ledger::post_in_tx(tx, &[rules::leg_out(cmd)], self.clock.today(), self.clock.now()).await? {
            outcome.map_err(TransferError::Refused)?;
        }
        let run_at = Clock::wall() + LEFT_BEHIND_AFTER;
        job::enqueue_in_tx(tx, &[NewJob { kind: FINISH_JOB, book: cmd.from, subject: cmd.id.0, run_at }]).await?;
        Ok(true)
    }

    /// Step 2: brings what was sent to the other book. Only for what [`Transfers::send`] returned.
    pub async fn arrive(&self, cmd: &SendTransfer) -> Result<(), TransferError> {
        match self.arrive_together(cmd.to, &[*cmd]).await?.pop() {
            Some(Err(rejection)) => Err(TransferError::Stuck(rejection)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Step 2 of transfers to one book, in one transaction. One outcome each; what arrived before has arrived.
    async fn arrive_together(&self, to: BookId, transfers: &[SendTransfer]) -> Result<Vec<Result<(), Rejection>>, TransferError> {
        debug_assert!(transfers.iter().all(|t| t.to == to));
        let legs: Vec<_> = transfers.iter().map(rules::leg_in).collect();
        retrying(TransferError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let outcomes = ledger::post_in_tx(&mut tx, &legs, self.clock.today(), self.clock.now()).await?;
            tx.commit().await?;
            Ok(outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    Ok(_) | Err(Rejection::AlreadyPosted) => Ok(()),
                    Err(rejection) => Err(rejection),
                })
                .collect())
        })
        .await
    }

    /// Step 3: stores that they arrived.
    pub async fn close(&self, transfers: &[SendTransfer]) -> Result<(), TransferError> {
        Ok(repo::mark_arrived(&self.db, transfers, Clock::wall()).await?)
    }

    /// Finishes a transfer from wherever it stands. Job [`FINISH_JOB`].
    pub async fn finish(&self, book: BookId, id: TransferId) -> Result<(), TransferError> {
        let transfer = self.get(book, id).await?;
        if transfer.status == TransferStatus::Sent {
            self.arrive(&transfer.what).await?;
            self.close(&[transfer.what]).await?;
        }
        Ok(())
    }

    /// Finishes what was sent some time ago and has not arrived, whatever became of its job. Returns how many arrived.
    ///
    /// One that cannot arrive does not keep the others waiting: it is logged, stays SENT and grows old.
    pub async fn finish_left_behind(&self) -> Result<usize, TransferError> {
        let (before, mut after, mut arrived) = (Clock::wall() - LEFT_BEHIND_AFTER, None, 0);
        loop {
            let page = repo::left_behind(&self.db, before, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(arrived) };
            after = Some((last.created_at, last.what.id));
            let page: Vec<SendTransfer> = page.iter().map(|t| t.what).collect();
            arrived += self.finish_all(&page).await?;
        }
    }

    /// Steps 2 and 3 of many: one transaction for each book they go to, one statement to close them. Returns how many arrived.
    pub(super) async fn finish_all(&self, transfers: &[SendTransfer]) -> Result<usize, TransferError> {
        let mut by_book: BTreeMap<BookId, Vec<SendTransfer>> = BTreeMap::new();
        for transfer in transfers {
            by_book.entry(transfer.to).or_default().push(*transfer);
        }
        let (mut arrived, mut failure) = (Vec::with_capacity(transfers.len()), None);
        for (to, group) in by_book {
            match self.arrive_together(to, &group).await {
                Ok(outcomes) => {
                    for (transfer, outcome) in group.iter().zip(outcomes) {
                        match outcome {
                            Ok(()) => arrived.push(*transfer),
                            Err(rejection) => stuck(transfer, rejection),
                        }
                    }
                }
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        if !arrived.is_empty() {
            self.close(&arrived).await?;
        }
        failure.map_or(Ok(arrived.len()), Err)
    }

    /// A transfer of a book.
    pub async fn get(&self, book: BookId, id: TransferId) -> Result<Transfer, TransferError> {
        repo::find(&self.db, book, id).await?.ok_or(TransferError::NotFound)
    }

    /// What is on its way now, for the alarm about what takes too long. One statement.
    pub async fn open(&self) -> Result<Open, TransferError> {
        Ok(repo::open(&self.db).await?)
    }
}

/// Says that a transfer's second leg was refused. It stays SENT, and the alarm about old ones says it again.
fn stuck(transfer: &SendTransfer, rejection: Rejection) {
    let error = &rejection as &dyn std::error::Error;
    tracing::error!(transfer_id = %transfer.id, from = %transfer.from, to = %transfer.to, error, "money between books cannot arrive");
}
