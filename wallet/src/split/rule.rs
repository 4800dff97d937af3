//! How money is divided, as a product says it (分账规则): a tree of roles, each with its part of what its parent received.

use serde::{Deserialize, Serialize};

/// Most receivers of a rule, over all levels.
pub const RECEIVERS_MAX: usize = 50;

/// Most levels below the merchant.
pub const LEVELS_MAX: usize = 4;

/// What one receiver gets of its parent's amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Basis points: 1 to 10,000.
    Bps(u16),
    /// Minor units, or all there is where that is less.
    FixedMinor(i64),
}

/// A receiver (分账接收方) and those it divides with in turn. What it does not pass on it keeps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// A role such as `AGENT`, which the order binds to a merchant: 1 to 32 upper-case letters, digits and underscores.
    pub role: String,
    pub part: Part,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
}
