//! The SQL of the rules about splits.

use sqlx::PgConnection;

use crate::check::Found;

pub(super) async fn splits_add_up(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH top AS (
               SELECT book_id, order_id, attempt_id, sum(amount_minor) AS amount_minor
               FROM split_lines WHERE parent_line_id IS NULL AND status <> 'FAILED'
               GROUP BY book_id, order_id, attempt_id
           ), summed AS (
               SELECT s.book_id, s.order_id, s.base_minor, s.remainder_minor, s.released_minor,
                      COALESCE((SELECT sum(t.amount_minor) FROM top t WHERE t.book_id = s.book_id AND t.order_id = s.order_id), 0) AS lines_minor,
                      COALESCE((SELECT sum(c.base_minor) FROM split_slices c WHERE c.book_id = s.book_id AND c.order_id = s.order_id), 0) AS slices_minor
               FROM split_orders s
           ), children AS (
               SELECT c.book_id, c.order_id, c.parent_line_id, sum(c.amount_minor) FILTER (WHERE c.status <> 'FAILED') AS amount_minor
               FROM split_lines c WHERE c.parent_line_id IS NOT NULL
               GROUP BY c.book_id, c.order_id, c.parent_line_id
           ), bad AS (
               SELECT format('of order %s of book %s, %s is to be divided: lines have %s, %s is left, %s was released, its payments have %s',
                             order_id, book_id, base_minor, lines_minor, remainder_minor, released_minor, slices_minor) AS violation
               FROM summed WHERE base_minor <> lines_minor + remainder_minor + released_minor OR base_minor <> slices_minor
               UNION ALL
               SELECT format('of payment %s of order %s of book %s, %s is divided, %s may be', t.attempt_id, t.order_id, t.book_id, t.amount_minor,
                             COALESCE(c.base_minor, 0))
               FROM top t
               LEFT JOIN split_slices c USING (book_id, order_id, attempt_id)
               WHERE t.amount_minor > COALESCE(c.base_minor, 0)
               UNION ALL
               SELECT format('lines below line %s of book %s have %s, it has %s', c.parent_line_id, c.book_id, c.amount_minor, COALESCE(l.amount_minor, 0))
               FROM children c
               LEFT JOIN split_lines l ON l.book_id = c.book_id AND l.order_id = c.order_id AND l.line_id = c.parent_line_id
               WHERE c.amount_minor > COALESCE(l.amount_minor, 0) OR l.line_id IS NULL OR NOT l.passes_on
           )
           SELECT (SELECT count(*) FROM summed) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// A book's frozen account holds what is left of the splits of its own orders. A book to which money is on its way that its merchant will
/// pass on, or from which some goes back, is not judged: its steps lie in other books' transactions.
pub(super) async fn frozen_is_undivided(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH passing AS (
               SELECT DISTINCT receiver_id AS book_id FROM split_lines
               WHERE passes_on AND (status IN ('SENT', 'ACCEPTED') OR (succeeded_minor > 0 AND kept_at IS NULL))
               UNION
               SELECT l.receiver_id
               FROM split_return_lines p JOIN split_lines l USING (book_id, line_id)
               JOIN split_returns r ON r.book_id = p.book_id AND r.return_id = p.return_id
               WHERE CASE p.status WHEN 'RETURNED' THEN false WHEN 'FAILED' THEN r.status = 'OPEN' ELSE true END
           ), undivided AS (
               SELECT s.money_book_id AS book_id, s.currency,
                      sum(s.base_minor - s.released_minor - COALESCE(
                          (SELECT sum(l.amount_minor)
                           FROM split_lines l
                           JOIN transfers t ON t.book_id = s.money_book_id AND t.transfer_id = l.line_id
                           WHERE l.book_id = s.book_id AND l.order_id = s.order_id AND l.parent_line_id IS NULL), 0)) AS sum_minor
               FROM split_orders s
               GROUP BY s.money_book_id, s.currency
           ), frozen AS (
               SELECT book_id, currency, -balance_minor AS balance_minor FROM accounts WHERE kind = 'SPLIT_FROZEN'
           ), compared AS (
               SELECT book_id, currency, COALESCE(f.balance_minor, 0) AS balance_minor, COALESCE(u.sum_minor, 0) AS sum_minor
               FROM frozen f
               FULL JOIN undivided u USING (book_id, currency)
               WHERE book_id NOT IN (SELECT book_id FROM passing)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('book %s has %s %s frozen, what is to be divided adds up to %s', book_id, balance_minor, currency, sum_minor)
                        FROM compared WHERE balance_minor <> sum_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn returns_fit(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH parts AS (
               SELECT p.book_id, p.line_id, COALESCE(sum(p.amount_minor) FILTER (WHERE p.status = 'RETURNED'), 0) AS returned_minor,
                      COALESCE(sum(p.amount_minor) FILTER (WHERE p.status NOT IN ('RETURNED', 'FAILED')), 0) AS returning_minor
               FROM split_return_lines p
               GROUP BY p.book_id, p.line_id
           ), lines AS (
               SELECT l.*, COALESCE(p.returned_minor, 0) AS parts_back, COALESCE(p.returning_minor, 0) AS parts_open,
                      l.succeeded_minor - l.returned_minor - l.returning_minor AS standing_minor
               FROM split_lines l
               LEFT JOIN parts p USING (book_id, line_id)
           ), below AS (
               SELECT book_id, parent_line_id AS line_id, sum(standing_minor) AS standing_minor
               FROM lines WHERE parent_line_id IS NOT NULL
               GROUP BY book_id, parent_line_id
           ), sums AS (
               SELECT r.book_id, r.return_id, r.amount_minor, r.own_minor, r.status,
                      COALESCE(sum(p.amount_minor) FILTER (WHERE l.parent_line_id IS NULL AND p.status <> 'FAILED'), 0) AS top_minor,
                      count(p.part_id) FILTER (WHERE p.status NOT IN ('RETURNED', 'FAILED')) AS open
               FROM split_returns r
               LEFT JOIN split_return_lines p ON p.book_id = r.book_id AND p.return_id = r.return_id
               LEFT JOIN split_lines l ON l.book_id = p.book_id AND l.line_id = p.line_id
               GROUP BY r.book_id, r.return_id
           ), bad AS (
               SELECT format('line %s of book %s had %s, gave back %s and gives back %s; returns say %s and %s', line_id, book_id, succeeded_minor,
                             returned_minor, returning_minor, parts_back, parts_open) AS violation
               FROM lines
               WHERE returned_minor + returning_minor > succeeded_minor OR returned_minor <> parts_back OR returning_minor <> parts_open
               UNION ALL
               SELECT format('line %s of book %s is %s with %s of %s, %s on its way back and %s back', line_id, book_id, status, succeeded_minor,
                             amount_minor, returning_minor, returned_minor)
               FROM lines
               WHERE CASE status
                         WHEN 'SUCCEEDED' THEN succeeded_minor <> amount_minor OR returning_minor > 0 OR returned_minor = succeeded_minor
                         WHEN 'RETURNING' THEN succeeded_minor <> amount_minor OR returning_minor = 0
                         WHEN 'RETURNED' THEN succeeded_minor <> amount_minor OR returned_minor <> succeeded_minor
                         ELSE succeeded_minor > 0
                     END
               UNION ALL
               SELECT format('lines below line %s of book %s have %s of the %s it has', b.line_id, b.book_id, b.standing_minor, l.standing_minor)
               FROM below b
               JOIN lines l USING (book_id, line_id)
               WHERE b.standing_minor > l.standing_minor
               UNION ALL
               SELECT format('return %s of book %s over %s is %s: %s of the merchant, %s of receivers, %s parts open', return_id, book_id,
                             amount_minor, status, own_minor, top_minor, open)
               FROM sums WHERE amount_minor <> own_minor + top_minor OR (status = 'DONE' AND open > 0)
           )
           SELECT (SELECT count(*) FROM lines) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// The releases of an order are those of its finish and of its returns; every freeze and release belongs to something.
pub(super) async fn finished_once(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH booked AS (
               SELECT p.book_id, p.kind, p.reference_id, count(DISTINCT p.posting_id) AS times,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE e.amount_minor > 0), 0) AS amount_minor
               FROM postings p
               LEFT JOIN entries e USING (book_id, posting_id)
               WHERE p.kind IN ('SPLIT_FREEZE', 'SPLIT_RELEASE')
               GROUP BY p.book_id, p.kind, p.reference_id
           ), causes AS (
               SELECT s.money_book_id AS book_id, s.order_id AS reference_id, s.book_id AS row_book, s.order_id, s.finished_at IS NOT NULL AS may_release
               FROM split_orders s
               UNION ALL
               SELECT s.money_book_id, r.return_id, s.book_id, s.order_id, true
               FROM split_returns r JOIN split_orders s USING (book_id, order_id)
               UNION ALL
               SELECT s.money_book_id, r.release_id, s.book_id, s.order_id, true
               FROM order_releases r JOIN split_orders s USING (book_id, order_id)
           ), frozen AS (
               SELECT c.row_book AS book_id, c.order_id, sum(b.amount_minor) AS amount_minor
               FROM causes c
               JOIN booked b ON b.book_id = c.book_id AND b.reference_id = c.reference_id AND b.kind = 'SPLIT_FREEZE'
               GROUP BY c.row_book, c.order_id
           ), released AS (
               SELECT c.row_book AS book_id, c.order_id, COALESCE(sum(b.amount_minor), 0) AS amount_minor,
                      bool_or(b.amount_minor IS NOT NULL AND NOT c.may_release) AS early
               FROM causes c
               LEFT JOIN booked b ON b.book_id = c.book_id AND b.reference_id = c.reference_id AND b.kind = 'SPLIT_RELEASE'
               GROUP BY c.row_book, c.order_id
           ), lines AS (
               SELECT l.book_id, l.order_id, count(*) FILTER (WHERE l.status IN ('WAIT', 'SENT', 'ACCEPTED')) AS open,
                      count(*) FILTER (WHERE l.passes_on AND l.succeeded_minor > 0 AND l.kept_at IS NULL) AS unkept, max(l.created_at) AS last_at
               FROM split_lines l
               GROUP BY l.book_id, l.order_id
           ), bad AS (
               SELECT format('split of order %s of book %s is %s with %s left, %s lines open, the last of %s', s.order_id, s.book_id, s.status,
                             s.remainder_minor, COALESCE(l.open + l.unkept, 0), l.last_at) AS violation
               FROM split_orders s
               LEFT JOIN lines l USING (book_id, order_id)
               WHERE (s.status = 'FINISHED') <> (s.finished_at IS NOT NULL)
                  OR (s.status = 'FINISHED' AND (s.remainder_minor > 0 OR l.open + l.unkept > 0 OR l.last_at > s.finished_at))
               UNION ALL
               SELECT format('split of order %s of book %s released %s, %s is booked%s', s.order_id, s.book_id, s.released_minor, r.amount_minor,
                             CASE WHEN r.early THEN ' before it finished' ELSE '' END)
               FROM split_orders s
               JOIN released r USING (book_id, order_id)
               WHERE s.released_minor <> r.amount_minor OR r.early
               UNION ALL
               SELECT format('%s of order %s is frozen in book %s, %s is booked', s.base_minor, s.order_id, s.money_book_id, COALESCE(b.amount_minor, 0))
               FROM split_orders s
               LEFT JOIN frozen b ON b.book_id = s.book_id AND b.order_id = s.order_id
               WHERE b.amount_minor IS DISTINCT FROM s.base_minor
               UNION ALL
               SELECT format('%s %s of book %s is booked %s times, but belongs to no split', b.kind, b.reference_id, b.book_id, b.times)
               FROM booked b
               WHERE b.times > 1
                  OR CASE b.kind
                         WHEN 'SPLIT_FREEZE' THEN NOT EXISTS (SELECT 1 FROM causes c
                                                              WHERE c.book_id = b.book_id AND c.reference_id = b.reference_id)
                                                  AND NOT EXISTS (SELECT 1 FROM split_return_lines p JOIN split_lines l USING (book_id, line_id)
                                                                  WHERE l.receiver_id = b.book_id AND p.part_id = b.reference_id)
                         ELSE NOT EXISTS (SELECT 1 FROM causes c WHERE c.book_id = b.book_id AND c.reference_id = b.reference_id)
                              AND NOT EXISTS (SELECT 1 FROM split_lines l
                                              WHERE l.receiver_id = b.book_id AND l.line_id = b.reference_id AND l.passes_on AND l.succeeded_minor > 0)
                              -- what a receiver keeps after all of what it had set aside
                              AND NOT EXISTS (SELECT 1
                                              FROM split_return_lines p
                                              JOIN split_lines l USING (book_id, line_id)
                                              JOIN booked f ON f.book_id = b.book_id AND f.reference_id = b.reference_id AND f.kind = 'SPLIT_FREEZE'
                                              WHERE l.receiver_id = b.book_id AND p.part_id = b.reference_id AND p.status = 'FAILED'
                                                AND f.amount_minor = b.amount_minor)
                     END
           )
           SELECT (SELECT count(*) FROM split_orders) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// A line's transfer goes from whoever pays it to its receiver, a part's the other way. A line that is on its way may have none yet.
pub(super) async fn moved_as_planned(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH planned AS (
               SELECT l.line_id AS id, 'SPLIT' AS purpose, COALESCE(a.receiver_id, s.money_book_id) AS from_book, l.receiver_id AS to_book,
                      l.amount_minor, l.currency, l.status IN ('SUCCEEDED', 'RETURNING', 'RETURNED') AS done,
                      l.status IN ('SENT', 'ACCEPTED') AS may
               FROM split_lines l
               JOIN split_orders s USING (book_id, order_id)
               LEFT JOIN split_lines a ON a.book_id = l.book_id AND a.line_id = l.parent_line_id
               UNION ALL
               SELECT p.part_id, 'SPLIT_RETURN', l.receiver_id, COALESCE(a.receiver_id, s.money_book_id), p.amount_minor, l.currency,
                      p.status = 'RETURNED', p.status = 'SENT'
               FROM split_return_lines p
               JOIN split_lines l USING (book_id, line_id)
               JOIN split_orders s USING (book_id, order_id)
               LEFT JOIN split_lines a ON a.book_id = l.book_id AND a.line_id = l.parent_line_id
           ), moved AS (
               SELECT transfer_id AS id, purpose, book_id AS from_book, to_book_id AS to_book, amount_minor, currency, status
               FROM transfers WHERE purpose IN ('SPLIT', 'SPLIT_RETURN')
           ), compared AS (
               SELECT id, purpose, p.done, p.may, p.id IS NOT NULL AS is_planned, m.status,
                      (p.from_book, p.to_book, p.amount_minor, p.currency) IS NOT DISTINCT FROM (m.from_book, m.to_book, m.amount_minor, m.currency) AS same
               FROM planned p
               FULL JOIN moved m USING (id, purpose)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT CASE
                            WHEN NOT is_planned THEN format('%s %s was moved, but nobody planned it', purpose, id)
                            WHEN status IS NULL THEN format('%s %s is said to have arrived, but was never moved', purpose, id)
                            WHEN NOT same THEN format('%s %s was moved otherwise than planned', purpose, id)
                            ELSE format('%s %s is %s, which does not go with where it stands', purpose, id, status)
                        END
                        FROM compared
                        WHERE CASE
                            WHEN NOT is_planned THEN true
                            WHEN done THEN status IS DISTINCT FROM 'ARRIVED' OR NOT same
                            WHEN may THEN status IS NOT NULL AND NOT same
                            ELSE status IS NOT NULL
                        END
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

/// What channels said of shares is what the lines say, and what came back there is what came back here (S9). A split is finished when each
/// channel has finished its payment.
pub(super) async fn channels_agree(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH lines AS (
               SELECT l.book_id, l.line_id, l.call_id, l.status, l.amount_minor, l.succeeded_minor, s.channel,
                      l.parent_line_id IS NULL AND s.channel IS NOT NULL AS divided
               FROM split_lines l
               LEFT JOIN split_slices s USING (book_id, order_id, attempt_id)
           ), shares AS (
               SELECT h.book_id, h.call_id, h.line_id, h.amount_minor, h.outcome, c.kind, c.status, c.part_id
               FROM split_shares h JOIN split_calls c USING (book_id, call_id)
           ), bad AS (
               SELECT format('line %s of book %s is %s, but its channel was not asked for it', line_id, book_id, status) AS violation
               FROM lines WHERE divided AND call_id IS NULL AND status NOT IN ('WAIT', 'FAILED')
               UNION ALL
               SELECT format('line %s of book %s names request %s, but no channel divides it', line_id, book_id, call_id)
               FROM lines WHERE NOT divided AND call_id IS NOT NULL
               UNION ALL
               SELECT format('line %s of book %s is %s over %s, its channel says %s over %s', l.line_id, l.book_id, l.status, l.amount_minor,
                             COALESCE(h.outcome, 'nothing'), h.amount_minor)
               FROM lines l
               LEFT JOIN shares h ON h.book_id = l.book_id AND h.call_id = l.call_id AND h.line_id = l.line_id AND h.kind = 'DIVIDE'
               WHERE l.call_id IS NOT NULL
                 AND (h.amount_minor IS DISTINCT FROM l.amount_minor
                      OR CASE
                             WHEN l.succeeded_minor > 0 THEN h.outcome IS DISTINCT FROM 'SUCCEEDED'
                             WHEN l.status = 'FAILED' THEN h.outcome IS DISTINCT FROM 'FAILED'
                             ELSE h.outcome = 'FAILED'
                         END)
               UNION ALL
               SELECT format('share of line %s of book %s succeeded in request %s, but the line says otherwise', h.line_id, h.book_id, h.call_id)
               FROM shares h
               JOIN lines l USING (book_id, line_id)
               WHERE h.kind = 'DIVIDE' AND h.outcome = 'SUCCEEDED' AND h.call_id IS DISTINCT FROM l.call_id
               UNION ALL
               SELECT format('request %s of book %s is %s, but a share of it has %s', call_id, book_id, status, COALESCE(outcome, 'no outcome'))
               FROM shares
               WHERE (status = 'DONE' AND outcome IS NULL) OR (status = 'FAILED' AND outcome IS DISTINCT FROM 'FAILED')
               UNION ALL
               SELECT format('part %s of book %s over %s is %s, its channel brought %s back', p.part_id, p.book_id, p.amount_minor, p.status,
                             sum(h.amount_minor) FILTER (WHERE h.outcome = 'SUCCEEDED'))
               FROM split_return_lines p
               JOIN shares h USING (book_id, part_id)
               GROUP BY p.book_id, p.part_id, p.amount_minor, p.status
               HAVING bool_or(h.kind <> 'RETURN')
                   OR COALESCE(sum(h.amount_minor) FILTER (WHERE h.outcome = 'SUCCEEDED'), 0) NOT IN (0, p.amount_minor)
                   OR (p.status = 'RETURNED' AND COALESCE(sum(h.amount_minor) FILTER (WHERE h.outcome = 'SUCCEEDED'), 0) <> p.amount_minor)
                   OR p.status = 'WAIT'
               UNION ALL
               SELECT format('part %s of book %s over %s is %s, of its share a refund says %s over %s', p.part_id, p.book_id, p.amount_minor, p.status,
                             COALESCE(h.outcome, 'nothing'), h.amount_minor)
               FROM shares h
               LEFT JOIN split_return_lines p ON p.book_id = h.book_id AND p.return_id = h.part_id AND p.line_id = h.line_id
               WHERE h.kind = 'REFUND'
                 AND (p.part_id IS NULL OR p.amount_minor <> h.amount_minor
                      OR CASE h.outcome WHEN 'SUCCEEDED' THEN p.status IN ('WAIT', 'FAILED') WHEN 'FAILED' THEN p.status NOT IN ('HELD', 'FAILED')
                                        ELSE p.status <> 'HELD' END)
               UNION ALL
               -- a part of the first level that its channel gave came back there: by itself, or with a refund
               SELECT format('part %s of book %s is %s, but its channel brought nothing back', p.part_id, p.book_id, p.status)
               FROM split_return_lines p
               JOIN lines l USING (book_id, line_id)
               WHERE l.divided AND l.call_id IS NOT NULL AND p.status = 'RETURNED'
                 AND NOT EXISTS (SELECT 1 FROM shares h
                                 WHERE h.book_id = p.book_id AND h.line_id = p.line_id AND h.outcome = 'SUCCEEDED'
                                   AND h.part_id = CASE h.kind WHEN 'RETURN' THEN p.part_id WHEN 'REFUND' THEN p.return_id END)
               UNION ALL
               SELECT format('order %s of book %s says %s of its finish, its last request for one says %s', o.order_id, o.book_id,
                             COALESCE(o.finish_error, 'nothing'), COALESCE(c.error_code, 'nothing'))
               FROM split_orders o
               LEFT JOIN LATERAL (SELECT f.error_code, f.status FROM split_calls f
                                  WHERE f.book_id = o.book_id AND f.order_id = o.order_id AND f.kind = 'FINISH'
                                  ORDER BY f.call_id DESC LIMIT 1) AS c ON true
               WHERE o.finish_error IS NOT NULL AND (c.error_code IS DISTINCT FROM o.finish_error OR o.status = 'FINISHED')
               UNION ALL
               SELECT format('payment %s of order %s of book %s is finished %s times at its channel, its split is %s', s.attempt_id, s.order_id,
                             s.book_id, count(c.call_id) FILTER (WHERE c.status = 'DONE'), o.status)
               FROM split_slices s
               JOIN split_orders o USING (book_id, order_id)
               LEFT JOIN split_calls c ON c.book_id = s.book_id AND c.order_id = s.order_id AND c.attempt_id = s.attempt_id AND c.kind = 'FINISH'
               WHERE s.channel IS NOT NULL
               GROUP BY s.book_id, s.order_id, s.attempt_id, o.status
               HAVING count(c.call_id) FILTER (WHERE c.status <> 'FAILED') > 1 OR (o.status = 'FINISHED' AND count(c.call_id) FILTER (WHERE c.status = 'DONE') <> 1)
           )
           SELECT (SELECT count(*) FROM split_calls) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// No channel is asked for more of a payment than it divides, nor for two shares of one account at once (S5). A payment is kept frozen for a
/// split exactly where a channel divides it.
pub(super) async fn within_channels(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH bad AS (
               SELECT format('of payment %s of order %s of book %s receivers get %s, its channel divides %s', s.attempt_id, s.order_id, s.book_id,
                             sum(l.amount_minor), s.divisible_minor) AS violation
               FROM split_slices s
               JOIN split_lines l USING (book_id, order_id, attempt_id)
               WHERE s.channel IS NOT NULL AND l.parent_line_id IS NULL AND l.status <> 'FAILED'
               GROUP BY s.book_id, s.order_id, s.attempt_id, s.divisible_minor
               HAVING sum(l.amount_minor) > s.divisible_minor
               UNION ALL
               SELECT format('request %s of book %s names an account %s times', call_id, book_id, count(*))
               FROM split_shares
               JOIN split_calls c USING (book_id, call_id)
               -- with a refund the shares of an account go as one
               WHERE c.kind <> 'REFUND'
               GROUP BY book_id, call_id, account
               HAVING count(*) > 1
               UNION ALL
               SELECT format('payment %s of book %s is frozen at %s, its split says %s', s.attempt_id, s.book_id,
                             CASE WHEN a.divisible_minor IS NULL THEN 'no channel' ELSE a.channel END, COALESCE(s.channel, 'no channel'))
               FROM split_slices s
               JOIN payment_attempts a USING (book_id, attempt_id)
               WHERE s.divisible_minor IS DISTINCT FROM a.divisible_minor OR (s.channel IS NOT NULL AND s.channel <> a.channel)
           )
           SELECT (SELECT count(*) FROM split_slices WHERE channel IS NOT NULL) AS "checked!",
                  ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// What refunds gave to payers before channels took it back from receivers is what has not come back yet: neither moved nor given by the
/// merchant (S9).
pub(super) async fn shares_due_are_open(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH taken AS (
               SELECT o.money_book_id AS book_id, r.currency, h.amount_minor
               FROM split_calls c
               JOIN refunds r ON r.book_id = c.book_id AND r.refund_id = c.call_id
               JOIN split_orders o ON o.book_id = c.book_id AND o.order_id = c.order_id
               JOIN split_shares h ON h.book_id = c.book_id AND h.call_id = c.call_id
               JOIN split_returns b ON b.book_id = c.book_id AND b.return_id = c.part_id
               JOIN split_return_lines p ON p.book_id = c.book_id AND p.return_id = b.return_id AND p.line_id = h.line_id
               LEFT JOIN postings t ON t.book_id = o.money_book_id AND t.kind = 'TRANSFER_IN' AND t.reference_id = p.part_id
               WHERE c.kind = 'REFUND' AND r.status NOT IN ('FAILED', 'CANCELLED') AND t.posting_id IS NULL
                 AND NOT (h.outcome IS NOT DISTINCT FROM 'FAILED' AND b.status = 'DONE')
           ), open_sums AS (
               SELECT book_id, currency, sum(amount_minor) AS sum_minor FROM taken GROUP BY book_id, currency
           ), due AS (
               SELECT book_id, currency, balance_minor FROM accounts WHERE kind = 'SHARES_DUE'
           ), compared AS (
               SELECT book_id, currency, COALESCE(d.balance_minor, 0) AS balance_minor, COALESCE(o.sum_minor, 0) AS sum_minor
               FROM due d
               FULL JOIN open_sums o USING (book_id, currency)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('book %s has %s %s of shares due, what refunds took and has not come back adds up to %s', book_id, balance_minor,
                                      currency, sum_minor)
                        FROM compared WHERE balance_minor <> sum_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}
