//! The daily board (日报) of a merchant or of the platform: figures as kept, and the same figures recomputed from the books.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::repo;
use super::rules;
use crate::base::actor::{Actor, Forbidden, Role};
use crate::base::clock::{Clock, shanghai};
use crate::base::id::{MerchantId, StoreId};
use crate::base::money::Money;

/// Most stores one board lists: those with the largest flow.
pub(super) const STORES_MAX: i64 = 100;

/// The figures of an Asia/Shanghai day, in renminbi.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoardDay {
    pub day: NaiveDate,
    /// When the figures were read. They hold everything committed by then.
    pub as_of: DateTime<Utc>,
    /// Stores of signed merchants at the end of the day (签约).
    pub signed_stores: i64,
    /// Stores with a payment of the day that was not refunded in full on it (活跃).
    pub active_stores: i64,
    /// Active of signed stores, in basis points, rounded half up (活跃率).
    pub activity_rate_bps: i64,
    /// What customers paid, before refunds (流水).
    pub flow: Money,
    /// Payments (笔数).
    pub count: i64,
    /// What refunds of the day took back, whenever it was paid.
    pub refunded: Money,
    pub refund_count: i64,
    /// Fees kept: charged less given back (手续费).
    pub fee: Money,
    /// Flow per payment, rounded half up to the fen (笔均).
    pub average_ticket: Money,
    /// Flow per active store, rounded half up to the fen (店均).
    pub average_per_active_store: Money,
    /// The stores with the largest flow, at most 100.
    pub stores: Vec<StoreDay>,
}

/// The day of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreDay {
    pub merchant: MerchantId,
    pub store: StoreId,
    /// The store's name; none where the store is not known to the platform.
    pub name: Option<String>,
    pub flow: Money,
    pub count: i64,
    pub refunded: Money,
    pub refund_count: i64,
    pub fee: Money,
    pub active: bool,
}

/// Sums of a day and its stores, from the rollup or from the books.
#[derive(Clone, Debug)]
pub(super) struct DaySums {
    pub signed_stores: i64,
    pub active_stores: i64,
    pub paid_minor: i64,
    pub paid_count: i64,
    pub refunded_minor: i64,
    pub refunded_count: i64,
    pub fee_minor: i64,
    pub stores: Vec<StoreSums>,
}

/// Sums of a store's day, as the statement returns them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StoreSums {
    pub book_id: Uuid,
    pub store_id: Uuid,
    pub name: Option<String>,
    pub paid_minor: i64,
    pub paid_count: i64,
    pub refunded_minor: i64,
    pub refunded_count: i64,
    pub fee_minor: i64,
    pub voided_count: i64,
}

/// Why a board was not shown.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// The service for boards.
#[derive(Clone, Debug)]
pub struct Board {
    db: PgPool,
    clock: Clock,
}

impl Board {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// The figures of a day as kept by the rollup: of one merchant for its readers, of the whole platform for operators. One statement.
    pub async fn day(&self, actor: &Actor, day: NaiveDate, merchant: Option<MerchantId>) -> Result<BoardDay, BoardError> {
        permit(actor, merchant)?;
        let as_of = self.clock.now();
        Ok(figures(day, as_of, repo::sums(&self.db, day, day_end(day), merchant).await?))
    }

    /// The same figures recomputed from postings and entries, for whoever may see the board. Reads the books' whole day: for
    /// checks and demonstrations, not for every page.
    pub async fn recount(&self, actor: &Actor, day: NaiveDate, merchant: Option<MerchantId>) -> Result<BoardDay, BoardError> {
        permit(actor, merchant)?;
        let as_of = self.clock.now();
        Ok(figures(day, as_of, repo::recount(&self.db, day, day_end(day), merchant).await?))
    }
}

fn permit(actor: &Actor, merchant: Option<MerchantId>) -> Result<(), Forbidden> {
    match merchant {
        Some(merchant) => actor.require_reader(merchant),
        None => actor.require_role(Role::Operator),
    }
}

/// The moment an Asia/Shanghai day ends.
fn day_end(day: NaiveDate) -> DateTime<Utc> {
    let next = day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN);
    next.and_utc() - TimeDelta::seconds(shanghai().local_minus_utc().into())
}

fn figures(day: NaiveDate, as_of: DateTime<Utc>, sums: DaySums) -> BoardDay {
    BoardDay {
        day,
        as_of,
        signed_stores: sums.signed_stores,
        active_stores: sums.active_stores,
        activity_rate_bps: rules::rate_bps_half_up(sums.active_stores, sums.signed_stores),
        flow: Money::cny(sums.paid_minor),
        count: sums.paid_count,
        refunded: Money::cny(sums.refunded_minor),
        refund_count: sums.refunded_count,
        fee: Money::cny(sums.fee_minor),
        average_ticket: Money::cny(rules::average_half_up(sums.paid_minor, sums.paid_count)),
        average_per_active_store: Money::cny(rules::average_half_up(sums.paid_minor, sums.active_stores)),
        stores: sums.stores.into_iter().map(store_day).collect(),
    }
}

fn store_day(sums: StoreSums) -> StoreDay {
    StoreDay {
        merchant: MerchantId(sums.book_id),
        store: StoreId(sums.store_id),
        name: sums.name,
        flow: Money::cny(sums.paid_minor),
        count: sums.paid_count,
        refunded: Money::cny(sums.refunded_minor),
        refund_count: sums.refunded_count,
        fee: Money::cny(sums.fee_minor),
        active: sums.paid_count > sums.voided_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_in_shanghai() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        assert_eq!(day_end(day).to_rfc3339(), "2026-11-20T16:00:00+00:00");
    }
}
