//! Background jobs: written in the business transaction, claimed by lease, run at least once, dead after too many failures.
//!
//! A lease is a row update, not an open transaction: a job may take seconds, and an open transaction would hold back vacuum and outbox.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::batcher::{Batched, Batcher, COMMANDS, Results, SubmitError};
use super::clock::Clock;
use super::id::{BookId, JobId};

/// Failures after which a job is dead and a person has to look.
pub const ATTEMPTS_MAX: i32 = 12;

/// A job to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewJob {
    /// Stable name such as `document_review`; the worker's registry knows it.
    pub kind: &'static str,
    pub book: BookId,
    pub subject: Uuid,
    /// Real time, not business time: a sandbox day must not delay a query.
    pub run_at: DateTime<Utc>,
}

/// A claimed job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    pub book: BookId,
    pub subject: Uuid,
    pub attempts: i32,
}

/// Writes jobs in the running transaction. One statement.
pub async fn enqueue_in_tx(tx: &mut PgConnection, jobs: &[NewJob]) -> sqlx::Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = jobs.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = jobs.iter().map(|j| j.kind.to_owned()).collect();
    let books: Vec<Uuid> = jobs.iter().map(|j| j.book.0).collect();
    let subjects: Vec<Uuid> = jobs.iter().map(|j| j.subject).collect();
    let times: Vec<DateTime<Utc>> = jobs.iter().map(|j| j.run_at).collect();
    sqlx::query!(
        "INSERT INTO jobs (job_id, kind, book_id, subject_id, run_at, created_at)
         SELECT j.id, j.kind, j.book, j.subject, j.run_at, $6
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[]) AS j (id, kind, book, subject, run_at)",
        &ids,
        &kinds,
        &books,
        &subjects,
        &times,
        Clock::wall()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Claims at most `limit` jobs that are due, for `lease`. A job whose lease ran out is due again: its worker died.
pub async fn claim(db: &PgPool, worker: &str, kinds: &[&str], lease: Duration, limit: i64) -> sqlx::Result<Vec<Job>> {
    let now = Clock::wall();
    let until = now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::minutes(1));
    let kinds: Vec<String> = kinds.iter().map(|&k| k.to_owned()).collect();
    let rows = sqlx::query!(
        "UPDATE jobs SET leased_by = $1, lease_until = $2, attempts = attempts + 1
         WHERE job_id IN (
             SELECT job_id FROM jobs
             WHERE state = 'READY' AND run_at <= $3 AND (lease_until IS NULL OR lease_until < $3) AND kind = ANY($4)
             ORDER BY run_at
             LIMIT $5
             FOR UPDATE SKIP LOCKED)
         RETURNING job_id, kind, book_id, subject_id, attempts",
        worker,
        until,
        now,
        &kinds,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Job { id: JobId(r.job_id), kind: r.kind, book: BookId(r.book_id), subject: r.subject_id, attempts: r.attempts })
        .collect())
}

/// Ends jobs that a worker holds, those that end at the same time together.
#[derive(Clone, Debug)]
pub struct Ends(Batcher<Deletes>);

#[derive(Debug)]
struct Deletes {
    db: PgPool,
    worker: String,
}

impl Ends {
    pub fn new(db: PgPool, worker: String) -> Self {
        Self(Batcher::new("jobs", COMMANDS, Deletes { db, worker }))
    }

    /// Removes a job that is done, unless another worker holds it by now.
    ///
    /// # Errors
    /// The job is run again when its lease is over.
    pub async fn finish(&self, job: JobId) -> Result<(), SubmitError<sqlx::Error>> {
        self.0.submit(job).await
    }
}

impl Batched for Deletes {
    type Command = JobId;
    type Answer = ();
    type Error = sqlx::Error;

    fn lane(&self, _job: &JobId) -> u64 {
        0
    }

    fn bytes(&self, _job: &JobId) -> usize {
        size_of::<JobId>()
    }

    async fn run(&self, batch: &[JobId]) -> Results<(), sqlx::Error> {
        let ids: Vec<Uuid> = batch.iter().map(|job| job.0).collect();
        sqlx::query!("DELETE FROM jobs WHERE job_id = ANY($1) AND leased_by = $2 AND state = 'READY'", &ids, self.worker)
            .execute(&self.db)
            .await?;
        Ok(batch.iter().map(|_| Ok(())).collect())
    }
}

/// Ends the open jobs of these subjects, because what they were to find out is known. One statement; a worker that holds one finds it ended.
pub async fn settle_in_tx(tx: &mut PgConnection, kind: &'static str, subjects: &[Uuid]) -> sqlx::Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    sqlx::query!("DELETE FROM jobs WHERE kind = $1 AND subject_id = ANY($2) AND state = 'READY'", kind, subjects).execute(tx).await?;
    Ok(())
}

/// Puts a job back for `delay` later, e.g. because the outside has no final answer yet. Does not count as a failure.
pub async fn again(db: &PgPool, job: JobId, worker: &str, delay: Duration) -> sqlx::Result<()> {
    let run_at = Clock::wall() + TimeDelta::from_std(delay).unwrap_or(TimeDelta::minutes(1));
    sqlx::query!(
        "UPDATE jobs SET run_at = $3, lease_until = NULL, attempts = 0 WHERE job_id = $1 AND leased_by = $2 AND state = 'READY'",
        job.0,
        worker,
        run_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records a failure: back-off doubling from one second to ten minutes, dead after [`ATTEMPTS_MAX`]. `error` carries no personal data.
pub async fn fail(db: &PgPool, job: &Job, worker: &str, error: &str) -> sqlx::Result<()> {
    let backoff_s = (1_i64 << job.attempts.clamp(0, 10)).min(600);
    let state = if job.attempts >= ATTEMPTS_MAX { "DEAD" } else { "READY" };
    sqlx::query!(
        "UPDATE jobs SET state = $3, last_error = $4, run_at = $5, lease_until = NULL WHERE job_id = $1 AND leased_by = $2 AND state = 'READY'",
        job.id.0,
        worker,
        state,
        error.chars().take(500).collect::<String>(),
        Clock::wall() + TimeDelta::seconds(backoff_s)
    )
    .execute(db)
    .await?;
    Ok(())
}
