//! Subsidies (平台补贴): a programme pays a part of an order out of its budget, and the payer pays the rest.
//!
//! A programme (补贴计划) belongs to the platform's book. Its budget is an account there, never below zero: two people put money in and take
//! back what is left ([`movement`]), orders reserve their parts of it as holds of the ledger. A product names its programme by code
//! ([`crate::product::ability::Product::subsidy`]); nobody else can, so that no merchant picks a budget for itself.
//!
//! - Made: the part is computed once ([`rules::part_of`]), reserved in the transaction that writes the order, and frozen on it. While there is
//!   no active programme, or too little is left for the whole part, the order is made without: a budget that is spent stops no sale.
//! - Paid: the channel is asked for the cash part and brings no more. The transaction that books the payment captures the hold, so that a
//!   programme pays an order at most once: {Dr channel receivable (cash), books in transit (subsidy); Cr the merchant's account, fee} and
//!   {Dr subsidy; Cr books in transit}. The fee is of the total, as is what is divided, released and counted as turnover: the merchant is owed
//!   the same whether or not somebody pays a part for his customer. A second success and late money are cash alone.
//! - Closed: the transaction that closes the order gives its reservation up. An order whose time is over is closed by
//!   [`crate::payment::Payments::close_overdue`] where nobody looks at it any more.
//! - Refunded: each refund is cut by [`rules::part_back`]. Its whole is taken from the merchant; when it first succeeds, the programme's part
//!   goes back in that transaction, and the payer never gets more than the cash part. One that fails or is cancelled gives the whole back to the
//!   merchant; what the bank sends back later (退票) is cash alone, since such a refund stands.
//!
//! Every step is one transaction: a process that dies leaves the reservation with its order, or neither.

mod error;
pub mod movement;
pub(crate) mod repo;
pub mod reservation;
pub mod rules;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

pub use error::SubsidyError;
pub use movement::{DecideMovement, Movement, MovementKind, MovementStatus, ProposeMovement};

use crate::base::actor::{Actor, Forbidden, Role};
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{BookId, ProgrammeId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::money::Money;
use crate::base::outbox::{self, Event};
use crate::base::page::{FIRST_MAX, Page};
use crate::ledger::{self, BookKind};

/// Whether a programme pays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum ProgrammeStatus {
    /// Orders of its time get their part, while its budget lasts.
    Active,
    /// New orders get nothing; what was reserved is still paid. Final.
    Ended,
}

/// A subsidy programme (补贴计划).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    pub id: ProgrammeId,
    /// By which products name it.
    pub code: String,
    pub name: String,
    /// What an order gets of itself, in basis points.
    pub share_bps: i32,
    /// The most that one order gets.
    pub order_max: Option<Money>,
    /// Orders made from then on …
    pub starts_at: DateTime<Utc>,
    /// … until before then.
    pub ends_at: DateTime<Utc>,
    pub status: ProgrammeStatus,
    pub created_by: UserId,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

/// What became of a programme's money: funded + returned = used + withdrawn + reserved + available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Put into the budget.
    pub funded: Money,
    /// Promised to orders that may still be paid.
    pub reserved: Money,
    /// Paid of orders.
    pub used: Money,
    /// Of what was used, brought back by refunds.
    pub returned: Money,
    /// Taken back out of the budget.
    pub withdrawn: Money,
    /// What new orders may get, or what may be taken back.
    pub available: Money,
}

/// Makes a programme.
#[derive(Clone, Debug, Serialize)]
pub struct CreateProgramme {
    pub code: String,
    pub name: String,
    /// Basis points of an order. None: all of it, up to `order_max`.
    pub share_bps: Option<i32>,
    /// The most that one order gets. None: the share alone counts.
    pub order_max: Option<Money>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Ends a programme before its time.
#[derive(Clone, Debug, Serialize)]
pub struct EndProgramme {
    pub programme: ProgrammeId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// The service for subsidy programmes.
#[derive(Clone, Debug)]
pub struct Subsidies {
    db: PgPool,
    /// For what adds up many rows.
    reports: PgPool,
    clock: Clock,
    /// The bank that budgets are paid in to and out of.
    bank: String,
}

impl Subsidies {
    pub fn new(db: PgPool, reports: PgPool, clock: Clock, bank: String) -> Self {
        Self { db, reports, clock, bank }
    }

    /// Makes a programme without money. Operators only.
    pub async fn create(&self, actor: &Actor, cmd: CreateProgramme) -> Result<Programme, SubsidyError> {
        let user = operator(actor)?;
        rules::check(&cmd)?;
        retrying(SubsidyError::retryable, || self.create_once(actor, user, &cmd)).await.map_err(SubsidyError::or_busy)
    }

    async fn create_once(&self, actor: &Actor, user: UserId, cmd: &CreateProgramme) -> Result<Programme, SubsidyError> {
        let (id, now) = (ProgrammeId::new(), self.clock.now());
        let scope = scope("subsidyProgrammeCreate", cmd.idempotency_key);
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return Ok(told);
        }
        // the first programme may come before anything else of the platform's own
        ledger::open_book_in_tx(&mut tx, BookId::PLATFORM, BookKind::Platform, now).await?;
        let programme = Programme {
            id,
            code: cmd.code.clone(),
            name: cmd.name.clone(),
            share_bps: cmd.share_bps.unwrap_or(rules::WHOLE_BPS),
            order_max: cmd.order_max,
            starts_at: cmd.starts_at,
            ends_at: cmd.ends_at,
            status: ProgrammeStatus::Active,
            created_by: user,
            created_at: now,
            ended_at: None,
        };
        if !repo::insert_in_tx(&mut tx, &programme).await? {
            return Err(SubsidyError::CodeTaken);
        }
        let detail = json!({
            "code": programme.code,
            "shareBps": programme.share_bps,
            "orderMaxMinor": programme.order_max.map(|max| max.minor.to_string()),
            "startsAt": programme.starts_at,
            "endsAt": programme.ends_at,
        });
        outbox::append_in_tx(&mut tx, &[event("subsidy.programme_created", id.0, detail.clone(), now)]).await?;
        audit::record_in_tx(&mut tx, actor, "subsidy.programme_created", id.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &programme).await?;
        tx.commit().await?;
        Ok(programme)
    }

    /// Ends a programme: orders made from now on get nothing of it. What is left is taken back by a movement. Operators only.
    pub async fn end(&self, actor: &Actor, cmd: EndProgramme) -> Result<Programme, SubsidyError> {
        let user = operator(actor)?;
        retrying(SubsidyError::retryable, || self.end_once(actor, user, &cmd)).await.map_err(SubsidyError::or_busy)
    }

    async fn end_once(&self, actor: &Actor, user: UserId, cmd: &EndProgramme) -> Result<Programme, SubsidyError> {
        let now = self.clock.now();
        let scope = scope("subsidyProgrammeEnd", cmd.idempotency_key);
        let mut tx = self.db.begin().await?;
        let mut programme = repo::lock_in_tx(&mut tx, cmd.programme).await?.ok_or(SubsidyError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, programme.id.0, now).await? {
            return Ok(told);
        }
        if programme.status == ProgrammeStatus::Ended {
            return Err(SubsidyError::Ended);
        }
        (programme.status, programme.ended_at) = (ProgrammeStatus::Ended, Some(now));
        repo::end_in_tx(&mut tx, programme.id, user, now).await?;
        outbox::append_in_tx(&mut tx, &[event("subsidy.programme_ended", programme.id.0, json!({}), now)]).await?;
        audit::record_in_tx(&mut tx, actor, "subsidy.programme_ended", programme.id.0, json!({}), now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &programme).await?;
        tx.commit().await?;
        Ok(programme)
    }

    /// The newest `first` programmes, or those made before `before`, with what became of their money. Operators only. At most [`FIRST_MAX`].
    pub async fn list(&self, actor: &Actor, before: Option<ProgrammeId>, first: i64) -> Result<Page<(Programme, Figures)>, SubsidyError> {
        actor.require_role(Role::Operator)?;
        let first = first.clamp(1, FIRST_MAX);
        let page = Page::from_rows(repo::page(&self.db, before, first + 1).await?, first);
        let figures = repo::figures(&self.reports, &page.items.iter().map(|p| p.id).collect::<Vec<_>>()).await?;
        let items = page.items.into_iter().filter_map(|programme| Some((figures.get(&programme.id).copied()?, programme)));
        Ok(Page { items: items.map(|(figures, programme)| (programme, figures)).collect(), has_next: page.has_next })
    }

    /// What became of one programme's money. Operators only.
    pub async fn figures(&self, actor: &Actor, programme: ProgrammeId) -> Result<Figures, SubsidyError> {
        actor.require_role(Role::Operator)?;
        repo::figures(&self.reports, &[programme]).await?.remove(&programme).ok_or(SubsidyError::NotFound)
    }

    /// One programme. Operators only.
    pub async fn programme(&self, actor: &Actor, programme: ProgrammeId) -> Result<Programme, SubsidyError> {
        actor.require_role(Role::Operator)?;
        repo::by_id(&self.db, programme).await?.ok_or(SubsidyError::NotFound)
    }
}

/// The operator who acts: what is done with a budget has a person's name on it.
fn operator(actor: &Actor) -> Result<UserId, SubsidyError> {
    actor.require_role(Role::Operator)?;
    Ok(actor.user().ok_or(Forbidden)?)
}

fn scope(operation: &'static str, key: Uuid) -> Scope {
    Scope { tenant: BookId::PLATFORM.0, operation, key }
}

/// An event about a programme or a movement, whose id is its subject.
fn event(kind: &'static str, subject: Uuid, detail: serde_json::Value, at: DateTime<Utc>) -> Event {
    let mut payload = detail;
    payload["version"] = json!(1);
    Event { book: BookId::PLATFORM, kind, subject, payload, at }
}
