//! What happens in rooms, for whoever reports it (webhooks, sessions, the state document).

use livekit_protocol as proto;

use super::StagePart;

/// Why a participant is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It said so.
    Left,
    /// Somebody joined under the same identity.
    Replaced,
    /// A moderator or the API removed it.
    Removed,
    /// It waited to be let in, and was turned away.
    Denied,
    /// The room was ended.
    RoomEnded,
    /// It vanished: no signalling and no media any more.
    Vanished,
    /// It sent what no client should.
    Misbehaved,
    /// The server stops.
    Shutdown,
}

impl Departure {
    /// As LiveKit clients know it.
    pub fn reason(self) -> proto::DisconnectReason {
        match self {
            Departure::Left => proto::DisconnectReason::ClientInitiated,
            Departure::Replaced => proto::DisconnectReason::DuplicateIdentity,
            Departure::Removed => proto::DisconnectReason::ParticipantRemoved,
            Departure::Denied => proto::DisconnectReason::UserRejected,
            Departure::RoomEnded => proto::DisconnectReason::RoomDeleted,
            Departure::Vanished => proto::DisconnectReason::SignalClose,
            Departure::Misbehaved => proto::DisconnectReason::StateMismatch,
            Departure::Shutdown => proto::DisconnectReason::ServerShutdown,
        }
    }
}

/// One thing that happened, in order per room. Rooms and participants are as they were then.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The room is there: it was created, or the first participant joined.
    RoomStarted {
        /// The room.
        room: proto::Room,
    },
    /// The room is gone.
    RoomFinished {
        /// The room.
        room: proto::Room,
        /// Why.
        reason: proto::RoomEndReason,
    },
    /// Somebody joined; hidden participants too.
    ParticipantJoined {
        /// The room.
        room: proto::Room,
        /// Who.
        participant: proto::ParticipantInfo,
    },
    /// Its media is connected and, where it had to wait, it was let in: from now on it is in the room.
    ParticipantConnected {
        /// The room.
        room: proto::Room,
        /// Who.
        participant: proto::ParticipantInfo,
    },
    /// Somebody is gone.
    ParticipantLeft {
        /// The room, without it.
        room: proto::Room,
        /// Who, as last known.
        participant: proto::ParticipantInfo,
        /// Why.
        departure: Departure,
        /// [`Event::ParticipantConnected`] came before.
        connected: bool,
    },
    /// A track can be subscribed to.
    TrackPublished {
        /// The room.
        room: proto::Room,
        /// The publisher.
        participant: proto::ParticipantInfo,
        /// The track.
        track: proto::TrackInfo,
    },
    /// A track is gone.
    TrackUnpublished {
        /// The room.
        room: proto::Room,
        /// The publisher.
        participant: proto::ParticipantInfo,
        /// The track as last known.
        track: proto::TrackInfo,
    },
    /// Its time is up for good: nobody may join it any more.
    RoomDisabled {
        /// The room's name.
        room: String,
    },
    /// Somebody else stands out.
    StageChanged {
        /// The room's name.
        room: String,
        /// As what.
        part: StagePart,
        /// Who; None: nobody.
        identity: Option<String>,
    },
}
