//! UnionPay's full-channel gateway (银联全渠道, 5.1.0 with certificates): 云闪付 in the app, by a code that is shown, and at the counter.
//!
//! A transaction is found by our number *and* its time (`txnTime`), and a request that is repeated with another time is another payment.
//! So the time is read from the number itself ([`wire::time_of`]): whoever pays, asks or repeats sends the same.

pub mod certificate;
mod client;
pub mod issue;
mod judge;
pub mod sign;
#[cfg(test)]
mod tests;
pub mod wire;

pub use client::{Agreement, AgreementError, NAME, UnionPay};
pub(in crate::channel) use client::{bounded, http_client, no_answer, unsent, web_address};
pub use judge::{PAY_GRACE, PAY_TIME};
