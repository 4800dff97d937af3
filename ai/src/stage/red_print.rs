//! Finds the red print of a form. Lines are looked for on the page with red ink lifted, which clears it of seals and marks, and of a form's
//! labels as well; so pages of kinds that are printed in red are looked at once more with seals alone lifted.

use ::image::RgbImage;

use super::{
    geometry::{glimpse, quad_height, quad_width},
    ink,
};
use crate::document::{DocumentKind, Quad};

/// A box this much higher than the usual line is a mark across the page.
const HIGH: f32 = 2.0;
/// A form's lines lie as the page's other lines do, within this slope.
const SLOPE_MAX: f32 = 0.07;

/// Whether forms of this kind are printed in red: deeds and the register's booklet.
pub fn is_usual(kind: DocumentKind) -> bool {
    matches!(kind, DocumentKind::DeedOld | DocumentKind::DeedNew | DocumentKind::HouseholdHead | DocumentKind::HouseholdMember)
}

/// The boxes of red print among those `seen` on the page, level and of usual height.
pub fn among(seen: &[Quad], page: &RgbImage, usual: &[Quad]) -> Vec<Quad> {
    let (height, slope) = (middle(usual, quad_height), middle(usual, slope));
    let is_label = |quad: &&Quad| {
        let level = (self::slope(quad) - slope).abs() < SLOPE_MAX || quad_width(quad) < quad_height(quad) * 2.0;
        level && quad_height(quad) < height * HIGH && ink::is_red_print(&glimpse(page, quad))
    };
    seen.iter().filter(is_label).copied().collect()
}

/// Whether the middle of the box lies in one of the others.
pub fn lies_in_one(quad: &Quad, others: &[Quad]) -> bool {
    let centre = |axis: usize| quad.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
    let within = |other: &Quad, axis: usize| {
        let (from, to) = other.iter().fold((f32::MAX, f32::MIN), |(from, to), corner| (from.min(corner[axis]), to.max(corner[axis])));
        (from..=to).contains(&centre(axis))
    };
    others.iter().any(|other| within(other, 0) && within(other, 1))
}

fn slope(quad: &Quad) -> f32 {
    (quad[1][1] - quad[0][1]) / (quad[1][0] - quad[0][0]).abs().max(1.0)
}

fn middle(quads: &[Quad], measure: impl Fn(&Quad) -> f32) -> f32 {
    let mut values: Vec<f32> = quads.iter().map(measure).collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    fn line(x: f32, y: f32) -> Quad {
        [[x, y], [x + 120.0, y], [x + 120.0, y + 24.0], [x, y + 24.0]]
    }

    #[test]
    fn labels_in_red_are_found_and_black_print_and_marks_across_the_page_are_not() {
        let page = RgbImage::from_fn(600, 300, |x, _| {
            Rgb(match (x < 300, x % 6 < 2) {
                (true, true) => [150, 50, 40],
                (false, true) => [40, 38, 36],
                _ => [250, 248, 245],
            })
        });
        let usual = [line(20.0, 20.0), line(320.0, 20.0), line(320.0, 60.0)];
        let across = [[20.0, 160.0], [140.0, 110.0], [150.0, 134.0], [30.0, 184.0]];
        let high = [[20.0, 100.0], [260.0, 100.0], [260.0, 180.0], [20.0, 180.0]];
        assert_eq!(among(&[line(20.0, 20.0), line(320.0, 60.0), across, high], &page, &usual), [line(20.0, 20.0)]);
    }

    #[test]
    fn a_box_lies_in_the_one_that_its_middle_lies_in() {
        assert!(lies_in_one(&line(30.0, 22.0), &[line(320.0, 20.0), line(20.0, 20.0)]));
        assert!(!lies_in_one(&line(90.0, 22.0), &[line(20.0, 20.0)]) && !lies_in_one(&line(20.0, 20.0), &[]));
    }
}
