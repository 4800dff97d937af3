//! The SQL of the rules about webhooks.

use sqlx::PgConnection;

use crate::check::Found;

pub(super) async fn deliveries_agree_with_their_tries(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH tries AS (
               SELECT book_id, delivery_id, count(*) AS tries, max(attempt) AS last, min(attempt) AS first,
                      count(*) FILTER (WHERE outcome = 'TAKEN') AS taken,
                      count(*) FILTER (WHERE (outcome = 'TAKEN') IS DISTINCT FROM (status_code BETWEEN 200 AND 299)
                                         AND outcome IS NOT NULL AND (outcome = 'TAKEN' OR status_code IS NOT NULL)) AS odd
               FROM webhook_attempts
               GROUP BY book_id, delivery_id
           ), bad AS (
               SELECT format('delivery %s of book %s counts %s tries, %s are kept', d.delivery_id, d.book_id, d.attempts, COALESCE(t.tries, 0))
                          AS violation
               FROM webhook_deliveries d LEFT JOIN tries t USING (book_id, delivery_id)
               WHERE d.attempts <> COALESCE(t.tries, 0) OR t.last <> t.tries OR t.first <> 1
               UNION ALL
               SELECT format('delivery %s of book %s is %s, %s of its tries were taken', d.delivery_id, d.book_id, d.status, COALESCE(t.taken, 0))
               FROM webhook_deliveries d LEFT JOIN tries t USING (book_id, delivery_id)
               WHERE (d.status = 'DELIVERED') <> (COALESCE(t.taken, 0) > 0)
               UNION ALL
               SELECT format('a try of delivery %s of book %s says one thing and its status another', delivery_id, book_id)
               FROM tries WHERE odd > 0
               UNION ALL
               SELECT format('delivery %s of book %s is held after its end', delivery_id, book_id)
               FROM webhook_deliveries WHERE status <> 'PENDING' AND lease_until IS NOT NULL
               UNION ALL
               SELECT format('delivery %s of book %s waits for an endpoint that was deleted', d.delivery_id, d.book_id)
               FROM webhook_deliveries d JOIN webhook_endpoints e ON e.book_id = d.book_id AND e.endpoint_id = d.endpoint_id
               WHERE d.status = 'PENDING' AND e.status = 'DISABLED'
           )
           SELECT (SELECT count(*) FROM webhook_deliveries) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

/// The first of a resend may have been deleted before it, being older.
pub(super) async fn deliveries_are_made_once(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH bad AS (
               SELECT format('endpoint %s of book %s is told %s times of event %s', endpoint_id, book_id, count(*), event_id) AS violation
               FROM webhook_deliveries
               WHERE resend_of IS NULL
               GROUP BY book_id, endpoint_id, event_id
               HAVING count(*) > 1
               UNION ALL
               SELECT format('delivery %s of book %s is a resend of %s, which is of another event or endpoint or a resend itself',
                             r.delivery_id, r.book_id, f.delivery_id)
               FROM webhook_deliveries r JOIN webhook_deliveries f ON f.book_id = r.book_id AND f.delivery_id = r.resend_of
               WHERE f.endpoint_id <> r.endpoint_id OR f.event_id <> r.event_id OR f.kind <> r.kind OR f.resend_of IS NOT NULL
               UNION ALL
               SELECT format('delivery %s of book %s tells of %s, its event %s is of kind %s', d.delivery_id, d.book_id, d.kind, d.event_id, o.kind)
               FROM webhook_deliveries d JOIN outbox o ON o.book_id = d.book_id AND o.event_id = d.event_id
               WHERE o.kind <> d.kind OR o.subject_id <> d.subject_id
               UNION ALL
               SELECT format('the body of delivery %s of book %s is of another event', delivery_id, book_id)
               FROM webhook_deliveries
               WHERE position(format('"eventId":"%s"', event_id) IN body) = 0 OR position(format('"kind":"%s"', kind) IN body) = 0
           )
           SELECT (SELECT count(*) FROM webhook_deliveries) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn keys_sign(tx: &mut PgConnection) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH keys AS (
               SELECT e.book_id, e.endpoint_id, e.status,
                      count(k.key_id) FILTER (WHERE k.ends_at IS NULL OR k.ends_at > now()) AS live,
                      count(k.key_id) FILTER (WHERE k.ends_at IS NULL) AS endless,
                      count(k.key_id) FILTER (WHERE k.sealed IS NOT NULL) AS sealed,
                      count(k.key_id) FILTER (WHERE k.sealed IS NULL AND (k.ends_at IS NULL OR k.ends_at > now())) AS mute
               FROM webhook_endpoints e LEFT JOIN webhook_keys k ON k.book_id = e.book_id AND k.endpoint_id = e.endpoint_id
               GROUP BY e.book_id, e.endpoint_id, e.status
           ), bad AS (
               SELECT format('endpoint %s of book %s has %s live keys, %s without an end, %s that cannot sign', endpoint_id, book_id, live, endless,
                             mute) AS violation
               FROM keys WHERE status <> 'DISABLED' AND (live NOT BETWEEN 1 AND 2 OR endless <> 1 OR mute > 0)
               UNION ALL
               SELECT format('endpoint %s of book %s was deleted and keeps %s keys', endpoint_id, book_id, sealed + live)
               FROM keys WHERE status = 'DISABLED' AND sealed + live > 0
           )
           SELECT (SELECT count(*) FROM keys) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#
    )
    .fetch_one(tx)
    .await
}
