//! The SQL of the day's figures.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::board::{DaySums, STORES_MAX, StoreSums};
use super::rules::DayDelta;
use crate::base::id::MerchantId;

/// Adds to the day rows. `deltas` has one row per key, in key order: the order the rows are locked in.
pub(super) async fn add_in_tx(tx: &mut PgConnection, deltas: &[DayDelta]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = deltas.iter().map(|d| d.book.0).collect();
    let days: Vec<NaiveDate> = deltas.iter().map(|d| d.day).collect();
    let stores: Vec<Uuid> = deltas.iter().map(|d| d.store.0).collect();
    let currencies: Vec<&str> = deltas.iter().map(|d| d.currency.as_str()).collect();
    let column = |of: fn(&DayDelta) -> i64| -> Vec<i64> { deltas.iter().map(of).collect() };
    sqlx::query!(
        "INSERT INTO book_days AS b
             (book_id, day, store_id, currency, paid_minor, paid_count, refunded_minor, refunded_count, fee_minor, voided_count)
         SELECT * FROM UNNEST($1::uuid[], $2::date[], $3::uuid[], $4::text[],
             $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
         ON CONFLICT (book_id, day, store_id, currency) DO UPDATE
         SET paid_minor = b.paid_minor + excluded.paid_minor,
             paid_count = b.paid_count + excluded.paid_count,
             refunded_minor = b.refunded_minor + excluded.refunded_minor,
             refunded_count = b.refunded_count + excluded.refunded_count,
             fee_minor = b.fee_minor + excluded.fee_minor,
             voided_count = b.voided_count + excluded.voided_count",
        &books,
        &days,
        &stores,
        &currencies as &[&str],
        &column(|d| d.paid_minor),
        &column(|d| d.paid_count),
        &column(|d| d.refunded_minor),
        &column(|d| d.refunded_count),
        &column(|d| d.fee_minor),
        &column(|d| d.voided_count)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A day's sums as the rollup keeps them, with the stores signed at its end. One statement, so one snapshot.
pub(super) async fn sums(db: &PgPool, day: NaiveDate, day_end: DateTime<Utc>, merchant: Option<MerchantId>) -> sqlx::Result<DaySums> {
    let row = sqlx::query!(
        r#"WITH stores_of_day AS (
               SELECT book_id, store_id, paid_minor, paid_count, refunded_minor, refunded_count, fee_minor, voided_count
               FROM book_days
               WHERE day = $1 AND currency = 'CNY' AND ($3::uuid IS NULL OR book_id = $3)
           ), largest AS (
               SELECT d.*, s.name
               FROM stores_of_day d
               LEFT JOIN stores s ON s.merchant_id = d.book_id AND s.store_id = d.store_id
               ORDER BY d.paid_minor DESC, d.book_id, d.store_id
               LIMIT $4
           )
           SELECT (SELECT count(*)
                   FROM merchants m
                   JOIN stores s USING (merchant_id)
                   WHERE m.status = 'SIGNED' AND m.signed_at < $2 AND s.created_at < $2
                     AND ($3::uuid IS NULL OR m.merchant_id = $3)) AS "signed_stores!",
                  count(*) FILTER (WHERE paid_count > voided_count) AS "active_stores!",
                  COALESCE(sum(paid_minor), 0)::bigint AS "paid_minor!",
                  COALESCE(sum(paid_count), 0)::bigint AS "paid_count!",
                  COALESCE(sum(refunded_minor), 0)::bigint AS "refunded_minor!",
                  COALESCE(sum(refunded_count), 0)::bigint AS "refunded_count!",
                  COALESCE(sum(fee_minor), 0)::bigint AS "fee_minor!",
                  (SELECT COALESCE(jsonb_agg(to_jsonb(l) ORDER BY l.paid_minor DESC, l.book_id, l.store_id), '[]')
                   FROM largest l) AS "stores!: Json<Vec<StoreSums>>"
           FROM stores_of_day"#,
        day,
        day_end,
        merchant.map(|m| m.0),
        STORES_MAX
    )
    .fetch_one(db)
    .await?;
    Ok(DaySums {
        signed_stores: row.signed_stores,
        active_stores: row.active_stores,
        paid_minor: row.paid_minor,
        paid_count: row.paid_count,
        refunded_minor: row.refunded_minor,
        refunded_count: row.refunded_count,
        fee_minor: row.fee_minor,
        stores: row.stores.0,
    })
}

/// The same sums from postings and entries, of all stripes. Which payment a refund belongs to is all it asks of the refunds' own table.
pub(super) async fn recount(db: &PgPool, day: NaiveDate, day_end: DateTime<Utc>, merchant: Option<MerchantId>) -> sqlx::Result<DaySums> {
    let row = sqlx::query!(
        r#"WITH legs AS (
               SELECT b.owner_id AS book_id, p.store_id, p.posting_id, p.kind, p.reference_id,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'CHANNEL_RECEIVABLE'), 0) AS received,
                      -COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'REFUND_PAYABLE'), 0) AS taken_back,
                      -COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'FEE_INCOME'), 0) AS fee
               FROM books b
               JOIN postings p USING (book_id)
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
               WHERE p.business_date = $1 AND p.store_id IS NOT NULL AND a.currency = 'CNY'
                 AND p.kind IN ('PAYMENT', 'REFUND', 'REFUND_RETURNED') AND ($3::uuid IS NULL OR b.owner_id = $3)
               GROUP BY b.owner_id, p.book_id, p.posting_id
           ), taken_back AS (
               SELECT r.book_id, r.attempt_id, sum(l.taken_back) AS taken_back
               FROM legs l
               JOIN refunds r ON r.book_id = l.book_id AND r.refund_id = l.reference_id
               WHERE l.kind <> 'PAYMENT'
               GROUP BY r.book_id, r.attempt_id
           ), stores_of_day AS (
               SELECT l.book_id, l.store_id,
                      COALESCE(sum(l.received) FILTER (WHERE l.kind = 'PAYMENT'), 0)::bigint AS paid_minor,
                      count(*) FILTER (WHERE l.kind = 'PAYMENT') AS paid_count,
                      COALESCE(sum(l.taken_back) FILTER (WHERE l.kind <> 'PAYMENT'), 0)::bigint AS refunded_minor,
                      count(*) FILTER (WHERE l.kind = 'REFUND') - count(*) FILTER (WHERE l.kind = 'REFUND_RETURNED') AS refunded_count,
                      sum(l.fee)::bigint AS fee_minor,
                      count(*) FILTER (WHERE l.kind = 'PAYMENT' AND t.taken_back = l.received) AS voided_count
               FROM legs l
               LEFT JOIN taken_back t ON l.kind = 'PAYMENT' AND t.book_id = l.book_id AND t.attempt_id = l.reference_id
               GROUP BY l.book_id, l.store_id
           ), largest AS (
               SELECT d.*, s.name
               FROM stores_of_day d
               LEFT JOIN stores s ON s.merchant_id = d.book_id AND s.store_id = d.store_id
               ORDER BY d.paid_minor DESC, d.book_id, d.store_id
               LIMIT $4
           )
           SELECT (SELECT count(*)
                   FROM merchants m
                   JOIN stores s USING (merchant_id)
                   WHERE m.status = 'SIGNED' AND m.signed_at < $2 AND s.created_at < $2
                     AND ($3::uuid IS NULL OR m.merchant_id = $3)) AS "signed_stores!",
                  count(*) FILTER (WHERE paid_count > voided_count) AS "active_stores!",
                  COALESCE(sum(paid_minor), 0)::bigint AS "paid_minor!",
                  COALESCE(sum(paid_count), 0)::bigint AS "paid_count!",
                  COALESCE(sum(refunded_minor), 0)::bigint AS "refunded_minor!",
                  COALESCE(sum(refunded_count), 0)::bigint AS "refunded_count!",
                  COALESCE(sum(fee_minor), 0)::bigint AS "fee_minor!",
                  (SELECT COALESCE(jsonb_agg(to_jsonb(l) ORDER BY l.paid_minor DESC, l.book_id, l.store_id), '[]')
                   FROM largest l) AS "stores!: Json<Vec<StoreSums>>"
           FROM stores_of_day"#,
        day,
        day_end,
        merchant.map(|m| m.0),
        STORES_MAX
    )
    .fetch_one(db)
    .await?;
    Ok(DaySums {
        signed_stores: row.signed_stores,
        active_stores: row.active_stores,
        paid_minor: row.paid_minor,
        paid_count: row.paid_count,
        refunded_minor: row.refunded_minor,
        refunded_count: row.refunded_count,
        fee_minor: row.fee_minor,
        stores: row.stores.0,
    })
}
