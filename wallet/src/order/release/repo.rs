//! SQL of releases. Read and written under their order's lock.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::rules::{Progress, Side};
use super::{Confirmation, Release};
use crate::base::id::{BookId, MerchantId, OrderId, ReleaseId};
use crate::base::money::{Currency, Money};

/// How far a locked order has come.
pub(super) async fn progress_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Progress> {
    let rows = sqlx::query!(
        r#"SELECT stage AS "stage!", sum(amount_minor)::bigint AS released_minor, NULL::text AS "side: Side"
           FROM order_releases WHERE book_id = $1 AND order_id = $2 GROUP BY stage
           UNION ALL
           SELECT stage, NULL, side FROM order_confirmations WHERE book_id = $1 AND order_id = $2"#,
        book.0,
        order.0
    )
    .fetch_all(tx)
    .await?;
    let mut progress = Progress::default();
    for row in rows {
        progress.confirmed.extend(row.side.map(|side| (row.stage.clone(), side)));
        progress.released.extend(row.released_minor.map(|minor| (row.stage, minor)));
    }
    Ok(progress)
}

/// Writes that a side confirmed a stage.
pub(super) async fn confirm_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    order: OrderId,
    stage: &str,
    side: Side,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO order_confirmations (book_id, order_id, stage, side, confirmed_at) VALUES ($1, $2, $3, $4, $5)",
        book.0,
        order.0,
        stage,
        side.as_str(),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes releases of one order. One statement.
pub(super) async fn insert_in_tx(tx: &mut PgConnection, releases: &[Release]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = releases.iter().map(|r| r.merchant.0).collect();
    let ids: Vec<Uuid> = releases.iter().map(|r| r.id.0).collect();
    let orders: Vec<Uuid> = releases.iter().map(|r| r.order.0).collect();
    let stages: Vec<String> = releases.iter().map(|r| r.stage.clone()).collect();
    let amounts: Vec<i64> = releases.iter().map(|r| r.amount.minor).collect();
    let fees: Vec<i64> = releases.iter().map(|r| r.fee.minor).collect();
    let currencies: Vec<String> = releases.iter().map(|r| r.amount.currency.as_str().to_owned()).collect();
    let people: Vec<Option<Uuid>> = releases.iter().map(|r| r.released_by.map(|u| u.0)).collect();
    let times: Vec<DateTime<Utc>> = releases.iter().map(|r| r.released_at).collect();
    sqlx::query!(
        "INSERT INTO order_releases (book_id, release_id, order_id, stage, amount_minor, fee_minor, currency, released_by, released_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::uuid[], $9::timestamptz[])",
        &books,
        &ids,
        &orders,
        &stages,
        &amounts,
        &fees,
        &currencies,
        &people as &[Option<Uuid>],
        &times
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Releases of orders, oldest first.
pub(super) async fn of_orders(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Release>> {
    let (books, ids) = columns(orders);
    let rows = sqlx::query!(
        r#"SELECT r.book_id, r.release_id, r.order_id, r.stage, r.amount_minor, r.fee_minor, r.currency AS "currency: Currency", r.released_by,
                  r.released_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN order_releases r ON r.book_id = wanted.book_id AND r.order_id = wanted.order_id
           ORDER BY r.released_at, r.release_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    let release = rows.into_iter().map(|r| Release {
        id: ReleaseId(r.release_id),
        merchant: MerchantId(r.book_id),
        order: OrderId(r.order_id),
        stage: r.stage,
        amount: Money { minor: r.amount_minor, currency: r.currency },
        fee: Money { minor: r.fee_minor, currency: r.currency },
        released_by: r.released_by.map(crate::base::id::UserId),
        released_at: r.released_at,
    });
    Ok(release.collect())
}

/// Confirmations of orders, oldest first.
pub(super) async fn confirmations_of(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Confirmation>> {
    let (books, ids) = columns(orders);
    let rows = sqlx::query!(
        r#"SELECT c.book_id, c.order_id, c.stage, c.side AS "side: Side", c.confirmed_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN order_confirmations c ON c.book_id = wanted.book_id AND c.order_id = wanted.order_id
           ORDER BY c.confirmed_at, c.stage, c.side"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    let confirmation = rows.into_iter().map(|c| Confirmation {
        merchant: MerchantId(c.book_id),
        order: OrderId(c.order_id),
        stage: c.stage,
        side: c.side,
        confirmed_at: c.confirmed_at,
    });
    Ok(confirmation.collect())
}

fn columns(orders: &[(MerchantId, OrderId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    (orders.iter().map(|(m, _)| m.0).collect(), orders.iter().map(|(_, o)| o.0).collect())
}

/// Orders of which a part is due, after the given one, the earliest first.
pub(super) async fn due(
    db: &PgPool,
    now: DateTime<Utc>,
    after: Option<(DateTime<Utc>, OrderId)>,
    limit: i64,
) -> sqlx::Result<Vec<(BookId, OrderId, DateTime<Utc>)>> {
    let (after_at, after_id) = after.map_or((DateTime::UNIX_EPOCH, Uuid::nil()), |(at, id)| (at, id.0));
    let rows = sqlx::query!(
        r#"SELECT book_id, order_id, release_at AS "release_at!" FROM orders
           WHERE release_at <= $1 AND (release_at, order_id) > ($2, $3::uuid)
           ORDER BY release_at, order_id
           LIMIT $4"#,
        now,
        after_at,
        after_id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), OrderId(r.order_id), r.release_at)).collect())
}
