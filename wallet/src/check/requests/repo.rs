//! The SQL of the rules between business rows and the books.

use sqlx::PgConnection;

use crate::check::{Found, Scope};

/// Compares the postings of some kinds with the business rows that must have caused them: book, kind, reference, amount and store.
///
/// The rows stay in the merchant's own book, the postings lie in one of its stripes. Within a scope: what the scope's postings and events
/// name. An event is written in the transaction that posts, so that a posting which is missing is missed by its event.
pub(super) async fn booked_once(tx: &mut PgConnection, scope: &Scope, kinds: &[&str]) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT p.book_id, p.posting_id, p.kind, p.reference_id, p.store_id, COALESCE(b.owner_id, p.book_id) AS owner_id
               FROM postings p
               LEFT JOIN books b USING (book_id)
               WHERE p.kind = ANY($1) AND ($2::text IS NULL OR (p.xid > $2::text::xid8 AND p.xid < $3::text::xid8))
           ), named AS (
               SELECT CASE kind WHEN 'SETTLEMENT_RELEASE' THEN book_id ELSE owner_id END AS row_book, kind, reference_id FROM scope WHERE $2 IS NOT NULL
               UNION
               SELECT o.book_id, k.kind, CASE WHEN o.kind = 'order.paid' THEN (o.payload ->> 'attemptId')::uuid
                                              WHEN k.kind IN ('REFUND_PAID_OUT', 'REFUND_BOUNCED') THEN (o.payload ->> 'routeId')::uuid
                                              ELSE o.subject_id END
               FROM outbox o
               JOIN (VALUES ('order.paid', 'PAYMENT'), ('refund.succeeded', 'REFUND_SETTLED'), ('refund.failed', 'REFUND_RETURNED'),
                            ('refund.cancelled', 'REFUND_RETURNED'), ('refund.succeeded', 'REFUND_PAID_OUT'), ('refund.bounced', 'REFUND_BOUNCED'),
                            ('refund.paid_by_hand', 'REFUND_PAID_BY_HAND'),
                            ('withdrawal.succeeded', 'WITHDRAWAL_PAID'), ('withdrawal.failed', 'WITHDRAWAL_RETURNED'),
                            ('withdrawal.returned', 'WITHDRAWAL_BOUNCED'), ('withdrawal.credited_back', 'WITHDRAWAL_CREDITED_BACK'),
                            ('settlement.released', 'SETTLEMENT_RELEASE')) AS k (event_kind, kind) ON k.event_kind = o.kind
               WHERE $2 IS NOT NULL AND k.kind = ANY($1) AND NOT o.queued AND o.xid > $2::text::xid8 AND o.xid < $3::text::xid8
           ), attempts AS (
               SELECT book_id, attempt_id, order_id, amount_minor, status, surplus FROM payment_attempts WHERE $2 IS NULL
               UNION ALL
               SELECT t.book_id, t.attempt_id, t.order_id, t.amount_minor, t.status, t.surplus
               FROM named n JOIN payment_attempts t ON t.book_id = n.row_book AND t.attempt_id = n.reference_id
               WHERE n.kind = 'PAYMENT'
           ), taken_back AS (
               SELECT book_id, refund_id, order_id, amount_minor, subsidy_minor, status, route, funded, NULL AS only_kind FROM refunds WHERE $2 IS NULL
               UNION ALL
               SELECT r.book_id, r.refund_id, r.order_id, r.amount_minor, r.subsidy_minor, r.status, r.route, r.funded, n.kind
               FROM named n JOIN refunds r ON r.book_id = n.row_book AND r.refund_id = n.reference_id
               WHERE n.kind IN ('REFUND', 'REFUND_SETTLED', 'REFUND_RETURNED', 'REFUND_PAID_BY_HAND')
           ), by_bank AS (
               SELECT t.book_id, t.route_id, t.refund_id, t.status, NULL AS only_kind FROM refund_routes t WHERE $2 IS NULL AND t.kind = 'PAYOUT'
               UNION ALL
               SELECT t.book_id, t.route_id, t.refund_id, t.status, n.kind
               FROM named n JOIN refund_routes t ON t.book_id = n.row_book AND t.route_id = n.reference_id
               WHERE n.kind IN ('REFUND_PAID_OUT', 'REFUND_BOUNCED') AND t.kind = 'PAYOUT'
           ), released AS (
               SELECT book_id, batch_id, released_minor FROM settlement_batches WHERE $2 IS NULL
               UNION ALL
               SELECT s.book_id, s.batch_id, s.released_minor
               FROM named n JOIN settlement_batches s ON s.book_id = n.row_book AND s.batch_id = n.reference_id
               WHERE n.kind = 'SETTLEMENT_RELEASE'
           ), paid_out AS (
               SELECT book_id, withdrawal_id, amount_minor, status, NULL AS only_kind FROM withdrawals WHERE $2 IS NULL
               UNION ALL
               SELECT w.book_id, w.withdrawal_id, w.amount_minor, w.status, n.kind
               FROM named n JOIN withdrawals w ON w.book_id = n.row_book AND w.withdrawal_id = n.reference_id
               WHERE n.kind LIKE 'WITHDRAWAL%'
           ), asked AS (
               SELECT s.book_id, 'PAYMENT' AS kind, t.attempt_id AS reference_id,
                      t.amount_minor + CASE WHEN t.surplus THEN 0 ELSE o.subsidy_minor END AS amount_minor, o.store_id
               FROM attempts t
               JOIN orders o USING (book_id, order_id)
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               WHERE t.status = 'SUCCEEDED'
               UNION ALL
               -- outside, a refund is its cash part
               SELECT s.book_id, k.kind, r.refund_id, r.amount_minor - CASE WHEN k.kind IN ('REFUND_SETTLED', 'REFUND_PAID_BY_HAND') THEN r.subsidy_minor ELSE 0 END,
                      o.store_id
               FROM taken_back r
               JOIN orders o USING (book_id, order_id)
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               JOIN (VALUES ('REFUND', NULL), ('REFUND_SETTLED', 'SUCCEEDED'), ('REFUND_RETURNED', 'FAILED'),
                            ('REFUND_RETURNED', 'CANCELLED'), ('REFUND_PAID_BY_HAND', 'MANUAL')) AS k (kind, status)
                   ON (k.status IS NULL OR k.status = r.status) AND k.kind = COALESCE(r.only_kind, k.kind)
               WHERE r.funded AND (k.kind <> 'REFUND_SETTLED' OR (r.route = 'ORIGINAL' AND r.amount_minor > r.subsidy_minor))
               UNION ALL
               SELECT s.book_id, k.kind, t.route_id, r.amount_minor - r.subsidy_minor, o.store_id
               FROM by_bank t
               JOIN refunds r ON r.book_id = t.book_id AND r.refund_id = t.refund_id
               JOIN orders o ON o.book_id = r.book_id AND o.order_id = r.order_id
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               JOIN (VALUES ('REFUND_PAID_OUT', 'SUCCEEDED'), ('REFUND_PAID_OUT', 'BOUNCED'), ('REFUND_BOUNCED', 'BOUNCED')) AS k (kind, status)
                   ON k.status = t.status AND k.kind = COALESCE(t.only_kind, k.kind)
               UNION ALL
               SELECT book_id, 'SETTLEMENT_RELEASE', batch_id, released_minor, NULL FROM released WHERE released_minor > 0
               UNION ALL
               SELECT w.book_id, k.kind, w.withdrawal_id, w.amount_minor, NULL
               FROM paid_out w
               JOIN (VALUES ('WITHDRAWAL_HOLD', NULL), ('WITHDRAWAL_RETURNED', 'FAILED'),
                            ('WITHDRAWAL_PAID', 'SUCCEEDED'), ('WITHDRAWAL_PAID', 'RETURNED'), ('WITHDRAWAL_PAID', 'CREDITED_BACK'),
                            ('WITHDRAWAL_BOUNCED', 'RETURNED'), ('WITHDRAWAL_BOUNCED', 'CREDITED_BACK'),
                            ('WITHDRAWAL_CREDITED_BACK', 'CREDITED_BACK')) AS k (kind, status)
                   ON (k.status IS NULL OR k.status = w.status) AND k.kind = COALESCE(w.only_kind, k.kind)
           ), booked AS (
               SELECT p.book_id, p.kind, p.reference_id, count(DISTINCT p.posting_id) AS times,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE e.amount_minor > 0), 0) AS amount_minor, min(p.store_id::text)::uuid AS store_id
               FROM scope p
               LEFT JOIN entries e USING (book_id, posting_id)
               GROUP BY p.book_id, p.kind, p.reference_id
           ), compared AS (
               SELECT book_id, kind, reference_id, a.amount_minor AS asked_minor, b.amount_minor AS booked_minor, b.times,
                      a.store_id AS asked_store, b.store_id AS booked_store
               FROM (SELECT * FROM asked WHERE kind = ANY($1)) a
               FULL JOIN booked b USING (book_id, kind, reference_id)
           ), bad AS (
               SELECT CASE
                   WHEN times IS NULL THEN format('%s %s of book %s is not booked', kind, reference_id, book_id)
                   WHEN asked_minor IS NULL THEN format('%s %s of book %s is booked, but nobody asked for it', kind, reference_id, book_id)
                   WHEN times > 1 THEN format('%s %s of book %s is booked %s times', kind, reference_id, book_id, times)
                   WHEN asked_minor <> booked_minor
                       THEN format('%s %s of book %s is booked with %s instead of %s', kind, reference_id, book_id, booked_minor, asked_minor)
                   ELSE format('%s %s of book %s is booked for another store', kind, reference_id, book_id)
               END AS violation
               FROM compared
               WHERE times IS DISTINCT FROM 1 OR asked_minor IS DISTINCT FROM booked_minor OR asked_store IS DISTINCT FROM booked_store
           )
           SELECT (SELECT count(*) FROM compared) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        kinds as &[&str],
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// Postings of kinds that no business row could have caused.
pub(super) async fn kinds_are_known(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH scope AS (
               SELECT book_id, posting_id, kind FROM postings WHERE $1::text IS NULL OR (xid > $1::text::xid8 AND xid < $2::text::xid8)
           )
           SELECT (SELECT count(*) FROM scope) AS "checked!",
                  ARRAY(SELECT format('posting %s of book %s is of kind %s', posting_id, book_id, kind)
                        FROM scope
                        WHERE kind NOT IN ('PAYMENT', 'REFUND', 'REFUND_SETTLED', 'REFUND_RETURNED', 'REFUND_PAID_OUT', 'REFUND_BOUNCED',
                                           'ORDER_RELEASE', 'SETTLEMENT_RELEASE', 'WITHDRAWAL_HOLD',
                                           'WITHDRAWAL_PAID', 'WITHDRAWAL_RETURNED', 'WITHDRAWAL_BOUNCED', 'WITHDRAWAL_CREDITED_BACK',
                                           'TRANSFER_OUT', 'TRANSFER_IN', 'SPLIT_FREEZE', 'SPLIT_RELEASE', 'SPLIT_BEAR', 'REFUND_PAID_BY_HAND', 'ADVANCE_RECOVERED', 'SUBSIDY_FUNDED', 'SUBSIDY_WITHDRAWN',
                                           'SUBSIDY_USED', 'SUBSIDY_RETURNED', 'REVERSAL')
                        LIMIT 21) AS "violations!""#,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn surplus_given_back(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH surplus AS (
               SELECT t.book_id, t.attempt_id, t.amount_minor, COALESCE(sum(r.amount_minor), 0) AS given_back_minor
               FROM payment_attempts t
               LEFT JOIN refunds r ON r.book_id = t.book_id AND r.attempt_id = t.attempt_id AND r.status NOT IN ('FAILED', 'CANCELLED')
               WHERE t.surplus AND t.status = 'SUCCEEDED'
               GROUP BY t.book_id, t.attempt_id
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('of surplus payment %s of book %s, %s of %s is given back', attempt_id, book_id, given_back_minor, amount_minor)
                        FROM surplus WHERE given_back_minor <> amount_minor
                        LIMIT 21) AS "violations!"
           FROM surplus"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn transactions_belong(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH paid AS (
               SELECT book_id, attempt_id, channel, channel_transaction_id AS transaction_id FROM payment_attempts WHERE status = 'SUCCEEDED'
           ), bad AS (
               SELECT format('attempt %s of book %s says transaction %s, which is not bound to it', p.attempt_id, p.book_id,
                             COALESCE(p.transaction_id, 'none')) AS violation
               FROM paid p
               LEFT JOIN channel_transactions c USING (channel, transaction_id)
               WHERE (c.book_id, c.attempt_id) IS DISTINCT FROM (p.book_id, p.attempt_id)
               UNION ALL
               SELECT format('transaction %s of %s is bound to attempt %s of book %s, which it did not pay',
                             c.transaction_id, c.channel, c.attempt_id, c.book_id)
               FROM channel_transactions c
               LEFT JOIN paid p USING (channel, transaction_id)
               WHERE (c.book_id, c.attempt_id) IS DISTINCT FROM (p.book_id, p.attempt_id)
           )
           SELECT (SELECT count(*) FROM paid) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn paid_orders(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH counted AS (
               SELECT o.book_id, o.order_id, o.status, o.amount_minor - o.subsidy_minor AS amount_minor,
                      count(t.attempt_id) AS payments, COALESCE(sum(t.amount_minor), 0) AS paid_minor
               FROM orders o
               LEFT JOIN payment_attempts t ON t.book_id = o.book_id AND t.order_id = o.order_id AND t.status = 'SUCCEEDED' AND NOT t.surplus
               GROUP BY o.book_id, o.order_id
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('order %s of book %s is %s with %s payments of %s together, for %s',
                                      order_id, book_id, status, payments, paid_minor, amount_minor)
                        FROM counted
                        WHERE CASE WHEN status = 'PAID' THEN payments <> 1 OR paid_minor <> amount_minor ELSE payments <> 0 END
                        LIMIT 21) AS "violations!"
           FROM counted"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn refunds_within_payments(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH by_attempt AS (
               SELECT r.book_id, r.order_id, r.attempt_id, t.status, t.surplus, t.amount_minor, t.order_id AS paid_order_id,
                      COALESCE(sum(r.amount_minor) FILTER (WHERE r.status NOT IN ('FAILED', 'CANCELLED')), 0) AS refunded_minor,
                      COALESCE(sum(r.amount_minor - r.subsidy_minor) FILTER (WHERE r.status NOT IN ('FAILED', 'CANCELLED')), 0) AS cash_minor
               FROM refunds r
               LEFT JOIN payment_attempts t USING (book_id, attempt_id)
               GROUP BY r.book_id, r.order_id, r.attempt_id, t.status, t.surplus, t.amount_minor, t.order_id
           ), by_order AS (
               SELECT o.book_id, o.order_id, o.refunded_minor AS said_minor,
                      COALESCE(sum(b.refunded_minor) FILTER (WHERE NOT b.surplus), 0) AS refunded_minor
               FROM orders o
               LEFT JOIN by_attempt b USING (book_id, order_id)
               GROUP BY o.book_id, o.order_id
           ), bad AS (
               SELECT format('refunds of attempt %s of book %s take %s of %s', attempt_id, book_id, cash_minor, COALESCE(amount_minor, 0)) AS violation
               FROM by_attempt
               WHERE status IS DISTINCT FROM 'SUCCEEDED' OR cash_minor > amount_minor OR order_id <> paid_order_id
               UNION ALL
               SELECT format('order %s of book %s says %s was refunded, its refunds take %s', order_id, book_id, said_minor, refunded_minor)
               FROM by_order WHERE said_minor <> refunded_minor
           )
           SELECT (SELECT count(*) FROM refunds) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn batches_in_order(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH batches AS (
               SELECT b.*, lag(b.cutoff_seq) OVER (PARTITION BY b.book_id, b.currency ORDER BY b.day) AS cutoff_before, a.seq AS last_seq
               FROM settlement_batches b
               LEFT JOIN accounts a ON a.book_id = b.book_id AND a.kind = 'MERCHANT_PENDING' AND a.subject = '' AND a.currency = b.currency
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('batch %s of book %s for %s ends at entry %s after %s, of %s, made on %s', batch_id, book_id, day,
                                      cutoff_seq, COALESCE(cutoff_before, 0), COALESCE(last_seq, 0), created_at)
                        FROM batches
                        WHERE cutoff_seq < COALESCE(cutoff_before, 0) OR cutoff_seq > COALESCE(last_seq, 0)
                           OR day >= (created_at AT TIME ZONE 'Asia/Shanghai')::date
                        LIMIT 21) AS "violations!"
           FROM batches"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn transit_is_open(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH open_rows AS (
               SELECT book_id, 'PAYOUT_TRANSIT' AS kind, currency, amount_minor FROM withdrawals WHERE status IN ('HELD', 'SUBMITTED', 'UNKNOWN', 'RETURNED')
               UNION ALL
               SELECT book_id, 'REFUND_PAYABLE', currency, amount_minor - CASE WHEN subsidy_returned THEN subsidy_minor ELSE 0 END
               FROM refunds WHERE status NOT IN ('GATHERING', 'MANUAL', 'SUCCEEDED', 'FAILED', 'CANCELLED')
           ), open_sums AS (
               SELECT book_id, kind, currency, sum(amount_minor) AS sum_minor FROM open_rows GROUP BY book_id, kind, currency
           ), transit AS (
               SELECT b.owner_id AS book_id, a.kind, a.currency, -sum(a.balance_minor) AS balance_minor
               FROM accounts a
               JOIN books b USING (book_id)
               WHERE a.kind IN ('PAYOUT_TRANSIT', 'REFUND_PAYABLE')
               GROUP BY b.owner_id, a.kind, a.currency
           ), compared AS (
               SELECT book_id, kind, currency, COALESCE(t.balance_minor, 0) AS balance_minor, COALESCE(o.sum_minor, 0) AS sum_minor
               FROM transit t
               FULL JOIN open_sums o USING (book_id, kind, currency)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('%s of book %s is %s %s, what is open adds up to %s', kind, book_id, balance_minor, currency, sum_minor)
                        FROM compared WHERE balance_minor <> sum_minor
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn cash_of_own_bank(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH legs AS (
               SELECT p.book_id, p.reference_id, a.subject, w.bank
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
               JOIN withdrawals w ON w.book_id = p.book_id AND w.withdrawal_id = p.reference_id
               WHERE p.kind IN ('WITHDRAWAL_PAID', 'WITHDRAWAL_BOUNCED') AND a.kind = 'BANK_CASH'
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('withdrawal %s of book %s was asked of %s and is booked at %s', reference_id, book_id, bank, subject)
                        FROM legs WHERE subject <> bank
                        LIMIT 21) AS "violations!"
           FROM legs"#
    )
    .fetch_one(tx)
    .await
}

/// A refund that is under way outside has one try under way, any other none; tries follow each other, each after a definitive end of the last,
/// and the latest is that of the refund's way. A refund that succeeded was given back by its latest try.
pub(super) async fn one_route_at_a_time(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH counted AS (
               SELECT r.book_id, r.refund_id, r.status, r.route, r.sent_at,
                      count(t.route_id) AS tries, count(*) FILTER (WHERE t.status = 'LIVE') AS live, COALESCE(max(t.try_no), 0) AS last_no
               FROM refunds r
               LEFT JOIN refund_routes t ON t.book_id = r.book_id AND t.refund_id = r.refund_id
               GROUP BY r.book_id, r.refund_id
           ), latest AS (
               SELECT c.*, t.kind, t.status AS try_status
               FROM counted c
               LEFT JOIN refund_routes t ON t.book_id = c.book_id AND t.refund_id = c.refund_id AND t.try_no = c.last_no
           ), bad AS (
               SELECT format('refund %s of book %s is %s with %s tries under way', refund_id, book_id, status, live) AS violation
               FROM latest
               WHERE live <> CASE WHEN status IN ('SENT', 'UNKNOWN', 'CONFLICTED') THEN 1 ELSE 0 END
               UNION ALL
               SELECT format('refund %s of book %s has %s tries, the last of them number %s', refund_id, book_id, tries, last_no)
               FROM latest WHERE tries <> last_no
               UNION ALL
               SELECT format('refund %s of book %s went %s, its latest try %s', refund_id, book_id, route, kind)
               FROM latest WHERE tries > 0 AND kind <> route
               UNION ALL
               SELECT format('refund %s of book %s is %s after a try that is %s', refund_id, book_id, status, try_status)
               FROM latest
               WHERE tries > 0 AND try_status <> ALL (CASE status
                   WHEN 'SUCCEEDED' THEN ARRAY['SUCCEEDED'] WHEN 'FAILED' THEN ARRAY['FAILED'] WHEN 'BOUNCED' THEN ARRAY['BOUNCED'] WHEN 'MANUAL' THEN ARRAY['BOUNCED']
                   WHEN 'REROUTE' THEN ARRAY['FAILED'] WHEN 'FUNDED' THEN ARRAY['FAILED', 'BOUNCED'] ELSE ARRAY['LIVE'] END)
               UNION ALL
               SELECT format('refund %s of book %s was tried again while try %s had not failed', t.refund_id, t.book_id, t.try_no)
               FROM refund_routes t
               JOIN counted c ON c.book_id = t.book_id AND c.refund_id = t.refund_id AND t.try_no < c.last_no
               WHERE t.status NOT IN ('FAILED', 'BOUNCED')
           )
           SELECT (SELECT count(*) FROM counted) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// A payout goes to a payee of its own refund that one person named and another confirmed before it was sent; no payee is paid twice.
pub(super) async fn payees_are_confirmed(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH paid AS (
               SELECT t.book_id, t.route_id, t.refund_id, t.created_at, t.payee_id, p.refund_id AS payee_of, p.proposed_by, p.approved_by, p.approved_at,
                      count(*) OVER (PARTITION BY t.book_id, t.payee_id) AS times
               FROM refund_routes t
               LEFT JOIN refund_payees p ON p.book_id = t.book_id AND p.payee_id = t.payee_id
               WHERE t.kind = 'PAYOUT'
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('payout %s of refund %s of book %s goes to payee %s of refund %s, named by %s and confirmed by %s', route_id, refund_id,
                                      book_id, payee_id, COALESCE(payee_of::text, 'none'), proposed_by, COALESCE(approved_by::text, 'nobody'))
                        FROM paid
                        WHERE payee_of IS DISTINCT FROM refund_id OR approved_by IS NULL OR approved_by = proposed_by OR approved_at > created_at OR times > 1
                        LIMIT 21) AS "violations!"
           FROM paid"#
    )
    .fetch_one(tx)
    .await
}

/// A refund is closed by hand when the bank had sent it back and two people said how it was paid then; nothing else closes one so, and what was paid
/// outside closes one refund. It is booked at the bank that it had come back to.
pub(super) async fn hand_paid_by_two(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH said AS (
               SELECT m.*, count(*) OVER (PARTITION BY m.book_id, m.bank, m.reference) AS times FROM refund_manuals m WHERE m.status <> 'REJECTED'
           ), compared AS (
               SELECT COALESCE(r.book_id, m.book_id) AS book_id, COALESCE(r.refund_id, m.refund_id) AS refund_id, r.status, m.manual_id, m.bank,
                      m.proposed_by, m.decided_by
               FROM (SELECT book_id, refund_id, status FROM refunds WHERE status = 'MANUAL') AS r
               FULL JOIN (SELECT * FROM said WHERE status = 'APPROVED') AS m USING (book_id, refund_id)
           ), bad AS (
               SELECT format('refund %s of book %s is %s by hand, said by %s and confirmed by %s', refund_id, book_id, COALESCE(status, 'not closed'),
                             COALESCE(proposed_by::text, 'nobody'), COALESCE(decided_by::text, 'nobody')) AS violation
               FROM compared WHERE status IS NULL OR manual_id IS NULL OR decided_by IS NULL OR decided_by = proposed_by
               UNION ALL
               SELECT format('refund %s of book %s was paid by hand at %s, it had not come back there', c.refund_id, c.book_id, c.bank)
               FROM compared c
               WHERE c.manual_id IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM refund_routes t WHERE t.book_id = c.book_id AND t.refund_id = c.refund_id AND t.status = 'BOUNCED'
                                                                 AND t.channel = c.bank)
               UNION ALL
               SELECT format('number %s of %s closes %s refunds of book %s', reference, bank, times, book_id)
               FROM said WHERE times > 1
               UNION ALL
               SELECT format('refund %s of book %s was paid by hand at %s and is booked at %s', c.refund_id, p.book_id, c.bank, a.subject)
               FROM compared c
               JOIN postings p ON p.kind = 'REFUND_PAID_BY_HAND' AND p.reference_id = c.refund_id
               JOIN entries e ON e.book_id = p.book_id AND e.posting_id = p.posting_id
               JOIN accounts a ON a.book_id = e.book_id AND a.account_id = e.account_id AND a.kind = 'BANK_CASH'
               WHERE a.subject IS DISTINCT FROM c.bank
           )
           SELECT (SELECT count(*) FROM compared) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// What receivers give back for a refund is what it takes from them and the merchant together; a refund that waits has such a return, and
/// one that came to nothing has none.
pub(super) async fn returns_belong_to_refunds(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH compared AS (
               SELECT r.book_id, r.refund_id, r.status, r.amount_minor - r.fee_minor AS takes_minor, b.amount_minor AS gives_minor, b.order_id = r.order_id AS same
               FROM refunds r
               LEFT JOIN split_returns b ON b.book_id = r.book_id AND b.reference_id = r.refund_id
               WHERE b.return_id IS NOT NULL OR r.status = 'GATHERING'
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('refund %s of book %s is %s and takes %s, its return gives %s', refund_id, book_id, status, takes_minor,
                                      COALESCE(gives_minor, 0))
                        FROM compared
                        WHERE takes_minor IS DISTINCT FROM gives_minor OR NOT same OR status IN ('FAILED', 'CANCELLED')
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}
