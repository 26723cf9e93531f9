//! What an image is, and its thumbnails.
//!
//! **Judging** looks at the first bytes only: what begins like a JPEG, PNG or WebP file is taken for one. **Thumbnails**
//! come in three sizes, never larger than the original, turned as its EXIF orientation says.
//!
//! What it promises: nothing that can be uploaded makes it take memory or time without bound. Width, height, pixels
//! and the bytes of the decoded image are held to limits before the memory is taken; a JPEG may have so many scans and
//! no more, since each can cost as much as a whole picture. A JPEG that is cut off is an error, although half of it
//! could be shown: nobody wants to find out later.
//!
//! Thumbnails are JPEG of quality 82, or PNG if the image is transparent somewhere. (Lossless WebP, the only one that
//! can be made without a C library, is eight times as large for photographs; `examples/thumbnails.rs` shows it.) The
//! large one is made from the original, each smaller one from the one before, which cannot be told from the long way and
//! costs next to nothing.
//!
//! It does not run in the background by itself; [`Pool`](crate::pool::Pool) does that.

use std::borrow::Cow;
use std::io::Cursor;

use bytes::Bytes;
use fast_image_resize::images::Image as Pixels;
use fast_image_resize::{PixelType, Resizer};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits,
    RgbImage, RgbaImage,
};
use jpeg_encoder::{ColorType, Encoder as JpegEncoder, SamplingFactor};

/// The longest side of an image that is decoded, in pixels.
pub const SIDE_PIXELS_MAX: u32 = 16_384;

/// The most pixels of an image that is decoded.
pub const PIXELS_MAX: u64 = 50_000_000;

/// The most memory a decoded image takes, in bytes: all the pixels there may be, at four bytes each, and something for the
/// decoder.
pub const DECODED_BYTES_MAX: u64 = 256 << 20;

/// The most scans of a JPEG. Progressive files have about ten.
const JPEG_SCANS_MAX: usize = 64;

const JPEG_QUALITY: u8 = 82;

const _: () = assert!(PIXELS_MAX * 4 < DECODED_BYTES_MAX);

/// What kind of file an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
}

impl Format {
    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        self.image_format().to_mime_type()
    }

    /// The name for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::WebP => "WebP",
        }
    }

    fn image_format(self) -> ImageFormat {
        match self {
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Png => ImageFormat::Png,
            Format::WebP => ImageFormat::WebP,
        }
    }
}

/// What kind of image this is by its first bytes; none if it is none of those that are taken.
#[must_use]
pub fn judge(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        _ => None,
    }
}

/// One of the three sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// At most 96 pixels.
    Small = 0,
    /// At most 320 pixels.
    Medium = 1,
    /// At most 1,024 pixels.
    Large = 2,
}

impl Size {
    /// All, in the order in which thumbnails are kept.
    pub const ALL: [Size; 3] = [Size::Small, Size::Medium, Size::Large];

    /// Its name in addresses and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Medium => "medium",
            Size::Large => "large",
        }
    }

    /// The size of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Size> {
        Size::ALL.into_iter().find(|size| size.name() == name)
    }

    /// The longest its longer side may be, in pixels.
    #[must_use]
    pub fn side_pixels(self) -> u32 {
        match self {
            Size::Small => 96,
            Size::Medium => 320,
            Size::Large => 1_024,
        }
    }
}

/// A finished thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// `image/jpeg` or `image/png`.
    pub content_type: Cow<'static, str>,
    /// The file.
    pub bytes: Bytes,
}

/// Why there are no thumbnails. Another attempt would come to the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ImageError {
    kind: &'static str,
    cause: String,
}

impl ImageError {
    /// A stable word for grouping: `corrupt_image`, `image_too_large` or `unsupported_image`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    fn corrupt(cause: impl Into<String>) -> ImageError {
        ImageError { kind: "corrupt_image", cause: cause.into() }
    }

    fn too_large(cause: impl Into<String>) -> ImageError {
        ImageError { kind: "image_too_large", cause: cause.into() }
    }

    fn unsupported(cause: impl Into<String>) -> ImageError {
        ImageError { kind: "unsupported_image", cause: cause.into() }
    }

    /// The decoder's error, in words for the person who uploaded the image.
    fn from_decoder(format: Format, error: &image::ImageError) -> ImageError {
        let name = format.name();
        match error {
            image::ImageError::Limits(limit) => match limit.kind() {
                LimitErrorKind::DimensionError => ImageError::too_large(format!(
                    "the {name} is wider or higher than {SIDE_PIXELS_MAX} pixels"
                )),
                _ => ImageError::too_large(format!("the {name} takes too much memory to decode")),
            },
            image::ImageError::Unsupported(error) => {
                ImageError::unsupported(format!("the {name} has something that is not supported: {error}"))
            }
            error if ends_early(error) => ends_in_the_middle(format),
            error => ImageError::corrupt(format!("the {name} cannot be decoded: {error}")),
        }
    }
}

fn ends_in_the_middle(format: Format) -> ImageError {
    ImageError::corrupt(format!("the {} ends in the middle of its data", format.name()))
}

fn ends_early(error: &image::ImageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    // The PNG decoder says it without saying whence.
    error.to_string().ends_with("unexpected end of file")
}

/// The three thumbnails of an image, in the order of [`Size::ALL`].
///
/// # Errors
/// [`ImageError`] says why the image has none.
pub fn thumbnails(bytes: &[u8]) -> Result<[Thumbnail; 3], ImageError> {
    let format = judge(bytes).ok_or_else(|| ImageError::unsupported("this is no JPEG, PNG or WebP"))?;
    let (image, orientation) = decode(bytes, format)?;
    let mut large = shrink(plain(image), Size::Large)?;
    large.apply_orientation(orientation);
    let transparent = match &large {
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().any(|pixel| pixel[3] < u8::MAX),
        _ => false,
    };
    if !transparent && large.color().has_alpha() {
        large = large.into_rgb8().into();
    }

    let large_thumbnail = encode(&large)?;
    let (medium, medium_thumbnail) = smaller(large, &large_thumbnail, Size::Medium)?;
    let (_, small_thumbnail) = smaller(medium, &medium_thumbnail, Size::Small)?;
    Ok([small_thumbnail, medium_thumbnail, large_thumbnail])
}

/// The next size from the one before it; the same file if it is small enough already.
fn smaller(
    image: DynamicImage,
    thumbnail: &Thumbnail,
    size: Size,
) -> Result<(DynamicImage, Thumbnail), ImageError> {
    if image.width().max(image.height()) <= size.side_pixels() {
        return Ok((image, thumbnail.clone()));
    }
    let image = shrink(image, size)?;
    let thumbnail = encode(&image)?;
    Ok((image, thumbnail))
}

/// Decodes the image, once it is known to be within bounds.
fn decode(bytes: &[u8], format: Format) -> Result<(DynamicImage, Orientation), ImageError> {
    if format == Format::Jpeg {
        check_jpeg(bytes)?;
    }
    let error = |error: image::ImageError| ImageError::from_decoder(format, &error);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.image_format());
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(error)?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(ImageError::corrupt(format!("the {} has no pixels", format.name())));
    }
    if pixels > PIXELS_MAX || decoder.total_bytes() > DECODED_BYTES_MAX {
        let name = format.name();
        let cause =
            format!("the {name} has {width} × {height} pixels, more than {} million", PIXELS_MAX / 1_000_000);
        return Err(ImageError::too_large(cause));
    }
    // A damaged EXIF block is no reason to show no picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(error)?;
    Ok((image, orientation))
}

/// Walks over a JPEG's segments to its end. The decoder is lenient: it fills what is missing with grey.
fn check_jpeg(bytes: &[u8]) -> Result<(), ImageError> {
    let early = || ends_in_the_middle(Format::Jpeg);
    let mut scans = 0;
    let mut rest = &bytes[2..];
    loop {
        // Between segments and in a scan's data alike: on to the next marker that is none of the data's own.
        let at = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xff | 0xd0..=0xd8));
        let marker = rest[at.ok_or_else(early)? + 1];
        rest = &rest[at.ok_or_else(early)? + 2..];
        match marker {
            0xd9 => return Ok(()),
            0xda => scans += 1,
            _ => {}
        }
        if scans > JPEG_SCANS_MAX {
            return Err(ImageError::too_large(format!("the JPEG has more than {JPEG_SCANS_MAX} scans")));
        }
        let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        rest = length.and_then(|length| rest.get(length..)).ok_or_else(early)?;
    }
}

/// Eight bits a channel, and grey only without transparency: what is resized and encoded.
fn plain(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) => image,
        image if image.color().has_alpha() => image.into_rgba8().into(),
        image if image.color().has_color() => image.into_rgb8().into(),
        image => image.into_luma8().into(),
    }
}

/// Makes the longer side as long as `size` allows, if it is longer.
fn shrink(image: DynamicImage, size: Size) -> Result<DynamicImage, ImageError> {
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    let side = size.side_pixels();
    if longest <= side {
        return Ok(image);
    }
    let scaled = |length: u32| {
        let rounded = (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        (rounded as u32).max(1)
    };
    let (to_width, to_height) = (scaled(width), scaled(height));
    let pixel_type = match &image {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        _ => PixelType::U8x4,
    };
    let failed =
        |error: &dyn std::fmt::Display| ImageError::corrupt(format!("the image cannot be resized: {error}"));
    let from =
        Pixels::from_vec_u8(width, height, image.into_bytes(), pixel_type).map_err(|error| failed(&error))?;
    let mut to = Pixels::new(to_width, to_height, pixel_type);
    Resizer::new().resize(&from, &mut to, None).map_err(|error| failed(&error))?;
    let bytes = to.into_vec();
    let shrunk = match pixel_type {
        PixelType::U8 => GrayImage::from_raw(to_width, to_height, bytes).map(DynamicImage::from),
        PixelType::U8x3 => RgbImage::from_raw(to_width, to_height, bytes).map(DynamicImage::from),
        _ => RgbaImage::from_raw(to_width, to_height, bytes).map(DynamicImage::from),
    };
    Ok(shrunk.expect("the resizer fills what it was given"))
}

fn encode(image: &DynamicImage) -> Result<Thumbnail, ImageError> {
    let failed = |error: &dyn std::fmt::Display| {
        ImageError::unsupported(format!("the thumbnail cannot be encoded: {error}"))
    };
    let (width, height) = (image.width(), image.height());
    let mut bytes = Vec::new();
    let content_type = match image {
        DynamicImage::ImageRgba8(pixels) => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(pixels, width, height, ExtendedColorType::Rgba8)
                .map_err(|error| failed(&error))?;
            "image/png"
        }
        image => {
            let color = if image.color().has_color() { ColorType::Rgb } else { ColorType::Luma };
            let mut encoder = JpegEncoder::new(&mut bytes, JPEG_QUALITY);
            encoder.set_sampling_factor(SamplingFactor::F_2_2);
            encoder
                .encode(image.as_bytes(), width as u16, height as u16, color)
                .map_err(|error| failed(&error))?;
            "image/jpeg"
        }
    };
    Ok(Thumbnail { width, height, content_type: content_type.into(), bytes: bytes.into() })
}
