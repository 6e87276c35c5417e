//! What every answer carries, and the access log.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::listener::Via;

/// For the browser: nothing from elsewhere, no framing, no guessing of types, no referrer (it would not hold the
/// fragment, but the path names the room).
const FIXED: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(self), microphone=(self), display-capture=(self), geolocation=()"),
];

/// Adds the security headers, and logs at debug: method, path, status. Never the query: it may hold a token.
pub(super) async fn add(request: Request, next: Next) -> Response {
    let policy = content_security_policy(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let peer = request.extensions().get::<Via>().map(|via| via.peer);
    let mut response = next.run(request).await;
    tracing::debug!(?peer, %method, path, status = response.status().as_u16(), "request");
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}

/// Self only; WebSockets to the same host by name, since not every browser counts them as 'self'.
fn content_security_policy(request: &HeaderMap) -> HeaderValue {
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
    let sockets = if plain { format!(" ws://{host} wss://{host}") } else { String::new() };
    let policy = format!(
        "default-src 'self'; connect-src 'self'{sockets}; media-src 'self' blob:; img-src 'self' data: blob:; \
         worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // Only characters that a header may hold.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_cannot_write_policy() {
        let of = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            content_security_policy(&headers).to_str().unwrap().to_owned()
        };
        assert!(
            of("box.local:7443").contains("connect-src 'self' ws://box.local:7443 wss://box.local:7443;")
        );
        assert!(of("x; script-src *").contains("connect-src 'self'; media-src"));
    }
}
