//! Finds red seals (印章), round or oval patches of red ink of a size that seals have, and what is written in them.

use ::image::{RgbImage, imageops};

use super::{geometry::glimpse, ink};
use crate::document::Quad;

/// Long side at which seals are looked for.
const SIDE: u32 = 240;
/// Red leads the other channels by this much, averaged over paper and ink.
const LEAD: u8 = 22;
/// Gaps of this many pixels belong to the seal: its characters stand apart.
const GAP: i32 = 3;
/// A seal's width and height are alike.
const ROUND: f32 = 1.6;
/// Width over the page's short side.
const SIZE: std::ops::RangeInclusive<f32> = 0.10..=0.75;
/// The share of its box that is ink: a ring with a star and characters, not a red panel.
const INK: std::ops::RangeInclusive<f32> = 0.10..=0.72;
/// A seal is round: so little of its ink lies outside the ellipse in its box. The lines of a table reach its corners.
const OUTSIDE_MAX: f32 = 0.12;
/// The ellipse is taken so much wider, for a seal is pressed by hand.
const ELLIPSE_SLACK: f32 = 1.08;
/// A straight red line this long, as a share of the page's short side, is a form's and no seal's: it is left out, for a seal may lie over it.
const LINE_MIN: f32 = 0.16;

/// The boxes of the seals, in pixels of the page, the largest first.
pub fn find(page: &RgbImage) -> Vec<Quad> {
    let scale = SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = imageops::thumbnail(page, side(page.width()), side(page.height()));
    let (width, height) = (small.width() as i32, small.height() as i32);
    let mut red: Vec<bool> = small.pixels().map(|p| p.0[0] > p.0[1].saturating_add(LEAD) && p.0[0] > p.0[2].saturating_add(LEAD)).collect();
    let short = width.min(height) as f32;
    without_lines(&mut red, width as usize, (short * LINE_MIN) as usize);
    let is_seal = |patch: &Patch| {
        let (w, h) = (patch.width(), patch.height());
        w.max(h) / w.min(h) <= ROUND
            && SIZE.contains(&(w.max(h) / short))
            && INK.contains(&(patch.ink.len() as f32 / (w * h)))
            && patch.outside_its_ellipse() <= OUTSIDE_MAX
    };
    let mut seals = patches(&red, width, height);
    seals.retain(is_seal);
    seals.sort_by_key(|patch| std::cmp::Reverse(patch.ink.len()));
    let (sx, sy) = (page.width() as f32 / width as f32, page.height() as f32 / height as f32);
    let corners = |seal: &Patch| {
        let (left, right) = (seal.left as f32 * sx, (seal.right + 1) as f32 * sx);
        let (top, bottom) = (seal.top as f32 * sy, (seal.bottom + 1) as f32 * sy);
        [[left, top], [right, top], [right, bottom], [left, bottom]]
    };
    seals.iter().map(corners).collect()
}

/// Whether the box holds what a seal says: its middle lies in the seal, and with the seal's ink lifted nothing dark is left.
pub fn is_inscription(seals: &[Quad], lifted: &RgbImage, quad: &Quad) -> bool {
    let middle = |quad: &Quad, axis: usize| quad.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
    let inside = |seal: &Quad| {
        let share = |axis: usize| (middle(quad, axis) - middle(seal, axis)) / ((seal[2][axis] - seal[0][axis]) / 2.0).max(1.0);
        share(0).hypot(share(1)) < 1.0
    };
    if !seals.iter().any(inside) {
        return false;
    }
    !ink::has_print(&glimpse(lifted, quad))
}

/// Clears runs of at least `length` red pixels along rows and columns.
fn without_lines(red: &mut [bool], width: usize, length: usize) {
    let height = red.len() / width.max(1);
    let rows = (0..height).map(|y| (y * width, 1, width));
    let columns = (0..width).map(|x| (x, width, height));
    let mut lines = Vec::new();
    for (start, step, count) in rows.chain(columns) {
        let mut run = 0;
        for at in 0..=count {
            if at < count && red[start + at * step] {
                run += 1;
                continue;
            }
            if run >= length {
                lines.extend((at - run..at).map(|at| start + at * step));
            }
            run = 0;
        }
    }
    lines.into_iter().for_each(|at| red[at] = false);
}

struct Patch {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// Where its ink lies.
    ink: Vec<[i32; 2]>,
}

impl Patch {
    fn width(&self) -> f32 {
        (self.right - self.left + 1) as f32
    }

    fn height(&self) -> f32 {
        (self.bottom - self.top + 1) as f32
    }

    /// The share of its ink that lies outside the ellipse in its box.
    fn outside_its_ellipse(&self) -> f32 {
        let off = |at: i32, from: i32, length: f32| ((at - from) as f32 + 0.5 - length / 2.0) / (length / 2.0 * ELLIPSE_SLACK);
        let outside = |at: &&[i32; 2]| off(at[0], self.left, self.width()).hypot(off(at[1], self.top, self.height())) > 1.0;
        self.ink.iter().filter(outside).count() as f32 / self.ink.len().max(1) as f32
    }
}

/// Groups of red pixels that lie within [`GAP`] of each other.
fn patches(red: &[bool], width: i32, height: i32) -> Vec<Patch> {
    let mut seen = vec![false; red.len()];
    let mut found = Vec::new();
    for start in 0..red.len() {
        if !red[start] || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut patch = Patch { left: i32::MAX, right: 0, top: i32::MAX, bottom: 0, ink: Vec::new() };
        let mut stack = vec![start as i32];
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            patch.ink.push([x, y]);
            (patch.left, patch.right) = (patch.left.min(x), patch.right.max(x));
            (patch.top, patch.bottom) = (patch.top.min(y), patch.bottom.max(y));
            for near_y in (y - GAP).max(0)..=(y + GAP).min(height - 1) {
                for near_x in (x - GAP).max(0)..=(x + GAP).min(width - 1) {
                    let near = (near_y * width + near_x) as usize;
                    if red[near] && !std::mem::replace(&mut seen[near], true) {
                        stack.push(near as i32);
                    }
                }
            }
        }
        found.push(patch);
    }
    found
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    fn page(ink: impl Fn(f32, f32) -> bool) -> RgbImage {
        RgbImage::from_fn(900, 600, |x, y| Rgb(if ink(x as f32, y as f32) { [215, 60, 60] } else { [240, 240, 235] }))
    }

    #[test]
    fn a_ring_with_a_star_is_a_seal() {
        let found = find(&page(|x, y| {
            let radius = (x - 600.0).hypot(y - 400.0);
            radius < 30.0 || (100.0..112.0).contains(&radius)
        }));
        let seal = found[0];
        assert!((seal[0][0] - 488.0).abs() < 8.0 && (seal[2][1] - 512.0).abs() < 8.0, "{seal:?}");
    }

    #[test]
    fn a_red_heading_a_red_panel_and_no_red_are_no_seals() {
        assert_eq!(find(&page(|x, y| (100.0..800.0).contains(&x) && (40.0..80.0).contains(&y) && (x as i32 / 20) % 2 == 0)).len(), 0);
        assert_eq!(find(&page(|x, y| (100.0..400.0).contains(&x) && (100.0..400.0).contains(&y))).len(), 0);
        assert_eq!(find(&page(|_, _| false)).len(), 0);
        // A small red box: too short for a form's line, and its corners are ink.
        let edge = |at: f32, from: f32| (from..from + 6.0).contains(&at) || (from + 78.0..from + 84.0).contains(&at);
        let inside = |x: f32, y: f32| (400.0..484.0).contains(&x) && (300.0..384.0).contains(&y);
        assert_eq!(find(&page(|x, y| inside(x, y) && (edge(x, 400.0) || edge(y, 300.0)))).len(), 0);
    }

    #[test]
    fn a_seal_is_told_from_the_lines_of_a_red_table_that_it_lies_over() {
        let line = |at: f32| (at as i32 % 90) < 4;
        let table = |x: f32, y: f32| {
            let inside = (60.0..700.0).contains(&x) && (60.0..504.0).contains(&y);
            inside && (line(x - 60.0) || line(y - 60.0))
        };
        assert_eq!(find(&page(table)).len(), 0);
        let ring = |x: f32, y: f32| {
            let radius = (x - 690.0).hypot(y - 420.0);
            radius < 30.0 || (100.0..112.0).contains(&radius)
        };
        let seal = find(&page(|x, y| table(x, y) || ring(x, y)))[0];
        assert!((seal[0][0] - 578.0).abs() < 16.0 && (seal[2][1] - 532.0).abs() < 16.0, "{seal:?}");
    }

    #[test]
    fn what_a_seal_says_is_told_from_print_under_it() {
        let seals = [[[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]]];
        let lifted = RgbImage::from_fn(400, 400, |x, y| {
            let stroke = (180..184).contains(&y) || (x % 8 < 2 && (170..190).contains(&y));
            Rgb([if stroke {
                40
            } else if (220..240).contains(&y) {
                225
            } else {
                245
            }; 3])
        });
        let row = |x: f32, y: f32| [[x, y], [x + 80.0, y], [x + 80.0, y + 24.0], [x, y + 24.0]];
        assert!(is_inscription(&seals, &lifted, &row(160.0, 218.0)));
        assert!(!is_inscription(&seals, &lifted, &row(160.0, 168.0)), "print under the seal");
        assert!(!is_inscription(&seals, &lifted, &row(310.0, 218.0)), "beside the seal");
    }
}
