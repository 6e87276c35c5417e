//! One participant, as the others see it.

use std::collections::HashMap;
use std::time::SystemTime;

use livekit_protocol as proto;

use super::Grant;

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
        let (attributes, tracks) = (HashMap::new(), Vec::new());
        Participant { key, sid, grant, attributes, active: false, joined, tracks, version: 0 }
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

    /// What it may do, as clients are told.
    #[allow(deprecated)] // Clients of protocol 16 still read `recorder` here.
    pub fn permission(&self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_subscribe: self.grant.can_subscribe,
            can_publish: self.grant.can_publish,
            can_publish_data: self.grant.can_publish_data,
            hidden: self.grant.hidden,
            recorder: self.grant.recorder,
            ..Default::default()
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
        proto::ParticipantInfo {
            sid: self.sid.clone(),
            identity: self.grant.identity.clone(),
            name: self.grant.name.clone(),
            metadata: self.grant.metadata.clone(),
            attributes: self.attributes.clone(),
            state: state as i32,
            tracks: self.tracks.clone(),
            joined_at: joined.as_secs() as i64,
            joined_at_ms: joined.as_millis() as i64,
            version: self.version,
            permission: Some(self.permission()),
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
