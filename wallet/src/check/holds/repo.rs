//! The SQL of the rules about holds and reversals.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

/// Within a scope, a hold's captures are only those of the scope: that they are at most what the hold says. Open holds are few, so their
/// sum and their time are judged whenever one looks. Late is a hold that still stands when something was posted well after its time: a
/// system that stands still is late with nothing, and a sandbox's day may be another than ours.
pub(super) async fn holds_resolve_once(tx: &mut PgConnection, scope: &Scope, grace_s: i32) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH captures AS (
               SELECT p.book_id, p.hold_id, p.posting_id
               FROM postings p
               WHERE p.hold_id IS NOT NULL AND ($1::text IS NULL OR (p.xid > $1::text::xid8 AND p.xid < $2::text::xid8))
           ), booked AS (
               SELECT c.book_id, c.hold_id, h.hold_id IS NOT NULL AS known, COALESCE(sum(-a.side * e.amount_minor), 0) AS captured_minor
               FROM captures c
               LEFT JOIN holds h USING (book_id, hold_id)
               LEFT JOIN entries e ON e.book_id = c.book_id AND e.posting_id = c.posting_id AND e.account_id = h.account_id
               LEFT JOIN accounts a ON a.book_id = e.book_id AND a.account_id = e.account_id
               GROUP BY c.book_id, c.hold_id, h.hold_id
           ), judged AS (
               SELECT h.*, names.booked_minor
               FROM (SELECT book_id, hold_id, sum(captured_minor) AS booked_minor
                     FROM (SELECT book_id, hold_id, 0 AS captured_minor FROM holds WHERE $1 IS NULL OR state = 'HELD'
                           UNION ALL
                           SELECT book_id, hold_id, captured_minor FROM booked) AS named
                     GROUP BY book_id, hold_id) AS names
               JOIN holds h USING (book_id, hold_id)
           ), open AS (
               SELECT book_id, account_id, sum(amount_minor - captured_minor) AS open_minor FROM holds WHERE state = 'HELD' GROUP BY book_id, account_id
           ), touched AS (
               SELECT e.book_id, e.account_id
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               WHERE $1 IS NOT NULL AND p.xid > $1::text::xid8 AND p.xid < $2::text::xid8
           ), clock AS (
               SELECT recorded_at AS business_now FROM postings ORDER BY xid DESC LIMIT 1
           ), bad AS (
               SELECT format('%s hold %s of book %s says %s of %s is captured, its postings took %s',
                             state, hold_id, book_id, captured_minor, amount_minor, booked_minor) AS violation
               FROM judged
               WHERE captured_minor > amount_minor
                  OR CASE WHEN $1 IS NULL THEN captured_minor <> booked_minor ELSE captured_minor < booked_minor END
               UNION ALL
               SELECT format('hold %s of book %s is %s with %s of %s captured, since %s', hold_id, book_id, state, captured_minor, amount_minor, resolved_at)
               FROM judged
               WHERE CASE state
                         WHEN 'HELD' THEN captured_minor = amount_minor OR resolved_at IS NOT NULL
                         WHEN 'CAPTURED' THEN captured_minor = 0 OR resolved_at IS NULL
                         WHEN 'EXPIRED' THEN captured_minor = amount_minor OR resolved_at IS NULL OR resolved_at < expires_at
                         ELSE captured_minor = amount_minor OR resolved_at IS NULL
                     END
               UNION ALL
               SELECT format('hold %s of book %s should have ended at %s', hold_id, book_id, expires_at)
               FROM judged, clock WHERE state = 'HELD' AND expires_at < business_now - make_interval(secs => $3::integer)
               UNION ALL
               SELECT format('hold %s of book %s is used by postings, but does not exist', hold_id, book_id) FROM booked WHERE NOT known
               UNION ALL
               SELECT format('%s account %s of book %s keeps %s for holds, open ones add up to %s',
                             a.kind, a.account_id, a.book_id, a.held_minor, names.open_minor)
               FROM (SELECT book_id, account_id, sum(open_minor) AS open_minor
                     FROM (SELECT book_id, account_id, 0 AS open_minor FROM accounts WHERE $1 IS NULL
                           UNION ALL
                           SELECT book_id, account_id, 0 FROM touched
                           UNION ALL
                           SELECT book_id, account_id, open_minor FROM open) AS named
                     GROUP BY book_id, account_id) AS names
               JOIN accounts a USING (book_id, account_id)
               WHERE a.held_minor <> names.open_minor
           )
           SELECT (SELECT count(*) FROM judged) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before(),
        grace_s
    )
    .fetch_one(tx)
    .await
}

/// Each posting that was taken back in the scope, with all that was ever taken back of it.
pub(super) async fn reversals_fit(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT * FROM postings
               WHERE (reversal_of IS NOT NULL OR kind = 'REVERSAL') AND ($1::text IS NULL OR (xid > $1::text::xid8 AND xid < $2::text::xid8))
           ), originals AS (
               SELECT DISTINCT book_id, reversal_of AS posting_id FROM scope WHERE reversal_of IS NOT NULL
           ), taken AS (
               SELECT o.book_id, o.posting_id, e.line, sum(e.amount_minor) AS taken_minor, min(e.amount_minor) AS least_minor,
                      max(e.amount_minor) AS most_minor, bool_and(e.account_id = x.account_id) AS same_account, x.amount_minor
               FROM originals o
               JOIN postings r ON r.book_id = o.book_id AND r.reversal_of = o.posting_id
               JOIN entries e ON e.book_id = r.book_id AND e.posting_id = r.posting_id
               LEFT JOIN entries x ON x.book_id = o.book_id AND x.posting_id = o.posting_id AND x.line = e.line
               GROUP BY o.book_id, o.posting_id, e.line, x.amount_minor
           ), bad AS (
               SELECT format('%s posting %s of book %s takes back %s', s.kind, s.posting_id, s.book_id, COALESCE(s.reversal_of::text, 'nothing')) AS violation
               FROM scope s WHERE (s.kind = 'REVERSAL') <> (s.reversal_of IS NOT NULL)
               UNION ALL
               SELECT format('posting %s of book %s is taken back, but is %s', o.posting_id, o.book_id, COALESCE('itself a ' || p.kind, 'missing'))
               FROM originals o
               LEFT JOIN postings p USING (book_id, posting_id)
               WHERE p.kind IS NULL OR p.kind = 'REVERSAL' OR p.reversal_of IS NOT NULL
               UNION ALL
               SELECT format('of line %s of posting %s of book %s, %s, %s is taken back%s', line, posting_id, book_id,
                             COALESCE(amount_minor::text, 'which does not exist'), taken_minor, CASE WHEN same_account THEN '' ELSE ' from another account' END)
               FROM taken
               WHERE amount_minor IS NULL OR NOT same_account OR abs(taken_minor) > abs(amount_minor)
                  OR CASE WHEN amount_minor > 0 THEN most_minor > 0 ELSE least_minor < 0 END
           )
           SELECT (SELECT count(*) FROM scope) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}
