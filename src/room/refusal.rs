//! Why a room says no.

use thiserror::Error;

use super::membership::{MAX_METADATA_BYTES, MAX_NAME_BYTES};
use super::participant::RESERVED;

/// Why somebody may not join, or an order of the API is not carried out. Safe to show to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not for this room.
    #[error("the token does not allow joining room {room:?}")]
    NotAllowed {
        /// The room asked for.
        room: String,
    },
    /// A name is empty or too long.
    #[error("{what} must be 1 to {MAX_NAME_BYTES} bytes long")]
    Name {
        /// `room`, `identity` or `name`.
        what: &'static str,
    },
    /// Metadata or attributes are too long.
    #[error("metadata and attributes may have {MAX_METADATA_BYTES} bytes each")]
    Metadata,
    /// An attribute that is the server's own.
    #[error("attributes: names that begin with {RESERVED:?} are the server's own")]
    Attribute,
    /// Too many rooms or participants.
    #[error("{what}: at most {limit}")]
    Full {
        /// Of what there are too many.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// There is none of this name.
    #[error("there is no {what} {name:?}")]
    NoSuch {
        /// `room`, `participant` or `track`.
        what: &'static str,
        /// As asked for, cut to 64 characters.
        name: String,
    },
    /// The token does not allow what was asked.
    #[error(
        "this needs a token that may moderate room {room:?}; one with allow_join may let in and turn away who waits"
    )]
    NotModerator {
        /// The room.
        room: String,
    },
    /// Only the participant itself may turn on its camera and microphone.
    #[error("a track can be muted from afar, but only its publisher unmutes it")]
    Unmute,
    /// The app server has closed the room for good.
    #[error("room {room:?} is deactivated: nobody may join it any more")]
    Disabled {
        /// The room.
        room: String,
    },
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
}

impl Refusal {
    /// There is no `what` of this name.
    pub fn no(what: &'static str, name: &str) -> Refusal {
        Refusal::NoSuch { what, name: name.chars().take(64).collect() }
    }
}
