//! L3: where the others are heard: for now a WAV file or nothing; the speaker will stand beside them.
//!
//! ```no_run
//! # use roomd::{audio::Mixer, base::Shutdown, playback};
//! # async fn example() -> Result<(), playback::PlaybackError> {
//! let config = playback::Config { sink: playback::Sink::parse("file:/tmp/heard.wav")? };
//! playback::run(&config, &Mixer::new(), &Shutdown::new()).await
//! # }
//! ```

mod wav;

use std::path::PathBuf;
use std::time::Duration;

use crate::audio::Mixer;
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::base::thread::{self, ThreadError};
use crate::media::FRAME_SAMPLES;
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
    /// A WAV file, begun anew at every start; see [`wav`].
    File(PathBuf),
    /// Nowhere.
    #[default]
    None,
}

impl Sink {
    /// Reads `"file:PATH"`, `"none"` or `"auto"` (none, as long as there are no devices).
    ///
    /// # Errors
    /// [`PlaybackError::BadSink`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PlaybackError> {
        match (text, text.strip_prefix("file:")) {
            ("none" | "auto", _) => Ok(Sink::None),
            (_, Some(path)) if !path.is_empty() => Ok(Sink::File(path.into())),
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

/// The sink has failed. Starting it again later is worth a try, except for [`PlaybackError::BadSink`].
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The configuration names a sink that there is not.
    #[error("\"{text}\" is no sink for sound: use \"auto\", \"file:PATH\" or \"none\"")]
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

/// Takes 20 ms from `mixer` every 20 ms of the media clock into the sink, on the thread `playback`, until `shutdown`
/// is cancelled; the file is whole then. Without a sink what is mixed is thrown away, so that sources stay in time.
///
/// # Errors
/// When the sink fails.
pub async fn run(config: &Config, mixer: &Mixer, shutdown: &Shutdown) -> Result<(), PlaybackError> {
    let (sink, mixer) = (config.sink.clone(), mixer.clone());
    let work = move |shutdown: &Shutdown| {
        let mut speaker = Speaker::open(&sink)?;
        let mut due = clock::media_now() + MIX;
        while !shutdown.is_cancelled() {
            clock::sleep_until(clock::instant_of(due));
            speaker.play(&mixer)?;
            due = next(due, clock::media_now());
        }
        speaker.close()
    };
    thread::run("playback", shutdown, work).await?
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
    fn open(sink: &Sink) -> Result<Self, PlaybackError> {
        let file = match sink {
            Sink::File(path) => Some(WavFile::create(path)?),
            Sink::None => None,
        };
        Ok(Speaker { file, mixes: 0 })
    }

    fn play(&mut self, mixer: &Mixer) -> Result<(), PlaybackError> {
        let mut mix = [0; FRAME_SAMPLES];
        mixer.mix(&mut mix);
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

    #[test]
    fn sinks_are_read_as_configured_and_others_are_refused() {
        assert_eq!(Sink::parse("auto").unwrap(), Sink::None);
        assert_eq!(Sink::parse("file:a.wav").unwrap(), Sink::File("a.wav".into()));
        assert!(Sink::parse("alsa:default").unwrap_err().to_string().contains("\"alsa:default\""));
    }

    #[test]
    fn what_is_mixed_stands_in_the_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("heard.wav");
        let (mixer, mut speaker) = (Mixer::new(), Speaker::open(&Sink::File(path.clone())).unwrap());
        let source = mixer.source();
        for n in 0..60 {
            source.push(&[n; FRAME_SAMPLES]);
            speaker.play(&mixer).unwrap();
        }
        let growing = std::fs::read(&path).unwrap();
        assert_eq!(u32::from_le_bytes(growing[40..44].try_into().unwrap()), 50 * 1920);
        speaker.close().unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 44 + 60 * 1920);
        // 40 ms had to come together first: frame 0 is heard as the second one.
        assert_eq!(whole[44 + 59 * 1920..][..2], 58i16.to_le_bytes());
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
        let error = run(&config, &Mixer::new(), &Shutdown::new()).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/directory/heard.wav: No such file"), "{error}");
    }
}
