//! What a bench asks the server about itself. Runs as the owner of the bench's own database.

use sqlx::PgConnection;

/// The counters a workload is read off from, as they stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// Bytes of write-ahead log since the cluster was made; those of every database on the server.
    pub wal_bytes: i64,
    /// Statements run in this database, `BEGIN` and `COMMIT` among them. None where `pg_stat_statements` is not loaded.
    pub statements: Option<i64>,
}

/// Settings by name, as `SHOW` words them.
pub(crate) async fn settings(db: &mut PgConnection, names: &[&str]) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        r#"SELECT name AS "name!", current_setting(name) AS "value!" FROM pg_settings WHERE name = ANY($1) ORDER BY name"#,
        names as &[&str]
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (r.name, r.value)).collect())
}

/// How many entries are stored.
pub(crate) async fn entries(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM entries"#).fetch_one(db).await
}

/// Reads the counters. With `statements` only after [`count_statements`] said that they are counted.
///
/// The extension is the bench's own and not part of the schema, so its statement is checked at run time.
pub(crate) async fn counters(db: &mut PgConnection, statements: bool) -> sqlx::Result<Counters> {
    let wal_bytes = sqlx::query_scalar!(r#"SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS "bytes!""#).fetch_one(&mut *db).await?;
    let statements = match statements {
        true => sqlx::query_scalar(
            "SELECT COALESCE(sum(calls), 0)::bigint FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(db)
        .await
        .map(Some)?,
        false => None,
    };
    Ok(Counters { wal_bytes, statements })
}

/// Loads `pg_stat_statements` from the next start of the server on. False where the server does not come with it.
pub(crate) async fn preload_statements(db: &mut PgConnection) -> sqlx::Result<bool> {
    let installed =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements') AS "installed!""#)
            .fetch_one(&mut *db)
            .await?;
    if installed {
        sqlx::query("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'").execute(db).await?;
    }
    Ok(installed)
}

/// Makes the statement counters readable in this database. False where the server does not count, or not for us.
pub(crate) async fn count_statements(db: &mut PgConnection) -> sqlx::Result<bool> {
    let loaded = sqlx::query_scalar!(
        r#"SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'
                  AND current_setting('is_superuser')::boolean AS "loaded!""#
    )
    .fetch_one(&mut *db)
    .await?;
    if loaded {
        sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(db).await?;
    }
    Ok(loaded)
}

/// Brings the planner's statistics up to date after loading, and writes what was loaded to its place, so that no workload pays for it.
pub(crate) async fn settle(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("VACUUM ANALYZE").execute(&mut *db).await?;
    sqlx::query("CHECKPOINT").execute(db).await?;
    Ok(())
}
