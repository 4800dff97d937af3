//! SQL of the buckets.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Locks a bucket, which is made full where there was none. When it is full again, and what time it is there.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, channel: &str, payee_no: &str) -> sqlx::Result<(DateTime<Utc>, DateTime<Utc>)> {
    let row = sqlx::query!(
        r#"INSERT INTO split_buckets AS b (channel, payee_no, full_at) VALUES ($1, $2, clock_timestamp())
           ON CONFLICT (channel, payee_no) DO UPDATE SET full_at = b.full_at
           RETURNING full_at, clock_timestamp() AS "now!""#,
        channel,
        payee_no
    )
    .fetch_one(tx)
    .await?;
    Ok((row.full_at, row.now))
}

pub(super) async fn update_in_tx(tx: &mut PgConnection, channel: &str, payee_no: &str, full_at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE split_buckets SET full_at = $3 WHERE channel = $1 AND payee_no = $2", channel, payee_no, full_at)
        .execute(tx)
        .await?;
    Ok(())
}
