//! L3: one request over HTTPS, or HTTP: a connection of its own, no redirects.
//!
//! [`connect`], [`encrypt`] and [`exchange`] are the steps; how long each may take the caller knows, and bounds it. [`tls`]
//! says who is trusted.

pub mod tls;

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, Response, header, request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No network, no such host, nobody listening.
    #[error("cannot be reached: {0}")]
    Connect(io::Error),
    /// The host's name fits no certificate.
    #[error("the host's name: {0}")]
    Name(rustls::pki_types::InvalidDnsNameError),
    /// No TLS, or nobody who is trusted.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// Not HTTP, or broken off.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be put together.
    #[error("the request: {0}")]
    Request(#[from] axum::http::Error),
    /// The body of the answer.
    #[error("its answer broke off, or is longer than {limit} bytes: {source}")]
    Answer {
        /// What was allowed.
        limit: usize,
        /// What happened.
        source: axum::Error,
    },
}

/// TCP to `host`: a name or an address, IPv6 without brackets.
///
/// # Errors
/// [`Failure::Connect`].
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, Failure> {
    TcpStream::connect((host, port)).await.map_err(Failure::Connect)
}

/// TLS over `tcp`, to whom `host` is and `config` trusts.
///
/// # Errors
/// [`Failure::Name`], [`Failure::Tls`].
pub async fn encrypt(
    tcp: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(Failure::Name)?;
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(Failure::Tls)
}

/// What each request says: where it goes, who asks, and the type and length (bytes) of its body.
pub fn request(
    method: Method,
    (authority, path_and_query): (&str, &str),
    (kind, length): (&str, u64),
) -> request::Builder {
    Request::builder()
        .method(method)
        .uri(path_and_query)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("roomd/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_LENGTH, length)
}

/// Sends `request` and reads the answer, with a body of at most `limit` bytes; 0: its head is all that matters.
///
/// # Errors
/// [`Failure::Http`], [`Failure::Answer`].
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Body>,
    limit: usize,
) -> Result<Response<Bytes>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answering = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = match limit {
            0 => Bytes::new(),
            _ => {
                to_bytes(Body::new(body), limit).await.map_err(|source| Failure::Answer { limit, source })?
            }
        };
        Ok(Response::from_parts(head, body))
    };
    tokio::pin!(answering, connection);
    tokio::select! {
        answered = &mut answering => answered,
        // It ends with the answer's last byte, which is to be read then; its errors are the answer's.
        _ = &mut connection => answering.await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What becomes of a request that is answered by `text`, whereupon the other side hangs up.
    async fn answered_by(text: &'static str, limit: usize) -> Result<Response<Bytes>, Failure> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let to = ("host:1", "/path?query");
        let request = request(Method::POST, to, ("text/plain", 2)).body(Body::from("hi")).unwrap();
        let serve = async {
            let mut asked = vec![0; 4096];
            let mut length = 0;
            while !asked[..length].ends_with(b"hi") {
                length += theirs.read(&mut asked[length..]).await.unwrap();
            }
            theirs.write_all(text.as_bytes()).await.unwrap();
            drop(theirs);
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let (answer, asked) = tokio::join!(exchange(ours, request, limit), serve);
        assert!(
            asked.starts_with("POST /path?query HTTP/1.1\r\nhost: host:1\r\nuser-agent: roomd/"),
            "{asked}"
        );
        answer
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit_and_one_that_breaks_off_is_none() {
        const WHOLE: &str = "HTTP/1.1 403 No\r\ncontent-length: 5\r\n\r\nhello";
        let answer = answered_by(WHOLE, 5).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (403, b"hello".as_slice()));
        assert!(answered_by(WHOLE, 0).await.unwrap().body().is_empty());
        let until_closed = answered_by("HTTP/1.1 200 OK\r\n\r\nhello", 5).await.unwrap();
        assert_eq!(until_closed.body().as_ref(), b"hello");
        for (text, limit, word) in [
            (WHOLE, 4, "longer than 4 bytes"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", 9, "broke off"),
            ("HTTP/1.1 200", 9, "HTTP: "),
            ("hello", 9, "HTTP: "),
            ("", 0, "HTTP: "),
        ] {
            let failure = answered_by(text, limit).await.unwrap_err().to_string();
            assert!(failure.contains(word), "{text:?}: {failure}");
        }
    }
}
