//! The SQL of the rule about the log.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::check::{Found, Scope};

/// Where comparing begins: a leaf tile, and the place of its first entry.
#[derive(Debug)]
pub(super) struct Start {
    tile: i64,
    xid: String,
    book: Uuid,
    posting: Uuid,
    line: i16,
}

/// The last tile that begins at or before the scope's mark; the first one of all for everything.
pub(super) async fn start(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Start> {
    let tile = sqlx::query_as!(
        Start,
        r#"SELECT tile, first_xid::text AS "xid!", first_book AS "book!", first_posting AS "posting!", first_line AS "line!"
           FROM log_tiles
           WHERE level = 0 AND $1::text IS NOT NULL AND first_xid <= $1::text::xid8
           ORDER BY first_xid DESC, first_book DESC, first_posting DESC, first_line DESC
           LIMIT 1"#,
        scope.after()
    )
    .fetch_optional(tx)
    .await?;
    Ok(tile.unwrap_or(Start { tile: 0, xid: "0".to_owned(), book: Uuid::nil(), posting: Uuid::nil(), line: i16::MIN }))
}

/// Hashes every entry from `start` up to the log's place, numbers them in the log's order, and compares them tile by tile. An entry of a day
/// whose seal does not stand on it is found, too. A scope that ends before the log's place is compared as far as it goes, and not counted.
pub(super) async fn leaves_are_entries(tx: &mut PgConnection, start: &Start, scope: &Scope) -> sqlx::Result<Found> {
    sqlx::query_as!(
        Found,
        r#"WITH texts AS (
               SELECT p.xid, p.book_id, p.posting_id, e.line, p.accounting_date,
                      E'haodian-entry 1\n'
                      || 'book ' || p.book_id || E'\naccount ' || e.account_id
                      || E'\naccount-kind ' || replace(replace(replace(a.kind, '\', '\\'), E'\n', '\n'), E'\r', '\r')
                      || E'\nsubject ' || replace(replace(replace(a.subject, '\', '\\'), E'\n', '\n'), E'\r', '\r')
                      || E'\ncurrency ' || replace(replace(replace(a.currency, '\', '\\'), E'\n', '\n'), E'\r', '\r')
                      || E'\nseq ' || e.seq || E'\namount-minor ' || e.amount_minor || E'\nbalance-after-minor ' || e.balance_after_minor
                      || E'\nposting ' || p.posting_id
                      || E'\nposting-kind ' || replace(replace(replace(p.kind, '\', '\\'), E'\n', '\n'), E'\r', '\r')
                      || E'\nreference ' || p.reference_id || E'\nline ' || e.line
                      || E'\naccounting-date ' || to_char(p.accounting_date, 'YYYY-MM-DD')
                      || E'\nbusiness-date ' || to_char(p.business_date, 'YYYY-MM-DD')
                      || E'\nrecorded-at ' || to_char(p.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                      || E'\nstore ' || COALESCE(p.store_id::text, '-') || E'\nreversal-of ' || COALESCE(p.reversal_of::text, '-')
                      || E'\nhold ' || COALESCE(p.hold_id::text, '-')
                      || E'\nmetadata-sha256 ' || COALESCE(encode(sha256(convert_to(p.metadata, 'UTF8')), 'hex'), '-') || E'\n' AS text
               FROM postings p
               JOIN entries e USING (book_id, posting_id)
               LEFT JOIN accounts a USING (book_id, account_id)
               WHERE p.xid >= $2::text::xid8 AND (p.xid, p.book_id, p.posting_id, e.line) >= ($2::text::xid8, $3::uuid, $4::uuid, $5::smallint)
                 AND (p.xid, p.book_id, p.posting_id) <= (SELECT xid, book_id, posting_id FROM log_state)
                 AND ($7::text IS NULL OR p.xid < $7::text::xid8)
           ), cut AS (
               SELECT $7::text IS NOT NULL AND $7::text::xid8 <= xid AS short FROM log_state
           ), numbered AS (
               SELECT $1::bigint * 256 + row_number() OVER (ORDER BY xid, book_id, posting_id, line) - 1 AS number,
                      xid, book_id, posting_id, line, accounting_date,
                      COALESCE(sha256('\x00'::bytea || convert_to(text, 'UTF8')), repeat('?', 32)::bytea) AS leaf
               FROM texts
           ), made AS (
               SELECT number >> 8 AS tile, string_agg(leaf, ''::bytea ORDER BY number) AS hashes,
                      min(xid::text || ' ' || book_id || ' ' || posting_id || ' ' || line) FILTER (WHERE number % 256 = 0) AS first_place
               FROM numbered
               GROUP BY number >> 8
           ), compared AS (
               SELECT tile, m.hashes AS made, m.first_place AS made_place,
                      CASE WHEN (SELECT short FROM cut) THEN substring(k.hashes FROM 1 FOR octet_length(m.hashes)) ELSE k.hashes END AS kept,
                      k.first_xid::text || ' ' || k.first_book || ' ' || k.first_posting || ' ' || k.first_line AS kept_place
               FROM made m
               FULL JOIN (SELECT *
                          FROM log_tiles
                          WHERE level = 0 AND tile >= $1 AND (tile <= (SELECT max(tile) FROM made) OR NOT (SELECT short FROM cut))) AS k
                   USING (tile)
           ), sealed AS (
               SELECT n.accounting_date, max(n.number) AS last_number,
                      (SELECT s.day FROM log_seals s WHERE s.day >= n.accounting_date ORDER BY s.day LIMIT 1) AS day,
                      (SELECT s.size FROM log_seals s WHERE s.day >= n.accounting_date ORDER BY s.day LIMIT 1) AS size
               FROM numbered n
               GROUP BY n.accounting_date
           ), bad AS (
               SELECT format('leaf %s of the log is not the hash of its entry', tile * 256 + (
                             SELECT min(n) FROM generate_series(0, 255) AS n WHERE substr(made, n * 32 + 1, 32) <> substr(kept, n * 32 + 1, 32))) AS violation
               FROM compared WHERE octet_length(made) = octet_length(kept) AND made <> kept
               UNION ALL
               SELECT format('tile %s of the log holds %s entries, there are %s', tile, COALESCE(octet_length(kept), 0) >> 5, COALESCE(octet_length(made), 0) >> 5)
               FROM compared WHERE octet_length(made) IS DISTINCT FROM octet_length(kept)
               UNION ALL
               SELECT format('tile %s of the log says it begins at %s, it begins at %s', tile, kept_place, made_place)
               FROM compared WHERE made_place <> kept_place
               UNION ALL
               SELECT format('the log says that it has %s entries, up to its place there are %s', s.size, $1 * 256 + c.entries)
               FROM log_state s, (SELECT count(*) AS entries FROM numbered) AS c
               WHERE s.size <> $1 * 256 + c.entries AND NOT (SELECT short FROM cut)
               UNION ALL
               SELECT format('entry %s is booked on %s, the seal of %s stands on the first %s only', last_number, accounting_date, day, size)
               FROM sealed WHERE last_number >= size
               UNION ALL
               SELECT format('posting %s of book %s is booked on %s and not in the log, whose days are sealed through %s',
                             p.posting_id, p.book_id, p.accounting_date, (SELECT max(day) FROM log_seals))
               FROM postings p
               WHERE (p.xid, p.book_id, p.posting_id) > (SELECT xid, book_id, posting_id FROM log_state)
                 AND p.xid >= (SELECT xid FROM log_state) AND p.accounting_date <= (SELECT max(day) FROM log_seals)
               UNION ALL
               SELECT format('the seal of %s stands on %s entries, the one before on %s', day, size, size_before)
               FROM (SELECT day, size, lag(size) OVER (ORDER BY day) AS size_before FROM log_seals WHERE $6::text IS NULL) AS seals
               WHERE size < size_before
           )
           SELECT (SELECT count(*) FROM numbered) AS "checked!", ARRAY(SELECT violation FROM bad LIMIT 21) AS "violations!""#,
        start.tile,
        start.xid,
        start.book,
        start.posting,
        start.line,
        scope.after(),
        scope.before()
    )
    .fetch_one(tx)
    .await
}

/// A sealed head.
pub(super) struct Seal {
    pub(super) day: NaiveDate,
    pub(super) size: i64,
    pub(super) root: Vec<u8>,
}

/// In the order of their sizes.
pub(super) async fn seals(tx: &mut PgConnection) -> sqlx::Result<Vec<Seal>> {
    sqlx::query_as!(Seal, "SELECT day, size, root FROM log_seals ORDER BY size, day").fetch_all(tx).await
}

pub(super) async fn upper_tiles(tx: &mut PgConnection) -> sqlx::Result<BTreeMap<(i16, i64), Vec<u8>>> {
    sqlx::query!("SELECT level, tile, hashes FROM log_tiles WHERE level > 0")
        .fetch(tx)
        .map_ok(|row| ((row.level, row.tile), row.hashes))
        .try_collect()
        .await
}

/// The hashes of the leaf tiles, in order.
pub(super) fn leaf_tiles(tx: &mut PgConnection) -> BoxStream<'_, sqlx::Result<Vec<u8>>> {
    sqlx::query_scalar!("SELECT hashes FROM log_tiles WHERE level = 0 ORDER BY tile").fetch(tx).boxed()
}
