//! Whether what was divided adds up (S1), comes back at most once (S2), ends once (S3), keeps to what channels allow
//! (S5), and is what the ledger moved and what channels said (S9).
//!
//! Over everything only: a split hangs together with books of several merchants.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    let mut added = repo::splits_add_up(tx).await?;
    let frozen = repo::frozen_is_undivided(tx).await?;
    added.checked += frozen.checked;
    added.violations.extend(frozen.violations);
    let mut moved = repo::moved_as_planned(tx).await?;
    for found in [repo::channels_agree(tx).await?, repo::shares_due_are_open(tx).await?] {
        moved.checked += found.checked;
        moved.violations.extend(found.violations);
    }
    Ok(vec![
        added.result("S1", "lines, what is left and what was released add up to what was to be divided, and the rest is frozen"),
        repo::returns_fit(tx).await?.result("S2", "no line gives back more than it had, and each return is what its parts add up to"),
        repo::finished_once(tx).await?.result("S3", "a split finishes once, with nothing under way, left or added afterwards"),
        repo::within_channels(tx).await?.result("S5", "no channel that divides is asked for more than it gives"),
        moved
            .result("S9", "each line and each part of a return is one transfer, each such transfer one of them, and channels say the same"),
    ])
}
