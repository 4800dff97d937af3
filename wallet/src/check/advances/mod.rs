//! Whether what merchants owe the platform is what it gave for their refunds and has not got back, and was within what two people allowed.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::debts_add_up(tx)
            .await?
            .result("A1", "a debt is what was advanced, less what was recovered and what came back with refunds that came to nothing"),
        repo::booked_as_said(tx)
            .await?
            .result("A1.BOOKED", "every advance, recovery and return of one is booked once, and nothing else as debt"),
        repo::within_caps(tx).await?.result("A2", "nothing was advanced beyond a cap that one person proposed and another approved"),
    ])
}
