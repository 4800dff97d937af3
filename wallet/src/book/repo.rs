//! SQL over books: the number of a merchant's stripes, and sums over all accounts. Books and accounts are written by the ledger alone.

use sqlx::{PgConnection, PgPool};

use super::Total;
use crate::base::id::MerchantId;
use crate::base::money::{Currency, Money};
use crate::ledger::AccountKind;

/// Locks the merchant's own book and gives the number of its stripes. None: it has no book.
pub async fn lock_stripes_in_tx(tx: &mut PgConnection, merchant: MerchantId) -> sqlx::Result<Option<i16>> {
    sqlx::query_scalar!("SELECT stripes FROM books WHERE book_id = $1 AND kind = 'MERCHANT' FOR NO KEY UPDATE", merchant.0)
        .fetch_optional(tx)
        .await
}

pub async fn set_stripes_in_tx(tx: &mut PgConnection, merchant: MerchantId, stripes: i16) -> sqlx::Result<()> {
    sqlx::query!("UPDATE books SET stripes = $2 WHERE book_id = $1", merchant.0, stripes).execute(tx).await?;
    Ok(())
}

/// The number of a merchant's stripes now: 1 where it has no book.
pub async fn stripes_in_tx(tx: &mut PgConnection, merchant: MerchantId) -> sqlx::Result<i16> {
    let stripes = sqlx::query_scalar!("SELECT stripes FROM books WHERE book_id = $1", merchant.0).fetch_optional(tx).await?;
    Ok(stripes.unwrap_or(1))
}

/// Sums over all accounts of all books. One statement, so one snapshot.
pub async fn totals(db: &PgPool) -> sqlx::Result<Vec<Total>> {
    let rows = sqlx::query!(
        r#"SELECT kind AS "kind: AccountKind", currency AS "currency: Currency", sum(balance_minor)::bigint AS "minor!", count(*) AS "accounts!"
           FROM accounts
           GROUP BY kind, currency
           ORDER BY currency, kind"#
    )
    .fetch_all(db)
    .await?;
    let total = |kind: AccountKind, minor, currency| Money { minor: i64::from(kind.side()) * minor, currency };
    Ok(rows.into_iter().map(|r| Total { kind: r.kind, amount: total(r.kind, r.minor, r.currency), accounts: r.accounts }).collect())
}
