//! Finds which way up the page is. Lines that stand instead of lying mean a quarter turn; the direction model then votes,
//! line by line, whether the text stands on its head.

use ::image::RgbImage;
use ndarray::Array4;

use super::geometry::{Turn, crop, quad_height, quad_width};
use crate::{
    document::Quad,
    engine::Session,
    error::{Cause, Stage, StageError},
    manifest::Role,
};

const CROP_WIDTH: u32 = 192;
const CROP_HEIGHT: u32 = 48;
/// Lines that vote: long lines are the surest, and more than this changes no verdict.
const VOTERS_MAX: usize = 15;
/// A box counts as standing when it is this much taller than wide, and as lying the other way round.
const CLEAR_ASPECT: f32 = 1.5;

/// Whether the lines mostly stand, so that the page lies on its side. Long lines count more: a stray upright stamp or
/// single characters must not turn the page.
pub fn lies_on_its_side(lines: &[Quad]) -> bool {
    let (mut standing, mut lying) = (0.0, 0.0);
    for line in lines {
        let (width, height) = (quad_width(line), quad_height(line));
        if height > width * CLEAR_ASPECT {
            standing += height;
        } else if width > height * CLEAR_ASPECT {
            lying += width;
        }
    }
    standing > lying
}

/// The half turn that sets the text upright, by majority weighted with each vote's certainty.
pub fn run(session: &Session<'_>, page: &RgbImage, lines: &[Quad]) -> Result<Turn, StageError> {
    let voters = voters(lines);
    if voters.is_empty() {
        return Ok(Turn::None);
    }
    let mut input = Array4::zeros((voters.len(), 3, CROP_HEIGHT as usize, CROP_WIDTH as usize));
    for (at, line) in voters.iter().enumerate() {
        let natural = quad_width(line) / quad_height(line).max(1.0) * CROP_HEIGHT as f32;
        let width = (natural.round() as u32).clamp(1, CROP_WIDTH);
        // Only the beginning of a long line: squeezing all of it in would make the characters unreadable.
        let line = beginning(line, CROP_WIDTH as f32 / natural.max(1.0));
        for (x, y, pixel) in crop(page, &line, width, CROP_HEIGHT).enumerate_pixels() {
            for channel in 0..3 {
                input[[at, channel, y as usize, x as usize]] = (f32::from(pixel.0[2 - channel]) / 255.0 - 0.5) / 0.5;
            }
        }
    }
    let output = session.run(Role::Direction, &input).map_err(StageError::at(Stage::Direction))?;
    if output.shape != [voters.len(), 2] {
        let shape = output.shape.iter().map(|&side| side as i64).collect();
        return Err(StageError::at(Stage::Direction)(Cause::Shape(shape)));
    }
    Ok(verdict(&output.values))
}

/// `votes` holds, per line, the probability of upright and of upside down.
fn verdict(votes: &[f32]) -> Turn {
    let lead: f32 = votes.chunks_exact(2).map(|vote| vote[1] - vote[0]).sum();
    if lead > 0.0 { Turn::Half } else { Turn::None }
}

fn voters(lines: &[Quad]) -> Vec<Quad> {
    let mut lying: Vec<Quad> = lines.iter().copied().filter(|line| quad_width(line) > quad_height(line) * CLEAR_ASPECT).collect();
    lying.sort_by(|a, b| quad_width(b).total_cmp(&quad_width(a)));
    lying.truncate(VOTERS_MAX);
    lying
}

fn beginning(line: &Quad, share: f32) -> Quad {
    let share = share.min(1.0);
    let part = |from: [f32; 2], to: [f32; 2]| [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
    [line[0], part(line[0], line[1]), part(line[3], line[2]), line[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(x: f32, y: f32, width: f32, height: f32) -> Quad {
        [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    }

    #[test]
    fn standing_lines_lay_the_page_on_its_side() {
        assert!(lies_on_its_side(&[line(0.0, 0.0, 20.0, 300.0), line(40.0, 0.0, 20.0, 200.0), line(80.0, 0.0, 50.0, 20.0)]));
        assert!(!lies_on_its_side(&[line(0.0, 0.0, 300.0, 20.0), line(0.0, 40.0, 20.0, 60.0)]));
        assert!(!lies_on_its_side(&[]));
    }

    #[test]
    fn sure_votes_outweigh_doubtful_ones() {
        assert_eq!(verdict(&[0.45, 0.55, 0.45, 0.55, 0.99, 0.01]), Turn::None);
        assert_eq!(verdict(&[0.01, 0.99, 0.6, 0.4]), Turn::Half);
        assert_eq!(verdict(&[]), Turn::None);
    }
}
