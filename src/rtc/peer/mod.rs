//! WebRTC endpoints of the joining side: one connection that sends our media, one that receives the others'.
//!
//! The library behind it (`webrtc` and its core `rtc`) is not visible outside. It leaves to us: MID and RID on
//! every packet and on retransmissions (`stamp`), splitting H.264 into packets ([`h264`]), sender reports whose
//! two clocks agree with the media clock (`sender`), telling streams apart by SSRC (`sdp`), and what became of each
//! packet (`feedback`).

mod burst;
mod connection;
mod engine;
mod feedback;
pub mod h264;
mod publisher;
mod receive;
mod sdp;
mod sender;
mod stamp;
mod subscriber;

use std::time::Instant;

#[cfg(any(test, fuzzing))]
pub(crate) use feedback::read_feedback;
pub use publisher::{PublishedAudio, PublishedTracks, PublishedVideo, PublisherPeer};
pub use receive::{RECEIVE_CAPACITY, ReceivedPacket};
pub use sdp::{MediaSource, media_sources};
pub use sender::{AudioSender, VideoSender};
pub use subscriber::SubscriberPeer;

/// Which of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Sends our media; we make its offers.
    Publisher,
    /// Receives the others' media; the server makes its offers.
    Subscriber,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Looking for a path.
    Connecting,
    /// A path is found, DTLS goes on.
    PathFound,
    /// Media can flow.
    Connected,
    /// Nothing was heard for 5 s; it may come back.
    Disconnected,
    /// It will not come back without an ICE restart.
    Failed,
}

/// What a connection tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A candidate of ours for the other side: an `RTCIceCandidateInit` as JSON.
    Candidate(String),
    /// It changed its state.
    State(PeerState),
    /// The server told what became of packets of ours; only of video, and only where it has agreed to tell.
    Feedback(Vec<Fate>),
}

/// What became of one packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it left.
    pub departure: Instant,
    /// Length of the RTP packet, without what SRTP, UDP and IP add.
    pub bytes: usize,
    /// When it arrived, in µs of the server's clock, whose zero is unknown; None: it was lost.
    pub arrival_us: Option<i64>,
}

/// Events of both connections on their way to the session; a full queue loses candidates and states, which
/// the session's deadlines then notice. A connection makes about 20, and up to 20 reports a second.
pub const EVENT_CAPACITY: usize = 256;

/// A STUN or TURN server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:`, `turn:` addresses.
    pub urls: Vec<String>,
    /// TURN's user.
    pub username: String,
    /// TURN's password.
    pub credential: String,
}

/// What both connections need to know.
#[derive(Clone, Debug, Default)]
pub struct PeerSettings {
    /// Servers that help to find a path.
    pub ice_servers: Vec<IceServer>,
    /// Use nothing but TURN.
    pub relay_only: bool,
    /// Also look for a path over the loopback interface: the server is on this machine.
    pub loopback: bool,
}

/// Why a connection could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The library refused: bad SDP from the other side, a closed connection, no socket.
    #[error("{side:?} connection: {what}: {source}")]
    Rtc {
        /// Which connection.
        side: Side,
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        source: Box<webrtc::error::Error>,
    },
    /// The library panicked over what the other side said.
    #[error("{0:?} connection: the library panicked over the server's description")]
    Panicked(Side),
    /// A candidate that is no JSON.
    #[error("an ICE candidate cannot be read: {0}")]
    Candidate(#[from] serde_json::Error),
    /// The answer took something away that we cannot do without.
    #[error("the server's answer has no {0}")]
    NotNegotiated(&'static str),
}
