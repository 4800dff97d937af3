//! The ways of a refund (退款路由): back as the payment came, or to a bank account when that way is closed (原路退回、付款退款). The way is
//! decided when the refund is sent and stored with it (R6); each try has one number, which resends use again (R3); the next begins only
//! after the last has ended for good (R2).

pub(super) mod repo;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::payee::Keeper;
use crate::base::id::{BookId, MerchantId, RefundId};
use crate::base::money::Money;
use crate::channel::payout::Rails;
use crate::withdrawal::WithdrawalStatus;

/// Which way a refund goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum RouteKind {
    /// Through the channel that took the payment.
    #[default]
    Original,
    /// By the bank, to an account that two people have confirmed.
    Payout,
}

impl RouteKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Original => "ORIGINAL",
            Self::Payout => "PAYOUT",
        }
    }
}

/// Why a refund must go to a bank account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rerouting {
    /// The payment is older than its channel gives money back.
    WindowOver,
    /// The channel said that nothing goes back to this payer.
    Closed,
    /// The bank refused the account before.
    PayoutFailed,
    /// The bank paid, and the money came back (退票).
    Bounced,
}

impl Rerouting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WindowOver => "WINDOW_OVER",
            Self::Closed => "CLOSED",
            Self::PayoutFailed => "PAYOUT_FAILED",
            Self::Bounced => "BOUNCED",
        }
    }
}

/// Where a try stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum RouteStatus {
    /// Under way: at most one of a refund.
    Live,
    Succeeded,
    /// Refused for good.
    Failed,
    /// A payout that succeeded and came back.
    Bounced,
}

impl RouteStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Bounced => "BOUNCED",
        }
    }

    /// As the bank's word on any payout is judged.
    pub(super) fn as_payout(self) -> WithdrawalStatus {
        match self {
            Self::Live => WithdrawalStatus::Submitted,
            Self::Succeeded => WithdrawalStatus::Succeeded,
            Self::Failed => WithdrawalStatus::Failed,
            Self::Bounced => WithdrawalStatus::Returned,
        }
    }
}

/// A try to give the money back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Also the number that the outside knows it by.
    pub id: Uuid,
    pub merchant: MerchantId,
    pub refund: RefundId,
    pub try_no: i16,
    pub kind: RouteKind,
    /// None: it is how the payment came.
    pub reason: Option<Rerouting>,
    pub channel: String,
    pub payee: Option<Uuid>,
    pub status: RouteStatus,
    pub error_code: Option<String>,
    pub bank_reference: Option<String>,
    /// What the outside said it gave back, where that is not what we asked for: in minor units, and the currency.
    pub stated: Option<(i64, String)>,
    pub created_at: DateTime<Utc>,
    /// When its latest word was stored.
    pub resolved_at: Option<DateTime<Utc>>,
}

impl Route {
    pub(super) fn book(&self) -> BookId {
        self.merchant.book()
    }

    /// The number that the outside knows it by.
    pub fn request_no(&self) -> String {
        self.id.simple().to_string()
    }
}

/// How far what receivers give back has come, for a refund that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// What the refund takes from the merchant and the receivers together.
    pub amount: Money,
    /// Of it, the merchant's own part and what receivers gave back already, or set aside for the channel to take back with the refund.
    pub arrived: Money,
    /// Whether that is all of it.
    pub done: bool,
}

/// What a refund that cannot go back the way it came needs.
#[derive(Clone, Debug)]
pub struct Payouts {
    /// The bank that pays is the one that withdrawals go to when the try is made.
    pub rails: Rails,
    pub keeper: Keeper,
    /// How old a payment may be to go back the way it came: by channel, and of all others.
    pub original_days: BTreeMap<String, u32>,
    pub original_days_else: u32,
}

impl Payouts {
    /// Whether a payment is too old to go back the way it came.
    pub fn window_over(&self, channel: &str, paid_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let days = self.original_days.get(channel).copied().unwrap_or(self.original_days_else);
        now - paid_at > TimeDelta::days(days.into())
    }
}
