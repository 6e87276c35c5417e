//! CPU from frames in memory to encoded stream and MP4, ours against GStreamer with the same encoder, in one run.
//!
//! Ours: pictures (I420, 1280x720, 30 a second) and sound are handed to the real encoders' threads and the real
//! recorder in real time; each thread is read by its own CPU clock. GStreamer: the same film from a raw file on tmpfs
//! in real time, `openh264enc` to MP4, FLV and RTP as a box would need, with `avenc_aac` and `opusenc`; what reading
//! costs (the same pipeline without encoders) is subtracted. Rounds alternate; medians are printed.
//!
//! `ROOMD_TEST_FILM=film.mp4 cargo bench --bench spine`
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roomd::base::units::Size;
use roomd::base::{Shutdown, clock};
use roomd::codec::{self, AudioConfig, VideoConfig};
use roomd::media::{
    AudioFrame, AudioFrames, FRAME_SAMPLES, FramePool, Stream, VideoFrame, VideoFrames, Wants,
};
use roomd::store::Store;
use roomd::{mp4, record};

const SIZE: Size = Size::new(1280, 720);
const FPS: u32 = 30;
const SECONDS: u32 = 20;
const ROUNDS: usize = 3;

fn main() {
    let film = PathBuf::from(std::env::var_os("ROOMD_TEST_FILM").expect("ROOMD_TEST_FILM names a film"));
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder on tmpfs");
    let raw = dir.path().join("frames.yuv");
    decode(&film, &raw);
    let pictures = load(&raw);
    let (mut ours, mut theirs, mut recordings) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let threads = our_round(&pictures);
        let total = share(threads.values().sum());
        let writing =
            threads.iter().filter(|(name, _)| name.starts_with("record")).map(|(_, cpu)| *cpu).sum();
        let encode = share(threads["encode-full"]);
        let (source, whole) = (gstreamer(&raw, dir.path(), false), gstreamer(&raw, dir.path(), true));
        let net = whole - source;
        println!(
            "round {round}: ours {total:.2} %, GStreamer {net:.2} % ({whole:.2} with {source:.2} for reading)"
        );
        for (name, cpu) in &threads {
            println!("    {name:<14} {:.2} %", share(*cpu));
        }
        ours.push(total);
        theirs.push(net);
        recordings.push(share(writing) / encode * 100.0);
    }
    let ratio: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    println!("ours                     {}", spread(&ours, "% of a core"));
    println!("GStreamer                {}", spread(&theirs, "% of a core"));
    println!("ours / GStreamer         {}", spread(&ratio, ""));
    println!("recording / encode       {}", spread(&recordings, "%"));
}

fn share(cpu: Duration) -> f64 {
    cpu.as_secs_f64() / f64::from(SECONDS) * 100.0
}

fn spread(values: &[f64], unit: &str) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
    format!("median {:.2} {unit} ({first:.2} to {last:.2})", sorted[sorted.len() / 2])
}

/// The film's first seconds as raw pictures.
fn decode(film: &Path, raw: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-stream_loop", "-1", "-i"])
        .arg(film)
        .args([
            "-t",
            &SECONDS.to_string(),
            "-vf",
            "fps=30,scale=1280:720",
            "-pix_fmt",
            "yuv420p",
            "-f",
            "rawvideo",
        ])
        .arg(raw)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "ffmpeg decodes the film");
}

fn load(raw: &Path) -> Vec<Arc<VideoFrame>> {
    let bytes = std::fs::read(raw).expect("raw pictures");
    let pool = FramePool::new(SIZE);
    let frame = |data: &[u8]| {
        let mut frame = pool.take(clock::media_now());
        frame.data_mut().copy_from_slice(data);
        Arc::new(frame)
    };
    bytes.chunks_exact((SIZE.width * SIZE.height * 3 / 2) as usize).map(frame).collect()
}

/// Feeds one run of pictures and a voice-like sound in real time; CPU by thread.
fn our_round(pictures: &[Arc<VideoFrame>]) -> BTreeMap<String, Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("net")
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let (frames, sound, stream, shutdown) =
        (VideoFrames::new(), AudioFrames::new(), Stream::new(), Shutdown::new());
    let store = Store::open(&dir.path().join("roomd.db")).expect("a database");
    runtime.block_on(async {
        let (pictures_in, sound_in, out, stop) =
            (frames.clone(), sound.clone(), stream.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::join!(
                codec::full(VideoConfig::default(), &pictures_in, &out, &stop),
                codec::opus(AudioConfig::default(), &sound_in, &out, &stop),
                codec::aac(&sound_in, &out, &stop),
            )
        });
        // Somebody in a room, as far as the encoders can tell.
        let mut room =
            stream.subscribe("room", Wants { video: [false, false, true], opus: true, aac: false });
        tokio::spawn(async move { while room.recv().await.is_some() {} });
        let config = record::Config { dir: dir.path().join("recordings"), min_free_bytes: 0 };
        let audio = mp4::AudioConfig::aac_lc_48k_mono();
        let request = record::Request { id: "bench".to_owned(), room: None, audio };
        let recording = record::start(config, store, &stream, request).expect("a recording");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = thread_cpu();
        let (feed_frames, feed_sound, fed) = (frames.clone(), sound.clone(), pictures.to_vec());
        let feeder = std::thread::Builder::new().name("feeder".to_owned());
        let feeder = feeder.spawn(move || feed(&fed, &feed_frames, &feed_sound)).expect("a thread");
        tokio::task::spawn_blocking(move || feeder.join()).await.expect("joined").expect("fed");
        let after = thread_cpu();
        let finished = recording.stop().await;
        let pictures = finished.duration().as_secs_f64() * f64::from(FPS);
        assert!(
            pictures > f64::from(SECONDS * FPS) * 0.98,
            "{pictures} pictures recorded: the machine is too slow"
        );
        shutdown.cancel();
        let spent = |(name, cpu): (String, Duration)| {
            let cpu = cpu.saturating_sub(before.get(&name).copied().unwrap_or_default());
            (name, cpu)
        };
        let ours = ["encode-full", "encode-opus", "encode-aac", "record-write", "record-sync", "net"];
        after.into_iter().map(spent).filter(|(name, _)| ours.contains(&name.as_str())).collect()
    })
}

/// Hands pictures and sound over at their times. Pictures in memory are copied once, as a camera's would be.
fn feed(pictures: &[Arc<VideoFrame>], frames: &VideoFrames, sound: &AudioFrames) {
    let start = clock::now();
    let pool = FramePool::new(SIZE);
    let (mut picture, mut spoken) = (0u32, 0u32);
    while picture < SECONDS * FPS {
        let next_picture = start + Duration::from_secs(1) * picture / FPS;
        let next_sound = start + Duration::from_millis(20) * spoken;
        if next_sound <= next_picture {
            clock::sleep_until(next_sound);
            sound.publish(Arc::new(voice(spoken, next_sound)));
            spoken += 1;
        } else {
            clock::sleep_until(next_picture);
            let mut frame = pool.take(clock::media_at(next_picture));
            frame.data_mut().copy_from_slice(pictures[picture as usize % pictures.len()].data());
            frames.publish(Arc::new(frame));
            picture += 1;
        }
    }
}

/// 20 ms of harmonics with a syllable's envelope.
fn voice(index: u32, at: Instant) -> AudioFrame {
    let mut samples = Box::new([0i16; FRAME_SAMPLES]);
    for (offset, sample) in samples.iter_mut().enumerate() {
        let t = f64::from(index) * 0.02 + offset as f64 / 48_000.0;
        let envelope = 0.5 - 0.5 * (std::f64::consts::TAU * 4.0 * t).cos();
        let tone: f64 =
            (1..8).map(|n| (std::f64::consts::TAU * 140.0 * f64::from(n) * t).sin() / f64::from(n)).sum();
        *sample = (tone * envelope * 3000.0) as i16;
    }
    AudioFrame { captured: clock::media_at(at), samples }
}

/// CPU time of each of this process's threads by name.
fn thread_cpu() -> BTreeMap<String, Duration> {
    let mut total: BTreeMap<String, Duration> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/task").expect("/proc").flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let nanos =
            read("schedstat").split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        *total.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(nanos);
    }
    total
}

/// CPU of a GStreamer pipeline over the same pictures in real time, % of a core; without `encode`, of reading only.
fn gstreamer(raw: &Path, dir: &Path, encode: bool) -> f64 {
    let source = format!(
        "filesrc location={} blocksize=1382400 ! rawvideoparse format=i420 width=1280 height=720 framerate=30/1 ! \
         identity sync=true ! queue",
        raw.display()
    );
    let sound = "audiotestsrc is-live=true samplesperbuffer=960 num-buffers=1000 wave=pink-noise volume=0.1 ! \
                 audio/x-raw,rate=48000,channels=1 ! tee name=s";
    let sinks = match encode {
        false => "! fakesink s. ! queue ! fakesink s. ! queue ! fakesink".to_owned(),
        true => format!(
            "! openh264enc bitrate=2000000 max-bitrate=2400000 complexity=low gop-size=60 rate-control=bitrate \
             enable-frame-skip=false multi-thread=1 usage-type=camera ! h264parse ! tee name=v \
             v. ! queue ! mp4mux name=m fragment-duration=400 ! filesink location={dir}/gst.mp4 \
             v. ! queue ! flvmux name=f ! fakesink v. ! queue ! rtph264pay ! fakesink \
             s. ! queue ! audioconvert ! avenc_aac bitrate=96000 ! aacparse ! tee name=a \
             a. ! queue ! m. a. ! queue ! f. \
             s. ! queue ! opusenc bitrate=48000 inband-fec=true audio-type=voice ! rtpopuspay ! fakesink",
            dir = dir.display()
        ),
    };
    let line = format!("{source} {sinks} {sound}");
    let started = Instant::now();
    let mut child = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .expect("gst-launch-1.0 starts (gstreamer1.0-tools)");
    let (stat, mut cpu_s) = (format!("/proc/{}/stat", child.id()), 0.0);
    let status = loop {
        // utime and stime in ticks of 10 ms; the last reading before the end counts.
        if let Ok(text) = std::fs::read_to_string(&stat) {
            let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let tick = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            cpu_s = f64::max(cpu_s, (tick(11) + tick(12)) / 100.0);
        }
        match child.try_wait().expect("gst-launch is waited for") {
            Some(status) => break status,
            None if started.elapsed() > Duration::from_secs(60) => {
                let _ = child.kill();
                panic!("gst-launch does not end");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "gst-launch: {status}: {line}");
    cpu_s / f64::from(SECONDS) * 100.0
}
