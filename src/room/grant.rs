//! What a token allows: the one internal form that both token shapes become.

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

    /// May change the box and see its pages: a moderator of no room in particular. (One room's moderator may
    /// not.)
    pub fn may_change_box(&self) -> bool {
        self.room_admin && self.room.is_empty()
    }
}
