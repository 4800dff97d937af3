//! Settlement (结算): the day after (T+1), a day's pending money becomes available to the merchant.
//!
//! One transaction per book: lock its pending and available accounts → read the days that no batch covers → decide
//! ([`rules::plan`]) → post, write the batches, append the events. Running it twice, or twice at once, releases once: the
//! second waits for the locks and then finds nothing due; a unique (book, day, currency) stands behind that.

mod error;
mod repo;
pub mod rules;

use sqlx::PgPool;

pub use error::SettlementError;

use crate::base::actor::{Actor, Role};
use crate::base::clock::Clock;
use crate::base::db;
use crate::base::id::{BatchId, BookId};
use crate::base::money::{Currency, Money};
use crate::base::outbox::{self, Event};
use crate::ledger::{self, AccountKind, AccountName, recipe};
use rules::Release;

/// Books looked up at a time.
const BOOKS_PAGE: i64 = 200;

/// The service for settlement.
#[derive(Clone, Debug)]
pub struct Settlements {
    db: PgPool,
    clock: Clock,
}

impl Settlements {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Releases what is due, asked for by a person: operators only. Returns how many days of books released money.
    pub async fn run(&self, actor: &Actor) -> Result<usize, SettlementError> {
        actor.require_role(Role::Operator)?;
        self.release_due().await
    }

    /// Releases the days before today of every book. Returns how many days of books released money.
    ///
    /// A book that cannot be settled does not keep the others waiting: its error is returned once all were tried.
    pub async fn release_due(&self) -> Result<usize, SettlementError> {
        let (mut released, mut failure, mut after) = (0, None, None);
        loop {
            let books = repo::due_books(&self.db, Currency::Cny, self.clock.today(), after, BOOKS_PAGE).await?;
            let Some(&last) = books.last() else { break };
            for book in books {
                match db::retrying(SettlementError::retryable, || self.release_book(book, Currency::Cny)).await {
                    Ok(days) => released += days,
                    Err(error) => {
                        tracing::error!(%book, error = &error as &dyn std::error::Error, "a book could not be settled");
                        failure.get_or_insert(error);
                    }
                }
            }
            after = Some(last);
        }
        failure.map_or(Ok(released), Err)
    }

    async fn release_book(&self, book: BookId, currency: Currency) -> Result<usize, SettlementError> {
        let (today, now) = (self.clock.today(), self.clock.now());
        let mut tx = self.db.begin().await?;
        let names = [AccountKind::MerchantPending, AccountKind::MerchantAvailable];
        let names = names.into_iter().map(|kind| (book, AccountName::fixed(kind, currency))).collect();
        let locked = ledger::lock_in_tx(&mut tx, names, now).await?;
        let Some(pending) = locked.iter().find(|a| a.name.kind == AccountKind::MerchantPending) else {
            return Ok(0);
        };
        let days = repo::due_days_in_tx(&mut tx, book, pending.id, currency, today).await?;
        let batches: Vec<(BatchId, Release)> =
            rules::plan(&days, -pending.balance_minor).into_iter().map(|release| (BatchId::new(), release)).collect();
        if batches.is_empty() {
            return Ok(0);
        }
        let paying: Vec<&(BatchId, Release)> = batches.iter().filter(|(_, release)| release.released_minor > 0).collect();
        let amount = |release: &Release| Money { minor: release.released_minor, currency };
        let postings: Vec<_> =
            paying.iter().map(|(id, release)| recipe::settlement_release(book, *id, amount(release), release.day)).collect();
        for outcome in ledger::post_in_tx(&mut tx, &postings, today, now).await? {
            outcome.map_err(SettlementError::Refused)?;
        }
        repo::insert_in_tx(&mut tx, book, currency, &batches, now).await?;
        let events: Vec<Event> = paying
            .iter()
            .map(|(id, release)| Event {
                book,
                kind: "settlement.released",
                subject: id.0,
                payload: serde_json::json!({
                    "version": 1,
                    "day": release.day,
                    "releasedMinor": release.released_minor.to_string(),
                    "currency": currency,
                }),
                at: now,
            })
            .collect();
        outbox::append_in_tx(&mut tx, &events).await?;
        tx.commit().await?;
        Ok(paying.len())
    }
}
