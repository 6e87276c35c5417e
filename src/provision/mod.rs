//! L4: how a box comes into its fleet (`design/provisioning.md`): `roomctl provision` on the box, and a small enrolment
//! server, the reference of the HTTPS API.
//!
//! | file | what |
//! |---|---|
//! | `api` | what is said over HTTPS |
//! | `order` | `roomd-provision.json` |
//! | `enrol` | the box's side, step by step |
//! | `handover` | how the daemon has that done, and hears why it was not |
//! | `accept` | checks the answer, makes the configuration out of it |
//! | `https` | one POST |
//! | `server/` | the other side: authority, tokens, HTTPS, what mosquitto needs |

mod accept;
mod api;
mod enrol;
mod handover;
mod https;
mod order;
pub mod server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::control::Code;
pub use enrol::{Enrolled, Place, enrol, is_in_force};
pub use handover::{Failure, Handover, attempt};
pub use order::{PLACES, find};

/// Why the box was not enrolled. Never holds the token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `roomd-provision.json`.
    #[error("no roomd-provision.json: looked for {looked}")]
    NoFile {
        /// The places.
        looked: String,
    },
    /// The file makes no sense.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The server was not reached, broke off, or is not the one that it should be.
    #[error("{server}: {reason}")]
    Network {
        /// `host:port`.
        server: String,
        /// What happened.
        reason: String,
    },
    /// The server has answered that it will not, or not now.
    #[error("{server} refuses ({status}): {code}: {message}")]
    Refused {
        /// `host:port`.
        server: String,
        /// HTTP status.
        status: u16,
        /// The server's code; `http` where it gave none.
        code: String,
        /// The server's words.
        message: String,
    },
    /// What the server answered cannot be used.
    #[error("{server}: its answer cannot be used: {reason}")]
    Answer {
        /// `host:port`.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state directory, or the file with the token, cannot be written.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// `write`, `remove` …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A key could not be made.
    #[error("making a key: {0}")]
    Key(#[from] rcgen::Error),
}

impl Error {
    /// The outcome, as a job tells it.
    pub fn code(&self) -> Code {
        match self {
            Error::NoFile { .. } | Error::File { .. } => Code::BadRequest,
            Error::Refused { status: 401 | 403, .. } => Code::Unauthorized,
            Error::Refused { .. } | Error::Network { .. } | Error::Answer { .. } => Code::Upstream,
            Error::Disk { .. } | Error::Key(_) => Code::Internal,
        }
    }

    /// Whether the same attempt can never succeed: exit code 78, and nobody tries again.
    pub fn is_final(&self) -> bool {
        match self {
            Error::NoFile { .. } | Error::File { .. } => true,
            // Too early, too often, and whatever is the server's own trouble, passes.
            Error::Refused { status, .. } => (300..500).contains(status) && ![408, 425, 429].contains(status),
            // The token is used up, so only people can do something about the file.
            Error::Disk { doing, .. } => *doing == "remove",
            Error::Network { .. } | Error::Answer { .. } | Error::Key(_) => false,
        }
    }
}

/// What is read when a box enrols: the order; on the box the answer or refusal; on the server the request.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(bytes: &[u8]) {
    use std::sync::LazyLock;
    static KEY: LazyLock<String> =
        LazyLock::new(|| rcgen::KeyPair::generate().map(|key| key.serialize_pem()).unwrap_or_default());
    if let Some(order) =
        crate::control::enrolment::EnrolmentOrder::parse(bytes).ok().filter(|o| o.ca.is_some())
    {
        let _ = https::trust(&order, crate::base::not_before::NotBefore::of([]));
    }
    let _ = accept::check(bytes, &KEY);
    let _ = serde_json::from_slice::<api::Refusal>(bytes);
    if let Ok(request) = serde_json::from_slice::<api::Request>(bytes) {
        let _ = server::read_csr(&request.csr);
    }
    let _ = server::read_csr(&String::from_utf8_lossy(bytes));
}
