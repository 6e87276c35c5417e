//! The producers: camera, microphone, encoders and the speaker, each supervised on its own, and what the state
//! document says of them.

use std::time::Duration;

use super::supervise::{Board, Health, Subsystem, supervise};
use crate::audio::Mixer;
use crate::capture::{self, Source};
use crate::codec::{self, AudioConfig, VideoConfig};
use crate::control::{DeviceStatus, StatePublisher};
use crate::media::{AudioFrames, LatestPicture, MuteSwitch, Stream, VideoFrames};
use crate::playback::{self, Sink};

/// How long each producer may take to stop; encoders flush what they hold.
const STOP: Duration = Duration::from_secs(2);

/// What is captured, encoded and played, and how.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Camera and microphone.
    pub capture: capture::Config,
    /// The picture's encoders.
    pub video: VideoConfig,
    /// Whether the lower layers are encoded at all.
    pub simulcast: bool,
    /// The sound's encoders.
    pub audio: AudioConfig,
    /// The speaker.
    pub speaker: Sink,
}

/// Where the rest of the box meets the producers. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct MediaHub {
    /// What is encoded.
    pub stream: Stream,
    /// The newest raw picture.
    pub latest: LatestPicture,
    /// The microphone's silence.
    pub mute: MuteSwitch,
    /// What is heard.
    pub mixer: Mixer,
    pictures: VideoFrames,
    sound: AudioFrames,
}

/// The running producers.
#[derive(Debug)]
pub struct Media {
    sources: Vec<Subsystem>,
    encoders: Vec<Subsystem>,
    speaker: Subsystem,
}

impl Media {
    /// Starts every producer.
    pub fn start(config: &MediaConfig, hub: &MediaHub, board: &Board, state: &StatePublisher) -> Media {
        tell_devices(config, state);
        let sources = vec![camera(config, hub, board, state), microphone(config, hub, board, state)];
        Media { sources, encoders: encoders(config, hub, board), speaker: speaker(config, hub, board, state) }
    }

    /// Capture stops, encoders flush; readers then see the stream's end. The speaker goes on until its own
    /// [`Media::stop_speaker`], because the room is left after this.
    pub async fn stop_producing(&mut self, hub: &MediaHub) {
        for source in self.sources.drain(..) {
            source.stop(STOP).await;
        }
        hub.pictures.close();
        hub.sound.close();
        for encoder in self.encoders.drain(..) {
            encoder.finish(STOP).await;
        }
        hub.stream.close();
    }

    /// The speaker stops; its file is whole.
    pub async fn stop_speaker(self) {
        self.speaker.stop(STOP).await;
    }
}

fn camera(config: &MediaConfig, hub: &MediaHub, board: &Board, state: &StatePublisher) -> Subsystem {
    let (capture, hub, state) = (config.capture.clone(), hub.clone(), state.clone());
    let off = capture.camera == Source::None;
    let run = move |shutdown| {
        let (capture, hub) = (capture.clone(), hub.clone());
        async move { capture::camera(&capture, &hub.pictures, &hub.latest, &shutdown).await }
    };
    supervise(board, "camera", run, move |health| {
        state.update(|state| {
            (state.camera.status, state.camera.reason) = status(off, health);
        });
    })
}

fn microphone(config: &MediaConfig, hub: &MediaHub, board: &Board, state: &StatePublisher) -> Subsystem {
    let (capture, hub, state) = (config.capture.clone(), hub.clone(), state.clone());
    let off = capture.microphone == Source::None;
    let run = move |shutdown| {
        let (capture, hub) = (capture.clone(), hub.clone());
        async move { capture::microphone(&capture, &hub.sound, &hub.mute, &shutdown).await }
    };
    supervise(board, "microphone", run, move |health| {
        state.update(|state| {
            (state.microphone.status, state.microphone.reason) = status(off, health);
        });
    })
}

fn encoders(config: &MediaConfig, hub: &MediaHub, board: &Board) -> Vec<Subsystem> {
    let (video, audio) = (config.video, config.audio);
    let mut encoders = Vec::new();
    let of = hub.clone();
    let full = move |shutdown| {
        let hub = of.clone();
        async move { codec::full(video, &hub.pictures, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-full", full, |_| {}));
    if config.simulcast {
        let of = hub.clone();
        let lower = move |shutdown| {
            let hub = of.clone();
            async move { codec::lower(video, &hub.pictures, &hub.stream, &shutdown).await }
        };
        encoders.push(supervise(board, "encode-lower", lower, |_| {}));
    }
    let of = hub.clone();
    let opus = move |shutdown| {
        let hub = of.clone();
        async move { codec::opus(audio, &hub.sound, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-opus", opus, |_| {}));
    let of = hub.clone();
    let aac = move |shutdown| {
        let hub = of.clone();
        async move { codec::aac(&hub.sound, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-aac", aac, |_| {}));
    encoders
}

fn speaker(config: &MediaConfig, hub: &MediaHub, board: &Board, state: &StatePublisher) -> Subsystem {
    let (sink, mixer, state) = (config.speaker.clone(), hub.mixer.clone(), state.clone());
    let off = sink == Sink::None;
    let run = move |shutdown| {
        let (config, mixer) = (playback::Config { sink: sink.clone() }, mixer.clone());
        async move { playback::run(&config, &mixer, &shutdown).await }
    };
    supervise(board, "speaker", run, move |health| {
        state.update(|state| {
            (state.speaker.status, state.speaker.reason) = status(off, health);
        });
    })
}

/// What the state document says of a device.
fn status(off: bool, health: &Health) -> (DeviceStatus, Option<String>) {
    match health {
        _ if off => (DeviceStatus::Off, None),
        Health::Running => (DeviceStatus::Running, None),
        Health::BackingOff { reason } => (DeviceStatus::Failed, Some(reason.clone())),
        Health::Stopped => (DeviceStatus::Off, None),
    }
}

/// Which devices they are, before any of them runs.
fn tell_devices(config: &MediaConfig, state: &StatePublisher) {
    let name = |source: &Source| match source {
        Source::Test => Some("test".to_owned()),
        Source::File(path) => Some(format!("file:{}", path.display())),
        Source::None => None,
    };
    let capture = &config.capture;
    state.update(|state| {
        state.camera.device = name(&capture.camera);
        state.camera.format =
            (capture.camera != Source::None).then(|| format!("{}@{} I420", capture.size, capture.fps));
        state.microphone.device = name(&capture.microphone);
        state.speaker.device = match &config.speaker {
            Sink::File(path) => Some(format!("file:{}", path.display())),
            Sink::None => None,
        };
    });
}
