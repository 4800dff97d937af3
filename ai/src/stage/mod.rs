//! The steps of the pipeline, each from one typed value to the next. Only `appearance`, `detect`, `direction` and
//! `recognise` run a model; everything before and after the run is plain arithmetic that is tested on tiny inputs without one.

pub mod appearance;
pub mod authenticity;
pub mod copy;
pub mod cover;
pub mod detect;
pub mod direction;
pub mod finger;
pub mod geometry;
pub mod glare;
pub mod homography;
pub mod ink;
pub mod kind;
pub mod marks;
pub mod moire;
pub mod patch;
pub mod quality;
pub mod recognise;
pub mod rectify;
pub mod red_print;
pub mod seal;
pub mod second_look;
pub mod specimen;
mod tensor;
