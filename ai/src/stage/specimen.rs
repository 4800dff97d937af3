//! Finds out whether a page says of itself that it is a specimen. The word may stand among the lines, but mostly it is set
//! across the page, large and pale, where the line detector does not see it: so the page is looked at once more, small and
//! with everything as thin as print taken out.

use ::image::{GrayImage, Rgb, RgbImage, imageops};

use super::{
    detect,
    geometry::{quad_height, quad_width},
    ink::luma,
    recognise::Reader,
};
use crate::{
    document::{layout::Line, text},
    engine::Session,
    error::StageError,
};

/// What is printed across papers that are no originals.
const MARKS: [&str; 7] = ["样本", "样张", "样例", "样板", "示例", "仅供展示", "SPECIMEN"];
/// Among the lines, a mark is this much larger than the usual line, or a line by itself; a street of that name is neither.
const MARK_SIZE: f32 = 1.6;
/// Long side at which large marks are looked for: the letters of a mark are then as high as a line usually is.
const SIDE: u32 = 384;
/// Strokes up to this wide at that size are print and vanish.
const PRINT_STROKE: u32 = 2;
/// A mark is at least this share of the page's short side high.
const MARK_SHARE_MIN: f32 = 0.1;
/// At most so many large shapes are read; portraits and seals are shapes too.
const SHAPES_MAX: usize = 4;

/// `lines` is what was read of the upright `page`.
pub fn run(session: &Session<'_>, thresholds: detect::Thresholds, page: &RgbImage, lines: &[Line]) -> Result<bool, StageError> {
    if stands_among(lines) {
        return Ok(true);
    }
    let small = without_print(page);
    let short = small.width().min(small.height()) as f32;
    let mut shapes = detect::at_side(session, thresholds, &small, SIDE)?;
    shapes.retain(|quad| quad_height(quad) > short * MARK_SHARE_MIN);
    shapes.sort_by(|a, b| (quad_width(b) * quad_height(b)).total_cmp(&(quad_width(a) * quad_height(a))));
    shapes.truncate(SHAPES_MAX);
    let read = Reader { session, raw: &small, lifted: &small }.lines(&shapes)?;
    Ok(read.iter().any(|line| names_a_mark(&line.text())))
}

fn names_a_mark(line: &str) -> bool {
    let line = text::normalise(line).to_uppercase();
    MARKS.iter().any(|mark| line.contains(mark))
}

fn stands_among(lines: &[Line]) -> bool {
    let mut heights: Vec<f32> = lines.iter().map(|line| quad_height(&line.quad)).collect();
    heights.sort_by(f32::total_cmp);
    let usual = heights.get(heights.len() / 2).copied().unwrap_or(0.0);
    lines.iter().any(|line| {
        let alone = MARKS.contains(&text::normalise(&line.text()).to_uppercase().as_str());
        alone || (names_a_mark(&line.text()) && quad_height(&line.quad) > usual * MARK_SIZE)
    })
}

/// The page, small, each pixel as bright as the brightest around it, and the contrast of what is left stretched.
fn without_print(page: &RgbImage) -> RgbImage {
    let scale = SIDE as f32 / page.width().max(page.height()) as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = imageops::thumbnail(page, side(page.width()), side(page.height()));
    let grey = GrayImage::from_fn(small.width(), small.height(), |x, y| ::image::Luma([luma(small.get_pixel(x, y)) as u8]));
    let open = filtered(&filtered(&grey, u8::max), u8::min);
    let mut levels = open.as_raw().clone();
    levels.sort_unstable();
    let paper = f32::from(levels[levels.len() * 3 / 4]).max(1.0);
    RgbImage::from_fn(open.width(), open.height(), |x, y| {
        // A mark darkens the paper by a tenth to a half; that range is stretched over all levels.
        let share = f32::from(open.get_pixel(x, y).0[0]) / paper;
        Rgb([(((share - 0.6) / 0.38).clamp(0.0, 1.0) * 255.0) as u8; 3])
    })
}

/// The extreme of each pixel's surroundings, by rows and then by columns.
fn filtered(grey: &GrayImage, extreme: fn(u8, u8) -> u8) -> GrayImage {
    let around = |at: u32, side: u32| at.saturating_sub(PRINT_STROKE)..=(at + PRINT_STROKE).min(side - 1);
    let rows = GrayImage::from_fn(grey.width(), grey.height(), |x, y| {
        let here = grey.get_pixel(x, y).0[0];
        ::image::Luma([around(x, grey.width()).map(|x| grey.get_pixel(x, y).0[0]).fold(here, extreme)])
    });
    GrayImage::from_fn(rows.width(), rows.height(), |x, y| {
        let here = rows.get_pixel(x, y).0[0];
        ::image::Luma([around(y, rows.height()).map(|y| rows.get_pixel(x, y).0[0]).fold(here, extreme)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::layout::testing::line;

    #[test]
    fn a_mark_is_alone_or_large_and_a_street_is_neither() {
        let street = [line(0.0, 0.0, 20.0, "成都市样本路12号"), line(0.0, 40.0, 20.0, "张三"), line(0.0, 80.0, 20.0, "2019年")];
        assert!(!stands_among(&street));
        assert!(stands_among(&[street.to_vec(), vec![line(0.0, 120.0, 20.0, "样 本")]].concat()));
        assert!(stands_among(&[street.to_vec(), vec![line(0.0, 120.0, 60.0, "仅为样本使用")]].concat()));
    }

    #[test]
    fn thin_print_vanishes_and_a_broad_pale_mark_stays() {
        let page = RgbImage::from_fn(1152, 768, |x, y| {
            let print = y % 40 < 6 && x < 500;
            let mark = (700..760).contains(&x);
            Rgb([if print {
                20
            } else if mark {
                205
            } else {
                240
            }; 3])
        });
        let left = without_print(&page);
        assert_eq!(left.get_pixel(100, 100).0, [255; 3]);
        assert!(left.get_pixel(243, 100).0[0] < 180);
    }
}
