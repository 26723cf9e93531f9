//! Thumbnails of real photographs and of files that were made to be difficult.
//!
//! The photographs are those of `TIDEGATE_PHOTOGRAPHS`, or of Debian's package `mate-backgrounds`; `make prepare`
//! installs it.

use std::io::Cursor;
use std::path::PathBuf;

use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use uploads::images::{Format, Size, Thumbnail, judge, thumbnails};

fn photographs() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = std::env::var_os("TIDEGATE_PHOTOGRAPHS");
    let folder = folder.map_or_else(|| PathBuf::from("/usr/share/backgrounds/mate/nature"), PathBuf::from);
    let listing = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("photographs in {} (`make prepare`): {error}", folder.display()));
    let paths = listing.map(|entry| entry.expect("the folder can be read").path());
    let mut paths = paths.filter(|path| path.extension().is_some_and(|end| end == "jpg")).collect::<Vec<_>>();
    paths.sort();
    assert!(!paths.is_empty(), "there are photographs in {}", folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a photograph"))).collect()
}

fn decoded(thumbnail: &Thumbnail) -> DynamicImage {
    let format = judge(&thumbnail.bytes).expect("a thumbnail is an image");
    assert_eq!(format.content_type(), thumbnail.content_type);
    let image = image::load_from_memory(&thumbnail.bytes).expect("a thumbnail can be decoded");
    assert_eq!((image.width(), image.height()), (thumbnail.width, thumbnail.height));
    image
}

fn sizes(thumbnails: &[Thumbnail; 3]) -> [(u32, u32); 3] {
    thumbnails.each_ref().map(|thumbnail| (thumbnail.width, thumbnail.height))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

/// Something with edges, slopes and all colours.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let band = if (x / 16 + y / 16) % 2 == 0 { 60 } else { 0 };
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, band + (x * y % 97) as u8])
    })
}

#[test]
fn real_photographs_get_three_thumbnails_that_look_like_them() {
    for (path, bytes) in photographs() {
        let path = path.display();
        assert_eq!(judge(&bytes), Some(Format::Jpeg), "{path}");
        let original = image::load_from_memory(&bytes).expect("a photograph can be decoded");
        let thumbnails = thumbnails(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        for (size, thumbnail) in Size::ALL.into_iter().zip(&thumbnails) {
            assert_eq!(thumbnail.content_type, "image/jpeg", "{path}");
            assert_eq!(thumbnail.width.max(thumbnail.height), size.side_pixels(), "{path}");
            let ratio = |width: u32, height: u32| f64::from(width) / f64::from(height);
            let (is, was) =
                (ratio(thumbnail.width, thumbnail.height), ratio(original.width(), original.height()));
            assert!((is / was - 1.0).abs() < 0.02, "{path}: {is} {was}");
            // The same picture, by the mean difference from a plain reduction of the original.
            let plain = original.resize_exact(24, 16, image::imageops::FilterType::Triangle).into_rgb8();
            let small =
                decoded(thumbnail).resize_exact(24, 16, image::imageops::FilterType::Triangle).into_rgb8();
            let differences = plain.iter().zip(small.iter()).map(|(a, b)| u64::from(a.abs_diff(*b)));
            let mean = differences.sum::<u64>() as f64 / plain.len() as f64;
            assert!(mean < 4.0, "{path}, {size:?}: {mean}");
        }
        let [small, medium, large] = thumbnails.map(|thumbnail| thumbnail.bytes.len());
        assert!(small < medium && medium < large, "{path}");
    }
}

#[test]
fn each_format_and_colour_is_taken() {
    let picture = DynamicImage::from(picture(700, 500));
    for (format, content_type) in [
        (ImageFormat::Png, "image/png"),
        (ImageFormat::WebP, "image/webp"),
        (ImageFormat::Jpeg, "image/jpeg"),
    ] {
        let bytes = encoded(&picture, format);
        assert_eq!(judge(&bytes).expect("it is an image").content_type(), content_type);
        assert_eq!(sizes(&thumbnails(&bytes).expect("it is sound")), [(96, 69), (320, 229), (700, 500)]);
    }
    for image in [
        DynamicImage::from(picture.to_luma8()),
        picture.to_luma16().into(),
        picture.to_luma_alpha8().into(),
        picture.to_luma_alpha16().into(),
        picture.to_rgb16().into(),
        picture.to_rgba8().into(),
        picture.to_rgba16().into(),
    ] {
        let thumbnails = thumbnails(&encoded(&image, ImageFormat::Png)).expect("it is sound");
        // None of them is transparent anywhere, even if it could be.
        assert!(
            thumbnails.iter().all(|thumbnail| thumbnail.content_type == "image/jpeg"),
            "{:?}",
            image.color()
        );
        let middle = decoded(&thumbnails[1]).to_luma8().get_pixel(160, 114)[0];
        let expected = picture.to_luma8().get_pixel(350, 250)[0];
        assert!(middle.abs_diff(expected) < 40, "{:?}: {middle} {expected}", image.color());
    }
}

#[test]
fn nothing_is_enlarged_and_what_is_small_enough_is_made_once() {
    let bytes = encoded(&picture(64, 40).into(), ImageFormat::Png);
    let made = thumbnails(&bytes).expect("it is sound");
    assert_eq!(sizes(&made), [(64, 40); 3]);
    assert!(made[0].bytes == made[1].bytes && made[1].bytes == made[2].bytes);
    let bytes = encoded(&picture(1, 1).into(), ImageFormat::Png);
    assert_eq!(sizes(&thumbnails(&bytes).expect("it is sound")), [(1, 1); 3]);
    // However narrow, a pixel is left.
    let bytes = encoded(&picture(5_000, 3).into(), ImageFormat::Png);
    assert_eq!(sizes(&thumbnails(&bytes).expect("it is sound")), [(96, 1), (320, 1), (1_024, 1)]);
}

#[test]
fn what_is_transparent_stays_so() {
    let image = RgbaImage::from_fn(400, 400, |x, _| Rgba([255, 0, 0, if x < 200 { 0 } else { 255 }]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let thumbnails = thumbnails(&encoded(&image.clone().into(), format)).expect("it is sound");
        for thumbnail in &thumbnails {
            assert_eq!(thumbnail.content_type, "image/png");
            let decoded = decoded(thumbnail).into_rgba8();
            let y = thumbnail.height / 2;
            assert_eq!(decoded.get_pixel(thumbnail.width / 8, y)[3], 0);
            let opaque = decoded.get_pixel(thumbnail.width * 7 / 8, y);
            assert_eq!(*opaque, Rgba([255, 0, 0, 255]), "what is not seen does not shine through");
        }
    }
}

/// A JPEG with an EXIF block that says how it is to be turned.
fn turned(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .expect("it can be encoded");
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    let mut with = bytes[..2].to_vec();
    with.extend_from_slice(&[0xff, 0xe1]);
    with.extend_from_slice(&(exif.len() as u16 + 2).to_be_bytes());
    with.extend_from_slice(&exif);
    with.extend_from_slice(&bytes[2..]);
    with
}

#[test]
fn the_orientation_in_the_exif_block_is_applied() {
    // White in the upper left corner, black elsewhere.
    let image =
        RgbImage::from_fn(640, 320, |x, y| if x < 320 && y < 160 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    // Where the corner is to be seen: right half, lower half.
    for (orientation, right, lower) in [
        (1, false, false),
        (2, true, false),
        (3, true, true),
        (4, false, true),
        (5, false, false),
        (6, true, false),
        (7, true, true),
        (8, false, true),
    ] {
        for thumbnail in thumbnails(&turned(&image, orientation)).expect("it is sound") {
            assert_eq!(thumbnail.width < thumbnail.height, orientation >= 5, "{orientation}");
            let decoded = decoded(&thumbnail).into_luma8();
            let corner = |right: bool, lower: bool| {
                let x = if right { 3 } else { 1 } * thumbnail.width / 4;
                let y = if lower { 3 } else { 1 } * thumbnail.height / 4;
                decoded.get_pixel(x, y)[0]
            };
            for (x, y) in [(false, false), (false, true), (true, false), (true, true)] {
                let white = (x, y) == (right, lower);
                assert_eq!(corner(x, y) > 128, white, "{orientation}: {x} {y}");
            }
        }
    }
}

#[test]
fn judging_looks_at_the_content() {
    for other in [
        &b""[..],
        b"\xff\xd8",
        b"GIF89a..............",
        b"%PDF-1.7",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x89PNG\n",
        b"hello",
    ] {
        assert_eq!(judge(other), None, "{other:?}");
        assert_eq!(thumbnails(other).expect_err("no image").kind(), "unsupported_image");
    }
    assert_eq!(judge(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
    assert_eq!(judge(b"\x89PNG\r\n\x1a\n"), Some(Format::Png));
    assert_eq!(judge(b"RIFF\x10\0\0\0WEBPVP8L"), Some(Format::WebP));
}

/// Files of each format, the photograph among them reduced so that hundreds of attempts stay quick.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let (_, photograph) = photographs().swap_remove(0);
    let [_, medium, _] = thumbnails(&photograph).expect("it is sound");
    let picture = DynamicImage::from(picture(200, 150));
    let grey = DynamicImage::from(GrayImage::from_fn(90, 90, |x, y| Luma([(x * y) as u8])));
    vec![
        ("JPEG", medium.bytes.to_vec()),
        ("JPEG", encoded(&grey, ImageFormat::Jpeg)),
        ("PNG", encoded(&picture, ImageFormat::Png)),
        ("WebP", encoded(&picture, ImageFormat::WebP)),
    ]
}

#[test]
fn a_file_that_is_cut_off_says_so_wherever_it_was_cut() {
    for (name, bytes) in samples() {
        for percent in 1..100 {
            let cut = &bytes[..(bytes.len() * percent / 100).max(12)];
            let error = thumbnails(cut).expect_err("it is cut off");
            assert_eq!(error.kind(), "corrupt_image", "{name} at {percent} %: {error}");
            if name == "JPEG" {
                assert_eq!(error.to_string(), "the JPEG ends in the middle of its data");
            } else {
                assert!(error.to_string().starts_with(&format!("the {name} ")), "{error}");
            }
        }
    }
}

#[test]
fn a_file_damaged_anywhere_is_an_image_or_an_error_and_never_a_panic() {
    let mut failed = 0;
    for (_, bytes) in samples() {
        for percent in 0..100 {
            for damage in [0x00, 0xff] {
                let mut damaged = bytes.clone();
                let from = (damaged.len() * percent / 100).max(12);
                let to = (from + 4).min(damaged.len());
                damaged[from..to].fill(damage);
                match thumbnails(&damaged) {
                    Ok(thumbnails) => drop(thumbnails.each_ref().map(decoded)),
                    Err(error) => {
                        failed += 1;
                        assert!(
                            ["corrupt_image", "image_too_large", "unsupported_image"].contains(&error.kind())
                        );
                    }
                }
            }
        }
    }
    assert!(failed > 100, "damage is noticed: {failed}");
}

/// A PNG of so many grey pixels, well compressed, without ever having them in memory.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = GrayImage::new(16, 16);
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&image, 16, 16, ExtendedColorType::L8)
        .expect("it can be encoded");
    // Its header says something else, with the right checksum: no decoder needs more to ask for memory.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn resident_kib_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak of memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn decompression_bombs_are_refused_before_they_take_memory() {
    let before = resident_kib_max();
    for (width, height, text) in [
        (16_384, 16_384, "the PNG has 16384 × 16384 pixels, more than 50 million"),
        (100_000, 10, "the PNG is wider or higher than 16384 pixels"),
        (10, u32::MAX >> 1, "the PNG is wider or higher than 16384 pixels"),
    ] {
        let error = thumbnails(&bomb(width, height)).expect_err("it is too large");
        assert_eq!((error.kind(), error.to_string().as_str()), ("image_too_large", text));
    }
    // A JPEG that says so too: the size is in its frame header.
    let mut jpeg = encoded(&DynamicImage::from(picture(16, 16)), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
    let error = thumbnails(&jpeg).expect_err("it is too large");
    assert_eq!(error.kind(), "image_too_large", "{error}");
    // The other tests of this process run beside this one and take some; a bomb would take hundreds.
    let took = resident_kib_max() - before;
    assert!(took < 200 << 10, "{took} KiB");
}

#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let jpeg = encoded(&DynamicImage::from(picture(16, 16)), ImageFormat::Jpeg);
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let mut endless = jpeg[..scan].to_vec();
    for _ in 0..100 {
        endless.extend_from_slice(&jpeg[scan..jpeg.len() - 2]);
    }
    endless.extend_from_slice(&[0xff, 0xd9]);
    let error = thumbnails(&endless).expect_err("it is too much");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        ("image_too_large", "the JPEG has more than 64 scans")
    );
}
