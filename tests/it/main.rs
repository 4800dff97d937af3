//! The end-to-end tests, one binary. `make test` runs them on a PostgreSQL cluster and a Redis of their own.

#[cfg(feature = "e2e")]
mod application;
#[cfg(feature = "e2e")]
mod bad_input;
#[cfg(feature = "e2e")]
mod browser;
#[cfg(feature = "e2e")]
mod cashier;
#[cfg(feature = "e2e")]
mod crash;
#[cfg(feature = "e2e")]
mod demo;
#[cfg(feature = "e2e")]
mod edge;
#[cfg(feature = "e2e")]
mod fanout;
mod harness;
#[cfg(feature = "e2e")]
mod jobs;
#[cfg(feature = "e2e")]
mod launcher;
#[cfg(feature = "e2e")]
mod ledger_check;
#[cfg(feature = "merchant")]
mod merchant_rules;
#[cfg(feature = "e2e")]
mod payments;
#[cfg(feature = "e2e")]
mod permissions;
#[cfg(feature = "e2e")]
mod replay;
#[cfg(feature = "e2e")]
mod settlement;
#[cfg(feature = "e2e")]
mod tidy;
mod wallet_ledger;
mod wallet_payment;
