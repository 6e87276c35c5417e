//! The other end of the control socket; for `roomctl` and tests.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::lines::{Line, read_line};
use crate::control::Reply;

/// Longest wait for an answer: a little more than the box itself waits for an outcome.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach roomd at {path}: {source}{}", hint(source))]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the control socket {path} failed: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// It hung up, or said something that is no reply.
    #[error("the control socket {path} gave no proper answer: {what}")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What came instead.
        what: String,
    },
    /// Nothing came in time.
    #[error("no answer from {path} within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout {
        /// The socket.
        path: PathBuf,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => " (is roomd running?)",
        io::ErrorKind::PermissionDenied => " (are you root, or in the group roomd?)",
        _ => "",
    }
}

/// A connection to a running roomd.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(path: &Path) -> Result<Client, ClientError> {
        let path = path.to_owned();
        match UnixStream::connect(&path).await {
            Err(source) => Err(ClientError::Connect { path, source }),
            Ok(stream) => {
                let (read, write) = stream.into_split();
                Ok(Client { path, read: BufReader::new(read), write })
            }
        }
    }

    /// Gives an order and waits for its reply, at most 35 s.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal is a reply, not an error.
    pub async fn request(&mut self, name: &str, params: &Value) -> Result<Reply, ClientError> {
        self.send(name, params).await?;
        tokio::time::timeout(ANSWER_TIMEOUT, self.next())
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { path: self.path.clone() }))
    }

    /// Sends an order without waiting; its replies come by [`Client::next`].
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn send(&mut self, name: &str, params: &Value) -> Result<(), ClientError> {
        let mut line = json!({"cmd": name, "params": params}).to_string();
        line.push('\n');
        let written = self.write.write_all(line.as_bytes()).await;
        written.map_err(|source| ClientError::Io { path: self.path.clone(), source })
    }

    #[cfg(test)]
    pub(super) async fn write_raw(&mut self, line: &[u8]) -> io::Result<()> {
        self.write.write_all(line).await?;
        self.write.write_all(b"\n").await
    }

    /// The next reply, however long it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn next(&mut self) -> Result<Reply, ClientError> {
        let no_answer = |what: String| ClientError::NoAnswer { path: self.path.clone(), what };
        match read_line(&mut self.read).await {
            Err(source) => Err(ClientError::Io { path: self.path.clone(), source }),
            Ok(Line::End) => Err(no_answer("it hung up".to_owned())),
            Ok(Line::TooLong) => Err(no_answer("a line that is too long".to_owned())),
            Ok(Line::Whole(line)) => {
                serde_json::from_slice(&line).map_err(|error| no_answer(error.to_string()))
            }
        }
    }
}
