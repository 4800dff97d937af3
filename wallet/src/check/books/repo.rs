//! The SQL of the rules about the books themselves.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

pub(super) async fn postings_balance(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT book_id, posting_id FROM postings WHERE $1::text IS NULL OR (xid > $1::text::xid8 AND xid < $2::text::xid8)
           ), sums AS (
               SELECT s.book_id, s.posting_id, a.currency, count(e.line) AS legs, sum(e.amount_minor) AS sum_minor
               FROM scope s
               LEFT JOIN entries e USING (book_id, posting_id)
               LEFT JOIN accounts a USING (book_id, account_id)
               GROUP BY s.book_id, s.posting_id, a.currency
           ), bad AS (
               SELECT format('posting %s of book %s sums to %s %s', posting_id, book_id, sum_minor, currency) AS violation
               FROM sums WHERE sum_minor <> 0
               UNION ALL
               SELECT format('posting %s of book %s has %s entries', posting_id, book_id, sum(legs))
               FROM sums
               GROUP BY book_id, posting_id
               HAVING sum(legs) < 2
               UNION ALL
               SELECT format('posting %s of book %s has entries of accounts that do not exist', posting_id, book_id)
               FROM sums WHERE currency IS NULL AND legs > 0
               UNION ALL
               SELECT format('entry %s of account %s of book %s names posting %s, which does not exist', e.seq, e.account_id, e.book_id, e.posting_id)
               FROM entries e
               WHERE $1 IS NULL AND NOT EXISTS (SELECT 1 FROM postings p WHERE p.book_id = e.book_id AND p.posting_id = e.posting_id)
           )
           SELECT (SELECT count(*) FROM scope) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn books_balance(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT DISTINCT book_id FROM postings WHERE $1::text IS NOT NULL AND xid > $1::text::xid8 AND xid < $2::text::xid8
           ), sums AS (
               SELECT book_id, currency, sum(balance_minor) AS sum_minor
               FROM (SELECT book_id, currency, balance_minor FROM accounts WHERE $1 IS NULL
                     UNION ALL
                     SELECT book_id, currency, balance_minor FROM scope JOIN accounts USING (book_id)) AS judged
               GROUP BY book_id, currency
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('book %s sums to %s %s', book_id, sum_minor, currency) FROM sums WHERE sum_minor <> 0
                        LIMIT 21) AS "violations!"
           FROM sums"#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// Over everything. What an incremental check folds, it adds to what it kept: `marks::repo::folds`.
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

/// The chain of each account's entries: all of it, or of the accounts that changed what came after the last look, with the joint.
pub(super) async fn entries_chain(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH touched AS (
               SELECT book_id, account_id, 0::bigint AS base_seq, 0::bigint AS base_minor FROM accounts WHERE $1::text IS NULL
               UNION ALL
               SELECT t.book_id, t.account_id, COALESCE(c.seq, 0), COALESCE(c.fold_minor, 0)
               FROM (SELECT DISTINCT e.book_id, e.account_id
                     FROM postings p
                     JOIN entries e USING (book_id, posting_id)
                     WHERE $1 IS NOT NULL AND p.xid > $1::text::xid8 AND p.xid < $2::text::xid8) AS t
               LEFT JOIN checked_accounts c USING (book_id, account_id)
           ), chain AS (
               SELECT e.book_id, e.account_id, e.seq, e.amount_minor, e.balance_after_minor,
                      t.base_seq + row_number() OVER account AS place,
                      COALESCE(lag(e.balance_after_minor) OVER account, t.base_minor) AS balance_before_minor
               FROM touched t
               JOIN entries e ON e.book_id = t.book_id AND e.account_id = t.account_id AND e.seq > t.base_seq
               WINDOW account AS (PARTITION BY e.book_id, e.account_id ORDER BY e.seq)
           ), judged AS (
               SELECT count(*) AS entries,
                      count(*) FILTER (WHERE seq <> place OR balance_before_minor + amount_minor <> balance_after_minor) AS wrong
               FROM chain
           ), bad AS (
               SELECT format('entry %s of account %s of book %s stands at place %s', seq, account_id, book_id, place) AS violation
               FROM chain WHERE (SELECT wrong FROM judged) > 0 AND seq <> place
               UNION ALL
               SELECT format('entry %s of account %s of book %s: %s and %s do not make %s',
                             seq, account_id, book_id, balance_before_minor, amount_minor, balance_after_minor)
               FROM chain WHERE (SELECT wrong FROM judged) > 0 AND balance_before_minor + amount_minor <> balance_after_minor
               UNION ALL
               SELECT format('entry %s of account %s of book %s carried %s at the last check and carries %s now',
                             t.base_seq, t.account_id, t.book_id, t.base_minor, COALESCE(e.balance_after_minor::text, 'nothing'))
               FROM touched t
               LEFT JOIN entries e ON e.book_id = t.book_id AND e.account_id = t.account_id AND e.seq = t.base_seq
               WHERE t.base_seq > 0 AND e.balance_after_minor IS DISTINCT FROM t.base_minor
               UNION ALL
               SELECT format('account %s of book %s counts %s entries, the last is %s', a.account_id, a.book_id, a.seq, COALESCE(l.seq, 0))
               FROM touched t
               JOIN accounts a USING (book_id, account_id)
               LEFT JOIN LATERAL (SELECT e.seq FROM entries e WHERE e.book_id = t.book_id AND e.account_id = t.account_id
                                  ORDER BY e.seq DESC LIMIT 1) AS l ON true
               WHERE a.seq <> COALESCE(l.seq, 0)
           )
           SELECT (SELECT entries FROM judged) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// Floors now, and after every entry the floor that was in force then: the last change before it, or what the kind began with.
///
/// What was held at an entry is not kept, so the past is judged by the balance alone.
pub(super) async fn floors_hold(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH touched AS (
               SELECT e.book_id, e.account_id, e.seq, e.balance_after_minor
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               WHERE $1::text IS NOT NULL AND p.xid > $1::text::xid8 AND p.xid < $2::text::xid8
           ), judged AS (
               SELECT a.*,
                      CASE WHEN a.kind IN ('MERCHANT_PENDING', 'MERCHANT_AVAILABLE', 'ESCROW', 'REFUND_PAYABLE', 'PAYOUT_TRANSIT', 'SPLIT_FROZEN', 'SUBSIDY', 'MERCHANT_DEBT') THEN 0::bigint END AS first_floor_minor
               FROM (SELECT book_id, account_id FROM accounts WHERE $1 IS NULL
                     UNION
                     SELECT book_id, account_id FROM touched) AS names
               JOIN accounts a USING (book_id, account_id)
           ), floors AS (
               SELECT book_id, account_id, kind, side, floor_minor AS now_minor, 0::bigint AS after_seq, NULL::timestamptz AS changed_at,
                      NULL::uuid AS change_id, first_floor_minor AS floor_minor
               FROM judged
               UNION ALL
               SELECT c.book_id, c.account_id, j.kind, j.side, j.floor_minor, c.after_seq, c.changed_at, c.change_id, c.floor_minor
               FROM floor_changes c
               JOIN judged j USING (book_id, account_id)
           ), spans AS (
               SELECT book_id, account_id, kind, side, now_minor, floor_minor, after_seq, count(*) OVER (PARTITION BY book_id, account_id) > 1 AS changed,
                      lead(after_seq) OVER (PARTITION BY book_id, account_id ORDER BY after_seq, changed_at NULLS FIRST, change_id) AS to_seq
               FROM floors
           ), bad AS (
               SELECT format('%s account %s of book %s has side %s', kind, account_id, book_id, side) AS violation
               FROM judged WHERE side <> CASE WHEN kind IN ('CHANNEL_RECEIVABLE', 'BANK_CASH', 'SHARES_DUE', 'MERCHANT_DEBT') THEN 1 ELSE -1 END
               UNION ALL
               SELECT format('%s account %s of book %s has floor %s instead of %s', kind, account_id, book_id,
                             COALESCE(now_minor::text, 'none'), COALESCE(floor_minor::text, 'none'))
               FROM spans WHERE to_seq IS NULL AND now_minor IS DISTINCT FROM floor_minor
               UNION ALL
               SELECT format('%s account %s of book %s stands at %s with %s held, its floor is %s',
                             kind, account_id, book_id, side * balance_minor, held_minor, floor_minor)
               FROM judged WHERE side * balance_minor - held_minor < floor_minor
               UNION ALL
               SELECT format('%s account %s of book %s stood at %s after entry %s', a.kind, m.account_id, m.book_id, a.side * m.balance_after_minor, m.seq)
               FROM (SELECT book_id, account_id, seq, balance_after_minor FROM entries WHERE $1 IS NULL
                     UNION ALL
                     SELECT * FROM touched) AS m
               JOIN accounts a USING (book_id, account_id)
               WHERE a.kind IN ('MERCHANT_PENDING', 'MERCHANT_AVAILABLE', 'ESCROW', 'REFUND_PAYABLE', 'PAYOUT_TRANSIT', 'SPLIT_FROZEN', 'SUBSIDY', 'MERCHANT_DEBT')
                 AND a.side * m.balance_after_minor < 0
                 AND NOT EXISTS (SELECT 1 FROM floor_changes c WHERE c.book_id = a.book_id AND c.account_id = a.account_id)
               UNION ALL
               SELECT format('%s account %s of book %s stood at %s after entry %s, its floor was %s',
                             s.kind, m.account_id, m.book_id, s.side * m.balance_after_minor, m.seq, s.floor_minor)
               FROM spans s
               JOIN entries m ON m.book_id = s.book_id AND m.account_id = s.account_id
                             AND m.seq > s.after_seq AND (s.to_seq IS NULL OR m.seq <= s.to_seq)
               WHERE s.changed AND s.side * m.balance_after_minor < s.floor_minor
           )
           SELECT (SELECT count(*) FROM judged) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}
