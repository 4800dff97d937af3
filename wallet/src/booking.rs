//! What a batch of business facts does outside its own rows (入账): postings, the day's figures, events. Written together and last, because
//! accounts come after all business rows in the order of locks, and a transaction that locked them twice could wait in a circle.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::analytics::{self, DayDelta};
use crate::base::clock::business_day;
use crate::base::outbox::{self, Event};
use crate::ledger::{self, Command, LedgerError, Posting, Rejection, ResolveHold};

/// Collected while a batch is decided. A transaction writes one of it.
#[derive(Debug, Default)]
pub struct Booking {
    pub postings: Vec<Posting>,
    /// Holds given up, after the postings.
    pub freed: Vec<ResolveHold>,
    pub deltas: Vec<DayDelta>,
    pub events: Vec<Event>,
}

impl Booking {
    /// With what `other` collected, after what is here.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.postings.extend(other.postings);
        self.freed.extend(other.freed);
        self.deltas.extend(other.deltas);
        self.events.extend(other.events);
        self
    }

    /// Posts, adds to the days and tells. Some four statements, whatever the number.
    ///
    /// # Errors
    /// The rejection of the first posting that the ledger refuses: what was decided after it may rest on it, so the transaction must be
    /// rolled back, as after a [`LedgerError`].
    pub async fn write_in_tx(&self, tx: &mut PgConnection, now: DateTime<Utc>) -> Result<Result<(), Rejection>, LedgerError> {
        let postings = self.postings.iter().cloned().map(Command::Post);
        let commands: Vec<Command> = postings.chain(self.freed.iter().copied().map(Command::Void)).collect();
        for outcome in ledger::execute_in_tx(tx, &commands, business_day(now), now).await? {
            if let Err(rejection) = outcome {
                return Ok(Err(rejection));
            }
        }
        analytics::add_in_tx(tx, &self.deltas).await?;
        outbox::append_in_tx(tx, &self.events).await?;
        Ok(Ok(()))
    }
}
