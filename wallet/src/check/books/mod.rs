//! Whether the books agree with themselves: accounts, postings, entries.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) const FOLDS: &str = "every stored balance is the sum of its entries";

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    let mut rules = vec![
        repo::postings_balance(tx, scope).await?.result("L1", "every posting has two legs or more and sums to zero in each currency"),
        repo::books_balance(tx, scope).await?.result("L2", "the accounts of every book, and so of all books, sum to zero in each currency"),
        repo::entries_chain(tx, scope).await?.result("L5", "entries are numbered without gaps and carry the balance after them"),
        repo::floors_hold(tx, scope)
            .await?
            .result("L8", "balance less holds keeps its floor, what is owed to somebody has one and never passed it"),
    ];
    if scope.is_full() {
        rules.push(repo::balances_are_folds(tx).await?.result("L3", FOLDS));
    }
    Ok(rules)
}
