//! The inbox of notices (通知收件箱): verify on the raw bytes → store → answer 2xx → process from here, as often as it takes.
//!
//! A notice that comes again only counts up. One that comes again with another body is an alarm: neither is processed, and the
//! question is left to the query that every open payment, refund and payout has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use sqlx::{PgConnection, PgPool};

use super::repo::{self, Gathered};
use super::sandbox::Link;
use super::sandbox::sign::SignatureError;
use super::sandbox::wire::{BODY_MAX, Notice};
use crate::base::batcher::{Batched, Limits, Results, SubmitError, lane_of};
use crate::base::db;
use crate::base::id::named_uuid;

/// Why a notice is not taken. The channel is told nothing but that it was refused.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error("the notice is not signed as agreed")]
    Signature(#[from] SignatureError),
    #[error("the notice is larger than {BODY_MAX} bytes")]
    TooLarge,
    #[error("the notice's content is not as agreed")]
    Malformed,
    /// Too many wait to be stored: the channel is to send it again.
    #[error("too many notices are being stored")]
    Busy { retry_after: Duration },
    /// The channel is to send it again.
    #[error("the notice was cut short")]
    CutShort,
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl From<SubmitError<Self>> for NoticeError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Busy { retry_after } => Self::Busy { retry_after },
            SubmitError::Stopped => Self::CutShort,
            SubmitError::Failed(Self::Database(error)) if db::busy(&error) => Self::Busy { retry_after: db::RETRY_AFTER },
            SubmitError::Failed(error) => error,
        }
    }
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

/// A notice that was verified, as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub notice_id: String,
    pub body: Bytes,
    pub at: DateTime<Utc>,
}

/// Checks a notice on its raw bytes. Touches no database.
pub fn verify(link: &Link, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Arrived, NoticeError> {
    if body.len() > BODY_MAX {
        return Err(NoticeError::TooLarge);
    }
    link.verify_notice(headers, body)?;
    let notice: Notice = serde_json::from_slice(body).map_err(|_| NoticeError::Malformed)?;
    // PostgreSQL keeps no NUL in a text
    let readable = (1..=64).contains(&notice.notice_id.len()) && !notice.notice_id.contains('\0');
    if notice.merchant_no != link.merchant_no || !readable {
        return Err(NoticeError::Malformed);
    }
    Ok(Arrived { notice_id: notice.notice_id, body: Bytes::copy_from_slice(body), at: now })
}

/// Takes a notice in: one statement. An answer of 2xx may follow as soon as this returns.
pub async fn accept(
    db: &PgPool,
    link: &Link,
    channel: &'static str,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Delivery, NoticeError> {
    let notice = verify(link, headers, body, now)?;
    let deliveries = store(db, channel, std::slice::from_ref(&notice)).await?;
    Ok(deliveries.into_iter().next().ok_or(sqlx::Error::RowNotFound)?)
}

/// Bounds of a batch of notices: what lies in memory at most is some thousand small ones, or two batches of large ones.
pub const LIMITS: Limits = Limits { lanes: 2, batch_max: 128, batch_bytes_max: 1 << 20, waiting_max: 512 };

/// The inbox of one channel as its batcher runs it. Deliveries of one notice go the same way.
#[derive(Debug)]
pub struct Inbox {
    pub db: PgPool,
    pub channel: &'static str,
}

impl Batched for Inbox {
    type Command = Arrived;
    type Answer = Delivery;
    type Error = NoticeError;

    fn lane(&self, notice: &Arrived) -> u64 {
        lane_of(named_uuid(&[notice.notice_id.as_bytes()]))
    }

    fn bytes(&self, notice: &Arrived) -> usize {
        size_of::<Arrived>() + notice.notice_id.len() + notice.body.len()
    }

    async fn run(&self, batch: &[Arrived]) -> Results<Delivery, NoticeError> {
        match store(&self.db, self.channel, batch).await {
            Ok(deliveries) => Ok(deliveries.into_iter().map(Ok).collect()),
            Err(error) if db::away(&error) => {
                tracing::error!(notices = batch.len(), error = &error as &dyn std::error::Error, "no connection to store notices with");
                Ok(batch.iter().map(|_| Err(NoticeError::Busy { retry_after: db::RETRY_AFTER })).collect())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Stores notices in one statement, which is its own transaction, and tells what became of each, as if they had come one after another.
async fn store(db: &PgPool, channel: &'static str, batch: &[Arrived]) -> sqlx::Result<Vec<Delivery>> {
    let gathered = gather(batch);
    let stored = db::retrying(db::retryable, || repo::store_notices(db, channel, &gathered)).await?;
    let kept: HashMap<&str, &[u8]> = stored.iter().map(|s| (s.notice_id.as_str(), s.body_hash.as_slice())).collect();
    let mut new: HashSet<&str> = stored.iter().filter(|s| s.new).map(|s| s.notice_id.as_str()).collect();
    let told = batch.iter().map(|notice| {
        let id = notice.notice_id.as_str();
        if kept.get(id).is_none_or(|&hash| hash != digest(&SHA256, &notice.body).as_ref()) {
            tracing::error!(channel, notice_id = id, "a notice came again with another body; neither is processed");
            Delivery::Conflict
        } else if new.remove(id) {
            Delivery::First
        } else {
            Delivery::Again
        }
    });
    Ok(told.collect())
}

/// Notices by id, since one statement may touch a row once: the first body counts, others beside it are told apart.
fn gather(batch: &[Arrived]) -> Vec<Gathered<'_>> {
    let mut by_id: BTreeMap<&str, Gathered<'_>> = BTreeMap::new();
    for notice in batch {
        let first = Gathered { notice, deliveries: 0, conflict: false };
        let gathered = by_id.entry(&notice.notice_id).or_insert(first);
        gathered.deliveries += 1;
        gathered.conflict |= gathered.notice.body != notice.body;
    }
    by_id.into_values().collect()
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
