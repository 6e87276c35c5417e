//! A bad network between a client and the room server: a UDP relay with a seed, and a proxy for the signalling that
//! makes clients use it.
//!
//! ```text
//!  client ──WebSocket──▶ Gateway ──────▶ server      (candidates in SDP are rewritten)
//!  client ──────UDP────▶ Relay ────────▶ server      (loss, delay, a bottleneck with a queue)
//! ```

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::AbortOnDropHandle;

/// What one direction does to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Share that is lost, 0 to 1, each on its own.
    pub loss: f64,
    /// Each is delayed by up to this much, evenly; the order is kept.
    pub jitter: Duration,
    /// Bits per second that pass; None: all.
    pub bits_per_second: Option<u64>,
    /// The longest that a datagram waits at the bottleneck; what would wait longer is lost.
    pub queue: Duration,
}

/// What one direction did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    pub datagrams: u64,
    pub bytes: u64,
    pub lost: u64,
}

/// One direction.
struct Link {
    weather: Weather,
    passed: Passed,
    rng: StdRng,
    free_at: Instant,
    last_due: Instant,
}

impl Link {
    fn new(seed: u64) -> Link {
        let now = Instant::now();
        Link {
            weather: Weather::default(),
            passed: Passed::default(),
            rng: StdRng::seed_from_u64(seed),
            free_at: now,
            last_due: now,
        }
    }

    /// When a datagram comes out; None: never.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let Weather { loss, jitter, bits_per_second, queue } = self.weather;
        let mut due = now;
        if let Some(rate) = bits_per_second {
            let begins = self.free_at.max(now);
            if begins - now > queue {
                self.passed.lost += 1;
                return None;
            }
            self.free_at = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
            due = self.free_at;
        }
        if self.rng.random_bool(loss) {
            self.passed.lost += 1;
            return None;
        }
        let delay = jitter.mul_f64(self.rng.random::<f64>());
        self.last_due = (due + delay).max(self.last_due);
        self.passed.datagrams += 1;
        self.passed.bytes += bytes as u64;
        Some(self.last_due)
    }
}

/// A datagram under way; the earliest is the greatest, for the heap.
struct Waiting {
    due: Instant,
    number: u64,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    contents: Vec<u8>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// A UDP relay in front of one port; each client address gets a socket of its own, as behind a NAT.
pub struct Relay {
    pub port: u16,
    to_server: Arc<Mutex<Link>>,
    to_clients: Arc<Mutex<Link>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relays to `server`; what is lost and delayed depends on `seed` alone. Good weather at first.
    pub async fn to(server: SocketAddr, seed: u64) -> Relay {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("relay's socket"));
        let port = front.local_addr().expect("address").port();
        let to_server = Arc::new(Mutex::new(Link::new(seed)));
        let to_clients = Arc::new(Mutex::new(Link::new(seed ^ 0x5eed)));
        let task = tokio::spawn(run(front, server, Arc::clone(&to_server), Arc::clone(&to_clients)));
        Relay { port, to_server, to_clients, task }
    }

    /// Changes what happens to datagrams on their way to the clients.
    pub fn downstream(&self, weather: Weather) {
        self.to_clients.lock().expect("link").weather = weather;
    }

    /// Changes what happens to datagrams on their way to the server.
    pub fn upstream(&self, weather: Weather) {
        self.to_server.lock().expect("link").weather = weather;
    }

    /// What came through to the clients, and to the server.
    pub fn passed(&self) -> (Passed, Passed) {
        (self.to_clients.lock().expect("link").passed, self.to_server.lock().expect("link").passed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(front: Arc<UdpSocket>, server: SocketAddr, up: Arc<Mutex<Link>>, down: Arc<Mutex<Link>>) {
    let (returned, mut returns) = mpsc::channel::<(SocketAddr, Vec<u8>)>(4096);
    let mut backs: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let mut buffer = vec![0; 2048];
    let mut number = 0;
    loop {
        let next = waiting.peek().map_or_else(|| Instant::now() + Duration::from_secs(3600), |w| w.due);
        let (socket, to, contents, link) = tokio::select! {
            () = tokio::time::sleep_until(next) => {
                while waiting.peek().is_some_and(|w| w.due <= Instant::now()) {
                    let Waiting { socket, to, contents, .. } = waiting.pop().expect("peeked");
                    let _ = socket.try_send_to(&contents, to);
                }
                continue;
            }
            received = front.recv_from(&mut buffer) => {
                let Ok((length, client)) = received else { continue };
                if let Entry::Vacant(new) = backs.entry(client) {
                    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("relay's socket"));
                    let reading = tokio::spawn(read_back(Arc::clone(&back), client, returned.clone()));
                    new.insert((back, AbortOnDropHandle::new(reading)));
                }
                (Arc::clone(&backs[&client].0), server, buffer[..length].to_vec(), &up)
            }
            Some((client, contents)) = returns.recv() => (Arc::clone(&front), client, contents, &down),
        };
        let due = link.lock().expect("link").take(contents.len(), Instant::now());
        if let Some(due) = due {
            number += 1;
            waiting.push(Waiting { due, number, socket, to, contents });
        }
    }
}

async fn read_back(back: Arc<UdpSocket>, client: SocketAddr, out: mpsc::Sender<(SocketAddr, Vec<u8>)>) {
    let mut buffer = vec![0; 2048];
    while let Ok((length, _)) = back.recv_from(&mut buffer).await {
        if out.send((client, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}

/// How a gateway's clients reach the server's media.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// By UDP through the relay on this port.
    Relay(u16),
    /// By TCP: UDP candidates are taken out.
    Tcp,
}

/// A signalling proxy that rewrites the server's candidates.
pub struct Gateway {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Gateway {
    /// In front of `server`'s signalling.
    pub async fn to(server: SocketAddr, way: Way) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("gateway's socket");
        let port = listener.local_addr().expect("address").port();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server, way));
            }
        });
        Gateway { port, task }
    }

    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, way: Way) -> Option<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut upstream = TcpStream::connect(server).await.ok()?;
    // No compression: the messages are to be read here.
    let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("sec-websocket-extensions:");
    let request: Vec<&str> = head.split("\r\n").filter(kept).collect();
    upstream.write_all(request.join("\r\n").as_bytes()).await.ok()?;
    upstream.write_all(&rest).await.ok()?;
    if !head.to_ascii_lowercase().contains("upgrade: websocket") {
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return Some(());
    }
    let (answer, rest) = read_head(&mut upstream).await?;
    client.write_all(answer.as_bytes()).await.ok()?;
    if !answer.starts_with("HTTP/1.1 101") {
        client.write_all(&rest).await.ok()?;
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return Some(());
    }
    let client = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
    let upstream = WebSocketStream::from_partially_read(upstream, rest, Role::Client, None).await;
    let (mut to_client, mut from_client) = client.split();
    let (mut to_server, mut from_server) = upstream.split();
    let up = async {
        while let Some(Ok(message)) = from_client.next().await {
            if to_server.send(message).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_server.next().await {
            if to_client.send(rewritten(message, way)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {} () = down => {} }
    let _ = tokio::time::timeout(Duration::from_secs(1), to_client.close()).await;
    Some(())
}

/// An HTTP head, blank line included, and what came after it.
async fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, rest));
        }
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        read.extend_from_slice(&buffer[..length]);
    }
}

fn rewritten(message: Message, way: Way) -> Message {
    let Message::Binary(bytes) = &message else { return message };
    let Ok(mut response) = proto::SignalResponse::decode(bytes.as_ref()) else { return message };
    match &mut response.message {
        Some(Response::Offer(description) | Response::Answer(description)) => {
            description.sdp = candidates(&description.sdp, way);
        }
        Some(Response::Trickle(trickle)) => {
            let Ok(mut init) = serde_json::from_str::<serde_json::Value>(&trickle.candidate_init) else {
                return message;
            };
            let line = init["candidate"].as_str().and_then(|line| candidate(line, way)).unwrap_or_default();
            init["candidate"] = line.into();
            trickle.candidate_init = init.to_string();
        }
        _ => return message,
    }
    Message::Binary(response.encode_to_vec().into())
}

fn candidates(sdp: &str, way: Way) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let kept = match line.strip_prefix("a=") {
            Some(candidate_line) if candidate_line.starts_with("candidate:") => {
                candidate(candidate_line, way).map(|line| format!("a={line}"))
            }
            _ => Some(line.to_owned()),
        };
        if let Some(line) = kept {
            out.push_str(&line);
            out.push_str("\r\n");
        }
    }
    out
}

/// `candidate:<foundation> <component> <transport> <priority> <address> <port> typ …` (RFC 8839 §5.1).
fn candidate(line: &str, way: Way) -> Option<String> {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let udp = words.get(2).is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
    match way {
        Way::Relay(port) if udp => {
            (words[4], words[5]) = ("127.0.0.1".to_owned(), port.to_string());
            Some(words.join(" "))
        }
        Way::Tcp if !udp => Some(line.to_owned()),
        _ => None,
    }
}
