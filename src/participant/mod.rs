//! L3: joins a room as the box: connection state machine, publisher, subscriber.
//!
//! [`run`] keeps the box in one room of any LiveKit server until it is told to stop or the room wants it gone.
//! [`machine`] decides (pure); `session` is one stay in the room: signalling and two WebRTC connections;
//! `publish` carries the [`Stream`](crate::media::Stream)'s access units out, `receive` the others' sound in;
//! `roster` knows who is there, `uplink` (pure) what of ours the network carries.

pub mod machine;
mod meter;
mod open;
mod publish;
mod receive;
mod roster;
mod run;
#[cfg(any(test, fuzzing))]
mod script;
mod session;
mod uplink;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::audio::jitter::Packet;
use crate::audio::{Decode, Mixer, MixerSource};
use crate::base::units::{Bitrate, Size};
use crate::https::tls::TlsError;
use crate::rtc::signal::url::UrlError;

pub use meter::{UplinkFigures, UplinkMeter};
pub use run::run;
#[cfg(any(test, fuzzing))]
pub(crate) use script::listen;

/// Why no token could be had.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;
/// A token on its way.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Makes or fetches a fresh access token, once for each attempt to join.
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl TokenSource {
    /// Calls `fetch` for each token.
    pub fn new<F, T>(fetch: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        TokenSource(Arc::new(move || Box::pin(fetch())))
    }

    /// Always the same token.
    pub fn fixed(token: String) -> Self {
        Self::new(move || std::future::ready(Ok(token.clone())))
    }

    async fn fetch(&self) -> Result<String, TokenError> {
        (self.0)().await
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSource")
    }
}

/// The picture that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// Size of the full layer.
    pub size: Size,
    /// Pictures per second.
    pub fps: u32,
    /// Bitrate of the full layer.
    pub bitrate: Bitrate,
    /// Publish the half and the quarter layer too.
    pub simulcast: bool,
}

/// Which room to be in, and with what.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ws://`, `wss://`, `http://` or `https://` address of the room server.
    pub url: String,
    /// The room's name, for the log; the token decides.
    pub room: String,
    /// Where tokens come from.
    pub token: TokenSource,
    /// PEM of a CA to trust besides the public ones: another box's.
    pub extra_ca: Option<Vec<u8>>,
    /// The camera's picture; None without a camera.
    pub video: Option<VideoConfig>,
    /// Publish the microphone.
    pub audio: bool,
    /// Where it is told what becomes of the packets that are sent.
    pub meter: UplinkMeter,
    /// What everybody in the room shall know of the box.
    pub attributes: watch::Receiver<Attributes>,
}

/// A participant's attributes (LiveKit); one that is empty is none.
pub type Attributes = BTreeMap<String, String>;

/// What the box is told while it is, or wants to be, in the room.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An attempt to join begins.
    Joining,
    /// Media flows; also after a resume.
    Joined {
        /// How many are in the room, the box included.
        participants: u32,
        /// As in [`Event::Uplink`].
        uplink: Option<String>,
    },
    /// The connection was lost a moment ago and is being resumed.
    Resuming {
        /// Why.
        reason: String,
    },
    /// Waiting before the next attempt to join.
    BackingOff {
        /// Why.
        reason: String,
        /// How long.
        delay: Duration,
    },
    /// How many are in the room, the box included.
    ParticipantsChanged(u32),
    /// Identities of those who speak, loudest first; the box may be among them.
    ActiveSpeakers(Vec<String>),
    /// What the network carries of ours has changed.
    Uplink {
        /// Why not everything is sent; None when everything is.
        reason: Option<String>,
    },
    /// A moderator muted the box's microphone: the box must mute itself. (Nobody there can unmute it.)
    MutedByRoom,
    /// The room does not want the box any more; [`run`] returns with the same reason.
    Left {
        /// Why.
        reason: String,
    },
}

/// Why [`run`] ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The room server's address cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The extra CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The room does not want the box any more.
    #[error("removed from room {room}: {reason}")]
    Left {
        /// The room.
        room: String,
        /// LiveKit's name of the reason.
        reason: String,
    },
}

/// Takes the others' sound.
pub trait Listener: Send + Sync + 'static {
    /// A place for the packets of one track, to be decoded by `decoder`; dropped when the track ends.
    fn source(&self, identity: &str, track_sid: &str, decoder: Box<dyn Decode>) -> Box<dyn PacketSink>;
}

/// Takes one track's packets.
pub trait PacketSink: Send {
    /// A packet as it came: out of order, late and double ones included. Must not block.
    fn push(&mut self, packet: Packet);
}

impl Listener for Mixer {
    fn source(&self, _identity: &str, _track_sid: &str, decoder: Box<dyn Decode>) -> Box<dyn PacketSink> {
        Box::new(Mixer::source(self, decoder))
    }
}

impl PacketSink for MixerSource {
    fn push(&mut self, packet: Packet) {
        MixerSource::push(self, packet);
    }
}

#[cfg(test)]
mod tests;
