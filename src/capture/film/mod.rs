//! The file source: any film that `ffmpeg` reads, looped in real time, as camera and as microphone.
//!
//! One limited `ffmpeg` a track decodes one turn of the loop; the next turn's is started a second before it begins.
//! Where the film is follows from the media clock alone ([`track`]), so that picture and sound stay together however
//! often it is looped and whichever of them is started again.

mod decoder;
mod probe;
mod track;

pub use probe::Film;

use std::path::Path;

use super::CaptureError;
use crate::base::Shutdown;
use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::media::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES, FramePool, VideoFrame};
use track::{FilmTrack, Unit};

/// Frames of sound a second.
const SOUND_FRAMES: u32 = AUDIO_RATE / FRAME_SAMPLES as u32;

/// Names of the programs.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// Decodes.
    pub ffmpeg: &'static str,
    /// Tells what a film is.
    pub ffprobe: &'static str,
}

impl Default for Programs {
    fn default() -> Self {
        Programs { ffmpeg: "ffmpeg", ffprobe: "ffprobe" }
    }
}

/// The pictures of a film.
pub struct FilmPictures {
    film: Film,
    track: FilmTrack,
    pool: FramePool,
    /// The newest picture, to be shown again.
    last: Option<Vec<u8>>,
}

impl FilmPictures {
    /// Opens the film at `path`, to be shown at `size` (the film's proportions are kept, with black bars) and `fps`.
    /// Blocks.
    ///
    /// # Errors
    /// When the film or ffmpeg is missing, or there is no picture.
    pub fn open(path: &Path, size: Size, fps: u32, programs: Programs) -> Result<Self, CaptureError> {
        let film = Film::probe(programs.ffprobe, path)?;
        if !film.picture {
            return Err(CaptureError::NoPicture { path: path.to_owned() });
        }
        tracing::info!(film = %path.display(), turn_ms = film.turn.as_millis() as u64, "film as camera");
        let Size { width, height } = size;
        let filter = format!(
            "scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=bilinear:\
             out_color_matrix=bt601:out_range=tv,format=yuv420p,pad={width}:{height}:-1:-1,setsar=1,\
             fps={fps}:start_time=0"
        );
        let output = ["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", &filter, "-f", "rawvideo", "pipe:1"];
        let output = output.map(str::to_owned).to_vec();
        let track = FilmTrack::new(film.clone(), programs.ffmpeg, output, fps);
        Ok(FilmPictures { film, track, pool: FramePool::new(size), last: None })
    }

    /// What the film shows at `at`; moments must not go back. None when asked to stop. Blocks until it is decoded.
    ///
    /// # Errors
    /// When ffmpeg fails, or gives no picture at all.
    pub fn at(&mut self, at: MediaTime, shutdown: &Shutdown) -> Result<Option<VideoFrame>, CaptureError> {
        let mut frame = self.pool.take(at);
        match self.track.read(at, frame.data_mut(), shutdown)? {
            Unit::Read => match &mut self.last {
                Some(last) => last.copy_from_slice(frame.data()),
                None => self.last = Some(frame.data().to_vec()),
            },
            Unit::Same | Unit::Over => match &self.last {
                Some(last) => frame.data_mut().copy_from_slice(last),
                None => return Err(CaptureError::NoPicture { path: self.film.path.clone() }),
            },
            Unit::Stopped => return Ok(None),
        }
        Ok(Some(frame))
    }

    /// How long one turn of the loop lasts.
    pub fn turn(&self) -> std::time::Duration {
        self.film.turn
    }
}

/// The sound of a film; silence for a film without.
pub struct FilmSound {
    film: Film,
    track: Option<FilmTrack>,
}

impl FilmSound {
    /// Opens the film at `path`. Blocks.
    ///
    /// # Errors
    /// When the film or ffmpeg is missing.
    pub fn open(path: &Path, programs: Programs) -> Result<Self, CaptureError> {
        let film = Film::probe(programs.ffprobe, path)?;
        tracing::info!(film = %path.display(), sound = film.sound, "film as microphone");
        // Gaps in the film's sound become silence, and it begins where the picture begins.
        let filter = format!("aresample={AUDIO_RATE}:async=1:first_pts=0");
        let output =
            ["-map", "0:a:0", "-vn", "-sn", "-dn", "-af", &filter, "-ac", "1", "-f", "s16le", "pipe:1"];
        let output = output.map(str::to_owned).to_vec();
        let track = film.sound.then(|| FilmTrack::new(film.clone(), programs.ffmpeg, output, SOUND_FRAMES));
        Ok(FilmSound { film, track })
    }

    /// The 20 ms from `at` on, a multiple of 20 ms; moments must not go back. None when asked to stop. Blocks until
    /// they are decoded.
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub fn at(&mut self, at: MediaTime, shutdown: &Shutdown) -> Result<Option<AudioFrame>, CaptureError> {
        let mut bytes = [0; FRAME_SAMPLES * 2];
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        let unit = match &mut self.track {
            Some(track) => track.read(at, &mut bytes, shutdown)?,
            None => Unit::Over,
        };
        match unit {
            Unit::Read => {
                for (sample, pair) in samples.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *sample = i16::from_le_bytes(*pair);
                }
            }
            // The film goes on without sound.
            Unit::Same | Unit::Over => {}
            Unit::Stopped => return Ok(None),
        }
        Ok(Some(AudioFrame { captured: at, samples }))
    }

    /// How long one turn of the loop lasts.
    pub fn turn(&self) -> std::time::Duration {
        self.film.turn
    }

    /// Whether the film has sound.
    pub fn has_sound(&self) -> bool {
        self.film.sound
    }
}

#[cfg(test)]
mod tests;
