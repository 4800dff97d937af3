//! Signs that a page is not the paper itself, or not all of it: a photocopy, a screen, a mark of use, a seal over the print, a page
//! that leaves the picture. They send the page to a person and decide nothing: drawn pages, on which they were
//! measured, are kinder than real ones.

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{copy, cover, geometry::quad_height, moire, seal};
use crate::document::{Quad, layout::Line, text};

/// A sign for a person to look at.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticityFlag {
    /// A copy without colour (复印件).
    Photocopy,
    /// Photographed off a screen (翻拍屏幕).
    ScreenRecapture,
    /// Carries a mark of use (水印), such as 仅供某某使用.
    HasWatermark,
    /// A red seal lies over print (印章压字).
    SealOverText,
    /// The page leaves the picture (超出画面).
    OutOfFrame,
}

/// What was measured and what follows from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Signs {
    pub flags: Vec<AuthenticityFlag>,
    /// Where the red seal is, in pixels of the page.
    pub seal: Option<Quad>,
}

/// What marks of use say.
const MARKS_OF_USE: [&str; 8] = ["仅供", "仅限", "仅用于", "他用无效", "复印无效", "再次复印", "挪作他用", "不得用于"];
/// Lines that run across the page at more than this angle to the others are no print of the paper.
const DIAGONAL_DEGREES: f32 = 12.0;
/// A diagonal line of at least this many characters, read at least this surely, is a mark; less may be a pattern.
const DIAGONAL_CHARACTERS: usize = 3;
const DIAGONAL_CONFIDENCE: f32 = 0.6;
/// So many characters of black print under the seal are more than the edge of a signature.
const UNDER_SEAL_CHARACTERS: usize = 5;
const UNDER_SEAL_CONFIDENCE: f32 = 0.7;

/// Looks at the upright `page` with its `lines`, and at where it was `found` in the photograph.
pub fn run(page: &RgbImage, lines: &[Line], found: Option<&Quad>) -> Signs {
    let seal = seal::find(page);
    let print: Vec<Quad> = lines.iter().map(|line| line.quad).collect();
    let raised = [
        (copy::is_colourless(page), AuthenticityFlag::Photocopy),
        (moire::strength(page) > moire::STRENGTH_MAX, AuthenticityFlag::ScreenRecapture),
        (has_mark_of_use(lines), AuthenticityFlag::HasWatermark),
        (seal.is_some_and(|seal| characters_under(&seal, lines) >= UNDER_SEAL_CHARACTERS), AuthenticityFlag::SealOverText),
        (cover::leaves(found, page, &print), AuthenticityFlag::OutOfFrame),
    ];
    Signs { flags: raised.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect(), seal }
}

fn has_mark_of_use(lines: &[Line]) -> bool {
    let level = usual_angle(lines);
    lines.iter().any(|line| {
        let words = text::normalise(&line.text());
        let diagonal = (angle(line) - level).abs() > DIAGONAL_DEGREES && (angle(line) - level).abs() < 90.0 - DIAGONAL_DEGREES;
        MARKS_OF_USE.iter().any(|mark| words.contains(mark))
            || (diagonal && line.glyphs.len() >= DIAGONAL_CHARACTERS && line.confidence() >= DIAGONAL_CONFIDENCE)
    })
}

fn angle(line: &Line) -> f32 {
    let [from, to] = [line.quad[0], line.quad[1]];
    (to[1] - from[1]).atan2(to[0] - from[0]).to_degrees()
}

fn usual_angle(lines: &[Line]) -> f32 {
    let mut angles: Vec<f32> = lines.iter().filter(|line| line.glyphs.len() > 3).map(angle).collect();
    angles.sort_by(f32::total_cmp);
    angles.get(angles.len() / 2).copied().unwrap_or(0.0)
}

/// Characters that were read, with the seal's ink lifted, inside the seal's round.
fn characters_under(seal: &Quad, lines: &[Line]) -> usize {
    let centre = [(seal[0][0] + seal[2][0]) / 2.0, (seal[0][1] + seal[2][1]) / 2.0];
    let radius = quad_height(seal).max(seal[1][0] - seal[0][0]) / 2.0;
    let inside = |line: &&Line| line.confidence() >= UNDER_SEAL_CONFIDENCE;
    let spot = |line: &Line, share: f32| -> [f32; 2] {
        std::array::from_fn(|i| {
            let (start, end) = ((line.quad[0][i] + line.quad[3][i]) / 2.0, (line.quad[1][i] + line.quad[2][i]) / 2.0);
            start + (end - start) * share
        })
    };
    let glyphs = lines.iter().filter(inside).flat_map(|line| line.glyphs.iter().map(move |g| spot(line, (g.left + g.right) / 2.0)));
    glyphs.filter(|at| (at[0] - centre[0]).hypot(at[1] - centre[1]) < radius).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::layout::testing::line;

    #[test]
    fn a_mark_of_use_is_known_by_its_words_or_by_running_across() {
        let print = [line(0.0, 0.0, 20.0, "姓名张三"), line(0.0, 60.0, 20.0, "住址样本市样本路一号")];
        assert!(!has_mark_of_use(&print));
        let with = |extra: Line| print.iter().cloned().chain([extra]).collect::<Vec<_>>();
        assert!(has_mark_of_use(&with(line(0.0, 120.0, 20.0, "仅供好店开户使用"))));
        let mut across = line(0.0, 0.0, 30.0, "此件不作别用");
        let (sin, cos) = 30f32.to_radians().sin_cos();
        across.quad = across.quad.map(|[x, y]| [x * cos - y * sin, x * sin + y * cos]);
        assert!(has_mark_of_use(&with(across)));
    }

    #[test]
    fn print_under_a_seal_is_counted_and_print_beside_it_is_not() {
        let lines = [line(0.0, 0.0, 20.0, "二〇二三年五月六日")];
        let seal = |x: f32| [[x, -60.0], [x + 120.0, -60.0], [x + 120.0, 60.0], [x, 60.0]];
        assert!(characters_under(&seal(20.0), &lines) >= UNDER_SEAL_CHARACTERS);
        assert_eq!(characters_under(&seal(400.0), &lines), 0);
    }
}
