//! The ledger as a service: commands of many callers, batched, each with an answer of its own.

use std::time::Duration;

use sqlx::PgPool;

use super::command::{Command, Done};
use super::error::{LedgerError, Rejection};
use super::posting::{Posted, Posting};
use super::{execute_in_tx, repo};
use crate::base::batcher::{Batched, Batcher, Limits, SubmitError};
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::ledger::ResolveHold;

/// Overdue holds looked up at a time.
const EXPIRE_MAX: i64 = 500;

/// Why a command has no effect, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Failed(#[from] LedgerError),
    /// Not taken, nothing was done. Ask again, with the same command.
    #[error("the ledger is busy; try again in {} ms", retry_after.as_millis())]
    Busy { retry_after: Duration },
    /// Cut short: ask again, with the same command, to learn what became of it.
    #[error("the command was cut short; ask again with the same reference")]
    Stopped,
}

/// How much the ledger takes on at a time.
#[derive(Clone, Copy, Debug)]
pub struct LedgerLimits(pub Limits);

impl Default for LedgerLimits {
    fn default() -> Self {
        Self(Limits { lanes: 2, batch_max: 1_000, batch_bytes_max: 4 << 20, waiting_max: 10_000, pause: Duration::ZERO })
    }
}

/// The service for commands that need no other row in their transaction. Services with rows of their own call
/// [`super::execute_in_tx`] in theirs.
#[derive(Clone)]
pub struct Ledger {
    work: Work,
    batcher: Batcher<Work>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    pub fn new(db: PgPool, clock: Clock, limits: LedgerLimits) -> Self {
        let work = Work { db, clock };
        Self { batcher: Batcher::new("ledger", limits.0, work.clone()), work }
    }

    /// Makes a posting, together with those of other callers. The same posting again has the same answer, marked as replayed.
    pub async fn post(&self, posting: Posting) -> Result<Posted, CommandError> {
        match self.execute(Command::Post(posting)).await? {
            Done::Posted(posted) => Ok(posted),
            Done::Hold(_) | Done::FloorSet => Err(CommandError::Stopped),
        }
    }

    /// Carries out any command, together with those of other callers.
    pub async fn execute(&self, command: Command) -> Result<Done, CommandError> {
        self.batcher.submit(command).await.map_err(|error| match error {
            SubmitError::Busy { retry_after } => CommandError::Busy { retry_after },
            SubmitError::Stopped => CommandError::Stopped,
            SubmitError::Failed(error) => error,
        })
    }

    /// Carries out commands that need not stand or fall together: each goes with its book, so that books never wait for each other's
    /// locks. One outcome per command in its order; some may be done when others are refused. Faster than [`Self::execute_batch`] where
    /// several callers touch the same books.
    pub async fn execute_many(&self, commands: Vec<Command>) -> Vec<Result<Done, CommandError>> {
        futures::future::join_all(commands.into_iter().map(|command| self.execute(command))).await
    }

    /// Carries out a batch of the caller's own in one transaction. One outcome per command in its order; a rejected one leaves no trace.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing of the batch was done, or its commit had no answer; asking again with the same commands is safe.
    pub async fn execute_batch(&self, commands: &[Command]) -> Result<Vec<Result<Done, Rejection>>, LedgerError> {
        self.work.execute(commands).await
    }

    /// Ends the holds whose time is over (L7: a transition, never a filter when reading). Gives how many ended.
    pub async fn expire_holds(&self) -> Result<usize, LedgerError> {
        let mut expired = 0;
        loop {
            let overdue = repo::overdue_holds(&self.work.db, self.work.clock.now(), EXPIRE_MAX).await?;
            let commands: Vec<Command> = overdue.iter().map(|&(book, hold)| Command::Expire(ResolveHold { book, hold })).collect();
            let done = self.execute_batch(&commands).await?;
            // a hold that somebody else ended meanwhile is no fault
            expired += done.iter().filter(|outcome| outcome.is_ok()).count();
            if (overdue.len() as i64) < EXPIRE_MAX {
                return Ok(expired);
            }
        }
    }
}

/// One batch, one transaction.
#[derive(Clone)]
struct Work {
    db: PgPool,
    clock: Clock,
}

impl Work {
    async fn execute(&self, commands: &[Command]) -> Result<Vec<Result<Done, Rejection>>, LedgerError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut outcomes = retrying(LedgerError::retryable, || async {
            let mut tx = self.db.begin().await?;
            let outcomes = execute_in_tx(&mut tx, commands, self.clock.today(), self.clock.now()).await?;
            tx.commit().await?;
            Ok(outcomes)
        })
        .await?;
        for (command, outcome) in commands.iter().zip(&mut outcomes) {
            if *outcome == Err(Rejection::AlreadyPosted) {
                *outcome = Ok(Done::Posted(replayed(command)));
            }
        }
        Ok(outcomes)
    }
}

/// What the first caller of a posting was told (L6): its id follows from its name.
fn replayed(command: &Command) -> Posted {
    let posting = match command {
        Command::Post(posting) => posting.id(),
        Command::Reverse(reverse) => reverse.id(),
        Command::Hold(_) | Command::Void(_) | Command::Expire(_) | Command::SetFloor(_) => {
            unreachable!("only postings are answered with AlreadyPosted")
        }
    };
    Posted { posting, replayed: true }
}

impl Batched for Work {
    type Command = Command;
    type Answer = Done;
    type Error = CommandError;

    /// By book, so that the postings of a busy book go together instead of waiting for each other's locks.
    fn lane(&self, command: &Command) -> u64 {
        command.book().0.as_u64_pair().1
    }

    fn bytes(&self, command: &Command) -> usize {
        let extra = match command {
            Command::Post(posting) => size_of_val(posting.legs.as_slice()) + posting.metadata.as_ref().map_or(0, |m| m.as_str().len()),
            Command::Reverse(reverse) => reverse.metadata.as_ref().map_or(0, |m| m.as_str().len()),
            Command::Hold(_) | Command::Void(_) | Command::Expire(_) | Command::SetFloor(_) => 0,
        };
        size_of::<Command>() + extra
    }

    async fn run(&self, batch: &[Command]) -> Result<Vec<Result<Done, CommandError>>, CommandError> {
        let outcomes = self.execute(batch).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map_err(CommandError::Rejected)).collect())
    }
}
