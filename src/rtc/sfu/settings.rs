//! How connections are set up.

use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::format::{Codec, CodecConfig, PayloadParams};
use str0m::media::Pt;
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Rtc, RtcConfig};

use super::dependency;

/// A video codec that may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 constrained baseline and baseline.
    H264,
    /// VP8.
    Vp8,
    /// VP9, profiles 0 and 2.
    Vp9,
    /// AV1, main profile; all spatial layers of one stream go to everyone.
    Av1,
}

impl VideoCodec {
    /// As the library names it.
    pub fn codec(self) -> Codec {
        match self {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::Vp8 => Codec::Vp8,
            VideoCodec::Vp9 => Codec::Vp9,
            VideoCodec::Av1 => Codec::Av1,
        }
    }
}

/// What may be published. Opus always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codecs {
    /// In order of preference; not empty.
    pub video: Vec<VideoCodec>,
}

impl Default for Codecs {
    fn default() -> Self {
        Codecs { video: vec![VideoCodec::H264] }
    }
}

impl Codecs {
    /// Reads names as in the configuration (`opus`, `h264`, `vp8`, `vp9`, `av1`). None when one is unknown or no video codec
    /// is there.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Codecs> {
        let mut video = Vec::new();
        for name in names {
            match name.to_ascii_lowercase().as_str() {
                "opus" => {}
                "h264" => video.push(VideoCodec::H264),
                "vp8" => video.push(VideoCodec::Vp8),
                "vp9" => video.push(VideoCodec::Vp9),
                "av1" => video.push(VideoCodec::Av1),
                _ => return None,
            }
        }
        (!video.is_empty()).then_some(Codecs { video })
    }

    /// MIME types as LiveKit writes them.
    pub fn mime_types(&self) -> Vec<&'static str> {
        let video = self.video.iter().map(|codec| match codec {
            VideoCodec::H264 => "video/h264",
            VideoCodec::Vp8 => "video/vp8",
            VideoCodec::Vp9 => "video/vp9",
            VideoCodec::Av1 => "video/av1",
        });
        std::iter::once("audio/opus").chain(video).collect()
    }
}

/// Packets kept per outgoing video stream for retransmission: 3 s of a 2.5 Mbit/s layer.
const VIDEO_CACHE_PACKETS: usize = 1024;
/// Audio is never retransmitted.
const AUDIO_CACHE_PACKETS: usize = 16;

/// How often the library tells what it counted: receivers report about as often.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// Where the estimate of a subscriber's bandwidth begins; probing takes it from there within a second.
const INITIAL_ESTIMATE: Bitrate = Bitrate::kbps(1000);

/// A connection that receives what a client publishes.
pub fn publisher(codecs: &Codecs, now: Instant) -> Rtc {
    common(codecs).set_extension_map(publishing(codecs)).build(now)
}

/// A connection that sends a subscriber what others publish. With `estimated` its bandwidth is estimated from
/// transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions), or by the client from the sending times
/// (REMB).
pub fn subscriber(codecs: &Codecs, estimated: bool, now: Instant) -> Rtc {
    let mut extensions = subscribing(codecs);
    if estimated {
        extensions.set(2, Extension::AbsoluteSendTime);
        extensions.set(3, Extension::TransportSequenceNumber);
    }
    sending(codecs, extensions, estimated).build(now)
}

/// A connection that does both.
pub fn both(codecs: &Codecs, estimated: bool, now: Instant) -> Rtc {
    let mut extensions = publishing(codecs);
    extensions.set(5, Extension::PlayoutDelay);
    if estimated {
        extensions.set(2, Extension::AbsoluteSendTime);
    }
    sending(codecs, extensions, estimated).build(now)
}

fn sending(codecs: &Codecs, extensions: ExtensionMap, estimated: bool) -> RtcConfig {
    common(codecs).set_extension_map(extensions).enable_bwe(estimated.then_some(INITIAL_ESTIMATE))
}

fn publishing(codecs: &Codecs) -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    describe(codecs, &mut extensions);
    extensions.set(1, Extension::AudioLevel);
    extensions.set(3, Extension::TransportSequenceNumber);
    extensions.set(4, Extension::RtpMid);
    extensions.set(10, Extension::RtpStreamId);
    extensions.set(11, Extension::RepairedRtpStreamId);
    extensions.set(13, Extension::VideoOrientation);
    extensions
}

/// AV1's receivers learn from the dependency descriptor what a frame needs.
fn describe(codecs: &Codecs, extensions: &mut ExtensionMap) {
    if codecs.video.contains(&VideoCodec::Av1) {
        extensions.set(12, dependency::extension());
    }
}

fn subscribing(codecs: &Codecs) -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    describe(codecs, &mut extensions);
    extensions.set(1, Extension::AudioLevel);
    extensions.set(4, Extension::RtpMid);
    extensions.set(5, Extension::PlayoutDelay);
    extensions.set(13, Extension::VideoOrientation);
    extensions
}

fn common(codecs: &Codecs) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_stats_interval(Some(STATS_INTERVAL))
        .clear_codecs()
        .enable_opus(true, false)
        .set_send_buffer_audio(AUDIO_CACHE_PACKETS)
        .set_send_buffer_video(VIDEO_CACHE_PACKETS);
    for codec in &codecs.video {
        match codec {
            VideoCodec::H264 => add_h264(config.codec_config()),
            VideoCodec::Vp8 => config.codec_config().enable_vp8(true),
            VideoCodec::Vp9 => config.codec_config().enable_vp9(true),
            VideoCodec::Av1 => config.codec_config().enable_av1(true),
        }
    }
    config
}

/// Constrained baseline and baseline, both packetization modes; payload types as browsers choose them.
fn add_h264(config: &mut CodecConfig) {
    for (pt, rtx, mode, profile) in [
        (108, 109, true, 0x42_e01f),
        (102, 103, true, 0x42_001f),
        (125, 107, false, 0x42_e01f),
        (104, 105, false, 0x42_001f),
    ] {
        config.add_h264(Pt::from(pt), Some(Pt::from(rtx)), mode, profile);
    }
}

/// The name of a codec in `a=rtpmap` (its media type's, without `audio/` or `video/`); empty for one that we never
/// negotiate.
pub fn encoding_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::H264 => "H264",
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Av1 => "AV1",
        _ => "",
    }
}

/// The payload parameters of `pt` in this connection.
pub fn params(config: &CodecConfig, pt: Pt) -> Option<&PayloadParams> {
    config.find(|params| params.pt() == pt)
}

/// How well a receiver that negotiated `theirs` can take what was sent as `ours`: None not at all.
pub fn compatibility(ours: &PayloadParams, theirs: &PayloadParams) -> Option<u8> {
    let (a, b) = (ours.spec(), theirs.spec());
    if a == b {
        return Some(2);
    }
    let same_mode = || a.format.packetization_mode.unwrap_or(0) == b.format.packetization_mode.unwrap_or(0);
    let same_profile = || match a.codec {
        Codec::H264 => same_mode(),
        Codec::Vp9 => a.format.profile_id.unwrap_or(0) == b.format.profile_id.unwrap_or(0),
        Codec::Av1 => a.format.profile.unwrap_or(0) == b.format.profile.unwrap_or(0),
        _ => true,
    };
    (a.codec == b.codec && same_profile()).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use str0m::media::{Direction, MediaKind};

    #[test]
    fn without_estimation_a_subscriber_is_offered_nothing_that_is_for_it_alone() {
        let asked = |estimated| {
            let mut rtc = subscriber(&Codecs::default(), estimated, clock::now());
            let mut api = rtc.sdp_api();
            api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
            let sdp = api.apply().unwrap().0.to_sdp_string();
            ["abs-send-time", "transport-wide-cc"].map(|extension| sdp.contains(extension))
        };
        assert_eq!(asked(true), [true, true]);
        assert_eq!(asked(false), [false, false]);
    }
}
