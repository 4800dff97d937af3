//! Idempotency keys (幂等键): same key and same command, same answer; same key and another command, refused. Kept in PostgreSQL (L6).
//!
//! Two forms over the same statements. A single command claims first ([`claim_in_tx`]): it waits there for one of the same key in flight.
//! A batch reads first, decides in memory and writes claims with their answers at the end ([`Keys`]), which saves a row version per
//! command: the write waits for a key in flight, and one that was taken meanwhile has the whole batch decided anew.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Shortest time that a key is kept: what a caller may rely on (L6).
pub const KEPT_DAYS_MIN: u16 = 30;

/// Where a key counts: the tenant (a merchant or a user), the operation and the caller's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// A key of the batch was claimed after the batch had read it: decided anew, it finds the other's answer.
    #[error("the key was claimed at the same time")]
    ClaimedMeanwhile,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl IdempotencyError {
    /// Whether the whole transaction is worth running again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::KeyReused => false,
            Self::ClaimedMeanwhile => true,
            Self::Database(e) => super::db::retryable(e),
        }
    }
}

/// SHA-256 of a command in its canonical form: its JSON, fields in the order of their declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHash([u8; 32]);

impl CommandHash {
    pub fn of<C: Serialize>(command: &C) -> Self {
        let canonical = serde_json::to_vec(command).expect("commands are plain data and serialise");
        Self(*digest(&SHA256, &canonical).as_ref().first_chunk().expect("a SHA-256 has 32 bytes"))
    }
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
    let hash = CommandHash::of(command);
    if insert_in_tx(tx, &[Row { scope, hash, entity_id, response: None }], now).await? == 1 {
        return Ok(Claim::New);
    }
    let row = read_in_tx(tx, &[scope]).await?.pop().ok_or(sqlx::Error::RowNotFound)?;
    if row.hash != hash {
        return Err(IdempotencyError::KeyReused);
    }
    Ok(Claim::Seen { entity_id: row.entity_id, response: row.response.map(decode).transpose()? })
}

/// Keeps what the caller is told, in the transaction that does it.
pub async fn complete_in_tx<T: Serialize>(tx: &mut PgConnection, scope: Scope, response: &T) -> sqlx::Result<()> {
    answer_in_tx(tx, &[(scope, encode(response))]).await
}

/// The keys of a batch: those kept before it, and those its members claim one after another. Three statements, whatever their number.
#[derive(Debug)]
pub struct Keys<T> {
    known: HashMap<Scope, Kept<T>>,
    claimed: Vec<Scope>,
    answered: Vec<Scope>,
}

/// A command that came before, in this batch or an earlier one.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    hash: CommandHash,
    pub entity_id: Uuid,
    /// What its caller was told; none while it still waits for an outside answer.
    pub response: Option<T>,
}

impl<T: Clone + Serialize + DeserializeOwned> Keys<T> {
    /// Reads which of these keys are taken. One statement; waits for nobody.
    pub async fn read_in_tx(tx: &mut PgConnection, scopes: &[Scope]) -> sqlx::Result<Self> {
        let mut known = HashMap::new();
        for row in read_in_tx(tx, scopes).await? {
            let response = row.response.map(decode).transpose()?;
            known.insert(row.scope, Kept { hash: row.hash, entity_id: row.entity_id, response });
        }
        Ok(Self { known, claimed: Vec::new(), answered: Vec::new() })
    }

    /// What an earlier command left under this key; refused where that was another command.
    pub fn find(&self, scope: Scope, hash: CommandHash) -> Result<Option<&Kept<T>>, IdempotencyError> {
        match self.known.get(&scope) {
            Some(kept) if kept.hash != hash => Err(IdempotencyError::KeyReused),
            found => Ok(found),
        }
    }

    /// Takes a free key for an accepted command, with what its caller is told, if that is known already.
    pub fn claim(&mut self, scope: Scope, hash: CommandHash, entity_id: Uuid, response: Option<T>) {
        self.known.insert(scope, Kept { hash, entity_id, response });
        self.claimed.push(scope);
    }

    /// Keeps what the caller of a taken key is told.
    pub fn answer(&mut self, scope: Scope, response: T) {
        if let Some(kept) = self.known.get_mut(&scope) {
            kept.response = Some(response);
            self.answered.push(scope);
        }
    }

    /// Writes claims and answers, after all else of the batch, in one order whatever the order of its members.
    pub async fn write_in_tx(self, tx: &mut PgConnection, now: DateTime<Utc>) -> Result<(), IdempotencyError> {
        let row = |scope: &Scope| {
            self.known.get(scope).map(|kept| Row {
                scope: *scope,
                hash: kept.hash,
                entity_id: kept.entity_id,
                response: kept.response.as_ref().map(encode),
            })
        };
        let claimed: Vec<Row> = self.claimed.iter().filter_map(row).collect();
        if insert_in_tx(tx, &claimed, now).await? < claimed.len() as u64 {
            return Err(IdempotencyError::ClaimedMeanwhile);
        }
        let answers: Vec<_> = self.answered.iter().filter_map(row).filter_map(|row| Some((row.scope, row.response?))).collect();
        answer_in_tx(tx, &answers).await?;
        Ok(())
    }
}

/// Deletes the oldest answered keys of before `older_than`, at most `limit`. Gives how many went.
///
/// A key without an answer stays: its command is not settled, and a caller may still come for its result.
pub async fn purge(db: &PgPool, older_than: DateTime<Utc>, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE (tenant_id, operation, key) IN (
             SELECT tenant_id, operation, key FROM idempotency_keys
             WHERE created_at < $1 AND response IS NOT NULL
             ORDER BY created_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED)",
        older_than,
        limit
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The moment before which keys may go when they are kept for `days`, which is never taken as fewer than [`KEPT_DAYS_MIN`].
pub fn purged_before(now: DateTime<Utc>, days: u16) -> DateTime<Utc> {
    now - TimeDelta::days(i64::from(days.max(KEPT_DAYS_MIN)))
}

/// A row as it lies in the table.
struct Row {
    scope: Scope,
    hash: CommandHash,
    entity_id: Uuid,
    response: Option<Value>,
}

fn encode<T: Serialize>(response: &T) -> Value {
    serde_json::to_value(response).expect("responses are plain data and serialise")
}

fn decode<T: DeserializeOwned>(response: Value) -> sqlx::Result<T> {
    serde_json::from_value(response).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// Scopes as the arrays that statements take.
fn columns<'a>(scopes: impl Iterator<Item = &'a Scope>) -> (Vec<Uuid>, Vec<String>, Vec<Uuid>) {
    let (mut tenants, mut operations, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for scope in scopes {
        tenants.push(scope.tenant);
        operations.push(scope.operation.to_owned());
        keys.push(scope.key);
    }
    (tenants, operations, keys)
}

/// Inserts those keys that are free, in one order, so that two batches never wait for each other in a circle. Gives how many were.
async fn insert_in_tx(tx: &mut PgConnection, rows: &[Row], now: DateTime<Utc>) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (tenants, operations, keys) = columns(rows.iter().map(|r| &r.scope));
    let hashes: Vec<Vec<u8>> = rows.iter().map(|r| r.hash.0.to_vec()).collect();
    let entities: Vec<Uuid> = rows.iter().map(|r| r.entity_id).collect();
    let responses: Vec<Option<Value>> = rows.iter().map(|r| r.response.clone()).collect();
    let done = sqlx::query!(
        "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
         SELECT n.tenant_id, n.operation, n.key, n.request_hash, n.entity_id, n.response, $7
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[], $6::jsonb[])
              AS n (tenant_id, operation, key, request_hash, entity_id, response)
         ORDER BY n.tenant_id, n.operation, n.key
         ON CONFLICT (tenant_id, operation, key) DO NOTHING",
        &tenants,
        &operations,
        &keys,
        &hashes,
        &entities,
        &responses as &[Option<Value>],
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

async fn read_in_tx(tx: &mut PgConnection, scopes: &[Scope]) -> sqlx::Result<Vec<Row>> {
    let (tenants, operations, keys) = columns(scopes.iter());
    let rows = sqlx::query!(
        r#"SELECT k.tenant_id, k.operation, k.key, k.request_hash, k.entity_id, k.response AS "response: Value"
           FROM UNNEST($1::uuid[], $2::text[], $3::uuid[]) AS w (tenant_id, operation, key)
           JOIN idempotency_keys k ON k.tenant_id = w.tenant_id AND k.operation = w.operation AND k.key = w.key"#,
        &tenants,
        &operations,
        &keys
    )
    .fetch_all(tx)
    .await?;
    let asked: HashMap<(Uuid, &str, Uuid), Scope> = scopes.iter().map(|s| ((s.tenant, s.operation, s.key), *s)).collect();
    rows.into_iter()
        .map(|row| {
            let scope = asked.get(&(row.tenant_id, row.operation.as_str(), row.key)).copied().ok_or(sqlx::Error::RowNotFound)?;
            let hash = *row.request_hash.first_chunk().ok_or_else(|| sqlx::Error::Decode("a request hash has 32 bytes".into()))?;
            Ok(Row { scope, hash: CommandHash(hash), entity_id: row.entity_id, response: row.response })
        })
        .collect()
}

async fn answer_in_tx(tx: &mut PgConnection, answers: &[(Scope, Value)]) -> sqlx::Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let (tenants, operations, keys) = columns(answers.iter().map(|(scope, _)| scope));
    let responses: Vec<Value> = answers.iter().map(|(_, response)| response.clone()).collect();
    sqlx::query!(
        "UPDATE idempotency_keys k
         SET response = a.response
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::jsonb[]) AS a (tenant_id, operation, key, response)
         WHERE k.tenant_id = a.tenant_id AND k.operation = a.operation AND k.key = a.key",
        &tenants,
        &operations,
        &keys,
        &responses
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_thirty_days_whatever_is_configured() {
        let now: DateTime<Utc> = "2026-11-21T04:00:00Z".parse().unwrap();
        let cases = [(0, "2026-10-22"), (29, "2026-10-22"), (30, "2026-10-22"), (35, "2026-10-17"), (365, "2025-11-21")];
        for (days, expected) in cases {
            assert_eq!(purged_before(now, days).date_naive().to_string(), expected, "{days} days");
        }
    }

    #[test]
    fn members_of_a_batch_see_the_keys_of_those_before_them() {
        let scope = Scope { tenant: Uuid::from_u128(1), operation: "orderCreate", key: Uuid::from_u128(2) };
        let (command, other) = (CommandHash::of(&"a"), CommandHash::of(&"b"));
        let mut keys: Keys<u32> = Keys { known: HashMap::new(), claimed: Vec::new(), answered: Vec::new() };
        assert!(keys.find(scope, command).unwrap().is_none());
        keys.claim(scope, command, Uuid::from_u128(3), Some(7));
        assert_eq!(keys.find(scope, command).unwrap().unwrap().response, Some(7));
        assert!(matches!(keys.find(scope, other), Err(IdempotencyError::KeyReused)));
        assert!(keys.find(Scope { operation: "orderClose", ..scope }, other).unwrap().is_none(), "a key counts within its operation");
    }
}
