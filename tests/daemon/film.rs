//! Measures recordings from what is in them: timestamps in the pixels, flashes and beeps.

use std::path::Path;
use std::process::Command;

use roomd::capture::timestamp;
use serde_json::Value;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// What `ffprobe` says of a file; panics when it refuses it.
pub fn probe(file: &Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_format", "-show_streams", "-count_packets"])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "ffprobe {}: {errors}", file.display());
    serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON")
}

/// The stream of `kind` (`video`, `audio`) in what [`probe`] returned.
pub fn stream<'a>(probe: &'a Value, kind: &str) -> &'a Value {
    let streams = probe["streams"].as_array().expect("streams");
    streams
        .iter()
        .find(|stream| stream["codec_type"] == kind)
        .unwrap_or_else(|| panic!("no {kind} in {probe}"))
}

/// Seconds, by `ffprobe`.
pub fn duration(probe: &Value) -> f64 {
    probe["format"]["duration"].as_str().and_then(|text| text.parse().ok()).expect("a duration")
}

/// Decodes everything and panics at the first error.
pub fn decodes_without_error(file: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-err_detect", "explode", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "ffmpeg {}: {errors}", file.display());
}

/// One decoded picture.
pub struct Picture {
    /// Seconds from the file's start.
    pub at: f64,
    /// The timestamp in its pixels, in units of 100 µs of Unix time; None where it cannot be read.
    pub shown: Option<u64>,
    /// Whether the flash is lit.
    pub flash: bool,
}

/// Every picture of a file at 320x180, with its presentation time.
pub fn pictures(file: &Path) -> Vec<Picture> {
    let raw = decoded(
        file,
        &[
            "-map",
            "0:v",
            "-vf",
            "scale=320:180:flags=area",
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            "gray",
            "-f",
            "rawvideo",
        ],
    );
    let times = packet_times(file);
    let frames = raw.chunks_exact(WIDTH * HEIGHT);
    assert_eq!(frames.len(), times.len(), "as many pictures as packets in {}", file.display());
    let lit = |luma: &[u8]| {
        let rows = HEIGHT - WIDTH / 16..HEIGHT - 4;
        let cells: Vec<u8> = rows.flat_map(|row| luma[row * WIDTH + 4..row * WIDTH + 36].to_vec()).collect();
        cells.iter().map(|&value| u64::from(value)).sum::<u64>() / cells.len() as u64 > 128
    };
    let picture = |(luma, at): (&[u8], f64)| Picture {
        at,
        shown: timestamp::read(luma, WIDTH, WIDTH, HEIGHT),
        flash: lit(luma),
    };
    frames.zip(times).map(picture).collect()
}

/// Presentation times of the pictures in seconds, in order.
fn packet_times(file: &Path) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut times: Vec<f64> = text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Where in seconds each beep (1 kHz, at least 50 ms) of a file begins.
pub fn beeps(file: &Path, hz: f64) -> Vec<f64> {
    let raw = decoded(file, &["-map", "0:a", "-ac", "1", "-ar", "48000", "-f", "s16le"]);
    let samples: Vec<f64> =
        raw.chunks_exact(2).map(|two| f64::from(i16::from_le_bytes([two[0], two[1]]))).collect();
    // Windows of 5 ms: fine enough for 40 ms, coarse enough to tell 1 kHz from a voice.
    let window = 240;
    let loud: Vec<bool> = samples.chunks_exact(window).map(|part| goertzel(part, hz) > 2000.0).collect();
    let mut starts = Vec::new();
    let mut run = 0;
    for (index, loud) in loud.iter().enumerate() {
        run = if *loud { run + 1 } else { 0 };
        if run == 10 {
            starts.push((index + 1 - run) as f64 * window as f64 / 48_000.0);
        }
    }
    starts
}

/// Amplitude of `hz` in `samples` (48 kHz).
fn goertzel(samples: &[f64], hz: f64) -> f64 {
    let omega = std::f64::consts::TAU * hz / 48_000.0;
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + 2.0 * omega.cos() * last - before);
    }
    let power = before * before + last * last - 2.0 * omega.cos() * before * last;
    power.max(0.0).sqrt() * 2.0 / samples.len() as f64
}

fn decoded(file: &Path, output: &[&str]) -> Vec<u8> {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(output)
        .arg("-")
        .output()
        .expect("ffmpeg runs");
    assert!(done.status.success(), "ffmpeg {}: {}", file.display(), String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Share of pictures whose timestamp is readable and different from all others, 0 to 1.
pub fn distinct_share(pictures: &[Picture]) -> f64 {
    let distinct: std::collections::BTreeSet<u64> =
        pictures.iter().filter_map(|picture| picture.shown).collect();
    distinct.len() as f64 / pictures.len().max(1) as f64
}

/// Where in seconds each flash begins.
pub fn flashes(pictures: &[Picture]) -> Vec<f64> {
    let pairs = pictures.windows(2).filter(|pair| !pair[0].flash && pair[1].flash);
    pairs.map(|pair| pair[1].at).collect()
}
