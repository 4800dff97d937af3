//! Whose merchants a caller may see and change. Pure; the SQL takes the answer as a filter, so that a merchant created a moment ago
//! is its owner's at once, and somebody else's looks exactly like a missing one.

use uuid::Uuid;
use wallet::base::actor::{Actor, Forbidden, Role};
use wallet::base::id::UserId;

/// The merchants within a caller's reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them.
    Everything,
    /// Those of one owner.
    OwnedBy(UserId),
}

impl Reach {
    /// Readers: the owner, operators, the platform itself.
    pub(crate) fn to_read(actor: &Actor) -> Result<Self, Forbidden> {
        match actor {
            Actor::Person { role: Role::Operator, .. } => Ok(Self::Everything),
            _ => Self::to_change(actor),
        }
    }

    /// Those who may change: the owner and the platform itself.
    pub(crate) fn to_change(actor: &Actor) -> Result<Self, Forbidden> {
        match actor {
            Actor::Person { role: Role::Owner, id, .. } => Ok(Self::OwnedBy(*id)),
            Actor::System => Ok(Self::Everything),
            _ => Err(Forbidden),
        }
    }

    /// The owner to filter by; none lets all rows through.
    pub(crate) fn owner(self) -> Option<Uuid> {
        match self {
            Self::Everything => None,
            Self::OwnedBy(owner) => Some(owner.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use wallet::base::id::{MerchantId, OrderId};

    use super::*;

    #[test]
    fn reach_by_role() {
        let id = UserId::new();
        let person = |role| Actor::Person { id, role, merchants: Vec::new() };
        let own = Some(Reach::OwnedBy(id));
        let all = Some(Reach::Everything);
        let cases = [
            (person(Role::Owner), own, own),
            (person(Role::Operator), all, None),
            (person(Role::Reviewer), None, None),
            (person(Role::Agent), None, None),
            (Actor::Customer { merchant: MerchantId::new(), order: OrderId::new() }, None, None),
            (Actor::System, all, all),
        ];
        for (actor, read, change) in cases {
            assert_eq!(Reach::to_read(&actor).ok(), read, "{actor:?} reads");
            assert_eq!(Reach::to_change(&actor).ok(), change, "{actor:?} changes");
        }
    }
}
