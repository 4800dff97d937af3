//! SQL of endpoints and their keys.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::base::db;
use crate::base::id::{BookId, EndpointId, SigningKeyId};
use crate::webhook::sign::FreshKey;
use crate::webhook::{Endpoint, EndpointStatus, PausedFor, SigningKey, WebhookError};

/// Writes a new endpoint into the lowest free place. False: there is none.
pub async fn insert_endpoint_in_tx(tx: &mut PgConnection, endpoint: &Endpoint) -> Result<bool, WebhookError> {
    let done = sqlx::query!(
        "INSERT INTO webhook_endpoints (book_id, endpoint_id, slot, url, kinds, status, claimed_at, created_at, updated_at)
         SELECT $1, $2, free.slot, $3, $4, 'ACTIVE', $5, $5, $5
         FROM (SELECT place.slot::smallint AS slot FROM generate_series(0, 7) AS place (slot)
               WHERE NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.book_id = $1 AND e.slot = place.slot)
               ORDER BY place.slot
               LIMIT 1) AS free",
        endpoint.merchant.0,
        endpoint.id.0,
        endpoint.url,
        &endpoint.kinds,
        endpoint.created_at
    )
    .execute(tx)
    .await;
    match done {
        Ok(done) => Ok(done.rows_affected() == 1),
        Err(error) if db::constraint(&error) == Some("webhook_endpoints_slot") => Err(WebhookError::PlaceTaken),
        Err(error) => Err(error.into()),
    }
}

pub async fn update_endpoint_in_tx(tx: &mut PgConnection, endpoint: &Endpoint) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints
         SET url = $3, kinds = $4, status = $5, paused_for = $6, failing_since = $7, updated_at = $8,
             slot = CASE WHEN $5 = 'DISABLED' THEN NULL ELSE slot END
         WHERE book_id = $1 AND endpoint_id = $2",
        endpoint.merchant.0,
        endpoint.id.0,
        endpoint.url,
        &endpoint.kinds,
        endpoint.status as EndpointStatus,
        endpoint.paused_for as Option<PausedFor>,
        endpoint.failing_since,
        endpoint.updated_at
    )
    .execute(tx)
    .await
    .map(drop)
}

pub async fn lock_endpoint_in_tx(tx: &mut PgConnection, book: BookId, id: EndpointId) -> sqlx::Result<()> {
    sqlx::query!("SELECT FROM webhook_endpoints WHERE book_id = $1 AND endpoint_id = $2 FOR NO KEY UPDATE", book.0, id.0)
        .fetch_optional(tx)
        .await
        .map(drop)
}

pub async fn endpoint(tx: &mut PgConnection, book: BookId, id: EndpointId) -> sqlx::Result<Option<Endpoint>> {
    let row = sqlx::query!(
        r#"SELECT endpoint_id, url, kinds, status AS "status: EndpointStatus", paused_for AS "paused_for: PausedFor", failing_since,
                  created_at, updated_at
           FROM webhook_endpoints WHERE book_id = $1 AND endpoint_id = $2"#,
        book.0,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|r| Endpoint {
        id: EndpointId(r.endpoint_id),
        merchant: book.merchant(),
        url: r.url,
        kinds: r.kinds,
        status: r.status,
        paused_for: r.paused_for,
        failing_since: r.failing_since,
        created_at: r.created_at,
        updated_at: r.updated_at,
        keys: Vec::new(),
    }))
}

/// The endpoints of a book that were not deleted, the oldest first.
pub async fn endpoints(tx: &mut PgConnection, book: BookId) -> sqlx::Result<Vec<Endpoint>> {
    let rows = sqlx::query!(
        r#"SELECT endpoint_id, url, kinds, status AS "status: EndpointStatus", paused_for AS "paused_for: PausedFor", failing_since,
                  created_at, updated_at
           FROM webhook_endpoints WHERE book_id = $1 AND slot IS NOT NULL
           ORDER BY created_at, endpoint_id"#,
        book.0
    )
    .fetch_all(tx)
    .await?;
    let endpoint = rows.into_iter().map(|r| Endpoint {
        id: EndpointId(r.endpoint_id),
        merchant: book.merchant(),
        url: r.url,
        kinds: r.kinds,
        status: r.status,
        paused_for: r.paused_for,
        failing_since: r.failing_since,
        created_at: r.created_at,
        updated_at: r.updated_at,
        keys: Vec::new(),
    });
    Ok(endpoint.collect())
}

/// The keys of endpoints, the oldest first, with their sealed halves.
pub async fn keys(
    tx: &mut PgConnection,
    endpoints: &[(BookId, EndpointId)],
) -> sqlx::Result<Vec<(EndpointId, SigningKey, Option<Vec<u8>>)>> {
    let (books, ids) = places(endpoints);
    let rows = sqlx::query!(
        "SELECT k.endpoint_id, k.key_id, k.public_key, k.sealed, k.created_at, k.ends_at
         FROM UNNEST($1::uuid[], $2::uuid[]) AS e (book_id, endpoint_id)
         JOIN webhook_keys k ON k.book_id = e.book_id AND k.endpoint_id = e.endpoint_id
         ORDER BY k.created_at, k.key_id",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|r| {
            let public_key = *r.public_key.first_chunk().ok_or_else(|| sqlx::Error::Decode("a public key has 32 bytes".into()))?;
            let key = SigningKey { id: SigningKeyId(r.key_id), public_key, created_at: r.created_at, ends_at: r.ends_at };
            Ok((EndpointId(r.endpoint_id), key, r.sealed))
        })
        .collect()
}

pub async fn insert_key_in_tx(tx: &mut PgConnection, endpoint: &Endpoint, key: &FreshKey, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_keys (book_id, key_id, endpoint_id, public_key, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        endpoint.merchant.0,
        key.id.0,
        endpoint.id.0,
        &key.public_key[..],
        key.sealed,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Ends every key of an endpoint then, unless it ends sooner. The caller holds the endpoint.
pub async fn end_keys_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_keys SET ends_at = $3 WHERE book_id = $1 AND endpoint_id = $2 AND (ends_at IS NULL OR ends_at > $3)",
        book.0,
        endpoint.0,
        at
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Forgets the private halves of an endpoint's keys. The caller holds the endpoint.
pub async fn forget_keys_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE webhook_keys SET sealed = NULL WHERE book_id = $1 AND endpoint_id = $2", book.0, endpoint.0)
        .execute(tx)
        .await
        .map(drop)
}

/// An endpoint that hears of events.
#[derive(Debug)]
pub struct Listening {
    pub book: BookId,
    pub id: EndpointId,
    pub kinds: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// Holds the endpoints of these books against a change. Paused ones too: what happens meanwhile waits for them.
pub async fn listening_in_tx(tx: &mut PgConnection, books: &[BookId]) -> sqlx::Result<Vec<Listening>> {
    let books: Vec<Uuid> = books.iter().map(|b| b.0).collect();
    let rows = sqlx::query!(
        "SELECT book_id, endpoint_id, kinds, created_at FROM webhook_endpoints
         WHERE book_id = ANY($1::uuid[]) AND slot IS NOT NULL
         ORDER BY book_id, endpoint_id
         FOR SHARE",
        &books
    )
    .fetch_all(tx)
    .await?;
    let endpoint = rows.into_iter().map(|r| Listening {
        book: BookId(r.book_id),
        id: EndpointId(r.endpoint_id),
        kinds: r.kinds,
        created_at: r.created_at,
    });
    Ok(endpoint.collect())
}

/// Pairs as the arrays that statements take.
pub fn places(endpoints: &[(BookId, EndpointId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    endpoints.iter().map(|(book, id)| (book.0, id.0)).unzip()
}
