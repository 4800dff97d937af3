//! SQL of orders. Locks: orders by (book, order), before attempts, before refunds, before ledger accounts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Escrow, Order, OrderCursor, OrderStatus};
use crate::base::id::{BookId, MerchantId, OrderId, ProgrammeId, StoreId};
use crate::base::money::{Currency, Money};
use crate::product::{Frozen, Terms};
use crate::subsidy::reservation::Subsidy;

/// What a merchant's contract says about a new order.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    pub signed: bool,
    pub fee_bps: i32,
    /// How many stripes the merchant's money is spread over.
    pub stripes: i16,
    pub store_exists: bool,
}

/// Reads the contracts and whether the stores are the merchants'. One statement; merchants that do not exist are left out.
pub async fn contracts_in_tx(
    tx: &mut PgConnection,
    stores: &[(MerchantId, StoreId)],
) -> sqlx::Result<HashMap<(MerchantId, StoreId), Contract>> {
    let merchants: Vec<Uuid> = stores.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = stores.iter().map(|(_, s)| s.0).collect();
    let rows = sqlx::query!(
        r#"SELECT w.merchant_id AS "merchant_id!", w.store_id AS "store_id!", m.status = 'SIGNED' AS "signed!", m.fee_bps,
                  COALESCE(b.stripes, 1::smallint) AS "stripes!", s.store_id IS NOT NULL AS "store_exists!"
           FROM UNNEST($1::uuid[], $2::uuid[]) AS w (merchant_id, store_id)
           JOIN merchants m ON m.merchant_id = w.merchant_id
           LEFT JOIN books b ON b.book_id = m.merchant_id
           LEFT JOIN stores s ON s.merchant_id = m.merchant_id AND s.store_id = w.store_id"#,
        &merchants,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let contracts = rows.into_iter().map(|r| {
        let contract = Contract { signed: r.signed, fee_bps: r.fee_bps, stripes: r.stripes, store_exists: r.store_exists };
        ((MerchantId(r.merchant_id), StoreId(r.store_id)), contract)
    });
    Ok(contracts.collect())
}

/// Writes new orders. One statement.
pub async fn insert_in_tx(tx: &mut PgConnection, orders: &[Order]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = orders.iter().map(|o| o.merchant.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|o| o.id.0).collect();
    let stores: Vec<Uuid> = orders.iter().map(|o| o.store.0).collect();
    let subjects: Vec<String> = orders.iter().map(|o| o.subject.clone()).collect();
    let amounts: Vec<i64> = orders.iter().map(|o| o.amount.minor).collect();
    let currencies: Vec<String> = orders.iter().map(|o| o.amount.currency.as_str().to_owned()).collect();
    let fees: Vec<i32> = orders.iter().map(|o| o.fee_bps).collect();
    let statuses: Vec<String> = orders.iter().map(|o| o.status.as_str().to_owned()).collect();
    let stripes: Vec<i16> = orders.iter().map(|o| o.stripe).collect();
    let created: Vec<DateTime<Utc>> = orders.iter().map(|o| o.created_at).collect();
    let expiring: Vec<DateTime<Utc>> = orders.iter().map(|o| o.expires_at).collect();
    let products: Vec<String> = orders.iter().map(|o| o.product.code.clone()).collect();
    let versions: Vec<i32> = orders.iter().map(|o| o.product.version).collect();
    // what was made before there were products had no terms written down
    let terms: Vec<Option<Json<&Terms>>> = orders.iter().map(|o| (o.product.version > 0).then_some(Json(&o.product.terms))).collect();
    let programmes: Vec<Option<Uuid>> = orders.iter().map(|o| o.subsidy.map(|subsidy| subsidy.programme.0)).collect();
    let subsidies: Vec<i64> = orders.iter().map(|o| o.subsidy().minor).collect();
    sqlx::query!(
        "INSERT INTO orders (book_id, order_id, store_id, subject, amount_minor, currency, fee_bps, status, stripe, created_at, expires_at,
                             product_code, product_version, terms, programme_id, subsidy_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::integer[], $8::text[],
                              $9::smallint[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::integer[], $14::jsonb[], $15::uuid[],
                              $16::bigint[])",
        &books,
        &ids,
        &stores,
        &subjects,
        &amounts,
        &currencies,
        &fees,
        &statuses,
        &stripes,
        &created,
        &expiring,
        &products,
        &versions,
        &terms as &[Option<Json<&Terms>>],
        &programmes as &[Option<Uuid>],
        &subsidies
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    order_id: Uuid,
    store_id: Uuid,
    subject: String,
    amount_minor: i64,
    currency: Currency,
    fee_bps: i32,
    status: OrderStatus,
    stripe: i16,
    refunded_minor: i64,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    paid_at: Option<DateTime<Utc>>,
    closed_at: Option<DateTime<Utc>>,
    product_code: String,
    product_version: i32,
    terms: Option<Json<Terms>>,
    funded_minor: i64,
    released_minor: i64,
    returned_minor: i64,
    release_at: Option<DateTime<Utc>>,
    programme_id: Option<Uuid>,
    subsidy_minor: i64,
}

impl From<Row> for Order {
    fn from(r: Row) -> Self {
        Self {
            id: OrderId(r.order_id),
            merchant: MerchantId(r.book_id),
            store: StoreId(r.store_id),
            subject: r.subject,
            amount: Money { minor: r.amount_minor, currency: r.currency },
            fee_bps: r.fee_bps,
            status: r.status,
            stripe: r.stripe,
            refunded: Money { minor: r.refunded_minor, currency: r.currency },
            created_at: r.created_at,
            expires_at: r.expires_at,
            paid_at: r.paid_at,
            closed_at: r.closed_at,
            product: Frozen {
                code: r.product_code,
                version: r.product_version,
                terms: r.terms.map_or_else(Terms::default, |terms| terms.0),
            },
            escrow: Escrow {
                funded_minor: r.funded_minor,
                released_minor: r.released_minor,
                returned_minor: r.returned_minor,
                release_at: r.release_at,
            },
            subsidy: r.programme_id.map(|programme| Subsidy { programme: ProgrammeId(programme), minor: r.subsidy_minor }),
        }
    }
}

pub async fn page(db: &PgPool, book: BookId, before: Option<OrderCursor>, limit: i64) -> sqlx::Result<Vec<Order>> {
    // a first page begins after everything, so that one statement with one plan serves all pages
    let end_of_time = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (before_at, before_id) = before.map_or((end_of_time, Uuid::max()), |(at, id)| (at, id.0));
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, order_id, store_id, subject, amount_minor, currency AS "currency: Currency", fee_bps,
                  status AS "status: OrderStatus", stripe, refunded_minor, created_at, expires_at, paid_at, closed_at,
                  product_code, product_version, terms AS "terms: Json<Terms>", funded_minor, released_minor, returned_minor, release_at,
                  programme_id, subsidy_minor
           FROM orders
           WHERE book_id = $1 AND (created_at, order_id) < ($2, $3::uuid)
           ORDER BY created_at DESC, order_id DESC
           LIMIT $4"#,
        book.0,
        before_at,
        before_id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Order::from).collect())
}

pub async fn by_ids(db: &PgPool, ids: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Order>> {
    let books: Vec<Uuid> = ids.iter().map(|(m, _)| m.0).collect();
    let orders: Vec<Uuid> = ids.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT o.book_id, o.order_id, o.store_id, o.subject, o.amount_minor, o.currency AS "currency: Currency", o.fee_bps,
                  o.status AS "status: OrderStatus", o.stripe, o.refunded_minor, o.created_at, o.expires_at, o.paid_at, o.closed_at,
                  o.product_code, o.product_version, o.terms AS "terms: Json<Terms>", o.funded_minor, o.released_minor, o.returned_minor, o.release_at,
                  o.programme_id, o.subsidy_minor
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN orders o ON o.book_id = wanted.book_id AND o.order_id = wanted.order_id"#,
        &books,
        &orders
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Order::from).collect())
}

/// Locks orders in one order, whatever the order asked in, and gives them as they are now. What is read beside them must be read by a
/// later statement.
pub async fn lock_in_tx(tx: &mut PgConnection, ids: &[(BookId, OrderId)]) -> sqlx::Result<Vec<Order>> {
    let books: Vec<Uuid> = ids.iter().map(|(b, _)| b.0).collect();
    let orders: Vec<Uuid> = ids.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, order_id, store_id, subject, amount_minor, currency AS "currency: Currency", fee_bps,
                  status AS "status: OrderStatus", stripe, refunded_minor, created_at, expires_at, paid_at, closed_at,
                  product_code, product_version, terms AS "terms: Json<Terms>", funded_minor, released_minor, returned_minor, release_at,
                  programme_id, subsidy_minor
           FROM orders
           WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY book_id, order_id
           FOR UPDATE"#,
        &books,
        &orders
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Order::from).collect())
}

/// Writes what may change of locked orders: state, its times, what was refunded, and what is held. One statement.
pub async fn update_in_tx(tx: &mut PgConnection, orders: &[Order]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = orders.iter().map(|o| o.merchant.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|o| o.id.0).collect();
    let statuses: Vec<String> = orders.iter().map(|o| o.status.as_str().to_owned()).collect();
    let refunded: Vec<i64> = orders.iter().map(|o| o.refunded.minor).collect();
    let paid: Vec<Option<DateTime<Utc>>> = orders.iter().map(|o| o.paid_at).collect();
    let closed: Vec<Option<DateTime<Utc>>> = orders.iter().map(|o| o.closed_at).collect();
    let funded: Vec<i64> = orders.iter().map(|o| o.escrow.funded_minor).collect();
    let released: Vec<i64> = orders.iter().map(|o| o.escrow.released_minor).collect();
    let returned: Vec<i64> = orders.iter().map(|o| o.escrow.returned_minor).collect();
    let due: Vec<Option<DateTime<Utc>>> = orders.iter().map(|o| o.escrow.release_at).collect();
    sqlx::query!(
        "UPDATE orders o
         SET status = c.status, refunded_minor = c.refunded_minor, paid_at = c.paid_at, closed_at = c.closed_at,
             funded_minor = c.funded_minor, released_minor = c.released_minor, returned_minor = c.returned_minor, release_at = c.release_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::timestamptz[])
              AS c (book_id, order_id, status, refunded_minor, paid_at, closed_at, funded_minor, released_minor, returned_minor, release_at)
         WHERE o.book_id = c.book_id AND o.order_id = c.order_id",
        &books,
        &ids,
        &statuses,
        &refunded,
        &paid as &[Option<DateTime<Utc>>],
        &closed as &[Option<DateTime<Utc>>],
        &funded,
        &released,
        &returned,
        &due as &[Option<DateTime<Utc>>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Orders that nobody is paying, that reserve some of a budget, and whose time is over; the earliest first.
pub async fn reserving_overdue(db: &PgPool, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<(BookId, OrderId)>> {
    let rows = sqlx::query!(
        "SELECT book_id, order_id FROM orders
         WHERE reserved_until <= $1
         ORDER BY reserved_until, order_id
         LIMIT $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), OrderId(r.order_id))).collect())
}
