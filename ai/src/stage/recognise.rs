//! Reads the text lines: each line is cut out at 48 pixels height, read by the recognition model, and decoded character
//! by character with a confidence each, because one doubtful digit matters more than a good mean.
//!
//! A line can be read in several ways: as photographed, with red seal ink lifted, with pale marks removed; by the first or the second
//! reader; with any character or only those of a code. [`Reader::reread`] does so for a line whose field failed its checks, and the checks
//! then choose.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use ::image::{RgbImage, imageops};

use super::{
    geometry::{crop, glimpse, quad_height, quad_width},
    ink, tensor,
};
use crate::{
    document::{
        Quad,
        layout::{Glyph, Line},
    },
    engine::{Charset, Dictionary, Session},
    error::{Cause, Stage, StageError},
    manifest::Role,
};

const HEIGHT: u32 = 48;
/// Widths are rounded up to a multiple of this, so that the model sees few shapes.
const WIDTH_STEP: u32 = 32;
const WIDTH_MIN: u32 = 128;
/// A line longer than this (some 70 characters) is squeezed; it bounds the time and memory of one run.
const WIDTH_MAX: u32 = 2560;
/// A box this much taller than wide holds vertical text, which is read lying on its side.
const VERTICAL_ASPECT: f32 = 1.5;
/// Lines read less surely than this are read once more with pale marks removed.
const SECOND_LOOK_BELOW: f32 = 0.90;
/// A character counts as half of its line height wide at most, to either side of its centre.
const HALF_GLYPH: f32 = 0.55;
/// Other characters are named for a character read less surely than this.
const ALTERNATIVES_BELOW: f32 = 0.995;
/// How many others at most, and how likely each must be.
const ALTERNATIVES_MAX: usize = 2;
const ALTERNATIVE_MIN: f32 = 0.001;

/// The page as the lines are cut from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum View {
    /// As photographed.
    Raw,
    /// Red seal ink lifted to the paper.
    SealLifted,
    /// Everything paler than print turned to paper, after lifting seal ink.
    MarksRemoved,
}

/// Which model reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Voice {
    First,
    /// The independent second reader.
    Second,
}

/// A page that lines can be read from, upright.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub session: &'a Session<'a>,
    pub raw: &'a RgbImage,
    /// The same page with seal ink lifted; `raw` itself where there is none.
    pub lifted: &'a RgbImage,
}

impl Reader<'_> {
    /// Reads every line; lines without any character are left out.
    pub fn lines(&self, quads: &[Quad]) -> Result<Vec<Line>, StageError> {
        // The longest first, so that no thread begins a long line when the others are done.
        let mut order: Vec<usize> = (0..quads.len()).collect();
        order.sort_by(|&a, &b| aspect(&quads[b]).total_cmp(&aspect(&quads[a])));
        let next = AtomicUsize::new(0);
        let read: Mutex<Vec<Option<Result<Line, Cause>>>> = Mutex::new(quads.iter().map(|_| None).collect());
        std::thread::scope(|scope| {
            for _ in 0..self.session.engine.threads().min(quads.len()) {
                scope.spawn(|| {
                    while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let line = self.line(&quads[at]);
                        read.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(line);
                    }
                });
            }
        });
        let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lines: Result<Vec<Line>, Cause> = read.into_iter().flatten().collect();
        Ok(lines.map_err(StageError::at(Stage::Recognise))?.into_iter().filter(|line| !line.glyphs.is_empty()).collect())
    }

    fn line(&self, quad: &Quad) -> Result<Line, Cause> {
        let first = self.clearest(quad)?;
        if first.confidence() >= SECOND_LOOK_BELOW {
            return Ok(first);
        }
        let second = self.read(quad, Charset::Any, View::MarksRemoved, Voice::First)?;
        Ok(if second.confidence() > first.confidence() { second } else { first })
    }

    /// The line with red ink lifted, or as it is where it is printed in red: seals and marks lie over black print, and forms are red.
    fn clearest(&self, quad: &Quad) -> Result<Line, Cause> {
        let read = |view: View| self.read(quad, Charset::Any, view, Voice::First);
        if std::ptr::eq(self.raw, self.lifted) || !ink::is_red_print(&glimpse(self.raw, quad)) {
            return read(View::SealLifted);
        }
        let raw = read(View::Raw)?;
        if !ink::has_print(&glimpse(self.lifted, quad)) {
            return Ok(raw);
        }
        let lifted = read(View::SealLifted)?;
        Ok(if raw.confidence() > lifted.confidence() { raw } else { lifted })
    }

    /// Reads one line again, in another way.
    pub fn reread(&self, quad: &Quad, charset: Charset, view: View, voice: Voice) -> Result<Line, StageError> {
        self.read(quad, charset, view, voice).map_err(StageError::at(Stage::Recognise))
    }

    fn read(&self, quad: &Quad, charset: Charset, view: View, voice: Voice) -> Result<Line, Cause> {
        let page = if view == View::Raw { self.raw } else { self.lifted };
        let vertical = is_vertical(quad);
        let width = ((HEIGHT as f32 * aspect(quad)).ceil() as u32).clamp(HEIGHT / 4, WIDTH_MAX);
        let mut image = if vertical { imageops::rotate270(&crop(page, quad, HEIGHT, width)) } else { crop(page, quad, width, HEIGHT) };
        if view == View::MarksRemoved {
            image = ink::without_pale_marks(&image);
        }
        let (role, dictionary) = match voice {
            Voice::First => (Role::Recognise, &self.session.engine.dictionary),
            Voice::Second => (Role::SecondRecognise, &self.session.engine.second_dictionary),
        };
        let (steps, stretch) = scores(self.session, role, dictionary, &image)?;
        Ok(Line { glyphs: decode(&steps, dictionary, stretch, charset), quad: *quad })
    }
}

fn is_vertical(quad: &Quad) -> bool {
    quad_height(quad) > quad_width(quad) * VERTICAL_ASPECT
}

/// Length over height of the text, whichever way it runs.
fn aspect(quad: &Quad) -> f32 {
    let (width, height) = (quad_width(quad), quad_height(quad));
    if is_vertical(quad) { height / width.max(1.0) } else { width / height.max(1.0) }
}

/// The class scores per step, and the padded width over the line's own.
fn scores(session: &Session<'_>, role: Role, dictionary: &Dictionary, image: &RgbImage) -> Result<(Vec<f32>, f32), Cause> {
    let padded = (image.width().div_ceil(WIDTH_STEP) * WIDTH_STEP).max(WIDTH_MIN);
    let output = session.run(role, tensor::of_text(image, padded, HEIGHT))?;
    let &[1, _, classes] = output.shape.as_slice() else {
        return Err(Cause::Shape(output.shape.iter().map(|&side| side as i64).collect()));
    };
    if classes != dictionary.classes() {
        return Err(Cause::Shape(vec![classes as i64, dictionary.classes() as i64]));
    }
    Ok((output.values, padded as f32 / image.width() as f32))
}

/// CTC decoding: the best class per step, repeats merged, blanks (class 0) dropped; only characters of `charset` take part. Positions are
/// shares of the line's width; `stretch` is the padded width over the line's own.
pub fn decode(steps: &[f32], dictionary: &Dictionary, stretch: f32, charset: Charset) -> Vec<Glyph> {
    let classes = dictionary.classes();
    let count = steps.len() / classes;
    let allowed = (charset != Charset::Any).then(|| dictionary.allowed(charset));
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut previous = 0;
    for (step, scores) in steps.chunks_exact(classes).enumerate() {
        let best = match &allowed {
            None => highest(scores),
            Some(allowed) => allowed.iter().copied().fold(0, |best, class| if scores[class] > scores[best] { class } else { best }),
        };
        let at = (step as f32 + 0.5) / count as f32 * stretch;
        if best != 0 {
            let confidence = dictionary.confidence(best, scores);
            let glyph = || Glyph {
                character: dictionary.character(best),
                confidence,
                left: at,
                right: at,
                alternatives: alternatives(best, confidence, scores, dictionary, allowed.as_deref()),
            };
            match glyphs.last_mut().filter(|_| best == previous) {
                // The same character goes on: the surest step speaks for it.
                Some(last) if confidence > last.confidence => *last = Glyph { left: last.left, ..glyph() },
                Some(last) => last.right = at,
                None => glyphs.push(glyph()),
            }
        }
        previous = best;
    }
    let step = stretch / count.max(1) as f32;
    widen(&mut glyphs, step);
    glyphs.retain(|glyph| !glyph.character.is_whitespace());
    glyphs
}

fn highest(scores: &[f32]) -> usize {
    let highest = scores.iter().copied().fold(f32::MIN, f32::max);
    scores.iter().position(|&score| score == highest).unwrap_or(0)
}

/// The next likeliest characters of a doubtful step, without other forms of the same one.
fn alternatives(best: usize, confidence: f32, scores: &[f32], dictionary: &Dictionary, allowed: Option<&[usize]>) -> Vec<(char, f32)> {
    if confidence >= ALTERNATIVES_BELOW {
        return Vec::new();
    }
    let mut likely: Vec<usize> = match allowed {
        Some(allowed) => allowed.iter().copied().filter(|&class| scores[class] >= ALTERNATIVE_MIN).collect(),
        None => (0..scores.len()).filter(|&class| scores[class] >= ALTERNATIVE_MIN).collect(),
    };
    likely.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut chosen: Vec<usize> = Vec::new();
    for class in likely {
        let new = class != 0 && !dictionary.are_alike(class, best) && !chosen.iter().any(|&other| dictionary.are_alike(class, other));
        if new && chosen.len() < ALTERNATIVES_MAX {
            chosen.push(class);
        }
    }
    chosen.into_iter().map(|class| (dictionary.character(class), dictionary.confidence(class, scores))).collect()
}

/// CTC fires on a step or two per character; a character reaches half way to its neighbours, but no wider than it can be.
fn widen(glyphs: &mut [Glyph], step: f32) {
    // A step is 8 pixels of 48, so half a character of full height is three steps.
    let reach = step * 6.0 * HALF_GLYPH;
    let centres: Vec<f32> = glyphs.iter().map(|glyph| (glyph.left + glyph.right) / 2.0).collect();
    for (at, glyph) in glyphs.iter_mut().enumerate() {
        let centre = centres[at];
        let before = at.checked_sub(1).map_or(0.0, |before| (centres[before] + centre) / 2.0);
        let after = centres.get(at + 1).map_or(1.0, |after| (after + centre) / 2.0);
        glyph.left = before.max(centre - reach).clamp(0.0, 1.0);
        glyph.right = after.min(centre + reach).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary() -> Dictionary {
        Dictionary::new(vec!['甲', '乙', ' '])
    }

    fn decoded(steps: &[[f32; 4]]) -> Vec<(char, f32)> {
        decode(&steps.concat(), &dictionary(), 1.0, Charset::Any).into_iter().map(|glyph| (glyph.character, glyph.confidence)).collect()
    }

    const BLANK: [f32; 4] = [0.9, 0.1, 0.0, 0.0];
    const A: [f32; 4] = [0.2, 0.8, 0.0, 0.0];
    const SURE_A: [f32; 4] = [0.05, 0.95, 0.0, 0.0];
    const B: [f32; 4] = [0.1, 0.2, 0.7, 0.0];
    const SPACE: [f32; 4] = [0.1, 0.2, 0.0, 0.7];

    #[test]
    fn repeats_merge_and_keep_the_surest_step() {
        assert_eq!(decoded(&[BLANK, A, SURE_A, BLANK, B]), [('甲', 0.95), ('乙', 0.7)]);
    }

    #[test]
    fn a_blank_between_makes_two_of_the_same() {
        assert_eq!(decoded(&[A, BLANK, A]), [('甲', 0.8), ('甲', 0.8)]);
    }

    #[test]
    fn forms_of_one_character_are_counted_together() {
        let dictionary = Dictionary::new(vec!['廈', '厦', '夏']);
        let glyphs = decode(&[0.0, 0.5, 0.375, 0.125], &dictionary, 1.0, Charset::Any);
        assert_eq!((glyphs[0].character, glyphs[0].confidence), ('廈', 0.875));
        assert_eq!(glyphs[0].alternatives, [('夏', 0.125)], "another form of the same character is no alternative");
    }

    #[test]
    fn a_doubtful_character_names_others_and_a_charset_leaves_only_its_own() {
        let dictionary = Dictionary::new(vec!['O', '0', 'D', 'X']);
        let step = [0.0, 0.5, 0.3, 0.15, 0.05];
        let free = decode(&step, &dictionary, 1.0, Charset::Any);
        assert_eq!((free[0].character, free[0].alternatives.as_slice()), ('O', &[('0', 0.3), ('D', 0.15)][..]));
        let code = decode(&step, &dictionary, 1.0, Charset::IdNumber);
        assert_eq!((code[0].character, code[0].alternatives.as_slice()), ('0', &[('X', 0.05)][..]));
        assert_eq!(decode(&[0.001, 0.999, 0.0, 0.0, 0.0], &dictionary, 1.0, Charset::Any)[0].alternatives, []);
    }

    #[test]
    fn nothing_and_only_blanks_and_spaces_read_as_nothing() {
        assert_eq!(decoded(&[]), []);
        assert_eq!(decoded(&[BLANK, BLANK, SPACE]), []);
    }

    #[test]
    fn characters_get_their_place_in_the_line() {
        let glyphs = decode(&[A, BLANK, BLANK, B].concat(), &dictionary(), 1.0, Charset::Any);
        assert!(glyphs[0].left < 0.2 && glyphs[0].right <= 0.5);
        assert!(glyphs[1].left >= 0.5 && glyphs[1].right > 0.8);
        // With padding, the second half of the steps lies outside the line.
        let padded = decode(&[A, BLANK, BLANK, BLANK].concat(), &dictionary(), 2.0, Charset::Any);
        assert!((padded[0].left + padded[0].right) / 2.0 > 0.2);
    }
}
