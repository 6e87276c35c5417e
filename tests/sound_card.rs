//! Microphone and speaker through the real alsa-lib and cpal. A machine that tests has no sound card: ALSA's file
//! plugin reads from and writes to pipes instead, whose other ends keep the time.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roomd::audio::{Decode, card, jitter::Packet};
use roomd::base::{Shutdown, clock};
use roomd::media::{DeviceStatus, FRAME_SAMPLES, Received};
use roomd::{capture, playback};

/// 20 ms of a 1 kHz tone at 48 kHz, which begins anew without a step.
fn tone() -> Vec<u8> {
    let sample = |n: u32| ((f64::from(n) * std::f64::consts::TAU / 48.0).sin() * 8000.0) as i16;
    (0..FRAME_SAMPLES as u32).flat_map(|n| sample(n).to_le_bytes()).collect()
}

/// How much of `samples` is a 1 kHz tone: 1.0 all of it.
fn purity(samples: &[i16]) -> f64 {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * n as f64 / 48.0).sin_cos();
        let value = f64::from(*sample);
        (re, im, energy) = (re + value * cos, im + value * sin, energy + value * value);
    }
    if energy == 0.0 { 0.0 } else { 2.0 * (re * re + im * im) / (energy * samples.len() as f64) }
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success(), "mkfifo {}", path.display());
}

/// Does `beat` every 20 ms on a thread of its own until `stop`.
fn every_20_ms(stop: &Arc<AtomicBool>, mut beat: impl FnMut() + Send + 'static) {
    let stop = stop.clone();
    std::thread::spawn(move || {
        let mut due = clock::now();
        while !stop.load(Ordering::Relaxed) {
            beat();
            due += Duration::from_millis(20);
            clock::sleep_until(due);
        }
    });
}

/// Writes ALSA's configuration and makes this process use it; must come before anything else of ALSA.
fn configure(place: &Path) {
    let at = |name: &str| place.join(name).display().to_string();
    let config = format!(
        "</usr/share/alsa/alsa.conf>\n\
         pcm.kitchen {{ type file slave.pcm null file /dev/null infile {} format raw }}\n\
         pcm.lounge {{ type file slave.pcm null file {} format raw }}\n\
         pcm.unplugged {{ type hw card 31 }}\n",
        at("heard"),
        at("played")
    );
    std::fs::write(place.join("asound.conf"), config).unwrap();
    // SAFETY: the only test of this process, and no other thread of it runs yet that reads the environment.
    unsafe { std::env::set_var("ALSA_CONFIG_PATH", place.join("asound.conf")) };
}

/// Decodes a packet into the tone, whatever it holds.
struct ToneOf;

impl Decode for ToneOf {
    fn decode(&mut self, _packet: &[u8], sound: &mut Vec<i16>) {
        sound.extend(tone().as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)));
    }

    fn conceal(&mut self, _next: Option<&[u8]>, sound: &mut Vec<i16>) {
        self.decode(&[], sound);
    }
}

async fn hears_the_tone(place: &Path, stop: &Arc<AtomicBool>) {
    // Open for both directions: opening does not wait for the other end then.
    let mut source = OpenOptions::new().read(true).write(true).open(place.join("heard")).unwrap();
    every_20_ms(stop, move || drop(source.write_all(&tone())));
    let (out, shutdown) = (capture::SoundOut::default(), Shutdown::new());
    out.voice.configure(roomd::audio::VoiceConfig {
        echo_cancellation: false,
        noise_suppression: false,
        gain_control: false,
    });
    let mut frames = out.frames.subscribe(200);
    let source = capture::Source::microphone("alsa:kitchen").unwrap();
    let config = capture::Config { microphone: source, ..Default::default() };
    let (told, until) = (out.report.subscribe(), shutdown.clone());
    let running = tokio::spawn(async move { capture::microphone(&config, &out, &until).await });
    let reader = tokio::task::spawn_blocking(move || {
        let (mut tones, mut seen, mut expected) = (0, 0, None);
        while tones < 50 && seen < 1500 {
            if let Received::Frame(frame) = frames.recv(Duration::from_secs(1)) {
                assert!(expected.is_none_or(|at| frame.captured == at), "frames follow on each other");
                expected = Some(frame.captured + Duration::from_millis(20));
                tones += usize::from(purity(&*frame.samples) > 0.9);
            }
            seen += 1;
        }
        tones
    });
    let tones = tokio::time::timeout(Duration::from_secs(60), reader).await.expect("frames come").unwrap();
    let device = told.borrow().clone();
    assert_eq!((tones, device.status), (50, DeviceStatus::Running), "{device:?}");
    assert!(device.name.as_deref().is_some_and(|name| name.starts_with("kitchen")), "{device:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

async fn plays_the_tone(place: &Path, stop: &Arc<AtomicBool>) {
    let mut card = OpenOptions::new().read(true).write(true).open(place.join("played")).unwrap();
    let (heard, all) = std::sync::mpsc::sync_channel::<Vec<u8>>(10_000);
    every_20_ms(stop, move || {
        // Two channels of 16 bits.
        let mut bytes = vec![0; FRAME_SAMPLES * 4];
        if card.read_exact(&mut bytes).is_ok() {
            let _ = heard.try_send(bytes);
        }
    });
    let (path, shutdown) = (playback::SpeakerPath::default(), Shutdown::new());
    let source = path.mixer.source(Box::new(ToneOf));
    let mut number = 0u16;
    every_20_ms(stop, move || {
        let (timestamp_48k, payload) = (u32::from(number) * FRAME_SAMPLES as u32, vec![0].into());
        source.push(Packet { sequence: number, timestamp_48k, payload, at: clock::media_now() });
        number = number.wrapping_add(1);
    });
    let config = playback::Config { sink: playback::Sink::parse("alsa:lounge").unwrap() };
    let (told, until) = (path.report.subscribe(), shutdown.clone());
    let running = tokio::spawn(async move { playback::run(&config, &path, &until).await });
    let reader = tokio::task::spawn_blocking(move || {
        let tone = |bytes: &Vec<u8>| {
            let left: Vec<i16> =
                bytes.chunks(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect();
            purity(&left) > 0.9
        };
        let bytes = std::iter::from_fn(|| all.recv_timeout(Duration::from_secs(5)).ok()).take(1500);
        bytes.filter(tone).take(50).count()
    });
    let tones = tokio::time::timeout(Duration::from_secs(60), reader).await.expect("sound comes").unwrap();
    let device = told.borrow().clone();
    assert_eq!((tones, device.status), (50, DeviceStatus::Running), "{device:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

async fn says_why_there_is_none(name: &str, expected: &str) {
    let (out, shutdown) = (capture::SoundOut::default(), Shutdown::new());
    let source = capture::Source::microphone(&format!("alsa:{name}")).unwrap();
    let config = capture::Config { microphone: source, ..Default::default() };
    let (mut told, until) = (out.report.subscribe(), shutdown.clone());
    let mut frames = out.frames.subscribe(10);
    let running = tokio::spawn(async move { capture::microphone(&config, &out, &until).await });
    let failed = told.wait_for(|device| device.status == DeviceStatus::Failed);
    let device =
        tokio::time::timeout(Duration::from_secs(20), failed).await.expect("it fails").unwrap().clone();
    assert!(device.reason.as_deref().is_some_and(|reason| reason.contains(expected)), "{device:?}");
    // Silence stands in for it.
    let silence = tokio::task::spawn_blocking(move || frames.recv(Duration::from_secs(10)));
    assert!(matches!(silence.await.unwrap(), Received::Frame(frame) if *frame.samples == [0; FRAME_SAMPLES]));
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_comes_from_and_goes_to_alsas_devices_by_name() {
    let place = tempfile::tempdir().unwrap();
    pipe(&place.path().join("heard"));
    pipe(&place.path().join("played"));
    configure(place.path());
    let names: Vec<String> = card::list().unwrap().into_iter().map(|card| card.name).collect();
    assert!(
        names.iter().any(|name| name == "kitchen") && names.iter().any(|name| name == "lounge"),
        "{names:?}"
    );

    let stop = Arc::new(AtomicBool::new(false));
    hears_the_tone(place.path(), &stop).await;
    plays_the_tone(place.path(), &stop).await;
    says_why_there_is_none("cellar", "no sound card cellar for the microphone; there are ").await;
    says_why_there_is_none("unplugged", "unplugged").await;
    says_why_there_is_none("null", "does not keep time").await;
    stop.store(true, Ordering::Relaxed);
}
