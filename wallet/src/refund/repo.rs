//! SQL of refunds. Rows of refunds are locked after their orders.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::route::{Rerouting, RouteKind};
use super::{Refund, RefundStatus};
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, RefundId, UserId};
use crate::base::money::{Currency, Money};
use crate::ledger::{AccountKind, PostingKind};

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    refund_id: Uuid,
    order_id: Uuid,
    attempt_id: Uuid,
    amount_minor: i64,
    currency: Currency,
    fee_minor: i64,
    reason: String,
    status: RefundStatus,
    error_code: Option<String>,
    requested_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    funded: bool,
    funded_at: Option<DateTime<Utc>>,
    route: RouteKind,
    rerouted_for: Option<Rerouting>,
    subsidy_minor: i64,
    subsidy_returned: bool,
}

impl From<Row> for Refund {
    fn from(r: Row) -> Self {
        Self {
            id: RefundId(r.refund_id),
            merchant: MerchantId(r.book_id),
            order: OrderId(r.order_id),
            attempt: AttemptId(r.attempt_id),
            amount: Money { minor: r.amount_minor, currency: r.currency },
            fee_back: Money { minor: r.fee_minor, currency: r.currency },
            reason: r.reason,
            status: r.status,
            error_code: r.error_code,
            requested_by: r.requested_by.map(UserId),
            created_at: r.created_at,
            sent_at: r.sent_at,
            resolved_at: r.resolved_at,
            funded: r.funded,
            funded_at: r.funded_at,
            route: r.route,
            rerouted_for: r.rerouted_for,
            subsidy_minor: r.subsidy_minor,
            subsidy_returned: r.subsidy_returned,
        }
    }
}

/// Writes new refunds. One statement.
pub async fn insert_in_tx(tx: &mut PgConnection, refunds: &[Refund]) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = refunds.iter().map(|r| r.merchant.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|r| r.id.0).collect();
    let orders: Vec<Uuid> = refunds.iter().map(|r| r.order.0).collect();
    let attempts: Vec<Uuid> = refunds.iter().map(|r| r.attempt.0).collect();
    let amounts: Vec<i64> = refunds.iter().map(|r| r.amount.minor).collect();
    let currencies: Vec<String> = refunds.iter().map(|r| r.amount.currency.as_str().to_owned()).collect();
    let fees: Vec<i64> = refunds.iter().map(|r| r.fee_back.minor).collect();
    let reasons: Vec<String> = refunds.iter().map(|r| r.reason.clone()).collect();
    let statuses: Vec<String> = refunds.iter().map(|r| r.status.as_str().to_owned()).collect();
    let requesters: Vec<Option<Uuid>> = refunds.iter().map(|r| r.requested_by.map(|u| u.0)).collect();
    let times: Vec<DateTime<Utc>> = refunds.iter().map(|r| r.created_at).collect();
    let funded: Vec<bool> = refunds.iter().map(|r| r.funded).collect();
    let subsidies: Vec<i64> = refunds.iter().map(|r| r.subsidy_minor).collect();
    sqlx::query!(
        "INSERT INTO refunds (book_id, refund_id, order_id, attempt_id, amount_minor, currency, fee_minor, reason, status, requested_by, created_at,
                              funded, subsidy_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::text[],
                              $10::uuid[], $11::timestamptz[], $12::boolean[], $13::bigint[])",
        &books,
        &ids,
        &orders,
        &attempts,
        &amounts,
        &currencies,
        &fees,
        &reasons,
        &statuses,
        &requesters as &[Option<Uuid>],
        &times,
        &funded,
        &subsidies
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Refunds of orders, oldest first within an order.
pub async fn of_orders(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Refund>> {
    let books: Vec<Uuid> = orders.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT r.book_id, r.refund_id, r.order_id, r.attempt_id, r.amount_minor, r.currency AS "currency: Currency", r.fee_minor, r.reason,
                  r.status AS "status: RefundStatus", r.error_code, r.requested_by, r.created_at, r.sent_at, r.resolved_at,
                  r.funded, r.funded_at, r.route AS "route: RouteKind", r.rerouted_for AS "rerouted_for: Rerouting",
                  r.subsidy_minor, r.subsidy_returned
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN refunds r ON r.book_id = wanted.book_id AND r.order_id = wanted.order_id
           ORDER BY r.created_at, r.refund_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Refund::from).collect())
}

pub async fn by_ids(db: &PgPool, refunds: &[(MerchantId, RefundId)]) -> sqlx::Result<Vec<Refund>> {
    let books: Vec<Uuid> = refunds.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|(_, r)| r.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT r.book_id, r.refund_id, r.order_id, r.attempt_id, r.amount_minor, r.currency AS "currency: Currency", r.fee_minor, r.reason,
                  r.status AS "status: RefundStatus", r.error_code, r.requested_by, r.created_at, r.sent_at, r.resolved_at,
                  r.funded, r.funded_at, r.route AS "route: RouteKind", r.rerouted_for AS "rerouted_for: Rerouting",
                  r.subsidy_minor, r.subsidy_returned
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, refund_id)
           JOIN refunds r ON r.book_id = wanted.book_id AND r.refund_id = wanted.refund_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Refund::from).collect())
}

/// The attempt that paid a locked order, and the refunds on it.
pub async fn of_payment_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Option<(AttemptId, Vec<Refund>)>> {
    let paying = sqlx::query_scalar!(
        "SELECT attempt_id FROM payment_attempts WHERE book_id = $1 AND order_id = $2 AND status = 'SUCCEEDED' AND NOT surplus",
        book.0,
        order.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(attempt) = paying else { return Ok(None) };
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, refund_id, order_id, attempt_id, amount_minor, currency AS "currency: Currency", fee_minor, reason,
                  status AS "status: RefundStatus", error_code, requested_by, created_at, sent_at, resolved_at,
                  funded, funded_at, route AS "route: RouteKind", rerouted_for AS "rerouted_for: Rerouting",
                  subsidy_minor, subsidy_returned
           FROM refunds
           WHERE book_id = $1 AND order_id = $2 AND attempt_id = $3
           ORDER BY created_at, refund_id"#,
        book.0,
        order.0,
        attempt
    )
    .fetch_all(tx)
    .await?;
    Ok(Some((AttemptId(attempt), rows.into_iter().map(Refund::from).collect())))
}

/// The orders that refunds belong to. Read before they are locked: a refund never changes its order.
pub async fn orders_of_in_tx(tx: &mut PgConnection, refunds: &[(BookId, RefundId)]) -> sqlx::Result<Vec<(BookId, OrderId)>> {
    let books: Vec<Uuid> = refunds.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|(_, r)| r.0).collect();
    let rows = sqlx::query!(
        "SELECT DISTINCT book_id, order_id FROM refunds WHERE (book_id, refund_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), OrderId(r.order_id))).collect())
}

/// A refund of a locked order, and what its attempt says about it.
pub struct Open {
    pub refund: Refund,
    pub channel: String,
    /// It gives back money that should not have been paid.
    pub surplus: bool,
    pub paid_at: Option<DateTime<Utc>>,
}

/// A refund with what its attempt says about it, as they lie in their tables.
struct OpenRow {
    book_id: Uuid,
    refund_id: Uuid,
    order_id: Uuid,
    attempt_id: Uuid,
    amount_minor: i64,
    currency: Currency,
    fee_minor: i64,
    reason: String,
    status: RefundStatus,
    error_code: Option<String>,
    requested_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    funded: bool,
    funded_at: Option<DateTime<Utc>>,
    route: RouteKind,
    rerouted_for: Option<Rerouting>,
    subsidy_minor: i64,
    subsidy_returned: bool,
    channel: String,
    surplus: bool,
    paid_at: Option<DateTime<Utc>>,
}

impl From<OpenRow> for Open {
    fn from(r: OpenRow) -> Self {
        let row = Row {
            book_id: r.book_id,
            refund_id: r.refund_id,
            order_id: r.order_id,
            attempt_id: r.attempt_id,
            amount_minor: r.amount_minor,
            currency: r.currency,
            fee_minor: r.fee_minor,
            reason: r.reason,
            status: r.status,
            error_code: r.error_code,
            requested_by: r.requested_by,
            created_at: r.created_at,
            sent_at: r.sent_at,
            resolved_at: r.resolved_at,
            funded: r.funded,
            funded_at: r.funded_at,
            route: r.route,
            rerouted_for: r.rerouted_for,
            subsidy_minor: r.subsidy_minor,
            subsidy_returned: r.subsidy_returned,
        };
        Self { refund: row.into(), channel: r.channel, surplus: r.surplus, paid_at: r.paid_at }
    }
}

/// One refund, locked by itself: for what concerns neither its order nor its siblings.
pub async fn lock_one_in_tx(tx: &mut PgConnection, book: BookId, refund: RefundId) -> sqlx::Result<Option<Open>> {
    let row = sqlx::query_as!(
        OpenRow,
        r#"SELECT r.book_id, r.refund_id, r.order_id, r.attempt_id, r.amount_minor, r.currency AS "currency: Currency", r.fee_minor, r.reason,
                  r.status AS "status: RefundStatus", r.error_code, r.requested_by, r.created_at, r.sent_at, r.resolved_at,
                  r.funded, r.funded_at, r.route AS "route: RouteKind", r.rerouted_for AS "rerouted_for: Rerouting",
                  r.subsidy_minor, r.subsidy_returned,
                  a.channel, a.surplus, a.succeeded_at AS paid_at
           FROM refunds r
           JOIN payment_attempts a ON a.book_id = r.book_id AND a.attempt_id = r.attempt_id
           WHERE r.book_id = $1 AND r.refund_id = $2
           FOR UPDATE OF r"#,
        book.0,
        refund.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Open::from))
}

/// All refunds of locked orders, locked too.
pub async fn lock_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<Vec<Open>> {
    let books: Vec<Uuid> = orders.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        OpenRow,
        r#"SELECT r.book_id, r.refund_id, r.order_id, r.attempt_id, r.amount_minor, r.currency AS "currency: Currency", r.fee_minor, r.reason,
                  r.status AS "status: RefundStatus", r.error_code, r.requested_by, r.created_at, r.sent_at, r.resolved_at,
                  r.funded, r.funded_at, r.route AS "route: RouteKind", r.rerouted_for AS "rerouted_for: Rerouting",
                  r.subsidy_minor, r.subsidy_returned,
                  a.channel, a.surplus, a.succeeded_at AS paid_at
           FROM refunds r
           JOIN payment_attempts a ON a.book_id = r.book_id AND a.attempt_id = r.attempt_id
           WHERE (r.book_id, r.order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY r.book_id, r.refund_id
           FOR UPDATE OF r"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Open::from).collect())
}

/// Where a refund's money was taken from, and on which day.
pub struct Taken {
    pub refund: RefundId,
    pub day: NaiveDate,
    /// The accounts and what each gave, in minor units. None: the whole refund came out of the fee.
    pub parts: Vec<(AccountKind, i64)>,
}

/// Reads from the books what refunds took and from where, so that a return is their exact inverse. `refunds` come with the book of their
/// order's money.
pub async fn taken_in_tx(tx: &mut PgConnection, refunds: &[(BookId, RefundId)]) -> sqlx::Result<Vec<Taken>> {
    let books: Vec<Uuid> = refunds.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|(_, r)| PostingKind::Refund.id_for(r.0).0).collect();
    let rows = sqlx::query!(
        r#"SELECT p.reference_id, p.business_date, a.kind AS "account?: AccountKind", e.amount_minor
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, posting_id)
           JOIN postings p ON p.book_id = wanted.book_id AND p.posting_id = wanted.posting_id
           JOIN entries e ON e.book_id = p.book_id AND e.posting_id = p.posting_id
           LEFT JOIN accounts a ON a.book_id = e.book_id AND a.account_id = e.account_id
                AND a.kind IN ('MERCHANT_PENDING', 'MERCHANT_AVAILABLE', 'ESCROW', 'SHARES_DUE', 'MERCHANT_DEBT')
           ORDER BY p.reference_id, e.line"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let mut taken: Vec<Taken> = Vec::new();
    for row in rows {
        let refund = RefundId(row.reference_id);
        if taken.last().is_none_or(|t| t.refund != refund) {
            taken.push(Taken { refund, day: row.business_date, parts: Vec::new() });
        }
        if let (Some(last), Some(account)) = (taken.last_mut(), row.account) {
            last.parts.push((account, row.amount_minor));
        }
    }
    Ok(taken)
}

/// Writes what may change of locked refunds. One statement.
pub async fn update_in_tx(tx: &mut PgConnection, refunds: &[Refund]) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = refunds.iter().map(|r| r.merchant.0).collect();
    let ids: Vec<Uuid> = refunds.iter().map(|r| r.id.0).collect();
    let statuses: Vec<String> = refunds.iter().map(|r| r.status.as_str().to_owned()).collect();
    let codes: Vec<Option<String>> = refunds.iter().map(|r| r.error_code.clone()).collect();
    let sent: Vec<Option<DateTime<Utc>>> = refunds.iter().map(|r| r.sent_at).collect();
    let resolved: Vec<Option<DateTime<Utc>>> = refunds.iter().map(|r| r.resolved_at).collect();
    let funded: Vec<bool> = refunds.iter().map(|r| r.funded).collect();
    let funded_at: Vec<Option<DateTime<Utc>>> = refunds.iter().map(|r| r.funded_at).collect();
    let routes: Vec<&str> = refunds.iter().map(|r| r.route.as_str()).collect();
    let rerouted: Vec<Option<&str>> = refunds.iter().map(|r| r.rerouted_for.map(Rerouting::as_str)).collect();
    let subsidies_returned: Vec<bool> = refunds.iter().map(|r| r.subsidy_returned).collect();
    sqlx::query!(
        "UPDATE refunds r
         SET status = c.status, error_code = c.error_code, sent_at = c.sent_at, resolved_at = c.resolved_at, funded = c.funded,
             funded_at = c.funded_at, route = c.route, rerouted_for = c.rerouted_for, subsidy_returned = c.subsidy_returned
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::boolean[], $8::timestamptz[],
                     $9::text[], $10::text[], $11::boolean[])
              AS c (book_id, refund_id, status, error_code, sent_at, resolved_at, funded, funded_at, route, rerouted_for, subsidy_returned)
         WHERE r.book_id = c.book_id AND r.refund_id = c.refund_id",
        &books,
        &ids,
        &statuses,
        &codes as &[Option<String>],
        &sent as &[Option<DateTime<Utc>>],
        &resolved as &[Option<DateTime<Utc>>],
        &funded,
        &funded_at as &[Option<DateTime<Utc>>],
        &routes as &[&str],
        &rerouted as &[Option<&str>],
        &subsidies_returned
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks a sent refund as unanswered.
pub async fn mark_unknown(db: &PgPool, book: BookId, refund: RefundId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE refunds SET status = 'UNKNOWN' WHERE book_id = $1 AND refund_id = $2 AND status = 'SENT'", book.0, refund.0)
        .execute(db)
        .await?;
    Ok(())
}
