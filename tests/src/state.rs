//! What the database holds, as one digest per table: two of them show whether anything changed, and where.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use crate::TestApp;

/// A digest of the rows of each table.
pub type State = BTreeMap<String, String>;

/// Tables that a refused request may write: who logged in, who was refused, where a reader stands.
const NOT_BUSINESS: [&str; 6] = ["sessions", "users", "audit_events", "outbox_cursors", "outbox_state", "_sqlx_migrations"];

impl TestApp {
    /// Digests of all business tables. Stop the worker first, or its work shows as a change.
    pub async fn state(&self) -> State {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relname = ANY($1) ORDER BY 1",
        )
        .bind(&NOT_BUSINESS[..])
        .fetch_all(self.owner_db())
        .await
        .expect("tables can be listed");
        let mut state = State::new();
        for table in tables {
            let sql =
                format!("SELECT count(*) || ' rows, ' || md5(COALESCE(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t");
            let digest: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(self.owner_db()).await.expect("a table can be read");
            state.insert(table, digest);
        }
        state
    }
}
