//! The log's SQL: entries in stream order, tiles, the mark, heads.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::entry::Entry;
use super::head::Head;
use super::tiles::{TileId, Tiles};
use super::tree::{Hash, sha256};
use crate::base::id::{BookId, MerchantId, PostingId};
use crate::base::money::Currency;
use crate::ledger::AccountKind;

/// Where an entry stands in the stream. Transactions come in the order of their numbers, and each is taken whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub xid: u64,
    pub book: Uuid,
    pub posting: Uuid,
    pub line: i16,
}

impl Place {
    /// The place after all lines of the posting.
    pub(super) fn after_posting(self) -> Self {
        Self { line: i16::MAX, ..self }
    }

    /// The place before the entry: what comes after it begins with the entry.
    pub(super) fn before(self) -> Self {
        Self { line: self.line.saturating_sub(1), ..self }
    }
}

/// How far the log has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub size: u64,
    /// After the last posting that is in it.
    pub mark: Place,
    /// The first transaction that may still be running. Readers stop below it: one with a lower number could otherwise commit later and be skipped.
    pub horizon: u64,
}

fn xid(text: &str) -> sqlx::Result<u64> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A count of leaves or tiles as the database has it. It keeps them from being negative.
fn number(stored: i64) -> u64 {
    stored.unsigned_abs()
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Locks the log for one writer and reads how far it has come.
pub(super) async fn lock_in_tx(tx: &mut PgConnection) -> sqlx::Result<State> {
    let r = sqlx::query!(r#"SELECT size, xid::text AS "xid!", book_id, posting_id FROM log_state FOR UPDATE"#).fetch_one(&mut *tx).await?;
    // its own statement: the snapshot of the one above is from before the wait for the lock
    let horizon = sqlx::query_scalar!(r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "xmin!""#).fetch_one(tx).await?;
    let mark = Place { xid: xid(&r.xid)?, book: r.book_id, posting: r.posting_id, line: i16::MAX };
    Ok(State { size: number(r.size), mark, horizon: xid(&horizon)? })
}

/// How far the log has come, as a reader sees it.
pub(super) async fn state(db: &PgPool) -> sqlx::Result<State> {
    let r = sqlx::query!(
        r#"SELECT size, xid::text AS "xid!", book_id, posting_id, pg_snapshot_xmin(pg_current_snapshot())::text AS "xmin!" FROM log_state"#
    )
    .fetch_one(db)
    .await?;
    let mark = Place { xid: xid(&r.xid)?, book: r.book_id, posting: r.posting_id, line: i16::MAX };
    Ok(State { size: number(r.size), mark, horizon: xid(&r.xmin)? })
}

/// Moves the mark.
pub(super) async fn advance_in_tx(tx: &mut PgConnection, size: u64, mark: Place) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE log_state SET size = $1, xid = $2::text::xid8, book_id = $3, posting_id = $4",
        stored(size),
        mark.xid.to_string(),
        mark.book,
        mark.posting
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The entries after a place, in stream order, of at most `postings_max` postings, the place's own among them. Only of transactions below
/// every running one.
///
/// Each goes through `take` as it comes, so that a batch holds hashes and not rows.
pub(super) async fn entries_after(
    db: impl PgExecutor<'_>,
    after: Place,
    postings_max: i64,
    mut take: impl FnMut(Place, Entry),
) -> sqlx::Result<()> {
    let mut rows = sqlx::query!(
        r#"WITH next AS MATERIALIZED (
               SELECT xid, book_id, posting_id, kind, reference_id, store_id, accounting_date, business_date, recorded_at, reversal_of,
                      hold_id, metadata
               FROM postings
               WHERE xid >= $1::text::xid8 AND (xid, book_id, posting_id) >= ($1::text::xid8, $2, $3)
                 AND xid < pg_snapshot_xmin(pg_current_snapshot())
               ORDER BY xid, book_id, posting_id
               LIMIT $5
           )
           SELECT p.xid::text AS "xid!", p.book_id AS "book_id!", p.posting_id AS "posting_id!", p.kind AS "posting_kind!",
                  p.reference_id AS "reference_id!", p.store_id, p.accounting_date AS "accounting_date!",
                  p.business_date AS "business_date!", p.recorded_at AS "recorded_at!", p.reversal_of, p.hold_id, p.metadata,
                  e.account_id, e.seq, e.line, e.amount_minor, e.balance_after_minor, a.kind AS account_kind, a.subject, a.currency
           FROM next p
           JOIN entries e ON e.book_id = p.book_id AND e.posting_id = p.posting_id
           JOIN accounts a ON a.book_id = e.book_id AND a.account_id = e.account_id
           WHERE (p.xid, p.book_id, p.posting_id, e.line) > ($1::text::xid8, $2, $3, $4)
           ORDER BY p.xid, p.book_id, p.posting_id, e.line"#,
        after.xid.to_string(),
        after.book,
        after.posting,
        after.line,
        postings_max
    )
    .fetch(db);
    while let Some(r) = rows.try_next().await? {
        let place = Place { xid: xid(&r.xid)?, book: r.book_id, posting: r.posting_id, line: r.line };
        let entry = Entry {
            book: r.book_id,
            account: r.account_id,
            account_kind: r.account_kind,
            subject: r.subject,
            currency: r.currency,
            seq: r.seq,
            amount_minor: r.amount_minor,
            balance_after_minor: r.balance_after_minor,
            posting: r.posting_id,
            posting_kind: r.posting_kind,
            reference: r.reference_id,
            line: r.line,
            accounting_date: r.accounting_date,
            business_date: r.business_date,
            recorded_at: r.recorded_at,
            store: r.store_id,
            reversal_of: r.reversal_of,
            hold: r.hold_id,
            metadata: r.metadata.map(|metadata| sha256(metadata.as_bytes())),
        };
        take(place, entry);
    }
    Ok(())
}

/// Where the entries stand that a posting of a merchant's, in whichever of its books, made on an account, and the day they are booked on.
pub(super) async fn find(
    db: &PgPool,
    merchant: MerchantId,
    account: AccountKind,
    currency: Currency,
    posting: PostingId,
) -> sqlx::Result<Vec<(Place, NaiveDate)>> {
    let rows = sqlx::query!(
        r#"SELECT p.xid::text AS "xid!", p.book_id, p.posting_id, e.line, p.accounting_date
           FROM books b
           JOIN accounts a ON a.book_id = b.book_id AND a.kind = $2 AND a.subject = '' AND a.currency = $3
           JOIN postings p ON p.book_id = b.book_id AND p.posting_id = $4
           JOIN entries e ON e.book_id = p.book_id AND e.posting_id = p.posting_id AND e.account_id = a.account_id
           WHERE b.owner_id = $1
           ORDER BY p.xid, p.book_id, e.line"#,
        merchant.0,
        account.as_str(),
        currency.as_str(),
        posting.0
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|r| Ok((Place { xid: xid(&r.xid)?, book: r.book_id, posting: r.posting_id, line: r.line }, r.accounting_date)))
        .collect()
}

/// A tile of leaves with the place of its first.
#[derive(Clone, Debug)]
pub(super) struct LeafTile {
    pub tile: u64,
    pub first: Place,
    pub hashes: Vec<Hash>,
}

/// Cuts a tile's bytes into hashes.
fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.to_vec()
}

/// The tile that holds a place, if any does: the last one that does not begin after it.
pub(super) async fn tile_at(db: &PgPool, place: Place) -> sqlx::Result<Option<LeafTile>> {
    let row = sqlx::query!(
        r#"SELECT tile, hashes, first_xid::text AS "xid!", first_book AS "book!", first_posting AS "posting!", first_line AS "line!"
           FROM log_tiles
           WHERE level = 0 AND (first_xid, first_book, first_posting, first_line) <= ($1::text::xid8, $2, $3, $4)
           ORDER BY first_xid DESC, first_book DESC, first_posting DESC, first_line DESC
           LIMIT 1"#,
        place.xid.to_string(),
        place.book,
        place.posting,
        place.line
    )
    .fetch_optional(db)
    .await?;
    row.map(|r| {
        let first = Place { xid: xid(&r.xid)?, book: r.book, posting: r.posting, line: r.line };
        Ok(LeafTile { tile: number(r.tile), first, hashes: hashes(&r.hashes) })
    })
    .transpose()
}

/// At most `limit` tiles of leaves from number `from` on.
pub(super) async fn leaf_tiles(db: &PgPool, from: u64, limit: i64) -> sqlx::Result<Vec<LeafTile>> {
    let rows = sqlx::query!(
        r#"SELECT tile, hashes, first_xid::text AS "xid!", first_book AS "book!", first_posting AS "posting!", first_line AS "line!"
           FROM log_tiles
           WHERE level = 0 AND tile >= $1
           ORDER BY tile
           LIMIT $2"#,
        stored(from),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|r| {
            let first = Place { xid: xid(&r.xid)?, book: r.book, posting: r.posting, line: r.line };
            Ok(LeafTile { tile: number(r.tile), first, hashes: hashes(&r.hashes) })
        })
        .collect()
}

/// Reads tiles. One that does not exist is left out.
pub(super) async fn tiles(db: impl PgExecutor<'_>, wanted: &BTreeSet<TileId>) -> sqlx::Result<Tiles> {
    let levels: Vec<i16> = wanted.iter().map(|id| id.level as i16).collect();
    let numbers: Vec<i64> = wanted.iter().map(|id| stored(id.tile)).collect();
    let rows = sqlx::query!(
        r#"SELECT level AS "level!", tile AS "tile!", hashes
           FROM UNNEST($1::smallint[], $2::bigint[]) AS w (level, tile)
           JOIN log_tiles USING (level, tile)"#,
        &levels,
        &numbers
    )
    .fetch_all(db)
    .await?;
    let mut tiles = Tiles::default();
    for r in rows {
        tiles.insert(TileId { level: r.level.unsigned_abs().into(), tile: number(r.tile) }, hashes(&r.hashes));
    }
    Ok(tiles)
}

/// A tile as it shall be from now on.
#[derive(Debug)]
pub(super) struct Grown<'a> {
    pub id: TileId,
    pub hashes: &'a [Hash],
    /// Of a new tile of leaves: the place of its first.
    pub first: Option<Place>,
}

/// Writes tiles that are new or have grown. False when one of them would not only have grown: what is in a tile stays in it.
pub(super) async fn write_tiles_in_tx(tx: &mut PgConnection, grown: &[Grown<'_>]) -> sqlx::Result<bool> {
    let levels: Vec<i16> = grown.iter().map(|tile| tile.id.level as i16).collect();
    let numbers: Vec<i64> = grown.iter().map(|tile| stored(tile.id.tile)).collect();
    let bytes: Vec<&[u8]> = grown.iter().map(|tile| tile.hashes.as_flattened()).collect();
    let xids: Vec<Option<String>> = grown.iter().map(|tile| tile.first.map(|place| place.xid.to_string())).collect();
    let books: Vec<Option<Uuid>> = grown.iter().map(|tile| tile.first.map(|place| place.book)).collect();
    let postings: Vec<Option<Uuid>> = grown.iter().map(|tile| tile.first.map(|place| place.posting)).collect();
    let lines: Vec<Option<i16>> = grown.iter().map(|tile| tile.first.map(|place| place.line)).collect();
    let written = sqlx::query!(
        "WITH grown AS (
             SELECT level, tile, hashes, xid::xid8 AS first_xid, book, posting, line
             FROM UNNEST($1::smallint[], $2::bigint[], $3::bytea[], $4::text[], $5::uuid[], $6::uuid[], $7::smallint[])
                 AS g (level, tile, hashes, xid, book, posting, line)
         ), continued AS (
             UPDATE log_tiles t
             SET hashes = g.hashes
             FROM grown g
             WHERE t.level = g.level AND t.tile = g.tile
               AND octet_length(g.hashes) > octet_length(t.hashes) AND substr(g.hashes, 1, octet_length(t.hashes)) = t.hashes
             RETURNING t.level, t.tile
         ), begun AS (
             INSERT INTO log_tiles (level, tile, hashes, first_xid, first_book, first_posting, first_line)
             SELECT level, tile, hashes, first_xid, book, posting, line
             FROM grown g
             WHERE NOT EXISTS (SELECT 1 FROM log_tiles t WHERE t.level = g.level AND t.tile = g.tile)
             RETURNING 1
         )
         SELECT 1 AS done FROM continued UNION ALL SELECT 1 FROM begun",
        &levels,
        &numbers,
        &bytes as &[&[u8]],
        &xids as &[Option<String>],
        &books as &[Option<Uuid>],
        &postings as &[Option<Uuid>],
        &lines as &[Option<i16>]
    )
    .fetch_all(tx)
    .await?;
    Ok(written.len() == grown.len())
}

/// The last head.
pub(super) async fn last_head(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query_as!(Row, "SELECT day, size, root, sealed_at FROM log_seals ORDER BY day DESC LIMIT 1").fetch_optional(db).await?;
    Ok(row.map(|row| row.head()))
}

/// The head of a day.
pub(super) async fn head_of(db: &PgPool, day: NaiveDate) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query_as!(Row, "SELECT day, size, root, sealed_at FROM log_seals WHERE day = $1", day).fetch_optional(db).await?;
    Ok(row.map(|row| row.head()))
}

/// The first head that holds a leaf.
pub(super) async fn head_over(db: &PgPool, leaf: u64) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query_as!(Row, "SELECT day, size, root, sealed_at FROM log_seals WHERE size > $1 ORDER BY day LIMIT 1", stored(leaf))
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| row.head()))
}

/// The heads whose last leaf is one of these.
pub(super) async fn heads_ending_in(db: &PgPool, leaves: Range<u64>) -> sqlx::Result<Vec<Head>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT day, size, root, sealed_at FROM log_seals WHERE size > $1 AND size <= $2 ORDER BY day",
        stored(leaves.start),
        stored(leaves.end)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(Row::head).collect())
}

/// Heads below a day with the time of their sealing, newest first.
pub(super) async fn heads(db: &PgPool, before: Option<NaiveDate>, limit: i64) -> sqlx::Result<Vec<(Head, DateTime<Utc>)>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT day, size, root, sealed_at FROM log_seals WHERE $1::date IS NULL OR day < $1 ORDER BY day DESC LIMIT $2",
        before,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.head(), row.sealed_at)).collect())
}

struct Row {
    day: NaiveDate,
    size: i64,
    root: Vec<u8>,
    sealed_at: DateTime<Utc>,
}

impl Row {
    fn head(&self) -> Head {
        // a CHECK keeps it at 32 bytes
        Head { day: self.day, size: number(self.size), root: self.root.as_slice().try_into().unwrap_or_default() }
    }
}

/// Writes the head of a day. Once: a second one for the day is refused by the key.
pub(super) async fn insert_head_in_tx(tx: &mut PgConnection, head: &Head, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO log_seals (day, size, root, sealed_at) VALUES ($1, $2, $3, $4)",
        head.day,
        stored(head.size),
        head.root.as_slice(),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The day that the first entry of the log is booked on.
pub(super) async fn first_day(db: &PgPool) -> sqlx::Result<Option<NaiveDate>> {
    sqlx::query_scalar!(
        "SELECT p.accounting_date
         FROM log_tiles t
         JOIN postings p ON p.book_id = t.first_book AND p.posting_id = t.first_posting
         WHERE t.level = 0 AND t.tile = 0"
    )
    .fetch_optional(db)
    .await
}

/// Whether a posting after the mark, committed by now, is booked on a day through `day`.
pub(super) async fn anything_beyond(tx: &mut PgConnection, mark: Place, day: NaiveDate) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1
               FROM postings
               WHERE xid >= $1::text::xid8 AND (xid, book_id, posting_id) > ($1::text::xid8, $2, $3) AND accounting_date <= $4) AS "any!""#,
        mark.xid.to_string(),
        mark.book,
        mark.posting,
        day
    )
    .fetch_one(tx)
    .await
}

/// Of the next `limit` books after `after`: the last one, and whether one of them has something booked through `day` that no close covers.
pub(super) async fn anything_open(db: &PgPool, day: NaiveDate, after: Option<BookId>, limit: i64) -> sqlx::Result<Option<(BookId, bool)>> {
    let row = sqlx::query!(
        r#"WITH page AS (SELECT book_id, closed_day FROM books WHERE book_id > $1 ORDER BY book_id LIMIT $2)
           SELECT (SELECT book_id FROM page ORDER BY book_id DESC LIMIT 1) AS last,
                  EXISTS (
                      SELECT 1
                      FROM page b
                      JOIN accounts a ON a.book_id = b.book_id
                      LEFT JOIN LATERAL (
                          SELECT cutoff_seq FROM day_balances
                          WHERE book_id = a.book_id AND account_id = a.account_id
                          ORDER BY day DESC
                          LIMIT 1) AS last ON true
                      JOIN entries e ON e.book_id = a.book_id AND e.account_id = a.account_id AND e.seq > COALESCE(last.cutoff_seq, 0)
                      JOIN postings p ON p.book_id = e.book_id AND p.posting_id = e.posting_id
                      WHERE COALESCE(b.closed_day < $3, true) AND a.seq > COALESCE(last.cutoff_seq, 0) AND p.accounting_date <= $3
                  ) AS "open!""#,
        after.map_or(Uuid::nil(), |b| b.0),
        limit,
        day
    )
    .fetch_one(db)
    .await?;
    Ok(row.last.map(|last| (BookId(last), row.open)))
}
