//! From a token to the server's first word.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use rustls::ClientConfig;

use super::TokenSource;
use super::machine::{Failure, Leave};
use crate::base::clock;
use crate::rtc::signal::client::{SignalError, SignalSocket};
use crate::rtc::signal::proto::signal_response::Message;
use crate::rtc::signal::proto::{
    DisconnectReason, JoinResponse, LeaveRequest, ReconnectResponse, leave_request,
};
use crate::rtc::signal::url::{ConnectQuery, ServerUrl};

/// Longest that a token, and then the server's first word, may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest part of a token that is read.
const MAX_CLAIMS_CHARS: usize = 16 << 10;

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

/// Joins with a fresh token; or with `last`, the newest one of the stay before, which the server renews, where
/// there is no fresh one that is still good.
pub(super) async fn join(server: Server, last: Option<String>) -> Result<Opened, OpenError> {
    let fetched = match tokio::time::timeout(STEP_TIMEOUT, server.token.fetch()).await {
        Ok(fetched) => fetched.map_err(|error| format!("no token: {error}")),
        Err(_) => Err("the token took longer than 5 s".into()),
    };
    let good = |token: &String| expiry(token).is_some_and(|expiry| expiry > clock::wall());
    let expired = |token: &String| expiry(token).is_some_and(|expiry| expiry <= clock::wall());
    let token = match (fetched, last.filter(good)) {
        (Ok(fresh), Some(last)) if expired(&fresh) => last,
        (Ok(fresh), _) => fresh,
        (Err(_), Some(last)) => last,
        (Err(error), None) => return Err(OpenError::Failure(Failure::Trouble(error))),
    };
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

/// When a token expires (RFC 7519 §4.1.4), unchecked; None where that cannot be read.
pub(super) fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = token.split('.').nth(1).filter(|payload| payload.len() <= MAX_CLAIMS_CHARS)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
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
    fn a_tokens_expiry_is_read_without_its_key_and_nonsense_has_none() {
        let token = |claims: &str| format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(expiry(&token("{\"sub\":\"box\",\"exp\":1700000000}")), Some(at(1_700_000_000)));
        for bad in ["", "x", "x.y.z", "x.é.z", &token("{}"), &token("{\"exp\":-1}"), &token("{\"exp\":1e99}")]
        {
            assert_eq!(expiry(bad), None, "{bad}");
        }
        assert_eq!(expiry(&token(&format!("{{\"exp\":1,\"x\":\"{}\"}}", "x".repeat(20_000)))), None);
        let _ = expiry(&token("{\"exp\":18446744073709551615}"));
    }

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
