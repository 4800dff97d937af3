//! The SQL of the rules about the server and its catalogue.

use sqlx::PgConnection;

use crate::check::Found;

pub(super) async fn rights_are_few(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH kept AS (
               SELECT t.name
               FROM UNNEST(ARRAY['postings', 'entries', 'floor_changes', 'settlement_batches', 'day_closes', 'day_balances', 'month_closes',
                                 'month_balances', 'log_seals', 'audit_events', 'channel_transactions', 'request_numbers', 'products', 'order_releases',
                                 'order_confirmations']) AS t (name)
           ), rights AS (
               SELECT name, privilege, CASE privilege
                          WHEN 'UPDATE' THEN has_any_column_privilege('haodian_app', name, privilege)
                          ELSE has_table_privilege('haodian_app', name, privilege)
                      END AS held
               FROM kept, UNNEST(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p (privilege)
           ), bad AS (
               SELECT format('haodian_app may %s %s', privilege, name) AS violation FROM rights WHERE held
               UNION ALL
               SELECT format('haodian_app owns %s', relname)
               FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner = 'haodian_app'::regrole
               UNION ALL
               SELECT format('%s changes by trigger %s', tgrelid::regclass, tgname)
               FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text IN (SELECT name FROM kept)
               UNION ALL
               SELECT format('%s has the rule %s', ev_class::regclass, rulename)
               FROM pg_rewrite WHERE ev_class::regclass::text IN (SELECT name FROM kept)
           )
           SELECT (SELECT count(*) FROM rights) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// The server's settings, those of this connection (which is made like every other one of ours), and what a role or database is given.
pub(super) async fn durable(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH wanted AS (
               SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
           ), given AS (
               SELECT s.setdatabase, s.setrole, given.text
               FROM pg_db_role_setting s, UNNEST(s.setconfig) AS given (text)
               WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
           ), bad AS (
               SELECT format('%s is %s', name, setting) AS violation FROM wanted WHERE setting = 'off'
               UNION ALL
               SELECT format('%s for role %s', text, CASE setrole WHEN 0 THEN 'of everyone' ELSE setrole::regrole::text END)
               FROM given WHERE text ~ '^(fsync|full_page_writes|synchronous_commit)=(off|false|no|0)$'
           )
           SELECT (SELECT count(*) FROM wanted) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// Whether the owner put this comment on the database.
pub(super) async fn marked(tx: &mut PgConnection, mark: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE((SELECT shobj_description(oid, 'pg_database') = $1 FROM pg_database WHERE datname = current_database()), false) AS "marked!""#,
        mark
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn money_is_whole(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH fields AS (
               SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type
               FROM pg_attribute a
               JOIN pg_class c ON c.oid = a.attrelid
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s.%s is %s', relname, attname, type)
                        FROM fields
                        WHERE (attname LIKE '%\_minor' AND type <> 'bigint') OR type ~ '^(real|double precision|numeric|money)'
                        LIMIT 21) AS "violations!"
           FROM fields"#
    )
    .fetch_one(tx)
    .await
}

/// What the server counted since its statistics were last set to zero (`pg_stat_reset()`, once the circle is understood).
pub(super) async fn deadlocks(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s deadlocks since %s', deadlocks, COALESCE(stats_reset::text, 'the database was made'))
                        FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0) AS "violations!"
           FROM pg_stat_database WHERE datname = current_database()"#
    )
    .fetch_one(tx)
    .await
}
