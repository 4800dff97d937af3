//! Applying the bank's word: lock → decide → post and write, for any number of withdrawals in the same few statements.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::rules::{self, Step};
use super::{QUERY_JOB, Withdrawal, WithdrawalError, WithdrawalStatus, repo};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::id::{BookId, WithdrawalId};
use crate::base::job::{self, NewJob};
use crate::base::outbox::{self, Event};
use crate::channel::payout::{PayoutState, PayoutStatus};
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
        let same_reference = row.bank_reference.is_none() || row.bank_reference == result.state.bank_reference;
        let step = rules::step(row.status, &result.state.status, same_reference);
        applied.push(match step {
            Step::Keep => Applied::Known,
            Step::Conflict => {
                report_conflict(tx, row, result, now).await?;
                Applied::Conflict
            }
            Step::Acknowledge | Step::Pay | Step::Refuse { .. } | Step::Bounce { .. } | Step::PayAndBounce { .. } => {
                for status in statuses(&step) {
                    take(row, *status, result, now);
                    postings.extend(posting(row, today));
                    events.extend(event(row, now));
                }
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
    let back: Vec<&Withdrawal> = moves.iter().filter(|(_, w)| w.status == WithdrawalStatus::Returned).map(|(_, w)| *w).collect();
    send_on_in_tx(tx, &back, now).await?;
    Ok(applied)
}

/// The statuses that a step leads through, the last of which stays.
fn statuses(step: &Step) -> &'static [WithdrawalStatus] {
    match step {
        Step::Keep | Step::Conflict => &[],
        Step::Acknowledge => &[WithdrawalStatus::Submitted],
        Step::Pay => &[WithdrawalStatus::Succeeded],
        Step::Refuse { .. } => &[WithdrawalStatus::Failed],
        Step::Bounce { .. } => &[WithdrawalStatus::Returned],
        Step::PayAndBounce { .. } => &[WithdrawalStatus::Succeeded, WithdrawalStatus::Returned],
    }
}

/// Takes what the bank said over into the withdrawal.
fn take(row: &mut Withdrawal, status: WithdrawalStatus, result: &BankResult, now: DateTime<Utc>) {
    row.status = status;
    match (status, &result.state.status) {
        (WithdrawalStatus::Failed, PayoutStatus::Failed { code }) => (row.error_code, row.resolved_at) = (Some(code.clone()), Some(now)),
        (WithdrawalStatus::Returned, PayoutStatus::Returned { code }) => {
            (row.error_code, row.returned_at) = (Some(code.clone()), Some(now))
        }
        (WithdrawalStatus::Succeeded, _) => row.resolved_at = Some(now),
        _ => {}
    }
    if result.state.bank_reference.is_some() {
        row.bank_reference.clone_from(&result.state.bank_reference);
    }
}

/// What came back is written down for people, and for the job that credits it: dies this process before, the job is there with the row.
async fn send_on_in_tx(tx: &mut PgConnection, back: &[&Withdrawal], now: DateTime<Utc>) -> sqlx::Result<()> {
    for row in back {
        let detail = serde_json::json!({ "bankReference": row.bank_reference, "errorCode": row.error_code });
        audit::record_in_tx(tx, &Actor::System, "withdrawal.returned", row.id.0, detail, now).await?;
    }
    let credit = |w: &&Withdrawal| NewJob { kind: QUERY_JOB, book: w.merchant.book(), subject: w.id.0, run_at: Clock::wall() };
    job::enqueue_in_tx(tx, &back.iter().map(credit).collect::<Vec<_>>()).await
}

/// Gives the merchant what came back from the bank, unless that was done before.
pub(super) async fn credit_back_in_tx(
    tx: &mut PgConnection,
    (book, id): (BookId, WithdrawalId),
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<(), WithdrawalError> {
    let mut row = repo::lock_in_tx(tx, &[(book, id)]).await?.pop().ok_or(WithdrawalError::NotFound)?;
    if row.status != WithdrawalStatus::Returned {
        return Ok(());
    }
    (row.status, row.credited_back_at) = (WithdrawalStatus::CreditedBack, Some(now));
    for outcome in ledger::post_in_tx(tx, posting(&row, today).as_slice(), today, now).await? {
        outcome.map_err(WithdrawalError::Refused)?;
    }
    if repo::move_in_tx(tx, &[(WithdrawalStatus::Returned, &row)]).await? != 1 {
        return Err(WithdrawalError::Incomplete);
    }
    outbox::append_in_tx(tx, event(&row, now).as_slice()).await?;
    let detail = serde_json::json!({ "bankReference": row.bank_reference });
    audit::record_in_tx(tx, &Actor::System, "withdrawal.credited_back", row.id.0, detail, now).await?;
    Ok(())
}

/// What a withdrawal that has just come to its status does to the books.
fn posting(row: &Withdrawal, today: NaiveDate) -> Option<Posting> {
    let book = row.merchant.book();
    match row.status {
        WithdrawalStatus::Succeeded => Some(recipe::withdrawal_paid(book, row.id, row.amount, &row.bank, today)),
        WithdrawalStatus::Failed => Some(recipe::withdrawal_returned(book, row.id, row.amount, today)),
        WithdrawalStatus::Returned => Some(recipe::withdrawal_bounced(book, row.id, row.amount, &row.bank, today)),
        WithdrawalStatus::CreditedBack => Some(recipe::withdrawal_credited_back(book, row.id, row.amount, today)),
        WithdrawalStatus::Held | WithdrawalStatus::Submitted | WithdrawalStatus::Unknown => None,
    }
}

/// What others are told about a withdrawal that has just come to its status.
fn event(row: &Withdrawal, now: DateTime<Utc>) -> Option<Event> {
    let kind = match row.status {
        WithdrawalStatus::Succeeded => "withdrawal.succeeded",
        WithdrawalStatus::Failed => "withdrawal.failed",
        WithdrawalStatus::Returned => "withdrawal.returned",
        WithdrawalStatus::CreditedBack => "withdrawal.credited_back",
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
        PayoutStatus::Accepted => "ACCEPTED",
        PayoutStatus::Succeeded => "SUCCEEDED",
        PayoutStatus::Failed { .. } => "FAILED",
        PayoutStatus::Returned { .. } => "RETURNED",
    };
    tracing::error!(withdrawal = %row.id, was = row.status.as_str(), said, "the bank contradicts the state of a withdrawal");
    let detail = serde_json::json!({ "was": row.status.as_str(), "bankSaid": said, "bankReference": result.state.bank_reference });
    audit::record_in_tx(tx, &Actor::System, "withdrawal.contradicted", row.id.0, detail, now).await
}
