//! The SQL of the rules about advances.

use sqlx::PgConnection;

use crate::check::Found;

/// The accounts against the rows, each advance against its recoveries and its refund.
pub(super) async fn debts_add_up(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH said AS (
               SELECT money_book_id AS book_id, currency, sum(amount_minor - recovered_minor - returned_minor) AS owed_minor
               FROM refund_advances
               GROUP BY money_book_id, currency
           ), kept AS (
               SELECT book_id, currency, sum(balance_minor) AS balance_minor FROM accounts WHERE kind = 'MERCHANT_DEBT' GROUP BY book_id, currency
           ), recovered AS (
               SELECT book_id, refund_id, sum(amount_minor) AS recovered_minor FROM advance_recoveries GROUP BY book_id, refund_id
           ), advances AS (
               SELECT COALESCE(a.book_id, v.book_id) AS book_id, COALESCE(a.refund_id, v.refund_id) AS refund_id, a.amount_minor, a.recovered_minor,
                      a.returned_minor, COALESCE(v.recovered_minor, 0) AS taken_minor
               FROM refund_advances a
               FULL JOIN recovered v USING (book_id, refund_id)
           ), bad AS (
               SELECT format('book %s is owed %s %s, its advances leave %s', book_id, COALESCE(balance_minor, 0), currency, COALESCE(owed_minor, 0))
                          AS violation
               FROM said
               FULL JOIN kept USING (book_id, currency)
               WHERE COALESCE(balance_minor, 0) <> COALESCE(owed_minor, 0)
               UNION ALL
               SELECT format('advance of refund %s of book %s says %s was recovered, its recoveries took %s', refund_id, book_id, recovered_minor,
                             taken_minor)
               FROM advances WHERE recovered_minor IS DISTINCT FROM taken_minor
               UNION ALL
               SELECT format('advance of refund %s of book %s is %s, of which %s was recovered and %s returned', refund_id, book_id, amount_minor,
                             recovered_minor, returned_minor)
               FROM advances
               WHERE amount_minor <= 0 OR recovered_minor < 0 OR returned_minor < 0 OR recovered_minor + returned_minor > amount_minor
               UNION ALL
               SELECT format('refund %s of book %s is %s with %s of its advance returned and %s owed', a.refund_id, a.book_id,
                             COALESCE(r.status, 'missing'), a.returned_minor, a.amount_minor - a.recovered_minor - a.returned_minor)
               FROM refund_advances a
               LEFT JOIN refunds r ON r.book_id = a.book_id AND r.refund_id = a.refund_id
               WHERE CASE WHEN r.status IN ('FAILED', 'CANCELLED') THEN a.recovered_minor + a.returned_minor <> a.amount_minor
                          ELSE r.status IS NULL OR r.status = 'GATHERING' OR a.returned_minor <> 0 END
           )
           SELECT (SELECT count(*) FROM advances) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// Every leg of a debt, and the other one of a recovery: the rows against the entries.
pub(super) async fn booked_as_said(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH recoveries AS (
               SELECT a.money_book_id, v.recovery_id, v.amount_minor
               FROM advance_recoveries v
               LEFT JOIN refund_advances a USING (book_id, refund_id)
           ), asked AS (
               SELECT money_book_id AS book_id, 'REFUND' AS kind, refund_id AS reference_id, 'MERCHANT_DEBT' AS account, amount_minor AS minor
               FROM refund_advances
               UNION ALL
               SELECT money_book_id, 'REFUND_RETURNED', refund_id, 'MERCHANT_DEBT', -returned_minor FROM refund_advances WHERE returned_minor <> 0
               UNION ALL
               SELECT money_book_id, 'ADVANCE_RECOVERED', recovery_id, 'MERCHANT_DEBT', -amount_minor FROM recoveries
               UNION ALL
               SELECT money_book_id, 'ADVANCE_RECOVERED', recovery_id, 'MERCHANT_AVAILABLE', amount_minor FROM recoveries
           ), booked AS (
               SELECT p.book_id, p.kind, p.reference_id, a.kind AS account, sum(e.amount_minor) AS minor
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
               WHERE a.kind = 'MERCHANT_DEBT' OR p.kind = 'ADVANCE_RECOVERED'
               GROUP BY p.book_id, p.kind, p.reference_id, a.kind
           ), compared AS (
               SELECT book_id, kind, reference_id, account, s.minor AS said_minor, b.minor AS booked_minor
               FROM asked s
               FULL JOIN booked b USING (book_id, kind, reference_id, account)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s %s of book %s books %s to %s, the rows say %s', kind, reference_id, book_id, COALESCE(booked_minor, 0), account,
                                      COALESCE(said_minor::text, 'nothing'))
                        FROM compared WHERE said_minor IS DISTINCT FROM booked_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

/// Each advance against the cap it was taken under. What was owed before is told by the entry that took it: all of it where the merchant has one
/// book, a part of it where there are stripes.
pub(super) async fn within_caps(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH taken AS (
               SELECT p.book_id, p.reference_id, sum(e.balance_after_minor - e.amount_minor) AS stood_minor
               FROM accounts a
               JOIN entries e USING (book_id, account_id)
               JOIN postings p USING (book_id, posting_id)
               WHERE a.kind = 'MERCHANT_DEBT' AND p.kind = 'REFUND'
               GROUP BY p.book_id, p.reference_id
           ), owners AS (
               SELECT owner_id, count(*) AS books FROM books GROUP BY owner_id
           ), bad AS (
               SELECT format('refund %s of book %s was advanced %s beside %s, cap %s is %s of %s, proposed by %s and approved by %s', a.refund_id, a.book_id,
                             a.amount_minor, a.before_minor, a.cap_id, COALESCE(c.status, 'missing'), c.cap_minor, c.proposed_by,
                             COALESCE(c.decided_by::text, 'nobody')) AS violation
               FROM refund_advances a
               LEFT JOIN advance_caps c ON c.book_id = a.book_id AND c.cap_id = a.cap_id
               WHERE c.status IS DISTINCT FROM 'APPROVED' OR c.decided_by IS NULL OR c.decided_by = c.proposed_by OR c.currency <> a.currency
                  OR a.before_minor + a.amount_minor > c.cap_minor
               UNION ALL
               SELECT format('refund %s of book %s says that %s was owed before, the book says %s', a.refund_id, a.book_id, a.before_minor, t.stood_minor)
               FROM refund_advances a
               JOIN taken t ON t.book_id = a.money_book_id AND t.reference_id = a.refund_id
               JOIN owners o ON o.owner_id = a.book_id
               WHERE t.stood_minor > a.before_minor OR (o.books = 1 AND t.stood_minor <> a.before_minor)
               UNION ALL
               SELECT format('%s caps of book %s wait for a second person', count(*), book_id)
               FROM advance_caps WHERE status = 'PROPOSED'
               GROUP BY book_id
               HAVING count(*) > 1
           )
           SELECT (SELECT count(*) FROM refund_advances) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}
