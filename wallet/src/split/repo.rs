//! SQL of splits. A split's row is locked after its order's and before accounts; its lines, requests and returns change only under that lock.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::state::SplitStatus;
use super::{Slice, Split, Upstream};
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId};
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
    finish_error: Option<String>,
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
            finish_error: r.finish_error,
            created_at: r.created_at,
            finished_at: r.finished_at,
        })
    }
}

/// A slice as it lies in the table.
struct SliceRow {
    order_id: Uuid,
    attempt_id: Uuid,
    base_minor: i64,
    channel: Option<String>,
    transaction_id: Option<String>,
    divisible_minor: Option<i64>,
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> sqlx::Result<T> {
    serde_json::from_value(value).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn written<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("rules and parties are plain data and serialise")
}

/// Writes new splits with their slices. Two statements.
pub async fn insert_in_tx(tx: &mut PgConnection, splits: &[Split], slices: &[(BookId, OrderId, Slice)]) -> sqlx::Result<()> {
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
    let released: Vec<i64> = splits.iter().map(|s| s.released.minor).collect();
    let finish: Vec<DateTime<Utc>> = splits.iter().map(|s| s.finish_at).collect();
    let created: Vec<DateTime<Utc>> = splits.iter().map(|s| s.created_at).collect();
    sqlx::query!(
        "INSERT INTO split_orders (book_id, order_id, money_book_id, currency, rule, parties, base_minor, rounds_minor, rounds, remainder_minor,
                                   status, finishing, finish_at, created_at, released_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bigint[], $8::bigint[],
                              $9::smallint[], $10::bigint[], $11::text[], $12::boolean[], $13::timestamptz[], $14::timestamptz[], $15::bigint[])",
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
        &created,
        &released
    )
    .execute(&mut *tx)
    .await?;
    let books: Vec<Uuid> = slices.iter().map(|(book, ..)| book.0).collect();
    let orders: Vec<Uuid> = slices.iter().map(|(_, order, ..)| order.0).collect();
    let attempts: Vec<Uuid> = slices.iter().map(|(.., slice)| slice.attempt.0).collect();
    let bases: Vec<i64> = slices.iter().map(|(.., slice)| slice.base_minor).collect();
    let upstream = || slices.iter().map(|(.., slice)| slice.upstream.as_ref());
    let channels: Vec<Option<String>> = upstream().map(|u| u.map(|u| u.channel.clone())).collect();
    let transactions: Vec<Option<String>> = upstream().map(|u| u.map(|u| u.transaction_id.clone())).collect();
    let divisible: Vec<Option<i64>> = upstream().map(|u| u.map(|u| u.divisible_minor)).collect();
    sqlx::query!(
        "INSERT INTO split_slices (book_id, order_id, attempt_id, base_minor, channel, transaction_id, divisible_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])",
        &books,
        &orders,
        &attempts,
        &bases,
        &channels as &[Option<String>],
        &transactions as &[Option<String>],
        &divisible as &[Option<i64>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the split of an order and gives it as it is now. What is read beside it must be read by a later statement.
pub async fn lock_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Option<Split>> {
    Ok(lock_all_in_tx(tx, &[(book, order)]).await?.pop())
}

/// Locks splits in one order, whatever the order asked in, and gives them as they are now; orders without one are left out.
pub async fn lock_all_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<Vec<Split>> {
    let (books, ids) = columns(orders);
    let rows = sqlx::query_as!(
        SplitRow,
        r#"SELECT book_id, order_id, money_book_id, currency AS "currency: Currency", rule, parties, base_minor, rounds_minor, rounds,
                  remainder_minor, released_minor, status AS "status: SplitStatus", finishing, finish_at, finish_error, created_at, finished_at
           FROM split_orders
           WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY book_id, order_id
           FOR UPDATE"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Split::try_from).collect()
}

/// Keys of orders as columns.
pub(super) fn columns(orders: &[(BookId, OrderId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    orders.iter().map(|(book, order)| (book.0, order.0)).unzip()
}

/// Splits of orders; orders without one are left out.
pub async fn of_orders(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Split>> {
    let books: Vec<Uuid> = orders.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        SplitRow,
        r#"SELECT s.book_id, s.order_id, s.money_book_id, s.currency AS "currency: Currency", s.rule, s.parties, s.base_minor, s.rounds_minor,
                  s.rounds, s.remainder_minor, s.released_minor, s.status AS "status: SplitStatus", s.finishing, s.finish_at, s.finish_error,
                  s.created_at, s.finished_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN split_orders s ON s.book_id = wanted.book_id AND s.order_id = wanted.order_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Split::try_from).collect()
}

/// Splits that a channel refuses to finish, the oldest first.
pub async fn finish_refused(db: &PgPool, first: i64) -> sqlx::Result<Vec<Split>> {
    let rows = sqlx::query_as!(
        SplitRow,
        r#"SELECT book_id, order_id, money_book_id, currency AS "currency: Currency", rule, parties, base_minor, rounds_minor, rounds,
                  remainder_minor, released_minor, status AS "status: SplitStatus", finishing, finish_at, finish_error, created_at, finished_at
           FROM split_orders
           WHERE finish_error IS NOT NULL
           ORDER BY created_at
           LIMIT $1"#,
        first
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Split::try_from).collect()
}

/// Writes what may change of a locked split, from the state it was read in. Whether it still was in it.
pub async fn update_in_tx(tx: &mut PgConnection, split: &Split, from: SplitStatus) -> sqlx::Result<bool> {
    update_all_in_tx(tx, &[(split, from)]).await
}

/// Writes what may change of locked splits, each from the state it was read in. Whether all still were in it. One statement.
pub async fn update_all_in_tx(tx: &mut PgConnection, splits: &[(&Split, SplitStatus)]) -> sqlx::Result<bool> {
    if splits.is_empty() {
        return Ok(true);
    }
    let books: Vec<Uuid> = splits.iter().map(|(s, _)| s.merchant.0).collect();
    let orders: Vec<Uuid> = splits.iter().map(|(s, _)| s.order.0).collect();
    let from: Vec<&str> = splits.iter().map(|(_, from)| from.as_str()).collect();
    let rounds_minor: Vec<i64> = splits.iter().map(|(s, _)| s.rounds_minor).collect();
    let rounds: Vec<i16> = splits.iter().map(|(s, _)| s.rounds).collect();
    let remainders: Vec<i64> = splits.iter().map(|(s, _)| s.remainder.minor).collect();
    let released: Vec<i64> = splits.iter().map(|(s, _)| s.released.minor).collect();
    let statuses: Vec<&str> = splits.iter().map(|(s, _)| s.status.as_str()).collect();
    let finishing: Vec<bool> = splits.iter().map(|(s, _)| s.finishing).collect();
    let finished: Vec<Option<DateTime<Utc>>> = splits.iter().map(|(s, _)| s.finished_at).collect();
    let bases: Vec<i64> = splits.iter().map(|(s, _)| s.base.minor).collect();
    let errors: Vec<Option<String>> = splits.iter().map(|(s, _)| s.finish_error.clone()).collect();
    let done = sqlx::query!(
        "UPDATE split_orders s
         SET rounds_minor = c.rounds_minor, rounds = c.rounds, remainder_minor = c.remainder_minor, released_minor = c.released_minor,
             status = c.status, finishing = c.finishing, finished_at = c.finished_at, base_minor = c.base_minor, finish_error = c.finish_error
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bigint[], $8::text[], $9::boolean[],
                     $10::timestamptz[], $11::bigint[], $12::text[])
              AS c (book_id, order_id, from_status, rounds_minor, rounds, remainder_minor, released_minor, status, finishing, finished_at,
                    base_minor, finish_error)
         WHERE s.book_id = c.book_id AND s.order_id = c.order_id AND s.status = c.from_status",
        &books,
        &orders,
        &from as &[&str],
        &rounds_minor,
        &rounds,
        &remainders,
        &released,
        &statuses as &[&str],
        &finishing,
        &finished as &[Option<DateTime<Utc>>],
        &bases,
        &errors as &[Option<String>]
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == splits.len()))
}

/// Adds to what may be divided of a payment.
pub async fn add_to_slice_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId, attempt: AttemptId, minor: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_slices SET base_minor = base_minor + $4 WHERE book_id = $1 AND order_id = $2 AND attempt_id = $3",
        book.0,
        order.0,
        attempt.0,
        minor
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What of each payment of a locked split may be divided at all, and where, in the order in which they are used up.
pub async fn slices_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Vec<Slice>> {
    Ok(slices_of_in_tx(tx, &[(book, order)]).await?.into_iter().map(|(_, slice)| slice).collect())
}

/// The same of many splits.
pub async fn slices_of_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<Vec<(OrderId, Slice)>> {
    let (books, ids) = columns(orders);
    let rows = sqlx::query_as!(
        SliceRow,
        "SELECT order_id, attempt_id, base_minor, channel, transaction_id, divisible_minor
         FROM split_slices
         WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
         ORDER BY attempt_id",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let slice = |r: SliceRow| {
        let upstream = r.channel.zip(r.transaction_id).zip(r.divisible_minor);
        let upstream = upstream.map(|((channel, transaction_id), divisible_minor)| Upstream { channel, transaction_id, divisible_minor });
        (OrderId(r.order_id), Slice { attempt: AttemptId(r.attempt_id), base_minor: r.base_minor, upstream })
    };
    Ok(rows.into_iter().map(slice).collect())
}

/// The payment of a locked order that paid it.
pub async fn paid_by_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Option<AttemptId>> {
    let attempt = sqlx::query_scalar!(
        "SELECT attempt_id FROM payment_attempts
         WHERE book_id = $1 AND order_id = $2 AND status = 'SUCCEEDED' AND NOT surplus
         ORDER BY attempt_id LIMIT 1",
        book.0,
        order.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(attempt.map(AttemptId))
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

/// Which of these locked orders have a refund under way.
pub async fn refunds_open_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<HashSet<OrderId>> {
    let (books, ids) = columns(orders);
    let open = sqlx::query_scalar!(
        "SELECT order_id FROM refunds
         WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           AND status NOT IN ('MANUAL', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(open.into_iter().map(OrderId).collect())
}
