//! What end-to-end tests share: a database per test, a running system with named callers, builders, and one way to wait.

#[cfg(feature = "e2e")]
mod app;
#[cfg(feature = "e2e")]
mod caller;
#[cfg(feature = "e2e")]
mod cluster;
mod database;
#[cfg(feature = "e2e")]
pub mod papers;
#[cfg(feature = "e2e")]
mod process;
#[cfg(feature = "e2e")]
mod shop;
#[cfg(feature = "e2e")]
mod state;
mod wait;

use std::path::PathBuf;

#[cfg(feature = "e2e")]
pub use app::TestApp;
#[cfg(feature = "e2e")]
pub use caller::{Answer, Caller, mutation_text};
#[cfg(feature = "e2e")]
pub use cluster::PrivateCluster;
pub use database::{TestDatabase, URL_VARIABLE, database, database_on};
#[cfg(feature = "e2e")]
pub use process::{Folder, Process, free_port, haodian_bin};
#[cfg(feature = "e2e")]
pub use shop::{Confirm, OrderHandle, PAY_LIMIT, Shop, Started, key, order_of, text};
#[cfg(feature = "e2e")]
pub use state::State;
pub use wait::eventually;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests/ lies in the repository").to_owned()
}
