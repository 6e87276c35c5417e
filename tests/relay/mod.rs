//! A UDP relay between WebRTC endpoints on this machine: seeded loss and jitter and a bottleneck with a queue, each
//! way on its own. What it does to a packet depends on the seed and on when the packet comes, on nothing else.
#![allow(dead_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Longest datagram that is passed on.
const MAX_BYTES: usize = 2048;

/// What one direction does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Share of packets that get lost, 0 to 1, each on its own.
    pub loss: f64,
    /// Each packet is late by 0 to this, so that they overtake each other.
    pub jitter: Duration,
    /// The bottleneck, in bits of UDP payload a second; 0: none.
    pub bits_per_second: u64,
    /// Longest that a packet waits before the bottleneck; what would wait longer is dropped.
    pub queue: Duration,
}

impl Link {
    /// A bottleneck with a queue of 400 ms, and nothing else.
    pub fn bottleneck(bits_per_second: u64) -> Link {
        Link { bits_per_second, queue: Duration::from_millis(400), ..Link::default() }
    }
}

/// What became of one direction's packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Went through, in packets.
    pub passed: u64,
    /// Went through, in bytes.
    pub bytes: u64,
    /// Lost by [`Link::loss`].
    pub lost: u64,
    /// Dropped before the bottleneck.
    pub dropped: u64,
    /// Not let in, see [`Relay::let_in`].
    pub blocked: u64,
}

struct Way {
    link: Link,
    counts: Counts,
    rng: StdRng,
    /// Ports that packets may come from.
    from: RangeInclusive<u16>,
    /// When the bottleneck has sent what is queued.
    free_at: Instant,
}

impl Way {
    fn new(seed: u64) -> Arc<Mutex<Way>> {
        let (link, counts) = (Link::default(), Counts::default());
        let (rng, from, free_at) = (StdRng::seed_from_u64(seed), 0..=u16::MAX, Instant::now());
        Arc::new(Mutex::new(Way { link, counts, rng, from, free_at }))
    }

    /// When a packet that comes `now` goes out; None when it does not.
    fn out_at(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        // Drawn for every packet, so that a change of the link does not shift what befalls the later ones.
        let (luck, late) = (self.rng.random_range(0.0..1.0), self.rng.random_range(0.0..1.0));
        if luck < self.link.loss {
            self.counts.lost += 1;
            return None;
        }
        let mut out = now;
        if self.link.bits_per_second > 0 {
            let start = self.free_at.max(now);
            if start.duration_since(now) > self.link.queue {
                self.counts.dropped += 1;
                return None;
            }
            out = start + Duration::from_secs_f64(bytes as f64 * 8.0 / self.link.bits_per_second as f64);
            self.free_at = out;
        }
        self.counts.passed += 1;
        self.counts.bytes += bytes as u64;
        Some(out + self.link.jitter.mul_f64(late))
    }
}

/// A port of this machine that stands for a server's; ends when dropped.
pub struct Relay {
    address: SocketAddr,
    up: Arc<Mutex<Way>>,
    down: Arc<Mutex<Way>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Stands for `server`. Each client has a socket of its own towards it.
    pub async fn to(server: SocketAddr, seed: u64) -> Relay {
        let outside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = outside.local_addr().unwrap();
        let (up, down) = (Way::new(seed), Way::new(!seed));
        let task = tokio::spawn(serve(outside, server, up.clone(), down.clone()));
        Relay { address, up, down, task }
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens to packets towards the server from now on.
    pub fn set_up(&self, link: Link) {
        self.up.lock().unwrap().link = link;
    }

    /// As a firewall does: from now on only packets out of these ports are passed to the server.
    pub fn let_in(&self, from: RangeInclusive<u16>) {
        self.up.lock().unwrap().from = from;
    }

    /// What happens to packets from the server from now on.
    pub fn set_down(&self, link: Link) {
        self.down.lock().unwrap().link = link;
    }

    /// Packets towards the server so far.
    pub fn up(&self) -> Counts {
        self.up.lock().unwrap().counts
    }

    /// Packets from the server so far.
    pub fn down(&self) -> Counts {
        self.down.lock().unwrap().counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Aborts what it holds.
struct Passing(JoinHandle<()>);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(outside: Arc<UdpSocket>, server: SocketAddr, up: Arc<Mutex<Way>>, down: Arc<Mutex<Way>>) {
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, Passing)> = HashMap::new();
    let mut packet = [0; MAX_BYTES];
    loop {
        let Ok((bytes, client)) = outside.recv_from(&mut packet).await else { continue };
        if !let_in(&up, client.port()) {
            continue;
        }
        let (inside, _) = match clients.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                let back = pass_back(inside.clone(), outside.clone(), client, down.clone());
                new.insert((inside, Passing(tokio::spawn(back))))
            }
        };
        send_later(&up, inside.clone(), server, &packet[..bytes]);
    }
}

fn let_in(up: &Mutex<Way>, port: u16) -> bool {
    let mut up = up.lock().unwrap();
    let welcome = up.from.contains(&port);
    up.counts.blocked += u64::from(!welcome);
    welcome
}

async fn pass_back(
    inside: Arc<UdpSocket>,
    outside: Arc<UdpSocket>,
    client: SocketAddr,
    down: Arc<Mutex<Way>>,
) {
    let mut packet = [0; MAX_BYTES];
    loop {
        // A server that is gone shows as an error of its port; it may come back.
        let Ok((bytes, _)) = inside.recv_from(&mut packet).await else { continue };
        send_later(&down, outside.clone(), client, &packet[..bytes]);
    }
}

fn send_later(way: &Mutex<Way>, socket: Arc<UdpSocket>, to: SocketAddr, packet: &[u8]) {
    let now = Instant::now();
    let Some(at) = way.lock().unwrap().out_at(now, packet.len()) else { return };
    let packet = packet.to_vec();
    if at <= now {
        let _ = socket.try_send_to(&packet, to);
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep_until(at.into()).await;
        let _ = socket.send_to(&packet, to).await;
    });
}
