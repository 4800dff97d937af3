//! Finds pages that are not all there: print that runs into the picture's edge.

use ::image::RgbImage;

use super::geometry::{quad_height, quad_width};
use crate::document::Quad;

/// Text whose box comes this near to the picture's edge, in pixels per 1000 of the side, is cut there.
const EDGE: f32 = 4.0;
/// Height over length of a line from which it runs across the page.
const TILT_MAX: f32 = 0.18;
/// So many lines cut off at one side are no chance.
const CUT_LINES_MIN: usize = 2;

/// Whether lines of print run into one edge of the picture.
pub fn is_cut(page: &RgbImage, print: &[Quad]) -> bool {
    let (width, height) = (page.width() as f32, page.height() as f32);
    let edge = EDGE / 1000.0 * width.max(height);
    // A mark across the page runs into the edges by its nature.
    let lies = |quad: &&Quad| (quad[1][1] - quad[0][1]).abs() < (quad[1][0] - quad[0][0]).abs() * TILT_MAX;
    let lines = || print.iter().filter(|quad| quad_width(quad) > quad_height(quad) * 2.0).filter(lies);
    let left = lines().filter(|quad| quad[0][0].min(quad[3][0]) < edge).count();
    let right = lines().filter(|quad| quad[1][0].max(quad[2][0]) > width - edge).count();
    left.max(right) >= CUT_LINES_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_run_into_one_edge_are_cut_and_lines_that_end_before_it_are_not() {
        let page = RgbImage::new(1000, 700);
        let line = |left: f32, right: f32, y: f32| [[left, y], [right, y], [right, y + 20.0], [left, y + 20.0]];
        assert!(is_cut(&page, &[line(500.0, 999.0, 50.0), line(500.0, 998.0, 100.0), line(300.0, 800.0, 150.0)]));
        assert!(is_cut(&page, &[line(1.0, 400.0, 50.0), line(2.0, 300.0, 100.0)]));
        let across = |y: f32| [[700.0, y + 150.0], [999.0, y], [999.0, y + 40.0], [710.0, y + 190.0]];
        assert!(!is_cut(&page, &[across(50.0), across(300.0)]), "a mark across the page");
        assert!(!is_cut(&page, &[line(500.0, 990.0, 50.0), line(10.0, 998.0, 100.0), line(2.0, 990.0, 150.0)]), "one at either side");
    }
}
