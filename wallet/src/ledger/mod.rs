//! The double-entry ledger (账本): books, accounts, postings and entries. No other code writes these four tables.
//!
//! A batch of postings costs the same number of statements whatever its size, and a single posting is the batch of one:
//!
//! | # | statement | when |
//! |---|---|---|
//! | 1 | lock the accounts in (book, account) order and read them | always |
//! | 2, 3 | create the accounts that are missing, lock again | first use of a channel or bank in a book |
//! | 4 | which of these were posted before (a fresh snapshot, after the lock) | always |
//! | 5 | write postings, entries and balances (one statement with data-modifying CTEs) | unless every member was rejected |
//!
//! Between 4 and 5 the batch is decided in memory ([`rules::decide`]) in input order. What bounds a batch is how long others may
//! wait for its locks: callers keep to some thousands of postings. The entries of an account are numbered in commit order,
//! without gaps. A service that posts does it in one call per transaction: a second call would lock out of order.
//!
//! Promises kept by the database as well: a posting once per (book, kind, reference), the ceiling of a balance, and no
//! `UPDATE` or `DELETE` grant on postings and entries.

pub mod account;
pub mod error;
pub mod posting;
#[cfg(test)]
mod properties;
pub mod recipe;
mod repo;
pub mod rules;
mod wallet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

pub use account::{AccountKind, AccountName};
pub use error::{LedgerError, Rejection};
pub use posting::{Leg, Posted, Posting, PostingKind};
pub use wallet::{Balances, BillLine, WalletError, Wallets, balances, bill_lines};

use crate::base::id::{BookId, PostingId};
use crate::base::money::Currency;

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
    repo::insert_book_in_tx(tx, book, kind, now).await?;
    let names: Vec<_> = AccountKind::FIXED.into_iter().map(|kind| (book, AccountName::fixed(kind, Currency::Cny))).collect();
    repo::create_accounts_in_tx(tx, &names, now).await?;
    Ok(())
}

/// Makes postings in the running transaction: lock, read, decide in input order, write. One outcome per input, in its order.
///
/// A rejected member is left out and its neighbours are made as if it had not been asked for; a member sees the effect of the
/// members before it. `accounting_date` is the open day they are booked on. Locks stay until the transaction ends.
///
/// # Errors
/// [`LedgerError`] means the transaction must be rolled back; run it again when [`LedgerError::retryable`].
pub async fn post_in_tx(
    tx: &mut PgConnection,
    postings: &[Posting],
    accounting_date: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Posted, Rejection>>, LedgerError> {
    if postings.is_empty() {
        return Ok(Vec::new());
    }
    let names = postings.iter().flat_map(|p| p.legs.iter().map(|leg| (p.book, leg.name()))).collect();
    let accounts = lock_in_tx(tx, names, now).await?;
    let already_posted = repo::already_posted_in_tx(tx, postings).await?;
    let plan = rules::decide(postings, accounts, already_posted, PostingId::new);
    if !plan.accepted.is_empty() {
        repo::write_in_tx(tx, postings, &plan, accounting_date, now).await?;
    }
    Ok(plan.outcomes)
}

/// Locks accounts in the global order and reads them, creating those that are missing. Those of a book that does not exist are left out.
///
/// For a service that has to read more under the lock before it knows what to post; [`post_in_tx`] then finds them locked.
pub(crate) async fn lock_in_tx(
    tx: &mut PgConnection,
    mut names: Vec<(BookId, AccountName)>,
    now: DateTime<Utc>,
) -> Result<Vec<rules::Account>, LedgerError> {
    names.sort_unstable();
    names.dedup();
    let accounts = repo::lock_in_tx(tx, &names).await?;
    if accounts.len() == names.len() {
        return Ok(accounts);
    }
    let created = repo::create_accounts_in_tx(tx, &names, now).await?;
    names.retain(|(book, _)| created.contains(book));
    Ok(repo::lock_in_tx(tx, &names).await?)
}
