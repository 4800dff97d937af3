//! The steps of the pipeline, each from one typed value to the next. Only `detect`, `direction` and `recognise` run a
//! model; everything before and after the run is plain arithmetic that is tested on tiny inputs without one.

pub mod authenticity;
pub mod classify;
pub mod copy;
pub mod cover;
pub mod detect;
pub mod direction;
pub mod geometry;
pub mod glare;
pub mod homography;
pub mod ink;
pub mod moire;
pub mod quality;
pub mod recognise;
pub mod rectify;
pub mod seal;
pub mod second_look;
pub mod specimen;
