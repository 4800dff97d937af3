//! Real-time figures of a day (日报): a rollup per (book, day, store) kept in the transaction that posts, so it has no lag.
//!
//! What counts, and on which day:
//! - flow (流水) is what customers paid before refunds, on the Asia/Shanghai day of success; every `PAYMENT` posting counts,
//!   a surplus one too, whose money goes straight back and stands in the refund column beside it;
//! - a refund counts on the day it was taken from the merchant (`REFUND` posting); one the channel refused is taken out of that same
//!   day again (`REFUND_RETURNED`, which carries the day of the refund it undoes);
//! - the fee is what was kept: charged on payments, less what refunds of the day gave back;
//! - a payment is voided when refunds of its own day add up to it: it does not make its store active.
//!
//! [`DayDelta::of`] derives all but the last from the posting itself, so the rollup cannot say something else than the books.

mod board;
mod repo;
pub mod rules;

use sqlx::PgConnection;

pub use board::{Board, BoardDay, BoardError, StoreDay};
pub use rules::{DayDelta, voided_change};

/// Adds to the days of stores in the running transaction. One statement; deltas of the same store and day are merged first.
///
/// Takes row locks on the day rows, in key order, after the accounts were locked by [`crate::ledger::post_in_tx`].
pub async fn add_in_tx(tx: &mut PgConnection, deltas: &[DayDelta]) -> sqlx::Result<()> {
    let merged = rules::merge(deltas);
    if merged.is_empty() {
        return Ok(());
    }
    repo::add_in_tx(tx, &merged).await
}
