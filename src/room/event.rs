//! What happens in rooms, for whoever reports it (webhooks, sessions, the state document).

use livekit_protocol as proto;

/// Why a participant is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It said so.
    Left,
    /// Somebody joined under the same identity.
    Replaced,
    /// A moderator or the API removed it.
    Removed,
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
            Departure::RoomEnded => proto::DisconnectReason::RoomDeleted,
            Departure::Vanished => proto::DisconnectReason::SignalClose,
            Departure::Misbehaved => proto::DisconnectReason::StateMismatch,
            Departure::Shutdown => proto::DisconnectReason::ServerShutdown,
        }
    }
}

/// One thing that happened, in order per room.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first participant joined.
    RoomStarted {
        /// The room.
        room: proto::Room,
    },
    /// The room is gone, some time after the last participant.
    RoomFinished {
        /// The room.
        room: proto::Room,
    },
    /// Somebody joined; hidden participants too.
    ParticipantJoined {
        /// The room's name.
        room: String,
        /// Who.
        participant: proto::ParticipantInfo,
    },
    /// Somebody is gone.
    ParticipantLeft {
        /// The room's name.
        room: String,
        /// Who, as last known.
        participant: proto::ParticipantInfo,
        /// Why.
        departure: Departure,
    },
    /// A track can be subscribed to.
    TrackPublished {
        /// The room's name.
        room: String,
        /// The publisher.
        identity: String,
        /// The track.
        track: proto::TrackInfo,
    },
    /// A track is gone.
    TrackUnpublished {
        /// The room's name.
        room: String,
        /// The publisher.
        identity: String,
        /// The track as last known.
        track: proto::TrackInfo,
    },
}
