//! What a token allows: the one internal form that both token shapes become.

use std::collections::BTreeMap;

use livekit_protocol as proto;

/// What its bearer may do. Made by verifying a token ([`super`]), never by hand outside tests and the box itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Who: unique in a room; a second join under the same identity replaces the first. Empty for API tokens.
    pub identity: String,
    /// The name that others see; empty: show the identity.
    pub name: String,
    /// Free text of the app server, passed on to the others.
    pub metadata: String,
    /// The room that the token is for; empty: any (as in LiveKit).
    pub room: String,
    /// May join `room`.
    pub room_join: bool,
    /// May moderate `room` and, when `room` is empty, change the box.
    pub room_admin: bool,
    /// May create rooms by API.
    pub room_create: bool,
    /// May list rooms by API.
    pub room_list: bool,
    /// May record and go live.
    pub room_record: bool,
    /// May send media.
    pub can_publish: bool,
    /// May receive media.
    pub can_subscribe: bool,
    /// May send data messages.
    pub can_publish_data: bool,
    /// The others do not see it.
    pub hidden: bool,
    /// It records (shown to the others as such).
    pub recorder: bool,
    /// Which sources it may publish; empty: all. Means nothing without `can_publish`.
    pub can_publish_sources: Vec<proto::TrackSource>,
    /// May change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// What the app server says about it, for the others to see.
    pub attributes: BTreeMap<String, String>,
    /// It asks to be let in: it sees and hears nobody, and only those who may admit see it (`ask_join`).
    pub waiting: bool,
    /// Is told who waits, and may let in or turn away (`allow_join`).
    pub may_admit: bool,
}

impl Grant {
    /// May join `room`: it has the right to join, and its room is this one or it names none.
    pub fn may_join(&self, room: &str) -> bool {
        self.room_join && (self.room.is_empty() || self.room == room)
    }

    /// May moderate `room`.
    pub fn may_moderate(&self, room: &str) -> bool {
        self.room_admin && (self.room.is_empty() || self.room == room)
    }

    /// May let in and turn away who waits in `room`.
    pub fn may_admit(&self, room: &str) -> bool {
        self.may_moderate(room) || self.may_admit && (self.room.is_empty() || self.room == room)
    }

    /// May publish a track of `source` (a [`proto::TrackSource`]).
    pub fn may_publish(&self, source: i32) -> bool {
        let listed = |allowed: &proto::TrackSource| *allowed as i32 == source;
        self.can_publish
            && (self.can_publish_sources.is_empty() || self.can_publish_sources.iter().any(listed))
    }

    /// As clients are told.
    #[allow(deprecated)] // Clients of protocol 16 still read `recorder` here.
    pub fn permission(&self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish,
            can_publish_data: self.can_publish_data,
            can_publish_sources: self.can_publish_sources.iter().map(|source| *source as i32).collect(),
            hidden: self.hidden,
            recorder: self.recorder,
            can_update_metadata: self.can_update_own_metadata,
            ..Default::default()
        }
    }

    /// Takes over a permission that the API sets. Whoever waited and gets any right, or is to be seen, is let in.
    #[allow(deprecated)] // As above.
    pub fn set_permission(&mut self, permission: &proto::ParticipantPermission) {
        let sources = permission.can_publish_sources.iter();
        self.can_publish_sources =
            sources.filter_map(|source| proto::TrackSource::try_from(*source).ok()).collect();
        self.can_subscribe = permission.can_subscribe;
        self.can_publish = permission.can_publish;
        self.can_publish_data = permission.can_publish_data;
        self.hidden = permission.hidden;
        self.recorder = permission.recorder;
        self.can_update_own_metadata = permission.can_update_metadata;
        let some = self.can_subscribe || self.can_publish || self.can_publish_data;
        self.waiting &= self.hidden && !some;
    }

    /// May change the box and see its pages: a moderator of no room in particular. (One room's moderator may
    /// not.)
    pub fn may_change_box(&self) -> bool {
        self.room_admin && self.room.is_empty()
    }
}
