//! How far those are behind that read after the commit: consumers of the outbox and the Merkle log (L14).

mod repo;

use sqlx::PgConnection;

use super::RuleResult;

/// How much later than an event that a consumer has not read another may have been appended. A system that stands still falls no further
/// behind, so a stopped one is not called late.
const LAG_MAX_MS: i64 = 600_000;

pub(super) async fn rules(tx: &mut PgConnection) -> sqlx::Result<Vec<RuleResult>> {
    let lags = repo::lags(tx).await?;
    let log = repo::log_lag(tx).await?;
    let notes = lags.iter().map(repo::Lag::note).chain(std::iter::once(log));
    Ok(vec![
        repo::readers_keep_up(tx, LAG_MAX_MS)
            .await?
            .result("L14", "readers stand where events are or were, and none is long behind")
            .noting(notes),
    ])
}
