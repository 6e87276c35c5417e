//! The camera's picture as JPEG: encoded at most once a second, however many look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use turbojpeg::{Compressor, Subsamp, YuvImage};

use super::refusal::Refusal;
use crate::base::clock;
use crate::media::{LatestPicture, VideoFrame};

/// A JPEG is shown to everybody who asks within this time.
const LIFETIME: Duration = Duration::from_secs(1);
const QUALITY: i32 = 80;

/// The newest picture and its JPEG.
#[derive(Debug)]
pub(super) struct Pictures {
    latest: LatestPicture,
    /// Held while encoding, so that those who come meanwhile wait for the same JPEG.
    encoded: tokio::sync::Mutex<Option<Encoded>>,
}

#[derive(Debug)]
struct Encoded {
    at: Instant,
    jpeg: Bytes,
}

impl Pictures {
    pub(super) fn new(latest: LatestPicture) -> Self {
        Pictures { latest, encoded: tokio::sync::Mutex::default() }
    }

    /// The JPEG of a picture that was the newest at most a second ago.
    pub(super) async fn jpeg(&self) -> Result<Bytes, Refusal> {
        let mut encoded = self.encoded.lock().await;
        let Some(picture) = self.latest.get() else {
            *encoded = None;
            return Err(Refusal::not_ready("the camera shows no picture (its state says why)"));
        };
        let now = clock::now();
        if let Some(fresh) = encoded.as_ref().filter(|encoded| now.duration_since(encoded.at) < LIFETIME) {
            return Ok(fresh.jpeg.clone());
        }
        let jpeg = tokio::task::spawn_blocking(move || encode(&picture))
            .await
            .map_err(|_| Refusal::not_ready("the box is stopping"))?
            .map_err(|error| Refusal::internal(format!("encoding the picture: {error}")))?;
        *encoded = Some(Encoded { at: now, jpeg: jpeg.clone() });
        Ok(jpeg)
    }
}

/// JPEG is full range (JFIF), our pictures limited range: stretched on the way.
fn encode(picture: &Arc<VideoFrame>) -> turbojpeg::Result<Bytes> {
    let stretch = |from: i32, span: i32, centre: i32| -> [u8; 256] {
        std::array::from_fn(|v| {
            (((v as i32 - from) * 255 + span / 2).div_euclid(span) + centre).clamp(0, 255) as u8
        })
    };
    let (luma, chroma) = (stretch(16, 219, 0), stretch(128, 224, 128));
    let (y, u, v) = picture.planes();
    let mut pixels = Vec::with_capacity(picture.data().len());
    pixels.extend(y.iter().map(|&value| luma[usize::from(value)]));
    pixels.extend(u.iter().chain(v).map(|&value| chroma[usize::from(value)]));
    let (width, height) = (picture.size().width as usize, picture.size().height as usize);
    let image = YuvImage { pixels: pixels.as_slice(), width, align: 1, height, subsamp: Subsamp::Sub2x2 };
    let mut compressor = Compressor::new()?;
    compressor.set_quality(QUALITY)?;
    Ok(compressor.compress_yuv_to_vec(image)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MediaTime;
    use crate::base::units::Size;

    fn plain(y: u8, u: u8, v: u8) -> Arc<VideoFrame> {
        let mut frame = VideoFrame::black(Size::new(64, 32), MediaTime::ZERO);
        let planes = frame.planes_mut();
        planes.0.fill(y);
        planes.1.fill(u);
        planes.2.fill(v);
        Arc::new(frame)
    }

    fn decoded(jpeg: &[u8]) -> (usize, usize, [u8; 3]) {
        let image = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap();
        (image.width, image.height, [image.pixels[0], image.pixels[1], image.pixels[2]])
    }

    #[test]
    fn black_white_and_red_stay_what_they_are() {
        for (yuv, rgb) in
            [((16, 128, 128), [0, 0, 0]), ((235, 128, 128), [255; 3]), ((81, 90, 240), [254, 0, 0])]
        {
            let (width, height, pixel) = decoded(&encode(&plain(yuv.0, yuv.1, yuv.2)).unwrap());
            assert_eq!((width, height), (64, 32));
            assert!(pixel.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= 4), "{yuv:?}: {pixel:?}");
        }
    }

    #[tokio::test]
    async fn a_picture_is_encoded_once_for_all_who_look_within_a_second() {
        let latest = LatestPicture::default();
        let pictures = Pictures::new(latest.clone());
        assert!(pictures.jpeg().await.is_err());
        latest.set(Some(plain(16, 128, 128)));
        let first = pictures.jpeg().await.unwrap();
        if let Some(encoded) = pictures.encoded.lock().await.as_mut() {
            encoded.at = clock::now();
        }
        latest.set(Some(plain(235, 128, 128)));
        assert_eq!(pictures.jpeg().await.unwrap(), first);
        if let Some(encoded) = pictures.encoded.lock().await.as_mut() {
            encoded.at = encoded.at.checked_sub(LIFETIME).unwrap();
        }
        assert_ne!(pictures.jpeg().await.unwrap(), first);
        latest.set(None);
        assert!(pictures.jpeg().await.is_err());
    }
}
