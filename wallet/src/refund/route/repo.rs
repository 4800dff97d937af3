//! SQL of the ways of refunds and of those whom they are paid to. Rows are locked after their refunds.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Gathering, Rerouting, Route, RouteKind, RouteStatus};
use crate::base::id::{BookId, MerchantId, OrderId, RefundId, UserId};
use crate::base::money::{Currency, Money};
use crate::refund::payee::Payee;

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    route_id: Uuid,
    refund_id: Uuid,
    try_no: i16,
    kind: RouteKind,
    reason: Option<Rerouting>,
    channel: String,
    payee_id: Option<Uuid>,
    status: RouteStatus,
    error_code: Option<String>,
    bank_reference: Option<String>,
    stated_minor: Option<i64>,
    stated_currency: Option<String>,
    created_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
}

impl From<Row> for Route {
    fn from(r: Row) -> Self {
        Self {
            id: r.route_id,
            merchant: MerchantId(r.book_id),
            refund: RefundId(r.refund_id),
            try_no: r.try_no,
            kind: r.kind,
            reason: r.reason,
            channel: r.channel,
            payee: r.payee_id,
            status: r.status,
            error_code: r.error_code,
            bank_reference: r.bank_reference,
            stated: r.stated_minor.zip(r.stated_currency),
            created_at: r.created_at,
            resolved_at: r.resolved_at,
        }
    }
}

/// Writes the next try of a locked refund.
pub async fn insert_in_tx(tx: &mut PgConnection, route: &Route) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refund_routes (book_id, route_id, refund_id, try_no, kind, reason, channel, payee_id, status, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        route.merchant.0,
        route.id,
        route.refund.0,
        route.try_no,
        route.kind.as_str(),
        route.reason.map(Rerouting::as_str),
        route.channel,
        route.payee,
        route.status.as_str(),
        route.created_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The tries of refunds, oldest first within a refund.
pub async fn of_refunds(db: impl PgExecutor<'_>, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<Route>> {
    let (books, ids) = columns(refunds);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT t.book_id, t.route_id, t.refund_id, t.try_no, t.kind AS "kind: RouteKind", t.reason AS "reason: Rerouting", t.channel, t.payee_id,
                  t.status AS "status: RouteStatus", t.error_code, t.bank_reference, t.stated_minor, t.stated_currency, t.created_at, t.resolved_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
           JOIN refund_routes t ON t.book_id = wanted.book_id AND t.refund_id = wanted.refund_id
           ORDER BY t.book_id, t.refund_id, t.try_no"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Route::from).collect())
}

/// The refunds and orders that tries belong to. Read before they are locked: a try never changes its refund.
pub async fn orders_of_in_tx(tx: &mut PgConnection, routes: &[(BookId, Uuid)]) -> sqlx::Result<Vec<(BookId, OrderId)>> {
    let (books, ids) = split(routes);
    let rows = sqlx::query!(
        "SELECT DISTINCT r.book_id, r.order_id
         FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, route_id)
         JOIN refund_routes t ON t.book_id = wanted.book_id AND t.route_id = wanted.route_id
         JOIN refunds r ON r.book_id = t.book_id AND r.refund_id = t.refund_id",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), OrderId(r.order_id))).collect())
}

/// Tries of locked refunds, locked too.
pub async fn lock_in_tx(tx: &mut PgConnection, routes: &[(BookId, Uuid)]) -> sqlx::Result<Vec<Route>> {
    let (books, ids) = split(routes);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT t.book_id, t.route_id, t.refund_id, t.try_no, t.kind AS "kind: RouteKind", t.reason AS "reason: Rerouting", t.channel, t.payee_id,
                  t.status AS "status: RouteStatus", t.error_code, t.bank_reference, t.stated_minor, t.stated_currency, t.created_at, t.resolved_at
           FROM refund_routes t
           WHERE (t.book_id, t.route_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY t.book_id, t.route_id
           FOR NO KEY UPDATE OF t"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Route::from).collect())
}

/// What became of a try.
#[derive(Clone, Debug)]
pub struct Ended {
    pub book: BookId,
    pub route: Uuid,
    pub status: RouteStatus,
    pub error_code: Option<String>,
    pub bank_reference: Option<String>,
    pub stated: Option<(i64, String)>,
    /// None while it is under way.
    pub at: Option<DateTime<Utc>>,
}

/// Writes what became of tries of locked refunds; those that were never written stay so. One statement.
pub async fn update_in_tx(tx: &mut PgConnection, ended: &[Ended]) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = ended.iter().map(|e| e.book.0).collect();
    let ids: Vec<Uuid> = ended.iter().map(|e| e.route).collect();
    let statuses: Vec<&str> = ended.iter().map(|e| e.status.as_str()).collect();
    let codes: Vec<Option<&str>> = ended.iter().map(|e| e.error_code.as_deref()).collect();
    let references: Vec<Option<&str>> = ended.iter().map(|e| e.bank_reference.as_deref()).collect();
    let minors: Vec<Option<i64>> = ended.iter().map(|e| e.stated.as_ref().map(|(minor, _)| *minor)).collect();
    let currencies: Vec<Option<&str>> = ended.iter().map(|e| e.stated.as_ref().map(|(_, currency)| currency.as_str())).collect();
    let times: Vec<Option<DateTime<Utc>>> = ended.iter().map(|e| e.at).collect();
    sqlx::query!(
        "UPDATE refund_routes t
         SET status = c.status, error_code = COALESCE(c.error_code, t.error_code), bank_reference = COALESCE(c.bank_reference, t.bank_reference),
             stated_minor = COALESCE(c.stated_minor, t.stated_minor), stated_currency = COALESCE(c.stated_currency, t.stated_currency),
             resolved_at = c.resolved_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[])
              AS c (book_id, route_id, status, error_code, bank_reference, stated_minor, stated_currency, resolved_at)
         WHERE t.book_id = c.book_id AND t.route_id = c.route_id",
        &books,
        &ids,
        &statuses as &[&str],
        &codes as &[Option<&str>],
        &references as &[Option<&str>],
        &minors as &[Option<i64>],
        &currencies as &[Option<&str>],
        &times as &[Option<DateTime<Utc>>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes a proposal for a locked refund.
pub async fn insert_payee_in_tx(tx: &mut PgConnection, payee: &Payee, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refund_payees (book_id, payee_id, refund_id, sealed, holder_mask, account_tail, proposed_by, proposed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        payee.merchant.0,
        payee.id,
        payee.refund.0,
        sealed,
        payee.holder_mask,
        payee.account_tail,
        payee.proposed_by.0,
        payee.proposed_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn approve_payee_in_tx(tx: &mut PgConnection, book: BookId, payee: Uuid, by: UserId, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE refund_payees SET approved_by = $3, approved_at = $4 WHERE book_id = $1 AND payee_id = $2 AND approved_by IS NULL",
        book.0,
        payee,
        by.0,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The payees of refunds, oldest first within a refund.
pub async fn payees_of(db: impl PgExecutor<'_>, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<Payee>> {
    let (books, ids) = columns(refunds);
    let rows = sqlx::query!(
        "SELECT p.book_id, p.payee_id, p.refund_id, p.holder_mask, p.account_tail, p.proposed_by, p.proposed_at, p.approved_by, p.approved_at
         FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
         JOIN refund_payees p ON p.book_id = wanted.book_id AND p.refund_id = wanted.refund_id
         ORDER BY p.book_id, p.refund_id, p.proposed_at, p.payee_id",
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    let payees = rows.into_iter().map(|r| Payee {
        id: r.payee_id,
        merchant: MerchantId(r.book_id),
        refund: RefundId(r.refund_id),
        holder_mask: r.holder_mask,
        account_tail: r.account_tail,
        proposed_by: UserId(r.proposed_by),
        proposed_at: r.proposed_at,
        approved_by: r.approved_by.map(UserId),
        approved_at: r.approved_at,
    });
    Ok(payees.collect())
}

/// The approved payee of a locked refund that no try has gone to.
pub async fn next_payee_in_tx(tx: &mut PgConnection, book: BookId, refund: RefundId) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "SELECT p.payee_id FROM refund_payees p
         WHERE p.book_id = $1 AND p.refund_id = $2 AND p.approved_at IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM refund_routes t WHERE t.book_id = p.book_id AND t.refund_id = p.refund_id AND t.payee_id = p.payee_id)
         ORDER BY p.approved_at DESC
         LIMIT 1",
        book.0,
        refund.0
    )
    .fetch_optional(tx)
    .await
}

/// A payee as it lies sealed.
pub async fn sealed_payee(db: &PgPool, book: BookId, payee: Uuid) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT sealed FROM refund_payees WHERE book_id = $1 AND payee_id = $2", book.0, payee).fetch_optional(db).await
}

/// How far what refunds wait for has come back, of those that have a return.
pub async fn gatherings(db: impl PgExecutor<'_>, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<(RefundId, Gathering)>> {
    let (books, ids) = columns(refunds);
    let rows = sqlx::query!(
        r#"SELECT b.reference_id, b.amount_minor, b.own_minor, b.currency AS "currency: Currency", NOT EXISTS (SELECT 1 FROM split_return_lines o
                              WHERE o.book_id = b.book_id AND o.return_id = b.return_id AND o.status IN ('WAIT', 'SENT')) AS "done!",
                  COALESCE((SELECT sum(p.amount_minor)
                            FROM split_return_lines p
                            JOIN split_lines l ON l.book_id = p.book_id AND l.line_id = p.line_id
                            WHERE p.book_id = b.book_id AND p.return_id = b.return_id AND p.status IN ('HELD', 'RETURNED') AND l.parent_line_id IS NULL), 0)::bigint
                      AS "back_minor!"
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
           JOIN split_returns b ON b.book_id = wanted.book_id AND b.reference_id = wanted.refund_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let of = |minor| Money { minor, currency: r.currency };
            (RefundId(r.reference_id), Gathering { amount: of(r.amount_minor), arrived: of(r.own_minor + r.back_minor), done: r.done })
        })
        .collect())
}

/// What receivers gave back for a refund that came to nothing stays with the merchant: its return becomes one that nobody waits for, so that
/// the next plan counts what it brought as the merchant's own. One statement.
pub async fn keep_returned_in_tx(tx: &mut PgConnection, refunds: &[(BookId, RefundId)]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = refunds.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|(_, r)| r.0).collect();
    sqlx::query!(
        "UPDATE split_returns SET reference_id = return_id WHERE (book_id, reference_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn columns(refunds: &[(MerchantId, RefundId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    refunds.iter().map(|(merchant, refund)| (merchant.0, refund.0)).unzip()
}

fn split(routes: &[(BookId, Uuid)]) -> (Vec<Uuid>, Vec<Uuid>) {
    routes.iter().map(|(book, route)| (book.0, *route)).unzip()
}
