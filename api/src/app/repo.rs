//! The sandbox clock's row.

use sqlx::{PgConnection, PgPool};

/// Milliseconds that business time is ahead, where a sandbox set it.
pub(super) async fn sandbox_clock(db: &PgPool) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT offset_ms FROM sandbox_clock").fetch_optional(db).await
}

/// Sets the row.
pub(super) async fn set_sandbox_clock_in_tx(tx: &mut PgConnection, offset_ms: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO sandbox_clock (singleton, offset_ms) VALUES (true, $1) ON CONFLICT (singleton) DO UPDATE SET offset_ms = excluded.offset_ms",
        offset_ms
    )
    .execute(tx)
    .await?;
    Ok(())
}
