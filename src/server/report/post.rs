//! One POST of which only the answer's status matters.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use rustls::ClientConfig;

use super::url::WebhookUrl;
use crate::https;

/// Longest time for all of it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The URL is none (any more).
    #[error("no URL that webhooks can go to")]
    Address,
    /// There is no answer.
    #[error(transparent)]
    Https(#[from] https::Failure),
    /// Answered, but not by a 2xx.
    #[error("answered {0}")]
    Status(StatusCode),
    /// Too slow.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Sends `body` with `authorization`; Ok: it was taken.
pub(super) async fn post(
    url: &WebhookUrl,
    tls: &Arc<ClientConfig>,
    authorization: &str,
    body: String,
) -> Result<(), Failure> {
    let to = (url.authority(), url.path_and_query());
    let request = https::request(Method::POST, to, ("application/webhook+json", body.len() as u64))
        .header(header::AUTHORIZATION, authorization)
        .body(Body::from(body))
        .map_err(https::Failure::Request)?;
    let sending = async {
        let tcp = https::connect(url.host(), url.port()).await?;
        match url.tls() {
            true => https::exchange(https::encrypt(tcp, url.host(), tls).await?, request, 0).await,
            false => https::exchange(tcp, request, 0).await,
        }
    };
    let answer = tokio::time::timeout(TIMEOUT, sending).await.map_err(|_| Failure::Timeout)??;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(Failure::Status(status)),
    }
}
