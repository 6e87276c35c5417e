//! What a film is: how long, with or without sound.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::decoder::{command, last_line};
use crate::capture::CaptureError;

/// A turn lasts at least this long: a still picture is a film of one frame.
const SHORTEST: Duration = Duration::from_secs(1);
/// Turns are a whole number of frames of sound.
const GRAIN_NANOS: u128 = 20_000_000;

/// A film that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// Where it is.
    pub path: PathBuf,
    /// How long one turn of the loop lasts: the film's duration rounded up to 20 ms, at least 1 s.
    pub turn: Duration,
    /// Whether it has a picture.
    pub picture: bool,
    /// Whether it has sound.
    pub sound: bool,
}

#[derive(Deserialize, Default)]
struct Answer {
    #[serde(default)]
    streams: Vec<Track>,
    #[serde(default)]
    format: Times,
}

#[derive(Deserialize)]
struct Track {
    codec_type: Option<String>,
    duration: Option<String>,
    r_frame_rate: Option<String>,
    /// Only when counted.
    nb_read_packets: Option<String>,
}

#[derive(Deserialize, Default)]
struct Times {
    duration: Option<String>,
}

impl Film {
    /// Looks at the film by `ffprobe`, called `program`; blocks for as long as that takes.
    ///
    /// # Errors
    /// When the film or the program is missing, or the file is not a film.
    pub fn probe(program: &str, path: &Path) -> Result<Film, CaptureError> {
        let unreadable = |source| CaptureError::FilmUnreadable { path: path.to_owned(), source };
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
            return Err(unreadable(source));
        }
        std::fs::File::open(path).map_err(unreadable)?;
        let answer = ask(program, path, &[])?;
        let has = |kind| answer.streams.iter().any(|track| track.codec_type.as_deref() == Some(kind));
        let (picture, sound) = (has("video"), has("audio"));
        let seconds = match answer.longest() {
            Some(seconds) => Some(seconds),
            // Pictures without a container (raw H.264, a PNG) have to be counted.
            None if picture => ask(program, path, &["-count_packets"])?.counted(),
            None => None,
        };
        let Some(seconds) = seconds.filter(|_| picture || sound) else {
            let message = "neither picture nor sound of a known duration".to_owned();
            return Err(CaptureError::NotAFilm { path: path.to_owned(), program: "ffprobe", message });
        };
        Ok(Film { path: path.to_owned(), turn: turn(seconds), picture, sound })
    }
}

impl Answer {
    /// The container's duration in seconds, or else that of the longest track.
    fn longest(&self) -> Option<f64> {
        let seconds = |text: &Option<String>| {
            text.as_deref()?.parse::<f64>().ok().filter(|seconds| *seconds > 0.0 && *seconds < 1e9)
        };
        let tracks = self.streams.iter().filter_map(|track| seconds(&track.duration));
        seconds(&self.format.duration).or_else(|| tracks.reduce(f64::max))
    }

    /// The duration in seconds by the number of packets of the first track that has a frame rate.
    fn counted(&self) -> Option<f64> {
        self.streams.iter().find_map(|track| {
            let packets: f64 = track.nb_read_packets.as_deref()?.parse().ok()?;
            let (per, second) = track.r_frame_rate.as_deref()?.split_once('/')?;
            let (per, second): (f64, f64) = (per.parse().ok()?, second.parse().ok()?);
            Some(packets * second / per).filter(|seconds| *seconds > 0.0 && *seconds < 1e9)
        })
    }
}

/// `seconds` (positive) rounded up to whole frames of sound.
fn turn(seconds: f64) -> Duration {
    // A microsecond less, so that 2.000000 is not rounded up for an inexact float.
    let nanos = (seconds * 1e9 - 1e3).max(0.0) as u128;
    let whole = nanos.div_ceil(GRAIN_NANOS) * GRAIN_NANOS;
    Duration::from_nanos(whole as u64).max(SHORTEST)
}

/// What `program` says about the film, asked with `more` options.
fn ask(program: &str, path: &Path, more: &[&str]) -> Result<Answer, CaptureError> {
    let entries = "format=duration:stream=codec_type,duration,r_frame_rate,nb_read_packets";
    let wanted = [more, &["-show_entries", entries, "-of", "json"]].concat();
    let output = command(program, path, &wanted, &[]).output().map_err(|source| CaptureError::Program {
        path: path.to_owned(),
        program: "ffprobe",
        source,
    })?;
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
    }
    let message = last_line(&output.stderr, path);
    Err(CaptureError::NotAFilm { path: path.to_owned(), program: "ffprobe", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_whole_frames_of_sound_and_last_at_least_a_second() {
        for (seconds, millis) in [(2.0, 2_000), (10.051, 10_060), (0.04, 1_000), (1.0000001, 1_000)] {
            assert_eq!(turn(seconds), Duration::from_millis(millis), "{seconds}");
        }
    }
}
