//! The double-entry ledger (账本): books, accounts, postings, entries and holds. No other code writes these tables.
//!
//! A batch of commands costs the same number of statements whatever its size, and a single command is the batch of one:
//!
//! | # | statement | when |
//! |---|---|---|
//! | 1 | the entries that are to be taken back; the accounts of holds (facts that never change) | reversals, holds |
//! | 2 | lock the accounts in (book, account) order and read them; which postings were made before | always |
//! | 3, 4 | create the accounts that are missing, lock again | first use of a channel or bank in a book |
//! | 5 | what was taken back, holds and floors as they stand (a fresh snapshot, after the lock) | reversals, holds, floors |
//! | 6 | write postings, entries and balances (one statement with data-modifying CTEs) | unless every member was rejected |
//! | 7 | write holds; write changes of floors | holds, floors |
//!
//! A batch of plain postings is therefore two statements. Before 6 the batch is decided in memory ([`rules::decide`]) in input order.
//! What bounds a batch is how long others may wait for its locks: callers keep to some thousands of commands. The entries of an account
//! are numbered in commit order, without gaps. A service that posts does it in one call per transaction: a second call would lock out
//! of order.
//!
//! Promises kept by the database as well: a posting once per (book, kind, reference), the floor of a balance, and no `UPDATE` or
//! `DELETE` grant on postings and entries.

pub mod account;
pub mod command;
mod engine;
pub mod error;
pub mod posting;
#[cfg(test)]
mod properties;
pub mod recipe;
mod repo;
pub mod rules;
pub mod simulation;
mod wallet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use account::{AccountKind, AccountName};
pub use command::{Command, Done, HoldState, Part, PlaceHold, ResolveHold, Reverse, SetFloor};
pub use engine::{CommandError, Ledger, LedgerLimits};
pub use error::{LedgerError, Rejection};
pub use posting::{Capture, Leg, Metadata, MetadataError, Posted, Posting, PostingKind};
pub use wallet::{Balances, BillLine, WalletError, Wallets, balances, bill_lines};

use crate::base::id::{BookId, HoldId, PostingId};
use crate::base::money::Currency;
use rules::State;

/// Whose money a book (账簿) holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BookKind {
    Merchant,
    Bank,
    Platform,
}

impl BookKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merchant => "MERCHANT",
            Self::Bank => "BANK",
            Self::Platform => "PLATFORM",
        }
    }
}

/// Opens a book with its fixed accounts in renminbi. Does nothing to a book that is open.
pub async fn open_book_in_tx(tx: &mut PgConnection, book: BookId, kind: BookKind, now: DateTime<Utc>) -> Result<(), LedgerError> {
    open_stripe_in_tx(tx, book, kind, book.0, 0, now).await
}

/// Opens a further book of an owner who has one: a stripe (分条) of it.
pub async fn open_stripe_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    kind: BookKind,
    owner: Uuid,
    stripe: i16,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    repo::insert_book_in_tx(tx, book, kind, owner, stripe, now).await?;
    let name = |kind| AccountName::fixed(kind, Currency::Cny);
    let names = AccountKind::FIXED.into_iter().map(|kind| ((book, name(kind).id(book)), name(kind))).collect();
    repo::create_accounts_in_tx(tx, &names, now).await?;
    Ok(())
}

/// Makes postings in the running transaction: lock, read, decide in input order, write. One outcome per input, in its order.
///
/// A rejected member is left out and its neighbours are made as if it had not been asked for; a member sees the effect of the
/// members before it. `accounting_date` is the day to book on; a book that has closed it books on its first open day. Locks stay until
/// the transaction ends.
///
/// # Errors
/// [`LedgerError`] means the transaction must be rolled back; run it again when [`LedgerError::retryable`].
pub async fn post_in_tx(
    tx: &mut PgConnection,
    postings: &[Posting],
    accounting_date: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Posted, Rejection>>, LedgerError> {
    let commands: Vec<Command> = postings.iter().cloned().map(Command::Post).collect();
    let done = execute_in_tx(tx, &commands, accounting_date, now).await?;
    let posted = |done| match done {
        Done::Posted(posted) => Some(posted),
        Done::Hold(_) | Done::FloorSet => None,
    };
    Ok(done.into_iter().filter_map(|outcome| outcome.map(posted).transpose()).collect())
}

/// Carries out commands of any kind in the running transaction, as [`post_in_tx`] does with postings.
///
/// # Errors
/// As [`post_in_tx`].
pub async fn execute_in_tx(
    tx: &mut PgConnection,
    commands: &[Command],
    accounting_date: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Done, Rejection>>, LedgerError> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let state = read_in_tx(tx, commands, now).await?;
    let seen: std::collections::HashSet<_> = state.posted.keys().copied().collect();
    let plan = rules::decide(commands, state, accounting_date, now);
    // refused, and yet made while this batch waited for its locks: its caller must be told that it was made (L6)
    let refused = commands.iter().zip(&plan.outcomes).filter(|(_, outcome)| outcome.is_err()).filter_map(|(command, _)| match command {
        Command::Post(posting) => Some((posting.book, posting.id())),
        Command::Reverse(reverse) => Some((reverse.book, reverse.id())),
        Command::Hold(_) | Command::Void(_) | Command::Expire(_) | Command::SetFloor(_) => None,
    });
    let refused: Vec<_> = refused.filter(|key| !seen.contains(key)).collect();
    if !refused.is_empty() && repo::any_posted_in_tx(tx, &refused).await? {
        return Err(LedgerError::Stale);
    }
    if !plan.accounts.is_empty() {
        repo::write_in_tx(tx, &plan, now).await?;
    }
    if !plan.holds.is_empty() {
        repo::write_holds_in_tx(tx, &plan.holds, now).await?;
    }
    if !plan.floor_changes.is_empty() {
        repo::write_floor_changes_in_tx(tx, &plan.floor_changes, now).await?;
    }
    Ok(plan.outcomes)
}

/// Locks what the commands touch and reads what they need to be decided.
async fn read_in_tx(tx: &mut PgConnection, commands: &[Command], now: DateTime<Utc>) -> Result<State, LedgerError> {
    let named = Named::of(commands);
    let mut wanted = named.accounts;
    let mut originals = Default::default();
    if !named.originals.is_empty() {
        let (found, accounts) = repo::originals_in_tx(tx, &named.originals).await?;
        originals = found;
        wanted.extend(accounts);
    }
    if !named.holds.is_empty() {
        wanted.extend(repo::held_accounts_in_tx(tx, &named.holds).await?);
    }
    let (accounts, posted) = lock_wanted_in_tx(tx, wanted, &named.postings, now).await?;
    if !originals.is_empty() {
        repo::reversed_in_tx(tx, &mut originals).await?;
    }
    let holds: std::collections::HashMap<_, command::Hold> =
        if named.holds.is_empty() { Default::default() } else { repo::holds_in_tx(tx, &named.holds).await? };
    // a hold made while this batch waited for its locks: its account is not among them
    if holds.values().any(|hold| !accounts.iter().any(|a| (a.book, a.id) == (hold.book, hold.account))) {
        return Err(LedgerError::Stale);
    }
    let floor_changes =
        if named.floor_changes.is_empty() { Default::default() } else { repo::floor_changes_in_tx(tx, &named.floor_changes).await? };
    Ok(State { accounts, posted, originals, holds, floor_changes })
}

/// What commands name.
#[derive(Default)]
struct Named {
    accounts: repo::Wanted,
    postings: Vec<(BookId, PostingId)>,
    originals: Vec<(BookId, PostingId)>,
    holds: Vec<(BookId, HoldId)>,
    floor_changes: Vec<(BookId, Uuid)>,
}

impl Named {
    fn of(commands: &[Command]) -> Self {
        let mut named = Self::default();
        for command in commands {
            match command {
                Command::Post(posting) => {
                    named.postings.push((posting.book, posting.id()));
                    named.accounts.extend(posting.legs.iter().map(|leg| ((posting.book, leg.account_id(posting.book)), leg.name())));
                    named.holds.extend(posting.hold.map(|capture| (posting.book, capture.hold)));
                }
                Command::Reverse(reverse) => {
                    named.postings.push((reverse.book, reverse.id()));
                    named.originals.push((reverse.book, reverse.of));
                }
                Command::Hold(place) => {
                    named.accounts.insert((place.book, place.account.id(place.book)), place.account.clone());
                    named.holds.push((place.book, place.hold));
                }
                Command::Void(resolve) | Command::Expire(resolve) => named.holds.push((resolve.book, resolve.hold)),
                Command::SetFloor(set) => {
                    named.accounts.insert((set.book, set.account.id(set.book)), set.account.clone());
                    named.floor_changes.push((set.book, set.reference));
                }
            }
        }
        named
    }
}

/// Locks accounts in the global order and reads them, creating those that are missing. Those of a book that does not exist are left out.
///
/// For a service that has to read more under the lock before it knows what to post; [`post_in_tx`] then finds them locked.
pub(crate) async fn lock_in_tx(
    tx: &mut PgConnection,
    names: Vec<(BookId, AccountName)>,
    now: DateTime<Utc>,
) -> Result<Vec<rules::Account>, LedgerError> {
    let wanted = names.into_iter().map(|(book, name)| ((book, name.id(book)), name)).collect();
    Ok(lock_wanted_in_tx(tx, wanted, &[], now).await?.0)
}

async fn lock_wanted_in_tx(
    tx: &mut PgConnection,
    mut wanted: repo::Wanted,
    postings: &[(BookId, PostingId)],
    now: DateTime<Utc>,
) -> sqlx::Result<(Vec<rules::Account>, std::collections::HashMap<(BookId, PostingId), posting::Digest>)> {
    let locked = repo::lock_in_tx(tx, &wanted, postings).await?;
    if locked.0.len() == wanted.len() {
        return Ok(locked);
    }
    let open = repo::create_accounts_in_tx(tx, &wanted, now).await?;
    wanted.retain(|(book, _), _| open.contains(book));
    repo::lock_in_tx(tx, &wanted, postings).await
}
