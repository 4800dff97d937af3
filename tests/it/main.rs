//! The end-to-end tests, one binary. `make test` runs them on a PostgreSQL cluster and a Redis of their own.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should; helpers of tests are no different")]

mod application;
mod bad_input;
mod bad_upload;
mod batching;
mod books;
mod browser;
mod chaos;
mod crash;
mod demo;
mod edge;
mod fanout;
mod harness;
mod idempotency;
mod jeepay_lessons;
mod jobs;
mod launcher;
mod ledger_check;
mod merchant_rules;
mod outbox;
mod paper_queue;
mod payments;
mod periods;
mod permissions;
mod portable_sql;
mod products;
mod proofs;
mod refunds;
mod replay;
mod review;
mod routing;
mod settlement;
mod splits;
mod subscriptions;
mod tidy;
mod wallet_ledger;
mod wallet_payment;
mod webhooks;
