//! SQL of model versions, runs and promotions. Who changes anything locks the state's one row first.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use wallet::base::id::UserId;

use super::{Promotion, PromotionKind, PromotionStatus, Run, Score, Version};

pub(super) async fn current(db: &PgPool) -> sqlx::Result<Option<Version>> {
    sqlx::query_as!(
        Version,
        "SELECT v.version_id AS id, v.manifest FROM model_state s JOIN model_versions v ON v.version_id = s.version_id WHERE s.state_id = 1"
    )
    .fetch_optional(db)
    .await
}

/// The version that reads papers, and what made it so.
pub(super) struct State {
    pub(super) version: Option<String>,
    pub(super) promotion: Option<Uuid>,
}

pub(super) async fn lock_state_in_tx(tx: &mut PgConnection) -> sqlx::Result<State> {
    sqlx::query_as!(
        State,
        r#"SELECT version_id AS "version?", promotion_id AS "promotion?" FROM model_state WHERE state_id = 1 FOR UPDATE"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn set_state_in_tx(tx: &mut PgConnection, promotion: &Promotion) -> sqlx::Result<()> {
    sqlx::query!("UPDATE model_state SET version_id = $1, promotion_id = $2 WHERE state_id = 1", promotion.version, promotion.id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes versions that are not known yet: the same content is the same version.
pub(super) async fn insert_versions_in_tx(tx: &mut PgConnection, versions: &[Version], by: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let (ids, manifests): (Vec<String>, Vec<String>) = versions.iter().map(|v| (v.id.clone(), v.manifest.clone())).unzip();
    sqlx::query!(
        "INSERT INTO model_versions (version_id, manifest, registered_by, registered_at)
         SELECT n.version_id, n.manifest, $3, $4 FROM UNNEST($1::text[], $2::text[]) AS n (version_id, manifest)
         ORDER BY n.version_id
         ON CONFLICT (version_id) DO NOTHING",
        &ids,
        &manifests,
        by.0,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn insert_run_in_tx(tx: &mut PgConnection, run: &Run, by: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO model_runs (run_id, baseline_id, candidate_id, set_sha256, pages, baseline, candidate, not_worse, ran_by, ran_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        run.id,
        run.baseline,
        run.candidate,
        run.set,
        run.pages,
        Json(&run.baseline_score) as _,
        Json(&run.candidate_score) as _,
        run.not_worse,
        by.0,
        run.ran_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

struct RunRow {
    id: Uuid,
    baseline: String,
    candidate: String,
    set: String,
    pages: i32,
    baseline_score: Json<Score>,
    candidate_score: Json<Score>,
    not_worse: bool,
    ran_at: DateTime<Utc>,
}

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        Self {
            id: row.id,
            baseline: row.baseline,
            candidate: row.candidate,
            set: row.set,
            pages: row.pages,
            baseline_score: row.baseline_score.0,
            candidate_score: row.candidate_score.0,
            not_worse: row.not_worse,
            ran_at: row.ran_at,
        }
    }
}

pub(super) async fn run_in_tx(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query_as!(
        RunRow,
        r#"SELECT run_id AS id, baseline_id AS baseline, candidate_id AS candidate, set_sha256 AS "set", pages,
                  baseline AS "baseline_score: Json<Score>", candidate AS "candidate_score: Json<Score>", not_worse, ran_at
           FROM model_runs WHERE run_id = $1"#,
        id
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Run::from))
}

pub(super) async fn runs(db: &PgPool, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query_as!(
        RunRow,
        r#"SELECT run_id AS id, baseline_id AS baseline, candidate_id AS candidate, set_sha256 AS "set", pages,
                  baseline AS "baseline_score: Json<Score>", candidate AS "candidate_score: Json<Score>", not_worse, ran_at
           FROM model_runs
           WHERE $1::uuid IS NULL OR run_id < $1
           ORDER BY run_id DESC
           LIMIT $2"#,
        before,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

pub(super) async fn pending_in_tx(tx: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM model_promotions WHERE status = 'PROPOSED') AS "pending!""#).fetch_one(tx).await
}

pub(super) async fn insert_promotion_in_tx(tx: &mut PgConnection, new: &Promotion) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO model_promotions (promotion_id, kind, version_id, replaces, run_id, status, proposed_by, proposed_at, decided_by, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.kind as _,
        new.version,
        new.replaces,
        new.run,
        new.status as _,
        new.proposed_by.0,
        new.proposed_at,
        new.decided_by.map(|by| by.0),
        new.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn decide_promotion_in_tx(tx: &mut PgConnection, promotion: &Promotion) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE model_promotions SET status = $2, decided_by = $3, decided_at = $4 WHERE promotion_id = $1",
        promotion.id,
        promotion.status as _,
        promotion.decided_by.map(|by| by.0),
        promotion.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// One promotion as it stands; whoever changes it holds the state's row.
pub(super) async fn promotion_in_tx(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Promotion>> {
    sqlx::query_as!(
        Promotion,
        r#"SELECT promotion_id AS id, kind AS "kind: PromotionKind", version_id AS version, replaces, run_id AS run,
                  status AS "status: PromotionStatus", proposed_by AS "proposed_by: UserId", proposed_at, decided_by AS "decided_by: UserId",
                  decided_at
           FROM model_promotions WHERE promotion_id = $1"#,
        id
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn promotions(db: &PgPool, before: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Promotion>> {
    sqlx::query_as!(
        Promotion,
        r#"SELECT promotion_id AS id, kind AS "kind: PromotionKind", version_id AS version, replaces, run_id AS run,
                  status AS "status: PromotionStatus", proposed_by AS "proposed_by: UserId", proposed_at, decided_by AS "decided_by: UserId",
                  decided_at
           FROM model_promotions
           WHERE $1::uuid IS NULL OR promotion_id < $1
           ORDER BY promotion_id DESC
           LIMIT $2"#,
        before,
        limit
    )
    .fetch_all(db)
    .await
}
