//! The past: closed periods, and balances in two times (L13).
//!
//! A posting has the day it is booked on (accounting date), the day it is about (business date) and the moment it was written down.
//! - [`balances_on`] adds up what was booked through a day. It never changes once the day is closed.
//! - [`balances_as_of`] adds up what is about a day or an earlier one, as far as it was known at a moment. A late fact shifts every later
//!   day once, and nothing of what was known before it.
//!
//! Both start from the rows of closed days. The first reads entries of open days only; the second reads besides the entries of those closed
//! days whose rows say that they reach over the asked day or moment: some are late facts, so it is days around the asked one, not all.

mod repo;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::rules::Month;
use super::{PeriodError, Periods};
use crate::base::actor::Actor;
use crate::base::id::{BookId, MerchantId};
use crate::base::money::{Currency, Money};
use crate::base::page::{FIRST_MAX, Page};
use crate::ledger::{AccountKind, AccountName};

/// A closed day of a book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedDay {
    pub day: NaiveDate,
    /// The first of the idle days that were closed with it.
    pub from_day: NaiveDate,
    /// Which of the owner's books: 0 for all owners but those with stripes (分条).
    pub stripe: i16,
    pub postings: i64,
    /// What was debited, which equals what was credited, in each currency.
    pub debits: Vec<Money>,
    pub closed_at: DateTime<Utc>,
}

/// Where a page of closed days or months begins: after the day, or first day of a month, of this stripe.
pub type PeriodCursor = (NaiveDate, i16);

/// A closed month of a book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedMonth {
    pub month: Month,
    /// The first of the idle months that were closed with it.
    pub from_month: Month,
    /// Which of the owner's books.
    pub stripe: i16,
    pub closed_at: DateTime<Utc>,
    /// The trial balance (试算平衡), by account. An account that never moved has no line.
    pub lines: Vec<MonthLine>,
}

/// An account's line in a trial balance. A debit is positive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MonthLine {
    pub account: AccountKind,
    /// The channel or bank, where the account has one.
    pub subject: String,
    /// Brought forward.
    pub opening: Money,
    pub debits: Money,
    pub credits: Money,
    /// Carried forward.
    pub closing: Money,
}

/// What a merchant was owed. Positive is owed to the merchant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owed {
    pub pending: Money,
    pub available: Money,
    pub in_payout: Money,
    pub refunding: Money,
}

/// The accounts of [`Owed`].
const OWED: [AccountKind; 4] =
    [AccountKind::MerchantPending, AccountKind::MerchantAvailable, AccountKind::PayoutTransit, AccountKind::RefundPayable];

impl Periods {
    /// The day through which all of a merchant's books are closed; none while one of them never was.
    pub async fn closed_through(&self, actor: &Actor, merchant: MerchantId) -> Result<Option<NaiveDate>, PeriodError> {
        actor.require_reader(merchant)?;
        Ok(repo::closed_through(&self.db, merchant.0).await?)
    }

    /// A merchant's closed days, newest first, then by stripe.
    pub async fn closed_days(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        after: Option<PeriodCursor>,
        first: i64,
    ) -> Result<Page<ClosedDay>, PeriodError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::closed_days(&self.db, merchant.0, after, first + 1).await?, first))
    }

    /// A merchant's closed months with their trial balances, newest first, then by stripe.
    pub async fn closed_months(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        after: Option<PeriodCursor>,
        first: i64,
    ) -> Result<Page<ClosedMonth>, PeriodError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        let mut page = Page::from_rows(repo::closed_months(&self.db, merchant.0, None, after, first + 1).await?, first);
        fill(&self.db, merchant.0, &mut page.items).await?;
        Ok(page)
    }

    /// What a merchant was owed at the end of a day, by what was booked through it, in renminbi.
    pub async fn owed_on(&self, actor: &Actor, merchant: MerchantId, day: NaiveDate) -> Result<Owed, PeriodError> {
        actor.require_reader(merchant)?;
        let books = super::repo::books_of(&self.db, merchant.0).await?;
        Ok(owed(&balances_on(&self.db, &books, &owed_names(), day).await?))
    }

    /// What a merchant was owed at the end of a day, by what is about it or an earlier day and was known at a moment, in renminbi.
    pub async fn owed_as_of(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        effective: NaiveDate,
        known_at: DateTime<Utc>,
    ) -> Result<Owed, PeriodError> {
        actor.require_reader(merchant)?;
        let books = super::repo::books_of(&self.db, merchant.0).await?;
        Ok(owed(&balances_as_of(&self.db, &books, &owed_names(), effective, known_at).await?))
    }
}

fn owed_names() -> [AccountName; 4] {
    OWED.map(|kind| AccountName::fixed(kind, Currency::Cny))
}

fn owed(balances: &[i64]) -> Owed {
    let minor = |kind| OWED.iter().zip(balances).find(|(k, _)| **k == kind).map_or(0, |(_, minor)| -minor);
    Owed {
        pending: Money::cny(minor(AccountKind::MerchantPending)),
        available: Money::cny(minor(AccountKind::MerchantAvailable)),
        in_payout: Money::cny(minor(AccountKind::PayoutTransit)),
        refunding: Money::cny(minor(AccountKind::RefundPayable)),
    }
}

/// The balance of an account by what was booked through `day`. Checks nobody's permission.
pub async fn balance_on(db: &PgPool, book: BookId, name: &AccountName, day: NaiveDate) -> sqlx::Result<i64> {
    Ok(balances_on(db, &[book], std::slice::from_ref(name), day).await?.iter().sum())
}

/// The balance of an account by what is about `effective` or an earlier day and was written down by `known_at`. Checks nobody's permission.
pub async fn balance_as_of(
    db: &PgPool,
    book: BookId,
    name: &AccountName,
    effective: NaiveDate,
    known_at: DateTime<Utc>,
) -> sqlx::Result<i64> {
    Ok(balances_as_of(db, &[book], std::slice::from_ref(name), effective, known_at).await?.iter().sum())
}

/// The same for several accounts, each summed over several books; one sum per name, zero where there is no such account. One statement.
pub async fn balances_on(db: &PgPool, books: &[BookId], names: &[AccountName], day: NaiveDate) -> sqlx::Result<Vec<i64>> {
    repo::balances_on(db, books, names, day).await
}

/// The same in two times. One statement.
pub async fn balances_as_of(
    db: &PgPool,
    books: &[BookId],
    names: &[AccountName],
    effective: NaiveDate,
    known_at: DateTime<Utc>,
) -> sqlx::Result<Vec<i64>> {
    repo::balances_as_of(db, books, names, effective, known_at).await
}

/// A month of all books of an owner that closed it.
pub(super) async fn month_of_owner(db: &PgPool, owner: Uuid, month: Month) -> sqlx::Result<Vec<ClosedMonth>> {
    let mut months = repo::closed_months(db, owner, Some(month), None, i64::MAX).await?;
    fill(db, owner, &mut months).await?;
    Ok(months)
}

/// Adds the trial balances. One statement for all months.
async fn fill(db: &PgPool, owner: Uuid, months: &mut [ClosedMonth]) -> sqlx::Result<()> {
    let keys: Vec<PeriodCursor> = months.iter().map(|m| (m.month.first_day(), m.stripe)).collect();
    for (key, line) in repo::month_lines(db, owner, &keys).await? {
        if let Some(month) = months.iter_mut().find(|m| (m.month.first_day(), m.stripe) == key) {
            month.lines.push(line);
        }
    }
    Ok(())
}
