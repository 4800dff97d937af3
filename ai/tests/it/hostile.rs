//! Every kind of bad upload is a typed error before it can cost anything, both in `inspect` and in the pipeline.

use std::io::Cursor;

use ai::{
    error::{Cause, Stage},
    image::{ImageError, ImageFormat, SIDE_MIN, decode, inspect, reencode},
    pipeline::Options,
    review::{Verdict, stage_failed},
};
use image::{DynamicImage, ImageFormat as Format, Rgb, RgbImage, RgbaImage};

use super::pipeline;

fn page(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x % 251) as u8, (y % 241) as u8, ((x * y) % 239) as u8])).into()
}

fn encoded(image: &DynamicImage, format: Format) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// A PNG header that promises more pixels than it could ever hold.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(&page(300, 300), Format::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[track_caller]
fn refused(bytes: &[u8]) -> ImageError {
    let error = pipeline().run(bytes, &Options::default()).unwrap_err();
    assert_eq!(error.stage, Stage::Decode);
    assert_eq!(stage_failed(&error).verdict, Verdict::Reupload);
    let Cause::Image(cause) = error.cause else { panic!("{error:?}") };
    cause
}

#[test]
fn what_is_no_jpeg_or_png_is_named() {
    assert!(matches!(refused(b""), ImageError::Empty));
    assert!(matches!(refused(b"hello, this is a text"), ImageError::NotAnImage));
    assert!(matches!(refused(b"%PDF-1.7\n%\xE2\xE3\xCF\xD3"), ImageError::UnsupportedType { found: "PDF" }));
    assert!(matches!(refused(b"GIF89a\x01\0\x01\0"), ImageError::UnsupportedType { found: "GIF" }));
    assert!(matches!(refused(b"RIFF\x24\0\0\0WEBPVP8 "), ImageError::UnsupportedType { found: "WebP" }));
}

#[test]
fn sizes_are_checked_from_the_header_alone() {
    let bomb = png_header(20_000, 10_000);
    assert!(matches!(inspect(&bomb), Err(ImageError::TooLarge { width: 20_000, height: 10_000 })));
    assert!(matches!(refused(&bomb), ImageError::TooLarge { .. }));
    assert!(matches!(refused(&png_header(11_000, 11_000)), ImageError::TooLarge { .. }));
    assert!(matches!(refused(&png_header(12_001, 400)), ImageError::TooLarge { .. }));
    assert!(matches!(refused(&encoded(&page(1, 1), Format::Png)), ImageError::TooSmall { width: 1, height: 1 }));
    assert!(matches!(refused(&encoded(&page(1000, SIDE_MIN - 1), Format::Jpeg)), ImageError::TooSmall { .. }));
}

#[test]
fn cut_off_files_are_refused_wherever_they_end() {
    for format in [Format::Jpeg, Format::Png] {
        let whole = encoded(&page(400, 300), format);
        assert!(decode(&whole).is_ok());
        for share in [99, 90, 50, 10] {
            let part = &whole[..whole.len() * share / 100];
            assert!(matches!(decode(part), Err(ImageError::Truncated)), "{format:?} cut to {share} %: {:?}", decode(part).err());
        }
        for length in [1, 2, 4, 8, 9, 20, 40] {
            assert!(decode(&whole[..length]).is_err(), "{format:?} cut to {length} bytes");
        }
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    let mut jpeg = encoded(&page(400, 300), Format::Jpeg);
    for at in (2..600).step_by(7) {
        let kept = std::mem::replace(&mut jpeg[at], 0xFF);
        let _ = decode(&jpeg);
        jpeg[at] = kept;
    }
    assert!(decode(b"\xFF\xD8\xFF\xE0garbage").is_err());
    assert!(decode(b"\x89PNG\r\n\x1A\ngarbage").is_err());
}

#[test]
fn unusual_but_honest_pixels_are_accepted() {
    let deep = DynamicImage::ImageRgb16(page(400, 300).into_rgb16());
    assert_eq!(decode(&encoded(&deep, Format::Png)).unwrap().dimensions(), (400, 300));
    let grey = DynamicImage::ImageLuma8(page(400, 300).into_luma8());
    assert_eq!(decode(&encoded(&grey, Format::Jpeg)).unwrap().dimensions(), (400, 300));
    // Black ink on transparency would vanish on black; paper is white.
    let clear: DynamicImage = RgbaImage::new(400, 300).into();
    assert_eq!(decode(&encoded(&clear, Format::Png)).unwrap().get_pixel(5, 5).0, [255; 3]);
}

#[test]
fn a_cmyk_jpeg_is_read_as_it_looks() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cmyk.jpg");
    let script = "import sys; from PIL import Image; Image.new('RGB', (400, 300), (200, 30, 40)).convert('CMYK').save(sys.argv[1])";
    let done = std::process::Command::new("/usr/bin/python3").args(["-c", script]).arg(&path).status().unwrap();
    assert!(done.success());
    let [r, g, b] = decode(&std::fs::read(&path).unwrap()).unwrap().get_pixel(200, 150).0;
    assert!(r > 180 && g < 60 && b < 70, "{r} {g} {b}");
}

#[test]
fn the_stored_copy_is_turned_upright_and_carries_no_metadata() {
    let plain = encoded(&page(400, 300), Format::Jpeg);
    // An EXIF block with orientation 6: to be shown turned by 90 degrees clockwise.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0 secret camera serial".to_vec();
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xFF, 0xE1]);
    bytes.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    bytes.append(&mut exif);
    bytes.extend(&plain[2..]);
    bytes.extend(b"appended data");

    let stored = reencode(&bytes).unwrap();
    let facts = inspect(&stored).unwrap();
    assert_eq!((facts.format, facts.width, facts.height), (ImageFormat::Jpeg, 300, 400));
    for gone in [&b"Exif"[..], b"secret", b"appended"] {
        assert!(!stored.windows(gone.len()).any(|window| window == gone));
    }
}

/// Runs one file through the whole pipeline beside nothing else; a limit that only tells what hangs.
fn read_in_time(bytes: Vec<u8>) -> ai::pipeline::Findings {
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let _ = send.send(pipeline().run(&bytes, &Options::default()).unwrap());
    });
    let findings = receive.recv_timeout(std::time::Duration::from_secs(120)).expect("the page is read within two minutes");
    reader.join().unwrap();
    findings
}

#[test]
fn the_largest_picture_that_is_taken_is_read_small_and_its_places_are_the_files() {
    // 8,192 by 6,100 pixels are just under 50 million; worked on at 2,400.
    let large = encoded(&RgbImage::from_pixel(8192, 6100, Rgb([200; 3])).into(), Format::Jpeg);
    assert!(inspect(&large).is_ok());
    let findings = read_in_time(large);
    // A blank page has no way up, nor a kind that anyone could be sure of.
    assert_eq!((findings.width.max(findings.height), findings.width.min(findings.height)), (8192, 6100));
    assert!(findings.lines.is_empty() && findings.fields.is_empty());
    assert!(findings.kind == ai::document::DocumentKind::Other || findings.kind_confidence < 0.5, "{findings:?}");
    let one_more = png_header(8192, 6104);
    assert!(matches!(refused(&one_more), ImageError::TooLarge { .. }));
}

#[test]
fn deep_grey_transparent_and_noisy_pictures_go_through_the_whole_pipeline() {
    let deep = DynamicImage::ImageRgb16(page(400, 300).into_rgb16());
    let grey = DynamicImage::ImageLuma8(page(400, 300).into_luma8());
    let clear: DynamicImage = RgbaImage::new(400, 300).into();
    for (name, picture) in [("deep", deep), ("grey", grey), ("clear", clear), ("stripes", page(1200, 900))] {
        let findings = read_in_time(encoded(&picture, Format::Png));
        assert!(findings.fields.is_empty(), "{name} {:?}", findings.fields);
    }
    // As long as may be and as narrow: a strip is no page, and costs no more than one.
    let findings = read_in_time(encoded(&page(12_000, SIDE_MIN), Format::Png));
    assert_eq!((findings.width.max(findings.height), findings.fields.len()), (12_000, 0));
}

#[test]
fn an_animated_picture_is_its_first_frame_or_refused() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let script = "import sys; from PIL import Image; f = [Image.new('RGB', (400, 300), c) for c in ((250, 250, 250), (9, 9, 9))] * 50; \
                  f[0].save(sys.argv[1], save_all=True, append_images=f[1:], duration=10); \
                  f[0].save(sys.argv[2], save_all=True, append_images=f[1:], duration=10)";
    let (png, gif) = (path.join("animated.png"), path.join("animated.gif"));
    let done = std::process::Command::new("/usr/bin/python3").args(["-c", script]).arg(&png).arg(&gif).status().unwrap();
    assert!(done.success());
    let first = decode(&std::fs::read(&png).unwrap()).unwrap();
    assert_eq!((first.dimensions(), first.get_pixel(200, 150).0), ((400, 300), [250; 3]));
    assert!(read_in_time(std::fs::read(&png).unwrap()).lines.is_empty());
    assert!(matches!(refused(&std::fs::read(&gif).unwrap()), ImageError::UnsupportedType { found: "GIF" }));
}
