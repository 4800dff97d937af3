//! What merchants are told: deliveries and their tries, endpoints and their keys (H1 to H3).

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// None of these rows carries a mark to begin from, so only the full check reads them.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::deliveries_agree_with_their_tries(tx)
            .await?
            .result("H1", "a delivery counts its tries, and is delivered exactly when one was taken"),
        repo::deliveries_are_made_once(tx).await?.result("H2", "an endpoint is told of an event once, and a resend is of what it was told"),
        repo::keys_sign(tx).await?.result("H3", "an endpoint has one or two live keys that open, and a deleted one none"),
    ])
}
