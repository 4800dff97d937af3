//! Finds which way up the page is. Lines that stand instead of lying mean a quarter turn; the direction model then votes,
//! line by line, whether the text stands on its head. The classifier's opinion is heard in both, and decides where there are few lines.

use ::image::RgbImage;
use ndarray::Array4;

use super::{
    appearance::Appearance,
    geometry::{Turn, crop, quad_height, quad_width},
};
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

/// What the picture says counts as much as half of all lines of print for lying on a side, and as two sure lines for standing on its head.
const PICTURE_AXIS: f32 = 0.5;
const PICTURE_VOTES: f32 = 2.0;

/// Whether the page lies on its side: the lines mostly stand, or leave it open and the picture says so. Long lines count more: a stray
/// upright stamp or single characters must not turn the page.
pub fn lies_on_its_side(lines: &[Quad], picture: &Appearance) -> bool {
    let (mut standing, mut lying) = (0.0, 0.0);
    for line in lines {
        let (width, height) = (quad_width(line), quad_height(line));
        if height > width * CLEAR_ASPECT {
            standing += height;
        } else if width > height * CLEAR_ASPECT {
            lying += width;
        }
    }
    let share = if standing + lying > 0.0 { standing / (standing + lying) } else { 0.5 };
    let seen = picture.needs(Turn::Quarter) + picture.needs(Turn::ThreeQuarters);
    share + PICTURE_AXIS * (seen - 0.5) > 0.5
}

/// Whether the page, after `turn`, stands on its head: by a vote of the lines weighted with their certainty, and the picture's.
pub fn stands_on_its_head(
    session: &Session<'_>,
    page: &RgbImage,
    lines: &[Quad],
    turn: Turn,
    picture: &Appearance,
) -> Result<bool, StageError> {
    Ok(lead(session, page, lines)? + PICTURE_VOTES * (picture.needs(turn.and_half()) - picture.needs(turn)) > 0.0)
}

/// By how many sure lines those that stand on their heads outnumber the others.
fn lead(session: &Session<'_>, page: &RgbImage, lines: &[Quad]) -> Result<f32, StageError> {
    let voters = voters(lines);
    if voters.is_empty() {
        return Ok(0.0);
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
    let output = session.run(Role::Direction, input).map_err(StageError::at(Stage::Direction))?;
    if output.shape != [voters.len(), 2] {
        let shape = output.shape.iter().map(|&side| side as i64).collect();
        return Err(StageError::at(Stage::Direction)(Cause::Shape(shape)));
    }
    Ok(surplus(&output.values))
}

/// `votes` holds, per line, the probability of upright and of upside down.
fn surplus(votes: &[f32]) -> f32 {
    votes.chunks_exact(2).map(|vote| vote[1] - vote[0]).sum()
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
    use super::{super::appearance::testing::sure, *};
    use crate::document::DocumentKind;

    fn line(x: f32, y: f32, width: f32, height: f32) -> Quad {
        [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    }

    #[test]
    fn standing_lines_lay_the_page_on_its_side_and_the_picture_decides_where_they_leave_it_open() {
        let seen = |turn: Turn| sure(DocumentKind::IdFront, turn, 0.97);
        let on_side = [line(0.0, 0.0, 20.0, 300.0), line(40.0, 0.0, 20.0, 200.0), line(80.0, 0.0, 50.0, 20.0)];
        let level = [line(0.0, 0.0, 300.0, 20.0), line(0.0, 40.0, 20.0, 60.0)];
        let open = [line(0.0, 0.0, 300.0, 20.0), line(0.0, 40.0, 20.0, 300.0)];
        for turn in [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters] {
            let seen_on_side = matches!(turn, Turn::Quarter | Turn::ThreeQuarters);
            assert!(lies_on_its_side(&on_side, &seen(turn)) && !lies_on_its_side(&level, &seen(turn)), "{turn:?}");
            assert_eq!(lies_on_its_side(&open, &seen(turn)), seen_on_side, "{turn:?}");
            assert_eq!(lies_on_its_side(&[], &seen(turn)), seen_on_side, "{turn:?}");
        }
    }

    #[test]
    fn sure_votes_outweigh_doubtful_ones() {
        assert!(surplus(&[0.45, 0.55, 0.45, 0.55, 0.99, 0.01]) < 0.0);
        assert!(surplus(&[0.01, 0.99, 0.6, 0.4]) > 0.0);
        assert_eq!(surplus(&[]), 0.0);
    }
}
