//! The sub-commands that are more than a call into the library.

pub mod check;
pub mod labelled;
pub mod read;
pub mod services;
pub mod simulate;
pub mod verify;
