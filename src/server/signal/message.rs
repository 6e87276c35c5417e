//! What goes between the clients' tasks and the shards.

use std::collections::HashMap;

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot};

use super::engine::Engine;
use super::placement::Passage;
use crate::room::{Grant, MemberKey, Refusal};

/// Messages on their way to one client. Full: the client does not read; its signalling connection is cut and it
/// may resume.
pub(super) const OUT_CAPACITY: usize = 512;

/// To one client.
#[derive(Debug)]
pub(super) enum Out {
    /// A message.
    Message(Box<proto::SignalResponse>),
    /// What the client may do has changed; the tokens that it is given from now on say so.
    Granted(Box<Grant>),
    /// Nothing more comes: close.
    Close,
}

/// A client that has shown its token.
#[derive(Debug)]
pub(super) struct Join {
    /// The room, from its token.
    pub room: String,
    /// What it may do.
    pub grant: Grant,
    /// Its protocol version.
    pub protocol: i32,
    /// Wants every track without asking.
    pub auto_subscribe: bool,
    /// Says about itself.
    pub attributes: HashMap<String, String>,
    /// Resumes this stay instead of beginning one.
    pub resume: Option<String>,
    /// One connection for both ways (`/rtc/v1`).
    pub single: bool,
    /// It watches whatever stands out, over a single connection for which it offers only once.
    pub watches: bool,
    /// What it said already when it asked to join, in order.
    pub first: Vec<proto::signal_request::Message>,
    /// Where its messages go.
    pub out: mpsc::Sender<Out>,
    /// The outcome.
    pub reply: oneshot::Sender<Result<Ticket, Refusal>>,
}

/// Which stay a signalling connection speaks for. After a resume the old connection's tickets are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The participant.
    pub key: MemberKey,
    /// Counts its signalling connections.
    pub generation: u32,
}

/// To a shard.
#[derive(Debug)]
pub(super) enum Request {
    /// Somebody wants in; its room stays on this shard meanwhile.
    Join(Box<Join>, Option<Passage>),
    /// A client said something.
    Signal(Ticket, Box<proto::SignalRequest>),
    /// A client said what no client says.
    Malformed(Ticket, &'static str),
    /// A client's signalling connection is gone.
    Gone(Ticket),
    /// Something that the API asks for.
    Order(Order),
}

/// What is done with the engine, answer included.
pub(super) struct Order(pub Box<dyn FnOnce(&mut Engine) + Send>);

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Order")
    }
}
