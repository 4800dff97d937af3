//! Finds the red seal (印章): a round or oval patch of red ink, of a size that seals have.

use ::image::{RgbImage, imageops};

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

/// The box of the largest seal, in pixels of the page.
pub fn find(page: &RgbImage) -> Option<Quad> {
    let scale = SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = imageops::thumbnail(page, side(page.width()), side(page.height()));
    let (width, height) = (small.width() as i32, small.height() as i32);
    let red: Vec<bool> = small.pixels().map(|p| p.0[0] > p.0[1].saturating_add(LEAD) && p.0[0] > p.0[2].saturating_add(LEAD)).collect();
    let short = width.min(height) as f32;
    let boxes = patches(&red, width, height).into_iter().filter(|patch| {
        let (w, h) = ((patch.right - patch.left + 1) as f32, (patch.bottom - patch.top + 1) as f32);
        w.max(h) / w.min(h) <= ROUND && SIZE.contains(&(w.max(h) / short)) && INK.contains(&(patch.ink as f32 / (w * h)))
    });
    let seal = boxes.max_by_key(|patch| patch.ink)?;
    let (sx, sy) = (page.width() as f32 / width as f32, page.height() as f32 / height as f32);
    let (left, right) = (seal.left as f32 * sx, (seal.right + 1) as f32 * sx);
    let (top, bottom) = (seal.top as f32 * sy, (seal.bottom + 1) as f32 * sy);
    Some([[left, top], [right, top], [right, bottom], [left, bottom]])
}

struct Patch {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    ink: u32,
}

/// Groups of red pixels that lie within [`GAP`] of each other.
fn patches(red: &[bool], width: i32, height: i32) -> Vec<Patch> {
    let mut seen = vec![false; red.len()];
    let mut found = Vec::new();
    for start in 0..red.len() {
        if !red[start] || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut patch = Patch { left: i32::MAX, right: 0, top: i32::MAX, bottom: 0, ink: 0 };
        let mut stack = vec![start as i32];
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            patch.ink += 1;
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
        let seal = found.unwrap();
        assert!((seal[0][0] - 488.0).abs() < 8.0 && (seal[2][1] - 512.0).abs() < 8.0, "{seal:?}");
    }

    #[test]
    fn a_red_heading_a_red_panel_and_no_red_are_no_seals() {
        assert_eq!(find(&page(|x, y| (100.0..800.0).contains(&x) && (40.0..80.0).contains(&y) && (x as i32 / 20) % 2 == 0)), None);
        assert_eq!(find(&page(|x, y| (100.0..400.0).contains(&x) && (100.0..400.0).contains(&y))), None);
        assert_eq!(find(&page(|_, _| false)), None);
    }
}
