//! What all areas share: ids, money, time, the caller, pages, and the three tables every command writes. No business words.

pub mod actor;
pub mod audit;
pub mod batcher;
pub mod clock;
pub mod db;
pub mod id;
pub mod idempotency;
pub mod job;
pub mod money;
pub mod outbox;
pub mod page;
pub mod reads;
