//! Routing (渠道路由): which channel a new payment goes to, decided in the process in microseconds, and how well the channels do.
//!
//! [`rules::decide`] is pure: a payment, the table of candidates, a snapshot of the channels' health, what was used of their quotas and the
//! time give one [`Decision`] with a finding for every candidate, or [`NoChannel`], which counts as ours. [`Router`] is the small service
//! around it: it keeps health and quotas in memory, takes each outcome in, and publishes the next snapshot. Time is always passed in.
//!
//! **New payments only.** [`NewPayment`] cannot express a query, a close, a refund or a notice, and nothing but `decide` can ask a snapshot
//! whether a channel takes payments: an open channel is still asked about what it was sent before (C2, C6).
//!
//! **What will be stored** (P7, C3; no SQL stands here yet): the attempt's row takes [`Decision::to_text`] in the transaction that writes
//! it as SENT: the inputs, revision of the table, version and time of the snapshot, and the finding for every candidate. [`NoChannel`] has
//! the same text for the order's row. Health is not stored: it is learnt again in seconds. What was used of a day's quota is read back from
//! the day's attempts when the process starts ([`Usage::add`]). Quotas are counted per process: with k processes, each table gets a k-th.
//!
//! **Cost.** A decision allocates once, for the findings (once more if channels were tried before, and once for [`NoChannel`]): names are
//! shared, not copied. A good outcome costs some counters; the signs are looked at ten times a second, and after each failure.
//! Memory is bounded: at most [`candidate::CANDIDATES_MAX`] channels × 5 methods × [`health::GROUPS_MAX`] groups of about 5 kB each.
//!
//! **What breaks if it is left out:** without the payee in every decision money lands in somebody else's account (C8); without the dwell
//! time a channel flaps (C5); without the trials a dead channel gets a full load the moment it is believed back.

mod binomial;
mod calendar;
pub mod candidate;
mod explain;
pub mod health;
mod name;
#[cfg(test)]
mod properties;
pub mod rules;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod success;
pub mod usage;
mod window;

pub use calendar::{Hours, Maintenance};
pub use candidate::{Candidate, Routes};
pub use explain::{BadText, from_text};
pub use health::{Group, Outcome};
pub use name::{BadName, CandidateName, ChannelName, CustodyAccount, PayeeEntity, ProductCode};
pub use rules::{Decision, NewPayment, NoChannel, decide};
pub use snapshot::{Routed, Router, Snapshot, Ticket, UnknownChannel};
pub use usage::Usage;
