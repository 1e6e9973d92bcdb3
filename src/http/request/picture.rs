//! A picture as an operator sends it, made into the one form in which it is kept and shown.
//!
//! What comes in is decoded within limits and encoded anew, so that nothing but its pixels is ever
//! shown: no comment, no place where it was taken, nothing that a browser might take for something
//! else. Must not know where pictures are kept.

use bytes::Bytes;
use domain::catalogue::PictureId;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{Semaphore, oneshot};

/// The most pixels of a picture that is sent, in width and in height.
pub const SIDE_MAX: u32 = 4_096;
/// The most bytes of a picture that is kept.
pub const BYTES_MAX: usize = 40_000;
/// The most bytes that decoding may take: four for each pixel, and what a decoder needs beside them.
const MEMORY_MAX: u64 = 4 * SIDE_MAX as u64 * SIDE_MAX as u64 * 2;
/// Sides and qualities that are tried until the picture is small enough: the last always is.
const ATTEMPTS: [(u32, u8); 8] =
    [(1_200, 82), (1_200, 70), (960, 70), (960, 55), (720, 55), (560, 50), (400, 45), (280, 30)];

/// A picture in the form in which it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Its name, which is made of its bytes.
    pub id: PictureId,
    /// JPEG, at most [`BYTES_MAX`] of them.
    pub jpeg: Bytes,
    /// Pixels in a row.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

/// The bytes are no picture that is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be a PNG, JPEG or WebP picture of at most 4096 pixels in width and height")]
pub struct NotAccepted;

/// Makes pictures, one at a time, on a thread that the sale goes before.
#[derive(Debug)]
pub struct Studio {
    turn: Semaphore,
    /// Pictures that wait or are made.
    asked: AtomicUsize,
}

/// Pictures that may wait, the one that is made included.
const ASKED_MAX: usize = 4;
/// The priority of the thread: what the sale leaves.
const NICENESS: i32 = 19;

/// Why there is no picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotMade {
    /// The bytes are no picture that is accepted.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// As many pictures wait as may.
    #[error("nothing was done: too many pictures wait to be made small")]
    Busy,
}

impl Default for Studio {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), asked: AtomicUsize::new(0) }
    }
}

impl Studio {
    /// Makes a picture when it is its turn, as [`read`] does.
    ///
    /// # Errors
    /// Returns [`NotMade`] if the bytes are not accepted, or too many wait.
    pub async fn make(&self, bytes: Bytes) -> Result<Picture, NotMade> {
        let more = |asked: usize| (asked < ASKED_MAX).then_some(asked + 1);
        if self.asked.try_update(Relaxed, Relaxed, more).is_err() {
            return Err(NotMade::Busy);
        }
        let _asked = Asked(&self.asked);
        let Ok(_turn) = self.turn.acquire().await else { return Err(NotMade::Busy) };
        let (sender, made) = oneshot::channel();
        let thread = std::thread::Builder::new().name("seckill-picture".to_owned());
        let started = thread.spawn(move || {
            // Without the right to lower it the thread competes with the sale, which is slower and not
            // wrong.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            // A caller that has gone needs no picture.
            let _ = sender.send(read(&bytes));
        });
        if started.is_err() {
            return Err(NotMade::Busy);
        }
        // A decoder that panics has made nothing of the bytes.
        Ok(made.await.unwrap_or(Err(NotAccepted))?)
    }
}

struct Asked<'a>(&'a AtomicUsize);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Decodes a picture and encodes it anew, which takes up to a second of a processor and 130 MB.
///
/// # Errors
/// Returns [`NotAccepted`] if the bytes are no PNG, JPEG or WebP picture, or too large a one.
pub fn read(bytes: &[u8]) -> Result<Picture, NotAccepted> {
    let pixels = decode(bytes)?;
    let mut encoded = Vec::new();
    for (side, quality) in ATTEMPTS {
        let shown = if pixels.width() > side || pixels.height() > side {
            pixels.resize(side, side, FilterType::Triangle)
        } else {
            pixels.clone()
        };
        let flat = on_white(&shown);
        encoded.clear();
        let mut encoder = JpegEncoder::new_with_quality(&mut encoded, quality);
        encoder.encode_image(&flat).map_err(|_| NotAccepted)?;
        if encoded.len() <= BYTES_MAX {
            return Ok(Picture {
                id: PictureId(Sha256::digest(&encoded).into()),
                width: flat.width(),
                height: flat.height(),
                jpeg: encoded.into(),
            });
        }
    }
    Err(NotAccepted)
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, NotAccepted> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| NotAccepted)?;
    let accepted = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    if !reader.format().is_some_and(|format| accepted.contains(&format)) {
        return Err(NotAccepted);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| NotAccepted)?;
    // Not every decoder looks at the limits by itself.
    let (width, height) = decoder.dimensions();
    if width.max(height) > SIDE_MAX || width.min(height) == 0 {
        return Err(NotAccepted);
    }
    let orientation = decoder.orientation();
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(|_| NotAccepted)?;
    if let Ok(orientation) = orientation {
        pixels.apply_orientation(orientation);
    }
    Ok(pixels)
}

/// Lays a picture that one can see through on white.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let seen = picture.to_rgba8();
    RgbImage::from_fn(seen.width(), seen.height(), |x, y| {
        let [red, green, blue, alpha] = seen.get_pixel(x, y).0;
        let mix = |value: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            u8::try_from((value * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([mix(red), mix(green), mix(blue)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        // Noise, the hardest to make small.
        let mut state = 1_u32;
        let noise = RgbImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(noise).write_to(&mut bytes, format).expect("it can be written");
        bytes.into_inner()
    }

    #[test]
    fn every_accepted_picture_becomes_a_small_jpeg() {
        for (format, width, height) in [
            (ImageFormat::Png, 640, 480),
            (ImageFormat::Jpeg, 1, 1),
            (ImageFormat::WebP, 300, 1_000),
            (ImageFormat::Png, SIDE_MAX, 3),
        ] {
            let picture = read(&encoded(format, width, height)).expect("it is accepted");
            assert!(picture.jpeg.len() <= BYTES_MAX, "{format:?}: {}", picture.jpeg.len());
            assert_eq!(image::guess_format(&picture.jpeg).expect("a format"), ImageFormat::Jpeg);
            assert_eq!(picture.id.0, <[u8; 32]>::from(Sha256::digest(&picture.jpeg)));
            assert!(picture.width <= 1_200 && picture.height <= 1_200);
            let again = read(&picture.jpeg).expect("what is kept is accepted");
            assert_eq!((again.width, again.height), (picture.width, picture.height));
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        let mut cut = encoded(ImageFormat::Png, 64, 64);
        cut.truncate(100);
        // A head that promises more pixels than there can be.
        let mut bomb = encoded(ImageFormat::Png, 8, 8);
        bomb[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let large = encoded(ImageFormat::Png, SIDE_MAX + 1, 1);
        let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
        let gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
        for bytes in [&b""[..], b"\xff\xd8\xff", &cut, &bomb, &large, svg, gif] {
            assert_eq!(read(bytes), Err(NotAccepted));
        }
    }

    #[test]
    fn one_does_not_see_through_it() {
        let glass = image::RgbaImage::from_pixel(16, 16, image::Rgba([0, 0, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgba8(glass).write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
        let picture = read(bytes.get_ref()).expect("it is accepted");
        let shown = image::load_from_memory(&picture.jpeg).expect("a JPEG").to_rgb8();
        assert!(shown.get_pixel(8, 8).0.iter().all(|value| *value > 250));
    }
}
