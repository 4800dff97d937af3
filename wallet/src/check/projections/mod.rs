//! Whether what is told to others, and what is kept for boards, says the same as the books.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// What was told and what was added up is held against everything there is: for the full check.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::outbox_complete(tx).await?.result("L11", "every fact has exactly one event, and every event its fact"),
        repo::rollup_is_recount(tx).await?.result("ROLLUP", "every store's day is what its entries add up to"),
    ])
}
