//! The wish to stop: SIGTERM or Ctrl-C, as a token that everything long-running watches.

use std::sync::OnceLock;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. Asked for again, it is the same one: a process calls this before it connects
/// to anything, so that a stop during the start is an orderly one, too.
pub fn signal() -> anyhow::Result<CancellationToken> {
    static STOP: OnceLock<CancellationToken> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let mut terminate = listen(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = listen(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let stop = STOP.get_or_init(CancellationToken::new).clone();
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
