//! The SQL of the rules about subsidies.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::check::Found;

/// What standing refunds give back of an order: no more of either part than was paid, the nearer fen of the programme's share where none came to
/// nothing in between, and of surplus money cash alone. The programme's part is back from the first success on.
pub(super) async fn refunds_are_cut(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH cut AS (
               SELECT r.book_id, r.order_id, o.amount_minor, o.subsidy_minor,
                      COALESCE(sum(r.amount_minor) FILTER (WHERE r.status NOT IN ('FAILED', 'CANCELLED')), 0) AS back_minor,
                      COALESCE(sum(r.subsidy_minor) FILTER (WHERE r.status NOT IN ('FAILED', 'CANCELLED')), 0) AS part_minor,
                      bool_or(r.status IN ('FAILED', 'CANCELLED')) AS broken
               FROM refunds r
               JOIN payment_attempts t ON t.book_id = r.book_id AND t.attempt_id = r.attempt_id
               JOIN orders o ON o.book_id = r.book_id AND o.order_id = r.order_id
               WHERE NOT t.surplus
               GROUP BY r.book_id, r.order_id, o.amount_minor, o.subsidy_minor
           ), gone AS (
               SELECT book_id, refund_id FROM refund_routes WHERE status IN ('SUCCEEDED', 'BOUNCED') GROUP BY book_id, refund_id
           ), bad AS (
               SELECT format('refunds of order %s of book %s give %s back, %s of it to its programme, which paid %s of %s', order_id, book_id,
                             back_minor, part_minor, subsidy_minor, amount_minor) AS violation
               FROM cut
               WHERE part_minor > subsidy_minor OR back_minor - part_minor > amount_minor - subsidy_minor
                  OR (NOT broken AND 2 * abs(back_minor * subsidy_minor - part_minor * amount_minor) > amount_minor)
               UNION ALL
               SELECT format('refund %s of book %s gives %s of surplus money to a programme', r.refund_id, r.book_id, r.subsidy_minor)
               FROM refunds r
               JOIN payment_attempts t ON t.book_id = r.book_id AND t.attempt_id = r.attempt_id
               WHERE t.surplus AND r.subsidy_minor <> 0
               UNION ALL
               SELECT format('refund %s of book %s is %s, its subsidy of %s is%s back', r.refund_id, r.book_id, r.status, r.subsidy_minor,
                             CASE WHEN r.subsidy_returned THEN '' ELSE ' not' END)
               FROM refunds r
               LEFT JOIN gone g ON g.book_id = r.book_id AND g.refund_id = r.refund_id
               WHERE r.subsidy_returned <> (r.subsidy_minor > 0 AND (r.status = 'SUCCEEDED' OR g.refund_id IS NOT NULL))
           )
           SELECT (SELECT count(*) FROM refunds) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// Every leg of a budget, and of what is on its way between a budget and the book of an order: the business rows against the entries.
pub(super) async fn booked_as_said(tx: &mut PgConnection, platform: Uuid) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH used AS (
               SELECT o.order_id, replace(o.programme_id::text, '-', '') AS subject, o.subsidy_minor, t.attempt_id, s.book_id AS money_book
               FROM orders o
               JOIN payment_attempts t ON t.book_id = o.book_id AND t.order_id = o.order_id AND t.status = 'SUCCEEDED' AND NOT t.surplus
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               WHERE o.programme_id IS NOT NULL
           ), returned AS (
               SELECT r.refund_id, replace(o.programme_id::text, '-', '') AS subject, r.subsidy_minor, s.book_id AS money_book
               FROM refunds r
               JOIN orders o ON o.book_id = r.book_id AND o.order_id = r.order_id
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               WHERE r.subsidy_returned
           ), asked AS (
               SELECT $1::uuid AS book_id, CASE kind WHEN 'FUNDING' THEN 'SUBSIDY_FUNDED' ELSE 'SUBSIDY_WITHDRAWN' END AS kind, movement_id AS reference_id,
                      'SUBSIDY' AS account, replace(programme_id::text, '-', '') AS subject,
                      CASE kind WHEN 'FUNDING' THEN -amount_minor ELSE amount_minor END AS minor
               FROM subsidy_movements WHERE status = 'POSTED'
               UNION ALL
               SELECT $1, 'SUBSIDY_USED', order_id, 'SUBSIDY', subject, subsidy_minor FROM used
               UNION ALL
               SELECT $1, 'SUBSIDY_USED', order_id, 'BOOKS_IN_TRANSIT', '', -subsidy_minor FROM used
               UNION ALL
               SELECT money_book, 'PAYMENT', attempt_id, 'BOOKS_IN_TRANSIT', '', subsidy_minor FROM used
               UNION ALL
               SELECT money_book, 'SUBSIDY_RETURNED', refund_id, 'BOOKS_IN_TRANSIT', '', -subsidy_minor FROM returned
               UNION ALL
               SELECT $1, 'SUBSIDY_RETURNED', refund_id, 'BOOKS_IN_TRANSIT', '', subsidy_minor FROM returned
               UNION ALL
               SELECT $1, 'SUBSIDY_RETURNED', refund_id, 'SUBSIDY', subject, -subsidy_minor FROM returned
           ), booked AS (
               SELECT p.book_id, p.kind, p.reference_id, a.kind AS account, a.subject, sum(e.amount_minor) AS minor
               FROM accounts a
               JOIN entries e USING (book_id, account_id)
               JOIN postings p USING (book_id, posting_id)
               WHERE a.kind = 'SUBSIDY'
                  OR (a.kind = 'BOOKS_IN_TRANSIT' AND p.kind IN ('PAYMENT', 'SUBSIDY_USED', 'SUBSIDY_RETURNED', 'SUBSIDY_FUNDED', 'SUBSIDY_WITHDRAWN'))
               GROUP BY p.book_id, p.kind, p.reference_id, a.kind, a.subject
           ), compared AS (
               SELECT book_id, kind, reference_id, account, subject, a.minor AS asked_minor, b.minor AS booked_minor
               FROM asked a
               FULL JOIN booked b USING (book_id, kind, reference_id, account, subject)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s %s of book %s books %s of %s %s instead of %s', kind, reference_id, book_id, COALESCE(booked_minor, 0), account,
                                      subject, COALESCE(asked_minor, 0))
                        FROM compared WHERE asked_minor IS DISTINCT FROM booked_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#,
        platform
    )
    .fetch_one(tx)
    .await
}

/// Each budget: funded − withdrawn − used + returned is what its account has, and no account is anybody else's.
pub(super) async fn budgets_add_up(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH moved AS (
               SELECT book_id, programme_id, CASE kind WHEN 'FUNDING' THEN amount_minor ELSE -amount_minor END AS minor
               FROM subsidy_movements WHERE status = 'POSTED'
               UNION ALL
               SELECT p.book_id, o.programme_id, -o.subsidy_minor
               FROM orders o JOIN subsidy_programmes p USING (programme_id)
               WHERE o.status = 'PAID'
               UNION ALL
               SELECT p.book_id, o.programme_id, r.subsidy_minor
               FROM refunds r
               JOIN orders o ON o.book_id = r.book_id AND o.order_id = r.order_id
               JOIN subsidy_programmes p ON p.programme_id = o.programme_id
               WHERE r.subsidy_returned
           ), said AS (
               SELECT p.book_id, replace(p.programme_id::text, '-', '') AS subject, COALESCE(sum(m.minor), 0) AS minor
               FROM subsidy_programmes p
               LEFT JOIN moved m ON m.book_id = p.book_id AND m.programme_id = p.programme_id
               GROUP BY p.book_id, p.programme_id
           ), kept AS (
               SELECT book_id, subject, -sum(balance_minor) AS minor FROM accounts WHERE kind = 'SUBSIDY' GROUP BY book_id, subject
           ), compared AS (
               SELECT book_id, subject, s.minor AS said_minor, k.minor AS kept_minor FROM said s FULL JOIN kept k USING (book_id, subject)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('programme %s of book %s has %s, its movements, orders and refunds leave %s', subject, book_id,
                                      COALESCE(kept_minor, 0), COALESCE(said_minor::text, 'nothing, for it does not exist'))
                        FROM compared WHERE said_minor IS NULL OR said_minor <> COALESCE(kept_minor, 0)
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

/// Every hold on a budget is an order's, under the order's id, and stands as the order does. An account keeps for holds what open orders were
/// promised.
pub(super) async fn reserved_by_orders(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH wanted AS (
               SELECT order_id AS hold_id, book_id, replace(programme_id::text, '-', '') AS subject, subsidy_minor, status,
                      CASE WHEN status = 'PAID' THEN 'CAPTURED' WHEN status = 'CLOSED' THEN 'VOIDED' ELSE 'HELD' END AS state,
                      CASE WHEN status = 'PAID' THEN subsidy_minor ELSE 0 END AS captured_minor
               FROM orders WHERE programme_id IS NOT NULL
           ), kept AS (
               SELECT h.hold_id, a.subject, h.amount_minor, h.captured_minor, h.state
               FROM accounts a
               JOIN holds h USING (book_id, account_id)
               WHERE a.kind = 'SUBSIDY'
           ), bad AS (
               SELECT CASE
                   WHEN w.hold_id IS NULL THEN format('hold %s on budget %s is no order''s', hold_id, k.subject)
                   ELSE format('order %s of book %s is %s with %s of budget %s, its hold is %s with %s of %s captured of budget %s', hold_id, w.book_id,
                               w.status, w.subsidy_minor, w.subject, COALESCE(k.state, 'missing'), k.captured_minor, k.amount_minor, k.subject)
               END AS violation
               FROM wanted w
               FULL JOIN kept k USING (hold_id)
               WHERE (w.subject, w.subsidy_minor, w.state, w.captured_minor) IS DISTINCT FROM (k.subject, k.amount_minor, k.state, k.captured_minor)
               UNION ALL
               SELECT format('budget %s of book %s keeps %s for orders, open ones were promised %s', a.subject, a.book_id, a.held_minor,
                             COALESCE(o.promised_minor, 0))
               FROM accounts a
               LEFT JOIN (SELECT subject, sum(subsidy_minor) AS promised_minor FROM wanted WHERE state = 'HELD' GROUP BY subject) AS o USING (subject)
               WHERE a.kind = 'SUBSIDY' AND a.held_minor <> COALESCE(o.promised_minor, 0)
           )
           SELECT (SELECT count(*) FROM wanted) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}
