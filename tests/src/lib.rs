//! What end-to-end tests share: a database per test, a running system with named callers, builders, and one way to wait.

mod app;
mod caller;
mod cluster;
mod damage;
mod database;
mod merchant;
pub mod papers;
mod process;
mod route;
mod shop;
mod state;
mod stream;
mod wait;

use std::path::PathBuf;

pub use app::{TestApp, lay_keys};
pub use caller::{Answer, Caller, mutation_text};
pub use cluster::PrivateCluster;
pub use damage::every_damage_is_found;
pub use database::{TestDatabase, URL_VARIABLE, database, database_on};
pub use merchant::{morning, sign_merchant};
pub use process::{Folder, Process, free_port, haodian_bin};
pub use route::routing;
pub use shop::{Confirm, OrderHandle, PAY_LIMIT, Shop, Started, key, order_of, text};
pub use state::State;
pub use stream::{Ended, HEARD_LIMIT, Line, Socket};
pub use wait::{eventually, eventually_blocked};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests/ lies in the repository").to_owned()
}
