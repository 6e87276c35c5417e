//! One POST by HTTPS: a connection of its own, no redirects, an answer of bounded size in bounded time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::api::ANSWER_BYTES;
use crate::base::not_before::NotBefore;
use crate::control::enrolment::EnrolmentOrder;
use crate::control::https_url::HttpsUrl;

/// Longest wait for a connection to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for TLS, request and answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No network, no such host, nobody listening: may be different in a second.
    #[error("cannot be reached: {0}")]
    Unreachable(std::io::Error),
    /// Anything later.
    #[error("{0}")]
    Broken(String),
}

/// The server's answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// What time it is by the server.
    pub(super) date: Option<SystemTime>,
    pub(super) body: Bytes,
}

/// Whom `order` trusts, judged at the time of `clock`: its own authority alone, or the public web's.
pub(super) fn trust(order: &EnrolmentOrder, clock: NotBefore) -> Result<Arc<ClientConfig>, String> {
    let roots = match &order.ca {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| format!("ca: {error}"))?;
                roots.add(certificate).map_err(|error| format!("ca: {error}"))?;
            }
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(clock))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Posts `body` to the order's URL with its token.
pub(super) async fn post(
    order: &EnrolmentOrder,
    tls: Arc<ClientConfig>,
    body: String,
) -> Result<Answered, Failure> {
    let url = &order.enroll_url;
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((url.host(), url.port())));
    let tcp = match connecting.await {
        Ok(connected) => connected.map_err(Failure::Unreachable)?,
        Err(_) => return Err(Failure::Unreachable(std::io::ErrorKind::TimedOut.into())),
    };
    let exchange = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange(url, tls, tcp, request(order, body)?));
    match exchange.await {
        Ok(answered) => answered.map_err(Failure::Broken),
        Err(_) => Err(Failure::Broken(format!("no whole answer within {} s", EXCHANGE_TIMEOUT.as_secs()))),
    }
}

fn request(order: &EnrolmentOrder, body: String) -> Result<Request<Body>, Failure> {
    let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", order.token.reveal()))
        .map_err(|_| Failure::Broken("the token cannot be sent".to_owned()))?;
    authorization.set_sensitive(true);
    Request::post(order.enroll_url.path_and_query())
        .header(header::HOST, order.enroll_url.authority())
        .header(header::USER_AGENT, concat!("roomd/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::AUTHORIZATION, authorization)
        .body(Body::from(body))
        .map_err(|error| Failure::Broken(error.to_string()))
}

async fn exchange(
    url: &HttpsUrl,
    tls: Arc<ClientConfig>,
    tcp: TcpStream,
    request: Request<Body>,
) -> Result<Answered, String> {
    let name = ServerName::try_from(url.host().to_owned()).map_err(|error| format!("its name: {error}"))?;
    let encrypted =
        TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?;
    let http = |error: hyper::Error| format!("HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(encrypted)).await.map_err(http)?;
    let answering = async {
        let response = sender.send_request(request).await.map_err(http)?;
        answered(response).await
    };
    tokio::pin!(answering, connection);
    tokio::select! {
        answered = &mut answering => answered,
        // It ends with the answer's last byte, which is to be read then.
        _ = &mut connection => answering.await,
    }
}

async fn answered(response: Response<Incoming>) -> Result<Answered, String> {
    let status = response.status().as_u16();
    let date = response.headers().get(header::DATE).and_then(|date| date_of(date.to_str().ok()?));
    let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES).await;
    let body = body
        .map_err(|error| format!("its answer broke off, or is longer than {ANSWER_BYTES} bytes: {error}"))?;
    Ok(Answered { status, date, body })
}

/// `Date` as servers write it (RFC 9110, section 5.6.7: IMF-fixdate).
fn date_of(text: &str) -> Option<SystemTime> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    PrimitiveDateTime::parse(text, form).ok().map(|date| date.assume_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let date = date_of("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        for wrong in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(date_of(wrong), None, "{wrong}");
        }
    }
}
