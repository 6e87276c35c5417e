//! Real H.264 and AAC for tests, and ffprobe's opinion.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use openh264::OpenH264API;
use openh264::encoder::{BitRate, Encoder, EncoderConfig, FrameRate, RateControlMode};
use openh264::formats::YUVSlices;

use crate::base::clock::MediaTime;
use crate::media::{AccessUnit, Layer, TrackId};

/// Where the tests' media clock stands when the first picture is taken: no multiple of any tick.
pub(crate) const START: MediaTime = MediaTime::from_nanos(5_123_456_789);

/// `count` pictures of a moving gradient at 30 Hz, a keyframe every `gop`, `width` x `height`.
pub(crate) fn pictures(count: usize, gop: usize, width: usize, height: usize) -> Vec<AccessUnit> {
    let config = EncoderConfig::new()
        .bitrate(BitRate::from_bps(300_000))
        .max_frame_rate(FrameRate::from_hz(30.0))
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(false);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).unwrap();
    let chroma = vec![128; width * height / 4];
    (0..count)
        .map(|index| {
            let luma = drawn(index, width, height);
            if index % gop == 0 {
                encoder.force_intra_frame();
            }
            let frame =
                YUVSlices::new((&luma, &chroma, &chroma), (width, height), (width, width / 2, width / 2));
            let data = encoder.encode(&frame).unwrap().to_vec();
            AccessUnit {
                track: TrackId::Video(Layer::Full),
                pts: START + Duration::from_nanos(index as u64 * 1_000_000_000 / 30),
                duration: Duration::from_nanos(1_000_000_000 / 30),
                keyframe: index % gop == 0,
                data: data.into(),
                audio_level: 127,
            }
        })
        .collect()
}

/// A moving gradient with a moving fine grain in an eighth of it, so that there is something to encode.
fn luma_at(x: usize, y: usize, picture: usize) -> u8 {
    let grain =
        (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ picture.wrapping_mul(97_003)) >> 7 & 31;
    (x + 2 * y + 5 * picture + if x % 64 < 8 { grain } else { 0 }) as u8
}

/// The luma plane of one picture.
fn drawn(picture: usize, width: usize, height: usize) -> Vec<u8> {
    (0..width * height).map(|at| luma_at(at % width, at / width, picture)).collect()
}

/// `count` packets of a 440 Hz tone, the first one at `start`.
pub(crate) fn sound(count: usize, start: MediaTime) -> Vec<AccessUnit> {
    use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};
    let encoder = Encoder::new(EncoderParams {
        bit_rate: BitRate::Cbr(64_000),
        sample_rate: 48_000,
        transport: Transport::Raw,
        channels: ChannelMode::Mono,
        audio_object_type: AudioObjectType::Mpeg4LowComplexity,
    })
    .unwrap();
    let mut packets = Vec::new();
    let mut out = [0; 2048];
    let mut at = 0usize;
    while packets.len() < count {
        let samples: Vec<i16> = (at..at + 1024)
            .map(|n| ((n as f64 * 440.0 / 48e3 * std::f64::consts::TAU).sin() * 8000.0) as i16)
            .collect();
        at += 1024;
        let made = encoder.encode(&samples, &mut out).unwrap().output_size;
        if made > 0 {
            packets.push(Bytes::copy_from_slice(&out[..made]));
        }
    }
    let unit = |(index, data)| AccessUnit {
        track: TrackId::Aac,
        pts: start + Duration::from_nanos(index as u64 * 1024 * 1_000_000_000 / 48_000),
        duration: Duration::from_nanos(1024 * 1_000_000_000 / 48_000),
        keyframe: true,
        data,
        audio_level: 127,
    };
    packets.into_iter().enumerate().map(unit).collect()
}

/// Both in the order in which a stream publishes them.
pub(crate) fn interleaved(mut pictures: Vec<AccessUnit>, sound: Vec<AccessUnit>) -> Vec<AccessUnit> {
    pictures.extend(sound);
    pictures.sort_by_key(|unit| unit.pts + unit.duration);
    pictures
}

/// `seconds` of 320x180 with sound that starts 15 ms late, a keyframe a second.
pub(crate) fn film(seconds: usize) -> Vec<AccessUnit> {
    let sound = sound(seconds * 46, START + Duration::from_millis(15));
    interleaved(pictures(seconds * 30, 30, 320, 180), sound)
}

/// What ffprobe says of the streams: one `key=value` a line.
pub(crate) fn probe(path: &Path, arguments: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "default"]).args(arguments.split(' ')).arg(path);
    let out = command.output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && errors.is_empty(), "ffprobe {}: {errors}", path.display());
    String::from_utf8(out.stdout).unwrap()
}

/// Decodes everything and fails on the first thing that is not right.
pub(crate) fn assert_plays(path: &Path) {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-err_detect", "explode", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && errors.is_empty(), "ffmpeg {}: {errors}", path.display());
}
