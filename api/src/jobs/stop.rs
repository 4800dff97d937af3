//! The wish to stop: SIGTERM or Ctrl-C, as a token that everything long-running watches.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT.
pub fn signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = listen(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = listen(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
