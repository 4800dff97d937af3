//! The money core: books and their double-entry ledger, orders, payments, refunds, settlement and withdrawals.
//!
//! Knows nothing of HTTP, GraphQL or documents. Rules are pure (`rules.rs`), SQL lives in `repo.rs` files and in `base`.

pub mod advance;
pub mod analytics;
pub mod base;
pub mod book;
mod booking;
pub mod channel;
pub mod check;
pub mod ledger;
pub mod order;
pub mod payment;
pub mod period;
pub mod product;
pub mod proof;
pub mod refund;
pub mod routing;
pub mod settlement;
pub mod split;
pub mod subsidy;
pub mod webhook;
pub mod withdrawal;
