//! How much a merchant may owe the platform for refunds (垫资额度): one operator proposes it, another approves it. One proposal waits at a time; a
//! cap below what is owed asks nothing back, it only lets nothing more be advanced.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{AdvanceError, Advances, repo};
use crate::base::actor::{Actor, Forbidden, Role};
use crate::base::audit;
use crate::base::db::retrying;
use crate::base::id::{CapId, MerchantId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::money::{AMOUNT_MINOR_MAX, Money};
use crate::base::outbox::{self, Event};

/// Where a proposed cap stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum CapStatus {
    /// Waits for another person.
    Proposed,
    /// In force until the next one is.
    Approved,
    /// Came to nothing. Final.
    Rejected,
}

impl CapStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "PROPOSED",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// A cap, as it was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    pub id: CapId,
    pub merchant: MerchantId,
    /// How much the merchant may owe.
    pub amount: Money,
    pub status: CapStatus,
    pub proposed_by: UserId,
    pub proposed_at: DateTime<Utc>,
    pub decided_by: Option<UserId>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Proposes a merchant's cap.
#[derive(Clone, Debug, Serialize)]
pub struct ProposeCap {
    pub merchant: MerchantId,
    /// Zero: nothing more is advanced.
    pub amount: Money,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Approves or rejects a proposed cap.
#[derive(Clone, Debug, Serialize)]
pub struct DecideCap {
    pub merchant: MerchantId,
    pub cap: CapId,
    pub approve: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Advances {
    /// Proposes a cap, for another operator to approve. Operators only.
    pub async fn propose_cap(&self, actor: &Actor, cmd: ProposeCap) -> Result<Cap, AdvanceError> {
        let user = operator(actor)?;
        if !(0..=AMOUNT_MINOR_MAX).contains(&cmd.amount.minor) {
            return Err(AdvanceError::CapInvalid);
        }
        retrying(AdvanceError::retryable, || self.propose_once(actor, user, &cmd)).await.map_err(AdvanceError::or_busy)
    }

    async fn propose_once(&self, actor: &Actor, user: UserId, cmd: &ProposeCap) -> Result<Cap, AdvanceError> {
        let (id, now) = (CapId::new(), self.clock.now());
        let scope = Scope { tenant: cmd.merchant.0, operation: "merchantAdvanceSet", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        if !repo::has_book_in_tx(&mut tx, cmd.merchant).await? {
            return Err(AdvanceError::NotFound);
        }
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return Ok(told);
        }
        let cap = Cap {
            id,
            merchant: cmd.merchant,
            amount: cmd.amount,
            status: CapStatus::Proposed,
            proposed_by: user,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        if !repo::insert_cap_in_tx(&mut tx, &cap).await? {
            return Err(AdvanceError::Open);
        }
        audit::record_in_tx(&mut tx, actor, "advance.cap_proposed", id.0, detail(&cap), now).await?;
        outbox::append_in_tx(&mut tx, &[event("advance.cap_proposed", &cap, now)]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &cap).await?;
        tx.commit().await?;
        Ok(cap)
    }

    /// Approves the cap that another operator proposed, or rejects one. Operators only.
    pub async fn decide_cap(&self, actor: &Actor, cmd: DecideCap) -> Result<Cap, AdvanceError> {
        let user = operator(actor)?;
        retrying(AdvanceError::retryable, || self.decide_once(actor, user, &cmd)).await.map_err(AdvanceError::or_busy)
    }

    async fn decide_once(&self, actor: &Actor, user: UserId, cmd: &DecideCap) -> Result<Cap, AdvanceError> {
        let now = self.clock.now();
        let scope = Scope { tenant: cmd.merchant.0, operation: "merchantAdvanceDecide", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let mut cap = repo::lock_cap_in_tx(&mut tx, cmd.merchant, cmd.cap).await?.ok_or(AdvanceError::CapNotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cap.id.0, now).await? {
            return Ok(told);
        }
        if cap.status != CapStatus::Proposed {
            return Err(AdvanceError::Decided);
        }
        if cmd.approve && cap.proposed_by == user {
            return Err(AdvanceError::OwnProposal);
        }
        let (status, kind) = match cmd.approve {
            true => (CapStatus::Approved, "advance.cap_approved"),
            false => (CapStatus::Rejected, "advance.cap_rejected"),
        };
        (cap.status, cap.decided_by, cap.decided_at) = (status, Some(user), Some(now));
        repo::decide_cap_in_tx(&mut tx, &cap).await?;
        audit::record_in_tx(&mut tx, actor, kind, cap.id.0, detail(&cap), now).await?;
        outbox::append_in_tx(&mut tx, &[event(kind, &cap, now)]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &cap).await?;
        tx.commit().await?;
        Ok(cap)
    }

    /// The cap of a merchant that waits for a second person. Operators only.
    pub async fn proposed_cap(&self, actor: &Actor, merchant: MerchantId) -> Result<Option<Cap>, AdvanceError> {
        actor.require_role(Role::Operator)?;
        Ok(repo::proposed_cap(&self.db, merchant).await?)
    }
}

/// The operator who acts: a cap has two people's names on it.
fn operator(actor: &Actor) -> Result<UserId, AdvanceError> {
    actor.require_role(Role::Operator)?;
    Ok(actor.user().ok_or(Forbidden)?)
}

fn detail(cap: &Cap) -> serde_json::Value {
    json!({ "merchantId": cap.merchant, "capMinor": cap.amount.minor.to_string(), "currency": cap.amount.currency })
}

/// An event about a cap; its subject is the cap.
fn event(kind: &'static str, cap: &Cap, at: DateTime<Utc>) -> Event {
    let mut payload = detail(cap);
    payload["version"] = json!(1);
    Event { book: cap.merchant.book(), kind, subject: cap.id.0, payload, at }
}
