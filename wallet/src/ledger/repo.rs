//! The ledger's SQL. Every statement takes arrays, so that a single posting is the batch of one.
//!
//! The order of row locks has its home here: business rows first (order, attempt, refund, withdrawal), then accounts by
//! (book, account), then the day rows of analytics. Another lock gets its place in this sentence before it is taken.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::BookKind;
use super::account::{AccountKind, AccountName};
use super::error::LedgerError;
use super::posting::{Posting, PostingKind};
use super::rules::{Account, Identity, Plan};
use crate::base::id::{AccountId, BookId};
use crate::base::money::Currency;

/// Locks the accounts in (book, account) order and reads them, or none of them when one is missing.
///
/// The count in the condition is what keeps the lock order global: locking what is there and then creating the rest would
/// lock the new account out of its place. `ORDER BY` stays: the rows are locked in the order they leave the sort.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, wanted: &[(BookId, AccountName)]) -> sqlx::Result<Vec<Account>> {
    let names = Names::of(wanted);
    let rows = sqlx::query!(
        r#"SELECT a.book_id, a.account_id, a.kind AS "kind: AccountKind", a.subject, a.currency AS "currency: Currency",
                  a.balance_minor, a.ceiling_minor, a.seq
           FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS w (book_id, kind, subject, currency)
           JOIN accounts a USING (book_id, kind, subject, currency)
           WHERE CARDINALITY($1::uuid[]) = (
               SELECT count(*)
               FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (book_id, kind, subject, currency)
               JOIN accounts USING (book_id, kind, subject, currency))
           ORDER BY a.book_id, a.account_id
           FOR NO KEY UPDATE OF a"#,
        &names.books,
        &names.kinds as &[&str],
        &names.subjects as &[&str],
        &names.currencies as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Account {
            book: BookId(r.book_id),
            id: AccountId(r.account_id),
            name: AccountName { kind: r.kind, subject: r.subject, currency: r.currency },
            balance_minor: r.balance_minor,
            ceiling_minor: r.ceiling_minor,
            seq: r.seq,
        })
        .collect())
}

/// Creates the accounts that are missing and says which of the books exist. Waits for another transaction creating the same one.
pub(super) async fn create_accounts_in_tx(
    tx: &mut PgConnection,
    wanted: &[(BookId, AccountName)],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<BookId>> {
    let names = Names::of(wanted);
    let ids: Vec<Uuid> = wanted.iter().map(|_| AccountId::new().0).collect();
    let ceilings: Vec<Option<i64>> = wanted.iter().map(|(_, name)| name.kind.ceiling()).collect();
    let books = sqlx::query_scalar!(
        "WITH created AS (
             INSERT INTO accounts (book_id, account_id, kind, subject, currency, ceiling_minor, created_at)
             SELECT w.book_id, w.account_id, w.kind, w.subject, w.currency, w.ceiling_minor, $7
             FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[])
                 AS w (book_id, account_id, kind, subject, currency, ceiling_minor)
             JOIN books USING (book_id)
             ORDER BY w.book_id, w.kind, w.subject, w.currency
             ON CONFLICT (book_id, kind, subject, currency) DO NOTHING
         )
         SELECT book_id FROM books WHERE book_id = ANY($1)",
        &names.books,
        &ids,
        &names.kinds as &[&str],
        &names.subjects as &[&str],
        &names.currencies as &[&str],
        &ceilings as &[Option<i64>],
        now
    )
    .fetch_all(tx)
    .await?;
    Ok(books.into_iter().map(BookId).collect())
}

/// Which of the postings exist already. Its own statement after the lock: only then does its snapshot see what the lock waited for.
pub(super) async fn already_posted_in_tx(tx: &mut PgConnection, postings: &[Posting]) -> sqlx::Result<HashSet<Identity>> {
    let books: Vec<Uuid> = postings.iter().map(|p| p.book.0).collect();
    let kinds: Vec<&str> = postings.iter().map(|p| p.kind.as_str()).collect();
    let references: Vec<Uuid> = postings.iter().map(|p| p.reference).collect();
    let rows = sqlx::query!(
        r#"SELECT p.book_id, p.kind AS "kind: PostingKind", p.reference_id
           FROM UNNEST($1::uuid[], $2::text[], $3::uuid[]) AS w (book_id, kind, reference_id)
           JOIN postings p USING (book_id, kind, reference_id)"#,
        &books,
        &kinds as &[&str],
        &references
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|r| (BookId(r.book_id), r.kind, r.reference_id)).collect())
}

/// Writes postings, entries and balances of a plan in one statement.
pub(super) async fn write_in_tx(
    tx: &mut PgConnection,
    postings: &[Posting],
    plan: &Plan,
    accounting_date: NaiveDate,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let accepted = || plan.accepted.iter().map(|&(index, id)| (&postings[index], id));
    let posting_books: Vec<Uuid> = accepted().map(|(p, _)| p.book.0).collect();
    let posting_ids: Vec<Uuid> = accepted().map(|(_, id)| id.0).collect();
    let kinds: Vec<&str> = accepted().map(|(p, _)| p.kind.as_str()).collect();
    let references: Vec<Uuid> = accepted().map(|(p, _)| p.reference).collect();
    let stores: Vec<Option<Uuid>> = accepted().map(|(p, _)| p.store.map(|s| s.0)).collect();
    let days: Vec<NaiveDate> = accepted().map(|(p, _)| p.business_date).collect();

    let entry_books: Vec<Uuid> = plan.entries.iter().map(|e| e.book.0).collect();
    let entry_accounts: Vec<Uuid> = plan.entries.iter().map(|e| e.account.0).collect();
    let seqs: Vec<i64> = plan.entries.iter().map(|e| e.seq).collect();
    let entry_postings: Vec<Uuid> = plan.entries.iter().map(|e| e.posting.0).collect();
    let lines: Vec<i16> = plan.entries.iter().map(|e| e.line).collect();
    let amounts: Vec<i64> = plan.entries.iter().map(|e| e.amount_minor).collect();
    let balances_after: Vec<i64> = plan.entries.iter().map(|e| e.balance_after_minor).collect();

    let account_books: Vec<Uuid> = plan.touched.iter().map(|a| a.book.0).collect();
    let account_ids: Vec<Uuid> = plan.touched.iter().map(|a| a.id.0).collect();
    let balances: Vec<i64> = plan.touched.iter().map(|a| a.balance_minor).collect();
    let last_seqs: Vec<i64> = plan.touched.iter().map(|a| a.seq).collect();

    let updated = sqlx::query!(
        "WITH new_postings AS (
             INSERT INTO postings (book_id, posting_id, kind, reference_id, store_id, business_date, accounting_date, recorded_at)
             SELECT p.book_id, p.posting_id, p.kind, p.reference_id, p.store_id, p.business_date, $18, $19
             FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::date[])
                 AS p (book_id, posting_id, kind, reference_id, store_id, business_date)
         ), new_entries AS (
             INSERT INTO entries (book_id, account_id, seq, posting_id, line, amount_minor, balance_after_minor)
             SELECT * FROM UNNEST($7::uuid[], $8::uuid[], $9::bigint[], $10::uuid[], $11::smallint[], $12::bigint[], $13::bigint[])
         )
         UPDATE accounts a
         SET balance_minor = n.balance_minor, seq = n.seq
         FROM UNNEST($14::uuid[], $15::uuid[], $16::bigint[], $17::bigint[]) AS n (book_id, account_id, balance_minor, seq)
         WHERE a.book_id = n.book_id AND a.account_id = n.account_id",
        &posting_books,
        &posting_ids,
        &kinds as &[&str],
        &references,
        &stores as &[Option<Uuid>],
        &days,
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
        &last_seqs,
        accounting_date,
        now
    )
    .execute(tx)
    .await?
    .rows_affected();
    if usize::try_from(updated) == Ok(plan.touched.len()) { Ok(()) } else { Err(LedgerError::Incomplete) }
}

/// Creates a book unless it exists.
pub(super) async fn insert_book_in_tx(tx: &mut PgConnection, book: BookId, kind: BookKind, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO books (book_id, kind, created_at) VALUES ($1, $2, $3) ON CONFLICT (book_id) DO NOTHING",
        book.0,
        kind.as_str(),
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Account names as the columns of an UNNEST.
struct Names<'a> {
    books: Vec<Uuid>,
    kinds: Vec<&'static str>,
    subjects: Vec<&'a str>,
    currencies: Vec<&'static str>,
}

impl<'a> Names<'a> {
    fn of(wanted: &'a [(BookId, AccountName)]) -> Self {
        Self {
            books: wanted.iter().map(|(book, _)| book.0).collect(),
            kinds: wanted.iter().map(|(_, name)| name.kind.as_str()).collect(),
            subjects: wanted.iter().map(|(_, name)| name.subject.as_str()).collect(),
            currencies: wanted.iter().map(|(_, name)| name.currency.as_str()).collect(),
        }
    }
}
