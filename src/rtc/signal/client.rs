//! The joining side of the signalling connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::frame::{self, FrameError, MAX_FRAME_BYTES};
use super::proto::{signal_request, signal_response};
use super::url::{ConnectQuery, ServerUrl};

/// Longest that opening may take: TCP, TLS and the WebSocket's handshake together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest that one message may take to leave; a peer that reads nothing for so long is lost.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest part of a refusal's body that is looked at.
const MAX_BODY_BYTES: usize = 4096;

/// Longest reason that is made of it.
const MAX_REASON_CHARS: usize = 200;

/// Why the signalling connection could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Answered, but with an HTTP status instead of a WebSocket: 401 and 403 mean the token.
    #[error("the room server refused: HTTP {status}{}{reason}", if reason.is_empty() { "" } else { ", " })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said about it, cut after 200 characters, without the token.
        reason: String,
    },
    /// Name, route, port, TLS or handshake.
    #[error("the room server at {host}:{port} cannot be reached: {source}")]
    Unreachable {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The token cannot be an HTTP header.
    #[error("the token holds characters that no token has")]
    Token,
    /// Nothing for too long.
    #[error("the room server took longer than {0:?}")]
    Timeout(Duration),
    /// It was open and broke.
    #[error("the signalling connection broke: {0}")]
    Lost(Box<WsError>),
    /// The other side closed it.
    #[error("the room server closed the signalling connection")]
    Closed,
    /// The other side speaks something else.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A text frame: JSON, which nobody asked for.
    #[error("the room server answers in text frames")]
    Text,
}

impl SignalError {
    /// Whether another attempt with the same token is in vain.
    pub fn is_refusal(&self) -> bool {
        matches!(self, SignalError::Refused { status: 401 | 403, .. } | SignalError::Token)
    }
}

/// An open signalling connection. One message at a time each way; dropping it closes the socket.
pub struct SignalSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl SignalSocket {
    /// Opens the connection to `url` with `token`; at most 5 s.
    ///
    /// # Errors
    /// [`SignalError::Refused`] when the server answers with a status, else how far it came.
    pub async fn open(
        url: &ServerUrl,
        query: &ConnectQuery<'_>,
        token: &str,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, SignalError> {
        tokio::time::timeout(OPEN_TIMEOUT, Self::open_unbounded(url, query, token, tls))
            .await
            .map_err(|_| SignalError::Timeout(OPEN_TIMEOUT))?
    }

    async fn open_unbounded(
        url: &ServerUrl,
        query: &ConnectQuery<'_>,
        token: &str,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, SignalError> {
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| SignalError::Unreachable {
            host: url.host.clone(),
            port: url.port,
            source,
        };
        let mut request = url.rtc(query).into_client_request().map_err(|error| unreachable(error.into()))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| SignalError::Token)?;
        request.headers_mut().insert("Authorization", bearer);
        let tcp = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(|error| unreachable(error.into()))?;
        // Signalling is small messages that somebody waits for.
        tcp.set_nodelay(true).map_err(|error| unreachable(error.into()))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let connector = if url.tls { Connector::Rustls(tls) } else { Connector::Plain };
        match client_async_tls_with_config(request, tcp, Some(config), Some(connector)).await {
            Ok((socket, _)) => Ok(SignalSocket { socket }),
            Err(WsError::Http(response)) => Err(SignalError::Refused {
                status: response.status().as_u16(),
                reason: reason_of(response.body().as_deref().unwrap_or_default(), token),
            }),
            Err(error) => Err(unreachable(error.into())),
        }
    }

    /// Sends one message; at most 5 s.
    ///
    /// # Errors
    /// [`SignalError`] when the connection is gone; it is of no more use then.
    pub async fn send(&mut self, message: signal_request::Message) -> Result<(), SignalError> {
        let frame = Message::Binary(frame::encode_request(message).into());
        tokio::time::timeout(SEND_TIMEOUT, self.socket.send(frame))
            .await
            .map_err(|_| SignalError::Timeout(SEND_TIMEOUT))?
            .map_err(|error| SignalError::Lost(Box::new(error)))
    }

    /// The next message that this version knows. Cancel-safe.
    ///
    /// # Errors
    /// [`SignalError`] when the connection is gone or the other side speaks something else.
    pub async fn recv(&mut self) -> Result<signal_response::Message, SignalError> {
        loop {
            let message = match self.socket.next().await {
                None => return Err(SignalError::Closed),
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => {
                    return Err(SignalError::Closed);
                }
                Some(Err(error)) => return Err(SignalError::Lost(Box::new(error))),
                Some(Ok(message)) => message,
            };
            match message {
                Message::Binary(bytes) => match frame::decode_response(&bytes) {
                    Err(FrameError::Empty) => {}
                    other => return Ok(other?),
                },
                Message::Text(_) => return Err(SignalError::Text),
                Message::Close(_) => return Err(SignalError::Closed),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says goodbye on the WebSocket; best effort, at most a second.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// A refusal's body as one line of text. livekit-server repeats the token in it: that stays out of logs and state.
fn reason_of(body: &[u8], token: &str) -> String {
    let text = String::from_utf8_lossy(body.get(..MAX_BODY_BYTES).unwrap_or(body)).replace(token, "…");
    let words: Vec<&str> = text.split_whitespace().filter(|word| !word.contains("eyJ")).collect();
    words.join(" ").chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_repeats_the_token_is_told_without_it() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib3gifQ.c2ln";
        let body = format!("invalid token: {token}, error: expired\n");
        assert_eq!(reason_of(body.as_bytes(), token), "invalid token: …, error: expired");
        assert_eq!(reason_of(body.as_bytes(), "another"), "invalid token: error: expired");
        assert_eq!(reason_of(&[0xff; 5000], "x").chars().count(), MAX_REASON_CHARS);
    }
}
