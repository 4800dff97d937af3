//! The SQL of what a merchant sees of its book.

use sqlx::PgPool;

use super::BillLine;
use crate::base::id::{BookId, StoreId};
use crate::base::money::{Currency, Money};
use crate::ledger::account::AccountKind;
use crate::ledger::posting::PostingKind;

/// The balances of a book's fixed accounts in one currency, as stored.
pub(super) async fn fixed_balances(db: &PgPool, book: BookId, currency: Currency) -> sqlx::Result<Vec<(AccountKind, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT kind AS "kind: AccountKind", balance_minor FROM accounts WHERE book_id = $1 AND subject = '' AND currency = $2"#,
        book.0,
        currency.as_str()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (r.kind, r.balance_minor)).collect())
}

/// The entries of an account below `before`, newest first.
pub(super) async fn bill_lines(
    db: &PgPool,
    book: BookId,
    account: AccountKind,
    currency: Currency,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<BillLine>> {
    let rows = sqlx::query!(
        r#"SELECT e.seq, e.amount_minor, e.balance_after_minor, p.kind AS "kind: PostingKind", p.reference_id, p.store_id,
                  p.accounting_date, p.business_date, p.recorded_at
           FROM accounts a
           JOIN entries e USING (book_id, account_id)
           JOIN postings p USING (book_id, posting_id)
           WHERE a.book_id = $1 AND a.kind = $2 AND a.subject = '' AND a.currency = $3 AND e.seq < $4
           ORDER BY e.seq DESC
           LIMIT $5"#,
        book.0,
        account.as_str(),
        currency.as_str(),
        before.unwrap_or(i64::MAX),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| BillLine {
            seq: r.seq,
            kind: r.kind,
            reference: r.reference_id,
            amount: Money { minor: -r.amount_minor, currency },
            balance_after: Money { minor: -r.balance_after_minor, currency },
            accounting_date: r.accounting_date,
            business_date: r.business_date,
            recorded_at: r.recorded_at,
            store: r.store_id.map(StoreId),
        })
        .collect())
}
