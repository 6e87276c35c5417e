//! The one POST of an enrolment: an answer of bounded size in bounded time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use rustls::ClientConfig;
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::api::ANSWER_BYTES;
use crate::base::not_before::NotBefore;
use crate::control::enrolment::EnrolmentOrder;
use crate::https::tls::{self, Trust};
use crate::https::{self, Failure as Https};

/// Longest wait for a connection to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for TLS, request and answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// [`Https::Connect`]: may be different in a second.
    #[error(transparent)]
    Https(#[from] Https),
    /// No header can hold the token.
    #[error("the token cannot be sent")]
    Token,
    /// Too slow.
    #[error("no whole answer within {} s", EXCHANGE_TIMEOUT.as_secs())]
    Timeout,
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
    let trusted = order.ca.as_ref().map_or(Trust::Public, |pem| Trust::Only(pem.as_bytes()));
    tls::config(trusted, Arc::new(clock)).map_err(|error| format!("ca: {error}"))
}

/// Posts `body` to the order's URL with its token.
pub(super) async fn post(
    order: &EnrolmentOrder,
    tls: Arc<ClientConfig>,
    body: String,
) -> Result<Answered, Failure> {
    let (url, request) = (&order.enroll_url, request(order, body)?);
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, https::connect(url.host(), url.port()));
    let late = |_| Https::Connect(std::io::ErrorKind::TimedOut.into());
    let tcp = connecting.await.map_err(late)??;
    let exchange = async {
        let encrypted = https::encrypt(tcp, url.host(), &tls).await?;
        https::exchange(encrypted, request, ANSWER_BYTES).await
    };
    let answer = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await.map_err(|_| Failure::Timeout)??;
    let date = answer.headers().get(header::DATE).and_then(|date| date_of(date.to_str().ok()?));
    Ok(Answered { status: answer.status().as_u16(), date, body: answer.into_body() })
}

fn request(order: &EnrolmentOrder, body: String) -> Result<Request<Body>, Failure> {
    let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", order.token.reveal()))
        .map_err(|_| Failure::Token)?;
    authorization.set_sensitive(true);
    let to = (order.enroll_url.authority(), order.enroll_url.path_and_query());
    let request = https::request(Method::POST, to, ("application/json", body.len() as u64))
        .header(header::AUTHORIZATION, authorization)
        .body(Body::from(body));
    Ok(request.map_err(Https::Request)?)
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
