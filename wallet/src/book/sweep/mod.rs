//! The nightly sweep (手续费归集): each book's fees go to the platform's book once a day, so that the platform has its income in one place and
//! a payment still locks nothing but its own book.
//!
//! A sweep is a transfer whose id follows from the book, the day it is made on and the currency: a second run on the same day finds it
//! done, and a run that dies half-way leaves transfers that arrive by themselves. What is swept is what the fee account holds when the
//! sweep comes by after midnight; a book that gave back more fees than it took is made up for. Totals over all books do not change, and neither do
//! the fees of the boards, which count payments and refunds.

mod repo;

use chrono::NaiveDate;

use super::transfer::{Purpose, SendTransfer, TransferError, Transfers, rules};
use super::{BookError, Books};
use crate::base::db::retrying;
use crate::base::id::{BookId, TransferId, named_uuid};
use crate::base::money::{Currency, Money};
use crate::ledger::{self, AccountKind, AccountName};

/// Books swept at a time: what arrives together at the platform's book.
const BOOKS_PAGE: i64 = 200;

/// Why a sweep stopped.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("the platform's book could not be opened")]
    Book(#[from] BookError),
    #[error("a book's fees could not be moved")]
    Transfer(#[from] TransferError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// The sweep of a book on a day has this id, whoever makes it and how often.
fn sweep_id(book: BookId, day: NaiveDate, currency: Currency) -> TransferId {
    let day = day.to_string();
    TransferId(named_uuid(&[book.0.as_bytes(), b"FEE_SWEEP", day.as_bytes(), currency.as_str().as_bytes()]))
}

impl Books {
    /// Moves the fees of every book that was not swept today to the platform's book. Returns how many books were swept.
    ///
    /// A book that cannot be swept does not keep the others waiting: its error is returned once all were tried.
    pub async fn sweep_fees(&self) -> Result<usize, SweepError> {
        let day = self.clock.today();
        self.open_standing().await?;
        let transfers = Transfers::new(self.db.clone(), self.clock.clone());
        let (mut swept, mut failure, mut after) = (0, None, None);
        loop {
            let books = repo::due_books(&self.db, Currency::Cny, day, after, BOOKS_PAGE).await?;
            let Some(&last) = books.last() else { break };
            let mut sent = Vec::with_capacity(books.len());
            for book in books {
                match retrying(TransferError::retryable, || self.send_fees(&transfers, book, Currency::Cny, day)).await {
                    Ok(transfer) => sent.extend(transfer),
                    Err(error) => {
                        tracing::error!(%book, error = &error as &dyn std::error::Error, "a book's fees could not be swept");
                        failure.get_or_insert(error);
                    }
                }
            }
            swept += sent.len();
            if let Err(error) = transfers.finish_all(&sent).await {
                failure.get_or_insert(error);
            }
            after = Some(last);
        }
        failure.map_or(Ok(swept), |error| Err(error.into()))
    }

    /// The first leg: takes the whole balance of the fee account, read under its lock. None: there is nothing, or another run was faster.
    async fn send_fees(
        &self,
        transfers: &Transfers,
        book: BookId,
        currency: Currency,
        day: NaiveDate,
    ) -> Result<Option<SendTransfer>, TransferError> {
        let mut tx = self.db.begin().await?;
        let kinds = [AccountKind::FeeIncome, AccountKind::BooksInTransit];
        let names = kinds.into_iter().map(|kind| (book, AccountName::fixed(kind, currency))).collect();
        let locked = ledger::lock_in_tx(&mut tx, names, self.clock.now()).await?;
        let Some(fees) = locked.iter().find(|a| a.name.kind == AccountKind::FeeIncome && a.balance_minor != 0) else {
            return Ok(None);
        };
        let cmd = SendTransfer {
            id: sweep_id(book, day, currency),
            purpose: Purpose::FeeSweep,
            from: book,
            from_account: AccountKind::FeeIncome,
            to: BookId::PLATFORM,
            to_account: AccountKind::FeeIncome,
            amount: Money { minor: -fees.balance_minor, currency },
            day,
        };
        rules::check(&cmd)?;
        if !transfers.send_in_tx(&mut tx, &cmd).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(cmd))
    }
}
