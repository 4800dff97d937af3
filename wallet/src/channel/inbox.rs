//! The inbox of notices (通知收件箱): verify on the raw bytes → store → answer 2xx → process from here, as often as it takes.
//!
//! A notice that comes again only counts up. One that comes again and says something else is an alarm: neither is processed, and the
//! question is left to the query that every open payment, refund and payout has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use sqlx::{PgConnection, PgPool};

use super::acquirer::{Acquirer, HearError, Heard};
use super::repo::{self, Gathered};
use crate::base::batcher::{Batched, COMMANDS, Limits, Results, SubmitError, lane_of};
use crate::base::clock::Clock;
use crate::base::db;
use crate::base::id::named_uuid;

/// Why a notice is not taken. The channel is told nothing but that it was refused.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error(transparent)]
    Unheard(#[from] HearError),
    /// From a channel that is not connected.
    #[error("no such channel is connected")]
    UnknownChannel,
    #[error("the notice is larger than {BODY_MAX} bytes")]
    TooLarge,
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
    /// The id was seen saying something else. Stored as an alarm, never processed.
    Conflict,
}

/// Largest notice that is read, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// Which notice: ids are a channel's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeKey {
    pub channel: String,
    pub notice_id: String,
}

/// A notice that waits to be processed. It was verified before it was stored.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub key: NoticeKey,
    /// What it says, as whoever stored it wrote it down.
    pub content: Vec<u8>,
}

/// Outcome of a notice whose number we never gave out.
pub const UNKNOWN_REQUEST: &str = "UNKNOWN_REQUEST";
/// Outcome of a notice that cannot be read.
pub const MALFORMED: &str = "MALFORMED";
/// Outcome of a notice that says nothing we act on.
pub const NOTED: &str = "NOTED";
/// Outcome of a notice id that came saying two different things.
pub const CONFLICT: &str = "CONFLICT";

/// Failures after which a notice is left alone.
pub const ATTEMPTS_MAX: i32 = 20;

/// A notice that was verified, as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub key: NoticeKey,
    /// As it came.
    pub body: Bytes,
    /// What it says; two deliveries of one notice that differ in this are a conflict.
    pub content: Bytes,
    pub at: DateTime<Utc>,
}

impl Arrived {
    /// A notice that was verified, unless its id cannot be kept.
    pub fn new(channel: &str, notice_id: String, body: &[u8], content: Vec<u8>, at: DateTime<Utc>) -> Result<Self, NoticeError> {
        // PostgreSQL keeps no NUL in a text
        if !(1..=64).contains(&notice_id.len()) || notice_id.contains('\0') {
            return Err(HearError::Malformed.into());
        }
        let key = NoticeKey { channel: channel.to_owned(), notice_id };
        Ok(Self { key, body: Bytes::copy_from_slice(body), content: content.into(), at })
    }
}

/// Checks an acquirer's notice on its raw bytes: signatures live in real time, which a sandbox day does not move. Touches no database.
pub fn verify(acquirer: &dyn Acquirer, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Arrived, NoticeError> {
    if body.len() > BODY_MAX {
        return Err(NoticeError::TooLarge);
    }
    let Heard { notice_id, spoken } = acquirer.hear(headers, body, Clock::wall())?;
    let content = serde_json::to_vec(&spoken).expect("what is said is plain data and serialises");
    Arrived::new(acquirer.name(), notice_id, body, content, now)
}

/// Takes a verified notice in: one statement. An answer of 2xx may follow as soon as this returns.
pub async fn accept(db: &PgPool, notice: &Arrived) -> Result<Delivery, NoticeError> {
    let deliveries = store(db, std::slice::from_ref(notice)).await?;
    Ok(deliveries.into_iter().next().ok_or(sqlx::Error::RowNotFound)?)
}

/// Bounds of a batch of notices: what lies in memory at most is some thousand small ones, or 64 MiB of large ones.
pub const LIMITS: Limits = Limits { batch_max: 128, waiting_max: 1_024, ..COMMANDS };

/// The inbox as its batcher runs it. Deliveries of one notice go the same way.
#[derive(Debug)]
pub struct Inbox {
    pub db: PgPool,
}

impl Batched for Inbox {
    type Command = Arrived;
    type Answer = Delivery;
    type Error = NoticeError;

    fn lane(&self, notice: &Arrived) -> u64 {
        lane_of(named_uuid(&[notice.key.channel.as_bytes(), notice.key.notice_id.as_bytes()]))
    }

    fn bytes(&self, notice: &Arrived) -> usize {
        size_of::<Arrived>() + notice.key.notice_id.len() + notice.body.len() + notice.content.len()
    }

    async fn run(&self, batch: &[Arrived]) -> Results<Delivery, NoticeError> {
        match store(&self.db, batch).await {
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
async fn store(db: &PgPool, batch: &[Arrived]) -> sqlx::Result<Vec<Delivery>> {
    let gathered = gather(batch);
    let stored = db::retrying(db::retryable, || repo::store_notices(db, &gathered)).await?;
    let kept: HashMap<&NoticeKey, &[u8]> = stored.iter().map(|s| (&s.key, s.content_hash.as_slice())).collect();
    let mut new: HashSet<&NoticeKey> = stored.iter().filter(|s| s.new).map(|s| &s.key).collect();
    let told = batch.iter().map(|notice| {
        let NoticeKey { channel, notice_id } = &notice.key;
        if kept.get(&notice.key).is_none_or(|&hash| hash != digest(&SHA256, &notice.content).as_ref()) {
            tracing::error!(channel, notice_id, "a notice came again and said something else; neither is processed");
            Delivery::Conflict
        } else if new.remove(&notice.key) {
            Delivery::First
        } else {
            Delivery::Again
        }
    });
    Ok(told.collect())
}

/// Notices by id, since one statement may touch a row once: the first body counts, others beside it are told apart.
fn gather(batch: &[Arrived]) -> Vec<Gathered<'_>> {
    let mut by_key: BTreeMap<&NoticeKey, Gathered<'_>> = BTreeMap::new();
    for notice in batch {
        let first = Gathered { notice, deliveries: 0, conflict: false };
        let gathered = by_key.entry(&notice.key).or_insert(first);
        gathered.deliveries += 1;
        gathered.conflict |= gathered.notice.content != notice.content;
    }
    by_key.into_values().collect()
}

/// Locks waiting notices of channels for this transaction, skipping those another worker holds. `only` narrows it to one.
pub async fn lock_waiting_in_tx(
    tx: &mut PgConnection,
    channels: &[&str],
    only: Option<&NoticeKey>,
    limit: i64,
) -> sqlx::Result<Vec<Waiting>> {
    repo::lock_waiting_in_tx(tx, channels, only, ATTEMPTS_MAX, limit).await
}

/// Marks notices as processed, each with its outcome. One statement.
pub async fn finish_in_tx(tx: &mut PgConnection, outcomes: &[(NoticeKey, &'static str)], now: DateTime<Utc>) -> sqlx::Result<()> {
    repo::finish_in_tx(tx, outcomes, now).await
}

/// Counts a failure to process a notice.
pub async fn count_failure(db: &PgPool, notice: &NoticeKey) -> sqlx::Result<()> {
    repo::count_failure(db, notice).await
}
