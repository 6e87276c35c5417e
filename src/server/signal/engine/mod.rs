//! One shard: its rooms, their participants and connections, on one thread.
//!
//! | file | what |
//! |---|---|
//! | `bandwidth` | what each subscriber's network carries |
//! | `clients`, `resuming` | joining, leaving; coming back, and the faults to try it with |
//! | `signals` | what clients say |
//! | `publishing` | tracks come and go |
//! | `subscribing`, `audience` | who gets which track, offers to subscribers; whom publishers admit |
//! | `watching` | those who get whatever stands out |
//! | `quality` | how good each participant's connection is |
//! | `media` | packets, keyframes, layers, speakers |
//! | `data` | data messages |
//! | `orders`, `rpc` | what the APIs order |
//! | `upkeep` | timeouts, snapshots |
//! | `member`, `reply` | a participant's state; the messages sent to it |

mod audience;
mod bandwidth;
mod clients;
mod data;
mod media;
mod member;
mod orders;
mod publishing;
mod quality;
mod reply;
mod resuming;
mod rpc;
#[cfg(any(test, fuzzing))]
pub(super) mod script;
mod signals;
mod subscribing;
mod upkeep;
mod watching;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use str0m::Event as RtcEvent;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::{error, info};

use super::message::Request;
use super::placement::Placement;
use super::{Config, Counters, Snapshot, StartError};
use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};
use crate::base::pulse::Pulse;
use crate::room::{Departure, Directory, Event, MemberKey, RoomOptions, Rooms};
use crate::rtc::sfu::inlet::Share;
use crate::rtc::sfu::{Codecs, ConnectionKey, Endpoints, Role};
use crate::sfu::loudest::Loudest;
use crate::sfu::speaker::Speakers;

use media::Track;
use member::Member;
use watching::Watch;

/// How often layers, speakers and timeouts are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Requests handled before the socket is looked at again.
const REQUESTS_A_TURN: usize = 32;
/// Batches received before the timers are looked at again.
const BATCHES_A_TURN: usize = 8;

/// Where the shards tell the rest of the process.
#[derive(Clone)]
pub(super) struct Outlets {
    pub snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
    pub events: broadcast::Sender<Event>,
    pub counters: Arc<Counters>,
    pub directory: Arc<RwLock<Directory>>,
    pub placement: Arc<Placement>,
    /// As what the server shows itself.
    pub node_id: String,
}

/// The engine's whole state.
pub(super) struct Engine {
    endpoints: Endpoints,
    rooms: Rooms,
    members: HashMap<MemberKey, Member>,
    owners: HashMap<ConnectionKey, (MemberKey, Role)>,
    tracks: HashMap<u64, Track>,
    /// Those of which packets wait to be forwarded.
    waiting: Vec<u64>,
    /// Of those who watch whatever stands out.
    watches: HashMap<MemberKey, Watch>,
    speakers: HashMap<String, Speakers<MemberKey>>,
    /// By room, which audio tracks are passed on.
    loudest: HashMap<String, Loudest<u64>>,
    /// Calls of the API that wait for a participant's answer, by their id.
    calls: HashMap<String, rpc::Call>,
    codecs: Codecs,
    outlets: Outlets,
    told: upkeep::Told,
    track_keys: u64,
    /// The time of this turn, on both clocks.
    now: Instant,
    at: MediaTime,
    next_tick: Instant,
    /// Rooms or participants changed since the last snapshot.
    changed: bool,
}

/// The body of the thread `name`; `share` is called on it.
pub(super) fn run_thread(
    name: &'static str,
    share: impl FnOnce(&Config) -> Result<Share, StartError>,
    config: Config,
    outlets: Outlets,
    requests: mpsc::Receiver<Request>,
    shutdown: Shutdown,
    ready: &SyncSender<Result<(), StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => return drop(ready.send(Err(StartError::Thread { name, source }))),
    };
    runtime.block_on(async {
        let share = match share(&config) {
            Ok(share) => share,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let mut engine = Engine::new(share, config, outlets);
        let _ = ready.send(Ok(()));
        engine.run(name, requests, shutdown).await;
    });
}

impl Engine {
    fn new(share: Share, config: Config, outlets: Outlets) -> Self {
        let now = clock::now();
        Engine {
            endpoints: Endpoints::new(
                share,
                config.node_ip,
                config.codecs.clone(),
                config.bandwidth_estimation,
            ),
            rooms: Rooms::with_codecs(&config.codecs.mime_types()),
            members: HashMap::new(),
            owners: HashMap::new(),
            tracks: HashMap::new(),
            waiting: Vec::new(),
            watches: HashMap::new(),
            speakers: HashMap::new(),
            loudest: HashMap::new(),
            calls: HashMap::new(),
            codecs: config.codecs,
            outlets,
            told: upkeep::Told::default(),
            track_keys: 0,
            now,
            at: clock::media_at(now),
            next_tick: now,
            changed: false,
        }
    }

    async fn run(&mut self, name: &'static str, mut requests: mpsc::Receiver<Request>, shutdown: Shutdown) {
        // Only a wanted end takes it away: a thread that died is as bad as one that hangs.
        let pulse = ManuallyDrop::new(Pulse::vital(name));
        loop {
            pulse.beat();
            let wake_at = self.wake_at();
            tokio::select! {
                readable = self.endpoints.readable() => {
                    if let Err(error) = readable {
                        error!(%error, "room server: the UDP socket is broken");
                        return self.stop();
                    }
                }
                request = requests.recv() => {
                    let Some(request) = request else { break };
                    self.turn();
                    self.handle(request);
                    for _ in 1..REQUESTS_A_TURN {
                        let Ok(request) = requests.try_recv() else { break };
                        self.handle(request);
                    }
                }
                () = tokio::time::sleep_until(wake_at.into()) => {}
                () = shutdown.cancelled() => break,
            }
            self.turn();
            self.work();
        }
        self.stop();
        drop(ManuallyDrop::into_inner(pulse));
    }

    /// Without a room there is nothing to look at every tick.
    fn wake_at(&self) -> Instant {
        let due = self.endpoints.wake_at(self.now);
        let idle = self.rooms.is_empty() && !self.changed;
        if idle { due } else { due.min(self.next_tick) }
    }

    fn turn(&mut self) {
        self.now = clock::now();
        self.at = clock::media_at(self.now);
    }

    /// Receives, drives timers, forwards, sends.
    fn work(&mut self) {
        for _ in 0..BATCHES_A_TURN {
            if !self.endpoints.receive(self.now) {
                break;
            }
            self.react();
        }
        self.endpoints.expire(self.now);
        self.react();
        self.forward_all();
        if self.next_tick <= self.now {
            self.next_tick = self.now + TICK;
            self.upkeep();
        }
        // Sending may make events, and they more to send; what is left waits for the next turn.
        self.endpoints.flush(self.now);
        self.react();
        self.forward_all();
        self.endpoints.flush(self.now);
    }

    fn react(&mut self) {
        let mut events = self.endpoints.take_events();
        for (connection, event) in events.drain(..) {
            let Some((key, role)) = self.owners.get(&connection).copied() else { continue };
            match event {
                RtcEvent::RtpPacket(packet) => self.packet(key, packet),
                RtcEvent::Connected => self.connected(key, role),
                RtcEvent::EgressBitrateEstimate(kind) => self.bandwidth_estimated(key, role, &kind),
                RtcEvent::KeyframeRequest(request) => self.keyframe_wanted(key, request.mid),
                RtcEvent::ChannelOpen(channel, label) => self.channel_open(key, role, channel, &label),
                RtcEvent::ChannelData(data) => self.channel_data(key, role, &data),
                RtcEvent::ChannelBufferedAmountLow(_) => self.flush_data(key),
                RtcEvent::MediaEgressStats(stats) => {
                    self.count_nacks(key, stats.mid, None, stats.nacks);
                    self.sent_well(key, &stats);
                }
                RtcEvent::MediaIngressStats(stats) => {
                    self.count_nacks(key, stats.mid, stats.rid, stats.nacks);
                    self.came_well(key, &stats);
                }
                _ => {}
            }
        }
        self.endpoints.recycle(events);
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Join(join, _passage) => self.join(*join),
            Request::Signal(ticket, request) => self.signal(ticket, *request),
            Request::Malformed(ticket, what) => self.malformed(ticket, what),
            Request::Gone(ticket) => self.signalling_gone(ticket),
            Request::Order(order) => (order.0)(self),
        }
    }

    fn stop(&mut self) {
        self.turn();
        let names: Vec<String> = self.rooms.iter().map(|room| room.name.clone()).collect();
        for room in names {
            self.end_room(&room, Departure::Shutdown);
        }
        self.publish_snapshot();
    }

    /// A room has begun: what is laid down for it.
    fn lay_down(&mut self, room: &str) {
        let directory = self.outlets.directory.read().unwrap_or_else(PoisonError::into_inner);
        let lifetime = directory.get(room).and_then(|room| room.lifetime);
        if let (Some(room), Some(_)) = (self.rooms.get_mut(room), lifetime) {
            room.set(RoomOptions { lifetime, ..RoomOptions::default() });
        }
    }

    /// Ends the rooms whose time is up, some of them for good.
    fn end_overdue(&mut self) {
        for room in self.rooms.overdue(self.at) {
            info!(room, "a room's time is up");
            self.end_room(&room, Departure::RoomEnded);
            let mut directory = self.outlets.directory.write().unwrap_or_else(PoisonError::into_inner);
            let once = directory.get(&room).is_some_and(|room| room.once);
            let disabled = once && directory.disable(&room);
            drop(directory);
            if disabled {
                self.emit(Event::RoomDisabled { room });
            }
        }
    }

    fn emit(&self, event: Event) {
        self.outlets.placement.note(&event);
        // Nobody listening is fine.
        let _ = self.outlets.events.send(event);
    }
}
