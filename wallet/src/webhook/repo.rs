//! SQL of webhooks. Locks: endpoints, then deliveries, then attempts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::delivery::{DeliveryCursor, DeliveryFilter};
use super::rules::Noun;
use super::send::{Claimed, Sent};
use super::sign::FreshKey;
use super::{Attempt, Delivery, DeliveryStatus, Endpoint, EndpointStatus, Outcome, PausedFor, SigningKey, WebhookError};
use crate::base::db;
use crate::base::id::{BookId, DeliveryId, EndpointId, MerchantId, OrderId, SigningKeyId, StoreId};
use crate::base::money::{Currency, Money};
use crate::order::OrderStatus;
use crate::refund::RefundStatus;
use crate::withdrawal::WithdrawalStatus;

/// Writes a new endpoint into the lowest free place. False: there is none.
pub(super) async fn insert_endpoint_in_tx(tx: &mut PgConnection, endpoint: &Endpoint) -> Result<bool, WebhookError> {
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

pub(super) async fn update_endpoint_in_tx(tx: &mut PgConnection, endpoint: &Endpoint) -> sqlx::Result<()> {
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

pub(super) async fn lock_endpoint_in_tx(tx: &mut PgConnection, book: BookId, id: EndpointId) -> sqlx::Result<()> {
    sqlx::query!("SELECT FROM webhook_endpoints WHERE book_id = $1 AND endpoint_id = $2 FOR NO KEY UPDATE", book.0, id.0)
        .fetch_optional(tx)
        .await
        .map(drop)
}

pub(super) async fn endpoint(tx: &mut PgConnection, book: BookId, id: EndpointId) -> sqlx::Result<Option<Endpoint>> {
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
pub(super) async fn endpoints(tx: &mut PgConnection, book: BookId) -> sqlx::Result<Vec<Endpoint>> {
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
pub(super) async fn keys(
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

pub(super) async fn insert_key_in_tx(tx: &mut PgConnection, endpoint: &Endpoint, key: &FreshKey, now: DateTime<Utc>) -> sqlx::Result<()> {
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
pub(super) async fn end_keys_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId, at: DateTime<Utc>) -> sqlx::Result<()> {
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
pub(super) async fn forget_keys_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE webhook_keys SET sealed = NULL WHERE book_id = $1 AND endpoint_id = $2", book.0, endpoint.0)
        .execute(tx)
        .await
        .map(drop)
}

/// An endpoint that hears of events.
#[derive(Debug)]
pub(super) struct Listening {
    pub book: BookId,
    pub id: EndpointId,
    pub kinds: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// Holds the endpoints of these books against a change. Paused ones too: what happens meanwhile waits for them.
pub(super) async fn listening_in_tx(tx: &mut PgConnection, books: &[BookId]) -> sqlx::Result<Vec<Listening>> {
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

/// Writes deliveries that are not there yet. One statement.
pub(super) async fn insert_deliveries_in_tx(tx: &mut PgConnection, deliveries: &[Delivery]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = deliveries.iter().map(|d| d.merchant.0).collect();
    let ids: Vec<Uuid> = deliveries.iter().map(|d| d.id.0).collect();
    let endpoints: Vec<Uuid> = deliveries.iter().map(|d| d.endpoint.0).collect();
    let events: Vec<Uuid> = deliveries.iter().map(|d| d.event).collect();
    let kinds: Vec<String> = deliveries.iter().map(|d| d.kind.clone()).collect();
    let subjects: Vec<Uuid> = deliveries.iter().map(|d| d.subject).collect();
    let bodies: Vec<String> = deliveries.iter().map(|d| d.body.clone()).collect();
    let firsts: Vec<Option<Uuid>> = deliveries.iter().map(|d| d.resend_of.map(|id| id.0)).collect();
    let times: Vec<DateTime<Utc>> = deliveries.iter().map(|d| d.created_at).collect();
    sqlx::query!(
        "INSERT INTO webhook_deliveries (book_id, delivery_id, endpoint_id, event_id, kind, subject_id, body, resend_of, status, next_at, created_at)
         SELECT d.book_id, d.delivery_id, d.endpoint_id, d.event_id, d.kind, d.subject_id, d.body, d.resend_of, 'PENDING', d.created_at, d.created_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], $8::uuid[], $9::timestamptz[])
              AS d (book_id, delivery_id, endpoint_id, event_id, kind, subject_id, body, resend_of, created_at)
         ON CONFLICT (book_id, delivery_id) DO NOTHING",
        &books,
        &ids,
        &endpoints,
        &events,
        &kinds,
        &subjects,
        &bodies,
        &firsts as &[Option<Uuid>],
        &times
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Cancels what waits for an endpoint. The caller holds it.
pub(super) async fn cancel_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET status = 'CANCELLED', resolved_at = $3, leased_by = NULL, lease_until = NULL
         WHERE book_id = $1 AND endpoint_id = $2 AND status = 'PENDING'",
        book.0,
        endpoint.0,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// An endpoint that something is due for.
#[derive(Debug)]
pub(super) struct Due {
    pub book: BookId,
    pub endpoint: EndpointId,
    pub url: String,
}

/// Locks endpoints that something is due for, those whose turn was longest ago, passing over what another worker holds; it is their turn now.
///
/// A look costs an index probe for each active endpoint: 10,000 of them some 20 ms.
pub(super) async fn lock_due_in_tx(tx: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        "UPDATE webhook_endpoints SET claimed_at = $1
         WHERE (book_id, endpoint_id) IN (
             SELECT book_id, endpoint_id FROM webhook_endpoints
             WHERE (book_id, endpoint_id) IN (
                 SELECT e.book_id, e.endpoint_id FROM webhook_endpoints e
                 WHERE e.status = 'ACTIVE'
                   AND EXISTS (SELECT FROM webhook_deliveries d
                               WHERE d.book_id = e.book_id AND d.endpoint_id = e.endpoint_id AND d.status = 'PENDING' AND d.next_at <= $1
                                 AND (d.lease_until IS NULL OR d.lease_until < $1))
                 ORDER BY e.claimed_at
                 LIMIT $2)
             FOR NO KEY UPDATE SKIP LOCKED)
         RETURNING book_id, endpoint_id, url",
        now,
        limit
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| Due { book: BookId(r.book_id), endpoint: EndpointId(r.endpoint_id), url: r.url }).collect())
}

/// Who claims, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease<'a> {
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Claims what is due for endpoints that the caller holds, so many under way at most for each. A first try waits for the first tries of what
/// came before it about the same subject.
pub(super) async fn claim_in_tx(tx: &mut PgConnection, endpoints: &[Due], lease: &Lease<'_>, each: i64) -> sqlx::Result<Vec<Claimed>> {
    let (books, ids) = places(&endpoints.iter().map(|e| (e.book, e.endpoint)).collect::<Vec<_>>());
    let rows = sqlx::query!(
        r#"UPDATE webhook_deliveries d
           SET attempts = d.attempts + 1, leased_by = $3, lease_until = $5, first_at = COALESCE(d.first_at, $4)
           FROM UNNEST($1::uuid[], $2::uuid[]) AS e (book_id, endpoint_id)
           CROSS JOIN LATERAL (
               SELECT c.delivery_id
               FROM webhook_deliveries c
               WHERE c.book_id = e.book_id AND c.endpoint_id = e.endpoint_id AND c.status = 'PENDING' AND c.next_at <= $4
                 AND (c.lease_until IS NULL OR c.lease_until < $4)
                 AND (c.attempts > 0
                      OR NOT EXISTS (SELECT FROM webhook_deliveries b
                                     WHERE b.book_id = c.book_id AND b.endpoint_id = c.endpoint_id AND b.subject_id = c.subject_id
                                       AND b.status = 'PENDING' AND b.event_id < c.event_id
                                       AND (b.attempts = 0 OR (b.attempts = 1 AND b.lease_until >= $4))))
               ORDER BY c.next_at, c.event_id
               LIMIT GREATEST($6 - (SELECT count(*) FROM webhook_deliveries u
                                    WHERE u.book_id = e.book_id AND u.endpoint_id = e.endpoint_id AND u.status = 'PENDING'
                                      AND u.lease_until >= $4), 0)
           ) AS due
           WHERE d.book_id = e.book_id AND d.delivery_id = due.delivery_id AND d.status = 'PENDING'
             AND (d.lease_until IS NULL OR d.lease_until < $4)
           RETURNING d.book_id, d.delivery_id, d.endpoint_id, d.kind, d.body, d.attempts, d.first_at AS "first_at!", d.event_id"#,
        &books,
        &ids,
        lease.worker,
        lease.now,
        lease.until,
        each
    )
    .fetch_all(tx)
    .await?;
    let mut rows = rows;
    rows.sort_unstable_by_key(|r| r.event_id);
    Ok(rows
        .into_iter()
        .map(|r| Claimed {
            worker: String::new(),
            book: BookId(r.book_id),
            delivery: DeliveryId(r.delivery_id),
            endpoint: EndpointId(r.endpoint_id),
            kind: r.kind,
            url: String::new(),
            body: r.body,
            attempt: r.attempts,
            first_at: r.first_at,
            key: None,
        })
        .collect())
}

/// Writes the tries that are about to be made.
pub(super) async fn insert_attempts_in_tx(tx: &mut PgConnection, claimed: &[Claimed], now: DateTime<Utc>) -> sqlx::Result<()> {
    let books: Vec<Uuid> = claimed.iter().map(|c| c.book.0).collect();
    let ids: Vec<Uuid> = claimed.iter().map(|c| c.delivery.0).collect();
    let numbers: Vec<i32> = claimed.iter().map(|c| c.attempt).collect();
    let keys: Vec<Option<Uuid>> = claimed.iter().map(|c| c.key.as_ref().map(|(id, _)| id.0)).collect();
    sqlx::query!(
        "INSERT INTO webhook_attempts (book_id, delivery_id, attempt, key_id, started_at)
         SELECT a.book_id, a.delivery_id, a.attempt, a.key_id, $5
         FROM UNNEST($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[]) AS a (book_id, delivery_id, attempt, key_id)",
        &books,
        &ids,
        &numbers,
        &keys as &[Option<Uuid>],
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Ends a try.
pub(super) async fn end_attempt_in_tx(tx: &mut PgConnection, claimed: &Claimed, sent: &Sent) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_attempts SET outcome = $4, status_code = $5, took_ms = $6, answer = $7
         WHERE book_id = $1 AND delivery_id = $2 AND attempt = $3",
        claimed.book.0,
        claimed.delivery.0,
        claimed.attempt,
        sent.outcome as Outcome,
        sent.status_code.map(i32::from),
        i32::try_from(sent.took.as_millis()).unwrap_or(i32::MAX),
        sent.answer
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A receiver took a delivery: that counts whoever holds it by now.
pub(super) async fn delivered_in_tx(tx: &mut PgConnection, claimed: &Claimed, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries SET status = 'DELIVERED', resolved_at = $3, leased_by = NULL, lease_until = NULL
         WHERE book_id = $1 AND delivery_id = $2 AND status IN ('PENDING', 'DEAD', 'CANCELLED')",
        claimed.book.0,
        claimed.delivery.0,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A try failed: again then, or dead. Says nothing where another worker has taken the delivery up meanwhile.
pub(super) async fn failed_in_tx(
    tx: &mut PgConnection,
    claimed: &Claimed,
    status: DeliveryStatus,
    next_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_deliveries
         SET status = $5, next_at = COALESCE($6, next_at), resolved_at = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz END,
             leased_by = NULL, lease_until = NULL
         WHERE book_id = $1 AND delivery_id = $2 AND status = 'PENDING' AND attempts = $3 AND leased_by = $4",
        claimed.book.0,
        claimed.delivery.0,
        claimed.attempt,
        claimed.worker,
        status as DeliveryStatus,
        next_at,
        now
    )
    .execute(tx)
    .await
    .map(drop)
}

/// An endpoint took something.
pub(super) async fn recovered_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE webhook_endpoints SET failing_since = NULL WHERE book_id = $1 AND endpoint_id = $2 AND failing_since IS NOT NULL",
        book.0,
        endpoint.0
    )
    .execute(tx)
    .await
    .map(drop)
}

/// An endpoint failed: since when it does. None: it is not active any more, so nobody counts.
pub(super) async fn failing_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    endpoint: EndpointId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"UPDATE webhook_endpoints SET failing_since = COALESCE(failing_since, $3)
           WHERE book_id = $1 AND endpoint_id = $2 AND status = 'ACTIVE'
           RETURNING failing_since AS "failing_since!""#,
        book.0,
        endpoint.0,
        now
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn delivery(tx: &mut PgConnection, book: BookId, id: DeliveryId) -> sqlx::Result<Option<Delivery>> {
    let row = sqlx::query_as!(
        DeliveryRow,
        r#"SELECT delivery_id, endpoint_id, event_id, kind, subject_id, body, resend_of, status AS "status: DeliveryStatus", attempts, next_at,
                  created_at, resolved_at
           FROM webhook_deliveries WHERE book_id = $1 AND delivery_id = $2"#,
        book.0,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|r| r.delivery(book)))
}

/// The newest deliveries of a book that pass the filter, after the cursor.
pub(super) async fn page(
    db: &PgPool,
    book: BookId,
    filter: &DeliveryFilter,
    before: Option<DeliveryCursor>,
    limit: i64,
) -> sqlx::Result<Vec<Delivery>> {
    let (before_at, before_id) = before.map_or((None, None), |(at, id)| (Some(at), Some(id.0)));
    let rows = sqlx::query_as!(
        DeliveryRow,
        r#"SELECT delivery_id, endpoint_id, event_id, kind, subject_id, body, resend_of, status AS "status: DeliveryStatus", attempts, next_at,
                  created_at, resolved_at
           FROM webhook_deliveries
           WHERE book_id = $1
             AND ($2::uuid IS NULL OR endpoint_id = $2)
             AND ($3::text IS NULL OR status = $3)
             AND ($4::text IS NULL OR kind = $4)
             AND ($5::timestamptz IS NULL OR (created_at, delivery_id) < ($5, $6::uuid))
           ORDER BY created_at DESC, delivery_id DESC
           LIMIT $7"#,
        book.0,
        filter.endpoint.map(|id| id.0),
        filter.status as Option<DeliveryStatus>,
        filter.kind,
        before_at,
        before_id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| r.delivery(book)).collect())
}

struct DeliveryRow {
    delivery_id: Uuid,
    endpoint_id: Uuid,
    event_id: Uuid,
    kind: String,
    subject_id: Uuid,
    body: String,
    resend_of: Option<Uuid>,
    status: DeliveryStatus,
    attempts: i32,
    next_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
}

impl DeliveryRow {
    fn delivery(self, book: BookId) -> Delivery {
        Delivery {
            id: DeliveryId(self.delivery_id),
            merchant: MerchantId(book.0),
            endpoint: EndpointId(self.endpoint_id),
            event: self.event_id,
            kind: self.kind,
            subject: self.subject_id,
            body: self.body,
            resend_of: self.resend_of.map(DeliveryId),
            status: self.status,
            attempts: self.attempts,
            next_at: self.next_at,
            created_at: self.created_at,
            resolved_at: self.resolved_at,
        }
    }
}

/// The tries of a delivery, in their order.
pub(super) async fn attempts(tx: &mut PgConnection, book: BookId, id: DeliveryId) -> sqlx::Result<Vec<Attempt>> {
    let rows = sqlx::query!(
        r#"SELECT attempt, key_id, started_at, outcome AS "outcome: Outcome", status_code, took_ms, answer
           FROM webhook_attempts WHERE book_id = $1 AND delivery_id = $2
           ORDER BY attempt"#,
        book.0,
        id.0
    )
    .fetch_all(tx)
    .await?;
    let attempt = rows.into_iter().map(|r| Attempt {
        number: r.attempt,
        key: r.key_id.map(SigningKeyId),
        started_at: r.started_at,
        outcome: r.outcome,
        status_code: r.status_code,
        took_ms: r.took_ms,
        answer: r.answer,
    });
    Ok(attempt.collect())
}

/// Deletes the oldest deliveries made before then, with their tries, but for those that an active endpoint still waits for.
pub(super) async fn purge_in_tx(tx: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> sqlx::Result<u64> {
    let rows = sqlx::query!(
        "SELECT d.book_id, d.delivery_id
         FROM webhook_deliveries d JOIN webhook_endpoints e ON e.book_id = d.book_id AND e.endpoint_id = d.endpoint_id
         WHERE d.created_at < $1 AND (d.status <> 'PENDING' OR e.status <> 'ACTIVE')
         ORDER BY d.created_at
         LIMIT $2
         FOR UPDATE OF d SKIP LOCKED",
        before,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let books: Vec<Uuid> = rows.iter().map(|r| r.book_id).collect();
    let ids: Vec<Uuid> = rows.iter().map(|r| r.delivery_id).collect();
    sqlx::query!(
        "DELETE FROM webhook_attempts WHERE (book_id, delivery_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .execute(&mut *tx)
    .await?;
    let gone = sqlx::query!(
        "DELETE FROM webhook_deliveries WHERE (book_id, delivery_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .execute(tx)
    .await?;
    Ok(gone.rows_affected())
}

/// An order as a message tells it.
#[derive(Clone, Debug)]
pub struct OrderNow {
    pub store: StoreId,
    pub status: OrderStatus,
    pub amount: Money,
    pub refunded: Money,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
}

/// A refund as a message tells it.
#[derive(Clone, Debug)]
pub struct RefundNow {
    pub order: OrderId,
    pub status: RefundStatus,
    pub amount: Money,
    pub error_code: Option<String>,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// A withdrawal as a message tells it.
#[derive(Clone, Debug)]
pub struct WithdrawalNow {
    pub status: WithdrawalStatus,
    pub amount: Money,
    pub error_code: Option<String>,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// What events are about, as it stands.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    pub orders: HashMap<(BookId, Uuid), OrderNow>,
    pub refunds: HashMap<(BookId, Uuid), RefundNow>,
    pub withdrawals: HashMap<(BookId, Uuid), WithdrawalNow>,
}

/// Reads what events are about: a statement for each noun that occurs.
pub(super) async fn subjects(tx: &mut PgConnection, of: &[(Noun, BookId, Uuid)]) -> sqlx::Result<Subjects> {
    let of_noun = |noun: Noun| -> (Vec<Uuid>, Vec<Uuid>) { of.iter().filter(|(n, ..)| *n == noun).map(|(_, b, s)| (b.0, *s)).unzip() };
    let mut subjects = Subjects::default();
    let (books, ids) = of_noun(Noun::Order);
    if !books.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT o.book_id, o.order_id, o.store_id, o.status AS "status: OrderStatus", o.amount_minor, o.refunded_minor,
                      o.currency AS "currency: Currency", o.created_at, o.expires_at, o.paid_at, o.closed_at
               FROM orders o
               WHERE (o.book_id, o.order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))"#,
            &books,
            &ids
        )
        .fetch_all(&mut *tx)
        .await?;
        for r in rows {
            let order = OrderNow {
                store: StoreId(r.store_id),
                status: r.status,
                amount: Money { minor: r.amount_minor, currency: r.currency },
                refunded: Money { minor: r.refunded_minor, currency: r.currency },
                created_at: r.created_at,
                expires_at: r.expires_at,
                paid_at: r.paid_at,
                closed_at: r.closed_at,
            };
            subjects.orders.insert((BookId(r.book_id), r.order_id), order);
        }
    }
    let (books, ids) = of_noun(Noun::Refund);
    if !books.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT r.book_id, r.refund_id, r.order_id, r.status AS "status: RefundStatus", r.amount_minor, r.currency AS "currency: Currency",
                      r.error_code, r.created_at, r.resolved_at
               FROM refunds r
               WHERE (r.book_id, r.refund_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))"#,
            &books,
            &ids
        )
        .fetch_all(&mut *tx)
        .await?;
        for r in rows {
            let refund = RefundNow {
                order: OrderId(r.order_id),
                status: r.status,
                amount: Money { minor: r.amount_minor, currency: r.currency },
                error_code: r.error_code,
                created_at: r.created_at,
                resolved_at: r.resolved_at,
            };
            subjects.refunds.insert((BookId(r.book_id), r.refund_id), refund);
        }
    }
    let (books, ids) = of_noun(Noun::Withdrawal);
    if !books.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT w.book_id, w.withdrawal_id, w.status AS "status: WithdrawalStatus", w.amount_minor, w.currency AS "currency: Currency",
                      w.error_code, w.created_at, w.resolved_at
               FROM withdrawals w
               WHERE (w.book_id, w.withdrawal_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))"#,
            &books,
            &ids
        )
        .fetch_all(&mut *tx)
        .await?;
        for r in rows {
            let withdrawal = WithdrawalNow {
                status: r.status,
                amount: Money { minor: r.amount_minor, currency: r.currency },
                error_code: r.error_code,
                created_at: r.created_at,
                resolved_at: r.resolved_at,
            };
            subjects.withdrawals.insert((BookId(r.book_id), r.withdrawal_id), withdrawal);
        }
    }
    Ok(subjects)
}

/// When events happened, by business time.
pub(super) async fn times(tx: &mut PgConnection, events: &[(BookId, Uuid)]) -> sqlx::Result<HashMap<(BookId, Uuid), DateTime<Utc>>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = events.iter().map(|(book, id)| (book.0, *id)).unzip();
    let rows = sqlx::query!(
        "SELECT book_id, event_id, created_at FROM outbox
         WHERE (book_id, event_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| ((BookId(r.book_id), r.event_id), r.created_at)).collect())
}

/// Pairs as the arrays that statements take.
fn places(endpoints: &[(BookId, EndpointId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    endpoints.iter().map(|(book, id)| (book.0, id.0)).unzip()
}
