//! Idempotency keys (幂等键): same key and same command, same answer; same key and another command, refused. Kept in PostgreSQL (L6).

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

/// Where a key counts: the tenant (a merchant or a user), the operation and the caller's own key.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub tenant: Uuid,
    pub operation: &'static str,
    pub key: Uuid,
}

/// What a claim found.
#[derive(Debug)]
pub enum Claim<T> {
    /// The key is ours: go on, then [`complete_in_tx`].
    New,
    /// The command ran before. `response` is what its caller was told; none while it still waits for an outside answer.
    Seen { entity_id: Uuid, response: Option<T> },
}

#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    #[error("this idempotencyKey was used for a different request; send a new key for a new request")]
    KeyReused,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// Claims a key for a command about `entity_id`. Waits for a claim of the same key in flight, then sees its result.
///
/// Two statements: the insert waits on the unique index; the read after it has a fresh snapshot.
pub async fn claim_in_tx<C: Serialize, T: DeserializeOwned>(
    tx: &mut PgConnection,
    scope: Scope,
    command: &C,
    entity_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Claim<T>, IdempotencyError> {
    let canonical = serde_json::to_vec(command).expect("commands are plain data and serialise");
    let hash = digest(&SHA256, &canonical);
    let inserted = sqlx::query!(
        "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, operation, key) DO NOTHING",
        scope.tenant,
        scope.operation,
        scope.key,
        hash.as_ref(),
        entity_id,
        now
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if inserted == 1 {
        return Ok(Claim::New);
    }
    let row = sqlx::query!(
        r#"SELECT request_hash, entity_id, response AS "response: Json<serde_json::Value>"
           FROM idempotency_keys WHERE tenant_id = $1 AND operation = $2 AND key = $3"#,
        scope.tenant,
        scope.operation,
        scope.key
    )
    .fetch_one(tx)
    .await?;
    if row.request_hash != hash.as_ref() {
        return Err(IdempotencyError::KeyReused);
    }
    let response =
        row.response.map(|Json(value)| serde_json::from_value(value)).transpose().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(Claim::Seen { entity_id: row.entity_id, response })
}

/// Keeps what the caller is told, in the transaction that does it.
pub async fn complete_in_tx<T: Serialize>(tx: &mut PgConnection, scope: Scope, response: &T) -> sqlx::Result<()> {
    let response = serde_json::to_value(response).expect("responses are plain data and serialise");
    sqlx::query!(
        "UPDATE idempotency_keys SET response = $4 WHERE tenant_id = $1 AND operation = $2 AND key = $3",
        scope.tenant,
        scope.operation,
        scope.key,
        response
    )
    .execute(tx)
    .await?;
    Ok(())
}
