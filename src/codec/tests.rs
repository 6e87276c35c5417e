use std::time::Duration;

use super::video::{LayerEncoder, LowerLayers};
use super::*;
use crate::base::clock::MediaTime;
use crate::base::units::{Bitrate, Size};
use crate::media::h264::{NalType, nals};
use crate::media::{
    AUDIO_RATE, AccessUnit, AudioFrame, FRAME_SAMPLES, Layer, Reader, Stream, TrackId, VideoFrame, Wants,
};

const SIZE: Size = Size::new(640, 360);

/// Picture `n` of 30 a second: a gradient that moves.
fn picture(n: u64, size: Size) -> VideoFrame {
    let mut frame = VideoFrame::black(size, MediaTime::from_millis(1000 + n * 33));
    for (at, luma) in frame.planes_mut().0.iter_mut().enumerate() {
        *luma = (at as u64 % u64::from(size.width) + n * 3) as u8 / 2 + 60;
    }
    frame
}

/// Frame `n` of 20 ms: a tone of 440 Hz with the given amplitude.
fn sound(n: u64, amplitude: f64) -> AudioFrame {
    let mut samples = Box::new([0; FRAME_SAMPLES]);
    for (sample, at) in samples.iter_mut().zip(n * FRAME_SAMPLES as u64..) {
        let phase = at as f64 * 440.0 / f64::from(AUDIO_RATE);
        *sample = (amplitude * (std::f64::consts::TAU * phase).sin()) as i16;
    }
    AudioFrame { captured: MediaTime::from_millis(1000 + n * 20), samples }
}

fn wants(layers: &[Layer]) -> Wants {
    let mut wants = Wants::NOTHING;
    layers.iter().for_each(|layer| wants.video[layer.index()] = true);
    wants
}

fn drain(reader: &mut Reader) -> Vec<AccessUnit> {
    std::iter::from_fn(|| reader.try_recv()).collect()
}

#[test]
fn lower_layers_are_encoded_only_while_somebody_wants_them() {
    let stream = Stream::new();
    let mut layers = LowerLayers::new(VideoConfig::default());
    let mut ten_from = |from: u64| {
        (from..from + 10).for_each(|n| layers.picture(&picture(n, SIZE), &stream).unwrap());
    };
    ten_from(0);
    let mut reader = stream.subscribe("watches", wants(&[Layer::Quarter]));
    ten_from(10);
    let units = drain(&mut reader);
    assert_eq!(units.len(), 10);
    assert!(units[0].keyframe && units.iter().all(|unit| unit.track == TrackId::Video(Layer::Quarter)));
    reader.set_wants(wants(&[Layer::Quarter, Layer::Half]));
    ten_from(20);
    let units = drain(&mut reader);
    let half: Vec<_> = units.iter().filter(|unit| unit.track == TrackId::Video(Layer::Half)).collect();
    assert_eq!((half.len(), units.len(), half[0].keyframe), (10, 20, true));
    reader.set_wants(wants(&[Layer::Half]));
    ten_from(30);
    assert!(drain(&mut reader).iter().all(|unit| unit.track == TrackId::Video(Layer::Half)));
}

#[test]
fn a_layer_that_comes_back_starts_with_an_idr_and_unwanted_pictures_cost_no_access_unit() {
    let stream = Stream::new();
    let mut layer = LayerEncoder::new(Layer::Full, VideoConfig::default());
    let mut reader = stream.subscribe("watches", wants(&[Layer::Full]));
    for n in 0..40 {
        let wanted = !(10..20).contains(&n);
        layer.picture(&picture(n, SIZE), wanted, &stream).unwrap();
    }
    let units = drain(&mut reader);
    let keys: Vec<_> = units.iter().filter(|unit| unit.keyframe).map(|unit| unit.pts).collect();
    assert_eq!(units.len(), 30);
    assert_eq!(keys, [picture(0, SIZE).captured, picture(20, SIZE).captured]);
}

#[test]
fn a_keyframe_that_is_asked_for_comes_with_the_next_picture_and_else_every_two_seconds() {
    let stream = Stream::new();
    let mut layer = LayerEncoder::new(Layer::Full, VideoConfig::default());
    let mut reader = stream.subscribe("watches", wants(&[Layer::Full]));
    for n in 0..130 {
        if n == 25 {
            stream.request_keyframe(Layer::Full);
        }
        layer.picture(&picture(n, SIZE), true, &stream).unwrap();
    }
    let units = drain(&mut reader);
    assert_eq!(units.len(), 130);
    let keys: Vec<_> = units.iter().enumerate().filter(|(_, unit)| unit.keyframe).map(|(n, _)| n).collect();
    assert_eq!(keys, [0, 25, 85]);
}

#[test]
fn a_source_of_five_pictures_a_second_has_keyframes_as_often_as_one_of_thirty() {
    let stream = Stream::new();
    let mut layer = LayerEncoder::new(Layer::Full, VideoConfig::default());
    let mut reader = stream.subscribe("watches", wants(&[Layer::Full]));
    for n in 0..50 {
        layer.picture(&picture(n * 6, SIZE), true, &stream).unwrap();
    }
    let keys: Vec<_> =
        drain(&mut reader).into_iter().filter(|unit| unit.keyframe).map(|unit| unit.pts).collect();
    assert!(keys.len() >= 4, "{keys:?}");
    assert!(keys.windows(2).all(|pair| pair[1].since(pair[0]) <= Duration::from_millis(2_700)), "{keys:?}");
}

#[test]
fn every_idr_has_its_parameter_sets_and_they_say_constrained_baseline_3_1() {
    let stream = Stream::new();
    let mut layer = LayerEncoder::new(Layer::Full, VideoConfig::default());
    let mut reader = stream.subscribe("watches", wants(&[Layer::Full]));
    for n in 0..70 {
        layer.picture(&picture(n, Size::new(1280, 720)), true, &stream).unwrap();
    }
    let keys: Vec<_> = drain(&mut reader).into_iter().filter(|unit| unit.keyframe).collect();
    assert_eq!(keys.len(), 2);
    for unit in keys {
        assert!(unit.data.starts_with(&[0, 0, 0, 1]));
        let parts: Vec<_> = nals(&unit.data).collect();
        let kinds: Vec<_> = parts.iter().map(|nal| NalType::of(nal).unwrap()).collect();
        assert_eq!(kinds, [NalType::Sps, NalType::Pps, NalType::Idr]);
        // profile_idc 66, constraint_set0 and 1, level_idc 31 (ITU-T H.264 §7.3.2.1.1).
        assert_eq!((parts[0][1], parts[0][2] & 0b1100_0000, parts[0][3]), (66, 0b1100_0000, 31));
    }
}

#[test]
fn pictures_come_out_of_the_decoder_as_they_went_in() {
    let settings = h264::H264Settings {
        layer: Layer::Half,
        size: SIZE,
        fps: 30,
        bitrate: Bitrate::kbps(1000),
        intra_period: 60,
    };
    let mut encoder = h264::H264Encoder::new(settings).unwrap();
    let mut decoder = h264::H264Decoder::new().unwrap();
    for n in 0..20 {
        let source = picture(n, SIZE);
        let unit = encoder.encode(&source, false).unwrap().unwrap();
        let shown = decoder.decode(&unit.data, unit.pts).unwrap().unwrap();
        assert_eq!((shown.size(), shown.captured), (SIZE, source.captured));
        let pairs = || shown.planes().0.iter().zip(source.planes().0);
        let error: u64 = pairs().map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(error / (pairs().count() as u64) < 8, "picture {n}: mean error {error}");
    }
    assert!(decoder.decode(&[0, 0, 0, 1, 0x65, 1, 2, 3], MediaTime::ZERO).is_err());
}

#[test]
fn opus_keeps_the_time_and_tells_the_level() {
    let mut encoder = OpusEncoder::new(Bitrate::kbps(48)).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
    let mut last = 0;
    for n in 0..50 {
        // A sine's root mean square is 3 dB under its peak: 32767 / 10 is -20 dB, makes -23.
        let unit = encoder.encode(&sound(n, 3276.7)).unwrap();
        assert_eq!((unit.pts, unit.audio_level), (MediaTime::from_millis(1000 + n * 20), 23));
        assert!(unit.data.len() < 400);
        let heard = decoder.decode(&unit.data).unwrap();
        assert_eq!(heard.len(), FRAME_SAMPLES);
        last = crate::media::level::dbov(heard);
    }
    assert!((22..=24).contains(&last), "-{last} dBov");
    assert_eq!(encoder.encode(&sound(0, 0.0)).unwrap().audio_level, 127);
}

#[test]
fn lost_and_damaged_opus_packets_are_concealed() {
    let mut encoder = OpusEncoder::new(Bitrate::kbps(48)).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
    let packets: Vec<_> = (0..20).map(|n| encoder.encode(&sound(n, 6000.0)).unwrap().data).collect();
    for packet in &packets[..18] {
        decoder.decode(packet).unwrap();
    }
    assert_eq!(decoder.conceal(Some(&packets[19])).unwrap().len(), FRAME_SAMPLES);
    assert_eq!(decoder.decode(&packets[19]).unwrap().len(), FRAME_SAMPLES);
    let made_up = decoder.conceal(None).unwrap();
    assert!(crate::media::level::dbov(made_up) < 60);
    assert_eq!(decoder.decode(&[]).unwrap().len(), FRAME_SAMPLES);
    assert!(decoder.decode(&[0xff; 3]).is_err());
    assert!(decoder.decode(&packets[0]).is_ok());
}

/// Encodes frames and finishes.
fn aac_units(frames: impl Iterator<Item = AudioFrame>) -> Vec<AccessUnit> {
    let (mut encoder, mut units) = (AacEncoder::new(), Vec::new());
    frames.for_each(|frame| encoder.encode(&frame, |unit| units.push(unit)).unwrap());
    encoder.finish(|unit| units.push(unit)).unwrap();
    units
}

/// Each unit begins where the one before it ends, to the nanosecond of rounding.
fn assert_gapless(units: &[AccessUnit]) {
    for (n, unit) in units.iter().enumerate() {
        let nanos = n as u64 * u64::from(AAC_SAMPLES) * 1_000_000_000 / u64::from(AUDIO_RATE);
        assert_eq!(unit.pts, units[0].pts + Duration::from_nanos(nanos), "unit {n}");
    }
}

#[test]
fn aac_time_is_monotone_and_gapless_and_covers_all_sound() {
    let units = aac_units((0..200).map(|n| sound(n, 6000.0)));
    assert_eq!(units[0].pts, MediaTime::from_millis(1000));
    assert_gapless(&units);
    // 4 s are 187.5 units.
    assert_eq!(units.len(), 188);
}

#[test]
fn missing_sound_becomes_silence_in_aac_and_a_long_pause_a_new_beginning() {
    let with_hole = (0..100).filter(|n| !(40..47).contains(n)).map(|n| sound(n, 6000.0));
    let units = aac_units(with_hole);
    assert_gapless(&units);
    assert_eq!(units.len(), 94);
    let units = aac_units((0..50).chain(200..250).map(|n| sound(n, 6000.0)));
    let second = units.iter().position(|unit| unit.pts == MediaTime::from_millis(5000));
    assert_eq!((second, units.len()), (Some(47), 94));
    let repeated = (0..50).chain(20..100).map(|n| sound(n, 6000.0));
    assert_gapless(&aac_units(repeated));
}

#[test]
fn a_decoder_hears_aac_at_the_time_that_its_pts_says() {
    use fdk_aac::dec::{Decoder, Transport};
    // Silence, then a tone from 1.2 s on.
    let units = aac_units((0..50).map(|n| sound(n, if n < 10 { 0.0 } else { 12_000.0 })));
    let mut decoder = Decoder::new(Transport::Raw);
    decoder.config_raw(&AUDIO_SPECIFIC_CONFIG).unwrap();
    let mut heard = Vec::new();
    for unit in &units {
        decoder.fill(&unit.data).unwrap();
        let mut samples = [0; 2048];
        decoder.decode_frame(&mut samples).unwrap();
        let info = decoder.stream_info();
        assert_eq!((info.numChannels, info.sampleRate, info.frameSize), (1, 48_000, 1024));
        heard.extend_from_slice(&samples[..1024]);
    }
    let delay = decoder.stream_info().outputDelay as usize;
    let begins = heard.iter().position(|sample| sample.unsigned_abs() > 3000).unwrap() - delay;
    let expected = 10 * FRAME_SAMPLES;
    assert!(begins.abs_diff(expected) < 128, "heard at sample {begins} (delay {delay}), not {expected}");
}

#[test]
fn the_audio_specific_config_is_what_fdk_aac_says() {
    use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};
    let encoder = Encoder::new(EncoderParams {
        bit_rate: BitRate::Cbr(AAC_BITRATE.as_bps()),
        sample_rate: AUDIO_RATE,
        transport: Transport::Raw,
        channels: ChannelMode::Mono,
        audio_object_type: AudioObjectType::Mpeg4LowComplexity,
    })
    .unwrap();
    let info = encoder.info().unwrap();
    assert_eq!(info.confBuf[..info.confSize as usize], AUDIO_SPECIFIC_CONFIG);
}
