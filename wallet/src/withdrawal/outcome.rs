//! Applying the bank's word: lock → decide → post and write, for any number of withdrawals in the same few statements.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::rules::{self, Step};
use super::{Withdrawal, WithdrawalError, WithdrawalStatus, repo};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::id::{BookId, WithdrawalId};
use crate::base::outbox::{self, Event};
use crate::channel::SANDBOX_BANK;
use crate::channel::sandbox::PayoutState;
use crate::ledger::{self, Posting, recipe};

/// What the bank said about a withdrawal.
#[derive(Clone, Debug)]
pub(super) struct BankResult {
    pub book: BookId,
    pub id: WithdrawalId,
    pub state: PayoutState,
}

/// What a word of the bank came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Applied {
    /// It changed the withdrawal.
    Changed,
    /// It was known already.
    Known,
    /// It contradicts what was final; kept in the audit trail for a person.
    Conflict,
    /// There is no such withdrawal.
    Missing,
}

/// Applies results in their order and says what each came to. A later result sees the effect of an earlier one.
pub(super) async fn apply_in_tx(
    tx: &mut PgConnection,
    results: &[BankResult],
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<Applied>, WithdrawalError> {
    let ids: Vec<_> = results.iter().map(|r| (r.book, r.id)).collect();
    let locked = repo::lock_in_tx(tx, &ids).await?;
    let before: BTreeMap<_, WithdrawalStatus> = locked.iter().map(|w| (w.id, w.status)).collect();
    let mut rows: BTreeMap<_, Withdrawal> = locked.into_iter().map(|w| (w.id, w)).collect();
    let (mut applied, mut postings, mut events) = (Vec::with_capacity(results.len()), Vec::new(), Vec::new());
    for result in results {
        let Some(row) = rows.get_mut(&result.id) else {
            applied.push(Applied::Missing);
            continue;
        };
        let step = rules::step(row.status, &result.state.status);
        applied.push(match step {
            Step::Keep => Applied::Known,
            Step::Conflict => {
                report_conflict(tx, row, result, now).await?;
                Applied::Conflict
            }
            Step::Acknowledge | Step::Pay | Step::Return { .. } => {
                take(row, step, result, now);
                postings.extend(posting(row, today));
                events.extend(event(row, now));
                Applied::Changed
            }
        });
    }
    let moves: Vec<_> = rows.values().filter_map(|w| before.get(&w.id).filter(|was| **was != w.status).map(|was| (*was, w))).collect();
    if moves.is_empty() {
        return Ok(applied);
    }
    for outcome in ledger::post_in_tx(tx, &postings, today, now).await? {
        outcome.map_err(WithdrawalError::Refused)?;
    }
    if repo::move_in_tx(tx, &moves).await? != moves.len() as u64 {
        return Err(WithdrawalError::Incomplete);
    }
    outbox::append_in_tx(tx, &events).await?;
    Ok(applied)
}

/// Takes a step over into the withdrawal.
fn take(row: &mut Withdrawal, step: Step, result: &BankResult, now: DateTime<Utc>) {
    row.status = match step {
        Step::Pay => WithdrawalStatus::Succeeded,
        Step::Return { code } => {
            row.error_code = Some(code);
            WithdrawalStatus::Failed
        }
        Step::Acknowledge | Step::Keep | Step::Conflict => WithdrawalStatus::Submitted,
    };
    row.resolved_at = row.status.is_final().then_some(now);
    if result.state.bank_reference.is_some() {
        row.bank_reference.clone_from(&result.state.bank_reference);
    }
}

/// What a withdrawal that has just ended does to the books.
fn posting(row: &Withdrawal, today: NaiveDate) -> Option<Posting> {
    let book = row.merchant.book();
    match row.status {
        WithdrawalStatus::Succeeded => Some(recipe::withdrawal_paid(book, row.id, row.amount, SANDBOX_BANK, today)),
        WithdrawalStatus::Failed => Some(recipe::withdrawal_returned(book, row.id, row.amount, today)),
        WithdrawalStatus::Held | WithdrawalStatus::Submitted | WithdrawalStatus::Unknown => None,
    }
}

/// What others are told about a withdrawal that has just ended.
fn event(row: &Withdrawal, now: DateTime<Utc>) -> Option<Event> {
    let kind = match row.status {
        WithdrawalStatus::Succeeded => "withdrawal.succeeded",
        WithdrawalStatus::Failed => "withdrawal.failed",
        WithdrawalStatus::Held | WithdrawalStatus::Submitted | WithdrawalStatus::Unknown => return None,
    };
    let payload = serde_json::json!({
        "version": 1,
        "amountMinor": row.amount.minor.to_string(),
        "currency": row.amount.currency,
        "errorCode": row.error_code,
    });
    Some(Event { book: row.merchant.book(), kind, subject: row.id.0, payload, at: now })
}

/// Keeps a contradiction where a person will find it. Rare enough for a statement of its own.
async fn report_conflict(tx: &mut PgConnection, row: &Withdrawal, result: &BankResult, now: DateTime<Utc>) -> sqlx::Result<()> {
    let said = match &result.state.status {
        crate::channel::sandbox::PayoutStatus::Accepted => "ACCEPTED",
        crate::channel::sandbox::PayoutStatus::Succeeded => "SUCCEEDED",
        crate::channel::sandbox::PayoutStatus::Failed { .. } => "FAILED",
    };
    tracing::error!(withdrawal = %row.id, was = row.status.as_str(), said, "the bank contradicts the state of a withdrawal");
    let detail = serde_json::json!({ "was": row.status.as_str(), "bankSaid": said, "bankReference": result.state.bank_reference });
    audit::record_in_tx(tx, &Actor::System, "withdrawal.contradicted", row.id.0, detail, now).await
}
