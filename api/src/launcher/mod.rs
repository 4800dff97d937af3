//! Starts what 好店 stands on: a private PostgreSQL cluster, a private Redis, the keys, and the processes of `haodian up`.
//!
//! Nothing is started where `DATABASE_URL` or `REDIS_URL` names a server. Private servers listen on 127.0.0.1 only, on a port kept in a
//! state file, behind a random password in a file of mode 600. They run in their own process group, so that Ctrl-C reaches the
//! supervisor alone; the last process that uses them stops them, and one that is killed leaves them for the next start to take up.

pub mod account;
mod channel_keys;
pub mod cluster;
pub mod database;
pub mod error;
pub mod keys;
pub mod port;
pub mod process;
pub mod redis;
pub mod sample;
pub mod services;
pub mod state;
pub mod supervisor;

pub use database::migrate;
pub use error::LauncherError;
pub use services::{Lifetime, Services};
