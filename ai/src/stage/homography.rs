//! Maps between pictures of one plane: the page as photographed, cut out flat, and turned upright. Maps compose, so a box found last is
//! drawn on the original photograph.

use ::image::RgbImage;

use super::geometry::{Point, Turn, resampled};
use crate::document::Quad;

/// A plane projective map, row by row; the last entry is 1 unless the map sends the origin to infinity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Homography([f64; 9]);

/// More samples than this per pixel, across and down, change no character.
const SAMPLES_MAX: u32 = 3;

impl Homography {
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);

    pub fn scaling(factor: f32) -> Self {
        let factor = f64::from(factor);
        Self([factor, 0.0, 0.0, 0.0, factor, 0.0, 0.0, 0.0, 1.0])
    }

    /// From a picture of `width` x `height` after `turn` back to the one before; the sizes are those before.
    pub fn undoing(turn: Turn, width: f32, height: f32) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        Self(match turn {
            Turn::None => Self::IDENTITY.0,
            Turn::Quarter => [0.0, 1.0, 0.0, -1.0, 0.0, h, 0.0, 0.0, 1.0],
            Turn::Half => [-1.0, 0.0, w, 0.0, -1.0, h, 0.0, 0.0, 1.0],
            Turn::ThreeQuarters => [0.0, -1.0, w, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        })
    }

    /// The map that takes the corners of `from` to those of `to`; `None` when three corners of either lie on one line.
    pub fn between(from: &Quad, to: &Quad) -> Option<Self> {
        let mut rows = [[0.0; 9]; 8];
        for (at, (source, target)) in from.iter().zip(to).enumerate() {
            let ([x, y], [u, v]) = (source.map(f64::from), target.map(f64::from));
            rows[2 * at] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
            rows[2 * at + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
        }
        let solved = solve(rows)?;
        Some(Self(std::array::from_fn(|at| solved.get(at).copied().unwrap_or(1.0))))
    }

    /// This map, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        let (a, b) = (&next.0, &self.0);
        Self(std::array::from_fn(|at| (0..3).map(|k| a[at / 3 * 3 + k] * b[k * 3 + at % 3]).sum()))
    }

    pub fn point(&self, [x, y]: Point) -> Point {
        let (x, y) = (f64::from(x), f64::from(y));
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let depth = g * x + h * y + i;
        [((a * x + b * y + c) / depth) as f32, ((d * x + e * y + f) / depth) as f32]
    }

    pub fn quad(&self, quad: &Quad) -> Quad {
        quad.map(|corner| self.point(corner))
    }
}

/// Gauss elimination with the largest pivot of each column.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        let lead = rows[column];
        for (at, row) in rows.iter_mut().enumerate() {
            if at != column {
                let factor = row[column] / lead[column];
                row.iter_mut().zip(lead).for_each(|(value, from)| *value -= factor * from);
            }
        }
    }
    Some(std::array::from_fn(|at| rows[at][8] / rows[at][at]))
}

/// The corners of a picture, clockwise from the top left.
pub fn corners(width: f32, height: f32) -> Quad {
    [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]
}

/// The flat picture of `width` x `height` whose points `map` takes into `image`; what lies outside repeats the edge.
pub fn warp(image: &RgbImage, map: &Homography, width: u32, height: u32) -> RgbImage {
    let along = |a: Point, b: Point| (b[0] - a[0]).hypot(b[1] - a[1]);
    let outline = map.quad(&corners(width as f32, height as f32));
    let shrink = (along(outline[0], outline[1]).max(along(outline[3], outline[2])) / width as f32)
        .max(along(outline[0], outline[3]).max(along(outline[1], outline[2])) / height as f32);
    let samples = (shrink.round().max(1.0) as u32).min(SAMPLES_MAX);
    resampled(image, width, height, samples, |point| map.point(point))
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    fn close(a: &Quad, b: &Quad) -> bool {
        a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() < 0.05)
    }

    const SLANTED: Quad = [[12.0, 7.0], [205.0, 31.0], [190.0, 160.0], [3.0, 140.0]];

    #[test]
    fn a_map_takes_corners_to_corners_and_back() {
        let flat = corners(300.0, 200.0);
        let there = Homography::between(&flat, &SLANTED).unwrap();
        let back = Homography::between(&SLANTED, &flat).unwrap();
        assert!(close(&there.quad(&flat), &SLANTED));
        assert!(close(&there.then(&back).quad(&flat), &flat));
        let inner = [[20.0, 30.0], [250.0, 40.0], [200.0, 150.0], [90.0, 120.0]];
        assert!(close(&there.then(&back).quad(&inner), &inner));
    }

    #[test]
    fn corners_on_a_line_have_no_map() {
        let flat = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]];
        assert_eq!(Homography::between(&flat, &corners(3.0, 3.0)), None);
    }

    #[test]
    fn a_turn_is_undone_as_the_picture_shows() {
        let mut image = RgbImage::new(5, 3);
        image.put_pixel(4, 1, Rgb([255, 0, 0]));
        for turn in [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters] {
            let turned = turn.apply(image.clone());
            let (x, y, _) = turned.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] == 255).unwrap();
            let [u, v] = Homography::undoing(turn, 5.0, 3.0).point([x as f32 + 0.5, y as f32 + 0.5]);
            assert_eq!([u, v], [4.5, 1.5], "{turn:?}");
        }
    }

    #[test]
    fn a_warp_shows_the_quad_flat() {
        let image = RgbImage::from_fn(220, 180, |x, _| Rgb([x as u8, 0, 0]));
        let map = Homography::between(&corners(100.0, 80.0), &SLANTED).unwrap();
        let flat = warp(&image, &map, 100, 80);
        for (x, y) in [(0, 0), (50, 40), (99, 79)] {
            let expected = map.point([x as f32 + 0.5, y as f32 + 0.5])[0] - 0.5;
            assert!((f32::from(flat.get_pixel(x, y).0[0]) - expected).abs() < 1.6);
        }
    }
}
