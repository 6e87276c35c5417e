//! The room server's signalling (LiveKit's `/rtc` and `/rtc/v1`, protocol 17) and the thread that runs its rooms.
//!
//! ```text
//!  WebSocket task ──requests (bounded)──▶ thread `sfu`: Engine ── rooms, routes, connections, the UDP socket
//!  (one a client) ◀─responses (bounded)──
//! ```
//! One thread owns every room and every connection, so nothing here is locked. [`start`] makes the thread,
//! [`routes`] the HTTP side; the [`Handle`] is for everyone else in the process.

mod engine;
mod handle;
mod message;
mod orders;
mod pace;
mod routes;
mod session;
mod stay;

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};

use crate::base::Shutdown;
use crate::rtc::sfu::{Codecs, NodeIp};

pub use handle::{Counters, Handle, RoomSnapshot, Snapshot};
pub use orders::RpcFailure;
pub use routes::routes;
pub(in crate::server) use stay::{Entry, Stay, StayError};

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
}

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
    /// The thread cannot be made.
    #[error("thread sfu: {0}")]
    Thread(std::io::Error),
}

/// Requests on their way to the engine. Full: the sender waits, which holds back its client only.
const REQUEST_CAPACITY: usize = 1024;
/// Room events not yet read by a listener. Full: the listener loses the oldest and is told how many.
const EVENT_CAPACITY: usize = 4096;

/// Starts the thread `sfu`, which ends when `shutdown` is asked for: everybody is told and put out first.
///
/// # Errors
/// [`StartError`].
pub fn start(config: Config, shutdown: Shutdown) -> Result<Handle, StartError> {
    let (requests, receiver) = mpsc::channel(REQUEST_CAPACITY);
    let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (events, _) = broadcast::channel(EVENT_CAPACITY);
    let counters = Arc::new(Counters::default());
    let directory = Arc::default();
    let weak = events.downgrade();
    let outlets = engine::Outlets {
        snapshots,
        events,
        counters: Arc::clone(&counters),
        directory: Arc::clone(&directory),
    };
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let codecs = config.codecs.clone();
    std::thread::Builder::new()
        .name("sfu".to_owned())
        .spawn(move || engine::run_thread(config, outlets, receiver, shutdown, &ready))
        .map_err(StartError::Thread)?;
    let gone = || StartError::Thread(std::io::Error::other("ended while starting"));
    let ports = started.recv().map_err(|_| gone())??;
    Ok(Handle { requests, snapshot, events: weak, directory, counters, ports, codecs: Arc::new(codecs) })
}
