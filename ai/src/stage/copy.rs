//! Tells a copy without colour (复印件) from paper: every paper we take carries colour, in its ground, its frame or its seal. The light's own
//! tint is taken out first.

use ::image::{RgbImage, imageops};

/// Long side at which colour is measured: the noise of sensor and compression averages out.
const SIDE: u32 = 300;
/// The share of the page that must be less colourful than [`COLOUR_MAX`]: a seal is a few hundredths of a page.
const SHARE: f32 = 0.985;
/// How far a pixel's colour lies from the page's usual tint, of 255.
///
/// Measured on 13 kinds of drawn pages: copies lie under 0.1, pages with the least colour, plain forms with a small seal, above 2.9.
const COLOUR_MAX: f32 = 1.8;

/// Whether the page carries no colour.
pub fn is_colourless(page: &RgbImage) -> bool {
    colour(page) < COLOUR_MAX
}

/// How colourful the page is, but for the most colourful hundredths.
pub fn colour(page: &RgbImage) -> f32 {
    let scale = SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = imageops::thumbnail(page, side(page.width()), side(page.height()));
    // The light's tint is the same share of every brightness, in ink, shadow and paper.
    let pixels: Vec<([f32; 2], f32)> = small
        .pixels()
        .map(|pixel| {
            let [r, g, b] = pixel.0.map(f32::from);
            ([r - g, b - g], (r + g + b) / 3.0 + 1.0)
        })
        .collect();
    let usual: [f32; 2] = std::array::from_fn(|axis| {
        let mut values: Vec<f32> = pixels.iter().map(|(colour, light)| colour[axis] / light).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    });
    let beyond = |(colour, light): &([f32; 2], f32)| (colour[0] - usual[0] * light).hypot(colour[1] - usual[1] * light);
    let mut away: Vec<f32> = pixels.iter().map(beyond).collect();
    let at = ((away.len() as f32 * SHARE) as usize).min(away.len() - 1);
    *away.select_nth_unstable_by(at, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    fn page(tint: [f32; 3], seal: bool) -> RgbImage {
        RgbImage::from_fn(900, 600, |x, y| {
            let print = (x / 4) % 3 == 0 && (y / 12) % 2 == 0;
            let ring = seal && (70.0..100.0).contains(&(x as f32 - 600.0).hypot(y as f32 - 400.0));
            let level = if print { 40.0 } else { 225.0 };
            let colour = if ring { [210.0, 50.0, 50.0] } else { [level; 3] };
            Rgb(std::array::from_fn(|i| (colour[i] * tint[i]) as u8))
        })
    }

    #[test]
    fn a_copy_has_no_colour_under_any_light_and_a_seal_is_colour() {
        for tint in [[1.0, 1.0, 1.0], [1.0, 0.95, 0.85], [0.9, 0.95, 1.0]] {
            assert!(is_colourless(&page(tint, false)), "{tint:?}: {}", colour(&page(tint, false)));
            assert!(!is_colourless(&page(tint, true)), "{tint:?}: {}", colour(&page(tint, true)));
        }
    }
}
