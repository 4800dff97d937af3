//! Splits (分账): a paid order is divided among merchants by the rule that was frozen on it, level by level, and what has to come back
//! comes bottom-up.
//!
//! | step | money | where |
//! |---|---|---|
//! | plan | merchant pending → split frozen (分账冻结) | the order's book, in the transaction of the payment, or of a release of a held order |
//! | a line | split frozen → the receiver's pending, or its split frozen where it passes parts on | two books, by a transfer |
//! | keep | split frozen → pending: what a receiver did not pass on | the receiver's book |
//! | finish (完结) | split frozen → merchant pending: what was not divided | the order's book |
//! | gather | the receiver's pending and available → split frozen: what it gives back | the receiver's book |
//! | return (分账回退) | split frozen → pending of the merchant, or split frozen of whoever hands it on | two books, by a transfer |
//!
//! Frozen money can be neither settled, withdrawn nor refunded, so a line that was planned can be paid. Each row above is one or more
//! transactions that may be run again: lines and parts of returns are stored as SENT before their transfer, the transfer carries their id,
//! and a job finishes what a process left behind, from wherever it stopped.
//!
//! What we chose where the rules leave a choice:
//! - A round divides an amount of the order by the whole rule; the rounds together at most all of it. What the rule leaves to the merchant
//!   stays frozen until the split finishes, as it does at a channel that divides.
//! - A receiver that cannot be paid fails its line (S8): what the order was to pay stays in its remainder, and the next round tries again;
//!   what another receiver was to pass on stays with that one, for good.
//! - Refunds and splits of an order keep out of each other's way (S7): both lock the order first. No round begins while a refund is under
//!   way, and nothing comes back while money moves down.
//! - A return takes from everybody, the merchant too, in proportion to what they have of the order, by largest remainder (R5). A receiver
//!   that has spent its part keeps the return open, and it is tried again.
//! - A channel that divides by itself ([`crate::channel::divider`]) keeps the payment frozen and is asked first, for the first level alone;
//!   the ledger follows what it did, and moves the deeper levels by itself ([`call`]). It finishes before our split does.
//! - An order that holds its money (存管) is divided when it is released, by the rule applied to each part, in the ledger: held money is not
//!   kept frozen at a channel, whose patience ends before most holds do ([`held`]).

pub mod account;
mod apportion;
pub mod back;
mod begin;
mod bucket;
pub mod call;
mod error;
mod held;
mod line;
mod look;
pub mod plan;
pub(crate) mod repo;
pub mod returns;
pub mod rule;
pub mod run;
pub mod state;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

pub use account::{AccountStatus, ChannelAccount, SetAccount};
pub use begin::{NewSplit, plan_in_tx};
pub use call::{Call, CallKind, CallShare, CallStatus, ShareResult};
pub use error::SplitError;
pub use held::{ReleasedPart, plan_release_in_tx};
use line::line_event;
pub use line::{Line, LineCursor, ShareOf};
pub use plan::{Mistake, Parties};
pub use returns::royalty::{open_royalties_in_tx, royalties_of_refund};
pub use returns::{ReturnPlan, plan_return_in_tx};
pub use rule::{Part as RulePart, Share};
use run::Looks;
pub use state::{LineStatus, PartStatus, SplitStatus};

use crate::base::actor::{Actor, Role};
use crate::base::batcher::{Batcher, COMMANDS};
use crate::base::clock::Clock;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId, SplitLineId, SplitReturnId};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::base::page::{FIRST_MAX, Page};
use crate::book::transfer::Transfers;
use crate::channel::Channels;
use crate::ledger::{Ledger, LedgerLimits};

/// Kind of the job that moves the lines of a split: calls [`Splits::execute`].
pub const EXECUTE_JOB: &str = "split_execute";
/// Kind of the job that brings money back: calls [`Splits::execute_return`].
pub const RETURN_JOB: &str = "split_return";
/// Kind of the job that finishes a split before its time is over (S6): calls [`Splits::finish_due`].
pub const DEADLINE_JOB: &str = "split_deadline";

/// How long money may stay frozen where nobody says otherwise.
pub const FROZEN_FOR: TimeDelta = TimeDelta::days(30);
/// How long before that a split is finished by itself.
pub const FINISH_BEFORE: TimeDelta = TimeDelta::days(1);
/// Most rounds of one order.
pub const ROUNDS_MAX: i16 = 50;

/// The split of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Who was paid.
    pub merchant: MerchantId,
    pub order: OrderId,
    /// The book the order's money is in: one of the merchant's stripes.
    pub money_book: BookId,
    /// Frozen when the order is paid.
    pub rule: Vec<Share>,
    pub parties: Parties,
    /// What may be divided: what was paid, less the fee.
    pub base: Money,
    /// How much of it the rule was applied to, in minor units.
    pub rounds_minor: i64,
    pub rounds: i16,
    /// Neither given to a line nor released.
    pub remainder: Money,
    /// Of the remainder, what became the merchant's own: at the finish, or for a refund.
    pub released: Money,
    pub status: SplitStatus,
    /// No round may follow.
    pub finishing: bool,
    /// From when it finishes by itself.
    pub finish_at: DateTime<Utc>,
    /// Why a channel refused for good to finish a payment of it: it is tried again when a person says so.
    #[serde(default)]
    pub finish_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Split {
    /// What a further round may divide.
    pub fn rest(&self) -> Money {
        Money { minor: state::rest_minor(self), ..self.base }
    }
}

/// Money asked back from the receivers of an order (分账回退).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    pub id: SplitReturnId,
    pub merchant: MerchantId,
    pub order: OrderId,
    /// The refund it is for, or the return itself where a person asked.
    pub reference: Uuid,
    pub amount: Money,
    /// Of it, the merchant's own part.
    pub own: Money,
    pub created_at: DateTime<Utc>,
    pub done_at: Option<DateTime<Utc>>,
}

/// A payment's part of a split: a channel divides only its own money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub attempt: AttemptId,
    /// What of it may be divided, in minor units: what was paid, less the fee.
    pub base_minor: i64,
    /// The channel that keeps it frozen and divides it. None: the ledger alone does.
    pub upstream: Option<Upstream>,
}

impl Slice {
    /// Of a payment that no channel divides.
    pub fn of_ledger(attempt: AttemptId, base_minor: i64) -> Self {
        Self { attempt, base_minor, upstream: None }
    }
}

/// A payment as the channel that divides it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub channel: String,
    pub transaction_id: String,
    /// Most of it that the channel gives to receivers.
    pub divisible_minor: i64,
}

/// What one line gives of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub id: Uuid,
    pub line: SplitLineId,
    pub amount_minor: i64,
    pub status: PartStatus,
    pub sent_at: Option<DateTime<Utc>>,
    /// Why its receiver keeps it.
    pub error_code: Option<String>,
}

/// Asks for a round.
#[derive(Clone, Debug, Serialize)]
pub struct CreateRound {
    pub merchant: MerchantId,
    pub order: OrderId,
    /// How much of the order is divided. None: all that is left.
    pub amount: Option<Money>,
    /// Whether it is the last: what is left afterwards is released.
    pub finish: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Asks to release what is not divided.
#[derive(Clone, Debug, Serialize)]
pub struct FinishSplit {
    pub merchant: MerchantId,
    pub order: OrderId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Has a finish tried again that a channel refused.
#[derive(Clone, Debug, Serialize)]
pub struct RetryFinish {
    pub merchant: MerchantId,
    pub order: OrderId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Asks receivers to give back.
#[derive(Clone, Debug, Serialize)]
pub struct ReturnSplit {
    pub merchant: MerchantId,
    pub order: OrderId,
    pub amount: Money,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// The service for splits.
#[derive(Clone, Debug)]
pub struct Splits {
    db: PgPool,
    clock: Clock,
    ledger: Ledger,
    transfers: Transfers,
    channels: Channels,
    looks: Batcher<Looks>,
}

impl Splits {
    /// Over the ledger alone.
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self::through(db, clock, Channels::new([]))
    }

    /// Over the ledger and the channels that divide.
    pub fn through(db: PgPool, clock: Clock, channels: Channels) -> Self {
        let ledger = Ledger::new(db.clone(), clock.clone(), LedgerLimits::default());
        let transfers = Transfers::new(db.clone(), clock.clone());
        let looks = Looks { db: db.clone(), clock: clock.clone(), channels: channels.clone() };
        Self { db, clock, ledger, transfers, channels, looks: Batcher::new("splits", COMMANDS, looks) }
    }

    /// The split of an order, for whoever may read its merchant. Another merchant's order and one without a split look the same.
    pub async fn get(&self, actor: &Actor, merchant: MerchantId, order: OrderId) -> Result<Split, SplitError> {
        actor.require_reader(merchant)?;
        self.of_orders(&[(merchant, order)]).await?.pop().ok_or(SplitError::NotFound)
    }

    /// Splits of orders, for loaders that have checked who asks. Orders without one are left out.
    pub async fn of_orders(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Split>, SplitError> {
        Ok(repo::of_orders(&self.db, orders).await?)
    }

    /// Splits that a channel refuses to finish, the oldest first, at most [`FIRST_MAX`]. Operators.
    pub async fn finish_refused(&self, actor: &Actor) -> Result<Vec<Split>, SplitError> {
        actor.require_role(Role::Operator)?;
        Ok(repo::finish_refused(&self.db, FIRST_MAX).await?)
    }

    /// The first lines of an order's split, or those after `after`: parents before their children. At most [`FIRST_MAX`].
    pub async fn lines(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        order: OrderId,
        after: Option<SplitLineId>,
        first: i64,
    ) -> Result<Page<Line>, SplitError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(line::repo::page(&self.db, merchant.book(), order, after, first + 1).await?, first))
    }

    /// What a merchant was to receive of others' orders, newest first. It sees its own lines and nobody else's.
    pub async fn shares_of(
        &self,
        actor: &Actor,
        receiver: MerchantId,
        before: Option<LineCursor>,
        first: i64,
    ) -> Result<Page<ShareOf>, SplitError> {
        actor.require_reader(receiver)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(line::repo::shares_of(&self.db, receiver, before, first + 1).await?, first))
    }

    /// Returns of an order, oldest first.
    pub async fn returns(&self, actor: &Actor, merchant: MerchantId, order: OrderId) -> Result<Vec<Return>, SplitError> {
        actor.require_reader(merchant)?;
        Ok(returns::repo::returns_of(&self.db, merchant.book(), order).await?)
    }
}

/// The event of a split's new state.
fn event(split: &Split, at: DateTime<Utc>) -> Event {
    Event {
        book: split.merchant.book(),
        kind: split.status.event(),
        subject: split.order.0,
        payload: serde_json::json!({
            "version": 1,
            "rounds": split.rounds,
            "baseMinor": split.base.minor.to_string(),
            "remainderMinor": split.remainder.minor.to_string(),
            "releasedMinor": split.released.minor.to_string(),
            "currency": split.base.currency,
        }),
        at,
    }
}
