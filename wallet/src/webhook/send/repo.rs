//! SQL of deliveries going out: claims, tries and what came of them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Claimed, Sent};
use crate::base::id::{BookId, DeliveryId, EndpointId};
use crate::webhook::endpoint::repo::places;
use crate::webhook::{DeliveryStatus, Outcome};

/// An endpoint that something is due for.
#[derive(Debug)]
pub struct Due {
    pub book: BookId,
    pub endpoint: EndpointId,
    pub url: String,
}

/// Locks endpoints that something is due for, those whose turn was longest ago, passing over what another worker holds; it is their turn now.
///
/// A look costs an index probe for each active endpoint: 10,000 of them some 20 ms.
pub async fn lock_due_in_tx(tx: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<Due>> {
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
pub struct Lease<'a> {
    pub worker: &'a str,
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Claims what is due for endpoints that the caller holds, so many under way at most for each. A first try waits for the first tries of what
/// came before it about the same subject.
pub async fn claim_in_tx(tx: &mut PgConnection, endpoints: &[Due], lease: &Lease<'_>, each: i64) -> sqlx::Result<Vec<Claimed>> {
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
pub async fn insert_attempts_in_tx(tx: &mut PgConnection, claimed: &[Claimed], now: DateTime<Utc>) -> sqlx::Result<()> {
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
pub async fn end_attempt_in_tx(tx: &mut PgConnection, claimed: &Claimed, sent: &Sent) -> sqlx::Result<()> {
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
pub async fn delivered_in_tx(tx: &mut PgConnection, claimed: &Claimed, now: DateTime<Utc>) -> sqlx::Result<()> {
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
pub async fn failed_in_tx(
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
pub async fn recovered_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId) -> sqlx::Result<()> {
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
pub async fn failing_in_tx(
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
