//! Waiting on a state with a limit: the only place of the tests that sleeps.

use std::time::{Duration, Instant};

/// Between two looks.
const POLL: Duration = Duration::from_millis(25);

/// Asks until `probe` answers `Some`, and returns that answer.
///
/// # Panics
/// With `what` when `limit` passes first.
pub async fn eventually<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until this many connections of the pool's database wait for a lock.
pub async fn eventually_blocked(db: &sqlx::PgPool, connections: i64) {
    eventually(Duration::from_secs(60), "others wait for a lock", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(db).await.expect("the database answers");
        (waiting >= connections).then_some(())
    })
    .await;
}
