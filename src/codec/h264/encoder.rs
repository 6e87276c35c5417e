//! The encoder of one layer.

use std::time::Duration;

use bytes::Bytes;
use openh264::encoder::{
    BitRate, Complexity, EncodedBitStream, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    Profile, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};

use super::Level;
use crate::base::units::{Bitrate, Size};
use crate::codec::CodecError;
use crate::media::{AccessUnit, Layer, TrackId, VideoFrame};
use crate::sys;

/// How one layer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H264Settings {
    /// Which layer; goes into the access units.
    pub layer: Layer,
    /// Of the pictures that it will get.
    pub size: Size,
    /// Pictures per second, at least 1; what the rate control reckons with.
    pub fps: u32,
    /// Held on average.
    pub bitrate: Bitrate,
    /// Pictures from one IDR to the next.
    pub intra_period: u32,
}

/// Encodes pictures of one size; every IDR has its SPS and PPS in front.
pub struct H264Encoder {
    encoder: Encoder,
    settings: H264Settings,
    frame_time: Duration,
    started: bool,
}

impl H264Encoder {
    /// An encoder; the first picture becomes an IDR.
    ///
    /// # Errors
    /// When openh264 has no memory.
    pub fn new(settings: H264Settings) -> Result<Self, CodecError> {
        tracing::debug!(?settings, assembly = sys::openh264_asm::proved(), "H.264 encoder");
        let fps = settings.fps.max(1);
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .profile(Profile::Baseline)
            .level(Level::of(settings.size, fps).to_openh264())
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(settings.bitrate.as_bps()))
            .skip_frames(false)
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(settings.intra_period))
            // An IDR only when it is time or someone asked: requests are throttled for the receivers' sake.
            .scene_change_detect(false)
            .num_threads(1)
            .vui(VuiConfig::bt601());
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|source| error(settings, source))?;
        sys::openh264::silence(&mut encoder);
        let frame_time = Duration::from_secs(1) / fps;
        Ok(H264Encoder { encoder, settings, frame_time, started: false })
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &H264Settings {
        &self.settings
    }

    /// Encodes `picture` (of the settings' size), as an IDR if `keyframe`. Blocks for as long as it takes.
    /// None when the rate control left the picture out, which it should not with these settings.
    ///
    /// # Errors
    /// When openh264 fails; the encoder is of no use any more.
    pub fn encode(&mut self, picture: &VideoFrame, keyframe: bool) -> Result<Option<AccessUnit>, CodecError> {
        if keyframe && self.started {
            self.encoder.force_intra_frame();
        }
        let settings = self.settings;
        let (width, height) = (picture.size().width as usize, picture.size().height as usize);
        let source = YUVSlices::new(picture.planes(), (width, height), (width, width / 2, width / 2));
        let at = Timestamp::from_millis(picture.captured.as_nanos() / 1_000_000);
        let encoded = self.encoder.encode_at(&source, at).map_err(|source| error(settings, source))?;
        self.started = true;
        let idr = encoded.frame_type() == FrameType::IDR;
        let data = bytes_of(&encoded);
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(AccessUnit {
            track: TrackId::Video(settings.layer),
            pts: picture.captured,
            duration: self.frame_time,
            keyframe: idr,
            data,
            audio_level: 127,
        }))
    }
}

fn error(settings: H264Settings, source: openh264::Error) -> CodecError {
    CodecError::H264Encode { layer: settings.layer, size: settings.size, source }
}

/// All NALs in one piece of memory, allocated once.
fn bytes_of(encoded: &EncodedBitStream) -> Bytes {
    let nals = || {
        (0..encoded.num_layers())
            .filter_map(|n| encoded.layer(n))
            .flat_map(|layer| (0..layer.nal_count()).map(move |n| layer.nal_unit(n).map_or(0, <[u8]>::len)))
    };
    let mut data = Vec::with_capacity(nals().sum());
    encoded.write_vec(&mut data);
    data.into()
}
