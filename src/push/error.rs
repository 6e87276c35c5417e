//! Why a destination does not get the stream.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::live::{LiveUrl, OutputError};
use crate::https::tls::TlsError;
use crate::rtmp::RtmpError;

/// One attempt's end, with where it was: `host:port/app: reason`. Never holds the key.
#[derive(Debug, thiserror::Error)]
#[error("{host}:{port}/{app}: {reason}")]
pub struct PushError {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The application.
    pub app: String,
    /// What happened.
    #[source]
    pub reason: Reason,
}

impl PushError {
    pub(super) fn at(url: &LiveUrl, reason: impl Into<Reason>) -> PushError {
        let (host, app) = (url.host().to_owned(), url.app().to_owned());
        PushError { host, port: url.port(), app, reason: reason.into() }
    }
}

/// What happened.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {source}")]
    File {
        /// Which file it is: `stream_key_file`, `live.ca_file`.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The key's file holds no key.
    #[error("stream_key_file {path}: {source}")]
    Key {
        /// Where.
        path: PathBuf,
        /// What is allowed.
        source: OutputError,
    },
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Resolve(io::Error),
    /// Refused, no route, …
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// Nothing came for that long.
    #[error("{what} took longer than {} s", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A certificate for another name, by an unknown authority, …
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The name that was asked for.
        host: String,
        /// rustls's words.
        source: io::Error,
    },
    /// `live.ca_file` holds no certificate.
    #[error("live.ca_file: {0}")]
    Authority(#[from] TlsError),
    /// The server refuses, or does not speak RTMP.
    #[error(transparent)]
    Rtmp(#[from] RtmpError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    /// The server hung up.
    #[error("the server closed the connection")]
    Closed,
    /// The server takes nothing any more.
    #[error("the server has acknowledged nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// A fault of ours: the task panicked.
    #[error("internal fault")]
    Fault,
}
