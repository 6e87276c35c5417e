//! The pages of `web/`, embedded in the binary (debug builds read them from the disk).

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::refusal::Refusal;

/// `web/dist`. Debug builds do without it; the build script refuses release builds without it.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[cfg_attr(debug_assertions, allow_missing = true)]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><title>roomd</title><p>The pages are not built: run \
     <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then reload.";

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response<Body> {
    page("index.html", &headers)
}

/// `GET /rooms/{room}`.
pub(super) async fn room(headers: HeaderMap) -> Response<Body> {
    page("room.html", &headers)
}

fn page(name: &str, headers: &HeaderMap) -> Response<Body> {
    match Dist::get(name) {
        Some(file) => answer(name, file, headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
    }
}

/// Every other path: a file of `web/dist`, or 404.
pub(super) async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let name = uri.path().trim_start_matches('/');
    if !matches!(method, Method::GET | Method::HEAD) || name.contains("..") {
        return Refusal::not_found("no such path").into_response();
    }
    match Dist::get(name) {
        Some(file) => answer(name, file, &headers),
        None => Refusal::not_found("no such path").into_response(),
    }
}

/// Names of Vite's assets hold a hash of their content: they never change. The rest is asked for again.
fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response<Body> {
    let immutable = name.starts_with("assets/");
    let caching = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let hash = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    let same = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let common = [(header::CACHE_CONTROL, caching.to_owned()), (header::ETAG, tag)];
    if same {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = match file.metadata.mimetype() {
        "text/html" => "text/html; charset=utf-8",
        "text/javascript" | "application/javascript" => "text/javascript; charset=utf-8",
        other => other,
    };
    (common, [(header::CONTENT_TYPE, kind.to_owned())], Body::from(file.data.into_owned())).into_response()
}
