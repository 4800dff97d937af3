//! The inbox of notices (通知收件箱): verify on the raw bytes → store → answer 2xx → process from here, as often as it takes.
//!
//! A notice that comes again only counts up. One that comes again with another body is an alarm: neither is processed, and the
//! question is left to the query that every open payment, refund and payout has.

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use sqlx::{PgConnection, PgPool};

use super::repo;
use super::sandbox::Link;
use super::sandbox::sign::SignatureError;
use super::sandbox::wire::{BODY_MAX, Notice};

/// Why a notice is not taken. The channel is told nothing but that it was refused.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error("the notice is not signed as agreed")]
    Signature(#[from] SignatureError),
    #[error("the notice is larger than {BODY_MAX} bytes")]
    TooLarge,
    #[error("the notice's content is not as agreed")]
    Malformed,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    First,
    Again,
    /// The id was seen with another body. Stored as an alarm, never processed.
    Conflict,
}

/// A notice that waits to be processed. It was verified before it was stored.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub notice_id: String,
    /// None: stored by hand or by an older version, and not readable as a notice.
    pub notice: Option<Notice>,
}

/// Outcome of a notice whose number we never gave out.
pub const UNKNOWN_REQUEST: &str = "UNKNOWN_REQUEST";
/// Outcome of a notice that cannot be read.
pub const MALFORMED: &str = "MALFORMED";
/// Outcome of a notice id that came with two different bodies.
pub const CONFLICT: &str = "CONFLICT";

/// Failures after which a notice is left alone.
pub const ATTEMPTS_MAX: i32 = 20;

/// Takes a notice in: one statement. An answer of 2xx may follow as soon as this returns.
pub async fn accept(
    db: &PgPool,
    link: &Link,
    channel: &'static str,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Delivery, NoticeError> {
    if body.len() > BODY_MAX {
        return Err(NoticeError::TooLarge);
    }
    link.verify_notice(headers, body)?;
    let notice: Notice = serde_json::from_slice(body).map_err(|_| NoticeError::Malformed)?;
    if notice.merchant_no != link.merchant_no || !(1..=64).contains(&notice.notice_id.len()) {
        return Err(NoticeError::Malformed);
    }
    let delivery = repo::store_notice(db, channel, &notice.notice_id, body, now).await?;
    if delivery == Delivery::Conflict {
        tracing::error!(channel, notice_id = notice.notice_id, "a notice came again with another body; neither is processed");
    }
    Ok(delivery)
}

/// Locks waiting notices of a channel for this transaction, skipping those another worker holds. `only` narrows it to these ids.
pub async fn lock_waiting_in_tx(tx: &mut PgConnection, channel: &str, only: Option<&[String]>, limit: i64) -> sqlx::Result<Vec<Waiting>> {
    repo::lock_waiting_in_tx(tx, channel, only, ATTEMPTS_MAX, limit).await
}

/// Marks notices as processed, each with its outcome. One statement.
pub async fn finish_in_tx(
    tx: &mut PgConnection,
    channel: &str,
    outcomes: &[(String, &'static str)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    repo::finish_in_tx(tx, channel, outcomes, now).await
}

/// Counts a failure to process a notice.
pub async fn count_failure(db: &PgPool, channel: &str, notice_id: &str) -> sqlx::Result<()> {
    repo::count_failure(db, channel, notice_id).await
}
