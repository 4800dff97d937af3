//! Jobs about money: each hands one number to its service, which asks the channel or bank and stores the answer.

use wallet::base::actor::Actor;
use wallet::base::id::{AttemptId, RefundId, WithdrawalId};
use wallet::base::job::Job;
use wallet::channel::Progress;
use wallet::withdrawal::Payee;

use super::pool::Step;
use crate::app::App;

impl From<Progress> for Step {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Settled => Self::Done,
            Progress::AskAgain(delay) => Self::Again(delay),
        }
    }
}

/// Asks the channel what became of a payment attempt.
pub(super) async fn payment_query(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.payments.query(job.book, AttemptId(job.subject)).await?.into())
}

/// Funds a refund when receivers have given back.
pub(super) async fn refund_gather(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.refunds.gather(job.book, RefundId(job.subject)).await?.into())
}

/// Has a merchant's available money pay what was advanced for a refund.
pub(super) async fn advance_recover(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.advances.recover(job.book, RefundId(job.subject)).await?.into())
}

/// Sends a refund.
pub(super) async fn refund_send(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.refunds.send(job.book, RefundId(job.subject)).await?.into())
}

/// Asks the channel what became of a refund.
pub(super) async fn refund_query(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.refunds.query(job.book, RefundId(job.subject)).await?.into())
}

/// Asks the bank to pay a withdrawal out. The payee is opened here, for the length of the call.
pub(super) async fn withdrawal_submit(app: &App, job: &Job) -> anyhow::Result<Step> {
    let account = app.merchants.settlement_account(&Actor::System, job.book.merchant()).await?;
    let payee = Payee { name: account.holder, account: account.number };
    app.withdrawals.submit(job.book, WithdrawalId(job.subject), payee).await?;
    // what is still open is left to the query job
    Ok(Step::Done)
}

/// Asks the bank what became of a withdrawal.
pub(super) async fn withdrawal_query(app: &App, job: &Job) -> anyhow::Result<Step> {
    Ok(app.withdrawals.query(job.book, WithdrawalId(job.subject)).await?.into())
}
