//! Rows that most tests of the services begin with: a merchant that may sell, and the time of day they play at.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use wallet::base::actor::{Actor, Role};
use wallet::base::clock::Clock;
use wallet::base::id::{MerchantId, StoreId, UserId};
use wallet::ledger::{self, BookKind};

/// A clock at eight in the morning in Shanghai, so that no test crosses midnight by itself.
pub fn morning() -> Clock {
    let clock = Clock::default();
    let morning = Clock::wall().date_naive().and_hms_opt(0, 0, 0).expect("midnight exists").and_utc();
    clock.set_offset_ms((morning - Clock::wall()).num_milliseconds());
    clock
}

/// Signs a merchant with one store and an open book, past the application and its papers. Gives its owner too.
pub async fn sign_merchant(db: &PgPool, fee_bps: i32, now: DateTime<Utc>) -> (MerchantId, StoreId, Actor) {
    let (merchant, store, owner) = (MerchantId::new(), StoreId::new(), UserId::new());
    let mut tx = db.begin().await.expect("the database answers");
    sqlx::query("INSERT INTO users (user_id, handle, role, display_name, created_at) VALUES ($1, $2, 'OWNER', '店主', $3)")
        .bind(owner.0)
        .bind(owner.simple())
        .bind(now)
        .execute(&mut *tx)
        .await
        .expect("the owner is new");
    sqlx::query(
        "INSERT INTO merchants (merchant_id, owner_id, name, status, fee_bps, settlement_account_sealed, settlement_account_tail, created_at, signed_at)
         VALUES ($1, $2, '好店便利', 'SIGNED', $4, '', '3456', $3, $3)",
    )
    .bind(merchant.0)
    .bind(owner.0)
    .bind(now)
    .bind(fee_bps)
    .execute(&mut *tx)
    .await
    .expect("the merchant is new");
    sqlx::query("INSERT INTO stores (merchant_id, store_id, name, address, created_at) VALUES ($1, $2, '城西店', '北京市朝阳区', $3)")
        .bind(merchant.0)
        .bind(store.0)
        .bind(now)
        .execute(&mut *tx)
        .await
        .expect("the store is new");
    ledger::open_book_in_tx(&mut tx, merchant.book(), BookKind::Merchant, now).await.expect("the book is new");
    tx.commit().await.expect("the database answers");
    (merchant, store, Actor::Person { id: owner, role: Role::Owner, merchants: vec![merchant] })
}
