//! The SQL of the rules about closed days and months. A day is told by the accounting date alone.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

pub(super) async fn closes_in_order(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT book_id FROM books WHERE $1::text IS NULL
               UNION ALL
               SELECT DISTINCT book_id FROM postings WHERE $1 IS NOT NULL AND xid > $1::text::xid8 AND xid < $2::text::xid8
           ), days AS (
               SELECT c.*, lag(day) OVER book AS day_before, max(day) OVER (PARTITION BY book_id) AS last_day
               FROM day_closes c
               JOIN scope USING (book_id)
               WINDOW book AS (PARTITION BY book_id ORDER BY day)
           ), months AS (
               SELECT c.*, lag(month) OVER book AS month_before
               FROM month_closes c
               JOIN scope USING (book_id)
               WINDOW book AS (PARTITION BY book_id ORDER BY month)
           ), lasts AS (
               SELECT b.book_id, b.closed_day, max(c.day) AS last_day
               FROM scope
               JOIN books b USING (book_id)
               LEFT JOIN day_closes c USING (book_id)
               GROUP BY b.book_id, b.closed_day
           ), bad AS (
               SELECT format('the close of %s of book %s begins on %s, the one before ended on %s', day, book_id, from_day, day_before) AS violation
               FROM days WHERE from_day <> day_before + 1 OR from_day > day
               UNION ALL
               SELECT format('book %s is closed through %s, its last close is that of %s', book_id, COALESCE(closed_day::text, 'no day'),
                             COALESCE(last_day::text, 'no day'))
               FROM lasts WHERE closed_day IS DISTINCT FROM last_day
               UNION ALL
               SELECT format('%s account %s of book %s is told that it is closed through %s, the book is through %s', a.kind, a.account_id, a.book_id,
                             COALESCE(a.closed_day::text, 'no day'), COALESCE(l.closed_day::text, 'no day'))
               FROM lasts l
               JOIN accounts a USING (book_id)
               WHERE a.closed_day IS DISTINCT FROM l.closed_day
               UNION ALL
               SELECT format('the close of %s of book %s begins with %s, the one before ended with %s', to_char(month, 'YYYY-MM'), book_id,
                             to_char(from_month, 'YYYY-MM'), to_char(month_before, 'YYYY-MM'))
               FROM months WHERE from_month <> month_before + interval '1 month' OR from_month > month
               UNION ALL
               SELECT format('%s of book %s is closed, its days only through %s', to_char(m.month, 'YYYY-MM'), m.book_id, COALESCE(l.last_day::text, 'no day'))
               FROM months m
               CROSS JOIN LATERAL (SELECT max(c.day) AS last_day FROM day_closes c WHERE c.book_id = m.book_id) AS l
               WHERE l.last_day IS NULL OR l.last_day < m.month + interval '1 month' - interval '1 day'
           )
           SELECT (SELECT count(*) FROM days) + (SELECT count(*) FROM months) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// Entries booked on a closed day lie where the close found them; a posting is booked on the day it was written down (or the one beside it, where midnight fell between two looks at the clock), or on the first
/// open one after it: after the last closed day of its book, and after the last sealed day of all.
pub(super) async fn closed_days_stand(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT p.*, b.closed_day, (p.recorded_at AT TIME ZONE 'Asia/Shanghai')::date AS recorded_day
               FROM postings p
               LEFT JOIN books b USING (book_id)
               WHERE $1::text IS NULL OR (p.xid > $1::text::xid8 AND p.xid < $2::text::xid8)
           ), bad AS (
               SELECT format('entry %s of account %s of book %s is booked on %s, which was closed without it', e.seq, e.account_id, e.book_id, s.accounting_date)
                   AS violation
               FROM scope s
               JOIN entries e USING (book_id, posting_id)
               LEFT JOIN day_balances d ON d.book_id = e.book_id AND d.account_id = e.account_id AND d.day = s.accounting_date
               WHERE s.accounting_date <= s.closed_day AND (d.day IS NULL OR e.seq NOT BETWEEN d.first_seq AND d.last_seq)
               UNION ALL
               SELECT format('posting %s of book %s was written down on %s and is booked on %s', posting_id, book_id, recorded_day, accounting_date)
               FROM scope
               WHERE accounting_date < recorded_day - 1 OR accounting_date > GREATEST(recorded_day + 1, closed_day + 1, (SELECT max(day) + 1 FROM log_seals))
           )
           SELECT (SELECT count(*) FROM scope) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn day_figures(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH by_day AS (
               SELECT e.book_id, e.account_id, p.accounting_date AS day, min(e.seq) AS first_seq, max(e.seq) AS last_seq,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE e.amount_minor > 0), 0) AS debits_minor,
                      COALESCE(-sum(e.amount_minor) FILTER (WHERE e.amount_minor < 0), 0) AS credits_minor,
                      min(p.business_date) AS business_from, max(p.business_date) AS business_to,
                      min(p.recorded_at) AS recorded_from, max(p.recorded_at) AS recorded_to
               FROM entries e
               JOIN postings p USING (book_id, posting_id)
               WHERE e.book_id IN (SELECT book_id FROM day_closes)
               GROUP BY e.book_id, e.account_id, p.accounting_date
           ), counted AS (
               SELECT c.*, sum(debits_minor - credits_minor) OVER (PARTITION BY book_id, account_id ORDER BY day) AS balance_minor,
                      COALESCE(min(first_seq) OVER (PARTITION BY book_id, account_id ORDER BY day ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) - 1,
                               max(last_seq) OVER (PARTITION BY book_id, account_id)) AS cutoff_seq
               FROM by_day c
           ), closed AS (
               SELECT c.* FROM counted c JOIN books b USING (book_id) WHERE c.day <= b.closed_day
           ), compared AS (
               SELECT book_id, account_id, day,
                      (k.first_seq, k.last_seq, k.cutoff_seq, k.debits_minor, k.credits_minor, k.balance_minor,
                       k.business_from, k.business_to, k.recorded_from, k.recorded_to)::text AS kept,
                      (c.first_seq, c.last_seq, c.cutoff_seq, c.debits_minor, c.credits_minor, c.balance_minor,
                       c.business_from, c.business_to, c.recorded_from, c.recorded_to)::text AS counted
               FROM day_balances k
               FULL JOIN closed c USING (book_id, account_id, day)
           ), booked AS (
               SELECT p.book_id, p.accounting_date AS day, count(*) AS postings
               FROM postings p
               JOIN books b USING (book_id)
               WHERE p.accounting_date <= b.closed_day
               GROUP BY p.book_id, p.accounting_date
           ), bad AS (
               SELECT format('account %s of book %s on %s: kept %s, counted %s', account_id, book_id, day, kept, counted) AS violation
               FROM compared WHERE kept IS DISTINCT FROM counted
               UNION ALL
               SELECT format('%s of book %s was closed with %s postings, it has %s', day, book_id, COALESCE(c.postings::text, 'no'), COALESCE(b.postings, 0))
               FROM day_closes c
               FULL JOIN booked b USING (book_id, day)
               WHERE COALESCE(c.postings, 0) <> COALESCE(b.postings, 0)
           )
           SELECT (SELECT count(*) FROM compared) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// From the days' figures, which [`day_figures`] holds against the entries. An account that never moved has no line.
pub(super) async fn month_figures(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH closes AS (
               SELECT book_id, month, (month + interval '1 month' - interval '1 day')::date AS last_day FROM month_closes
           ), counted AS (
               SELECT c.book_id, c.month, d.account_id,
                      COALESCE(sum(d.debits_minor - d.credits_minor) FILTER (WHERE d.day < c.month), 0) AS opening_minor,
                      COALESCE(sum(d.debits_minor) FILTER (WHERE d.day >= c.month), 0) AS debits_minor,
                      COALESCE(sum(d.credits_minor) FILTER (WHERE d.day >= c.month), 0) AS credits_minor,
                      sum(d.debits_minor - d.credits_minor) AS closing_minor
               FROM closes c
               JOIN day_balances d ON d.book_id = c.book_id AND d.day <= c.last_day
               GROUP BY c.book_id, c.month, d.account_id
           ), compared AS (
               SELECT book_id, month, account_id,
                      (k.opening_minor, k.debits_minor, k.credits_minor, k.closing_minor)::text AS kept,
                      (c.opening_minor, c.debits_minor, c.credits_minor, c.closing_minor)::text AS counted
               FROM month_balances k
               FULL JOIN counted c USING (book_id, month, account_id)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('account %s of book %s in %s: kept %s, counted %s (opening, debits, credits, closing)',
                                      account_id, book_id, to_char(month, 'YYYY-MM'), kept, counted)
                        FROM compared WHERE kept IS DISTINCT FROM counted
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}
