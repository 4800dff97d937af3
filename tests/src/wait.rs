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
