//! The HTTPS side: `POST /v1/enroll`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::tokens::Refused;
use super::{EnrollServer, ServerError, now};
use crate::base::Shutdown;
use crate::control::enrolment::{name_fits, sha256_hex};
use crate::control::topics::check_name;
use crate::provision::api::{Answer, Broker, REQUEST_BYTES, Refusal, RefusalError, Request};
use crate::server::http::listener::{self, Serving};
use crate::server::tls::TlsError;
use crate::server::tls::authority;

/// Longest time for a request's body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that listens; [`Listening::run`] serves.
#[derive(Debug)]
pub struct Listening {
    server: EnrollServer,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

impl EnrollServer {
    /// Listens where the settings say.
    ///
    /// # Errors
    /// [`ServerError::Bind`] and [`ServerError::Tls`].
    pub async fn listen(self) -> Result<Listening, ServerError> {
        let address = SocketAddr::new(self.settings.bind, self.settings.port);
        let bind = |source| ServerError::Bind { address: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let tls = self.tls()?;
        Ok(Listening { server: self, listener, tls })
    }

    pub(in crate::provision) fn tls(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let pem = |reason: String| TlsError::File { path: self.dir.join("server.json"), reason };
        let certificate = CertificateDer::from_pem_slice(self.server.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.server.key.as_bytes());
        let certificate = certificate.map_err(|error| pem(error.to_string()))?;
        let key = key.map_err(|_| pem("holds no key".to_owned()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Arc::new(config))
    }

    /// Judges one request: the whole of what the server does.
    fn enroll(&self, token: &str, request: Request) -> Result<Answer, (StatusCode, &'static str, String)> {
        let bad = |message: String| (StatusCode::BAD_REQUEST, "bad_request", message);
        check_name("box", &request.box_id).map_err(|error| bad(error.to_string()))?;
        if request.box_id.len() > 63 || request.name.as_ref().is_some_and(|name| !name_fits(name)) {
            return Err(bad("box: at most 63 characters; name: 1 to 64, no control characters".to_owned()));
        }
        if request.fleet != self.settings.fleet {
            let message =
                format!("fleet {:?}: this server enrols into {:?}", request.fleet, self.settings.fleet);
            return Err((StatusCode::FORBIDDEN, "wrong_fleet", message));
        }
        let csr = read_csr(&request.csr).map_err(bad)?;
        let fingerprint = sha256_hex(&csr.public_key.subject_public_key_info());
        let issue = || {
            authority::make_client(&self.authority, &request.box_id, &csr.public_key, now())
                .map_err(|error| error.to_string())
        };
        let failed = |message: String| (StatusCode::INTERNAL_SERVER_ERROR, "internal", message);
        let redeemed = self.tokens.redeem(token, &request.box_id, &fingerprint, now(), issue);
        let redeemed = redeemed.map_err(|error| failed(error.to_string()))?.map_err(refusal)?;
        let broker = Broker {
            url: self.settings.broker_url(),
            ca: Some(self.authority.certificate.clone()),
            username: None,
            client_id: None,
        };
        Ok(Answer {
            box_id: request.box_id,
            fleet: request.fleet,
            name: redeemed.name.or(request.name),
            certificate: redeemed.certificate,
            mqtt: broker,
        })
    }
}

/// Its signature is checked: whoever asks has the key. What else it wishes for does not count.
pub(in crate::provision) fn read_csr(pem: &str) -> Result<CertificateSigningRequestParams, String> {
    CertificateSigningRequestParams::from_pem(pem).map_err(|error| format!("csr: {error}"))
}

fn refusal(refused: Refused) -> (StatusCode, &'static str, String) {
    let (code, message) = match refused {
        Refused::Failed(reason) => return (StatusCode::INTERNAL_SERVER_ERROR, "internal", reason),
        Refused::Unknown => ("token_unknown", "this token was not made here"),
        Refused::Expired => ("token_expired", "this token is over: ask for a new one"),
        Refused::Used => ("token_used", "this token was used by another key: ask for a new one"),
        Refused::OtherBox => ("token_unknown", "this token is for another box"),
        Refused::BoxTaken => (
            "box_taken",
            "a box of this id is enrolled with another key: a token made for this id replaces it",
        ),
    };
    (StatusCode::FORBIDDEN, code, message.to_owned())
}

impl Listening {
    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let router = Router::new()
            .route("/v1/enroll", post(enroll))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES))
            .with_state(Arc::new(self.server));
        let serving = Serving { router, tasks: TaskTracker::new(), cut: shutdown.clone(), shutdown };
        listener::run(self.listener, Some(self.tls), serving).await;
    }
}

async fn enroll(
    State(server): State<Arc<EnrollServer>>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let refused = |status: StatusCode, code: &str, message: String| {
        let error = RefusalError { code: code.to_owned(), message };
        (status, Json(Refusal { error })).into_response()
    };
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token.map(str::to_owned) else {
        let message = "Authorization: Bearer and the token are missing".to_owned();
        return refused(StatusCode::UNAUTHORIZED, "token_missing", message);
    };
    let body = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, REQUEST_BYTES)).await;
    let body: Bytes = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let message = format!("broken off, or longer than {REQUEST_BYTES} bytes");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
        }
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come".to_owned()),
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refused(StatusCode::BAD_REQUEST, "bad_request", error.to_string()),
    };
    let box_id: String = request.box_id.chars().take(64).collect();
    // It waits for the disk.
    let judged = tokio::task::spawn_blocking(move || server.enroll(&token, request)).await;
    match judged {
        Ok(Ok(answer)) => {
            info!(box_id, "enrolled");
            Json(answer).into_response()
        }
        Ok(Err((status, code, message))) => {
            warn!(box_id, code, message, "refused");
            refused(status, code, message)
        }
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed".to_owned()),
    }
}
