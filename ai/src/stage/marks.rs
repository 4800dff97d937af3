//! Reads a page again without the marks of use (水印) that run across it. The detector boxes a mark and the print under it as one, or takes
//! neither; with everything paler than print turned to paper it sees the print alone.

use ::image::{GrayImage, Luma, Rgb, RgbImage, imageops};

use super::{
    authenticity,
    geometry::{glimpse, quad_height, quad_width},
    ink::{luma, paper, percentile, ramp},
};
use crate::document::{Quad, layout::Line, text};

/// Paper is not equally bright all over a photograph: it is measured in blocks of this many pixels.
const BLOCK: u32 = 64;
/// What is read without the marks stands for what was read with them when it is about as sure,
const SURE: f32 = 0.03;
/// and about as long: a mark's characters are gone from it, the print's are not.
const LONG: f32 = 0.6;

/// A line of which this share are characters of a mark is a piece of that mark.
const OF_MARK: f32 = 0.6;

/// Of the pixels of a mark's line this share is darker than the mark usually is: its strokes take some quarter of it, print on it little.
const STROKES: f32 = 0.12;
/// Print is darker than the marks by this share of the paper's brightness at the least,
const DARKER: f32 = 0.06;
/// and marks are taken for no darker than the first, nor paler than the second.
const MARK_SHARES: (f32, f32) = (0.40, 0.70);

/// The page with everything as pale as the marks among its `lines`, or paler, turned to paper.
pub fn cleared(page: &RgbImage, lines: &[Line]) -> RgbImage {
    let mark = level(page, lines);
    let (across, down) = (page.width().div_ceil(BLOCK), page.height().div_ceil(BLOCK));
    let block = |x, y| imageops::crop_imm(page, x * BLOCK, y * BLOCK, BLOCK, BLOCK).to_image();
    let blocks = GrayImage::from_fn(across, down, |x, y| Luma([paper(&block(x, y)) as u8]));
    let paper = imageops::resize(&blocks, page.width(), page.height(), imageops::FilterType::Triangle);
    RgbImage::from_fn(page.width(), page.height(), |x, y| {
        let share = luma(page.get_pixel(x, y)) / f32::from(paper.get_pixel(x, y).0[0]).max(1.0);
        Rgb([ramp(share, mark); 3])
    })
}

/// Below which share of the paper's brightness print is, by how dark the marks are.
fn level(page: &RgbImage, lines: &[Line]) -> f32 {
    let usual = authenticity::usual_angle(lines);
    let marks = lines.iter().filter(|line| authenticity::mark_of_use(line).is_some() || authenticity::runs_across(line, usual));
    let mut levels: Vec<f32> = marks
        .map(|line| {
            let crop = glimpse(page, &line.quad);
            percentile(&crop, STROKES) / paper(&crop).max(1.0)
        })
        .collect();
    levels.sort_by(f32::total_cmp);
    let middle = levels.get(levels.len() / 2).copied().unwrap_or(1.0);
    (middle - DARKER).clamp(MARK_SHARES.0, MARK_SHARES.1)
}

/// The lines of the page, each as it was read better: with the marks, or `clear` of them. Marks that run across stay; they tell pieces of
/// themselves from print.
pub fn merged(lines: Vec<Line>, clear: Vec<Line>) -> Vec<Line> {
    let level = authenticity::usual_angle(&lines);
    let clear: Vec<Line> = clear.into_iter().filter(|line| !authenticity::runs_across(line, level)).collect();
    let (mut kept, mut dropped) = (Vec::new(), vec![false; clear.len()]);
    for line in lines {
        let same: Vec<usize> = (0..clear.len()).filter(|&at| lie_together(&line.quad, &clear[at].quad)).collect();
        if same.is_empty() || authenticity::runs_across(&line, level) {
            kept.push(line);
        } else if let Some(mark) = authenticity::mark_of_use(&line) {
            // print that was read in one line with the mark stands without it now; the mark itself, if it was not paled, is no print
            for &at in &same {
                dropped[at] |= is_piece_of(&clear[at], &mark);
            }
            if same.iter().all(|&at| dropped[at]) {
                kept.push(line);
            }
        } else if !stands_for(&line, same.iter().map(|&at| &clear[at])) {
            same.iter().for_each(|&at| dropped[at] = true);
            kept.push(line);
        }
    }
    kept.extend(clear.into_iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(line, _)| line));
    kept
}

/// Whether what was read without the marks is as sure and as long as what was read with them.
fn stands_for<'a>(line: &Line, clear: impl Iterator<Item = &'a Line>) -> bool {
    let (mut characters, mut confidence) = (0, 0.0);
    for glyph in clear.flat_map(|line| &line.glyphs) {
        characters += 1;
        confidence += glyph.confidence;
    }
    characters as f32 >= line.glyphs.len() as f32 * LONG && confidence / characters.max(1) as f32 >= line.confidence() - SURE
}

/// Whether most of a line's characters are those of the mark.
fn is_piece_of(line: &Line, mark: &str) -> bool {
    let of_mark = line.glyphs.iter().filter(|glyph| text::fold(glyph.character).is_some_and(|c| mark.contains(c))).count();
    of_mark as f32 >= line.glyphs.len() as f32 * OF_MARK
}

/// Whether the middle of one lies in the other.
fn lie_together(one: &Quad, other: &Quad) -> bool {
    let centre = |quad: &Quad| -> [f32; 2] { std::array::from_fn(|axis| quad.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0) };
    let within = |quad: &Quad, at: [f32; 2]| {
        let (middle, (width, height)) = (centre(quad), (quad_width(quad).max(1.0), quad_height(quad).max(1.0)));
        let along = [(quad[1][0] - quad[0][0]) / width, (quad[1][1] - quad[0][1]) / width];
        let by = [at[0] - middle[0], at[1] - middle[1]];
        (by[0] * along[0] + by[1] * along[1]).abs() <= width / 2.0 && (by[1] * along[0] - by[0] * along[1]).abs() <= height / 2.0
    };
    within(one, centre(other)) || within(other, centre(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::layout::testing::line;

    /// A line as sure of its characters as this.
    fn sure(x: f32, y: f32, text: &str, confidence: f32) -> Line {
        let mut line = line(x, y, 20.0, text);
        line.glyphs.iter_mut().for_each(|glyph| glyph.confidence = confidence);
        line
    }

    fn across(text: &str) -> Line {
        let mut line = line(0.0, 0.0, 30.0, text);
        let (sin, cos) = 30f32.to_radians().sin_cos();
        line.quad = line.quad.map(|[x, y]| [x * cos - y * sin, x * sin + y * cos]);
        line
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        let mut texts: Vec<String> = lines.iter().map(Line::text).collect();
        texts.sort();
        texts
    }

    /// Print of 30 and a mark of `mark` on paper that darkens from 250 to 150, with the mark's line.
    fn marked(mark: f32) -> (RgbImage, Line) {
        let page = RgbImage::from_fn(640, 256, |x, y| {
            let paper = 250.0 - 100.0 * x as f32 / 640.0;
            let (print, stroke) = ((40..44).contains(&y), (120..160).contains(&y) && x % 12 < 3);
            Rgb([if print { 30.0 } else { paper * if stroke { mark } else { 1.0 } } as u8; 3])
        });
        let mut line = line(0.0, 140.0, 40.0, "仅供好店审核开户使用他用无效勿作");
        line.quad = [[0.0, 120.0], [640.0, 120.0], [640.0, 160.0], [0.0, 160.0]];
        (page, line)
    }

    #[test]
    fn marks_turn_to_paper_and_print_stays_however_dark_the_marks_are_and_whatever_the_light() {
        for mark in [0.85, 0.6, 0.48] {
            let (page, line) = marked(mark);
            let clear = cleared(&page, &[line]);
            for x in [12, 324, 600] {
                assert_eq!(clear.get_pixel(x, 140).0, [255; 3], "a mark of {mark} at {x}");
                assert!(clear.get_pixel(x, 42).0[0] < 100, "print beside a mark of {mark} at {x}: {:?}", clear.get_pixel(x, 42));
            }
        }
    }

    #[test]
    fn print_that_was_read_with_a_mark_is_read_without_it_and_the_marks_across_stay() {
        let lines = vec![sure(0.0, 100.0, "坐落上仅市", 0.7), line(0.0, 200.0, 20.0, "面积九十"), across("此件不作别用")];
        let clear = vec![line(0.0, 100.0, 20.0, "坐落上海市"), line(300.0, 100.0, 20.0, "用途"), across("此件不作别用")];
        assert_eq!(texts(&merged(lines, clear)), ["坐落上海市", "此件不作别用", "用途", "面积九十"]);
    }

    #[test]
    fn what_is_read_less_surely_or_much_shorter_without_the_marks_does_not_stand() {
        let lines = vec![line(0.0, 100.0, 20.0, "坐落上海市"), line(0.0, 200.0, 20.0, "深圳市南山区")];
        let clear = vec![sure(0.0, 100.0, "坐洛土海市", 0.8), line(40.0, 200.0, 20.0, "市南")];
        assert_eq!(texts(&merged(lines, clear)), ["坐落上海市", "深圳市南山区"]);
    }

    #[test]
    fn a_mark_in_line_with_print_leaves_the_print_and_its_own_remains_are_no_print() {
        let both = vec![line(0.0, 100.0, 20.0, "张三仅供审核使用")];
        assert_eq!(texts(&merged(both, vec![line(0.0, 100.0, 20.0, "张三"), line(60.0, 100.0, 20.0, "供审核")])), ["张三"]);
        let alone = vec![line(0.0, 100.0, 20.0, "仅供平台审核使用")];
        assert_eq!(texts(&merged(alone, vec![line(0.0, 100.0, 20.0, "又供平台审核")])), ["仅供平台审核使用"]);
    }
}
