//! Finds the page in the photograph: four straight sides along which the picture changes its colour from one side to the other. Rulings,
//! frames and print inside a page are lines too, but have the same paper on both sides. When no four sides are sure the whole picture is
//! taken as the page, because a wrong cut costs the text and a missing one only a little sharpness.

use ::image::{RgbImage, imageops};
use fast_image_resize::FilterType;

use super::{
    geometry::{Point, quad_height, quad_width, resized},
    homography::{Homography, corners, warp},
};
use crate::document::Quad;

/// Long side at which sides are looked for: print and texture are small then, sides are not.
const SIDE: u32 = 320;
/// Lines kept of each direction.
const LINES_MAX: usize = 12;
/// A page smaller than this share of the picture is not what the picture is about.
const AREA_MIN: f32 = 0.25;
/// Sides of a photographed page meet at this angle at least (cosine of it at most).
const CORNER_COSINE_MAX: f32 = 0.5;
/// The share of each side, and of all four together, along which the colour must change.
const SIDE_SUPPORT_MIN: f32 = 0.55;
const SUPPORT_MIN: f32 = 0.78;
/// The same when the picture's own edges are sides: two or three sides must say more than four.
const SUPPORT_CUT_MIN: f32 = 0.93;
/// A colour change counts from this distance on, of 442 between black and white.
const STEP_MIN: f32 = 9.0;
/// What a page that leaves the picture lies on has another colour than the page, by this distance: otherwise its "sides" are rulings, or the
/// edges of a portrait.
const GROUND_MIN: f32 = 9.0;
/// How far from the side the colour is looked at, in pixels of the small picture: near, so that a thin margin counts, and beyond.
const REACHES: [f32; 2] = [2.5, 5.0];
/// So many quads with edges of the picture among their sides are looked at, 2 ms each.
const CUT_CANDIDATES: usize = 12;
/// A page that fills the picture to this share needs no cutting out.
const FULL_AREA: f32 = 0.985;
/// A corner may lie this far outside the picture, as a share of the side.
const OUTSIDE_MAX: f32 = 0.03;

/// Text with more of its boxes' area than this outside the page speaks against the page.
const TEXT_OUTSIDE_MAX: f32 = 0.02;

/// What the photograph shows of the page's sides.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Page {
    /// All four: the corners, clockwise from the one nearest the top left.
    Whole(Quad),
    /// Two or three; the page leaves the picture at the others. The corners of what is seen of it.
    Cut(Quad),
    /// None that is sure: the picture is the page, or cannot be told from it.
    Unknown,
}

/// Whether the text that was found in the photograph lies inside the page: a shadow's edge or a panel on the page leaves text outside.
pub fn holds_text(page: &Quad, text: &[Quad]) -> bool {
    // A box reaches a little beyond its print, so its inner half is what must lie inside.
    let part_outside = |quad: &Quad| {
        let centre: Point = std::array::from_fn(|axis| quad.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0);
        let inner = quad.map(|corner| std::array::from_fn(|axis| centre[axis] + (corner[axis] - centre[axis]) * 0.8));
        inner.iter().any(|&corner| !lies_in(page, corner))
    };
    let outside: f32 = text.iter().filter(|quad| part_outside(quad)).map(area).sum();
    outside <= text.iter().map(area).sum::<f32>() * TEXT_OUTSIDE_MAX
}

/// Whether the point lies in the quad, whose corners run clockwise.
fn lies_in(quad: &Quad, [x, y]: Point) -> bool {
    (0..4).all(|at| {
        let (from, to) = (quad[at], quad[(at + 1) % 4]);
        (to[0] - from[0]) * (y - from[1]) - (to[1] - from[1]) * (x - from[0]) >= 0.0
    })
}

/// Looks for the page's sides.
pub fn find(photo: &RgbImage) -> Page {
    let scale = SIDE as f32 / photo.width().max(photo.height()) as f32;
    if scale >= 1.0 {
        return Page::Unknown;
    }
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(8);
    let small = Picture::of(&resized(photo, side(photo.width()), side(photo.height()), FilterType::Box));
    let lines = small.lines();
    let (sx, sy) = (photo.width() as f32 / small.width, photo.height() as f32 / small.height);
    let at_full_size = |[x, y]: Point| [(x * sx).clamp(0.0, photo.width() as f32), (y * sy).clamp(0.0, photo.height() as f32)];
    if let Some(quad) = candidates(&small, &lines, 0).into_iter().next() {
        return Page::Whole(quad.map(at_full_size));
    }
    let cut =
        candidates(&small, &with_edges(&small, lines), 2).into_iter().take(CUT_CANDIDATES).find(|quad| small.leaves_the_picture(quad));
    cut.map_or(Page::Unknown, |quad| Page::Cut(quad.map(at_full_size)))
}

/// The lines and the picture's own edges, as sides at which a page may be cut.
fn with_edges(picture: &Picture, [mut lying, mut standing]: [Vec<Side>; 2]) -> [Vec<Side>; 2] {
    let edge = |normal: Point, offset: f32| Side { normal, offset, votes: 0.0 };
    lying.extend([edge([0.0, 1.0], 0.0), edge([0.0, 1.0], picture.height)]);
    standing.extend([edge([1.0, 0.0], 0.0), edge([1.0, 0.0], picture.width)]);
    [lying, standing]
}

/// The page cut out flat, and the map from it back into the photograph.
pub fn cut_out(photo: &RgbImage, page: &Quad) -> Option<(RgbImage, Homography)> {
    let (width, height) = (quad_width(page).round().max(1.0), quad_height(page).round().max(1.0));
    let map = Homography::between(&corners(width, height), page)?;
    Some((warp(photo, &map, width as u32, height as u32), map))
}

/// A straight line: `x * normal[0] + y * normal[1] = offset`, and how many edge pixels lie on it.
#[derive(Clone, Copy, Debug)]
struct Side {
    normal: Point,
    offset: f32,
    votes: f32,
}

/// The small photograph, blurred a little.
struct Picture {
    width: f32,
    height: f32,
    columns: usize,
    colours: Vec<[f32; 3]>,
}

impl Picture {
    fn of(image: &RgbImage) -> Self {
        let soft = imageops::blur(image, 0.8);
        let colours = soft.pixels().map(|pixel| pixel.0.map(f32::from)).collect();
        Self { width: image.width() as f32, height: image.height() as f32, columns: image.width() as usize, colours }
    }

    fn at(&self, x: f32, y: f32) -> Option<[f32; 3]> {
        (x >= 0.0 && y >= 0.0 && x < self.width && y < self.height).then(|| self.colours[y as usize * self.columns + x as usize])
    }

    /// The strongest lines of both directions, the lying ones first.
    fn lines(&self) -> [Vec<Side>; 2] {
        let edges = self.edges();
        let diagonal = self.width.hypot(self.height);
        let (angles, offsets) = (180, (2.0 * diagonal) as usize + 2);
        let mut votes = vec![0.0f32; angles * offsets];
        for &(x, y, direction, strength) in &edges {
            let degree = direction.to_degrees().rem_euclid(180.0);
            for off in -4..=4 {
                let angle = (degree.round() as i32 + off).rem_euclid(180) as usize;
                let (sin, cos) = (angle as f32).to_radians().sin_cos();
                let at = ((x * cos + y * sin) + diagonal).round() as usize;
                votes[angle * offsets + at.min(offsets - 1)] += strength;
            }
        }
        let mut found: Vec<Side> = Vec::new();
        for (at, &count) in votes.iter().enumerate() {
            let (angle, offset) = (at / offsets, (at % offsets) as f32 - diagonal);
            if count < self.width.min(self.height) * 0.2 || !is_peak(&votes, angles, offsets, at) {
                continue;
            }
            let (sin, cos) = (angle as f32).to_radians().sin_cos();
            found.push(Side { normal: [cos, sin], offset, votes: count });
        }
        found.sort_by(|a, b| b.votes.total_cmp(&a.votes));
        let (mut lying, mut standing): (Vec<Side>, Vec<Side>) =
            found.into_iter().partition(|side| side.normal[1].abs() > side.normal[0].abs());
        lying.truncate(LINES_MAX);
        standing.truncate(LINES_MAX);
        [lying, standing]
    }

    /// Pixels where the colour changes: place, direction of change, and how clearly (at most 1, so that a hard edge inside the page
    /// counts no more than a soft side).
    fn edges(&self) -> Vec<(f32, f32, f32, f32)> {
        let (columns, rows) = (self.columns, self.height as usize);
        let mut edges = Vec::new();
        for y in 1..rows - 1 {
            for x in 1..columns - 1 {
                let at = y * columns + x;
                let change = |a: usize, b: usize| {
                    let (a, b) = (self.colours[a], self.colours[b]);
                    // The channel that changes most speaks for the pixel.
                    (0..3).map(|c| b[c] - a[c]).fold(0.0, |most: f32, d| if d.abs() > most.abs() { d } else { most })
                };
                let (dx, dy) = (change(at - 1, at + 1), change(at - columns, at + columns));
                let strength = dx.hypot(dy);
                if strength > 8.0 {
                    edges.push((x as f32 + 0.5, y as f32 + 0.5, dy.atan2(dx), (strength / 24.0).min(1.0)));
                }
            }
        }
        edges
    }

    /// Whether the page runs into the picture's edges where the quad ends with them: it lies on a ground of another colour, and what is seen
    /// along those edges is the page and not that ground.
    fn leaves_the_picture(&self, quad: &Quad) -> bool {
        let place = |at: usize| [(at % self.columns) as f32 + 0.5, (at / self.columns) as f32 + 0.5];
        let (inside, outside): (Vec<usize>, Vec<usize>) = (0..self.colours.len()).partition(|&at| lies_in(quad, place(at)));
        let Some((page, ground)) = self.usual(&inside).zip(self.usual(&outside)) else { return false };
        let rows = self.colours.len() / self.columns.max(1);
        let row = |y: usize| (0..self.columns).map(move |x| y * self.columns + x).collect::<Vec<_>>();
        let column = |x: usize| (0..rows).map(move |y| y * self.columns + x).collect::<Vec<_>>();
        let on_edge = |a: Point, b: Point| {
            let both = |axis: usize, at: f32| (a[axis] - at).abs() < 1.0 && (b[axis] - at).abs() < 1.0;
            match (both(1, 0.0), both(1, self.height), both(0, 0.0), both(0, self.width)) {
                (true, ..) => row(0),
                (_, true, ..) => row(rows - 1),
                (_, _, true, _) => column(0),
                (.., true) => column(self.columns - 1),
                _ => Vec::new(),
            }
        };
        let is_page = |at: usize| {
            let seen: Vec<usize> = on_edge(quad[at], quad[(at + 1) % 4]).into_iter().filter(|&at| lies_in(quad, place(at))).collect();
            self.usual(&seen).is_none_or(|seen| distance(seen, page) < distance(seen, ground))
        };
        distance(page, ground) > GROUND_MIN && (0..4).all(is_page)
    }

    /// The middle of each channel over these pixels.
    fn usual(&self, pixels: &[usize]) -> Option<[f32; 3]> {
        let middle = |channel: usize| {
            let mut levels: Vec<f32> = pixels.iter().map(|&at| self.colours[at][channel]).collect();
            let half = levels.len() / 2;
            *levels.select_nth_unstable_by(half, f32::total_cmp).1
        };
        (!pixels.is_empty()).then(|| std::array::from_fn(middle))
    }

    /// The share of a side along which the colour changes from inside to outside, in both reaches.
    fn support(&self, from: Point, to: Point) -> f32 {
        let length = (to[0] - from[0]).hypot(to[1] - from[1]).max(1.0);
        // Clockwise corners: the inside is to the right of the way.
        let inward = [-(to[1] - from[1]) / length, (to[0] - from[0]) / length];
        let count = (length / 3.0) as usize;
        let mut changes = 0;
        for step in 0..count {
            let share = (step as f32 + 0.5) / count as f32;
            // Rounded corners say nothing.
            if !(0.05..=0.95).contains(&share) {
                changes += 1;
                continue;
            }
            let (x, y) = (from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share);
            let changed = REACHES.iter().all(|reach| {
                let inside = self.at(x + inward[0] * reach, y + inward[1] * reach);
                let outside = self.at(x - inward[0] * reach, y - inward[1] * reach);
                inside.zip(outside).is_some_and(|(a, b)| distance(a, b) > STEP_MIN)
            });
            changes += usize::from(changed);
        }
        changes as f32 / count.max(1) as f32
    }
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>().sqrt()
}

/// Whether no place near `at`, in angle and offset, has more votes.
fn is_peak(votes: &[f32], angles: usize, offsets: usize, at: usize) -> bool {
    let (angle, offset) = ((at / offsets) as i32, (at % offsets) as i32);
    for da in -5..=5i32 {
        for d in -3..=3i32 {
            let (mut other_angle, mut other_offset) = (angle + da, offset + d);
            if other_angle < 0 || other_angle >= angles as i32 {
                // Past half a turn the normal points the other way.
                other_angle = other_angle.rem_euclid(angles as i32);
                other_offset = offsets as i32 - 2 - other_offset;
            }
            if (0..offsets as i32).contains(&other_offset) {
                let other = other_angle as usize * offsets + other_offset as usize;
                if votes[other] > votes[at] || (votes[other] == votes[at] && other < at) {
                    return false;
                }
            }
        }
    }
    true
}

/// The quads of lines, of which at most so many are edges of the picture, the best first.
fn candidates(picture: &Picture, [lying, standing]: &[Vec<Side>; 2], edges_max: usize) -> Vec<Quad> {
    let mut found: Vec<(f32, Quad)> = Vec::new();
    for (i, a) in lying.iter().enumerate() {
        for b in &lying[i + 1..] {
            for (j, c) in standing.iter().enumerate() {
                for d in &standing[j + 1..] {
                    let edges = [a, b, c, d].into_iter().filter(|side| side.votes == 0.0).count();
                    let Some(quad) = quad_of(a, b, c, d).filter(|_| edges <= edges_max) else { continue };
                    found.extend(score(picture, &quad, edges).map(|score| (score, quad)));
                }
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, quad)| quad).collect()
}

fn score(picture: &Picture, quad: &Quad, edges: usize) -> Option<f32> {
    let slack = OUTSIDE_MAX * picture.width.max(picture.height);
    let inside = |[x, y]: Point| x >= -slack && y >= -slack && x <= picture.width + slack && y <= picture.height + slack;
    let share = area(quad) / (picture.width * picture.height);
    if !quad.iter().all(|&corner| inside(corner)) || !(AREA_MIN..FULL_AREA).contains(&share) || !is_page_shaped(quad) {
        return None;
    }
    let sides: [f32; 4] = std::array::from_fn(|at| picture.support(quad[at], quad[(at + 1) % 4]));
    // Nothing lies beyond an edge of the picture, so no colour changes there.
    let weak = sides.iter().filter(|&&side| side < SIDE_SUPPORT_MIN).count();
    let support = (sides.iter().sum::<f32>() + edges as f32) / 4.0;
    if weak > edges || support < if edges == 0 { SUPPORT_MIN } else { SUPPORT_CUT_MIN } {
        return None;
    }
    // Of a page and a coloured panel on it, both well supported, the page is the larger.
    Some(support + 0.6 * share)
}

/// Convex, clockwise, with corners that a photographed rectangle can have, and opposite sides of similar length.
fn is_page_shaped(quad: &Quad) -> bool {
    let way = |at: usize| {
        let (from, to) = (quad[at % 4], quad[(at + 1) % 4]);
        let length = (to[0] - from[0]).hypot(to[1] - from[1]);
        ([(to[0] - from[0]) / length, (to[1] - from[1]) / length], length)
    };
    let corners = (0..4).all(|at| {
        let ((a, _), (b, _)) = (way(at), way(at + 1));
        a[0] * b[1] - a[1] * b[0] > 0.0 && (a[0] * b[0] + a[1] * b[1]).abs() < CORNER_COSINE_MAX
    });
    let alike = |a: f32, b: f32| a.min(b) > a.max(b) * 0.6;
    corners && alike(way(0).1, way(2).1) && alike(way(1).1, way(3).1)
}

fn area(quad: &Quad) -> f32 {
    (0..4).map(|at| quad[at][0] * quad[(at + 1) % 4][1] - quad[(at + 1) % 4][0] * quad[at][1]).sum::<f32>().abs() / 2.0
}

/// The quad between two lying and two standing lines, its corners clockwise from the top left.
fn quad_of(a: &Side, b: &Side, c: &Side, d: &Side) -> Option<Quad> {
    let height = |side: &Side| side.offset / side.normal[1];
    let column = |side: &Side| side.offset / side.normal[0];
    let (top, bottom) = if height(a) < height(b) { (a, b) } else { (b, a) };
    let (left, right) = if column(c) < column(d) { (c, d) } else { (d, c) };
    Some([meet(top, left)?, meet(top, right)?, meet(bottom, right)?, meet(bottom, left)?])
}

fn meet(a: &Side, b: &Side) -> Option<Point> {
    let cross = a.normal[0] * b.normal[1] - a.normal[1] * b.normal[0];
    (cross.abs() > 0.3)
        .then(|| [(a.offset * b.normal[1] - b.offset * a.normal[1]) / cross, (a.normal[0] * b.offset - b.normal[0] * a.offset) / cross])
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    /// A page with print and a ruled frame on a table, both with some grain.
    fn photo(page: &Quad, paper: [u8; 3], table: [u8; 3]) -> RgbImage {
        let flat = Homography::between(page, &corners(1000.0, 640.0)).unwrap();
        RgbImage::from_fn(1200, 900, |x, y| {
            let [u, v] = flat.point([x as f32 + 0.5, y as f32 + 0.5]);
            let grain = ((x * 7919 + y * 104_729) % 13) as u8;
            if !(0.0..1000.0).contains(&u) || !(0.0..640.0).contains(&v) {
                return Rgb(table.map(|c| c.saturating_add(grain)));
            }
            let frame = (u - 60.0).abs() < 3.0 || (u - 940.0).abs() < 3.0 || (v - 60.0).abs() < 3.0 || (v - 580.0).abs() < 3.0;
            let print = (100.0..700.0).contains(&u)
                && (v as u32 / 30).is_multiple_of(2)
                && (u as u32 / 5).is_multiple_of(3)
                && v > 90.0
                && v < 550.0;
            Rgb(if frame || print { [30; 3] } else { paper.map(|c| c.saturating_sub(grain / 2)) })
        })
    }

    fn furthest(found: &Quad, page: &Quad) -> f32 {
        found.iter().zip(page).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).fold(0.0, f32::max)
    }

    #[test]
    fn a_page_on_a_table_is_found_however_it_lies() {
        for page in [
            [[200.0, 150.0], [1000.0, 150.0], [1000.0, 700.0], [200.0, 700.0]],
            [[180.0, 230.0], [980.0, 120.0], [1050.0, 650.0], [240.0, 780.0]],
            [[250.0, 120.0], [950.0, 140.0], [1080.0, 720.0], [130.0, 700.0]],
        ] {
            for (paper, table) in [([225, 225, 220], [90, 70, 50]), ([200, 205, 210], [235, 235, 235])] {
                let Page::Whole(found) = find(&photo(&page, paper, table)) else { panic!("{page:?} on {table:?}") };
                assert!(furthest(&found, &page) < 14.0, "{found:?} for {page:?} on {table:?}");
            }
        }
    }

    #[test]
    fn broad_rulings_with_the_same_paper_beyond_are_no_sides() {
        let ruled = |ground: u8| {
            RgbImage::from_fn(1200, 900, |x, y| {
                Rgb([if (60..100).contains(&x) || (800..840).contains(&y) {
                    90
                } else if x < 60 || y >= 840 {
                    ground
                } else {
                    230
                }; 3])
            })
        };
        assert_eq!(find(&ruled(230)), Page::Unknown);
        assert!(matches!(find(&ruled(160)), Page::Cut(_)), "another ground");
    }

    #[test]
    fn a_pale_card_whose_far_sides_fade_into_the_ground_is_not_cut() {
        let scan = RgbImage::from_fn(1200, 900, |x, y| {
            let on_card = (60..1140).contains(&x) && (60..840).contains(&y);
            let tint = 70u32.saturating_sub(x.max(y * 4 / 3) / 16) as u8;
            Rgb(if on_card { [252 - tint, 252 - tint / 2, 252] } else { [252; 3] })
        });
        assert_eq!(find(&scan), Page::Unknown);
    }

    #[test]
    fn a_picture_that_is_the_page_is_left_whole() {
        let page = [[-10.0, -10.0], [1210.0, -10.0], [1210.0, 910.0], [-10.0, 910.0]];
        assert_eq!(find(&photo(&page, [230, 230, 225], [0; 3])), Page::Unknown);
        assert_eq!(find(&RgbImage::from_pixel(900, 600, Rgb([240; 3]))), Page::Unknown);
    }

    #[test]
    fn a_page_that_leaves_the_picture_is_not_cut_out_wrongly() {
        let page = [[500.0, 150.0], [1500.0, 150.0], [1500.0, 760.0], [500.0, 760.0]];
        assert!(matches!(find(&photo(&page, [225, 225, 220], [90, 70, 50])), Page::Cut(_)));
    }

    #[test]
    fn a_page_that_leaves_text_outside_is_none() {
        let page = corners(100.0, 60.0);
        let text = |x: f32| [[x, 10.0], [x + 40.0, 10.0], [x + 40.0, 20.0], [x, 20.0]];
        assert!(holds_text(&page, &[text(5.0), text(50.0)]) && holds_text(&page, &[]));
        assert!(!holds_text(&page, &[text(5.0), text(80.0)]));
    }

    #[test]
    fn the_cut_out_page_maps_back_to_its_place() {
        let page = [[180.0, 230.0], [980.0, 120.0], [1050.0, 650.0], [240.0, 780.0]];
        let (flat, map) = cut_out(&photo(&page, [225, 225, 220], [90, 70, 50]), &page).unwrap();
        assert!(flat.get_pixel(8, 8).0[0] > 180, "paper, not table");
        let back = map.quad(&corners(flat.width() as f32, flat.height() as f32));
        assert!(furthest(&back, &page) < 2.0);
    }
}
