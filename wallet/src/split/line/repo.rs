//! SQL of lines, read and written under their split's lock.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Line, LineCursor, ShareOf};
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, SplitCallId, SplitLineId};
use crate::base::money::{Currency, Money};
use crate::split::repo::columns;
use crate::split::state::LineStatus;

/// A line as it lies in the table.
struct LineRow {
    book_id: Uuid,
    line_id: Uuid,
    order_id: Uuid,
    round: i16,
    attempt_id: Uuid,
    parent_line_id: Option<Uuid>,
    role: String,
    receiver_id: Uuid,
    amount_minor: i64,
    currency: Currency,
    passes_on: bool,
    call_id: Option<Uuid>,
    status: LineStatus,
    error_code: Option<String>,
    succeeded_minor: i64,
    returning_minor: i64,
    returned_minor: i64,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    kept_at: Option<DateTime<Utc>>,
}

impl From<LineRow> for Line {
    fn from(r: LineRow) -> Self {
        Self {
            id: SplitLineId(r.line_id),
            merchant: MerchantId(r.book_id),
            order: OrderId(r.order_id),
            round: r.round,
            attempt: AttemptId(r.attempt_id),
            parent: r.parent_line_id.map(SplitLineId),
            role: r.role,
            receiver: MerchantId(r.receiver_id),
            amount: Money { minor: r.amount_minor, currency: r.currency },
            passes_on: r.passes_on,
            call: r.call_id.map(SplitCallId),
            status: r.status,
            error_code: r.error_code,
            succeeded_minor: r.succeeded_minor,
            returning_minor: r.returning_minor,
            returned_minor: r.returned_minor,
            created_at: r.created_at,
            sent_at: r.sent_at,
            resolved_at: r.resolved_at,
            kept_at: r.kept_at,
        }
    }
}

/// Writes new lines. One statement.
pub async fn insert_lines_in_tx(tx: &mut PgConnection, lines: &[Line]) -> sqlx::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = lines.iter().map(|l| l.merchant.0).collect();
    let ids: Vec<Uuid> = lines.iter().map(|l| l.id.0).collect();
    let orders: Vec<Uuid> = lines.iter().map(|l| l.order.0).collect();
    let rounds: Vec<i16> = lines.iter().map(|l| l.round).collect();
    let attempts: Vec<Uuid> = lines.iter().map(|l| l.attempt.0).collect();
    let parents: Vec<Option<Uuid>> = lines.iter().map(|l| l.parent.map(|p| p.0)).collect();
    let roles: Vec<&str> = lines.iter().map(|l| l.role.as_str()).collect();
    let receivers: Vec<Uuid> = lines.iter().map(|l| l.receiver.0).collect();
    let amounts: Vec<i64> = lines.iter().map(|l| l.amount.minor).collect();
    let currencies: Vec<&str> = lines.iter().map(|l| l.amount.currency.as_str()).collect();
    let passes: Vec<bool> = lines.iter().map(|l| l.passes_on).collect();
    let statuses: Vec<&str> = lines.iter().map(|l| l.status.as_str()).collect();
    let created: Vec<DateTime<Utc>> = lines.iter().map(|l| l.created_at).collect();
    sqlx::query!(
        "INSERT INTO split_lines (book_id, line_id, order_id, round, attempt_id, parent_line_id, role, receiver_id, amount_minor, currency,
                                  passes_on, status, created_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::uuid[], $6::uuid[], $7::text[], $8::uuid[],
                              $9::bigint[], $10::text[], $11::boolean[], $12::text[], $13::timestamptz[])",
        &books,
        &ids,
        &orders,
        &rounds,
        &attempts,
        &parents as &[Option<Uuid>],
        &roles as &[&str],
        &receivers,
        &amounts,
        &currencies as &[&str],
        &passes,
        &statuses as &[&str],
        &created
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// All lines of a locked split, parents before their children.
pub async fn lines_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Vec<Line>> {
    lines_of_in_tx(tx, &[(book, order)]).await
}

/// The same of many splits.
pub async fn lines_of_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<Vec<Line>> {
    let (books, ids) = columns(orders);
    let rows = sqlx::query_as!(
        LineRow,
        r#"SELECT book_id, line_id, order_id, round, attempt_id, parent_line_id, role, receiver_id, amount_minor,
                  currency AS "currency: Currency", passes_on, call_id, status AS "status: LineStatus", error_code, succeeded_minor, returning_minor,
                  returned_minor, created_at, sent_at, resolved_at, kept_at
           FROM split_lines
           WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY line_id"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// A page of an order's lines, parents before their children.
pub async fn page(db: &PgPool, book: BookId, order: OrderId, after: Option<SplitLineId>, limit: i64) -> sqlx::Result<Vec<Line>> {
    let rows = sqlx::query_as!(
        LineRow,
        r#"SELECT book_id, line_id, order_id, round, attempt_id, parent_line_id, role, receiver_id, amount_minor,
                  currency AS "currency: Currency", passes_on, call_id, status AS "status: LineStatus", error_code, succeeded_minor, returning_minor,
                  returned_minor, created_at, sent_at, resolved_at, kept_at
           FROM split_lines
           WHERE book_id = $1 AND order_id = $2 AND line_id > $3
           ORDER BY line_id
           LIMIT $4"#,
        book.0,
        order.0,
        after.map_or(Uuid::nil(), |id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// A page of what a merchant was to receive, whoever paid, newest first. The payer's name is all it is told of the payer.
pub async fn shares_of(db: &PgPool, receiver: MerchantId, before: Option<LineCursor>, limit: i64) -> sqlx::Result<Vec<ShareOf>> {
    let (before_at, before_id) = before.map_or((DateTime::<Utc>::MAX_UTC, Uuid::max()), |(at, id)| (at, id.0));
    // a first page begins after everything that PostgreSQL can keep
    let before_at = before_at.min(DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(before_at));
    let rows = sqlx::query!(
        r#"SELECT l.line_id, l.role, l.amount_minor, l.currency AS "currency: Currency", l.status AS "status: LineStatus", l.succeeded_minor,
                  l.returned_minor, l.created_at, l.resolved_at, m.name AS payer_name,
                  COALESCE((SELECT sum(c.succeeded_minor - c.returned_minor)::bigint FROM split_lines c
                            WHERE c.book_id = l.book_id AND c.order_id = l.order_id AND c.parent_line_id = l.line_id), 0) AS "passed_on_minor!"
           FROM split_lines l
           JOIN merchants m ON m.merchant_id = l.book_id
           WHERE l.receiver_id = $1 AND (l.created_at, l.line_id) < ($2, $3::uuid)
           ORDER BY l.created_at DESC, l.line_id DESC
           LIMIT $4"#,
        receiver.0,
        before_at,
        before_id,
        limit
    )
    .fetch_all(db)
    .await?;
    let shares = rows.into_iter().map(|r| {
        let money = |minor| Money { minor, currency: r.currency };
        ShareOf {
            line: SplitLineId(r.line_id),
            receiver,
            payer_name: r.payer_name,
            role: r.role,
            amount: money(r.amount_minor),
            received: money(r.succeeded_minor),
            returned: money(r.returned_minor),
            passed_on: money(r.passed_on_minor),
            status: r.status,
            created_at: r.created_at,
            resolved_at: r.resolved_at,
        }
    });
    Ok(shares.collect())
}

/// Writes what may change of lines, each from the state it was read in. Whether all still were in it.
pub async fn update_lines_in_tx(tx: &mut PgConnection, lines: &[(&Line, LineStatus)]) -> sqlx::Result<bool> {
    if lines.is_empty() {
        return Ok(true);
    }
    let books: Vec<Uuid> = lines.iter().map(|(l, _)| l.merchant.0).collect();
    let ids: Vec<Uuid> = lines.iter().map(|(l, _)| l.id.0).collect();
    let from: Vec<&str> = lines.iter().map(|(_, from)| from.as_str()).collect();
    let statuses: Vec<&str> = lines.iter().map(|(l, _)| l.status.as_str()).collect();
    let codes: Vec<Option<String>> = lines.iter().map(|(l, _)| l.error_code.clone()).collect();
    let succeeded: Vec<i64> = lines.iter().map(|(l, _)| l.succeeded_minor).collect();
    let returning: Vec<i64> = lines.iter().map(|(l, _)| l.returning_minor).collect();
    let returned: Vec<i64> = lines.iter().map(|(l, _)| l.returned_minor).collect();
    let sent: Vec<Option<DateTime<Utc>>> = lines.iter().map(|(l, _)| l.sent_at).collect();
    let resolved: Vec<Option<DateTime<Utc>>> = lines.iter().map(|(l, _)| l.resolved_at).collect();
    let kept: Vec<Option<DateTime<Utc>>> = lines.iter().map(|(l, _)| l.kept_at).collect();
    let calls: Vec<Option<Uuid>> = lines.iter().map(|(l, _)| l.call.map(|call| call.0)).collect();
    let done = sqlx::query!(
        "UPDATE split_lines l
         SET status = c.status, error_code = c.error_code, succeeded_minor = c.succeeded_minor, returning_minor = c.returning_minor,
             returned_minor = c.returned_minor, sent_at = c.sent_at, resolved_at = c.resolved_at, kept_at = c.kept_at,
             call_id = c.call_id
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[],
                     $10::timestamptz[], $11::timestamptz[], $12::uuid[])
              AS c (book_id, line_id, from_status, status, error_code, succeeded_minor, returning_minor, returned_minor, sent_at, resolved_at,
                    kept_at, call_id)
         WHERE l.book_id = c.book_id AND l.line_id = c.line_id AND l.status = c.from_status",
        &books,
        &ids,
        &from as &[&str],
        &statuses as &[&str],
        &codes as &[Option<String>],
        &succeeded,
        &returning,
        &returned,
        &sent as &[Option<DateTime<Utc>>],
        &resolved as &[Option<DateTime<Utc>>],
        &kept as &[Option<DateTime<Utc>>],
        &calls as &[Option<Uuid>]
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == lines.len()))
}
