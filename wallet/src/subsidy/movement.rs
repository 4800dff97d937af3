//! Money put into a budget and taken back out of it (补贴资金划拨), as it went through the bank. One operator writes a movement down with the
//! bank's number of it, another confirms it: that books it. A movement that is wrong is rejected, by anybody, and its number is free again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{ProgrammeStatus, Subsidies, SubsidyError, event, operator, repo, rules, scope};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::business_day;
use crate::base::db::retrying;
use crate::base::id::{MovementId, ProgrammeId, UserId};
use crate::base::idempotency::{self, Claim};
use crate::base::money::Money;
use crate::base::outbox;
use crate::base::page::{FIRST_MAX, Page};
use crate::ledger::{self, Rejection, recipe};

/// Which way money goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum MovementKind {
    /// Into the budget (拨入).
    Funding,
    /// Out of the budget of a programme that has ended, back to whoever paid it (退回).
    Return,
}

impl MovementKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Funding => "FUNDING",
            Self::Return => "RETURN",
        }
    }
}

/// Where a movement stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum MovementStatus {
    /// Waits for another person.
    Proposed,
    /// Booked. Final.
    Posted,
    /// Came to nothing. Final.
    Rejected,
}

impl MovementStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "PROPOSED",
            Self::Posted => "POSTED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// A movement of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    pub id: MovementId,
    pub programme: ProgrammeId,
    pub kind: MovementKind,
    pub amount: Money,
    pub bank: String,
    /// The bank's number of the transfer.
    pub bank_reference: String,
    pub status: MovementStatus,
    pub proposed_by: UserId,
    pub proposed_at: DateTime<Utc>,
    pub decided_by: Option<UserId>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Writes a movement down, for another person to confirm.
#[derive(Clone, Debug, Serialize)]
pub struct ProposeMovement {
    pub programme: ProgrammeId,
    pub kind: MovementKind,
    pub amount: Money,
    /// The bank's number of the transfer: letters, digits and dashes, at most 64.
    pub bank_reference: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Confirms or rejects a movement.
#[derive(Clone, Debug, Serialize)]
pub struct DecideMovement {
    pub movement: MovementId,
    pub approve: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Subsidies {
    /// Proposes a movement. Operators only. Money goes into an active programme, and out of one that has ended.
    pub async fn propose(&self, actor: &Actor, cmd: ProposeMovement) -> Result<Movement, SubsidyError> {
        let user = operator(actor)?;
        rules::check_movement(cmd.amount, &cmd.bank_reference)?;
        retrying(SubsidyError::retryable, || self.propose_once(actor, user, &cmd)).await.map_err(SubsidyError::or_busy)
    }

    async fn propose_once(&self, actor: &Actor, user: UserId, cmd: &ProposeMovement) -> Result<Movement, SubsidyError> {
        let (id, now) = (MovementId::new(), self.clock.now());
        let scope = scope("subsidyMovementPropose", cmd.idempotency_key);
        let mut tx = self.db.begin().await?;
        let programme = repo::lock_in_tx(&mut tx, cmd.programme).await?.ok_or(SubsidyError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return Ok(told);
        }
        goes(cmd.kind, programme.status)?;
        let movement = Movement {
            id,
            programme: programme.id,
            kind: cmd.kind,
            amount: cmd.amount,
            bank: self.bank.clone(),
            bank_reference: cmd.bank_reference.clone(),
            status: MovementStatus::Proposed,
            proposed_by: user,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        if !repo::insert_movement_in_tx(&mut tx, &movement).await? {
            return Err(SubsidyError::ReferenceTaken);
        }
        audit::record_in_tx(&mut tx, actor, "subsidy.movement_proposed", id.0, detail(&movement), now).await?;
        outbox::append_in_tx(&mut tx, &[event("subsidy.movement_proposed", id.0, detail(&movement), now)]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &movement).await?;
        tx.commit().await?;
        Ok(movement)
    }

    /// Confirms the movement of another operator, which books it, or rejects one. Operators only.
    pub async fn decide(&self, actor: &Actor, cmd: DecideMovement) -> Result<Movement, SubsidyError> {
        let user = operator(actor)?;
        retrying(SubsidyError::retryable, || self.decide_once(actor, user, &cmd)).await.map_err(SubsidyError::or_busy)
    }

    async fn decide_once(&self, actor: &Actor, user: UserId, cmd: &DecideMovement) -> Result<Movement, SubsidyError> {
        let now = self.clock.now();
        let scope = scope("subsidyMovementDecide", cmd.idempotency_key);
        let mut tx = self.db.begin().await?;
        let programme = repo::programme_of_in_tx(&mut tx, cmd.movement).await?.ok_or(SubsidyError::MovementNotFound)?;
        let programme = repo::lock_in_tx(&mut tx, programme).await?.ok_or(SubsidyError::NotFound)?;
        let mut movement = repo::lock_movement_in_tx(&mut tx, cmd.movement).await?.ok_or(SubsidyError::MovementNotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, movement.id.0, now).await? {
            return Ok(told);
        }
        if movement.status != MovementStatus::Proposed {
            return Err(SubsidyError::Decided);
        }
        let kind = if cmd.approve {
            if movement.proposed_by == user {
                return Err(SubsidyError::OwnProposal);
            }
            goes(movement.kind, programme.status)?;
            movement.status = MovementStatus::Posted;
            "subsidy.movement_posted"
        } else {
            movement.status = MovementStatus::Rejected;
            "subsidy.movement_rejected"
        };
        (movement.decided_by, movement.decided_at) = (Some(user), Some(now));
        repo::decide_movement_in_tx(&mut tx, &movement).await?;
        audit::record_in_tx(&mut tx, actor, kind, movement.id.0, detail(&movement), now).await?;
        outbox::append_in_tx(&mut tx, &[event(kind, movement.id.0, detail(&movement), now)]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &movement).await?;
        if movement.status == MovementStatus::Posted {
            let day = business_day(now);
            let book = match movement.kind {
                MovementKind::Funding => recipe::subsidy_funded,
                MovementKind::Return => recipe::subsidy_withdrawn,
            };
            let posting = book(movement.id, movement.programme, movement.amount, &movement.bank, day);
            for outcome in ledger::post_in_tx(&mut tx, &[posting], day, now).await? {
                outcome.map_err(|rejection| match rejection {
                    Rejection::AmountExceedsBalance { available, .. } => SubsidyError::ExceedsLeft { left: available },
                    other => SubsidyError::Posting(other),
                })?;
            }
        }
        tx.commit().await?;
        Ok(movement)
    }

    /// The newest `first` movements of a programme, or those written down before `before`. Operators only. At most [`FIRST_MAX`].
    pub async fn movements(
        &self,
        actor: &Actor,
        programme: ProgrammeId,
        before: Option<MovementId>,
        first: i64,
    ) -> Result<Page<Movement>, SubsidyError> {
        actor.require_role(Role::Operator)?;
        let first = first.clamp(1, FIRST_MAX);
        Ok(Page::from_rows(repo::movements(&self.db, programme, before, first + 1).await?, first))
    }
}

/// Whether money may go so.
fn goes(kind: MovementKind, status: ProgrammeStatus) -> Result<(), SubsidyError> {
    match (kind, status) {
        (MovementKind::Funding, ProgrammeStatus::Ended) => Err(SubsidyError::Ended),
        (MovementKind::Return, ProgrammeStatus::Active) => Err(SubsidyError::NotEnded),
        _ => Ok(()),
    }
}

fn detail(movement: &Movement) -> serde_json::Value {
    json!({
        "programmeId": movement.programme,
        "kind": movement.kind,
        "amountMinor": movement.amount.minor.to_string(),
        "currency": movement.amount.currency,
        "bank": movement.bank,
        "bankReference": movement.bank_reference,
    })
}
