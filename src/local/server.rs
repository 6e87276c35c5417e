//! Serves the control socket.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::lines::{Line, read_line};
use super::socket::ControlSocket;
use super::{Error, MAX_CLIENTS};
use crate::base::Shutdown;
use crate::control::{Code, Command, CommandError, ControlHandle, Origin, Reply};

/// A link to the box's pages that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link<'a> {
    /// Opens the box's page as administrator: single use, 10 minutes.
    Admin,
    /// Lets a guest into a room.
    Guest {
        /// The room's name, 1 to 128 characters without `/`.
        room: &'a str,
    },
}

/// Makes links, one for each address; none: the pages are not served.
pub type Links = Arc<dyn Fn(Link<'_>) -> Vec<String> + Send + Sync>;

/// Longest wait for a client's next request, and for it to take an answer; then it is hung up on.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound control socket.
#[derive(Debug)]
pub struct Server {
    socket: ControlSocket,
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    control: ControlHandle,
    info: watch::Receiver<Value>,
    links: Links,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    id: Value,
    cmd: String,
    #[serde(default)]
    params: Option<Value>,
}

impl Server {
    /// Listens at `path`: mode 0660, a dead socket is replaced. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error`]: among them a running roomd at the same path.
    pub fn bind(path: &Path) -> Result<Server, Error> {
        let socket = ControlSocket::bind(path)?;
        info!(path = %path.display(), "control socket is open");
        Ok(Server { socket })
    }

    /// Serves until `shutdown`; then the socket is closed, its file removed and every client hung up on.
    pub async fn run(
        self,
        control: ControlHandle,
        info: watch::Receiver<Value>,
        links: Links,
        shutdown: Shutdown,
    ) {
        let shared = Shared { control, info, links };
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = clients.join_next() => {}
                accepted = self.socket.listener.accept() => match accepted {
                    Err(error) => {
                        // Out of descriptors; nothing to do but to wait for some.
                        warn!(%error, "control socket: cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            let shared = shared.clone();
                            clients.spawn(async move {
                                serve(stream, shared).await;
                                drop(place);
                            });
                        }
                        Err(_) => turn_away(stream),
                    },
                },
            }
        }
    }
}

/// Answers `busy` without waiting: a fresh socket takes that much, or the client was not reading anyway.
fn turn_away(stream: UnixStream) {
    let reply = Reply::refused(Code::Busy, format!("{MAX_CLIENTS} clients are connected already"));
    // By the plain socket: tokio's does not know yet that it can be written to.
    let _ = stream.into_std().and_then(|mut stream| stream.write_all(&line_of(&json!(reply))));
}

fn line_of(document: &Value) -> Vec<u8> {
    let mut line = document.to_string().into_bytes();
    line.push(b'\n');
    line
}

async fn serve(stream: UnixStream, shared: Shared) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = match tokio::time::timeout(IDLE_TIMEOUT, read_line(&mut read)).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return debug!(%error, "control socket: client is gone"),
            Err(_) => return,
        };
        let goes_on = match line {
            Line::End => return,
            Line::Whole(line) if line.trim_ascii().is_empty() => true,
            Line::Whole(line) => answer(&line, &mut read, &mut write, &shared).await,
            Line::TooLong => {
                let message = format!("a request is at most {} bytes long", super::MAX_LINE_BYTES);
                send(&mut write, &json!(Reply::refused(Code::BadRequest, message))).await;
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// Answers one request; false: hang up.
async fn answer(
    line: &[u8],
    read: &mut BufReader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    shared: &Shared,
) -> bool {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("not a request {{\"cmd\": …, \"params\": {{…}}}}: {error}");
            return send(write, &json!(Reply::refused(Code::BadRequest, message))).await;
        }
    };
    if request.cmd == "state.watch" {
        watch_state(&request.id, read, write, shared).await;
        return false;
    }
    let reply = outcome(&request, shared).await;
    send(write, &with_id(reply, &request.id)).await
}

/// The reply under the asker's id, of whatever type that is.
fn with_id(reply: Reply, id: &Value) -> Value {
    let mut document = json!(reply);
    if let (Some(object), false) = (document.as_object_mut(), id.is_null()) {
        object.insert("id".to_owned(), id.clone());
    }
    document
}

async fn outcome(request: &Request, shared: &Shared) -> Reply {
    match request.cmd.as_str() {
        "state" => Reply::ok("", json!(*shared.control.state().borrow().clone())),
        "info" => Reply::ok("", shared.info.borrow().clone()),
        "admin.link" => links(shared, Link::Admin),
        "guest.link" => match request.params.as_ref().and_then(|params| params.get("room")?.as_str()) {
            Some(room) if room_name_fits(room) => links(shared, Link::Guest { room }),
            _ => Reply::refused(Code::BadRequest, "guest.link: room: 1 to 128 characters without '/'"),
        },
        _ => match command(request) {
            Ok(command) => {
                let origin = Origin { issuer: "local".to_owned(), local: true };
                shared.control.submit(command, origin).await
            }
            Err(error @ CommandError::UnknownName { .. }) => {
                let message = format!("{error}, state, state.watch, info, admin.link, guest.link");
                Reply::refused(Code::BadRequest, message)
            }
            Err(error) => Reply::refused(Code::BadRequest, error.to_string()),
        },
    }
}

fn command(request: &Request) -> Result<Command, CommandError> {
    let params = request.params.as_ref().map(Value::to_string).unwrap_or_default();
    Command::parse(&request.cmd, params.as_bytes())
}

/// Everything that a client says, up to a line that is too long.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(mut said: &[u8]) {
    use futures_util::FutureExt;
    while let Some(Ok(Line::Whole(line))) = read_line(&mut said).now_or_never() {
        assert!(line.len() <= super::MAX_LINE_BYTES);
        let Ok(request) = serde_json::from_slice::<Request>(&line) else { continue };
        let refused = |error: CommandError| Reply::refused(Code::BadRequest, error.to_string());
        let reply = command(&request).map_or_else(refused, |command| Reply::ok(command.name(), Value::Null));
        assert!(request.id.is_null() || with_id(reply, &request.id)["id"] == request.id);
    }
}

fn links(shared: &Shared, which: Link<'_>) -> Reply {
    match (shared.links)(which) {
        links if links.is_empty() => {
            Reply::refused(Code::NotReady, "the box serves no pages: server.enabled is false")
        }
        links => Reply::ok("", json!({"urls": links})),
    }
}

/// As for `room.join`.
fn room_name_fits(room: &str) -> bool {
    Command::parse("room.join", json!({"room": room}).to_string().as_bytes()).is_ok()
}

/// Sends the document now and after each change, until the client hangs up or the box stops. Versions that a
/// slow client misses are left out; the newest always comes.
async fn watch_state(
    id: &Value,
    read: &mut BufReader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    shared: &Shared,
) {
    let mut state = shared.control.state();
    loop {
        let document = json!(*state.borrow_and_update().clone());
        if !send(write, &with_id(Reply::ok("", document), id)).await {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            // Whatever it says, even hanging up, ends the watch.
            _ = read_line(read) => return,
        }
    }
}

async fn send(write: &mut OwnedWriteHalf, document: &Value) -> bool {
    matches!(tokio::time::timeout(WRITE_TIMEOUT, write.write_all(&line_of(document))).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests;
