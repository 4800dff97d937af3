//! Finds the grid of a screen: a photograph of one carries a fine regular pattern (摩尔纹) all over, which stands out of the spectrum as single
//! sharp peaks. Print and guilloche spread over many frequencies, and differ from place to place.

use ::image::RgbImage;

use super::ink::luma;
use crate::document::DocumentKind;

/// Side of the squares that are looked at, a power of two.
const PATCH: usize = 128;
/// So many squares across and down.
const GRID: u32 = 4;
/// Frequencies from this on, in cycles per square: lower ones are print and rulings.
const RADIUS: std::ops::Range<f32> = 14.0..60.0;
/// What sensor noise alone puts into each frequency; a drawn page has less, and its faintest tint would stand out without this.
const FLOOR: f32 = 5000.0;
/// A peak this many times stronger than its surroundings, in the middle over all squares, is a grid. Measured on drawn pages that were
/// photographed, 30 of six plain kinds: none lies above it, of 30 screens 28 do, by this or the next.
const STRENGTH_MAX: f32 = 400.0;
/// The same for what runs aslant. Rulings, the waves of a ground and lines of print run along the page or across it, and a screen's
/// interference anyhow: of 70 photographs none lies above this (20.0 the highest), of 70 screens 33.
const ASLANT_MAX: f32 = 20.0;
/// The sine of the angle to the page's sides from which a pattern runs aslant.
const ASLANT: f32 = 0.12;

/// Whether the upright `page`, found in a photograph, was photographed off a screen. A page that was drawn and never photographed can have
/// regular grounds far above; and so can papers that are ruled or printed on waves all over, of which only what runs aslant counts, and what is no
/// paper we know.
pub fn is_off_a_screen(page: &RgbImage, kind: DocumentKind) -> bool {
    let [strongest, aslant] = strengths(page);
    let plain = !matches!(kind, DocumentKind::DeedOld | DocumentKind::HouseholdHead | DocumentKind::HouseholdMember | DocumentKind::Other);
    aslant > ASLANT_MAX || (plain && strongest > STRENGTH_MAX)
}

/// How much the strongest regular pattern stands out, in the middle over the page, and the strongest that runs aslant.
fn strengths(page: &RgbImage) -> [f32; 2] {
    let (width, height) = page.dimensions();
    let patch = PATCH as u32;
    if width < 2 * patch || height < 2 * patch {
        return [0.0; 2];
    }
    let at = |index: u32, side: u32| (side - patch) * (2 * index + 1) / (2 * GRID);
    let spectra: Vec<Vec<f32>> = (0..GRID * GRID).map(|i| spectrum(page, at(i % GRID, width), at(i / GRID, height))).collect();
    // A screen's grid has the same frequency everywhere; the middle over the squares forgets what is only in some.
    let middle: Vec<f32> = (0..PATCH * PATCH)
        .map(|at| {
            let mut values: Vec<f32> = spectra.iter().map(|spectrum| spectrum[at]).collect();
            let half = values.len() / 2;
            *values.select_nth_unstable_by(half, f32::total_cmp).1
        })
        .collect();
    let [mut strongest, mut aslant]: [f32; 2] = [0.0; 2];
    for v in 0..PATCH {
        for u in 0..PATCH / 2 {
            let (x, y) = (frequency(u), frequency(v));
            if RADIUS.contains(&x.hypot(y)) {
                let strength = middle[v * PATCH + u] / around(&middle, u, v);
                strongest = strongest.max(strength);
                if x.abs().min(y.abs()) >= x.hypot(y) * ASLANT {
                    aslant = aslant.max(strength);
                }
            }
        }
    }
    [strongest, aslant]
}

fn frequency(index: usize) -> f32 {
    if index > PATCH / 2 { index as f32 - PATCH as f32 } else { index as f32 }
}

/// The usual power near a frequency, its nearest neighbours left out.
fn around(power: &[f32], u: usize, v: usize) -> f32 {
    let mut values = Vec::with_capacity(81);
    for dv in -5..=5isize {
        for du in -5..=5isize {
            if du.abs() > 2 || dv.abs() > 2 {
                let wrap = |at: usize, by: isize| (at as isize + by).rem_euclid(PATCH as isize) as usize;
                values.push(power[wrap(v, dv) * PATCH + wrap(u, du)]);
            }
        }
    }
    let half = values.len() / 2;
    *values.select_nth_unstable_by(half, f32::total_cmp).1 + FLOOR
}

/// The power spectrum of one square, its brightness faded out to the edges.
fn spectrum(page: &RgbImage, left: u32, top: u32) -> Vec<f32> {
    let fade: Vec<f32> = (0..PATCH).map(|at| 0.5 - 0.5 * (std::f32::consts::TAU * at as f32 / PATCH as f32).cos()).collect();
    let level = |x: usize, y: usize| luma(page.get_pixel(left + x as u32, top + y as u32));
    let mean = (0..PATCH * PATCH).map(|at| level(at % PATCH, at / PATCH)).sum::<f32>() / (PATCH * PATCH) as f32;
    let mut rows: Vec<[f32; 2]> =
        (0..PATCH * PATCH).map(|at| [(level(at % PATCH, at / PATCH) - mean) * fade[at % PATCH] * fade[at / PATCH], 0.0]).collect();
    rows.chunks_exact_mut(PATCH).for_each(transform);
    let mut column = [[0.0; 2]; PATCH];
    let mut power = vec![0.0; PATCH * PATCH];
    for u in 0..PATCH {
        for v in 0..PATCH {
            column[v] = rows[v * PATCH + u];
        }
        transform(&mut column);
        for v in 0..PATCH {
            power[v * PATCH + u] = column[v][0].powi(2) + column[v][1].powi(2);
        }
    }
    power
}

/// The fast Fourier transform of a power of two of complex values, in place.
fn transform(values: &mut [[f32; 2]]) {
    let count = values.len();
    let bits = count.trailing_zeros();
    for at in 0..count {
        let mirrored = at.reverse_bits() >> (usize::BITS - bits);
        if at < mirrored {
            values.swap(at, mirrored);
        }
    }
    let mut size = 2;
    while size <= count {
        let (sin, cos) = (-std::f32::consts::TAU / size as f32).sin_cos();
        for block in values.chunks_exact_mut(size) {
            let mut turn = [1.0, 0.0];
            let (low, high) = block.split_at_mut(size / 2);
            for (a, b) in low.iter_mut().zip(high) {
                let t = [b[0] * turn[0] - b[1] * turn[1], b[0] * turn[1] + b[1] * turn[0]];
                *b = [a[0] - t[0], a[1] - t[1]];
                *a = [a[0] + t[0], a[1] + t[1]];
                turn = [turn[0] * cos - turn[1] * sin, turn[0] * sin + turn[1] * cos];
            }
        }
        size *= 2;
    }
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    /// Strokes here and there, some noise, and a fine wave of this height all over, straight across the page or aslant.
    fn page(grid: f32, aslant: f32) -> RgbImage {
        let chance = |x: u32, y: u32| (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77)).wrapping_mul(0xC2B2_AE3D) >> 16;
        RgbImage::from_fn(800, 600, |x, y| {
            let print = (y / 20) % 2 == 0 && chance(x / 3, y / 5) % 3 == 0;
            let noise = (chance(x, y) % 9) as f32;
            let wave = (x as f32 * 1.7 + y as f32 * aslant).sin() * grid;
            Rgb([(if print { 60.0 } else { 215.0 } + noise + wave).clamp(0.0, 255.0) as u8; 3])
        })
    }

    #[test]
    fn the_transform_of_a_wave_is_one_frequency() {
        let mut values: Vec<[f32; 2]> = (0..16).map(|at| [(std::f32::consts::TAU * 3.0 * at as f32 / 16.0).cos(), 0.0]).collect();
        transform(&mut values);
        for (at, [re, im]) in values.into_iter().enumerate() {
            assert!((re - if at == 3 || at == 13 { 8.0 } else { 0.0 }).abs() < 1e-4 && im.abs() < 1e-4, "{at}");
        }
    }

    #[test]
    fn a_fine_grid_stands_out_and_print_does_not() {
        for kind in [DocumentKind::IdFront, DocumentKind::DeedOld] {
            assert!(!is_off_a_screen(&page(0.0, 0.4), kind) && is_off_a_screen(&page(20.0, 0.4), kind), "{kind}");
        }
    }

    #[test]
    fn the_ground_of_a_ruled_paper_runs_along_its_sides_and_may_be_as_regular_as_a_grid() {
        let ruled = page(30.0, 0.0);
        assert!(is_off_a_screen(&ruled, DocumentKind::Passport) && !is_off_a_screen(&ruled, DocumentKind::HouseholdMember));
    }
}
