//! Processes the inbox of notices: at once when one was taken in, and every so often for what another process left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wallet::base::batcher::COMMANDS;

use crate::app::App;
use crate::http::chain;

/// Notices of one channel in one transaction.
const BATCH_MAX: i64 = 250;

/// How often to look without being told.
const SWEEP: Duration = Duration::from_secs(1);

/// Until `stop`: waits for `taken_in` or the next sweep, empties the inbox, and wakes `relay` when something was decided.
pub async fn run(app: Arc<App>, taken_in: Arc<Notify>, relay: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = taken_in.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
        while !stop.is_cancelled() {
            let (payments, withdrawals) = tokio::join!(app.payments.process_notices(BATCH_MAX), app.withdrawals.process_notices(BATCH_MAX));
            let payments = counted("acquirer", payments);
            let withdrawals = counted("bank", withdrawals);
            if payments + withdrawals > 0 {
                relay.notify_one();
            }
            if payments + withdrawals > 1 {
                // the next batch is fuller, and a transaction costs about the same whatever its size
                tokio::time::sleep(COMMANDS.pause).await;
            }
            if payments.max(withdrawals) < usize::try_from(BATCH_MAX).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
}

/// How many were processed; a failure is logged and left to the next round.
fn counted<E: std::error::Error + 'static>(sender: &'static str, processed: Result<usize, E>) -> usize {
    processed.unwrap_or_else(|error| {
        tracing::error!(sender, error = %chain(&error), "notices could not be processed");
        0
    })
}
