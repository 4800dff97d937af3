//! Platform advances (平台垫资): what the platform gives for a refund whose merchant has too little, up to a cap, and how it comes back.
//!
//! - Off by default. The cap of a merchant ([`cap`]) is proposed by one operator and approved by another; without one nothing is advanced.
//! - Taken as the last source of a refund (§6.2), where pending and available money of all stripes, and what receivers gave back, do not cover it:
//!   {Dr merchant debt; Cr refund payable} in the refund's own posting. Cap and debt are read under the locks of all the merchant's available
//!   accounts, which every advance takes: refunds at once cannot go over the cap together (R8). Orders that hold their money give from
//!   that alone, and nothing is advanced for them.
//! - Recovered by the job [`RECOVER_JOB`], one for each advance until nothing is owed of it: {Dr merchant available; Cr merchant debt}, in the book
//!   of the debt, from all stripes. Whatever becomes available (settlement, releases, split parts, late success, refunds undone) pays it
//!   that way. Until the job has looked, a withdrawal leaves what is owed where it is ([`Claims`]): the two together are what "the debt is paid
//!   first" means. The debt is not paid from pending money: that is not the merchant's to spend yet.
//! - Given back first by a refund that fails or is cancelled: what is still owed of it is forgiven by {Cr merchant debt}, and what was recovered is
//!   available again. An advance is never more than recovered and given back together, so no debt is ever below zero; the account's floor
//!   sees to that once more.
//! - Also here is what a withdrawal leaves for refunds that wait for receivers: what arrives for them is theirs ([`Claims::kept_minor`]). It is
//!   reckoned under the lock of the available account, without which no such money comes or goes. Other refunds may still take it: among
//!   payers, who comes first is served first.
//!
//! Lock order: advances come after refunds and before programmes and accounts; a new one is nobody's yet.

pub mod cap;
mod error;
pub(crate) mod repo;
pub mod rules;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

pub use cap::{Cap, CapStatus, DecideCap, ProposeCap};
pub use error::AdvanceError;
pub use rules::Claims;

use crate::base::actor::{Actor, Role};
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{BookId, CapId, MerchantId, RecoveryId, RefundId};
use crate::base::job::{self, NewJob};
use crate::base::money::{Currency, Money};
use crate::base::outbox::{self, Event};
use crate::base::page::{FIRST_MAX, Page};
use crate::book::collect::{self, Reach};
use crate::book::transfer;
use crate::channel::Progress;
use crate::ledger::{self, AccountKind, recipe};

/// Kind of the job that has a merchant's available money pay an advance: calls [`Advances::recover`]. Its subject is the refund.
pub const RECOVER_JOB: &str = "advance_recover";

/// Pause between two looks at what an indebted merchant has.
const LOOK_PAUSE: Duration = Duration::from_secs(30);

/// What the platform gave for a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// The stripe that has it as a debt.
    pub money_book: BookId,
    pub amount: Money,
    /// The cap that it was taken under, and what the merchant owed before, in minor units.
    pub cap: CapId,
    pub before_minor: i64,
    /// Taken of the merchant's available money since, in minor units.
    pub recovered_minor: i64,
    /// Given back by the refund, which came to nothing, in minor units.
    pub returned_minor: i64,
    pub created_at: DateTime<Utc>,
}

impl Advance {
    /// What is still owed of it.
    pub fn owed(&self) -> Money {
        Money { minor: self.amount.minor - self.recovered_minor - self.returned_minor, ..self.amount }
    }

    /// Gives back with the refund what is still owed; gives that and what had been recovered, which is the merchant's again.
    pub(crate) fn give_back(&mut self) -> (Money, Money) {
        let owed = self.owed();
        self.returned_minor += owed.minor;
        (owed, Money { minor: self.recovered_minor, ..self.amount })
    }
}

/// Where a merchant stands with the platform, in renminbi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub merchant: MerchantId,
    /// What it owes for refunds that it could not cover.
    pub debt: Money,
    /// How much it may owe.
    pub cap: Money,
    /// Available money kept for refunds that wait for receivers.
    pub kept: Money,
    /// What of the available money may be withdrawn.
    pub withdrawable: Money,
}

/// What may be advanced to a merchant whose accounts are locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    cap: CapId,
    owed_minor: i64,
    pub minor: i64,
}

/// The service for advances.
#[derive(Clone, Debug)]
pub struct Advances {
    db: PgPool,
    /// For what adds up many rows.
    reports: PgPool,
    clock: Clock,
}

impl Advances {
    pub fn new(db: PgPool, reports: PgPool, clock: Clock) -> Self {
        Self { db, reports, clock }
    }

    /// Has available money pay an advance, as far as it goes. Job [`RECOVER_JOB`], which ends when nothing is owed of it any more.
    pub async fn recover(&self, book: BookId, refund: RefundId) -> Result<Progress, AdvanceError> {
        retrying(AdvanceError::retryable, || self.recover_once(book, refund)).await.map_err(AdvanceError::or_busy)
    }

    async fn recover_once(&self, book: BookId, refund: RefundId) -> Result<Progress, AdvanceError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let Some(mut advance) = repo::lock_in_tx(&mut tx, &[(book, refund)]).await?.pop() else { return Ok(Progress::Settled) };
        if advance.owed().minor == 0 {
            return Ok(Progress::Settled);
        }
        let (own, today, available) = (advance.money_book, business_day(now), AccountKind::MerchantAvailable);
        let (of, accounts) = ((advance.merchant, own), (&[available][..], &[AccountKind::MerchantDebt][..]));
        let (books, locked) = collect::lock_in_tx(&mut tx, of, Reach::AllStripes, accounts, advance.amount.currency, now).await?;
        let shares = collect::shares(&locked, &books, available);
        let claims = repo::claims_in_tx(&mut tx, advance.merchant, advance.amount.currency).await?;
        let minor = claims.recovered_minor(collect::sum_minor(&shares), advance.owed().minor);
        if minor == 0 {
            return Ok(Progress::AskAgain(LOOK_PAUSE));
        }
        let (id, amount) = (RecoveryId::new(), Money { minor, ..advance.amount });
        let collected = collect::plan(&shares, own, available, amount, today).unwrap_or_default();
        let mut postings = transfer::legs(&collected);
        postings.push(recipe::advance_recovered(own, id, amount, today));
        for outcome in ledger::post_in_tx(&mut tx, &postings, today, now).await? {
            outcome.map_err(AdvanceError::Posting)?;
        }
        transfer::record_arrived_in_tx(&mut tx, &collected).await?;
        advance.recovered_minor += minor;
        repo::update_in_tx(&mut tx, std::slice::from_ref(&advance)).await?;
        repo::insert_recovery_in_tx(&mut tx, &advance, id, amount, now).await?;
        let mut told = event("advance.recovered", &advance, amount, now);
        told.payload["recoveryId"] = json!(id);
        outbox::append_in_tx(&mut tx, &[told]).await?;
        tx.commit().await?;
        Ok(if advance.owed().minor == 0 { Progress::Settled } else { Progress::AskAgain(LOOK_PAUSE) })
    }

    /// Where a merchant stands. Its owner, and the platform.
    pub async fn standing(&self, actor: &Actor, merchant: MerchantId) -> Result<Standing, AdvanceError> {
        actor.require_reader(merchant)?;
        repo::standings(&self.db, &[merchant], Currency::Cny).await?.pop().ok_or(AdvanceError::NotFound)
    }

    /// Merchants that owe something, by id, the newest first, or those before one. Operators only. At most [`FIRST_MAX`].
    pub async fn indebted(&self, actor: &Actor, before: Option<MerchantId>, first: i64) -> Result<Page<Standing>, AdvanceError> {
        actor.require_role(Role::Operator)?;
        let first = first.clamp(1, FIRST_MAX);
        let page = Page::from_rows(repo::indebted(&self.reports, before, Currency::Cny, first + 1).await?, first);
        let items = repo::standings(&self.reports, &page.items, Currency::Cny).await?;
        Ok(Page { items, has_next: page.has_next })
    }

    /// What was advanced for refunds, for loaders that have checked who asks. Those without are left out.
    pub async fn of_refunds(&self, refunds: &[(MerchantId, RefundId)]) -> Result<Vec<Advance>, AdvanceError> {
        Ok(repo::of_refunds(&self.db, refunds).await?)
    }
}

/// Whether anything may be advanced to a merchant at all: a hint, taken before the locks.
pub(crate) async fn allowed_in_tx(tx: &mut PgConnection, merchant: MerchantId, currency: Currency) -> sqlx::Result<bool> {
    Ok(repo::room_in_tx(tx, merchant, currency).await?.is_some_and(|(_, cap_minor, _)| cap_minor > 0))
}

/// What may be advanced, once all the merchant's available accounts are locked.
pub(crate) async fn room_in_tx(tx: &mut PgConnection, merchant: MerchantId, currency: Currency) -> sqlx::Result<Option<Room>> {
    let found = repo::room_in_tx(tx, merchant, currency).await?;
    Ok(found.map(|(cap, cap_minor, owed_minor)| Room { cap, owed_minor, minor: rules::room_minor(cap_minor, owed_minor) }))
}

/// What a merchant must keep, once its available account is locked.
pub(crate) async fn claims_in_tx(tx: &mut PgConnection, merchant: MerchantId, currency: Currency) -> sqlx::Result<Claims> {
    repo::claims_in_tx(tx, merchant, currency).await
}

impl Room {
    /// The advance of a refund that takes so much of this.
    pub fn take(self, merchant: MerchantId, refund: RefundId, money_book: BookId, amount: Money, now: DateTime<Utc>) -> Advance {
        Advance {
            merchant,
            refund,
            money_book,
            amount,
            cap: self.cap,
            before_minor: self.owed_minor,
            recovered_minor: 0,
            returned_minor: 0,
            created_at: now,
        }
    }
}

/// Writes an advance that its refund's posting has taken, with the job that recovers it. The refund must be written.
pub(crate) async fn insert_in_tx(tx: &mut PgConnection, advance: &Advance) -> sqlx::Result<()> {
    repo::insert_in_tx(tx, advance).await?;
    let book = advance.merchant.book();
    job::enqueue_in_tx(tx, &[NewJob { kind: RECOVER_JOB, book, subject: advance.refund.0, run_at: Clock::wall() }]).await?;
    outbox::append_in_tx(tx, &[event("advance.taken", advance, advance.amount, advance.created_at)]).await
}

/// An event about an advance; its subject is the refund.
pub(crate) fn event(kind: &'static str, advance: &Advance, amount: Money, at: DateTime<Utc>) -> Event {
    let payload = json!({
        "version": 1,
        "amountMinor": amount.minor.to_string(),
        "remainderMinor": advance.owed().minor.to_string(),
        "currency": amount.currency,
    });
    Event { book: advance.merchant.book(), kind, subject: advance.refund.0, payload, at }
}
