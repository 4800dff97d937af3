//! The SQL of what a merchant sees of its books.

use sqlx::PgPool;

use super::bill::Entries;
use super::{BillCursor, BillLine};
use crate::base::id::{MerchantId, StoreId};
use crate::base::money::{Currency, Money};
use crate::ledger::account::AccountKind;
use crate::ledger::posting::PostingKind;

/// The balances of a merchant's fixed accounts in one currency, summed over its stripes.
pub(super) async fn fixed_balances(db: &PgPool, merchant: MerchantId, currency: Currency) -> sqlx::Result<Vec<(AccountKind, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT a.kind AS "kind: AccountKind", sum(a.balance_minor)::bigint AS "balance_minor!"
           FROM books b
           JOIN accounts a USING (book_id)
           WHERE b.owner_id = $1 AND a.subject = '' AND a.currency = $2
           GROUP BY a.kind"#,
        merchant.0,
        currency.as_str()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|r| (r.kind, r.balance_minor)).collect())
}

/// The newest `limit` entries of an account in each stripe, in the order of the stripes, below the positions given; no positions: all.
/// A stripe without a position is left out of that page. One statement, so all stripes are seen at one moment.
pub(super) async fn entries(
    db: &PgPool,
    merchant: MerchantId,
    account: AccountKind,
    currency: Currency,
    before: Option<&[i64]>,
    limit: i64,
) -> sqlx::Result<Vec<Entries>> {
    let rows = sqlx::query!(
        r#"SELECT b.stripe, e.seq, e.amount_minor, e.balance_after_minor, p.kind AS "kind: PostingKind", p.reference_id, p.store_id,
                  p.accounting_date, p.business_date, p.recorded_at
           FROM books b
           JOIN accounts a USING (book_id)
           CROSS JOIN LATERAL (
               SELECT seq, posting_id, amount_minor, balance_after_minor
               FROM entries
               WHERE book_id = a.book_id AND account_id = a.account_id
                 AND seq < CASE WHEN $4::bigint[] IS NULL THEN a.seq + 1 ELSE COALESCE(($4::bigint[])[b.stripe + 1], 0) END
               ORDER BY seq DESC
               LIMIT $5) AS e
           JOIN postings p ON p.book_id = a.book_id AND p.posting_id = e.posting_id
           WHERE b.owner_id = $1 AND a.kind = $2 AND a.subject = '' AND a.currency = $3
           ORDER BY b.stripe, e.seq DESC"#,
        merchant.0,
        account.as_str(),
        currency.as_str(),
        before as Option<&[i64]>,
        limit
    )
    .fetch_all(db)
    .await?;
    let mut stripes: Vec<Entries> = Vec::new();
    for r in rows {
        let stripe = usize::try_from(r.stripe).unwrap_or(0);
        stripes.resize_with(stripes.len().max(stripe + 1), Vec::new);
        stripes[stripe].push(BillLine {
            seq: r.seq,
            cursor: BillCursor::Line(r.seq),
            kind: r.kind,
            reference: r.reference_id,
            amount: Money { minor: -r.amount_minor, currency },
            balance_after: Money { minor: -r.balance_after_minor, currency },
            accounting_date: r.accounting_date,
            business_date: r.business_date,
            recorded_at: r.recorded_at,
            store: r.store_id.map(StoreId),
        });
    }
    Ok(stripes)
}
