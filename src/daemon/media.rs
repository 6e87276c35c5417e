//! The producers: camera, microphone, encoders and the speaker, each supervised on its own, and what the state
//! document says of them.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::metrics::SoundCounters;
use super::supervise::{Board, Health, Subsystem, supervise};
use crate::audio::card::CardStats;
use crate::audio::{Mixer, VoiceConfig};
use crate::capture::{self, PictureOut, SoundOut};
use crate::codec::{self, AudioConfig, VideoConfig};
use crate::control::{State, StatePublisher};
use crate::media::{Device, DeviceReport, DeviceStatus, Stream};
use crate::participant::UplinkMeter;
use crate::playback::{self, Sink, SpeakerPath};

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
    /// What is done to the voice.
    pub voice: VoiceConfig,
    /// The speaker.
    pub speaker: Sink,
}

/// Where the rest of the box meets the producers. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct MediaHub {
    /// What is encoded.
    pub stream: Stream,
    /// The camera's pictures.
    pub pictures: PictureOut,
    /// The microphone's sound.
    pub sound: SoundOut,
    /// What is heard.
    pub mixer: Mixer,
    /// What becomes of the packets sent to a room.
    pub uplink: UplinkMeter,
    speaker: DeviceReport,
    speaker_card: CardStats,
}

impl MediaHub {
    /// What sound has been through, for metrics.
    pub fn counters(&self) -> SoundCounters {
        let (microphone, speaker) = (self.sound.card.clone(), self.speaker_card.clone());
        SoundCounters { microphone, speaker, mixer: self.mixer.clone() }
    }
}

impl Default for MediaHub {
    fn default() -> Self {
        let stream = Stream::default();
        MediaHub {
            pictures: PictureOut { stream: stream.clone(), ..PictureOut::default() },
            stream,
            sound: SoundOut::default(),
            mixer: Mixer::default(),
            uplink: UplinkMeter::default(),
            speaker: DeviceReport::default(),
            speaker_card: CardStats::default(),
        }
    }
}

/// The running producers.
#[derive(Debug)]
pub struct Media {
    sources: Vec<Subsystem>,
    encoders: Vec<Subsystem>,
    speaker: Subsystem,
    followers: Vec<JoinHandle<()>>,
}

impl Media {
    /// Starts every producer.
    pub fn start(config: &MediaConfig, hub: &MediaHub, board: &Board, state: &StatePublisher) -> Media {
        hub.sound.voice.configure(config.voice);
        let pictures = hub.pictures.clone();
        let followers = vec![
            follow(&hub.pictures.report, state, move |state, _| tell_camera(state, &pictures)),
            follow(&hub.sound.report, state, |state, device| {
                let microphone = &mut state.microphone;
                (microphone.status, microphone.device) = (device.status, device.name);
                microphone.reason = device.reason;
            }),
            follow(&hub.speaker, state, |state, device| {
                let speaker = &mut state.speaker;
                (speaker.status, speaker.device) = (device.status, device.name);
                speaker.reason = device.reason;
            }),
        ];
        let sources = vec![camera(config, hub, board), microphone(config, hub, board)];
        let (encoders, speaker) = (encoders(config, hub, board), speaker(config, hub, board));
        Media { sources, encoders, speaker, followers }
    }

    /// Capture stops, encoders flush; readers then see the stream's end. The speaker goes on until its own
    /// [`Media::stop_speaker`], because the room is left after this.
    pub async fn stop_producing(&mut self, hub: &MediaHub) {
        for source in self.sources.drain(..) {
            source.stop(STOP).await;
        }
        hub.pictures.frames.close();
        hub.sound.frames.close();
        for encoder in self.encoders.drain(..) {
            encoder.finish(STOP).await;
        }
        hub.stream.close();
    }

    /// The speaker stops; its file is whole.
    pub async fn stop_speaker(self) {
        self.speaker.stop(STOP).await;
        self.followers.iter().for_each(JoinHandle::abort);
    }
}

/// How the camera is, with whether it is off by order. Reads both anew, whoever calls and whenever.
pub fn tell_camera(state: &mut State, pictures: &PictureOut) {
    let device = pictures.report.subscribe().borrow().clone();
    let camera = &mut state.camera;
    (camera.status, camera.device) = (device.status, device.name);
    (camera.format, camera.reason) = (device.format, device.reason);
    if pictures.shutter.is_closed() {
        camera.status = DeviceStatus::Off;
        (camera.format, camera.reason) = (None, Some("by order".to_owned()));
    }
}

/// Carries what a device tells into the state document.
fn follow(
    report: &DeviceReport,
    state: &StatePublisher,
    tell: impl Fn(&mut State, Device) + Send + 'static,
) -> JoinHandle<()> {
    let (mut device, state) = (report.subscribe(), state.clone());
    tokio::spawn(async move {
        loop {
            let now = device.borrow_and_update().clone();
            state.update(|state| tell(state, now));
            if device.changed().await.is_err() {
                return;
            }
        }
    })
}

/// A source or sink that ended with an error, beside what it tells itself.
fn tell_failure(report: &DeviceReport) -> impl Fn(&Health) + Send + Sync + 'static {
    let report = report.clone();
    move |health| match health {
        Health::Running => {}
        Health::BackingOff { reason } => report.failed(reason.clone()),
        Health::Stopped => report.off(),
    }
}

fn camera(config: &MediaConfig, hub: &MediaHub, board: &Board) -> Subsystem {
    let (capture, out) = (config.capture.clone(), hub.pictures.clone());
    let told = tell_failure(&out.report);
    let run = move |shutdown| {
        let (capture, out) = (capture.clone(), out.clone());
        async move { capture::camera(&capture, &out, &shutdown).await }
    };
    supervise(board, "camera", run, told)
}

fn microphone(config: &MediaConfig, hub: &MediaHub, board: &Board) -> Subsystem {
    let (capture, out) = (config.capture.clone(), hub.sound.clone());
    let told = tell_failure(&out.report);
    let run = move |shutdown| {
        let (capture, out) = (capture.clone(), out.clone());
        async move { capture::microphone(&capture, &out, &shutdown).await }
    };
    supervise(board, "microphone", run, told)
}

fn encoders(config: &MediaConfig, hub: &MediaHub, board: &Board) -> Vec<Subsystem> {
    let (video, audio) = (config.video, config.audio);
    let mut encoders = Vec::new();
    let of = hub.clone();
    let full = move |shutdown| {
        let hub = of.clone();
        async move { codec::full(video, &hub.pictures.frames, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-full", full, |_| {}));
    if config.simulcast {
        let of = hub.clone();
        let lower = move |shutdown| {
            let hub = of.clone();
            async move { codec::lower(video, &hub.pictures.frames, &hub.stream, &shutdown).await }
        };
        encoders.push(supervise(board, "encode-lower", lower, |_| {}));
    }
    let of = hub.clone();
    let opus = move |shutdown| {
        let hub = of.clone();
        async move { codec::opus(audio, &hub.sound.frames, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-opus", opus, |_| {}));
    let of = hub.clone();
    let aac = move |shutdown| {
        let hub = of.clone();
        async move { codec::aac(&hub.sound.frames, &hub.stream, &shutdown).await }
    };
    encoders.push(supervise(board, "encode-aac", aac, |_| {}));
    encoders
}

fn speaker(config: &MediaConfig, hub: &MediaHub, board: &Board) -> Subsystem {
    let playback = playback::Config { sink: config.speaker.clone() };
    let (mixer, voice, report) = (hub.mixer.clone(), hub.sound.voice.clone(), hub.speaker.clone());
    let card = hub.speaker_card.clone();
    let (path, told) = (SpeakerPath { mixer, voice, report, card }, tell_failure(&hub.speaker));
    let run = move |shutdown| {
        let (playback, path) = (playback.clone(), path.clone());
        async move { playback::run(&playback, &path, &shutdown).await }
    };
    supervise(board, "speaker", run, told)
}
