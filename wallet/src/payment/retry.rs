//! Runs a whole transaction again after a deadlock or serialization failure, a few times.

use std::future::Future;

/// Runs before the failure is given to the caller.
const RUNS_MAX: u32 = 4;

/// Runs `transaction` until it succeeds, fails for good, or has failed [`RUNS_MAX`] times. Each run must begin its own transaction.
pub(crate) async fn retrying<T, E, F, R>(retryable: fn(&E) -> bool, mut transaction: R) -> Result<T, E>
where
    R: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    let mut run = 1;
    loop {
        match transaction().await {
            Err(error) if run < RUNS_MAX && retryable(&error) => run += 1,
            result => return result,
        }
    }
}
