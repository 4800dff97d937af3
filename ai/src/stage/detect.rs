//! Finds text lines: the detection model gives every pixel a probability of lying in the shrunk core of a line; cores are
//! connected into components, boxed, scored, and grown back to the whole line.

use ::image::RgbImage;
use fast_image_resize::FilterType;
use ndarray::Array4;

use super::{
    geometry::{Point, grown, min_area_rect, quad_height, quad_width, resized, scaled},
    tensor,
};
use crate::{
    document::Quad,
    engine::Session,
    error::{Cause, Stage, StageError},
    manifest::{ModelFile, Role},
};

/// The page is shrunk to this long side: measured, larger finds no more of our fields and costs time squared.
const LONG_SIDE: u32 = 960;
/// A small page is not enlarged further than to this side.
const LONG_SIDE_SMALL: u32 = 640;
/// The short side is padded up to one of these (multiples of 32), so the model sees a handful of shapes only.
const SHORT_SIDES: [u32; 6] = [320, 480, 608, 704, 800, 960];
/// A core thinner than this many map pixels is noise.
const CORE_SIDE_MIN: f32 = 2.0;
/// A page with more lines than this is not one of our documents; the cap bounds the time of what follows.
const LINES_MAX: usize = 300;

/// The published thresholds, from the manifest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Thresholds {
    /// From this probability on, a pixel belongs to a core.
    pub pixel: f32,
    /// Mean probability that a box needs.
    pub score: f32,
    /// How far a core grows: this times area over perimeter.
    pub unclip: f32,
}

impl Thresholds {
    pub fn of(file: &ModelFile) -> Self {
        Self { pixel: file.threshold("pixel", 0.3), score: file.threshold("box", 0.5), unclip: file.threshold("unclip", 1.6) }
    }
}

/// A probability map in row order.
#[derive(Clone, Copy, Debug)]
pub struct ProbabilityMap<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub height: usize,
}

/// The boxes of the text lines, in pixels of `page`, from top to bottom.
pub fn run(session: &Session<'_>, thresholds: Thresholds, page: &RgbImage) -> Result<Vec<Quad>, StageError> {
    let long = page.width().max(page.height());
    at_side(session, thresholds, page, if long <= LONG_SIDE_SMALL { LONG_SIDE_SMALL } else { LONG_SIDE })
}

/// The same with the page's long side scaled to `target`, a multiple of 32.
pub fn at_side(session: &Session<'_>, thresholds: Thresholds, page: &RgbImage, target: u32) -> Result<Vec<Quad>, StageError> {
    let (input, scale) = input(page, target);
    let output = session.run(Role::Detect, input).map_err(StageError::at(Stage::Detect))?;
    let &[1, 1, height, width] = output.shape.as_slice() else {
        let shape = output.shape.iter().map(|&side| side as i64).collect();
        return Err(StageError::at(Stage::Detect)(Cause::Shape(shape)));
    };
    let mut boxes = boxes(ProbabilityMap { values: &output.values, width, height }, thresholds);
    for quad in &mut boxes {
        *quad = scaled(quad, 1.0 / scale);
    }
    Ok(boxes)
}

/// The page as the model wants it, padded to a fixed shape, and by how much it was scaled.
fn input(page: &RgbImage, target: u32) -> (Array4<f32>, f32) {
    let scale = target as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).clamp(1, target);
    let (width, height) = (side(page.width()), side(page.height()));
    let small = resized(page, width, height, FilterType::Bilinear);
    let padded = |side: u32| SHORT_SIDES.into_iter().find(|&fixed| fixed >= side).unwrap_or(LONG_SIDE).max(side);
    let (padded_width, padded_height) =
        if width >= height { (target, padded(height).min(target)) } else { (padded(width).min(target), target) };
    (tensor::of_text(&small, padded_width, padded_height), scale)
}

/// Boxes around the connected cores of the map, from top to bottom.
pub fn boxes(map: ProbabilityMap<'_>, thresholds: Thresholds) -> Vec<Quad> {
    let mut found: Vec<Quad> = components(map, thresholds.pixel)
        .into_iter()
        .filter_map(|outline| {
            let core = min_area_rect(&outline)?;
            let (width, height) = (quad_width(&core), quad_height(&core));
            if width.min(height) < CORE_SIDE_MIN || mean_inside(map, &core) < thresholds.score {
                return None;
            }
            Some(grown(&core, width * height * thresholds.unclip / (2.0 * (width + height))))
        })
        .collect();
    found.sort_by(in_reading_order);
    found.truncate(LINES_MAX);
    found
}

/// From top to bottom, and from left to right.
pub fn in_reading_order(a: &Quad, b: &Quad) -> std::cmp::Ordering {
    (a[0][1] + a[3][1]).total_cmp(&(b[0][1] + b[3][1])).then(a[0][0].total_cmp(&b[0][0]))
}

/// For each 8-connected component: the outer corners of its leftmost and rightmost pixel per row. Their convex hull is the
/// component's.
fn components(map: ProbabilityMap<'_>, threshold: f32) -> Vec<Vec<Point>> {
    let ProbabilityMap { values, width, height } = map;
    let mut seen = vec![false; values.len()];
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for start in 0..values.len() {
        if seen[start] || values[start] < threshold {
            continue;
        }
        seen[start] = true;
        stack.push(start);
        let (first_row, mut rows): (usize, Vec<(usize, usize)>) = (start / width, Vec::new());
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            // The scan meets a component's topmost row first, so no row lies above `first_row`.
            let row = y - first_row;
            if rows.len() <= row {
                rows.resize(row + 1, (usize::MAX, 0));
            }
            rows[row] = (rows[row].0.min(x), rows[row].1.max(x));
            for next_y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for next_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = next_y * width + next_x;
                    if !seen[next] && values[next] >= threshold {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        found.push(
            rows.iter()
                .enumerate()
                .flat_map(|(row, &(left, right))| {
                    let (top, left, right) = ((first_row + row) as f32, left as f32, right as f32 + 1.0);
                    [[left, top], [right, top], [left, top + 1.0], [right, top + 1.0]]
                })
                .collect(),
        );
    }
    found
}

/// The mean probability over the pixels whose centre lies in the rectangle.
fn mean_inside(map: ProbabilityMap<'_>, rect: &Quad) -> f32 {
    let bound = |axis: usize, side: usize| {
        let at = rect.iter().map(|corner| corner[axis]);
        let low = at.clone().fold(f32::MAX, f32::min).floor().max(0.0) as usize;
        (low, (at.fold(f32::MIN, f32::max).ceil().max(0.0) as usize).min(side))
    };
    let ((left, right), (top, bottom)) = (bound(0, map.width), bound(1, map.height));
    let inside = |x: f32, y: f32| {
        (0..4).all(|i| {
            let (from, to) = (rect[i], rect[(i + 1) % 4]);
            (to[0] - from[0]) * (y - from[1]) - (to[1] - from[1]) * (x - from[0]) >= 0.0
        })
    };
    let (mut sum, mut count) = (0.0, 0u32);
    for y in top..bottom {
        for x in left..right {
            if inside(x as f32 + 0.5, y as f32 + 0.5) {
                sum += map.values[y * map.width + x];
                count += 1;
            }
        }
    }
    sum / count.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { pixel: 0.3, score: 0.5, unclip: 1.6 };

    fn map_of(width: usize, height: usize, bars: &[(usize, usize, usize, usize, f32)]) -> Vec<f32> {
        let mut values = vec![0.0; width * height];
        for &(left, top, right, bottom, value) in bars {
            for y in top..bottom {
                values[y * width + left..y * width + right].fill(value);
            }
        }
        values
    }

    fn found(width: usize, height: usize, bars: &[(usize, usize, usize, usize, f32)]) -> Vec<Quad> {
        boxes(ProbabilityMap { values: &map_of(width, height, bars), width, height }, THRESHOLDS)
    }

    #[test]
    fn a_bar_becomes_one_box_grown_on_every_side() {
        let found = found(40, 20, &[(10, 8, 30, 12, 0.9)]);
        // 20 x 4: grows by 80 * 1.6 / 48.
        let by = 80.0 * 1.6 / 48.0;
        assert_eq!(found.len(), 1);
        let expected = [[10.0 - by, 8.0 - by], [30.0 + by, 8.0 - by], [30.0 + by, 12.0 + by], [10.0 - by, 12.0 + by]];
        for (corner, wanted) in found[0].iter().flatten().zip(expected.iter().flatten()) {
            assert!((corner - wanted).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn weak_thin_and_empty_maps_give_no_box() {
        assert!(found(40, 20, &[]).is_empty());
        assert!(found(40, 20, &[(10, 8, 30, 12, 0.4)]).is_empty(), "score under the threshold");
        assert!(found(40, 20, &[(10, 8, 30, 9, 0.9)]).is_empty(), "one pixel thin");
    }

    #[test]
    fn separate_bars_stay_separate_and_come_top_down() {
        let found = found(40, 40, &[(5, 25, 35, 30, 0.9), (5, 5, 35, 10, 0.9)]);
        assert_eq!(found.len(), 2);
        assert!(found[0][0][1] < found[1][0][1]);
    }

    #[test]
    fn the_input_is_padded_to_a_fixed_shape() {
        for (width, height, target, shape) in [
            (1500, 1000, 960, [1, 3, 704, 960]),
            (1000, 1500, 960, [1, 3, 960, 704]),
            (500, 400, 640, [1, 3, 608, 640]),
            (3000, 300, 960, [1, 3, 320, 960]),
            (1500, 1000, 320, [1, 3, 320, 320]),
        ] {
            let (input, scale) = input(&RgbImage::new(width, height), target);
            assert_eq!(input.shape(), shape, "{width} x {height}");
            assert!(scale > 0.0);
        }
    }
}
