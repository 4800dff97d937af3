//! The SQL of settlement: which books have something due, what each of their days holds, and the batches written down.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::rules::{DueDay, Release};
use crate::base::id::{AccountId, BatchId, BookId};
use crate::base::money::Currency;

/// Entries of an account that are looked at to see whether anything is due.
const OLDEST: i64 = 64;

/// Books after `after` that booked pending money before `today` which no batch has covered, in id order.
///
/// Entries are booked in the order of their days but around midnight, so the oldest few that no batch has covered tell; all of them
/// would be a whole day's payments at every look. A book whose first [`OLDEST`] are of today and a later one of yesterday waits a day.
pub(super) async fn due_books(
    db: &PgPool,
    currency: Currency,
    today: NaiveDate,
    after: Option<BookId>,
    limit: i64,
) -> sqlx::Result<Vec<BookId>> {
    let books = sqlx::query_scalar!(
        "SELECT a.book_id
         FROM accounts a
         LEFT JOIN LATERAL (
             SELECT day, cutoff_seq FROM settlement_batches
             WHERE book_id = a.book_id AND currency = a.currency
             ORDER BY day DESC
             LIMIT 1) AS last ON true
         WHERE a.kind = 'MERCHANT_PENDING' AND a.subject = '' AND a.currency = $1
           AND a.book_id > $3
           AND a.seq > COALESCE(last.cutoff_seq, 0)
           AND COALESCE(last.day + 1 < $2, true)
           AND EXISTS (
               SELECT 1
               FROM (SELECT p.accounting_date
                     FROM entries e
                     JOIN postings p USING (book_id, posting_id)
                     WHERE e.book_id = a.book_id AND e.account_id = a.account_id AND e.seq > COALESCE(last.cutoff_seq, 0)
                       AND p.kind <> 'SETTLEMENT_RELEASE'
                     ORDER BY e.seq
                     LIMIT $5) AS oldest
               WHERE oldest.accounting_date < $2)
         ORDER BY a.book_id
         LIMIT $4",
        currency.as_str(),
        today,
        after.map_or(Uuid::nil(), |b| b.0),
        limit,
        OLDEST
    )
    .fetch_all(db)
    .await?;
    Ok(books.into_iter().map(BookId).collect())
}

/// The days before `today` of a pending account that no batch has covered, oldest first. Read after the account was locked.
///
/// An entry that carries a day already settled (booked around midnight) belongs to the day after that one.
pub(super) async fn due_days_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    pending: AccountId,
    currency: Currency,
    today: NaiveDate,
) -> sqlx::Result<Vec<DueDay>> {
    let rows = sqlx::query!(
        r#"WITH last AS (
               SELECT day, cutoff_seq FROM settlement_batches
               WHERE book_id = $1 AND currency = $3
               ORDER BY day DESC
               LIMIT 1
           ), open_entries AS (
               SELECT e.seq, e.amount_minor, p.kind, GREATEST(p.accounting_date, (SELECT day + 1 FROM last)) AS day
               FROM entries e
               JOIN postings p USING (book_id, posting_id)
               WHERE e.book_id = $1 AND e.account_id = $2 AND e.seq > COALESCE((SELECT cutoff_seq FROM last), 0)
           ), days AS (
               SELECT day, max(seq) AS cutoff_seq
               FROM open_entries
               WHERE kind <> 'SETTLEMENT_RELEASE' AND day < $4
               GROUP BY day
           )
           SELECT d.day AS "day!", d.cutoff_seq AS "cutoff_seq!", -e.balance_after_minor AS "owed_minor!",
                  COALESCE((SELECT sum(o.amount_minor)::bigint FROM open_entries o
                            WHERE o.kind = 'SETTLEMENT_RELEASE' AND o.seq > d.cutoff_seq), 0) AS "released_since_minor!"
           FROM days d
           JOIN entries e ON e.book_id = $1 AND e.account_id = $2 AND e.seq = d.cutoff_seq
           ORDER BY d.day"#,
        book.0,
        pending.0,
        currency.as_str(),
        today
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| DueDay { day: r.day, cutoff_seq: r.cutoff_seq, owed_minor: r.owed_minor, released_since_minor: r.released_since_minor })
        .collect())
}

/// Writes a book's batches. One statement; a second batch for a day is refused by `settlement_batches_once`.
pub(super) async fn insert_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    currency: Currency,
    batches: &[(BatchId, Release)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = batches.iter().map(|(id, _)| id.0).collect();
    let days: Vec<NaiveDate> = batches.iter().map(|(_, r)| r.day).collect();
    let cutoffs: Vec<i64> = batches.iter().map(|(_, r)| r.cutoff_seq).collect();
    let released: Vec<i64> = batches.iter().map(|(_, r)| r.released_minor).collect();
    sqlx::query!(
        "INSERT INTO settlement_batches (book_id, batch_id, day, currency, cutoff_seq, released_minor, created_at)
         SELECT $1, b.batch_id, b.day, $2, b.cutoff_seq, b.released_minor, $7
         FROM UNNEST($3::uuid[], $4::date[], $5::bigint[], $6::bigint[]) AS b (batch_id, day, cutoff_seq, released_minor)",
        book.0,
        currency.as_str(),
        &ids,
        &days,
        &cutoffs,
        &released,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}
