//! Webhooks beside everything else: events become deliveries, and deliveries go out. Any number of processes may do both.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use wallet::base::outbox::{Begin, Consumer};
use wallet::webhook::{Claimed, Outcome};

use super::relay::CONSUMERS;
use super::tick::pause;
use crate::app::App;
use crate::http::chain;

/// The outbox consumer that makes deliveries. An endpoint hears of what happens after it was made, so it begins with the present.
pub const FAN_OUT: Consumer = Consumer { name: "webhooks", begin: Begin::Present, attempts_max: 8, backoff: Duration::from_secs(1) };

/// Events read at a time.
const BATCH_MAX: i32 = 500;

/// Deliveries under way in this process: each waits for its receiver most of its life.
const PLACES: usize = 32;

/// How often to look when there was nothing.
const POLL: Duration = Duration::from_millis(200);

/// Pause after the database did not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// Until `stop`: makes deliveries of events.
pub async fn collect(app: Arc<App>, stop: CancellationToken) {
    let fan_out = app.webhooks.fan_out();
    let mut prepared = false;
    let mut wait = POLL;
    while pause(&stop, wait).await {
        let read = async {
            if !prepared {
                app.outbox.prepare(&CONSUMERS).await?;
                prepared = true;
            }
            while app.outbox.consume(&FAN_OUT, BATCH_MAX, &fan_out).await?.more && !stop.is_cancelled() {}
            sqlx::Result::<()>::Ok(())
        };
        wait = match read.await {
            Ok(()) => POLL,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "events could not be made into webhook deliveries; trying again");
                DATABASE_PAUSE
            }
        };
    }
}

/// Until `stop`: claims deliveries for the places that are free and sends them; then waits for those in hand.
pub async fn deliver(app: Arc<App>, stop: CancellationToken) {
    let worker = format!("work-{}", Uuid::now_v7().simple());
    let places = Arc::new(Semaphore::new(PLACES));
    let tasks = TaskTracker::new();
    let mut wait = POLL;
    while pause(&stop, wait).await {
        let free = places.available_permits();
        if free == 0 {
            wait = POLL;
            continue;
        }
        wait = match app.webhooks.claim(&worker, free).await {
            Ok(claimed) => {
                let wait = if claimed.is_empty() { POLL } else { Duration::ZERO };
                for delivery in claimed {
                    // only this loop takes places, so those that were free still are
                    let (app, place) = (app.clone(), places.clone().try_acquire_owned().ok());
                    tasks.spawn(async move {
                        let _place = place;
                        send(&app, &delivery).await;
                    });
                }
                wait
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "webhook deliveries could not be claimed; trying again");
                DATABASE_PAUSE
            }
        };
    }
    tasks.close();
    tasks.wait().await;
}

async fn send(app: &App, delivery: &Claimed) {
    let outcome = match app.webhooks.deliver(delivery).await {
        Ok(outcome) => name(outcome),
        Err(error) => {
            // the lease runs out and it is sent again under the same id, which receivers dedupe by
            tracing::error!(error = %chain(&error), "what became of a webhook delivery could not be stored");
            "not_stored"
        }
    };
    metrics::counter!("haodian_webhook_tries_total", "outcome" => outcome).increment(1);
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Taken => "taken",
        Outcome::Refused => "refused",
        Outcome::Timeout => "timeout",
        Outcome::NoAnswer => "no_answer",
        Outcome::Address => "address",
        Outcome::Unusable => "unusable",
    }
}
