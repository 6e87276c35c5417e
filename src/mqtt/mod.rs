//! L3: the bridge between an MQTT 5 broker and `control` (contract, section 5).
//!
//! ```text
//!  broker ─▶ link (rumqttc, one event loop a connection) ─▶ admit (pure) ─▶ dedupe ─▶ control
//!                        └▶ inbound: documents, jobs, set/* ─▶ feeds ─▶ the daemon, acknowledged once taken
//!  broker ◀─ link ◀─ publisher: retained documents (newest wins), replies and events (kept until their PUBACK),
//!                               measurements (once) ◀─ feeds ◀─ the daemon
//! ```
//! Nothing that the broker does or fails to do stops the box: [`run`] ends only at shutdown, or at once when its
//! configuration can never work.

mod admit;
mod bridge;
mod client;
mod config;
mod documents;
mod feeds;
mod hardware;
mod inbound;
mod link;
mod outbox;
mod publisher;
mod retry;
mod rumqtt;
mod session;
mod tls;
mod token;
mod watchdog;

#[cfg(any(test, fuzzing))]
pub(crate) use admit::judge_any as judge;
pub use bridge::{BridgeStatus, Connection, run};
pub use client::{Asker, Heard, Requester};
pub use config::{Access, Config, Endpoint};
pub use feeds::{Arrived, Documents, Events, Feeds, Place, Sink, TooMany};
pub use hardware::{Hardware, hardware};
#[cfg(any(test, fuzzing))]
pub(crate) use token::life_of_any as token_life;

use std::path::PathBuf;

use crate::control::topics::TopicError;

/// Why the broker cannot be talked to. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `mqtt.url` cannot be used.
    #[error("mqtt.url: {reason}; allowed: mqtt://host[:port] and mqtts://host[:port], without user or path")]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A fleet, box, group or client name that cannot stand in a topic.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// A file of the settings cannot be read.
    #[error("mqtt.{key}: cannot read {path}: {source}")]
    File {
        /// The setting.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("mqtt.{key}: {reason}")]
    Tls {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The connection could not be made, or was lost.
    #[error("{broker}: {reason}")]
    Connection {
        /// `host:port`.
        broker: String,
        /// What happened.
        reason: String,
    },
    /// Nothing came in time.
    #[error("{broker}: no {what} within {seconds} s{hint}")]
    Timeout {
        /// `host:port`.
        broker: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// What may be the matter.
        hint: &'static str,
    },
}
