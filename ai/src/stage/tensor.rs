//! A picture as the models that find and read text want it.

use ::image::RgbImage;
use ndarray::Array4;

/// The picture at the top left of `width` x `height` (at least its own), blue first as the models were trained, from -1 to 1; the rest is
/// zero.
pub(super) fn of_text(image: &RgbImage, width: u32, height: u32) -> Array4<f32> {
    let (width, height) = (width as usize, height as usize);
    let mut values = vec![0.0; 3 * width * height];
    let (blue, rest) = values.split_at_mut(width * height);
    let (green, red) = rest.split_at_mut(width * height);
    let rows = image.as_raw().chunks_exact((image.width() as usize * 3).max(1));
    let planes = blue.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(red.chunks_exact_mut(width));
    let scaled = |level: u8| (f32::from(level) / 255.0 - 0.5) / 0.5;
    for (row, ((blue, green), red)) in rows.zip(planes) {
        for (((pixel, blue), green), red) in row.chunks_exact(3).zip(blue).zip(green).zip(red) {
            (*blue, *green, *red) = (scaled(pixel[2]), scaled(pixel[1]), scaled(pixel[0]));
        }
    }
    Array4::from_shape_vec((1, 3, height, width), values).expect("as many values as the shape has")
}

#[cfg(test)]
mod tests {
    use ::image::Rgb;

    use super::*;

    #[test]
    fn blue_comes_first_and_what_the_picture_does_not_reach_is_zero() {
        let mut image = RgbImage::from_pixel(2, 1, Rgb([255, 0, 51]));
        image.put_pixel(1, 0, Rgb([0, 255, 255]));
        let tensor = of_text(&image, 3, 2);
        assert_eq!(tensor.shape(), [1, 3, 2, 3]);
        let rows: Vec<[f32; 3]> = tensor.iter().copied().collect::<Vec<_>>().chunks(3).map(|row| [row[0], row[1], row[2]]).collect();
        assert_eq!(rows, [[-0.6, 1.0, 0.0], [0.0; 3], [-1.0, 1.0, 0.0], [0.0; 3], [1.0, -1.0, 0.0], [0.0; 3]]);
    }
}
