//! The SQL of the rules about what lies between books.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

/// What a programme pays of an order comes with its payment; which payments those are is the rule of the budgets (R4.BUDGET).
pub(super) async fn postings_keep_to_their_book(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT book_id, posting_id, kind FROM postings WHERE $1::text IS NULL OR (xid > $1::text::xid8 AND xid < $2::text::xid8)
           ), legs AS (
               SELECT s.book_id, s.posting_id, s.kind, e.account_id, a.kind AS account_kind
               FROM scope s
               JOIN entries e USING (book_id, posting_id)
               LEFT JOIN accounts a USING (book_id, account_id)
           ), bad AS (
               SELECT format('posting %s of book %s has an entry of account %s, which is not of this book', posting_id, book_id, account_id) AS violation
               FROM legs WHERE account_kind IS NULL
               UNION ALL
               SELECT format('%s posting %s of book %s %s what is under way to other books', kind, posting_id, book_id,
                             CASE WHEN bool_or(account_kind = 'BOOKS_IN_TRANSIT') THEN 'touches' ELSE 'does not touch' END)
               FROM legs
               GROUP BY kind, posting_id, book_id
               HAVING kind <> 'PAYMENT'
                  AND COALESCE(bool_or(account_kind = 'BOOKS_IN_TRANSIT'), false)
                          <> (kind IN ('TRANSFER_OUT', 'TRANSFER_IN', 'SUBSIDY_USED', 'SUBSIDY_RETURNED'))
               UNION ALL
               SELECT format('posting %s lies in book %s, which does not exist', posting_id, book_id)
               FROM scope WHERE NOT EXISTS (SELECT 1 FROM books b WHERE b.book_id = scope.book_id)
           )
           SELECT (SELECT count(*) FROM scope) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// Books are few beside entries: all of them, each time.
pub(super) async fn stripes_stand_in_a_row(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH owners AS (
               SELECT owner_id, count(*) AS books, count(DISTINCT stripe) AS stripes, max(stripe) AS last_stripe,
                      max(stripes) FILTER (WHERE stripe = 0) AS declared, bool_or(stripe = 0 AND book_id = owner_id) AS own_first,
                      count(DISTINCT kind) AS kinds
               FROM books
               GROUP BY owner_id
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('owner %s has %s books on %s stripes up to %s, %s are declared', owner_id, books, stripes, last_stripe,
                                      COALESCE(declared::text, 'none'))
                        FROM owners
                        WHERE books <> stripes OR last_stripe <> stripes - 1 OR declared IS DISTINCT FROM stripes OR NOT own_first OR kinds <> 1
                        LIMIT 21) AS "violations!"
           FROM owners"#
    )
    .fetch_one(tx)
    .await
}

/// Transfers of postings in the scope and, each time, those that are under way. A posting of the second leg comes before the row says so.
pub(super) async fn transfers_have_their_legs(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH under_way AS (
               SELECT transfer_id, kind, book_id, encode(set_byte(h, 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid AS posting_id
               FROM (SELECT t.transfer_id, k.kind, CASE k.kind WHEN 'TRANSFER_OUT' THEN t.book_id ELSE t.to_book_id END AS book_id,
                            substr(uuid_send(t.transfer_id), 1, 8)
                                || substr(sha256(convert_to(k.kind || E'\x1f', 'UTF8') || uuid_send(t.transfer_id)), 1, 8) AS h
                     FROM transfers t, (VALUES ('TRANSFER_OUT'), ('TRANSFER_IN')) AS k (kind)
                     WHERE t.status = 'SENT' AND $1::text IS NOT NULL) AS named
           ), legs AS (
               SELECT p.book_id, p.reference_id AS transfer_id, p.kind, p.posting_id, a.kind AS account_kind, a.currency, e.amount_minor
               FROM (SELECT book_id, posting_id FROM postings
                     WHERE kind IN ('TRANSFER_OUT', 'TRANSFER_IN') AND ($1 IS NULL OR (xid > $1::text::xid8 AND xid < $2::text::xid8))
                     UNION
                     SELECT book_id, posting_id FROM under_way) AS names
               JOIN postings p USING (book_id, posting_id)
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
           ), booked AS (
               SELECT transfer_id, kind, book_id, count(DISTINCT posting_id) AS times, count(*) AS entries,
                      min(currency) AS currency, max(currency) AS other_currency,
                      sum(amount_minor) FILTER (WHERE account_kind = 'BOOKS_IN_TRANSIT') AS transit_minor,
                      min(account_kind) FILTER (WHERE account_kind <> 'BOOKS_IN_TRANSIT') AS account_kind
               FROM legs
               GROUP BY transfer_id, kind, book_id
           ), wanted AS (
               SELECT t.transfer_id, k.kind, CASE k.kind WHEN 'TRANSFER_OUT' THEN t.book_id ELSE t.to_book_id END AS book_id,
                      CASE k.kind WHEN 'TRANSFER_OUT' THEN t.from_kind ELSE t.to_kind END AS account_kind,
                      CASE k.kind WHEN 'TRANSFER_OUT' THEN -t.amount_minor ELSE t.amount_minor END AS transit_minor,
                      t.currency, k.kind = 'TRANSFER_OUT' OR t.status = 'ARRIVED' AS must
               FROM transfers t, (VALUES ('TRANSFER_OUT'), ('TRANSFER_IN')) AS k (kind)
               WHERE $1 IS NULL OR t.status = 'SENT' OR t.transfer_id IN (SELECT transfer_id FROM booked)
           ), compared AS (
               SELECT transfer_id, kind, book_id, w.must, b.times,
                      b.times = 1 AND b.entries = 2 AND b.currency = w.currency AND b.other_currency = w.currency
                          AND b.transit_minor = w.transit_minor AND b.account_kind = w.account_kind AS right_so
               FROM wanted w
               FULL JOIN booked b USING (transfer_id, kind, book_id)
               WHERE $1 IS NULL OR b.transfer_id IS NOT NULL OR EXISTS (SELECT 1 FROM transfers t WHERE t.transfer_id = w.transfer_id AND t.status = 'SENT')
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT CASE
                            WHEN times IS NULL THEN format('%s %s is not booked in book %s', kind, transfer_id, book_id)
                            WHEN must IS NULL THEN format('%s %s is booked in book %s, but there is no such transfer', kind, transfer_id, book_id)
                            ELSE format('%s %s is booked in book %s otherwise than the transfer says', kind, transfer_id, book_id)
                        END
                        FROM compared
                        WHERE CASE WHEN times IS NULL THEN must ELSE must IS NULL OR NOT right_so END
                        LIMIT 21) AS "violations!"
           FROM compared"#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// What left one book and has not reached the other, over all books. In-transit accounts are as few as books.
pub(super) async fn transit_adds_up(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH under_way AS (
               SELECT t.currency, sum(t.amount_minor) AS sum_minor
               FROM (SELECT to_book_id, currency, amount_minor,
                            substr(uuid_send(transfer_id), 1, 8)
                                || substr(sha256(convert_to(E'TRANSFER_IN\x1f', 'UTF8') || uuid_send(transfer_id)), 1, 8) AS h
                     FROM transfers WHERE status = 'SENT') AS t
               WHERE NOT EXISTS (SELECT 1 FROM postings p
                                 WHERE p.book_id = t.to_book_id
                                   AND p.posting_id = encode(set_byte(t.h, 8, (get_byte(t.h, 8) & 63) | 128), 'hex')::uuid)
               GROUP BY t.currency
           ), transit AS (
               SELECT currency, -sum(balance_minor) AS sum_minor FROM accounts WHERE kind = 'BOOKS_IN_TRANSIT' GROUP BY currency
           ), compared AS (
               SELECT currency, COALESCE(t.sum_minor, 0) AS transit_minor, COALESCE(u.sum_minor, 0) AS under_way_minor
               FROM transit t
               FULL JOIN under_way u USING (currency)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s %s is under way between books, open transfers add up to %s', transit_minor, currency, under_way_minor)
                        FROM compared WHERE transit_minor <> under_way_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}
