//! Finds values that were pasted over the page: a flat patch has none of the grain that the paper around it has.
//!
//! What it can tell: a value painted over in an editor on a photograph or a scan that shows grain. What it cannot: a value typed onto a
//! picture without grain, grain that was added again, a patch taken from the same page, small print, or a picture that was made small
//! afterwards. A person looks; nothing is refused for it.

use ::image::{GrayImage, Luma, RgbImage};

use super::{
    geometry::{quad_height, quad_width},
    ink::luma,
};
use crate::document::{Field, Fields, Quad};

/// Side of the squares in which grain is measured: smaller than the gaps between lines and characters.
const TILE: u32 = 6;
/// The quietest fifth of the squares is paper without print.
const PAPER_SHARE: f32 = 0.2;
/// Paper with less grain than this, in levels of 255, proves nothing about what lies on it.
const GRAIN_MIN: f32 = 1.6;
/// A patch has less than this share of the grain around it.
const FLAT_SHARE: f32 = 0.2;
/// Squares that must be there to judge by.
const TILES_MIN: usize = 12;
/// Smallest side of a character's place, in squares: between smaller ones no square lies on paper alone, and print passes for grain.
const CHARACTER_MIN: f32 = 3.0;

/// Whether a value stands on a patch without grain, on a page that has grain all around it.
pub fn under_a_value(page: &RgbImage, fields: &Fields) -> bool {
    fields
        .values()
        .filter(|field| quad_width(&field.quad) > quad_height(&field.quad) && is_large(field))
        .any(|field| is_patch(page, &field.quad))
}

/// Whether its characters, on however many lines, are large enough to look between.
fn is_large(field: &Field) -> bool {
    let place = quad_width(&field.quad) * quad_height(&field.quad) / field.value.chars().count().max(1) as f32;
    place.sqrt() >= CHARACTER_MIN * TILE as f32
}

fn is_patch(page: &RgbImage, quad: &Quad) -> bool {
    let bound = |axis: usize, most: bool| {
        let side = if axis == 0 { page.width() } else { page.height() } as f32;
        let pick = if most { f32::max } else { f32::min };
        quad.iter().map(|corner| corner[axis]).reduce(pick).unwrap_or(0.0).clamp(0.0, side) as u32
    };
    let (left, right, top, bottom) = (bound(0, false), bound(0, true), bound(1, false), bound(1, true));
    let height = (bottom - top).max(1);
    let inside = grain(page, left, right, top, bottom);
    // Above and below, by the value's height, a little away from a patch that is larger than its value.
    let (above_end, below_start) = (top.saturating_sub(height / 2), (bottom + height / 2).min(page.height()));
    let above = grain(page, left, right, above_end.saturating_sub(height), above_end);
    let below = grain(page, left, right, below_start, (below_start + height).min(page.height()));
    match (inside, above, below) {
        (Some(inside), Some(above), Some(below)) => above.min(below) >= GRAIN_MIN && inside < above.min(below) * FLAT_SHARE,
        _ => false,
    }
}

/// The grain of the paper in a stretch of the page: the spread of brightness in its quietest squares, burnt-out ones left aside.
fn grain(page: &RgbImage, left: u32, right: u32, top: u32, bottom: u32) -> Option<f32> {
    let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
    let grey = GrayImage::from_fn(width, height, |x, y| Luma([luma(page.get_pixel(left + x, top + y)) as u8]));
    let mut spreads = Vec::new();
    for y in (0..(height + 1).saturating_sub(TILE)).step_by(TILE as usize) {
        for x in (0..(width + 1).saturating_sub(TILE)).step_by(TILE as usize) {
            let levels = (0..TILE * TILE).map(|at| f32::from(grey.get_pixel(x + at % TILE, y + at / TILE).0[0]));
            let (sum, squares, most) = levels.fold((0.0, 0.0, 0.0f32), |(sum, squares, most), l| (sum + l, squares + l * l, most.max(l)));
            let count = (TILE * TILE) as f32;
            let mean = sum / count;
            // A patch is often pure white; so is light that burnt out, but then all around is, too.
            if mean > 8.0 || most > 8.0 {
                spreads.push((squares / count - mean * mean).max(0.0).sqrt());
            }
        }
    }
    let at = (spreads.len() as f32 * PAPER_SHARE) as usize;
    (spreads.len() >= TILES_MIN).then(|| *spreads.select_nth_unstable_by(at, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    /// Print on paper with grain; `flat` says where the grain is gone.
    fn page(grain: i32, flat: impl Fn(u32, u32) -> bool) -> RgbImage {
        let mut state = 7u32;
        RgbImage::from_fn(900, 600, |x, y| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = if flat(x, y) { 0 } else { (state >> 16) as i32 % (2 * grain + 1) - grain };
            let print = x % 20 < 3 && (y % 60) > 20 && (y % 60) < 50 && (100..700).contains(&x);
            Rgb([(if print { 50 } else { 215 } + noise).clamp(0, 255) as u8; 3])
        })
    }

    fn fields() -> Fields {
        let quad = [[200.0, 260.0], [420.0, 260.0], [420.0, 292.0], [200.0, 292.0]];
        let field = Field { value: "值".into(), canonical: String::new(), raw: "值".into(), confidence: 0.9, quad, checks: vec![] };
        Fields::from([("name".to_owned(), field)])
    }

    #[test]
    fn a_value_on_a_patch_without_grain_is_seen_and_a_page_without_grain_proves_nothing() {
        let patch = |x: u32, y: u32| (195..425).contains(&x) && (255..297).contains(&y);
        assert!(under_a_value(&page(6, patch), &fields()));
        assert!(!under_a_value(&page(6, |_, _| false), &fields()));
        assert!(!under_a_value(&page(1, patch), &fields()), "too little grain");
        assert!(!under_a_value(&page(6, |_, y| y < 330), &fields()), "all of the page above is as smooth");
        let of = |value: &str| fields().into_iter().map(|(name, field)| (name, Field { value: value.into(), ..field })).collect();
        assert!(under_a_value(&page(6, patch), &of("二十一个字的一个值印在这里并不算小还看得出")));
        assert!(!under_a_value(&page(6, patch), &of(&"三行小字".repeat(6))), "no square lies between so small characters");
    }
}
