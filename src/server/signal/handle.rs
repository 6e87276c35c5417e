//! What the rest of the process sees of the room server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use livekit_protocol as proto;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::engine::Engine;
use super::message::{Join, Order, Request};
use super::placement::Placement;
use crate::room::{Directory, Event, Refusal};
use crate::rtc::sfu::{Codecs, Ports};

/// What was counted since the start, and two gauges. For metrics; reading never blocks.
#[derive(Debug, Default)]
pub struct Counters {
    /// RTP packets received from publishers.
    pub packets_received: AtomicU64,
    /// Copies of them given to subscribers.
    pub packets_forwarded: AtomicU64,
    /// NACKs received from subscribers and sent to publishers.
    pub nacks: AtomicU64,
    /// Keyframes that subscribers asked for (PLI, FIR).
    pub keyframes_wanted: AtomicU64,
    /// Keyframes that publishers were asked for (PLI): fewer, as requests are merged.
    pub keyframes_requested: AtomicU64,
    /// Data messages forwarded.
    pub data_messages: AtomicU64,
    /// Data messages lost because a subscriber did not take them.
    pub data_lost: AtomicU64,
    /// Datagrams that belonged to nobody.
    pub stray_datagrams: AtomicU64,
    /// Datagrams that the shard whose they are did not take.
    pub undelivered_datagrams: AtomicU64,
    /// Datagrams that the kernel did not take.
    pub unsent_datagrams: AtomicU64,
    /// Participants put out for malformed signalling.
    pub misbehaved: AtomicU64,
    /// Rooms now.
    pub rooms: AtomicU64,
    /// Participants now, hidden ones included.
    pub participants: AtomicU64,
}

impl Counters {
    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One room at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSnapshot {
    /// The room.
    pub room: proto::Room,
    /// Its participants in order of joining, hidden ones included.
    pub participants: Vec<proto::ParticipantInfo>,
    /// The shard that it lives on, from 0.
    pub shard: usize,
}

/// All rooms at one moment, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The rooms.
    pub rooms: Vec<RoomSnapshot>,
}

/// The running room server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Of each shard.
    pub(super) requests: Arc<[mpsc::Sender<Request>]>,
    pub(super) placement: Arc<Placement>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) events: broadcast::WeakSender<Event>,
    pub(super) directory: Arc<RwLock<Directory>>,
    pub(super) counters: Arc<Counters>,
    pub(super) ports: Ports,
    pub(super) codecs: Arc<Codecs>,
}

impl Handle {
    /// Of a server that has ended: every order is refused.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn stopped() -> Handle {
        Handle {
            requests: Arc::new([mpsc::channel(1).0]),
            placement: Arc::new(Placement::new(1, 0)),
            snapshot: watch::channel(Arc::default()).1,
            events: broadcast::channel(1).0.downgrade(),
            directory: Arc::default(),
            counters: Arc::default(),
            ports: Ports { udp: 0, tcp: 0 },
            codecs: Arc::default(),
        }
    }

    /// The ports chosen for media.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What may be published.
    pub fn codecs(&self) -> &Codecs {
        &self.codecs
    }

    /// The rooms as they were at most 100 ms ago.
    pub fn rooms(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// To wait for changes of [`Handle::rooms`].
    pub fn watch_rooms(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What happens in the rooms from now on. A listener that is 4096 events behind loses the oldest.
    /// Ends with the room server.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        // The sender is the engine's own: without it nothing happens any more, and this ends at once.
        self.events.upgrade().map_or_else(|| broadcast::channel(1).1, |events| events.subscribe())
    }

    /// The rooms that were made for later.
    pub fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to change.
    pub fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sends somebody who wants in to the shard of its room. Where what it says then is to be sent.
    ///
    /// # Errors
    /// [`Refusal`], when it is not even asked whether it may.
    pub(super) async fn join(&self, join: Join) -> Result<mpsc::Sender<Request>, Refusal> {
        let (shard, passage) = match join.resume {
            // Nothing is made for it.
            Some(_) => (self.placement.find(&join.room), None),
            None => {
                let passage = self.placement.enter(&join.room)?;
                (passage.shard, Some(passage))
            }
        };
        let requests = self.requests.get(shard).ok_or(Refusal::Stopping)?;
        let join = Request::Join(Box::new(join), passage);
        requests.send(join).await.map_err(|_| Refusal::Stopping)?;
        Ok(requests.clone())
    }

    /// The shard of a room, by the room's name or sid.
    pub(super) fn shard_of(&self, room: &str) -> Shard<'_> {
        self.shard(self.placement.find(room))
    }

    pub(super) fn shard(&self, number: usize) -> Shard<'_> {
        Shard(self.requests.get(number))
    }
}

/// One shard, to give orders to.
pub(super) struct Shard<'a>(Option<&'a mpsc::Sender<Request>>);

impl Shard<'_> {
    /// Has it do something. The work must be short: every room on it waits for it.
    pub async fn order<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let order = Order(Box::new(move |engine| drop(reply.send(work(engine)))));
        let requests = self.0.ok_or(Refusal::Stopping)?;
        requests.send(Request::Order(order)).await.map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)
    }
}
