//! Merchants (商户) and their stores (门店). A merchant comes into being with its application; `onboarding` signs it.

mod error;
pub(crate) mod repo;
pub(crate) mod rules;

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use wallet::base::actor::{Actor, Forbidden};
use wallet::base::audit;
use wallet::base::clock::Clock;
use wallet::base::id::{MerchantId, StoreId, UserId};
use wallet::base::outbox::{self, Event};

use crate::line;
use crate::vault::{Place, Vault};
use rules::Reach;

pub use error::MerchantError;

/// The fee of a merchant until it is changed: 0.38 %.
pub const FEE_BPS_DEFAULT: i32 = 38;
/// Stores one merchant may open.
pub const STORES_MAX: i64 = 500;

/// Where a merchant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MerchantStatus {
    /// Its papers are not all approved yet (进件中).
    Applying,
    /// May open stores and take payments (已签约).
    Signed,
    /// Turned down for good (已拒绝).
    Refused,
}

/// A merchant (商户).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    pub id: MerchantId,
    pub owner: UserId,
    pub name: String,
    pub status: MerchantStatus,
    /// What a payment costs, in hundredths of a percent; orders freeze it.
    pub fee_bps: i32,
    /// The last four digits of the settlement account (结算账户尾号).
    pub settlement_account_tail: String,
    pub created_at: DateTime<Utc>,
    pub signed_at: Option<DateTime<Utc>>,
}

/// A store of a merchant (门店).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub id: StoreId,
    pub merchant: MerchantId,
    pub name: String,
    pub address: String,
    pub created_at: DateTime<Utc>,
}

/// The account a merchant's money is paid out to (结算账户). `Debug` shows the tail only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementAccount {
    pub holder: String,
    pub number: String,
}

impl fmt::Debug for SettlementAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettlementAccount(..{})", crate::mask::account_tail(&self.number))
    }
}

/// Opens a store.
#[derive(Clone, Debug)]
pub struct CreateStore {
    pub merchant: MerchantId,
    /// 2 to 64 characters, unique within the merchant.
    pub name: String,
    /// 4 to 128 characters.
    pub address: String,
}

/// Reads merchants, and opens and reads stores.
#[derive(Clone, Debug)]
pub struct Merchants {
    db: PgPool,
    clock: Clock,
    vault: Vault,
}

impl Merchants {
    pub fn new(db: PgPool, clock: Clock, vault: Vault) -> Self {
        Self { db, clock, vault }
    }

    /// One merchant. Its owner, operators and the platform may read it.
    pub async fn get(&self, actor: &Actor, id: MerchantId) -> Result<Merchant, MerchantError> {
        let reach = Reach::to_read(actor)?;
        repo::merchants(&self.db, reach.owner(), &[id]).await?.pop().ok_or(MerchantError::NotFound)
    }

    /// The caller's own merchants, oldest first; none for people who own none.
    pub async fn of_owner(&self, actor: &Actor) -> Result<Vec<Merchant>, MerchantError> {
        match Reach::to_change(actor) {
            Ok(Reach::OwnedBy(owner)) => Ok(repo::merchants_of_owner(&self.db, owner).await?),
            _ => Ok(Vec::new()),
        }
    }

    /// Those of the merchants that the caller may read. One query.
    pub async fn merchants_by_ids(&self, actor: &Actor, ids: &[MerchantId]) -> Result<HashMap<MerchantId, Merchant>, MerchantError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        Ok(repo::merchants(&self.db, reach.owner(), ids).await?.into_iter().map(|m| (m.id, m)).collect())
    }

    /// Opens a store of a signed merchant.
    pub async fn create_store(&self, actor: &Actor, command: CreateStore) -> Result<Store, MerchantError> {
        let reach = Reach::to_change(actor)?;
        let name = line::check("name", &command.name, 2, 64)?;
        let address = line::check("address", &command.address, 4, 128)?;
        let store = Store { id: StoreId::new(), merchant: command.merchant, name, address, created_at: self.clock.now() };

        let mut tx = self.db.begin().await?;
        let status = repo::lock_merchant_in_tx(&mut tx, reach.owner(), store.merchant).await?.ok_or(MerchantError::NotFound)?;
        if status != MerchantStatus::Signed {
            return Err(MerchantError::NotSigned);
        }
        if repo::count_stores_in_tx(&mut tx, store.merchant).await? >= STORES_MAX {
            return Err(MerchantError::TooManyStores { max: STORES_MAX });
        }
        repo::insert_store_in_tx(&mut tx, &store).await?;
        let event = Event {
            book: store.merchant.book(),
            kind: "store.opened",
            subject: store.id.0,
            payload: json!({ "store_id": store.id, "merchant_id": store.merchant }),
            at: store.created_at,
        };
        outbox::append_in_tx(&mut tx, &[event]).await?;
        let detail = json!({ "merchant_id": store.merchant });
        audit::record_in_tx(&mut tx, actor, "store.opened", store.id.0, detail, store.created_at).await?;
        tx.commit().await?;
        Ok(store)
    }

    /// One store. Whoever may read its merchant may read it.
    pub async fn store(&self, actor: &Actor, id: StoreId) -> Result<Store, MerchantError> {
        let reach = Reach::to_read(actor)?;
        repo::stores(&self.db, reach.owner(), &[id]).await?.pop().ok_or(MerchantError::NotFound)
    }

    /// Those of the stores that the caller may read. One query.
    pub async fn stores_by_ids(&self, actor: &Actor, ids: &[StoreId]) -> Result<HashMap<StoreId, Store>, MerchantError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        Ok(repo::stores(&self.db, reach.owner(), ids).await?.into_iter().map(|s| (s.id, s)).collect())
    }

    /// The stores of each of the merchants that the caller may read, oldest first. One query.
    pub async fn stores_of_merchants(
        &self,
        actor: &Actor,
        merchants: &[MerchantId],
    ) -> Result<HashMap<MerchantId, Vec<Store>>, MerchantError> {
        let Ok(reach) = Reach::to_read(actor) else { return Ok(HashMap::new()) };
        let mut stores: HashMap<_, Vec<_>> = HashMap::new();
        for store in repo::stores_of_merchants(&self.db, reach.owner(), merchants).await? {
            stores.entry(store.merchant).or_default().push(store);
        }
        Ok(stores)
    }

    /// The account to pay out to. Only the platform itself may open it: a payout job does, nobody's page does.
    pub async fn settlement_account(&self, actor: &Actor, merchant: MerchantId) -> Result<SettlementAccount, MerchantError> {
        let Actor::System = actor else { return Err(Forbidden.into()) };
        let sealed = repo::settlement_account(&self.db, merchant).await?.ok_or(MerchantError::NotFound)?;
        Ok(self.vault.open_json(&settlement_account_place(merchant), &sealed)?)
    }
}

/// Where a merchant's settlement account is sealed.
pub(crate) fn settlement_account_place(merchant: MerchantId) -> Place<'static, MerchantId> {
    Place { table: "merchants", column: "settlement_account", row: merchant }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_account_is_not_printed() {
        let account = SettlementAccount { holder: "张三".to_owned(), number: "6222020200112233445".to_owned() };
        assert_eq!(format!("{account:?}"), "SettlementAccount(..3445)");
    }
}
