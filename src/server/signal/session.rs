//! One client's WebSocket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::Handle;
use super::message::{Join, OUT_CAPACITY, Out, Request, Ticket};
use super::pace::Pace;
use crate::base::clock;
use crate::room::token::Keys;
use crate::room::{Grant, Refusal};

/// A client that says nothing for this long is gone; it is told to ping every 5 s.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// A client that does not take a message for this long does not read any more.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last words to a client may take, its own goodbye included.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often the client's end is probed by a WebSocket ping.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the client gets a fresh token to resume with, and how long that is valid.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
const REFRESHED_TTL: Duration = Duration::from_secs(600);

/// What a client said when it opened its connection.
pub(super) struct Opening {
    pub protocol: i32,
    pub auto_subscribe: bool,
    pub attributes: HashMap<String, String>,
    pub resume: Option<String>,
    pub single: bool,
    pub first: Vec<proto::signal_request::Message>,
    pub grant: Grant,
}

impl Opening {
    /// The request to be let in, with where the messages and the outcome go.
    pub fn join(self, out: mpsc::Sender<Out>, reply: oneshot::Sender<Result<Ticket, Refusal>>) -> Join {
        let Opening { protocol, auto_subscribe, attributes, resume, single, first, grant } = self;
        let room = grant.room.clone();
        let watches = false;
        Join { room, grant, protocol, auto_subscribe, attributes, resume, single, watches, first, out, reply }
    }
}

/// Speaks with one client until either side is done.
pub(super) async fn run(socket: WebSocket, opening: Opening, handle: Handle, keys: Arc<Keys>) {
    let (out, messages) = mpsc::channel(OUT_CAPACITY);
    let (reply, admitted) = oneshot::channel();
    let grant = opening.grant.clone();
    let join = opening.join(out, reply);
    let mut session = Session { socket, messages, json: false };
    let requests = match handle.join(join).await {
        Ok(requests) => requests,
        Err(Refusal::Stopping) => return,
        Err(refusal) => return session.refuse(&refusal).await,
    };
    match admitted.await {
        Ok(Ok(ticket)) => {
            let malformed = session.talk(ticket, &requests, Refresh { keys, grant }).await;
            let ended = malformed.map_or(Request::Gone(ticket), |what| Request::Malformed(ticket, what));
            let _ = requests.send(ended).await;
            session.finish().await;
        }
        Ok(Err(refusal)) => session.refuse(&refusal).await,
        // A resume that cannot be: the engine has said so on `messages`.
        Err(_) => session.finish().await,
    }
}

struct Refresh {
    keys: Arc<Keys>,
    grant: Grant,
}

impl Refresh {
    fn message(&self) -> Out {
        let token = self.keys.mint(&self.grant, REFRESHED_TTL, clock::wall());
        Out::Message(Box::new(proto::SignalResponse { message: Some(Response::RefreshToken(token)) }))
    }
}

struct Session {
    socket: WebSocket,
    messages: mpsc::Receiver<Out>,
    /// The client speaks JSON.
    json: bool,
}

/// Why a conversation is over.
enum End {
    Gone,
    Malformed(&'static str),
}

impl Session {
    /// Until the end; Some: what was malformed.
    async fn talk(
        &mut self,
        ticket: Ticket,
        requests: &mpsc::Sender<Request>,
        mut refresh: Refresh,
    ) -> Option<&'static str> {
        let mut heard = clock::now();
        let mut probe = tokio::time::interval(PROBE_INTERVAL);
        // The join response must come first; a fresh token follows it.
        let mut fresh = tokio::time::interval_at(soon(), REFRESH_INTERVAL);
        let mut pace = Pace::new(heard);
        // Who says too much is not listened to for a while; what it says waits in its connection.
        let mut deaf_until = heard;
        loop {
            let deaf = clock::now() < deaf_until;
            let silent = tokio::time::sleep_until((heard + PING_TIMEOUT).into());
            let result = tokio::select! {
                out = self.messages.recv() => match out {
                    Some(Out::Granted(grant)) => {
                        refresh.grant = *grant;
                        self.send(refresh.message()).await
                    }
                    Some(out) => self.send(out).await,
                    None => Err(End::Gone),
                },
                () = tokio::time::sleep_until(deaf_until.into()), if deaf => Ok(()),
                received = self.socket.recv(), if !deaf => {
                    heard = clock::now();
                    match received {
                        Some(Ok(message)) => {
                            deaf_until = heard + pace.spend(length(&message), heard);
                            self.take(message, ticket, requests).await
                        }
                        Some(Err(error)) => Err(unreadable(&error)),
                        None => Err(End::Gone),
                    }
                }
                _ = probe.tick() => self.write(Message::Ping(Vec::new().into())).await,
                _ = fresh.tick() => self.send(refresh.message()).await,
                () = silent => Err(End::Gone),
            };
            match result {
                Ok(()) => {}
                Err(End::Gone) => return None,
                Err(End::Malformed(what)) => return Some(what),
            }
        }
    }

    async fn take(
        &mut self,
        message: Message,
        ticket: Ticket,
        requests: &mpsc::Sender<Request>,
    ) -> Result<(), End> {
        let request = match message {
            Message::Binary(bytes) => proto::SignalRequest::decode(bytes).ok(),
            Message::Text(text) => {
                self.json = true;
                serde_json::from_str(&text).ok()
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
        };
        let request = request.ok_or(End::Malformed("a frame that is no SignalRequest"))?;
        let request = Request::Signal(ticket, Box::new(request));
        requests.send(request).await.map_err(|_| End::Gone)
    }

    async fn send(&mut self, out: Out) -> Result<(), End> {
        let response = match out {
            Out::Message(response) => response,
            // No token is given any more.
            Out::Granted(_) => return Ok(()),
            Out::Close => return Err(End::Gone),
        };
        let message = if self.json {
            Message::Text(serde_json::to_string(&*response).unwrap_or_default().into())
        } else {
            Message::Binary(response.encode_to_vec().into())
        };
        self.write(message).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        let sent = tokio::time::timeout(WRITE_TIMEOUT, self.socket.send(message)).await;
        sent.is_ok_and(|sent| sent.is_ok()).then_some(()).ok_or(End::Gone)
    }

    async fn refuse(&mut self, refusal: &Refusal) {
        debug!(%refusal, "a join was refused");
        let leave = proto::LeaveRequest {
            reason: proto::DisconnectReason::JoinFailure as i32,
            action: proto::leave_request::Action::Disconnect as i32,
            ..Default::default()
        };
        let message = Some(Response::Leave(leave));
        let _ = self.send(Out::Message(Box::new(proto::SignalResponse { message }))).await;
        let _ = tokio::time::timeout(FAREWELL, self.close()).await;
    }

    /// Waits for the client's own goodbye: what was said last would else be lost with a connection that is reset.
    async fn close(&mut self) {
        if self.write(Message::Close(None)).await.is_ok() {
            while let Some(Ok(_)) = self.socket.recv().await {}
        }
    }

    /// Sends what the engine still has to say, then closes. Bounded: the engine has let go of the sender.
    async fn finish(&mut self) {
        let rest = async {
            while let Some(out) = self.messages.recv().await {
                if self.send(out).await.is_err() {
                    break;
                }
            }
            self.close().await;
        };
        let _ = tokio::time::timeout(FAREWELL, rest).await;
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

fn soon() -> tokio::time::Instant {
    let at: Instant = clock::now() + Duration::from_millis(500);
    at.into()
}

/// A message that is too long or no text is the client's fault. Everything else is a broken line: the client may
/// come back and resume. (By its text: the WebSocket library's error type is not part of axum's API.)
fn unreadable(error: &axum::Error) -> End {
    let text = error.to_string();
    if text.contains("too long") || text.contains("UTF-8") {
        End::Malformed("a message of more than 1 MiB, or one that is no text")
    } else {
        End::Gone
    }
}
