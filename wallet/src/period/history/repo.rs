//! The SQL of the past. Postings are looked up with a `LIMIT`: it keeps the planner from reading all of a book's to find those of few
//! entries.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::{ClosedDay, ClosedMonth, MonthLine, PeriodCursor};
use crate::base::id::BookId;
use crate::base::money::{Currency, Money};
use crate::ledger::{AccountKind, AccountName};
use crate::period::rules::Month;

/// The earliest of the days through which the owner's books are closed; none where one never was.
pub(super) async fn closed_through(db: &PgPool, owner: Uuid) -> sqlx::Result<Option<NaiveDate>> {
    sqlx::query_scalar!("SELECT CASE WHEN bool_and(closed_day IS NOT NULL) THEN min(closed_day) END FROM books WHERE owner_id = $1", owner)
        .fetch_one(db)
        .await
}

/// The closed days of an owner's books after the cursor, newest first, then by stripe.
pub(super) async fn closed_days(db: &PgPool, owner: Uuid, after: Option<PeriodCursor>, limit: i64) -> sqlx::Result<Vec<ClosedDay>> {
    let (after_day, after_stripe) = after.unzip();
    let rows = sqlx::query!(
        r#"SELECT c.day, c.from_day, b.stripe, c.postings, c.closed_at, m.currencies AS "currencies!: Vec<Currency>", m.debits AS "debits!"
           FROM books b
           JOIN day_closes c USING (book_id)
           CROSS JOIN LATERAL (
               SELECT COALESCE(array_agg(s.currency), '{}') AS currencies, COALESCE(array_agg(s.debits), '{}') AS debits
               FROM (
                   SELECT a.currency, sum(d.debits_minor)::bigint AS debits
                   FROM accounts a
                   JOIN day_balances d ON d.book_id = a.book_id AND d.account_id = a.account_id AND d.day = c.day
                   WHERE a.book_id = c.book_id
                   GROUP BY a.currency
                   ORDER BY a.currency) AS s) AS m
           WHERE b.owner_id = $1 AND ($2::date IS NULL OR c.day < $2 OR (c.day = $2 AND b.stripe > $3))
           ORDER BY c.day DESC, b.stripe
           LIMIT $4"#,
        owner,
        after_day,
        after_stripe,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| ClosedDay {
            day: r.day,
            from_day: r.from_day,
            stripe: r.stripe,
            postings: r.postings,
            debits: r.currencies.into_iter().zip(r.debits).map(|(currency, minor)| Money { minor, currency }).collect(),
            closed_at: r.closed_at,
        })
        .collect())
}

/// The closed months of an owner's books after the cursor, or one of them, newest first, then by stripe; without lines.
pub(super) async fn closed_months(
    db: &PgPool,
    owner: Uuid,
    only: Option<Month>,
    after: Option<PeriodCursor>,
    limit: i64,
) -> sqlx::Result<Vec<ClosedMonth>> {
    let (after_month, after_stripe) = after.unzip();
    let rows = sqlx::query!(
        "SELECT c.month, c.from_month, b.stripe, c.closed_at
         FROM books b
         JOIN month_closes c USING (book_id)
         WHERE b.owner_id = $1 AND ($2::date IS NULL OR c.month = $2)
           AND ($3::date IS NULL OR c.month < $3 OR (c.month = $3 AND b.stripe > $4))
         ORDER BY c.month DESC, b.stripe
         LIMIT $5",
        owner,
        only.map(Month::first_day),
        after_month,
        after_stripe,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| ClosedMonth {
            month: Month::of(r.month),
            from_month: Month::of(r.from_month),
            stripe: r.stripe,
            closed_at: r.closed_at,
            lines: Vec::new(),
        })
        .collect())
}

/// The trial balances of the given months and stripes of an owner, by account.
pub(super) async fn month_lines(db: &PgPool, owner: Uuid, keys: &[PeriodCursor]) -> sqlx::Result<Vec<(PeriodCursor, MonthLine)>> {
    let months: Vec<NaiveDate> = keys.iter().map(|(month, _)| *month).collect();
    let stripes: Vec<i16> = keys.iter().map(|(_, stripe)| *stripe).collect();
    let rows = sqlx::query!(
        r#"SELECT m.month, b.stripe, a.kind AS "kind: AccountKind", a.subject, a.currency AS "currency: Currency",
                  m.opening_minor, m.debits_minor, m.credits_minor, m.closing_minor
           FROM UNNEST($2::date[], $3::smallint[]) AS w (month, stripe)
           JOIN books b ON b.owner_id = $1 AND b.stripe = w.stripe
           JOIN month_balances m ON m.book_id = b.book_id AND m.month = w.month
           JOIN accounts a ON a.book_id = m.book_id AND a.account_id = m.account_id
           ORDER BY m.month, b.stripe, a.kind, a.subject, a.currency"#,
        owner,
        &months,
        &stripes
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let money = |minor| Money { minor, currency: r.currency };
            let line = MonthLine {
                account: r.kind,
                opening: money(r.opening_minor),
                debits: money(r.debits_minor),
                credits: money(r.credits_minor),
                closing: money(r.closing_minor),
                subject: r.subject,
            };
            ((r.month, r.stripe), line)
        })
        .collect())
}

/// For each name, the sum over the books of what was booked through `day`: the last closed day's balance, and where `day` is open what was
/// booked since its cut-off.
pub(super) async fn balances_on(db: &PgPool, books: &[BookId], names: &[AccountName], day: NaiveDate) -> sqlx::Result<Vec<i64>> {
    let books: Vec<Uuid> = books.iter().map(|b| b.0).collect();
    let kinds: Vec<&str> = names.iter().map(|n| n.kind.as_str()).collect();
    let subjects: Vec<&str> = names.iter().map(|n| n.subject.as_str()).collect();
    let currencies: Vec<&str> = names.iter().map(|n| n.currency.as_str()).collect();
    sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(COALESCE(last.balance_minor, 0) + since.minor), 0)::bigint AS "balance_minor!"
           FROM UNNEST($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (kind, subject, currency, place)
           LEFT JOIN accounts a
               ON a.book_id = ANY($1) AND a.kind = w.kind AND a.subject = w.subject AND a.currency = w.currency
           LEFT JOIN LATERAL (
               SELECT day, cutoff_seq, balance_minor FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id AND day <= $5
               ORDER BY day DESC
               LIMIT 1) AS last ON true
           LEFT JOIN LATERAL (
               SELECT COALESCE(sum(e.amount_minor), 0) AS minor
               FROM entries e
               CROSS JOIN LATERAL (
                   SELECT accounting_date, business_date, recorded_at FROM postings
                   WHERE book_id = e.book_id AND posting_id = e.posting_id
                   LIMIT 1) AS p
               WHERE COALESCE(a.closed_day < $5, true)
                 AND e.book_id = a.book_id AND e.account_id = a.account_id AND e.seq > COALESCE(last.cutoff_seq, 0)
                 AND p.accounting_date > COALESCE(last.day, '-infinity') AND p.accounting_date <= $5) AS since ON true
           GROUP BY w.place
           ORDER BY w.place"#,
        &books,
        &kinds as &[&str],
        &subjects as &[&str],
        &currencies as &[&str],
        day
    )
    .fetch_all(db)
    .await
}

/// For each name, the sum over the books of what is about `effective` or an earlier day and was recorded by `known_at`.
///
/// A closed day counts as a whole when its row says that all of it does, not at all when nothing of it can, and is read otherwise. What was
/// booked since the last cut-off is read.
pub(super) async fn balances_as_of(
    db: &PgPool,
    books: &[BookId],
    names: &[AccountName],
    effective: NaiveDate,
    known_at: DateTime<Utc>,
) -> sqlx::Result<Vec<i64>> {
    let books: Vec<Uuid> = books.iter().map(|b| b.0).collect();
    let kinds: Vec<&str> = names.iter().map(|n| n.kind.as_str()).collect();
    let subjects: Vec<&str> = names.iter().map(|n| n.subject.as_str()).collect();
    let currencies: Vec<&str> = names.iter().map(|n| n.currency.as_str()).collect();
    sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(whole.minor + part.minor + since.minor), 0)::bigint AS "balance_minor!"
           FROM UNNEST($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (kind, subject, currency, place)
           LEFT JOIN accounts a
               ON a.book_id = ANY($1) AND a.kind = w.kind AND a.subject = w.subject AND a.currency = w.currency
           LEFT JOIN LATERAL (
               SELECT COALESCE(sum(d.debits_minor - d.credits_minor), 0) AS minor
               FROM day_balances d
               WHERE d.book_id = a.book_id AND d.account_id = a.account_id AND d.business_to <= $5 AND d.recorded_to <= $6) AS whole ON true
           LEFT JOIN LATERAL (
               SELECT COALESCE(sum(e.amount_minor), 0) AS minor
               FROM day_balances d
               JOIN entries e ON e.book_id = d.book_id AND e.account_id = d.account_id AND e.seq BETWEEN d.first_seq AND d.last_seq
               CROSS JOIN LATERAL (
                   SELECT accounting_date, business_date, recorded_at FROM postings
                   WHERE book_id = e.book_id AND posting_id = e.posting_id
                   LIMIT 1) AS p
               WHERE d.book_id = a.book_id AND d.account_id = a.account_id
                 AND d.business_from <= $5 AND d.recorded_from <= $6 AND (d.business_to > $5 OR d.recorded_to > $6)
                 AND p.accounting_date = d.day AND p.business_date <= $5 AND p.recorded_at <= $6) AS part ON true
           LEFT JOIN LATERAL (
               SELECT day, cutoff_seq FROM day_balances
               WHERE book_id = a.book_id AND account_id = a.account_id
               ORDER BY day DESC
               LIMIT 1) AS last ON true
           LEFT JOIN LATERAL (
               SELECT COALESCE(sum(e.amount_minor), 0) AS minor
               FROM entries e
               CROSS JOIN LATERAL (
                   SELECT accounting_date, business_date, recorded_at FROM postings
                   WHERE book_id = e.book_id AND posting_id = e.posting_id
                   LIMIT 1) AS p
               WHERE e.book_id = a.book_id AND e.account_id = a.account_id AND e.seq > COALESCE(last.cutoff_seq, 0)
                 AND p.accounting_date > COALESCE(last.day, '-infinity') AND p.business_date <= $5 AND p.recorded_at <= $6) AS since ON true
           GROUP BY w.place
           ORDER BY w.place"#,
        &books,
        &kinds as &[&str],
        &subjects as &[&str],
        &currencies as &[&str],
        effective,
        known_at
    )
    .fetch_all(db)
    .await
}
