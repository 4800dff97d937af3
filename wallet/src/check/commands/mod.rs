//! Whether what we were asked and told took effect once: idempotency keys (L6), numbers given to the outside, notices in any order (L18).

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// Keys, numbers and notices carry no mark to begin from: for the full check.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::keys_hold(tx).await?.result("L6", "every idempotency key points at what its command made, once, with its answer"),
        repo::numbers_given_out(tx).await?.result("NUMBERS", "every attempt, refund and withdrawal has its number with the outside"),
        repo::notices_took_effect(tx)
            .await?
            .result("L18", "what the channels notified stands as it must, in whatever order the notices came"),
    ])
}
