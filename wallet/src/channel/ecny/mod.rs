//! Digital renminbi (数字人民币) in a sandbox form.
//!
//! The operators publish no open protocol: a merchant gets one from the operating institution (运营机构) it has signed with, under that
//! contract. So what is spoken here is ours, kept to what every operator's has in common: wallet to wallet, pushed to the wallet's app or by
//! a code, settled at once, refundable, not to be split. Where a contract brings the real one, [`wire`] is what changes.

mod client;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod wire;

pub use client::{Agreement, AgreementError, Ecny, NAME};
