//! Processes the inbox of notices: at once when one was taken in, and every so often for what another process left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wallet::base::batcher::COMMANDS;

use crate::app::App;
use crate::http::chain;

/// Notices in one transaction.
const BATCH_MAX: i64 = 250;

/// How often to look without being told.
const SWEEP: Duration = Duration::from_secs(1);

/// Whose notices: those of acquirers and those of banks lie in one table and are processed by themselves, so that neither looks or waits for
/// the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Acquirer,
    Bank,
}

impl Sender {
    pub const ALL: [Self; 2] = [Self::Acquirer, Self::Bank];

    async fn process(self, app: &App) -> usize {
        match self {
            Self::Acquirer => {
                let processed = app.payments.process_notices(BATCH_MAX).await;
                if let Ok(processed) = &processed {
                    app.fanout.wake(&processed.events);
                }
                counted("acquirer", processed.map(|processed| processed.notices))
            }
            Self::Bank => counted("bank", app.withdrawals.process_notices(BATCH_MAX).await),
        }
    }
}

/// Until `stop`: waits for `taken_in` or the next sweep, empties the inbox, and wakes `relay` when something was decided.
pub async fn run(app: Arc<App>, sender: Sender, taken_in: Arc<Notify>, relay: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = taken_in.notified() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
        while !stop.is_cancelled() {
            let processed = sender.process(&app).await;
            if processed > 0 {
                relay.notify_one();
            }
            if processed > 1 {
                // the next batch is fuller, and a transaction costs about the same whatever its size
                tokio::time::sleep(COMMANDS.pause).await;
            }
            if processed < usize::try_from(BATCH_MAX).unwrap_or(usize::MAX) {
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
