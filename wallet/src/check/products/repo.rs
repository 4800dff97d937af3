//! The SQL of the rules about products, their orders, and held money.

use sqlx::PgConnection;

use crate::check::Found;

/// The order's row against its account: balance, and each of the three ways that money goes.
pub(super) async fn escrows_add_up(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH moved AS (
               SELECT a.book_id AS money_book, a.subject, -a.balance_minor AS balance_minor,
                      COALESCE(-sum(e.amount_minor) FILTER (WHERE p.kind = 'PAYMENT'), 0) AS funded_minor,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE p.kind = 'ORDER_RELEASE'), 0) AS released_minor,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE p.kind IN ('REFUND', 'REFUND_RETURNED')), 0) AS returned_minor
               FROM accounts a
               LEFT JOIN entries e USING (book_id, account_id)
               LEFT JOIN postings p ON p.book_id = e.book_id AND p.posting_id = e.posting_id
               WHERE a.kind = 'ESCROW'
               GROUP BY a.book_id, a.account_id
           ), kept AS (
               SELECT s.book_id AS money_book, replace(o.order_id::text, '-', '') AS subject, o.order_id,
                      o.funded_minor, o.released_minor, o.returned_minor
               FROM orders o
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               WHERE o.funded_minor > 0 OR (o.status = 'PAID' AND o.terms -> 'hold' IS NOT NULL)
           ), compared AS (
               SELECT money_book, subject, k.order_id, m.balance_minor,
                      ARRAY[k.funded_minor, k.released_minor, k.returned_minor] AS said,
                      ARRAY[m.funded_minor, m.released_minor, m.returned_minor]::bigint[] AS booked
               FROM kept k
               FULL JOIN moved m USING (money_book, subject)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('order %s of book %s holds %s, its row says %s, its entries %s (funded, released, returned)',
                                      subject, money_book, COALESCE(balance_minor, 0), COALESCE(said::text, 'nothing'), COALESCE(booked::text, 'nothing'))
                        FROM compared
                        WHERE said IS DISTINCT FROM booked OR balance_minor IS DISTINCT FROM said[1] - said[2] - said[3]
                        LIMIT 21) AS "violations!"
           FROM compared"#
    )
    .fetch_one(tx)
    .await
}

/// A stage's share is rounded to within one minor unit.
pub(super) async fn releases_fit(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH asked AS (
               SELECT s.book_id AS money_book, r.release_id, r.amount_minor, r.fee_minor, o.store_id
               FROM order_releases r
               JOIN orders o USING (book_id, order_id)
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
           ), booked AS (
               SELECT p.book_id AS money_book, p.reference_id AS release_id, min(p.store_id::text)::uuid AS store_id,
                      COALESCE(sum(e.amount_minor) FILTER (WHERE a.kind = 'ESCROW'), 0) AS amount_minor,
                      COALESCE(-sum(e.amount_minor) FILTER (WHERE a.kind = 'FEE_INCOME'), 0) AS fee_minor
               FROM postings p
               LEFT JOIN entries e USING (book_id, posting_id)
               LEFT JOIN accounts a USING (book_id, account_id)
               WHERE p.kind = 'ORDER_RELEASE'
               GROUP BY p.book_id, p.posting_id
           ), stages AS (
               SELECT o.book_id, o.order_id, o.funded_minor, x.stage ->> 'name' AS stage, (x.stage ->> 'share_bps')::bigint AS share_bps,
                      x.stage ->> 'until' AS until
               FROM orders o, jsonb_array_elements(o.terms -> 'hold' -> 'stages') AS x (stage)
               UNION ALL
               SELECT book_id, order_id, funded_minor, '', 10000, terms -> 'hold' ->> 'until'
               FROM orders WHERE terms -> 'hold' ->> 'until' <> 'STAGES'
           ), released AS (
               SELECT book_id, order_id, stage, sum(amount_minor) AS released_minor FROM order_releases GROUP BY book_id, order_id, stage
           ), agreed AS (
               SELECT book_id, order_id, stage, count(*) AS sides FROM order_confirmations GROUP BY book_id, order_id, stage
           ), bad AS (
               SELECT format('release %s of book %s is %s with a fee of %s, booked are %s and %s', release_id, money_book,
                             COALESCE(a.amount_minor::text, 'not there'), COALESCE(a.fee_minor, 0), COALESCE(b.amount_minor::text, 'nothing'),
                             COALESCE(b.fee_minor, 0)) AS violation
               FROM asked a
               FULL JOIN booked b USING (money_book, release_id)
               WHERE a.amount_minor IS DISTINCT FROM b.amount_minor OR a.fee_minor IS DISTINCT FROM b.fee_minor
                  OR a.store_id IS DISTINCT FROM b.store_id
               UNION ALL
               SELECT format('order %s of book %s released %s of its stage "%s"', r.order_id, r.book_id, r.released_minor, r.stage)
               FROM released r
               LEFT JOIN stages s USING (book_id, order_id, stage)
               WHERE s.stage IS NULL OR r.released_minor * 10000 >= s.funded_minor * s.share_bps + 10000
               UNION ALL
               SELECT format('order %s of book %s released its stage "%s" with %s of two sides agreeing', r.order_id, r.book_id, r.stage,
                             COALESCE(g.sides, 0))
               FROM released r
               JOIN stages s USING (book_id, order_id, stage)
               LEFT JOIN agreed g USING (book_id, order_id, stage)
               WHERE s.until = 'BOTH' AND COALESCE(g.sides, 0) <> 2
           )
           SELECT (SELECT count(*) FROM asked) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn escrow_paths(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH moves AS (
               SELECT e.book_id, e.posting_id, p.kind, a.subject, COALESCE(t.order_id, r.order_id, f.order_id) AS order_id
               FROM accounts a
               JOIN entries e USING (book_id, account_id)
               LEFT JOIN postings p ON p.book_id = e.book_id AND p.posting_id = e.posting_id
               LEFT JOIN books b ON b.book_id = e.book_id
               LEFT JOIN payment_attempts t ON p.kind = 'PAYMENT' AND t.book_id = b.owner_id AND t.attempt_id = p.reference_id AND NOT t.surplus
               LEFT JOIN order_releases r ON p.kind = 'ORDER_RELEASE' AND r.book_id = b.owner_id AND r.release_id = p.reference_id
               LEFT JOIN refunds f ON p.kind IN ('REFUND', 'REFUND_RETURNED') AND f.book_id = b.owner_id AND f.refund_id = p.reference_id
               WHERE a.kind = 'ESCROW'
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('posting %s (%s) of book %s moves what order %s holds', posting_id, COALESCE(kind, 'missing'), book_id, subject)
                        FROM moves
                        WHERE replace(order_id::text, '-', '') IS DISTINCT FROM subject
                        LIMIT 21) AS "violations!"
           FROM moves"#
    )
    .fetch_one(tx)
    .await
}

/// The frozen terms against the version's body. The fee is the rate's part of the price, half a fen up, or one of its bounds; compared by
/// multiplication, since nothing here divides.
pub(super) async fn terms_are_of_the_version(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH frozen AS (
               SELECT o.book_id, o.order_id, o.product_code, o.product_version, o.fee_bps, o.terms, p.body::jsonb AS body,
                      (o.terms ->> 'fee_minor')::bigint AS fee_minor,
                      o.amount_minor - CASE p.body::jsonb -> 'fee' ->> 'bearer' WHEN 'PAYER' THEN (o.terms ->> 'fee_minor')::bigint ELSE 0 END
                          AS price_minor
               FROM orders o
               LEFT JOIN products p ON p.code = o.product_code AND p.version = o.product_version
               WHERE o.product_version > 0
           ), judged AS (
               SELECT f.*, price_minor * fee_bps + 5000 AS share, (body -> 'fee' ->> 'minor_min')::bigint AS least,
                      (body -> 'fee' ->> 'minor_max')::bigint AS most
               FROM frozen f
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('order %s of book %s has other terms than version %s of %s', order_id, book_id, product_version, product_code)
                        FROM judged
                        WHERE body IS NULL
                           OR terms ->> 'name' IS DISTINCT FROM body ->> 'name'
                           OR terms -> 'hold' IS DISTINCT FROM body -> 'hold'
                           OR terms -> 'split' IS DISTINCT FROM body -> 'split'
                           OR terms -> 'marketing' IS DISTINCT FROM body -> 'marketing'
                           OR COALESCE(terms ->> 'settle', 'T1') IS DISTINCT FROM body ->> 'settle'
                           OR COALESCE(terms ->> 'fee_on', 'PAYMENT') IS DISTINCT FROM body -> 'fee' ->> 'on'
                           OR (terms -> 'methods' IS NOT NULL AND terms -> 'methods' <> body -> 'collect' -> 'methods')
                           OR (terms -> 'methods' IS NULL AND jsonb_array_length(body -> 'collect' -> 'methods') <> 5)
                           OR (body -> 'fee' -> 'rate' ->> 'bps')::integer <> fee_bps
                           OR fee_minor IS NULL
                           OR NOT ((fee_minor * 10000 <= share AND share < (fee_minor + 1) * 10000 AND fee_minor >= least
                                    AND fee_minor <= COALESCE(most, fee_minor))
                                   OR (fee_minor = least AND share < least * 10000)
                                   OR (most IS NOT NULL AND fee_minor = most AND share >= most * 10000))
                        LIMIT 21) AS "violations!"
           FROM judged"#
    )
    .fetch_one(tx)
    .await
}

/// What the payment took, and what the releases took: of a fee on release no more than the whole, and all of it with the last cent.
pub(super) async fn fees_are_frozen(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH paid AS (
               SELECT o.book_id, o.order_id, s.book_id AS money_book, t.attempt_id, o.amount_minor, o.released_minor,
                      (o.terms ->> 'fee_minor')::bigint AS fee_minor, COALESCE(o.terms ->> 'fee_on', 'PAYMENT') AS fee_on
               FROM orders o
               JOIN payment_attempts t ON t.book_id = o.book_id AND t.order_id = o.order_id AND t.status = 'SUCCEEDED' AND NOT t.surplus
               LEFT JOIN books s ON s.owner_id = o.book_id AND s.stripe = o.stripe
               WHERE o.product_version > 0 AND o.status = 'PAID'
           ), with_payment AS (
               SELECT p.book_id AS money_book, p.reference_id AS attempt_id, -sum(e.amount_minor) AS taken_minor
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               JOIN accounts a USING (book_id, account_id)
               WHERE p.kind = 'PAYMENT' AND a.kind = 'FEE_INCOME'
               GROUP BY p.book_id, p.posting_id
           ), with_releases AS (
               SELECT book_id, order_id, sum(fee_minor) AS taken_minor FROM order_releases GROUP BY book_id, order_id
           ), judged AS (
               SELECT d.*, COALESCE(w.taken_minor, 0) AS at_payment, COALESCE(r.taken_minor, 0) AS at_release
               FROM paid d
               LEFT JOIN with_payment w USING (money_book, attempt_id)
               LEFT JOIN with_releases r USING (book_id, order_id)
           )
           SELECT count(*) AS "checked!",
                  ARRAY(SELECT format('order %s of book %s took a fee of %s with its payment and %s with its releases, frozen is %s on %s',
                                      order_id, book_id, at_payment, at_release, fee_minor, fee_on)
                        FROM judged
                        WHERE CASE fee_on
                            WHEN 'PAYMENT' THEN at_payment <> fee_minor OR at_release <> 0
                            ELSE at_payment <> 0 OR at_release > fee_minor OR (released_minor = amount_minor AND at_release <> fee_minor)
                        END
                        LIMIT 21) AS "violations!"
           FROM judged"#
    )
    .fetch_one(tx)
    .await
}
