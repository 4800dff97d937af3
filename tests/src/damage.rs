//! Damage by hand, as no service would do it, and whether `haodian check` finds it.

use sqlx::AssertSqlSafe;

use crate::TestDatabase;

/// Does each damage in a transaction of its own, which is rolled back, and has the whole check run in it. A damage is SQL and the rules that must
/// notice. What the database keeps by itself is got past first: triggers and foreign keys, and the CHECK constraints of `tables`.
///
/// # Panics
/// When a damage changes no row, or with all that was missed.
pub async fn every_damage_is_found(db: &TestDatabase, tables: &[&str], damages: &[(&str, &[&str])]) {
    let mut missed = Vec::new();
    for (how, rules) in damages {
        let mut tx = db.owner_pool().begin().await.expect("the database answers");
        sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *tx).await.expect("the owner may");
        for table in tables {
            let sql = "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'";
            let checks: Vec<String> = sqlx::query_scalar(sql).bind(table).fetch_all(&mut *tx).await.expect("there is such a table");
            for check in checks {
                let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {check}");
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *tx).await.expect("the owner may");
            }
        }
        let done = sqlx::raw_sql(AssertSqlSafe((*how).to_owned())).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{how}: {e}"));
        assert!(done.rows_affected() > 0, "{how}: nothing was changed");
        let report = wallet::check::run_in_tx(&mut tx).await.expect("the check runs");
        tx.rollback().await.expect("the database answers");
        let found: Vec<_> = report.rules.iter().filter(|rule| !rule.violations.is_empty()).map(|rule| rule.id).collect();
        for rule in rules.iter().filter(|rule| !found.contains(rule)) {
            missed.push(format!("{how}: {rule} should have found it; found by {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
