//! Everything that runs: opened in order, and stopped in the reverse one.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tracing::{info, warn};

use super::bridge::{Bridge, Parts};
use super::deeds::Deeds;
use super::fleet::{Arrivals, Fleet, Needs};
use super::info::info;
use super::jobs;
use super::lanes;
use super::live::Lives;
use super::logging::LogLevel;
use super::media::{Media, MediaConfig, MediaHub};
use super::metrics::{BridgeCollector, LiveCollector, ProcessCollector};
use super::mutator::{self, LaneOutputs, Mutator};
use super::recording::Recordings;
use super::reload::Changeable;
use super::room::{RoomConfig, Rooms};
use super::run::{DaemonError, Kept};
use super::serving::{Serving, Shown};
use super::settings;
use super::supervise::Board;
use super::task::Task;
use crate::base::{Shutdown, clock, ids};
use crate::config::Settings;
use crate::control::{ControlHandle, Desired, RoomJoin, StatePublisher};
use crate::push::Destination;
use crate::record;
use crate::server::http::Health;
use crate::store::Store;
use crate::{local, mqtt};

/// Everything that is stopped again.
pub(super) struct Running {
    hub: MediaHub,
    pub(super) state: StatePublisher,
    pub(super) health: Health,
    media: Media,
    recorder: Task,
    live: Task,
    room: Task,
    camera: Task,
    microphone: Task,
    mutator: Task,
    mqtt: Option<Bridge>,
    pub(super) fleet: Option<Fleet>,
    local: Task,
    serving: Option<Serving>,
}

impl Running {
    /// Opens everything, in this order: state on disk, producers, control, server, bridges, and then what was
    /// ordered before. Also gives what a reload may change.
    pub(super) async fn start(
        settings: Settings,
        log: LogLevel,
        kept: Kept,
        restart: &Shutdown,
    ) -> Result<(Running, Changeable, Arrivals, Needs), DaemonError> {
        let state = StatePublisher::new(clock::wall);
        let (control, orders) = ControlHandle::new(&state);
        let shared = Shared::new(settings, kept, state, control);
        let media_config = settings::media(&shared.settings)?;
        let desired = desired(&shared.store, &shared.settings);
        let media = shared.start_media(&media_config, &desired);
        let (lives, destinations) = shared.lives();
        let bridge_status = watch::Sender::new(mqtt::BridgeStatus::default());
        let serving = shared.serve(&lives, &bridge_status).await?;
        let room = settings::room(&shared.settings, &media_config, &shared.box_id, serving.as_ref());
        let info = info(&shared.settings, &shared.box_id, &room.identity, serving.as_ref());
        let (_, info) = watch::channel(info);
        let local = shared.open_socket(info.clone(), serving.as_ref())?;
        let changeable = shared.changeable(log, destinations, room);
        let mut feeds = mqtt::Feeds::new(info);
        feeds.groups = changeable.groups.subscribe();
        let arrivals = Arrivals::of(&mut feeds);
        let mqtt = shared.start_bridge(&feeds, &lives, &changeable, bridge_status)?;

        let recording = changeable.recording.borrow().clone();
        recover(&recording, &shared.store).await;
        let policy = changeable.policy.subscribe();
        let deeds = shared.deeds(serving.as_ref(), restart);
        let controls = shared.hub.pictures.controls.clone();
        let (mutator, outputs) = Mutator::new(policy, desired, shared.store.clone(), orders, deeds, controls);
        let [recorder, live, room, camera, microphone] = shared.start_lanes(outputs, &changeable, lives);
        let mutator = Task::spawn("mutator", |shutdown| mutator.run(shutdown));
        let needs = shared.needs(feeds);
        let Shared { hub, state, health, .. } = shared;
        let running = Running {
            hub,
            state,
            health,
            media,
            recorder,
            live,
            room,
            camera,
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
    pub(super) async fn stop(mut self) {
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
        self.camera.stop().await;
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

/// What the parts are made from.
struct Shared {
    settings: Settings,
    box_id: String,
    store: Store,
    board: Board,
    state: StatePublisher,
    control: ControlHandle,
    hub: MediaHub,
    health: Health,
}

impl Shared {
    fn new(settings: Settings, kept: Kept, state: StatePublisher, control: ControlHandle) -> Shared {
        let Kept { box_id, store } = kept;
        let device = &settings.device;
        info!(box_id, name = device.name, state_dir = %device.state_dir.display(), "this box");
        let health = Health::default();
        health.beat();
        let (board, hub) = (Board::default(), MediaHub::default());
        Shared { settings, box_id, store, board, state, control, hub, health }
    }

    fn start_media(&self, config: &MediaConfig, desired: &Desired) -> Media {
        // Before there is a first sample: who muted the box before this start is not heard for a moment.
        self.hub.sound.mute.set(desired.muted);
        // Nor is a camera seen that was put off.
        self.hub.pictures.shutter.set(desired.camera.off);
        Media::start(config, &self.hub, &self.board, &self.state)
    }

    /// Going live, and what changes where to.
    fn lives(&self) -> (Lives, watch::Sender<Vec<Destination>>) {
        let (config, destinations) = settings::live(&self.settings.live);
        let destinations = watch::Sender::new(destinations);
        let stream = self.hub.stream.clone();
        (Lives::new(config, destinations.subscribe(), stream, self.state.clone()), destinations)
    }

    /// The server, where there is one.
    async fn serve(
        &self,
        lives: &Lives,
        bridge: &watch::Sender<mqtt::BridgeStatus>,
    ) -> Result<Option<Serving>, DaemonError> {
        let (settings, hub) = (&self.settings, &self.hub);
        let Some(server) = &settings.server else { return Ok(None) };
        let shown = Shown {
            control: self.control.clone(),
            latest: hub.pictures.latest.clone(),
            store: self.store.clone(),
            recording: settings::recording(&settings.recording),
            meter: hub.sound.meter.clone(),
            collector: ProcessCollector {
                board: self.board.clone(),
                stream: hub.stream.clone(),
                sound: hub.counters(),
                damaged: hub.pictures.damaged.clone(),
                meter: hub.sound.meter.clone(),
            },
            live: LiveCollector(lives.reports()),
            bridge: settings.mqtt.is_some().then(|| BridgeCollector(bridge.subscribe())),
            health: self.health.clone(),
        };
        Ok(Some(Serving::start(server, settings, &self.box_id, shown).await?))
    }

    /// The control socket.
    fn open_socket(
        &self,
        info: watch::Receiver<Value>,
        serving: Option<&Serving>,
    ) -> Result<Task, DaemonError> {
        let socket = local::Server::bind(&self.settings.control.socket)?;
        let (control, links) = (self.control.clone(), links(serving));
        Ok(Task::spawn("local", |shutdown| socket.run(control, info, links, shutdown)))
    }

    fn changeable(
        &self,
        log: LogLevel,
        destinations: watch::Sender<Vec<Destination>>,
        room: RoomConfig,
    ) -> Changeable {
        let settings = &self.settings;
        let issuers = settings.mqtt.as_ref().map(|mqtt| mqtt.issuers.clone()).unwrap_or_default();
        Changeable {
            log,
            policy: watch::Sender::new(settings::policy(settings)),
            groups: watch::Sender::new(settings.control.groups.clone()),
            recording: watch::Sender::new(settings::recording(&settings.recording)),
            issuers: watch::Sender::new(issuers),
            destinations,
            room: watch::Sender::new(room),
            voice: self.hub.sound.voice.clone(),
            box_id: self.box_id.clone(),
        }
    }

    /// The bridge to the broker, where there is one.
    fn start_bridge(
        &self,
        feeds: &mqtt::Feeds,
        lives: &Lives,
        changeable: &Changeable,
        status: watch::Sender<mqtt::BridgeStatus>,
    ) -> Result<Option<Bridge>, DaemonError> {
        let Some(mqtt) = &self.settings.mqtt else { return Ok(None) };
        let (device, boot_id) = (&self.settings.device, ids::random(12));
        let issuers = changeable.issuers.subscribe();
        let parts = Parts {
            config: settings::mqtt(mqtt, &device.fleet, &self.box_id, &boot_id, issuers)?,
            control: self.control.clone(),
            hub: self.hub.clone(),
            live: lives.reports(),
            recordings: changeable.recording.subscribe(),
            home_assistant: mqtt.home_assistant.then(|| device.name.clone()),
            state_dir: device.state_dir.clone(),
            status,
        };
        Ok(Some(Bridge::start(parts, feeds.clone(), &self.board)))
    }

    fn deeds(&self, serving: Option<&Serving>, restart: &Shutdown) -> Deeds {
        Deeds {
            http: serving.map(|serving| serving.http.clone()),
            state: self.state.clone(),
            mixer: self.hub.mixer.clone(),
            restart: restart.clone(),
            signs: Arc::default(),
        }
    }

    fn needs(&self, feeds: mqtt::Feeds) -> Needs {
        Needs {
            feeds,
            store: self.store.clone(),
            state: self.state.clone(),
            runtime_dir: jobs::runtime_dir(&self.settings.control.socket),
            state_dir: self.settings.device.state_dir.clone(),
        }
    }

    /// The five lanes as tasks: recorder, live, room, camera, microphone.
    fn start_lanes(&self, outputs: LaneOutputs, changeable: &Changeable, lives: Lives) -> [Task; 5] {
        let (hub, state) = (&self.hub, &self.state);
        let recording_config = changeable.recording.subscribe();
        let recordings =
            Recordings::new(recording_config, self.store.clone(), hub.stream.clone(), state.clone());
        let (room_config, board) = (changeable.room.subscribe(), self.board.clone());
        let rooms = Rooms::new(room_config, hub.clone(), board, state.clone(), self.control.clone());
        let LaneOutputs { room, recording, live, camera, microphone, done } = outputs;
        let (told, live_told, seen) = (done.clone(), done.clone(), state.subscribe());
        let (camera_told, pictures, camera_state) = (done.clone(), hub.pictures.clone(), state.clone());
        let (muted_told, mute, muted_state) = (done.clone(), hub.sound.mute.clone(), state.clone());
        [
            Task::spawn("recorder", |shutdown| lanes::recording(recording, told, recordings, shutdown)),
            Task::spawn("live", |shutdown| lanes::live(live, live_told, lives, shutdown)),
            Task::spawn("room", |shutdown| lanes::room(room, done, rooms, seen, shutdown)),
            Task::spawn("camera", |shutdown| {
                lanes::camera(camera, camera_told, pictures, camera_state, shutdown)
            }),
            Task::spawn("microphone", |shutdown| {
                lanes::microphone(microphone, muted_told, mute, muted_state, shutdown)
            }),
        ]
    }
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
