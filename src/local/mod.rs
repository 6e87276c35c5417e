//! L3: the bridge between the Unix control socket and `control`.
//!
//! One JSON object a line, both ways: `{"id": any, "cmd": "room.join", "params": {…}}` and back the contract's
//! reply `{id, ok, code, message, retryable, data}`. Besides the contract's commands: `state` (the document),
//! `state.watch` (the document now and after every change, until the client hangs up), `info`, `admin.link`,
//! `guest.link {room}`.
//! Whoever can open the socket (mode 0660) is at the box: its orders are `local`.

mod client;
mod lines;
mod server;
mod socket;

use std::path::PathBuf;

pub use client::{Client, ClientError};
#[cfg(any(test, fuzzing))]
pub(crate) use server::read_any;
pub use server::{Link, Links, Server};

/// Longest line in either direction, in bytes. A longer request is answered `bad_request` and hung up on.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Clients served at once. Further ones are answered `busy` and hung up on.
pub const MAX_CLIENTS: usize = 32;

/// Why the control socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another roomd answers there.
    #[error("the control socket {path} is in use by another running roomd")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else lies there; it is not deleted.
    #[error("{path} exists and is not a socket: remove it, or choose another control.socket")]
    NotASocket {
        /// What was found.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} the control socket {path}: {source}")]
    Io {
        /// `create`, `open` …
        doing: &'static str,
        /// The socket or its directory.
        path: PathBuf,
        /// Its own words.
        source: std::io::Error,
    },
}
