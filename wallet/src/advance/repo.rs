//! SQL of advances and caps. Locks: advances by (book, refund), after refunds and before ledger accounts; a cap by itself.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::rules::Claims;
use super::{Advance, Cap, CapStatus, Standing};
use crate::base::id::{BookId, CapId, MerchantId, RecoveryId, RefundId, UserId};
use crate::base::money::{Currency, Money};

/// An advance as it lies in its table.
struct Row {
    book_id: Uuid,
    refund_id: Uuid,
    money_book_id: Uuid,
    amount_minor: i64,
    currency: Currency,
    cap_id: Uuid,
    before_minor: i64,
    recovered_minor: i64,
    returned_minor: i64,
    created_at: DateTime<Utc>,
}

impl From<Row> for Advance {
    fn from(r: Row) -> Self {
        Self {
            merchant: MerchantId(r.book_id),
            refund: RefundId(r.refund_id),
            money_book: BookId(r.money_book_id),
            amount: Money { minor: r.amount_minor, currency: r.currency },
            cap: CapId(r.cap_id),
            before_minor: r.before_minor,
            recovered_minor: r.recovered_minor,
            returned_minor: r.returned_minor,
            created_at: r.created_at,
        }
    }
}

pub async fn insert_in_tx(tx: &mut PgConnection, advance: &Advance) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refund_advances (book_id, refund_id, money_book_id, amount_minor, currency, cap_id, before_minor, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        advance.merchant.0,
        advance.refund.0,
        advance.money_book.0,
        advance.amount.minor,
        advance.amount.currency.as_str(),
        advance.cap.0,
        advance.before_minor,
        advance.created_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Advances of refunds, locked. Refunds without one are left out.
pub async fn lock_in_tx(tx: &mut PgConnection, refunds: &[(BookId, RefundId)]) -> sqlx::Result<Vec<Advance>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = refunds.iter().map(|(book, refund)| (book.0, refund.0)).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.book_id, a.refund_id, a.money_book_id, a.amount_minor, a.currency AS "currency: Currency", a.cap_id, a.before_minor,
                  a.recovered_minor, a.returned_minor, a.created_at
           FROM refund_advances a
           WHERE (a.book_id, a.refund_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY a.book_id, a.refund_id
           FOR NO KEY UPDATE OF a"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Advance::from).collect())
}

pub async fn of_refunds(db: &PgPool, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<Advance>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = refunds.iter().map(|(merchant, refund)| (merchant.0, refund.0)).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.book_id, a.refund_id, a.money_book_id, a.amount_minor, a.currency AS "currency: Currency", a.cap_id, a.before_minor,
                  a.recovered_minor, a.returned_minor, a.created_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
           JOIN refund_advances a ON a.book_id = wanted.book_id AND a.refund_id = wanted.refund_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Advance::from).collect())
}

/// Writes what came back of locked advances. One statement.
pub async fn update_in_tx(tx: &mut PgConnection, advances: &[Advance]) -> sqlx::Result<()> {
    if advances.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = advances.iter().map(|a| a.merchant.0).collect();
    let ids: Vec<Uuid> = advances.iter().map(|a| a.refund.0).collect();
    let recovered: Vec<i64> = advances.iter().map(|a| a.recovered_minor).collect();
    let returned: Vec<i64> = advances.iter().map(|a| a.returned_minor).collect();
    sqlx::query!(
        "UPDATE refund_advances a
         SET recovered_minor = c.recovered_minor, returned_minor = c.returned_minor
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS c (book_id, refund_id, recovered_minor, returned_minor)
         WHERE a.book_id = c.book_id AND a.refund_id = c.refund_id",
        &books,
        &ids,
        &recovered,
        &returned
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn insert_recovery_in_tx(
    tx: &mut PgConnection,
    advance: &Advance,
    recovery: RecoveryId,
    amount: Money,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO advance_recoveries (book_id, recovery_id, refund_id, amount_minor, recovered_at) VALUES ($1, $2, $3, $4, $5)",
        advance.merchant.0,
        recovery.0,
        advance.refund.0,
        amount.minor,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The cap in force, its amount, and what the merchant owes, in minor units. None: there is no cap.
pub async fn room_in_tx(tx: &mut PgConnection, merchant: MerchantId, currency: Currency) -> sqlx::Result<Option<(CapId, i64, i64)>> {
    let row = sqlx::query!(
        r#"SELECT c.cap_id, c.cap_minor,
                  COALESCE((SELECT sum(a.amount_minor - a.recovered_minor - a.returned_minor) FROM refund_advances a
                            WHERE a.book_id = c.book_id AND a.currency = c.currency AND a.recovered_minor + a.returned_minor < a.amount_minor),
                           0)::bigint AS "owed_minor!"
           FROM advance_caps c
           WHERE c.book_id = $1 AND c.currency = $2 AND c.status = 'APPROVED'
           ORDER BY c.cap_no DESC
           LIMIT 1"#,
        merchant.0,
        currency.as_str()
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|r| (CapId(r.cap_id), r.cap_minor, r.owed_minor)))
}

/// What a merchant owes and must keep: one statement, so all is seen at one moment.
pub async fn claims_in_tx(tx: &mut PgConnection, merchant: MerchantId, currency: Currency) -> sqlx::Result<Claims> {
    let row = sqlx::query!(
        r#"SELECT COALESCE((SELECT sum(a.amount_minor - a.recovered_minor - a.returned_minor) FROM refund_advances a
                            WHERE a.book_id = $1 AND a.currency = $2 AND a.recovered_minor + a.returned_minor < a.amount_minor),
                           0)::bigint AS "owed_minor!",
                  COALESCE((SELECT sum(r.amount_minor - r.fee_minor) FROM refunds r
                            WHERE r.book_id = $1 AND r.currency = $2 AND r.status = 'GATHERING'), 0)::bigint AS "gathering_minor!",
                  COALESCE((SELECT -sum(p.balance_minor) FROM books b JOIN accounts p USING (book_id)
                            WHERE b.owner_id = $1 AND p.kind = 'MERCHANT_PENDING' AND p.subject = '' AND p.currency = $2), 0)::bigint
                      AS "pending_minor!""#,
        merchant.0,
        currency.as_str()
    )
    .fetch_one(tx)
    .await?;
    Ok(Claims { owed_minor: row.owed_minor, gathering_minor: row.gathering_minor, pending_minor: row.pending_minor })
}

/// Where merchants stand, in the order asked for. One statement.
pub async fn standings(db: &PgPool, merchants: &[MerchantId], currency: Currency) -> sqlx::Result<Vec<Standing>> {
    let books: Vec<Uuid> = merchants.iter().map(|m| m.0).collect();
    let rows = sqlx::query!(
        r#"SELECT w.book_id AS "book_id!",
                  COALESCE((SELECT sum(a.amount_minor - a.recovered_minor - a.returned_minor) FROM refund_advances a
                            WHERE a.book_id = w.book_id AND a.currency = $2 AND a.recovered_minor + a.returned_minor < a.amount_minor),
                           0)::bigint AS "owed_minor!",
                  COALESCE((SELECT c.cap_minor FROM advance_caps c
                            WHERE c.book_id = w.book_id AND c.currency = $2 AND c.status = 'APPROVED'
                            ORDER BY c.cap_no DESC LIMIT 1), 0) AS "cap_minor!",
                  COALESCE((SELECT sum(r.amount_minor - r.fee_minor) FROM refunds r
                            WHERE r.book_id = w.book_id AND r.currency = $2 AND r.status = 'GATHERING'), 0)::bigint AS "gathering_minor!",
                  COALESCE((SELECT -sum(p.balance_minor) FROM books b JOIN accounts p USING (book_id)
                            WHERE b.owner_id = w.book_id AND p.kind = 'MERCHANT_PENDING' AND p.subject = '' AND p.currency = $2), 0)::bigint
                      AS "pending_minor!",
                  COALESCE((SELECT sum(-v.balance_minor - v.held_minor) FROM books b JOIN accounts v USING (book_id)
                            WHERE b.owner_id = w.book_id AND v.kind = 'MERCHANT_AVAILABLE' AND v.subject = '' AND v.currency = $2), 0)::bigint
                      AS "available_minor!"
           FROM UNNEST($1::uuid[]) WITH ORDINALITY AS w (book_id, place)
           ORDER BY w.place"#,
        &books,
        currency.as_str()
    )
    .fetch_all(db)
    .await?;
    let money = |minor| Money { minor, currency };
    let standings = rows.into_iter().map(|r| {
        let claims = Claims { owed_minor: r.owed_minor, gathering_minor: r.gathering_minor, pending_minor: r.pending_minor };
        Standing {
            merchant: MerchantId(r.book_id),
            debt: money(r.owed_minor),
            cap: money(r.cap_minor),
            kept: money(claims.kept_minor().min(r.available_minor.max(0))),
            withdrawable: money(claims.withdrawable_minor(r.available_minor)),
        }
    });
    Ok(standings.collect())
}

/// Merchants that owe something, those before the given one, the newest first.
pub async fn indebted(db: &PgPool, before: Option<MerchantId>, currency: Currency, limit: i64) -> sqlx::Result<Vec<MerchantId>> {
    let books = sqlx::query_scalar!(
        "SELECT DISTINCT book_id FROM refund_advances
         WHERE recovered_minor + returned_minor < amount_minor AND book_id < $1 AND currency = $2
         ORDER BY book_id DESC
         LIMIT $3",
        before.map_or(Uuid::max(), |merchant| merchant.0),
        currency.as_str(),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(books.into_iter().map(MerchantId).collect())
}

/// A cap as it lies in its table.
struct CapRow {
    book_id: Uuid,
    cap_id: Uuid,
    cap_minor: i64,
    currency: Currency,
    status: CapStatus,
    proposed_by: Uuid,
    proposed_at: DateTime<Utc>,
    decided_by: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<CapRow> for Cap {
    fn from(r: CapRow) -> Self {
        Self {
            id: CapId(r.cap_id),
            merchant: MerchantId(r.book_id),
            amount: Money { minor: r.cap_minor, currency: r.currency },
            status: r.status,
            proposed_by: UserId(r.proposed_by),
            proposed_at: r.proposed_at,
            decided_by: r.decided_by.map(UserId),
            decided_at: r.decided_at,
        }
    }
}

/// Whether a merchant has a wallet.
pub async fn has_book_in_tx(tx: &mut PgConnection, merchant: MerchantId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!("SELECT book_id FROM books WHERE book_id = $1 AND kind = 'MERCHANT' AND owner_id = $1", merchant.0);
    Ok(found.fetch_optional(tx).await?.is_some())
}

/// Writes a proposed cap under the next number. False: another waits for a second person.
pub async fn insert_cap_in_tx(tx: &mut PgConnection, cap: &Cap) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO advance_caps (book_id, cap_id, cap_no, cap_minor, currency, status, proposed_by, proposed_at)
         VALUES ($1, $2, (SELECT COALESCE(max(c.cap_no), 0) + 1 FROM advance_caps c WHERE c.book_id = $1), $3, $4, 'PROPOSED', $5, $6)
         ON CONFLICT DO NOTHING",
        cap.merchant.0,
        cap.id.0,
        cap.amount.minor,
        cap.amount.currency.as_str(),
        cap.proposed_by.0,
        cap.proposed_at
    )
    .execute(tx)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// One cap, locked.
pub async fn lock_cap_in_tx(tx: &mut PgConnection, merchant: MerchantId, cap: CapId) -> sqlx::Result<Option<Cap>> {
    let row = sqlx::query_as!(
        CapRow,
        r#"SELECT book_id, cap_id, cap_minor, currency AS "currency: Currency", status AS "status: CapStatus", proposed_by, proposed_at, decided_by,
                  decided_at
           FROM advance_caps
           WHERE book_id = $1 AND cap_id = $2
           FOR UPDATE"#,
        merchant.0,
        cap.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Cap::from))
}

pub async fn decide_cap_in_tx(tx: &mut PgConnection, cap: &Cap) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE advance_caps SET status = $3, decided_by = $4, decided_at = $5 WHERE book_id = $1 AND cap_id = $2",
        cap.merchant.0,
        cap.id.0,
        cap.status.as_str(),
        cap.decided_by.map(|user| user.0),
        cap.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The cap of a merchant that waits for a second person.
pub async fn proposed_cap(db: &PgPool, merchant: MerchantId) -> sqlx::Result<Option<Cap>> {
    let row = sqlx::query_as!(
        CapRow,
        r#"SELECT book_id, cap_id, cap_minor, currency AS "currency: Currency", status AS "status: CapStatus", proposed_by, proposed_at, decided_by,
                  decided_at
           FROM advance_caps
           WHERE book_id = $1 AND status = 'PROPOSED'"#,
        merchant.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Cap::from))
}
