//! Relays the outbox to watchers: each event becomes signals on its topics. Runs beside `serve`, where the watchers are.
//!
//! The signals go out before the cursor's transaction commits: a crash between the two signals again, and a signal too many costs a watcher
//! one look. The transaction that is open meanwhile is bounded by the fan-out's own time limit, and a Redis that is away holds up nothing.
//! Several processes share one cursor: each event is signalled by one of them, and Redis carries it to all. Without Redis there is
//! one serving process, and the twin reaches its watchers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wallet::base::outbox::{Begin, Consumer, Failure, Handler, Stored};

use crate::app::App;
use crate::fanout::{Fanout, topics_of};

/// The outbox consumer of this relay. Who watches has looked before: it begins with the present.
pub const RELAY: Consumer = Consumer { name: "fanout", begin: Begin::Present, attempts_max: 5, backoff: Duration::from_secs(1) };

/// Every consumer of the outbox. Their rows in the queue form follow from this list.
pub const CONSUMERS: [Consumer; 2] = [RELAY, super::webhook::FAN_OUT];

/// Events read at a time.
const BATCH_MAX: i32 = 500;

/// How often to look without being told.
const POLL: Duration = Duration::from_millis(100);

/// Pause after a look: the next finds more, and a transaction costs about the same whatever it finds. What this process took in itself its
/// watchers know already ([`Fanout::wake`]).
const REST: Duration = Duration::from_millis(50);

/// Pause after the database did not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// Signals what the events are about.
struct Signals<'a>(&'a Fanout);

impl Handler for Signals<'_> {
    async fn handle(&self, _tx: &mut PgConnection, events: &[Stored]) -> Result<(), Failure> {
        let topics: BTreeSet<String> = events.iter().flat_map(|event| topics_of(&event.kind, event.subject, &event.payload)).collect();
        self.0.publish(&Vec::from_iter(topics)).await;
        Ok(())
    }
}

/// Until `stop`: waits for `wake` or the next look, and signals what is new.
pub async fn run(app: Arc<App>, wake: Arc<Notify>, stop: CancellationToken) {
    let mut prepared = false;
    let mut pause = POLL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = match signal_all(&app, &mut prepared).await {
            Ok(()) => POLL,
            Err(error) => {
                tracing::warn!(error = %error, "the outbox could not be read; trying again");
                DATABASE_PAUSE
            }
        };
        tokio::time::sleep(REST).await;
    }
}

/// Signals until nothing is left for now.
async fn signal_all(app: &App, prepared: &mut bool) -> sqlx::Result<()> {
    if !*prepared {
        app.outbox.prepare(&CONSUMERS).await?;
        *prepared = true;
    }
    let signals = Signals(&app.fanout);
    while app.outbox.consume(&RELAY, BATCH_MAX, &signals).await?.more {}
    Ok(())
}
