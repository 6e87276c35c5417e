//! L3: where the box's pictures and sound come from: cameras (`v4l2`), sound cards (`alsa`), the test source, films.
//!
//! [`camera`] and [`microphone`] are one thread each, with their own errors: one that fails is started again by
//! its supervisor while the other goes on. An example stands in [`crate::codec`].

mod alsa;
mod error;
pub mod film;
mod pace;
mod slate;
mod source;
pub mod test;
pub mod timestamp;
pub mod v4l2;

pub use error::CaptureError;
pub use source::Source;
pub use v4l2::Encoding;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::audio::Voice;
use crate::audio::card::CardStats;
use crate::base::pulse::Pulse;
use crate::base::units::Size;
use crate::base::{Shutdown, clock, thread};
use crate::media::{
    AudioFrame, AudioFrames, CameraControls, ControlDesk, DeviceReport, LatestPicture, Layer, Meter,
    MuteFade, MuteSwitch, Shutter, Stream, VideoFrame, VideoFrames,
};
use film::{FilmPictures, FilmSound, Programs};
use pace::Beat;
use slate::Slate;
use test::{TestPicture, Tone};

/// What the slate says while the camera is off by order.
const CAMERA_OFF: &str = "camera off";

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
    /// What the camera shall be set to, by the control's name as the driver gives it (`brightness`,
    /// `exposure_auto`); switches are 0 and 1.
    pub controls: BTreeMap<String, i64>,
    /// What a camera that encodes H.264 itself is set to; None: its pictures are always encoded here.
    pub encoding: Option<Encoding>,
    /// The box's name, shown by the test picture and the slate.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            camera: Source::Test,
            microphone: Source::Test,
            size: Size::new(1280, 720),
            fps: 30,
            controls: BTreeMap::new(),
            encoding: None,
            name: "roomd".to_owned(),
        }
    }
}

/// Where the camera's pictures go. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct PictureOut {
    /// For the encoders.
    pub frames: VideoFrames,
    /// The newest one.
    pub latest: LatestPicture,
    /// Where the full layer of a camera that encodes itself goes.
    pub stream: Stream,
    /// How the camera is.
    pub report: DeviceReport,
    /// Pictures of the camera that were damaged and left out.
    pub damaged: Arc<AtomicU64>,
    /// Covers the camera: while it is closed a slate is all that is seen.
    pub shutter: Shutter,
    /// The camera's controls.
    pub controls: ControlDesk,
    /// Beaten by each picture, slates included: a driver that holds the thread shows as silence.
    pub pulse: Arc<Pulse>,
}

impl Default for PictureOut {
    fn default() -> Self {
        let pulse = Arc::new(Pulse::told("capture-video"));
        PictureOut {
            pulse,
            frames: VideoFrames::default(),
            latest: LatestPicture::default(),
            stream: Stream::default(),
            report: DeviceReport::default(),
            damaged: Arc::default(),
            shutter: Shutter::default(),
            controls: ControlDesk::default(),
        }
    }
}

impl PictureOut {
    /// Covers the camera, whatever the source is. From then on only the slate goes out, and what was shown last is
    /// shown no more; what was captured before may still be on its way through encoders and networks.
    pub fn cover(&self) {
        self.shutter.set(true);
        self.latest.set(None);
        // Nothing of the last picture shines through the slate's first one.
        Layer::ALL.into_iter().for_each(|layer| self.stream.request_keyframe(layer));
    }

    /// A picture of the camera; false when it is not seen, because the shutter is closed.
    fn show(&self, picture: Arc<VideoFrame>) -> bool {
        self.shutter.while_open(|| self.put(picture))
    }

    /// A picture that anybody may see.
    fn put(&self, picture: Arc<VideoFrame>) {
        self.pulse.beat();
        self.latest.set(Some(picture.clone()));
        self.frames.publish(picture);
    }
}

/// Where the microphone's sound goes. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct SoundOut {
    /// For the encoders.
    pub frames: AudioFrames,
    /// The microphone's silence.
    pub mute: MuteSwitch,
    /// How loud it is, silenced or not.
    pub meter: Meter,
    /// Takes echo and noise out of what devices hear; other sources are left as they are.
    pub voice: Voice,
    /// How the microphone is.
    pub report: DeviceReport,
    /// How the silence begins and ends.
    pub fade: MuteFade,
    /// What its sound card has been through.
    pub card: CardStats,
    /// Beaten by each frame, as in [`PictureOut`].
    pub pulse: Arc<Pulse>,
}

impl Default for SoundOut {
    fn default() -> Self {
        SoundOut {
            frames: AudioFrames::default(),
            mute: MuteSwitch::default(),
            meter: Meter::default(),
            voice: Voice::default(),
            report: DeviceReport::default(),
            fade: MuteFade::default(),
            card: CardStats::default(),
            pulse: Arc::new(Pulse::told("capture-audio")),
        }
    }
}

impl SoundOut {
    fn hear(&self, mut frame: AudioFrame) {
        self.pulse.beat();
        self.meter.show(&*frame.samples);
        self.fade.apply(self.mute.get(), &mut frame.samples);
        self.frames.publish(Arc::new(frame));
    }
}

/// Publishes the camera's pictures into `out` from the thread `capture-video`, until `shutdown` is cancelled. PTS is
/// the media time at which the picture was captured. Without a camera (`none`) it only waits.
///
/// # Errors
/// When the source fails; the supervisor starts it again. A device that fails is no error here: it is opened again
/// with backoff, and a slate stands in for it.
pub async fn camera(config: &Config, out: &PictureOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    let device = matches!(config.camera, Source::Auto | Source::Device(_));
    out.controls.tell(if device { CameraControls::Missing } else { CameraControls::Unsupported });
    if config.camera == Source::None {
        out.report.off();
        shutdown.cancelled().await;
        return Ok(());
    }
    let (config, to) = (config.clone(), out.clone());
    let work = move |shutdown: &Shutdown| match &config.camera {
        Source::Auto => v4l2::run(None, &config, &to, shutdown),
        Source::Device(path) => v4l2::run(Some(path), &config, &to, shutdown),
        Source::File(path) => show_film(path, &config, &to, shutdown),
        Source::Test | Source::None => show_test(&config, &to, shutdown),
    };
    // From the start on: opening a device may hang too.
    out.pulse.beat();
    let result = thread::run("capture-video", shutdown, work).await.map_err(CaptureError::from).flatten();
    out.pulse.rest();
    out.latest.set(None);
    result
}

/// Publishes the microphone's sound into `out` from the thread `capture-audio`, silenced while the mute switch says
/// so, until `shutdown` is cancelled. Without a microphone (`none`) it only waits.
///
/// # Errors
/// As [`camera`]; while a device is away silence stands in for it.
pub async fn microphone(config: &Config, out: &SoundOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    if config.microphone == Source::None {
        out.report.off();
        shutdown.cancelled().await;
        return Ok(());
    }
    let (source, to) = (config.microphone.clone(), out.clone());
    let work = move |shutdown: &Shutdown| match &source {
        Source::Auto => alsa::run(None, &to, shutdown),
        Source::Device(name) => alsa::run(Some(name), &to, shutdown),
        Source::File(path) => sound_film(path, &to, shutdown),
        Source::Test | Source::None => sound_test(&to, shutdown),
    };
    out.pulse.beat();
    let result = thread::run("capture-audio", shutdown, work).await.map_err(CaptureError::from).flatten();
    out.pulse.rest();
    result
}

/// `1280x720@30 I420`, of sources that make their pictures as they are wanted.
fn format_of(config: &Config) -> String {
    format!("{}@{} I420", config.size, config.fps)
}

fn show_test(config: &Config, out: &PictureOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    out.report.running("test", Some(format_of(config)));
    let picture = TestPicture::new(config.size, &config.name);
    let mut slate = Slate::new(config.size, &config.name);
    let mut beat = Beat::from(clock::media_now(), config.fps);
    while let Some((_, at)) = beat.wait(Duration::ZERO, shutdown) {
        if !out.show(picture.draw(at, clock::wall_of(at))) {
            out.put(slate.picture(CAMERA_OFF, at).into());
        }
    }
    Ok(())
}

fn sound_test(out: &SoundOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    out.report.running("test", None);
    let tone = Tone::new();
    let mut beat = Beat::from(clock::media_now(), SOUND_BEAT);
    while let Some((index, _)) = beat.wait(SOUND_FRAME, shutdown) {
        out.hear(tone.frame(index));
    }
    Ok(())
}

fn show_film(
    path: &Path,
    config: &Config,
    out: &PictureOut,
    shutdown: &Shutdown,
) -> Result<(), CaptureError> {
    let mut film = FilmPictures::open(path, config.size, config.fps, Programs::default())?;
    out.report.running(format!("file:{}", path.display()), Some(format_of(config)));
    // The first picture takes a decoder's start; what was missed meanwhile is left out, not shown late.
    film.at(clock::media_now(), shutdown)?;
    let mut slate = Slate::new(config.size, &config.name);
    let mut beat = Beat::from(clock::media_now(), config.fps);
    while let Some((_, at)) = beat.wait(Duration::ZERO, shutdown) {
        // Read on while it is off: it stays with its sound.
        let Some(frame) = film.at(at, shutdown)? else { break };
        if !out.show(Arc::new(frame)) {
            out.put(slate.picture(CAMERA_OFF, at).into());
        }
    }
    Ok(())
}

fn sound_film(path: &Path, out: &SoundOut, shutdown: &Shutdown) -> Result<(), CaptureError> {
    let mut film = FilmSound::open(path, Programs::default())?;
    out.report.running(format!("file:{}", path.display()), None);
    film.at(clock::media_now(), shutdown)?;
    let mut beat = Beat::from(clock::media_now(), SOUND_BEAT);
    while let Some((_, at)) = beat.wait(SOUND_FRAME, shutdown) {
        let Some(frame) = film.at(at, shutdown)? else { break };
        out.hear(frame);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
