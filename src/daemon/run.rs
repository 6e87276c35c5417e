//! From settings to a running box, and back: everything is opened in order, and stopped in the reverse one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::bridge::{Bridge, Parts};
use super::deeds::Deeds;
use super::desired_config;
use super::fleet::{Arrivals, Fleet, Needs};
use super::identity::{self, IdentityError};
use super::info::info;
use super::jobs;
use super::lanes;
use super::live::Lives;
use super::logging::{self, LogLevel, LoggingError};
use super::manager::Manager;
use super::media::{Media, MediaHub};
use super::metrics::{LiveCollector, ProcessCollector};
use super::mutator::{self, LaneOutputs, Mutator};
use super::recording::Recordings;
use super::reload::{Changeable, Read, Reloader};
use super::room::Rooms;
use super::serving::{Serving, ServingError, Shown};
use super::settings;
use super::supervise::Board;
use super::task::Task;
use super::watchdog::Supervisor;
use crate::base::{Shutdown, clock, ids};
use crate::config::Settings;
use crate::control::{ControlHandle, Desired, RoomJoin, StatePublisher};
use crate::record;
use crate::server::http::Health;
use crate::store::{Store, StoreError};
use crate::{local, mqtt};

/// Worker threads for everything that waits: sockets, timers, disks. The work itself has its own threads.
const WORKERS: usize = 2;
/// The exit code after a second signal: ended by SIGINT, as shells count.
const EXIT_SECOND_SIGNAL: i32 = 130;

/// Why the box does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No log.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The state directory or the box's id.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting that only its subsystem understands.
    #[error("{0}")]
    Setting(#[from] settings::SettingError),
    /// The room server.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The control socket.
    #[error(transparent)]
    Local(#[from] local::Error),
    /// The runtime or the signal handlers.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
}

/// Runs the box until SIGTERM or SIGINT; a second signal ends the process at once. SIGHUP reads the configuration again,
/// by `read`.
///
/// # Errors
/// [`DaemonError`] when it cannot start. Whatever fails later is started again and told in the state.
pub fn run(settings: Settings, read: Read) -> Result<(), DaemonError> {
    let log = logging::start(&settings.log)?;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
    for key in &settings.without_effect {
        warn!(key, "valid, and without effect in this version");
    }
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && !std::path::Path::new(&folder).is_dir()
    {
        warn!(CREDENTIALS_DIRECTORY = %folder.to_string_lossy(), "is no folder; going on without credentials");
    }
    // A second provider comes in with some library: rustls would panic where none is chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("net")
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { what: "a runtime", source })?;
    let ended = runtime.block_on(life(settings, read, log));
    // Blocking calls that still hang (a dead disk) must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    info!("stopped");
    ended
}

/// From the first thing opened to the last one closed.
async fn life(settings: Settings, read: Read, log: LogLevel) -> Result<(), DaemonError> {
    let mut signals = Signals::listen()?;
    let mut manager = Manager::default();
    let restart = Shutdown::new();
    let kept = Kept::open(&settings)?;
    let (settings, outcome) = desired_config::at_start(settings, &read, &kept.store);
    log.set(&settings.log.level);
    let (in_force, store) = (settings.clone(), kept.store.clone());
    let (mut running, changeable, arrivals, needs) = match Running::start(settings, log, kept, &restart).await
    {
        Ok(started) => started,
        Err(error) => {
            desired_config::blame(&store, &outcome, &error);
            return Err(error);
        }
    };
    let reloader = Reloader::new(read, changeable, &in_force, outcome.in_force.clone());
    let reloader = Arc::new(Mutex::new(reloader));
    running.fleet = Some(Fleet::start(arrivals, needs, reloader.clone(), outcome));
    running.health.set_ready(true);
    info!("ready");
    manager.ready();
    let mut supervisor = Supervisor::new(manager, running.state.clone(), running.health.clone());
    loop {
        tokio::select! {
            () = supervisor.turn() => {}
            () = restart.cancelled() => {
                info!("stopping, to be started again");
                break;
            }
            signal = signals.next() => match signal {
                Signal::Reload => supervisor.reload(&mut reloader.lock().unwrap_or_else(PoisonError::into_inner)),
                Signal::Stop(name) => {
                    info!(signal = name, "stopping");
                    break;
                }
            }
        }
    }
    supervisor.stopping();
    tokio::spawn(async move {
        loop {
            if let Signal::Stop(name) = signals.next().await {
                warn!(signal = name, "second signal: ending at once");
                std::process::exit(EXIT_SECOND_SIGNAL);
            }
        }
    });
    running.stop().await;
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

enum Signal {
    /// End, because of the signal of this name.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

impl Signals {
    fn listen() -> Result<Signals, DaemonError> {
        let one =
            |kind| signal(kind).map_err(|source| DaemonError::System { what: "a signal handler", source });
        Ok(Signals {
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// The next one.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// What is on the disk, and who the box is by it.
struct Kept {
    box_id: String,
    store: Store,
}

impl Kept {
    fn open(settings: &Settings) -> Result<Kept, DaemonError> {
        let state_dir = &settings.device.state_dir;
        let made = identity::box_id(state_dir)?;
        let box_id = settings.device.id.clone().unwrap_or(made);
        Ok(Kept { box_id, store: Store::open(&state_dir.join("roomd.db"))? })
    }
}

/// Everything that is stopped again.
struct Running {
    hub: MediaHub,
    state: StatePublisher,
    health: Health,
    media: Media,
    recorder: Task,
    live: Task,
    room: Task,
    microphone: Task,
    mutator: Task,
    mqtt: Option<Bridge>,
    fleet: Option<Fleet>,
    local: Task,
    serving: Option<Serving>,
}

impl Running {
    /// Opens everything, in this order: state on disk, producers, control, server, bridges, and then what was
    /// ordered before. Also gives what a reload may change.
    async fn start(
        settings: Settings,
        log: LogLevel,
        kept: Kept,
        restart: &Shutdown,
    ) -> Result<(Running, Changeable, Arrivals, Needs), DaemonError> {
        let state_dir = settings.device.state_dir.clone();
        let Kept { box_id, store } = kept;
        info!(box_id, name = settings.device.name, state_dir = %state_dir.display(), "this box");
        let recording = settings::recording(&settings.recording);
        let recording_changes = watch::Sender::new(recording.clone());

        let (board, state, hub) = (Board::default(), StatePublisher::new(clock::wall), MediaHub::default());
        let health = Health::default();
        health.beat();
        let media_config = settings::media(&settings)?;
        let desired = desired(&store, &settings);
        // Before there is a first sample: who muted the box before this start is not heard for a moment.
        hub.sound.mute.set(desired.muted);
        let media = Media::start(&media_config, &hub, &board, &state);
        let (live_config, destinations) = settings::live(&settings.live);
        let destinations = watch::Sender::new(destinations);
        let lives = Lives::new(live_config, destinations.subscribe(), hub.stream.clone(), state.clone());

        let (control, orders) = ControlHandle::new(&state);
        let serving = match &settings.server {
            None => None,
            Some(server) => {
                let shown = Shown {
                    control: control.clone(),
                    latest: hub.pictures.latest.clone(),
                    store: store.clone(),
                    recording: recording.clone(),
                    meter: hub.sound.meter.clone(),
                    collector: ProcessCollector {
                        board: board.clone(),
                        stream: hub.stream.clone(),
                        sound: hub.counters(),
                        damaged: hub.pictures.damaged.clone(),
                        meter: hub.sound.meter.clone(),
                    },
                    live: LiveCollector(lives.reports()),
                    health: health.clone(),
                };
                Some(Serving::start(server, &settings, &box_id, shown).await?)
            }
        };
        let room_config = settings::room(&settings, &media_config, &box_id, serving.as_ref());
        let (_, info) = watch::channel(info(&settings, &box_id, &room_config.identity, serving.as_ref()));

        let socket = local::Server::bind(&settings.control.socket)?;
        let (for_local, local_info, links) = (control.clone(), info.clone(), links(serving.as_ref()));
        let local = Task::spawn("local", |shutdown| socket.run(for_local, local_info, links, shutdown));
        let issuers = settings.mqtt.as_ref().map(|mqtt| mqtt.issuers.clone()).unwrap_or_default();
        let issuers = watch::Sender::new(issuers);
        let groups = watch::Sender::new(settings.control.groups.clone());
        let mut feeds = mqtt::Feeds::new(info);
        feeds.groups = groups.subscribe();
        let arrivals = Arrivals::of(&mut feeds);
        let mqtt = match &settings.mqtt {
            None => None,
            Some(mqtt) => {
                let (fleet, boot_id) = (&settings.device.fleet, ids::random(12));
                let config = settings::mqtt(mqtt, fleet, &box_id, &boot_id, issuers.subscribe())?;
                let parts = Parts {
                    config,
                    control: control.clone(),
                    hub: hub.clone(),
                    live: lives.reports(),
                    recordings: recording_changes.subscribe(),
                    home_assistant: mqtt.home_assistant.then(|| settings.device.name.clone()),
                    state_dir: state_dir.clone(),
                };
                Some(Bridge::start(parts, feeds.clone(), &board))
            }
        };

        recover(&recording, &store).await;
        let changeable = Changeable {
            log,
            policy: watch::Sender::new(settings::policy(&settings)),
            groups,
            recording: recording_changes,
            issuers,
            destinations,
            room: watch::Sender::new(room_config),
            voice: hub.sound.voice.clone(),
            box_id,
        };
        let deeds = Deeds {
            http: serving.as_ref().map(|serving| serving.http.clone()),
            state: state.clone(),
            mixer: hub.mixer.clone(),
            restart: restart.clone(),
            signs: Arc::default(),
        };
        let policy = changeable.policy.subscribe();
        let needs = Needs {
            feeds,
            store: store.clone(),
            state: state.clone(),
            runtime_dir: jobs::runtime_dir(&settings.control.socket),
            state_dir,
        };
        let (mutator, outputs) = Mutator::new(policy, desired, store.clone(), orders, deeds);
        let recordings =
            Recordings::new(changeable.recording.subscribe(), store, hub.stream.clone(), state.clone());
        let rooms = Rooms::new(changeable.room.subscribe(), hub.clone(), board, state.clone(), control);
        let [recorder, live, room, microphone] = start_lanes(outputs, recordings, lives, rooms, &hub, &state);
        let mutator = Task::spawn("mutator", |shutdown| mutator.run(shutdown));
        let running = Running {
            hub,
            state,
            health,
            media,
            recorder,
            live,
            room,
            microphone,
            mutator,
            mqtt,
            fleet: None,
            local,
            serving,
        };
        Ok((running, changeable, arrivals, needs))
    }

    /// The reverse of the start: capture stops, encoders flush, the streams and the recording end, the room is
    /// left, MQTT says offline and waits for its acknowledgement.
    async fn stop(mut self) {
        self.health.set_ready(false);
        if let Some(mqtt) = &self.mqtt {
            mqtt.stopping();
        }
        if let Some(fleet) = self.fleet.take() {
            fleet.stop().await;
        }
        self.media.stop_producing(&self.hub).await;
        self.live.stop().await;
        self.recorder.stop().await;
        self.room.stop().await;
        self.microphone.stop().await;
        self.mutator.stop().await;
        if let Some(mqtt) = self.mqtt {
            mqtt.stop().await;
        }
        self.local.stop().await;
        if let Some(serving) = self.serving {
            serving.stop().await;
        }
        self.media.stop_speaker().await;
    }
}

/// The four lanes as tasks: recorder, live, room, microphone.
fn start_lanes(
    outputs: LaneOutputs,
    recordings: Recordings,
    lives: Lives,
    rooms: Rooms,
    hub: &MediaHub,
    state: &StatePublisher,
) -> [Task; 4] {
    let LaneOutputs { room, recording, live, microphone, done } = outputs;
    let (told, live_told, seen) = (done.clone(), done.clone(), state.subscribe());
    let (muted_told, mute, muted_state) = (done.clone(), hub.sound.mute.clone(), state.clone());
    [
        Task::spawn("recorder", |shutdown| lanes::recording(recording, told, recordings, shutdown)),
        Task::spawn("live", |shutdown| lanes::live(live, live_told, lives, shutdown)),
        Task::spawn("room", |shutdown| lanes::room(room, done, rooms, seen, shutdown)),
        Task::spawn("microphone", |shutdown| {
            lanes::microphone(microphone, muted_told, mute, muted_state, shutdown)
        }),
    ]
}

/// Links for `roomctl`; none without a server.
fn links(serving: Option<&Serving>) -> local::Links {
    let http = serving.map(|serving| serving.http.clone());
    Arc::new(move |link| match (&http, link) {
        (None, _) => Vec::new(),
        (Some(http), local::Link::Admin) => http.admin_links(),
        (Some(http), local::Link::Guest { room }) => http.guest_links(room),
    })
}

/// Makes whole what the last run could not finish. A damaged disk does not keep the box from starting.
async fn recover(config: &record::Config, store: &Store) {
    let (config, store) = (config.clone(), store.clone());
    match tokio::task::spawn_blocking(move || record::recover(&config, &store)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!(%error, "recordings of an earlier run could not be looked at"),
        Err(error) => warn!(%error, "looking at the recordings of an earlier run failed"),
    }
}

/// What was ordered before this start; the configured room when none ever was.
fn desired(store: &Store, settings: &Settings) -> Desired {
    let mut desired = mutator::restored(store);
    let ever_ordered = store.desired(Desired::ROOM).is_ok_and(|value| value.is_some());
    if let (false, Some(name)) = (ever_ordered, &settings.room.name) {
        desired.room = Some(RoomJoin { room: name.clone(), url: None, token: None });
    }
    desired
}
