//! Finds fingers that lie on the page: a patch of skin that reaches in from its edge. Only for a page that was found in the photograph, where
//! the edge is known; what lies over the middle of a page without reaching its edge is not told, nor is a hand in a glove.

use ::image::{RgbImage, imageops};

/// Long side at which fingers are looked for: print is gone then, a fingertip is not.
const SIDE: u32 = 160;
/// Hue in degrees, saturation and brightness (of 1 and 255) that skin has under usual light.
const HUES: std::ops::RangeInclusive<f32> = 6.0..=32.0;
const SATURATIONS: std::ops::RangeInclusive<f32> = 0.18..=0.7;
const BRIGHTNESS_MIN: f32 = 60.0;
/// A patch of the page's own colour is no finger: so far, of 442, it must lie from it.
const AWAY_MIN: f32 = 45.0;
/// The share of the page that a finger covers.
const AREAS: std::ops::RangeInclusive<f32> = 0.008..=0.2;
/// How far it reaches in, as a share of the short side, and how much of its own box it fills.
const REACH_MIN: f32 = 0.08;
const FILL_MIN: f32 = 0.45;
/// A frame runs along more of the edge than this.
const EDGE_SHARE_MAX: f32 = 0.2;

/// Whether a finger lies on the flat page.
pub fn lies_on(page: &RgbImage) -> bool {
    let scale = SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(8);
    let small = imageops::thumbnail(page, side(page.width()), side(page.height()));
    let (width, height) = (small.width() as usize, small.height() as usize);
    let usual: [f32; 3] = std::array::from_fn(|channel| {
        let mut levels: Vec<u8> = small.pixels().map(|pixel| pixel.0[channel]).collect();
        let middle = levels.len() / 2;
        f32::from(*levels.select_nth_unstable(middle).1)
    });
    let mut skin: Vec<bool> = small.pixels().map(|pixel| is_skin(pixel.0.map(f32::from), usual)).collect();
    (0..skin.len()).any(|start| skin[start] && Patch::taken(&mut skin, width, height, start).is_finger(width, height))
}

fn is_skin(colour: [f32; 3], usual: [f32; 3]) -> bool {
    let [r, g, b] = colour;
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let spread = most - least;
    let away = (0..3).map(|c| (colour[c] - usual[c]).powi(2)).sum::<f32>().sqrt();
    most == r
        && most > BRIGHTNESS_MIN
        && SATURATIONS.contains(&(spread / most))
        && HUES.contains(&(60.0 * (g - b) / spread.max(1.0)))
        && away > AWAY_MIN
}

/// A connected patch of skin.
struct Patch {
    pixels: usize,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    /// Its pixels on the page's edge.
    on_edge: usize,
}

impl Patch {
    /// The patch around `start`, taken out of `skin`.
    fn taken(skin: &mut [bool], width: usize, height: usize, start: usize) -> Self {
        let mut this = Self { pixels: 0, left: width, right: 0, top: height, bottom: 0, on_edge: 0 };
        let mut stack = vec![start];
        skin[start] = false;
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            this.pixels += 1;
            (this.left, this.right) = (this.left.min(x), this.right.max(x));
            (this.top, this.bottom) = (this.top.min(y), this.bottom.max(y));
            this.on_edge += usize::from(x == 0 || y == 0 || x + 1 == width || y + 1 == height);
            let mut visit = |at: usize| {
                if std::mem::take(&mut skin[at]) {
                    stack.push(at);
                }
            };
            if x > 0 {
                visit(at - 1);
            }
            if x + 1 < width {
                visit(at + 1);
            }
            if y > 0 {
                visit(at - width);
            }
            if y + 1 < height {
                visit(at + width);
            }
        }
        this
    }

    fn is_finger(&self, width: usize, height: usize) -> bool {
        let (wide, high) = (self.right - self.left + 1, self.bottom - self.top + 1);
        // From the side that it touches inwards.
        let reach = [(self.left == 0 || self.right + 1 == width, wide), (self.top == 0 || self.bottom + 1 == height, high)];
        let reach = reach.into_iter().filter(|(touches, _)| *touches).map(|(_, reach)| reach).max().unwrap_or(0);
        AREAS.contains(&(self.pixels as f32 / (width * height) as f32))
            && self.on_edge > 0
            && self.on_edge as f32 / (2 * (width + height)) as f32 <= EDGE_SHARE_MAX
            && reach as f32 >= width.min(height) as f32 * REACH_MIN
            && self.pixels as f32 / (wide * high) as f32 >= FILL_MIN
    }
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    const SKIN: [u8; 3] = [205, 150, 120];

    /// A page with print and, where `patch` says so, another colour.
    fn page(paper: [u8; 3], colour: [u8; 3], patch: impl Fn(u32, u32) -> bool) -> RgbImage {
        RgbImage::from_fn(900, 600, |x, y| {
            let print = (x / 4) % 3 == 0 && (y / 12) % 3 == 0 && (100..800).contains(&x);
            Rgb(if patch(x, y) {
                colour
            } else if print {
                [40; 3]
            } else {
                paper
            })
        })
    }

    #[test]
    fn a_finger_reaches_in_from_the_edge() {
        let tip = |x: u32, y: u32| (x < 130 && (y as f32 - 300.0).abs() < 50.0) || (x as f32 - 130.0).hypot(y as f32 - 300.0) < 50.0;
        for paper in [[230, 230, 225], [205, 220, 235], [240, 215, 220]] {
            assert!(lies_on(&page(paper, SKIN, tip)), "{paper:?}");
        }
        // Not a portrait inside the page, a frame around it, a dark or a blue patch, or a page of that colour.
        let portrait = |x: u32, y: u32| (600..780).contains(&x) && (120..380).contains(&y);
        let frame = |x: u32, y: u32| x < 30 || y < 30 || x >= 870 || y >= 570;
        assert!(!lies_on(&page([230; 3], SKIN, portrait)));
        assert!(!lies_on(&page([230; 3], SKIN, frame)));
        assert!(!lies_on(&page([230; 3], [40, 30, 25], tip)));
        assert!(!lies_on(&page([230; 3], [120, 150, 205], tip)));
        assert!(!lies_on(&page([210, 155, 125], SKIN, tip)));
    }
}
