//! The pool every service shares. Connections act as `haodian_app`, which may not change or delete an entry.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// What a caller is told to wait when others were in its way.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Longest a statement may run before PostgreSQL ends it.
const STATEMENT_TIMEOUT: &str = "15s";

/// A connection that was used this short a time ago is taken to be alive.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// How commands are planned: once for each connection and statement, and by key. Planning anew for every array of keys took 28 % of
/// PostgreSQL's time under payments; and a plan that was made while a table was empty would go on reading all of what has become a million
/// rows, until statistics are gathered.
const BY_KEY: [(&str, &str); 4] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

/// Opens a pool of at most `connections_max` connections as the application role, for statements that find their rows by key.
pub async fn connect(url: &str, connections_max: u32) -> sqlx::Result<PgPool> {
    open(url.parse::<PgConnectOptions>()?.options(BY_KEY), connections_max).await
}

/// Opens a pool for statements that add up many rows: apart, so that reports never take the connections of commands.
pub async fn connect_for_reports(url: &str, connections_max: u32) -> sqlx::Result<PgPool> {
    open(url.parse()?, connections_max).await
}

async fn open(options: PgConnectOptions, connections_max: u32) -> sqlx::Result<PgPool> {
    let options = options.application_name("haodian").options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("timezone", "UTC"),
        // our statements are short: compiling one costs many times what it runs
        ("jit", "off"),
    ]);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(10))
        // asking a connection whether it lives costs a round trip: only one that was idle is asked
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > IDLE_TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query("SET ROLE haodian_app").execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
}

/// Whether a whole transaction is worth running again: deadlock or serialization failure.
pub fn retryable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if matches!(e.code().as_deref(), Some("40001" | "40P01")))
}

/// Whether the failure is only that others are in the way: worth another try by the caller, later.
pub fn busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(e) => retryable(error) || e.code().as_deref() == Some("55P03"),
        _ => false,
    }
}

/// Whether there was no connection to be had: nobody fares better alone.
pub fn away(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
}

/// Times a whole transaction is run before its deadlock or serialization failure is the caller's.
const TRIES_MAX: u32 = 4;

/// Runs a whole transaction, and again while it fails for a reason that passes by itself (`passing`, as told by [`retryable`]).
pub async fn retrying<T, E, F>(passing: impl Fn(&E) -> bool, mut run: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut tries = 1;
    loop {
        match run().await {
            Err(error) if tries < TRIES_MAX && passing(&error) => tries += 1,
            result => return result,
        }
    }
}

/// The name of the constraint that refused a row.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(e) => e.constraint(),
        _ => None,
    }
}
