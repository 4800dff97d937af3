//! SQL of withdrawals. Locks: withdrawals by (book, withdrawal), after the inbox's notices and before ledger accounts.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Withdrawal, WithdrawalCursor, WithdrawalStatus};
use crate::base::clock::Clock;
use crate::base::id::{BookId, MerchantId, UserId, WithdrawalId};
use crate::base::money::{Currency, Money};

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    withdrawal_id: Uuid,
    amount_minor: i64,
    currency: Currency,
    status: WithdrawalStatus,
    account_tail: String,
    bank: String,
    bank_reference: Option<String>,
    error_code: Option<String>,
    created_at: DateTime<Utc>,
    submitted_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    returned_at: Option<DateTime<Utc>>,
    credited_back_at: Option<DateTime<Utc>>,
}

impl From<Row> for Withdrawal {
    fn from(row: Row) -> Self {
        Self {
            id: WithdrawalId(row.withdrawal_id),
            merchant: MerchantId(row.book_id),
            amount: Money { minor: row.amount_minor, currency: row.currency },
            status: row.status,
            account_tail: row.account_tail,
            bank: row.bank,
            bank_reference: row.bank_reference,
            error_code: row.error_code,
            created_at: row.created_at,
            submitted_at: row.submitted_at,
            resolved_at: row.resolved_at,
            returned_at: row.returned_at,
            credited_back_at: row.credited_back_at,
        }
    }
}

pub(super) async fn insert_in_tx(tx: &mut PgConnection, withdrawal: &Withdrawal, requested_by: Option<UserId>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO withdrawals (book_id, withdrawal_id, amount_minor, currency, status, account_tail, bank, requested_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        withdrawal.merchant.0,
        withdrawal.id.0,
        withdrawal.amount.minor,
        withdrawal.amount.currency.as_str(),
        withdrawal.status.as_str(),
        withdrawal.account_tail,
        withdrawal.bank,
        requested_by.map(|u| u.0),
        withdrawal.created_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks withdrawals in (book, withdrawal) order. Missing ones are left out.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, ids: &[(BookId, WithdrawalId)]) -> sqlx::Result<Vec<Withdrawal>> {
    let (books, ids) = columns(ids);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT w.book_id, w.withdrawal_id, w.amount_minor, w.currency AS "currency: Currency", w.status AS "status: WithdrawalStatus",
                  w.account_tail, w.bank, w.bank_reference, w.error_code, w.created_at, w.submitted_at, w.resolved_at, w.returned_at,
                  w.credited_back_at
           FROM withdrawals w
           WHERE (w.book_id, w.withdrawal_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY w.book_id, w.withdrawal_id
           FOR NO KEY UPDATE OF w"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Withdrawal::from).collect())
}

/// Stores that the bank is about to be asked, unless it was before. Returns whether this call did it.
pub(super) async fn submit_in_tx(tx: &mut PgConnection, book: BookId, id: WithdrawalId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE withdrawals SET status = 'SUBMITTED', submitted_at = $3 WHERE book_id = $1 AND withdrawal_id = $2 AND status = 'HELD'",
        book.0,
        id.0,
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores that the bank gave no usable answer. Does nothing once it has given one.
pub(super) async fn mark_unknown(db: &PgPool, book: BookId, id: WithdrawalId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE withdrawals SET status = 'UNKNOWN' WHERE book_id = $1 AND withdrawal_id = $2 AND status = 'SUBMITTED'",
        book.0,
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Moves withdrawals from the status each was locked in. Returns how many moved.
pub(super) async fn move_in_tx(tx: &mut PgConnection, moves: &[(WithdrawalStatus, &Withdrawal)]) -> sqlx::Result<u64> {
    let books: Vec<Uuid> = moves.iter().map(|(_, w)| w.merchant.0).collect();
    let ids: Vec<Uuid> = moves.iter().map(|(_, w)| w.id.0).collect();
    let from: Vec<&str> = moves.iter().map(|(from, _)| from.as_str()).collect();
    let to: Vec<&str> = moves.iter().map(|(_, w)| w.status.as_str()).collect();
    let references: Vec<Option<&str>> = moves.iter().map(|(_, w)| w.bank_reference.as_deref()).collect();
    let codes: Vec<Option<&str>> = moves.iter().map(|(_, w)| w.error_code.as_deref()).collect();
    let resolved: Vec<Option<DateTime<Utc>>> = moves.iter().map(|(_, w)| w.resolved_at).collect();
    let returned: Vec<Option<DateTime<Utc>>> = moves.iter().map(|(_, w)| w.returned_at).collect();
    let credited: Vec<Option<DateTime<Utc>>> = moves.iter().map(|(_, w)| w.credited_back_at).collect();
    let moved = sqlx::query!(
        "UPDATE withdrawals w
         SET status = m.status, bank_reference = m.bank_reference, error_code = m.error_code, resolved_at = m.resolved_at,
             returned_at = m.returned_at, credited_back_at = m.credited_back_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
                     $9::timestamptz[])
             AS m (book_id, withdrawal_id, was, status, bank_reference, error_code, resolved_at, returned_at, credited_back_at)
         WHERE w.book_id = m.book_id AND w.withdrawal_id = m.withdrawal_id AND w.status = m.was",
        &books,
        &ids,
        &from as &[&str],
        &to as &[&str],
        &references as &[Option<&str>],
        &codes as &[Option<&str>],
        &resolved as &[Option<DateTime<Utc>>],
        &returned as &[Option<DateTime<Utc>>],
        &credited as &[Option<DateTime<Utc>>]
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected())
}

/// Writes a job to ask the bank once more for the same payout, unless one waits already.
pub(super) async fn enqueue_resubmission(db: &PgPool, book: BookId, id: WithdrawalId, kind: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO jobs (job_id, kind, book_id, subject_id, run_at, created_at)
         SELECT $1, $2, $3, $4, $5, $5
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE subject_id = $4 AND kind = $2 AND state = 'READY')",
        Uuid::now_v7(),
        kind,
        book.0,
        id.0,
        Clock::wall()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Withdrawals by id, in no order. Missing ones are left out.
pub(super) async fn by_ids(db: &PgPool, ids: &[(BookId, WithdrawalId)]) -> sqlx::Result<Vec<Withdrawal>> {
    let (books, ids) = columns(ids);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT w.book_id, w.withdrawal_id, w.amount_minor, w.currency AS "currency: Currency", w.status AS "status: WithdrawalStatus",
                  w.account_tail, w.bank, w.bank_reference, w.error_code, w.created_at, w.submitted_at, w.resolved_at, w.returned_at,
                  w.credited_back_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS n (book_id, withdrawal_id)
           JOIN withdrawals w USING (book_id, withdrawal_id)"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Withdrawal::from).collect())
}

/// The newest withdrawals of a book, or those after `before`.
pub(super) async fn page(db: &PgPool, book: BookId, before: Option<WithdrawalCursor>, limit: i64) -> sqlx::Result<Vec<Withdrawal>> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, withdrawal_id, amount_minor, currency AS "currency: Currency", status AS "status: WithdrawalStatus",
                  account_tail, bank, bank_reference, error_code, created_at, submitted_at, resolved_at, returned_at, credited_back_at
           FROM withdrawals
           WHERE book_id = $1 AND ($2::timestamptz IS NULL OR (created_at, withdrawal_id) < ($2, $3))
           ORDER BY created_at DESC, withdrawal_id DESC
           LIMIT $4"#,
        book.0,
        time,
        id.map(|w: WithdrawalId| w.0),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Withdrawal::from).collect())
}

fn columns(ids: &[(BookId, WithdrawalId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    ids.iter().map(|(book, id)| (book.0, id.0)).unzip()
}
