//! Cameras that encode H.264 themselves: what they give is the full picture of the stream, and is decoded here only
//! for those who need raw pictures (the lower layers, the page's still picture).

mod unit;

use std::time::Duration;

use bytes::Bytes;

pub use unit::Unfit;

pub(crate) use self::unit::CameraH264;
use super::show::Show;
use crate::base::clock::MediaTime;
use crate::base::units::{Bitrate, Size};
use crate::codec::h264::H264Decoder;
use crate::media::{AccessUnit, Layer, TrackId, VideoFrame};

/// What a camera that encodes itself is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Of the full picture.
    pub bitrate: Bitrate,
    /// From one IDR to the next when nobody asks.
    pub keyframe_interval: Duration,
}

/// The way of a camera's access units into the stream.
pub struct Encoded {
    units: CameraH264,
    encoding: Encoding,
    frame_time: Duration,
    decoder: Option<H264Decoder>,
    /// The decoder has seen everything since the last IDR.
    in_step: bool,
    last_keyframe: Option<MediaTime>,
    asked: Option<MediaTime>,
}

/// A camera that was asked for an IDR and gives none is not asked again before.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Encoded {
    /// For pictures of `size`, `fps` a second.
    pub fn new(size: Size, fps: u32, encoding: Encoding) -> Self {
        let frame_time = Duration::from_secs(1) / fps.max(1);
        let units = CameraH264::new(size);
        Encoded {
            units,
            encoding,
            frame_time,
            decoder: None,
            in_step: false,
            last_keyframe: None,
            asked: None,
        }
    }

    /// The stream's unit of what the camera gave, and the picture in it when that is `wanted` (an IDR's always is).
    /// None while there is nothing to show.
    ///
    /// # Errors
    /// [`Unfit`]: this camera's pictures have to be encoded here.
    pub fn take(
        &mut self,
        annexb: &[u8],
        pts: MediaTime,
        wanted: bool,
    ) -> Result<Option<(AccessUnit, Option<VideoFrame>)>, Unfit> {
        let Some(unit) = self.units.take(annexb)? else { return Ok(None) };
        if unit.keyframe {
            (self.last_keyframe, self.asked) = (Some(pts), None);
        }
        let picture = self.picture(&unit.data, unit.keyframe, pts, wanted);
        let unit = AccessUnit {
            track: TrackId::Video(Layer::Full),
            pts,
            duration: self.frame_time,
            keyframe: unit.keyframe,
            data: unit.data,
            audio_level: 127,
        };
        Ok(Some((unit, picture)))
    }

    /// A buffer was lost or damaged: what follows cannot be decoded up to the next IDR.
    pub fn lost(&mut self) {
        self.units.lost();
        (self.in_step, self.last_keyframe) = (false, None);
    }

    /// Whether the camera shall make the next picture an IDR: somebody asks, or it is time.
    pub fn wants_keyframe(&mut self, show: &Show, now: MediaTime) -> bool {
        let interval = self.encoding.keyframe_interval;
        let due = self.last_keyframe.is_none_or(|last| now.since(last) >= interval);
        // Asked always, so that the request counts as answered.
        let wanted = show.takes_keyframe_request(now) || due;
        if !wanted || self.asked.is_some_and(|asked| now.since(asked) < ASK_AGAIN) {
            return false;
        }
        self.asked = Some(now);
        true
    }

    fn picture(&mut self, data: &Bytes, keyframe: bool, pts: MediaTime, wanted: bool) -> Option<VideoFrame> {
        self.in_step = keyframe || (self.in_step && wanted);
        if !self.in_step {
            return None;
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(H264Decoder::new().ok()?),
        };
        match decoder.decode(data, pts) {
            Ok(picture) => picture.map(|mut picture| {
                picture.encoded = true;
                picture
            }),
            Err(error) => {
                tracing::debug!(%error, "the camera's picture cannot be decoded");
                self.in_step = false;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
