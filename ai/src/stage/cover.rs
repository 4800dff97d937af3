//! Finds pages that are not all there.

use ::image::RgbImage;

use super::geometry::{quad_height, quad_width};
use crate::document::Quad;

/// Text whose box comes this near to the picture's edge, in pixels per 1000 of the side, is cut there.
const EDGE: f32 = 4.0;
/// So many lines cut off at one side are no chance.
const CUT_LINES_MIN: usize = 2;

/// Whether the page leaves the picture: it was not found whole, and its print runs into an edge.
pub fn leaves(found: Option<&Quad>, page: &RgbImage, print: &[Quad]) -> bool {
    found.is_none() && is_cut(page, print)
}

/// Whether lines of print run into one edge of the picture.
pub fn is_cut(page: &RgbImage, print: &[Quad]) -> bool {
    let (width, height) = (page.width() as f32, page.height() as f32);
    let edge = EDGE / 1000.0 * width.max(height);
    let lines = || print.iter().filter(|quad| quad_width(quad) > quad_height(quad) * 2.0);
    let left = lines().filter(|quad| quad[0][0].min(quad[3][0]) < edge).count();
    let right = lines().filter(|quad| quad[1][0].max(quad[2][0]) > width - edge).count();
    left.max(right) >= CUT_LINES_MIN
}
