//! The room server's signalling (LiveKit's `/rtc` and `/rtc/v1`, protocol 17) and the thread that runs its rooms.
//!
//! ```text
//!  WebSocket task ──requests (bounded)──▶ thread `sfu`: Engine ── rooms, routes, connections; reads the ports
//!  (one a client) ◀─responses (bounded)──      │ datagrams (bounded)
//!                                              ▼
//!                                        threads `sfu-1`…: the same for other rooms
//! ```
//! Each thread is a shard: a room and all its connections are one shard's (`placement`), so they are not locked.
//! [`start`] makes the threads, [`routes`] the HTTP side; the [`Handle`] is for everyone else in the process.

mod engine;
mod handle;
mod message;
mod orders;
mod pace;
mod placement;
mod routes;
mod session;
mod stay;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::info;

use crate::base::{Shutdown, ids};
use crate::rtc::sfu::inlet::{Share, share};
use crate::rtc::sfu::socket::UdpPort;
use crate::rtc::sfu::tcp::TcpPort;
use crate::rtc::sfu::{Codecs, NodeIp};

use engine::Outlets;
use message::Request;
use placement::Placement;

pub use handle::{Counters, Handle, RoomSnapshot, Snapshot};
pub use orders::RpcFailure;
pub use routes::routes;
pub(in crate::server) use stay::{Entry, Stay, StayError};

#[cfg(any(test, fuzzing))]
pub(crate) use engine::script::{SEPARATOR, play};

/// The protocol version of LiveKit's signalling that is spoken.
pub const PROTOCOL: i32 = 17;

/// How the room server shall be.
#[derive(Clone, Debug)]
pub struct Config {
    /// UDP port for media; 0: any free one.
    pub rtc_udp: u16,
    /// TCP port for media; 0: any free one.
    pub rtc_tcp: u16,
    /// Addresses offered to clients.
    pub node_ip: NodeIp,
    /// What may be published.
    pub codecs: Codecs,
    /// Estimate what each subscriber's network carries, and choose layers by it; else everyone gets what was asked for.
    pub bandwidth_estimation: bool,
    /// Over how many threads the rooms are spread, and how.
    pub shards: Shards,
}

/// Over how many threads the rooms are spread, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// How many; 1 to 8, more are taken for 8.
    pub count: usize,
    /// New rooms go to the first shard, which hands nothing on, while it has fewer people than this.
    pub together: usize,
}

impl Default for Shards {
    /// One for each core.
    fn default() -> Self {
        Shards { count: std::thread::available_parallelism().map_or(1, usize::from), together: 16 }
    }
}

/// The threads, and as what they beat.
const THREADS: [&str; 8] = ["sfu", "sfu-1", "sfu-2", "sfu-3", "sfu-4", "sfu-5", "sfu-6", "sfu-7"];

/// Why the room server does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The UDP port cannot be had.
    #[error("server.rtc_udp: port {port}: {source}")]
    Udp {
        /// As configured.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TCP port cannot be had.
    #[error("server.rtc_tcp: port {port}: {source}")]
    Tcp {
        /// As configured.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread cannot be made.
    #[error("thread {name}: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Requests on their way to one shard. Full: the sender waits, which holds back its client only.
const REQUEST_CAPACITY: usize = 1024;
/// Room events not yet read by a listener. Full: the listener loses the oldest and is told how many.
const EVENT_CAPACITY: usize = 4096;

/// Starts the threads, which end when `shutdown` is asked for: everybody is told and put out first.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn start(config: Config, shutdown: Shutdown) -> Result<Handle, StartError> {
    let Shards { count, together } = config.shards;
    let count = count.clamp(1, THREADS.len());
    let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (events, _) = broadcast::channel(EVENT_CAPACITY);
    let outlets = Outlets {
        snapshots: Arc::new(snapshots),
        events,
        counters: Arc::default(),
        directory: Arc::default(),
        placement: Arc::new(Placement::new(count, together)),
        node_id: ids::prefixed("ND"),
    };
    let [first, others @ ..] = THREADS;
    let (hand_on, handed) = sync_channel(1);
    let bound = move |config: &Config| {
        let (share, rest) = bind(config, count - 1)?;
        let _ = hand_on.send((share.ports(), rest));
        Ok(share)
    };
    let mut requests = vec![spawn(first, &config, &outlets, &shutdown, bound)?];
    let (ports, rest) = handed.recv().map_err(|_| ended(first))?;
    for (name, share) in others.into_iter().zip(rest) {
        requests.push(spawn(name, &config, &outlets, &shutdown, |_| Ok(share))?);
    }
    info!(udp = ports.udp, tcp = ports.tcp, shards = count, "room server: media");
    let Outlets { events, counters, directory, placement, .. } = outlets;
    let (events, codecs) = (events.downgrade(), Arc::new(config.codecs));
    Ok(Handle { requests: requests.into(), placement, snapshot, events, directory, counters, ports, codecs })
}

/// Starts one thread; where its requests go. `share` is called on it, in its runtime.
fn spawn(
    name: &'static str,
    config: &Config,
    outlets: &Outlets,
    shutdown: &Shutdown,
    share: impl FnOnce(&Config) -> Result<Share, StartError> + Send + 'static,
) -> Result<mpsc::Sender<Request>, StartError> {
    let (requests, receiver) = mpsc::channel(REQUEST_CAPACITY);
    let (ready, started) = sync_channel(1);
    let (config, outlets, shutdown) = (config.clone(), outlets.clone(), shutdown.clone());
    let body = move || engine::run_thread(name, share, config, outlets, receiver, shutdown, &ready);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(|source| StartError::Thread { name, source })?;
    started.recv().map_err(|_| ended(name))??;
    Ok(requests)
}

fn ended(name: &'static str) -> StartError {
    StartError::Thread { name, source: std::io::Error::other("ended while starting") }
}

/// Binds the ports, and divides them between the shard that reads them and so many others. Must be called in the
/// runtime of the first.
fn bind(config: &Config, others: usize) -> Result<(Share, Vec<Share>), StartError> {
    let Config { rtc_udp, rtc_tcp, .. } = *config;
    let udp = UdpPort::bind(rtc_udp).map_err(|source| StartError::Udp { port: rtc_udp, source })?;
    let tcp = TcpPort::bind(rtc_tcp).map_err(|source| StartError::Tcp { port: rtc_tcp, source })?;
    Ok(share(udp, tcp, others as u8))
}
