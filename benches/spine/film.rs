//! A film as raw frames.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use roomd::base::units::Size;
use roomd::media::{FRAME_SAMPLES, VideoFrame};

pub const SIZE: Size = Size::new(1280, 720);
pub const FPS: u32 = 30;

/// Pictures (I420) and sound (48 kHz, mono, 16 bits) of the same length, decoded once.
pub struct Film {
    pub pictures: PathBuf,
    pub sound: PathBuf,
    /// Where it lies; for what is written from it too.
    pub dir: PathBuf,
    pub length: Duration,
}

impl Film {
    /// Decodes `film`, over and over, into `dir` until there is `length` of it.
    pub fn decode(film: &Path, dir: &Path, length: Duration) -> Film {
        let (pictures, sound) = (dir.join("pictures.yuv"), dir.join("sound.pcm"));
        let seconds = length.as_secs_f64().to_string();
        let video = format!("fps={FPS},scale={}:{}", SIZE.width, SIZE.height);
        let output = ["-an", "-t", &seconds, "-vf", &video, "-pix_fmt", "yuv420p", "-f", "rawvideo"];
        ffmpeg(film, &output, &pictures);
        ffmpeg(film, &["-vn", "-t", &seconds, "-ac", "1", "-ar", "48000", "-f", "s16le"], &sound);
        Film { pictures, sound, dir: dir.to_owned(), length }
    }

    /// To read frames from.
    pub fn open(&self) -> Frames {
        let open = |path: &Path| File::open(path).expect("the decoded film");
        Frames { pictures: open(&self.pictures), sound: open(&self.sound) }
    }
}

fn ffmpeg(film: &Path, output: &[&str], to: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-stream_loop", "-1", "-i"]).arg(film).args(output).arg(to);
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
}

/// Reads any frame.
pub struct Frames {
    pictures: File,
    sound: File,
}

impl Frames {
    /// Picture number `index` into `frame`.
    pub fn picture(&self, index: u32, frame: &mut VideoFrame) {
        let data = frame.data_mut();
        let at = u64::from(index) * data.len() as u64;
        self.pictures.read_exact_at(data, at).expect("a picture");
    }

    /// 20 ms number `index` of the sound.
    pub fn sound(&self, index: u32) -> Box<[i16; FRAME_SAMPLES]> {
        let mut bytes = [0; FRAME_SAMPLES * 2];
        // The last few milliseconds may be missing.
        let at = u64::from(index) * bytes.len() as u64;
        let _ = self.sound.read_exact_at(&mut bytes, at);
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        for (sample, two) in samples.iter_mut().zip(bytes.chunks_exact(2)) {
            *sample = i16::from_le_bytes([two[0], two[1]]);
        }
        samples
    }
}
