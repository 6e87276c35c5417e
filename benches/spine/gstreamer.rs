//! The same film through GStreamer in real time, from the same memory, by the same encoder with the same settings.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::film::Film;
use crate::{LEAD, MEASURED, cpu};

/// What the pipeline does with the frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Branches {
    /// Nothing: what reading and pacing cost.
    Reading,
    /// H.264 and AAC to a fragmented MP4, Opus to nowhere: what [`crate::ours`] does.
    Mp4,
    /// Besides, the same H.264 and AAC to FLV, and H.264 and Opus to RTP.
    Everything,
}

pub const ENCODER: &str = "openh264enc bitrate=2000000 max-bitrate=2400000 complexity=low gop-size=60 \
    rate-control=bitrate enable-frame-skip=false multi-thread=1 usage-type=camera scene-change-detection=false \
    ! h264parse";
pub const OPUS: &str =
    "opusenc bitrate=48000 audio-type=voice complexity=5 inband-fec=true packet-loss-percentage=5";
pub const AAC: &str = "audioconvert ! avenc_aac bitrate=96000 ! aacparse";

/// CPU of the whole process in percent of a core.
pub fn run(film: &Film, branches: Branches) -> f64 {
    let share = measure(&pipeline(film, branches));
    if branches != Branches::Reading {
        let bytes = std::fs::metadata(film.dir.join("gstreamer.mp4")).map_or(0, |file| file.len());
        let kbps = bytes * 8 / film.length.as_millis() as u64;
        assert!((1500..2800).contains(&kbps), "{kbps} kbit/s of MP4");
    }
    share
}

/// CPU of a pipeline's whole process in percent of a core.
pub fn measure(line: &str) -> f64 {
    let mut command = Command::new("gst-launch-1.0");
    let mut child = command
        .arg("-q")
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .expect("gst-launch-1.0 starts (scripts/install.sh bench)");
    std::thread::sleep(LEAD);
    let process = child.id().to_string();
    let (before, began) = (cpu::threads(&process), Instant::now());
    std::thread::sleep(MEASURED);
    let shares = cpu::shares(&before, cpu::threads(&process), began.elapsed().as_nanos());
    ended(&mut child, line);
    shares.values().sum()
}

fn pipeline(film: &Film, branches: Branches) -> String {
    let (pictures, sound, dir) = (film.pictures.display(), film.sound.display(), film.dir.display());
    let source = format!(
        "filesrc location={pictures} blocksize=1382400 \
         ! rawvideoparse format=i420 width=1280 height=720 framerate=30/1 ! identity sync=true ! queue name=v \
         filesrc location={sound} blocksize=1920 \
         ! rawaudioparse format=pcm pcm-format=s16le sample-rate=48000 num-channels=1 ! identity sync=true ! tee name=a"
    );
    let file = format!("mp4mux name=m fragment-duration=400 ! filesink location={dir}/gstreamer.mp4");
    match branches {
        Branches::Reading => format!("{source} v. ! fakesink a. ! queue ! fakesink a. ! queue ! fakesink"),
        Branches::Mp4 => format!(
            "{source} {file} v. ! {ENCODER} ! queue ! m. a. ! queue ! {AAC} ! queue ! m. a. ! queue ! {OPUS} ! fakesink"
        ),
        Branches::Everything => format!(
            "{source} {file} flvmux name=f streamable=true ! fakesink v. ! {ENCODER} ! tee name=h \
             h. ! queue ! m. h. ! queue ! f. h. ! queue ! rtph264pay ! fakesink \
             a. ! queue ! {AAC} ! tee name=c c. ! queue ! m. c. ! queue ! f. \
             a. ! queue ! {OPUS} ! rtpopuspay ! fakesink"
        ),
    }
}

/// Waits for the film's end.
fn ended(child: &mut Child, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match child.try_wait().expect("gst-launch is waited for") {
            Some(status) => return assert!(status.success(), "gst-launch-1.0 {line}: {status}"),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                panic!("gst-launch-1.0 does not end: {line}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
