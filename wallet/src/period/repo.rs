//! The SQL of closing: a book's row is locked before its accounts, and accounts in (book, account) order as everywhere.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::rules::{Closing, Month, Movement, OpenAccount, TrialLine};
use crate::base::id::{AccountId, BookId};
use crate::base::money::Currency;

/// A book under its lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBook {
    pub closed_day: Option<NaiveDate>,
    pub created_at: DateTime<Utc>,
}

/// Entries of an account above `after_seq`, up to and with `to_seq`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub account: AccountId,
    pub after_seq: i64,
    pub to_seq: i64,
}

/// The next `limit` books after `after`, each with whether it has something booked through `through` that no close covers.
///
/// Looks at the first entry above each cut-off only. A later one may be of an earlier day; it is found by the next day's look at the latest.
pub(super) async fn due_books(db: &PgPool, through: NaiveDate, after: Option<BookId>, limit: i64) -> sqlx::Result<Vec<(BookId, bool)>> {
    let rows = sqlx::query!(
        r#"WITH page AS (SELECT book_id, closed_day FROM books WHERE book_id > $1 ORDER BY book_id LIMIT $2)
           SELECT b.book_id AS "book_id!",
                  COALESCE(b.closed_day < $3, true) AND EXISTS (
                      SELECT 1
                      FROM accounts a
                      LEFT JOIN LATERAL (
                          SELECT cutoff_seq FROM day_balances
                          WHERE book_id = a.book_id AND account_id = a.account_id
                          ORDER BY day DESC
                          LIMIT 1) AS last ON true
                      JOIN entries e ON e.book_id = a.book_id AND e.account_id = a.account_id AND e.seq = COALESCE(last.cutoff_seq, 0) + 1
                      JOIN postings p ON p.book_id = e.book_id AND p.posting_id = e.posting_id
                      WHERE a.book_id = b.book_id AND a.seq > COALESCE(last.cutoff_seq, 0) AND p.accounting_date <= $3) AS "due!"
           FROM page b
           ORDER BY b.book_id"#,
        after.map_or(Uuid::nil(), |b| b.0),
        limit,
        through
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), r.due)).collect())
}

/// Locks a book's row against another close and against new accounts, which take it in share mode. Foreign keys do not wait for it.
pub(super) async fn lock_book_in_tx(tx: &mut PgConnection, book: BookId) -> sqlx::Result<Option<OpenBook>> {
    sqlx::query_as!(OpenBook, "SELECT closed_day, created_at FROM books WHERE book_id = $1 FOR NO KEY UPDATE", book.0)
        .fetch_optional(tx)
        .await
}

/// A book's accounts with where their last closed day left them. Not locked: entries may follow.
pub(super) async fn accounts(db: &PgPool, book: BookId) -> sqlx::Result<Vec<OpenAccount>> {
    sqlx::query_as!(
        OpenAccount,
        r#"SELECT a.account_id AS "id: AccountId", a.currency AS "currency: Currency", a.seq,
                  COALESCE(last.cutoff_seq, 0) AS "cutoff_seq!", COALESCE(last.balance_minor, 0) AS "balance_minor!"
           FROM accounts a
           LEFT JOIN LATERAL (
               SELECT cutoff_seq, balance_minor FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id
               ORDER BY day DESC
               LIMIT 1) AS last ON true
           WHERE a.book_id = $1
           ORDER BY a.account_id"#,
        book.0
    )
    .fetch_all(db)
    .await
}

/// The same under their locks: once this returns, nothing is being posted to the book and nothing will be until the transaction ends.
///
/// The book's row is locked, so no account can be added and no day closed while this waits: what is joined is not older than that.
pub(super) async fn lock_accounts_in_tx(tx: &mut PgConnection, book: BookId) -> sqlx::Result<Vec<OpenAccount>> {
    sqlx::query_as!(
        OpenAccount,
        r#"SELECT a.account_id AS "id: AccountId", a.currency AS "currency: Currency", a.seq,
                  COALESCE(last.cutoff_seq, 0) AS "cutoff_seq!", COALESCE(last.balance_minor, 0) AS "balance_minor!"
           FROM accounts a
           LEFT JOIN LATERAL (
               SELECT cutoff_seq, balance_minor FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id
               ORDER BY day DESC
               LIMIT 1) AS last ON true
           WHERE a.book_id = $1
           ORDER BY a.account_id
           FOR NO KEY UPDATE OF a"#,
        book.0
    )
    .fetch_all(tx)
    .await
}

/// Folds ranges of entries by account and accounting date.
///
/// A posting is counted with its first line: that is line 1, but for a reversal, whose lines keep the numbers of those they take back.
/// `LIMIT` stays: it keeps the planner from reading all postings of the book to look up those of the range.
pub(super) async fn fold(db: impl PgExecutor<'_>, book: BookId, ranges: &[Range]) -> sqlx::Result<Vec<Movement>> {
    let accounts: Vec<Uuid> = ranges.iter().map(|r| r.account.0).collect();
    let afters: Vec<i64> = ranges.iter().map(|r| r.after_seq).collect();
    let tos: Vec<i64> = ranges.iter().map(|r| r.to_seq).collect();
    sqlx::query_as!(
        Movement,
        r#"SELECT e.account_id AS "account!: AccountId", p.accounting_date AS "day!",
                  min(e.seq) AS "first_seq!", max(e.seq) AS "last_seq!",
                  COALESCE(sum(e.amount_minor) FILTER (WHERE e.amount_minor > 0), 0)::bigint AS "debits_minor!",
                  COALESCE(-sum(e.amount_minor) FILTER (WHERE e.amount_minor < 0), 0)::bigint AS "credits_minor!",
                  count(*) FILTER (WHERE e.line = 1 OR (p.reversal_of IS NOT NULL AND NOT EXISTS (
                      SELECT 1 FROM entries o WHERE o.book_id = e.book_id AND o.posting_id = e.posting_id AND o.line < e.line))) AS "postings!",
                  min(p.business_date) AS "business_from!", max(p.business_date) AS "business_to!",
                  min(p.recorded_at) AS "recorded_from!", max(p.recorded_at) AS "recorded_to!"
           FROM UNNEST($2::uuid[], $3::bigint[], $4::bigint[]) AS r (account_id, after_seq, to_seq)
           JOIN entries e ON e.book_id = $1 AND e.account_id = r.account_id AND e.seq > r.after_seq AND e.seq <= r.to_seq
           CROSS JOIN LATERAL (
               SELECT reversal_of, accounting_date, business_date, recorded_at FROM postings
               WHERE book_id = e.book_id AND posting_id = e.posting_id
               LIMIT 1) AS p
           GROUP BY e.account_id, p.accounting_date"#,
        book.0,
        &accounts,
        &afters,
        &tos
    )
    .fetch_all(db)
    .await
}

/// Writes closed days and tells the book and all its accounts, where postings look. One statement.
pub(super) async fn close_days_in_tx(tx: &mut PgConnection, book: BookId, closing: &Closing, now: DateTime<Utc>) -> sqlx::Result<()> {
    let days: Vec<NaiveDate> = closing.days.iter().map(|d| d.day).collect();
    let from_days: Vec<NaiveDate> = closing.days.iter().map(|d| d.from_day).collect();
    let postings: Vec<i64> = closing.days.iter().map(|d| d.postings).collect();
    let balances = &closing.balances;
    let moved_days: Vec<NaiveDate> = balances.iter().map(|b| b.movement.day).collect();
    let accounts: Vec<Uuid> = balances.iter().map(|b| b.movement.account.0).collect();
    let first_seqs: Vec<i64> = balances.iter().map(|b| b.movement.first_seq).collect();
    let last_seqs: Vec<i64> = balances.iter().map(|b| b.movement.last_seq).collect();
    let cutoffs: Vec<i64> = balances.iter().map(|b| b.cutoff_seq).collect();
    let debits: Vec<i64> = balances.iter().map(|b| b.movement.debits_minor).collect();
    let credits: Vec<i64> = balances.iter().map(|b| b.movement.credits_minor).collect();
    let sums: Vec<i64> = balances.iter().map(|b| b.balance_minor).collect();
    let business_froms: Vec<NaiveDate> = balances.iter().map(|b| b.movement.business_from).collect();
    let business_tos: Vec<NaiveDate> = balances.iter().map(|b| b.movement.business_to).collect();
    let recorded_froms: Vec<DateTime<Utc>> = balances.iter().map(|b| b.movement.recorded_from).collect();
    let recorded_tos: Vec<DateTime<Utc>> = balances.iter().map(|b| b.movement.recorded_to).collect();
    sqlx::query!(
        "WITH closes AS (
             INSERT INTO day_closes (book_id, day, from_day, postings, closed_at)
             SELECT $1, d.day, d.from_day, d.postings, $2
             FROM UNNEST($3::date[], $4::date[], $5::bigint[]) AS d (day, from_day, postings)
         ), balances AS (
             INSERT INTO day_balances (book_id, day, account_id, first_seq, last_seq, cutoff_seq, debits_minor, credits_minor, balance_minor,
                                       business_from, business_to, recorded_from, recorded_to)
             SELECT $1, b.*
             FROM UNNEST($6::date[], $7::uuid[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                         $14::date[], $15::date[], $16::timestamptz[], $17::timestamptz[]) AS b
         ), book AS (
             UPDATE books SET closed_day = (SELECT max(day) FROM UNNEST($3::date[]) AS d (day)) WHERE book_id = $1
         )
         UPDATE accounts SET closed_day = (SELECT max(day) FROM UNNEST($3::date[]) AS d (day)) WHERE book_id = $1",
        book.0,
        now,
        &days,
        &from_days,
        &postings,
        &moved_days,
        &accounts,
        &first_seqs,
        &last_seqs,
        &cutoffs,
        &debits,
        &credits,
        &sums,
        &business_froms,
        &business_tos,
        &recorded_froms,
        &recorded_tos
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The next `limit` books after `after`, each with the first day through `through` that has postings and lies in no closed month.
pub(super) async fn books_with_open_months(
    db: &PgPool,
    through: NaiveDate,
    after: Option<BookId>,
    limit: i64,
) -> sqlx::Result<Vec<(BookId, Option<NaiveDate>)>> {
    let rows = sqlx::query!(
        r#"SELECT b.book_id, (
               SELECT min(c.day) FROM day_closes c
               WHERE c.book_id = b.book_id AND c.postings > 0 AND c.day <= $3
                 AND c.day >= COALESCE((SELECT (max(m.month) + interval '1 month')::date FROM month_closes m WHERE m.book_id = b.book_id),
                                       '-infinity'::date)) AS first_day
           FROM (SELECT book_id FROM books WHERE book_id > $1 ORDER BY book_id LIMIT $2) AS b
           ORDER BY b.book_id"#,
        after.map_or(Uuid::nil(), |b| b.0),
        limit,
        through
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), r.first_day)).collect())
}

/// What is known of a book's months. Read under the book's lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenMonths {
    /// First day of the last closed month.
    pub closed: Option<NaiveDate>,
    /// The first day after it that has postings.
    pub first_busy: Option<NaiveDate>,
    pub opened: NaiveDate,
}

/// What is closed and what would be next. `opened` is the first day of the book's first close.
pub(super) async fn open_months_in_tx(tx: &mut PgConnection, book: BookId) -> sqlx::Result<Option<OpenMonths>> {
    sqlx::query_as!(
        OpenMonths,
        r#"SELECT m.closed, c.opened AS "opened!",
                  (SELECT min(day) FROM day_closes
                   WHERE book_id = $1 AND postings > 0 AND day >= COALESCE((m.closed + interval '1 month')::date, '-infinity'::date)) AS first_busy
           FROM (SELECT max(month) AS closed FROM month_closes WHERE book_id = $1) AS m,
                (SELECT min(from_day) AS opened FROM day_closes WHERE book_id = $1) AS c
           WHERE c.opened IS NOT NULL"#,
        book.0
    )
    .fetch_optional(tx)
    .await
}

/// The trial balance of a book between two closed days: what was brought forward and carried forward from the balances of the days, and
/// what moved from their debits and credits. An account that never moved has no line.
pub(super) async fn trial_balance_in_tx(tx: &mut PgConnection, book: BookId, month: Month) -> sqlx::Result<Vec<TrialLine>> {
    sqlx::query_as!(
        TrialLine,
        r#"SELECT a.account_id AS "account: AccountId", a.currency AS "currency: Currency", COALESCE(opening.balance_minor, 0) AS "opening_minor!",
                  moved.debits_minor AS "debits_minor!", moved.credits_minor AS "credits_minor!", closing.balance_minor AS "closing_minor!"
           FROM accounts a
           JOIN LATERAL (
               SELECT balance_minor FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id AND day <= $3
               ORDER BY day DESC
               LIMIT 1) AS closing ON true
           LEFT JOIN LATERAL (
               SELECT balance_minor FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id AND day < $2
               ORDER BY day DESC
               LIMIT 1) AS opening ON true
           CROSS JOIN LATERAL (
               SELECT COALESCE(sum(debits_minor), 0)::bigint AS debits_minor, COALESCE(sum(credits_minor), 0)::bigint AS credits_minor
               FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id AND day BETWEEN $2 AND $3) AS moved
           WHERE a.book_id = $1
           ORDER BY a.account_id"#,
        book.0,
        month.first_day(),
        month.last_day()
    )
    .fetch_all(tx)
    .await
}

/// Writes a closed month with its trial balance. One statement.
pub(super) async fn close_month_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    (from_month, month): (Month, Month),
    lines: &[TrialLine],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let accounts: Vec<Uuid> = lines.iter().map(|l| l.account.0).collect();
    let openings: Vec<i64> = lines.iter().map(|l| l.opening_minor).collect();
    let debits: Vec<i64> = lines.iter().map(|l| l.debits_minor).collect();
    let credits: Vec<i64> = lines.iter().map(|l| l.credits_minor).collect();
    let closings: Vec<i64> = lines.iter().map(|l| l.closing_minor).collect();
    sqlx::query!(
        "WITH closed AS (INSERT INTO month_closes (book_id, month, from_month, closed_at) VALUES ($1, $2, $3, $4))
         INSERT INTO month_balances (book_id, month, account_id, opening_minor, debits_minor, credits_minor, closing_minor)
         SELECT $1, $2, l.account_id, l.opening_minor, l.debits_minor, l.credits_minor, l.closing_minor
         FROM UNNEST($5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
             AS l (account_id, opening_minor, debits_minor, credits_minor, closing_minor)",
        book.0,
        month.first_day(),
        from_month.first_day(),
        now,
        &accounts,
        &openings,
        &debits,
        &credits,
        &closings
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The books of an owner, in the order their rows are locked.
pub(super) async fn books_of(db: impl PgExecutor<'_>, owner: Uuid) -> sqlx::Result<Vec<BookId>> {
    let books = sqlx::query_scalar!("SELECT book_id FROM books WHERE owner_id = $1 ORDER BY book_id", owner).fetch_all(db).await?;
    Ok(books.into_iter().map(BookId).collect())
}
