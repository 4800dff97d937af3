//! SQL of refunds that were paid outside. Rows are locked after their refunds.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Manual, ManualStatus};
use crate::base::id::{BookId, MerchantId, RefundId, UserId};

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    manual_id: Uuid,
    refund_id: Uuid,
    reference: String,
    evidence: String,
    bank: String,
    status: ManualStatus,
    proposed_by: Uuid,
    proposed_at: DateTime<Utc>,
    decided_by: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<Row> for Manual {
    fn from(r: Row) -> Self {
        Self {
            id: r.manual_id,
            merchant: MerchantId(r.book_id),
            refund: RefundId(r.refund_id),
            reference: r.reference,
            evidence: r.evidence,
            bank: r.bank,
            status: r.status,
            proposed_by: UserId(r.proposed_by),
            proposed_at: r.proposed_at,
            decided_by: r.decided_by.map(UserId),
            decided_at: r.decided_at,
        }
    }
}

/// Writes a proposal. False: one waits, or its number closed another refund.
pub async fn insert_in_tx(tx: &mut PgConnection, manual: &Manual) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO refund_manuals (book_id, manual_id, refund_id, reference, evidence, bank, status, proposed_by, proposed_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'PROPOSED', $7, $8)
         ON CONFLICT DO NOTHING",
        manual.merchant.0,
        manual.id,
        manual.refund.0,
        manual.reference,
        manual.evidence,
        manual.bank,
        manual.proposed_by.0,
        manual.proposed_at
    )
    .execute(tx)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// One proposal, locked.
pub async fn lock_in_tx(tx: &mut PgConnection, book: BookId, manual: Uuid) -> sqlx::Result<Option<Manual>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT book_id, manual_id, refund_id, reference, evidence, bank, status AS "status: ManualStatus", proposed_by, proposed_at, decided_by,
                  decided_at
           FROM refund_manuals
           WHERE book_id = $1 AND manual_id = $2
           FOR UPDATE"#,
        book.0,
        manual
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Manual::from))
}

pub async fn decide_in_tx(tx: &mut PgConnection, manual: &Manual) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE refund_manuals SET status = $3, decided_by = $4, decided_at = $5 WHERE book_id = $1 AND manual_id = $2",
        manual.merchant.0,
        manual.id,
        manual.status.as_str(),
        manual.decided_by.map(|user| user.0),
        manual.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was said of refunds, oldest first within a refund.
pub async fn of_refunds(db: &PgPool, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<Manual>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = refunds.iter().map(|(merchant, refund)| (merchant.0, refund.0)).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT m.book_id, m.manual_id, m.refund_id, m.reference, m.evidence, m.bank, m.status AS "status: ManualStatus", m.proposed_by,
                  m.proposed_at, m.decided_by, m.decided_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
           JOIN refund_manuals m ON m.book_id = wanted.book_id AND m.refund_id = wanted.refund_id
           ORDER BY m.book_id, m.refund_id, m.proposed_at, m.manual_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Manual::from).collect())
}
