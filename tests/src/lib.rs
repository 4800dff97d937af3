//! What end-to-end tests share: a database per test, a running system with named callers, builders, and one way to wait.

mod database;
mod wait;

use std::path::PathBuf;

pub use database::{TestDatabase, URL_VARIABLE, database};
pub use wait::eventually;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests/ lies in the repository").to_owned()
}
