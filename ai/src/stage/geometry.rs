//! Points, rotated rectangles and upright crops.

use ::image::RgbImage;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::document::Quad;

pub type Point = [f32; 2];

/// A turn of the whole page, clockwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    None,
    Quarter,
    Half,
    ThreeQuarters,
}

impl Turn {
    pub fn degrees(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }

    /// The turn of so many degrees; what is no quarter is none.
    pub fn of_degrees(degrees: u16) -> Self {
        match degrees {
            90 => Self::Quarter,
            180 => Self::Half,
            270 => Self::ThreeQuarters,
            _ => Self::None,
        }
    }

    pub fn apply(self, image: RgbImage) -> RgbImage {
        match self {
            Self::None => image,
            Self::Quarter => ::image::imageops::rotate90(&image),
            Self::Half => ::image::imageops::rotate180(&image),
            Self::ThreeQuarters => ::image::imageops::rotate270(&image),
        }
    }

    /// This turn followed by half a turn.
    pub fn and_half(self) -> Self {
        match self {
            Self::None => Self::Half,
            Self::Quarter => Self::ThreeQuarters,
            Self::Half => Self::None,
            Self::ThreeQuarters => Self::Quarter,
        }
    }
}

/// The quad after half a turn of a page of this size; its first corner stays the top left of the text.
pub fn half_turned(quad: &Quad, width: f32, height: f32) -> Quad {
    let turned = |corner: Point| [width - corner[0], height - corner[1]];
    [turned(quad[2]), turned(quad[3]), turned(quad[0]), turned(quad[1])]
}

pub fn scaled(quad: &Quad, factor: f32) -> Quad {
    quad.map(|corner| corner.map(|side| side * factor))
}

fn length(from: Point, to: Point) -> f32 {
    (to[0] - from[0]).hypot(to[1] - from[1])
}

/// Mean length of the sides along the text.
pub fn quad_width(quad: &Quad) -> f32 {
    (length(quad[0], quad[1]) + length(quad[3], quad[2])) / 2.0
}

/// Mean length of the sides across the text.
pub fn quad_height(quad: &Quad) -> f32 {
    (length(quad[0], quad[3]) + length(quad[1], quad[2])) / 2.0
}

/// The smallest rectangle of any angle around the points, its first side within 45 degrees of horizontal.
pub fn min_area_rect(points: &[Point]) -> Option<Quad> {
    let hull = convex_hull(points);
    let mut best: Option<(f32, Quad)> = None;
    for (i, &from) in hull.iter().enumerate() {
        let to = hull[(i + 1) % hull.len()];
        let side = length(from, to);
        if side == 0.0 {
            continue;
        }
        let along = upright([(to[0] - from[0]) / side, (to[1] - from[1]) / side]);
        let rect = rect_along(&hull, along);
        let area = quad_width(&rect) * quad_height(&rect);
        if best.is_none_or(|(smallest, _)| area < smallest) {
            best = Some((area, rect));
        }
    }
    best.map(|(_, rect)| rect)
}

/// Of the four directions of a rectangle's sides, the one nearest to "to the right".
fn upright(direction: Point) -> Point {
    let [x, y] = direction;
    [[x, y], [-y, x], [-x, -y], [y, -x]].into_iter().fold(direction, |best, d| if d[0] > best[0] { d } else { best })
}

fn rect_along(points: &[Point], along: Point) -> Quad {
    let across = [-along[1], along[0]];
    let extent = |axis: Point| {
        points.iter().map(|p| p[0] * axis[0] + p[1] * axis[1]).fold((f32::MAX, f32::MIN), |(low, high), at| (low.min(at), high.max(at)))
    };
    let ((left, right), (top, bottom)) = (extent(along), extent(across));
    let corner = |u: f32, v: f32| [u * along[0] + v * across[0], u * along[1] + v * across[1]];
    [corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)]
}

/// The rectangle moved outwards by `by` on every side.
pub fn grown(rect: &Quad, by: f32) -> Quad {
    let (width, height) = (quad_width(rect).max(f32::EPSILON), quad_height(rect).max(f32::EPSILON));
    let along = [(rect[1][0] - rect[0][0]) / width * by, (rect[1][1] - rect[0][1]) / width * by];
    let across = [(rect[3][0] - rect[0][0]) / height * by, (rect[3][1] - rect[0][1]) / height * by];
    let moved = |corner: Point, u: f32, v: f32| [corner[0] + u * along[0] + v * across[0], corner[1] + u * along[1] + v * across[1]];
    [moved(rect[0], -1.0, -1.0), moved(rect[1], 1.0, -1.0), moved(rect[2], 1.0, 1.0), moved(rect[3], -1.0, 1.0)]
}

fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let cross = |o: Point, a: Point, b: Point| (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while chain.len() >= 2 && cross(chain[chain.len() - 2], chain[chain.len() - 1], point) <= 0.0 {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut sorted.iter().copied());
    hull.extend(half(&mut sorted.iter().rev().copied()));
    hull
}

/// Cuts the quad out upright at the given size. Where the source is larger, several samples are averaged, because
/// skipping pixels would break thin strokes.
pub fn crop(image: &RgbImage, quad: &Quad, width: u32, height: u32) -> RgbImage {
    const SAMPLES_MAX: u32 = 3;
    let shrink = (quad_height(quad) / height as f32).max(quad_width(quad) / width as f32);
    let samples = (shrink.ceil().max(1.0) as u32).min(SAMPLES_MAX);
    let (across, down) = (1.0 / width as f32, 1.0 / height as f32);
    resampled(image, width, height, samples, |[x, y]| {
        let (u, v) = (x * across, y * down);
        std::array::from_fn(|axis| {
            let top = quad[0][axis] * (1.0 - u) + quad[1][axis] * u;
            let bottom = quad[3][axis] * (1.0 - u) + quad[2][axis] * u;
            top * (1.0 - v) + bottom * v
        })
    })
}

/// A picture of `width` x `height` whose points `place` takes into `image`, each the mean of `samples` x `samples`; what lies outside
/// repeats the edge.
pub(super) fn resampled(image: &RgbImage, width: u32, height: u32, samples: u32, place: impl Fn(Point) -> Point) -> RgbImage {
    let offsets: Vec<f32> = (0..samples).map(|part| (part as f32 + 0.5) / samples as f32).collect();
    let share = 1.0 / (samples * samples) as f32;
    let mut raw = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0; 3];
            for down in &offsets {
                for across in &offsets {
                    let [u, v] = place([x as f32 + across, y as f32 + down]);
                    let colour = bilinear(image, u - 0.5, v - 0.5);
                    sum.iter_mut().zip(colour).for_each(|(sum, channel)| *sum += channel);
                }
            }
            // rounded: nothing is below zero
            raw.extend(sum.map(|channel| (channel * share + 0.5) as u8));
        }
    }
    RgbImage::from_raw(width, height, raw).expect("three bytes a pixel")
}

/// The picture at another size, each pixel what `filter` makes of those it covers. A tenth of what `image` takes for a large one.
pub(super) fn resized(image: &RgbImage, width: u32, height: u32, filter: FilterType) -> RgbImage {
    let from = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3).expect("three bytes a pixel");
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new().resize(&from, &mut to, &options).expect("both are of one pixel type");
    RgbImage::from_raw(width, height, to.into_vec()).expect("three bytes a pixel")
}

/// The height of a [`glimpse`].
const GLIMPSE_HEIGHT: u32 = 24;
/// Its width is bounded to so many heights.
const GLIMPSE_ASPECT_MAX: u32 = 40;

/// The inside of a quad at a small size: enough to see what ink is in a line, not to read it.
pub fn glimpse(image: &RgbImage, quad: &Quad) -> RgbImage {
    let wide = (quad_width(quad) / quad_height(quad).max(1.0) * GLIMPSE_HEIGHT as f32).ceil() as u32;
    crop(image, quad, wide.clamp(GLIMPSE_HEIGHT / 4, GLIMPSE_HEIGHT * GLIMPSE_ASPECT_MAX), GLIMPSE_HEIGHT)
}

fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (right, bottom) = (image.width() - 1, image.height() - 1);
    let (x, y) = (x.clamp(0.0, right as f32), y.clamp(0.0, bottom as f32));
    let (x0, y0) = (x as u32, y as u32);
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let row = image.width() as usize * 3;
    let here = y0 as usize * row + x0 as usize * 3;
    let beside = if x0 < right { 3 } else { 0 };
    let below = here + if y0 < bottom { row } else { 0 };
    let pixel = |at: usize| -> [u8; 3] { std::array::from_fn(|channel| image.as_raw()[at..at + 3][channel]) };
    let (a, b, c, d) = (pixel(here), pixel(here + beside), pixel(below), pixel(below + beside));
    std::array::from_fn(|i| {
        let top = f32::from(a[i]) * (1.0 - fx) + f32::from(b[i]) * fx;
        let bottom = f32::from(c[i]) * (1.0 - fx) + f32::from(d[i]) * fx;
        top * (1.0 - fy) + bottom * fy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &Quad, b: &Quad) -> bool {
        a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() < 0.01)
    }

    #[test]
    fn a_rectangle_of_points_is_found_with_its_first_corner_top_left() {
        let points = [[10.0, 5.0], [50.0, 5.0], [50.0, 15.0], [10.0, 15.0], [30.0, 10.0]];
        let rect = min_area_rect(&points).unwrap();
        assert!(close(&rect, &[[10.0, 5.0], [50.0, 5.0], [50.0, 15.0], [10.0, 15.0]]), "{rect:?}");
        assert!(close(&grown(&rect, 2.0), &[[8.0, 3.0], [52.0, 3.0], [52.0, 17.0], [8.0, 17.0]]));
    }

    #[test]
    fn a_tilted_rectangle_keeps_its_tilt() {
        let (sin, cos) = 10f32.to_radians().sin_cos();
        let turn = |[x, y]: Point| [x * cos - y * sin, x * sin + y * cos];
        let square = [[0.0, 0.0], [100.0, 0.0], [100.0, 20.0], [0.0, 20.0]];
        let rect = min_area_rect(&square.map(turn)).unwrap();
        assert!(close(&rect, &square.map(turn)), "{rect:?}");
    }

    #[test]
    fn degenerate_points_give_no_rectangle() {
        assert_eq!(min_area_rect(&[]), None);
        assert_eq!(min_area_rect(&[[1.0, 1.0], [1.0, 1.0]]), None);
    }

    #[test]
    fn half_a_turn_twice_is_none() {
        let quad = [[1.0, 2.0], [5.0, 2.0], [5.0, 4.0], [1.0, 4.0]];
        assert!(close(&half_turned(&half_turned(&quad, 20.0, 10.0), 20.0, 10.0), &quad));
        assert!(close(&half_turned(&quad, 20.0, 10.0), &[[15.0, 6.0], [19.0, 6.0], [19.0, 8.0], [15.0, 8.0]]));
    }

    #[test]
    fn a_crop_shows_what_the_quad_covers() {
        let image = RgbImage::from_fn(40, 20, |x, _| ::image::Rgb([if x < 20 { 0 } else { 200 }; 3]));
        let quad = [[20.0, 0.0], [40.0, 0.0], [40.0, 20.0], [20.0, 20.0]];
        assert!(crop(&image, &quad, 4, 4).pixels().all(|p| p.0 == [200; 3]));
        let outside = [[-50.0, -50.0], [-10.0, -50.0], [-10.0, -10.0], [-50.0, -10.0]];
        assert!(crop(&image, &outside, 4, 4).pixels().all(|p| p.0 == [0; 3]));
    }
}
