//! The document pipeline: an uploaded image in, findings out, and a decision drawn from findings and claims.
//!
//! Nothing here opens a socket, touches a database or reads the clock: callers hand in bytes, claims and the date.

pub mod document;
pub mod engine;
pub mod error;
pub mod image;
pub mod manifest;
pub mod pipeline;
pub mod review;
pub mod stage;
pub mod version;
