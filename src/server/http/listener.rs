//! Sockets: accepting, the TLS handshake, limits, and ending. A connection that misbehaves ends alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::base::Shutdown;

/// Connections open at once on one listener (WebSockets, once upgraded, are counted by who serves them). More
/// wait in the system's backlog until one ends.
const CONNECTIONS: usize = 512;
/// Longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a whole request head, and so also for the next request of an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest request head; a token of 16 KiB fits.
const HEAD_BYTES: usize = 32 * 1024;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How a request came in; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Via {
    /// Over the loopback listener: from this machine.
    pub local: bool,
    /// Over TLS.
    pub tls: bool,
    /// The other end.
    pub peer: SocketAddr,
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) tasks: TaskTracker,
    /// Requests may still end.
    pub(crate) shutdown: Shutdown,
    /// They may not.
    pub(crate) cut: Shutdown,
}

/// Accepts until shutdown; with `tls`, every connection is TLS, else plain and local.
pub(crate) async fn run(listener: TcpListener, tls: Option<Arc<ServerConfig>>, serving: Serving) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let acceptor = tls.map(TlsAcceptor::from);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = serving.shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                failing = false;
                let via = Via { local: acceptor.is_none(), tls: acceptor.is_some(), peer };
                serving.tasks.spawn(connection(stream, via, acceptor.clone(), serving.clone(), place));
            }
            Err(error) if is_the_connections(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// The one that was being accepted failed, not accepting itself.
fn is_the_connections(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn connection(
    stream: TcpStream,
    via: Via,
    acceptor: Option<TlsAcceptor>,
    serving: Serving,
    place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let cut = serving.cut.clone();
    let served = async {
        match acceptor {
            None => serve(stream, via, serving).await,
            Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, via, serving).await,
                Ok(Err(error)) => tracing::debug!(peer = %via.peer, %error, "TLS handshake"),
                Err(_) => tracing::debug!(peer = %via.peer, "TLS handshake timed out"),
            },
        }
    };
    tokio::select! {
        () = served => {}
        () = cut.cancelled() => {}
    }
    drop(place);
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, via: Via, serving: Serving) {
    let router = serving.router;
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = serving.shutdown.cancelled() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = Some(connection.await);
    }
    if let Some(Err(error)) = ended {
        tracing::debug!(peer = %via.peer, %error, "HTTP connection");
    }
}
