//! L3: where the box's pictures and sound come from: the test source, films; devices will stand beside them.
//!
//! [`camera`] and [`microphone`] are one thread each, with their own errors: one that fails is started again by
//! its supervisor while the other goes on. An example stands in [`crate::codec`].

mod error;
pub mod film;
mod pace;
mod source;
pub mod test;
pub mod timestamp;

pub use error::CaptureError;
pub use source::Source;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::units::Size;
use crate::base::{Shutdown, clock, thread};
use crate::media::{
    AudioFrame, AudioFrames, FRAME_SAMPLES, LatestPicture, MuteSwitch, VideoFrame, VideoFrames,
};
use film::{FilmPictures, FilmSound, Programs};
use pace::Beat;
use test::{TestPicture, Tone};

/// Frames of sound a second.
const SOUND_BEAT: u32 = 50;
/// How long one lasts; a microphone gives a frame when its last sample has been captured.
const SOUND_FRAME: Duration = Duration::from_millis(20);

/// What is captured, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where pictures come from.
    pub camera: Source,
    /// Where sound comes from.
    pub microphone: Source,
    /// Of the pictures; even in both directions.
    pub size: Size,
    /// Pictures a second, 1 to 60.
    pub fps: u32,
    /// The box's name, shown by the test picture.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            camera: Source::Test,
            microphone: Source::Test,
            size: Size::new(1280, 720),
            fps: 30,
            name: "roomd".to_owned(),
        }
    }
}

/// Publishes the camera's pictures into `frames`, and each into `latest`, from the thread `capture-video`, until
/// `shutdown` is cancelled. PTS is the media time at which the picture is shown. Without a camera it only waits.
///
/// # Errors
/// When the source fails; the supervisor starts it again.
pub async fn camera(
    config: &Config,
    frames: &VideoFrames,
    latest: &LatestPicture,
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    let (config, frames, shown) = (config.clone(), frames.clone(), latest.clone());
    let show = move |picture: Arc<VideoFrame>| {
        shown.set(Some(picture.clone()));
        frames.publish(picture);
    };
    let result = match config.camera {
        Source::None => {
            shutdown.cancelled().await;
            Ok(())
        }
        Source::Test => {
            let work = move |shutdown: &Shutdown| show_test(&config, show, shutdown);
            thread::run("capture-video", shutdown, work).await.map_err(CaptureError::from)
        }
        Source::File(ref path) => {
            let path = path.clone();
            let work = move |shutdown: &Shutdown| show_film(&path, &config, show, shutdown);
            thread::run("capture-video", shutdown, work).await.map_err(CaptureError::from).flatten()
        }
    };
    latest.set(None);
    result
}

/// Publishes the microphone's sound into `frames` from the thread `capture-audio`, silenced while `mute` says so,
/// until `shutdown` is cancelled. Without a microphone it only waits.
///
/// # Errors
/// When the source fails; the supervisor starts it again.
pub async fn microphone(
    config: &Config,
    frames: &AudioFrames,
    mute: &MuteSwitch,
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    let (frames, mute) = (frames.clone(), mute.clone());
    let hear = move |frame: AudioFrame| frames.publish(Arc::new(muted(frame, &mute)));
    match config.microphone {
        Source::None => {
            shutdown.cancelled().await;
            Ok(())
        }
        Source::Test => {
            let work = move |shutdown: &Shutdown| sound_test(hear, shutdown);
            Ok(thread::run("capture-audio", shutdown, work).await?)
        }
        Source::File(ref path) => {
            let path = path.clone();
            let work = move |shutdown: &Shutdown| sound_film(&path, hear, shutdown);
            thread::run("capture-audio", shutdown, work).await?
        }
    }
}

/// The frame, or silence of the same time.
fn muted(mut frame: AudioFrame, mute: &MuteSwitch) -> AudioFrame {
    if mute.get() {
        *frame.samples = [0; FRAME_SAMPLES];
    }
    frame
}

fn show_test(config: &Config, show: impl Fn(Arc<VideoFrame>), shutdown: &Shutdown) {
    let picture = TestPicture::new(config.size, &config.name);
    let mut beat = Beat::from(clock::media_now(), config.fps);
    while let Some((_, at)) = beat.wait(Duration::ZERO, shutdown) {
        show(picture.draw(at, clock::wall_of(at)));
    }
}

fn sound_test(hear: impl Fn(AudioFrame), shutdown: &Shutdown) {
    let tone = Tone::new();
    let mut beat = Beat::from(clock::media_now(), SOUND_BEAT);
    while let Some((index, _)) = beat.wait(SOUND_FRAME, shutdown) {
        hear(tone.frame(index));
    }
}

fn show_film(
    path: &Path,
    config: &Config,
    show: impl Fn(Arc<VideoFrame>),
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    let mut film = FilmPictures::open(path, config.size, config.fps, Programs::default())?;
    // The first picture takes a decoder's start; what was missed meanwhile is left out, not shown late.
    film.at(clock::media_now(), shutdown)?;
    let mut beat = Beat::from(clock::media_now(), config.fps);
    while let Some((_, at)) = beat.wait(Duration::ZERO, shutdown) {
        let Some(frame) = film.at(at, shutdown)? else { break };
        show(Arc::new(frame));
    }
    Ok(())
}

fn sound_film(path: &Path, hear: impl Fn(AudioFrame), shutdown: &Shutdown) -> Result<(), CaptureError> {
    let mut film = FilmSound::open(path, Programs::default())?;
    film.at(clock::media_now(), shutdown)?;
    let mut beat = Beat::from(clock::media_now(), SOUND_BEAT);
    while let Some((_, at)) = beat.wait(SOUND_FRAME, shutdown) {
        let Some(frame) = film.at(at, shutdown)? else { break };
        hear(frame);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
