//! L3: where the others are heard: a sound card (`alsa`), a WAV file or nothing.
//!
//! ```no_run
//! # use roomd::{base::Shutdown, playback};
//! # async fn example() -> Result<(), playback::PlaybackError> {
//! let config = playback::Config { sink: playback::Sink::parse("file:/tmp/heard.wav")? };
//! playback::run(&config, &playback::SpeakerPath::default(), &Shutdown::new()).await
//! # }
//! ```

mod alsa;
mod wav;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audio::card::CardStats;
use crate::audio::{Mixer, Voice};
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::base::thread::{self, ThreadError};
use crate::media::{DeviceReport, FRAME_SAMPLES};
use wav::WavFile;

/// How long one mix lasts.
const MIX: Duration = Duration::from_millis(20);
/// Later than this, what was missed is left out; less is caught up at once.
const LATE: Duration = Duration::from_millis(200);
/// Mixes between two updates of the file's header: 1 s.
const HEADER_EVERY: u64 = 50;

/// Where sound goes to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Sink {
    /// The default sound card; while there is none it is waited for.
    Auto,
    /// The sound card of this ALSA name.
    Device(String),
    /// A WAV file, begun anew at every start; see [`wav`].
    File(PathBuf),
    /// Nowhere.
    #[default]
    None,
}

impl Sink {
    /// Reads `"auto"`, `"alsa:NAME"`, `"file:PATH"` or `"none"`.
    ///
    /// # Errors
    /// [`PlaybackError::BadSink`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PlaybackError> {
        match (text, text.split_once(':')) {
            ("auto", _) => Ok(Sink::Auto),
            ("none", _) => Ok(Sink::None),
            (_, Some(("alsa", name))) if !name.is_empty() => Ok(Sink::Device(name.to_owned())),
            (_, Some(("file", path))) if !path.is_empty() => Ok(Sink::File(path.into())),
            _ => Err(PlaybackError::BadSink { text: text.to_owned() }),
        }
    }
}

/// What is played, where.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Config {
    /// Where sound goes to.
    pub sink: Sink,
}

/// What the speaker works with. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct SpeakerPath {
    /// Where the mix comes from.
    pub mixer: Mixer,
    /// Is told what is played, to take it out of what the microphone hears.
    pub voice: Voice,
    /// How the speaker is.
    pub report: DeviceReport,
    /// What its sound card has been through.
    pub card: CardStats,
}

/// The sink has failed. Starting it again later is worth a try, except for [`PlaybackError::BadSink`].
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The configuration names a sink that there is not.
    #[error("\"{text}\" is no sink for sound: use \"auto\", \"alsa:NAME\", \"file:PATH\" or \"none\"")]
    BadSink {
        /// What was configured.
        text: String,
    },
    /// The file cannot be created or written: no such directory, no permission, no space.
    #[error("speaker file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread of the sink.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}

/// Takes 20 ms from the mixer every 20 ms of the media clock into the sink, on the thread `playback`, until `shutdown`
/// is cancelled; a file is whole then. Without a sink what is mixed is thrown away, so that sources stay in time.
///
/// # Errors
/// When a file fails. A sound card that fails is no error here: it is opened again with backoff.
pub async fn run(config: &Config, path: &SpeakerPath, shutdown: &Shutdown) -> Result<(), PlaybackError> {
    let (sink, path) = (config.sink.clone(), path.clone());
    let work = move |shutdown: &Shutdown| match &sink {
        Sink::Auto => alsa::run(None, &path, shutdown),
        Sink::Device(name) => alsa::run(Some(name), &path, shutdown),
        Sink::File(file) => play_file(Some(file), &path, shutdown),
        Sink::None => play_file(None, &path, shutdown),
    };
    thread::run("playback", shutdown, work).await?
}

fn play_file(file: Option<&Path>, path: &SpeakerPath, shutdown: &Shutdown) -> Result<(), PlaybackError> {
    let mut speaker = Speaker::open(file)?;
    match file {
        Some(file) => path.report.running(format!("file:{}", file.display()), None),
        None => path.report.off(),
    }
    let mut due = clock::media_now() + MIX;
    while !shutdown.is_cancelled() {
        clock::sleep_until(clock::instant_of(due));
        speaker.play(&path.mixer, due)?;
        due = next(due, clock::media_now());
    }
    speaker.close()
}

/// When the mix after the one that was `due` is due, `now` that it has been played.
fn next(due: MediaTime, now: MediaTime) -> MediaTime {
    if now.since(due) > LATE { now + MIX } else { due + MIX }
}

/// The sink, open.
struct Speaker {
    file: Option<WavFile>,
    mixes: u64,
}

impl Speaker {
    fn open(file: Option<&Path>) -> Result<Self, PlaybackError> {
        Ok(Speaker { file: file.map(WavFile::create).transpose()?, mixes: 0 })
    }

    fn play(&mut self, mixer: &Mixer, due: MediaTime) -> Result<(), PlaybackError> {
        let mut mix = [0; FRAME_SAMPLES];
        mixer.mix(due, &mut mix);
        self.mixes += 1;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write(&mix)?;
        if self.mixes.is_multiple_of(HEADER_EVERY) { file.update_header() } else { Ok(()) }
    }

    fn close(mut self) -> Result<(), PlaybackError> {
        self.file.as_mut().map_or(Ok(()), WavFile::update_header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::testing::{Raw, packet};

    #[test]
    fn sinks_are_read_as_configured_and_others_are_refused() {
        assert_eq!(Sink::parse("auto").unwrap(), Sink::Auto);
        assert_eq!(Sink::parse("alsa:hw:1").unwrap(), Sink::Device("hw:1".into()));
        assert_eq!(Sink::parse("file:a.wav").unwrap(), Sink::File("a.wav".into()));
        for bad in ["alsa:", "file:", "/dev/snd"] {
            assert!(Sink::parse(bad).unwrap_err().to_string().contains(&format!("\"{bad}\"")));
        }
    }

    #[test]
    fn what_is_mixed_stands_in_the_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("heard.wav");
        let (mixer, mut speaker) = (Mixer::new(), Speaker::open(Some(&path)).unwrap());
        let source = mixer.source(Box::<Raw>::default());
        for n in 0..60 {
            source.push(packet(n, n as i16));
            speaker.play(&mixer, MediaTime::from_millis(1000 + u64::from(n) * 20)).unwrap();
        }
        let growing = std::fs::read(&path).unwrap();
        assert_eq!(u32::from_le_bytes(growing[40..44].try_into().unwrap()), 50 * 1920);
        speaker.close().unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 44 + 60 * 1920);
        // Packets are held for a moment first.
        assert_eq!(whole[44 + 59 * 1920..][..2], 57i16.to_le_bytes());
    }

    #[test]
    fn a_late_thread_catches_up_unless_it_is_very_late() {
        let due = MediaTime::from_millis(1000);
        assert_eq!(next(due, MediaTime::from_millis(1150)), MediaTime::from_millis(1020));
        assert_eq!(next(due, MediaTime::from_millis(3000)), MediaTime::from_millis(3020));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_an_error_with_its_path() {
        let config = Config { sink: Sink::File("/no/such/directory/heard.wav".into()) };
        let error = run(&config, &SpeakerPath::default(), &Shutdown::new()).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/directory/heard.wav: No such file"), "{error}");
    }
}
