//! L3: going live: pushes the box's stream to RTMP servers, each on its own.
//!
//! ```text
//! media::Stream ─▶ Reader ─▶ rtmp::Publisher ─▶ socket (TLS) ─▶ server      one task a destination
//!                                course (what time means) ◀─ TCP_INFO: bytes that the server's kernel acknowledged
//! ```
//! A server that is slow loses its own reader's backlog to the next keyframe; a server that takes nothing is left and
//! tried again. Nobody else notices. A destination that cannot be reached wants nothing from the encoders.

mod connect;
mod course;
mod error;
mod pusher;
mod session;
mod task;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub use error::{PushError, Reason};
pub use pusher::{Pusher, Reports};

use crate::control::LiveStatus;
use crate::control::live::{LiveUrl, StreamKey};
use crate::rtmp::{Sent, Sound};

/// What all destinations share.
#[derive(Clone, Debug)]
pub struct Config {
    /// Certificates (PEM) that are trusted beside the public roots; read at each connection.
    pub ca_file: Option<PathBuf>,
    /// What the stream's AAC is.
    pub sound: Sound,
}

/// Where to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The server.
    pub url: LiveUrl,
    /// What lets one publish there.
    pub key: Key,
}

/// Where a stream key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// It was given with the order.
    Given(StreamKey),
    /// A file's one line; read at each connection.
    File(PathBuf),
}

/// How a destination is.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Names it while it is pushed to.
    pub id: u64,
    /// Where to.
    pub url: LiveUrl,
    /// What is true now.
    pub status: LiveStatus,
    /// Bytes of the stream that the server's kernel acknowledged, over all connections.
    pub acked_bytes: u64,
    /// Why the last attempt ended; None once it goes well.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_try: Option<SystemTime>,
    /// Attempts that have ended so far.
    pub failures: u64,
    /// Access units that were lost because the server was too slow.
    pub lost: u64,
    /// The kernel's round trip; None without a connection.
    pub rtt: Option<Duration>,
    /// What was put on the wire, over all connections.
    pub sent: Sent,
}

#[cfg(test)]
mod tests;
