//! Whether the books agree with themselves: accounts, postings, entries.

pub(super) mod repo;

use sqlx::PgConnection;

use super::RuleResult;

pub(super) async fn rules(tx: &mut PgConnection) -> sqlx::Result<Vec<RuleResult>> {
    Ok(vec![
        repo::postings_balance(tx).await?.result("L1", "every posting has two legs or more and sums to zero in each currency"),
        repo::books_balance(tx).await?.result("L2", "the accounts of every book sum to zero in each currency"),
        repo::balances_are_folds(tx).await?.result("L3", "every stored balance is the sum of its entries"),
        repo::entries_are_kept(tx).await?.result("L4", "the application may neither change nor delete postings and entries"),
        repo::entries_chain(tx).await?.result("L5", "entries are numbered without gaps and carry the balance after them"),
        repo::ceilings_hold(tx).await?.result("L8", "no balance ever passed its ceiling, and what is owed to somebody has one"),
    ])
}
