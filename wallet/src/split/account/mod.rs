//! Where merchants are paid at a channel that divides (分账接收方): set by an operator, made known to the channel before the first share (S8).
//!
//! WAIT → ADDED or REFUSED. Another account begins anew. A process that dies after it told the channel tells it once more, which changes
//! nothing there.

pub(crate) mod repo;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{SplitError, Splits, bucket};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::id::MerchantId;
use crate::channel::ChannelError;
use crate::channel::divider::Receiver;

/// How long to wait where a channel is not connected any more.
pub(super) const DISCONNECTED_PAUSE: Duration = Duration::from_secs(60);
/// How long to wait where a channel gave no answer.
const SILENCE_PAUSE: Duration = Duration::from_secs(5);

/// Whether the channel knows an account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum AccountStatus {
    /// It has not been told.
    Wait,
    Added,
    /// It does not take it.
    Refused,
}

impl AccountStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "WAIT",
            Self::Added => "ADDED",
            Self::Refused => "REFUSED",
        }
    }
}

/// A merchant's account at a channel. The account never shows in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelAccount {
    pub merchant: MerchantId,
    pub channel: String,
    pub account: String,
    pub status: AccountStatus,
    pub error_code: Option<String>,
    pub set_at: DateTime<Utc>,
    pub told_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for ChannelAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { merchant, channel, status, .. } = self;
        f.debug_struct("ChannelAccount")
            .field("merchant", merchant)
            .field("channel", channel)
            .field("status", status)
            .finish_non_exhaustive()
    }
}

/// Says where a merchant is paid at a channel.
#[derive(Clone, Debug)]
pub struct SetAccount {
    pub merchant: MerchantId,
    pub channel: String,
    pub account: String,
}

impl Splits {
    /// Says where a merchant is paid at a channel. Operators only: the money of shares goes there. The same again changes nothing.
    pub async fn set_account(&self, actor: &Actor, cmd: SetAccount) -> Result<ChannelAccount, SplitError> {
        actor.require_role(Role::Operator)?;
        let divider = self.channels.divider(&cmd.channel).ok_or(SplitError::ChannelDividesNot)?;
        if !divider.is_account(&cmd.account) {
            return Err(SplitError::AccountInvalid);
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let known = repo::lock_in_tx(&mut tx, cmd.merchant, &cmd.channel).await?;
        if let Some(known) = known.filter(|known| known.account == cmd.account && known.status != AccountStatus::Refused) {
            return Ok(known);
        }
        let SetAccount { merchant, channel, account } = cmd;
        let set = ChannelAccount { merchant, channel, account, status: AccountStatus::Wait, error_code: None, set_at: now, told_at: None };
        if !repo::set_in_tx(&mut tx, &set).await? {
            return Err(SplitError::ReceiverNotSigned);
        }
        audit::record_in_tx(&mut tx, actor, "split.account_set", merchant.0, serde_json::json!({ "channel": set.channel }), now).await?;
        tx.commit().await?;
        Ok(set)
    }

    /// Where a merchant is paid, by channel.
    pub async fn accounts(&self, actor: &Actor, merchant: MerchantId) -> Result<Vec<ChannelAccount>, SplitError> {
        actor.require_reader(merchant)?;
        Ok(repo::of_merchant(&self.db, merchant).await?)
    }

    /// Tells channels of accounts that they have not been told of. How long to wait before going on; none: go on at once.
    pub(super) async fn introduce(&self, accounts: &[ChannelAccount]) -> Result<Option<Duration>, SplitError> {
        for account in accounts {
            let Some(divider) = self.channels.divider(&account.channel) else { return Ok(Some(DISCONNECTED_PAUSE)) };
            if let Some(wait) = bucket::take(&self.db, &account.channel, divider.payee_no(), divider.caps().calls_per_s, 1).await? {
                return Ok(Some(wait));
            }
            let name = repo::name(&self.db, account.merchant).await?.ok_or(SplitError::NotFound)?;
            let (status, error_code) = match divider.introduce(&Receiver { account: account.account.clone(), name }).await {
                Ok(()) => (AccountStatus::Added, None),
                Err(ChannelError::Refused { code }) => (AccountStatus::Refused, Some(code)),
                Err(error) => {
                    tracing::warn!(merchant_id = %account.merchant, error = &error as &dyn std::error::Error, "a receiver could not be made known");
                    return Ok(Some(SILENCE_PAUSE));
                }
            };
            repo::told(&self.db, account, status, error_code.as_deref(), self.clock.now()).await?;
        }
        Ok(None)
    }
}
