//! SQL of payment attempts. Attempts are locked after their orders; a lone attempt may change only from SENT or UNKNOWN.

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::route::Switch;
use super::success::Ended;
use super::{Attempt, AttemptStatus, Freeze};
use crate::base::clock::day_start;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId};
use crate::base::money::{Currency, Money};
use crate::channel::acquirer::{Method, Wallet};

/// A row as it lies in the table.
struct Row {
    book_id: Uuid,
    attempt_id: Uuid,
    order_id: Uuid,
    channel: String,
    amount_minor: i64,
    currency: Currency,
    status: AttemptStatus,
    method: Method,
    wallet: Option<Wallet>,
    candidate: String,
    /// JSON of an invitation.
    invitation: Option<String>,
    channel_transaction_id: Option<String>,
    error_code: Option<String>,
    surplus: bool,
    divisible_minor: Option<i64>,
    frozen_days: Option<i32>,
    sent_at: DateTime<Utc>,
    succeeded_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
}

impl From<Row> for Attempt {
    fn from(r: Row) -> Self {
        Self {
            id: AttemptId(r.attempt_id),
            merchant: MerchantId(r.book_id),
            order: OrderId(r.order_id),
            channel: r.channel,
            amount: Money { minor: r.amount_minor, currency: r.currency },
            status: r.status,
            method: r.method,
            wallet: r.wallet,
            candidate: r.candidate,
            invitation: r.invitation.and_then(|text| serde_json::from_str(&text).ok()),
            transaction_id: r.channel_transaction_id,
            error_code: r.error_code,
            surplus: r.surplus,
            frozen: r
                .divisible_minor
                .zip(r.frozen_days)
                .map(|(divisible_minor, days)| Freeze { divisible_minor, days: u16::try_from(days).unwrap_or(u16::MAX) }),
            sent_at: r.sent_at,
            succeeded_at: r.succeeded_at,
            resolved_at: r.resolved_at,
        }
    }
}

/// Opens attempts of locked orders, one each: the attempts, the router's decisions about them, the numbers the channel will know them by,
/// and the orders' state. One statement.
pub async fn open_in_tx(tx: &mut PgConnection, opened: &[(Attempt, String)]) -> sqlx::Result<()> {
    if opened.is_empty() {
        return Ok(());
    }
    let (attempts, decisions): (Vec<&Attempt>, Vec<&str>) = opened.iter().map(|(attempt, decision)| (attempt, decision.as_str())).unzip();
    let wallets: Vec<Option<&str>> = attempts.iter().map(|a| a.wallet.map(Wallet::as_str)).collect();
    let candidates: Vec<&str> = attempts.iter().map(|a| a.candidate.as_str()).collect();
    let numbers: Vec<String> = attempts.iter().map(|a| a.id.simple()).collect();
    let books: Vec<Uuid> = attempts.iter().map(|a| a.merchant.0).collect();
    let ids: Vec<Uuid> = attempts.iter().map(|a| a.id.0).collect();
    let orders: Vec<Uuid> = attempts.iter().map(|a| a.order.0).collect();
    let channels: Vec<String> = attempts.iter().map(|a| a.channel.clone()).collect();
    let methods: Vec<&str> = attempts.iter().map(|a| a.method.as_str()).collect();
    let amounts: Vec<i64> = attempts.iter().map(|a| a.amount.minor).collect();
    let currencies: Vec<String> = attempts.iter().map(|a| a.amount.currency.as_str().to_owned()).collect();
    let statuses: Vec<String> = attempts.iter().map(|a| a.status.as_str().to_owned()).collect();
    let times: Vec<DateTime<Utc>> = attempts.iter().map(|a| a.sent_at).collect();
    let divisible: Vec<Option<i64>> = attempts.iter().map(|a| a.frozen.map(|f| f.divisible_minor)).collect();
    let frozen_days: Vec<Option<i32>> = attempts.iter().map(|a| a.frozen.map(|f| f.days.into())).collect();
    sqlx::query!(
        "WITH opened AS (
             SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::timestamptz[],
                                  $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::integer[])
                 AS a (request_no, book_id, attempt_id, order_id, channel, amount_minor, currency, status, sent_at, method, wallet, candidate, decision,
                       divisible_minor, frozen_days)
         ), numbered AS (
             INSERT INTO request_numbers (request_no, book_id, kind, subject_id)
             SELECT request_no, book_id, 'PAYMENT', attempt_id FROM opened
         ), paying AS (
             UPDATE orders o SET status = 'PAYING' FROM opened a WHERE o.book_id = a.book_id AND o.order_id = a.order_id
         ), decided AS (
             INSERT INTO payment_decisions (book_id, attempt_id, decision)
             SELECT book_id, attempt_id, decision FROM opened
         )
         INSERT INTO payment_attempts
             (book_id, attempt_id, order_id, channel, amount_minor, currency, status, sent_at, method, wallet, candidate, divisible_minor,
              frozen_days)
         SELECT book_id, attempt_id, order_id, channel, amount_minor, currency, status, sent_at, method, wallet, candidate, divisible_minor,
                frozen_days
         FROM opened",
        &numbers,
        &books,
        &ids,
        &orders,
        &channels,
        &amounts,
        &currencies,
        &statuses,
        &times,
        &methods as &[&str],
        &wallets as &[Option<&str>],
        &candidates as &[&str],
        &decisions as &[&str],
        &divisible as &[Option<i64>],
        &frozen_days as &[Option<i32>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Attempts of orders, oldest first.
pub async fn of_orders(db: &PgPool, orders: &[(MerchantId, OrderId)]) -> sqlx::Result<Vec<Attempt>> {
    let books: Vec<Uuid> = orders.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.book_id, a.attempt_id, a.order_id, a.channel, a.amount_minor, a.currency AS "currency: Currency",
                  a.status AS "status: AttemptStatus", a.method AS "method: Method", a.wallet AS "wallet: Wallet", a.candidate, a.invitation, a.channel_transaction_id, a.error_code, a.surplus, a.divisible_minor, a.frozen_days, a.sent_at,
                  a.succeeded_at, a.resolved_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, order_id)
           JOIN payment_attempts a ON a.book_id = wanted.book_id AND a.order_id = wanted.order_id
           ORDER BY a.sent_at, a.attempt_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Attempt::from).collect())
}

pub async fn by_ids(db: &PgPool, attempts: &[(MerchantId, AttemptId)]) -> sqlx::Result<Vec<Attempt>> {
    let books: Vec<Uuid> = attempts.iter().map(|(m, _)| m.0).collect();
    let ids: Vec<Uuid> = attempts.iter().map(|(_, a)| a.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.book_id, a.attempt_id, a.order_id, a.channel, a.amount_minor, a.currency AS "currency: Currency",
                  a.status AS "status: AttemptStatus", a.method AS "method: Method", a.wallet AS "wallet: Wallet", a.candidate, a.invitation, a.channel_transaction_id, a.error_code, a.surplus, a.divisible_minor, a.frozen_days, a.sent_at,
                  a.succeeded_at, a.resolved_at
           FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (book_id, attempt_id)
           JOIN payment_attempts a ON a.book_id = wanted.book_id AND a.attempt_id = wanted.attempt_id"#,
        &books,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Attempt::from).collect())
}

/// All attempts of locked orders, locked too.
pub async fn lock_in_tx(tx: &mut PgConnection, orders: &[(BookId, OrderId)]) -> sqlx::Result<Vec<Attempt>> {
    let books: Vec<Uuid> = orders.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = orders.iter().map(|(_, o)| o.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, attempt_id, order_id, channel, amount_minor, currency AS "currency: Currency",
                  status AS "status: AttemptStatus", method AS "method: Method", wallet AS "wallet: Wallet", candidate, invitation, channel_transaction_id, error_code, surplus, divisible_minor, frozen_days,
                  sent_at, succeeded_at, resolved_at
           FROM payment_attempts
           WHERE (book_id, order_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))
           ORDER BY book_id, attempt_id
           FOR UPDATE"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Attempt::from).collect())
}

/// The orders that attempts belong to. Read before they are locked: an attempt never changes its order.
pub async fn orders_of_in_tx(tx: &mut PgConnection, attempts: &[(BookId, AttemptId)]) -> sqlx::Result<Vec<(BookId, OrderId)>> {
    let books: Vec<Uuid> = attempts.iter().map(|(b, _)| b.0).collect();
    let ids: Vec<Uuid> = attempts.iter().map(|(_, a)| a.0).collect();
    let rows = sqlx::query!(
        "SELECT DISTINCT book_id, order_id FROM payment_attempts WHERE (book_id, attempt_id) IN (SELECT * FROM UNNEST($1::uuid[], $2::uuid[]))",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), OrderId(r.order_id))).collect())
}

/// A channel's transaction and the attempt it belongs to (P4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    pub channel: String,
    pub transaction_id: String,
    pub merchant: MerchantId,
    pub attempt: AttemptId,
}

/// Which of these transactions belong to an attempt already.
pub async fn bindings_in_tx(tx: &mut PgConnection, transactions: &[(String, String)]) -> sqlx::Result<Vec<Binding>> {
    if transactions.is_empty() {
        return Ok(Vec::new());
    }
    let channels: Vec<String> = transactions.iter().map(|(c, _)| c.clone()).collect();
    let ids: Vec<String> = transactions.iter().map(|(_, t)| t.clone()).collect();
    let rows = sqlx::query!(
        "SELECT channel, transaction_id, book_id, attempt_id FROM channel_transactions
         WHERE (channel, transaction_id) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
        &channels,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Binding {
            channel: r.channel,
            transaction_id: r.transaction_id,
            merchant: MerchantId(r.book_id),
            attempt: AttemptId(r.attempt_id),
        })
        .collect())
}

/// Binds transactions to their attempts. Whether all were free: if not, another transaction was faster and the batch must be judged anew.
pub async fn bind_in_tx(tx: &mut PgConnection, bindings: &[Binding]) -> sqlx::Result<bool> {
    if bindings.is_empty() {
        return Ok(true);
    }
    let channels: Vec<String> = bindings.iter().map(|b| b.channel.clone()).collect();
    let ids: Vec<String> = bindings.iter().map(|b| b.transaction_id.clone()).collect();
    let books: Vec<Uuid> = bindings.iter().map(|b| b.merchant.0).collect();
    let attempts: Vec<Uuid> = bindings.iter().map(|b| b.attempt.0).collect();
    let done = sqlx::query!(
        "INSERT INTO channel_transactions (channel, transaction_id, book_id, attempt_id)
         SELECT n.channel, n.transaction_id, n.book_id, n.attempt_id
         FROM UNNEST($1::text[], $2::text[], $3::uuid[], $4::uuid[]) AS n (channel, transaction_id, book_id, attempt_id)
         ORDER BY n.channel, n.transaction_id
         ON CONFLICT (channel, transaction_id) DO NOTHING",
        &channels,
        &ids,
        &books,
        &attempts
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|n| n == bindings.len()))
}

/// Writes what the channel's word changed. One statement.
pub async fn update_in_tx(tx: &mut PgConnection, attempts: &[Attempt]) -> sqlx::Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = attempts.iter().map(|a| a.merchant.0).collect();
    let ids: Vec<Uuid> = attempts.iter().map(|a| a.id.0).collect();
    let statuses: Vec<String> = attempts.iter().map(|a| a.status.as_str().to_owned()).collect();
    let written = |invitation| serde_json::to_string(invitation).expect("an invitation is plain data and serialises");
    let invitations: Vec<Option<String>> = attempts.iter().map(|a| a.invitation.as_ref().map(written)).collect();
    let transactions: Vec<Option<String>> = attempts.iter().map(|a| a.transaction_id.clone()).collect();
    let codes: Vec<Option<String>> = attempts.iter().map(|a| a.error_code.clone()).collect();
    let surplus: Vec<bool> = attempts.iter().map(|a| a.surplus).collect();
    let succeeded: Vec<Option<DateTime<Utc>>> = attempts.iter().map(|a| a.succeeded_at).collect();
    let resolved: Vec<Option<DateTime<Utc>>> = attempts.iter().map(|a| a.resolved_at).collect();
    sqlx::query!(
        "UPDATE payment_attempts a
         SET status = c.status, invitation = c.invitation, channel_transaction_id = c.transaction_id, error_code = c.error_code,
             surplus = c.surplus, succeeded_at = c.succeeded_at, resolved_at = c.resolved_at
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::timestamptz[], $9::timestamptz[])
              AS c (book_id, attempt_id, status, invitation, transaction_id, error_code, surplus, succeeded_at, resolved_at)
         WHERE a.book_id = c.book_id AND a.attempt_id = c.attempt_id",
        &books,
        &ids,
        &statuses,
        &invitations as &[Option<String>],
        &transactions as &[Option<String>],
        &codes as &[Option<String>],
        &surplus,
        &succeeded as &[Option<DateTime<Utc>>],
        &resolved as &[Option<DateTime<Utc>>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks a sent attempt as unanswered.
pub async fn mark_unknown(db: &PgPool, book: BookId, attempt: AttemptId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE payment_attempts SET status = 'UNKNOWN' WHERE book_id = $1 AND attempt_id = $2 AND status = 'SENT'",
        book.0,
        attempt.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A payment that no channel could take, with the router's decision.
#[derive(Debug)]
pub struct Unrouted {
    pub book: BookId,
    pub attempt: AttemptId,
    pub order: OrderId,
    pub decision: String,
}

pub async fn insert_unrouted_in_tx(tx: &mut PgConnection, refused: &[Unrouted], at: DateTime<Utc>) -> sqlx::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let books: Vec<Uuid> = refused.iter().map(|r| r.book.0).collect();
    let attempts: Vec<Uuid> = refused.iter().map(|r| r.attempt.0).collect();
    let orders: Vec<Uuid> = refused.iter().map(|r| r.order.0).collect();
    let decisions: Vec<&str> = refused.iter().map(|r| r.decision.as_str()).collect();
    sqlx::query!(
        "INSERT INTO unrouted_payments (book_id, attempt_id, order_id, decision, refused_at)
         SELECT book_id, attempt_id, order_id, decision, $5
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS r (book_id, attempt_id, order_id, decision)",
        &books,
        &attempts,
        &orders,
        &decisions as &[&str],
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The decision about an attempt, or about one that was never made.
pub async fn decision(db: &PgPool, book: BookId, attempt: AttemptId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE((SELECT decision FROM payment_decisions WHERE book_id = $1 AND attempt_id = $2),
                           (SELECT decision FROM unrouted_payments WHERE book_id = $1 AND attempt_id = $2))"#,
        book.0,
        attempt.0
    )
    .fetch_one(db)
    .await
}

/// What each line of the routing table was given on a day of Asia/Shanghai, in minor units.
pub async fn sent_on(db: &PgPool, day: NaiveDate) -> sqlx::Result<Vec<(String, i64)>> {
    let (from, to) = (day_start(day), day_start(day + Days::new(1)));
    let rows = sqlx::query!(
        r#"SELECT candidate, sum(amount_minor)::bigint AS "minor!" FROM payment_attempts WHERE sent_at >= $1 AND sent_at < $2 GROUP BY candidate"#,
        from,
        to
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (r.candidate, r.minor)).collect())
}

/// What operators decided about channels. A handful of rows.
pub async fn switches(db: &PgPool) -> sqlx::Result<Vec<(String, Switch)>> {
    let rows = sqlx::query!("SELECT channel, state, until FROM channel_switches ORDER BY channel").fetch_all(db).await?;
    let switch = |state: &str, until| match (state, until) {
        ("OFF", _) => Switch::Off,
        ("MAINTENANCE", Some(until)) => Switch::Maintenance { until },
        _ => Switch::On,
    };
    Ok(rows.into_iter().map(|r| (r.channel, switch(&r.state, r.until))).collect())
}

pub async fn set_switch_in_tx(
    tx: &mut PgConnection,
    channel: &str,
    state: &str,
    until: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO channel_switches AS s (channel, state, until, changed_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (channel) DO UPDATE SET state = $2, until = $3, changed_at = $4",
        channel,
        state,
        until,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Orders of which the last attempt was sent in `[from, to)` and that have ended by `now`, counted by how: the attempt that paid, else the last.
pub async fn ended(db: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>, now: DateTime<Utc>) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"WITH ranked AS (
               SELECT book_id, order_id, channel, status, error_code, invitation IS NOT NULL AS invited,
                      row_number() OVER (PARTITION BY book_id, order_id ORDER BY (status = 'SUCCEEDED' AND NOT surplus) DESC, sent_at DESC) AS place
               FROM payment_attempts
               WHERE sent_at >= $1 AND sent_at < $2
           )
           SELECT r.channel, CASE WHEN o.status = 'PAID' THEN 'SUCCEEDED' ELSE r.status END AS "status!: AttemptStatus",
                  CASE WHEN o.status = 'PAID' THEN NULL ELSE r.error_code END AS error_code, r.invited AS "invited!", count(*) AS "orders!"
           FROM ranked r
           JOIN orders o ON o.book_id = r.book_id AND o.order_id = r.order_id
           WHERE r.place = 1 AND (o.status IN ('PAID', 'CLOSED') OR (o.status = 'CREATED' AND o.expires_at <= $3))
           GROUP BY 1, 2, 3, 4"#,
        from,
        to,
        now
    )
    .fetch_all(db)
    .await
}

/// Orders that found no channel in `[from, to)`, never had an attempt, and have ended by `now`.
pub async fn ended_unrouted(db: &PgPool, from: DateTime<Utc>, to: DateTime<Utc>, now: DateTime<Utc>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "orders!"
           FROM orders o
           WHERE (o.book_id, o.order_id) IN (SELECT book_id, order_id FROM unrouted_payments WHERE refused_at >= $1 AND refused_at < $2)
             AND (o.status = 'CLOSED' OR (o.status = 'CREATED' AND o.expires_at <= $3))
             AND NOT EXISTS (SELECT 1 FROM payment_attempts a WHERE a.book_id = o.book_id AND a.order_id = o.order_id)"#,
        from,
        to,
        now
    )
    .fetch_one(db)
    .await
}
