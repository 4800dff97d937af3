//! The SQL of the rules about outbox and rollup.

use sqlx::PgConnection;

use crate::check::Found;

/// Facts that never change again, with the event each must have. What an attempt did is told about its order; the event names the attempt.
/// Events go once everybody has read them: of what began before the oldest that is kept, the event may be gone. Ids tell when.
pub(super) async fn outbox_complete(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH facts AS (
               SELECT book_id, 'order.created' AS kind, order_id AS subject_id FROM orders
               UNION ALL
               SELECT book_id, 'order.paid', order_id FROM orders WHERE status = 'PAID'
               UNION ALL
               SELECT book_id, 'order.closed', order_id FROM orders WHERE status = 'CLOSED'
               UNION ALL
               SELECT book_id, 'payment.surplus', attempt_id FROM payment_attempts WHERE surplus AND status = 'SUCCEEDED'
               UNION ALL
               SELECT book_id, 'payment.conflicted', attempt_id FROM payment_attempts WHERE status = 'CONFLICTED'
               UNION ALL
               SELECT book_id, CASE status WHEN 'SUCCEEDED' THEN 'refund.succeeded' WHEN 'FAILED' THEN 'refund.failed' ELSE 'refund.cancelled' END, refund_id
               FROM refunds WHERE status IN ('FAILED', 'CANCELLED') OR (status = 'SUCCEEDED' AND route = 'ORIGINAL')
               UNION ALL
               -- by the bank, each try is told of
               SELECT book_id, 'refund.succeeded', route_id FROM refund_routes WHERE kind = 'PAYOUT' AND status IN ('SUCCEEDED', 'BOUNCED')
               UNION ALL
               SELECT book_id, 'refund.bounced', route_id FROM refund_routes WHERE status = 'BOUNCED'
               UNION ALL
               SELECT book_id, 'refund.paid_by_hand', refund_id FROM refunds WHERE status = 'MANUAL'
               UNION ALL
               SELECT book_id, 'advance.taken', refund_id FROM refund_advances
               UNION ALL
               SELECT book_id, 'advance.returned', refund_id FROM refund_advances WHERE returned_minor > 0
               UNION ALL
               SELECT book_id, 'advance.recovered', recovery_id FROM advance_recoveries
               UNION ALL
               SELECT book_id, CASE status WHEN 'FAILED' THEN 'withdrawal.failed' ELSE 'withdrawal.succeeded' END, withdrawal_id
               FROM withdrawals WHERE status IN ('SUCCEEDED', 'FAILED', 'RETURNED', 'CREDITED_BACK')
               UNION ALL
               SELECT book_id, 'withdrawal.returned', withdrawal_id FROM withdrawals WHERE status IN ('RETURNED', 'CREDITED_BACK')
               UNION ALL
               SELECT book_id, 'withdrawal.credited_back', withdrawal_id FROM withdrawals WHERE status = 'CREDITED_BACK'
               UNION ALL
               SELECT book_id, 'settlement.released', batch_id FROM settlement_batches WHERE released_minor > 0
               UNION ALL
               SELECT book_id, 'order.released', release_id FROM order_releases
           ), told AS (
               SELECT book_id, kind, count(*) AS times,
                      CASE WHEN kind LIKE 'payment.%' THEN (payload ->> 'attemptId')::uuid WHEN kind = 'order.released' THEN (payload ->> 'releaseId')::uuid
                           WHEN kind = 'advance.recovered' THEN (payload ->> 'recoveryId')::uuid
                           WHEN kind LIKE 'refund.%' THEN COALESCE((payload ->> 'routeId')::uuid, subject_id)
                           ELSE subject_id END AS subject_id
               FROM outbox
               WHERE kind IN ('order.created', 'order.paid', 'order.closed', 'payment.surplus', 'payment.conflicted', 'refund.succeeded',
                              'refund.failed', 'refund.cancelled', 'refund.bounced', 'refund.paid_by_hand', 'advance.taken', 'advance.returned', 'advance.recovered', 'withdrawal.succeeded', 'withdrawal.failed', 'withdrawal.returned',
                              'withdrawal.credited_back', 'settlement.released', 'order.released')
               GROUP BY book_id, kind, 4
           ), compared AS (
               SELECT book_id, kind, subject_id, COALESCE(t.times, 0) AS times, f.kind IS NOT NULL AS happened
               FROM facts f
               FULL JOIN told t USING (book_id, kind, subject_id)
           ), kept AS (
               SELECT COALESCE(max(purged_before::text), '00000000-0000-0000-0000-000000000000')::uuid AS from_id FROM outbox_state
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT CASE
                            WHEN happened THEN format('%s of %s of book %s is told %s times', kind, subject_id, book_id, times)
                            ELSE format('%s of %s of book %s is told, but did not happen', kind, subject_id, book_id)
                        END
                        FROM compared, kept
                        WHERE NOT happened OR times > 1 OR (times = 0 AND subject_id >= kept.from_id)
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn rollup_is_recount(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH legs AS (
               SELECT b.owner_id AS book_id, p.business_date AS day, p.store_id, a.currency, p.posting_id, p.kind, p.reference_id,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind IN ('CHANNEL_RECEIVABLE', 'BOOKS_IN_TRANSIT')), 0) AS received_minor,
                      -COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'REFUND_PAYABLE'), 0) AS taken_back_minor,
                      -COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'FEE_INCOME'), 0) AS fee_minor
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
               JOIN books b USING (book_id)
               WHERE p.store_id IS NOT NULL AND p.kind IN ('PAYMENT', 'REFUND', 'REFUND_RETURNED', 'ORDER_RELEASE')
               GROUP BY b.owner_id, p.book_id, p.posting_id, a.currency
           ), taken_back AS (
               SELECT l.book_id, l.day, l.currency, r.attempt_id, sum(l.taken_back_minor) AS taken_back_minor
               FROM legs l
               JOIN refunds r ON r.book_id = l.book_id AND r.refund_id = l.reference_id
               WHERE l.kind <> 'PAYMENT'
               GROUP BY l.book_id, l.day, l.currency, r.attempt_id
           ), recount AS (
               SELECT l.book_id, l.day, l.store_id, l.currency,
                      COALESCE(sum(l.received_minor) FILTER (WHERE l.kind = 'PAYMENT'), 0) AS paid_minor,
                      count(*) FILTER (WHERE l.kind = 'PAYMENT') AS paid_count,
                      COALESCE(sum(l.taken_back_minor) FILTER (WHERE l.kind <> 'PAYMENT'), 0) AS refunded_minor,
                      count(*) FILTER (WHERE l.kind = 'REFUND') - count(*) FILTER (WHERE l.kind = 'REFUND_RETURNED') AS refunded_count,
                      sum(l.fee_minor) AS fee_minor,
                      count(*) FILTER (WHERE l.kind = 'PAYMENT' AND t.taken_back_minor = l.received_minor) AS voided_count
               FROM legs l
               LEFT JOIN taken_back t ON l.kind = 'PAYMENT' AND t.book_id = l.book_id AND t.day = l.day AND t.currency = l.currency
                                     AND t.attempt_id = l.reference_id
               GROUP BY l.book_id, l.day, l.store_id, l.currency
           ), compared AS (
               SELECT book_id, day, store_id, currency,
                      ARRAY[COALESCE(k.paid_minor, 0), COALESCE(k.paid_count, 0), COALESCE(k.refunded_minor, 0),
                            COALESCE(k.refunded_count, 0), COALESCE(k.fee_minor, 0), COALESCE(k.voided_count, 0)]::numeric[] AS kept,
                      ARRAY[COALESCE(r.paid_minor, 0), COALESCE(r.paid_count, 0), COALESCE(r.refunded_minor, 0),
                            COALESCE(r.refunded_count, 0), COALESCE(r.fee_minor, 0), COALESCE(r.voided_count, 0)]::numeric[] AS counted
               FROM book_days k
               FULL JOIN recount r USING (book_id, day, store_id, currency)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('store %s of book %s on %s: kept %s, counted %s (paid, count, refunded, count, fee, voided)',
                                      store_id, book_id, day, kept, counted)
                        FROM compared WHERE kept <> counted
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}
