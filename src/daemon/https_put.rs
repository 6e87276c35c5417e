//! One file by HTTPS PUT, of which only the answer's status matters.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use futures_util::stream;
use rustls::ClientConfig;

use crate::control::https_url::HttpsUrl;
use crate::https::{self, tls};

/// Longest time for name, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// An attempt is given up when nothing was taken for so long.
const STALLED: Duration = Duration::from_secs(30);
/// Read and sent at once.
const PIECE: usize = 64 * 1024;
/// Largest file of certificates.
const MAX_CERTIFICATES: u64 = 1 << 20;

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no answer.
    #[error(transparent)]
    Https(#[from] https::Failure),
    /// Too slow.
    #[error("nothing was taken for {} s", STALLED.as_secs())]
    Stalled,
    /// The server may take it later.
    #[error("the server answered {0}")]
    Busy(StatusCode),
    /// The server will never take it.
    #[error("the server answered {0}")]
    Refused(StatusCode),
}

/// Where to.
pub struct Put {
    url: HttpsUrl,
    tls: Arc<ClientConfig>,
}

impl Put {
    /// Trusts the public authorities, and those in the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// For people, when that file cannot be used.
    pub fn new(url: HttpsUrl) -> Result<Put, String> {
        let own = match std::env::var_os("SSL_CERT_FILE") {
            None => None,
            Some(path) => {
                Some(read(&path).map_err(|error| format!("SSL_CERT_FILE {}: {error}", path.display()))?)
            }
        };
        let tls = tls::client_config(own.as_deref()).map_err(|error| format!("SSL_CERT_FILE: {error}"))?;
        Ok(Put { url, tls })
    }

    /// Sends the first `length` bytes of `file`; `sent` hears how many are gone.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(
        &self,
        file: File,
        length: u64,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<(), Failure> {
        let gone = Arc::new(AtomicU64::new(0));
        let url = &self.url;
        let to = (url.authority(), url.path_and_query());
        let request = https::request(Method::PUT, to, ("application/gzip", length))
            .body(body(file, length, gone.clone(), sent))
            .map_err(https::Failure::Request)?;
        let exchange = async {
            let connecting = async {
                let tcp = https::connect(url.host(), url.port()).await?;
                https::encrypt(tcp, url.host(), &self.tls).await
            };
            let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| Failure::Stalled)??;
            verdict(https::exchange(stream, request, 0).await?.status())
        };
        tokio::select! {
            outcome = exchange => outcome,
            () = stalled(&gone) => Err(Failure::Stalled),
        }
    }
}

fn read(path: &std::ffi::OsStr) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CERTIFICATES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn verdict(status: StatusCode) -> Result<(), Failure> {
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_server_error() => Err(Failure::Busy(status)),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Busy(status)),
        status => Err(Failure::Refused(status)),
    }
}

/// Returns when `gone` has not grown for [`STALLED`].
async fn stalled(gone: &AtomicU64) {
    let mut before = None;
    while before != Some(gone.load(Ordering::Relaxed)) {
        before = Some(gone.load(Ordering::Relaxed));
        tokio::time::sleep(STALLED).await;
    }
}

fn body(file: File, length: u64, gone: Arc<AtomicU64>, sent: impl Fn(u64) + Send + 'static) -> Body {
    let file = Arc::new(file);
    Body::from_stream(stream::try_unfold((0, sent), move |(at, sent)| {
        let (file, gone) = (file.clone(), gone.clone());
        async move {
            let left = length.saturating_sub(at);
            if left == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let reading = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; size];
                file.read_exact_at(&mut piece, at).map(|()| piece)
            });
            let piece = reading.await.map_err(std::io::Error::other)??;
            let at = at + piece.len() as u64;
            gone.store(at, Ordering::Relaxed);
            sent(at);
            Ok(Some((Bytes::from(piece), (at, sent))))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_tried_again() {
        let busy = |status| matches!(verdict(status), Err(Failure::Busy(_)));
        assert!(verdict(StatusCode::NO_CONTENT).is_ok());
        assert!(busy(StatusCode::SERVICE_UNAVAILABLE) && busy(StatusCode::TOO_MANY_REQUESTS));
        assert!(!busy(StatusCode::FORBIDDEN) && !busy(StatusCode::TEMPORARY_REDIRECT));
    }

    #[tokio::test]
    async fn the_body_is_the_file() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        file.write_all(&text).unwrap();
        let gone = Arc::new(AtomicU64::new(0));
        let body = body(file, text.len() as u64, gone.clone(), |_| {});
        assert_eq!(axum::body::to_bytes(body, 1 << 20).await.unwrap(), text);
        assert_eq!(gone.load(Ordering::Relaxed), 200_000);
    }
}
