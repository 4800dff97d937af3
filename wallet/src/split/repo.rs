//! SQL of splits. A split's row is locked after its order's and before accounts; its lines and returns change only under that lock.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::state::{LineStatus, PartStatus, SplitStatus};
use super::{Line, LineCursor, Part, Return, ShareOf, Split};
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, SplitLineId, SplitReturnId};
use crate::base::money::{Currency, Money};

/// A split as it lies in the table.
struct SplitRow {
    book_id: Uuid,
    order_id: Uuid,
    money_book_id: Uuid,
    currency: Currency,
    rule: Value,
    parties: Value,
    base_minor: i64,
    rounds_minor: i64,
    rounds: i16,
    remainder_minor: i64,
    released_minor: i64,
    status: SplitStatus,
    finishing: bool,
    finish_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<SplitRow> for Split {
    type Error = sqlx::Error;

    fn try_from(r: SplitRow) -> sqlx::Result<Self> {
        let money = |minor| Money { minor, currency: r.currency };
        Ok(Self {
            merchant: MerchantId(r.book_id),
            order: OrderId(r.order_id),
            money_book: BookId(r.money_book_id),
            rule: read(r.rule)?,
            parties: read(r.parties)?,
            base: money(r.base_minor),
            rounds_minor: r.rounds_minor,
            rounds: r.rounds,
            remainder: money(r.remainder_minor),
            released: money(r.released_minor),
            status: r.status,
            finishing: r.finishing,
            finish_at: r.finish_at,
            created_at: r.created_at,
            finished_at: r.finished_at,
        })
    }
}

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

fn read<T: serde::de::DeserializeOwned>(value: Value) -> sqlx::Result<T> {
    serde_json::from_value(value).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn written<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("rules and parties are plain data and serialise")
}

/// Writes new splits with their slices. Two statements.
pub async fn insert_in_tx(tx: &mut PgConnection, splits: &[Split], slices: &[(BookId, OrderId, AttemptId, i64)]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = splits.iter().map(|s| s.merchant.0).collect();
    let orders: Vec<Uuid> = splits.iter().map(|s| s.order.0).collect();
    let money_books: Vec<Uuid> = splits.iter().map(|s| s.money_book.0).collect();
    let currencies: Vec<&str> = splits.iter().map(|s| s.base.currency.as_str()).collect();
    let rules: Vec<Value> = splits.iter().map(|s| written(&s.rule)).collect();
    let parties: Vec<Value> = splits.iter().map(|s| written(&s.parties)).collect();
    let bases: Vec<i64> = splits.iter().map(|s| s.base.minor).collect();
    let rounds_minor: Vec<i64> = splits.iter().map(|s| s.rounds_minor).collect();
    let rounds: Vec<i16> = splits.iter().map(|s| s.rounds).collect();
    let remainders: Vec<i64> = splits.iter().map(|s| s.remainder.minor).collect();
    let statuses: Vec<&str> = splits.iter().map(|s| s.status.as_str()).collect();
    let finishing: Vec<bool> = splits.iter().map(|s| s.finishing).collect();
    let finish: Vec<DateTime<Utc>> = splits.iter().map(|s| s.finish_at).collect();
    let created: Vec<DateTime<Utc>> = splits.iter().map(|s| s.created_at).collect();
    sqlx::query!(
        "INSERT INTO split_orders (book_id, order_id, money_book_id, currency, rule, parties, base_minor, rounds_minor, rounds, remainder_minor,
                                   status, finishing, finish_at, created_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bigint[], $8::bigint[],
                              $9::smallint[], $10::bigint[], $11::text[], $12::boolean[], $13::timestamptz[], $14::timestamptz[])",
        &books,
        &orders,
        &money_books,
        &currencies as &[&str],
        &rules,
        &parties,
        &bases,
        &rounds_minor,
        &rounds,
        &remainders,
        &statuses as &[&str],
        &finishing,
        &finish,
        &created
    )
    .execute(&mut *tx)
    .await?;
    let books: Vec<Uuid> = slices.iter().map(|(book, ..)| book.0).collect();
    let orders: Vec<Uuid> = slices.iter().map(|(_, order, ..)| order.0).collect();
    let attempts: Vec<Uuid> = slices.iter().map(|(_, _, attempt, _)| attempt.0).collect();
    let bases: Vec<i64> = slices.iter().map(|(.., minor)| *minor).collect();
    sqlx::query!(
        "INSERT INTO split_slices (book_id, order_id, attempt_id, base_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[])",
        &books,
        &orders,
        &attempts,
        &bases
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the split of an order and gives it as it is now. What is read beside it must be read by a later statement.
pub async fn lock_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Option<Split>> {
    let row = sqlx::query_as!(
        SplitRow,
        r#"SELECT book_id, order_id, money_book_id, currency AS "currency: Currency", rule, parties, base_minor, rounds_minor, rounds,
                  remainder_minor, released_minor, status AS "status: SplitStatus", finishing, finish_at, created_at, finished_at
           FROM split_orders
           WHERE book_id = $1 AND order_id = $2
           FOR UPDATE"#,
        book.0,
        order.0
    )
    .fetch_optional(tx)
    .await?;
    row.map(Split::try_from).transpose()
}

/// Splits of orders; orders without one are left out.
pub async fn of_orders(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Split>> {
    let books: Vec<Uuid> = orders.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        SplitRow,
        r#"SELECT s.book_id, s.order_id, s.money_book_id, s.currency AS "currency: Currency", s.rule, s.parties, s.base_minor, s.rounds_minor,
                  s.rounds, s.remainder_minor, s.released_minor, s.status AS "status: SplitStatus", s.finishing, s.finish_at, s.created_at,
                  s.finished_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN split_orders s ON s.book_id = wanted.book_id AND s.order_id = wanted.order_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Split::try_from).collect()
}

/// Writes what may change of a locked split, from the state it was read in. Whether it still was in it.
pub async fn update_in_tx(tx: &mut PgConnection, split: &Split, from: SplitStatus) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_orders
         SET rounds_minor = $4, rounds = $5, remainder_minor = $6, released_minor = $7, status = $8, finishing = $9, finished_at = $10
         WHERE book_id = $1 AND order_id = $2 AND status = $3",
        split.merchant.0,
        split.order.0,
        from.as_str(),
        split.rounds_minor,
        split.rounds,
        split.remainder.minor,
        split.released.minor,
        split.status.as_str(),
        split.finishing,
        split.finished_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How much of each payment of a locked split may be divided at all, in the order in which they are used up.
pub async fn slices_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Vec<(AttemptId, i64)>> {
    let rows = sqlx::query!(
        "SELECT attempt_id, base_minor FROM split_slices WHERE book_id = $1 AND order_id = $2 ORDER BY attempt_id",
        book.0,
        order.0
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| (AttemptId(r.attempt_id), r.base_minor)).collect())
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
    let rows = sqlx::query_as!(
        LineRow,
        r#"SELECT book_id, line_id, order_id, round, attempt_id, parent_line_id, role, receiver_id, amount_minor,
                  currency AS "currency: Currency", passes_on, status AS "status: LineStatus", error_code, succeeded_minor, returning_minor,
                  returned_minor, created_at, sent_at, resolved_at, kept_at
           FROM split_lines
           WHERE book_id = $1 AND order_id = $2
           ORDER BY line_id"#,
        book.0,
        order.0
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
                  currency AS "currency: Currency", passes_on, status AS "status: LineStatus", error_code, succeeded_minor, returning_minor,
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
    let done = sqlx::query!(
        "UPDATE split_lines l
         SET status = c.status, error_code = c.error_code, succeeded_minor = c.succeeded_minor, returning_minor = c.returning_minor,
             returned_minor = c.returned_minor, sent_at = c.sent_at, resolved_at = c.resolved_at, kept_at = c.kept_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[],
                     $10::timestamptz[], $11::timestamptz[])
              AS c (book_id, line_id, from_status, status, error_code, succeeded_minor, returning_minor, returned_minor, sent_at, resolved_at,
                    kept_at)
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
        &kept as &[Option<DateTime<Utc>>]
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == lines.len()))
}

/// Which of these merchants may be paid now: signed, with a book (S8).
pub async fn able_in_tx(tx: &mut PgConnection, receivers: &[MerchantId]) -> sqlx::Result<HashSet<MerchantId>> {
    let ids: Vec<Uuid> = receivers.iter().map(|r| r.0).collect();
    let able = sqlx::query_scalar!(
        "SELECT m.merchant_id FROM merchants m JOIN books b ON b.book_id = m.merchant_id
         WHERE m.merchant_id = ANY($1) AND m.status = 'SIGNED'",
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(able.into_iter().map(MerchantId).collect())
}

/// Whether a refund of a locked order is under way.
pub async fn refund_open_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<bool> {
    let open = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM refunds
                          WHERE book_id = $1 AND order_id = $2 AND status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) AS "open!""#,
        book.0,
        order.0
    )
    .fetch_one(tx)
    .await?;
    Ok(open)
}

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
        r#"SELECT part_id, line_id, amount_minor, status AS "status: PartStatus", sent_at
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
