//! Who is asking. Services check permission here, so that a page, a job and a command pass the same gate.

use serde::{Deserialize, Serialize};

use super::id::{MerchantId, OrderId, UserId};

/// What a person may be. Deny by default: each service names the roles it lets in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Store owner (店主): everything of their own merchants.
    Owner,
    /// Agent (代理/经纪人): helps onboarding, sees no money account.
    Agent,
    /// Reviewer (审核员): decides review tasks, touches no money.
    Reviewer,
    /// Operator (运营): the platform's boards and runs.
    Operator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Agent => "AGENT",
            Self::Reviewer => "REVIEWER",
            Self::Operator => "OPERATOR",
        }
    }
}

/// The caller of a service.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A person with a session. `merchants` are the ones they own.
    Person { id: UserId, role: Role, merchants: Vec<MerchantId> },
    /// A customer with the signed ticket of exactly one order.
    Customer { merchant: MerchantId, order: OrderId },
    /// The platform itself: jobs and operator commands.
    System,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("you are not permitted to do this")]
pub struct Forbidden;

impl Actor {
    /// Lets the merchant's owner and the platform itself in.
    pub fn require_owner(&self, merchant: MerchantId) -> Result<(), Forbidden> {
        match self {
            Self::Person { role: Role::Owner, merchants, .. } if merchants.contains(&merchant) => Ok(()),
            Self::System => Ok(()),
            _ => Err(Forbidden),
        }
    }

    /// Lets whoever may read a merchant's figures in: its owner, operators, the platform.
    pub fn require_reader(&self, merchant: MerchantId) -> Result<(), Forbidden> {
        match self {
            Self::Person { role: Role::Operator, .. } => Ok(()),
            _ => self.require_owner(merchant),
        }
    }

    /// Lets people of one role, and the platform itself, in.
    pub fn require_role(&self, wanted: Role) -> Result<(), Forbidden> {
        match self {
            Self::Person { role, .. } if *role == wanted => Ok(()),
            Self::System => Ok(()),
            _ => Err(Forbidden),
        }
    }

    /// Lets whoever may pay or watch this order in: the ticket holder, the merchant's owner, the platform.
    pub fn require_payer(&self, merchant: MerchantId, order: OrderId) -> Result<(), Forbidden> {
        match self {
            Self::Customer { merchant: m, order: o } if (*m, *o) == (merchant, order) => Ok(()),
            Self::Customer { .. } => Err(Forbidden),
            _ => self.require_owner(merchant),
        }
    }

    /// The person behind the call, where there is one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Person { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The role for the audit trail.
    pub fn role_name(&self) -> &'static str {
        match self {
            Self::Person { role, .. } => role.as_str(),
            Self::Customer { .. } => "CUSTOMER",
            Self::System => "SYSTEM",
        }
    }
}
