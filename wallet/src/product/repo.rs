//! The SQL of products. Rows are inserted and read; nothing may change or delete one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Body;

/// Stores contents that are new, each as the next version of its code. One statement; where another process took the number, the row is
/// left out and the caller tries again.
pub(super) async fn insert(db: &PgPool, bodies: &[Body], now: DateTime<Utc>) -> sqlx::Result<()> {
    let (codes, texts, digests) = columns(bodies);
    sqlx::query!(
        "INSERT INTO products (code, version, body, digest, published_at)
         SELECT n.code, COALESCE((SELECT max(p.version) FROM products p WHERE p.code = n.code), 0) + 1, n.body, n.digest, $4
         FROM UNNEST($1::text[], $2::text[], $3::bytea[]) AS n (code, body, digest)
         WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.code = n.code AND p.digest = n.digest)
         ORDER BY n.code
         ON CONFLICT DO NOTHING",
        &codes,
        &texts,
        &digests,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The versions of these contents, as far as they are stored, by code.
pub(super) async fn versions(db: &PgPool, bodies: &[Body]) -> sqlx::Result<HashMap<String, (i32, DateTime<Utc>)>> {
    let (codes, _, digests) = columns(bodies);
    let rows = sqlx::query!(
        "SELECT p.code, p.version, p.published_at
         FROM UNNEST($1::text[], $2::bytea[]) AS w (code, digest)
         JOIN products p ON p.code = w.code AND p.digest = w.digest",
        &codes,
        &digests
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (r.code, (r.version, r.published_at))).collect())
}

fn columns(bodies: &[Body]) -> (Vec<String>, Vec<String>, Vec<Vec<u8>>) {
    let codes = bodies.iter().map(|b| b.code.clone()).collect();
    let texts = bodies.iter().map(|b| b.text.clone()).collect();
    (codes, texts, bodies.iter().map(|b| b.digest.to_vec()).collect())
}

/// A stored version.
pub(super) struct Row {
    pub(super) code: String,
    pub(super) version: i32,
    pub(super) body: String,
    pub(super) published_at: DateTime<Utc>,
}

/// All versions of some codes, newest first.
pub(super) async fn history(db: &PgPool, codes: &[String]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(Row, "SELECT code, version, body, published_at FROM products WHERE code = ANY($1) ORDER BY code, version DESC", codes)
        .fetch_all(db)
        .await
}
