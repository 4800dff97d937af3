//! SQL of what messages tell about: orders, refunds and withdrawals as they stand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::base::id::{BookId, OrderId, StoreId};
use crate::base::money::{Currency, Money};
use crate::order::OrderStatus;
use crate::refund::RefundStatus;
use crate::webhook::rules::Noun;
use crate::withdrawal::WithdrawalStatus;

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
pub async fn subjects(tx: &mut PgConnection, of: &[(Noun, BookId, Uuid)]) -> sqlx::Result<Subjects> {
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
pub async fn times(tx: &mut PgConnection, events: &[(BookId, Uuid)]) -> sqlx::Result<HashMap<(BookId, Uuid), DateTime<Utc>>> {
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
