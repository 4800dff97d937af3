//! Finds glare: patches burnt to white that fade out softly into darker paper. A white portrait background or a white
//! page border has a hard edge instead, and white paper all over is a scan.

use std::collections::HashSet;

use ::image::{GrayImage, imageops};

/// Patches are looked for at this long side: glare is large, print must vanish.
const SIDE: u32 = 200;
/// Strokes and the gaps between them are at most this wide at that size.
const STROKE: u32 = 2;
/// From this brightness on a pixel is burnt out.
const BURNT: u8 = 250;
/// A patch's surroundings are looked at this far outside its edge, and further out.
const NEAR: i32 = 2;
const FAR: i32 = 6;
/// Near the edge, soft light has fallen by less than this share of what it falls by further out; a hard edge falls at once.
const SOFT_FALL: f32 = 0.85;
/// A pixel of the small picture this dark within a patch is part of a stroke; with more than this share of them its print is seen.
const STROKE_MAX: u8 = 200;
const STROKES_SHARE: f32 = 0.04;
/// The share of a patch's edge that must be soft.
const SOFT_SHARE: f32 = 0.6;
/// When more than this of the page is burnt out, the paper is white: a scan or a rendered page.
const WHITE_PAGE_SHARE: f32 = 0.35;

/// The share of the page that lies under glare.
pub fn share(grey: &GrayImage) -> f32 {
    let scale = SIDE as f32 / grey.width().max(grey.height()) as f32;
    let side = |side: u32| ((side as f32 * scale) as u32).max(1);
    let printed = imageops::thumbnail(grey, side(grey.width()), side(grey.height()));
    let small = without_print(&printed);
    let pixels = (small.width() * small.height()) as f32;
    let burnt = small.pixels().filter(|pixel| pixel.0[0] >= BURNT).count() as f32;
    if burnt / pixels > WHITE_PAGE_SHARE {
        return 0.0;
    }
    let hides = |patch: &Vec<(i32, i32)>| is_soft(&small, patch) && !shows_print(&printed, patch);
    patches(&small).into_iter().filter(hides).map(|patch| patch.len() as f32 / pixels).sum()
}

/// Whether print is seen in the middle of the patch: white paper in strong light is burnt as well, and its print stays.
fn shows_print(printed: &GrayImage, patch: &[(i32, i32)]) -> bool {
    let middle = middle(patch);
    let strokes = middle.iter().filter(|(x, y)| level(printed, *x, *y).is_some_and(|level| level < STROKE_MAX)).count();
    strokes as f32 > middle.len() as f32 * STROKES_SHARE
}

/// The pixels at least half as far from the patch's edge as the furthest.
fn middle(patch: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut rest: HashSet<(i32, i32)> = patch.iter().copied().collect();
    let mut rings: Vec<Vec<(i32, i32)>> = Vec::new();
    while !rest.is_empty() {
        let inside = |&(x, y): &(i32, i32)| [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)].iter().all(|near| rest.contains(near));
        let ring: Vec<(i32, i32)> = rest.iter().filter(|at| !inside(at)).copied().collect();
        ring.iter().for_each(|at| {
            rest.remove(at);
        });
        rings.push(ring);
    }
    rings.split_off(rings.len() / 2).concat()
}

/// Each pixel becomes the brightest around it: strokes vanish, surfaces and light stay.
fn without_print(grey: &GrayImage) -> GrayImage {
    let around = |at: u32, side: u32| at.saturating_sub(STROKE)..=(at + STROKE).min(side - 1);
    GrayImage::from_fn(grey.width(), grey.height(), |x, y| {
        let levels = around(y, grey.height()).flat_map(|y| around(x, grey.width()).map(move |x| grey.get_pixel(x, y).0[0]));
        ::image::Luma([levels.max().unwrap_or(0)])
    })
}

fn patches(grey: &GrayImage) -> Vec<Vec<(i32, i32)>> {
    let mut seen = vec![false; (grey.width() * grey.height()) as usize];
    let mut found = Vec::new();
    for y in 0..grey.height() as i32 {
        for x in 0..grey.width() as i32 {
            let mut patch = Vec::new();
            let mut stack = vec![(x, y)];
            while let Some((x, y)) = stack.pop() {
                if level(grey, x, y).is_none_or(|level| level < BURNT) {
                    continue;
                }
                let at = (y as u32 * grey.width() + x as u32) as usize;
                if !std::mem::replace(&mut seen[at], true) {
                    patch.push((x, y));
                    stack.extend([(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]);
                }
            }
            if !patch.is_empty() {
                found.push(patch);
            }
        }
    }
    found
}

fn is_soft(grey: &GrayImage, patch: &[(i32, i32)]) -> bool {
    let (mut edge, mut soft) = (0u32, 0u32);
    for &(x, y) in patch {
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            if level(grey, x + dx, y + dy).is_some_and(|level| level < BURNT) {
                edge += 1;
                let fall = |reach: i32| level(grey, x + dx * reach, y + dy * reach).map_or(0.0, |outside| f32::from(u8::MAX - outside));
                soft += u32::from(fall(NEAR) < fall(FAR) * SOFT_FALL);
            }
        }
    }
    edge > 0 && soft as f32 >= edge as f32 * SOFT_SHARE
}

fn level(grey: &GrayImage, x: i32, y: i32) -> Option<u8> {
    let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
    grey.get_pixel_checked(x, y).map(|pixel| pixel.0[0])
}

#[cfg(test)]
mod tests {
    use ::image::Luma;

    use super::*;

    #[test]
    fn a_white_portrait_with_a_hard_edge_is_not_glare() {
        let grey = GrayImage::from_fn(1000, 600, |x, y| Luma([if x > 600 && x < 850 && y > 100 && y < 400 { 255 } else { 200 }]));
        assert_eq!(share(&grey), 0.0);
    }

    #[test]
    fn light_that_burns_white_paper_is_glare_only_where_print_is_lost_in_it() {
        let lit = |print: bool| {
            GrayImage::from_fn(1000, 600, |x, y| {
                let light = 320.0 - (x as f32 - 500.0).hypot(y as f32 - 300.0) * 0.5;
                let stroke = print && (y / 20).is_multiple_of(2) && (x / 10).is_multiple_of(3);
                Luma([if stroke { 60 } else { light.clamp(0.0, 255.0) as u8 }])
            })
        };
        assert!(share(&lit(false)) > 0.05 && share(&lit(true)) == 0.0, "{} {}", share(&lit(false)), share(&lit(true)));
    }

    #[test]
    fn a_white_scan_is_not_glare() {
        assert_eq!(share(&GrayImage::from_pixel(1000, 600, Luma([255]))), 0.0);
    }
}
