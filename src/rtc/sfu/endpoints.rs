//! The connections of one shard.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use str0m::Event;
use str0m::rtp::{RtpWrite, Ssrc};

use crate::base::units::Bitrate;

use super::NodeIp;
use super::connection::{Connection, LONGEST_WAIT, Traffic};
use super::guard::guard;
use super::inlet::{Inlet, Share};
use super::settings::{self, Codecs};
use super::sockets::{Datagram, Sockets};
use super::timers::Timers;
use super::whereabouts::{Addressee, Whereabouts};

/// Names a connection and its shard; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(u64);

impl ConnectionKey {
    /// The `number`th of a shard.
    pub(super) const fn new(shard: u8, number: u64) -> Self {
        ConnectionKey(((shard as u64) << 56) | number)
    }

    /// Which shard it is of.
    pub(super) const fn shard(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The client sends.
    Publisher,
    /// The client receives.
    Subscriber,
    /// One connection for both.
    Both,
}

/// Most addresses that one connection is known by; a client has a handful. One more is not answered.
const MAX_ADDRESSES: usize = 32;

/// Two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of UDP.
    pub udp: u16,
    /// Of TCP.
    pub tcp: u16,
}

/// Every connection of a shard, and its share of the two ports.
pub struct Endpoints {
    shard: u8,
    inlet: Inlet,
    sockets: Sockets,
    whereabouts: Arc<Whereabouts>,
    node_ip: NodeIp,
    codecs: Codecs,
    connections: HashMap<ConnectionKey, Connection>,
    timers: Timers,
    dirty: Vec<ConnectionKey>,
    events: Vec<(ConnectionKey, Event)>,
    keys: u64,
    /// Subscribers' bandwidth is estimated.
    estimates: bool,
    /// Counters.
    pub traffic: Traffic,
}

impl Endpoints {
    /// No connections yet. `estimates`: subscribers' bandwidth is estimated.
    pub fn new(share: Share, node_ip: NodeIp, codecs: Codecs, estimates: bool) -> Self {
        let Share { shard, inlet, sockets, whereabouts } = share;
        Endpoints {
            shard,
            inlet,
            sockets,
            whereabouts,
            node_ip,
            codecs,
            connections: HashMap::new(),
            timers: Timers::default(),
            dirty: Vec::new(),
            events: Vec::new(),
            keys: 0,
            estimates,
            traffic: Traffic::default(),
        }
    }

    /// Opens a connection with our addresses of this moment as candidates.
    pub fn open(&mut self, role: Role, now: Instant) -> ConnectionKey {
        let mut rtc = match role {
            Role::Publisher => settings::publisher(&self.codecs, now),
            Role::Subscriber => settings::subscriber(&self.codecs, self.estimates, now),
            Role::Both => settings::both(&self.codecs, self.estimates, now),
        };
        for candidate in self.sockets.candidates(self.node_ip) {
            rtc.add_local_candidate(candidate);
        }
        self.keys += 1;
        let key = ConnectionKey::new(self.shard, self.keys);
        self.timers.start(key, now);
        let paced = self.estimates && role != Role::Publisher;
        self.connections.insert(key, Connection::new(rtc, paced, now));
        self.refresh_ufrag(key, None);
        key
    }

    /// Closes a connection, telling the peer, and forgets it.
    pub fn close(&mut self, key: ConnectionKey, now: Instant) {
        let Some(mut connection) = self.connections.remove(&key) else { return };
        self.timers.stop(key, connection.timer);
        self.whereabouts.forget(key, &connection.peers, &connection.ufrags);
        self.events.retain(|(of, _)| *of != key);
        connection.close(now, &self.sockets, &mut self.traffic);
        for peer in connection.peers.iter().filter(|peer| peer.tcp) {
            self.sockets.tcp.close(peer.address);
        }
    }

    /// Subscribers' bandwidth is estimated; what a client says about it counts.
    pub fn estimates(&self) -> bool {
        self.estimates
    }

    /// A connection.
    pub fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.connections.get_mut(&key)
    }

    /// Its ICE credentials may have changed (after an offer or answer); `coming` are those of an ICE restart
    /// that the peer may use before its answer is here.
    pub fn refresh_ufrag(&mut self, key: ConnectionKey, coming: Option<String>) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let current = connection.rtc.direct_api().local_ice_credentials().ufrag;
        for ufrag in std::iter::once(current).chain(coming) {
            if !connection.ufrags.contains(&ufrag) {
                self.whereabouts.name(&ufrag, key);
                connection.ufrags.push(ufrag);
            }
        }
        // Those of finished restarts: the last two are all that a peer can still use.
        while connection.ufrags.len() > 3 {
            self.whereabouts.unname(&connection.ufrags.remove(0));
        }
        self.touch(key);
    }

    /// Something was given to this connection to send: see [`Endpoints::flush`].
    pub fn touch(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(&key).filter(|connection| !connection.dirty) {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Queues one packet on a subscriber's stream; sent by [`Endpoints::flush`]. False: there is no such stream.
    pub fn write(&mut self, key: ConnectionKey, ssrc: Ssrc, packet: RtpWrite) -> bool {
        let Some(connection) = self.connections.get_mut(&key).filter(|connection| !connection.closed) else {
            return false;
        };
        let mut api = connection.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else { return false };
        stream.write_rtp(packet);
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        true
    }

    /// Has a subscriber's estimator look for `desired`, by probing when it is more than is known to fit.
    pub fn look_for(&mut self, key: ConnectionKey, desired: Bitrate) {
        if let Some(connection) = self.connections.get_mut(&key) {
            let desired = str0m::bwe::Bitrate::bps(u64::from(desired.as_bps()));
            connection.rtc.bwe().set_bitrate(str0m::bwe::Bitrate::ZERO, desired);
            self.touch(key);
        }
    }

    /// Waits until there is something to receive.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn readable(&mut self) -> std::io::Result<()> {
        self.inlet.readable().await
    }

    /// When [`Endpoints::expire`] is due.
    pub fn wake_at(&self, now: Instant) -> Instant {
        self.timers.soonest().unwrap_or(now + LONGEST_WAIT).min(now + LONGEST_WAIT)
    }

    /// Takes one batch of what arrived; false when there was none. Events come out of [`Endpoints::take_events`].
    pub fn receive(&mut self, now: Instant) -> bool {
        let Endpoints { inlet, sockets, whereabouts, connections, timers, events, traffic, .. } = self;
        let mut desk = Desk { sockets, whereabouts, connections, timers, events, traffic };
        let received = inlet.receive(whereabouts, |to, datagram| desk.deliver(to, datagram, now));
        traffic.stray += received.stray;
        traffic.undelivered += received.undelivered;
        received.any
    }

    /// Gives a datagram to its connection as if the socket had received it.
    #[cfg(any(test, fuzzing))]
    pub fn deliver(&mut self, datagram: &Datagram<'_>, now: Instant) {
        let Endpoints { sockets, whereabouts, connections, timers, events, traffic, .. } = self;
        match whereabouts.addressee(datagram) {
            Some(to) => {
                let mut desk = Desk { sockets, whereabouts, connections, timers, events, traffic };
                desk.deliver(to, datagram, now);
            }
            None => traffic.stray += 1,
        }
    }

    /// Drives the connections whose time has come.
    pub fn expire(&mut self, now: Instant) {
        let Endpoints { sockets, connections, timers, events, traffic, .. } = self;
        for key in timers.take_due(now) {
            let Some(connection) = connections.get_mut(&key) else { continue };
            if connection.wake_at <= now {
                connection.run(key, now, sockets, events, traffic);
            }
            connection.timer = connection.wake_at;
            timers.start(key, connection.timer);
        }
    }

    /// Sends what was given to connections since the last time.
    pub fn flush(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.drain(..).for_each(|key| self.flush_one(key, now));
        self.dirty = dirty;
    }

    /// Sends what was given to one connection since the last time.
    pub fn flush_one(&mut self, key: ConnectionKey, now: Instant) {
        let Endpoints { sockets, connections, timers, events, traffic, .. } = self;
        if let Some(connection) = connections.get_mut(&key).filter(|connection| connection.dirty) {
            connection.dirty = false;
            connection.run(key, now, sockets, events, traffic);
            timers.hasten(key, &mut connection.timer, connection.wake_at);
        }
    }

    /// What happened; give the vector back empty by [`Endpoints::recycle`].
    pub fn take_events(&mut self) -> Vec<(ConnectionKey, Event)> {
        std::mem::take(&mut self.events)
    }

    /// Keeps an emptied vector's memory for the next events.
    pub fn recycle(&mut self, mut events: Vec<(ConnectionKey, Event)>) {
        if self.events.is_empty() {
            events.clear();
            self.events = events;
        }
    }

    /// Which shard this is, from 0.
    pub fn shard(&self) -> usize {
        self.shard.into()
    }

    /// The ports that the sockets are bound to.
    pub fn ports(&self) -> Ports {
        self.sockets.ports()
    }
}

/// What is needed to give a packet to its connection.
struct Desk<'a> {
    sockets: &'a Sockets,
    whereabouts: &'a Whereabouts,
    connections: &'a mut HashMap<ConnectionKey, Connection>,
    timers: &'a mut Timers,
    events: &'a mut Vec<(ConnectionKey, Event)>,
    traffic: &'a mut Traffic,
}

impl Desk<'_> {
    fn deliver(&mut self, to: Addressee, datagram: &Datagram<'_>, now: Instant) {
        let Desk { sockets, whereabouts, connections, timers, events, traffic } = self;
        let Addressee { key, known } = to;
        let peer = datagram.peer;
        let Some(connection) = connections.get_mut(&key).filter(|connection| !connection.closed) else {
            traffic.stray += 1;
            return;
        };
        match guard(|| connection.feed(datagram, known, now)) {
            // Authenticated by its ICE password.
            Ok(Some(true)) if !known && connection.peers.len() < MAX_ADDRESSES => {
                let is_its = whereabouts.claim(peer, key, &connection.living);
                if is_its && !connection.peers.contains(&peer) {
                    connection.peers.push(peer);
                    if peer.tcp {
                        sockets.tcp.prove(peer.address);
                    }
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => traffic.stray += 1,
            Err(_) => connection.closed = true,
        }
        // One packet is all that the library holds: empty it before the next (research: trap 2).
        connection.drain(key, now, sockets, events, traffic);
        timers.hasten(key, &mut connection.timer, connection.wake_at);
    }
}
