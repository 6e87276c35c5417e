//! From a token to the server's first word.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::TokenSource;
use super::machine::{Failure, Leave};
use crate::rtc::signal::client::{SignalError, SignalSocket};
use crate::rtc::signal::proto::signal_response::Message;
use crate::rtc::signal::proto::{
    DisconnectReason, JoinResponse, LeaveRequest, ReconnectResponse, leave_request,
};
use crate::rtc::signal::url::{ConnectQuery, ServerUrl};

/// Longest that a token, and then the server's first word, may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the room server is, and how to reach it.
#[derive(Clone)]
pub(super) struct Server {
    pub url: ServerUrl,
    pub tls: Arc<ClientConfig>,
    pub token: TokenSource,
}

/// An open signalling connection and what the server said first.
pub(super) enum Opened {
    Joined { socket: SignalSocket, join: Box<JoinResponse>, token: String },
    Resumed { socket: SignalSocket, reconnect: ReconnectResponse },
}

/// What became of an attempt.
pub(super) enum OpenError {
    Failure(Failure),
    Leave(Leave),
}

impl From<SignalError> for OpenError {
    fn from(error: SignalError) -> Self {
        let text = error.to_string();
        OpenError::Failure(if error.is_refusal() { Failure::Refused(text) } else { Failure::Trouble(text) })
    }
}

/// Joins with a fresh token.
pub(super) async fn join(server: Server) -> Result<Opened, OpenError> {
    let trouble = |text: String| OpenError::Failure(Failure::Trouble(text));
    let token = tokio::time::timeout(STEP_TIMEOUT, server.token.fetch())
        .await
        .map_err(|_| trouble("the token took longer than 5 s".into()))?
        .map_err(|error| trouble(format!("no token: {error}")))?;
    let query = ConnectQuery { auto_subscribe: false, resume: None };
    let socket = SignalSocket::open(&server.url, &query, &token, server.tls).await?;
    first_word(socket, token).await
}

/// Takes the session of participant `sid` up again with its last `token`.
pub(super) async fn resume(server: Server, sid: String, token: String) -> Result<Opened, OpenError> {
    let query = ConnectQuery { auto_subscribe: false, resume: Some(&sid) };
    let socket = match SignalSocket::open(&server.url, &query, &token, server.tls).await {
        Ok(socket) => socket,
        // Of our own token the server knows no more, or of the session: a fresh one may do.
        Err(error @ SignalError::Refused { status: 400..=499, .. }) => {
            return Err(OpenError::Failure(Failure::Gone(error.to_string())));
        }
        Err(error) => return Err(error.into()),
    };
    first_word(socket, token).await
}

async fn first_word(mut socket: SignalSocket, token: String) -> Result<Opened, OpenError> {
    let waiting = async {
        loop {
            match socket.recv().await? {
                Message::Join(join) => return Ok(Opened::Joined { socket, join: Box::new(join), token }),
                Message::Reconnect(reconnect) => return Ok(Opened::Resumed { socket, reconnect }),
                Message::Leave(request) => return Err(OpenError::Leave(leave(&request))),
                other => tracing::debug!(?other, "before the first word"),
            }
        }
    };
    match tokio::time::timeout(STEP_TIMEOUT, waiting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SignalError::Timeout(STEP_TIMEOUT).into()),
    }
}

/// What a Leave means. Some reasons for which LiveKit says "disconnect" are trouble of the server, not a decision.
pub(super) fn leave(request: &LeaveRequest) -> Leave {
    use DisconnectReason as Reason;
    let reason = Reason::try_from(request.reason).unwrap_or(Reason::UnknownReason);
    let text = reason.as_str_name().to_owned();
    match leave_request::Action::try_from(request.action) {
        Ok(leave_request::Action::Resume) => Leave::Resume(text),
        Ok(leave_request::Action::Reconnect) => Leave::Reconnect(text),
        _ if request.can_reconnect => Leave::Reconnect(text),
        _ => match reason {
            Reason::ServerShutdown
            | Reason::StateMismatch
            | Reason::JoinFailure
            | Reason::Migration
            | Reason::SignalClose
            | Reason::ConnectionTimeout
            | Reason::MediaFailure => Leave::Reconnect(text),
            _ => Leave::Disconnect(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_told_from_trouble() {
        let request = |action: leave_request::Action, reason: DisconnectReason| LeaveRequest {
            action: action as i32,
            reason: reason as i32,
            ..Default::default()
        };
        use leave_request::Action::{Disconnect, Reconnect, Resume};
        let removed = leave(&request(Disconnect, DisconnectReason::ParticipantRemoved));
        assert_eq!(removed, Leave::Disconnect("PARTICIPANT_REMOVED".into()));
        let shutdown = leave(&request(Disconnect, DisconnectReason::ServerShutdown));
        assert_eq!(shutdown, Leave::Reconnect("SERVER_SHUTDOWN".into()));
        assert!(matches!(leave(&request(Resume, DisconnectReason::UnknownReason)), Leave::Resume(_)));
        assert!(matches!(leave(&request(Reconnect, DisconnectReason::StateMismatch)), Leave::Reconnect(_)));
        let nonsense = LeaveRequest { action: 99, reason: -5, ..Default::default() };
        assert_eq!(leave(&nonsense), Leave::Disconnect("UNKNOWN_REASON".into()));
    }
}
