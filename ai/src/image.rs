//! Bytes to pixels, with limits before any decoding: the first bytes decide the type, the header decides the size, and
//! only then is memory spent. The upload endpoint and the pipeline share these checks, so they cannot disagree.

use std::io::Cursor;

use ::image::{
    ColorType, DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage,
    codecs::jpeg::JpegEncoder,
    error::{ImageError as CodecError, LimitErrorKind},
    metadata::Orientation,
};
use serde::{Deserialize, Serialize};

/// Decoded pixels allowed: a 48-megapixel phone photo passes and costs 150 MB as RGB; more buys no text.
pub const PIXELS_MAX: u64 = 50_000_000;
/// Shorter than this, nothing on any of our documents can be read. What is longer and still small is read, and flagged as such.
pub const SIDE_MIN: u32 = 150;
/// Longer than this is a panorama or an attack, not a page.
pub const SIDE_MAX: u32 = 12_000;
/// JPEG quality of the stored copy: text stays readable by eye and machine at about a fifth of the PNG size.
pub const STORED_QUALITY: u8 = 90;
/// What the decoder may allocate: 16-bit RGBA of `PIXELS_MAX`, and some room for its tables.
const DECODER_BYTES_MAX: u64 = PIXELS_MAX * 8 + (64 << 20);

/// The image types we take.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    Jpeg,
    Png,
}

impl ImageFormat {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    fn codec(self) -> ::image::ImageFormat {
        match self {
            Self::Jpeg => ::image::ImageFormat::Jpeg,
            Self::Png => ::image::ImageFormat::Png,
        }
    }
}

/// What the header says; width and height are before the EXIF turn.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageFacts {
    pub format: ImageFormat,
    pub width: u32,
    pub height: u32,
}

/// Why bytes are refused as an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the file is empty")]
    Empty,
    #[error("the file is not an image")]
    NotAnImage,
    #[error("{found} files are not accepted, only JPEG and PNG")]
    UnsupportedType { found: &'static str },
    #[error("{width} x {height} pixels are too many")]
    TooLarge { width: u32, height: u32 },
    #[error("{width} x {height} pixels are too few")]
    TooSmall { width: u32, height: u32 },
    #[error("the file ends too early")]
    Truncated,
    #[error("the image data is damaged")]
    Damaged(#[source] CodecError),
}

/// Reads type and size from the header, without decoding.
pub fn inspect(bytes: &[u8]) -> Result<ImageFacts, ImageError> {
    let format = sniff(bytes)?;
    let (width, height) = ImageReader::with_format(Cursor::new(bytes), format.codec()).into_dimensions().map_err(read_error)?;
    if width.max(height) > SIDE_MAX || u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(ImageError::TooLarge { width, height });
    }
    if width.min(height) < SIDE_MIN {
        return Err(ImageError::TooSmall { width, height });
    }
    Ok(ImageFacts { format, width, height })
}

/// Decodes to RGB as a viewer would show it: EXIF turn applied, transparency on white. A cut-off file is an error here,
/// although many decoders would fill the rest with grey.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let facts = inspect(bytes)?;
    if facts.format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(ImageError::Truncated);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), facts.format.codec());
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(read_error)?;
    // A turn that cannot be parsed is treated as none: the direction stage turns the page by its text anyway.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(read_error)?;
    image.apply_orientation(orientation);
    Ok(if image.color().has_alpha() { on_white(&image) } else { image.into_rgb8() })
}

/// Encodes afresh as JPEG: what was hidden in metadata or behind the image data does not survive.
pub fn reencode(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let image = decode(bytes)?;
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, STORED_QUALITY)
        .encode(image.as_raw(), image.width(), image.height(), ColorType::Rgb8.into())
        .map_err(ImageError::Damaged)?;
    Ok(out)
}

fn sniff(bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    const OTHERS: [(&[u8], &str); 8] = [
        (b"%PDF", "PDF"),
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"PK\x03\x04", "ZIP or Office"),
        (b"<svg", "SVG"),
        (b"\xD0\xCF\x11\xE0", "Office"),
    ];
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.starts_with(b"\xFF\xD8\xFF") {
        return Ok(ImageFormat::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1A\n") {
        return Ok(ImageFormat::Png);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Err(ImageError::UnsupportedType { found: "WebP" });
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Err(ImageError::UnsupportedType { found: "HEIC, AVIF or video" });
    }
    match OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, found)) => Err(ImageError::UnsupportedType { found }),
        None => Err(ImageError::NotAnImage),
    }
}

/// Whether the JPEG's own end marker is present. Thumbnails in EXIF carry one too, so only what follows the start of
/// the last scan counts; bytes after the marker (some phones append data) do no harm.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut at = 2;
    while let (Some(&mark), Some(&code)) = (bytes.get(at), bytes.get(at + 1)) {
        if mark != 0xFF {
            return false;
        }
        if code == 0xFF {
            at += 1;
            continue;
        }
        if code == START_OF_SCAN {
            return bytes[at..].windows(2).any(|pair| pair == [0xFF, END_OF_IMAGE]);
        }
        let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

fn on_white(image: &DynamicImage) -> RgbImage {
    let rgba = image.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u32::from);
        ::image::Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a)) / 255) as u8))
    })
}

fn read_error(error: CodecError) -> ImageError {
    match &error {
        CodecError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => ImageError::Truncated,
        CodecError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::DimensionError) => {
            ImageError::TooLarge { width: SIDE_MAX + 1, height: SIDE_MAX + 1 }
        }
        _ => ImageError::Damaged(error),
    }
}
