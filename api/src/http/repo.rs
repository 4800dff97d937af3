//! SQL of the edge: whether the database is fit for use, and what `/metrics` shows of its queues.

use sqlx::PgPool;

/// The newest migration that was applied; none on an empty database.
///
/// The table is made by the migrations' runner and belongs to the owner, so the application's role is put off for this statement; and it is
/// not there when queries are checked against the migrations' own tables, so this one statement is checked at run time.
pub async fn schema_version(db: &PgPool) -> sqlx::Result<Option<i64>> {
    let mut tx = db.begin().await?;
    sqlx::query("SET LOCAL ROLE NONE").execute(&mut *tx).await?;
    let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(&mut *tx).await?;
    tx.rollback().await?;
    Ok(version)
}

/// Whether the database answers.
pub async fn ping(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query_scalar!(r#"SELECT 1 AS "one!""#).fetch_one(db).await.map(drop)
}

/// How full the queues are.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    pub notices_waiting: i64,
    pub jobs_dead: i64,
}

/// One statement over partial indexes.
pub async fn queues(db: &PgPool) -> sqlx::Result<Queues> {
    sqlx::query_as!(
        Queues,
        r#"SELECT (SELECT count(*) FROM notices WHERE processed_at IS NULL) AS "notices_waiting!",
                  (SELECT count(*) FROM jobs WHERE state = 'DEAD') AS "jobs_dead!""#
    )
    .fetch_one(db)
    .await
}

/// Jobs that are due or will be, by kind.
pub async fn jobs_waiting(db: &PgPool) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(r#"SELECT kind, count(*) AS "waiting!" FROM jobs WHERE state = 'READY' GROUP BY kind"#).fetch_all(db).await?;
    Ok(rows.into_iter().map(|r| (r.kind, r.waiting)).collect())
}
