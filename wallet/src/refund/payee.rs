//! Whom a refund is paid to that goes to a bank account (R7). No channel tells us the payer's account, so there is no payee of record to
//! compare with: each payee is proposed by one person and approved by another. The account lies sealed; people see its last digits.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::route::repo as routes;
use super::rules::RefundStatus;
use super::{Refund, RefundError, Refunds, SEND_JOB, repo};
use crate::base::actor::{Actor, Forbidden};
use crate::base::audit;
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{MerchantId, RefundId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::withdrawal;

/// Longest name of an account's holder, in characters.
pub const HOLDER_MAX: usize = 64;

/// Seals a payee for its row.
pub type Seal = dyn Fn(Uuid, &[u8]) -> Option<Vec<u8>> + Send + Sync;
/// Opens what was sealed for that row.
pub type Open = dyn Fn(Uuid, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// Seals payees and opens them again: what does so is not the wallet's to know.
#[derive(Clone)]
pub struct Keeper {
    pub seal: Arc<Seal>,
    pub open: Arc<Open>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(..)")
    }
}

/// What is sealed. Personal: no `Debug`.
#[derive(Serialize, Deserialize)]
struct Sealed {
    holder: String,
    account: String,
}

impl Keeper {
    /// The payee of a row, for the length of a call to the bank.
    pub(super) fn open(&self, payee: Uuid, sealed: &[u8]) -> Option<withdrawal::Payee> {
        let Sealed { holder, account } = serde_json::from_slice(&(self.open)(payee, sealed)?).ok()?;
        Some(withdrawal::Payee { name: holder, account })
    }

    fn seal(&self, payee: Uuid, holder: &str, account: &str) -> Option<Vec<u8>> {
        let plain = serde_json::to_vec(&Sealed { holder: holder.to_owned(), account: account.to_owned() }).ok()?;
        (self.seal)(payee, &plain)
    }
}

/// A payee as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    pub id: Uuid,
    pub merchant: MerchantId,
    pub refund: RefundId,
    /// The first character of the name.
    pub holder_mask: String,
    /// The last four digits.
    pub account_tail: String,
    pub proposed_by: UserId,
    pub proposed_at: DateTime<Utc>,
    pub approved_by: Option<UserId>,
    pub approved_at: Option<DateTime<Utc>>,
}

/// Names the account that a refund is to be paid to.
#[derive(Clone)]
pub struct ProposePayee {
    pub merchant: MerchantId,
    pub refund: RefundId,
    pub holder: String,
    /// Digits alone.
    pub account: String,
    pub idempotency_key: Uuid,
}

impl fmt::Debug for ProposePayee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProposePayee").field("refund", &self.refund).finish_non_exhaustive()
    }
}

/// Confirms the account that somebody else named.
#[derive(Clone, Debug, Serialize)]
pub struct ApprovePayee {
    pub merchant: MerchantId,
    pub refund: RefundId,
    pub payee: Uuid,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// What a replay of a proposal is compared by: the key's row keeps no account, not even a hash that could be guessed from.
#[derive(Serialize)]
struct Named<'a> {
    refund: RefundId,
    holder_mask: &'a str,
    account_tail: &'a str,
}

impl Refunds {
    /// Proposes whom a refund is paid to. The merchant's owner, or an operator. The latest proposal is the one that counts.
    pub async fn propose_payee(&self, actor: &Actor, cmd: ProposePayee) -> Result<Payee, RefundError> {
        let user = person(actor, cmd.merchant)?;
        check(&cmd.holder, &cmd.account)?;
        let payouts = self.payouts.as_ref().ok_or(RefundError::NoPayouts)?;
        let id = Uuid::now_v7();
        let sealed = payouts.keeper.seal(id, &cmd.holder, &cmd.account).ok_or(RefundError::Payee)?;
        let (holder_mask, account_tail) = masks(&cmd.holder, &cmd.account);
        let propose = || async {
            let (now, book) = (self.clock.now(), cmd.merchant.book());
            let scope = Scope { tenant: cmd.merchant.0, operation: "refundPayeePropose", key: cmd.idempotency_key };
            let named = Named { refund: cmd.refund, holder_mask: &holder_mask, account_tail: &account_tail };
            let mut tx = self.db.begin().await?;
            let refund = repo::lock_one_in_tx(&mut tx, book, cmd.refund).await?.ok_or(RefundError::RefundNotFound)?.refund;
            if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &named, cmd.refund.0, now).await? {
                return Ok(told);
            }
            wants_payee(&refund)?;
            let payee = Payee {
                id,
                merchant: cmd.merchant,
                refund: cmd.refund,
                holder_mask: holder_mask.clone(),
                account_tail: account_tail.clone(),
                proposed_by: user,
                proposed_at: now,
                approved_by: None,
                approved_at: None,
            };
            routes::insert_payee_in_tx(&mut tx, &payee, &sealed).await?;
            let detail = serde_json::json!({ "payeeId": id, "accountTail": account_tail });
            audit::record_in_tx(&mut tx, actor, "refund.payee_proposed", cmd.refund.0, detail, now).await?;
            idempotency::complete_in_tx(&mut tx, scope, &payee).await?;
            tx.commit().await?;
            Ok(payee)
        };
        retrying(RefundError::retryable, propose).await.map_err(RefundError::or_busy)
    }

    /// Approves the proposal of another person, and has the refund sent to that account.
    pub async fn approve_payee(&self, actor: &Actor, cmd: ApprovePayee) -> Result<Refund, RefundError> {
        let user = person(actor, cmd.merchant)?;
        let approve = || async {
            let (now, book) = (self.clock.now(), cmd.merchant.book());
            let scope = Scope { tenant: cmd.merchant.0, operation: "refundPayeeApprove", key: cmd.idempotency_key };
            let mut tx = self.db.begin().await?;
            let mut refund = repo::lock_one_in_tx(&mut tx, book, cmd.refund).await?.ok_or(RefundError::RefundNotFound)?.refund;
            if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &cmd, cmd.refund.0, now).await? {
                return Ok(told);
            }
            wants_payee(&refund)?;
            let latest = routes::payees_of(&mut *tx, &[(cmd.merchant, cmd.refund)]).await?.pop();
            let payee = latest.filter(|p| p.id == cmd.payee && p.approved_by.is_none()).ok_or(RefundError::PayeeNotFound)?;
            if payee.proposed_by == user {
                return Err(RefundError::OwnProposal);
            }
            routes::approve_payee_in_tx(&mut tx, book, payee.id, user, now).await?;
            refund.status = RefundStatus::Funded;
            repo::update_in_tx(&mut tx, std::slice::from_ref(&refund)).await?;
            job::enqueue_in_tx(&mut tx, &[NewJob { kind: SEND_JOB, book, subject: refund.id.0, run_at: Clock::wall() }]).await?;
            let detail = serde_json::json!({ "payeeId": payee.id, "proposedBy": payee.proposed_by });
            audit::record_in_tx(&mut tx, actor, "refund.payee_approved", refund.id.0, detail, now).await?;
            idempotency::complete_in_tx(&mut tx, scope, &refund).await?;
            tx.commit().await?;
            Ok(refund)
        };
        retrying(RefundError::retryable, approve).await.map_err(RefundError::or_busy)
    }
}

/// The person who acts: the platform by itself names nobody.
fn person(actor: &Actor, merchant: MerchantId) -> Result<UserId, RefundError> {
    actor.require_reader(merchant)?;
    Ok(actor.user().ok_or(Forbidden)?)
}

fn wants_payee(refund: &Refund) -> Result<(), RefundError> {
    if matches!(refund.status, RefundStatus::Reroute | RefundStatus::Bounced) { Ok(()) } else { Err(RefundError::NoPayeeWanted) }
}

fn check(holder: &str, account: &str) -> Result<(), RefundError> {
    if !(1..=HOLDER_MAX).contains(&holder.chars().count()) || holder.trim().is_empty() || holder.chars().any(char::is_control) {
        return Err(RefundError::HolderInvalid);
    }
    if !(8..=32).contains(&account.len()) || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RefundError::AccountInvalid);
    }
    Ok(())
}

/// The first character of the name, and the last four digits.
fn masks(holder: &str, account: &str) -> (String, String) {
    let first: String = holder.trim().chars().take(1).collect();
    (format!("{first}**"), account[account.len().saturating_sub(4)..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payee_has_a_name_and_digits_and_is_shown_in_part() {
        let cases = [
            ("张三", "6222020200001123456", true),
            ("", "6222020200001123456", false),
            ("  ", "6222020200001123456", false),
            ("张\n三", "6222020200001123456", false),
            ("张三", "1234567", false),
            ("张三", "6222 0202", false),
            ("张三", "六二二二零二零二", false),
        ];
        for (holder, account, right) in cases {
            assert_eq!(check(holder, account).is_ok(), right, "{holder} {account}");
        }
        assert_eq!(masks(" 张三", "6222020200001123456"), ("张**".to_owned(), "3456".to_owned()));
    }
}
