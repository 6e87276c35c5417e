//! A UDP relay between WebRTC endpoints on this machine: seeded loss and jitter and a bottleneck with a queue, each
//! way on its own. What it does to a packet depends on the seed and on when the packet comes, on nothing else.
#![allow(dead_code)]

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

/// Longest datagram that is passed on.
const MAX_BYTES: usize = 2048;
/// Datagrams between the sockets' readers and the relay. Full: the readers wait, and the kernel drops.
const ARRIVED_CAPACITY: usize = 4096;

/// What one direction does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Share of packets that get lost, 0 to 1, each on its own.
    pub loss: f64,
    /// Each packet is late by 0 to this, evenly.
    pub jitter: Duration,
    /// A late packet holds up those behind it; else they overtake it.
    pub in_order: bool,
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

    /// 5 % of random loss and up to 50 ms of jitter.
    pub fn lossy(in_order: bool) -> Link {
        Link { loss: 0.05, jitter: Duration::from_millis(50), in_order, ..Link::default() }
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
    /// Those that went through and were SRTP: Opus in LiveKit's payload type, and all others.
    pub opus: u64,
    pub other_media: u64,
}

/// LiveKit's of Opus.
const OPUS_PAYLOAD_TYPE: u8 = 111;

struct Way {
    link: Link,
    counts: Counts,
    rng: StdRng,
    /// Ports that packets may come from.
    from: RangeInclusive<u16>,
    /// When the bottleneck has sent what is queued.
    free_at: Instant,
    /// When the last packet goes out.
    last_out: Instant,
}

impl Way {
    fn new(seed: u64) -> Arc<Mutex<Way>> {
        let (link, counts, now) = (Link::default(), Counts::default(), Instant::now());
        let (rng, from) = (StdRng::seed_from_u64(seed), 0..=u16::MAX);
        Arc::new(Mutex::new(Way { link, counts, rng, from, free_at: now, last_out: now }))
    }

    fn lets_in(&mut self, port: u16) -> bool {
        let welcome = self.from.contains(&port);
        self.counts.blocked += u64::from(!welcome);
        welcome
    }

    /// When a packet that comes `now` goes out; None when it does not.
    fn out_at(&mut self, now: Instant, contents: &[u8]) -> Option<Instant> {
        let bytes = contents.len();
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
        match contents {
            // RTP is not encrypted up to here; 64 to 95 are RTCP (RFC 5761).
            [0x80..=0xbf, second, ..] if !(64..96).contains(&(second & 0x7f)) => {
                let opus = second & 0x7f == OPUS_PAYLOAD_TYPE;
                *(if opus { &mut self.counts.opus } else { &mut self.counts.other_media }) += 1;
            }
            _ => {}
        }
        out += self.link.jitter.mul_f64(late);
        if self.link.in_order {
            out = out.max(self.last_out);
            self.last_out = out;
        }
        Some(out)
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
    /// Stands for `server`. Each client has a socket of its own towards it, as behind a NAT.
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

/// A packet under way; the one that goes out first is the greatest, for the heap.
struct UnderWay {
    out: Instant,
    number: u64,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    contents: Vec<u8>,
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for UnderWay {}
impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.out, other.number).cmp(&(self.out, self.number))
    }
}

/// The sockets towards the server, by client, each with its reader.
type Inside = HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)>;

async fn serve(outside: Arc<UdpSocket>, server: SocketAddr, up: Arc<Mutex<Way>>, down: Arc<Mutex<Way>>) {
    let (answer, mut answers) = mpsc::channel(ARRIVED_CAPACITY);
    let (mut inside, mut under_way) = (Inside::new(), BinaryHeap::<UnderWay>::new());
    let (mut packet, mut number) = ([0; MAX_BYTES], 0);
    loop {
        let next = under_way.peek().map(|first| first.out);
        let (way, socket, to, contents) = tokio::select! {
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {
                send_due(&mut under_way);
                continue;
            }
            received = outside.recv_from(&mut packet) => {
                let Ok((bytes, client)) = received else { continue };
                if !up.lock().unwrap().lets_in(client.port()) {
                    continue;
                }
                (&up, socket_of(&mut inside, client, &answer).await, server, packet[..bytes].to_vec())
            }
            Some((client, contents)) = answers.recv() => (&down, outside.clone(), client, contents),
        };
        let out = way.lock().unwrap().out_at(Instant::now(), &contents);
        if let Some(out) = out {
            number += 1;
            under_way.push(UnderWay { out, number, socket, to, contents });
            send_due(&mut under_way);
        }
    }
}

fn send_due(under_way: &mut BinaryHeap<UnderWay>) {
    let now = Instant::now();
    while under_way.peek().is_some_and(|first| first.out <= now) {
        let Some(UnderWay { socket, to, contents, .. }) = under_way.pop() else { return };
        let _ = socket.try_send_to(&contents, to);
    }
}

async fn socket_of(
    inside: &mut Inside,
    client: SocketAddr,
    answer: &mpsc::Sender<(SocketAddr, Vec<u8>)>,
) -> Arc<UdpSocket> {
    let (socket, _) = match inside.entry(client) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            let reading = tokio::spawn(read(socket.clone(), client, answer.clone()));
            new.insert((socket, AbortOnDropHandle::new(reading)))
        }
    };
    socket.clone()
}

async fn read(inside: Arc<UdpSocket>, client: SocketAddr, answer: mpsc::Sender<(SocketAddr, Vec<u8>)>) {
    let mut packet = [0; MAX_BYTES];
    loop {
        // A server that is gone shows as an error of its port; it may come back.
        let Ok((bytes, _)) = inside.recv_from(&mut packet).await else { continue };
        if answer.send((client, packet[..bytes].to_vec())).await.is_err() {
            return;
        }
    }
}
