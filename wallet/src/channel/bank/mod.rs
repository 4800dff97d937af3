//! Direct bank (银企直连): customers pay at their bank (网银), and withdrawals are paid out, over signed XML in the bank's charset.
//!
//! Banks publish no common protocol: a customer gets one with the contract. So the fields are ours, kept to what all of them have in common
//! (a flat message in GBK, SM2 with SM3 over its fields in a canonical order, a serial number that comes back, taking in that is no success,
//! money that comes back days later). Where banks are known to differ is a parameter: [`sign::Dialect`] and [`wire::Charset`]. Where a
//! contract brings the real fields, [`wire`] is what changes.

mod client;
mod payout;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod wire;
mod xml;

pub use client::{Agreement, AgreementError, Bank, Link, NAME};
pub use payout::{DirectBank, RAIL};
