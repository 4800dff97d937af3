//! The end-to-end tests, one binary. `make test` runs them on a PostgreSQL cluster and a Redis of their own.

#[cfg(feature = "e2e")]
mod edge;
#[cfg(feature = "e2e")]
mod fanout;
mod harness;
#[cfg(feature = "e2e")]
mod launcher;
#[cfg(feature = "merchant")]
mod merchant_rules;
mod wallet_ledger;
mod wallet_payment;
