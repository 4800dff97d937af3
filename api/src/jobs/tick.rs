//! What happens every so often: settlement, the sandbox's day, upkeep of measurements.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::http::chain;
use crate::telemetry;

/// How often books are looked through for money that is due. A look that finds none is one query.
const SETTLE: Duration = Duration::from_secs(5);

/// How often a process looks at the sandbox's clock.
const CLOCK: Duration = Duration::from_millis(500);

/// How often histograms are folded, so that they do not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sleeps; false when `stop` came first.
async fn pause(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// Releases what is due from pending to available (T+1).
pub async fn settle(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, SETTLE).await {
        match app.settlements.release_due().await {
            Ok(0) => {}
            Ok(days) => tracing::info!(days, "settlement released days"),
            Err(error) => tracing::error!(error = %chain(&error), "settlement failed; it is tried again"),
        }
    }
}

/// Follows the sandbox's day, in development only. The row is the truth; every process comes after it.
pub async fn follow_clock(app: Arc<App>, stop: CancellationToken) {
    if !app.config.development() {
        return;
    }
    loop {
        if let Err(error) = app.follow_sandbox_clock().await {
            tracing::warn!(error = %error, "the sandbox clock could not be read");
        }
        if !pause(&stop, CLOCK).await {
            return;
        }
    }
}

/// Folds measurements.
pub async fn upkeep(stop: CancellationToken) {
    while pause(&stop, UPKEEP).await {
        telemetry::recorder().run_upkeep();
    }
}
