//! Relays the outbox to watchers: each event becomes signals on its topics. Runs beside `serve`, where the watchers are.
//!
//! The cursor moves before the signals go out, so a crash between the two loses signals, never events; watchers look again by themselves.
//! Several processes share one cursor: each event is signalled by one of them, and Redis carries it to all. Without Redis there is
//! one serving process, and the twin reaches its watchers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wallet::base::outbox;

use crate::app::App;
use crate::fanout::topics_of;

/// The outbox consumer of this relay.
pub const RELAY: &str = "fanout";

/// Events read at a time.
const BATCH_MAX: i64 = 500;

/// How often to look without being told.
const POLL: Duration = Duration::from_millis(100);

/// Pause after the database did not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// Until `stop`: waits for `wake` or the next look, and signals what is new.
pub async fn run(app: Arc<App>, wake: Arc<Notify>, stop: CancellationToken) {
    let mut pause = POLL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = loop {
            match outbox::take(&app.db, RELAY, BATCH_MAX).await {
                Ok(events) => {
                    let topics: BTreeSet<String> = events.iter().flat_map(topics_of).collect();
                    app.fanout.publish(&Vec::from_iter(topics)).await;
                    if (events.len() as i64) < BATCH_MAX {
                        break POLL;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the outbox could not be read; trying again");
                    break DATABASE_PAUSE;
                }
            }
        };
    }
}
