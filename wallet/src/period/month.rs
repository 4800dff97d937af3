//! Months (月结): in order, once, and only when the trial balance adds up.
//!
//! A month adds up closed days, so it costs a row for each account and day with a posting, whatever the number of entries. What it opens
//! and closes with comes from the days' balances and what it moves from their debits and credits: the two must agree.

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::history::ClosedMonth;
use super::rules::{Month, check_trial_balance};
use super::{BOOKS_PAGE, PeriodError, Periods, history, repo};
use crate::base::actor::{Actor, Role};
use crate::base::clock::business_day;
use crate::base::id::{BookId, MerchantId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::{audit, db};

/// Closes a month of all books of a merchant. The key's replay compares the merchant and the month.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CloseMonth {
    pub merchant: MerchantId,
    #[serde(serialize_with = "as_text")]
    pub month: Month,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

fn as_text<S: serde::Serializer>(month: &Month, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(month)
}

impl Periods {
    /// Closes a month of a merchant's books, their days first: operators only. Returns the closed month of each book.
    pub async fn close_month(&self, actor: &Actor, command: CloseMonth) -> Result<Vec<ClosedMonth>, PeriodError> {
        actor.require_role(Role::Operator)?;
        let CloseMonth { merchant, month, .. } = command;
        if month.last_day() >= self.clock.today() {
            return Err(PeriodError::MonthNotOver { month });
        }
        for book in repo::books_of(&self.db, merchant.0).await? {
            self.close_days_of_month(book, month).await?;
        }
        db::retrying(PeriodError::retryable, || self.close_month_once(actor, command)).await.map_err(PeriodError::or_busy)?;
        Ok(history::month_of_owner(&self.db, merchant.0, month).await?)
    }

    async fn close_month_once(&self, actor: &Actor, command: CloseMonth) -> Result<(), PeriodError> {
        let CloseMonth { merchant, month, idempotency_key } = command;
        let now = self.clock.now();
        let scope = Scope { tenant: merchant.0, operation: "monthClose", key: idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { .. } = idempotency::claim_in_tx::<_, ()>(&mut tx, scope, &command, merchant.0, now).await? {
            return Ok(());
        }
        let books = repo::books_of(&mut *tx, merchant.0).await?;
        let (mut closed, mut refusal) = (0, PeriodError::NotFound);
        for book in books {
            match self.close_month_in_tx(&mut tx, book, month).await {
                Ok(()) => closed += 1,
                // a book that closed by itself, or came later, does not keep the others from it
                Err(error @ (PeriodError::MonthClosed { .. } | PeriodError::NotOpenYet { .. })) => refusal = error,
                Err(error) => return Err(error),
            }
        }
        if closed == 0 {
            return Err(refusal);
        }
        let detail = serde_json::json!({ "month": month.to_string(), "books": closed });
        audit::record_in_tx(&mut tx, actor, "period.month_closed", merchant.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Closes the months through `through` of every book that has postings in them, oldest first. Returns how many months were closed.
    ///
    /// A book that cannot be closed does not keep the others waiting: its error is returned once all were tried.
    pub async fn close_due_months(&self, through: Month) -> Result<usize, PeriodError> {
        let (mut closed, mut failure, mut after) = (0, None, None);
        loop {
            let books = repo::books_with_open_months(&self.db, through.last_day(), after, BOOKS_PAGE).await?;
            let Some(&(last, _)) = books.last() else { break };
            for (book, first) in books.into_iter().filter_map(|(book, first)| first.map(|first| (book, first))) {
                match self.close_months_of(book, first, through).await {
                    Ok(months) => closed += months,
                    // another worker was faster
                    Err(PeriodError::MonthClosed { .. }) => {}
                    Err(error) => {
                        tracing::error!(%book, %through, error = &error as &dyn std::error::Error, "a month of a book could not be closed");
                        failure.get_or_insert(error);
                    }
                }
            }
            after = Some(last);
        }
        failure.map_or(Ok(closed), Err)
    }

    /// Closes the months of a book from the one with its first open day, each in a transaction of its own.
    async fn close_months_of(&self, book: BookId, first: NaiveDate, through: Month) -> Result<usize, PeriodError> {
        let (mut closed, mut month) = (0, Month::of(first));
        while month <= through {
            self.close_days_of_month(book, month).await?;
            let next = db::retrying(PeriodError::retryable, || self.close_month_alone(book, month)).await?;
            closed += 1;
            match next {
                Some(next) => month = next,
                None => break,
            }
        }
        Ok(closed)
    }

    /// Returns the next month that has postings.
    async fn close_month_alone(&self, book: BookId, month: Month) -> Result<Option<Month>, PeriodError> {
        let mut tx = self.db.begin().await?;
        self.close_month_in_tx(&mut tx, book, month).await?;
        let open = repo::open_months_in_tx(&mut tx, book).await?;
        tx.commit().await?;
        Ok(open.and_then(|open| open.first_busy).map(Month::of))
    }

    /// Lock the book → what is closed → the trial balance → write. The accounts need no lock: closed days do not change.
    async fn close_month_in_tx(&self, tx: &mut PgConnection, book: BookId, month: Month) -> Result<(), PeriodError> {
        let open = repo::lock_book_in_tx(tx, book).await?.ok_or(PeriodError::NotFound)?;
        let months = repo::open_months_in_tx(tx, book).await?;
        let opened = months.map_or(business_day(open.created_at), |months| months.opened);
        let closed = months.and_then(|months| months.closed).map(Month::of);
        if let Some(closed) = closed.filter(|closed| *closed >= month) {
            return Err(PeriodError::MonthClosed { closed });
        }
        if closed.is_none() && month < Month::of(opened) {
            return Err(PeriodError::NotOpenYet { opened });
        }
        let months = months.filter(|_| open.closed_day.is_some_and(|day| day >= month.last_day())).ok_or(PeriodError::DayOpen)?;
        if let Some(open) = months.first_busy.map(Month::of).filter(|busy| *busy < month) {
            return Err(PeriodError::EarlierMonthOpen { open });
        }
        let from_month = closed.map_or(Month::of(opened), Month::next);
        let lines = repo::trial_balance_in_tx(tx, book, month).await?;
        check_trial_balance(&lines)?;
        Ok(repo::close_month_in_tx(tx, book, (from_month, month), &lines, self.clock.now()).await?)
    }

    async fn close_days_of_month(&self, book: BookId, month: Month) -> Result<(), PeriodError> {
        match self.close_through(book, month.last_day()).await {
            // whether the book was there in that month is the month's own question
            Ok(_) | Err(PeriodError::DayClosed { .. } | PeriodError::NotOpenYet { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
