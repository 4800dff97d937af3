//! The ledger's SQL. Every statement takes arrays, so that a single command is the batch of one.
//!
//! The order of row locks has its home here: business rows first (order, attempt, refund, withdrawal), then books, then accounts by
//! (book, account), then the day rows of analytics. Another lock gets its place in this sentence before it is taken. Accounts are locked in
//! one call a transaction, or in a later one only when they are locked already.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::BookKind;
use super::account::{AccountKind, AccountName};
use super::command::{Hold, HoldState};
use super::error::LedgerError;
use super::posting::{Digest, Metadata, PostingKind};
use super::rules::{Account, FloorChange, Original, OriginalLine, Plan};
use crate::base::id::{AccountId, BookId, HoldId, PostingId, StoreId};
use crate::base::money::Currency;

/// The accounts of a batch by their ids, in the order of their locks.
pub(super) type Wanted = std::collections::BTreeMap<(BookId, AccountId), AccountName>;

/// Locks the accounts in (book, account) order and reads them, or none of them when one is missing; and says which of the postings
/// were made before. One statement.
///
/// The count in the condition is what keeps the lock order global: locking what is there and then creating the rest would lock the
/// new account out of its place. `ORDER BY` stays: the rows are locked in the order they leave the sort. A day whose entries are sealed is
/// closed for every book, also one that was idle. A posting that another transaction made while this one waited is not seen; its key then
/// refuses this one's, and the transaction is run again.
pub(super) async fn lock_in_tx(
    tx: &mut PgConnection,
    wanted: &Wanted,
    postings: &[(BookId, PostingId)],
) -> sqlx::Result<(Vec<Account>, HashMap<(BookId, PostingId), Digest>)> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = wanted.keys().map(|(book, id)| (book.0, id.0)).unzip();
    let (posting_books, posting_ids): (Vec<Uuid>, Vec<Uuid>) = postings.iter().map(|(book, id)| (book.0, id.0)).unzip();
    let rows = sqlx::query!(
        r#"WITH locked AS MATERIALIZED (
               SELECT a.book_id, a.account_id, a.balance_minor, a.held_minor, a.floor_minor, a.seq,
                      GREATEST(a.closed_day, (SELECT max(day) FROM log_seals)) AS closed_day
               FROM UNNEST($1::uuid[], $2::uuid[]) AS w (book_id, account_id)
               JOIN accounts a USING (book_id, account_id)
               WHERE CARDINALITY($1::uuid[]) = (
                   SELECT count(*)
                   FROM UNNEST($1::uuid[], $2::uuid[]) AS n (book_id, account_id)
                   JOIN accounts USING (book_id, account_id))
               ORDER BY a.book_id, a.account_id
               FOR NO KEY UPDATE OF a)
           SELECT book_id AS "book_id!", account_id AS "id!", balance_minor, held_minor, floor_minor, seq, closed_day, NULL::bytea AS digest
           FROM locked
           UNION ALL
           SELECT p.book_id, p.posting_id, NULL, NULL, NULL, NULL, NULL, p.digest
           FROM UNNEST($3::uuid[], $4::uuid[]) AS w (book_id, posting_id)
           JOIN postings p USING (book_id, posting_id)"#,
        &books,
        &ids,
        &posting_books,
        &posting_ids
    )
    .fetch_all(tx)
    .await?;
    let (mut accounts, mut posted) = (Vec::with_capacity(wanted.len()), HashMap::new());
    for r in rows {
        if let Some(digest) = r.digest {
            posted.insert((BookId(r.book_id), PostingId(r.id)), digest.try_into().map_err(|_| unreadable("a digest"))?);
            continue;
        }
        let key = (BookId(r.book_id), AccountId(r.id));
        accounts.push(Account {
            book: key.0,
            id: key.1,
            name: wanted.get(&key).ok_or_else(|| unreadable("an account"))?.clone(),
            balance_minor: r.balance_minor.unwrap_or_default(),
            held_minor: r.held_minor.unwrap_or_default(),
            floor_minor: r.floor_minor,
            seq: r.seq.unwrap_or_default(),
            closed_day: r.closed_day,
        });
    }
    Ok((accounts, posted))
}

fn unreadable(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} of the ledger is not what it must be").into())
}

/// Creates the accounts that are missing and says which of the books exist. Waits for another transaction creating the same one, and
/// for one that closes a day of the book: a new account knows the last closed day.
pub(super) async fn create_accounts_in_tx(tx: &mut PgConnection, wanted: &Wanted, now: DateTime<Utc>) -> sqlx::Result<HashSet<BookId>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = wanted.keys().map(|(book, id)| (book.0, id.0)).unzip();
    let kinds: Vec<&str> = wanted.values().map(|n| n.kind.as_str()).collect();
    let subjects: Vec<&str> = wanted.values().map(|n| n.subject.as_str()).collect();
    let currencies: Vec<&str> = wanted.values().map(|n| n.currency.as_str()).collect();
    let sides: Vec<i16> = wanted.values().map(|n| n.kind.side()).collect();
    let floors: Vec<Option<i64>> = wanted.values().map(|n| n.kind.floor()).collect();
    let books = sqlx::query_scalar!(
        "WITH open_books AS MATERIALIZED (
             SELECT book_id, closed_day FROM books WHERE book_id = ANY($1) ORDER BY book_id FOR SHARE
         ), created AS (
             INSERT INTO accounts (book_id, account_id, kind, subject, currency, side, floor_minor, closed_day, created_at)
             SELECT w.book_id, w.account_id, w.kind, w.subject, w.currency, w.side, w.floor_minor, b.closed_day, $8
             FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[])
                 AS w (book_id, account_id, kind, subject, currency, side, floor_minor)
             JOIN open_books b USING (book_id)
             ORDER BY w.book_id, w.account_id
             ON CONFLICT DO NOTHING
         )
         SELECT book_id FROM open_books",
        &books,
        &ids,
        &kinds as &[&str],
        &subjects as &[&str],
        &currencies as &[&str],
        &sides,
        &floors as &[Option<i64>],
        now
    )
    .fetch_all(tx)
    .await?;
    Ok(books.into_iter().map(BookId).collect())
}

/// The entries of postings that are to be taken back, with the names of their accounts. They never change, so no lock is needed.
pub(super) async fn originals_in_tx(
    tx: &mut PgConnection,
    postings: &[(BookId, PostingId)],
) -> sqlx::Result<(HashMap<(BookId, PostingId), Original>, Wanted)> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = postings.iter().map(|(book, id)| (book.0, id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT p.book_id, p.posting_id, p.kind AS "posting_kind: PostingKind", p.store_id, e.line, e.account_id, e.amount_minor,
                  a.kind AS "kind: AccountKind", a.subject, a.currency AS "currency: Currency"
           FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::uuid[]) AS n (book_id, posting_id)) AS w
           JOIN postings p USING (book_id, posting_id)
           JOIN entries e USING (book_id, posting_id)
           JOIN accounts a USING (book_id, account_id)
           ORDER BY p.book_id, p.posting_id, e.line"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let (mut originals, mut accounts) = (HashMap::new(), Wanted::new());
    for r in rows {
        let (book, account) = (BookId(r.book_id), AccountId(r.account_id));
        accounts.insert((book, account), AccountName { kind: r.kind, subject: r.subject, currency: r.currency });
        let line = OriginalLine { line: r.line, account, amount_minor: r.amount_minor, reversed_minor: 0 };
        originals
            .entry((book, PostingId(r.posting_id)))
            .or_insert_with(|| Original { kind: r.posting_kind, store: r.store_id.map(StoreId), lines: Vec::new() })
            .lines
            .push(line);
    }
    Ok((originals, accounts))
}

/// What was taken back of postings before, by line. Read after their accounts were locked.
pub(super) async fn reversed_in_tx(tx: &mut PgConnection, originals: &mut HashMap<(BookId, PostingId), Original>) -> sqlx::Result<()> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = originals.keys().map(|(book, id)| (book.0, id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT p.book_id, p.reversal_of AS "reversal_of!", e.line, sum(e.amount_minor)::bigint AS "minor!"
           FROM UNNEST($1::uuid[], $2::uuid[]) AS w (book_id, posting_id)
           JOIN postings p ON p.book_id = w.book_id AND p.reversal_of = w.posting_id
           JOIN entries e ON e.book_id = p.book_id AND e.posting_id = p.posting_id
           GROUP BY p.book_id, p.reversal_of, e.line"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    for r in rows {
        let original = originals.get_mut(&(BookId(r.book_id), PostingId(r.reversal_of)));
        if let Some(line) = original.and_then(|o| o.lines.iter_mut().find(|l| l.line == r.line)) {
            line.reversed_minor = r.minor;
        }
    }
    Ok(())
}

/// The accounts that holds are of. A hold never changes its account, so no lock is needed.
pub(super) async fn held_accounts_in_tx(tx: &mut PgConnection, holds: &[(BookId, HoldId)]) -> sqlx::Result<Wanted> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = holds.iter().map(|(book, id)| (book.0, id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT h.book_id, h.account_id, a.kind AS "kind: AccountKind", a.subject, a.currency AS "currency: Currency"
           FROM UNNEST($1::uuid[], $2::uuid[]) AS w (book_id, hold_id)
           JOIN holds h USING (book_id, hold_id)
           JOIN accounts a ON a.book_id = h.book_id AND a.account_id = h.account_id"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    let name = |kind, subject, currency| AccountName { kind, subject, currency };
    Ok(rows.into_iter().map(|r| ((BookId(r.book_id), AccountId(r.account_id)), name(r.kind, r.subject, r.currency))).collect())
}

/// Holds as they stand. Read after their accounts were locked: nobody changes a hold without that lock.
pub(super) async fn holds_in_tx(tx: &mut PgConnection, holds: &[(BookId, HoldId)]) -> sqlx::Result<HashMap<(BookId, HoldId), Hold>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = holds.iter().map(|(book, id)| (book.0, id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT h.book_id, h.hold_id, h.account_id, h.amount_minor, h.captured_minor, h.state AS "state: HoldState", h.reference_id,
                  h.expires_at, h.resolved_at
           FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::uuid[]) AS n (book_id, hold_id)) AS w
           JOIN holds h USING (book_id, hold_id)"#,
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let hold = Hold {
                book: BookId(r.book_id),
                id: HoldId(r.hold_id),
                account: AccountId(r.account_id),
                amount_minor: r.amount_minor,
                captured_minor: r.captured_minor,
                state: r.state,
                reference: r.reference_id,
                expires_at: r.expires_at,
                resolved_at: r.resolved_at,
            };
            ((hold.book, hold.id), hold)
        })
        .collect())
}

/// Changes of floors made before. Read after their accounts were locked.
pub(super) async fn floor_changes_in_tx(
    tx: &mut PgConnection,
    changes: &[(BookId, Uuid)],
) -> sqlx::Result<HashMap<(BookId, Uuid), FloorChange>> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = changes.iter().map(|(book, id)| (book.0, *id)).unzip();
    let rows = sqlx::query!(
        "SELECT c.book_id, c.change_id, c.account_id, c.after_seq, c.floor_minor
         FROM UNNEST($1::uuid[], $2::uuid[]) AS w (book_id, change_id)
         JOIN floor_changes c USING (book_id, change_id)",
        &books,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let (book, id, account) = (BookId(r.book_id), r.change_id, AccountId(r.account_id));
            ((book, id), FloorChange { book, id, account, after_seq: r.after_seq, floor_minor: r.floor_minor })
        })
        .collect())
}

/// Writes the postings, entries and balances of a plan in one statement.
pub(super) async fn write_in_tx(tx: &mut PgConnection, plan: &Plan, now: DateTime<Utc>) -> Result<(), LedgerError> {
    let postings = &plan.postings;
    let posting_books: Vec<Uuid> = postings.iter().map(|p| p.book.0).collect();
    let posting_ids: Vec<Uuid> = postings.iter().map(|p| p.id.0).collect();
    let kinds: Vec<&str> = postings.iter().map(|p| p.kind.as_str()).collect();
    let references: Vec<Uuid> = postings.iter().map(|p| p.reference).collect();
    let stores: Vec<Option<Uuid>> = postings.iter().map(|p| p.store.map(|s| s.0)).collect();
    let business_dates: Vec<NaiveDate> = postings.iter().map(|p| p.business_date).collect();
    let accounting_dates: Vec<NaiveDate> = postings.iter().map(|p| p.accounting_date).collect();
    let reversals: Vec<Option<Uuid>> = postings.iter().map(|p| p.reversal_of.map(|r| r.0)).collect();
    let holds: Vec<Option<Uuid>> = postings.iter().map(|p| p.hold.map(|capture| capture.hold.0)).collect();
    let holds_last: Vec<bool> = postings.iter().map(|p| p.hold.is_some_and(|capture| capture.last)).collect();
    let metadata: Vec<Option<&str>> = postings.iter().map(|p| p.metadata.as_ref().map(Metadata::as_str)).collect();
    let digests: Vec<&[u8]> = postings.iter().map(|p| p.digest.as_slice()).collect();

    let entries = &plan.entries;
    let entry_books: Vec<Uuid> = entries.iter().map(|e| e.book.0).collect();
    let entry_accounts: Vec<Uuid> = entries.iter().map(|e| e.account.0).collect();
    let seqs: Vec<i64> = entries.iter().map(|e| e.seq).collect();
    let entry_postings: Vec<Uuid> = entries.iter().map(|e| e.posting.0).collect();
    let lines: Vec<i16> = entries.iter().map(|e| e.line).collect();
    let amounts: Vec<i64> = entries.iter().map(|e| e.amount_minor).collect();
    let balances_after: Vec<i64> = entries.iter().map(|e| e.balance_after_minor).collect();

    let accounts = &plan.accounts;
    let account_books: Vec<Uuid> = accounts.iter().map(|a| a.book.0).collect();
    let account_ids: Vec<Uuid> = accounts.iter().map(|a| a.id.0).collect();
    let balances: Vec<i64> = accounts.iter().map(|a| a.balance_minor).collect();
    let helds: Vec<i64> = accounts.iter().map(|a| a.held_minor).collect();
    let floors: Vec<Option<i64>> = accounts.iter().map(|a| a.floor_minor).collect();
    let last_seqs: Vec<i64> = accounts.iter().map(|a| a.seq).collect();

    let updated = sqlx::query!(
        "WITH new_postings AS (
             INSERT INTO postings (book_id, posting_id, kind, reference_id, store_id, business_date, accounting_date, reversal_of, hold_id,
                                   hold_last, metadata, digest, recorded_at)
             SELECT p.*, $26
             FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::date[], $7::date[], $8::uuid[], $9::uuid[],
                         $10::boolean[], $11::text[], $12::bytea[]) AS p
         ), new_entries AS (
             INSERT INTO entries (book_id, account_id, seq, posting_id, line, amount_minor, balance_after_minor)
             SELECT * FROM UNNEST($13::uuid[], $14::uuid[], $15::bigint[], $16::uuid[], $17::smallint[], $18::bigint[], $19::bigint[])
         )
         UPDATE accounts a
         SET balance_minor = n.balance_minor, held_minor = n.held_minor, floor_minor = n.floor_minor, seq = n.seq
         FROM UNNEST($20::uuid[], $21::uuid[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[])
              AS n (book_id, account_id, balance_minor, held_minor, floor_minor, seq)
         WHERE a.book_id = n.book_id AND a.account_id = n.account_id",
        &posting_books,
        &posting_ids,
        &kinds as &[&str],
        &references,
        &stores as &[Option<Uuid>],
        &business_dates,
        &accounting_dates,
        &reversals as &[Option<Uuid>],
        &holds as &[Option<Uuid>],
        &holds_last,
        &metadata as &[Option<&str>],
        &digests as &[&[u8]],
        &entry_books,
        &entry_accounts,
        &seqs,
        &entry_postings,
        &lines,
        &amounts,
        &balances_after,
        &account_books,
        &account_ids,
        &balances,
        &helds,
        &floors as &[Option<i64>],
        &last_seqs,
        now
    )
    .execute(tx)
    .await?
    .rows_affected();
    if usize::try_from(updated) == Ok(plan.accounts.len()) { Ok(()) } else { Err(LedgerError::Incomplete) }
}

/// Writes the holds of a plan as they stand now. One statement.
pub(super) async fn write_holds_in_tx(tx: &mut PgConnection, holds: &[Hold], now: DateTime<Utc>) -> Result<(), LedgerError> {
    let books: Vec<Uuid> = holds.iter().map(|h| h.book.0).collect();
    let ids: Vec<Uuid> = holds.iter().map(|h| h.id.0).collect();
    let accounts: Vec<Uuid> = holds.iter().map(|h| h.account.0).collect();
    let amounts: Vec<i64> = holds.iter().map(|h| h.amount_minor).collect();
    let captured: Vec<i64> = holds.iter().map(|h| h.captured_minor).collect();
    let states: Vec<&str> = holds.iter().map(|h| h.state.as_str()).collect();
    let references: Vec<Uuid> = holds.iter().map(|h| h.reference).collect();
    let expiries: Vec<DateTime<Utc>> = holds.iter().map(|h| h.expires_at).collect();
    let resolved: Vec<Option<DateTime<Utc>>> = holds.iter().map(|h| h.resolved_at).collect();
    let written = sqlx::query!(
        "INSERT INTO holds (book_id, hold_id, account_id, amount_minor, captured_minor, state, reference_id, expires_at, resolved_at, created_at)
         SELECT h.*, $10
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::uuid[], $8::timestamptz[],
                     $9::timestamptz[]) AS h
         ON CONFLICT (book_id, hold_id) DO UPDATE
         SET captured_minor = EXCLUDED.captured_minor, state = EXCLUDED.state, resolved_at = EXCLUDED.resolved_at
         WHERE holds.account_id = EXCLUDED.account_id",
        &books,
        &ids,
        &accounts,
        &amounts,
        &captured,
        &states as &[&str],
        &references,
        &expiries,
        &resolved as &[Option<DateTime<Utc>>],
        now
    )
    .execute(tx)
    .await?
    .rows_affected();
    // the same hold was made on another account meanwhile
    if usize::try_from(written) == Ok(holds.len()) { Ok(()) } else { Err(LedgerError::Stale) }
}

/// Writes down the changes of floors of a plan. One statement.
pub(super) async fn write_floor_changes_in_tx(tx: &mut PgConnection, changes: &[FloorChange], now: DateTime<Utc>) -> sqlx::Result<()> {
    let books: Vec<Uuid> = changes.iter().map(|c| c.book.0).collect();
    let ids: Vec<Uuid> = changes.iter().map(|c| c.id).collect();
    let accounts: Vec<Uuid> = changes.iter().map(|c| c.account.0).collect();
    let after: Vec<i64> = changes.iter().map(|c| c.after_seq).collect();
    let floors: Vec<Option<i64>> = changes.iter().map(|c| c.floor_minor).collect();
    sqlx::query!(
        "INSERT INTO floor_changes (book_id, change_id, account_id, after_seq, floor_minor, changed_at)
         SELECT c.*, $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[]) AS c",
        &books,
        &ids,
        &accounts,
        &after,
        &floors as &[Option<i64>],
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether any of these postings is made.
pub(super) async fn any_posted_in_tx(tx: &mut PgConnection, postings: &[(BookId, PostingId)]) -> sqlx::Result<bool> {
    let (books, ids): (Vec<Uuid>, Vec<Uuid>) = postings.iter().map(|(book, id)| (book.0, id.0)).unzip();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM UNNEST($1::uuid[], $2::uuid[]) AS w (book_id, posting_id)
                          JOIN postings USING (book_id, posting_id)) AS "any!""#,
        &books,
        &ids
    )
    .fetch_one(tx)
    .await
}

/// Holds whose time is over, of all books, oldest first.
pub(super) async fn overdue_holds(db: &sqlx::PgPool, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<(BookId, HoldId)>> {
    let rows = sqlx::query!(
        "SELECT book_id, hold_id FROM holds WHERE state = 'HELD' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), HoldId(r.hold_id))).collect())
}

/// Creates a book unless it exists. `owner` and `stripe`: see the columns of the table.
pub(super) async fn insert_book_in_tx(
    tx: &mut PgConnection,
    book: BookId,
    kind: BookKind,
    owner: Uuid,
    stripe: i16,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO books (book_id, kind, owner_id, stripe, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (book_id) DO NOTHING",
        book.0,
        kind.as_str(),
        owner,
        stripe,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}
