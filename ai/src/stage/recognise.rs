//! Reads the text lines: each line is cut out at 48 pixels height, read by the recognition model, and decoded character
//! by character with a confidence each, because one doubtful digit matters more than a good mean.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use ::image::{RgbImage, imageops};
use ndarray::Array4;

use super::{
    geometry::{crop, quad_height, quad_width},
    ink,
};
use crate::{
    document::{
        Quad,
        layout::{Glyph, Line},
    },
    engine::{Dictionary, Engine, Model},
    error::{Cause, Stage, StageError},
};

const HEIGHT: u32 = 48;
/// Widths are rounded up to a multiple of this, so that the model sees few shapes.
const WIDTH_STEP: u32 = 64;
const WIDTH_MIN: u32 = 128;
/// A line longer than this (some 70 characters) is squeezed; it bounds the time and memory of one run.
const WIDTH_MAX: u32 = 2560;
/// A box this much taller than wide holds vertical text, which is read lying on its side.
const VERTICAL_ASPECT: f32 = 1.5;
/// Lines read less surely than this are read once more with pale marks removed.
const SECOND_LOOK_BELOW: f32 = 0.90;
/// A character counts as half of its line height wide at most, to either side of its centre.
const HALF_GLYPH: f32 = 0.55;

/// Reads every line; lines without any character are left out.
pub fn run(engine: &Engine, page: &RgbImage, quads: &[Quad]) -> Result<Vec<Line>, StageError> {
    let next = AtomicUsize::new(0);
    let read: Mutex<Vec<Option<Result<Line, Cause>>>> = Mutex::new(quads.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..engine.recognise.sessions().min(quads.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(quad) = quads.get(at) else { break };
                    let line = read_line(engine, page, quad);
                    read.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(line);
                }
            });
        }
    });
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lines: Result<Vec<Line>, Cause> = read.into_iter().flatten().collect();
    Ok(lines.map_err(StageError::at(Stage::Recognise))?.into_iter().filter(|line| !line.glyphs.is_empty()).collect())
}

fn read_line(engine: &Engine, page: &RgbImage, quad: &Quad) -> Result<Line, Cause> {
    let (width, height) = (quad_width(quad), quad_height(quad));
    let vertical = height > width * VERTICAL_ASPECT;
    let aspect = if vertical { height / width.max(1.0) } else { width / height.max(1.0) };
    let crop_width = ((HEIGHT as f32 * aspect).ceil() as u32).clamp(HEIGHT / 4, WIDTH_MAX);
    let image = if vertical { imageops::rotate270(&crop(page, quad, HEIGHT, crop_width)) } else { crop(page, quad, crop_width, HEIGHT) };
    let first = read_crop(&engine.recognise, &engine.dictionary, &image)?;
    let glyphs = if mean(&first) < SECOND_LOOK_BELOW {
        let second = read_crop(&engine.recognise, &engine.dictionary, &ink::without_pale_marks(&image))?;
        if mean(&second) > mean(&first) { second } else { first }
    } else {
        first
    };
    Ok(Line { glyphs, quad: *quad })
}

fn read_crop(model: &Model, dictionary: &Dictionary, image: &RgbImage) -> Result<Vec<Glyph>, Cause> {
    let padded = (image.width().div_ceil(WIDTH_STEP) * WIDTH_STEP).max(WIDTH_MIN);
    let mut input = Array4::zeros((1, 3, HEIGHT as usize, padded as usize));
    for (x, y, pixel) in image.enumerate_pixels() {
        for channel in 0..3 {
            input[[0, channel, y as usize, x as usize]] = (f32::from(pixel.0[2 - channel]) / 255.0 - 0.5) / 0.5;
        }
    }
    let output = model.run(&input)?;
    let &[1, _, classes] = output.shape.as_slice() else {
        return Err(Cause::Shape(output.shape.iter().map(|&side| side as i64).collect()));
    };
    if classes != dictionary.classes() {
        return Err(Cause::Shape(vec![classes as i64, dictionary.classes() as i64]));
    }
    Ok(decode(&output.values, dictionary, padded as f32 / image.width() as f32))
}

/// CTC decoding: the best class per step, repeats merged, blanks (class 0) dropped. Positions are shares of the line's
/// width; `stretch` is the padded width over the line's own.
pub fn decode(steps: &[f32], dictionary: &Dictionary, stretch: f32) -> Vec<Glyph> {
    let classes = dictionary.classes();
    let count = steps.len() / classes;
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut previous = 0;
    for (step, scores) in steps.chunks_exact(classes).enumerate() {
        let highest = scores.iter().copied().fold(f32::MIN, f32::max);
        let best = scores.iter().position(|&score| score == highest).unwrap_or(0);
        let at = (step as f32 + 0.5) / count as f32 * stretch;
        if best != 0 && best == previous {
            // The same character goes on: the surest step speaks for it.
            if let Some(glyph) = glyphs.last_mut() {
                glyph.confidence = glyph.confidence.max(dictionary.confidence(best, scores));
                glyph.right = at;
            }
        } else if best != 0 {
            let confidence = dictionary.confidence(best, scores);
            glyphs.push(Glyph { character: dictionary.character(best), confidence, left: at, right: at });
        }
        previous = best;
    }
    let step = stretch / count.max(1) as f32;
    widen(&mut glyphs, step);
    glyphs.retain(|glyph| !glyph.character.is_whitespace());
    glyphs
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

fn mean(glyphs: &[Glyph]) -> f32 {
    glyphs.iter().map(|glyph| glyph.confidence).sum::<f32>() / glyphs.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary() -> Dictionary {
        Dictionary::new(vec!['甲', '乙', ' '])
    }

    fn decoded(steps: &[[f32; 4]]) -> Vec<(char, f32)> {
        decode(&steps.concat(), &dictionary(), 1.0).into_iter().map(|glyph| (glyph.character, glyph.confidence)).collect()
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
        let glyphs = decode(&[0.0, 0.5, 0.375, 0.125], &dictionary, 1.0);
        assert_eq!((glyphs[0].character, glyphs[0].confidence), ('廈', 0.875));
    }

    #[test]
    fn nothing_and_only_blanks_and_spaces_read_as_nothing() {
        assert_eq!(decoded(&[]), []);
        assert_eq!(decoded(&[BLANK, BLANK, SPACE]), []);
    }

    #[test]
    fn characters_get_their_place_in_the_line() {
        let glyphs = decode(&[A, BLANK, BLANK, B].concat(), &dictionary(), 1.0);
        assert!(glyphs[0].left < 0.2 && glyphs[0].right <= 0.5);
        assert!(glyphs[1].left >= 0.5 && glyphs[1].right > 0.8);
        // With padding, the second half of the steps lies outside the line.
        let padded = decode(&[A, BLANK, BLANK, BLANK].concat(), &dictionary(), 2.0);
        assert!((padded[0].left + padded[0].right) / 2.0 > 0.2);
    }
}
