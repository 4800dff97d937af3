//! How a check's transaction is set up.

use sqlx::PgConnection;

/// Lifts the pool's statement time limit for this transaction, gives its sorts and hashes room, and has every statement planned for its
/// own scope: one plan for "everything" and "the last seconds" would be wrong for both.
///
/// | | joins | or |
/// |---|---|---|
/// | over everything | by hash or merge | that a row's book and its id hang together makes PostgreSQL expect one row where there are millions, and a loop over those never ends |
/// | what changed | by key, one process | a look would read all of what is stored for every ten thousand postings, and take more than one core from payments |
///
/// So a statement of a scope joins what it gathered to tables by key. Joined to one another, two gatherings are a loop over all of both.
pub(super) async fn prepare_in_tx(tx: &mut PgConnection, everything: bool) -> sqlx::Result<()> {
    sqlx::query_scalar!(
        r#"SELECT array_agg(set_config(name, value, true)) AS "set!"
           FROM (VALUES ('statement_timeout', '0'), ('plan_cache_mode', 'force_custom_plan'), ('work_mem', '64MB'), ('jit', 'off'),
                        ('datestyle', 'ISO, YMD'),
                        ('enable_seqscan', CASE WHEN $1 THEN 'on' ELSE 'off' END),
                        ('enable_hashjoin', CASE WHEN $1 THEN 'on' ELSE 'off' END),
                        ('enable_mergejoin', CASE WHEN $1 THEN 'on' ELSE 'off' END),
                        ('enable_nestloop', CASE WHEN $1 THEN 'off' ELSE 'on' END),
                        ('max_parallel_workers_per_gather', CASE WHEN $1 THEN current_setting('max_parallel_workers_per_gather') ELSE '0' END))
                AS s (name, value)"#,
        everything
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}
