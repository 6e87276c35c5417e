//! One POST: a connection of its own, no redirects, only the status matters.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::url::WebhookUrl;

/// Longest time for all of it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The URL is none (any more).
    #[error("no URL that webhooks can go to")]
    Address,
    /// No connection.
    #[error("connecting: {0}")]
    Connect(std::io::Error),
    /// The host's name fits no certificate.
    #[error("the host's name: {0}")]
    Name(rustls::pki_types::InvalidDnsNameError),
    /// Not HTTP, or broken off.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be put together.
    #[error("the request: {0}")]
    Request(#[from] axum::http::Error),
    /// Answered, but not by a 2xx.
    #[error("answered {0}")]
    Status(StatusCode),
    /// Too slow.
    #[error("no answer within 10 s")]
    Timeout,
}

/// Sends `body` with `authorization`; Ok: it was taken.
pub(super) async fn post(
    url: &WebhookUrl,
    tls: &Arc<ClientConfig>,
    authorization: &str,
    body: String,
) -> Result<(), Failure> {
    let request = Request::post(url.path_and_query())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, concat!("roomd/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/webhook+json")
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::AUTHORIZATION, authorization)
        .body(Body::from(body))?;
    let sending = async {
        let tcp = TcpStream::connect((url.host(), url.port())).await.map_err(Failure::Connect)?;
        if !url.tls() {
            return exchange(tcp, request).await;
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(Failure::Name)?;
        let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        exchange(encrypted.map_err(Failure::Connect)?, request).await
    };
    tokio::time::timeout(TIMEOUT, sending).await.unwrap_or(Err(Failure::Timeout))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Body>,
) -> Result<(), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answering = sender.send_request(request);
    tokio::pin!(answering, connection);
    let response = tokio::select! {
        response = &mut answering => response?,
        ended = &mut connection => {
            ended?;
            answering.await?
        }
    };
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(Failure::Status(status)),
    }
}
