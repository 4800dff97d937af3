//! Whether papers stand as their reviews decided, tasks as people said, and the models that read papers as they were promoted.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// None of these rows carries a mark to begin from, so only the full check reads them.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::papers_wait_for_their_task(tx).await?.result("D1", "a paper is in review exactly while a task waits for its version"),
        repo::opinions_settle_tasks(tx)
            .await?
            .result("D2", "a task is decided by one person, by two who agree, or by the third, and counts their opinions"),
        repo::papers_stand_as_decided(tx)
            .await?
            .result("D3", "a paper stands as its review decided; a sample is of what the pipeline approved"),
        repo::known_items_have_answers(tx).await?.result("D4", "a known item has its answer, and nothing else has one"),
        repo::models_stand_as_promoted(tx).await?.result(
            "M1",
            "the models that read papers are those of the last promotion or rollback, by two people on a run that was not worse",
        ),
    ])
}
