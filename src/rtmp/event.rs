//! What a server's bytes come to.

/// What a server's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server has taken the connection; the stream is asked for.
    Connected,
    /// The server takes the stream.
    Publishing,
    /// The server knows that the stream has ended.
    Unpublished,
}

/// Why a connection cannot go on. No text holds the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtmpError {
    /// What the server sent is no RTMP.
    #[error("the server sent {0}")]
    Malformed(&'static str),
    /// The server does not want the stream.
    #[error("the server refuses: {code}{}{description}", if description.is_empty() { "" } else { ": " })]
    Rejected {
        /// Its code, like `NetStream.Publish.BadName`.
        code: String,
        /// Its words; may be empty.
        description: String,
    },
    /// The server names another one. It is not followed: the key was given for this one.
    #[error("the server redirects to {to}: give that address instead")]
    Redirected {
        /// Where to, without what follows a `?`.
        to: String,
    },
}
