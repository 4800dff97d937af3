//! Refunds that came back from the bank (退票) and are paid outside (人工退款): BOUNCED → MANUAL.
//!
//! One operator writes down that the payer has the money and what shows it, another confirms it: that ends the refund for good. The money was with us,
//! in the cash of the bank that it had come back to, and left from there: {Dr refund payable; Cr bank cash}, under the number by which
//! the bank's statement has it. What is wrong is rejected, by anybody, and its number is free again. Until it is confirmed the refund may
//! still go to another payee: whichever is first under the refund's lock counts.

pub(super) mod repo;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::apply::event;
use super::route::repo as routes;
use super::{Refund, RefundError, RefundStatus, Refunds, funding};
use crate::base::actor::{Actor, Forbidden, Role};
use crate::base::audit;
use crate::base::clock::business_day;
use crate::base::db::retrying;
use crate::base::id::{MerchantId, RefundId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::outbox;
use crate::ledger::{self, recipe};

/// Longest number of what was paid outside.
pub const REFERENCE_MAX: usize = 64;

/// Longest evidence, in characters.
pub const EVIDENCE_MAX: usize = 256;

/// Where such a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum ManualStatus {
    /// Waits for another person.
    Proposed,
    /// Booked: the refund is over. Final.
    Approved,
    /// Came to nothing. Final.
    Rejected,
}

impl ManualStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "PROPOSED",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// A refund's payment outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    pub id: Uuid,
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// The bank's number of the transfer, or that of the receipt.
    pub reference: String,
    /// What shows that the payer has the money. Not for logs, events or the audit trail: people write names there.
    pub evidence: String,
    /// Whose cash it was.
    pub bank: String,
    pub status: ManualStatus,
    pub proposed_by: UserId,
    pub proposed_at: DateTime<Utc>,
    pub decided_by: Option<UserId>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Writes down that a refund was paid outside.
#[derive(Clone, Debug, Serialize)]
pub struct ProposeManual {
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// Letters, digits and dashes, at most [`REFERENCE_MAX`]. Of a bank, it closes one refund.
    pub reference: String,
    pub evidence: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Confirms or rejects it.
#[derive(Clone, Debug, Serialize)]
pub struct DecideManual {
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// The proposal as it was looked at.
    pub manual: Uuid,
    pub approve: bool,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Refunds {
    /// Proposes that a refund which came back was paid outside. Operators only.
    pub async fn propose_manual(&self, actor: &Actor, cmd: ProposeManual) -> Result<Manual, RefundError> {
        let user = operator(actor)?;
        check(&cmd.reference, &cmd.evidence)?;
        retrying(RefundError::retryable, || self.propose_manual_once(actor, user, &cmd)).await.map_err(RefundError::or_busy)
    }

    async fn propose_manual_once(&self, actor: &Actor, user: UserId, cmd: &ProposeManual) -> Result<Manual, RefundError> {
        let (id, now, book) = (Uuid::now_v7(), self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "refundManualPropose", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let refund = super::repo::lock_one_in_tx(&mut tx, book, cmd.refund).await?.ok_or(RefundError::RefundNotFound)?.refund;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.refund.0, now).await? {
            return Ok(told);
        }
        if refund.status != RefundStatus::Bounced {
            return Err(RefundError::NotBounced);
        }
        let bounced = routes::of_refunds(&mut *tx, &[(cmd.merchant, cmd.refund)]).await?.pop().ok_or(RefundError::NotBounced)?;
        let manual = Manual {
            id,
            merchant: cmd.merchant,
            refund: cmd.refund,
            reference: cmd.reference.clone(),
            evidence: cmd.evidence.clone(),
            bank: bounced.channel,
            status: ManualStatus::Proposed,
            proposed_by: user,
            proposed_at: now,
            decided_by: None,
            decided_at: None,
        };
        if !repo::insert_in_tx(&mut tx, &manual).await? {
            return Err(RefundError::ManualTaken);
        }
        audit::record_in_tx(&mut tx, actor, "refund.manual_proposed", cmd.refund.0, detail(&manual), now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &manual).await?;
        tx.commit().await?;
        Ok(manual)
    }

    /// Confirms what another operator wrote down, which ends the refund, or rejects it. Operators only.
    pub async fn decide_manual(&self, actor: &Actor, cmd: DecideManual) -> Result<Refund, RefundError> {
        let user = operator(actor)?;
        retrying(RefundError::retryable, || self.decide_manual_once(actor, user, &cmd)).await.map_err(RefundError::or_busy)
    }

    async fn decide_manual_once(&self, actor: &Actor, user: UserId, cmd: &DecideManual) -> Result<Refund, RefundError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "refundManualDecide", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let (order, siblings) = funding::lock_in_tx(&mut tx, book, cmd.refund).await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.refund.0, now).await? {
            return Ok(told);
        }
        let open = siblings.into_iter().find(|open| open.refund.id == cmd.refund);
        let mut refund = open.ok_or(RefundError::RefundNotFound)?.refund;
        let found = repo::lock_in_tx(&mut tx, book, cmd.manual).await?;
        let mut manual = found.filter(|manual| manual.refund == cmd.refund).ok_or(RefundError::ManualNotFound)?;
        if manual.status != ManualStatus::Proposed {
            return Err(RefundError::ManualDecided);
        }
        if cmd.approve && manual.proposed_by == user {
            return Err(RefundError::OwnManual);
        }
        if cmd.approve && refund.status != RefundStatus::Bounced {
            return Err(RefundError::NotBounced);
        }
        manual.status = if cmd.approve { ManualStatus::Approved } else { ManualStatus::Rejected };
        (manual.decided_by, manual.decided_at) = (Some(user), Some(now));
        repo::decide_in_tx(&mut tx, &manual).await?;
        let action = if cmd.approve { "refund.manual_approved" } else { "refund.manual_rejected" };
        audit::record_in_tx(&mut tx, actor, action, cmd.refund.0, detail(&manual), now).await?;
        if cmd.approve {
            (refund.status, refund.resolved_at, refund.error_code) = (RefundStatus::Manual, Some(now), None);
            super::repo::update_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
            outbox::append_in_tx(&mut tx, &[event("refund.paid_by_hand", &refund, now)]).await?;
        }
        idempotency::complete_in_tx(&mut tx, scope, &refund).await?;
        if cmd.approve {
            let day = business_day(now);
            let posting = recipe::refund_paid_by_hand(order.money_book(), order.store, refund.id, refund.cash(), &manual.bank, day);
            for outcome in ledger::post_in_tx(&mut tx, &[posting], day, now).await? {
                outcome.map_err(RefundError::Posting)?;
            }
        }
        tx.commit().await?;
        Ok(refund)
    }
}

/// The operator who acts: such a payment has two people's names on it.
fn operator(actor: &Actor) -> Result<UserId, RefundError> {
    actor.require_role(Role::Operator)?;
    Ok(actor.user().ok_or(Forbidden)?)
}

fn detail(manual: &Manual) -> serde_json::Value {
    json!({ "manualId": manual.id, "reference": manual.reference, "bank": manual.bank, "proposedBy": manual.proposed_by })
}

fn check(reference: &str, evidence: &str) -> Result<(), RefundError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !(1..=REFERENCE_MAX).contains(&reference.len()) || !reference.bytes().all(plain) {
        return Err(RefundError::ReferenceInvalid);
    }
    let length = evidence.chars().count();
    if !(1..=EVIDENCE_MAX).contains(&length) || evidence.trim().is_empty() || evidence.chars().any(char::is_control) {
        return Err(RefundError::EvidenceInvalid);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_outside_has_a_number_and_what_shows_it() {
        let (long, wordy) = ("1".repeat(REFERENCE_MAX), "证".repeat(EVIDENCE_MAX));
        let cases = [
            ("2026112200001", "柜台转账回单", true),
            (long.as_str(), wordy.as_str(), true),
            ("", "柜台转账回单", false),
            (&format!("{long}1"), "柜台转账回单", false),
            ("流水", "柜台转账回单", false),
            ("1 2", "柜台转账回单", false),
            ("1", "", false),
            ("1", "  ", false),
            ("1", "回\n单", false),
            ("1", &format!("{wordy}证"), false),
        ];
        for (reference, evidence, right) in cases {
            assert_eq!(check(reference, evidence).is_ok(), right, "{reference} {evidence}");
        }
    }
}
