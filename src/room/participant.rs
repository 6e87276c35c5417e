//! One participant, as the others see it.

use std::collections::HashMap;
use std::time::SystemTime;

use livekit_protocol as proto;

use super::Grant;

/// Attributes that begin so are set by the server only.
pub const RESERVED: &str = "roomd.";
/// The attribute of a participant that waits to be let in; its value is `true`.
pub const WAITING: &str = "roomd.waiting";

/// Names a participant's stay in this process; never used again after it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberKey(pub u64);

/// A participant of a room.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Within this process.
    pub key: MemberKey,
    /// `PA_…`: this stay; another join of the same identity gets another.
    pub sid: String,
    /// What its token allows; `name` and `metadata` may be changed by it when allowed.
    pub grant: Grant,
    /// Set by the client or its token.
    pub attributes: HashMap<String, String>,
    /// Media is connected.
    pub active: bool,
    /// When it joined.
    pub joined: SystemTime,
    /// Its published tracks, in order of publication.
    pub tracks: Vec<proto::TrackInfo>,
    /// Counts changes, so that clients can tell old news from new.
    version: u32,
}

fn since_epoch(at: SystemTime) -> std::time::Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Participant {
    pub(super) fn new(key: MemberKey, sid: String, grant: Grant, joined: SystemTime) -> Self {
        let given = grant.attributes.clone().into_iter().collect();
        let (attributes, tracks) = (HashMap::new(), Vec::new());
        let mut participant =
            Participant { key, sid, grant, attributes, active: false, joined, tracks, version: 0 };
        participant.merge_attributes(given);
        participant
    }

    /// Note that something that others see has changed.
    pub fn touch(&mut self) {
        self.version += 1;
    }

    /// Its track `sid`.
    pub fn track(&self, sid: &str) -> Option<&proto::TrackInfo> {
        self.tracks.iter().find(|track| track.sid == sid)
    }

    /// Its track `sid`, to change; call [`Participant::touch`] then.
    pub fn track_mut(&mut self, sid: &str) -> Option<&mut proto::TrackInfo> {
        self.tracks.iter_mut().find(|track| track.sid == sid)
    }

    /// Whether it knows of `other` in the same room. Hidden ones are known to nobody, whoever waits knows nobody,
    /// and those who may admit know who waits.
    pub fn sees(&self, other: &Participant) -> bool {
        let asked = other.grant.waiting && self.grant.may_admit(&self.grant.room);
        !self.grant.waiting && (!other.grant.hidden || asked)
    }

    /// Takes over attributes; an empty value takes one away. Those that begin with [`RESERVED`] are the server's own
    /// and stay as they are.
    pub fn merge_attributes(&mut self, changes: HashMap<String, String>) {
        for (name, value) in changes.into_iter().filter(|(name, _)| !name.starts_with(RESERVED)) {
            if value.is_empty() {
                self.attributes.remove(&name);
            } else {
                self.attributes.insert(name, value);
            }
        }
    }

    /// What the others are told about it.
    pub fn info(&self) -> proto::ParticipantInfo {
        let state = if self.active {
            proto::participant_info::State::Active
        } else {
            proto::participant_info::State::Joined
        };
        let joined = since_epoch(self.joined);
        let mut attributes = self.attributes.clone();
        if self.grant.waiting {
            attributes.insert(WAITING.to_owned(), "true".to_owned());
        }
        proto::ParticipantInfo {
            sid: self.sid.clone(),
            identity: self.grant.identity.clone(),
            name: self.grant.name.clone(),
            metadata: self.grant.metadata.clone(),
            attributes,
            state: state as i32,
            tracks: self.tracks.clone(),
            joined_at: joined.as_secs() as i64,
            joined_at_ms: joined.as_millis() as i64,
            version: self.version,
            permission: Some(self.grant.permission()),
            is_publisher: !self.tracks.is_empty(),
            kind: if self.grant.recorder {
                proto::participant_info::Kind::Egress as i32
            } else {
                proto::participant_info::Kind::Standard as i32
            },
            ..Default::default()
        }
    }

    /// What the others are told when it is gone.
    pub fn farewell(&self, reason: proto::DisconnectReason) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            state: proto::participant_info::State::Disconnected as i32,
            disconnect_reason: reason as i32,
            version: self.version + 1,
            tracks: Vec::new(),
            ..self.info()
        }
    }
}
