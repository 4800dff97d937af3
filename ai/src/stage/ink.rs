//! Separates print from what is stamped over it: red seals and pale marks such as a diagonal 样本.

use ::image::{Rgb, RgbImage};

use crate::document::Quad;

/// A pixel is seal ink when red leads both other channels by this much; black print under a seal leads by less.
const RED_LEAD: u8 = 24;
/// Seal ink keeps its red channel near the paper's; this lift takes it the rest of the way.
const RED_LIFT: f32 = 1.12;
/// Marks are paler than print: above this share of the paper's brightness everything becomes paper.
const MARK_SHARE: f32 = 0.62;
/// Thin red print in a photograph is darker than this share of the paper's brightness, and red when so much of it is.
const RED_INK_DARKNESS: f32 = 0.85;
const RED_INK_SHARE: f32 = 0.6;
/// Below this share of the paper's brightness everything becomes ink.
const INK_SHARE: f32 = 0.10;
/// The paper's brightness in a crop: the level that this share of its pixels stays under.
const PAPER_PERCENTILE: f32 = 0.85;

/// Less red than this is noise, not ink.
const RED_SHARE_MIN: f32 = 0.0005;
/// Less of a box than this being dark, no print stands in it.
const PRINT_SHARE_MIN: f32 = 0.03;
/// Print is darker than this share of the paper's brightness, and seal ink that was lifted is not.
const PRINT_DARKNESS: f32 = 0.75;

/// Replaces seal ink by its red channel, so that a red seal fades into the paper and the black print under it stays.
pub fn lift_red(image: &mut RgbImage) {
    image.pixels_mut().for_each(lift);
}

fn lift(pixel: &mut Rgb<u8>) {
    if is_red(pixel) {
        *pixel = Rgb([(f32::from(pixel.0[0]) * RED_LIFT).min(255.0) as u8; 3]);
    }
}

/// The page with seal ink lifted; `None` where it has no red ink, so that nothing is copied.
pub fn red_lifted(page: &RgbImage) -> Option<RgbImage> {
    (share(page, is_red) > RED_SHARE_MIN).then(|| {
        let mut lifted = page.clone();
        lift_red(&mut lifted);
        lifted
    })
}

/// The page with seal ink lifted in these boxes only, for forms that are printed in red; `None` where no red is left then.
pub fn red_lifted_in(page: &RgbImage, seals: &[Quad]) -> Option<RgbImage> {
    let mut lifted = page.clone();
    for seal in seals {
        let bound = |axis: usize, most: u32| {
            let ends = seal.iter().fold((f32::MAX, 0.0f32), |(from, to), corner| (from.min(corner[axis]), to.max(corner[axis])));
            (ends.0.max(0.0) as u32, (ends.1.ceil() as u32).min(most))
        };
        let ((left, right), (top, bottom)) = (bound(0, page.width()), bound(1, page.height()));
        for y in top..bottom {
            for x in left..right {
                lift(lifted.get_pixel_mut(x, y));
            }
        }
    }
    (share(&lifted, is_red) > RED_SHARE_MIN).then_some(lifted)
}

/// Whether most of what is printed in a crop is red.
pub fn is_red_print(crop: &RgbImage) -> bool {
    let paper = paper(crop);
    let is_ink = |pixel: &&Rgb<u8>| luma(pixel) < paper * RED_INK_DARKNESS;
    let (ink, red) = crop.pixels().filter(is_ink).fold((0, 0), |(ink, red), pixel| (ink + 1, red + u32::from(is_red(pixel))));
    let pixels = (crop.width() * crop.height()) as f32;
    red as f32 > ink as f32 * RED_INK_SHARE && red as f32 > pixels * PRINT_SHARE_MIN
}

/// Whether a crop whose seal ink was lifted holds print.
pub fn has_print(lifted: &RgbImage) -> bool {
    let paper = paper(lifted);
    share(lifted, |pixel| luma(pixel) < paper * PRINT_DARKNESS) >= PRINT_SHARE_MIN
}

/// The share of pixels that are so.
pub fn share(image: &RgbImage, is: impl Fn(&Rgb<u8>) -> bool) -> f32 {
    image.pixels().filter(|pixel| is(pixel)).count() as f32 / (image.width() as f32 * image.height() as f32).max(1.0)
}

/// Whether a pixel is seal ink.
pub fn is_red(Rgb([r, g, b]): &Rgb<u8>) -> bool {
    *r > g.saturating_add(RED_LEAD) && *r > b.saturating_add(RED_LEAD)
}

/// The crop with everything paler than print turned to paper.
pub fn without_pale_marks(crop: &RgbImage) -> RgbImage {
    let paper = paper(crop);
    let mut out = crop.clone();
    for pixel in out.pixels_mut() {
        *pixel = Rgb([ramp(luma(pixel) / paper.max(1.0), MARK_SHARE); 3]);
    }
    out
}

/// A brightness as a share of the paper's, with what is paler than `mark` turned to paper and what is darker than ink to ink.
pub fn ramp(share: f32, mark: f32) -> u8 {
    (((share - INK_SHARE) / (mark - INK_SHARE)).clamp(0.0, 1.0) * 255.0) as u8
}

/// How bright the crop's paper is.
pub fn paper(crop: &RgbImage) -> f32 {
    percentile(crop, PAPER_PERCENTILE)
}

/// Brightness as the eye weighs it, 0 to 255.
pub fn luma(pixel: &Rgb<u8>) -> f32 {
    let [r, g, b] = pixel.0.map(f32::from);
    0.299 * r + 0.587 * g + 0.114 * b
}

/// The level that this share of the pixels stays under.
pub fn percentile(image: &RgbImage, share: f32) -> f32 {
    let mut histogram = [0u32; 256];
    for pixel in image.pixels() {
        histogram[luma(pixel) as usize] += 1;
    }
    let wanted = (image.width() * image.height()) as f32 * share;
    let mut below = 0;
    for (level, count) in histogram.iter().enumerate() {
        below += count;
        if below as f32 >= wanted {
            return level as f32;
        }
    }
    255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_fades_and_the_print_under_it_stays() {
        let mut image = RgbImage::from_pixel(3, 1, Rgb([250, 250, 250]));
        image.put_pixel(0, 0, Rgb([230, 60, 60]));
        image.put_pixel(1, 0, Rgb([40, 22, 22]));
        lift_red(&mut image);
        assert_eq!(image.get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(image.get_pixel(1, 0).0, [40, 22, 22]);
        assert_eq!(image.get_pixel(2, 0).0, [250, 250, 250]);
    }

    #[test]
    fn only_the_ink_in_the_boxes_is_lifted() {
        let page = RgbImage::from_pixel(40, 20, Rgb([200, 40, 40]));
        let lifted = red_lifted_in(&page, &[[[10.0, -4.0], [20.0, -4.0], [20.0, 8.0], [10.0, 8.0]]]).unwrap();
        let is_lifted = |x, y| lifted.get_pixel(x, y).0 == [224; 3];
        assert!(is_lifted(10, 0) && is_lifted(19, 7) && !is_lifted(9, 0) && !is_lifted(20, 7) && !is_lifted(19, 8));
        assert_eq!(red_lifted_in(&page, &[[[0.0, 0.0], [40.0, 0.0], [40.0, 20.0], [0.0, 20.0]]]), None);
    }

    #[test]
    fn red_print_is_told_from_black_print_under_a_seal() {
        let crop = |colour: fn(u32) -> Option<[u8; 3]>| RgbImage::from_fn(40, 20, |x, _| Rgb(colour(x).unwrap_or([250, 248, 245])));
        assert!(is_red_print(&crop(|x| x.is_multiple_of(5).then_some([160, 50, 40]))));
        assert!(!is_red_print(&crop(|x| x.is_multiple_of(5).then_some([40, 38, 36]))));
        assert!(!is_red_print(&crop(|x| if x.is_multiple_of(4) {
            Some([40, 38, 36])
        } else {
            x.is_multiple_of(5).then_some([215, 60, 60])
        })));
        assert!(!is_red_print(&crop(|_| None)));
    }

    #[test]
    fn a_pale_mark_turns_to_paper_and_print_to_ink() {
        let mut image = RgbImage::from_pixel(10, 10, Rgb([230; 3]));
        image.put_pixel(0, 0, Rgb([180; 3]));
        image.put_pixel(1, 0, Rgb([20; 3]));
        let cleaned = without_pale_marks(&image);
        assert_eq!(cleaned.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(cleaned.get_pixel(1, 0).0, [0; 3]);
    }
}
