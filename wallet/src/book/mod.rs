//! Books (账簿): the merchants', the banks' and the platform's own; their stripes, what moves between them, and totals over all of them.
//!
//! A very large merchant has up to [`STRIPES_MAX`] books, its stripes (分条), so that payments at the same time do not wait for one
//! another's account rows. Stripe 0 is the merchant's own book. What a merchant has is the sum of its stripes. A debit takes its own stripe
//! when that suffices; when it is short, the others are collected from in the same transaction ([`collect`]).

pub(crate) mod collect;
mod error;
pub(crate) mod repo;
pub mod sweep;
pub mod transfer;

use sqlx::PgPool;

pub use error::BookError;

use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{BookId, MerchantId};
use crate::base::money::Money;
use crate::channel::{SANDBOX_BANK, bank};
use crate::ledger::{self, AccountKind, BookKind};

/// Most stripes a merchant may have.
pub const STRIPES_MAX: i16 = 16;

/// What all accounts of a kind hold together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Total {
    pub kind: AccountKind,
    /// On the side that the kind stands on: cash held, money owed, fees earned.
    pub amount: Money,
    /// How many accounts make it up.
    pub accounts: i64,
}

/// The service for books.
#[derive(Clone, Debug)]
pub struct Books {
    db: PgPool,
    clock: Clock,
}

impl Books {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Opens the books that are nobody's merchant: the platform's and those of the banks we pay out through. Does nothing to open ones.
    pub async fn open_standing(&self) -> Result<(), BookError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let banks = [SANDBOX_BANK, bank::RAIL].map(|bank| (BookId::of_bank(bank), BookKind::Bank));
        for (book, kind) in banks.into_iter().chain([(BookId::PLATFORM, BookKind::Platform)]) {
            ledger::open_book_in_tx(&mut tx, book, kind, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Spreads a merchant's money over `stripes` books from now on. Operators only. Returns the number there is.
    ///
    /// The number only grows: money and history of a stripe stay where they are. Asking for what there is does nothing.
    pub async fn set_stripes(&self, actor: &Actor, merchant: MerchantId, stripes: i16) -> Result<i16, BookError> {
        actor.require_role(Role::Operator)?;
        if !(1..=STRIPES_MAX).contains(&stripes) {
            return Err(BookError::StripesOutOfRange);
        }
        retrying(BookError::retryable, || self.try_set_stripes(actor, merchant, stripes)).await
    }

    async fn try_set_stripes(&self, actor: &Actor, merchant: MerchantId, stripes: i16) -> Result<i16, BookError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let before = repo::lock_stripes_in_tx(&mut tx, merchant).await?.ok_or(BookError::NotFound)?;
        if stripes < before {
            return Err(BookError::StripesOnlyGrow { stripes: before });
        }
        if stripes == before {
            return Ok(before);
        }
        for stripe in before..stripes {
            ledger::open_stripe_in_tx(&mut tx, merchant.stripe(stripe), BookKind::Merchant, merchant.0, stripe, now).await?;
        }
        repo::set_stripes_in_tx(&mut tx, merchant, stripes).await?;
        let detail = serde_json::json!({ "before": before, "stripes": stripes });
        audit::record_in_tx(&mut tx, actor, "merchant.stripes_set", merchant.0, detail, now).await?;
        tx.commit().await?;
        Ok(stripes)
    }

    /// What the accounts of all books hold together, by kind and currency: the platform's own totals. Operators only. One statement.
    pub async fn totals(&self, actor: &Actor) -> Result<Vec<Total>, BookError> {
        actor.require_role(Role::Operator)?;
        Ok(repo::totals(&self.db).await?)
    }
}
