//! The sandbox acquirer and bank: a channel like any other, reached over HTTP, run by `haodian sim` as a separate process.

mod client;
pub mod sign;
pub mod wire;

pub(crate) use client::error_code;
pub use client::{ACQUIRER_KEY, BANK_KEY, Link, LinkError, PLATFORM_KEY, SandboxAcquirer, SandboxBank};
