//! What need not be kept for ever: events that every consumer has read, idempotency keys that nobody may ask for any more, deliveries of
//! webhooks.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use wallet::base::clock::Clock;
use wallet::base::idempotency;
use wallet::webhook::WebhookError;

use super::relay::CONSUMERS;
use crate::app::App;
use crate::http::chain;

/// How often to look for old events. Real time passes slowly.
const LOOK: Duration = Duration::from_secs(600);

/// Events, keys or deliveries deleted in one transaction.
const BATCH_MAX: i64 = 1_000;

/// Until `stop`: deletes old keys and events in small transactions, and takes into the queue what an engine without marks found with them.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let keep = TimeDelta::days(app.config.database.outbox_keep_days.into());
    loop {
        match look(&app, keep, &stop).await {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "old events were deleted"),
            Err(error) => tracing::warn!(error = %error, "old events could not be deleted; it is tried again"),
        }
        match keys(&app, &stop).await {
            Ok(0) => {}
            Ok(keys) => tracing::info!(keys, "old idempotency keys were deleted"),
            Err(error) => tracing::warn!(error = %error, "old idempotency keys could not be deleted; it is tried again"),
        }
        match webhooks(&app, &stop).await {
            Ok(0) => {}
            Ok(deliveries) => tracing::info!(deliveries, "old webhook deliveries were deleted"),
            Err(error) => tracing::warn!(error = %chain(&error), "old webhook deliveries could not be deleted; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(app: &App, keep: TimeDelta, stop: &CancellationToken) -> sqlx::Result<u64> {
    app.outbox.prepare(&CONSUMERS).await?;
    let mut purged = 0;
    while !stop.is_cancelled() {
        let batch = app.outbox.purge(keep, BATCH_MAX).await?;
        purged += batch;
        if i64::try_from(batch).unwrap_or(i64::MAX) < BATCH_MAX {
            break;
        }
    }
    Ok(purged)
}

/// A sandbox may play a later day: a key goes by whichever clock is behind.
async fn keys(app: &App, stop: &CancellationToken) -> sqlx::Result<u64> {
    let now = app.clock.now().min(Clock::wall());
    let before = idempotency::purged_before(now, app.config.database.idempotency_keep_days);
    let mut purged = 0;
    while !stop.is_cancelled() {
        let batch = idempotency::purge(&app.db, before, BATCH_MAX).await?;
        purged += batch;
        if i64::try_from(batch).unwrap_or(i64::MAX) < BATCH_MAX {
            break;
        }
    }
    Ok(purged)
}

/// Real time, as deliveries are kept by it.
async fn webhooks(app: &App, stop: &CancellationToken) -> Result<u64, WebhookError> {
    let before = Clock::wall() - TimeDelta::days(app.config.webhook.keep_days.into());
    let mut purged = 0;
    while !stop.is_cancelled() {
        let batch = app.webhooks.purge(before, BATCH_MAX).await?;
        purged += batch;
        if i64::try_from(batch).unwrap_or(i64::MAX) < BATCH_MAX {
            break;
        }
    }
    Ok(purged)
}
