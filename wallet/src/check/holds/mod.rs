//! Whether what was promised and what was taken back stays within what it belongs to: holds (L7) and reversals (L9).

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// How long after its time a hold may still stand: what the job that ends them may need, and one missed round of it.
const EXPIRY_GRACE_S: i32 = 600;

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    Ok(vec![
        repo::holds_resolve_once(tx, scope, EXPIRY_GRACE_S)
            .await?
            .result("L7", "holds are captured within their amount, end once and in time, and accounts keep what is open"),
        repo::reversals_fit(tx, scope).await?.result("L9", "reversals take back lines of one posting, each up to its amount"),
    ])
}
