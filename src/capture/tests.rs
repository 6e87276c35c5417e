use std::time::{Duration, UNIX_EPOCH};

use super::test::{BEEP, TestPicture, Tone};
use super::*;
use crate::base::clock::MediaTime;
use crate::base::units::Bitrate;
use crate::codec::h264::{H264Decoder, H264Encoder, H264Settings};
use crate::media::{Layer, Received};
use crate::sys::scale::{I420, I420Mut, scale};

/// Picture `n` of 30 a second of the test source at 720p, and its wall-clock time.
fn shown(picture: &TestPicture, n: u64) -> (Arc<VideoFrame>, std::time::SystemTime) {
    let at = MediaTime::from_nanos(n * 1_000_000_000 / 30);
    let wall = UNIX_EPOCH + Duration::from_secs(1_795_204_800) + at.since(MediaTime::ZERO);
    (picture.draw(at, wall), wall)
}

#[test]
fn the_timestamp_survives_180p_at_a_low_bitrate() {
    let picture = TestPicture::new(Size::new(1280, 720), "box");
    let size = Size::new(320, 180);
    let bitrate = Bitrate::kbps(100);
    let settings = H264Settings { layer: Layer::Quarter, size, fps: 30, bitrate, intra_period: 60 };
    let (mut encoder, mut decoder) = (H264Encoder::new(settings).unwrap(), H264Decoder::new().unwrap());
    let mut bytes = 0;
    for n in 0..150 {
        let (full, wall) = shown(&picture, n);
        let mut small = VideoFrame::black(size, full.captured);
        let from = I420 { width: 1280, height: 720, planes: full.planes() };
        assert!(scale(from, I420Mut { width: 320, height: 180, planes: small.planes_mut() }));
        let unit = encoder.encode(&small, false).unwrap().unwrap();
        bytes += unit.data.len();
        let seen = decoder.decode(&unit.data, unit.pts).unwrap().unwrap();
        let read = timestamp::read(seen.planes().0, 320, 320, 180);
        assert_eq!(read, Some(timestamp::ticks(wall)), "picture {n}");
    }
    assert!(bytes * 8 / 5 < 150_000, "{} kbit/s", bytes * 8 / 5 / 1000);
}

#[test]
fn beep_and_flash_begin_and_end_at_the_same_instant() {
    let (picture, tone) = (TestPicture::new(Size::new(320, 180), "box"), Tone::new());
    let beeps = |at: MediaTime| {
        // The 2 ms from `at` on: is there 1 kHz as loud as the beep?
        let first = at.as_nanos() * 48 / 1_000_000;
        let frame = tone.frame(first / 960);
        let from = (first % 960) as usize;
        let peak = frame.samples[from..(from + 96).min(960)].iter().max();
        peak.is_some_and(|peak| *peak > 8_000)
    };
    for ms in (20_000..24_000).step_by(10) {
        let at = MediaTime::from_millis(ms);
        let frame = picture.draw(at, UNIX_EPOCH);
        let flashes = frame.planes().0[(180 - 20) * 320 + 20] > 128;
        assert_eq!(flashes, beeps(at), "at {ms} ms");
        assert_eq!(flashes, ms % 1000 < BEEP.as_millis() as u64);
    }
}

#[test]
fn a_muted_microphone_gives_silence_of_the_same_time_at_the_latest_one_frame_after_the_order() {
    let out = SoundOut::default();
    let (mut heard, frame) = (out.frames.subscribe(2), Tone::new().frame(50));
    let mut hear = || {
        out.hear(frame.clone());
        let Received::Frame(heard) = heard.recv(Duration::ZERO) else { panic!("nothing came out") };
        assert_eq!(heard.captured, frame.captured);
        heard.samples.iter().any(|sample| *sample != 0)
    };
    assert!(hear());
    assert!(out.mute.set(true) && !out.mute.set(true));
    // The frame that fades out is the last with sound.
    assert!(hear());
    assert!(!hear() && !hear());
    assert!(out.meter.dbov() < 60, "the meter shows what a muted microphone hears");
}

#[tokio::test]
async fn the_test_source_shows_and_sounds_until_it_is_told_to_stop() {
    let (shutdown, pictures, sound) = (Shutdown::new(), PictureOut::default(), SoundOut::default());
    let config = Config { size: Size::new(160, 90), ..Config::default() };
    let (mut seen, mut heard) = (pictures.frames.subscribe(50), sound.frames.subscribe(50));
    let watch = shutdown.clone();
    let look = std::thread::spawn(move || {
        let (mut images, mut frames) = (Vec::new(), Vec::new());
        // At most a minute.
        for _ in 0..1500 {
            if images.len() >= 5 && frames.len() >= 5 {
                break;
            }
            if let Received::Frame(frame) = seen.recv(Duration::from_millis(20)) {
                images.push(frame);
            }
            if let Received::Frame(frame) = heard.recv(Duration::from_millis(20)) {
                frames.push(frame);
            }
        }
        watch.cancel();
        (images, frames)
    });
    let (camera, microphone) =
        tokio::join!(camera(&config, &pictures, &shutdown), microphone(&config, &sound, &shutdown));
    assert!(camera.is_ok() && microphone.is_ok() && pictures.latest.get().is_none());
    let (images, frames) = look.join().unwrap();
    assert!(images.len() >= 5 && frames.len() >= 5);
    assert!(images.windows(2).all(|pair| pair[0].captured < pair[1].captured));
    let gap = |pair: &[Arc<AudioFrame>]| pair[1].captured.since(pair[0].captured);
    assert!(frames.windows(2).all(|pair| gap(pair).as_millis() % 20 == 0 && !gap(pair).is_zero()));
}

#[tokio::test]
async fn a_covered_test_source_shows_its_slate_and_nothing_else() {
    let (shutdown, out) = (Shutdown::new(), PictureOut::default());
    let config = Config { size: Size::new(320, 180), ..Config::default() };
    let (mut seen, watch, order) = (out.frames.subscribe(50), shutdown.clone(), out.clone());
    out.cover();
    let look = std::thread::spawn(move || {
        // At most a minute for each of six.
        let mut shows = |frames: usize| -> Vec<bool> {
            let clock = |frame: Arc<VideoFrame>| timestamp::read(frame.planes().0, 320, 320, 180).is_some();
            let mut frame = || match seen.recv(Duration::from_secs(60)) {
                Received::Frame(frame) => Some(clock(frame)),
                Received::Nothing | Received::Closed => None,
            };
            std::iter::from_fn(&mut frame).take(frames).collect()
        };
        let first = shows(3);
        order.shutter.set(false);
        // One slate may be on its way.
        let then = shows(4);
        watch.cancel();
        (first, then)
    });
    camera(&config, &out, &shutdown).await.unwrap();
    let (first, then) = look.join().unwrap();
    assert_eq!(first, [false; 3]);
    assert!(then.len() == 4 && then.ends_with(&[true; 3]), "{then:?}");
    assert_eq!(out.controls.there(), CameraControls::Unsupported);
}

#[tokio::test]
async fn a_device_that_is_no_camera_is_a_slate_that_says_so_until_it_is_told_to_stop() {
    let (shutdown, out) = (Shutdown::new(), PictureOut::default());
    let device = Source::Device("/dev/null".to_owned());
    let config = Config { camera: device, size: Size::new(160, 90), ..Config::default() };
    let (mut seen, watch) = (out.frames.subscribe(8), shutdown.clone());
    let look = std::thread::spawn(move || {
        // At most a minute for each of three.
        let frame = |_| match seen.recv(Duration::from_secs(60)) {
            Received::Frame(frame) => Some(frame.captured),
            Received::Nothing | Received::Closed => None,
        };
        let shown: Vec<_> = (0..3).filter_map(frame).collect();
        watch.cancel();
        shown
    });
    camera(&config, &out, &shutdown).await.unwrap();
    let shown = look.join().unwrap();
    assert!(shown.len() == 3 && shown.is_sorted() && shown[0] < shown[2]);
    let device = out.report.subscribe().borrow().clone();
    assert_eq!(device.reason.as_deref(), Some("/dev/null is not a camera"));
}
