//! SQL of receivers' accounts at channels. Each row lies in its merchant's book and is locked by itself.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{AccountStatus, ChannelAccount};
use crate::base::id::MerchantId;

/// An account as it lies in the table.
struct Row {
    book_id: Uuid,
    channel: String,
    account: String,
    status: AccountStatus,
    error_code: Option<String>,
    set_at: DateTime<Utc>,
    told_at: Option<DateTime<Utc>>,
}

impl From<Row> for ChannelAccount {
    fn from(r: Row) -> Self {
        Self {
            merchant: MerchantId(r.book_id),
            channel: r.channel,
            account: r.account,
            status: r.status,
            error_code: r.error_code,
            set_at: r.set_at,
            told_at: r.told_at,
        }
    }
}

pub(super) async fn lock_in_tx(tx: &mut PgConnection, merchant: MerchantId, channel: &str) -> sqlx::Result<Option<ChannelAccount>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT book_id, channel, account, status AS "status: AccountStatus", error_code, set_at, told_at
           FROM split_accounts WHERE book_id = $1 AND channel = $2
           FOR UPDATE"#,
        merchant.0,
        channel
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(ChannelAccount::from))
}

/// Writes an account, whatever was there. Whether the merchant is a signed one with a book.
pub(super) async fn set_in_tx(tx: &mut PgConnection, set: &ChannelAccount) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO split_accounts (book_id, channel, account, status, set_at)
         SELECT m.merchant_id, $2, $3, $4, $5
         FROM merchants m JOIN books b ON b.book_id = m.merchant_id
         WHERE m.merchant_id = $1 AND m.status = 'SIGNED'
         ON CONFLICT (book_id, channel) DO UPDATE
         SET account = excluded.account, status = excluded.status, error_code = NULL, set_at = excluded.set_at, told_at = NULL",
        set.merchant.0,
        set.channel,
        set.account,
        set.status.as_str(),
        set.set_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn of_merchant(db: &PgPool, merchant: MerchantId) -> sqlx::Result<Vec<ChannelAccount>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, channel, account, status AS "status: AccountStatus", error_code, set_at, told_at
           FROM split_accounts WHERE book_id = $1
           ORDER BY channel"#,
        merchant.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ChannelAccount::from).collect())
}

/// Accounts of merchants at all channels.
pub async fn of_merchants_in_tx(tx: &mut PgConnection, merchants: &[MerchantId]) -> sqlx::Result<Vec<ChannelAccount>> {
    let ids: Vec<Uuid> = merchants.iter().map(|m| m.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT book_id, channel, account, status AS "status: AccountStatus", error_code, set_at, told_at
           FROM split_accounts WHERE book_id = ANY($1)"#,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(ChannelAccount::from).collect())
}

/// The name that a merchant is registered under.
pub(super) async fn name(db: &PgPool, merchant: MerchantId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT name FROM merchants WHERE merchant_id = $1", merchant.0).fetch_optional(db).await
}

/// Stores what the channel said of an account, unless another was set meanwhile.
pub(super) async fn told(
    db: &PgPool,
    account: &ChannelAccount,
    status: AccountStatus,
    error_code: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE split_accounts SET status = $4, error_code = $5, told_at = $6
         WHERE book_id = $1 AND channel = $2 AND account = $3 AND status = 'WAIT'",
        account.merchant.0,
        account.channel,
        account.account,
        status.as_str(),
        error_code,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}
