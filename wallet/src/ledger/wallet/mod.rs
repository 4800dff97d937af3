//! What a merchant sees of its books: balances (余额) and the lines of its bill (账单), over all its stripes.

mod bill;
mod repo;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgPool;
use uuid::Uuid;

pub use bill::BillCursor;

use super::account::AccountKind;
use super::posting::PostingKind;
use crate::base::actor::{Actor, Forbidden};
use crate::base::id::{MerchantId, StoreId};
use crate::base::money::{Currency, Money};
use crate::base::page::{FIRST_MAX, Page};

/// What is owed to a merchant, over all its stripes. Positive is owed to the merchant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balances {
    /// Paid by customers, not yet settled (在途).
    pub pending: Money,
    /// Free to withdraw (可用).
    pub available: Money,
    /// Held for withdrawals under way (出款中).
    pub in_payout: Money,
    /// Taken back for refunds that the channel has not yet paid out (退款中).
    pub refunding: Money,
}

/// A line of a merchant's bill (账单): one entry, seen from the merchant's side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BillLine {
    /// Number of the line, gapless from 1 over all stripes.
    pub seq: i64,
    /// Where a page goes on that has this line as its last.
    pub cursor: BillCursor,
    pub kind: PostingKind,
    /// The payment attempt, refund, settlement batch or withdrawal behind it.
    pub reference: Uuid,
    /// Positive is in favour of the merchant.
    pub amount: Money,
    pub balance_after: Money,
    pub accounting_date: NaiveDate,
    pub business_date: NaiveDate,
    pub recorded_at: DateTime<Utc>,
    pub store: Option<StoreId>,
}

/// Reads a merchant's wallet for people: each method checks who asks.
#[derive(Clone, Debug)]
pub struct Wallets {
    db: PgPool,
}

/// Why a wallet was not shown.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

impl Wallets {
    pub fn new(db: PgPool) -> Self {
        Self { db }
    }

    /// The merchant's balances in renminbi; all zero before the first posting.
    pub async fn balances(&self, actor: &Actor, merchant: MerchantId) -> Result<Balances, WalletError> {
        actor.require_reader(merchant)?;
        Ok(balances(&self.db, merchant).await?)
    }

    /// The lines of one of the merchant's accounts, newest first, below `before` (a [`BillLine::cursor`]).
    pub async fn bill_lines(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        account: AccountKind,
        before: Option<BillCursor>,
        first: i64,
    ) -> Result<Page<BillLine>, WalletError> {
        actor.require_reader(merchant)?;
        Ok(bill_lines(&self.db, merchant, account, before, first).await?)
    }
}

/// What is owed to a merchant, in renminbi: one statement, so all stripes are seen at one moment. Checks nobody's permission:
/// [`Wallets::balances`] does.
pub async fn balances(db: &PgPool, merchant: MerchantId) -> sqlx::Result<Balances> {
    let stored = repo::fixed_balances(db, merchant, Currency::Cny).await?;
    let owed = |kind| Money::cny(stored.iter().find(|(k, _)| *k == kind).map_or(0, |(_, minor)| -minor));
    Ok(Balances {
        pending: owed(AccountKind::MerchantPending),
        available: owed(AccountKind::MerchantAvailable),
        in_payout: owed(AccountKind::PayoutTransit),
        refunding: owed(AccountKind::RefundPayable),
    })
}

/// The lines of an account, newest first, below `before`. Checks nobody's permission: [`Wallets::bill_lines`] does.
pub async fn bill_lines(
    db: &PgPool,
    merchant: MerchantId,
    account: AccountKind,
    before: Option<BillCursor>,
    first: i64,
) -> sqlx::Result<Page<BillLine>> {
    let first = first.clamp(1, FIRST_MAX);
    let stripes = repo::entries(db, merchant, account, Currency::Cny, before.as_ref().map(BillCursor::positions), first + 1).await?;
    Ok(Page::from_rows(bill::merge(stripes, usize::try_from(first + 1).unwrap_or(0)), first))
}
