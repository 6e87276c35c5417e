//! The table of paths, and those that need few lines.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use serde::Deserialize;

use super::access::{Access, COOKIE};
use super::listener::Via;
use super::refusal::Refusal;
use super::{App, box_api, headers, pages, recordings, snapshot};
use crate::server::admin::SESSION_LIFETIME;

/// Everything that both listeners serve.
pub(super) fn router(app: Arc<App>) -> Router {
    let rtc = app.deps.rtc.clone();
    Router::new()
        .route("/", get(pages::index))
        .route("/rooms/{room}", get(pages::room))
        .route("/admin", get(admin))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/ca.crt", get(ca_crt))
        .route("/box/info", get(box_api::info))
        .route("/box/state", get(box_api::state))
        .route("/box/events", get(box_api::events))
        .route("/box/picture.jpg", get(box_api::picture))
        .route("/box/snapshots/{name}", get(snapshot::snapshot))
        .route("/box/cmd/{name}", post(box_api::command))
        .route("/box/guest-link", post(box_api::guest_link))
        .route("/box/watch-token", post(box_api::watch_token))
        .route("/box/recordings", get(recordings::list))
        .route("/box/recordings/{id}/file", get(recordings::file))
        .fallback(pages::asset)
        .with_state(app)
        .merge(rtc)
        .layer(middleware::from_fn(headers::add))
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    code: String,
}

/// `GET /admin?code=`: exchanges a link for a session. Only a real visit uses the link up, no preview of it.
async fn admin(
    State(app): State<Arc<App>>,
    Extension(via): Extension<Via>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<Code>,
) -> Response {
    let preview = ["purpose", "sec-purpose"].iter().any(|name| {
        headers
            .get(*name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("prefetch"))
    });
    if method != Method::GET || preview {
        return (StatusCode::SERVICE_UNAVAILABLE, no_store()).into_response();
    }
    match app.deps.admin.redeem(&query.code) {
        Some(session) => {
            tracing::info!(peer = %via.peer, "an admin session begins");
            let secure = if via.tls { "; Secure" } else { "" };
            let cookie = format!(
                "{COOKIE}={session}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
                SESSION_LIFETIME.as_secs()
            );
            let to = [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)];
            (StatusCode::SEE_OTHER, no_store(), to).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, no_store(), Html(USED_LINK)).into_response(),
    }
}

const USED_LINK: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
     <meta name=\"viewport\" content=\"width=device-width\"><title>Admin link</title>\
     <h1>This link does not work (any more)</h1>\
     <p>An admin link works once and for 10 minutes. Run <code>roomctl admin-link</code> on the box for a new one.";

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

async fn healthz(State(app): State<Arc<App>>) -> Response {
    told(app.deps.health.is_alive(), "ok\n", "the supervisor loop does not turn\n")
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    let ready = app.deps.health.is_ready() && !app.shutdown.is_cancelled();
    told(ready, "ready\n", "not accepting joins\n")
}

fn told(good: bool, yes: &'static str, no: &'static str) -> Response {
    let (status, text) = if good { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) };
    (status, no_store(), text).into_response()
}

async fn metrics(_: Access, State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.deps.registry)
        .map_err(|error| Refusal::internal(format!("encoding the metrics: {error}")))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], no_store(), text).into_response())
}

async fn ca_crt(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let pem = app.tls.as_ref().and_then(|tls| tls.authority_pem());
    let pem =
        pem.ok_or_else(|| Refusal::not_found("this box does not use a certificate authority of its own"))?;
    let kind = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"roomd-ca.crt\""),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((kind, pem).into_response())
}
