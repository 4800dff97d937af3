//! SQL of returns, read and written under their split's lock.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::royalty::Taker;
use crate::base::id::{BookId, OrderId, RefundId, SplitLineId, SplitReturnId};
use crate::base::money::{Currency, Money};
use crate::channel::divider::Share;
use crate::ledger::posting::PostingKind;
use crate::split::state::PartStatus;
use crate::split::{Part, Return};

/// Writes a return with its parts. Two statements.
pub async fn insert_return_in_tx(tx: &mut PgConnection, back: &Return, parts: &[Part]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO split_returns (book_id, return_id, order_id, reference_id, amount_minor, currency, own_minor, status, created_at, done_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $9::timestamptz IS NULL THEN 'OPEN' ELSE 'DONE' END, $8, $9)",
        back.merchant.0,
        back.id.0,
        back.order.0,
        back.reference,
        back.amount.minor,
        back.amount.currency.as_str(),
        back.own.minor,
        back.created_at,
        back.done_at
    )
    .execute(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = parts.iter().map(|p| p.id).collect();
    let lines: Vec<Uuid> = parts.iter().map(|p| p.line.0).collect();
    let amounts: Vec<i64> = parts.iter().map(|p| p.amount_minor).collect();
    sqlx::query!(
        "INSERT INTO split_return_lines (book_id, part_id, return_id, line_id, amount_minor, status)
         SELECT $1, p.part_id, $2, p.line_id, p.amount_minor, 'WAIT'
         FROM UNNEST($3::uuid[], $4::uuid[], $5::bigint[]) AS p (part_id, line_id, amount_minor)",
        back.merchant.0,
        back.id.0,
        &ids,
        &lines,
        &amounts
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns of an order, oldest first.
pub async fn returns_of(db: impl sqlx::PgExecutor<'_>, book: BookId, order: OrderId) -> sqlx::Result<Vec<Return>> {
    let rows = sqlx::query!(
        r#"SELECT return_id, reference_id, amount_minor, currency AS "currency: Currency", own_minor, created_at, done_at
           FROM split_returns
           WHERE book_id = $1 AND order_id = $2
           ORDER BY created_at, return_id"#,
        book.0,
        order.0
    )
    .fetch_all(db)
    .await?;
    let returns = rows.into_iter().map(|r| Return {
        id: SplitReturnId(r.return_id),
        merchant: book.merchant(),
        order,
        reference: r.reference_id,
        amount: Money { minor: r.amount_minor, currency: r.currency },
        own: Money { minor: r.own_minor, currency: r.currency },
        created_at: r.created_at,
        done_at: r.done_at,
    });
    Ok(returns.collect())
}

/// The order that a return belongs to; it never changes.
pub async fn order_of_return(db: &PgPool, book: BookId, back: SplitReturnId) -> sqlx::Result<Option<OrderId>> {
    let order = sqlx::query_scalar!("SELECT order_id FROM split_returns WHERE book_id = $1 AND return_id = $2", book.0, back.0)
        .fetch_optional(db)
        .await?;
    Ok(order.map(OrderId))
}

/// The parts of a return of a locked split.
pub async fn parts_in_tx(tx: &mut PgConnection, book: BookId, back: SplitReturnId) -> sqlx::Result<Vec<Part>> {
    let rows = sqlx::query!(
        r#"SELECT part_id, line_id, amount_minor, status AS "status: PartStatus", sent_at, error_code
           FROM split_return_lines
           WHERE book_id = $1 AND return_id = $2
           ORDER BY line_id"#,
        book.0,
        back.0
    )
    .fetch_all(tx)
    .await?;
    let parts = rows.into_iter().map(|r| Part {
        id: r.part_id,
        line: SplitLineId(r.line_id),
        amount_minor: r.amount_minor,
        status: r.status,
        sent_at: r.sent_at,
        error_code: r.error_code,
    });
    Ok(parts.collect())
}

/// Moves parts on, from one state to the next. Whether all were in it.
pub async fn move_parts_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    parts: &[Uuid],
    (from, to): (PartStatus, PartStatus),
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_return_lines SET status = $4, sent_at = COALESCE(sent_at, $5) WHERE book_id = $1 AND part_id = ANY($2) AND status = $3",
        book.0,
        parts,
        from.as_str(),
        to.as_str(),
        now
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == parts.len()))
}

/// Marks a return as done. Whether it was open.
pub async fn finish_return_in_tx(tx: &mut PgConnection, book: BookId, back: SplitReturnId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_returns SET status = 'DONE', done_at = $3 WHERE book_id = $1 AND return_id = $2 AND status = 'OPEN'",
        book.0,
        back.0,
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes why receivers keep parts that have not moved. Whether none had.
pub async fn give_up_parts_in_tx(tx: &mut PgConnection, book: BookId, parts: &[Part]) -> sqlx::Result<bool> {
    let ids: Vec<Uuid> = parts.iter().map(|p| p.id).collect();
    let codes: Vec<Option<&str>> = parts.iter().map(|p| p.error_code.as_deref()).collect();
    let done = sqlx::query!(
        "UPDATE split_return_lines p SET status = 'FAILED', error_code = c.error_code
         FROM UNNEST($2::uuid[], $3::text[]) AS c (part_id, error_code)
         WHERE p.book_id = $1 AND p.part_id = c.part_id AND p.status IN ('WAIT', 'HELD')",
        book.0,
        &ids,
        &codes as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == parts.len()))
}

/// What receivers keep of an open return is the merchant's own part of it. Whether it was open.
pub async fn add_own_in_tx(tx: &mut PgConnection, book: BookId, back: SplitReturnId, minor: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_returns SET own_minor = own_minor + $3 WHERE book_id = $1 AND return_id = $2 AND status = 'OPEN'",
        book.0,
        back.0,
        minor
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The refund that a return of a locked order is for. None: it is for none, or for one that came to nothing.
pub async fn taker_in_tx(tx: &mut PgConnection, book: BookId, back: SplitReturnId) -> sqlx::Result<Option<Taker>> {
    sqlx::query_as!(
        Taker,
        r#"SELECT r.funded, r.rerouted_for IS NOT NULL AS "left!", r.status = 'SUCCEEDED' AS "succeeded!"
           FROM split_returns b
           JOIN refunds r ON r.book_id = b.book_id AND r.refund_id = b.reference_id
           WHERE b.book_id = $1 AND b.return_id = $2 AND r.status NOT IN ('FAILED', 'CANCELLED')"#,
        book.0,
        back.0
    )
    .fetch_optional(tx)
    .await
}

/// What a refund takes back at its channel, one sum per account, in the order of the accounts.
pub async fn shares_of_refund(db: &PgPool, book: BookId, refund: RefundId) -> sqlx::Result<Vec<Share>> {
    sqlx::query_as!(
        Share,
        r#"SELECT s.account, sum(s.amount_minor)::bigint AS "amount_minor!"
           FROM split_calls c
           JOIN split_shares s USING (book_id, call_id)
           WHERE c.book_id = $1 AND c.call_id = $2 AND c.kind = 'REFUND'
           GROUP BY s.account
           ORDER BY s.account"#,
        book.0,
        refund.0
    )
    .fetch_all(db)
    .await
}

/// What a receiver set aside of a part, from pending and from available, in minor units. Nothing where it did not.
pub async fn gathered_in_tx(tx: &mut PgConnection, book: BookId, part: Uuid) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"SELECT COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'MERCHANT_PENDING'), 0)::bigint AS "pending!",
                  COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'MERCHANT_AVAILABLE'), 0)::bigint AS "available!"
           FROM entries e
           JOIN accounts a USING (book_id, account_id)
           WHERE e.book_id = $1 AND e.posting_id = $2"#,
        book.0,
        PostingKind::SplitFreeze.id_for(part).0
    )
    .fetch_one(tx)
    .await?;
    Ok((row.pending, row.available))
}
