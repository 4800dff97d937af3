//! Whether what is told to others, and what is kept for boards, says the same as the books.

mod repo;

use sqlx::PgConnection;

use super::RuleResult;

pub(super) async fn rules(tx: &mut PgConnection) -> sqlx::Result<Vec<RuleResult>> {
    Ok(vec![
        repo::outbox_complete(tx).await?.result("L11", "every fact has exactly one event, and every event its fact"),
        repo::rollup_is_recount(tx).await?.result("ROLLUP", "every store's day is what its entries add up to"),
    ])
}
