//! SQL of requests to channels and their shares, read and written under their split's lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Call, CallKind, CallShare, CallStatus, ShareResult};
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, SplitCallId, SplitLineId};

/// Writes new requests with their shares. Two statements.
pub async fn insert_in_tx(tx: &mut PgConnection, calls: &[Call]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = calls.iter().map(|c| c.merchant.0).collect();
    let ids: Vec<Uuid> = calls.iter().map(|c| c.id.0).collect();
    let orders: Vec<Uuid> = calls.iter().map(|c| c.order.0).collect();
    let attempts: Vec<Uuid> = calls.iter().map(|c| c.attempt.0).collect();
    let channels: Vec<&str> = calls.iter().map(|c| c.channel.as_str()).collect();
    let transactions: Vec<&str> = calls.iter().map(|c| c.transaction_id.as_str()).collect();
    let kinds: Vec<&str> = calls.iter().map(|c| c.kind.as_str()).collect();
    let parts: Vec<Option<Uuid>> = calls.iter().map(|c| c.part).collect();
    let statuses: Vec<&str> = calls.iter().map(|c| c.status.as_str()).collect();
    let sent: Vec<DateTime<Utc>> = calls.iter().map(|c| c.sent_at).collect();
    sqlx::query!(
        "INSERT INTO split_calls (book_id, call_id, order_id, attempt_id, channel, transaction_id, kind, part_id, status, sent_at)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[],
                              $10::timestamptz[])",
        &books,
        &ids,
        &orders,
        &attempts,
        &channels as &[&str],
        &transactions as &[&str],
        &kinds as &[&str],
        &parts as &[Option<Uuid>],
        &statuses as &[&str],
        &sent
    )
    .execute(&mut *tx)
    .await?;
    let shares: Vec<(&Call, &CallShare)> = calls.iter().flat_map(|call| call.shares.iter().map(move |share| (call, share))).collect();
    let books: Vec<Uuid> = shares.iter().map(|(call, _)| call.merchant.0).collect();
    let ids: Vec<Uuid> = shares.iter().map(|(call, _)| call.id.0).collect();
    let lines: Vec<Uuid> = shares.iter().map(|(_, share)| share.line.0).collect();
    let accounts: Vec<&str> = shares.iter().map(|(_, share)| share.account.as_str()).collect();
    let amounts: Vec<i64> = shares.iter().map(|(_, share)| share.amount_minor).collect();
    sqlx::query!(
        "INSERT INTO split_shares (book_id, call_id, line_id, account, amount_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[])",
        &books,
        &ids,
        &lines,
        &accounts as &[&str],
        &amounts
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// All requests of an order with their shares, oldest first. Two statements.
pub async fn of_order(db: &mut PgConnection, book: BookId, order: OrderId) -> sqlx::Result<Vec<Call>> {
    let rows = sqlx::query!(
        r#"SELECT call_id, attempt_id, channel, transaction_id, kind AS "kind: CallKind", part_id, status AS "status: CallStatus", error_code,
                  sent_at, resolved_at
           FROM split_calls WHERE book_id = $1 AND order_id = $2
           ORDER BY call_id"#,
        book.0,
        order.0
    )
    .fetch_all(&mut *db)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.call_id).collect();
    let mut shares: HashMap<Uuid, Vec<CallShare>> = HashMap::new();
    let told = sqlx::query!(
        r#"SELECT call_id, line_id, account, amount_minor, outcome AS "outcome: ShareResult", error_code
           FROM split_shares WHERE book_id = $1 AND call_id = ANY($2)
           ORDER BY call_id, line_id"#,
        book.0,
        &ids
    )
    .fetch_all(db)
    .await?;
    for s in told {
        let share = CallShare {
            line: SplitLineId(s.line_id),
            account: s.account,
            amount_minor: s.amount_minor,
            outcome: s.outcome,
            error_code: s.error_code,
        };
        shares.entry(s.call_id).or_default().push(share);
    }
    let calls = rows.into_iter().map(|r| Call {
        id: SplitCallId(r.call_id),
        merchant: MerchantId(book.0),
        order,
        attempt: AttemptId(r.attempt_id),
        channel: r.channel,
        transaction_id: r.transaction_id,
        kind: r.kind,
        part: r.part_id,
        status: r.status,
        error_code: r.error_code,
        sent_at: r.sent_at,
        resolved_at: r.resolved_at,
        shares: shares.remove(&r.call_id).unwrap_or_default(),
    });
    Ok(calls.collect())
}

/// Writes where a request stands, from the state it was read in, and what became of its shares. Whether it still was in it. Two statements.
pub async fn update_in_tx(tx: &mut PgConnection, call: &Call, from: CallStatus) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE split_calls SET status = $4, error_code = $5, resolved_at = $6 WHERE book_id = $1 AND call_id = $2 AND status = $3",
        call.merchant.0,
        call.id.0,
        from.as_str(),
        call.status.as_str(),
        call.error_code,
        call.resolved_at
    )
    .execute(&mut *tx)
    .await?;
    let lines: Vec<Uuid> = call.shares.iter().map(|s| s.line.0).collect();
    let outcomes: Vec<Option<&str>> = call.shares.iter().map(|s| s.outcome.map(ShareResult::as_str)).collect();
    let codes: Vec<Option<&str>> = call.shares.iter().map(|s| s.error_code.as_deref()).collect();
    sqlx::query!(
        "UPDATE split_shares s SET outcome = c.outcome, error_code = c.error_code
         FROM UNNEST($3::uuid[], $4::text[], $5::text[]) AS c (line_id, outcome, error_code)
         WHERE s.book_id = $1 AND s.call_id = $2 AND s.line_id = c.line_id AND s.outcome IS NULL",
        call.merchant.0,
        call.id.0,
        &lines,
        &outcomes as &[Option<&str>],
        &codes as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How much a part of a return is, with what comes from below it.
pub async fn part_minor_in_tx(tx: &mut PgConnection, book: BookId, part: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT amount_minor FROM split_return_lines WHERE book_id = $1 AND part_id = $2", book.0, part)
        .fetch_optional(tx)
        .await
}
