//! What goes into the machine and what comes out.

use std::time::Duration;

use crate::rtc::peer::{PeerState, Side};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Begin.
    Start,
    /// The server took us in; now `publisher` and `subscriber` say which connections have to come up.
    Joined {
        /// Whether we publish.
        publisher: bool,
        /// Whether the server counts us in only with the subscriber connection.
        subscriber: bool,
    },
    /// The server took the lost connection up again and has answered our offer.
    Resumed,
    /// Joining or resuming did not work out.
    Failed(Failure),
    /// The signalling connection broke.
    SignalLost(String),
    /// A connection changed its state.
    Peer(Side, PeerState),
    /// The server told us to go.
    Leave(Leave),
    /// The session cannot go on (bad SDP, a closed connection).
    SessionFailed(String),
    /// The time of [`Machine::deadline`](super::Machine::deadline) has come.
    Tick,
    /// The box is stopping or leaves the room.
    Shutdown,
}

/// Why joining or resuming did not work out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 401, 403: in vain until something is changed.
    Refused(String),
    /// The server no longer knows what we want to resume.
    Gone(String),
    /// Anything else: worth another attempt.
    Trouble(String),
}

/// What a server's Leave asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Go for good.
    Disconnect(String),
    /// Come back and resume.
    Resume(String),
    /// Come back as new.
    Reconnect(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the signalling connection and join.
    Join,
    /// Open the signalling connection again and resume the session.
    Resume,
    /// End the session, if there is one, and whatever attempt is under way.
    Close {
        /// Say goodbye first.
        goodbye: bool,
    },
    /// Tell the box.
    Report(Report),
    /// Nothing more will come.
    Finish,
}

/// What the box is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An attempt to join begins.
    Joining,
    /// Media flows.
    Joined,
    /// The connection was lost a moment ago.
    Resuming {
        /// Why.
        reason: String,
    },
    /// Waiting before the next attempt.
    BackingOff {
        /// Why.
        reason: String,
        /// How long.
        delay: Duration,
    },
    /// The room does not want us any more.
    Left {
        /// Why.
        reason: String,
    },
}
