//! SQL of transfers. A transfer's row lives in the book that the money leaves, with the first leg. It is written before accounts are
//! locked, and moved on by conditional updates, so it is never locked across a decision.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::rules::{Purpose, SendTransfer, TransferStatus};
use super::{Open, Transfer};
use crate::base::id::{BookId, TransferId};
use crate::base::money::{Currency, Money};
use crate::ledger::AccountKind;

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    transfer_id: Uuid,
    to_book_id: Uuid,
    purpose: Purpose,
    from_kind: AccountKind,
    to_kind: AccountKind,
    amount_minor: i64,
    currency: Currency,
    day: NaiveDate,
    status: TransferStatus,
    created_at: DateTime<Utc>,
    arrived_at: Option<DateTime<Utc>>,
}

impl From<Row> for Transfer {
    fn from(r: Row) -> Self {
        Self {
            what: SendTransfer {
                id: TransferId(r.transfer_id),
                purpose: r.purpose,
                from: BookId(r.book_id),
                from_account: r.from_kind,
                to: BookId(r.to_book_id),
                to_account: r.to_kind,
                amount: Money { minor: r.amount_minor, currency: r.currency },
                day: r.day,
            },
            status: r.status,
            created_at: r.created_at,
            arrived_at: r.arrived_at,
        }
    }
}

/// Writes transfers in the given state. Returns those that were new; waits for one of the same id that is being written.
pub async fn insert_in_tx(
    tx: &mut PgConnection,
    transfers: &[SendTransfer],
    status: TransferStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<BTreeSet<(BookId, TransferId)>> {
    let books: Vec<Uuid> = transfers.iter().map(|t| t.from.0).collect();
    let ids: Vec<Uuid> = transfers.iter().map(|t| t.id.0).collect();
    let to: Vec<Uuid> = transfers.iter().map(|t| t.to.0).collect();
    let purposes: Vec<&str> = transfers.iter().map(|t| t.purpose.as_str()).collect();
    let from_kinds: Vec<&str> = transfers.iter().map(|t| t.from_account.as_str()).collect();
    let to_kinds: Vec<&str> = transfers.iter().map(|t| t.to_account.as_str()).collect();
    let amounts: Vec<i64> = transfers.iter().map(|t| t.amount.minor).collect();
    let currencies: Vec<&str> = transfers.iter().map(|t| t.amount.currency.as_str()).collect();
    let days: Vec<NaiveDate> = transfers.iter().map(|t| t.day).collect();
    let new = sqlx::query!(
        "INSERT INTO transfers (book_id, transfer_id, to_book_id, purpose, from_kind, to_kind, amount_minor, currency, day, status,
                                created_at, arrived_at)
         SELECT t.book_id, t.transfer_id, t.to_book_id, t.purpose, t.from_kind, t.to_kind, t.amount_minor, t.currency, t.day, $10,
                $11::timestamptz, CASE WHEN $10 = 'ARRIVED' THEN $11::timestamptz END
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::date[])
             AS t (book_id, transfer_id, to_book_id, purpose, from_kind, to_kind, amount_minor, currency, day)
         ON CONFLICT (book_id, transfer_id) DO NOTHING
         RETURNING book_id, transfer_id",
        &books,
        &ids,
        &to,
        &purposes as &[&str],
        &from_kinds as &[&str],
        &to_kinds as &[&str],
        &amounts,
        &currencies as &[&str],
        &days,
        status.as_str(),
        now
    )
    .fetch_all(tx)
    .await?;
    Ok(new.into_iter().map(|row| (BookId(row.book_id), TransferId(row.transfer_id))).collect())
}

pub async fn find(db: &PgPool, book: BookId, id: TransferId) -> sqlx::Result<Option<Transfer>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT book_id, transfer_id, to_book_id, purpose AS "purpose: Purpose", from_kind AS "from_kind: AccountKind",
                  to_kind AS "to_kind: AccountKind", amount_minor, currency AS "currency: Currency", day,
                  status AS "status: TransferStatus", created_at, arrived_at
           FROM transfers
           WHERE book_id = $1 AND transfer_id = $2"#,
        book.0,
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Transfer::from))
}

/// Transfers that left before `before` and have not arrived, oldest first, after the one given.
pub async fn left_behind(
    db: &PgPool,
    before: DateTime<Utc>,
    after: Option<(DateTime<Utc>, TransferId)>,
    limit: i64,
) -> sqlx::Result<Vec<Transfer>> {
    let (after_at, after_id) = after.map_or((DateTime::UNIX_EPOCH, Uuid::nil()), |(at, id)| (at, id.0));
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, transfer_id, to_book_id, purpose AS "purpose: Purpose", from_kind AS "from_kind: AccountKind",
                  to_kind AS "to_kind: AccountKind", amount_minor, currency AS "currency: Currency", day,
                  status AS "status: TransferStatus", created_at, arrived_at
           FROM transfers
           WHERE status = 'SENT' AND created_at < $1 AND (created_at, transfer_id) > ($2, $3::uuid)
           ORDER BY created_at, transfer_id
           LIMIT $4"#,
        before,
        after_at,
        after_id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Transfer::from).collect())
}

/// Marks transfers as arrived. Those that are already stay as they are.
pub async fn mark_arrived(db: &PgPool, transfers: &[SendTransfer], now: DateTime<Utc>) -> sqlx::Result<()> {
    let books: Vec<Uuid> = transfers.iter().map(|t| t.from.0).collect();
    let ids: Vec<Uuid> = transfers.iter().map(|t| t.id.0).collect();
    sqlx::query!(
        "UPDATE transfers t
         SET status = 'ARRIVED', arrived_at = $3
         FROM UNNEST($1::uuid[], $2::uuid[]) AS a (book_id, transfer_id)
         WHERE t.book_id = a.book_id AND t.transfer_id = a.transfer_id AND t.status = 'SENT'",
        &books,
        &ids,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is on its way now.
pub async fn open(db: &PgPool) -> sqlx::Result<Open> {
    let row = sqlx::query!(r#"SELECT count(*) AS "count!", min(created_at) AS oldest FROM transfers WHERE status = 'SENT'"#)
        .fetch_one(db)
        .await?;
    Ok(Open { count: row.count, oldest: row.oldest })
}
