//! The SQL of the rules about the books themselves.

use sqlx::PgConnection;

use crate::check::Found;

/// Lifts the pool's statement time limit for this transaction: a check reads whole tables.
pub(in crate::check) async fn no_time_limit(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT set_config('statement_timeout', '0', true)").fetch_one(tx).await?;
    Ok(())
}

pub(super) async fn postings_balance(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH sums AS (
               SELECT e.book_id, e.posting_id, a.currency, sum(e.amount_minor) AS sum_minor
               FROM entries e
               LEFT JOIN accounts a USING (book_id, account_id)
               GROUP BY e.book_id, e.posting_id, a.currency
           ), legs AS (
               SELECT p.book_id, p.posting_id, (SELECT count(*) FROM entries e WHERE e.book_id = p.book_id AND e.posting_id = p.posting_id) AS legs
               FROM postings p
           ), bad AS (
               SELECT format('posting %s of book %s sums to %s %s', posting_id, book_id, sum_minor, currency) AS violation
               FROM sums WHERE sum_minor <> 0
               UNION ALL
               SELECT format('posting %s of book %s has %s entries', posting_id, book_id, legs) FROM legs WHERE legs < 2
               UNION ALL
               SELECT format('entry %s of account %s of book %s names posting %s, which does not exist', e.seq, e.account_id, e.book_id, e.posting_id)
               FROM entries e
               WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.book_id = e.book_id AND p.posting_id = e.posting_id)
           )
           SELECT (SELECT count(*) FROM postings) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn books_balance(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH sums AS (
               SELECT book_id, currency, sum(balance_minor) AS sum_minor FROM accounts GROUP BY book_id, currency
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('book %s sums to %s %s', book_id, sum_minor, currency) FROM sums WHERE sum_minor <> 0
                        LIMIT 21) AS "violations!"
           FROM sums"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn balances_are_folds(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH folds AS (
               SELECT book_id, account_id, sum(amount_minor) AS sum_minor FROM entries GROUP BY book_id, account_id
           ), compared AS (
               SELECT COALESCE(a.book_id, f.book_id) AS book_id, COALESCE(a.account_id, f.account_id) AS account_id,
                      a.kind, a.balance_minor, COALESCE(f.sum_minor, 0) AS sum_minor
               FROM accounts a
               FULL JOIN folds f USING (book_id, account_id)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s account %s of book %s stores %s, its entries sum to %s',
                                      COALESCE(kind, 'missing'), account_id, book_id, COALESCE(balance_minor, 0), sum_minor)
                        FROM compared WHERE balance_minor IS DISTINCT FROM sum_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn entries_are_kept(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH rights AS (
               SELECT t.name, r.name AS privilege, has_table_privilege('haodian_app', t.name, r.name) AS held
               FROM (VALUES ('postings'), ('entries')) AS t (name), (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS r (name)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('haodian_app may %s %s', privilege, name) FROM rights WHERE held) AS "violations!"
           FROM rights"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn entries_chain(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH chain AS (
               SELECT book_id, account_id, seq, amount_minor, balance_after_minor,
                      row_number() OVER account AS place,
                      COALESCE(lag(balance_after_minor) OVER account, 0) AS balance_before_minor
               FROM entries
               WINDOW account AS (PARTITION BY book_id, account_id ORDER BY seq)
           ), lasts AS (
               SELECT book_id, account_id, max(seq) AS seq FROM entries GROUP BY book_id, account_id
           ), bad AS (
               SELECT format('entry %s of account %s of book %s stands at place %s', seq, account_id, book_id, place) AS violation
               FROM chain WHERE seq <> place
               UNION ALL
               SELECT format('entry %s of account %s of book %s: %s and %s do not make %s',
                             seq, account_id, book_id, balance_before_minor, amount_minor, balance_after_minor)
               FROM chain WHERE balance_before_minor + amount_minor <> balance_after_minor
               UNION ALL
               SELECT format('account %s of book %s counts %s entries, the last is %s', a.account_id, a.book_id, a.seq, COALESCE(l.seq, 0))
               FROM accounts a
               LEFT JOIN lasts l USING (book_id, account_id)
               WHERE a.seq <> COALESCE(l.seq, 0)
           )
           SELECT (SELECT count(*) FROM entries) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn ceilings_hold(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH liabilities AS (
               SELECT *, kind IN ('MERCHANT_PENDING', 'MERCHANT_AVAILABLE', 'REFUND_PAYABLE', 'PAYOUT_TRANSIT') AS owed FROM accounts
           ), bad AS (
               SELECT format('%s account %s of book %s stands at %s with %s held, below its floor', kind, account_id, book_id, balance_minor, held_minor) AS violation
               FROM liabilities WHERE floor_minor IS NOT NULL AND side * balance_minor - held_minor < floor_minor
               UNION ALL
               SELECT format('%s account %s of book %s stands at %s', kind, account_id, book_id, balance_minor)
               FROM liabilities WHERE owed AND balance_minor > 0
               UNION ALL
               SELECT format('%s account %s of book %s stood at %s after entry %s', l.kind, e.account_id, e.book_id, e.balance_after_minor, e.seq)
               FROM liabilities l
               JOIN entries e USING (book_id, account_id)
               WHERE l.owed AND e.balance_after_minor > 0
           )
           SELECT (SELECT count(*) FROM accounts) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}
