//! SQL of deliveries as they are made, read and let go.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{DeliveryCursor, DeliveryFilter};
use crate::base::id::{BookId, DeliveryId, EndpointId, MerchantId, SigningKeyId};
use crate::webhook::{Attempt, Delivery, DeliveryStatus, Outcome};

/// Writes deliveries that are not there yet. One statement.
pub async fn insert_deliveries_in_tx(tx: &mut PgConnection, deliveries: &[Delivery]) -> sqlx::Result<()> {
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
pub async fn cancel_in_tx(tx: &mut PgConnection, book: BookId, endpoint: EndpointId, now: DateTime<Utc>) -> sqlx::Result<()> {
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

pub async fn delivery(tx: &mut PgConnection, book: BookId, id: DeliveryId) -> sqlx::Result<Option<Delivery>> {
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
pub async fn page(
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
pub async fn attempts(tx: &mut PgConnection, book: BookId, id: DeliveryId) -> sqlx::Result<Vec<Attempt>> {
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
pub async fn purge_in_tx(tx: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> sqlx::Result<u64> {
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
