//! The hot commands in batches, on a real database: the same outcome as one by one, a constant number of statements, and one member's
//! fault or a full queue that harms nobody else.

mod outcome;
mod service;
pub(crate) mod statements;
pub(crate) mod world;
