//! SQL of the inbox, and of the numbers that were given to the outside.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::inbox::{Arrived, CONFLICT, NoticeKey, Waiting};
use crate::base::id::BookId;

/// The deliveries of one notice within a batch.
#[derive(Clone, Copy, Debug)]
pub struct Gathered<'a> {
    /// The first of them.
    pub notice: &'a Arrived,
    pub deliveries: i32,
    /// Whether another of them says something else.
    pub conflict: bool,
}

/// A notice as it lies in the inbox now.
#[derive(Debug)]
pub struct StoredNotice {
    pub key: NoticeKey,
    /// Whether it was not there before.
    pub new: bool,
    pub content_hash: Vec<u8>,
}

/// Stores or counts up notices, each named once. One statement; locks in the order of their ids.
pub async fn store_notices(db: &PgPool, notices: &[Gathered<'_>]) -> sqlx::Result<Vec<StoredNotice>> {
    let channels: Vec<String> = notices.iter().map(|n| n.notice.key.channel.clone()).collect();
    let ids: Vec<String> = notices.iter().map(|n| n.notice.key.notice_id.clone()).collect();
    let bodies: Vec<Vec<u8>> = notices.iter().map(|n| n.notice.body.to_vec()).collect();
    let contents: Vec<Vec<u8>> = notices.iter().map(|n| n.notice.content.to_vec()).collect();
    let times: Vec<DateTime<Utc>> = notices.iter().map(|n| n.notice.at).collect();
    let deliveries: Vec<i32> = notices.iter().map(|n| n.deliveries).collect();
    let conflicts: Vec<bool> = notices.iter().map(|n| n.conflict).collect();
    let rows = sqlx::query!(
        r#"INSERT INTO notices AS n (channel, notice_id, body, content, received_at, deliveries, outcome, processed_at)
           SELECT a.channel, a.notice_id, a.body, a.content, a.received_at, a.deliveries,
                  CASE WHEN a.conflict THEN $8 END, CASE WHEN a.conflict THEN a.received_at END
           FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::timestamptz[], $6::integer[], $7::boolean[])
                AS a (channel, notice_id, body, content, received_at, deliveries, conflict)
           ORDER BY a.channel, a.notice_id
           ON CONFLICT (channel, notice_id) DO UPDATE
           SET deliveries = n.deliveries + excluded.deliveries,
               outcome = CASE WHEN n.content = excluded.content AND excluded.outcome IS NULL THEN n.outcome ELSE $8 END,
               processed_at = CASE WHEN n.content = excluded.content AND excluded.outcome IS NULL THEN n.processed_at
                                   ELSE COALESCE(n.processed_at, excluded.received_at) END
           RETURNING n.channel, n.notice_id, n.deliveries, sha256(n.content) AS "content_hash!""#,
        &channels,
        &ids,
        &bodies,
        &contents,
        &times,
        &deliveries,
        &conflicts,
        CONFLICT
    )
    .fetch_all(db)
    .await?;
    let counted: HashMap<&NoticeKey, i32> = notices.iter().map(|n| (&n.notice.key, n.deliveries)).collect();
    let stored = rows.into_iter().map(|r| {
        let key = NoticeKey { channel: r.channel, notice_id: r.notice_id };
        let new = counted.get(&key) == Some(&r.deliveries);
        StoredNotice { key, new, content_hash: r.content_hash }
    });
    Ok(stored.collect())
}

pub async fn lock_waiting_in_tx(
    tx: &mut PgConnection,
    channels: &[&str],
    only: Option<&NoticeKey>,
    attempts_max: i32,
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    let (only_channel, only_id) = only.map(|key| (key.channel.as_str(), key.notice_id.as_str())).unzip();
    let rows = sqlx::query!(
        "SELECT channel, notice_id, content
         FROM notices
         WHERE processed_at IS NULL AND channel = ANY($1) AND attempts < $2 AND ($3::text IS NULL OR (channel = $3 AND notice_id = $4))
         ORDER BY received_at
         LIMIT $5
         FOR UPDATE SKIP LOCKED",
        channels as &[&str],
        attempts_max,
        only_channel,
        only_id,
        limit
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| Waiting { key: NoticeKey { channel: r.channel, notice_id: r.notice_id }, content: r.content }).collect())
}

pub async fn finish_in_tx(tx: &mut PgConnection, outcomes: &[(NoticeKey, &'static str)], now: DateTime<Utc>) -> sqlx::Result<()> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let channels: Vec<String> = outcomes.iter().map(|(key, _)| key.channel.clone()).collect();
    let ids: Vec<String> = outcomes.iter().map(|(key, _)| key.notice_id.clone()).collect();
    let words: Vec<String> = outcomes.iter().map(|(_, word)| (*word).to_owned()).collect();
    sqlx::query!(
        "UPDATE notices n
         SET processed_at = $4, outcome = d.outcome
         FROM UNNEST($1::text[], $2::text[], $3::text[]) AS d (channel, notice_id, outcome)
         WHERE n.channel = d.channel AND n.notice_id = d.notice_id",
        &channels,
        &ids,
        &words,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn count_failure(db: &PgPool, notice: &NoticeKey) -> sqlx::Result<()> {
    sqlx::query!("UPDATE notices SET attempts = attempts + 1 WHERE channel = $1 AND notice_id = $2", notice.channel, notice.notice_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Which of our objects a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub book: BookId,
    pub subject: Uuid,
}

/// Keeps which book each number given to the outside belongs to. One statement.
pub async fn number_in_tx(tx: &mut PgConnection, kind: &str, subjects: &[Numbered]) -> sqlx::Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = subjects.iter().map(|s| s.subject.simple().to_string()).collect();
    let books: Vec<Uuid> = subjects.iter().map(|s| s.book.0).collect();
    let ids: Vec<Uuid> = subjects.iter().map(|s| s.subject).collect();
    sqlx::query!(
        "INSERT INTO request_numbers (request_no, book_id, kind, subject_id)
         SELECT n.request_no, n.book_id, $2, n.subject_id
         FROM UNNEST($1::text[], $3::uuid[], $4::uuid[]) AS n (request_no, book_id, subject_id)",
        &numbers,
        kind,
        &books,
        &ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds what numbers of one kind stand for. Unknown ones are left out.
pub async fn resolve_in_tx(tx: &mut PgConnection, kind: &str, numbers: &[String]) -> sqlx::Result<Vec<(String, Numbered)>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let rows =
        sqlx::query!("SELECT request_no, book_id, subject_id FROM request_numbers WHERE kind = $1 AND request_no = ANY($2)", kind, numbers)
            .fetch_all(tx)
            .await?;
    Ok(rows.into_iter().map(|r| (r.request_no, Numbered { book: BookId(r.book_id), subject: r.subject_id })).collect())
}
