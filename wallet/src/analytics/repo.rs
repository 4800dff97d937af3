//! The SQL of the day's figures.

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::DayDelta;

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
