//! A participant's state within the engine.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use str0m::channel::ChannelId;
use str0m::format::{Codec, PayloadParams};
use str0m::media::Mid;
use tokio::sync::mpsc;
use tracing::debug;

use super::super::message::{Out, Ticket};
use super::bandwidth::Bandwidth;
use super::quality::ConnectionQuality;
use crate::media::Layer;
use crate::room::{Audience, MemberKey};
use crate::rtc::sfu::publisher::{Publisher, Source};
use crate::rtc::sfu::subscriber::Subscriber;
use crate::sfu::sender_clock::SenderClock;
use crate::sfu::{RepairTime, Wish};

/// A track that the client announced; published once an offer carries it.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// The client's name for it.
    pub cid: String,
    /// What it is to be sent in.
    pub codec: Codec,
    /// As the others will see it.
    pub info: proto::TrackInfo,
    /// Once published: its m-section and its key in the engine.
    pub bound: Option<(Mid, u64)>,
}

impl Publication {
    pub fn is_video(&self) -> bool {
        self.info.r#type == proto::TrackType::Video as i32
    }
}

/// Where packets of one SSRC go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub track: u64,
    pub layer: Layer,
    pub source: Source,
    pub params: PayloadParams,
}

/// When a signalling connection is cut, to try how the client gets over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Before a word is said on it.
    BeforeResuming,
    /// After what a client that resumes is told.
    AfterResuming,
}

/// One participant.
pub(super) struct Member {
    pub key: MemberKey,
    pub room: String,
    pub sid: String,
    pub identity: String,
    pub auto_subscribe: bool,
    /// The version of the protocol that its client speaks.
    pub protocol: i32,
    /// Media it gets counts for being active; else media it sends (protocols below 3).
    pub subscriber_primary: bool,
    pub generation: u32,
    pub out: Option<mpsc::Sender<Out>>,
    /// Since when there is no signalling connection.
    pub silent_since: Option<Instant>,
    pub joined: Instant,
    pub publisher: Publisher,
    pub subscriber: Subscriber,
    pub publications: Vec<Publication>,
    pub streams: HashMap<u32, Stream>,
    pub clock: SenderClock,
    /// What is lost on the way from it, and to it.
    pub repair_from: RepairTime,
    pub repair_to: RepairTime,
    /// To its client and back, as far as is known.
    pub round_trip: Option<Duration>,
    /// Track sid → what it asked for.
    pub wishes: HashMap<String, Wish>,
    /// Track sids that it does not want although it subscribes to everything.
    pub unwanted: HashSet<String>,
    pub bandwidth: Bandwidth,
    pub quality: ConnectionQuality,
    /// The channels that its data comes by; true: reliable.
    pub data_in: HashMap<ChannelId, bool>,
    /// Its channels for data are open.
    pub data_open: HashSet<ChannelId>,
    /// Reliable messages that its channel did not take yet.
    pub data_waiting: VecDeque<Vec<u8>>,
    /// The sequence number of the last reliable message that came from it; 0: none, or its client does not number them.
    pub last_data: u32,
    /// Who left while it had no signalling connection.
    pub missed: Vec<proto::ParticipantInfo>,
    /// Its next signalling connection will be cut: it asked for that.
    pub cut: Option<Cut>,
    /// Whom it lets have its tracks.
    pub audience: Audience,
    /// Track sids that it would get if their publishers let it.
    pub shut_out: HashSet<String>,
    /// Track sids that it subscribed to by name.
    pub asked_for: HashSet<String>,
    /// NACKs counted so far, by stream.
    pub nacks: HashMap<(Mid, Option<Layer>), u64>,
}

impl Member {
    /// Says something to the client. A client that does not read loses its signalling connection.
    pub fn send(&mut self, message: proto::signal_response::Message) {
        let Some(out) = &self.out else { return self.miss(&message) };
        let response = Box::new(proto::SignalResponse { message: Some(message) });
        if out.try_send(Out::Message(response)).is_err() {
            debug!(identity = self.identity, "a client does not read its signalling");
            self.out = None;
        }
    }

    /// A track is gone for good.
    pub fn forget_track(&mut self, sid: &str) {
        self.wishes.remove(sid);
        for sids in [&mut self.unwanted, &mut self.shut_out, &mut self.asked_for] {
            sids.remove(sid);
        }
    }

    /// Closes the signalling connection after what was said.
    pub fn hang_up(&mut self) {
        if let Some(out) = self.out.take() {
            // Full: dropping the sender closes as well.
            let _ = out.try_send(Out::Close);
        }
    }

    pub fn ticket(&self) -> Ticket {
        Ticket { key: self.key, generation: self.generation }
    }
}
