//! Says whether a person could read the page at all: sharp enough, light enough, large enough, without glare. All measures
//! are taken at one fixed size, so that a threshold means the same for a phone photo and a scan.

use ::image::{GrayImage, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::{cover, glare, ink::luma};
use crate::document::Quad;

/// A reason to ask for a better picture.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum QualityFlag {
    Blurred,
    Dark,
    Glare,
    #[serde(alias = "too_small")]
    Small,
    /// Print is cut off at the picture's edge.
    Cut,
    /// More than one paper in the picture (一图多证).
    Several,
}

impl QualityFlag {
    /// What a person should do about it, for the one who takes the picture.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Blurred => "图片模糊，请对焦清晰、拿稳后重新拍摄",
            Self::Dark => "图片过暗，请在光线充足处重新拍摄",
            Self::Glare => "图片反光遮挡文字，请换个角度、关闭闪光灯后重新拍摄",
            Self::Small => "证件在图片中过小，请靠近拍摄或上传原图",
            Self::Cut => "证件边缘未拍全，请让四边完整入镜后重新拍摄",
            Self::Several => "图片中有多个证件，请每张图片只拍一个证件",
        }
    }
}

/// What was measured and what follows from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Quality {
    pub sharpness: f32,
    /// Brightness that nine tenths of the page stay under, 0 to 255.
    pub paper: f32,
    pub glare_share: f32,
    pub flags: Vec<QualityFlag>,
}

/// Long side at which everything is measured: print is then 10 to 20 pixels high on our documents.
const MEASURED_SIDE: u32 = 1000;
/// Side of the squares that are measured one by one; most of a page is empty and says nothing about sharpness.
const TILE: u32 = 50;
/// A tile speaks only if its brightness varies by more than this (standard deviation): it then holds print.
const TILE_CONTRAST_MIN: f32 = 10.0;
/// Of the tiles that hold print, the sharpest quarter decides: the others may hold a soft portrait or pattern.
const SHARP_SHARE: f32 = 0.75;
/// Variance of the Laplacian over variance of brightness, below which print is blurred. Measured on rendered pages: sharp pages
/// and photos lie above 0.8; blur begins to cost characters between 0.2 (deeds, licences: small print) and 0.02 (ID cards: large
/// print); the out-of-focus specimens lie under 0.02. What is lost above the line shows as low confidence of its field.
const SHARPNESS_MIN: f32 = 0.1;
/// Print on paper darker than this is lost in the sensor's noise.
const PAPER_MIN: f32 = 80.0;
/// The share of the page under glare from which a field is likely to be covered.
const GLARE_SHARE_MAX: f32 = 0.015;
/// Below this long side of the page the smallest print of our documents is under 8 pixels.
const LONG_SIDE_MIN: u32 = 500;

/// Judges the upright `page`; a pixel of it is `scale` pixels of the file. `print` is where its lines are, and `whole` says whether all
/// its sides are in the picture, where that is known.
pub fn run(page: &RgbImage, scale: f32, print: &[Quad], whole: Option<bool>) -> Quality {
    let grey = measured(page);
    let (sharpness, paper, glare_share) = (sharpness(&grey), percentile(&grey, 0.9), glare::share(&grey));
    let flags = [
        (sharpness.is_some_and(|sharpness| sharpness < SHARPNESS_MIN), QualityFlag::Blurred),
        (paper < PAPER_MIN, QualityFlag::Dark),
        (glare_share > GLARE_SHARE_MAX, QualityFlag::Glare),
        ((page.width().max(page.height()) as f32 * scale) < LONG_SIDE_MIN as f32, QualityFlag::Small),
        (!whole.unwrap_or_else(|| !cover::is_cut(page, print)), QualityFlag::Cut),
    ];
    let flags = flags.into_iter().filter_map(|(raised, flag)| raised.then_some(flag)).collect();
    Quality { sharpness: sharpness.unwrap_or(0.0), paper, glare_share, flags }
}

fn measured(page: &RgbImage) -> GrayImage {
    let scale = MEASURED_SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(TILE);
    let grey = GrayImage::from_fn(page.width(), page.height(), |x, y| ::image::Luma([luma(page.get_pixel(x, y)) as u8]));
    let (width, height) = (side(page.width()), side(page.height()));
    if scale < 1.0 {
        // Averages whole pixels: as good as a filter here, and many times faster.
        imageops::thumbnail(&grey, width, height)
    } else {
        imageops::resize(&grey, width, height, imageops::FilterType::Triangle)
    }
}

/// `None` on a page without print: nothing to be blurred.
fn sharpness(grey: &GrayImage) -> Option<f32> {
    let mut tiles: Vec<f32> = Vec::new();
    for top in (0..grey.height().saturating_sub(TILE) + 1).step_by(TILE as usize) {
        for left in (0..grey.width().saturating_sub(TILE) + 1).step_by(TILE as usize) {
            tiles.extend(tile_sharpness(grey, left, top));
        }
    }
    tiles.sort_by(f32::total_cmp);
    tiles.get((tiles.len() as f32 * SHARP_SHARE) as usize).copied()
}

/// How fine the contrast of a tile is, whatever its strength: a pale but sharp print passes, a dark smear does not.
fn tile_sharpness(grey: &GrayImage, left: u32, top: u32) -> Option<f32> {
    let at = |x: u32, y: u32| f32::from(grey.get_pixel(x, y).0[0]);
    let (mut levels, mut edges) = (Spread::default(), Spread::default());
    for y in top + 1..top + TILE - 1 {
        for x in left + 1..left + TILE - 1 {
            levels.add(at(x, y));
            edges.add(at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y));
        }
    }
    (levels.variance() > TILE_CONTRAST_MIN * TILE_CONTRAST_MIN).then(|| edges.variance() / levels.variance())
}

#[derive(Default)]
struct Spread {
    count: f32,
    sum: f32,
    squares: f32,
}

impl Spread {
    fn add(&mut self, value: f32) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    fn variance(&self) -> f32 {
        let mean = self.sum / self.count.max(1.0);
        (self.squares / self.count.max(1.0) - mean * mean).max(0.0)
    }
}

fn percentile(grey: &GrayImage, share: f32) -> f32 {
    let mut levels = grey.as_raw().clone();
    let at = ((levels.len() as f32 * share) as usize).min(levels.len() - 1);
    f32::from(*levels.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    /// Thin dark bars on paper, as print is.
    fn print(width: u32, height: u32, paper: u8) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let word = (x / 60 + y / 20) % 3 != 0;
            let ink = word && x % 9 < 2 && y % 20 < 14 && x > 100 && y > 100;
            Rgb([if ink { paper / 6 } else { paper }; 3])
        })
    }

    fn judged(page: &RgbImage) -> Vec<QualityFlag> {
        run(page, 1.0, &[], None).flags
    }

    #[test]
    fn sharp_print_has_no_flag_and_blurred_print_has_one() {
        let page = print(1000, 700, 235);
        assert_eq!(judged(&page), []);
        assert_eq!(judged(&imageops::blur(&page, 3.0)), [QualityFlag::Blurred]);
    }

    #[test]
    fn an_empty_page_is_not_blurred() {
        assert_eq!(judged(&RgbImage::from_pixel(1000, 700, Rgb([235; 3]))), []);
    }

    #[test]
    fn dark_and_small_pages_are_flagged() {
        assert_eq!(judged(&print(1000, 700, 60)), [QualityFlag::Dark]);
        assert!(judged(&print(480, 400, 235)).contains(&QualityFlag::Small));
    }

    #[test]
    fn a_soft_white_spot_on_grey_paper_is_glare() {
        let mut page = print(1000, 700, 190);
        for (x, y, pixel) in page.enumerate_pixels_mut() {
            let distance = (x as f32 - 500.0).hypot(y as f32 - 350.0);
            let added = (400.0 - 2.5 * distance).clamp(0.0, 255.0) as u8;
            pixel.0 = pixel.0.map(|level| level.saturating_add(added));
        }
        let quality = run(&page, 1.0, &[], None);
        assert!(quality.flags.contains(&QualityFlag::Glare), "{quality:?}");
    }
}
