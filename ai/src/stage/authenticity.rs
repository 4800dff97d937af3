//! Signs that a page is not the paper itself, or not all of it: a photocopy, a screen, a mark of use, a seal over the print, a page
//! that leaves the picture. They send the page to a person and decide nothing: drawn pages, on which they were
//! measured, are kinder than real ones.

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{copy, finger, geometry::quad_height, moire, patch};
use crate::document::{DocumentKind, Fields, Quad, layout::Line, text, vocabulary::MARKS_OF_USE};

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
    /// A finger lies on the page (手指遮挡).
    PartlyOccluded,
    /// A value stands on a patch that is not of the page (局部改动).
    Edited,
}

/// What was measured and what follows from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Signs {
    pub flags: Vec<AuthenticityFlag>,
    /// Where the red seal is, in pixels of the page.
    pub seal: Option<Quad>,
}

/// Lines that run across the page at more than this angle to the others are no print of the paper.
const DIAGONAL_DEGREES: f32 = 12.0;
/// A diagonal line of at least this many characters, read at least this surely, is a mark; less may be a pattern.
const DIAGONAL_CHARACTERS: usize = 3;
const DIAGONAL_CONFIDENCE: f32 = 0.6;
/// A field is covered when this share of its length lies under the seal.
const UNDER_SEAL_SHARE: f32 = 0.2;
/// How finely that share is measured.
const SPOTS: usize = 40;
/// Seals are set on these as a rule.
const SEALED_BY_USE: [&str; 3] = ["issue_date", "issuer", "registration_date"];

/// Looks at the upright `page` of a `kind` with its `seal` and `fields`. Whether it is `marked` for one use, was found
/// `in_a_photograph`, and leaves the picture, is known by now.
pub fn run(
    page: &RgbImage,
    kind: DocumentKind,
    seal: Option<Quad>,
    fields: &Fields,
    marked: bool,
    in_a_photograph: bool,
    out_of_frame: bool,
) -> Signs {
    let raised = [
        (copy::is_colourless(page), AuthenticityFlag::Photocopy),
        (in_a_photograph && moire::is_off_a_screen(page, kind), AuthenticityFlag::ScreenRecapture),
        (marked, AuthenticityFlag::HasWatermark),
        (seal.is_some_and(|seal| covers_a_field(&seal, fields)), AuthenticityFlag::SealOverText),
        (out_of_frame, AuthenticityFlag::OutOfFrame),
        (in_a_photograph && finger::lies_on(page), AuthenticityFlag::PartlyOccluded),
        (patch::under_a_value(page, fields), AuthenticityFlag::Edited),
    ];
    Signs { flags: raised.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect(), seal }
}

/// Whether a mark of use stands among the lines: one with its words, or one that runs across the page.
pub fn has_mark_of_use(lines: &[Line]) -> bool {
    let level = usual_angle(lines);
    lines.iter().any(|line| mark_of_use(line).is_some() || runs_across(line, level))
}

/// The words of a mark of use on a line, from where they begin.
pub fn mark_of_use(line: &Line) -> Option<String> {
    let words = text::normalise(&line.text());
    let at = MARKS_OF_USE.iter().filter_map(|mark| words.find(mark)).min()?;
    Some(words[at..].to_owned())
}

/// Whether a line runs across a page whose lines run at the angle `level`, in degrees.
pub fn runs_across(line: &Line, level: f32) -> bool {
    let off = (angle(line) - level).abs();
    off > DIAGONAL_DEGREES
        && off < 90.0 - DIAGONAL_DEGREES
        && line.glyphs.len() >= DIAGONAL_CHARACTERS
        && line.confidence() >= DIAGONAL_CONFIDENCE
}

fn angle(line: &Line) -> f32 {
    let [from, to] = [line.quad[0], line.quad[1]];
    (to[1] - from[1]).atan2(to[0] - from[0]).to_degrees()
}

/// The angle at which most of the lines run that are no marks by their words, in degrees.
pub fn usual_angle(lines: &[Line]) -> f32 {
    let print = lines.iter().filter(|line| line.glyphs.len() > 3 && mark_of_use(line).is_none());
    let mut angles: Vec<f32> = print.map(angle).collect();
    angles.sort_by(f32::total_cmp);
    angles.get(angles.len() / 2).copied().unwrap_or(0.0)
}

/// Whether a good part of a field lies under the seal, other than those that a seal is set on by its use.
fn covers_a_field(seal: &Quad, fields: &Fields) -> bool {
    let centre = [(seal[0][0] + seal[2][0]) / 2.0, (seal[0][1] + seal[2][1]) / 2.0];
    let radius = quad_height(seal).max(seal[1][0] - seal[0][0]) / 2.0;
    let under = |quad: &Quad| {
        let spot = |share: f32| -> [f32; 2] {
            std::array::from_fn(|i| {
                let (start, end) = ((quad[0][i] + quad[3][i]) / 2.0, (quad[1][i] + quad[2][i]) / 2.0);
                start + (end - start) * share
            })
        };
        let spots = (0..SPOTS).map(|at| spot((at as f32 + 0.5) / SPOTS as f32));
        spots.filter(|at| (at[0] - centre[0]).hypot(at[1] - centre[1]) < radius).count() as f32 / SPOTS as f32
    };
    fields.iter().any(|(name, field)| !SEALED_BY_USE.contains(&name.as_str()) && under(&field.quad) >= UNDER_SEAL_SHARE)
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
    fn a_seal_over_a_field_counts_and_over_the_date_of_issue_does_not() {
        let field = |x: f32| crate::document::Field {
            canonical: String::new(),
            value: "值".to_owned(),
            raw: "值".to_owned(),
            confidence: 0.9,
            quad: [[x, 0.0], [x + 200.0, 0.0], [x + 200.0, 20.0], [x, 20.0]],
            checks: vec![],
        };
        let fields = |name: &str| Fields::from([(name.to_owned(), field(0.0))]);
        let seal = |x: f32| [[x, -60.0], [x + 120.0, -60.0], [x + 120.0, 60.0], [x, 60.0]];
        assert!(covers_a_field(&seal(120.0), &fields("holder")));
        assert!(!covers_a_field(&seal(120.0), &fields("issue_date")));
        assert!(!covers_a_field(&seal(190.0), &fields("holder")));
    }
}
