//! How a check's transaction is set up.

use sqlx::PgConnection;

/// Lifts the pool's statement time limit for this transaction, gives its sorts and hashes room, and has every statement planned for its
/// own scope: one plan for "everything" and "the last minute" would be wrong for both. Over everything, joins are by hash or merge: that a
/// row's book and its id hang together makes PostgreSQL expect one row where there are millions, and a nested loop over those never ends.
pub(super) async fn prepare_in_tx(tx: &mut PgConnection, everything: bool) -> sqlx::Result<()> {
    sqlx::query_scalar!(
        r#"SELECT array_agg(set_config(name, value, true)) AS "set!"
           FROM (VALUES ('statement_timeout', '0'), ('plan_cache_mode', 'force_custom_plan'), ('work_mem', '64MB'), ('jit', 'off'),
                        ('datestyle', 'ISO, YMD'),
                        ('enable_seqscan', 'on'), ('enable_hashjoin', 'on'), ('enable_mergejoin', 'on'),
                        ('enable_nestloop', CASE WHEN $1 THEN 'off' ELSE 'on' END)) AS s (name, value)"#,
        everything
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}
