//! The SQL of the rules about commands and notices.

use sqlx::PgConnection;

use crate::check::Found;

/// The keys of money commands. One order, refund or withdrawal has one key at most; an attempt may have been asked for with several. Keys go
/// after thirty days at the earliest, so what is older may be without. A command that asks nobody outside has its answer at once.
pub(super) async fn keys_hold(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH keys AS (
               SELECT k.tenant_id, k.operation, k.key, k.entity_id, k.response IS NULL AS unanswered,
                      CASE k.operation
                          WHEN 'orderCreate' THEN EXISTS (SELECT 1 FROM orders WHERE book_id = k.tenant_id AND order_id = k.entity_id)
                          WHEN 'orderClose' THEN EXISTS (SELECT 1 FROM orders WHERE book_id = k.tenant_id AND order_id = k.entity_id)
                          WHEN 'orderRelease' THEN EXISTS (SELECT 1 FROM orders WHERE book_id = k.tenant_id AND order_id = k.entity_id)
                          WHEN 'paymentStart' THEN EXISTS (SELECT 1 FROM payment_attempts WHERE book_id = k.tenant_id AND attempt_id = k.entity_id)
                          WHEN 'withdrawalRequest' THEN EXISTS (SELECT 1 FROM withdrawals WHERE book_id = k.tenant_id AND withdrawal_id = k.entity_id)
                          WHEN 'subsidyProgrammeCreate' THEN EXISTS (SELECT 1 FROM subsidy_programmes WHERE book_id = k.tenant_id AND programme_id = k.entity_id)
                          WHEN 'subsidyProgrammeEnd' THEN EXISTS (SELECT 1 FROM subsidy_programmes WHERE book_id = k.tenant_id AND programme_id = k.entity_id)
                          WHEN 'subsidyMovementPropose' THEN EXISTS (SELECT 1 FROM subsidy_movements WHERE book_id = k.tenant_id AND movement_id = k.entity_id)
                          WHEN 'subsidyMovementDecide' THEN EXISTS (SELECT 1 FROM subsidy_movements WHERE book_id = k.tenant_id AND movement_id = k.entity_id)
                          WHEN 'merchantAdvanceSet' THEN EXISTS (SELECT 1 FROM advance_caps WHERE book_id = k.tenant_id AND cap_id = k.entity_id)
                          WHEN 'merchantAdvanceDecide' THEN EXISTS (SELECT 1 FROM advance_caps WHERE book_id = k.tenant_id AND cap_id = k.entity_id)
                          ELSE EXISTS (SELECT 1 FROM refunds WHERE book_id = k.tenant_id AND refund_id = k.entity_id)
                      END AS found
               FROM idempotency_keys k
               WHERE k.operation IN ('orderCreate', 'orderClose', 'orderRelease', 'paymentStart', 'refundRequest', 'withdrawalRequest', 'refundCancel',
                                     'refundFund', 'refundPayeePropose', 'refundPayeeApprove', 'refundConflictResolve', 'refundManualPropose', 'refundManualDecide',
                                     'merchantAdvanceSet', 'merchantAdvanceDecide',
                                     'subsidyProgrammeCreate', 'subsidyProgrammeEnd', 'subsidyMovementPropose', 'subsidyMovementDecide')
           ), clock AS (
               SELECT now() + COALESCE((SELECT offset_ms FROM sandbox_clock), 0) * interval '1 millisecond' - interval '30 days' AS kept_from
           ), bad AS (
               SELECT format('key %s of %s of %s has no answer', key, operation, tenant_id) AS violation
               FROM keys WHERE unanswered AND operation NOT IN ('orderClose', 'paymentStart')
               UNION ALL
               SELECT format('key %s of %s of %s points at %s, which does not exist', key, operation, tenant_id, entity_id)
               FROM keys WHERE NOT found
               UNION ALL
               SELECT format('%s of %s made %s under %s keys', operation, tenant_id, entity_id, count(*))
               FROM keys WHERE operation IN ('orderCreate', 'refundRequest', 'withdrawalRequest', 'subsidyProgrammeCreate', 'subsidyMovementPropose', 'merchantAdvanceSet')
               GROUP BY tenant_id, operation, entity_id
               HAVING count(*) > 1
               UNION ALL
               SELECT format('order %s of book %s was made without a key', o.order_id, o.book_id)
               FROM orders o, clock
               WHERE o.created_at > kept_from
                 AND NOT EXISTS (SELECT 1 FROM keys k
                                 WHERE k.operation = 'orderCreate' AND k.tenant_id = o.book_id AND k.entity_id = o.order_id)
               UNION ALL
               SELECT format('withdrawal %s of book %s was made without a key', w.withdrawal_id, w.book_id)
               FROM withdrawals w, clock
               WHERE w.created_at > kept_from
                 AND NOT EXISTS (SELECT 1 FROM keys k
                                 WHERE k.operation = 'withdrawalRequest' AND k.tenant_id = w.book_id AND k.entity_id = w.withdrawal_id)
           )
           SELECT (SELECT count(*) FROM keys) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn numbers_given_out(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH wanted AS (
               SELECT book_id, 'PAYMENT' AS kind, attempt_id AS subject_id FROM payment_attempts
               UNION ALL
               SELECT book_id, 'REFUND', refund_id FROM refunds
               UNION ALL
               SELECT book_id, 'REFUND_PAYOUT', route_id FROM refund_routes WHERE kind = 'PAYOUT'
               UNION ALL
               SELECT book_id, 'WITHDRAWAL', withdrawal_id FROM withdrawals
           ), compared AS (
               SELECT kind, subject_id, w.book_id AS wanted_book, n.book_id AS numbered_book, n.request_no
               FROM wanted w
               FULL JOIN request_numbers n USING (kind, subject_id)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT CASE
                            WHEN request_no IS NULL THEN format('%s %s of book %s has no number', kind, subject_id, wanted_book)
                            WHEN wanted_book IS NULL THEN format('number %s stands for %s %s, which does not exist', request_no, kind, subject_id)
                            ELSE format('%s %s of book %s goes by number %s of book %s', kind, subject_id, wanted_book, request_no, numbered_book)
                        END
                        FROM compared
                        WHERE wanted_book IS DISTINCT FROM numbered_book OR request_no IS DISTINCT FROM replace(subject_id::text, '-', '')
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

/// What a notice said, read from its bytes by pattern: a content that is no JSON must not end the check. Only notices that were processed and
/// that named what we asked for. A payment that succeeded stays so whatever else was said; a refund or payout that the channel called both
/// succeeded and failed ends as either, and a person knows, as when a payout comes back under another reference. A surplus that cannot be given back stays owed.
pub(super) async fn notices_took_effect(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH texts AS (
               SELECT channel, outcome, encode(content, 'escape') AS text
               FROM notices
               WHERE processed_at IS NOT NULL AND outcome NOT IN ('CONFLICT', 'MALFORMED', 'UNKNOWN_REQUEST', 'NOTED', 'WAITING')
           ), said AS (
               SELECT channel, outcome, substring(text FROM '"(?:kind|about)"\s*:\s*"([A-Z]+)"') AS kind,
                      substring(text FROM '"(?:status|word)"\s*:\s*"([A-Z]+)"') AS word,
                      substring(text FROM '"request_no"\s*:\s*"([0-9a-f]{32})"') AS request_no,
                      substring(text FROM '"amount_minor"\s*:\s*(-?[0-9]{1,18})')::bigint AS amount_minor,
                      substring(text FROM '"currency"\s*:\s*"([A-Z]{3})"') AS currency
               FROM texts
           ), subjects AS (
               SELECT n.kind, n.book_id, n.subject_id, bool_or(s.word = 'SUCCEEDED') AS success, bool_or(s.word NOT IN ('SUCCEEDED', 'RETURNED')) AS failure,
                      bool_or(s.word = 'RETURNED' AND s.outcome <> 'CONTRADICTED') AS returned
               FROM said s
               JOIN request_numbers n ON n.request_no = s.request_no
                                     AND (n.kind = s.kind OR (s.kind = 'PAYOUT' AND n.kind IN ('WITHDRAWAL', 'REFUND_PAYOUT')))
               LEFT JOIN withdrawals w ON n.kind = 'WITHDRAWAL' AND w.book_id = n.book_id AND w.withdrawal_id = n.subject_id
               LEFT JOIN refund_routes t ON n.kind = 'REFUND_PAYOUT' AND t.book_id = n.book_id AND t.route_id = n.subject_id
               LEFT JOIN refunds f ON f.book_id = t.book_id AND f.refund_id = t.refund_id
               -- where a payer who was declined may try again, a notice of that decides nothing
               WHERE s.word <> 'PENDING'
                     AND (s.kind <> 'PAYOUT' OR (COALESCE(w.amount_minor, f.amount_minor - f.subsidy_minor), COALESCE(w.currency, f.currency))
                                                IS NOT DISTINCT FROM (s.amount_minor, s.currency))
               GROUP BY n.kind, n.book_id, n.subject_id
           ), stands AS (
               -- of a refund, the try that has this number: the refund itself may have gone another way since
               SELECT s.*, COALESCE(t.status, CASE y.status WHEN 'LIVE' THEN f.status WHEN 'BOUNCED' THEN 'RETURNED' ELSE y.status END, r.status, w.status)
                          AS status,
                      COALESCE(of.surplus, false) AS surplus
               FROM subjects s
               LEFT JOIN payment_attempts t ON s.kind = 'PAYMENT' AND t.book_id = s.book_id AND t.attempt_id = s.subject_id
               LEFT JOIN refunds r ON s.kind = 'REFUND' AND r.book_id = s.book_id AND r.refund_id = s.subject_id
               LEFT JOIN refund_routes y ON s.kind LIKE 'REFUND%' AND y.book_id = s.book_id AND y.route_id = s.subject_id
               LEFT JOIN refunds f ON f.book_id = y.book_id AND f.refund_id = y.refund_id
               LEFT JOIN payment_attempts of ON of.book_id = r.book_id AND of.attempt_id = r.attempt_id
               LEFT JOIN withdrawals w ON s.kind = 'WITHDRAWAL' AND w.book_id = s.book_id AND w.withdrawal_id = s.subject_id
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s %s of book %s is %s after notices of %s', kind, subject_id, book_id, COALESCE(status, 'missing'),
                                      concat_ws(' and ', CASE WHEN success THEN 'success' END, CASE WHEN failure THEN 'failure' END,
                                                CASE WHEN returned THEN 'return' END))
                        FROM stands
                        WHERE status IS NULL OR status <> ALL (CASE
                            WHEN kind = 'PAYMENT' AND success THEN ARRAY['SUCCEEDED', 'CONFLICTED']
                            WHEN kind = 'PAYMENT' THEN ARRAY['SUCCEEDED', 'CONFLICTED', 'FAILED', 'CLOSED_AT_CHANNEL']
                            WHEN (success OR returned) AND failure THEN ARRAY['SUCCEEDED', 'FAILED', 'RETURNED', 'CREDITED_BACK', 'CONFLICTED']
                            WHEN returned THEN ARRAY['RETURNED', 'CREDITED_BACK']
                            -- a stated amount may differ, and a person may have found that nothing was paid
                            WHEN success AND kind = 'REFUND' THEN ARRAY['SUCCEEDED', 'CONFLICTED', 'FAILED']
                            WHEN success THEN ARRAY['SUCCEEDED', 'RETURNED', 'CREDITED_BACK', 'CONFLICTED']
                            WHEN surplus THEN ARRAY['FUNDED', 'SENT', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'CONFLICTED']
                            ELSE ARRAY['FAILED', 'CONFLICTED']
                        END)
                        LIMIT 21) AS "violations!"
           FROM stands"#
    )
    .fetch_one(tx)
    .await
}
