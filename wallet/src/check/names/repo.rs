//! The SQL of the rules about ids and digests. Written from the format, not from the code that makes them.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

pub(super) async fn account_ids(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH touched AS (
               SELECT DISTINCT e.book_id, e.account_id
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               WHERE $1::text IS NOT NULL AND p.xid > $1::text::xid8 AND p.xid < $2::text::xid8
           ), hashed AS (
               SELECT book_id, account_id, kind, subject, currency,
                      substr(sha256(uuid_send(book_id) || convert_to(concat_ws(E'\x1f', kind, subject, currency), 'UTF8')), 1, 16) AS h
               FROM (SELECT book_id, account_id FROM accounts WHERE $1 IS NULL
                     UNION ALL
                     SELECT book_id, account_id FROM touched) AS names
               JOIN accounts USING (book_id, account_id)
           ), named AS (
               SELECT book_id, account_id, kind, subject, currency,
                      encode(set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid AS named_id
               FROM hashed
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s account %s (%s, %s) of book %s should go by %s', kind, account_id, subject, currency, book_id, named_id)
                        FROM named WHERE account_id <> named_id
                        LIMIT 21) AS "violations!"
           FROM named"#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn posting_digests(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH hashed AS (
               -- one join and one grouping: rows that are gathered first and joined back to their postings are compared all with all where
               -- PostgreSQL expects few of them
               SELECT p.book_id, p.posting_id, p.kind, p.digest,
                      substr(uuid_send(p.reference_id), 1, 8)
                          || substr(sha256(convert_to(p.kind || E'\x1f', 'UTF8') || uuid_send(p.reference_id)), 1, 8) AS h,
                      sha256(convert_to(
                          concat_ws(E'\x1f', p.kind, p.reference_id, COALESCE(p.store_id::text, ''), p.business_date,
                                    COALESCE(p.reversal_of::text, ''), COALESCE(p.hold_id::text || CASE WHEN p.hold_last THEN '!' ELSE '' END, ''), COALESCE(p.metadata, ''),
                                    string_agg(e.line || ':' || e.account_id || ':' || e.amount_minor, E'\x1f' ORDER BY e.line)),
                          'UTF8')) AS said
               FROM postings p
               LEFT JOIN entries e USING (book_id, posting_id)
               WHERE $1::text IS NULL OR (p.xid > $1::text::xid8 AND p.xid < $2::text::xid8)
               GROUP BY p.book_id, p.posting_id
           ), named AS (
               SELECT *, encode(set_byte(h, 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid AS named_id FROM hashed
           ), bad AS (
               SELECT format('%s posting %s of book %s should go by %s', kind, posting_id, book_id, named_id) AS violation
               FROM named WHERE posting_id <> named_id
               UNION ALL
               SELECT format('%s posting %s of book %s is not what was asked for: its digest is another', kind, posting_id, book_id)
               FROM named WHERE digest <> said
           )
           SELECT (SELECT count(*) FROM named) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}
