//! SQL of merchants and stores. `owner` filters by owner; none lets all rows through.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use wallet::base::db::constraint;
use wallet::base::id::{MerchantId, StoreId, UserId};

use super::{Merchant, MerchantError, MerchantStatus, Store};

pub(super) async fn merchants(db: &PgPool, owner: Option<Uuid>, ids: &[MerchantId]) -> sqlx::Result<Vec<Merchant>> {
    let ids: Vec<Uuid> = ids.iter().map(|m| m.0).collect();
    sqlx::query_as!(
        Merchant,
        r#"SELECT merchant_id AS "id: MerchantId", owner_id AS "owner: UserId", name, status AS "status: MerchantStatus", fee_bps,
                  settlement_account_tail, created_at, signed_at
           FROM merchants
           WHERE merchant_id = ANY($1) AND ($2::uuid IS NULL OR owner_id = $2)"#,
        &ids,
        owner
    )
    .fetch_all(db)
    .await
}

pub(super) async fn merchants_of_owner(db: &PgPool, owner: UserId) -> sqlx::Result<Vec<Merchant>> {
    sqlx::query_as!(
        Merchant,
        r#"SELECT merchant_id AS "id: MerchantId", owner_id AS "owner: UserId", name, status AS "status: MerchantStatus", fee_bps,
                  settlement_account_tail, created_at, signed_at
           FROM merchants
           WHERE owner_id = $1
           ORDER BY created_at, merchant_id"#,
        owner.0
    )
    .fetch_all(db)
    .await
}

pub(super) async fn settlement_account(db: &PgPool, merchant: MerchantId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT settlement_account_sealed FROM merchants WHERE merchant_id = $1", merchant.0).fetch_optional(db).await
}

/// Locks the merchant and reads its status; none when missing or not the owner's.
pub(super) async fn lock_merchant_in_tx(
    tx: &mut PgConnection,
    owner: Option<Uuid>,
    merchant: MerchantId,
) -> sqlx::Result<Option<MerchantStatus>> {
    sqlx::query_scalar!(
        r#"SELECT status AS "status: MerchantStatus"
           FROM merchants
           WHERE merchant_id = $1 AND ($2::uuid IS NULL OR owner_id = $2)
           FOR NO KEY UPDATE"#,
        merchant.0,
        owner
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn count_stores_in_tx(tx: &mut PgConnection, merchant: MerchantId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT COUNT(*) AS "count!" FROM stores WHERE merchant_id = $1"#, merchant.0).fetch_one(tx).await
}

pub(super) async fn insert_store_in_tx(tx: &mut PgConnection, store: &Store) -> Result<(), MerchantError> {
    sqlx::query!(
        "INSERT INTO stores (merchant_id, store_id, name, address, created_at) VALUES ($1, $2, $3, $4, $5)",
        store.merchant.0,
        store.id.0,
        store.name,
        store.address,
        store.created_at
    )
    .execute(tx)
    .await
    .map_err(|error| match constraint(&error) {
        Some("stores_name") => MerchantError::StoreNameTaken,
        _ => error.into(),
    })?;
    Ok(())
}

pub(super) async fn stores(db: &PgPool, owner: Option<Uuid>, ids: &[StoreId]) -> sqlx::Result<Vec<Store>> {
    let ids: Vec<Uuid> = ids.iter().map(|s| s.0).collect();
    sqlx::query_as!(
        Store,
        r#"SELECT s.merchant_id AS "merchant: MerchantId", s.store_id AS "id: StoreId", s.name, s.address, s.created_at
           FROM stores s
           JOIN merchants m ON m.merchant_id = s.merchant_id
           WHERE s.store_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)"#,
        &ids,
        owner
    )
    .fetch_all(db)
    .await
}

pub(super) async fn stores_of_merchants(db: &PgPool, owner: Option<Uuid>, merchants: &[MerchantId]) -> sqlx::Result<Vec<Store>> {
    let merchants: Vec<Uuid> = merchants.iter().map(|m| m.0).collect();
    sqlx::query_as!(
        Store,
        r#"SELECT s.merchant_id AS "merchant: MerchantId", s.store_id AS "id: StoreId", s.name, s.address, s.created_at
           FROM stores s
           JOIN merchants m ON m.merchant_id = s.merchant_id
           WHERE s.merchant_id = ANY($1) AND ($2::uuid IS NULL OR m.owner_id = $2)
           ORDER BY s.merchant_id, s.created_at, s.store_id"#,
        &merchants,
        owner
    )
    .fetch_all(db)
    .await
}

/// A merchant that has just applied.
pub(crate) struct NewMerchant<'a> {
    pub(crate) id: MerchantId,
    pub(crate) owner: UserId,
    pub(crate) name: &'a str,
    pub(crate) fee_bps: i32,
    pub(crate) settlement_account_sealed: &'a [u8],
    pub(crate) settlement_account_tail: &'a str,
    pub(crate) created_at: DateTime<Utc>,
}

/// Adds a merchant. False when its owner has one of this name.
pub(crate) async fn insert_merchant_in_tx(tx: &mut PgConnection, new: &NewMerchant<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO merchants
             (merchant_id, owner_id, name, status, fee_bps, settlement_account_sealed, settlement_account_tail, created_at)
         VALUES ($1, $2, $3, 'APPLYING', $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT merchants_owner_name DO NOTHING",
        new.id.0,
        new.owner.0,
        new.name,
        new.fee_bps,
        new.settlement_account_sealed,
        new.settlement_account_tail,
        new.created_at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Signs a merchant that applies. True when it was not signed before.
pub(crate) async fn sign_in_tx(tx: &mut PgConnection, merchant: MerchantId, at: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE merchants SET status = 'SIGNED', signed_at = $2 WHERE merchant_id = $1 AND status = 'APPLYING'",
        merchant.0,
        at
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
