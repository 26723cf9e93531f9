//! The images to upload: those of a directory, or small ones made here.
//!
//! All of them are in memory before the run starts. What is no JPEG, PNG or WebP by its first bytes is passed over;
//! whether an image can be decoded is the service's to find out.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

/// The service refuses larger ones.
const PICTURE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// All pictures together may take this much memory; the rest of a directory is left out.
const PICTURES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How many are made if no directory is given.
const MADE: u32 = 64;
const MADE_WIDTH: u32 = 128;
const MADE_HEIGHT: u32 = 96;
const MADE_QUALITY: u8 = 70;

/// One image with what a form says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The images in a directory, by name.
pub(crate) fn read(directory: &Path) -> anyhow::Result<Vec<Picture>> {
    let list = || format!("cannot list the images in {}", directory.display());
    let entries =
        fs::read_dir(directory).with_context(list)?.collect::<Result<Vec<_>, _>>().with_context(list)?;
    let mut paths: Vec<_> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let (mut pictures, mut total) = (Vec::new(), 0);
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let Some(content_type) = content_type(&bytes) else { continue };
        if bytes.len() > PICTURE_BYTES_MAX {
            continue;
        }
        total += bytes.len();
        if total > PICTURES_BYTES_MAX {
            break;
        }
        let name = path.file_name().map(|name| form_name(&name.to_string_lossy())).unwrap_or_default();
        pictures.push(Picture { name, content_type, bytes });
    }
    if pictures.is_empty() {
        bail!("there is no JPEG, PNG or WebP of up to 10 MiB in {}", directory.display());
    }
    Ok(pictures)
}

/// Small JPEGs, each different from the others: a gradient, and a few discs that lie elsewhere in each.
pub(crate) fn make() -> anyhow::Result<Vec<Picture>> {
    (0..MADE)
        .map(|number| {
            let mut bytes = Vec::new();
            JpegEncoder::new_with_quality(&mut bytes, MADE_QUALITY)
                .encode(&pixels(number), MADE_WIDTH, MADE_HEIGHT, ExtendedColorType::Rgb8)
                .context("cannot make an image")?;
            Ok(Picture { name: format!("tide-{number:02}.jpg"), content_type: "image/jpeg", bytes })
        })
        .collect()
}

fn pixels(number: u32) -> Vec<u8> {
    let hue = number * 256 / MADE;
    let discs: Vec<(i64, i64, i64)> = (0..4)
        .map(|disc| {
            let mixed = (number * 4 + disc + 1).wrapping_mul(2_654_435_761) >> 8;
            let (x, y, radius) = (mixed % MADE_WIDTH, mixed / 131 % MADE_HEIGHT, 8 + mixed / 7_919 % 14);
            (i64::from(x), i64::from(y), i64::from(radius))
        })
        .collect();
    let mut pixels = Vec::with_capacity((MADE_WIDTH * MADE_HEIGHT * 3) as usize);
    for y in 0..MADE_HEIGHT {
        for x in 0..MADE_WIDTH {
            let within = |(at_x, at_y, radius): &(i64, i64, i64)| {
                (i64::from(x) - at_x).pow(2) + (i64::from(y) - at_y).pow(2) < radius * radius
            };
            let light = if discs.iter().any(within) { 70 } else { 0 };
            let (across, down) = (x * 160 / MADE_WIDTH, y * 160 / MADE_HEIGHT);
            pixels.extend([(across + light) as u8, (down + light) as u8, hue as u8]);
        }
    }
    pixels
}

/// What the first bytes say.
fn content_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// A file's name as it can stand between the quotes of a form's part.
fn form_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' { c } else { '_' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_made_ones_are_small_jpegs_and_all_different() {
        let pictures = make().expect("pictures");
        let different: HashSet<&[u8]> = pictures.iter().map(|picture| &picture.bytes[..]).collect();
        assert_eq!(different.len(), MADE as usize);
        for picture in &pictures {
            assert_eq!(content_type(&picture.bytes), Some("image/jpeg"));
            assert!((1_500..3_000).contains(&picture.bytes.len()), "{} bytes", picture.bytes.len());
        }
    }

    #[test]
    fn a_directory_gives_what_is_an_image_by_its_first_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).expect("a file");
        write("b \"1\".png", b"\x89PNG\r\n\x1a\nxyz");
        write("a.txt", b"\xff\xd8\xff\xe0");
        write("c.jpg", b"no image");
        write("d.webp", b"RIFF\x01\x02\x03\x04WEBPVP8 ");
        let found = read(directory.path()).expect("pictures");
        let told: Vec<_> = found.iter().map(|picture| (&picture.name[..], picture.content_type)).collect();
        assert_eq!(told, [("a.txt", "image/jpeg"), ("b _1_.png", "image/png"), ("d.webp", "image/webp")]);
    }

    #[test]
    fn a_directory_without_images_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        read(directory.path()).expect_err("no images");
        read(&directory.path().join("missing")).expect_err("no directory");
    }
}
