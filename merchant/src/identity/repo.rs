//! SQL of people and sessions.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{MerchantId, UserId};

use super::User;

/// Creates the person at their first login; otherwise the row stays as it is.
pub(super) async fn ensure_user_in_tx(
    tx: &mut PgConnection,
    id: UserId,
    handle: &str,
    role: Role,
    display_name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<User> {
    sqlx::query!(
        "INSERT INTO users (user_id, handle, role, display_name, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (handle) DO NOTHING",
        id.0,
        handle,
        role.as_str(),
        display_name,
        now
    )
    .execute(&mut *tx)
    .await?;
    // a statement of its own: it sees the row of a login that ran beside this one
    sqlx::query_as!(User, r#"SELECT user_id AS "id: UserId", role AS "role: Role", display_name FROM users WHERE handle = $1"#, handle)
        .fetch_one(tx)
        .await
}

pub(super) async fn by_handle(db: &PgPool, handle: &str) -> sqlx::Result<Option<(UserId, Role)>> {
    let row = sqlx::query!(r#"SELECT user_id AS "user_id: UserId", role AS "role: Role" FROM users WHERE handle = $1"#, handle)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| (row.user_id, row.role)))
}

pub(super) async fn insert_session_in_tx(
    tx: &mut PgConnection,
    token_hash: &[u8],
    user: UserId,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        token_hash,
        user.0,
        created_at,
        expires_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The people of live sessions by the hashes of their tokens, with the merchants they own. One query, since every request makes it.
pub(super) async fn find_actors(db: &PgPool, token_hashes: &[Vec<u8>], at: DateTime<Utc>) -> sqlx::Result<HashMap<Vec<u8>, Actor>> {
    let rows = sqlx::query!(
        r#"SELECT s.token_hash, u.user_id, u.role AS "role: Role",
                  ARRAY(SELECT m.merchant_id FROM merchants m WHERE m.owner_id = u.user_id) AS "merchants!: Vec<MerchantId>"
           FROM sessions s
           JOIN users u ON u.user_id = s.user_id
           WHERE s.token_hash = ANY($1) AND s.revoked_at IS NULL AND s.expires_at > $2"#,
        token_hashes,
        at
    )
    .fetch_all(db)
    .await?;
    let actor = |id, role, merchants| Actor::Person { id: UserId(id), role, merchants };
    Ok(rows.into_iter().map(|r| (r.token_hash, actor(r.user_id, r.role, r.merchants))).collect())
}

/// Ends a session. True when it was live.
pub(super) async fn revoke(db: &PgPool, token_hash: &[u8], at: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE sessions SET revoked_at = $2 WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > $2",
        token_hash,
        at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn find_user(db: &PgPool, id: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(User, r#"SELECT user_id AS "id: UserId", role AS "role: Role", display_name FROM users WHERE user_id = $1"#, id.0)
        .fetch_optional(db)
        .await
}
