//! Jobs of splits: each hands one number to the service, which goes on from wherever the split stands.

use wallet::base::id::{OrderId, SplitReturnId};
use wallet::base::job::Job;

use super::pool::Step;
use crate::app::App;

/// Moves the lines of an order that are due.
pub(super) async fn execute(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.splits.execute(job.book, OrderId(job.subject)).await?.into())
}

/// Brings money back from receivers.
pub(super) async fn bring_back(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.splits.execute_return(job.book, SplitReturnId(job.subject)).await?.into())
}

/// Finishes a split whose money must not stay frozen much longer.
pub(super) async fn finish_due(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.splits.finish_due(job.book, OrderId(job.subject)).await?.into())
}
