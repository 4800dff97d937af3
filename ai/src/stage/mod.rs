//! The steps of the pipeline, each from one typed value to the next. Only `detect`, `direction` and `recognise` run a
//! model; everything before and after the run is plain arithmetic that is tested on tiny inputs without one.

pub mod classify;
pub mod detect;
pub mod direction;
pub mod geometry;
pub mod glare;
pub mod ink;
pub mod quality;
pub mod recognise;
pub mod specimen;
